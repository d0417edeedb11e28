/**
 * Device tree blobs, written in order. Devicetree Specification 0.4, "Flattened Devicetree (DTB) Format", version 17.
 *
 * The blob is measured, so its bytes matter beyond what it says: header, reservation block, structure block and strings
 * block lie as libfdt's sequential writer followed by fdt_pack leaves them. In particular a name is put before the strings
 * that are there already, and one that is the end of another ("reg" in "#reg") shares its bytes.
 *
 * @spec Devicetree Specification 0.4, "Flattened Devicetree (DTB) Format": complete
 */
import { invariant } from "@realmbox/abi";

export const FDT_MAGIC = 0xd00d_feed;
export const FDT_BEGIN_NODE = 1;
export const FDT_END_NODE = 2;
export const FDT_PROP = 3;
export const FDT_NOP = 4;
export const FDT_END = 9;
export const FDT_HEADER_SIZE = 40;
export const FDT_VERSION = 17;
export const FDT_COMPATIBLE_VERSION = 16;

/** Text as UTF-8, without a TextEncoder: that is no part of the language. A lone surrogate becomes U+FFFD. */
export function utf8(text: string): number[] {
  return Array.from(text).flatMap((char) => {
    let code = char.codePointAt(0)!;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    const tail = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
    if (code < 0x80) return [code];
    if (code < 0x800) return [0xc0 | (code >> 6), tail(0)];
    if (code < 0x1_0000) return [0xe0 | (code >> 12), tail(6), tail(0)];
    return [0xf0 | (code >> 18), tail(12), tail(6), tail(0)];
  });
}

export class FdtWriter {
  readonly #structure: number[] = [];
  /** The strings block; grows at its front. */
  #strings: number[] = [];
  /** Name offsets counted from the end of the strings block, because that end stays. */
  readonly #names: { readonly at: number; readonly fromEnd: number }[] = [];
  #depth = 0;

  /** Opens a node; the root's name is empty. Text must hold no NUL. */
  beginNode(name: string): this {
    this.#cell(FDT_BEGIN_NODE);
    this.#text(name);
    this.#align();
    this.#depth++;
    return this;
  }

  endNode(): this {
    invariant(this.#depth-- > 0, "endNode without beginNode");
    this.#cell(FDT_END_NODE);
    return this;
  }

  /** A property with any bytes. */
  property(name: string, value: ArrayLike<number> = []): this {
    this.#cell(FDT_PROP);
    this.#cell(value.length);
    this.#names.push({ at: this.#structure.length, fromEnd: this.#intern(name) });
    this.#cell(0);
    for (let i = 0; i < value.length; i++) this.#structure.push(value[i]!);
    this.#align();
    return this;
  }

  /** 32-bit cells, big-endian. */
  cells(name: string, ...values: readonly number[]): this {
    return this.property(
      name,
      values.flatMap((value) => [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]),
    );
  }

  /** 64-bit values, two cells each. */
  u64s(name: string, ...values: readonly bigint[]): this {
    return this.cells(
      name,
      ...values.flatMap((value) => [Number((value >> 32n) & 0xffff_ffffn), Number(value & 0xffff_ffffn)]),
    );
  }

  /** NUL-terminated strings, one behind the other. */
  strings(name: string, ...values: readonly string[]): this {
    return this.property(
      name,
      values.flatMap((value) => [...utf8(value), 0]),
    );
  }

  /** The finished, packed blob. */
  finish(): Uint8Array {
    invariant(this.#depth === 0, "a node is still open");
    this.#cell(FDT_END);
    const reservations = FDT_HEADER_SIZE; // aligned to 8 already
    const structure = reservations + 16; // one entry, all zero: the end of the list
    const strings = structure + this.#structure.length;
    const blob = new Uint8Array(strings + this.#strings.length);
    blob.set(this.#structure, structure);
    blob.set(this.#strings, strings);
    const view = new DataView(blob.buffer);
    for (const { at, fromEnd } of this.#names) view.setUint32(structure + at, this.#strings.length - fromEnd);
    const header = [
      FDT_MAGIC,
      blob.length,
      structure,
      strings,
      reservations,
      FDT_VERSION,
      FDT_COMPATIBLE_VERSION,
      0, // boot_cpuid_phys
      this.#strings.length,
      this.#structure.length,
    ];
    for (const [i, value] of header.entries()) view.setUint32(4 * i, value);
    return blob;
  }

  /** The name's distance from the end of the strings block; adds it when it is not there. */
  #intern(name: string): number {
    const bytes = [...utf8(name), 0];
    for (let start = 0; start + bytes.length <= this.#strings.length; start++) {
      if (bytes.every((byte, i) => this.#strings[start + i] === byte)) return this.#strings.length - start;
    }
    this.#strings = [...bytes, ...this.#strings];
    return this.#strings.length;
  }

  #cell(value: number): void {
    this.#structure.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
  }

  #text(text: string): void {
    this.#structure.push(...utf8(text), 0);
  }

  #align(): void {
    while (this.#structure.length % 4 !== 0) this.#structure.push(0);
  }
}
