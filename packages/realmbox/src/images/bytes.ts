/** Searching and reading text in bytes, as the archive and kernel readers need it. */

/** The first place of `needle` at or behind `from`; -1 when there is none. */
export function indexOf(haystack: Uint8Array, needle: Uint8Array, from = 0): number {
  const first = needle[0];
  if (first === undefined) return from;
  for (let at = haystack.indexOf(first, from); at >= 0; at = haystack.indexOf(first, at + 1)) {
    if (at + needle.length > haystack.length) return -1;
    let i = 1;
    while (i < needle.length && haystack[at + i] === needle[i]) i++;
    if (i === needle.length) return at;
  }
  return -1;
}

const encoder = new TextEncoder();
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Bytes as characters of the same number: never fails, and lengths agree. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** The text from `at` to the next NUL, `max` bytes at most. */
export function cString(bytes: Uint8Array, at: number, max: number): string {
  const end = bytes.subarray(at, at + max).indexOf(0);
  return latin1(bytes.subarray(at, end < 0 ? Math.min(at + max, bytes.length) : at + end));
}
