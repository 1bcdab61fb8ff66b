/**
 * A sample as upstream keeps it: a torch file of a dict with `input_ids` i64 `[T]`, `hidden_states` a list of `[T, H]`,
 * `loss_mask` i64 `[T]`.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { toInt32, toUint8 } from "../formats/dtype.ts";
import type { TorchFile, TorchInput } from "../formats/torch.ts";
import { openTorch, TorchTensor, writeTorch } from "../formats/torch.ts";
import type { HostTensor } from "../tensor.ts";
import type { Sample } from "./sample.ts";
import { int64Tensor } from "./sample.ts";
import type { Compression, SampleFormat } from "./store.ts";

/** Samples in torch files. A tensor that is read may be a view of a longer one, as in cut rows. */
export function torchSamples(): SampleFormat {
  return { ending: "pt", read, length, ids, write };
}

async function read(path: string): Promise<Sample> {
  using file = await openTorch(path);
  const states = entry(file, "hidden_states");
  if (!Array.isArray(states)) {
    throw new FormatError(path, 'expected "hidden_states" to be a list of tensors, received something else');
  }
  const hidden: HostTensor[] = [];
  for (const [i, layer] of states.entries()) {
    if (!(layer instanceof TorchTensor)) {
      throw new FormatError(path, `expected "hidden_states[${i}]" to be a tensor, received something else`);
    }
    hidden.push(await layer.read());
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
  const states = entry(file, "hidden_states");
  if (!Array.isArray(states) || !states.every((state) => state instanceof TorchTensor)) {
    throw new FormatError(path, 'expected "hidden_states" to be a list of tensors, received something else');
  }
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
