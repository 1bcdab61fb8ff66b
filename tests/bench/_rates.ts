/** Rates of a verifier and of its peers, measured by turns so that whatever else the machine does falls on all of them. */
import { argmax } from "../../kernels/ops/mod.ts";
import { createRuntime, openVerifier, type VerifierModel } from "../../mod.ts";

/** Tokens of the prompt, and tokens written in a measurement. */
export const PROMPT = 512, FRESH = 16;
/** Threads of everybody. */
export const THREADS = 2;

/** Seconds and tokens a second. */
export interface Rates {
  readonly load: number;
  readonly prefill: number;
  readonly decode: number;
}

/** Somebody who can be measured again and again. */
export interface Measured extends AsyncDisposable {
  measure(): Promise<Rates>;
}

/** The best of several measurements: what else ran beside one only slows it. */
export function best(rates: readonly Rates[]): Rates {
  return {
    load: Math.min(...rates.map(({ load }) => load)),
    prefill: Math.max(...rates.map(({ prefill }) => prefill)),
    decode: Math.max(...rates.map(({ decode }) => decode)),
  };
}

/** A peer in a process of its own, which answers each line with a line of {@linkcode Rates}. */
export function peer(command: string, args: readonly string[], cwd?: string): Measured {
  const child = new Deno.Command(command, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return {
    async measure() {
      await input.write(new TextEncoder().encode("\n"));
      let text = "";
      while (!text.includes("\n")) {
        const { value, done } = await lines.read();
        if (done) {
          throw new Error(`Cannot measure "${command} ${args[0]}": expected a line, received its end`);
        }
        text += value;
      }
      return JSON.parse(text.slice(text.lastIndexOf("{")));
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await Promise.allSettled([lines.cancel(), input.abort(), child.status]);
    },
  };
}

/** Ours: passes over one row, and over the prompt in one. */
export async function ours(path: string): Promise<Measured & { rows(count: number): Promise<number> }> {
  const runtime = await createRuntime({ device: "wasm" }), backend = await runtime.openBackend();
  const begin = performance.now();
  using opened = await openVerifier(path, runtime);
  const model: VerifierModel = await opened.load(backend), load = (performance.now() - begin) / 1000;
  const prompt = Int32Array.from({ length: PROMPT }, (_, i) => i * 37 % 40000);
  const cache = model.cache(PROMPT + FRESH + 16);
  const step = async (tokens: Int32Array) => {
    using _scope = backend.scope();
    const { logits } = model.forward({ tokens, cache, logits: "last" });
    return (await backend.read(argmax(backend.run, logits!)))[0]!;
  };
  return {
    async measure() {
      cache.truncate(0);
      let begin = performance.now(), token = await step(prompt);
      const prefill = PROMPT / (performance.now() - begin) * 1000;
      begin = performance.now();
      for (let i = 0; i < FRESH; i++) token = await step(Int32Array.of(token));
      return { load, prefill, decode: FRESH / (performance.now() - begin) * 1000 };
    },
    async rows(count: number) {
      const tokens = Int32Array.from({ length: count }, (_, i) => i * 91), length = cache.length;
      let shortest = Infinity;
      for (let i = 0; i < 12; i++) {
        cache.truncate(length - count);
        const begin = performance.now();
        using _scope = backend.scope();
        const { logits } = model.forward({ tokens, cache });
        await backend.read(argmax(backend.run, logits!));
        shortest = Math.min(shortest, performance.now() - begin);
      }
      return shortest;
    },
    // deno-lint-ignore require-await -- what a peer does is asynchronous
    async [Symbol.asyncDispose]() {
      cache[Symbol.dispose]();
      model[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
}
