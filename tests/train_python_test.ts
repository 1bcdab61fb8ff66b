/**
 * Checkpoints that the Python system's trainer goes on from, and this one from its: always as files, and by its own code
 * where there is a Python with `torch` and `speculators` 0.4: `PYTHON` names it, else it is `python3`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openTorch, TorchTensor, type TorchValue } from "../core/formats/torch.ts";
import { openWeights } from "../core/formats/weights.ts";
import { createRuntime, datagen, finish, train, type TrainOptions, vocabMap } from "../mod.ts";
import { layOutOptimizer } from "../examples/python_trainer.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const PYTHON = Deno.env.get("PYTHON") ?? "python3";
const SCRIPT = fileURLToPath(new URL("./python/train_on.py", import.meta.url));
const CHECK = "import importlib.util as u, importlib.metadata as m, sys; " +
  "sys.exit(not (u.find_spec('torch') and u.find_spec('speculators') and m.version('speculators').startswith('0.4')))";

function python(...args: string[]): { success: boolean; text: string } {
  try {
    const { success, stderr } = new Deno.Command(PYTHON, {
      args,
      env: { CUDA_VISIBLE_DEVICES: "" },
      stderr: "piped",
      stdout: "null",
    }).outputSync();
    return { success, text: new TextDecoder().decode(stderr) };
  } catch {
    return { success: false, text: "no Python" };
  }
}

const there = python("-c", CHECK).success;

/** A checkpoint of one epoch. */
async function trained(at: (...parts: string[]) => string): Promise<TrainOptions> {
  const runtime = await createRuntime({ device: "wasm" });
  await finish(datagen({
    ...{ targetModelPath: VERIFIER, trainDataPath: [DIALOGUES], outputDir: at("data") },
    ...{ tokenFreqPath: at("token_freq.pt"), maxSamples: 6, seqLength: 64 },
  }, runtime));
  const { paths } = await finish(vocabMap({
    ...{
      tokenFreqPath: [at("token_freq.pt")],
      draftVocabSize: 64,
      targetModelPath: VERIFIER,
      outputPath: at("vocab"),
    },
  }, runtime));
  const options: TrainOptions = {
    ...{ verifierNameOrPath: VERIFIER, dataPath: [at("data")], savePath: at("run"), epochs: 1, lr: 1e-3 },
    ...{ d2tPath: paths.d2t, t2dPath: paths.t2d, totalSeqLen: 128 },
  };
  await finish(train(options, runtime));
  return options;
}

function dict(value: TorchValue | undefined): Map<TorchValue, TorchValue> {
  assert.ok(value instanceof Map);
  return value;
}

async function floats(value: TorchValue | undefined): Promise<Float32Array> {
  assert.ok(value instanceof TorchTensor);
  const { bytes } = await value.read();
  return new Float32Array(bytes.slice().buffer);
}

Deno.test("a checkpoint holds the optimiser and the schedule as torch saves them", async () => {
  await inFolder(async (at) => {
    await trained(at);
    using file = await openTorch(at("run", "0", "optimizer_state_dict.pt"));
    const groups = dict(file.value).get("param_groups");
    assert.ok(Array.isArray(groups) && groups.length === 1);
    const group = dict(groups[0]), names = group.get("param_names") as string[];
    // source: `Eagle3DraftModel.named_parameters()` of speculators 0.4.0.1
    const layer = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"].concat(
      [
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
        "input_layernorm",
        "post_attention_layernorm",
        "hidden_norm",
      ],
    ).map((name) => `layers.0.${name}.weight`);
    const last = ["norm", "verifier_norm", "embed_tokens", "lm_head", "verifier_lm_head"].map((name) =>
      `${name}.weight`
    );
    assert.deepEqual(names, ["fc.weight", ...layer, ...last]);
    assert.deepEqual(group.get("params"), names.map((_, i) => i));
    assert.deepEqual([group.get("initial_lr"), group.get("weight_decay")], [1e-3, 0.01]);
    const state = dict(dict(file.value).get("state")), frozen = [12, 13, 15];
    assert.deepEqual([...state.keys()], names.map((_, i) => i).filter((i) => !frozen.includes(i)));
    const { global_step } = JSON.parse(await Deno.readTextFile(at("run", "0", "training_state.json")));
    using weights = await openWeights(at("run", "0"));
    for (const [i, entry] of state) {
      assert.deepEqual([...await floats(dict(entry).get("step"))], [global_step]);
      const moment = dict(entry).get("exp_avg") as TorchTensor;
      assert.deepEqual(moment.shape, weights.spec(names[Number(i)]!).shape);
      assert.ok((await floats(dict(entry).get("exp_avg_sq"))).some((x) => x > 0), names[Number(i)]);
    }
    using schedule = await openTorch(at("run", "0", "scheduler_state_dict.pt"));
    assert.deepEqual(
      [dict(schedule.value).get("last_epoch"), dict(schedule.value).get("base_lrs")],
      [global_step, [1e-3]],
    );
  });
});

Deno.test({
  name: "the Python trainer goes on from a checkpoint made here, and this one from its" +
    (there ? "" : " (there is no Python with torch and speculators 0.4; PYTHON names one)"),
  ignore: !there,
  fn: () =>
    inFolder(async (at) => {
      const options = await trained(at);
      const ran = python(SCRIPT, at("run"), at("data"), at("loaded.pt"), "2");
      assert.ok(ran.success, ran.text);
      // What it had before it trained: every number of the checkpoint.
      using loaded = await openTorch(at("loaded.pt"));
      using file = await openTorch(at("run", "0", "optimizer_state_dict.pt"));
      const names = dict((dict(file.value).get("param_groups") as TorchValue[])[0]).get(
        "param_names",
      ) as string[];
      const theirs = dict(dict(loaded.value).get("optimizer")), ours = dict(dict(file.value).get("state"));
      assert.equal(theirs.size, ours.size);
      for (const [i, entry] of ours) {
        const other = dict(theirs.get(names[Number(i)]!));
        for (const part of ["step", "exp_avg", "exp_avg_sq"]) {
          assert.deepEqual(
            await floats(other.get(part)),
            await floats(dict(entry).get(part)),
            `${part} of ${i}`,
          );
        }
      }
      using first = await openWeights(at("run", "0"));
      const weights = dict(dict(loaded.value).get("weights"));
      for (const name of ["fc.weight", "lm_head.weight"]) {
        const { bytes } = await first.read(name);
        assert.deepEqual(await floats(weights.get(name)), new Float32Array(bytes.slice().buffer));
      }
      // And this one goes on from what it left.
      const notes: string[] = [];
      const { checkpoint, steps } = await finish(
        train({ ...options, epochs: 3 }, await createRuntime({ device: "wasm" })),
        (event) => event.type === "note" && notes.push(event.text),
      );
      assert.match(notes.join(), /goes on from .*1, with epoch 3 of 3/);
      assert.equal(checkpoint, join(at("run"), "2"));
      using after = await openTorch(join(checkpoint, "optimizer_state_dict.pt"));
      for (const entry of dict(dict(after.value).get("state")).values()) {
        assert.deepEqual([...await floats(dict(entry).get("step"))], [steps]);
      }
    }),
});

Deno.test("the optimiser's file is laid out as other versions of the Python trainer number or name parameters", async () => {
  await inFolder(async (at) => {
    const options = await trained(at), path = at("run", "0", "optimizer_state_dict.pt");
    const content = async () => {
      using file = await openTorch(path);
      const { param_groups, state } = Object.fromEntries(dict(file.value) as Map<string, TorchValue>);
      const group = dict((param_groups as TorchValue[])[0]), ids = group.get("params") as TorchValue[];
      const names = (group.get("param_names") ?? ids) as string[], found: Record<string, Float32Array> = {};
      for (const [id, entry] of dict(state)) {
        found[names[ids.indexOf(id)]!] = await floats(dict(entry).get("exp_avg"));
      }
      return { ids, names, found };
    };
    const before = await content();
    await layOutOptimizer(at("run", "0"), "0.7");
    const newer = await content();
    // source: `Eagle3DraftModel.named_parameters()` of speculators 0.7.0.1
    assert.deepEqual(
      newer.names.slice(0, 4),
      ["embed_tokens", "lm_head", "verifier_lm_head", "fc"].map((n) => `${n}.weight`),
    );
    assert.deepEqual(newer.found, before.found);
    await layOutOptimizer(at("run", "0"), "fsdp");
    const sharded = await content();
    assert.deepEqual([sharded.ids, sharded.found], [newer.names, before.found]);
    const { checkpoint } = await finish(
      train({ ...options, epochs: 1 }, await createRuntime({ device: "wasm" })),
    );
    assert.equal(checkpoint, at("run", "0"));
    await assert.rejects(layOutOptimizer(at("run", "0"), "0.9"), /expected 0\.4, 0\.7 or fsdp/);
  });
});
