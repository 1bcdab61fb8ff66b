import assert from "node:assert/strict";
import { golden, goldenJson } from "../../tests/golden.ts";
import { FormatError } from "../errors.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import {
  openTorch,
  openTorchWeights,
  TorchDType,
  TorchTensor,
  TorchTuple,
  type TorchValue,
} from "./torch.ts";
import { testFolder } from "./_test_folder.ts";

/** A tree of the golden indexes; a bare text or number, as in keys and sets, is itself. */
type Node = string | number | boolean | null | {
  readonly dict?: readonly (readonly [Node, Node])[];
  readonly list?: readonly Node[];
  readonly tuple?: readonly Node[];
  readonly set?: readonly Node[];
  readonly tensor?: string;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly storage?: number;
  readonly offset?: number;
  readonly stride?: readonly number[];
  readonly value?: string | number | boolean | null;
  readonly int?: string;
  readonly float?: string;
  readonly bytes?: string;
};

interface Common {
  readonly files: Record<string, Node>;
  readonly refused: Record<string, string>;
  readonly either: Record<string, string>;
}

interface More {
  readonly read: Record<string, { readonly note: string; readonly holds: Node }>;
  readonly refuse: Record<string, { readonly why: string; readonly torch: string }>;
}

const COMMON = goldenJson<Common>("torch", "index.json");
const MORE = goldenJson<More>("torch-more", "index.json");

interface Compare {
  readonly tensors: SafetensorsFile | null;
  readonly storages: Map<number, unknown>;
}

async function compare(node: Node, value: TorchValue, given: Compare, at = ""): Promise<void> {
  if (typeof node !== "object" || node === null) return assert.equal(value, node, at);
  if (node.tensor !== undefined) return await compareTensor(node, value, given);
  if (node.dict !== undefined) {
    assert.ok(value instanceof Map, at);
    assert.equal(value.size, node.dict.length);
    for (const [i, [key, item]] of [...value].entries()) {
      await compare(node.dict[i]![0], key, given, `${at} key`);
      await compare(node.dict[i]![1], item, given, `${at}/${String(key)}`);
    }
  } else if (node.list !== undefined || node.tuple !== undefined || node.set !== undefined) {
    const items = node.list !== undefined
      ? value
      : node.set !== undefined
      ? [...value as Set<TorchValue>]
      : (value as TorchTuple).items;
    assert.ok(Array.isArray(items) && (node.tuple === undefined || value instanceof TorchTuple), at);
    const expected = node.list ?? node.tuple ?? node.set!;
    assert.equal(items.length, expected.length, at);
    for (const [i, item] of items.entries()) {
      await compare(expected[i]!, item as TorchValue, given, `${at}/${i}`);
    }
  } else if (node.dtype !== undefined) {
    assert.ok(value instanceof TorchDType, at);
    assert.equal(value.name, node.dtype);
  } else if (node.bytes !== undefined) {
    assert.ok(value instanceof Uint8Array, at);
    assert.equal(value.toHex(), node.bytes);
  } else if (node.int !== undefined) {
    assert.equal(value, BigInt(node.int), at);
  } else if (node.float !== undefined) {
    assert.ok(Object.is(value, Number(node.float.replace("inf", "Infinity"))), `${at}: ${String(value)}`);
  } else {
    assert.equal(value, node.value, at);
  }
}

async function compareTensor(
  node: Exclude<Node, string | number | boolean | null>,
  value: TorchValue,
  given: Compare,
): Promise<void> {
  assert.ok(value instanceof TorchTensor, node.tensor);
  assert.equal(value.dtype.name, node.dtype);
  assert.deepEqual(value.shape, node.shape);
  if (node.storage !== undefined) {
    assert.equal(value.offset, node.offset);
    assert.deepEqual(value.strides, node.stride);
    const known = given.storages.get(node.storage);
    assert.equal(value.storage.key, known ?? value.storage.key, "equal storages share memory");
    given.storages.set(node.storage, value.storage.key);
  }
  assert.ok(given.tensors !== null);
  const expected = await given.tensors.readRaw(node.tensor!);
  const bytes = await value.readRaw();
  assert.deepEqual(bytes, expected.bytes, node.tensor);
  if (value.dtype.host === undefined) await assert.rejects(value.read(), FormatError);
  else assert.deepEqual((await value.read()).bytes, bytes);
}

async function checkFile(path: string, holds: Node): Promise<void> {
  const expected = path.replace(/\.pt$/, ".safetensors");
  using tensors = await openSafetensors(expected).catch(() => null);
  using file = await openTorch(path);
  const storages = new Map<number, unknown>();
  await compare(holds, file.value, { tensors, storages });
  assert.equal(new Set(storages.values()).size, storages.size, "other storages are other memory");
}

for (const [name, holds] of Object.entries(COMMON.files)) {
  Deno.test(`torch's file ${name} is read as torch reads it`, () => checkFile(golden("torch", name), holds));
}

for (const [name, { note, holds }] of Object.entries(MORE.read)) {
  Deno.test(`torch's file ${name} is read as torch reads it: ${note}`, async () => {
    await checkFile(golden("torch-more", "read", `${name}.pt`), holds);
  });
}

/** Reads all of a file: every value, every tensor. */
async function readAll(path: string): Promise<void> {
  using file = await openTorch(path);
  const walk = async (value: TorchValue): Promise<void> => {
    if (value instanceof TorchTensor) await value.readRaw();
    else if (value instanceof Map) { for (const pair of value) for (const item of pair) await walk(item); }
    else if (value instanceof Set || Array.isArray(value)) { for (const item of value) await walk(item); }
    else if (value instanceof TorchTuple) { for (const item of value.items) await walk(item); }
  };
  await walk(file.value);
}

async function checkRefused(path: string, optional: boolean): Promise<string> {
  const start = performance.now();
  const error = await readAll(path).then(() => null, (error: unknown) => error);
  assert.ok(performance.now() - start < 5000, "it takes long");
  if (error === null && optional) return "";
  assert.ok(error instanceof FormatError, `${error}`);
  assert.ok(error.message.includes(path));
  return error.message;
}

for (const [name, why] of Object.entries(COMMON.refused)) {
  Deno.test(`the torch file ${name} is refused: ${why}`, async () => {
    await checkRefused(golden("torch", name), false);
  });
}

for (const [name, why] of Object.entries(COMMON.either)) {
  Deno.test(`the torch file ${name} is read or refused: ${why}`, async () => {
    await checkRefused(golden("torch", name), true);
  });
}

for (const [name, { why, torch }] of Object.entries(MORE.refuse)) {
  const optional = torch === "loads";
  Deno.test(`the torch file ${name} is ${optional ? "read or " : ""}refused: ${why}`, async () => {
    const message = await checkRefused(golden("torch-more", "refuse", `${name}.pt`), optional);
    const global = /GLOBAL ([\w.]+\.\w+)/.exec(torch)?.[1];
    if (global !== undefined) assert.ok(message.includes(`"${global}"`), message);
  });
}

Deno.test("a state dict opens as named tensors, and other data does not", async () => {
  const found = Object.entries(COMMON.files).filter(([, holds]) => flat(holds).length > 0);
  assert.ok(found.length > 0);
  for (const [name, holds] of found) {
    using weights = await openTorchWeights(golden("torch", name));
    assert.deepEqual(weights.names(), flat(holds));
    for (const key of weights.names()) {
      assert.deepEqual((await weights.read(key)).shape, weights.spec(key).shape);
    }
    assert.ok(!weights.has("nothing"));
    await assert.rejects(weights.read("nothing"), /expected a tensor "nothing"/);
  }
  await using folder = await testFolder();
  const bare =
    Object.entries(COMMON.files).find(([, holds]) => typeof holds === "object" && holds?.tensor)![0];
  await Deno.copyFile(golden("torch", bare), folder.at("x.bin"));
  await assert.rejects(openTorchWeights(folder.at("x.bin")), /expected a dict of tensors/);
});

/** Names of tensors at the top of a dict. */
function flat(holds: Node): string[] {
  const dict = typeof holds === "object" && holds?.dict || [];
  return dict.filter(([, item]) => typeof item === "object" && item?.tensor !== undefined).map(([key]) =>
    String(key)
  );
}

Deno.test("a tensor of a closed torch file cannot be read", async () => {
  const name = Object.entries(COMMON.files).find(([, holds]) => flat(holds).length > 0)![0];
  const file = await openTorch(golden("torch", name));
  file[Symbol.dispose]();
  const tensor = [...(file.value as Map<string, TorchValue>).values()].find((value) =>
    value instanceof TorchTensor
  );
  await assert.rejects((tensor as TorchTensor).read(), FormatError);
});

/** The smallest archive and the smallest file of the old format. */
function smallest(): Uint8Array[] {
  const files = [...Deno.readDirSync(golden("torch-more", "read"))]
    .filter(({ name }) => name.endsWith(".pt"))
    .map(({ name }) => Deno.readFileSync(golden("torch-more", "read", name)))
    .sort((a, b) => a.length - b.length);
  return [0x50, 0x80].map((first) => files.find((bytes) => bytes[0] === first)!);
}

Deno.test("every beginning of a torch file is refused", async () => {
  await using folder = await testFolder();
  for (const whole of smallest()) {
    for (let length = 0; length < whole.length; length++) {
      const path = await folder.put("cut.pt", whole.subarray(0, length));
      await assert.rejects(
        readAll(path),
        (error) => error instanceof FormatError,
        `${length} of ${whole.length}`,
      );
    }
  }
});

Deno.test("a torch file with any byte changed is read or refused with a FormatError", async () => {
  await using folder = await testFolder();
  for (const whole of smallest()) {
    for (let at = 0; at < whole.length; at++) {
      const changed = whole.slice();
      changed[at]! ^= 1 << (at % 8);
      await checkRefused(await folder.put("changed.pt", changed), true);
    }
  }
});
