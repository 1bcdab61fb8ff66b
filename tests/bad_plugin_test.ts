/** Plugins that fail, and a machine that lacks something: one message, with the plugin's name or the flag to give. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { cli, type CliResult, copyModel, inFolder, runProcess, SPECULATOR, VERIFIER } from "./cli.ts";

const WASM = ["--device", "wasm"];
const GENERATE = ["generate", "-b", VERIFIER, "-p", "Good morrow", "--max-tokens", "6", ...WASM];

function checkRefused({ code, err }: CliResult, message: RegExp): void {
  assert.equal(code, 1, err);
  assert.match(err, /^error: Cannot [^\n]+(\n {2}because: [^\n]+)*\nhint: [A-Z][^\n]*\n$/);
  assert.match(err, message);
}

Deno.test("a module that is no plugin is refused with what it lacks", async () => {
  await inFolder(async (at) => {
    const cases: [source: string, message: RegExp][] = [
      ['throw new Error("no luck");', /expected its module to load, received no luck\n/],
      ["export default {", /expected its module to load, received SyntaxError/],
      ['import "./missing.ts"; export default {};', /expected its module to load, received Module not found/],
      ["export const a = 1;", /expected a default export, received only a\n/],
      ["", /expected a default export, received no export\n/],
      ["export default [];", /expected a plugin, received an empty list/],
      [
        'export default { apiVersion: 2, kind: "draft", name: "x", summary: "y" };',
        /expected apiVersion 1, received 2/,
      ],
      [
        'export default { apiVersion: 1, kind: "drafts", name: "x", summary: "y" };',
        /expected kind to be one of draft, verifier/,
      ],
      [
        'export default { apiVersion: 1, kind: "draft", name: "x", summary: "y" };',
        /to have "trainable", true or false, received nothing/,
      ],
      [
        'export default { apiVersion: 1, kind: "logger", name: "jsonl", summary: "y", open() {} };',
        /expected a name that no other logger/,
      ],
    ];
    for (const [i, [source, message]] of cases.entries()) {
      const path = at(`plugin_${i}.ts`);
      await Deno.writeTextFile(path, source);
      const found = await cli(["plugins", "--plugin", path]);
      assert.equal(found.out, "");
      checkRefused(found, message);
      assert.ok(found.err.includes(path), found.err);
    }
    checkRefused(await cli(["plugins", "--plugin", "bare"]), /received a bare name\nhint: Write "\.\/bare"/);
  });
});

/** A draft plugin's module, some of its members' code changed. */
function draftSource(change: Readonly<Record<string, string>>): string {
  const code: Record<string, string> = {
    schema: '{ "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } }',
    configure: "() => ({})",
    needs: "() => ({ layers: [], last: false })",
    tensors: "() => []",
    initialise: "() => Promise.resolve(new Map())",
    propose:
      "({ count }) => ({ tokens: backend.from(new Int32Array(count), [count]), parents: Array.from({ length: count }, (_, i) => i - 1) })",
    start: "() => ({ propose, [Symbol.dispose]() {} })",
    ...change,
  };
  const { propose, start, proposeAll, ...members } = code;
  const all = proposeAll === undefined ? "" : `proposeAll: ${proposeAll}, `;
  const proposer =
    `(_config, { backend }) => { const propose = ${propose}; return { ${all}start: ${start}, [Symbol.dispose]() {} }; }`;
  const algorithm = Object.entries({ ...members, proposer }).map(([name, value]) => `${name}: ${value}`).join(
    ",\n",
  );
  return `export default { apiVersion: 1, kind: "draft", name: "mine", summary: "Fails", trainable: false,
    load: () => Promise.resolve({ ${algorithm} }) };`;
}

Deno.test("a draft that fails while it decodes is named, and one that proposes nonsense does no harm", async () => {
  await inFolder(async (at) => {
    const draft = await copyModel(
      SPECULATOR,
      at("draft"),
      (config) => ({ ...config, speculators_model_type: "mine" }),
    );
    const run = async (name: string, change: Readonly<Record<string, string>>) => {
      const path = at(`${name}.ts`);
      await Deno.writeTextFile(path, draftSource(change));
      return await cli([...GENERATE, "-s", draft, "--plugin", path, "--quiet"]);
    };
    const boom = '() => { throw new Error("no luck"); }';
    const failing: [change: Readonly<Record<string, string>>, message: RegExp][] = [
      [{ propose: boom }, /plugin "mine": it failed while proposing tokens\n {2}because: no luck/],
      [{ start: boom }, /plugin "mine": it failed [^\n]*\n {2}because: no luck/],
      [{ needs: boom }, /plugin "mine": it failed [^\n]*\n {2}because: no luck/],
      [{ initialise: boom }, /plugin "mine": it failed [^\n]*\n {2}because: no luck/],
      [{ propose: "() => undefined" }, /plugin "mine": expected it to give tokens and their parents/],
      [{ propose: "() => ({ tokens: [1], parents: [-1] })" }, /plugin "mine": expected /],
      [
        { propose: "() => ({ tokens: backend.from(new Int32Array(99), [99]), parents: [-1] })" },
        /plugin "mine": expected /,
      ],
      [{ tensors: "undefined" }, /to have "tensors", a function, received nothing/],
    ];
    for (const [i, [change, message]] of failing.entries()) {
      checkRefused(await run(`failing_${i}`, change), message);
    }
    const plain = await cli([...GENERATE, "--quiet"]), nonsense = await run("nonsense", {});
    assert.deepEqual(nonsense, plain);
  });
});

/** Proposals that are all one token. */
function always(token: number): string {
  return `({ count }) => ({ tokens: backend.from(new Int32Array(count).fill(${token}), [count]), parents: Array.from({ length: count }, (_, i) => i - 1) })`;
}

Deno.test("a draft that hangs, dawdles or proposes what is no token stops the request, by its name", async () => {
  await inFolder(async (at) => {
    const draft = await copyModel(
      SPECULATOR,
      at("draft"),
      (config) => ({ ...config, speculators_model_type: "mine" }),
    );
    const none = "{ tokens: backend.from(new Int32Array(0), [0]), parents: sequences.map(() => []) }";
    const hangs = `({ sequences }) => sequences[0].count === 0 ? (${none}) : new Promise(() => {})`;
    const dawdles =
      `(input) => { if (input.count > 0) { const begun = performance.now(); while (performance.now() - begun < 80); }
      return (${always(1)})(input); }`;
    const cases: [change: Readonly<Record<string, string>>, message: RegExp][] = [
      [
        { proposeAll: hangs },
        /plugin "mine": expected proposals within 40 ms, received none\nhint: .*--plugin-timeout/,
      ],
      [{ propose: dawdles }, /plugin "mine": expected proposals within 40 ms, received none/],
      [{ propose: always(-1) }, /plugin "mine": expected proposed tokens from 0 to 2047, received -1/],
      [{ propose: always(2048) }, /plugin "mine": expected proposed tokens from 0 to 2047, received 2048/],
    ];
    const prompts = ["-d", join(VERIFIER, "dialogues.held-out.jsonl"), "--limit", "1", "--max-tokens", "6"];
    for (const [i, [change, message]] of cases.entries()) {
      await Deno.writeTextFile(at(`${i}.ts`), draftSource(change));
      const plugin = ["-s", draft, "--plugin", at(`${i}.ts`), "--plugin-timeout", "40", "--quiet"];
      checkRefused(await cli([...GENERATE, ...plugin]), message);
      checkRefused(await cli(["evaluate", "-b", VERIFIER, ...prompts, ...WASM, ...plugin]), message);
    }
  });
});

Deno.test("a logger that fails is named in a warning, and training goes on", async () => {
  await inFolder(async (at) => {
    const data = [
      "--train-data-path",
      join(VERIFIER, "dialogues.held-out.jsonl"),
      "--output-dir",
      at("data"),
    ];
    const size = ["--token-freq-path", at("f.pt"), "--max-samples", "3", "--seq-length", "32"];
    assert.equal(
      (await cli(["datagen", "--target-model-path", VERIFIER, ...data, ...size, ...WASM])).code,
      0,
    );
    await Deno.writeTextFile(
      at("full.ts"),
      `export default { apiVersion: 1, kind: "logger", name: "full", summary: "Fails", open: () => Promise.resolve({
        log: () => Promise.reject(new Error("no luck")), close: () => Promise.resolve() }) };`,
    );
    const args = ["--verifier-name-or-path", VERIFIER, "--data-path", at("data"), "--save-path", at("run")];
    const train = ["train", ...args, "--epochs", "1", "--quiet", ...WASM];
    const found = await cli([...train, "--logger", "full", "--plugin", at("full.ts")]);
    assert.equal(found.code, 0, found.err);
    assert.match(found.err, /^warning: the logger "full" failed, .*the run goes on: no luck\n$/);
    checkRefused(
      await cli([...train, "--logger", "json"]),
      /expected the name of a logger plugin.*\nhint: Did you mean "jsonl"/,
    );
  });
});

Deno.test("--verbose shows where an error happened, wherever it stands", async () => {
  for (const args of [["--verbose", "inspect", "/none/of/it"], ["inspect", "/none/of/it", "--verbose"]]) {
    const { code, err } = await cli(args);
    assert.equal(code, 1);
    assert.match(err, /^error: Cannot find "\/none\/of\/it"[^]*\n {4}at /);
  }
});

Deno.test("a permission that is lacking is told by deno's flag", async () => {
  await inFolder(async (at) => {
    const read = "--allow-read", write = `--allow-write=${at("allowed")}`;
    const datagen = ["datagen", "--target-model-path", VERIFIER, "--output-dir", at("data"), ...WASM];
    const data = ["--train-data-path", join(VERIFIER, "dialogues.held-out.jsonl"), "--max-samples", "1"];
    const url = "https://example.invalid/plugin.ts";
    const cases: [flags: string[], args: string[], message: RegExp][] = [
      [
        [],
        ["inspect", VERIFIER],
        /expected read access to "[^\n]*", received no permission.*\nhint: Give deno the flag --allow-read/,
      ],
      [[], [...GENERATE], /hint: Give deno the flag --allow-read/],
      [[read], [...datagen, ...data], /expected write access to .*\nhint: Give deno the flag --allow-write/],
      [
        [read, write],
        ["demo", "--output-dir", at("demo"), ...WASM],
        /hint: Give deno the flag --allow-write/,
      ],
      [[read, "--deny-import"], ["plugins", "--plugin", url], /example\.invalid[^]*--allow-import/],
    ];
    const found = await Promise.all(cases.map(([flags, args]) => runProcess(args, { flags })));
    cases.forEach(([, , message], i) => checkRefused(found[i]!, message));
    const narrow = await runProcess(["--help"], { flags: [] });
    assert.deepEqual([narrow.code, narrow.err], [0, ""]);
    const enough = await runProcess([...GENERATE, "--quiet"], { flags: [read] });
    assert.deepEqual([enough.code, enough.err], [0, ""]);
  });
});

// Nowhere but on Windows is there such an adapter.
const ignore = Deno.build.os === "windows";

Deno.test(
  "without a GPU --device webgpu is refused with what to do, and auto takes WASM",
  { ignore },
  async () => {
    const env = { DENO_WEBGPU_BACKEND: "dx12" };
    const [asked, doctor] = await Promise.all([
      runProcess([...GENERATE.slice(0, -1), "webgpu"], { env }),
      runProcess(["doctor", "--json"], { env }),
    ]);
    checkRefused(asked, /Cannot open WebGPU: expected a GPU adapter, received none\nhint: .*--device wasm/);
    const { chosen, webgpu } = JSON.parse(doctor.out);
    assert.deepEqual([chosen, webgpu.available], ["wasm", false]);
  },
);
