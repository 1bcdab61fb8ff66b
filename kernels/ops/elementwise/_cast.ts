/** Text of the casts. Rounding is done on bits: WGSL leaves the rounding of its own packing functions open. */
import type { DType } from "../../../core/tensor.ts";
import { arrayOf, remember } from "../_wgsl.ts";

const WIDEN = {
  f32: "fn widen(bits: u32) -> u32 { return bits; }",
  bf16: "fn widen(bits: u32) -> u32 { return bits << 16u; }",
  f16: `fn widen(bits: u32) -> u32 {
  let sign = (bits & 0x8000u) << 16u;
  let rest = bits & 0x7fffu;
  if (rest >= 0x7c00u) { // infinity, not a number
    return sign | 0x7f800000u | ((rest & 0x3ffu) << 13u);
  }
  if (rest >= 0x400u) {
    return sign | ((rest << 13u) + (112u << 23u));
  }
  if (rest == 0u) {
    return sign;
  }
  let lead = firstLeadingBit(rest); // a subnormal becomes a normal number
  return sign | ((103u + lead) << 23u) | ((rest << (23u - lead)) & 0x7fffffu);
}`,
};

const NARROW = {
  f32: "fn narrow(bits: u32) -> u32 { return bits; }",
  bf16: `fn narrow(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { // not a number stays one
    return (bits >> 16u) | 0x40u;
  }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}`,
  f16: `fn narrow(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) {
    return sign | 0x7e00u;
  }
  if (rest >= 0x477ff000u) { // 65520 and more round to infinity
    return sign | 0x7c00u;
  }
  if (rest >= 0x38800000u) {
    let moved = rest - (112u << 23u);
    return sign | ((moved + 0xfffu + ((moved >> 13u) & 1u)) >> 13u);
  }
  if (rest < 0x33000000u) { // less than half of the smallest subnormal
    return sign;
  }
  let drop = 126u - (rest >> 23u); // 14 to 24 bits fall away
  let mantissa = (rest & 0x7fffffu) | 0x800000u;
  let kept = mantissa >> drop;
  let lost = mantissa & ((1u << drop) - 1u);
  let half = 1u << (drop - 1u);
  return sign | (kept + select(0u, 1u, lost > half || (lost == half && (kept & 1u) == 1u)));
}`,
};

type Float = keyof typeof WIDEN;

/** Text of a cast between two floating dtypes; an invocation writes one word. */
export const castCode: (from: DType, to: DType) => string = remember(writeCastCode);

function writeCastCode(from: DType, to: DType): string {
  const read = from === "f32" ? "x[i]" : "(x[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu";
  const write = to === "f32"
    ? "y[i] = convert(i);"
    : "y[i] = convert(2u * i) | (select(0u, convert(min(2u * i + 1u, p.count - 1u)), 2u * i + 1u < p.count) << 16u);";
  return `struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: ${to === "f32" ? "array<u32>" : arrayOf(to)};
@group(0) @binding(2) var<uniform> p: Params;

${WIDEN[from as Float]}
${NARROW[to as Float]}

fn convert(i: u32) -> u32 {
  return narrow(widen(${read}));
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i < ${to === "f32" ? "p.count" : "(p.count + 1u) / 2u"}) {
    ${write}
  }
}
`;
}
