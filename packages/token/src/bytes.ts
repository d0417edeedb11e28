/** Byte strings as text and back. Written out because the core has neither Node's Buffer nor a page's atob. */

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Lower-case hexadecimal, two digits a byte. */
export const toHex = (data: Uint8Array): string => Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");

/** The bytes of an even number of hexadecimal digits of either case; undefined for anything else. */
export function fromHex(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2})*$/i.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** Standard base64 with padding. RFC 4648, 4. */
export function toBase64(data: Uint8Array): string {
  let out = "";
  for (let i = 0; i < data.length; i += 3) {
    const group = (data[i]! << 16) | ((data[i + 1] ?? 0) << 8) | (data[i + 2] ?? 0);
    for (let j = 0; j < 4; j++) out += i + j > data.length ? "=" : BASE64[(group >> (18 - 6 * j)) & 63];
  }
  return out;
}

/**
 * The bytes of base64 text, standard or URL-safe alphabet, with or without padding (RFC 4648, 4 and 5); undefined for
 * other characters, an impossible length, or stray bits at the end. White space is the caller's to remove.
 */
export function fromBase64(text: string): Uint8Array | undefined {
  const digits = text
    .replace(/={1,2}$/, "")
    .replaceAll("-", "+")
    .replaceAll("_", "/");
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) return undefined;
  if (text.endsWith("=") && text.length % 4 !== 0) return undefined;
  const out = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let held = 0;
  let heldBits = 0;
  let at = 0;
  for (const digit of digits) {
    held = ((held << 6) | BASE64.indexOf(digit)) & 0xffff;
    heldBits += 6;
    if (heldBits >= 8) out[at++] = held >> (heldBits -= 8);
  }
  return (held & ((1 << heldBits) - 1)) === 0 ? out : undefined;
}

/** Whether two byte strings have the same length and content. Not constant-time: nothing compared here is secret. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
