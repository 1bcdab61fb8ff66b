/** From the draft's vocabulary to the verifier's, on the device. */
import { ShapeError } from "../../core/errors.ts";
import { describe, elements, type Op, type Run, type Tensor } from "../../core/tensor.ts";

const WGSL = `
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;
struct Sizes { rows: u32, vocabulary: u32 }
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= sizes.rows) { return; }
  let id = ids[at.x];
  let known = id >= 0 && u32(id) < sizes.vocabulary;
  out[at.x] = select(id, id + offsets[select(0, id, known)], known);
}
`;

/** ids i32 of any shape of the draft, offsets `d2t` i32 `[V]` → i32 of that shape: `id + d2t[id]`, the verifier's ids. */
export const verifierIdsOp: Op<Record<never, never>> = {
  name: "draft_verifier_ids",
  infer([ids, offsets]) {
    for (const [name, spec] of [["ids", ids], ["offsets", offsets]] as const) {
      if (spec?.dtype === "i32" && (spec.shape.length === 1 || name === "ids")) continue;
      throw new ShapeError(
        "draft_verifier_ids",
        `expected "${name}" as i32[?], received ${spec ? describe(spec) : "none"}`,
      );
    }
    return [ids!];
  },
  wgsl([ids, offsets]) {
    const rows = elements(ids!.shape);
    return [{
      code: WGSL,
      bind: [{ input: 0 }, { input: 1 }, { output: 0 }],
      params: [{ u32: rows }, { u32: offsets!.shape[0]! }],
      grid: [Math.ceil(rows / 64), 1, 1],
    }];
  },
  wasm(call, inputs, outputs) {
    const [ids, offsets] = inputs.map((tensor) => call.view(tensor));
    const out = call.view(outputs[0]!);
    for (let i = 0; i < out.length; i++) out[i] = ids![i]! + (offsets![ids![i]!] ?? 0);
  },
};

/** The verifier's ids of a draft's; without a map they are the same. */
export function verifierIds(run: Run, ids: Tensor, d2t: Tensor | null): Tensor {
  return d2t ? run(verifierIdsOp, [ids, d2t], {})[0]! : ids;
}
