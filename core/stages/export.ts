/** A checkpoint of a training run as the speculator that is served: no optimiser, weights in the type of the verifier. */
import { join } from "node:path";
import { readSpeculatorConfig, writeSpeculatorConfig } from "../config/mod.ts";
import { convert } from "../formats/dtype.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { openWeights } from "../formats/weights.ts";
import type { FileDType, HostTensor } from "../tensor.ts";

const TORCH = { f32: "float32", bf16: "bfloat16", f16: "float16" } as const;

/** How a speculator is exported. */
export interface ExportOptions {
  /** Element type of its weights. */
  readonly dtype: "f32" | "bf16" | "f16";
}

/**
 * Writes a checkpoint's model in the speculators format, its floating-point tensors in the type asked for.
 *
 * @param checkpoint folder of an epoch
 * @param folder where `config.json` and `model.safetensors` go
 * @throws {FormatError} when the checkpoint is damaged
 * @throws {WriteError} when the folder cannot be written
 */
export async function exportSpeculator(
  checkpoint: string,
  folder: string,
  options: ExportOptions,
): Promise<void> {
  const config = await readSpeculatorConfig(checkpoint);
  using source = await openWeights(checkpoint);
  const tensors = new Map<string, HostTensor>();
  for (const name of source.names()) {
    const tensor = await source.read(name);
    tensors.set(name, floating(tensor.dtype) ? convert(tensor, options.dtype) : tensor);
  }
  await Deno.mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { metadata: { format: "pt" } });
  await writeSpeculatorConfig(folder, { ...config, dtype: TORCH[options.dtype] });
}

function floating(dtype: FileDType): boolean {
  return dtype === "f64" || dtype === "f32" || dtype === "bf16" || dtype === "f16";
}
