/**
 * What a kernel file says about itself: the header of an arm64 Image, Linux' version text, and whether it can run as a
 * realm; and the Image inside a compressed file. Linux, "Booting AArch64 Linux", "Call the kernel image"; the header of
 * a self-decompressing EFI kernel is drawn in Linux, drivers/firmware/efi/libstub/zboot-header.S.
 */
import { ARM64_IMAGE_MAGIC, Arm64ImageHeader } from "@realmbox/vmm";
import { cString, indexOf, latin1, utf8 } from "./bytes.js";

export interface KernelFacts {
  /** Offset of the load address from a 2 MiB boundary. */
  readonly textOffset: bigint;
  /** Bytes of memory that the kernel owns, its BSS included; 0 in kernels before 3.17. */
  readonly imageSize: bigint;
  readonly flags: bigint;
  readonly endianness: "little" | "big";
  /** In KiB; undefined: not told. */
  readonly pageSize: 4 | 16 | 64 | undefined;
  /** Whether it may lie anywhere in RAM, or wants to be near its start. */
  readonly placement: "anywhere" | "near the start of RAM";
  /** `Linux version …`, when it is Linux. */
  readonly banner: string | undefined;
  /** `uname -r`. */
  readonly version: string | undefined;
  readonly realmAware: boolean;
}

/** The facts of an arm64 Image; undefined when the file is none. */
export function kernelFacts(file: Uint8Array): KernelFacts | undefined {
  if (file.length < Arm64ImageHeader.size) return undefined;
  const { magic, text_offset, image_size, flags } = Arm64ImageHeader.decode(file);
  if (magic !== ARM64_IMAGE_MAGIC) return undefined;
  const banner = linuxBanner(file);
  return {
    textOffset: text_offset,
    imageSize: image_size,
    flags,
    endianness: (flags & 1n) === 0n ? "little" : "big",
    pageSize: ([undefined, 4, 16, 64] as const)[Number((flags >> 1n) & 3n)],
    placement: (flags & 8n) === 0n ? "near the start of RAM" : "anywhere",
    banner,
    version: banner === undefined ? undefined : /^Linux version (\S+)/.exec(banner)?.[1],
    realmAware: isRealmAware(file),
  };
}

/**
 * Whether a kernel Image has Linux' code for running as a realm: the text that its RSI initialisation prints
 * (arch/arm64/kernel/rsi.c, since 6.13). Says nothing of guests that are not Linux.
 */
export const isRealmAware = (file: Uint8Array): boolean => indexOf(file, utf8("RME: Using RSI version ")) >= 0;

/** The text that the kernel prints first. The file holds it twice; one is a format with the build's number left out. */
function linuxBanner(file: Uint8Array): string | undefined {
  const begin = utf8("Linux version ");
  let banner: string | undefined;
  for (let at = indexOf(file, begin); at >= 0; at = indexOf(file, begin, at + begin.length)) {
    const text = cString(file, at, 512).trimEnd();
    if (!/^Linux version \d[\x20-\x7e]*$/.test(text)) continue;
    banner = text;
    if (/ #\d/.test(text)) break;
  }
  return banner;
}

/** A kernel that decompresses itself under EFI: the compressed Image is inside. */
export interface EfiZboot {
  readonly compression: string;
  readonly payload: Uint8Array;
}

/** Recognises one; `payload` is undefined when the file is cut. */
export function efiZboot(
  file: Uint8Array,
): EfiZboot | { readonly compression: string; readonly payload: undefined } | undefined {
  if (file.length < 64 || latin1(file.subarray(0, 2)) !== "MZ" || latin1(file.subarray(4, 8)) !== "zimg")
    return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const [offset, size] = [view.getUint32(8, true), view.getUint32(12, true)];
  const compression = cString(file, 24, 32);
  const whole = offset + size <= file.length && size > 0;
  return { compression, payload: whole ? file.subarray(offset, offset + size) : undefined };
}
