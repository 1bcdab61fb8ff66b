/** WGSL that reads weights in blocks: ggml's Q8_0, Q4_0 and Q4_1. */
import { BLOCK, type BlockDType, BYTES } from "../../core/tensor.ts";

function integers(name: string, dtype: BlockDType): string {
  if (dtype === "q8_0") {
    return `let bits = ${name}_word(block + 2u + (at & 28u));
  let q = vec4<i32>(vec4<u32>(bits << 24u, bits << 16u, bits << 8u, bits)) >> vec4<u32>(24u);
  return scale * vec4<f32>(q);`;
  }
  // The second half of a block's entries is in the upper four bits of its bytes.
  const head = dtype === "q4_0" ? 2 : 4;
  const value = dtype === "q4_0"
    ? "scale * (vec4<f32>(q) - 8.0)"
    : `scale * vec4<f32>(q) + ${name}_half(block + 2u)`;
  return `let bits = ${name}_word(block + ${head}u + (at & 12u)) >> ((at & 16u) >> 2u);
  let q = vec4<u32>(bits, bits >> 8u, bits >> 16u, bits >> 24u) & vec4<u32>(15u);
  return ${value};`;
}

/** A function `name(at: u32) -> vec4<f32>` of four entries from a multiple of four on, of an `array<u32>`. */
export function blockQuads(name: string, from: string, dtype: BlockDType): string {
  return `fn ${name}_half(byte: u32) -> f32 { return unpack2x16float(${from}[byte >> 2u])[(byte >> 1u) & 1u]; }
fn ${name}_word(byte: u32) -> u32 { // four bytes from an even place on
  let at = byte >> 2u;
  if ((byte & 2u) == 0u) {
    return ${from}[at];
  }
  return (${from}[at] >> 16u) | (${from}[at + 1u] << 16u);
}
fn ${name}(at: u32) -> vec4<f32> {
  let block = (at >> 5u) * ${BYTES[dtype] * BLOCK}u;
  let scale = ${name}_half(block);
  ${integers(name, dtype)}
}`;
}

/** A function `name(i: u32) -> f32` of one entry, of an `array<u32>`. */
export function blockSingles(name: string, from: string, dtype: BlockDType): string {
  return `${blockQuads(`${name}_four`, from, dtype)}
fn ${name}(i: u32) -> f32 { return ${name}_four(i & 0xfffffffcu)[i & 3u]; }`;
}
