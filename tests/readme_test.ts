/**
 * The blocks of README files run as they stand, those below one heading one after another in a folder of their own, which
 * looks like the root of the project.
 *
 * @module
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inFolder } from "./cli.ts";
import { type Block, runnableSections } from "./markdown_blocks.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Texts whose marked blocks are run. */
const DOCUMENTS: readonly string[] = ["README.md", "examples/ngram-plugin/README.md"];

/** What is written by the blocks, or is none of the project. */
const LEFT_OUT = /^(?:out|node_modules|shared|coverage|\..*)$/;

/** What the README says once, at its beginning. */
const PRELUDE = `set -eu
shopt -s expand_aliases
speculators() { deno run -A cli/main.ts "$@"; }
M=examples/assets/tiny-verifier
`;

/**
 * `deno …` and `npx -y deno …` are the deno that runs this test, and its `cli/main.ts` is the project's own: Deno loads no
 * WASM through a link.
 */
async function makePrograms(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  const body = `words=()
for word in "$@"; do
  if [ "$word" = cli/main.ts ]; then word='${join(ROOT, "cli/main.ts")}'; fi
  words+=("$word")
done
exec '${Deno.execPath()}' "\${words[@]}"
`;
  await Deno.writeTextFile(join(folder, "deno"), `#!/bin/bash\n${body}`, { mode: 0o755 });
  await Deno.writeTextFile(join(folder, "npx"), `#!/bin/bash\nshift 2\n${body}`, { mode: 0o755 });
}

async function run(
  block: Block,
  { root, programs }: { readonly root: string; readonly programs: string },
): Promise<void> {
  if (block.file !== undefined) {
    const path = join(root, block.file);
    await Deno.mkdir(dirname(path), { recursive: true });
    return await Deno.writeTextFile(path, block.code);
  }
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", PRELUDE + block.code],
    cwd: root,
    env: { PATH: `${programs}:${Deno.env.get("PATH") ?? ""}`, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  assert.equal(code, 0, `line ${block.line}:\n${block.code}\n${text.decode(stdout)}${text.decode(stderr)}`);
}

for (const document of DOCUMENTS) {
  const sections = runnableSections(await Deno.readTextFile(join(ROOT, document)));
  for (const { title, blocks } of sections) {
    // The blocks are written for a shell of Unix.
    Deno.test(
      { name: `${document}, "${title}": its blocks run`, ignore: Deno.build.os === "windows" },
      async () => {
        await inFolder(async (at) => {
          const root = at("root"), programs = at("programs");
          await Deno.mkdir(root);
          await makePrograms(programs);
          for await (const { name } of Deno.readDir(ROOT)) {
            if (!LEFT_OUT.test(name)) await Deno.symlink(join(ROOT, name), join(root, name));
          }
          for (const block of blocks) await run(block, { root, programs });
        });
      },
    );
  }
}

Deno.test("blocks are found by how they are marked", () => {
  const text = [
    "# One",
    "```sh runnable",
    "a",
    "b",
    "```",
    "```sh",
    "not marked",
    "```",
    "### Below one",
    "```ts ignore file=x/mod.ts",
    "# not a heading",
    "```",
    "## Two",
    "```text",
    "runnable",
    "```",
    "## Three",
    "```sh runnable",
    "c",
    "```",
  ].join("\n");
  assert.deepEqual(runnableSections(text), [
    {
      title: "One",
      blocks: [{ line: 2, code: "a\nb\n" }, { line: 10, code: "# not a heading\n", file: "x/mod.ts" }],
    },
    { title: "Three", blocks: [{ line: 18, code: "c\n" }] },
  ]);
});
