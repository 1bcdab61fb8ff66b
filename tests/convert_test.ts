/** What conversion does by default: keeps what the Python system loses, refuses what cannot be right, goes both ways. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, FormatError, type HostTensor, NumericError } from "../mod.ts";
import { convert as cast, hostTensor } from "../core/formats/dtype.ts";
import { openWeights } from "../core/formats/weights.ts";
import { testFolder } from "../core/formats/_test_folder.ts";
import { VERIFIER } from "./cli.ts";
import { readAll, readConfig, run, said } from "./convert.ts";
import { floats, SIZES, writeEagle, writeEagle3, writeVerifierConfig } from "./research.ts";

Deno.test("rope scaling, layers, head norms and the type of the weights are kept, and said", async () => {
  await using folder = await testFolder();
  const scaling = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
  };
  const source = await writeEagle3(folder.at("source"), {
    dtype: "f16",
    layers: 2,
    headNorms: true,
    config: { rope_scaling: scaling, rope_theta: 500000, attention_dropout: 0.1, bos_token_id: 5 },
  });
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  const outputPath = folder.at("out");
  const result = await run({ model: folder.at("source"), algorithm: "eagle3", verifier, outputPath });
  for (const what of [/rope_scaling/, /all 2 decoder layers/, /q_norm and k_norm/, /float16/]) {
    said(result, what);
  }
  assert.deepEqual(result.unexpected, []);
  const { transformer_layer_config: layer, dtype } = await readConfig(outputPath);
  assert.equal(dtype, "float16");
  assert.deepEqual(layer["rope_scaling"], scaling);
  assert.deepEqual([layer["model_type"], layer["num_hidden_layers"], layer["rope_theta"]], [
    "qwen3",
    2,
    500000,
  ]);
  assert.deepEqual([layer["attention_dropout"], layer["bos_token_id"]], [0.1, 5]);
  const written = await readAll(outputPath);
  assert.equal(written.size, source.size);
  for (const [name, tensor] of source) {
    assert.deepEqual(written.get(name.replace(/^midlayer\./, "layers.0.")), tensor, name);
  }
});

Deno.test("d2t and t2d are made of one another", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  for (const lost of ["d2t", "t2d"]) {
    const source = await writeEagle3(folder.at(lost), {}), whole = source.get(lost)!;
    await writeEagle3(folder.at(lost), { change: (tensors) => void tensors.delete(lost) });
    const outputPath = folder.at(`out-${lost}`);
    const result = await run({ model: folder.at(lost), algorithm: "eagle3", verifier, outputPath });
    assert.deepEqual((await readAll(outputPath)).get(lost), whole);
    said(result, new RegExp(`with ${lost} made of it`));
  }
});

Deno.test("a mapping that cannot be right is refused before anything is written", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  const offsets = (change: (ids: BigInt64Array) => void) => (tensors: Map<string, HostTensor>) => {
    const ids = new BigInt64Array(tensors.get("d2t")!.bytes.slice().buffer);
    change(ids);
    tensors.set("d2t", hostTensor(ids, [ids.length]));
  };
  const cases: [string, (tensors: Map<string, HostTensor>) => void, RegExp][] = [
    ["outside", offsets((ids) => ids[3] = 1000n), /"d2t" to give distinct ids below 40, received 1003 for 3/],
    ["twice", offsets((ids) => ids[1] = ids[0]! - 1n), /distinct ids/],
    ["other", offsets((ids) => ids[0] = 1n), /"t2d" to keep/],
    ["neither", (tensors) => (tensors.delete("d2t"), void tensors.delete("t2d")), /expected "d2t" or "t2d"/],
  ];
  for (const [name, change, message] of cases) {
    await writeEagle3(folder.at(name), { change });
    const options = { model: folder.at(name), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
    await assert.rejects(run(options), (error) => {
      assert.ok(error instanceof FormatError, String(error));
      assert.match(error.message, message);
      return true;
    });
    await assert.rejects(Deno.stat(folder.at("out")), Deno.errors.NotFound);
  }
});

Deno.test("every missing weight is named, and so is every one of another shape", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"), {
    change(tensors) {
      tensors.delete("midlayer.mlp.up_proj.weight");
      tensors.delete("fc.weight");
      tensors.set("norm.weight", floats([5], 1));
      tensors.set("something.else", floats([2], 1));
    },
  });
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
  await assert.rejects(run(options), (error) => {
    assert.ok(error instanceof FormatError);
    assert.match(error.message, /without "fc\.weight", "layers\.0\.mlp\.up_proj\.weight"/);
    assert.match(error.message, /"norm\.weight" as \[5\] for \[16\]/);
    return true;
  });
});

Deno.test("a tensor without a place is left out and listed", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"), {
    change: (tensors) => void tensors.set("rotary.inv_freq", floats([4], 1)),
  });
  const result = await run({
    model: folder.at("source"),
    algorithm: "eagle3",
    verifier,
    outputPath: folder.at("out"),
  });
  assert.deepEqual(result.unexpected, ["rotary.inv_freq"]);
  said(result, /Left out.*rotary\.inv_freq/);
});

Deno.test("numbers that are none are refused by tensor and entry", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  for (const dtype of ["f64", "f32", "f16", "bf16"] as const) {
    for (const value of [NaN, Infinity, -Infinity]) {
      await writeEagle3(folder.at("source"), {
        dtype,
        change(tensors) {
          const values = new Float32Array(SIZES.hidden).fill(0.5);
          values[7] = value;
          tensors.set("norm.weight", cast(hostTensor(values, [SIZES.hidden]), dtype));
        },
      });
      const options = {
        model: folder.at("source"),
        algorithm: "eagle3",
        verifier,
        outputPath: folder.at("out"),
      };
      await assert.rejects(run(options), (error) => {
        assert.ok(error instanceof FormatError, String(error));
        assert.match(error.message, new RegExp(`source.*"norm\\.weight", received ${value} at entry 7`));
        return true;
      });
      assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
        "source",
        "verifier",
      ]);
    }
  }
});

Deno.test("weights are written in the type asked for; a number that does not fit is refused", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  const source = await writeEagle3(folder.at("source"));
  const base = { model: folder.at("source"), algorithm: "eagle3", verifier };
  for (const dtype of ["f32", "f16"] as const) {
    await run({ ...base, outputPath: folder.at(dtype), dtype });
    const written = await readAll(folder.at(dtype));
    assert.deepEqual(written.get("fc.weight"), cast(source.get("fc.weight")!, dtype));
    assert.equal(written.get("d2t")!.dtype, "i64");
  }
  const large = {
    change: (tensors: Map<string, HostTensor>) =>
      void tensors.set(
        "norm.weight",
        cast(hostTensor(new Float32Array(SIZES.hidden).fill(1e6), [SIZES.hidden]), "bf16"),
      ),
  };
  await writeEagle3(folder.at("large"), large);
  await assert.rejects(
    run({ ...base, model: folder.at("large"), outputPath: folder.at("no"), dtype: "f16" }),
    (error) => {
      assert.ok(error instanceof NumericError);
      assert.match(error.message, /"norm\.weight" as f16/);
      return true;
    },
  );
});

Deno.test("an embedding and a head are taken from the verifier only when asked for", async () => {
  await using folder = await testFolder();
  const config = JSON.parse(await Deno.readTextFile(join(VERIFIER, "config.json")));
  const { hidden_size: hidden, vocab_size: vocab } = config, draftVocab = 10;
  const ids = Array.from({ length: draftVocab }, (_, i) => vocab - 1 - i * 2);
  const sizes = {
    hidden_size: hidden,
    intermediate_size: 24,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
  };
  await writeEagle3(folder.at("source"), {
    config: { ...sizes, vocab_size: vocab, draft_vocab_size: draftVocab },
    change(tensors) {
      const shapes: Record<string, number[]> = {
        "fc.weight": [hidden, 3 * hidden],
        "midlayer.self_attn.q_proj.weight": [16, 2 * hidden],
        "midlayer.self_attn.k_proj.weight": [8, 2 * hidden],
        "midlayer.self_attn.v_proj.weight": [8, 2 * hidden],
        "midlayer.self_attn.o_proj.weight": [hidden, 16],
        "midlayer.mlp.gate_proj.weight": [24, hidden],
        "midlayer.mlp.up_proj.weight": [24, hidden],
        "midlayer.mlp.down_proj.weight": [hidden, 24],
      };
      for (const name of [...tensors.keys()]) if (name.endsWith("norm.weight")) shapes[name] = [hidden];
      for (const [name, shape] of Object.entries(shapes)) tensors.set(name, floats(shape, 3));
      tensors.delete("lm_head.weight");
      tensors.delete("t2d");
      tensors.set("d2t", hostTensor(BigInt64Array.from(ids, (id, i) => BigInt(id - i)), [draftVocab]));
    },
  });
  const options = {
    model: folder.at("source"),
    algorithm: "eagle3",
    verifier: VERIFIER,
    outputPath: folder.at("out"),
  };
  await assert.rejects(run(options), /without "lm_head\.weight"/);
  await run({ ...options, fillFromVerifier: ["lm_head", "embed_tokens"] });
  const written = await readAll(folder.at("out"));
  using verifier = await openWeights(VERIFIER);
  const head = verifier.has("lm_head.weight") ? "lm_head.weight" : "model.embed_tokens.weight";
  const rows = cast(await verifier.read(head), "bf16").bytes, row = hidden * 2;
  const expected = ids.flatMap((id) => [...rows.subarray(id * row, (id + 1) * row)]);
  assert.deepEqual([...written.get("lm_head.weight")!.bytes], expected);
  assert.deepEqual(
    written.get("embed_tokens.weight"),
    cast(await verifier.read("model.embed_tokens.weight"), "bf16"),
  );
});

Deno.test("a verifier of another width or vocabulary is refused", async () => {
  await using folder = await testFolder();
  await writeEagle3(folder.at("eagle3"));
  await writeEagle(folder.at("eagle"));
  for (const [field, value] of [["hidden_size", 17], ["vocab_size", 41]] as const) {
    const verifier = await writeVerifierConfig(folder.at(field), { [field]: value });
    for (const algorithm of ["eagle3", "eagle", "hass"]) {
      const model = folder.at(algorithm === "eagle3" ? "eagle3" : "eagle");
      await assert.rejects(run({ model, algorithm, verifier, outputPath: folder.at("out") }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, new RegExp(`config\\.json: ${field}.*received ${value}`));
        return true;
      });
    }
  }
});

Deno.test("there and back gives the same bytes, and so does back and there", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  const aux = { eagle_aux_hidden_state_layer_ids: [1, 2, 3], norm_before_residual: true };
  await writeEagle3(folder.at("eagle3"), {
    layers: 2,
    config: { rope_scaling: { type: "linear", factor: 2 }, ...aux },
  });
  await writeEagle(folder.at("eagle"), { dtype: "f16" });
  await writeEagle(folder.at("hass"), { hass: true });
  for (const algorithm of ["eagle3", "eagle", "hass"]) {
    const to = algorithm === "eagle3" ? "eagle3-research" : "eagle-research";
    const first = folder.at(`${algorithm}-1`),
      back = folder.at(`${algorithm}-2`),
      again = folder.at(`${algorithm}-3`);
    await run({ model: folder.at(algorithm), algorithm, verifier, outputPath: first });
    const result = await run({ model: first, to, outputPath: back });
    assert.equal(result.converter, to);
    await run({ model: back, algorithm, verifier, outputPath: again });
    const bytes = (path: string, name: string) => Deno.readFileSync(join(path, name));
    assert.deepEqual(
      bytes(back, "model.safetensors"),
      bytes(folder.at(algorithm), "model.safetensors"),
      algorithm,
    );
    for (const name of ["model.safetensors", "config.json"]) {
      assert.deepEqual(bytes(again, name), bytes(first, name), `${algorithm}: ${name}`);
    }
  }
});

Deno.test("a layout that the algorithm does not have, and a model that is no speculator, are refused", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"));
  await run({ model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") });
  const again = folder.at("again");
  await assert.rejects(
    run({ model: folder.at("out"), to: "eagle-research", outputPath: again }),
    /"eagle3-research"/,
  );
  await assert.rejects(
    run({ model: folder.at("source"), to: "eagle3-research", outputPath: again }),
    ConfigError,
  );
  const kwargs = { layernorms: true };
  await assert.rejects(
    run({
      model: folder.at("source"),
      algorithm: "eagle3",
      verifier,
      outputPath: again,
      algorithmKwargs: kwargs,
    }),
    /options among norm_before_residual, eagle_aux_hidden_state_layer_ids, received "layernorms"/,
  );
});
