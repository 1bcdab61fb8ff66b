/** What the ways back to research layouts share: the config flattened, tensors under their older names. */
import type { ConvertPlan, ConvertRequest, FillName } from "../../core/conversion.ts";
import { ConfigError } from "../../core/errors.ts";
import { BYTES, type FileDType } from "../../core/tensor.ts";
import { chooseDType, dtypeName } from "./convert_tensors.ts";

/** How a layout is written. */
export interface BackOptions {
  /** A tensor's older name. */
  readonly rename: (name: string) => string;
  /** Fields of the config besides those of the layers. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const MAPPING: readonly FileDType[] = ["i64", "i32", "bool", "u8"];

/**
 * Plans the way back: every tensor as it is, under its older name; the layers' config as the model's.
 *
 * @throws {ConfigError} when the config has no layers, or two tensors would get one name
 */
export function planBack(request: ConvertRequest, options: BackOptions): ConvertPlan {
  const { source, fill } = request, { config, tensors } = source;
  const layer = config["transformer_layer_config"];
  if (typeof layer !== "object" || layer === null || Array.isArray(layer)) {
    throw new ConfigError(
      `${source.where}/config.json: transformer_layer_config`,
      "expected the config of the draft's layers, received none",
      { hint: "Give a speculator that convert or train has written" },
    );
  }
  const dtype = chooseDType(request, tensors.keys()), seen = new Set<string>();
  const planned = [...tensors].map(([name, spec]) => {
    const renamed = options.rename(name);
    if (seen.has(renamed)) {
      throw new ConfigError(source.where, `expected one tensor for "${renamed}", received two`, {
        hint: "Take one of them out of the checkpoint",
      });
    }
    seen.add(renamed);
    // Without a type asked for, nothing is rounded.
    const kept = request.dtype === null || MAPPING.includes(spec.dtype) || BYTES[spec.dtype] === 1;
    return {
      name: renamed,
      shape: spec.shape,
      dtype: kept ? spec.dtype : dtype,
      content: { kind: "copy", tensor: name } as const,
    };
  });
  const { hidden_size: hidden, vocab_size: vocab } = layer as { hidden_size: number; vocab_size: number };
  const filled = fill.filter((name) => !seen.has(`${name}.weight`)).map((name: FillName) => ({
    name: `${name}.weight`,
    shape: [vocab, hidden],
    dtype,
    content: { kind: "verifier", role: name === "lm_head" ? "head" : "embed" } as const,
  }));
  const { dtype: _, ...flat } = layer as Record<string, unknown>;
  return {
    config: {
      architectures: ["LlamaForCausalLM"],
      bos_token_id: 1,
      eos_token_id: 2,
      tie_word_embeddings: false,
      ...flat,
      ...options.fields,
      torch_dtype: dtypeName(dtype),
    },
    tensors: [...planned, ...filled],
    unexpected: [],
    notes: [],
  };
}
