import assert from "node:assert/strict";
import { golden } from "../../tests/golden.ts";
import { FormatError, WriteError } from "../errors.ts";
import { elements, type FileDType } from "../tensor.ts";
import { convert, hostTensor, toInt32 } from "./dtype.ts";
import { fc } from "./_fast_check.ts";
import { readNpy, writeNpy } from "./npy.ts";
import { testFolder } from "./_test_folder.ts";

interface Case {
  readonly name: string;
  readonly d2t?: { readonly shape: number[] };
  readonly t2d?: { readonly shape: number[]; readonly true: number };
}

function npy(header: string, data = new Uint8Array(), version = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = version === 1
    ? [text.length & 255, text.length >> 8]
    : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), version, 0, ...length, ...text, ...data);
}

Deno.test("numpy's d2t and t2d are read, and written again byte for byte", async () => {
  await using folder = await testFolder();
  const { cases } = JSON.parse(await Deno.readTextFile(golden("vocab", "cases.json"))) as { cases: Case[] };
  let files = 0;
  for (const { name, ...wanted } of cases) {
    for (const key of ["d2t", "t2d"] as const) {
      const spec = wanted[key];
      if (spec === undefined) continue;
      const path = golden("vocab", name, `${key}.npy`);
      const tensor = await readNpy(path);
      assert.deepEqual(tensor.shape, spec.shape);
      assert.equal(tensor.dtype, key === "d2t" ? "i64" : "bool");
      if (key === "t2d") assert.equal(tensor.bytes.reduce((sum, bit) => sum + bit, 0), wanted.t2d?.true);
      await writeNpy(folder.at("again.npy"), tensor);
      assert.deepEqual(await Deno.readFile(folder.at("again.npy")), await Deno.readFile(path), path);
      files++;
    }
  }
  assert.ok(files > 0);
});

Deno.test("headers are padded as numpy pads them: to a multiple of 64, by a whole 64 where none is needed", async () => {
  await using folder = await testFolder();
  const data = async (shape: number[], dtype: FileDType) => {
    await writeNpy(folder.at("x"), convert(hostTensor(new Uint8Array(elements(shape)), shape), dtype));
    const bytes = await Deno.readFile(folder.at("x"));
    return 10 + (bytes[8]! | bytes[9]! << 8);
  };
  assert.equal(await data([], "f32"), 128);
  assert.equal(await data([3], "f32"), 128);
  const before = (shape: number[]) =>
    10 + `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`.length + 20 + 1;
  const shape = [0, 1];
  while (before(shape) < 126) shape.push(1);
  while (before(shape) < 128) shape[1]! *= 10;
  assert.equal(before(shape), 128);
  assert.equal(await data(shape, "u8"), 192);
});

Deno.test("every type but bf16 comes back", async () => {
  await using folder = await testFolder();
  const dtype = fc.constantFrom<FileDType>(
    "f64",
    "f32",
    "f16",
    "i64",
    "i32",
    "i16",
    "i8",
    "u64",
    "u32",
    "u16",
    "u8",
    "bool",
  );
  const shape = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(dtype, shape, async (type, axes) => {
      const tensor = convert(
        hostTensor(Uint8Array.from({ length: elements(axes) }, (_, i) => i), axes),
        type,
      );
      await writeNpy(folder.at("x"), tensor);
      const back = await readNpy(folder.at("x"));
      assert.deepEqual({ ...back, bytes: [...back.bytes] }, { ...tensor, bytes: [...tensor.bytes] });
    }),
    { numRuns: 50 },
  );
  await assert.rejects(writeNpy(folder.at("x"), hostTensor(new Uint16Array(1), [1], "bf16")), WriteError);
  await assert.rejects(
    writeNpy(folder.at("x"), { ...hostTensor(new Uint8Array(1), [1]), shape: [2] }),
    WriteError,
  );
});

Deno.test("Fortran order, big-endian elements, other spacing and later versions are read", async () => {
  await using folder = await testFolder();
  const values = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6);
  for (const version of [1, 2, 3]) {
    const header = `{"shape":(2,3L) , "fortran_order":True,"descr":'>i4'}   \n`;
    const path = await folder.put("x", npy(header, values, version));
    const tensor = await readNpy(path);
    assert.deepEqual(tensor.shape, [2, 3]);
    assert.deepEqual([...toInt32(tensor)], [1, 3, 5, 2, 4, 6]);
  }
});

const HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n";
const FOUR = new Uint8Array(4);
const WRONG: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["no magic", new Uint8Array(100), /begins with/],
  ["version 4", npy(HEADER, FOUR, 4), /version 1.0, 2.0 or 3.0, received 4.0/],
  ["a header past the end", npy(HEADER).subarray(0, 20), /expected a header of at most 10 bytes/],
  ["objects", npy(HEADER.replace("<f4", "|O")), /"descr" to be one of .*received "\|O"/],
  ["a structure", npy(HEADER.replace("'<f4'", "[('a', '<f4')]")), /expected a header with a text/],
  ["text elements", npy(HEADER.replace("<f4", "<U4")), /received "<U4"/],
  ["too little data", npy(HEADER, new Uint8Array(3)), /expected 4 bytes of data for f32\[1\], received 3/],
  ["too much data", npy(HEADER, new Uint8Array(5)), /received 5/],
  ["a negative size", npy(HEADER.replace("1", "-1"), FOUR), /sizes/],
  ["a size that overflows", npy(HEADER.replace("1", "4294967296, 4294967296")), /below 2\^53/],
  ["a call", npy(HEADER.replace("(1,)", "print(1)"), FOUR), /expected a header with "\("/],
  ["a missing key", npy("{'descr': '<f4', 'shape': (1,), }", FOUR), /descr, fortran_order and shape/],
  ["another key", npy(HEADER.replace("shape", "shapes"), FOUR), /only descr/],
  ["a key twice", npy(HEADER.replace("fortran_order': False", "descr': '<f4'"), FOUR), /each key once/],
  ["more behind the dict", npy(HEADER + "1", FOUR), /nothing more/],
];

for (const [what, bytes, message] of WRONG) {
  Deno.test(`an npy file with ${what} is refused`, async () => {
    await using folder = await testFolder();
    const path = await folder.put("x.npy", bytes);
    await assert.rejects(
      readNpy(path),
      (error) => error instanceof FormatError && error.message.includes(path) && message.test(error.message),
    );
  });
}

Deno.test("every beginning of an npy file is refused", async () => {
  await using folder = await testFolder();
  await writeNpy(folder.at("x"), hostTensor(Float32Array.of(1, 2), [2]));
  const whole = await Deno.readFile(folder.at("x"));
  for (let length = 0; length < whole.length; length++) {
    await assert.rejects(readNpy(await folder.put("cut", whole.subarray(0, length))), FormatError);
  }
});
