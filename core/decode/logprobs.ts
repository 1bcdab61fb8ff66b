/** How likely a token was, as servers report it. */

/** A token's log-probability, beside those of the most likely tokens. */
export interface TokenLogprobs {
  /** Natural logarithm of its probability, before temperature and cuts. */
  readonly logprob: number;
  /** The most likely tokens, most likely first; of equals the lower id. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** Log-probabilities of a token and of the `count` most likely ones. @param logits f32 `[V]` */
export function logprobsOf(logits: Float32Array, token: number, count: number): TokenLogprobs {
  let most = -Infinity;
  for (const x of logits) if (x > most) most = x;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - most);
  const shift = most + Math.log(sum), places: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i]!;
    if (places.length === count && !(value > logits[places[count - 1]!]!)) continue;
    let at = places.length;
    while (at > 0 && value > logits[places[at - 1]!]!) at--;
    places.splice(at, 0, i);
    if (places.length > count) places.pop();
  }
  return {
    logprob: (logits[token] ?? -Infinity) - shift,
    top: places.map((place) => ({ token: place, logprob: logits[place]! - shift })),
  };
}
