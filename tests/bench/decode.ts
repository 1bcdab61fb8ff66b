/** Speculative decoding beside plain decoding, on the tiny verifier with a draft that was trained for it. */
import { fileURLToPath } from "node:url";
import { createRuntime, evaluate, finish } from "../../mod.ts";
import { golden } from "../golden.ts";
import { median, type Row, row } from "./row.ts";

const verifier = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

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
