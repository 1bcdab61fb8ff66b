/** An optimiser's state as plain tensors, to stop and go on. */
import { FormatError } from "./errors.ts";
import { type Backend, byteLength, type HostTensor } from "./tensor.ts";
import { type Moments, type OptimizerState, optimizerState } from "./optim.ts";

/** The names torch gives to what AdamW remembers. */
const PARTS = ["exp_avg", "exp_avg_sq", "step"] as const;

/**
 * Copies a state out: `<parameter>.exp_avg` and `<parameter>.exp_avg_sq` f32, `<parameter>.step` i32 `[1]`; ready for
 * a safetensors file. One synchronisation.
 */
export async function exportState(state: OptimizerState): Promise<Map<string, HostTensor>> {
  const names = [...state.moments.keys()];
  const steps = names.map((name) => state.moments.get(name)!.step);
  const data = await state.backend.readAll(names.flatMap((name) => {
    const { m, v } = state.moments.get(name)!;
    return [m, v];
  }));
  const saved = new Map<string, HostTensor>();
  names.forEach((name, i) => {
    const { shape } = state.moments.get(name)!.m;
    for (const part of [0, 1] as const) {
      const { buffer, byteOffset, byteLength } = data[2 * i + part]!;
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      saved.set(`${name}.${PARTS[part]}`, { shape, dtype: "f32", bytes });
    }
    const bytes = new Uint8Array(Int32Array.of(steps[i]!).buffer);
    saved.set(`${name}.step`, { shape: [1], dtype: "i32", bytes });
  });
  return saved;
}

/**
 * Brings a state back. Shapes are checked against the parameters by the first update.
 *
 * @param backend where the moments go
 * @param saved what {@linkcode exportState} gave
 * @throws {FormatError} when a parameter's part is missing or of another kind
 */
export function importState(backend: Backend, saved: ReadonlyMap<string, HostTensor>): OptimizerState {
  const names = new Set<string>();
  for (const key of saved.keys()) {
    const dot = key.lastIndexOf("."), part = key.slice(dot + 1);
    if (dot < 0 || !(PARTS as readonly string[]).includes(part)) {
      throw new FormatError(
        "optimizer state",
        `expected keys that end in ${PARTS.join(", ")}, received "${key}"`,
      );
    }
    names.add(key.slice(0, dot));
  }
  const checked = [...names].map((name) => {
    const [m, v, step] = PARTS.map((part) => checkedPart(saved, `${name}.${part}`));
    if (m!.shape.join() !== v!.shape.join()) {
      throw new FormatError("optimizer state", `expected moments of "${name}" of one shape, received two`);
    }
    const count = new DataView(step!.bytes.buffer, step!.bytes.byteOffset).getInt32(0, true);
    return { name, m: m!, v: v!, count };
  });
  // Nothing goes to the backend before all of it is known to be right.
  const moments = checked.map(({ name, m, v, count }): [string, Moments] => [
    name,
    { m: backend.upload(m), v: backend.upload(v), step: count },
  ]);
  return optimizerState(backend, new Map(moments));
}

function checkedPart(saved: ReadonlyMap<string, HostTensor>, key: string): HostTensor {
  const tensor = saved.get(key), dtype = key.endsWith(".step") ? "i32" : "f32";
  const fits = tensor && tensor.dtype === dtype && tensor.bytes.byteLength === byteLength(tensor) &&
    (dtype === "f32" || tensor.bytes.byteLength === 4);
  if (fits) return tensor;
  const found = tensor
    ? `${tensor.dtype}[${tensor.shape.join(", ")}] in ${tensor.bytes.byteLength} bytes`
    : "nothing";
  throw new FormatError("optimizer state", `expected "${key}" as ${dtype}, received ${found}`);
}
