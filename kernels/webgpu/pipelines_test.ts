import assert from "node:assert/strict";
import { writable } from "./pipelines.ts";

Deno.test("The writable bindings of a kernel are found in its text, comments left out", () => {
  const code = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage,read_write> b: array<f32>;
// @group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding( 12 )
var <storage, read_write> d: array<atomic<u32>>;
@group(0) @binding(13) var<uniform> p: Params;`;
  assert.deepEqual([...writable(code)], [1, 12]);
});
