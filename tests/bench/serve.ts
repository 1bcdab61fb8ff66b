/**
 * The server beside the decoding loop that it serves, one client beside eight, and two hundred connections at once.
 * `SERVE_VERIFIER` and `SERVE_SPECULATOR` name other models than the embedded one, `SERVE_SECONDS` how long the two hundred
 * ask (60).
 */
import { fileURLToPath } from "node:url";
import { ServeApp } from "../../core/serve/app.ts";
import { type OpenEngine, openEngine } from "../../core/serve/open.ts";
import {
  type Backend,
  createRuntime,
  decode,
  type LoadRecord,
  type LoadRunOptions,
  type LoadSummary,
  openSpeculator,
  openVerifier,
  type Runtime,
} from "../../mod.ts";
import { SPECULATOR, VERIFIER } from "../cli.ts";
import { median, type Row, row } from "./row.ts";

const PROMPTS = [
  "To be, or not",
  "Good morrow, my lord",
  "The king is",
  "What news from",
  "I will not",
  "Come, sir",
  "My heart",
  "O",
];

/** What the targets are. */
const MOST_OVERHEAD = 1.05, LEAST_SCALE = 2.5;

/** What the clients found. */
interface Found {
  readonly summary: LoadSummary;
  /** The first requests that were neither answered nor refused, and how many there were. */
  readonly lost: readonly LoadRecord[];
  readonly lostCount: number;
  /** Milliseconds of each request that was answered. */
  readonly times: readonly number[];
}

interface Bench extends AsyncDisposable {
  readonly backend: Backend;
  readonly open: OpenEngine;
  /** Sends a load from another process. */
  load(options: Omit<LoadRunOptions, "endpoint" | "api">): Promise<Found>;
}

/** All figures of the server. */
export async function serveRows(): Promise<Row[]> {
  const verifier = Deno.env.get("SERVE_VERIFIER") ?? VERIFIER;
  const speculator = Deno.env.get("SERVE_SPECULATOR") ?? (verifier === VERIFIER ? SPECULATOR : undefined);
  const seconds = Number(Deno.env.get("SERVE_SECONDS") ?? 60);
  const runtime = await createRuntime({ device: "wasm" }), tiny = verifier === VERIFIER;
  const models = { verifierNameOrPath: verifier, ...(speculator === undefined ? {} : { speculator }) };
  const name = verifier.split("/").at(-1)!;
  await using bench = await start(models, runtime);
  const tokens = tiny ? 64 : 24;
  const bodies = PROMPTS.map((prompt) => ({ prompt, max_tokens: tokens, temperature: 0, ignore_eos: true }));
  return [
    ...await overhead(bench, { models, runtime, tokens, name, runs: tiny ? 60 : 6 }),
    ...await scale(bench, { bodies, name, runs: tiny ? 5 : 3 }),
    ...await crowd(bench, { bodies, name, seconds }),
  ];
}

async function start(
  models: { readonly verifierNameOrPath: string; readonly speculator?: string },
  runtime: Runtime,
): Promise<Bench> {
  let backend: Backend;
  const open = await openEngine({ ...models, maxQueue: 64 }, {
    ...runtime,
    openBackend: async () => backend = await runtime.openBackend(),
  });
  const app = new ServeApp(open.engine, {
    maxBodyBytes: 1e6,
    bodyTimeoutMs: 30_000,
    requestTimeoutMs: 600_000,
    localOnly: true,
  });
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => app.handle(request),
  );
  const script = fileURLToPath(new URL("./_serve_client.ts", import.meta.url));
  const client = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = client.stdin.getWriter(),
    output = client.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return {
    backend: backend!,
    open,
    async load(options) {
      const load = { ...options, endpoint: `http://127.0.0.1:${http.addr.port}`, api: "completions" };
      await input.write(new TextEncoder().encode(`${JSON.stringify(load)}\n`));
      let line = "";
      while (!line.endsWith("\n")) {
        const { done, value } = await output.read();
        if (done) throw new Error("The clients ended");
        line += value;
      }
      return JSON.parse(line);
    },
    async [Symbol.asyncDispose]() {
      await input.close();
      await output.cancel();
      await client.status;
      await app.close();
      await http.shutdown();
      open[Symbol.dispose]();
    },
  };
}

/** One client's streamed request beside the loop alone over the same prompt, in turn. */
async function overhead(
  bench: Bench,
  what: {
    readonly models: { readonly verifierNameOrPath: string; readonly speculator?: string };
    readonly runtime: Runtime;
    readonly tokens: number;
    readonly name: string;
    readonly runs: number;
  },
): Promise<Row[]> {
  const { models, runtime, tokens, runs } = what, { engine } = bench.open;
  using verifier = await openVerifier(models.verifierNameOrPath, runtime);
  using model = await verifier.load(bench.backend);
  using speculator = models.speculator === undefined
    ? null
    : await openSpeculator(models.speculator, { registry: runtime.registry, verifier, model });
  const loop: number[] = [], served: number[] = [];
  for (let i = -2; i < runs; i++) {
    const prompt = PROMPTS[0]!, began = performance.now();
    const rounds = decode(model, engine.text.encode(prompt, { addSpecialTokens: true }).ids, {
      ops: runtime.ops,
      maxTokens: tokens,
      eosTokenIds: [],
      ...(speculator ? { draft: speculator.draft, numSpecTokens: speculator.numSpecTokens } : {}),
    });
    let written = 0;
    for await (const round of rounds) written += round.tokens.length;
    const alone = performance.now() - began;
    const { times: [time], summary } = await bench.load({
      bodies: [{ prompt, max_tokens: tokens, temperature: 0, ignore_eos: true }],
      shape: { concurrency: 1 },
      maxRequests: 1,
      maxSeconds: 600,
    });
    if (summary.output_tokens !== written) {
      throw new Error(`The server wrote ${summary.output_tokens} tokens`);
    }
    if (i < 0) continue;
    loop.push(alone);
    served.push(time!);
  }
  // The faster ones are those that other work on the machine disturbed least.
  const fast = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 10)]!;
  return [
    row(`server over the loop, 1 client, ${what.name}`, {
      ours: fast(served) / fast(loop),
      peer: MOST_OVERHEAD,
      unit: "× its time",
      against: "the target",
      less: true,
    }),
    row(`request of ${tokens} tokens, median, ${what.name}`, {
      ours: median(served),
      peer: median(loop),
      unit: "ms",
      against: "the loop alone",
      less: true,
    }),
  ];
}

/** Eight clients beside one, in turn. */
async function scale(
  bench: Bench,
  { bodies, name, runs }: {
    readonly bodies: LoadRunOptions["bodies"];
    readonly name: string;
    readonly runs: number;
  },
): Promise<Row[]> {
  const one: number[] = [], eight: number[] = [];
  for (let i = 0; i < runs; i++) {
    for (const [concurrency, rates] of [[1, one], [8, eight]] as const) {
      const { summary } = await bench.load({
        bodies,
        shape: { concurrency },
        maxRequests: 8 * Math.max(1, concurrency / 4),
        maxSeconds: 600,
      });
      rates.push(summary.output_tokens_per_second);
    }
  }
  const ratio = median(eight.map((rate, i) => rate / one[i]!));
  return [
    row(`throughput of 8 clients over 1, ${name}`, {
      ours: ratio,
      peer: LEAST_SCALE,
      unit: "×",
      against: "the target",
    }),
    row(`throughput of 8 clients, ${name}`, {
      ours: median(eight),
      peer: median(one),
      unit: "tokens/s",
      against: "1 client",
    }),
  ];
}

/** Two hundred connections: nothing is lost, memory does not grow, each is answered or refused. */
async function crowd(
  bench: Bench,
  { bodies, name, seconds }: {
    readonly bodies: LoadRunOptions["bodies"];
    readonly name: string;
    readonly seconds: number;
  },
): Promise<Row[]> {
  const ask = async (maxSeconds: number) =>
    await bench.load({
      bodies,
      shape: { concurrency: 200 },
      pauseMs: 1000, // as the refusal asks

      maxRequests: 1e6,
      maxSeconds,
      graceSeconds: 300,
    });
  await ask(Math.max(5, seconds / 4)); // fills what is kept: buffers, tables, compiled code
  const live = bench.backend.memory().live, before = Deno.memoryUsage();
  const { lost, lostCount, summary } = await ask(seconds);
  const after = Deno.memoryUsage(), { running, waiting } = bench.open.engine.scheduler.stats();
  if (lostCount > 0) throw new Error(`${lostCount} requests were lost: ${JSON.stringify(lost)}`);
  if (running + waiting > 0) throw new Error(`${running + waiting} requests were left`);
  const kept = bench.backend.memory().live - live, first = summary.time_to_first_token_ms;
  const figure = (what: string, ours: number, unit: string, peer = NaN, against = "–", less = true) =>
    row(`200 connections, ${what}, ${name}`, { ours, peer, unit, against, less });
  return [
    figure("requests answered", summary.completed, `in ${summary.seconds.toFixed(0)} s`),
    figure("requests refused (429)", summary.refused, `in ${summary.seconds.toFixed(0)} s`),
    figure("requests lost", lostCount, "requests", 0, "the target"),
    figure("tensors left after", kept, "bytes", 0, "the target"),
    figure("memory of the process after", after.rss / 2 ** 20, "MiB", before.rss / 2 ** 20, "before"),
    figure("of that the heap", after.heapUsed / 2 ** 20, "MiB", before.heapUsed / 2 ** 20, "before"),
    figure("throughput", summary.output_tokens_per_second, "tokens/s"),
    figure("time to first token, p50", first.p50 ?? NaN, "ms"),
    figure("time to first token, p99", first.p99 ?? NaN, "ms"),
  ];
}
