/** Bad input: each is refused with one message that says what, where, what was expected, found, and what to do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { cli, type CliResult, copyModel, DIALOGUES, filesIn, inFolder, SPECULATOR, VERIFIER } from "./cli.ts";

const WASM = ["--device", "wasm"];

/** Checks that a command line was refused in the one way that errors are told. */
function checkRefused({ code, out, err }: CliResult, message: RegExp): void {
  assert.deepEqual([code, out], [1, ""], err);
  const lines = err.trimEnd().split("\n"), at = lines.findIndex((line) => line.startsWith("error: "));
  const told = lines.slice(at).join("\n");
  assert.match(told, /^error: Cannot [^\n]+(\n {2}because: [^\n]+)*\nhint: [A-Z][^\n]*[^.\n]$/, err);
  assert.match(told, /expected|because/, err);
  assert.match(told, message);
}

async function refused(args: readonly string[], message: RegExp): Promise<void> {
  checkRefused(await cli(args), message);
}

/** Arguments by flag, of which some may be changed. */
type Flags = Readonly<Record<string, string>>;

const line = (command: string, flags: Flags): string[] => [command, ...Object.entries(flags).flat()];

const generateFlags: Flags = { "-b": VERIFIER, "-p": "Good morrow", "--max-tokens": "4", "--device": "wasm" };

function datagenFlags(at: (...parts: string[]) => string): Flags {
  return {
    "--target-model-path": VERIFIER,
    "--train-data-path": DIALOGUES,
    "--output-dir": at("data"),
    "--token-freq-path": at("token_freq.pt"),
    "--max-samples": "4",
    "--seq-length": "64",
    "--device": "wasm",
  };
}

function trainFlags(at: (...parts: string[]) => string): Flags {
  return {
    "--verifier-name-or-path": VERIFIER,
    "--data-path": at("data"),
    "--save-path": at("run"),
    "--epochs": "1",
    "--total-seq-len": "128",
    "--device": "wasm",
  };
}

Deno.test("a path that is not there is told by its name, whichever flag it is for", async () => {
  await inFolder(async (at) => {
    assert.equal((await cli(line("datagen", datagenFlags(at)))).code, 0);
    const none = at("none"),
      found = new RegExp(`"${RegExp.escape(none)}[^"]*": expected [^\n]*received nothing`);
    const commands: [command: string, flags: Flags, paths: string[]][] = [
      ["datagen", { ...datagenFlags(at), "--output-dir": at("other") }, [
        "--target-model-path",
        "--train-data-path",
      ]],
      [
        "vocab-map",
        {
          "--token-freq-path": at("token_freq.pt"),
          "--target-model-path": VERIFIER,
          "--draft-vocab-size": "64",
          "--output-path": at("vocab"),
        },
        ["--token-freq-path", "--target-model-path"],
      ],
      [
        "train",
        { ...trainFlags(at), "--val-data-path": at("data") },
        ["--verifier-name-or-path", "--data-path", "--val-data-path"],
      ],
      ["train", { ...trainFlags(at), "--d2t-path": none, "--t2d-path": none }, ["--d2t-path"]],
      ["evaluate", { "-b": VERIFIER, "-s": SPECULATOR, "-d": DIALOGUES, "--limit": "1" }, [
        "-b",
        "-s",
        "-d",
      ]],
      ["generate", { ...generateFlags, "-s": SPECULATOR }, ["-b", "-s"]],
    ];
    for (const [command, flags, paths] of commands) {
      for (const path of paths) {
        await refused(line(command, { ...flags, "--device": "wasm", [path]: none }), found);
      }
    }
    await refused(["inspect", none], found);
    await refused(["plugins", "--plugin", none], /expected its module to load, received Module not found/);
    assert.deepEqual((await filesIn(at())).filter((name) => !/^(data|token_freq)/.test(name)), []);
  });
});

Deno.test("a verifier that cannot be used is refused with the file and what is wrong in it", async () => {
  await inFolder(async (at) => {
    const file = (name: string) => ({
      write: (text: string) => (folder: string) => Deno.writeTextFile(join(folder, name), text),
      remove: (folder: string) => Deno.remove(join(folder, name)),
      cut: (folder: string) => Deno.truncate(join(folder, name), 100_000),
    });
    const cases: [broken: (folder: string) => Promise<void>, message: RegExp][] = [
      [
        async (folder) => {
          const path = join(folder, "config.json"), config = JSON.parse(await Deno.readTextFile(path));
          await Deno.writeTextFile(
            path,
            JSON.stringify({ ...config, architectures: ["MambaForCausalLM"], model_type: "mamba" }),
          );
        },
        /config\.json: architectures": expected one of .*Llama.*, received \["MambaForCausalLM"\]\nhint: .*--plugin/,
      ],
      [file("config.json").write("{ nope"), /config\.json": expected JSON/],
      [file("config.json").write("[]"), /config\.json": expected an object/],
      [file("config.json").remove, /config\.json": expected a file/],
      [file("model.safetensors").cut, /model\.safetensors": expected "[\w.]+" to have data within \d+ bytes/],
      [file("model.safetensors").write("short"), /model\.safetensors": expected a length of 8 bytes/],
      [file("model.safetensors").remove, /expected one of model\.safetensors, .*received none/],
      [file("tokenizer.json").remove, /tokenizer\.json": expected a file/],
      [file("tokenizer.json").write("{}"), /tokenizer\.json": expected a tokenizer/],
      [file("chat_template.jinja").remove, /chat_template\.jinja": expected a chat template/],
    ];
    for (const [i, [broken, message]] of cases.entries()) {
      const folder = await copyModel(VERIFIER, at(String(i)));
      await broken(folder);
      await refused(line("generate", { ...generateFlags, "-b": folder }), message);
      await Deno.remove(folder, { recursive: true });
    }
  });
});

Deno.test("a config that lacks a field is refused by that field's name", async () => {
  await inFolder(async (at) => {
    const verifier = await copyModel(VERIFIER, at("verifier"));
    const path = join(verifier, "config.json"), whole = JSON.parse(await Deno.readTextFile(path));
    for (const field of ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]) {
      await Deno.writeTextFile(path, JSON.stringify({ ...whole, [field]: undefined }));
      const message = new RegExp(`config\\.json: ${field}": expected [^\n]*, received nothing`);
      await refused(line("generate", { ...generateFlags, "-b": verifier }), message);
    }
    const draft = await copyModel(SPECULATOR, at("draft"));
    const file = join(draft, "config.json"), config = JSON.parse(await Deno.readTextFile(file));
    for (const field of ["speculators_model_type", "speculators_config", "transformer_layer_config"]) {
      await Deno.writeTextFile(file, JSON.stringify({ ...config, [field]: undefined }));
      const message = new RegExp(`config\\.json: ${field}": expected [^\n]*, received nothing`);
      await refused(line("generate", { ...generateFlags, "-s": draft }), message);
    }
  });
});

Deno.test("a speculator that was made for another verifier is refused, or its doubt told", async () => {
  await inFolder(async (at) => {
    type Config = Record<string, unknown> & { transformer_layer_config: object; speculators_config: object };
    const changed = (name: string, change: (config: Config) => object) =>
      copyModel(SPECULATOR, at(name), (config) => ({ ...config, ...change(config as Config) }));
    const wide = await changed("wide", ({ transformer_layer_config }) => ({
      target_hidden_size: 256,
      transformer_layer_config: { ...transformer_layer_config, hidden_size: 256 },
    }));
    await refused(line("generate", { ...generateFlags, "-s": wide }), /expected .*256.*, received .*192/);
    const deep = await changed("deep", () => ({ eagle_aux_hidden_state_layer_ids: [2, 14, 29] }));
    await refused(
      line("generate", { ...generateFlags, "-s": deep }),
      /expected .*ids from 0 to 8, received 14/,
    );
    const unknown = await changed("unknown", () => ({ speculators_model_type: "eagle33" }));
    await refused(
      line("generate", { ...generateFlags, "-s": unknown }),
      /"eagle33": .*\nhint: Did you mean "eagle3"\?/,
    );
    await refused(
      line("generate", { ...generateFlags, "-s": VERIFIER }),
      /speculators_model_type": expected the name/,
    );
    const cut = await changed("cut", () => ({}));
    await Deno.truncate(join(cut, "model.safetensors"), 100_000);
    await refused(
      line("generate", { ...generateFlags, "-s": cut }),
      /model\.safetensors": expected "[\w.]+" to have data/,
    );
    const other = await changed("other", ({ speculators_config }) => ({
      speculators_config: {
        ...speculators_config,
        verifier: { name_or_path: "elsewhere", architectures: ["OtherForCausalLM"] },
      },
    }));
    const { code, err } = await cli(line("generate", { ...generateFlags, "-s": other }));
    assert.equal(code, 0);
    assert.match(
      err,
      /^warning: The speculator was trained for OtherForCausalLM, and .* is LlamaForCausalLM/,
    );
  });
});

Deno.test("a data set without conversations is refused, and nothing is written", async () => {
  await inFolder(async (at) => {
    await Deno.mkdir(at("empty"));
    await Deno.writeTextFile(at("empty.jsonl"), "\n");
    await Deno.writeTextFile(at("others.jsonl"), '{"a": 1}\n{"b": 2}\nnone\n');
    await Deno.writeTextFile(at("cut.json"), '[{"conversations": [');
    const cases: [name: string, message: RegExp][] = [
      ["empty", /expected \.jsonl or \.json files in the folder, received none/],
      ["empty.jsonl", /expected conversations[^\n]*, received none/],
      ["others.jsonl", /received 3 records that are none: 2 × no known column, 1 × not JSON/],
      ["cut.json", /cut\.json": expected JSON/],
    ];
    for (const [name, message] of cases) {
      await refused(line("datagen", { ...datagenFlags(at), "--train-data-path": at(name) }), message);
      await refused(["evaluate", "-b", VERIFIER, "-s", SPECULATOR, "-d", at(name), ...WASM], message);
    }
    assert.deepEqual(await filesIn(at()), ["cut.json", "empty.jsonl", "others.jsonl"]);
  });
});

Deno.test("options that do not fit the model are told as the flags they were given by", async () => {
  await inFolder(async (at) => {
    const flags = datagenFlags(at);
    await refused(
      line("datagen", { ...flags, "--layer-ids": "99" }),
      /Cannot use "--layer-ids": expected ids from 0 to 8/,
    );
    await refused(
      line("datagen", { ...flags, "--assistant-pattern": "(" }),
      /Cannot use "--assistant-pattern": expected a regular/,
    );
    await refused(
      line("datagen", { ...flags, "--engine": "vlm" }),
      /"vlm": expected the name of an engine plugin/,
    );
    const map = { "--token-freq-path": at("f"), "--draft-vocab-size": "9", "--output-path": at("vocab") };
    await refused(
      line("vocab-map", map),
      /Cannot use "--target-vocab-size": .*\nhint: Give --target-vocab-size, or --target-model-path/,
    );
    assert.deepEqual(await filesIn(at()), []);
  });
});

Deno.test("a place that cannot be written is refused before the work, which is not lost", async () => {
  await inFolder(async (at) => {
    await Deno.writeTextFile(at("file"), "");
    assert.equal((await cli(line("datagen", datagenFlags(at)))).code, 0);
    const before = await filesIn(at());
    const flags = datagenFlags(at), train = trainFlags(at);
    const map = {
      "--token-freq-path": at("token_freq.pt"),
      "--draft-vocab-size": "9",
      "--target-vocab-size": "2048",
    };
    const cases: string[][] = [
      line("datagen", { ...flags, "--output-dir": at("file") }),
      line("datagen", { ...flags, "--output-dir": at("file", "below") }),
      line("datagen", { ...flags, "--token-freq-path": at("file", "below.pt") }),
      line("vocab-map", { ...map, "--output-path": at("file", "below") }),
      line("train", { ...train, "--save-path": at("file") }),
      line("train", { ...train, "--save-path": at("file", "below") }),
      line("train", { ...train, "--logger": "jsonl", "--log-dir": at("file", "below") }),
      line("demo", { "--output-dir": at("file"), "--device": "wasm" }),
    ];
    for (const args of cases) {
      const found = await cli(args);
      checkRefused(found, new RegExp(`"${RegExp.escape(at("file"))}`));
      assert.ok(!/steps/.test(found.err), found.err);
    }
    assert.deepEqual(await filesIn(at()), before);
  });
});
