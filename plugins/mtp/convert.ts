/**
 * The next-token layer that a verifier brings along (`mtp.*`, as Qwen3-Next and Qwen3.5 do) to the speculators format.
 *
 * source: speculators v0.7.0.1, `convert/mtp/converter.py`
 *
 * @module
 */
import type {
  ConvertInputs,
  ConvertPlan,
  ConvertRequest,
  DraftConverter,
  PlannedTensor,
  WeightDType,
} from "../../core/conversion.ts";
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { FormatError } from "../../core/errors.ts";
import { convert } from "../../core/formats/dtype.ts";
import { BYTES, elements, type HostTensor, type Shape } from "../../core/tensor.ts";
import { requireFit, textConfig, verifierOf } from "../_shared/convert_config.ts";
import { chooseDType, dtypeName } from "../_shared/convert_tensors.ts";
import { ConfigFields } from "../_shared/verifier_config.ts";
import { MTP_KINDS } from "./config.ts";

/** What the names of the layer's tensors begin with in a verifier's checkpoint, each with its new beginning. */
export const NAMES: readonly (readonly [theirs: string, ours: string])[] = [
  ["mtp.fc.", "mtp_layers.0.input_proj."],
  ["mtp.norm.", "mtp_layers.0.final_layernorm."],
  ["mtp.pre_fc_norm_hidden.", "mtp_layers.0.hidden_layernorm."],
  ["mtp.pre_fc_norm_embedding.", "mtp_layers.0.token_layernorm."],
  ["mtp.layers.0.", "mtp_layers.0."],
];

/** Tensors without which it is no such layer. */
const NEEDED: readonly string[] = [
  "input_proj.weight",
  "final_layernorm.weight",
  "hidden_layernorm.weight",
  "token_layernorm.weight",
  "input_layernorm.weight",
  "post_attention_layernorm.weight",
  ...["q", "k", "v", "o"].map((part) => `self_attn.${part}_proj.weight`),
];

/** From a verifier's own checkpoint. Embedding and head stay there. */
export const fromVerifier: DraftConverter = {
  name: "mtp",
  direction: "in",
  summary: "the next-token layer within a verifier's checkpoint (mtp.*)",
  options: {},
  matches: (names) => names.includes("mtp.fc.weight"),
  plan,
};

function plan(request: ConvertRequest): ConvertPlan {
  const { source } = request, { where } = source, config = textConfig(source.config);
  const verifier = verifierOf(request), fields = new ConfigFields(config, where);
  const kind = MTP_KINDS.find((known) => known === config["model_type"]);
  if (!kind) throw fields.refuse("model_type", `one of ${MTP_KINDS.join(", ")}`);
  const own = [...source.tensors.keys()].filter((name) => name.startsWith("mtp."));
  const found = new Map<string, string>(), unexpected: string[] = [];
  for (const name of own) {
    const [theirs, ours] = NAMES.find(([begin]) => name.startsWith(begin)) ?? [];
    if (theirs === undefined) unexpected.push(name);
    else found.set(ours + name.slice(theirs.length), name);
  }
  const missing = NEEDED.map((name) => `mtp_layers.0.${name}`).filter((name) => !found.has(name));
  if (missing.length > 0) {
    throw new FormatError(where, `expected a next-token layer, received it without ${missing.join(", ")}`, {
      hint: "Is this the checkpoint of a verifier that brings one along, and is the download complete?",
    });
  }
  if (unexpected.length > 0) {
    throw new FormatError(where, `expected one next-token layer, received ${unexpected.join(", ")} too`, {
      hint: "Drafts of several such layers are not known",
    });
  }
  requireFit(request, { hidden: fields.count("hidden_size"), vocab: fields.count("vocab_size") });
  const dtype = chooseDType(request, found.values());
  const { architectures: _, torch_dtype: __, dtype: ___, ...layer } = config;
  return {
    config: newSpeculatorsConfig({
      algorithm: "mtp",
      architectures: ["MTPDraftModel"],
      verifier,
      dtype: dtypeName(dtype),
    }, { norm_hidden_states: true, num_nextn_predict_layers: 1, transformer_layer_config: layer }),
    tensors: plannedTensors(request, found, dtype),
    unexpected: [],
    notes: kind === "qwen3" ? [] : [{
      level: "info",
      text:
        `Layers of the kind ${kind} are not computed here: train and serve the draft with the Python system`,
    }],
  };
}

/** Matrices of one expert; several stand in one tensor, as transformers keeps them. */
const EXPERT = /^(.+\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight$/;

/** Most experts that are believed. */
const MAX_EXPERTS = 4096;

function plannedTensors(
  request: ConvertRequest,
  found: ReadonlyMap<string, string>,
  dtype: WeightDType,
): PlannedTensor[] {
  const tensors: PlannedTensor[] = [], experts = new Map<string, Map<number, Map<string, string>>>();
  for (const [name, theirs] of found) {
    const match = EXPERT.exec(name);
    if (!match) {
      const { shape } = request.source.tensors.get(theirs)!;
      tensors.push({ name, shape, dtype, content: { kind: "copy", tensor: theirs } });
      continue;
    }
    const [, prefix, index, part] = match as unknown as [string, string, string, string];
    const group = experts.get(prefix) ?? new Map<number, Map<string, string>>();
    experts.set(prefix, group.set(Number(index), (group.get(Number(index)) ?? new Map()).set(part, theirs)));
  }
  for (const [prefix, group] of experts) tensors.push(...joined(request, { prefix, group, dtype }));
  return tensors;
}

/** `gate_up_proj` `[experts, 2·I, H]` and `down_proj` `[experts, H, I]` of the experts one by one. */
function joined(
  request: ConvertRequest,
  { prefix, group, dtype }: {
    readonly prefix: string;
    readonly group: ReadonlyMap<number, ReadonlyMap<string, string>>;
    readonly dtype: WeightDType;
  },
): PlannedTensor[] {
  const { source } = request, count = group.size;
  const parts = (part: string) =>
    Array.from({ length: Math.min(count, MAX_EXPERTS) }, (_, i) => {
      const name = group.get(i)?.get(part), shape = source.tensors.get(name ?? "")?.shape;
      if (name && shape?.length === 2) return { name, shape };
      throw new FormatError(
        source.where,
        `expected "${part}" of the experts 0 to ${count - 1} of ${prefix}, received ${
          name ? "another shape" : "none"
        } for ${i}`,
      );
    });
  const gates = parts("gate_proj"), ups = parts("up_proj"), downs = parts("down_proj");
  const rows = [...gates, ...ups],
    odd = rows.find(({ shape }) => shape.join() !== gates[0]!.shape.join()) ??
      downs.find(({ shape }) => shape.join() !== downs[0]!.shape.join());
  if (odd) {
    throw new FormatError(
      source.where,
      `expected experts of one shape, received "${odd.name}" of another`,
    );
  }
  const [inner, hidden] = gates[0]!.shape as [number, number], down = downs[0]!.shape;
  const both = gates.flatMap(({ name }, i) => [name, ups[i]!.name]);
  const made = (name: string, shape: Shape, names: readonly string[]): PlannedTensor => ({
    name: `${prefix}.${name}`,
    shape,
    dtype,
    content: { kind: "made", make: (inputs) => stacked(inputs, names, { shape, dtype }) },
  });
  return [
    made("gate_up_proj", [count, 2 * inner, hidden], both),
    made("down_proj", [count, ...down], downs.map(({ name }) => name)),
  ];
}

/** Tensors one after the other. */
async function stacked(
  { source }: ConvertInputs,
  names: readonly string[],
  { shape, dtype }: { readonly shape: Shape; readonly dtype: WeightDType },
): Promise<HostTensor> {
  const bytes = new Uint8Array(elements(shape) * BYTES[dtype]);
  let at = 0;
  for (const name of names) {
    const part = convert(await source.read(name), dtype).bytes;
    bytes.set(part, at);
    at += part.length;
  }
  return { shape, dtype, bytes };
}
