/**
 * A sample as upstream keeps it: a torch file of a dict with `input_ids` i64 `[T]`, `hidden_states` a list of `[T, H]`,
 * `loss_mask` i64 `[T]`. An older layout, version 0, is read as well: `hidden_state` `[T, A·H]` with the auxiliary layers
 * side by side, and `target` `[T, H]`.
 *
 * source: speculators v0.4.0.1, `train/data.py` (`standardize_data_v0`, `standardize_data_v1`)
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { toInt32, toUint8 } from "../formats/dtype.ts";
import type { TorchFile, TorchInput } from "../formats/torch.ts";
import { openTorch, TorchTensor, writeTorch } from "../formats/torch.ts";
import { BYTES, type HostTensor } from "../tensor.ts";
import type { Sample } from "./sample.ts";
import { int64Tensor } from "./sample.ts";
import type { Compression, SampleFormat } from "./store.ts";

/** Samples in torch files. A tensor that is read may be a view of a longer one, as in cut rows. */
export function torchSamples(): SampleFormat {
  return { ending: "pt", read, length, ids, write };
}

async function read(path: string): Promise<Sample> {
  using file = await openTorch(path);
  const hidden: HostTensor[] = [];
  if (isOlder(file)) {
    const [side, last] = [tensor(file, "hidden_state"), tensor(file, "target")];
    hidden.push(...sideBySide(await side.read(), last.shape[1] ?? 0, path), await last.read());
  } else {
    for (const layer of layersOf(file)) hidden.push(await layer.read());
  }
  return {
    inputIds: toInt32(await tensor(file, "input_ids").read()),
    lossMask: toUint8(await tensor(file, "loss_mask").read()),
    hidden,
  };
}

async function length(path: string): Promise<number> {
  using file = await openTorch(path);
  return tensor(file, "input_ids").shape[0] ?? 0;
}

async function ids(path: string): Promise<Int32Array> {
  using file = await openTorch(path);
  if (isOlder(file)) ["hidden_state", "target"].forEach((name) => tensor(file, name));
  else layersOf(file);
  tensor(file, "loss_mask");
  return toInt32(await tensor(file, "input_ids").read());
}

async function write(
  path: string,
  sample: Sample,
  { compress = "none" }: { readonly compress?: Compression } = {},
): Promise<void> {
  await writeTorch(
    path,
    new Map<string, TorchInput>([
      ["input_ids", int64Tensor(sample.inputIds)],
      ["hidden_states", sample.hidden],
      ["loss_mask", int64Tensor(sample.lossMask)],
    ]),
    { compress: compress === "deflate" },
  );
}

function isOlder({ value }: TorchFile): boolean {
  return value instanceof Map && !value.has("hidden_states") && value.has("hidden_state");
}

function layersOf(file: TorchFile): readonly TorchTensor[] {
  const states = entry(file, "hidden_states");
  if (Array.isArray(states) && states.every((state) => state instanceof TorchTensor)) return states;
  throw new FormatError(
    file.path,
    'expected "hidden_states" to be a list of tensors, received something else',
  );
}

/** `[T, A·H]` → A times `[T, H]`. */
function sideBySide({ shape, dtype, bytes }: HostTensor, width: number, path: string): HostTensor[] {
  const [rows = 0, all = 0] = shape, count = all / width, row = width * BYTES[dtype];
  if (shape.length !== 2 || !Number.isInteger(count)) {
    throw new FormatError(
      path,
      `expected "hidden_state" to be some layers of width ${width}, received [${shape.join(", ")}]`,
    );
  }
  return Array.from({ length: count }, (_, layer) => {
    const own = new Uint8Array(rows * row);
    for (let t = 0; t < rows; t++) {
      const from = (t * count + layer) * row;
      own.set(bytes.subarray(from, from + row), t * row);
    }
    return { shape: [rows, width], dtype, bytes: own };
  });
}

function tensor(file: TorchFile, name: string): TorchTensor {
  const value = entry(file, name);
  if (!(value instanceof TorchTensor)) {
    throw new FormatError(file.path, `expected "${name}" to be a tensor, received something else`);
  }
  return value;
}

function entry(file: TorchFile, name: string): unknown {
  if (!(file.value instanceof Map)) {
    throw new FormatError(file.path, "expected a dict, received something else");
  }
  const value = file.value.get(name);
  if (value === undefined) {
    const keys = [...file.value.keys()].map(String).join(", ");
    throw new FormatError(file.path, `expected a key "${name}", received ${keys}`);
  }
  return value;
}
