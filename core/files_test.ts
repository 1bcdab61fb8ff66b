import assert from "node:assert/strict";
import { join } from "node:path";
import { FormatError, NotFoundError, WriteError } from "./errors.ts";
import {
  createAtomic,
  openFile,
  readJson,
  readText,
  removeUnfinished,
  writeFileAtomic,
  writeJsonAtomic,
} from "./files.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

Deno.test("writeFileAtomic makes folders, replaces content and leaves no other file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a", "b.txt");
    await writeFileAtomic(path, "one, and longer");
    await writeFileAtomic(path, new TextEncoder().encode("two"));
    assert.equal(await readText(path), "two");
    assert.deepEqual(names(join(folder, "a")), ["b.txt"]);
  });
});

Deno.test("a write that fails in the middle leaves the old file and no other", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x");
    await writeFileAtomic(path, "old");
    await assert.rejects(async () => {
      await using file = await createAtomic(path);
      await file.write(new Uint8Array(10));
      throw new Error("stop");
    }, /stop/);
    assert.equal(await readText(path), "old");
    assert.deepEqual(names(folder), ["x"]);
  });
});

Deno.test("writing over a folder is a WriteError and leaves nothing behind", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "taken"));
    await assert.rejects(writeFileAtomic(join(folder, "taken"), "x"), WriteError);
    assert.deepEqual(names(folder), ["taken"]);
  });
});

Deno.test("writeJsonAtomic lays out as asked and refuses what JSON cannot hold", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x.json");
    await writeJsonAtomic(path, { a: [1] });
    assert.equal(await readText(path), '{\n  "a": [\n    1\n  ]\n}\n');
    await writeJsonAtomic(path, { a: [1] }, { indent: 0, newline: false });
    assert.equal(await readText(path), '{"a":[1]}');
    assert.deepEqual(await readJson(path), { a: [1] });
    await assert.rejects(writeJsonAtomic(path, { a: 1n }), WriteError);
    await assert.rejects(writeJsonAtomic(path, undefined), WriteError);
  });
});

Deno.test("reading names the file when it is missing, too large, a folder, not UTF-8 or not JSON", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x");
    await assert.rejects(readText(path), (e) => e instanceof NotFoundError && e.message.includes(path));
    await assert.rejects(readText(join(path, "y")), NotFoundError);
    await assert.rejects(readText(folder), FormatError);
    await writeFileAtomic(path, Uint8Array.of(0xff, 0xfe));
    await assert.rejects(readText(path), /expected text in UTF-8/);
    await assert.rejects(readText(join(path, "y")), NotFoundError);
    await writeFileAtomic(path, "{nothing");
    await assert.rejects(readJson(path), (e) => e instanceof FormatError && e.message.includes(path));
    await assert.rejects(readText(path, { maxBytes: 3 }), /expected at most 3 bytes, received 8/);
  });
});

Deno.test("ranges are read in any order at once, and only within the file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x");
    await writeFileAtomic(path, Uint8Array.from({ length: 100 }, (_, i) => i));
    const file = await openFile(path);
    const parts = await Promise.all([90, 0, 50, 10].map((at) => file.read(at, 10)));
    assert.deepEqual(parts.map((part) => part[0]), [90, 0, 50, 10]);
    assert.equal((await file.read(100, 0)).length, 0);
    for (const [at, length] of [[91, 10], [-1, 2], [0, 101], [2 ** 60, 1], [0.5, 1], [0, NaN]] as const) {
      await assert.rejects(file.read(at, length), FormatError);
    }
    file[Symbol.dispose]();
    file[Symbol.dispose]();
    await assert.rejects(file.read(0, 1), FormatError);
  });
});

Deno.test("what a killed program left half-written is removed, and nothing else", async () => {
  await inFolder(async (folder) => {
    await using file = await createAtomic(join(folder, "a.bin"));
    await file.write(Uint8Array.of(1));
    for (const name of [".hidden", "b.tmp", ".c.tmp"]) await Deno.writeTextFile(join(folder, name), "");
    assert.equal(names(folder).length, 4);
    await removeUnfinished(folder);
    assert.deepEqual(names(folder), [".c.tmp", ".hidden", "b.tmp"]);
    await removeUnfinished(join(folder, "none"));
  });
});
