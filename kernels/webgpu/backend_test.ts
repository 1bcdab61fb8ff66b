import assert from "node:assert/strict";
import { DeviceError } from "../../core/errors.ts";
import type { Op, WgslPass } from "../../core/tensor.ts";
import { onGpu } from "./_testing.ts";
import { openWebgpu } from "./mod.ts";

const DOUBLE = `struct Params {
  count: u32,
  factor: f32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.count) {
    y[id.x] = x[id.x] * p.factor;
  }
}`;

/** `2 · x`, with parts of its pass replaced. */
function double(change: Partial<WgslPass> = {}): Op {
  return {
    name: "double",
    infer: ([x]) => [x!],
    wgsl: ([x]) => [{
      code: DOUBLE,
      bind: [{ input: 0 }, { output: 0 }],
      params: [{ u32: x!.shape[0]! }, { f32: 2 }],
      grid: [Math.ceil(x!.shape[0]! / 64), 1, 1],
      ...change,
    }],
  };
}

const X = Float32Array.of(1, -2, 3);

onGpu("A third party's op runs, its parameters with it", async () => {
  using backend = await openWebgpu();
  const [y] = backend.run(double(), [backend.from(X, [3])], {});
  assert.deepEqual(await backend.read(y!), Float32Array.of(2, -4, 6));
});

onGpu("A kernel that does not compile is told by op, place and text", async () => {
  using backend = await openWebgpu();
  const broken = double({ code: DOUBLE.replace("p.factor", "p.factors") });
  const [y] = backend.run(broken, [backend.from(X, [3])], {});
  await assert.rejects(backend.read(y!), (error: unknown) => {
    assert.ok(error instanceof DeviceError);
    assert.match(error.message, /^Cannot compile the kernel of "double": line 11:\d+: /);
    assert.match(error.message, /11 \| {5}y\[id\.x\] = x\[id\.x\] \* p\.factors;/);
    return true;
  });
  assert.throws(() => backend.zeros([1]), /double/);
});

onGpu("A binding that begins between two places, or reaches past the end, is refused", async () => {
  using backend = await openWebgpu();
  const x = backend.from(X, [3]), { live } = backend.memory();
  for (const part of [{ offset: 4, size: 8 }, { offset: 256, size: 4 }, { offset: 0, size: 16 }]) {
    const op = double({ bind: [{ input: 0, ...part }, { output: 0 }] });
    assert.throws(() => backend.run(op, [x], {}), /Cannot run "double": expected a binding inside f32\[3\]/);
  }
  assert.throws(() => backend.run(double({ grid: [65536, 1, 1] }), [x], {}), /65535 workgroups/);
  assert.equal(backend.memory().live, live);
});

onGpu("A binding larger than the limit is refused with what to do", async () => {
  using backend = await openWebgpu({ maxBinding: 1024 });
  assert.throws(() => backend.run(double(), [backend.zeros([257])], {}), (error: unknown) => {
    assert.ok(error instanceof DeviceError);
    assert.match(error.message, /expected at most 1024 bytes in one binding, received 1028/);
    assert.match(error.hint!, /wasm/);
    return true;
  });
});

onGpu("More memory than a buffer may have is refused", async () => {
  using backend = await openWebgpu();
  assert.throws(() => backend.zeros([2 ** 40]), /Cannot make a buffer: expected at most \d+ bytes/);
});

onGpu("A read under way when the backend is disposed of is rejected, as later calls are", async () => {
  const backend = await openWebgpu();
  const [y] = backend.run(double(), [backend.from(X, [3])], {});
  const read = backend.read(y!);
  backend[Symbol.dispose]();
  await assert.rejects(read, /Cannot use the backend: it was disposed of/);
  await assert.rejects(backend.read(y!), DeviceError);
  assert.throws(() => backend.zeros([1]), DeviceError);
  backend[Symbol.dispose]();
});

onGpu("Thousands of ops between reads are handed over in parts and reuse their memory", async () => {
  using backend = await openWebgpu();
  const op = double();
  let x = backend.from(X, [3]);
  for (let i = 0; i < 2000; i++) {
    const grown = backend.run(op, [x], {})[0]!;
    x[Symbol.dispose]();
    const [shrunk] = backend.run(double({ params: [{ u32: 3 }, { f32: 0.5 }] }), [grown], {});
    grown[Symbol.dispose]();
    x = shrunk!;
  }
  assert.deepEqual(await backend.read(x), X);
  assert.equal(backend.memory().live, 12);
  assert.equal(backend.memory().peak, 24);
});
