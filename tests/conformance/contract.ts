/** What a backend promises besides the ops: transfers, memory, order. One function a promise. */
import assert from "node:assert/strict";
import { ShapeError } from "../../core/errors.ts";
import type { Backend, FileDType, HostTensor, Shape, Tensor } from "../../core/tensor.ts";
import { add, addOp, linearLossOp, mulOp, sum, writeRows } from "../../kernels/ops/mod.ts";
import { trainsLikeReference } from "./train.ts";

/** Promises, by sentence; each gets a fresh backend. */
export const PROMISES: Readonly<Record<string, (backend: Backend) => Promise<void>>> = {
  "gives back what was uploaded, of every dtype and odd lengths": roundTrips,
  "converts on upload where asked": conversions,
  "refuses data that does not fill its shape": misfits,
  "keeps no hold of uploaded data, and gives away copies": copies,
  "makes zeros also in memory used before": zeros,
  "frees with a scope what was made in it": scopes,
  "lets kept tensors go to the enclosing scope, or to nobody": keeping,
  "counts living bytes and their peak": accounting,
  "takes a second disposal, and refuses a tensor after the first": disposal,
  "runs in the order of the calls, however many": order,
  "reads what was there when the read was asked for": readOrder,
  "reads several at once, in their order, also twice the same": readSeveral,
  "frees the insides of a composed op": composed,
  "refuses the tensors of another op's shape without leaving anything": refused,
  "takes the training steps of a small layer that the reference takes": trainsLikeReference,
};

function host(dtype: FileDType, shape: Shape, data: ArrayBufferView): HostTensor {
  return {
    dtype,
    shape,
    bytes: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  };
}

async function numbers(backend: Backend, tensor: Tensor): Promise<number[]> {
  return [...await backend.read(tensor)];
}

async function roundTrips(backend: Backend): Promise<void> {
  for (const n of [0, 1, 3, 17, 129]) {
    const floats = Float32Array.from({ length: n }, (_, i) => (i - 3) / 7);
    const ints = Int32Array.from({ length: n }, (_, i) => (i - 1) * 0x1234567);
    const bytes = Uint8Array.from({ length: n }, (_, i) => 255 - i),
      halves = Uint16Array.from(bytes, (x) => x * 113);
    const tensors = [
      backend.from(floats, [n]),
      backend.from(ints, [n, 1]),
      backend.from(bytes, [1, n]),
      backend.upload(host("bf16", [n], halves)),
      backend.upload(host("f16", [n], halves)),
      backend.upload(host("u8", [n], bytes)),
    ];
    assert.deepEqual(tensors.map(({ dtype }) => dtype), ["f32", "i32", "u8", "bf16", "f16", "u8"]);
    assert.deepEqual(tensors[1]!.shape, [n, 1]);
    assert.deepEqual(await backend.readAll(tensors), [floats, ints, bytes, halves, halves, bytes]);
  }
  const whole = Float32Array.of(1, 2, 3, 4, 5);
  assert.deepEqual(await numbers(backend, backend.from(whole.subarray(1, 4), [3])), [2, 3, 4]);
}

async function conversions(backend: Backend): Promise<void> {
  const cases = [
    [host("i64", [3], BigInt64Array.of(-5n, 0n, 2147483647n)), "i32", [-5, 0, 2147483647]],
    [host("u32", [2], Uint32Array.of(7, 2147483647)), "i32", [7, 2147483647]],
    [host("bool", [3], Uint8Array.of(1, 0, 1)), "u8", [1, 0, 1]],
    [host("bool", [3], Uint8Array.of(1, 0, 1)), "i32", [1, 0, 1]],
    [host("i64", [2], BigInt64Array.of(0n, 255n)), "u8", [0, 255]],
    [host("f64", [2], Float64Array.of(0.1, -1e300 * 0)), "f32", [Math.fround(0.1), -0]],
    [host("bf16", [2], Uint16Array.of(0x3f80, 0xc000)), "f32", [1, -2]],
    [host("f16", [2], Uint16Array.of(0x3c00, 0xc000)), "f32", [1, -2]],
    [host("f32", [2], Float32Array.of(1 + 2 ** -8, -2)), "bf16", [0x3f80, 0xc000]],
    [host("i64", [0], new BigInt64Array(0)), "i32", []],
  ] as const;
  for (const [data, dtype, expected] of cases) {
    const tensor = backend.upload(data, dtype);
    assert.equal(tensor.dtype, dtype);
    assert.deepEqual(await numbers(backend, tensor), [...expected], `${data.dtype} to ${dtype}`);
  }
}

function misfits(backend: Backend): Promise<void> {
  const { live } = backend.memory();
  assert.throws(() => backend.upload(host("f32", [3], new Float32Array(2))), ShapeError);
  assert.throws(() => backend.upload(host("i64", [2], new BigInt64Array(3)), "i32"), ShapeError);
  assert.throws(() => backend.from(new Float32Array(4), [3]), ShapeError);
  assert.throws(() => backend.from(new Int32Array(0), []), ShapeError);
  assert.equal(backend.memory().live, live);
  return Promise.resolve();
}

async function copies(backend: Backend): Promise<void> {
  const data = Float32Array.of(1, 2, 3), tensor = backend.from(data, [3]);
  data.fill(9);
  const first = await backend.read(tensor);
  assert.deepEqual([...first], [1, 2, 3]);
  first.fill(8);
  assert.deepEqual(await numbers(backend, tensor), [1, 2, 3]);
}

async function zeros(backend: Backend): Promise<void> {
  for (const n of [1, 3, 129, 5000]) {
    for (let i = 0; i < 3; i++) backend.from(new Float32Array(n).fill(NaN), [n])[Symbol.dispose]();
    assert.ok((await numbers(backend, backend.zeros([n]))).every((x) => Object.is(x, 0)), `${n}`);
    backend.from(new Float32Array(n).fill(NaN), [n])[Symbol.dispose]();
    const ints = backend.zeros([n, 2], "i32");
    assert.equal(ints.dtype, "i32");
    assert.ok((await numbers(backend, ints)).every((x) => x === 0), `${n} integers`);
  }
  assert.deepEqual((await backend.readAll([backend.zeros([]), backend.zeros([0])])).map((x) => x.length), [
    1,
    0,
  ]);
}

async function scopes(backend: Backend): Promise<void> {
  const { live } = backend.memory(),
    x = backend.from(Float32Array.of(1, 2), [2]),
    before = backend.memory().live;
  {
    using _outer = backend.scope();
    const y = add(backend.run, x, x);
    {
      using _inner = backend.scope();
      add(backend.run, y, y);
      backend.zeros([1000]);
    }
    assert.equal(backend.memory().live, before + 8);
    assert.deepEqual(await numbers(backend, y), [2, 4]);
  }
  assert.equal(backend.memory().live, before);
  assert.throws(() => {
    using _scope = backend.scope();
    add(backend.run, x, x);
    throw new TypeError("on purpose");
  }, TypeError);
  assert.equal(backend.memory().live, before);
  x[Symbol.dispose]();
  assert.equal(backend.memory().live, live);
}

async function keeping(backend: Backend): Promise<void> {
  let free: Tensor, outer: Tensor;
  const old = backend.from(Float32Array.of(7), [1]);
  {
    using a = backend.scope();
    {
      using b = backend.scope();
      outer = b.keep(backend.from(Float32Array.of(1, 2), [2]));
      free = a.keep(b.keep(backend.from(Float32Array.of(3), [1])));
      b.keep(old);
    }
    assert.deepEqual(await numbers(backend, outer), [1, 2]);
  }
  await assert.rejects(backend.read(outer));
  assert.deepEqual(await numbers(backend, free), [3]);
  assert.deepEqual(await numbers(backend, old), [7]);
  free[Symbol.dispose]();
  old[Symbol.dispose]();
}

function accounting(backend: Backend): Promise<void> {
  const start = backend.memory().live;
  const tensors = [
    backend.zeros([1000]),
    backend.from(new Uint8Array(17), [17]),
    backend.zeros([3, 5], "i32"),
  ];
  const bytes = backend.memory().live - start;
  assert.ok(bytes >= 4000 + 17 + 60 && bytes <= 4096 + 128 + 128, `${bytes} bytes`);
  assert.ok(backend.memory().peak >= start + bytes);
  for (const tensor of tensors) tensor[Symbol.dispose]();
  assert.equal(backend.memory().live, start);
  assert.ok(backend.memory().peak >= start + bytes);
  backend.resetPeak();
  assert.equal(backend.memory().peak, start);
  return Promise.resolve();
}

async function disposal(backend: Backend): Promise<void> {
  const x = backend.zeros([3]), y = backend.zeros([3]), { live } = backend.memory();
  {
    using _scope = backend.scope();
    const inside = backend.zeros([5]);
    inside[Symbol.dispose]();
    inside[Symbol.dispose]();
    assert.equal(backend.memory().live, live);
  }
  x[Symbol.dispose]();
  x[Symbol.dispose]();
  assert.ok(backend.memory().live < live);
  assert.throws(() => backend.run(addOp, [x, y], {}), /living|disposed|freed/);
  assert.throws(() => backend.run(addOp, [y, x], {}), /living|disposed|freed/);
  await assert.rejects(backend.read(x), /living|disposed|freed/);
  y[Symbol.dispose]();
}

async function order(backend: Backend): Promise<void> {
  using scope = backend.scope();
  const one = backend.from(Float32Array.of(1), [1]);
  let x = scope.keep(backend.zeros([5]));
  for (let i = 0; i < 600; i++) {
    const next = add(backend.run, x, one, { alpha: 1 + i % 2 });
    x[Symbol.dispose](); // its memory may be used again at once, but not before it was read
    x = next;
  }
  const cache = backend.zeros([40, 3]);
  for (let row = 0; row < 40; row++) {
    writeRows(backend.run, cache, backend.from(Float32Array.of(row, 2 * row, 1), [1, 3]), row);
  }
  const total = sum(backend.run, cache);
  assert.deepEqual(await numbers(backend, x), Array(5).fill(900));
  assert.deepEqual(await numbers(backend, total), [780 + 1560 + 40]);
}

async function readOrder(backend: Backend): Promise<void> {
  const x = backend.from(Float32Array.of(1, 2), [1, 2]), gone = backend.from(Float32Array.of(5), [1]);
  const before = backend.read(x), last = backend.read(gone);
  writeRows(backend.run, x, backend.from(Float32Array.of(3, 4), [1, 2]), 0);
  gone[Symbol.dispose]();
  const other = backend.from(Float32Array.of(6), [1]);
  const after = backend.read(x);
  writeRows(backend.run, x, backend.from(Float32Array.of(7, 8), [1, 2]), 0);
  const found = await Promise.all([after, before, last, backend.read(x), backend.read(other)]);
  assert.deepEqual(found.map((data) => [...data]), [[3, 4], [1, 2], [5], [7, 8], [6]]);
}

async function readSeveral(backend: Backend): Promise<void> {
  const a = backend.from(Float32Array.of(1, 2), [2]), b = backend.from(Int32Array.of(3), [1]);
  const none = backend.zeros([0, 4]), sumOfA = sum(backend.run, a);
  const found = await backend.readAll([sumOfA, b, none, a, b]);
  assert.deepEqual(found, [
    Float32Array.of(3),
    Int32Array.of(3),
    new Float32Array(0),
    Float32Array.of(1, 2),
    Int32Array.of(3),
  ]);
  assert.deepEqual(await backend.readAll([]), []);
}

async function composed(backend: Backend): Promise<void> {
  const make = (shape: Shape) =>
    backend.from(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5), shape);
  const shapes: Shape[] = [[7, 4], [9, 4], [7], [7, 3], [9, 3]];
  const inputs = shapes.map(make), { live } = backend.memory();
  const outputs = backend.run(linearLossOp, inputs, { gradients: true, blockRows: 2 });
  assert.equal(outputs.length, 6);
  await backend.readAll(outputs);
  for (const output of outputs) output[Symbol.dispose]();
  assert.equal(backend.memory().live, live);
  {
    using _scope = backend.scope();
    backend.run(linearLossOp, inputs, { gradients: false });
  }
  assert.equal(backend.memory().live, live);
}

async function refused(backend: Backend): Promise<void> {
  const a = backend.zeros([2, 3]), b = backend.zeros([3, 2]), { live } = backend.memory();
  assert.throws(() => backend.run(mulOp, [a, b], {}), ShapeError);
  assert.throws(
    () => backend.run(linearLossOp, [a, b, a, b, a], { gradients: true }),
    ShapeError,
  );
  assert.equal(backend.memory().live, live);
  assert.deepEqual(await numbers(backend, add(backend.run, a, a)), Array(6).fill(0)); // and goes on
}
