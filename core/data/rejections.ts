/**
 * Records that could not be used: counted by reason, with a place to look at.
 *
 * @module
 */
import type { RecordSource } from "./source.ts";

/** A count of rejected records. */
export class Rejections {
  readonly #found = new Map<string, { count: number; line: number; path: string }>();

  /** Counts one; `line` is its line in the source, from 1. */
  add(reason: string, source: Pick<RecordSource, "path">, line: number): void {
    const known = this.#found.get(reason);
    if (!known) {
      this.#found.set(reason, { count: 1, line, path: source.path });
    } else {
      known.count++;
      // Records come in any order; the first one of the file is the easiest to find.
      if (known.path === source.path && line < known.line) known.line = line;
    }
  }

  /** How many there are of each reason. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#found].map(([reason, { count }]) => [reason, count]));
  }

  /** A sentence for each reason: how many of `total`, why, and where one is. */
  sentences(total: number): string[] {
    return this.#sorted().map(([reason, { count, line, path }]) => {
      const place = /\.jsonl?$/i.test(path)
        ? ` (${path}:${line}${count > 1 ? ` and ${count - 1} more` : ""})`
        : "";
      return `${count} of ${total} conversations left out: ${reason}${place}`;
    });
  }

  /** All reasons in a few words, `2 × not JSON, 1 × no known column`. */
  summary(): string {
    return this.#sorted().map(([reason, { count }]) => `${count} × ${reason}`).join(", ");
  }

  /** The most frequent reason first. */
  #sorted() {
    return [...this.#found].sort(([a, { count: m }], [b, { count: n }]) => n - m || (a < b ? -1 : 1));
  }
}
