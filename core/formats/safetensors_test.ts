import assert from "node:assert/strict";
import { golden } from "../../tests/golden.ts";
import { FormatError, NotFoundError, WriteError } from "../errors.ts";
import type { FileDType, HostTensor } from "../tensor.ts";
import { convert, hostTensor } from "./dtype.ts";
import { fc } from "./_fast_check.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";
import { testFolder } from "./_test_folder.ts";

function file(header: string, data = new Uint8Array(), length?: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function* goldenFiles(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) yield* goldenFiles(`${folder}/${entry.name}`);
    else if (entry.name.endsWith(".safetensors")) yield `${folder}/${entry.name}`;
  }
}

Deno.test("the reference library's files are written again byte for byte", async () => {
  await using folder = await testFolder();
  let same = 0;
  for (const path of [...goldenFiles(golden("torch")), ...goldenFiles(golden("torch-more"))]) {
    using source = await openSafetensors(path);
    // Types that no tensor here can hold are read raw, and checked with torch's files.
    if (
      (await Promise.all(source.names().map((n) => source.readRaw(n)))).some((t) => t.dtype.startsWith("F8"))
    ) {
      continue;
    }
    await writeSafetensors(folder.at("again"), source, { metadata: source.metadata });
    assert.deepEqual(await Deno.readFile(folder.at("again")), await Deno.readFile(path), path);
    same++;
  }
  assert.ok(same > 20, `${same} files`);
});

Deno.test("a file's tensors, metadata and rows come back as they were written", async () => {
  await using folder = await testFolder();
  const path = folder.at("a", "x.safetensors");
  const tensors: [string, HostTensor][] = [
    ["rows", hostTensor(Float32Array.from({ length: 12 }, (_, i) => i), [4, 3])],
    ["scalar", hostTensor(BigInt64Array.of(-5n), [])],
    ["empty", hostTensor(new Float32Array(), [0, 3], "bf16")],
    ["__proto__", hostTensor(Uint8Array.of(1, 0), [2], "bool")],
    ["7", hostTensor(Int32Array.of(7), [1])],
  ];
  await writeSafetensors(path, tensors, { metadata: { format: "pt", "ü": "\n" } });
  using source = await openSafetensors(path);
  assert.deepEqual({ ...source.metadata }, { format: "pt", "ü": "\n" });
  assert.deepEqual([...source.names()].sort(), tensors.map(([name]) => name).sort());
  for (const [name, tensor] of tensors) {
    assert.deepEqual(source.spec(name), { shape: tensor.shape, dtype: tensor.dtype });
    assert.deepEqual(await source.read(name), { ...tensor, bytes: new Uint8Array(tensor.bytes) });
  }
  const rows = await source.readRange("rows", { start: 1, end: 3 });
  assert.deepEqual(rows.shape, [2, 3]);
  assert.deepEqual([...new Float32Array(rows.bytes.slice().buffer)], [3, 4, 5, 6, 7, 8]);
  assert.deepEqual((await source.readRange("rows", { start: 4 })).shape, [0, 3]);
  for (const bad of [{ start: -1 }, { end: 5 }, { start: 3, end: 2 }, { start: 0.5 }]) {
    await assert.rejects(source.readRange("rows", bad), FormatError);
  }
  await assert.rejects(source.readRange("scalar", {}), FormatError);
  await assert.rejects(source.read("other"), /expected a tensor "other"/);
});

Deno.test("a file's data begins at a multiple of 8 and is laid out by element size", async () => {
  await using folder = await testFolder();
  const path = folder.at("x");
  const one = hostTensor(Int32Array.of(1), [1]);
  const dtypes: FileDType[] = ["u8", "bf16", "f32", "i64", "bool", "f64"];
  await writeSafetensors(path, dtypes.map((dtype) => [dtype, convert(one, dtype)] as const));
  using source = await openSafetensors(path);
  assert.deepEqual(source.names(), ["i64", "f64", "f32", "bf16", "u8", "bool"]);
  const length = new DataView((await Deno.readFile(path)).buffer).getBigUint64(0, true);
  assert.equal(length % 8n, 0n);
});

Deno.test("anything written is read back", async () => {
  await using folder = await testFolder();
  const tensor = fc.tuple(
    fc.constantFrom<FileDType>("f32", "bf16", "i64", "u8", "f64"),
    fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
  );
  const name = fc.string({ unit: "binary", maxLength: 12 }).filter((text) => text !== "__metadata__");
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, tensor), async (specs) => {
      const tensors = Object.entries(specs).map(([key, [dtype, shape]]) => {
        const count = shape.reduce((a, b) => a * b, 1);
        return [
          key,
          convert(hostTensor(Uint8Array.from({ length: count }, (_, i) => i + 1), shape), dtype),
        ] as const;
      });
      await writeSafetensors(folder.at("x"), tensors);
      using source = await openSafetensors(folder.at("x"));
      assert.equal(source.names().length, tensors.length);
      for (const [key, value] of tensors) {
        assert.deepEqual(Uint8Array.from((await source.read(key)).bytes), Uint8Array.from(value.bytes));
      }
    }),
    { numRuns: 50 },
  );
});

const WRONG: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["nothing", new Uint8Array(), /expected a length of 8 bytes, received 0/],
  [
    "a header beyond the end",
    file("{}", new Uint8Array(), 3),
    /expected a header of 2 to 2 bytes, received a length of 3/,
  ],
  [
    "a header over 100 MB",
    file("{}", new Uint8Array(), 100_000_001),
    /at most 100000000 bytes, received a length of 100000001/,
  ],
  ["a header of 2^64 - 1", Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 1), /at most 100000000/],
  ["no JSON", file("{nothing}"), /expected JSON/],
  ["a list", file("[]"), /begins with "\{"/],
  ["spaces first", file(" {}"), /begins with "\{"/],
  ["no UTF-8", file("{}", Uint8Array.of(0xff, 0xff), 4), /expected JSON/],
  ["left over data", file("{}", new Uint8Array(1)), /expected 0 bytes of data behind the header, received 1/],
  ["a gap", two([0, 4], [5, 9], 9), /"b" to have data that begins at 4, received 5, which leaves a gap/],
  ["an overlap", two([0, 4], [3, 7], 7), /"b" to have data that begins at 4, received 3, which overlaps "a"/],
  ["a late start", two([1, 5], [5, 9], 9), /"a" to have data that begins at 0, received 1/],
  ["an end past the data", two([0, 4], [4, 8], 7), /"b" to have data within 7 bytes, received an end at 8/],
  [
    "a wrong size",
    one('"dtype":"F32","shape":[2],"data_offsets":[0,4]', 4),
    /"a.data_offsets" to have 8 bytes for F32\[2\], received 4/,
  ],
  ["an end before the start", one('"dtype":"F32","shape":[1],"data_offsets":[4,0]', 4), /"a.data_offsets"/],
  [
    "an unknown type",
    one('"dtype":"F7","shape":[1],"data_offsets":[0,4]', 4),
    /"a.dtype" to have one of U64.*received "F7"/,
  ],
  ["a type from Object", one('"dtype":"toString","shape":[1],"data_offsets":[0,4]', 4), /"a.dtype"/],
  [
    "a negative size",
    one('"dtype":"F32","shape":[-1],"data_offsets":[0,4]', 4),
    /"a.shape".*received \[-1\]/,
  ],
  ["a broken size", one('"dtype":"F32","shape":[1.5],"data_offsets":[0,6]', 6), /"a.shape"/],
  [
    "a size that overflows",
    one('"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]', 0),
    /below 2\^53/,
  ],
  ["no shape", one('"dtype":"F32","data_offsets":[0,4]', 4), /"a.shape".*received nothing/],
  [
    "three offsets",
    one('"dtype":"F32","shape":[1],"data_offsets":[0,4,8]', 4),
    /"a.data_offsets" to have two offsets/,
  ],
  ["a text as entry", file('{"a":"b"}'), /"a" to have an object/],
  ["a number as metadata", file('{"__metadata__":{"a":1}}'), /"__metadata__.a" to have a text, received 1/],
  ["a list as metadata", file('{"__metadata__":[]}'), /"__metadata__" to have an object/],
  [
    "a key twice",
    file(
      '{"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    ),
    /"a" to have each key once/,
  ],
  [
    "a field twice",
    one('"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]', 0),
    /"dtype" to have each key once/,
  ],
];

function one(fields: string, bytes: number): Uint8Array {
  return file(`{"a":{${fields}}}`, new Uint8Array(bytes));
}

function two(a: number[], b: number[], bytes: number): Uint8Array {
  const entry = (at: number[]) => ({ dtype: "F32", shape: [1], data_offsets: at });
  return file(JSON.stringify({ a: entry(a), b: entry(b) }), new Uint8Array(bytes));
}

for (const [what, bytes, message] of WRONG) {
  Deno.test(`a safetensors file with ${what} is refused`, async () => {
    await using folder = await testFolder();
    const path = await folder.put("x.safetensors", bytes);
    await assert.rejects(
      openSafetensors(path),
      (error) => error instanceof FormatError && error.message.includes(path) && message.test(error.message),
    );
  });
}

Deno.test("every beginning of a safetensors file is refused", async () => {
  await using folder = await testFolder();
  await writeSafetensors(folder.at("x"), [
    ["a", hostTensor(Float32Array.of(1, 2), [2])],
    ["b", hostTensor(Uint8Array.of(1), [1])],
  ]);
  const whole = await Deno.readFile(folder.at("x"));
  for (let length = 0; length < whole.length; length++) {
    const path = await folder.put("cut", whole.subarray(0, length));
    await assert.rejects(openSafetensors(path), FormatError);
  }
});

Deno.test("a file with any byte changed is read or refused with a FormatError", async () => {
  await using folder = await testFolder();
  await writeSafetensors(folder.at("x"), [["a", hostTensor(Float32Array.of(1, 2), [2])]]);
  const whole = await Deno.readFile(folder.at("x"));
  for (let at = 0; at < whole.length - 8; at++) {
    const changed = whole.slice();
    changed[at]! ^= 1 << (at % 8);
    const path = await folder.put("changed", changed);
    try {
      using source = await openSafetensors(path);
      for (const name of source.names()) await source.readRaw(name);
    } catch (error) {
      assert.ok(error instanceof FormatError, String(error));
    }
  }
});

Deno.test("writing refuses names that come twice, the format's own name and bytes that do not fit", async () => {
  await using folder = await testFolder();
  const path = folder.at("x");
  const tensor = hostTensor(Float32Array.of(1), [1]);
  await assert.rejects(writeSafetensors(path, [["a", tensor], ["a", tensor]]), WriteError);
  await assert.rejects(writeSafetensors(path, [["__metadata__", tensor]]), WriteError);
  await assert.rejects(writeSafetensors(path, [["a", { ...tensor, shape: [2] }]]), WriteError);
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});

Deno.test("a missing safetensors file is said to be missing", async () => {
  await assert.rejects(openSafetensors("/nowhere/x.safetensors"), NotFoundError);
});
