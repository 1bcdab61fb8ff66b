import assert from "node:assert/strict";
import { join } from "node:path";
import { golden, goldenJson } from "../../tests/golden.ts";
import { ConfigError, FormatError, NotFoundError } from "../errors.ts";
import { checkConfig } from "./check.ts";
import { newSpeculatorsConfig } from "./create.ts";
import { commonSchema } from "./schema.ts";
import { readSpeculatorConfig, speculativeTokens, writeSpeculatorConfig } from "./speculator.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Folders of the golden speculators, found by the index files. */
function speculators(): string[] {
  const { cases } = goldenJson<{ cases: Record<string, unknown> }>("eagle3", "index.json");
  return [...Object.keys(cases).map((name) => golden("eagle3", name)), golden("generate", "draft")];
}

/** A config with every part open to change. */
interface Open {
  speculators_model_type?: unknown;
  speculators_config?: { [field: string]: unknown; proposal_methods: Record<string, unknown>[] };
  [field: string]: unknown;
}

function changed(change: (config: Open) => void): Record<string, unknown> {
  const config = newSpeculatorsConfig(
    { algorithm: "mine", architectures: ["Mine"], verifier: { nameOrPath: "v", architectures: ["V"] } },
    { transformer_layer_config: { rope_theta: 10000 }, extra: 1 },
  );
  change(config as unknown as Open);
  return config;
}

async function refused(folder: string, config: Record<string, unknown>): Promise<ConfigError> {
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
  const error = await readSpeculatorConfig(folder).then(() => undefined, (error) => error);
  assert(error instanceof ConfigError, String(error));
  assert(error.message.startsWith(`Cannot use "${join(folder, "config.json")}: `));
  return error;
}

Deno.test("a golden config that is read and written has the same bytes", async () => {
  const folders = speculators();
  assert(folders.length > 1);
  await inFolder(async (folder) => {
    for (const source of folders) {
      await writeSpeculatorConfig(folder, await readSpeculatorConfig(source));
      assert.equal(
        await Deno.readTextFile(join(folder, "config.json")),
        await Deno.readTextFile(join(source, "config.json")),
      );
    }
  });
});

Deno.test("a new config has the bytes of a golden one but for the fields that say nothing", async () => {
  await inFolder(async (folder) => {
    for (const source of speculators()) {
      const { speculators_config: { verifier }, speculators_version, ...read } = await readSpeculatorConfig(
        source,
      );
      const fresh = newSpeculatorsConfig({
        algorithm: read.speculators_model_type,
        architectures: read.architectures ?? [],
        verifier: { nameOrPath: verifier.name_or_path, architectures: verifier.architectures },
      }, {
        // Through plain JSON: numbers as a program computes them, no spelling remembered.
        ...JSON.parse(JSON.stringify(read)),
        speculators_version,
      });
      await writeSpeculatorConfig(folder, fresh);
      assert.equal(
        await Deno.readTextFile(join(folder, "config.json")),
        await Deno.readTextFile(join(source, "config.json")),
      );
    }
  });
});

Deno.test("three tokens a round are the default of a new config", () => {
  const about = {
    algorithm: "mine",
    architectures: ["Mine"],
    verifier: { nameOrPath: null, architectures: [] },
  };
  assert.equal(speculativeTokens(newSpeculatorsConfig(about, {})), 3);
  assert.equal(speculativeTokens(newSpeculatorsConfig({ ...about, speculativeTokens: 7 }, {})), 7);
});

Deno.test("unknown fields are kept, in their order", async () => {
  await inFolder(async (folder) => {
    const config = { zz: { b: 1, a: [null] }, ...changed(() => {}), later: "x" };
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
    const read = await readSpeculatorConfig(folder);
    assert.deepEqual(read, config);
    assert.deepEqual(Object.keys(read), Object.keys(config));
  });
});

Deno.test("torch_dtype of older files becomes dtype", async () => {
  await inFolder(async (folder) => {
    const { dtype: _, ...config } = changed(() => {});
    const layers = { torch_dtype: "float16", dtype: "bfloat16", eps: 1 };
    const text = JSON.stringify({ ...config, torch_dtype: "bfloat16", transformer_layer_config: layers });
    await Deno.writeTextFile(join(folder, "config.json"), text.replace('"eps":1', '"eps":1.0'));
    const read = await readSpeculatorConfig(folder);
    assert.equal(read.dtype, "bfloat16");
    assert.deepEqual(read.transformer_layer_config, { dtype: "bfloat16", eps: 1 });
    await writeSpeculatorConfig(folder, read);
    const written = await Deno.readTextFile(join(folder, "config.json"));
    assert(!written.includes("torch_dtype"));
    assert.match(written, /"eps": 1\.0/);
  });
});

Deno.test("a wrong field is named with what is expected and what was found", async () => {
  const cases: [(config: Open) => void, RegExp, RegExp?][] = [
    [
      (c) => delete c.speculators_model_type,
      /speculators_model_type": expected the name .* received nothing/,
      /converted/,
    ],
    [(c) => delete c.speculators_config, /speculators_config": expected object, received nothing/],
    [
      (c) => c.speculators_config!.proposal_methods = [],
      /proposal_methods": expected .* received \[\]/,
    ],
    [
      (c) => c.speculators_config!.default_proposal_method = "tree",
      /default_proposal_method": expected one of the proposal_methods, greedy, received "tree"/,
    ],
    [
      (c) =>
        c.speculators_config!.proposal_methods[0]!
          .speculative_tokens = 0,
      /speculators_config\.proposal_methods\[0\]\.speculative_tokens": expected .*1.* received 0/,
    ],
    [
      (c) => {
        const config: Record<string, unknown> = c.speculators_config!;
        config.verifer = config.verifier;
        delete config.verifier;
      },
      /speculators_config\.verifier": expected object, received nothing/,
      /has "verifer" there: was "verifier" meant\?/,
    ],
    [
      (c) => Object.assign(c, { speculators_version: 4, dtype: 1 }),
      /speculators_version": expected string, received 4/,
      /Wrong too: dtype/,
    ],
  ];
  await inFolder(async (folder) => {
    for (const [change, message, hint] of cases) {
      const error = await refused(folder, changed(change));
      assert.match(error.message, message);
      if (hint !== undefined) assert.match(error.hint ?? "", hint);
    }
  });
});

Deno.test("a config that is wrong is not written over a good one", async () => {
  await inFolder(async (folder) => {
    await writeSpeculatorConfig(folder, changed(() => {}) as never);
    const before = await Deno.readTextFile(join(folder, "config.json"));
    await assert.rejects(writeSpeculatorConfig(folder, { speculators_model_type: "mine" }), ConfigError);
    await assert.rejects(
      writeSpeculatorConfig(folder, { ...changed(() => {}), x: NaN } as never),
      ConfigError,
    );
    assert.equal(await Deno.readTextFile(join(folder, "config.json")), before);
  });
});

Deno.test("a config that names no version gets the format's", async () => {
  await inFolder(async (folder) => {
    const { speculators_version: _, transformers_version: __, ...config } = changed(() => {});
    await writeSpeculatorConfig(folder, config as never);
    assert.equal((await readSpeculatorConfig(folder)).speculators_version, "0.4.0.1");
  });
});

Deno.test("a file that is missing, no JSON or no object says so", async () => {
  await inFolder(async (folder) => {
    await assert.rejects(readSpeculatorConfig(join(folder, "none")), NotFoundError);
    for (const text of ["{", "[]", "1", "[".repeat(100_000)]) {
      await Deno.writeTextFile(join(folder, "config.json"), text);
      await assert.rejects(readSpeculatorConfig(folder), FormatError);
    }
  });
});

Deno.test("messages of other schema libraries are told as they are", async () => {
  const validate = () => ({ issues: [{ message: "Bad value.", path: [{ key: "a" }, 0] }] });
  const schema = { "~standard": { version: 1, vendor: "other", validate } } as const;
  await assert.rejects(checkConfig(schema, { a: [5] }, { where: "x.json" }), (error) => {
    assert(error instanceof ConfigError);
    assert.equal(
      error.message,
      'Cannot use "x.json: a[0]": expected a value that fits (Bad value), received 5',
    );
    return true;
  });
  await checkConfig(commonSchema(), changed(() => {}), { where: "x.json" });
});
