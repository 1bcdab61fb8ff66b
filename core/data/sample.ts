/**
 * A training sample: a conversation's tokens, which of them are trained on, and the verifier's states over them.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { HostTensor } from "../tensor.ts";
import { BYTES, describe } from "../tensor.ts";

/** One conversation, captured. T tokens, A auxiliary layers, H the verifier's width. */
export interface Sample {
  /** i32 `[T]`. */
  readonly inputIds: Int32Array;
  /** `[T]`: 1 where the token is trained on. */
  readonly lossMask: Uint8Array;
  /** A + 1 tensors `[T, H]`: the auxiliary layers in ascending order, then the last layer before the final norm. */
  readonly hidden: readonly HostTensor[];
}

/**
 * Checks that the parts of a sample fit each other.
 *
 * @param where the file, for messages
 * @throws {ConfigError} when they do not
 */
export function checkSample(sample: Sample, where: string): void {
  const tokens = sample.inputIds.length;
  if (sample.lossMask.length !== tokens) {
    throw new ConfigError(
      `${where}: loss_mask`,
      `expected ${tokens} entries, received ${sample.lossMask.length}`,
    );
  }
  const width = sample.hidden[0]?.shape[1];
  if (width === undefined) {
    throw new ConfigError(`${where}: hidden_states`, "expected at least one layer [tokens, hidden]");
  }
  for (const [i, layer] of sample.hidden.entries()) {
    const fits = layer.shape.length === 2 && layer.shape[0] === tokens && layer.shape[1] === width &&
      layer.bytes.length === tokens * width * BYTES[layer.dtype];
    if (!fits) {
      throw new ConfigError(
        `${where}: hidden_states[${i}]`,
        `expected [${tokens}, ${width}], received ${layer.dtype}[${layer.shape.join(", ")}] in ` +
          `${layer.bytes.length} bytes`,
      );
    }
  }
}

/**
 * Widens rows of a state tensor into f32 at some columns of a wider matrix: how the auxiliary layers come to lie side
 * by side without a copy in between.
 *
 * @param source f32, bf16, f16 or f64 `[rows, width]`
 * @throws {ConfigError} when the element type is none of these
 */
export function widenRows(
  source: HostTensor,
  target: Float32Array,
  place: {
    /** First row taken. */
    readonly from: number;
    /** Rows taken. */
    readonly rows: number;
    /** Element of `target` where the first row begins. */
    readonly at: number;
    /** Elements of `target` from one row to the next. */
    readonly stride: number;
  },
): void {
  const width = source.shape[1] ?? 1;
  const { from, rows, at, stride } = place;
  const read = reader(source);
  for (let r = 0; r < rows; r++) read((from + r) * width, width, target, at + r * stride);
}

type ReadRun = (from: number, count: number, target: Float32Array, at: number) => void;

function reader(source: HostTensor): ReadRun {
  const { dtype } = source;
  // A view of another element type needs an aligned start; parts of a file often have none.
  const aligned = source.bytes.byteOffset % BYTES[dtype] === 0 ? source.bytes : source.bytes.slice();
  const at0 = aligned.byteOffset;
  const count = Math.floor(aligned.byteLength / BYTES[dtype]);
  const buffer = aligned.buffer;
  switch (dtype) {
    case "f32": {
      const values = new Float32Array(buffer, at0, count);
      return (from, n, target, at) => target.set(values.subarray(from, from + n), at);
    }
    case "f64": {
      const values = new Float64Array(buffer, at0, count);
      return (from, n, target, at) => target.set(values.subarray(from, from + n), at);
    }
    case "bf16": {
      const values = new Uint16Array(buffer, at0, count);
      return (from, n, target, at) => {
        // A bf16 is the upper half of the f32 of the same value.
        const bits = new Uint32Array(target.buffer, target.byteOffset + at * 4, n);
        for (let i = 0; i < n; i++) bits[i] = values[from + i]! << 16;
      };
    }
    case "f16": {
      const values = new Float16Array(buffer, at0, count);
      return (from, n, target, at) => target.set(values.subarray(from, from + n), at);
    }
    default:
      throw new ConfigError(
        "hidden_states",
        `expected f32, bf16, f16 or f64, received ${describe(source as never)}`,
      );
  }
}

/** Integers as an i64 tensor of one axis, as the Python system keeps ids and masks. */
export function int64Tensor(values: Int32Array | Uint8Array): HostTensor {
  const wide = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) wide[i] = BigInt(values[i]!);
  return { shape: [values.length], dtype: "i64", bytes: new Uint8Array(wide.buffer) };
}
