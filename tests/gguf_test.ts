/** Models in GGUF files: the same weights, the same logits, the same config as the checkpoint they were made from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, FormatError, NotFoundError } from "../core/errors.ts";
import { convert as cast, toFloat32 } from "../core/formats/dtype.ts";
import { readGgufConfig } from "../core/formats/gguf_weights.ts";
import { openWeights } from "../core/formats/weights.ts";
import { testFolder } from "../core/formats/_test_folder.ts";
import { inspect } from "../core/inspect.ts";
import { openVerifier } from "../core/verifier.ts";
import { BYTES } from "../core/tensor.ts";
import { dequantise, open } from "../kernels/mod.ts";
import { convert, createRuntime, finish } from "../mod.ts";
import { builtins } from "../plugins/mod.ts";
import { golden, goldenJson } from "./golden.ts";
import { ggufFile } from "./gguf_file.ts";
import { floats, SIZES, writeEagle3 } from "./research.ts";
import { familyAsGguf, llamaAsGguf, type LlamaConfig, metadataOf, toQ8 } from "./gguf_model.ts";

const options = { registry: builtins(), dequantise };
const { cases } = goldenJson<{ readonly cases: Readonly<Record<string, { architecture: string }>> }>(
  "verifiers",
  "manifest.json",
);
const llamas = Object.keys(cases).filter((name) => {
  const { architectures } = config(name) as { architectures?: unknown };
  return Array.isArray(architectures) && architectures[0] === "LlamaForCausalLM";
});
const plain = llamas.filter((name) => config(name)["rope_scaling"] === null);

function config(name: string): LlamaConfig {
  return goldenJson("verifiers", name, "config.json");
}

async function logits(path: string): Promise<Float32Array> {
  using backend = await open("wasm", { threads: 1 });
  using opened = await openVerifier(path, options);
  using model = await opened.load(backend);
  using _scope = backend.scope();
  const out = model.forward({ tokens: Int32Array.of(1, 7, 3, 11, 2, 5) });
  return (await backend.read(out.logits!) as Float32Array).slice();
}

for (const name of llamas) {
  Deno.test(`${name} in a GGUF file has the weights it was made from, whole and by rows`, async () => {
    await using folder = await testFolder();
    const path = await folder.put("model.gguf", await llamaAsGguf(golden("verifiers", name)));
    using expected = await openWeights(golden("verifiers", name));
    using found = await openWeights(path);
    const names = expected.names().filter((name) => !name.endsWith("inv_freq"));
    assert.deepEqual([...found.names()].sort(), [...names].sort());
    for (const name of names) {
      const whole = await expected.read(name);
      assert.deepEqual(await found.read(name), whole, name);
      const [count = 1, ...rest] = whole.shape, start = count >> 2, end = count - (count >> 3) - 1;
      if (count < 4) continue;
      const row = whole.bytes.length / count;
      assert.deepEqual(await found.readRange!(name, { start, end }), {
        shape: [end - start, ...rest],
        dtype: whole.dtype,
        bytes: whole.bytes.slice(start * row, end * row),
      }, name);
    }
  });
}

for (const name of plain) {
  Deno.test(`${name} in a GGUF file alone gives the checkpoint's logits, bit for bit`, async () => {
    await using folder = await testFolder();
    const path = await folder.put("model.gguf", await llamaAsGguf(golden("verifiers", name)));
    const expected = await logits(golden("verifiers", name));
    assert.ok(expected.some((value) => value !== 0));
    assert.deepEqual(await logits(path), expected);
    assert.deepEqual(await logits(folder.path), expected, "by its folder");
  });
}

/** Architectures in such files, by that of the checkpoint. */
const FAMILIES: Readonly<Record<string, string>> = {
  Qwen2ForCausalLM: "qwen2",
  Qwen3ForCausalLM: "qwen3",
  Qwen3MoeForCausalLM: "qwen3moe",
};

for (const name of Object.keys(cases)) {
  const whole = config(name) as Record<string, unknown>;
  const architecture = FAMILIES[(whole["architectures"] as string[])[0]!];
  // The files say nothing of windows and of weights that are not made to sum to 1.
  const said = whole["use_sliding_window"] !== true && whole["norm_topk_prob"] !== false &&
    whole["rope_scaling"] === null;
  if (architecture === undefined || !said) continue;
  Deno.test(`${name} in a GGUF file alone gives the checkpoint's logits too, bit for bit`, async () => {
    await using folder = await testFolder();
    const path = await folder.put("model.gguf", await familyAsGguf(golden("verifiers", name), architecture));
    assert.deepEqual(await logits(path), await logits(golden("verifiers", name)));
  });
}

Deno.test("a quantised model's logits are near the checkpoint's", async () => {
  await using folder = await testFolder();
  const name = plain[0]!,
    bytes = await llamaAsGguf(
      golden("verifiers", name),
      (tensor) => toQ8(tensor, toFloat32(tensor)),
    );
  const path = await folder.put("model.gguf", bytes);
  const found = await inspect(path, options);
  assert.ok(found.tensors.filter(({ dtype }) => dtype === "Q8_0").length > 7);
  const expected = await logits(golden("verifiers", name)), near = await logits(path);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  near.forEach((value, i) => assert.ok(Math.abs(value - expected[i]!) < 0.03 * largest, `${value} at ${i}`));
});

Deno.test("a quantised model's matrices stay in the blocks they are stored in", async () => {
  await using folder = await testFolder();
  const bytes = await llamaAsGguf(
    golden("verifiers", plain[0]!),
    (tensor) => toQ8(tensor, toFloat32(tensor)),
  );
  const path = await folder.put("model.gguf", bytes);
  using source = await openWeights(path, options);
  const names = source.names().filter((name) => source.blocks!(name) === "q8_0");
  assert.ok(names.includes("model.layers.0.self_attn.q_proj.weight") && names.length > 7);
  using backend = await open("wasm", { threads: 1 });
  using opened = await openVerifier(path, options);
  let total = 0;
  using model = await opened.load(backend, { onProgress: (progress) => total = progress.total });
  const stored = source.names().reduce((sum, name) => {
    const { shape, dtype } = source.spec(name);
    return sum + shape.reduce((n, axis) => n * axis, 1) * BYTES[source.blocks!(name) ?? dtype];
  }, 0);
  assert.equal(total, stored);
  // Beside the weights: the tables of the rotation, and what a backend rounds up.
  const { maxPositions, headDim } = model.info;
  assert.ok(backend.memory().live < stored + 4 * maxPositions * headDim + 256 * source.names().length);
});

Deno.test("the config of a GGUF file is that of the checkpoint", async () => {
  for (const name of plain) {
    await using folder = await testFolder();
    const path = await folder.put("model.gguf", await llamaAsGguf(golden("verifiers", name)));
    const found = await readGgufConfig(path), expected = config(name);
    const headDim = Number(expected["hidden_size"]) / Number(expected["num_attention_heads"]);
    for (const [key, value] of Object.entries(found)) {
      if (key === "bos_token_id" || (key === "eos_token_id" && typeof expected[key] !== "number")) continue;
      const fallback = {
        head_dim: headDim,
        attention_bias: false,
        mlp_bias: false,
        tie_word_embeddings: false,
      };
      assert.deepEqual(
        value,
        expected[key] ?? (fallback as Record<string, unknown>)[key] ?? null,
        `${name}: ${key}`,
      );
    }
  }
});

/** Divisors of the frequencies as Llama 3.1 stretches them. */
function divisors(headDim: number, theta: number, factor: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (2 * i / headDim);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192) return factor;
    const smooth = (8192 / wavelength - 1) / 3;
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function withRope(
  values: Float32Array,
  more: Parameters<typeof ggufFile>[0]["metadata"] = {},
): Uint8Array<ArrayBuffer> {
  const metadata = { ...metadataOf({ ...config(plain[0]!), head_dim: 128, rope_theta: 500000 }), ...more };
  const bytes = new Uint8Array(values.buffer);
  const rope = { name: "rope_freqs.weight", shape: [values.length], type: 0, bytes };
  return ggufFile({ metadata, tensors: values.length > 0 ? [rope] : [] });
}

Deno.test("the rotary scaling of Llama 3.1 is known by its factors", async () => {
  await using folder = await testFolder();
  for (const factor of [8, 32]) {
    const path = await folder.put(`${factor}.gguf`, withRope(divisors(128, 500000, factor)));
    assert.deepEqual((await readGgufConfig(path))["rope_scaling"], {
      rope_type: "llama3",
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    });
  }
  const ones = await folder.put("ones.gguf", withRope(new Float32Array(64).fill(1)));
  assert.equal((await readGgufConfig(ones))["rope_scaling"], null);
  const others = await folder.put("others.gguf", withRope(divisors(128, 10000, 8)));
  await assert.rejects(readGgufConfig(others), (error) => {
    return error instanceof ConfigError && /rope_freqs/.test(error.message) &&
      /config\.json/.test(error.hint!);
  });
});

Deno.test("linear and yarn scaling come from the metadata, others are refused", async () => {
  await using folder = await testFolder();
  const scaled = async (type: string) => {
    const more = { "llama.rope.scaling.type": { text: type }, "llama.rope.scaling.factor": { f32: 4 } };
    const context = { "llama.rope.scaling.original_context_length": { u32: 4096 } };
    const bytes = withRope(new Float32Array(), { ...more, ...context });
    return (await readGgufConfig(await folder.put("x.gguf", bytes)))["rope_scaling"];
  };
  assert.deepEqual(await scaled("linear"), { rope_type: "linear", factor: 4 });
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 4096 };
  assert.deepEqual(await scaled("yarn"), yarn);
  assert.equal(await scaled("none"), null);
  await assert.rejects(scaled("longrope"), /rope\.scaling\.type.*longrope/);
});

Deno.test("config.json beside a GGUF file goes before its metadata", async () => {
  await using folder = await testFolder();
  const scaled = llamas.find((name) => config(name)["rope_scaling"] !== null)!;
  const path = await folder.put("model.gguf", await llamaAsGguf(golden("verifiers", scaled)));
  await Deno.copyFile(golden("verifiers", scaled, "config.json"), folder.at("config.json"));
  assert.deepEqual(await logits(path), await logits(golden("verifiers", scaled)));
});

Deno.test("metadata that cannot be a config are refused by name", async () => {
  await using folder = await testFolder();
  const metadata = metadataOf(config(plain[0]!));
  const bad: [string, Parameters<typeof ggufFile>[0]["metadata"], RegExp][] = [
    ["architecture", { "general.architecture": { text: "mamba" } }, /general\.architecture.*llama.*"mamba"/],
    ["text", { "llama.block_count": { text: "two" } }, /llama\.block_count.*two/],
    ["list", { "llama.attention.head_count_kv": { texts: ["2", "4"] } }, /head_count_kv.*a list/],
    ["zero", { "llama.embedding_length": { u32: 0 } }, /embedding_length.*received 0/],
    ["experts", { "llama.expert_count": { u32: 8 } }, /expert_count.*without experts.*8/],
    ["partial", { "llama.rope.dimension_count": { u32: 2 } }, /rope\.dimension_count.*of a head.*received 2/],
    ["token", { "tokenizer.ggml.eos_token_id": { text: "end" } }, /tokenizer\.ggml\.eos_token_id/],
  ];
  for (const [name, change, message] of bad) {
    const path = await folder.put(`${name}.gguf`, ggufFile({ metadata: { ...metadata, ...change } }));
    await assert.rejects(
      readGgufConfig(path),
      (error) => error instanceof ConfigError && message.test(error.message) && error.message.includes(path),
      name,
    );
  }
});

Deno.test("heads that do not divide the rows, and one name for two tensors, are refused", async () => {
  await using folder = await testFolder();
  const metadata = { "general.architecture": { text: "llama" }, "llama.attention.head_count": { u32: 3 } };
  const tensor = (name: string, rows: number) => {
    return { name, shape: [rows, 2], type: 0, bytes: new Uint8Array(rows * 8) };
  };
  const path = await folder.put(
    "x.gguf",
    ggufFile({ metadata, tensors: [tensor("blk.0.attn_q.weight", 8)] }),
  );
  using source = await openWeights(path);
  await assert.rejects(source.read("model.layers.0.self_attn.q_proj.weight"), /even number of rows.*8 for 3/);
  const twice = [tensor("output.weight", 1), tensor("lm_head.weight", 1)];
  await assert.rejects(
    openWeights(await folder.put("y.gguf", ggufFile({ metadata, tensors: twice }))),
    (error) => error instanceof FormatError && /"lm_head\.weight" once/.test(error.message),
  );
});

Deno.test("architectures that rotate as transformers does keep the order of their rows", async () => {
  await using folder = await testFolder();
  const values = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), bytes = new Uint8Array(values.buffer);
  const tensors = [{ name: "blk.3.attn_q.weight", shape: [8, 1], type: 0, bytes }];
  const metadata = { "general.architecture": { text: "qwen3" }, "qwen3.attention.head_count": { u32: 2 } };
  using source = await openWeights(await folder.put("x.gguf", ggufFile({ metadata, tensors })));
  assert.deepEqual(toFloat32(await source.read("model.layers.3.self_attn.q_proj.weight")), values);
});

Deno.test("a folder with several GGUF files asks which", async () => {
  await using folder = await testFolder();
  const bytes = await llamaAsGguf(golden("verifiers", plain[0]!));
  await folder.put("b.gguf", bytes);
  await folder.put("a.gguf", bytes);
  await assert.rejects(openVerifier(folder.path, options), /one GGUF file in it, received a\.gguf, b\.gguf/);
});

Deno.test("inspection shows a GGUF file's own names and types, and what reads it", async () => {
  await using folder = await testFolder();
  const path = await folder.put("model.gguf", await llamaAsGguf(golden("verifiers", plain[0]!)));
  const found = await inspect(path, options);
  assert.equal(found.kind, "verifier");
  assert.equal(found.plugin, "llama");
  assert.equal(found.config!["hidden_size"], config(plain[0]!)["hidden_size"]);
  const embed = found.tensors.find(({ name }) => name === "token_embd.weight")!;
  assert.deepEqual(embed.shape, [config(plain[0]!)["vocab_size"], config(plain[0]!)["hidden_size"]]);
  const unknown = await folder.put(
    "u.gguf",
    ggufFile({ metadata: { "general.architecture": { text: "clip" } } }),
  );
  const { kind, plugin } = await inspect(unknown, options);
  assert.deepEqual({ kind, plugin }, { kind: "model", plugin: null });
});

Deno.test("a GGUF file that is not there is not found", async () => {
  await using folder = await testFolder();
  const path = join(folder.path, "none.gguf");
  await assert.rejects(
    openVerifier(path, options),
    (error) => error instanceof NotFoundError && error.message.includes(path),
  );
});

Deno.test("a draft's embedding and head are filled in from a verifier in a GGUF file", async () => {
  await using folder = await testFolder();
  const { hidden, vocab, draftVocab } = SIZES, embed = floats([vocab, hidden], 7, "f32");
  const config = {
    hidden_size: hidden,
    intermediate_size: SIZES.intermediate,
    num_hidden_layers: 4,
    num_attention_heads: SIZES.heads,
    num_key_value_heads: SIZES.kvHeads,
    vocab_size: vocab,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
  };
  const tensors = [{ name: "token_embd.weight", shape: embed.shape, type: 0, bytes: embed.bytes }];
  const verifier = await folder.put("model.gguf", ggufFile({ metadata: metadataOf(config), tensors }));
  await writeEagle3(folder.at("source"), { change: (tensors) => tensors.delete("lm_head.weight") });
  await finish(convert(
    {
      model: folder.at("source"),
      algorithm: "eagle3",
      verifier,
      outputPath: folder.at("out"),
      fillFromVerifier: ["embed_tokens", "lm_head"],
    },
    await createRuntime({ device: "wasm" }),
  ));
  using written = await openWeights(folder.at("out"));
  const rounded = cast(embed, "bf16");
  assert.deepEqual(await written.read("embed_tokens.weight"), rounded);
  const { bytes } = await written.read("lm_head.weight"), row = hidden * 2;
  for (let i = 0; i < draftVocab; i++) {
    const id = i * 3 + i % 2;
    const expected = rounded.bytes.subarray(id * row, (id + 1) * row);
    assert.deepEqual(bytes.slice(i * row, (i + 1) * row), expected.slice(), `row ${i}`);
  }
});
