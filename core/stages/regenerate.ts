/**
 * Answers of a data set written anew by the verifier: a draft learns best from what its verifier says itself. Each answer
 * follows the new ones before it. Conversations are written as they are finished, so that a run that is stopped at any
 * point can go on.
 *
 * @module
 */
import { basename } from "node:path";
import { openDataset } from "../data/dataset.ts";
import { rejectedBeside, RejectedFile, type RejectedRecord } from "../data/rejected_file.ts";
import { Rejections } from "../data/rejections.ts";
import type { RecordResult, RecordSource } from "../data/source.ts";
import type { AcceptanceRates } from "../decode/acceptance.ts";
import { AbortedError, ConfigError, NotFoundError } from "../errors.ts";
import type { Stage } from "../events.ts";
import type { Runtime } from "../runtime.ts";
import { inFlight } from "../slots.ts";
import type { Message } from "../text/chat_template.ts";
import { turn } from "../turn.ts";
import type { Answer, Author } from "./_regenerate_author.ts";
import { openEndpointAuthor } from "./_regenerate_endpoint.ts";
import { openLocalAuthor } from "./_regenerate_local.ts";
import { openOutput, type Output } from "./_regenerate_output.ts";
import { RecordIds, type Turn, turnsOf } from "./_regenerate_turns.ts";

/** What is written anew, and by whom; names and defaults are upstream's. */
export interface RegenerateOptions {
  /** Files, folders or data sets of the hub (`organisation/name:config:split`), or their names; `ultrachat`. */
  readonly dataset?: readonly string[];
  /** Config of a hub data set. */
  readonly subset?: string;
  /** Split of a hub data set. */
  readonly split?: string;
  /** Server that speaks OpenAI's protocol; `http://127.0.0.1:8000/v1/chat/completions`. */
  readonly endpoint?: string;
  /** Model there; its first one when absent. */
  readonly model?: string;
  /** Secret the server asks for. */
  readonly apiKey?: string;
  /** Folder or hub name of the verifier, to write on this machine instead. */
  readonly verifierNameOrPath?: string;
  /** Speculator that helps it. */
  readonly speculator?: string;
  /** Tokens proposed a round; what the speculator's config says when absent. */
  readonly numSpecTokens?: number;
  /** Requests under way at once, 64; on this machine, answers written together, 8. */
  readonly concurrency?: number;
  /** Most tokens of an answer; 8192. */
  readonly maxTokens?: number;
  /** 0 is greedy; the server's choice when absent, 0 on this machine. */
  readonly temperature?: number;
  /** Share of the mass that is sampled from. */
  readonly topP?: number;
  /** How many tokens are sampled from. */
  readonly topK?: number;
  /** Seed of sampling. */
  readonly seed?: number;
  /** Most conversations, those of an earlier run counted; all when absent. */
  readonly limit?: number;
  /** Only records whose `language` is this. */
  readonly languageFilter?: string;
  /** Where conversations go, a line each; `{dataset}_{model}.jsonl`. */
  readonly outfile?: string;
  /** Go on with a file that is there. */
  readonly resume?: boolean;
  /** Times that a request is tried in all; 8. */
  readonly tries?: number;
  /** Milliseconds before the second try; 500. */
  readonly backoffMs?: number;
}

/** What was written. */
export interface RegenerateResult {
  /** The file. */
  readonly outfile: string;
  /** Conversations in it. */
  readonly conversations: number;
  /** Of them, written by this call. */
  readonly fresh: number;
  /** Answers in those. */
  readonly answers: number;
  /** Their tokens, as far as the author counts them. */
  readonly tokens: number;
  /** Conversations that could not be answered, by reason. */
  readonly rejected: Readonly<Record<string, number>>;
  /** Acceptance, when a speculator helped. */
  readonly acceptance: AcceptanceRates | null;
}

/** Address that is asked unless another one is given. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:8000/v1/chat/completions";

/**
 * Names for data sets, their splits apart since another one may be asked for.
 *
 * source: speculators v0.4.0.1, `scripts/response_regeneration/script.py` and `data_generation/configs.py`
 */
const KNOWN: Readonly<Record<string, readonly [id: string, split: string]>> = {
  magpie: ["Magpie-Align/Magpie-Llama-3.1-Pro-300K-Filtered", "train"],
  sharegpt: ["Aeala/ShareGPT_Vicuna_unfiltered", "train"],
  ultrachat: ["HuggingFaceH4/ultrachat_200k", "train_sft"],
};

/** A conversation to be answered. */
interface Task {
  readonly id: string;
  readonly index: number;
  readonly turns: readonly Turn[];
  readonly place: { readonly path: string; readonly line: number };
}

/** What became of one. */
type Outcome =
  & { readonly task: Task }
  & ({ readonly record: Readonly<Record<string, unknown>>; readonly answers: readonly Answer[] } | {
    readonly refused: string;
  } | { readonly error: unknown });

/**
 * Writes the answers of data sets anew.
 *
 * @throws {ConfigError} when options exclude one another, or the output is there and not to be gone on with
 * @throws {NotFoundError} when there is nothing to answer, or nobody to do it
 * @throws {EndpointError} when the server is away for longer than it is waited for; what is finished is kept
 */
export async function* regenerate(options: RegenerateOptions, runtime: Runtime): Stage<RegenerateResult> {
  requireOneAuthor(options);
  const names = options.dataset ?? ["ultrachat"];
  await using opened = new AsyncDisposableStack();
  const sources: RecordSource[] = [];
  for (const name of names) {
    const full = await datasetName(name, options), { signal } = runtime;
    sources.push(opened.use(await openDataset(full, signal ? { signal } : {})));
  }
  const author = opened.use(await openAuthor(options, runtime));
  const outfile = options.outfile ?? `${plain(basename(names[0]!))}_${plain(author.model)}.jsonl`;
  const output = opened.use(await openOutput(outfile, { resume: options.resume ?? false }));
  const rejectedFile = opened.use(new RejectedFile(rejectedBeside(outfile)));
  const others = [...output.models].filter((model) => model !== author.model);
  const mixed = `${outfile} has answers of ${
    others.join(", ")
  }; what is missing is written by ${author.model}`;
  for (const text of [...author.warnings, ...(others.length > 0 ? [mixed] : [])]) {
    yield { type: "note", stage: "regenerate", level: "warning", text };
  }

  const rejections = new Rejections();
  const reject = async (record: RejectedRecord) => {
    rejections.add(record.reason, record, record.line);
    await rejectedFile.add(record);
  };
  const all = sources.reduce((sum, { count }) => sum + count, 0);
  const progress = { seen: 0, skipped: 0, failed: false };
  const total = options.languageFilter === undefined ? Math.min(all, options.limit ?? all) : null;
  let fresh = 0, answers = 0, tokens = 0, failure: unknown;
  const work = async (task: Task): Promise<Outcome> => {
    try {
      return { task, ...await converse(task, author) };
    } catch (error) {
      progress.failed = true; // no further one is begun, but those under way may still end well
      return { task, error };
    }
  };
  const tasks = openTasks(sources, { options, output, reject, progress, runtime });
  for await (const outcome of inFlight(tasks, { limit: author.concurrency, work })) {
    if ("error" in outcome) failure ??= outcome.error;
    else if ("refused" in outcome) {
      await reject({ ...outcome.task.place, reason: outcome.refused });
    } else {
      await output.append(outcome.record);
      fresh++;
      answers += outcome.answers.length;
      tokens += outcome.answers.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
    }
    yield {
      type: "progress",
      stage: "regenerate",
      done: progress.skipped + fresh,
      total,
      unit: "conversations",
      detail: `${tokens} tokens`,
    };
  }
  if (runtime.signal?.aborted) throw new AbortedError();
  if (failure !== undefined) throw failure;
  if (progress.skipped + fresh === 0) throw nothingDone(names, { all, rejections });
  for (const text of rejections.sentences(all)) {
    yield { type: "note", stage: "regenerate", level: "warning", text };
  }
  await rejectedFile.commit();
  return {
    outfile,
    conversations: output.ids.size + fresh,
    fresh,
    answers,
    tokens,
    rejected: rejections.counts(),
    acceptance: author.acceptance(),
  };
}

function nothingDone(
  names: readonly string[],
  { all, rejections }: { readonly all: number; readonly rejections: Rejections },
): NotFoundError {
  const reasons = rejections.summary() || "none that match";
  return new NotFoundError(
    names.join(", "),
    `expected conversations that can be answered, received ${all} records: ${reasons}`,
    {
      hint: /refused/.test(reasons)
        ? "Do as the refusal says, or leave out the flags that it is about"
        : 'Give a conversation a line, as {"messages": [{"role": "user", "content": "…"}]}',
    },
  );
}

function requireOneAuthor({ verifierNameOrPath, endpoint, model, speculator }: RegenerateOptions): void {
  if (verifierNameOrPath !== undefined && (endpoint !== undefined || model !== undefined)) {
    const other = endpoint !== undefined ? "endpoint" : "model";
    throw new ConfigError(other, `expected a server or a verifier on this machine, received both`, {
      hint: "Leave one of them out",
    });
  }
  if (verifierNameOrPath === undefined && speculator !== undefined) {
    throw new ConfigError("speculator", "expected a verifier on this machine for it, received none", {
      hint: "Name the verifier too; a server has a speculator of its own",
    });
  }
}

async function openAuthor(options: RegenerateOptions, runtime: Runtime): Promise<Author> {
  const { verifierNameOrPath, speculator, numSpecTokens, model, apiKey, tries, backoffMs } = options;
  const { temperature, topP, topK, seed, maxTokens = 8192 } = options;
  const sampling = {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(topK === undefined ? {} : { topK }),
    ...(seed === undefined ? {} : { seed }),
  };
  if (verifierNameOrPath !== undefined) {
    return await openLocalAuthor({
      verifierNameOrPath,
      concurrency: options.concurrency ?? 8,
      maxTokens,
      sampling,
      ...(speculator === undefined ? {} : { speculator }),
      ...(numSpecTokens === undefined ? {} : { numSpecTokens }),
    }, runtime);
  }
  return await openEndpointAuthor({
    endpoint: options.endpoint ?? DEFAULT_ENDPOINT,
    concurrency: options.concurrency ?? 64,
    maxTokens,
    sampling,
    ...(model === undefined ? {} : { model }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(tries === undefined ? {} : { tries }),
    ...(backoffMs === undefined ? {} : { backoffMs }),
    ...(runtime.signal ? { signal: runtime.signal } : {}),
  });
}

/** The data set's whole name: split and subset may be given apart. What is there as a file is taken as it is. */
async function datasetName(name: string, { subset, split }: RegenerateOptions): Promise<string> {
  if (await Deno.lstat(name).then(() => true, () => false)) return name;
  const [id, own] = KNOWN[name] ?? [name, undefined],
    chosen = split ?? own ?? (subset === undefined ? null : "train");
  return [id, ...(subset === undefined ? [] : [subset]), ...(chosen === null ? [] : [chosen])].join(":");
}

/** A text that can be part of a file's name. */
function plain(text: string): string {
  const last = text.split("/").findLast((part) => part !== "") ?? text;
  return last.replace(/\.(?:jsonl?|parquet)$/i, "").replace(/[\\:*?"<>|\s]/g, "_").replace(
    /^[_.]+|[_.]+$/g,
    "",
  ) || "data";
}

/** The conversations that are still to be answered. */
async function* openTasks(
  sources: readonly RecordSource[],
  what: {
    readonly options: RegenerateOptions;
    readonly output: Output;
    readonly reject: (record: RejectedRecord) => Promise<void>;
    readonly progress: { seen: number; skipped: number; failed: boolean };
    readonly runtime: Runtime;
  },
): AsyncGenerator<Task, void, void> {
  const { options: { limit = Infinity, languageFilter }, output, reject, progress, runtime } = what;
  const ids = new RecordIds();
  let taken = 0, offset = 0;
  for (const source of sources) {
    for (let i = 0; i < source.count && taken < limit && !progress.failed; i++) {
      await turn();
      // What is finished is still written; the signal is told at the end.
      if (runtime.signal?.aborted) return;
      const found: RecordResult = await source.read(i), index = offset + i;
      const place = { path: found.path ?? source.path, line: found.line };
      if ("rejected" in found) {
        await reject({ ...place, reason: found.rejected });
        continue;
      }
      const id = ids.of(found.record, index);
      if (languageFilter !== undefined && found.record.language !== languageFilter) continue;
      const turns = turnsOf(found.record);
      if (typeof turns === "string") {
        await reject({ ...place, reason: turns });
        continue;
      }
      taken++;
      if (output.ids.has(id)) progress.skipped++;
      else yield { id, index, turns, place };
    }
    offset += source.count;
  }
}

/** Answers a conversation, turn by turn. One that is refused later on ends there, with the answers it has. */
async function converse(
  { id, index, turns }: Task,
  author: Author,
): Promise<
  { readonly record: Readonly<Record<string, unknown>>; readonly answers: Answer[] } | {
    readonly refused: string;
  }
> {
  const history: Message[] = [], written: Record<string, unknown>[] = [], answers: Answer[] = [];
  let whole = 0, ended: string | undefined;
  for (const next of turns) {
    if (next !== "answer") {
      history.push(next);
      written.push({ from: next.role === "user" ? "human" : next.role, value: next.content });
      continue;
    }
    const answer = await author.answer(history, index);
    ended = "refused" in answer ? answer.refused : answer.text === "" ? "the answer is empty" : undefined;
    if ("refused" in answer || ended !== undefined) break;
    answers.push(answer);
    history.push({ role: "assistant", content: answer.text });
    const { reasoning } = answer;
    // Both names that chat templates know for it.
    const thought = reasoning === null ? {} : { thinking: reasoning, reasoning_content: reasoning };
    written.push({ from: "gpt", value: answer.text, ...thought });
    whole = written.length;
  }
  if (whole === 0) return { refused: ended ?? "no user turn" };
  const sum = (of: "promptTokens" | "completionTokens") => answers.reduce((n, answer) => n + answer[of], 0);
  const metadata = {
    idx: index,
    finish_reason: answers.at(-1)!.finishReason,
    usage: { prompt_tokens: sum("promptTokens"), completion_tokens: sum("completionTokens") },
    model: author.model,
    ...(author.endpoint === null ? {} : { endpoint: author.endpoint }),
    ...(ended === undefined ? {} : { ended }),
  };
  return { record: { id, conversations: written.slice(0, whole), metadata }, answers };
}
