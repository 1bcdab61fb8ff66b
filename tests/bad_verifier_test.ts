/** Verifiers and prompts that cannot be used, told before anything is computed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, FormatError, ShapeError, SpeculatorsError } from "../core/errors.ts";
import { decode } from "../core/decode/decode.ts";
import { openVerifier } from "../core/verifier.ts";
import * as ops from "../kernels/ops/mod.ts";
import { open } from "../kernels/mod.ts";
import { builtins } from "../plugins/mod.ts";
import { golden, goldenJson } from "./golden.ts";

const registry = builtins();
const { cases } = goldenJson<{ cases: Record<string, unknown> }>("verifiers", "manifest.json");
const names = Object.keys(cases);

function config(name: string): Record<string, unknown> {
  return goldenJson("verifiers", name, "config.json");
}

/** The first case that is so. */
function first(is: (config: Record<string, unknown>, files: readonly string[]) => boolean): string {
  const filesOf = (name: string) =>
    Array.from(Deno.readDirSync(golden("verifiers", name)), ({ name }) => name);
  return names.find((name) => is(config(name), filesOf(name)))!;
}

async function withCopy(name: string, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for await (const { name: file } of Deno.readDir(golden("verifiers", name))) {
      await Deno.copyFile(golden("verifiers", name, file), join(folder, file));
    }
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function load(folder: string): Promise<void> {
  using backend = await open("wasm", { threads: 1 });
  using opened = await openVerifier(folder, { registry });
  (await opened.load(backend))[Symbol.dispose]();
  assert.fail("expected a refusal");
}

Deno.test("a shard that is cut or missing is refused by its name", async () => {
  const name = first((_, files) => files.includes("model.safetensors.index.json"));
  await withCopy(name, async (folder) => {
    const shards = Array.from(Deno.readDirSync(folder), ({ name }) => name)
      .filter((file) => /^model-.*\.safetensors$/.test(file)).sort();
    const last = join(folder, shards.at(-1)!);
    await Deno.truncate(last, (await Deno.stat(last)).size - 1);
    await assert.rejects(
      load(folder),
      (error) => error instanceof FormatError && error.message.includes(last),
    );
    await Deno.remove(last);
    await assert.rejects(
      load(folder),
      (error) => error instanceof FormatError && error.message.includes(shards.at(-1)!),
    );
  });
});

Deno.test("a config of a family that says what cannot be is refused by the field", async () => {
  const experts = first((config) => config["num_experts"] !== undefined);
  const packed = first((config) => config["quantization_config"] !== undefined);
  const vision = first((config) => config["vision_config"] !== undefined);
  const bad: [string, Record<string, unknown>, RegExp][] = [
    [experts, { num_experts_per_tok: 100 }, /num_experts_per_tok.*received 100/],
    [experts, { num_experts: 0 }, /num_experts.*received 0/],
    [experts, { mlp_only_layers: ["first"] }, /mlp_only_layers.*list of layers/],
    [packed, { quantization_config: { quant_method: "awq" } }, /quant_method.*mxfp4.*"awq"/],
    [packed, { hidden_size: 48 }, /hidden_size.*multiple of 32, received 48/],
    [packed, { layer_types: ["sliding_attention"] }, /layer_types/],
    [vision, { vision_config: null }, /vision_config.*hidden_size.*received nothing/],
    [vision, { image_token_id: -1 }, /image_token_id.*received -1/],
  ];
  for (const [name, fields, message] of bad) {
    await withCopy(name, async (folder) => {
      await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify({ ...config(name), ...fields }));
      await assert.rejects(
        openVerifier(folder, { registry }),
        (error) => error instanceof ConfigError && message.test(error.message),
        `${name}: ${JSON.stringify(fields)}`,
      );
    });
  }
});

Deno.test("packed experts where the config says none are refused", async () => {
  const packed = first((config) => config["quantization_config"] !== undefined);
  await withCopy(packed, async (folder) => {
    const { quantization_config: _, ...plain } = config(packed);
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(plain));
    await assert.rejects(load(folder), /without "model\.layers\.0\.mlp\.experts\.gate_up_proj"/);
  });
});

Deno.test("a prompt of no tokens, and one longer than the model can read, are refused", async () => {
  const name = first((config) => Number(config["max_position_embeddings"]) < 1000);
  using backend = await open("wasm", { threads: 1 });
  using opened = await openVerifier(golden("verifiers", name), { registry });
  using model = await opened.load(backend);
  const { maxPositions } = model.info;
  assert.throws(() => model.forward({ tokens: new Int32Array() }), ShapeError);
  assert.throws(
    () => model.forward({ tokens: new Int32Array(maxPositions + 1) }),
    new RegExp(`at most ${maxPositions} positions, received ${maxPositions + 1}`),
  );
  for (const [length, message] of [[0, /no|at least/], [maxPositions, /positions/]] as const) {
    await assert.rejects(
      Array.fromAsync(decode(model, new Int32Array(length), { ops, maxTokens: 2 })),
      (error) => error instanceof SpeculatorsError && message.test(error.message),
    );
  }
});
