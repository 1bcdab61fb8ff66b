/** What the tests of the Eagle-3 plugin share: the golden cases, opened. */
import type { PackedBatch } from "../core/data/batch.ts";
import { convert, toFloat32, toInt32, toUint8 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import type { TensorSource } from "../core/formats/source.ts";
import type { VerifierWeights } from "../core/plugin.ts";
import type { Backend, HostTensor, Tensor } from "../core/tensor.ts";
import type { Eagle3Config } from "../plugins/eagle3/config.ts";
import { eagle3Tensors, initialiseEagle3 } from "../plugins/eagle3/initialise.ts";
import { array } from "./conformance/reference/array.ts";
import { ReferenceBackend } from "./conformance/reference/backend.ts";
import { golden, goldenJson } from "./golden.ts";

/** A case of `eagle3/index.json`. */
export interface Eagle3Case {
  readonly kind: string;
  readonly hidden: number;
  readonly dtype: string;
  readonly lengths: readonly number[];
  readonly total: number;
  readonly has_gradient: readonly string[];
}

/** The cases by name. */
export function eagle3Cases(): [string, Eagle3Case][] {
  return Object.entries(goldenJson<{ cases: Record<string, Eagle3Case> }>("eagle3", "index.json").cases);
}

/** The reference backend, with the plugin's own op. */
export function referenceBackend(): Backend {
  return new ReferenceBackend({
    draft_verifier_ids: ([ids, offsets]) => [
      array(ids!.shape, Float64Array.from(ids!.data, (id) => id + (offsets!.data[id] ?? 0)), "i32"),
    ],
  });
}

/** The three weights of a case's verifier. */
export function verifierWeights(source: TensorSource): VerifierWeights {
  return {
    embedTokens: () => source.read("model.embed_tokens.weight"),
    lmHead: () => source.read("lm_head.weight"),
    norm: () => source.read("model.norm.weight"),
  };
}

/** A case's config. */
export function eagle3Config(name: string): Eagle3Config {
  return goldenJson("eagle3", name, "config.json");
}

/** A case's tensors in plain memory, as the plugin takes them from checkpoint and verifier. */
export async function eagle3Host(name: string): Promise<Map<string, HostTensor>> {
  using checkpoint = await openSafetensors(golden("eagle3", name, "model.safetensors"));
  using verifier = await openSafetensors(golden("eagle3", name, "verifier", "model.safetensors"));
  return await initialiseEagle3(eagle3Config(name), {
    seed: 0,
    checkpoint,
    vocabulary: null,
    verifier: verifierWeights(verifier),
  });
}

/** Tensors on a backend as training keeps them: trained ones in f32. */
export function upload(
  backend: Backend,
  config: Eagle3Config,
  host: ReadonlyMap<string, HostTensor>,
): Map<string, Tensor> {
  const trained = new Set(eagle3Tensors(config).filter((info) => info.trained).map((info) => info.name));
  return new Map(
    [...host].map(([name, tensor]) => [
      name,
      backend.upload(trained.has(name) ? convert(tensor, "f32") : tensor),
    ]),
  );
}

/** A case's batch. */
export async function eagle3Batch(
  name: string,
  { lengths, total, hidden }: Eagle3Case,
): Promise<PackedBatch> {
  using inputs = await openSafetensors(golden("eagle3", name, "inputs.safetensors"));
  const documents = new Int32Array(total).fill(-1);
  lengths.reduce((at, length, document) => {
    documents.fill(document, at, at + length);
    return at + length;
  }, 0);
  const states = toFloat32(await inputs.read("hidden_states"));
  return {
    tokens: toInt32(await inputs.read("input_ids")),
    lossMask: toUint8(await inputs.read("loss_mask")),
    positions: toInt32(await inputs.read("position_ids")),
    documents,
    lengths,
    hidden: states,
    last: toFloat32(await inputs.read("verifier_last_hidden_states")),
    auxWidth: states.length / total,
    width: hidden,
  };
}
