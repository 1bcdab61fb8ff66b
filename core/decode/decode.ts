/**
 * The decoding loop: draft → verify → accept. The verifier checks every proposed token in one pass and adds one of its
 * own, so that the text is the one it would have written alone: token for token, when sampling too, by the same numbers.
 * Without a draft it is plain decoding, by the same code.
 *
 * @module
 */
import type { VerifierModel } from "../plugin.ts";
import { turn } from "../turn.ts";
import type { DecodeOptions, DecodeRound } from "./options.ts";
import { Sequence } from "./sequence.ts";
import { Stepper } from "./step.ts";

export type { DecodeOptions, DecodeRound, Draft } from "./options.ts";

/**
 * Continues a prompt. The first round is the prompt's own pass; each further one is a pass over the newest token and
 * the proposals.
 *
 * @param prompt i32 `[T]`, at least one token
 * @throws {ConfigError} when the prompt is empty or too long
 * @throws {PluginError} when the draft fails, or proposes what is no tree or no token
 * @throws {AbortedError} when the signal is given
 */
export async function* decode(
  model: VerifierModel,
  prompt: Int32Array,
  options: DecodeOptions,
): AsyncGenerator<DecodeRound, void, void> {
  if (options.maxTokens <= 0) return;
  const stepper = new Stepper(model, options);
  using sequence = new Sequence(model, prompt, options);
  while (!sequence.ended) {
    await turn(options.signal);
    const step = sequence.read < sequence.promptLength ? stepper.prefill : stepper.round;
    const [outcome] = await step.call(stepper, [sequence]);
    if ("failure" in outcome!) throw outcome.failure;
    if (outcome!.round) yield outcome!.round;
  }
}
