/** Drafts of every kind through the command line: samples, training, evaluation, text, what they are, other layouts. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { cli, DIALOGUES, VERIFIER } from "./cli.ts";

const KINDS: readonly (readonly [type: string, settings: readonly string[], foreign: string])[] = [
  ["dflash", ["block_size=4", "max_anchors=64"], "dflash"],
  ["mtp", ["num_speculative_steps=2"], "mtp"],
  ["eagle3", ["fc_norm=true", "norm_output=true"], "eagle3-research"],
];

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await cli([...args, "--json"]);
  assert.equal(code, 0, `${args[0]}: ${err}`);
  return JSON.parse(out);
}

Deno.test("each kind of draft is trained, evaluated, asked for text, inspected and converted", async (t) => {
  const folder = await Deno.makeTempDir(), at = (...parts: string[]) => join(folder, ...parts);
  const device = ["--device", "wasm"];
  try {
    const made = await cli([
      ...["datagen", "--target-model-path", VERIFIER, "--train-data-path", DIALOGUES, ...device],
      ...["--output-dir", at("data"), "--token-freq-path", at("freq.pt"), "--max-samples", "24"],
      ...["--seq-length", "96"],
    ]);
    assert.equal(made.code, 0, made.err);
    for (const [type, settings, foreign] of KINDS) {
      await t.step(type, async () => {
        const train = (epochs: number) =>
          json(
            ...["train", "--verifier-name-or-path", VERIFIER, "--speculator-type", type, ...device],
            ...[
              "--data-path",
              at("data"),
              "--save-path",
              at(`${type}-${epochs}`),
              "--epochs",
              `${epochs}`,
              "--lr",
              "4e-3",
            ],
            ...["--total-seq-len", "256", "--noise-std", "0", "--set", ...settings],
          );
        const loss = ({ validation }: Record<string, unknown>) =>
          (validation as Record<string, number>)["loss"]!;
        const first = await train(1), last = await train(8);
        assert.ok(loss(last) < 0.9 * loss(first), `${loss(first)} → ${loss(last)}`);
        const checkpoint = last["checkpoint"] as string;

        const evaluation = await json(
          ...["evaluate", "--base", VERIFIER, "--speculator", checkpoint, "--dataset", DIALOGUES, ...device],
          ...["--limit", "6"],
        );
        assert.equal(evaluation["identical"], true);
        assert.ok(evaluation["drafted"] as number > 0 && evaluation["accepted"] as number > 0);

        const written = await json(
          ...[
            "generate",
            "--verifier-name-or-path",
            VERIFIER,
            "--speculator",
            checkpoint,
            "--prompt",
            "Good morrow",
            ...device,
          ],
          ...["--max-tokens", "12"],
        );
        assert.ok((written["tokens"] as unknown[]).length > 0);
        assert.ok((await json("inspect", checkpoint))["config"] !== undefined);
        const converted = await cli([
          ...["convert", checkpoint, "--to", foreign, "--output-path", at(`${type}-foreign`)],
          ...["--verifier", VERIFIER],
        ]);
        assert.equal(converted.code, 0, converted.err);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a setting that a draft does not know is refused by name before anything is read", async () => {
  const { code, err } = await cli([
    ...["train", "--verifier-name-or-path", VERIFIER, "--speculator-type", "dflash", "--set", "blocks"],
  ]);
  assert.equal(code, 2);
  assert.match(err, /name=value/);
});
