import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, FormatError, NotFoundError } from "./errors.ts";
import { hostTensor } from "./formats/dtype.ts";
import { writeSafetensors } from "./formats/safetensors.ts";
import { API_VERSION, type TensorInfo, type VerifierInfo, type VerifierModel } from "./plugin.ts";
import { createRegistry, type Registry } from "./registry.ts";
import { elements, type HostTensor, type Tensor } from "./tensor.ts";
import { openVerifier } from "./verifier.ts";
import { ReferenceBackend } from "../tests/conformance/reference/backend.ts";

const TENSORS: readonly TensorInfo[] = [
  { name: "embed", shape: [4, 2] },
  { name: "norm", shape: [2] },
  { name: "spare", shape: [3], required: false },
];

/** A registry with one architecture, which keeps what it is given in `built`. */
function registryOf(built: Map<string, Tensor>[], tensors: readonly TensorInfo[] = TENSORS): Registry {
  const plugin = {
    apiVersion: API_VERSION,
    kind: "verifier",
    name: "plain",
    summary: "One for tests",
    architectures: ["PlainForCausalLM"],
    matches: (config: Record<string, unknown>) => JSON.stringify(config["architectures"])?.includes("Plain"),
    load: () =>
      Promise.resolve({
        info: (config: Record<string, unknown>, nameOrPath: string) => ({
          nameOrPath,
          architectures: config["architectures"],
          eosTokenIds: [2],
        }),
        tensors: () => tensors,
        roles: () => ({ embed: "embed", head: "embed", norm: "norm" }),
        model: (info: VerifierInfo, weights: { tensors: Map<string, Tensor> }) => {
          built.push(weights.tensors);
          return { info } as VerifierModel;
        },
      }),
  };
  const { name, summary } = plugin;
  return createRegistry([{
    kind: "verifier",
    name,
    summary,
    load: () => Promise.resolve({ default: plugin }),
  }]);
}

function tensor(...shape: number[]): HostTensor {
  return hostTensor(new Float32Array(elements(shape)), shape);
}

async function withModel(
  files: {
    readonly config?: unknown;
    readonly tensors?: Record<string, HostTensor>;
    readonly more?: unknown;
  },
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const config = files.config ?? { architectures: ["PlainForCausalLM"] };
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
    if (files.more) {
      await Deno.writeTextFile(join(folder, "generation_config.json"), JSON.stringify(files.more));
    }
    const tensors = files.tensors ?? { embed: tensor(4, 2), norm: tensor(2) };
    await writeSafetensors(join(folder, "model.safetensors"), Object.entries(tensors));
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens and loads, and gives the message of the error. */
async function refusal(folder: string, tensors: readonly TensorInfo[] = TENSORS): Promise<string> {
  using backend = new ReferenceBackend();
  let message = "";
  await assert.rejects(async () => {
    using opened = await openVerifier(folder, { registry: registryOf([], tensors) });
    await opened.load(backend);
  }, (error) => {
    assert.ok(error instanceof FormatError, String(error));
    message = error.message;
    return true;
  });
  assert.equal(backend.memory().live, 0);
  return message;
}

Deno.test("a verifier is loaded in the dtype it is stored in, with its progress", async () => {
  const embed: HostTensor = { shape: [4, 2], dtype: "bf16", bytes: new Uint8Array(16) };
  await withModel({ tensors: { embed, norm: tensor(2) } }, async (folder) => {
    const built: Map<string, Tensor>[] = [], seen: number[] = [];
    using backend = new ReferenceBackend();
    using opened = await openVerifier(folder, { registry: registryOf(built) });
    await opened.load(backend, { onProgress: ({ done, total }) => seen.push(done / total) });
    assert.deepEqual([...built[0]!].map(([name, { dtype }]) => [name, dtype]), [["embed", "bf16"], [
      "norm",
      "f32",
    ]]);
    assert.deepEqual(seen, [16 / 24, 1]);
    assert.deepEqual((await opened.weights.lmHead()).shape, [4, 2]);
  });
});

Deno.test("a checkpoint whose tensors are missing, extra or of another shape is refused before it is loaded", async () => {
  await withModel({ tensors: { embed: tensor(4, 2) } }, async (folder) => {
    assert.match(await refusal(folder), /without "norm"/);
  });
  await withModel({ tensors: { embed: tensor(4, 2), norm: tensor(2), other: tensor(1) } }, async (folder) => {
    assert.match(await refusal(folder), /"other", unknown/);
  });
  await withModel({ tensors: { embed: tensor(2, 4), norm: tensor(2) } }, async (folder) => {
    assert.match(await refusal(folder), /"embed" as \[2, 4\] for \[4, 2\]/);
  });
  const integers = hostTensor(new Int32Array(2), [2]);
  await withModel({ tensors: { embed: tensor(4, 2), norm: integers } }, async (folder) => {
    assert.match(await refusal(folder), /"norm" as i32 for floats/);
  });
});

const STACKED: readonly TensorInfo[] = [
  ...TENSORS,
  { name: "experts", shape: [3, 2], parts: ["expert.0", "expert.1", "expert.2"] },
  { name: "packed", shape: [4], dtype: "u8" },
];

Deno.test("a tensor whose checkpoint holds its parts is their stack, and one that is packed stays so", async () => {
  const rest = { embed: tensor(4, 2), norm: tensor(2), packed: hostTensor(Uint8Array.of(1, 2, 3, 4), [4]) };
  const part = (e: number) => hostTensor(Float32Array.of(e, -e), [2]);
  const parts = Object.fromEntries([0, 1, 2].map((e) => [`expert.${e}`, part(e)]));
  const whole = { experts: hostTensor(Float32Array.of(0, -0, 1, -1, 2, -2), [3, 2]) };
  for (const experts of [parts, whole]) {
    await withModel({ tensors: { ...rest, ...experts } }, async (folder) => {
      const built: Map<string, Tensor>[] = [], seen: number[] = [];
      using backend = new ReferenceBackend();
      using opened = await openVerifier(folder, { registry: registryOf(built, STACKED) });
      await opened.load(backend, { onProgress: ({ done, total }) => seen.push(done / total) });
      const experts = built[0]!.get("experts")!;
      assert.deepEqual(experts.shape, [3, 2]);
      assert.deepEqual(await backend.read(experts), Float32Array.of(0, -0, 1, -1, 2, -2));
      assert.equal(built[0]!.get("packed")!.dtype, "u8");
      assert.equal(seen.at(-1), 1);
    });
  }
});

Deno.test("parts that are missing or of several types, and floats where bytes belong, are refused", async () => {
  const rest = { embed: tensor(4, 2), norm: tensor(2), packed: hostTensor(Uint8Array.of(1, 2, 3, 4), [4]) };
  const tensors = { ...rest, "expert.0": tensor(2), "expert.1": tensor(2) };
  await withModel({ tensors }, async (folder) => {
    assert.match(await refusal(folder, STACKED), /without "expert.2"/);
  });
  const half: HostTensor = { shape: [2], dtype: "bf16", bytes: new Uint8Array(4) };
  await withModel({ tensors: { ...tensors, "expert.2": half } }, async (folder) => {
    assert.match(await refusal(folder, STACKED), /parts of "experts" of several types/);
  });
  await withModel({ tensors: { ...tensors, "expert.2": tensor(2), packed: tensor(4) } }, async (folder) => {
    assert.match(await refusal(folder, STACKED), /"packed" as f32 for u8/);
  });
});

Deno.test("the weights a draft shares are there although others are missing", async () => {
  await withModel({ tensors: { norm: tensor(2) } }, async (folder) => {
    using opened = await openVerifier(folder, { registry: registryOf([]) });
    assert.deepEqual((await opened.weights.norm()).shape, [2]);
    await assert.rejects(async () => await opened.weights.embedTokens(), FormatError);
  });
});

Deno.test("tokens that end a text come from both configs", async () => {
  await withModel({ more: { eos_token_id: [7, 2] } }, async (folder) => {
    using opened = await openVerifier(folder, { registry: registryOf([]) });
    assert.deepEqual(opened.info.eosTokenIds, [2, 7]);
  });
});

Deno.test("an unknown architecture is refused with the nearest one that is known", async () => {
  await withModel({ config: { architectures: ["PlaneForCausalLM"] } }, async (folder) => {
    await assert.rejects(openVerifier(folder, { registry: registryOf([]) }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.hint ?? "", /^The nearest one is PlainForCausalLM\. /);
      return true;
    });
  });
});

Deno.test("an unknown architecture is refused with those that are known", async () => {
  await withModel({ config: { architectures: ["OtherModel"] } }, async (folder) => {
    await assert.rejects(
      openVerifier(folder, { registry: registryOf([]) }),
      (error) =>
        error instanceof ConfigError &&
        /one of PlainForCausalLM, received \["OtherModel"\]/.test(error.message),
    );
  });
});

Deno.test("a folder that is not there is refused with what to do", async () => {
  await assert.rejects(
    openVerifier("no/such-model", { registry: registryOf([]) }),
    (error) => error instanceof NotFoundError && /no\/such-model/.test(error.message) && !!error.hint,
  );
});
