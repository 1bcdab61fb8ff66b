/**
 * A sample as a safetensors file: `input_ids` and `loss_mask` i64 `[T]`, `hidden_states` `[layers, T, H]`.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { toInt32, toUint8 } from "../formats/dtype.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import type { HostTensor } from "../tensor.ts";
import type { Sample } from "./sample.ts";
import { int64Tensor } from "./sample.ts";
import type { SampleFormat } from "./store.ts";

/** Samples in safetensors files. */
export function safetensorsSamples(): SampleFormat {
  return { ending: "safetensors", read, length, ids, write };
}

async function read(path: string): Promise<Sample> {
  using file = await openSafetensors(path);
  const states = await file.read("hidden_states");
  if (states.shape.length !== 3) {
    throw new FormatError(
      path,
      `expected "hidden_states" of shape [layers, tokens, hidden], received [${states.shape.join(", ")}]`,
    );
  }
  const [layers, tokens, width] = states.shape as [number, number, number];
  const size = layers === 0 ? 0 : states.bytes.length / layers;
  const hidden: HostTensor[] = [];
  for (let i = 0; i < layers; i++) {
    const bytes = states.bytes.subarray(i * size, (i + 1) * size);
    hidden.push({ shape: [tokens, width], dtype: states.dtype, bytes });
  }
  return {
    inputIds: toInt32(await file.read("input_ids")),
    lossMask: toUint8(await file.read("loss_mask")),
    hidden,
  };
}

async function length(path: string): Promise<number> {
  using file = await openSafetensors(path);
  return file.spec("input_ids").shape[0] ?? 0;
}

async function ids(path: string): Promise<Int32Array> {
  using file = await openSafetensors(path);
  for (const name of ["hidden_states", "loss_mask"]) file.spec(name);
  return toInt32(await file.read("input_ids"));
}

async function write(path: string, sample: Sample): Promise<void> {
  const { hidden, inputIds, lossMask } = sample;
  const [tokens, width] = hidden[0]!.shape as [number, number];
  const bytes = new Uint8Array(hidden.reduce((n, layer) => n + layer.bytes.length, 0));
  let at = 0;
  for (const layer of hidden) {
    if (layer.dtype !== hidden[0]!.dtype) {
      throw new FormatError(path, `expected all layers in ${hidden[0]!.dtype}, received ${layer.dtype}`);
    }
    bytes.set(layer.bytes, at);
    at += layer.bytes.length;
  }
  await writeSafetensors(path, [
    ["input_ids", int64Tensor(inputIds)],
    ["loss_mask", int64Tensor(lossMask)],
    ["hidden_states", { shape: [hidden.length, tokens, width], dtype: hidden[0]!.dtype, bytes }],
  ]);
}
