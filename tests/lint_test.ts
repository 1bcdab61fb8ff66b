import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import * as errors from "../core/errors.ts";
import plugin from "./lint_layers.ts";
import { CLASSES } from "./lint_messages.ts";

function lint(file: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, file, source).map((diagnostic) => diagnostic.message);
}

function accepts(file: string, source: string): void {
  assert.deepEqual(lint(file, source), [], `${file}: ${source}`);
}

function refuses(file: string, source: string, expected: RegExp): void {
  const found = lint(file, source);
  assert.equal(found.length, 1, `${file}: ${source}: ${found}`);
  assert.match(found[0]!, expected);
}

Deno.test("core imports core only", () => {
  accepts("core/tape.ts", `import type { Run } from "./tensor.ts";`);
  accepts("core/config/check.ts", `export { nearest } from "../nearest.ts";`);
  refuses("core/tape.ts", `import { op } from "../kernels/ops/mod.ts";`, /expected core only/);
  refuses("core/tape.ts", `import type { X } from "../plugins/eagle3/mod.ts";`, /expected core only/);
  refuses("core/tape.ts", `const x = await import("../kernels/mod.ts");`, /expected core only/);
  refuses("core/tape.ts", `export * from "../cli/ui.ts";`, /expected core only/);
  refuses("core/tape.ts", `export { a } from "../mod.ts";`, /expected core only/);
  refuses("core/config/check.ts", `import { a } from "../../plugins/mod.ts";`, /expected core only/);
  accepts("core/tape_test.ts", `import { open } from "../kernels/mod.ts";`);
});

Deno.test("mod.ts imports core, and the parts of a runtime when they are needed", () => {
  accepts("mod.ts", `export * from "./core/errors.ts"; const kernels = await import("./kernels/mod.ts");`);
  refuses("mod.ts", `export { open } from "./kernels/mod.ts";`, /expected core, and by import\(\)/);
  refuses("mod.ts", `const a = await import("./plugins/eagle3/mod.ts");`, /expected core, and by import\(\)/);
});

Deno.test("kernels import the compute contract and the errors of core", () => {
  accepts("kernels/ops/add/mod.ts", `import { ShapeError } from "../../../core/errors.ts";`);
  accepts("kernels/mod.ts", `const m = await import("./wasm/mod.ts");`);
  refuses(
    "kernels/mod.ts",
    `import { Tape } from "../core/tape.ts";`,
    /core\/tensor\.ts and core\/errors\.ts/,
  );
  refuses("kernels/mod.ts", `import { a } from "../plugins/_shared/rope.ts";`, /kernels, core/);
});

Deno.test("a plugin imports core, the ops, what plugins share and its own folder", () => {
  accepts("plugins/eagle3/mod.ts", `import { definePlugin } from "../../core/plugin.ts";`);
  accepts(
    "plugins/eagle3/model.ts",
    `import { matmul } from "../../kernels/ops/mod.ts"; import "./config.ts";`,
  );
  accepts("plugins/verifiers/llama/model.ts", `import { rope } from "../../_shared/rope.ts";`);
  accepts("plugins/mod.ts", `const load = () => import("./verifiers/llama/mod.ts");`);
  refuses("plugins/eagle3/model.ts", `import { a } from "../hass/model.ts";`, /own folder/);
  refuses("plugins/verifiers/llama/mod.ts", `import { a } from "../qwen3/mod.ts";`, /own folder/);
  refuses("plugins/eagle3/model.ts", `import { open } from "../../kernels/mod.ts";`, /kernels\/ops/);
  refuses("plugins/_shared/rope.ts", `import { a } from "../eagle3/mod.ts";`, /own folder/);
  refuses("plugins/mod.ts", `import { a } from "./eagle3/model.ts";`, /own folder/);
});

Deno.test("cli imports the three entrances and types of core", () => {
  accepts(
    "cli/main.ts",
    `import { open } from "../kernels/mod.ts"; import "../mod.ts"; import "../plugins/mod.ts";`,
  );
  accepts("cli/main.ts", `import type { StageEvent } from "../core/events.ts";`);
  accepts("cli/main.ts", `import { type StageEvent } from "../core/events.ts";`);
  accepts("cli/main.ts", `export type { StageEvent } from "../core/events.ts";`);
  accepts("cli/exit.ts", `import { AbortedError } from "../core/errors.ts";`);
  refuses("cli/main.ts", `import { finish } from "../core/events.ts";`, /types of core/);
  refuses("cli/main.ts", `import { type StageEvent, finish } from "../core/events.ts";`, /types of core/);
});

Deno.test("third-party modules are pinned npm packages and nothing else", () => {
  accepts("core/a.ts", `import { z } from "npm:zod@4.6.7";`);
  accepts(
    "core/a.ts",
    `import { z } from "npm:@scope/name@1.0.0-beta.1/sub"; import { join } from "node:path";`,
  );
  refuses("core/a.ts", `import { z } from "npm:zod@^4.6";`, /an exact version/);
  refuses("core/a.ts", `import { z } from "npm:zod";`, /an exact version/);
  for (const specifier of ["zod", "jsr:@std/path@1.0.0", "https://esm.sh/zod@4.6.7", "path"]) {
    refuses("core/a.ts", `import { z } from "${specifier}";`, /no import map/);
  }
});

Deno.test("the project's own name is for tests and examples", () => {
  accepts("examples/plugin.ts", `import { definePlugin } from "@speculators/deno";`);
  accepts("tests/remote/a.ts", `import { definePlugin } from "@speculators/deno/plugins";`);
  refuses("core/a.ts", `import { definePlugin } from "@speculators/deno";`, /a relative path/);
});

Deno.test("a path that leaves the project is refused", () => {
  refuses("tests/a.ts", `import { a } from "../../elsewhere/a.ts";`, /a file of the project/);
});

Deno.test("messages begin with a capital, end without a period and have no contraction", () => {
  accepts(
    "core/a.ts",
    "throw new ConfigError('x', `expected ${a}, received ${b}`, { hint: 'Try another' });",
  );
  accepts(
    "core/a.ts",
    `throw new DeviceError("The adapter was lost", { hint: \`\${a} has the user's driver\` });`,
  );
  accepts("core/a.ts", `throw new Error("not ours.");`);
  refuses("core/a.ts", `throw new ConfigError("x", "expected a number.");`, /no period/);
  refuses("core/a.ts", `throw new DeviceError("the adapter was lost");`, /a capital/);
  refuses(
    "core/a.ts",
    `throw new FormatError(path, "expected a header, but it isn't there");`,
    /no contraction/,
  );
  refuses("core/a.ts", "throw new ShapeError('x', `it’s ${a}`);", /no contraction/);
  refuses("core/a.ts", `throw new ConfigError("x", a ? "good" : "bad.");`, /no period/);
  refuses("core/a.ts", `throw new NumericError("A loss that " + value + " cannot.");`, /no period/);
  refuses("core/a.ts", `throw new ConfigError("x", "good", { hint: "try another" });`, /a hint.*a capital/);
  refuses("core/a.ts", `throw new SpeculatorsError("E_X", "cannot do it");`, /a capital/);
});

Deno.test("every error class of the project has a rule for its messages", () => {
  const classes = Object.values(errors).map((value) => value.name);
  assert.deepEqual(Object.keys(CLASSES).sort(), classes.sort());
});

Deno.test("each third-party package is imported in one file", async () => {
  const files = new Map<string, Set<string>>();
  const root = fileURLToPath(new URL("..", import.meta.url));
  for await (const file of sources(root)) {
    const text = await Deno.readTextFile(file);
    for (const [, name] of text.matchAll(/(?:from |import\(|import )"npm:((?:@[\w.-]+\/)?[\w.-]+)@/g)) {
      files.set(name!, (files.get(name!) ?? new Set()).add(file.slice(root.length)));
    }
  }
  assert(files.size > 0);
  for (const [name, list] of files) {
    assert.equal(list.size, 1, `${name} is imported in ${[...list].join(", ")}`);
  }
});

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder.replace(/\/$/, "")}/${entry.name}`;
    if (entry.isDirectory && !/^(?:\.|node_modules$|out$|target$|golden$|assets$)/.test(entry.name)) {
      yield* sources(path);
    } else if (entry.isFile && entry.name.endsWith(".ts") && entry.name !== "lint_test.ts") yield path;
  }
}
