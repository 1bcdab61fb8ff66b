import assert from "node:assert/strict";
import { ConfigError } from "../../core/errors.ts";
import { hostTensor, toFloat32 } from "../../core/formats/dtype.ts";
import type { TensorSource } from "../../core/formats/source.ts";
import type { DraftSources } from "../../core/plugin.ts";
import type { HostTensor, Shape } from "../../core/tensor.ts";
import type { Eagle3Config } from "./config.ts";
import { initialiseEagle3 } from "./initialise.ts";

const VOCAB = 12, WIDTH = 8;

const config: Eagle3Config = {
  speculators_model_type: "eagle3",
  draft_vocab_size: 4,
  transformer_layer_config: {
    model_type: "qwen3",
    hidden_size: WIDTH,
    intermediate_size: 100,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 6,
    vocab_size: VOCAB,
    attention_bias: true,
  },
};

function counting(shape: Shape, scale = 1): HostTensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return hostTensor(Float32Array.from({ length }, (_, i) => i * scale), shape);
}

function sources(more: Partial<DraftSources> = {}): DraftSources {
  return {
    seed: 1,
    checkpoint: null,
    vocabulary: {
      d2t: BigInt64Array.of(1n, 2n, 5n, 8n),
      t2d: Uint8Array.of(0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1),
    },
    verifier: {
      embedTokens: () => Promise.resolve(counting([VOCAB, WIDTH])),
      lmHead: () => Promise.resolve(counting([VOCAB, WIDTH], 10)),
      norm: () => Promise.resolve(counting([WIDTH], 2)),
    },
    ...more,
  };
}

function memory(tensors: ReadonlyMap<string, HostTensor>): TensorSource {
  return {
    names: () => [...tensors.keys()],
    has: (name) => tensors.has(name),
    spec: (name) => tensors.get(name)!,
    read: (name) => Promise.resolve(tensors.get(name)!),
    [Symbol.dispose]() {},
  };
}

async function refused(work: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("a new draft shares the verifier's embedding, final norm and the kept rows of its head", async () => {
  const found = await initialiseEagle3(config, sources());
  assert.deepEqual(toFloat32(found.get("embed_tokens.weight")!), toFloat32(counting([VOCAB, WIDTH])));
  assert.deepEqual(toFloat32(found.get("verifier_norm.weight")!), toFloat32(counting([WIDTH], 2)));
  const rows = [1, 3, 7, 11].flatMap((id) => Array.from({ length: WIDTH }, (_, i) => 10 * (id * WIDTH + i)));
  for (const name of ["lm_head.weight", "verifier_lm_head.weight"]) {
    assert.deepEqual(toFloat32(found.get(name)!), Float32Array.from(rows), name);
  }
});

Deno.test("norms start at one and linear layers uniformly within one over the root of their inputs", async () => {
  const found = await initialiseEagle3(config, sources());
  for (const [name, tensor] of found) {
    if (/^(embed|lm_head|verifier|d2t|t2d)/.test(name)) continue;
    const values = toFloat32(tensor);
    if (name.endsWith("norm.weight")) {
      assert.ok(values.every((x) => x === 1), name);
      continue;
    }
    const inputs = found.get(name.replace(/bias$/, "weight"))!.shape[1]!, bound = 1 / Math.sqrt(inputs);
    assert.ok(values.every((x) => Math.abs(x) <= bound), name);
    if (values.length < 500) continue;
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const square = values.reduce((sum, x) => sum + x * x, 0) / values.length;
    assert.ok(Math.abs(mean) < 0.15 * bound, `${name}: mean ${mean}`);
    assert.ok(Math.abs(square / (bound * bound / 3) - 1) < 0.15, `${name}: mean square ${square}`);
  }
});

Deno.test("another seed gives another draft, and no two tensors are alike", async () => {
  const one = await initialiseEagle3(config, sources());
  const two = await initialiseEagle3(config, sources({ seed: 2 }));
  const drawn = [...one.keys()].filter((name) => /proj\.weight|^fc/.test(name));
  for (const name of drawn) assert.notDeepEqual(one.get(name), two.get(name), name);
  const starts = new Set(drawn.map((name) => toFloat32(one.get(name)!)[0]));
  assert.equal(starts.size, drawn.length);
});

Deno.test("a checkpoint that lacks a tensor, or has one of another shape, is refused", async () => {
  const whole = await initialiseEagle3(config, sources());
  const lacking = new Map(whole);
  lacking.delete("fc.weight");
  await refused(
    initialiseEagle3(config, sources({ checkpoint: memory(lacking) })),
    /"fc.weight".*\[8, 24\].*received none/,
  );
  const wrong = new Map(whole).set("fc.weight", counting([8, 16]));
  await refused(
    initialiseEagle3(config, sources({ checkpoint: memory(wrong) })),
    /"fc.weight".*\[8, 24\].*\[8, 16\]/,
  );
  const bare = new Map(whole);
  for (const name of ["embed_tokens.weight", "d2t", "t2d"]) bare.delete(name);
  const found = await initialiseEagle3(config, sources({ checkpoint: memory(bare) }));
  assert.deepEqual(found, whole);
});

Deno.test("a vocabulary map that is no map into the verifier's vocabulary is refused", async () => {
  const t2d = Uint8Array.of(0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1);
  const given = (d2t: bigint[]) =>
    initialiseEagle3(config, sources({ vocabulary: { d2t: BigInt64Array.from(d2t), t2d } }));
  await refused(given([1n, 2n, 5n]), /"d2t".*\[4\].*\[3\]/);
  await refused(given([1n, 2n, 5n, 9n]), /"d2t".*below 12, received 12 for draft id 3/);
  await refused(given([1n, 0n, 5n, 8n]), /"d2t".*distinct.*received 1 for draft id 1/);
  await refused(given([1n, 2n, 5n, 7n]), /"t2d".*at 10/);
  await refused(initialiseEagle3(config, sources({ vocabulary: null })), /"d2t".*received none/);
});
