/** Images built byte by byte, for tests: headers as their documents draw them, written without this loader's layouts. */

export interface ElfSegment {
  readonly vaddr: bigint;
  readonly paddr?: bigint;
  readonly bytes: Uint8Array;
  readonly memorySize?: bigint;
  readonly type?: number;
  readonly align?: bigint;
  /** p_flags; default RWX. */
  readonly flags?: number;
  /** p_offset and p_filesz, when the segment is another part of the file than `bytes`. */
  readonly offset?: number;
  readonly size?: number;
}

export interface ElfOptions {
  readonly type?: number;
  readonly machine?: number;
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
}

/** An ELF64 little-endian executable: header, program headers, then the segments' bytes. */
export function elfFile({ type = 2, machine = 183, entry, segments }: ElfOptions): Uint8Array {
  const dataStart = 64 + 56 * segments.length;
  const file = new Uint8Array(dataStart + segments.reduce((sum, { bytes }) => sum + bytes.length, 0));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, entry, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  let offset = dataStart;
  for (const [i, segment] of segments.entries()) {
    const at = 64 + 56 * i;
    view.setUint32(at, segment.type ?? 1, true);
    view.setUint32(at + 4, segment.flags ?? 7, true);
    view.setBigUint64(at + 8, BigInt(segment.offset ?? offset), true);
    view.setBigUint64(at + 16, segment.vaddr, true);
    view.setBigUint64(at + 24, segment.paddr ?? segment.vaddr, true);
    const size = BigInt(segment.size ?? segment.bytes.length);
    view.setBigUint64(at + 32, size, true);
    view.setBigUint64(at + 40, segment.memorySize ?? size, true);
    view.setBigUint64(at + 48, segment.align ?? 0x1000n, true);
    file.set(segment.bytes, offset);
    offset += segment.bytes.length;
  }
  return file;
}

export interface Arm64ImageOptions {
  readonly size?: number;
  readonly textOffset?: bigint;
  readonly imageSize?: bigint;
  readonly flags?: bigint;
}

/** An arm64 Image: the 64-byte header and zeros. */
export function arm64Image(options: Arm64ImageOptions = {}): Uint8Array {
  const file = new Uint8Array(options.size ?? 256);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x1400_0010, true); // b +0x40
  view.setBigUint64(8, options.textOffset ?? 0n, true);
  view.setBigUint64(16, options.imageSize ?? 0x1000n, true);
  view.setBigUint64(24, options.flags ?? 0xan, true);
  file.set([0x41, 0x52, 0x4d, 0x64], 56);
  return file;
}

/** The same as an EFI application with one section whose bytes lie at 0x200. */
export function efiImage({ sectionSize, fileSize }: { sectionSize: number; fileSize: number }): Uint8Array {
  const file = arm64Image({ size: fileSize, imageSize: 0x10_0000n });
  const view = new DataView(file.buffer);
  file.set([0x4d, 0x5a]);
  view.setUint32(60, 64, true);
  file.set([0x50, 0x45, 0, 0], 64);
  view.setUint16(64 + 4, 0xaa64, true);
  view.setUint16(64 + 6, 1, true);
  view.setUint16(64 + 20, 0xa0, true);
  const section = 64 + 24 + 0xa0;
  view.setUint32(section + 16, sectionSize, true);
  view.setUint32(section + 20, 0x200, true);
  return file;
}
