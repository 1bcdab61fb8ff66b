/** First values of a draft's tensors: from a checkpoint, from the verifier, or drawn at random. */
import { ConfigError } from "../../core/errors.ts";
import { hostTensor } from "../../core/formats/dtype.ts";
import type { TensorSource } from "../../core/formats/source.ts";
import type { DraftTensorInfo, TensorInfo, VerifierWeights } from "../../core/plugin.ts";
import { byteLength, elements, type HostTensor, type Shape } from "../../core/tensor.ts";
import { uniform } from "./uniform.ts";

/** Where {@linkcode firstValues} takes values from. */
export interface FirstSources {
  /** Seed of what is drawn at random. */
  readonly seed: number;
  /** A checkpoint, which goes first. */
  readonly checkpoint: TensorSource | null;
  /** What is taken as it is, checkpoint or not. */
  readonly fixed?: Readonly<Record<string, HostTensor>>;
  /** What is taken from elsewhere where the checkpoint has none, usually from the verifier. */
  readonly shared: Readonly<Record<string, () => Promise<HostTensor>>>;
}

/**
 * What drafts take from the verifier, by the names that it has in a draft.
 *
 * @param head the output projection, where it is not the verifier's whole one
 */
export function fromVerifier(
  verifier: VerifierWeights,
  head: () => Promise<HostTensor> = () => verifier.lmHead(),
): FirstSources["shared"] {
  return {
    "embed_tokens.weight": () => verifier.embedTokens(),
    "lm_head.weight": head,
    "verifier_lm_head.weight": head,
    "verifier_norm.weight": () => verifier.norm(),
  };
}

/**
 * First values by name. What neither the checkpoint has nor anybody shares is ones for norms, and drawn from
 * U(−1/√in, 1/√in) for linear layers, as torch draws them.
 *
 * source: `torch.nn.Linear`
 *
 * @throws {ConfigError} when a tensor has another shape than it should, or a checkpoint lacks one that it must have
 */
export async function firstValues(
  tensors: readonly DraftTensorInfo[],
  { seed, checkpoint, fixed = {}, shared }: FirstSources,
): Promise<Map<string, HostTensor>> {
  const found = new Map<string, HostTensor>();
  for (const info of tensors) {
    const { name } = info;
    const tensor = fixed[name] ??
      (checkpoint?.has(name) && mayHold(info) ? await checkpoint.read(name) : null) ??
      (checkpoint && info.saved && info.required !== false ? lacking(info) : null) ??
      await shared[name]?.() ??
      drawn(info, { seed, inputs: inputsOf(info, tensors) });
    found.set(name, checkedShape(tensor, info.shape, name));
  }
  return found;
}

/** What is not saved a checkpoint may still have, where another program wrote it; but not what is required of others. */
function mayHold({ saved, required }: DraftTensorInfo): boolean {
  return saved || required === false;
}

/** A bias is drawn like its weight, by the number of the layer's inputs. */
function inputsOf({ name, shape }: TensorInfo, tensors: readonly TensorInfo[]): number {
  return shape[1] ?? tensors.find((other) => other.name === name.replace(/bias$/, "weight"))?.shape[1] ?? 1;
}

function drawn(
  { name, shape }: TensorInfo,
  { seed, inputs }: { readonly seed: number; readonly inputs: number },
): HostTensor {
  if (/norm(\.\d+)?\.weight$/.test(name)) return hostTensor(new Float32Array(elements(shape)).fill(1), shape);
  return hostTensor(uniform(elements(shape), 1 / Math.sqrt(inputs), { seed, name }), shape);
}

function lacking({ name, shape }: TensorInfo): never {
  throw new ConfigError(
    name,
    `expected a tensor of shape [${shape.join(", ")}] in the checkpoint, received none`,
    { hint: "Check that the weights belong to the config beside them" },
  );
}

/**
 * A tensor that has the shape it should have.
 *
 * @throws {ConfigError} when it has not
 */
export function checkedShape(tensor: HostTensor, shape: Shape, name: string): HostTensor {
  const same = tensor.shape.length === shape.length && shape.every((axis, i) => axis === tensor.shape[i]);
  if (!same || tensor.bytes.length !== byteLength(tensor)) {
    throw new ConfigError(
      name,
      `expected shape [${shape.join(", ")}], received [${tensor.shape.join(", ")}]`,
      { hint: "Check that config, weights and verifier belong together" },
    );
  }
  return tensor;
}
