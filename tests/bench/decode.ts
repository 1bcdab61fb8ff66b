/** Speculative decoding beside plain decoding, on the tiny verifier with a draft that was trained for it. */
import { fileURLToPath } from "node:url";
import type { CoreOps } from "../../core/runtime.ts";
import { readPrompts } from "../../core/data/prompts.ts";
import { Rejections } from "../../core/data/rejections.ts";
import { type OpenSpeculator, openSpeculator } from "../../core/speculator.ts";
import { loadTextModel } from "../../core/text/mod.ts";
import { openVerifier } from "../../core/verifier.ts";
import { createRuntime, type Draft, evaluate, finish, Scheduler, type VerifierModel } from "../../mod.ts";
import { golden } from "../golden.ts";
import { median, type Row, row } from "./row.ts";

const verifier = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

/** What the rows are measured on. */
interface Subject extends Disposable {
  readonly model: VerifierModel;
  readonly ops: CoreOps;
  readonly prompts: readonly Int32Array[];
  /** Opens the draft, for chains or for trees. */
  draft(tree?: { readonly topK: number; readonly depth: number }): Promise<OpenSpeculator>;
}

async function open(device: "wasm" | "webgpu", limit: number): Promise<Subject> {
  using stack = new DisposableStack();
  const runtime = await createRuntime({ device }), { registry, ops } = runtime;
  const opened = stack.use(await openVerifier(verifier, runtime)), text = await loadTextModel(opened.folder);
  const data = [`${verifier}/dialogues.held-out.jsonl`];
  const prompts = await readPrompts(data, { text, limit, rejections: new Rejections() });
  const model = stack.use(await opened.load(stack.use(await runtime.openBackend())));
  const owned = stack.move();
  return {
    model,
    ops,
    prompts,
    draft: (tree) =>
      openSpeculator(golden("generate", "draft"), {
        registry,
        verifier: opened,
        model,
        ...(tree ? { proposing: { tree } } : {}),
      }),
    [Symbol.dispose]: () => owned[Symbol.dispose](),
  };
}

/** Writes all texts, so many at once; tokens a second, and tokens gained by a pass. */
async function write(
  { model, ops, prompts }: Subject,
  options: { readonly at: number; readonly draft?: Draft; readonly numSpecTokens?: number },
): Promise<{ rate: number; length: number; tokens: string }> {
  const { at, draft, numSpecTokens = 3 } = options;
  await using scheduler = new Scheduler(model, {
    ops,
    maxSequences: at,
    ...(draft ? { draft, numSpecTokens } : {}),
  });
  const start = performance.now();
  const texts = await Promise.all(prompts.map(async (prompt) => {
    const tokens: number[] = [];
    for await (const round of scheduler.submit({ prompt, maxTokens: 64 })) tokens.push(...round.tokens);
    return tokens;
  }));
  const seconds = (performance.now() - start) / 1000, { acceptance } = scheduler.stats();
  return {
    rate: texts.flat().length / seconds,
    length: acceptance.mean_accepted_length,
    tokens: texts.join("\n"),
  };
}

/** Eight texts at once beside one at a time, and trees beside chains of the same depth; medians of interleaved runs. */
export async function batchRows(device: "wasm" | "webgpu", runs = 5): Promise<Row[]> {
  using subject = await open(device, device === "wasm" ? 16 : 8);
  using chains = await subject.draft();
  using trees = await subject.draft({ topK: 4, depth: 3 });
  const kinds = {
    plain: { at: 1 },
    plain8: { at: 8 },
    chain: { at: 1, draft: chains.draft },
    chain8: { at: 8, draft: chains.draft },
    tree: { at: 1, draft: trees.draft, numSpecTokens: 12 },
    tree24: { at: 1, draft: trees.draft, numSpecTokens: 24 },
  };
  type Kind = keyof typeof kinds;
  const rates: Record<Kind, number[]> = {
    plain: [],
    plain8: [],
    chain: [],
    chain8: [],
    tree: [],
    tree24: [],
  };
  const lengths = new Map<Kind, number>();
  for (let i = -1; i < runs; i++) {
    let first: string | null = null;
    for (const kind of Object.keys(kinds) as Kind[]) {
      const { rate, length, tokens } = await write(subject, kinds[kind]);
      if (tokens !== (first ??= tokens)) throw new Error(`Texts differ: ${kind}`);
      if (i >= 0) rates[kind].push(rate); // the first run compiles kernels
      lengths.set(kind, length);
    }
  }
  const speed = (name: string, ours: Kind, peer: Kind, against: string) =>
    row(`${name}, ${device}`, {
      ours: median(rates[ours]),
      peer: median(rates[peer]),
      unit: "tokens/s",
      against,
    });
  const length = (name: string, ours: Kind) =>
    row(`${name}, ${device}`, {
      ours: lengths.get(ours)!,
      peer: lengths.get("chain")!,
      unit: "accepted length",
      against: "chain of 3",
    });
  return [
    speed("8 texts at once", "plain8", "plain", "one at a time"),
    speed("8 texts at once, with a draft", "chain8", "chain", "one at a time"),
    speed("tree of 12 on 3 levels", "tree", "chain", "chain of 3"),
    length("tree of 12 on 3 levels", "tree"),
    length("tree of 24 on 3 levels", "tree24"),
  ];
}

/** Tokens a second with the draft, beside those without, median of several runs over the same prompts. */
export async function decodeRows(device: "wasm" | "webgpu", runs = 5): Promise<Row[]> {
  const runtime = await createRuntime({ device }), plain: number[] = [], speculative: number[] = [];
  for (let i = 0; i < runs; i++) {
    const options = {
      base: verifier,
      speculator: golden("generate", "draft"),
      data: [`${verifier}/dialogues.held-out.jsonl`],
      limit: device === "wasm" ? 16 : 2,
    };
    const found = await finish(evaluate(options, runtime));
    if (!found.identical) throw new Error("The texts with and without the draft differ");
    plain.push(found.tokens_per_second.plain);
    speculative.push(found.tokens_per_second.speculative);
  }
  const [ours, peer] = [median(speculative), median(plain)];
  return [row(`speculative decode, ${device}`, { ours, peer, unit: "tokens/s", against: "plain decode" })];
}
