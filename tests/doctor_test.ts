/** `doctor MODEL`: whether a model fits, told from its files' headers alone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { ModelFit } from "../cli/model_fit.ts";
import { builtins } from "../plugins/mod.ts";
import { cli } from "./cli.ts";
import { verifierCases } from "./verifier_cases.ts";

const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 8192,
  intermediate_size: 8192,
  num_hidden_layers: 1,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 1_000_000,
  max_position_embeddings: 4096,
  tie_word_embeddings: true,
};

/** A model whose weights are a hole in a file: only their header is there. */
async function hollow(folder: string): Promise<void> {
  const plugin = await builtins().find("verifier", (plugin) => plugin.matches(CONFIG));
  const architecture = await plugin!.load(), info = architecture.info(CONFIG, folder);
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const { name, shape, required } of architecture.tensors(info)) {
    if (required === false) continue;
    const end = at + 2 * shape.reduce((n, axis) => n * axis, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [at, end] };
    at = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header)), path = join(folder, "model.safetensors");
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  await Deno.writeFile(path, Uint8Array.from([...length, ...text]));
  await Deno.truncate(path, 8 + text.length + at);
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(CONFIG));
}

Deno.test("doctor says that a model is too large for this machine, and what to do", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await hollow(folder);
    const { code, out } = await cli(["doctor", folder, "--device", "wasm", "--json"]);
    assert.equal(code, 0);
    const { model } = JSON.parse(out) as { model: ModelFit };
    assert.ok(model.needs.weights > 16e9 && model.needs.largest === 2 * 8192 * 1_000_000);
    assert.deepEqual(model.devices.at(-1), {
      device: "wasm",
      room: model.devices.at(-1)!.room,
      fits: false,
      lacks: "largest",
    });
    assert.ok(model.advice.some((line) => line.includes("vllm-command")));
    const words = await cli(["doctor", folder, "--device", "wasm"]);
    assert.match(words.out, /weights +\d+\.\d GiB, the largest tensor 15\.3 GiB/);
    assert.match(words.out, /fits wasm +no: a tensor of 15\.3 GiB, and no more than 2\.00 GiB in one/);
    assert.match(words.out, /vLLM server/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("doctor reads a verifier of every family, and finds that it fits", async () => {
  const read = new Set<string>();
  for (const { folder, name } of verifierCases()) {
    const { code, out } = await cli(["doctor", folder, "--device", "wasm", "--json"]);
    assert.equal(code, 0, name);
    const { model } = JSON.parse(out) as { model: ModelFit };
    assert.equal(model.devices.find(({ device }) => device === "wasm")?.fits, true, name);
    assert.deepEqual(model.advice, []);
    read.add(model.plugin);
  }
  assert.deepEqual([...read].sort(), builtins().list("verifier").map(({ name }) => name).sort());
});
