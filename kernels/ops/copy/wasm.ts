/** Moves of rows on the CPU. */
import type { WasmCall } from "../../../core/tensor.ts";
import { ENTRIES, product, rowGrain, type Wasm } from "../_wasm.ts";
import type { AxisAttrs, SliceAttrs, UnsliceAttrs, WriteRowsAttrs } from "./mod.ts";

/** Bytes of an element: these ops move words. */
const WORD = 4;

/** Rows of bytes, and the steps between them on both sides. */
interface Move {
  readonly from: number;
  readonly fromStep: number;
  readonly to: number;
  readonly toStep: number;
  readonly bytes: number;
  readonly rows: number;
}

function move(call: WasmCall, m: Move): void {
  if (m.bytes === 0) return;
  call.launch("copy", [m.from, m.fromStep, m.to, m.toStep, m.bytes], m.rows, rowGrain(m.bytes / WORD));
}

/** Parts joined along an axis. */
export const wasmConcat: Wasm<AxisAttrs> = (call, inputs, outputs, { axis }) => {
  const out = outputs[0]!, rows = product(out.shape, 0, axis);
  const toStep = product(out.shape, axis) * WORD;
  let to = call.address(out);
  for (const part of inputs) {
    const bytes = product(part.shape, axis) * WORD;
    move(call, { from: call.address(part), fromStep: bytes, to, toStep, bytes, rows });
    to += bytes;
  }
};

/** A part of an axis. */
export const wasmSlice: Wasm<SliceAttrs> = (call, inputs, outputs, { axis, start, end }) => {
  const x = inputs[0]!, inner = product(x.shape, axis + 1) * WORD, bytes = (end - start) * inner;
  const from = call.address(x) + start * inner;
  move(call, {
    from,
    fromStep: product(x.shape, axis) * WORD,
    to: call.address(outputs[0]!),
    toStep: bytes,
    bytes,
    rows: product(x.shape, 0, axis),
  });
};

/** A part within zeros. */
export const wasmUnslice: Wasm<UnsliceAttrs> = (call, inputs, outputs, { axis, start, length }) => {
  const x = inputs[0]!, out = outputs[0]!, inner = product(x.shape, axis + 1) * WORD;
  const to = call.address(out), bytes = x.shape[axis]! * inner;
  call.launch("clear", [to], product(out.shape) * WORD, ENTRIES * WORD);
  const rows = product(x.shape, 0, axis);
  move(call, {
    from: call.address(x),
    fromStep: bytes,
    to: to + start * inner,
    toStep: length * inner,
    bytes,
    rows,
  });
};

/** Rows over rows. */
export const wasmWriteRows: Wasm<WriteRowsAttrs> = (call, inputs, _outputs, { at }) => {
  const [dst, src] = [inputs[0]!, inputs[1]!], width = dst.shape[1]! * WORD, bytes = src.shape[0]! * width;
  const to = call.address(dst) + at * width;
  move(call, { from: call.address(src), fromStep: bytes, to, toStep: bytes, bytes, rows: 1 });
};
