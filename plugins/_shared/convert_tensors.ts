/** What converters share about tensors: which are wanted, which are there, what is made of the difference. */
import type { ConvertNote, ConvertRequest, PlannedTensor, WeightDType } from "../../core/conversion.ts";
import { FormatError } from "../../core/errors.ts";
import type { FileDType, Shape } from "../../core/tensor.ts";

/** A tensor that the new layout has. */
export interface WantedTensor {
  /** Its new name. */
  readonly name: string;
  /** Its shape. */
  readonly shape: Shape;
  /** What to do where it is missing: refuse, fill with a value that changes nothing, or do without. */
  readonly absent: "refuse" | "ones" | "zeros" | "leave";
}

/** How tensors are picked. */
export interface PickOptions {
  /** What the checkpoint is, for messages: `an Eagle-3 draft`. */
  readonly what: string;
  /** Source name by new name. */
  readonly found: ReadonlyMap<string, string>;
  /** Type that floats are written in. */
  readonly dtype: WeightDType;
}

/** What was picked. */
export interface PickedTensors {
  /** Those to be written. */
  readonly tensors: PlannedTensor[];
  /** What was made up. */
  readonly notes: ConvertNote[];
}

const FLOATS: readonly FileDType[] = ["f64", "f32", "bf16", "f16"];

/**
 * Finds every wanted tensor in the checkpoint.
 *
 * @throws {FormatError} naming every weight that is missing, has another shape, or holds no floats
 */
export function pickTensors(
  request: ConvertRequest,
  wanted: readonly WantedTensor[],
  options: PickOptions,
): PickedTensors {
  const { source, strictUpstream } = request, { found, dtype } = options;
  const tensors: PlannedTensor[] = [], notes: ConvertNote[] = [];
  const missing: string[] = [],
    wrong: string[] = [],
    made: Record<"ones" | "zeros", string[]> = {
      ones: [],
      zeros: [],
    };
  for (const { name, shape, absent } of wanted) {
    const origin = found.get(name), spec = origin === undefined ? undefined : source.tensors.get(origin);
    if (origin === undefined || spec === undefined) {
      if (absent === "refuse") missing.push(`"${name}"`);
      else if (absent !== "leave") {
        made[absent].push(name);
        tensors.push({
          name,
          shape,
          dtype,
          content: { kind: "constant", value: absent === "ones" ? 1 : 0 },
        });
      }
    } else if (spec.shape.join() !== shape.join()) {
      wrong.push(`"${origin}" as [${spec.shape.join(", ")}] for [${shape.join(", ")}]`);
    } else if (!FLOATS.includes(spec.dtype)) {
      wrong.push(`"${origin}" as ${spec.dtype} for floats`);
    } else {
      const through = strictUpstream && spec.dtype === "f64" ? { through: "f32" as const } : {};
      tensors.push({ name, shape, dtype, content: { kind: "copy", tensor: origin, ...through } });
    }
  }
  if (missing.length + wrong.length > 0) {
    const parts = [
      ...(missing.length > 0 ? [`without ${missing.join(", ")}`] : []),
      ...(wrong.length > 0 ? [`with ${wrong.join("; ")}`] : []),
    ];
    throw new FormatError(
      source.where,
      `expected the weights of ${options.what} as its config.json says, received them ${parts.join("; ")}`,
      { hint: hintFor(missing) },
    );
  }
  for (const [value, names] of Object.entries(made)) {
    if (names.length === 0) continue;
    notes.push({
      level: "warning",
      text: `Not in the checkpoint, so written as ${value}: ${names.join(", ")}`,
    });
  }
  return { tensors, notes };
}

function hintFor(missing: readonly string[]): string {
  if (missing.length > 0 && missing.every((name) => /"(embed_tokens|lm_head)\.weight"/.test(name))) {
    return "Take the embedding or the head from the verifier with --fill-from-verifier, if they are the same";
  }
  return missing.length > 0
    ? "Is the download complete, and is this the algorithm of the checkpoint?"
    : "Is this the algorithm of the checkpoint, and do config.json and weights belong together?";
}

/** Source names by new name; where two have one new name, the later stays. */
export function renameAll(
  names: Iterable<string>,
  rename: (name: string) => string | null,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of names) {
    const renamed = rename(name);
    if (renamed !== null) found.set(renamed, name);
  }
  return found;
}

/** Tensors of the checkpoint that a plan does not use, and a note that lists them. */
export function leftOver(
  request: ConvertRequest,
  tensors: readonly PlannedTensor[],
  options: { readonly used?: readonly string[]; readonly expected?: readonly string[] } = {},
): { readonly unexpected: string[]; readonly notes: ConvertNote[] } {
  const used = new Set<string>(options.used ?? []);
  for (const { content } of tensors) if (content.kind === "copy") used.add(content.tensor);
  const all = [...request.source.tensors.keys()].filter((name) => !used.has(name));
  const unexpected = all.filter((name) => !options.expected?.includes(name));
  if (unexpected.length === 0) return { unexpected, notes: [] };
  return {
    unexpected,
    notes: [{
      level: "warning",
      text: `Left out, as the new layout has no place for them: ${unexpected.join(", ")}`,
    }],
  };
}

const DTYPE_OF: Readonly<Record<string, WeightDType>> = { float32: "f32", float16: "f16", bfloat16: "bf16" };

/** The name of a float type in a config. */
export function dtypeName(dtype: WeightDType): string {
  return Object.keys(DTYPE_OF).find((name) => DTYPE_OF[name] === dtype)!;
}

/** The float type that a config names, with or without `torch.` before it; `null` where it names none of the three. */
export function dtypeNamed(name: unknown): WeightDType | null {
  return typeof name === "string" ? DTYPE_OF[name.replace(/^torch\./, "")] ?? null : null;
}

/**
 * The type to write floats in: the one asked for, else the one they have. Where they have several, what the config
 * names, else the widest.
 *
 * @param names source names of the tensors that will be written
 */
export function chooseDType(request: ConvertRequest, names: Iterable<string>): WeightDType {
  if (request.dtype !== null) return request.dtype;
  const { config, tensors } = request.source, present = new Set<FileDType>();
  for (const name of names) {
    const dtype = tensors.get(name)?.dtype;
    if (dtype !== undefined && FLOATS.includes(dtype)) present.add(dtype === "f64" ? "f32" : dtype);
  }
  if (present.size === 1) return [...present][0] as WeightDType;
  return dtypeNamed(config["torch_dtype"] ?? config["dtype"]) ?? "f32";
}
