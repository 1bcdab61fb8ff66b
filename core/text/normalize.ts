/**
 * Unicode normalisation that remembers where each character came from.
 *
 * @module
 */

/** Unicode's normalisation forms. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** A normalised text and, for each of its code points, the stretch of the original it stands for. */
export interface Aligned {
  /** Code points. */
  readonly codes: number[];
  /** Start of each, in UTF-16 units of the original. */
  readonly starts: number[];
  /** End of each. */
  readonly ends: number[];
}

/**
 * Normalises a stretch of text.
 *
 * A character made of several takes the place of the *first* of them alone, as in the Rust `tokenizers`: an `e` with
 * a combining accent gives `é` with the place of the `e`, and the accent belongs to no character.
 *
 * @param from first UTF-16 unit
 * @param to unit after the last
 * @param form `null` keeps the text as it is
 */
export function normalizeAligned(text: string, from: number, to: number, form: NormalForm | null): Aligned {
  const aligned: Aligned = { codes: [], starts: [], ends: [] };
  const stretch = text.slice(from, to);
  if (form === null || stretch.normalize(form) === stretch) {
    for (let i = from; i < to;) i = push(aligned, text.codePointAt(i)!, i);
    return aligned;
  }
  for (let i = from; i < to;) {
    const end = segmentEnd(text, i, to);
    const segment = text.slice(i, end);
    const normal = segment.normalize(form);
    if (normal === segment) {
      while (i < end) i = push(aligned, text.codePointAt(i)!, i);
    } else {
      pushSegment(aligned, [...segment], [...normal], i);
      i = end;
    }
  }
  return aligned;
}

function push(aligned: Aligned, code: number, at: number): number {
  const end = at + (code > 0xffff ? 2 : 1);
  aligned.codes.push(code);
  aligned.starts.push(at);
  aligned.ends.push(end);
  return end;
}

/** A character and all that can combine with it: marks, and the vowels and finals of Hangul. */
function segmentEnd(text: string, from: number, to: number): number {
  let end = from;
  while (end < to) {
    const code = text.codePointAt(end)!;
    if (end > from && !combines(code)) break;
    end += code > 0xffff ? 2 : 1;
  }
  return end;
}

function combines(code: number): boolean {
  if (code < 0x300) return false;
  if ((code >= 0x1161 && code <= 0x1175) || (code >= 0x11a8 && code <= 0x11c2)) return true;
  return /^\p{M}$/u.test(String.fromCodePoint(code));
}

function pushSegment(aligned: Aligned, original: string[], normal: string[], at: number): void {
  const starts: number[] = [];
  const ends: number[] = [];
  for (const character of original) {
    starts.push(at);
    ends.push(at += character.length);
  }
  let taken = 0;
  // Characters left out by composing are counted to the first one that changed.
  const surplus = original.length - normal.length;
  let changed = false;
  for (const [i, character] of normal.entries()) {
    const inserted = taken >= original.length || (surplus < 0 && i > 0 && i <= -surplus);
    if (inserted) {
      aligned.starts.push(aligned.starts.at(-1) ?? starts[0]!);
      aligned.ends.push(aligned.ends.at(-1) ?? ends[0]!);
    } else {
      aligned.starts.push(starts[taken]!);
      aligned.ends.push(ends[taken]!);
      if (!changed && character !== original[taken]) {
        changed = true;
        taken += Math.max(0, surplus);
      }
      taken++;
    }
    aligned.codes.push(character.codePointAt(0)!);
  }
}
