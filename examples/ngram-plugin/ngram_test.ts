/** The plugin's op and draft through their suites, and the whole from a URL. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  array,
  exactly,
  inputs,
  integers,
  type OpCases,
  opSuite,
  pluginConformance,
} from "../../tests/conformance/mod.ts";
import { devices } from "../../tests/devices.ts";
import { copyModel } from "../../tests/cli.ts";
import { serveFolder } from "../../tests/serve_folder.ts";
import { continuationOp } from "./continuation.ts";
import plugin from "./mod.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const VERIFIER = join(ROOT, "examples/assets/tiny-verifier");

/** Texts, and what follows them by their own example. */
const CASES:
  readonly (readonly [name: string, text: readonly number[], count: number, expected: readonly number[]])[] =
    [
      ["what followed the last time", [5, 6, 7, 8, 9, 5, 6], 3, [7, 8, 9]],
      ["the longest match, not the latest", [1, 2, 3, 4, 9, 3, 7, 1, 2, 3], 2, [4, 9]],
      ["the latest of equal matches", [3, 1, 3, 2, 3], 1, [2]],
      ["round and round", [1, 2, 3, 1, 2, 3], 7, [1, 2, 3, 1, 2, 3, 1]],
      ["the newest token where nothing matches", [1, 2, 3], 2, [3, 3]],
      ["a text of one token", [4], 2, [4, 4]],
      ["nothing", [1, 1], 0, []],
    ];

const SUITE: OpCases<{ readonly count: number; readonly most: number }> = {
  op: continuationOp,
  // The definition, word for word: all places, all lengths.
  reference: ([history], { count, most }) => {
    const text = Array.from(history!.data), n = text.length;
    const length = (place: number) => {
      let same = 0;
      while (same < Math.min(most, place) && text[place - 1 - same] === text[n - 1 - same]) same++;
      return same;
    };
    const places = text.map((_, place) => place).sort((a, b) => length(b) - length(a) || b - a);
    const found = text.slice(places[0]);
    return [array([count], Array.from({ length: count }, (_, i) => found[i % found.length]!), "i32")];
  },
  cases: [
    ...CASES.map(([name, text, count]) => ({
      name,
      inputs: inputs(exactly([text.length], text, "i32")),
      attrs: { count, most: 8 },
    })),
    ...[1, 3, 255].map((most) => ({
      name: `long, at most ${most}`,
      inputs: inputs(integers([3000], 0, 4)),
      attrs: { count: 100, most },
    })),
  ],
  refusals: [
    { name: "no text", inputs: [{ shape: [0], dtype: "i32" }], attrs: { count: 1, most: 8 } },
    { name: "a text of floats", inputs: [{ shape: [3], dtype: "f32" }], attrs: { count: 1, most: 8 } },
    {
      name: "a match that is too long",
      inputs: [{ shape: [3], dtype: "i32" }],
      attrs: { count: 1, most: 256 },
    },
  ],
};

for (const { name, open, skip } of devices()) {
  if (skip !== undefined) continue; // devices() has said so
  opSuite(SUITE, open, { name });
  await pluginConformance(plugin, { device: name as "wasm" | "webgpu" });
}

Deno.test("the text's own example is followed", () => {
  for (const [name, text, count, expected] of CASES) {
    const [found] = SUITE.reference([array([text.length], [...text], "i32")], { count, most: 8 });
    assert.deepEqual(Array.from(found!.data), expected, name);
  }
});

Deno.test("from a URL it writes repetitive text in fewer passes than tokens, and the same text", async () => {
  const folder = await Deno.makeTempDir(), host = serveFolder(ROOT);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", join(ROOT, "cli/main.ts"), ...args, "--device", "wasm", "--quiet"],
      cwd: folder,
      stdin: "null",
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, err);
    return out!;
  };
  try {
    const plugin = ["--plugin", `${host.url}/examples/ngram-plugin/mod.ts`];
    // Of a verifier that never ends a text: it turns in circles before long.
    const endless = await copyModel(
      VERIFIER,
      join(folder, "endless"),
      (config) => ({ ...config, eos_token_id: null }),
    );
    await Deno.writeTextFile(join(endless, "generation_config.json"), "{}");
    await run("plugins", "speculator", "ngram", ...plugin, "--verifier", endless, "--output-path", "ngram");
    const content = "Good morrow, my lord. ".repeat(6);
    await Deno.writeTextFile(
      join(folder, "prompts.jsonl"),
      JSON.stringify({ messages: [{ role: "user", content }] }),
    );
    const evaluated = await run(
      ...[
        "evaluate",
        "-b",
        endless,
        "-s",
        "ngram",
        ...plugin,
        "-d",
        "prompts.jsonl",
        "--max-tokens",
        "300",
        "--json",
      ],
    );
    const { identical, accepted, outputs } = JSON.parse(evaluated);
    assert.equal(identical, true);
    // A pass of the verifier gives a token of its own and those that it accepts.
    const tokens = outputs[0].length, passes = tokens - accepted;
    assert.ok(tokens === 300 && passes < 0.7 * tokens, `${passes} passes for ${tokens} tokens`);
  } finally {
    await host.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
