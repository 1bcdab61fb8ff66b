/** What `inspect` says of published drafts and of verifiers. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { inspect } from "../core/inspect.ts";
import { builtins } from "../plugins/mod.ts";
import { golden, goldenJson } from "./golden.ts";

interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly error: unknown;
  readonly missing_keys: readonly string[];
}

const { cases } = goldenJson<{ cases: Case[] }>("convert", "cases.json");
const registry = builtins();

Deno.test("a published draft is known by its tensors, whatever its config says", async () => {
  let seen = 0;
  for (const { name, args, error, missing_keys } of cases) {
    if (error !== null || missing_keys.length > 0) continue;
    const path = golden("convert", args[1]!);
    const wanted = args[args.indexOf("--algorithm") + 1]!;
    const found = await inspect(path, { registry });
    assert.deepEqual([found.kind, found.plugin], ["draft", wanted], name);
    assert.ok(found.parameters > 0, name);
    seen++;
  }
  assert.ok(seen > 10, `only ${seen} cases`);
});

Deno.test("a verifier is not taken for a draft, nor a speculator", async () => {
  const verifier = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
  const [model, speculator] = await Promise.all([
    inspect(verifier, { registry }),
    inspect(golden("generate", "draft"), { registry }),
  ]);
  assert.deepEqual([model.kind, model.plugin], ["verifier", "llama"]);
  assert.deepEqual([speculator.kind, speculator.plugin], ["speculator", "eagle3"]);
});
