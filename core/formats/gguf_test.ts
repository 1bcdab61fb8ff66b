import assert from "node:assert/strict";
import { dequantise } from "../../kernels/mod.ts";
import { ggufFile, type GgufParts, type StoredTensor } from "../../tests/gguf_file.ts";
import { FormatError } from "../errors.ts";
import { toFloat32 } from "./dtype.ts";
import { openGguf } from "./gguf.ts";
import { testFolder } from "./_test_folder.ts";

const F32 = 0, F16 = 1, Q8_0 = 8, Q2_K = 10, BF16 = 30;

function floats(name: string, shape: readonly number[], first = 0): StoredTensor {
  const count = shape.reduce((product, axis) => product * axis, 1);
  const values = Float32Array.from({ length: count }, (_, i) => first + i);
  return { name, shape, type: F32, bytes: new Uint8Array(values.buffer) };
}

/** Rows of 64: two blocks with a scale each. */
function q8(name: string, rows: number): StoredTensor {
  const bytes = new Uint8Array(rows * 68), view = new DataView(bytes.buffer);
  for (let block = 0; block < rows * 2; block++) {
    view.setFloat16(block * 34, 2 ** -(block % 8), true);
    for (let i = 0; i < 32; i++) view.setInt8(block * 34 + 2 + i, (block * 7 + i * 5) % 256 - 128);
  }
  return { name, shape: [rows, 64], type: Q8_0, bytes };
}

function q8Row(row: number): number[] {
  return Array.from({ length: 64 }, (_, i) => {
    const block = row * 2 + (i >> 5);
    return ((block * 7 + i % 32 * 5) % 256 - 128) * 2 ** -(block % 8);
  });
}

async function refused(parts: GgufParts | Uint8Array, message: RegExp): Promise<void> {
  await using folder = await testFolder();
  const path = await folder.put("x.gguf", parts instanceof Uint8Array ? parts : ggufFile(parts));
  await assert.rejects(openGguf(path), (error) => {
    assert.ok(error instanceof FormatError, String(error));
    assert.match(error.message, message);
    assert.ok(error.message.includes(path));
    return true;
  });
}

Deno.test("a file's metadata and tensors are read as they stand in it", async () => {
  await using folder = await testFolder();
  const half = new Uint8Array(Float16Array.of(1, -2, 0.5, 65504).buffer);
  const tensors = [
    floats("a", [2, 3]),
    { name: "b", shape: [4], type: F16, bytes: half },
    { name: "c", shape: [1, 2], type: BF16, bytes: new Uint8Array(Uint16Array.of(0x3f80, 0xc000).buffer) },
  ];
  const path = await folder.put(
    "x.gguf",
    ggufFile({
      metadata: { "general.name": { text: "tiny" }, n: { u64: 2n ** 60n }, list: { texts: ["x", "y"] } },
      tensors,
    }),
  );
  using file = await openGguf(path);
  assert.equal(file.metadata.get("general.name"), "tiny");
  assert.equal(file.metadata.get("n"), 2n ** 60n);
  assert.deepEqual(file.metadata.get("list"), ["x", "y"]);
  assert.deepEqual(file.names(), ["a", "b", "c"]);
  assert.deepEqual(file.spec("a"), { shape: [2, 3], dtype: "f32" });
  assert.deepEqual(file.spec("b"), { shape: [4], dtype: "f16" });
  assert.deepEqual(file.spec("c"), { shape: [1, 2], dtype: "bf16" });
  assert.deepEqual([...toFloat32(await file.read("b"))], [1, -2, 0.5, 65504]);
  assert.deepEqual([...toFloat32(await file.readRange("a", { start: 1 }))], [3, 4, 5]);
  await assert.rejects(file.readRange("a", { start: 1, end: 3 }), /rows within \[2, 3\].*1 to 3/);
  await assert.rejects(file.read("d"), /a tensor "d", received 3 others/);
});

Deno.test("an alignment that the file names is kept to", async () => {
  await using folder = await testFolder();
  const metadata = { "general.alignment": { u32: 256 } };
  const path = await folder.put(
    "x.gguf",
    ggufFile({ metadata, alignment: 256, tensors: [floats("a", [3]), floats("b", [2], 7)] }),
  );
  using file = await openGguf(path);
  assert.equal(file.tensors.get("b")!.begin % 256, 0);
  assert.deepEqual([...toFloat32(await file.read("b"))], [7, 8]);
});

Deno.test("quantised tensors come out as f32, whole or some rows of them", async () => {
  await using folder = await testFolder();
  const path = await folder.put("x.gguf", ggufFile({ tensors: [q8("w", 5), floats("b", [2])] }));
  using file = await openGguf(path, { dequantise });
  assert.deepEqual(file.spec("w"), { shape: [5, 64], dtype: "f32" });
  const whole = await file.read("w");
  assert.deepEqual([...toFloat32(whole)], [0, 1, 2, 3, 4].flatMap(q8Row));
  const some = await file.readRange("w", { start: 2, end: 4 });
  assert.deepEqual(some.shape, [2, 64]);
  assert.deepEqual([...toFloat32(some)], [2, 3].flatMap(q8Row));
});

Deno.test("quantised tensors are widened part by part, each part in its place", async () => {
  await using folder = await testFolder();
  const path = await folder.put("x.gguf", ggufFile({ tensors: [q8("w", 70_000)] }));
  const sizes: number[] = [];
  using file = await openGguf(path, {
    dequantise(_, blocks, target) {
      target.fill(sizes.length);
      sizes.push(blocks.length);
    },
  });
  const values = toFloat32(await file.read("w"));
  assert.equal(sizes.length, 2);
  assert.ok(sizes.every((size) => size % 34 === 0 && size <= 4 * 1024 * 1024));
  assert.equal(values.indexOf(1), sizes[0]! / 34 * 32);
  assert.equal(values.at(-1), 1);
});

Deno.test("a quantised tensor needs what widens it, and one of another type is refused by its name", async () => {
  await using folder = await testFolder();
  const other = { name: "o", shape: [256], type: Q2_K, bytes: new Uint8Array(84) };
  const path = await folder.put("x.gguf", ggufFile({ tensors: [q8("w", 1), other] }));
  using file = await openGguf(path);
  await assert.rejects(file.read("w"), /"w" in a plain type, received Q8_0/);
  assert.throws(() => file.spec("o"), /"o" to have a type among F32.*Q6_K, received Q2_K/);
  assert.equal(file.tensors.get("o")!.bytes, 84);
});

Deno.test("a file cut anywhere in its header or its data is refused", async () => {
  const bytes = ggufFile({
    metadata: { "general.architecture": { text: "llama" }, list: { texts: ["one", "two"] } },
    tensors: [floats("a", [4]), q8("w", 2)],
  });
  for (let length = 0; length < bytes.length - 28; length += 7) {
    await refused(bytes.slice(0, length), /header|within the file's/);
  }
});

Deno.test("counts, sizes and texts that lie are refused", async () => {
  const tensors = [floats("a", [4])];
  const huge = (shape: number[]) => ({ tensors: [{ ...floats("a", []), shape }] });
  await refused({ tensors, claims: { tensors: 2n ** 63n } }, /header/);
  await refused({ tensors, claims: { tensors: 5_000_000n } }, /header/);
  await refused({ tensors, claims: { values: 2n ** 40n } }, /header/);
  await refused({ tensors, claims: { values: 90_000n } }, /header/);
  await refused({ tensors: [floats("a", [4]), floats("a", [4])] }, /"a" once/);
  await refused({ tensors: [floats("", [4])] }, /names of 1 to/);
  await refused({ tensors: [floats("x".repeat(2000), [4])] }, /names of 1 to/);
  await refused(huge([1, 1, 1, 1, 4]), /at most 4 axes/);
  await refused(huge([2 ** 31, 2 ** 31]), /at most 4 axes and 2\^53/);
  await refused(huge([2 ** 40]), /header/);
  await refused(huge([1000]), /"a" within the file's \d+ bytes, received 4000 bytes/);
});

Deno.test("tensors at a place of their own only", async () => {
  const tensors = [floats("a", [16]), floats("b", [16])];
  await refused({ tensors, offsets: [0, 32] }, /"b" behind "a"/);
  await refused({ tensors, offsets: [0, 65] }, /"b" at a multiple of 32/);
  await refused({ tensors, offsets: [0, 2 ** 50] }, /"b" within the file's/);
});

Deno.test("other formats, versions, types and alignments are refused", async () => {
  const tensors = [floats("a", [4])];
  await refused({ magic: "GGML", tensors }, /header of a GGUF file.*magic/);
  await refused({ version: 9, tensors }, /version/);
  await refused(
    { tensors: [{ ...floats("a", [4]), type: 99 }] },
    /"a" with a type of ggml, received the type 99/,
  );
  await refused({ tensors: [{ ...q8("w", 1), shape: [2, 34] }] }, /rows of whole blocks of 32 for Q8_0/);
  await refused(
    { metadata: { "general.alignment": { u32: 24 } }, tensors },
    /general.alignment.*power of 2.*24/,
  );
  await refused({ metadata: { "general.alignment": { text: "wide" } }, tensors }, /alignment/);
  await refused({ metadata: { "split.count": { u32: 3 } }, tensors }, /in one file, received one of 3 parts/);
});

Deno.test("whatever bytes change in a header, it is read or refused in words, soon", async () => {
  await using folder = await testFolder();
  const bytes = ggufFile({
    metadata: { "general.architecture": { text: "llama" }, list: { texts: ["one", "two"] }, n: { u64: 5n } },
    tensors: [floats("a", [4]), q8("w", 2)],
  });
  const header = bytes.length - 16 - 16 - 136;
  let read = 0, refusals = 0;
  for (let i = 0; i < 300; i++) {
    const changed = bytes.slice(), at = Math.imul(i, 2654435761) >>> 8;
    changed[at % header] = [0, 1, 0x7f, 0x80, 0xff, i & 255][i % 6]!;
    const path = await folder.put("x.gguf", changed);
    try {
      using file = await openGguf(path);
      read += file.names().length > 0 ? 1 : 0;
    } catch (error) {
      assert.ok(error instanceof FormatError, `byte ${at % header}: ${error}`);
      refusals++;
    }
  }
  assert.ok(read > 20 && refusals > 20, `${read} read, ${refusals} refused`);
});
