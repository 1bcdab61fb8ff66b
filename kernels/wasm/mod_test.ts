import assert from "node:assert/strict";
import { ConfigError, DeviceError } from "../../core/errors.ts";
import type { Op } from "../../core/tensor.ts";
import { attention, linear, matmul, sum } from "../ops/mod.ts";
import { WasmBackend } from "./backend.ts";
import { canShare } from "./features.ts";
import { openWasm } from "./mod.ts";
import { Pool } from "./pool.ts";
import { loadRuntime } from "./runtime.ts";

/** Numbers that look random and are the same each time. */
function wave(count: number, step: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * step + 1));
}

/** Largest difference of two arrays. */
function apart(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

/** An op that launches a kernel over items; as a plugin would bring it. */
function launching(kernel: string, items: number): Op<Record<never, never>> {
  return {
    name: "test_launch",
    infer: (inputs) => [inputs[0]!],
    wasm(call, inputs, outputs) {
      call.launch(kernel, [call.address(inputs[0]!), 0, call.address(outputs[0]!), 0, 4], items);
    },
  };
}

Deno.test("any number of threads gives the same product, bit for bit", async () => {
  const found = [];
  for (const threads of [1, 2, 3, 5]) {
    using backend = await openWasm({ threads });
    const a = backend.from(wave(130 * 200, 0.37), [130, 200]),
      b = backend.from(wave(200 * 300, 0.73), [200, 300]);
    found.push(await backend.read(matmul(backend.run, a, b)));
  }
  for (const other of found.slice(1)) assert.deepEqual(other, found[0]);
});

Deno.test("the build for one thread computes what the build for several does", async () => {
  using single = new WasmBackend(await loadRuntime("single"), new Pool(await loadRuntime("single"), 4));
  using several = await openWasm();
  assert.match(single.description, /SIMD, 1 thread$/);
  const results = [];
  for (const backend of [single, several]) {
    const x = backend.from(wave(40 * 64, 0.31), [40, 64]), w = backend.from(wave(50 * 64, 0.17), [50, 64]);
    const ranges = backend.from(Int32Array.from({ length: 80 }, (_, i) => i % 2 ? (i + 1) / 2 : 0), [40, 2]);
    const seen = attention(backend.run, { q: x, k: x, v: x, ranges }, {
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      scale: 0.25,
    });
    results.push(await backend.readAll([linear(backend.run, x, w), seen, sum(backend.run, x)]));
  }
  for (const [i, found] of results[0]!.entries()) {
    assert.ok(found.some((entry) => entry !== 0));
    assert.ok(apart(found, results[1]![i]!) < 1e-4); // fused and separate rounding differ
  }
});

Deno.test("memory that grows while a tensor is filled does not lose its data", async () => {
  using single = new WasmBackend(await loadRuntime("single"), new Pool(await loadRuntime("single"), 1));
  const first = single.from(wave(1000, 0.1), [1000]);
  for (let i = 0; i < 4; i++) single.from(new Float32Array(4 << 20), [4 << 20]);
  assert.deepEqual(await single.read(first), wave(1000, 0.1));
  assert.ok(
    Math.abs((await single.read(sum(single.run, first)))[0]! - wave(1000, 0.1).reduce((a, b) => a + b)) <
      1e-3,
  );
});

Deno.test("data lies on whole cache lines", async () => {
  using backend = await openWasm({ threads: 1 });
  const addresses: number[] = [];
  const look: Op<Record<never, never>> = {
    name: "test_look",
    infer: (inputs) => [inputs[0]!],
    wasm: (call, inputs, outputs) => {
      for (const tensor of [...inputs, ...outputs]) addresses.push(call.address(tensor));
      addresses.push(call.scratch(5), call.scratch(5));
    },
  };
  for (const count of [1, 3, 17]) backend.run(look, [backend.from(wave(count, 1), [count])], {});
  assert.equal(addresses.length, 12);
  for (const address of addresses) assert.equal(address % 64, 0);
});

Deno.test("a tensor that does not fit into the memory is refused in words", async () => {
  using backend = await openWasm({ threads: 1 });
  const before = backend.memory();
  assert.throws(() => backend.zeros([2 ** 30]), (error) => {
    assert.ok(error instanceof DeviceError);
    assert.match(error.message, /expected room for 4294967296 bytes/);
    assert.match(error.hint ?? "", /bf16/);
    return true;
  });
  assert.deepEqual(backend.memory(), before);
});

Deno.test("helpers that left for want of work are replaced", { ignore: !canShare() }, async () => {
  const runtime = await loadRuntime("shared");
  using pool = new Pool(runtime, 2);
  await pool.start();
  assert.equal(pool.present, 2);
  await new Promise((resolve) => setTimeout(resolve, 2600));
  assert.equal(pool.present, 1);
  const address = runtime.take(4096, false);
  pool.launch(runtime.kernels.get("clear")!, [address], 4096, 64); // alone, while the helper starts
  await pool.start();
  assert.equal(pool.present, 2);
  runtime.give(address, 4096);
});

Deno.test("many small jobs one after another are all done", async () => {
  using backend = await openWasm();
  using x = backend.zeros([64, 64]);
  const one = backend.from(Float32Array.of(1), [1]);
  const add: Op<Record<never, never>> = {
    name: "test_add",
    infer: (inputs) => [inputs[0]!],
    alias: { 0: 0 },
    wasm: (call, inputs) => {
      const address = call.address(inputs[0]!);
      for (let i = 0; i < 2000; i++) {
        call.launch("add", [address, call.address(inputs[1]!), address, 2, 1, 1], 4096, 256);
      }
    },
  };
  backend.run(add, [x, one], {});
  assert.ok((await backend.read(x)).every((entry) => entry === 2000));
});

Deno.test("a kernel that is not there is named with those that are", async () => {
  using backend = await openWasm({ threads: 1 });
  const x = backend.zeros([4]);
  assert.throws(() => backend.run(launching("nothing", 1), [x], {}), /Cannot launch "nothing".*matmul_tiles/);
});

Deno.test("a disposed backend and a wrong number of threads are refused", async () => {
  const backend = await openWasm({ threads: 2 });
  backend[Symbol.dispose]();
  backend[Symbol.dispose]();
  assert.throws(() => backend.zeros([1]), DeviceError);
  for (const threads of [0, 1.5, NaN, -1]) await assert.rejects(openWasm({ threads }), ConfigError);
});

Deno.test("a program that forgets to dispose ends by itself", async () => {
  const module = new URL("./mod.ts", import.meta.url).href;
  const script = `import { openWasm } from ${
    JSON.stringify(module)
  }; console.log((await openWasm({ threads: 3 })).name);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", script],
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(30_000),
  });
  const { code, stdout } = await child.output();
  assert.equal(new TextDecoder().decode(stdout).trim(), "wasm");
  assert.equal(code, 0);
});
