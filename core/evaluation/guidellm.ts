/**
 * Loads by GuideLLM, where it is installed: one run of it a load, so that the server's counters are read around each.
 *
 * source: GuideLLM 0.8.1 (`guidellm run`, its JSON output); upstream v0.7.0.1 `scripts/evaluate/perf_utils.py`
 * (`run_guidellm`, `parse_sweep_file`)
 *
 * @module
 */
import { delimiter, join } from "node:path";
import { ConfigError, EndpointError, FormatError } from "../errors.ts";
import { readJson } from "../files.ts";
import type { Percentiles } from "../load/summary.ts";
import type { Message } from "../text/chat_template.ts";
import type { SweepPoint } from "./results.ts";
import type { AskedSampling, MeasuredServer } from "./served.ts";

/** A load for GuideLLM. */
export interface GuidellmLoad extends AskedSampling {
  /** Its program. */
  readonly program: string;
  /** The prompts. */
  readonly turns: readonly Message[];
  /** Clients at once, or requests a second. */
  readonly strategy: "concurrency" | "constant";
  /** How many. */
  readonly target: number;
  /** Most requests. */
  readonly maxRequests: number;
  /** Seconds that it may last. */
  readonly maxSeconds: number;
}

/** Seconds that the program has besides its load: it starts slowly. */
const GRACE_SECONDS = 180;

/** Largest file of results. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Where a program is in PATH; `null` where it is not, or PATH may not be read. */
export async function findProgram(name: string): Promise<string | null> {
  try {
    for (const folder of (Deno.env.get("PATH") ?? "").split(delimiter)) {
      const path = join(folder, name);
      if (folder !== "" && await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
  return null;
}

/**
 * Puts a server under a load.
 *
 * @throws {ConfigError} when a prompt is no text
 * @throws {EndpointError} when the program fails
 * @throws {FormatError} when its results cannot be read
 */
export async function runGuidellm(
  server: MeasuredServer,
  load: GuidellmLoad,
): Promise<Omit<SweepPoint, "data_set" | "mean_accepted_length">> {
  const { strategy, target, turns, maxRequests } = load;
  const folder = await Deno.makeTempDir({ prefix: "guidellm-" });
  try {
    const data = join(folder, "prompts.jsonl"), output = join(folder, "results.json");
    // It ends when it has no prompts any more.
    const prompts = Array.from({ length: maxRequests }, (_, i) => promptOf(turns[i % turns.length]!));
    await Deno.writeTextFile(data, prompts.map((prompt) => JSON.stringify({ prompt }) + "\n").join(""));
    await run(server, { ...load, data, output });
    return { strategy, target, ...pointOf(await readJson(output, { maxBytes: MAX_BYTES }), output) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function promptOf({ content }: Message): string {
  if (typeof content === "string") return content;
  throw new ConfigError("prompt", "expected a text for GuideLLM, received parts", {
    hint: "Use --load-generator own, which sends any content",
  });
}

async function run(
  { endpoint, apiKey, signal }: MeasuredServer,
  load: GuidellmLoad & { readonly data: string; readonly output: string },
): Promise<void> {
  const { program, strategy, target, maxTokens, temperature, topP, topK, maxRequests, maxSeconds } = load;
  const sampling = {
    temperature,
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(topK ? { top_k: topK } : {}),
  };
  const extras = Object.entries(sampling).map(([name, value]) => `,extras.body.${name}=${value}`).join("");
  const key = apiKey === undefined ? "" : `,api_key=${apiKey}`;
  const args = [
    "run",
    ...[
      "--backend",
      `kind=openai_http,target=${endpoint.replace(/\/v1\/?$/, "")},max_tokens=${maxTokens}${key}${extras}`,
    ],
    ...["--data", `kind=json_file,path=${load.data}`],
    ...["--data-column-mapper", "kind=generative_column_mapper,column_mappings.text_column=prompt"],
    ...[
      "--profile",
      strategy === "concurrency" ? `kind=concurrent,streams=${target}` : `kind=constant,rate=${target}`,
    ],
    ...["--constraint", `kind=max_requests,count=${maxRequests}`],
    ...["--constraint", `kind=max_duration,seconds=${maxSeconds}`],
    ...["--output", `kind=json,path=${load.output}`],
    "--disable-console",
  ];
  const timeout = AbortSignal.timeout(1000 * (maxSeconds + GRACE_SECONDS));
  const child = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  const { code, stderr } = await child.output();
  signal?.throwIfAborted();
  if (code === 0) return;
  const last = new TextDecoder().decode(stderr).trimEnd().split("\n").at(-1)?.slice(-300) ?? "";
  throw new EndpointError(endpoint, `expected guidellm to load the server, received code ${code}: ${last}`, {
    hint: "Run guidellm by hand, or use --load-generator own",
  });
}

type Json = Readonly<Record<string, unknown>>;

/** What of its results is kept. */
function pointOf(value: unknown, file: string) {
  const benchmarks = (value as Json | null)?.benchmarks;
  const metrics = fieldOf((Array.isArray(benchmarks) ? benchmarks[0] : undefined) as unknown, "metrics");
  const of = (name: string) => fieldOf(fieldOf(metrics, name), "successful");
  const totals = fieldOf(metrics, "request_totals");
  const latency = percentilesOf(of("request_latency"), 1000);
  const figures = {
    completed: numberOf(totals.successful),
    refused: 0, // it tells no reasons
    failed: numberOf(totals.errored),
    requests_per_second: numberOf(of("requests_per_second").mean),
    output_tokens: numberOf(of("output_token_count").total_sum ?? of("output_tokens").total_sum),
    output_tokens_per_second: numberOf(of("output_tokens_per_second").mean),
    time_to_first_token_ms: percentilesOf(of("time_to_first_token_ms"), 1),
    time_per_output_token_ms: percentilesOf(of("inter_token_latency_ms"), 1),
    latency_ms: latency,
  };
  if (Object.values(figures).every((value) => typeof value !== "number" || Number.isFinite(value))) {
    return figures;
  }
  throw new FormatError(file, "expected the figures of a load, received another layout", {
    hint: "This reads what GuideLLM 0.8 writes; use --load-generator own with another one",
  });
}

function percentilesOf(value: Json, scale: number): Percentiles {
  const at = (of: unknown) => typeof of === "number" && Number.isFinite(of) ? of * scale : null;
  const { p50, p90, p95, p99 } = fieldOf(value, "percentiles");
  return { mean: at(value.mean), p50: at(p50), p90: at(p90), p95: at(p95), p99: at(p99) };
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}

function fieldOf(value: unknown, name: string): Json {
  const found = typeof value === "object" && value !== null ? (value as Json)[name] : undefined;
  return typeof found === "object" && found !== null ? found as Json : {};
}
