/** Against a real vLLM server on this machine: `VLLM_VENV` names the Python environment that has it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSampleStore } from "../core/data/store.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import { pauseFor } from "../core/json_request.ts";
import type { Engine } from "../core/plugin.ts";
import type { HostTensor } from "../core/tensor.ts";
import { openVerifier } from "../core/verifier.ts";
import { open } from "../kernels/mod.ts";
import { builtins } from "../plugins/mod.ts";
import { cli, DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const LAYERS = [2, 4, 5, 8];

/** Of the largest entry. */
const TOLERANCE = 1e-5;

const SAMPLES = [33, 1, 120, 64, 7].map((length, i) =>
  Int32Array.from({ length }, (_, j) => (601 * i + 37 * j * (j + 1)) % 2000)
);

/** Why the tests are left out; `null` when there is an environment. */
async function whyNot(): Promise<string | null> {
  const venv = Deno.env.get("VLLM_VENV");
  if (!venv) return "VLLM_VENV names no Python environment with vLLM";
  const python = join(venv, "bin", "python");
  return await Deno.stat(python).then(() => null, () => `there is no ${python}`);
}

const reason = await whyNot();
// deno-lint-ignore no-console -- whoever runs the tests must see why these are not.
if (reason !== null) console.log(`The tests against a real vLLM server are ignored: ${reason}`);

/** Starts the server with the command that is printed, as it runs without a GPU. */
async function startServer(folder: string): Promise<{ readonly endpoint: string } & AsyncDisposable> {
  const port = freePort();
  const flags = ["--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"];
  const printed = await cli([
    ...["engines", "vllm-command", VERIFIER, "--layer-ids", ...LAYERS.map(String), "--json"],
    ...[
      "--shared-storage-path",
      folder,
      "--host",
      "127.0.0.1",
      "--port",
      `${port}`,
      "--max-model-len",
      "1024",
    ],
    ...["--", ...flags],
  ]);
  assert.equal(printed.code, 0, printed.err);
  const [program, serve, model, ...words]: string[] = JSON.parse(printed.out).command;
  assert.deepEqual([program, serve, model], ["vllm", "serve", VERIFIER]);
  const venv = Deno.env.get("VLLM_VENV")!;
  const child = new Deno.Command(join(venv, "bin", "python"), {
    // What `vllm serve` runs: an environment made of wheels put together by hand has no such program.
    args: ["-m", "vllm.entrypoints.openai.api_server", "--model", VERIFIER, ...words],
    env: {
      LD_PRELOAD: [...await preloaded(), join(venv, "lib", "libiomp5.so")].join(":"),
      VLLM_CPU_KVCACHE_SPACE: "1",
      VLLM_CPU_OMP_THREADS_BIND: "0-1",
      VLLM_CPU_NUM_OF_RESERVED_CPU: "0",
      HF_HUB_OFFLINE: "1",
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const log = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  let ended = false;
  child.status.then(() => ended = true);
  const endpoint = `http://127.0.0.1:${port}`;
  const server = {
    endpoint,
    async [Symbol.asyncDispose]() {
      if (!ended) child.kill("SIGTERM");
      await child.status;
      await log;
    },
  };
  for (const start = performance.now(); !await isHealthy(endpoint);) {
    if (ended || performance.now() - start > 300_000) {
      await server[Symbol.asyncDispose]();
      const last = (await log).join("").slice(-2000);
      throw new Error(
        `the server ${ended ? "ended before it was ready" : "was not ready within 300 s"}:\n${last}`,
      );
    }
    await pauseFor(500);
  }
  return server;
}

async function isHealthy(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

/** The allocator that vLLM's CPU build wants, where it is. */
async function preloaded(): Promise<string[]> {
  for await (const { name } of Deno.readDir("/usr/lib")) {
    const path = `/usr/lib/${name}/libtcmalloc_minimal.so.4`;
    if (await Deno.stat(path).then(() => true, () => false)) return [path];
  }
  return [];
}

async function openEngines(endpoint: string): Promise<{ local: Engine; vllm: Engine } & AsyncDisposable> {
  const registry = builtins();
  using verifier = await openVerifier(VERIFIER, { registry });
  const backend = await open("wasm");
  const loadVerifier = () => verifier.load(backend);
  const local = await (await registry.get("engine", "local")).open({ info: verifier.info, loadVerifier });
  const vllm = await (await registry.get("engine", "vllm")).open({
    info: verifier.info,
    loadVerifier,
    endpoint,
  });
  return {
    local,
    vllm,
    [Symbol.asyncDispose]() {
      vllm[Symbol.dispose]();
      local[Symbol.dispose]();
      backend[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

/** Largest difference, as a share of the largest entry. */
function difference(a: HostTensor, b: HostTensor): number {
  assert.deepEqual([...a.shape], [...b.shape]);
  const x = toFloat32(a), y = toFloat32(b);
  let largest = 0, apart = 0;
  for (let i = 0; i < x.length; i++) {
    largest = Math.max(largest, Math.abs(y[i]!));
    apart = Math.max(apart, Math.abs(x[i]! - y[i]!));
    assert.ok(Number.isFinite(x[i]!));
  }
  return apart / largest;
}

Deno.test({
  name: "a real vLLM server and the engine here",
  ignore: reason !== null,
  async fn(t) {
    await inFolder(async (at) => {
      await using server = await startServer(at("states"));

      await t.step("give the same hidden states", async () => {
        await using engines = await openEngines(server.endpoint);
        const [theirs, ours] = [
          await engines.vllm.capture(SAMPLES, LAYERS),
          await engines.local.capture(SAMPLES, LAYERS),
        ];
        let worst = 0;
        for (const i of SAMPLES.keys()) {
          assert.equal(theirs[i]!.length, LAYERS.length);
          for (const layer of LAYERS.keys()) {
            worst = Math.max(worst, difference(theirs[i]![layer]!, ours[i]![layer]!));
          }
        }
        assert.ok(
          worst <= TOLERANCE,
          `expected at most ${TOLERANCE} of the largest entry, received ${worst}`,
        );
        assert.deepEqual(await Array.fromAsync(Deno.readDir(at("states"))), []);
      });

      await t.step("refuse another number of layers", async () => {
        await using engines = await openEngines(server.endpoint);
        await assert.rejects(
          engines.vllm.capture(SAMPLES.slice(0, 1), [2, 8]),
          /hands out, 4, received 2: 2, 8/,
        );
      });

      await t.step("write the same text", async () => {
        await using engines = await openEngines(server.endpoint);
        for (const eosTokenIds of [undefined, [], [10]]) {
          const request = { tokens: SAMPLES[0]!, maxTokens: 24, ...(eosTokenIds ? { eosTokenIds } : {}) };
          assert.deepEqual([...await engines.vllm.generate(request)], [
            ...await engines.local.generate(request),
          ]);
        }
      });

      await t.step("give the same training samples", async () => {
        const samples = async (name: string, ...flags: string[]) => {
          const { code, err } = await cli([
            ...[
              "datagen",
              "--target-model-path",
              VERIFIER,
              "--train-data-path",
              DIALOGUES,
              "--max-samples",
              "20",
            ],
            ...["--dtype", "f32", "--token-freq-path", at(`${name}.freq.pt`), "--output-dir", at(name)],
            ...["--layer-ids", ...LAYERS.map(String), "--device", "wasm", "--quiet", ...flags],
          ]);
          assert.equal(code, 0, err);
          return await openSampleStore(at(name));
        };
        const theirs = await samples("theirs", "--engine", "vllm", "--endpoint", server.endpoint);
        const ours = await samples("ours");
        assert.deepEqual(await theirs.list(), await ours.list());
        for (const index of await ours.list()) {
          const [a, b] = [await theirs.read(index), await ours.read(index)];
          assert.deepEqual(a.inputIds, b.inputIds);
          assert.deepEqual(a.lossMask, b.lossMask);
          for (const [i, states] of b.hidden.entries()) {
            assert.ok(difference(a.hidden[i]!, states) <= TOLERANCE);
          }
        }
      });

      await t.step("write the same answers", async () => {
        const out = at("answers.jsonl");
        const { code, err } = await cli([
          ...["regenerate", "--dataset", DIALOGUES, "--limit", "10", "--endpoint", server.endpoint],
          ...["--temperature", "0", "--max-tokens", "64", "--outfile", out, "--quiet"],
        ]);
        assert.equal(code, 0, err);
        const lines = async (path: string) =>
          (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));
        const known = new Map((await lines(DIALOGUES)).map(({ id, conversations }) => [id, conversations]));
        const answers = await lines(out);
        assert.equal(answers.length, 10);
        for (const { id, conversations } of answers) assert.deepEqual(conversations, known.get(id));
      });
    });
  },
});
