/** Plugins from the command line: shown, made anew, checked. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cli, filesIn, inFolder } from "./cli.ts";

const KINDS = ["draft", "verifier", "engine", "logger", "loss"];

/** A plugin that was just made. */
async function made(kind: string, folder: string): Promise<string> {
  const { code, out, err } = await cli([
    "plugins",
    "new",
    `fresh_${kind}`,
    "--kind",
    kind,
    "--output-path",
    folder,
  ]);
  assert.equal(code, 0, err);
  assert.match(out, /^Written: .* \(mod\.ts, mod_test\.ts, README\.md\)\n$/);
  return join(folder, "mod.ts");
}

Deno.test("a new plugin of each kind works as it is: its types, its own test, and plugins check", async () => {
  await inFolder(async (at) => {
    for (const kind of KINDS) {
      const path = await made(kind, at(kind));
      const found = await cli(["plugins", "check", path, "--device", "wasm"]);
      assert.equal(found.code, 0, found.out + found.err);
      const [, passed, all] = /(\d+) of (\d+) passed\n$/.exec(found.out) ?? [];
      assert.ok(passed === all && Number(all) >= 4, found.out);
      const text = await Deno.readTextFile(at(kind, "README.md"));
      assert.ok(text.startsWith(`# fresh_${kind}\n`) && !text.includes("my_"), text);
    }
    const deno = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
        cwd: at(),
        stdin: "null",
      })
        .output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, text);
      return text;
    };
    assert.match(await deno("test", "-A", ...KINDS), /\d+ passed.*\| 0 failed/);
  });
});

Deno.test("a new plugin is written over nothing, and named in snake_case", async () => {
  await inFolder(async (at) => {
    await made("draft", at("mine"));
    const before = await Deno.readTextFile(at("mine", "mod.ts"));
    const again = await cli(["plugins", "new", "other", "--output-path", at("mine")]);
    assert.equal(again.code, 1);
    assert.match(again.err, /expected a folder that is empty, received one with .*\nhint: Give another name/);
    assert.equal(await Deno.readTextFile(at("mine", "mod.ts")), before);
    const named = await cli(["plugins", "new", "Not-Snake", "--output-path", at("new")]);
    assert.equal(named.code, 1);
    assert.match(named.err, /expected a name in snake_case, received "Not-Snake"/);
    assert.deepEqual(await filesIn(at("new")), []);
  });
});

Deno.test("plugins check says in words what is missing or wrong", async () => {
  await inFolder(async (at) => {
    const cases: readonly (readonly [kind: string, change: [from: string, to: string], expected: RegExp])[] =
      [
        ["draft", ["trainable: false,", ""], /to have "trainable", true or false, received nothing/],
        [
          "draft",
          ["needs: () =>", "need: () =>"],
          /what load\(\) gives to have "needs", a function, received nothing\n/,
        ],
        [
          "draft",
          ["tensors: () => [],\n  initialise:", "initialize:"],
          /to have "tensors", a function, received nothing; and "initialise", a function, received nothing\n/,
        ],
        [
          "draft",
          ["at < 0 ? new Int32Array(0)", "at < 0 ? new Int32Array(9)"],
          /✗ .*tokens of the verifier.*\n {4}/,
        ],
        [
          "loss",
          ["weight * sum;\n    });", "sum;\n    });"],
          /✗ a weight is a factor of loss and gradient\n {4}loss at 1: /,
        ],
        [
          "logger",
          ["append: true", "write: true, truncate: true"],
          /✗ a run that goes on keeps what was written\n {4}\d+ bytes are left of/,
        ],
        [
          "engine",
          ["text.length < maxTokens;", "text.length < maxTokens + 1;"],
          /✗ text is at most as long.*\n {4}7 tokens/,
        ],
        ["verifier", ["qkvBias: bias,", "qkvBias: true,"], /✗ [^]*q_proj\.bias/],
      ];
    for (const [i, [kind, [from, to], expected]] of cases.entries()) {
      const path = await made(kind, at(`${i}`)), source = await Deno.readTextFile(path);
      assert.ok(source.includes(from), `${from} in the template of ${kind}`);
      await Deno.writeTextFile(path, source.replace(from, to));
      const found = await cli(["plugins", "check", path, "--device", "wasm"]);
      assert.equal(found.code, 1, found.out);
      assert.match(found.out + found.err, expected);
      assert.match(found.err, /^error: Cannot use the plugin [^]*\nhint: /);
    }
  });
});

Deno.test("plugins list is plugins, and show says what one is", async () => {
  assert.deepEqual(await cli(["plugins", "list"]), await cli(["plugins"]));
  const { out } = await cli(["plugins", "show", "local", "--json"]);
  const { kind, capabilities, from } = JSON.parse(out);
  const can = { capture: true, generate: true, images: true };
  assert.deepEqual([kind, capabilities, from], ["engine", can, "built in"]);
  const unknown = await cli(["plugins", "show", "nobody"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /known are .*eagle3/);
});

Deno.test("show --schema gives the JSON Schema of every draft's config", async () => {
  const { plugins } = JSON.parse((await cli(["plugins", "--json"])).out) as {
    plugins: { kind: string; name: string }[];
  };
  const drafts = plugins.filter(({ kind }) => kind === "draft");
  assert.ok(drafts.length >= 5);
  for (const { name } of drafts) {
    const { code, out, err } = await cli(["plugins", "show", name, "--schema"]);
    assert.equal(code, 0, err);
    const { $schema, type, properties } = JSON.parse(out);
    assert.deepEqual([$schema, type], ["https://json-schema.org/draft/2020-12/schema", "object"]);
    assert.ok("speculators_model_type" in properties, name);
  }
  const other = await cli(["plugins", "show", "local", "--schema"]);
  assert.match(other.err, /expected a draft plugin, received one of kind engine/);
});

Deno.test("show --schema says which schema cannot be told as JSON Schema", async () => {
  await inFolder(async (at) => {
    const path = await made("draft", at("mine")), source = await Deno.readTextFile(path);
    const shown = ["plugins", "show", "fresh_draft", "--schema", "--plugin", path];
    assert.deepEqual(JSON.parse((await cli(shown)).out), { type: "object" });
    await Deno.writeTextFile(at("mine", "bare.ts"), source.replace(/ *jsonSchema: .*\n/, ""));
    const { code, err } = await cli([...shown.slice(0, -1), at("mine", "bare.ts")]);
    assert.equal(code, 1);
    assert.match(
      err,
      /expected its schema to give a JSON Schema, received one of "fresh_draft", which cannot\nhint: /,
    );
  });
});

Deno.test("a draft without weights is made a speculator, one with weights is refused", async () => {
  await inFolder(async (at) => {
    const path = await made("draft", at("mine"));
    const verifier = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
    const make = (name: string) =>
      cli([
        "plugins",
        "speculator",
        name,
        "--plugin",
        path,
        "--verifier",
        verifier,
        "--output-path",
        at("s"),
      ]);
    assert.match((await make("eagle3")).err, /expected a draft without weights/);
    assert.equal((await make("fresh_draft")).code, 0);
    assert.match((await make("fresh_draft")).err, /expected a folder without a config\.json/);
    const prompt = ["--prompt", "to be or not to be", "--max-tokens", "8", "--device", "wasm", "--quiet"];
    const alone = await cli(["generate", "-b", verifier, ...prompt]);
    const drafted = await cli(["generate", "-b", verifier, "-s", at("s"), "--plugin", path, ...prompt]);
    assert.equal(alone.code, 0, alone.err);
    assert.equal(drafted.out, alone.out);
  });
});
