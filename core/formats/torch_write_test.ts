import assert from "node:assert/strict";
import { golden, goldenJson } from "../../tests/golden.ts";
import { WriteError } from "../errors.ts";
import { elements, type FileDType, type HostTensor } from "../tensor.ts";
import { convert, hostTensor } from "./dtype.ts";
import { fc } from "./_fast_check.ts";
import { testFolder } from "./_test_folder.ts";
import {
  openTorch,
  TorchFloat,
  type TorchInput,
  TorchTensor,
  TorchTuple,
  type TorchValue,
  writeTorch,
} from "./torch.ts";

/** Values as a test compares them: tensors as dtype, shape and bytes. */
async function plain(value: TorchValue): Promise<unknown> {
  if (value instanceof TorchTensor) {
    return { dtype: value.dtype.name, shape: value.shape, bytes: await value.readRaw() };
  }
  if (value instanceof TorchTuple) return { tuple: await Promise.all(value.items.map(plain)) };
  if (Array.isArray(value)) return await Promise.all(value.map(plain));
  if (value instanceof Set) return new Set(await Promise.all([...value].map(plain)));
  if (!(value instanceof Map)) return value;
  return { dict: await Promise.all([...value].map(async ([k, v]) => [await plain(k), await plain(v)])) };
}

/** Name of an archive's folder, which is that of the file that torch wrote. */
function rootOf(bytes: Uint8Array): string {
  const length = new DataView(bytes.buffer).getUint16(26, true);
  return new TextDecoder().decode(bytes.subarray(30, 30 + length)).split("/")[0]!;
}

function goldenFiles(): string[] {
  const common = Object.keys(goldenJson<{ files: object }>("torch", "index.json").files);
  const more = Object.keys(goldenJson<{ read: object }>("torch-more", "index.json").read);
  return [
    ...common.map((name) => golden("torch", name)),
    ...more.map((name) => golden("torch-more", "read", `${name}.pt`)),
  ];
}

Deno.test("what torch's files hold is written and read again, and plain files come out byte for byte", async () => {
  await using folder = await testFolder();
  let same = 0;
  for (const path of goldenFiles()) {
    const expected = await Deno.readFile(path);
    const isArchive = expected[0] === 0x50;
    const again = folder.at(`${isArchive ? rootOf(expected) : "old"}.pt`);
    using source = await openTorch(path);
    await writeTorch(again, source.value as TorchInput);
    using copy = await openTorch(again);
    assert.deepEqual(await plain(copy.value), await plain(source.value), path);
    const received = await Deno.readFile(again);
    if (received.length === expected.length && received.every((byte, i) => byte === expected[i])) same++;
  }
  // Views, ordered dicts, parameters, other protocols and layouts are written as what they hold, so not the same.
  assert.ok(same >= 8, `${same} files`);
});

Deno.test("tensors of one object are one tensor in the file, and tensors of the same bytes share memory", async () => {
  await using folder = await testFolder();
  const tensor = hostTensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  await writeTorch(folder.at("x.pt"), {
    a: tensor,
    b: tensor,
    c: { ...tensor, shape: [4] },
    d: hostTensor(Float32Array.of(1), []),
  });
  using file = await openTorch(folder.at("x.pt"));
  const map = file.value as Map<string, TorchTensor>;
  const [a, b, c, d] = ["a", "b", "c", "d"].map((key) => map.get(key)!);
  assert.equal(a, b);
  assert.equal(c!.storage.key, a!.storage.key);
  assert.notEqual(d!.storage.key, a!.storage.key);
  assert.deepEqual(c!.shape, [4]);
});

Deno.test("every element type of a tensor comes back", async () => {
  await using folder = await testFolder();
  const dtypes: FileDType[] = [
    "f64",
    "f32",
    "f16",
    "bf16",
    "i64",
    "i32",
    "i16",
    "i8",
    "u64",
    "u32",
    "u16",
    "u8",
    "bool",
  ];
  const tensors = Object.fromEntries(
    dtypes.map((d) => [d, convert(hostTensor(Uint8Array.of(0, 1, 1), [3, 1]), d)]),
  );
  await writeTorch(folder.at("x.pt"), tensors);
  using file = await openTorch(folder.at("x.pt"));
  for (const [name, value] of file.value as Map<string, TorchTensor>) {
    const expected = tensors[name]!;
    assert.deepEqual(await value.read(), { ...expected, bytes: new Uint8Array(expected.bytes) });
  }
});

Deno.test("storages lie at multiples of 64 bytes", async () => {
  await using folder = await testFolder();
  const tensors = [1, 70, 3].map((count) => hostTensor(new Uint8Array(count).fill(0xee), [count]));
  await writeTorch(folder.at("some name.pt"), tensors);
  const bytes = await Deno.readFile(folder.at("some name.pt"));
  const starts = [...bytes.keys()].filter((i) => bytes[i] === 0xee && bytes[i - 1] !== 0xee);
  assert.equal(starts.length, 3);
  for (const start of starts) assert.equal(start % 64, 0);
});

Deno.test("any value comes back as it was", async () => {
  await using folder = await testFolder();
  const tensor = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }).map((shape): HostTensor =>
    hostTensor(Float32Array.from({ length: elements(shape) }, (_, i) => i), shape)
  );
  const leaf = fc.oneof(
    ...[fc.constant(null), fc.boolean(), fc.maxSafeInteger(), fc.bigInt({ min: 2n ** 60n, max: 2n ** 90n })],
    ...[fc.double(), fc.string({ unit: "grapheme" }), fc.uint8Array({ maxLength: 9 }), tensor],
  );
  const { value } = fc.letrec<{ value: TorchInput }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      leaf as fc.Arbitrary<TorchInput>,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.array(tie("value"), { maxLength: 5 }).map((items) => new TorchTuple(items)),
      fc.dictionary(fc.string({ unit: "grapheme" }), tie("value"), { maxKeys: 4 }),
      fc.uniqueArray(fc.oneof(fc.integer(), fc.string()), { maxLength: 4 }).map((items) => new Set(items)),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(value, async (input) => {
      await writeTorch(folder.at("x.pt"), input);
      using file = await openTorch(folder.at("x.pt"));
      assert.deepEqual(await plain(file.value), expected(input));
    }),
    { numRuns: 100 },
  );
});

/** What {@linkcode plain} makes of what was written. */
function expected(input: TorchInput): unknown {
  if (input instanceof TorchTuple) return { tuple: input.items.map(expected) };
  if (Array.isArray(input)) return input.map(expected);
  if (input instanceof Set || input instanceof Uint8Array || typeof input !== "object" || input === null) {
    return input;
  }
  if ("bytes" in input && input.bytes instanceof Uint8Array) {
    return { dtype: "float32", shape: input.shape, bytes: new Uint8Array(input.bytes) };
  }
  return { dict: Object.entries(input).map(([key, item]) => [key, expected(item as TorchInput)]) };
}

Deno.test("a float without a fraction is a float in the file when it is said to be one", async () => {
  await using folder = await testFolder();
  await writeTorch(folder.at("x.pt"), [1, new TorchFloat(1), -0]);
  const bytes = await Deno.readFile(folder.at("x.pt"));
  // PROTO 2, EMPTY_LIST, BINPUT 0, MARK, BININT1 1, BINFLOAT 1.0, BINFLOAT -0.0, APPENDS, STOP
  const pickle = "80025d7100284b01473ff0000000000000478000000000000000652e";
  assert.equal(bytes.subarray(64, 64 + pickle.length / 2).toHex(), pickle);
});

Deno.test("what torch cannot hold is refused, and nothing is left behind", async () => {
  await using folder = await testFolder();
  const ring: TorchInput[] = [];
  for (let i = 0, list = ring; i < 300; i++) list.push(list = []);
  const wrong: unknown[] = [undefined, () => 1, new Date(), ring, { a: Symbol("x") }];
  wrong.push({ ...hostTensor(Float32Array.of(1), [1]), shape: [2] });
  for (const value of wrong) {
    await assert.rejects(
      writeTorch(folder.at("x.pt"), value as TorchInput),
      (error) => error instanceof WriteError && error.message.includes("x.pt"),
    );
  }
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});
