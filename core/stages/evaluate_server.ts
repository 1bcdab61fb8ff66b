/**
 * How good a draft is that a server has: prompts are sent to it, and its counters read before and after.
 *
 * @module
 */
import { readTurns } from "../data/prompts.ts";
import { Rejections } from "../data/rejections.ts";
import { ConfigError } from "../errors.ts";
import { findDataSets } from "../evaluation/data_sets.ts";
import { type Side, Tally } from "../evaluation/figures.ts";
import { launch } from "../evaluation/launch.ts";
import type { SweepPoint } from "../evaluation/results.ts";
import type { Found } from "../evaluation/run.ts";
import { type AskedSampling, bodiesOf, counted, load, type MeasuredServer } from "../evaluation/served.ts";
import { loadsOf, sweep, type SweepOptions } from "../evaluation/sweep.ts";
import type { Stage } from "../events.ts";
import type { DraftServeOptions, EnginePlugin } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import type { Message } from "../text/chat_template.ts";
import { noPrompts } from "./evaluate.ts";

/** A server that runs, or one that is started for the evaluation and stopped again. */
export type ServerSource =
  | { readonly endpoint: string }
  | {
    /** How it is started. */
    readonly launch: DraftServeOptions;
    /** File for what it prints. */
    readonly logPath: string;
    /** Seconds until it answers; 300 unless given. */
    readonly timeoutSeconds?: number;
  };

/** What is evaluated, and on what. */
export interface EvaluateServerOptions extends Partial<AskedSampling> {
  /** Engine whose servers these are. */
  readonly engine: string;
  /** The server with the draft. */
  readonly server: ServerSource;
  /** One of the verifier alone, for the speed without the draft. */
  readonly plain?: ServerSource;
  /** Data sets as `findDataSets` takes them; the prompt is the first user turn of a record. */
  readonly data: readonly string[];
  /** Most prompts of a data set. */
  readonly limit?: number;
  /** Requests under way at once; 1 unless given. */
  readonly concurrency?: number;
  /** Seconds for a data set; a day unless given. */
  readonly maxSeconds?: number;
  /** Loads to measure afterwards. */
  readonly sweep?: SweepOptions;
  /** Sent as a bearer's key. */
  readonly apiKey?: string;
}

/** What an evaluation of a server finds. */
export interface EvaluateServerResult extends Found {
  /** Loads, lightest first. */
  readonly sweep: readonly SweepPoint[];
  /** What was written for each prompt. */
  readonly outputs: string[];
}

interface TurnSet {
  readonly name: string;
  readonly turns: readonly Message[];
  readonly tally: Tally;
  readonly texts: Record<Side, string[]>;
}

/**
 * Evaluates what a server has. Its counters are those of all its clients: nobody else should ask it meanwhile.
 *
 * @throws {ConfigError} when the engine has no servers that can be measured
 * @throws {NotFoundError} when a file is not there, or there is no prompt
 * @throws {EndpointError} when a server does not start, does not answer or does not count
 */
export async function* evaluateServer(
  options: EvaluateServerOptions,
  runtime: Pick<Runtime, "registry" | "signal">,
): Stage<EvaluateServerResult> {
  const plugin = await runtime.registry.get("engine", options.engine);
  if (!plugin.acceptanceCounts) {
    throw new ConfigError(
      "engine",
      `expected an engine whose servers count acceptance, received "${plugin.name}"`,
      {
        hint: "Leave --endpoint and --launch out to decode on this machine",
      },
    );
  }
  const sets = yield* readTurnSets(options, runtime.signal), points: SweepPoint[] = [];
  const ask = { plugin, options, sets, signal: runtime.signal };
  {
    await using server = await open(options.server, ask);
    yield* run(server, "speculative", ask);
    if (options.sweep && loadsOf(options.sweep).length > 0) {
      for (const { name, turns } of sets) {
        const sampling = samplingOf(options);
        for await (const point of sweep(server, { ...options.sweep, name, turns, sampling })) {
          points.push(point);
          const speed = point.output_tokens_per_second.toFixed(1);
          yield note(`${name}, ${point.strategy} ${point.target}: ${speed} tokens/s`, "info");
        }
      }
    }
  }
  if (options.plain) {
    await using server = await open(options.plain, ask);
    yield* run(server, "plain", ask);
  }
  const all = new Tally();
  for (const { tally } of sets) all.add(tally);
  const same = sets.every(({ texts: { plain, speculative } }) =>
    plain.every((text, i) => text === speculative[i])
  );
  const greedy = samplingOf(options).temperature === 0;
  return {
    ...all.figures(),
    identical: options.plain && greedy ? same : null,
    data_sets: sets.map(({ name, tally }) => ({ name, ...tally.figures() })),
    sweep: points,
    outputs: sets.flatMap(({ texts }) => texts.speculative),
  };
}

interface Ask {
  readonly plugin: EnginePlugin;
  readonly options: EvaluateServerOptions;
  readonly sets: readonly TurnSet[];
  readonly signal: AbortSignal | undefined;
}

function samplingOf(
  { maxTokens = 64, temperature = 0, topP, topK, seed = 0 }: EvaluateServerOptions,
): AskedSampling {
  return {
    maxTokens,
    temperature,
    seed,
    ...(topP === undefined ? {} : { topP }),
    ...(topK === undefined ? {} : { topK }),
  };
}

/** Asks a server for all data sets. */
async function* run(server: MeasuredServer, side: Side, { options, sets }: Ask): Stage<void> {
  const { concurrency = 1, maxSeconds = 86_400 } = options, sampling = samplingOf(options);
  const warm = await bodiesOf(sets[0]!.turns.slice(0, 1), { ...sampling, maxTokens: 8, server });
  await load(server, { bodies: warm, shape: { concurrency: 1 }, maxRequests: 1, maxSeconds });
  for (const { name, turns, tally, texts } of sets) {
    const bodies = await bodiesOf(turns, { ...sampling, server });
    const bounds = { shape: { concurrency }, maxRequests: bodies.length, maxSeconds };
    const { result: { records, summary }, counts } = await counted(
      server,
      () => load(server, { bodies, ...bounds }),
    );
    for (const { outcome, index, tokens, promptTokens, start, first, last, end, text } of records) {
      if (outcome !== "ok") continue;
      texts[side][index] = text;
      tally.text(side, { tokens, firstMs: (first ?? end) - start, totalMs: (last ?? end) - start });
      if (side === "speculative") tally.prompt(promptTokens);
    }
    if (concurrency > 1) tally.wall(side, 1000 * summary.seconds);
    if (side === "speculative" && counts) tally.counts(counts);
    if (side === "speculative" && !counts) {
      yield note(
        `The server counts no draft's tokens: is it started with one? (${server.endpoint})`,
        "warning",
      );
    }
    const left = bodies.length - summary.completed;
    if (left > 0) {
      const why = records.find(({ outcome }) => outcome !== "ok")?.error ?? "its time was over";
      yield note(`${left} of ${bodies.length} requests of ${name} were not answered: ${why}`, "warning");
    }
    yield {
      type: "progress",
      stage: "evaluate",
      done: summary.completed,
      total: bodies.length,
      unit: "prompts",
      detail: `${name}${side === "plain" ? " without the draft" : ""}`,
    };
  }
}

async function open(
  source: ServerSource,
  { plugin, options, signal }: Ask,
): Promise<MeasuredServer & AsyncDisposable> {
  const server = {
    plugin,
    ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
    ...(signal ? { signal } : {}),
  };
  if ("endpoint" in source) {
    return { ...server, endpoint: source.endpoint, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  if (!plugin.draftCommand) {
    throw new ConfigError("engine", `expected an engine that starts servers, received "${plugin.name}"`, {
      hint: "Start the server yourself and give its address",
    });
  }
  const { launch: asked, logPath, timeoutSeconds } = source;
  const endpoint = `http://${asked.host}:${asked.port}`;
  const running = await launch(await plugin.draftCommand(asked), {
    endpoint,
    logPath,
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(signal ? { signal } : {}),
  });
  return { ...server, endpoint, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
}

async function* readTurnSets(
  options: EvaluateServerOptions,
  signal: AbortSignal | undefined,
): Stage<TurnSet[]> {
  const { limit = Infinity } = options, found: TurnSet[] = [];
  for (const { name, paths } of await findDataSets(options.data, signal ? { signal } : {})) {
    const rejections = new Rejections(), turns = await readTurns(paths, { limit, rejections });
    const rejected = Object.values(rejections.counts()).reduce((a, b) => a + b, 0);
    if (turns.length === 0) throw noPrompts(paths, rejected === 0 ? null : { rejected, rejections });
    for (const text of rejections.sentences(turns.length + rejected)) yield note(text, "warning");
    found.push({ name, turns, tally: new Tally(), texts: { plain: [], speculative: [] } });
  }
  return found;
}

function note(text: string, level: "info" | "warning") {
  return { type: "note", stage: "evaluate", level, text } as const;
}
