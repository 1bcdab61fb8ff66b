/** Writing text, with or without a speculator. */
import { Acceptance, type AcceptanceRates } from "../decode/acceptance.ts";
import { decode } from "../decode/decode.ts";
import { drafting, type DraftingOptions, proposing } from "../decode/drafting.ts";
import { PythonRandom } from "../data/random.ts";
import type { Stage } from "../events.ts";
import { openImages } from "../images/prompt.ts";
import type { ImagePatches } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { openSpeculator } from "../speculator.ts";
import { loadTextModel, TextStream } from "../text/mod.ts";
import { openVerifier } from "../verifier.ts";

/** What is to be written. */
export interface GenerateOptions extends DraftingOptions {
  /** Folder of the verifier. */
  readonly verifierNameOrPath: string;
  /** Folder of a speculator. */
  readonly speculator?: string;
  /** The prompt: a user's message, or with `raw` the very text. */
  readonly prompt: string;
  /** Images that stand before the prompt's text: paths of PNG or JPEG files, or `data:` URLs. */
  readonly images?: readonly string[];
  /** Take the prompt as it is, without the chat template. */
  readonly raw?: boolean;
  /** Most tokens; 128. */
  readonly maxTokens?: number;
  /** 0 is greedy; 0 when absent. */
  readonly temperature?: number;
  /** Share of the mass that is sampled from; 1. */
  readonly topP?: number;
  /** How many tokens are sampled from; 0 is all. */
  readonly topK?: number;
  /** Seed of sampling; 0. */
  readonly seed?: number;
}

/** What was written. */
export interface GenerateResult {
  /** The text, without special tokens. */
  readonly text: string;
  /** Its token ids. */
  readonly tokens: number[];
  /** Tokens a second after the first token. */
  readonly tokens_per_second: number;
  /** Acceptance, when there was a speculator. */
  readonly acceptance: AcceptanceRates | null;
}

/** Writes a text; each piece comes as a `text` event that says whether it was proposed by the draft. */
export async function* generate(options: GenerateOptions, runtime: Runtime): Stage<GenerateResult> {
  using verifier = await openVerifier(options.verifierNameOrPath, runtime);
  const text = await loadTextModel(verifier.folder);
  const sources = options.images ?? [], input = sources.length > 0 ? await openImages(verifier) : null;
  const images: ImagePatches[] = [];
  for (const source of sources) images.push(await input!.read(source));
  const content = input
    ? [...sources.map(() => ({ type: "image" })), { type: "text", text: options.prompt }]
    : options.prompt;
  const rendered = options.raw
    ? options.prompt
    : text.render([{ role: "user", content }], { addGenerationPrompt: true });
  const { ids } = text.encode(rendered);
  const prompt = input ? input.expand(ids, images).map((from) => ids[from]!) : ids;
  using backend = await runtime.openBackend();
  using model = await verifier.load(backend, runtime.signal ? { signal: runtime.signal } : {});
  using speculator = options.speculator
    ? await openSpeculator(options.speculator, {
      registry: runtime.registry,
      verifier,
      model,
      ...proposing(options),
    })
    : null;
  if (speculator?.doubt) yield { type: "note", stage: "generate", level: "warning", text: speculator.doubt };
  const random = new PythonRandom(options.seed ?? 0),
    stream = new TextStream(text.tokenizer, { skipSpecialTokens: true });
  const acceptance = new Acceptance(), tokens: number[] = [];
  let start = 0, written = "";
  const piece = (ids: readonly number[], accepted: boolean) => {
    const found = stream.push(ids);
    written += found;
    return { type: "text", stage: "generate", text: found, accepted } as const;
  };
  const rounds = decode(model, prompt, {
    ops: runtime.ops,
    maxTokens: options.maxTokens ?? 128,
    sampling: {
      temperature: options.temperature ?? 0,
      ...(options.topP === undefined ? {} : { topP: options.topP }),
      ...(options.topK === undefined ? {} : { topK: options.topK }),
    },
    uniform: () => random.float(),
    ...(images.length > 0 ? { images } : {}),
    ...drafting(options, speculator),
    ...(runtime.signal ? { signal: runtime.signal } : {}),
  });
  for await (const round of rounds) {
    if (tokens.length === 0) start = performance.now();
    acceptance.count(round);
    tokens.push(...round.tokens);
    const accepted = Math.min(round.accepted, round.tokens.length);
    if (accepted > 0) yield piece(round.tokens.slice(0, accepted), true);
    if (accepted < round.tokens.length) yield piece(round.tokens.slice(accepted), false);
  }
  const seconds = (performance.now() - start) / 1000, rest = stream.end();
  if (rest) yield { type: "text", stage: "generate", text: rest, accepted: false };
  return {
    text: written + rest,
    tokens,
    tokens_per_second: seconds > 0 ? (tokens.length - 1) / seconds : 0,
    acceptance: speculator ? acceptance.rates() : null,
  };
}
