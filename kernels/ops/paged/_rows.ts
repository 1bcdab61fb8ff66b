/** Texts that move rows of pools. In bf16 two neighbouring entries make a word. */
import { arrayOf, remember } from "../_wgsl.ts";
import type { DType } from "../../../core/tensor.ts";

const ROUND = `fn half(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return (bits >> 16u) | 0x40u;
  }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
`;

/** New rows into both pools: an invocation writes a word of each. */
export const writeCode: (dtype: DType) => string = remember((dtype: DType) => {
  const value = (from: string) =>
    dtype === "f32" ? `${from}[i]` : `half(${from}[2u * i]) | (half(${from}[2u * i + 1u]) << 16u)`;
  return `struct Params {
  count: u32, // words written in each pool
  words: u32, // of a row
  limit: u32, // rows of the pools
}

@group(0) @binding(0) var<storage, read_write> pool_k: ${arrayOf(dtype)};
@group(0) @binding(1) var<storage, read_write> pool_v: ${arrayOf(dtype)};
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> places: array<i32>;
@group(0) @binding(5) var<uniform> p: Params;

${dtype === "f32" ? "" : ROUND}
@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.count) {
    return;
  }
  let row = bitcast<u32>(places[i / p.words]);
  if (row < p.limit) {
    pool_k[row * p.words + i % p.words] = ${value("k")};
    pool_v[row * p.words + i % p.words] = ${value("v")};
  }
}
`;
});

/** Rows moved one after the other: an invocation takes a word of the rows. */
export const KEEP_CODE = `struct Params {
  words: u32, // of a row
  moves: u32,
  limit: u32, // rows of the pools
}

@group(0) @binding(0) var<storage, read_write> k: array<u32>;
@group(0) @binding(1) var<storage, read_write> v: array<u32>;
@group(0) @binding(2) var<storage, read> places: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.words) {
    return;
  }
  for (var j = 0u; j < p.moves; j++) {
    let source = bitcast<u32>(places[j]);
    let to = bitcast<u32>(places[p.moves + j]);
    if (source < p.limit && to < p.limit) {
      k[to * p.words + i] = k[source * p.words + i];
      v[to * p.words + i] = v[source * p.words + i];
    }
  }
}
`;
