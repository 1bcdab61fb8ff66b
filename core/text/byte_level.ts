/**
 * Byte-level BPE writes each byte of a text as one printable character; this is that alphabet.
 *
 * @module
 */

/** From a character of the alphabet to its byte; −1 elsewhere. Index: UTF-16 code. */
export function byteAlphabet(): Int16Array {
  const bytes = new Int16Array(512).fill(-1);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    // Bytes without a printable character of their own take the codes from 256 on, in order.
    bytes[printable ? byte : next++] = byte;
  }
  return bytes;
}

/** Bytes of a token in the alphabet; `null` when it holds another character. */
export function tokenBytes(token: string, alphabet: Int16Array): Uint8Array | null {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = alphabet[token.charCodeAt(i)] ?? -1;
    if (byte < 0) return null;
    bytes[i] = byte;
  }
  return bytes;
}
