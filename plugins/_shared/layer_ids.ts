/** Which of the verifier's states a draft reads, and whether a verifier is the one it was made for. */
import { ConfigError } from "../../core/errors.ts";
import type { VerifierInfo } from "../../core/plugin.ts";

/** The states a draft reads by default: an early, a middle and a late one (as vLLM serves Eagle-3). */
export function defaultLayerIds(layers: number): readonly number[] {
  return [2, Math.floor(layers / 2), layers - 3];
}

/**
 * Refuses ids of layers that the verifier does not have.
 *
 * @param field where the ids are said, for the message
 * @throws {ConfigError} naming the first one
 */
export function requireLayers(field: string, layers: readonly number[], verifier: VerifierInfo): void {
  const wrong = layers.find((id) => id < 0 || id > verifier.layers);
  if (wrong === undefined) return;
  throw new ConfigError(field, `expected ids from 0 to ${verifier.layers}, received ${wrong}`, {
    hint: "Name the layers whose input the draft is to read",
  });
}

/**
 * Refuses a verifier of another width or vocabulary.
 *
 * @throws {ConfigError} naming both
 */
export function requireVerifier(
  verifier: VerifierInfo,
  { width, vocab }: { readonly width: number; readonly vocab: number },
): void {
  if (width === verifier.hiddenSize && vocab === verifier.vocabSize) return;
  throw new ConfigError(
    verifier.nameOrPath,
    `expected a verifier of width ${width} with ${vocab} tokens, received width ${verifier.hiddenSize} with ` +
      `${verifier.vocabSize}`,
    { hint: "Take the verifier that the draft was made for" },
  );
}
