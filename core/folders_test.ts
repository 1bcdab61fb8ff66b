import assert from "node:assert/strict";
import { join } from "node:path";
import { NotFoundError, WriteError } from "./errors.ts";
import { requireFolder, requireWritable } from "./folders.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a folder is told from a file and from nothing", async () => {
  await inFolder(async (folder) => {
    await requireFolder(folder, { what: "a model" });
    await Deno.writeTextFile(join(folder, "file"), "");
    for (
      const [name, found] of [["none", /a model, received nothing/], [
        "file",
        /a model, received a file/,
      ]] as const
    ) {
      await assert.rejects(requireFolder(join(folder, name), { what: "a model" }), (error) => {
        assert.ok(error instanceof NotFoundError);
        assert.match(error.message, found);
        return true;
      });
    }
  });
});

Deno.test("a folder that can be written is made and left empty", async () => {
  await inFolder(async (folder) => {
    const made = join(folder, "a", "b");
    await requireWritable(made);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(made)), []);
  });
});

Deno.test("a folder below a file is a WriteError with its path", async () => {
  await inFolder(async (folder) => {
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    await assert.rejects(requireWritable(join(file, "x")), (error) => {
      assert.ok(error instanceof WriteError && error.hint !== undefined);
      assert.match(error.message, /Cannot write ".*x": expected a folder to write files in/);
      return true;
    });
  });
});
