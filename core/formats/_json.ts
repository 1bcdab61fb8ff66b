/**
 * What JSON.parse does not tell: keys that come twice.
 *
 * @module
 */

/**
 * The first key that occurs twice in one object, or null.
 *
 * @param text JSON that has been parsed without an error
 */
export function duplicateKey(text: string): string | null {
  const levels: (Set<string> | null)[] = [];
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "{") {
      levels.push(new Set());
      expectKey = true;
    } else if (char === "[") {
      levels.push(null);
      expectKey = false;
    } else if (char === "}" || char === "]") {
      levels.pop();
      expectKey = false;
    } else if (char === ",") {
      expectKey = levels.at(-1) !== null;
    } else if (char === '"') {
      const end = stringEnd(text, i);
      const keys = levels.at(-1);
      if (expectKey && keys) {
        const key = JSON.parse(text.slice(i, end)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      expectKey = false;
      i = end - 1;
    }
  }
  return null;
}

/** One past the closing quote of the string that begins at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}
