/**
 * Rates of llama.cpp by node-llama-cpp, run by Node in the folder it is installed in: a line of JSON for each line read.
 *
 * usage: node smollm2_peer.mjs FILE.gguf THREADS PROMPT_TOKENS NEW_TOKENS
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [file, ...numbers] = process.argv.slice(2), [threads, prompt, fresh] = numbers.map(Number);
const found = createRequire(`${process.cwd()}/`).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(found).href);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads });
let begin = performance.now();
const model = await llama.loadModel({ modelPath: file });
const load = (performance.now() - begin) / 1000;
const context = await model.createContext({
  contextSize: prompt + fresh + 8,
  batchSize: prompt,
  threads,
  sequences: 1,
});
const sequence = context.getSequence();
const ids = Array.from({ length: prompt }, (_, i) => i * 37 % 40000);
for await (const _ of createInterface({ input: process.stdin })) {
  await sequence.clearHistory();
  begin = performance.now();
  let first = 0, count = 0;
  // An end of the text is no end here: the prompt is noise.
  for await (const _token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    if (count === 0) first = performance.now();
    if (count++ === fresh) break;
  }
  const last = performance.now();
  const decode = (count - 1) / (last - first) * 1000, prefill = prompt / (first - begin) * 1000;
  process.stdout.write(`${JSON.stringify({ load, prefill, decode })}\n`);
}
process.exit(0);
