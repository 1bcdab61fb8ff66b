/** The text of an answer as its tokens come: where it stops, what of it may be shown already. */
import type { TokenLogprobs } from "../decode/logprobs.ts";
import type { DecodeRound } from "../decode/options.ts";
import type { TextModel } from "../text/model.ts";

/** A piece of text, and whether the draft had proposed it. */
export interface Piece {
  /** Its text. */
  readonly text: string;
  /** Whether it was proposed, and accepted. */
  readonly accepted: boolean;
}

/** A token that was written. */
export interface WrittenToken {
  /** Its id. */
  readonly id: number;
  /** How likely it was, where that was asked for. */
  readonly logprobs: TokenLogprobs | null;
}

/** What a round adds to an answer. */
export interface Delta {
  /** Text that may be shown. */
  readonly pieces: readonly Piece[];
  /** Tokens, those whose text is held back included. */
  readonly tokens: readonly WrittenToken[];
}

/** What ends an answer. */
export interface AnswerStops {
  /** Texts that end it and are no part of it. */
  readonly stop: readonly string[];
  /** Tokens that end it; their text is no part of it. */
  readonly eosTokenIds: readonly number[];
}

/**
 * An answer that is being written. Text that may be the beginning of a stop string is held back until it is known, and a
 * character until all its bytes are there.
 */
export class AnswerText {
  readonly #stops: AnswerStops;
  readonly #stream: ReturnType<TextModel["stream"]>;
  #held: Piece[] = [];
  #heldText = "";
  #finish: "stop" | "length" | null = null;
  #stopReason: string | number | null = null;
  #tokens = 0;
  #accepted = 0;
  #rejected = 0;

  constructor(text: TextModel, stops: AnswerStops) {
    this.#stops = stops;
    this.#stream = text.stream({ skipSpecialTokens: true });
  }

  /** How it ended; `null` until it has. */
  get finish(): "stop" | "length" | null {
    return this.#finish;
  }

  /** The stop string or the token that ended it, where one did. */
  get stopReason(): string | number | null {
    return this.#stopReason;
  }

  /** Tokens written, and of them those that were proposed; those that were proposed in vain. */
  get counts(): { readonly tokens: number; readonly accepted: number; readonly rejected: number } {
    return { tokens: this.#tokens, accepted: this.#accepted, rejected: this.#rejected };
  }

  /** Takes a round; when a stop string ends the answer in it, the tokens after that are none of it. */
  take({ tokens, accepted, proposed, logprobs }: DecodeRound): Delta {
    const pieces: Piece[] = [], taken: WrittenToken[] = [];
    this.#rejected += proposed.length - accepted;
    for (const [i, id] of tokens.entries()) {
      if (this.#finish) break;
      taken.push({ id, logprobs: logprobs?.[i] ?? null });
      this.#tokens++;
      if (i < accepted) this.#accepted++;
      if (this.#stops.eosTokenIds.includes(id)) {
        this.#finish = "stop";
        this.#stopReason = id;
      } else pieces.push(...this.#add({ text: this.#stream.push([id]), accepted: i < accepted }));
    }
    return { pieces: joined(pieces), tokens: taken };
  }

  /** The last of the text, once no more tokens come. */
  end(): Delta {
    const pieces: Piece[] = [];
    if (!(this.#finish && typeof this.#stopReason === "string")) {
      pieces.push(...this.#add({ text: this.#stream.end(), accepted: false }));
      if (typeof this.#stopReason !== "string") pieces.push(...this.#release(this.#heldText.length));
    }
    this.#finish ??= "length";
    return { pieces: joined(pieces), tokens: [] };
  }

  #add(piece: Piece): Piece[] {
    if (piece.text === "") return [];
    this.#held.push(piece);
    this.#heldText += piece.text;
    const found = firstOf(this.#heldText, this.#stops.stop);
    if (!found) {
      return this.#release(this.#heldText.length - beginningAtEnd(this.#heldText, this.#stops.stop));
    }
    const shown = this.#release(found.at);
    this.#held = [];
    this.#heldText = "";
    this.#finish = "stop";
    this.#stopReason = found.stop;
    return shown;
  }

  /** Gives the first characters of what is held. */
  #release(length: number): Piece[] {
    const given: Piece[] = [];
    this.#heldText = this.#heldText.slice(length);
    while (length > 0) {
      const { text, accepted } = this.#held.shift()!;
      given.push({ text: text.slice(0, length), accepted });
      if (text.length > length) this.#held.unshift({ text: text.slice(length), accepted });
      length -= Math.min(length, text.length);
    }
    return given;
  }
}

/** The stop string that comes first in a text; of those at one place the one that was named first. */
function firstOf(
  text: string,
  stops: readonly string[],
): { readonly at: number; readonly stop: string } | null {
  let found: { at: number; stop: string } | null = null;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (!found || at < found.at)) found = { at, stop };
  }
  return found;
}

/** How many characters at the end of a text may begin a stop string. */
function beginningAtEnd(text: string, stops: readonly string[]): number {
  let most = 0;
  for (const stop of stops) {
    for (let n = Math.min(stop.length - 1, text.length); n > most; n--) {
      if (text.endsWith(stop.slice(0, n))) most = n;
    }
  }
  return most;
}

function joined(pieces: readonly Piece[]): Piece[] {
  const found: Piece[] = [];
  for (const { text, accepted } of pieces) {
    const last = found.at(-1);
    if (last?.accepted === accepted) found[found.length - 1] = { text: last.text + text, accepted };
    else found.push({ text, accepted });
  }
  return found;
}
