/** Drafts in a real vLLM on this machine: `VLLM_VENV` names the Python environment that has it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRuntime, datagen, evaluate, finish, train, type TrainOptions } from "../mod.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const SCRIPT = fileURLToPath(new URL("./python/vllm_drafts.py", import.meta.url));
const PROMPTS = 4, MOST_TOKENS = 48;

const DRAFTS:
  readonly (readonly [title: string, method: string, tokens: number, draft: TrainOptions["draft"]])[] = [
    ["a DFlash draft", "dflash", 7, {}],
    ["an Eagle-3.1 draft", "eagle3", 3, { extra: { fc_norm: true, norm_output: true } }],
  ];

const venv = Deno.env.get("VLLM_VENV") ?? null;

/** Libraries that vLLM wants loaded first. */
async function preloaded(): Promise<string> {
  const found: string[] = [];
  for (
    const path of [
      "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
      join(venv!, "lib", "libiomp5.so"),
    ]
  ) {
    if (await Deno.stat(path).then(() => true, () => false)) found.push(path);
  }
  return found.join(":");
}

for (const [title, method, tokens, draft] of DRAFTS) {
  Deno.test({
    name: `${title} that was trained here has the same text and counts in vLLM`,
    ignore: venv === null,
    fn: () =>
      inFolder(async (at) => {
        const runtime = await createRuntime({ device: "wasm" });
        await finish(datagen({
          targetModelPath: VERIFIER,
          trainDataPath: [DIALOGUES],
          outputDir: at("data"),
          tokenFreqPath: at("freq.pt"),
          maxSamples: 60,
          seqLength: 128,
        }, runtime));
        const { checkpoint } = await finish(train({
          verifierNameOrPath: VERIFIER,
          dataPath: [at("data")],
          savePath: at("draft"),
          speculatorType: method,
          ...(draft ? { draft } : {}),
          epochs: 8,
          lr: 4e-3,
          totalSeqLen: 512,
          noiseStd: 0,
        }, runtime));
        const ours = await finish(evaluate({
          base: VERIFIER,
          speculator: checkpoint,
          data: [DIALOGUES],
          limit: PROMPTS,
          maxTokens: MOST_TOKENS,
        }, runtime));
        const { code, stdout, stderr } = await new Deno.Command(join(venv!, "bin", "python"), {
          args: [
            SCRIPT,
            VERIFIER,
            checkpoint,
            DIALOGUES,
            method,
            `${tokens}`,
            `${PROMPTS}`,
            `${MOST_TOKENS}`,
          ],
          env: { LD_PRELOAD: await preloaded() },
        }).output();
        assert.equal(code, 0, new TextDecoder().decode(stderr).slice(-3000));
        const theirs = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
        assert.ok(ours.accepted > 0);
        assert.deepEqual(theirs, { outputs: ours.outputs, drafted: ours.drafted, accepted: ours.accepted });
      }),
  });
}
