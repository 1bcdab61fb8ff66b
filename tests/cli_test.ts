/** What the commands print, where, and how they end; which modules they load. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { cli, DIALOGUES, filesIn, inFolder, runProcess, SPECULATOR, VERIFIER } from "./cli.ts";

const COMMANDS = [
  "demo",
  "datagen",
  "vocab-map",
  "train",
  "evaluate",
  "generate",
  "serve",
  "inspect",
  "plugins",
  "doctor",
];
const WASM = ["--device", "wasm"];

function datagenArgs(at: (...parts: string[]) => string, ...more: string[]): string[] {
  const paths = ["--target-model-path", VERIFIER, "--train-data-path", DIALOGUES, "--output-dir", at("data")];
  const frequencies = ["--token-freq-path", at("token_freq.pt")];
  return ["datagen", ...paths, ...frequencies, "--max-samples", "8", "--seq-length", "64", ...WASM, ...more];
}

const evaluateArgs = (...more: string[]): string[] => {
  const paths = ["-b", VERIFIER, "-s", SPECULATOR, "-d", DIALOGUES];
  return ["evaluate", ...paths, "--limit", "2", "--max-tokens", "8", ...WASM, ...more];
};

const generateArgs = (...more: string[]): string[] => {
  const prompt = ["--prompt", "Good morrow, my lord.", "--max-tokens", "8"];
  return [
    "generate",
    "--verifier-name-or-path",
    VERIFIER,
    "--speculator",
    SPECULATOR,
    ...prompt,
    ...WASM,
    ...more,
  ];
};

Deno.test("help lists every command, and each command has its own", async () => {
  const all = await cli(["--help"]);
  assert.equal(all.code, 0);
  assert.equal(all.err, "");
  for (const name of COMMANDS) {
    assert.match(all.out, new RegExp(`^  ${name} `, "m"));
    const own = await cli([name, "--help"]), asked = await cli(["help", name]);
    assert.deepEqual([own.code, asked.code], [0, 0]);
    assert.equal(own.out, asked.out);
    for (const flag of ["--device", "--plugin", "--json", "--quiet", "--verbose"]) {
      assert.ok(own.out.includes(flag), `${name} has ${flag}`);
    }
    assert.match(own.out, /^Examples:$/m);
  }
});

Deno.test("wrong usage is told in one message with what to do, and ends with 2", async () => {
  const cases: [args: string[], message: RegExp][] = [
    [[], /^Usage: speculators/],
    [["--verbose"], /^Usage: speculators/],
    [["evalute"], /Cannot run "evalute": .*\nhint: Did you mean evaluate\?/],
    [["frobnicate"], /Cannot run "frobnicate": .*\nhint: Commands are demo, datagen,/],
    [["train"], /Cannot run "train": expected --verifier-name-or-path <folder>, received none/],
    [["evaluate", "-s", "S"], /expected --base <folder> and --dataset <file\.\.\.>, received none/],
    [["train", "--verifer-name-or-path", "x"], /hint: Did you mean --verifier-name-or-path\?/],
    [["train", "--num-workers", "4"], /hint: Leave it out: the next batch is read/],
    [["datagen", "--seq-length", "1"], /"--seq-length": expected a whole number from 2 on, received "1"/],
    [["evaluate", "--temperature", "-1"], /"--temperature": expected a number from 0 on, received "-1"/],
    [["generate", "--top-p", "1.5"], /"--top-p": expected a number above 0 to 1, received "1\.5"/],
    [["train", "--device", "gpu"], /"--device": expected one of auto, webgpu, wasm, received "gpu"/],
    [["evaluate", "--base"], /"--base": expected a value, received none/],
    [["inspect"], /Cannot run "inspect": expected <path>, received none/],
    [["inspect", "a", "b"], /expected 1 argument, received 2: a, b/],
    [["plugins", "x"], /expected no argument without a flag, received 1: x/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await cli(args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, message);
    assert.ok(err.startsWith("Usage") || /^error: [^\n]+\nhint: [^\n]+\n$/.test(err), err);
  }
});

Deno.test("with --json a command prints one JSON object and nothing else, progress aside", async () => {
  await inFolder(async (at) => {
    const runs = [
      datagenArgs(at),
      [
        ...["vocab-map", "--token-freq-path", at("token_freq.pt"), "--draft-vocab-size", "64"],
        ...["--target-model-path", VERIFIER, "--output-path", at("vocab")],
      ],
      [
        ...[
          "train",
          "--verifier-name-or-path",
          VERIFIER,
          "--data-path",
          at("data"),
          "--save-path",
          at("run"),
        ],
        ...["--d2t-path", at("vocab", "d2t.npy"), "--t2d-path", at("vocab", "t2d.npy"), "--epochs", "1"],
        ...["--total-seq-len", "256", "--logger", "jsonl", "--log-dir", at("logs"), ...WASM],
      ],
      evaluateArgs(),
      generateArgs(),
      ["inspect", SPECULATOR],
      ["plugins"],
      ["doctor"],
    ];
    const found: Record<string, Record<string, unknown>> = {};
    for (const args of runs) {
      const { code, out, err } = await cli([...args, "--json"]);
      assert.equal(code, 0, `${args[0]}: ${err}`);
      found[args[0]!] = JSON.parse(out);
      assert.equal(typeof found[args[0]!], "object");
    }
    assert.equal(found["datagen"]!["samples"], 8);
    assert.deepEqual(Object.keys(found["vocab-map"]!["paths"] as object), ["d2t", "t2d"]);
    assert.equal(found["train"]!["checkpoint"], at("run", "0"));
    assert.equal(found["evaluate"]!["identical"], true);
    assert.equal((found["evaluate"]!["outputs"] as unknown[]).length, 2);
    assert.equal((found["generate"]!["tokens"] as unknown[]).length, 8);
    assert.equal(found["inspect"]!["kind"], "speculator");
    const log = (await Deno.readTextFile(at("logs", "run", "metrics.jsonl"))).trimEnd().split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(log[0].run, "run");
    assert.equal(typeof log[1]["train/loss_0"], "number");
    assert.equal(typeof log.findLast((line) => "val/loss" in line)["val/full_acc_1"], "number");
    assert.ok((await filesIn(at())).every((name) => !/\.(tmp|partial)/.test(name)));
  });
});

Deno.test("results go to standard output, progress and notes to standard error", async () => {
  const shown = await cli(evaluateArgs());
  assert.match(shown.out, /^Acceptance of \d+ proposed tokens[^]*Identical: all 2 texts/);
  assert.match(shown.err, /evaluate .*2\/2 prompts/);
  const written = await cli(generateArgs());
  assert.match(written.err, /8 tokens, .* tokens\/s, mean accepted length/);
  const quiet = await cli(generateArgs("--quiet"));
  assert.deepEqual([quiet.err, quiet.out], ["", written.out]);
});

Deno.test("records that cannot be used are counted and told, even when progress is not", async () => {
  await inFolder(async (at) => {
    const lines = (await Deno.readTextFile(DIALOGUES)).split("\n");
    await Deno.writeTextFile(
      at("some.jsonl"),
      [lines[0], "not JSON", lines[1], '{"a": 1}', "[]", "{"].join("\n"),
    );
    const made = await cli(
      datagenArgs(at, "--quiet").map((arg) => arg === DIALOGUES ? at("some.jsonl") : arg),
    );
    assert.match(made.out, /^2 samples in /);
    const warnings = [
      `warning: 2 of 6 conversations left out: not JSON (${at("some.jsonl")}:2 and 1 more)`,
      `warning: 1 of 6 conversations left out: no known column (${at("some.jsonl")}:4)`,
      `warning: 1 of 6 conversations left out: record is not an object (${at("some.jsonl")}:5)`,
    ];
    assert.deepEqual(made.err.trimEnd().split("\n").sort(), warnings.toSorted());
    const args = [
      "-b",
      VERIFIER,
      "-s",
      SPECULATOR,
      "-d",
      at("some.jsonl"),
      "--max-tokens",
      "4",
      "--quiet",
      ...WASM,
    ];
    const read = await cli(["evaluate", ...args]);
    assert.match(read.out, /all 2 texts/);
    assert.deepEqual(read.err.trimEnd().split("\n").sort(), warnings.toSorted());
  });
});

Deno.test("colours are there where they are wanted, and nowhere else", async () => {
  const plain = await cli(evaluateArgs()), coloured = await cli(evaluateArgs(), { colour: true });
  assert.ok(!plain.out.includes("\x1b"));
  assert.ok(coloured.out.includes("\x1b[32mIdentical"));
  const none = await runProcess(["plugins", "--plugin", "./none.ts"], { env: { NO_COLOR: "1" } });
  assert.equal(none.code, 1);
  assert.ok(!none.err.includes("\x1b"));
});

Deno.test("a plugin of one's own is listed with where it came from", async () => {
  const example = fileURLToPath(new URL("../examples/ngram-plugin/mod.ts", import.meta.url));
  const { code, out } = await cli(["plugins", "--json", "--plugin", example]);
  assert.equal(code, 0);
  const { plugins } = JSON.parse(out) as { plugins: { name: string; kind: string; source: string }[] };
  assert.equal(
    plugins.find(({ name }) => name === "ngram")?.source,
    new URL("../examples/ngram-plugin/mod.ts", import.meta.url).href,
  );
  assert.equal(plugins.find(({ name }) => name === "eagle3")?.source, "built in");
});

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly isDynamic?: boolean;
  }[];
}

/** What is loaded with a module: all that it imports, and they import, but by `import()`. */
async function loadedWith(path: string): Promise<string[]> {
  const url = new URL(path, import.meta.url).href;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", url],
    stderr: "null",
  }).output();
  assert.equal(code, 0);
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: Module[] };
  const bySpecifier = new Map(modules.map((module) => [module.specifier, module]));
  const seen = new Set([url]);
  for (const specifier of seen) {
    for (const { code, isDynamic } of bySpecifier.get(specifier)?.dependencies ?? []) {
      if (code?.specifier !== undefined && !isDynamic) seen.add(code.specifier);
    }
  }
  return [...seen];
}

Deno.test("neither --help nor the list of plugins loads a plugin or a backend", async () => {
  for (
    const path of ["../cli/main.ts", "../cli/commands/plugins.ts", "../plugins/mod.ts", "../kernels/mod.ts"]
  ) {
    const loaded = await loadedWith(path);
    assert.ok(loaded.length > 1, path);
    const root = new URL("..", import.meta.url).href;
    const inside = loaded.map((url) => url.replace(root, "/"));
    const code = inside.filter((url) => /\/plugins\/[^/]+\/|\/kernels\/lib\/|\/backend\.ts$/.test(url));
    assert.deepEqual(code, [], path);
  }
  const help = await loadedWith("../cli/main.ts");
  assert.deepEqual(help.filter((url) => url.startsWith("file:") && !url.includes("/cli/")), []);
});
