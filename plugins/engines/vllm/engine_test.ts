import assert from "node:assert/strict";
import {
  AbortedError,
  ConfigError,
  EndpointError,
  FormatError,
  NotFoundError,
} from "../../../core/errors.ts";
import { toFloat32 } from "../../../core/formats/dtype.ts";
import type { Engine, VerifierInfo } from "../../../core/plugin.ts";
import {
  type Fault,
  type StandIn,
  standIn,
  type StandInOptions,
  stateOf,
} from "../../../tests/vllm_stand_in.ts";
import { openVllmEngine, type VllmSettings } from "./engine.ts";

const INFO: VerifierInfo = {
  nameOrPath: "verifier",
  architectures: [],
  modelType: "llama",
  hiddenSize: 8,
  layers: 6,
  heads: 1,
  kvHeads: 1,
  headDim: 8,
  intermediateSize: 8,
  vocabSize: 50,
  maxPositions: 1024,
  rmsNormEps: 1e-5,
  ropeTheta: 1e4,
  ropeScaling: null,
  eosTokenIds: [0],
  raw: {},
};

const LAYERS = [1, 3, 6];
const SAMPLES = [5, 1, 9, 3].map((length, i) => Int32Array.from({ length }, (_, j) => (7 * i + 3 * j) % 50));
const QUICK: VllmSettings = { backoffMs: 2, appearMs: 10_000, limitMs: 20_000 };

/** An engine on a stand-in. */
async function withServer(
  options: Partial<StandInOptions> & { readonly settings?: VllmSettings; readonly signal?: AbortSignal },
  run: (engine: Engine, server: StandIn) => Promise<void>,
): Promise<void> {
  await using server = await standIn({ hiddenSize: INFO.hiddenSize, layers: LAYERS.length, ...options });
  using engine = await openVllmEngine({
    info: INFO,
    endpoint: server.endpoint,
    loadVerifier: () => Promise.reject(new Error("nothing is computed here")),
    ...(options.signal ? { signal: options.signal } : {}),
  }, { ...QUICK, ...options.settings });
  await run(engine, server);
}

function first(fault: Fault): (n: number) => Fault | undefined {
  return (n) => n === 0 ? fault : undefined;
}

async function checkStates(engine: Engine): Promise<void> {
  const found = await engine.capture(SAMPLES, LAYERS);
  assert.equal(found.length, SAMPLES.length);
  for (const [i, tokens] of SAMPLES.entries()) {
    assert.equal(found[i]!.length, LAYERS.length);
    for (const [layer, states] of found[i]!.entries()) {
      assert.deepEqual([...states.shape], [tokens.length, INFO.hiddenSize]);
      const values = toFloat32(states);
      for (const [t, token] of tokens.entries()) {
        for (let j = 0; j < INFO.hiddenSize; j++) {
          assert.equal(values[t * INFO.hiddenSize + j], Math.fround(stateOf(token, { t, layer, j })));
        }
      }
    }
  }
}

async function filesLeft(server: StandIn): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(server.folder))).map(({ name }) => name);
}

Deno.test("states come for each sample and layer, and no file is left behind", async () => {
  await withServer({}, async (engine, server) => {
    await checkStates(engine);
    assert.deepEqual(await filesLeft(server), []);
    assert.equal(server.bodies.length, SAMPLES.length);
    for (const body of server.bodies) {
      assert.equal(body.model, "verifier");
      assert.equal(body.max_tokens, 1);
      assert.equal(body.return_token_ids, true);
    }
  });
});

const PASSING: readonly Fault[] = [
  "busy",
  "status 500",
  "dropped",
  "cut",
  "slow",
  "late",
  "truncated",
  "missing",
];
for (const fault of PASSING) {
  Deno.test(`a server that is "${fault}" once gives the same states`, async () => {
    const settings = fault === "missing" ? { appearMs: 100 } : {};
    await withServer({ fault: first(fault), settings }, async (engine, server) => {
      await checkStates(engine);
      const again = fault === "slow" || fault === "late" ? 0 : 1;
      assert.equal(server.bodies.length, SAMPLES.length + again);
    });
  });
}

Deno.test("a server that is silent is asked again after a while", async () => {
  await withServer({ fault: first("silent"), settings: { timeoutMs: 200 } }, checkStates);
});

Deno.test("a connection that is dropped at every third request costs no sample", async () => {
  const many = Array.from({ length: 40 }, (_, i) => Int32Array.of(i, i + 1, i + 2));
  await withServer({ fault: (n) => n % 3 === 0 ? "dropped" : undefined }, async (engine) => {
    const found = await engine.capture(many, LAYERS);
    assert.deepEqual(found.map((states) => Math.floor(toFloat32(states[0]!)[0]!)), many.map(([id]) => id));
  });
});

Deno.test("requests under way keep to the limit and reach it, over several calls too", async () => {
  await withServer({ delayMs: 20, settings: { concurrency: 3 } }, async (engine, server) => {
    await Promise.all([checkStates(engine), checkStates(engine), checkStates(engine)]);
    assert.equal(server.most, 3);
  });
});

const LASTING: readonly (readonly [Fault, new (...args: never[]) => Error, RegExp])[] = [
  ["status 500", EndpointError, /status 500: EngineCore encountered an issue/],
  ["status 400", EndpointError, /status 400: This model's maximum context length/],
  ["dropped", EndpointError, /expected an answer, received/],
  ["cut", EndpointError, /expected JSON/],
  ["truncated", FormatError, /Cannot read ".*cmpl-\d+\.safetensors"/],
  ["missing", NotFoundError, /expected the hidden states that http.* named, received nothing/],
  ["locked", EndpointError, /to be written in 0.2 s/],
  ["wrong echo", EndpointError, /expected the states of the prompt that was sent/],
  [
    "wrong ids",
    EndpointError,
    /expected the states of the prompt that was sent \(token 0 at 0\), received 1/,
  ],
  ["shorter", EndpointError, /expected the states of the prompt that was sent \(5 tokens\), received 4/],
  ["more layers", ConfigError, /expected as many as the server hands out, 4, received 3: 1, 3, 6/],
  ["narrower", EndpointError, /expected hidden states of 8 entries, received 7/],
  ["relative", EndpointError, /expected the full path/],
  ["no path", EndpointError, /expected the path of hidden states/],
];
for (const [fault, kind, message] of LASTING) {
  Deno.test(`a server that is always "${fault}" is told as such`, async () => {
    const settings = { tries: 2, limitMs: 200, appearMs: 100 };
    await withServer({ fault: () => fault, settings }, async (engine, server) => {
      await assert.rejects(
        engine.capture(SAMPLES.slice(0, 1), LAYERS),
        (error) => error instanceof kind && message.test(error.message) && "hint" in error,
      );
      // A file that is not what was asked for stays: it may be anybody's.
      if (fault === "wrong ids") assert.equal((await filesLeft(server)).includes("cmpl-0.safetensors"), true);
    });
  });
}

Deno.test("a refusal is not repeated, and ends the other requests", async () => {
  await withServer(
    { fault: (n) => n === 0 ? "status 400" : "silent", settings: { concurrency: 4 } },
    async (engine, server) => {
      const start = performance.now();
      await assert.rejects(engine.capture(SAMPLES, LAYERS), /status 400/);
      assert.ok(performance.now() - start < 10_000);
      assert.equal(server.bodies.length <= SAMPLES.length, true);
    },
  );
});

Deno.test("a signal ends what is under way", async () => {
  const stop = new AbortController();
  await withServer({ fault: () => "silent", signal: stop.signal }, async (engine) => {
    const capture = engine.capture(SAMPLES, LAYERS);
    const timer = setTimeout(() => stop.abort(), 50);
    await assert.rejects(capture, AbortedError);
    clearTimeout(timer);
  });
});

Deno.test("text has the tokens of the server, and its states are thrown away", async () => {
  await withServer({ fault: first("slow") }, async (engine, server) => {
    const request = { tokens: SAMPLES[0]!, maxTokens: 4, temperature: 0.5, eosTokenIds: [3] };
    assert.deepEqual([...await engine.generate(request)], [5, 6, 7, 8]);
    assert.deepEqual(await filesLeft(server), []);
    const body = server.bodies[0]!;
    assert.deepEqual([body.temperature, body.stop_token_ids, body.ignore_eos], [0.5, [3], true]);
    await engine.generate({ tokens: SAMPLES[0]!, maxTokens: 1 });
    assert.deepEqual([server.bodies[1]!.temperature, server.bodies[1]!.ignore_eos], [0, undefined]);
  });
});

Deno.test("text that is no text of the model is refused", async () => {
  await withServer({ fault: () => "wrong text" }, async (engine) => {
    await assert.rejects(engine.generate({ tokens: SAMPLES[0]!, maxTokens: 4 }), /token ids below 50/);
  });
});

Deno.test("samples that the server has no room for, or with ids outside the vocabulary, are refused by number", async () => {
  await withServer({ maxModelLen: 6 }, async (engine, server) => {
    for (const bad of [new Int32Array(0), new Int32Array(6), Int32Array.of(1, 50), Int32Array.of(-1)]) {
      await assert.rejects(
        engine.capture([SAMPLES[0]!, bad], LAYERS),
        (error) => error instanceof ConfigError && /sample 1/.test(error.message),
      );
    }
    assert.equal(server.bodies.length, 0);
  });
});

Deno.test("an engine without an address, or with one where nobody answers, says what to do", async () => {
  const options = { info: INFO, loadVerifier: () => Promise.reject(new Error("nothing is computed here")) };
  await assert.rejects(openVllmEngine(options), (error) => error instanceof ConfigError && !!error.hint);
  await assert.rejects(openVllmEngine({ ...options, endpoint: "127.0.0.1:8000" }), ConfigError);
  // A port that was free a moment ago.
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" }), { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(openVllmEngine({ ...options, endpoint: `http://127.0.0.1:${port}` }), EndpointError);
});
