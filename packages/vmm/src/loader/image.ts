/**
 * Guest images: what they are, where they go, where they start. An image is an arm64 Image (Linux, "Booting AArch64
 * Linux"), an ELF executable (elf.ts), or else a flat binary that runs from its first byte. As kvmtool: an Image goes to
 * RAM base + text_offset, a flat binary to RAM base + 0x8_0000. ELF is this loader's addition. Nothing is decompressed.
 */
import { layout, u32, u64 } from "@realmbox/abi";
import { failure, type LoadError, type Result, success } from "../error.js";
import { KERNEL_OFFSET_DEFAULT } from "../memory-map.js";
import { isElf, parseElf } from "./elf.js";

/** A piece of guest memory that an image fills. */
export interface ImageSegment {
  /** IPA of the first byte; need not be aligned. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Bytes of memory that the segment owns, at least `bytes.length`. */
  readonly memorySize: bigint;
  /** Whether the rest of the memory must read as zero (ELF), or is the image's own to clear (an Image's BSS). */
  readonly zeroFill: boolean;
}

export interface GuestImage {
  readonly format: "arm64 Image" | "ELF" | "flat binary";
  /** IPA at which vCPU 0 starts. */
  readonly entry: bigint;
  /** In ascending order, none overlapping. */
  readonly segments: readonly ImageSegment[];
}

/** The first byte behind everything the image owns. */
export function imageEnd({ segments }: GuestImage): bigint {
  const last = segments.at(-1);
  return last === undefined ? 0n : last.address + last.memorySize;
}

/** The header of an arm64 Image. Linux, "Booting AArch64 Linux", "Call the kernel image". */
export const Arm64ImageHeader = layout("arm64_image_header", 64, {
  code0: u32(0), // executable; "MZ" when the file is an EFI application too
  code1: u32(4),
  text_offset: u64(8),
  image_size: u64(16), // with BSS; 0 in kernels before 3.17, whose text_offset is not to be trusted
  flags: u64(24), // bit 0 big-endian; 2:1 page size (1 = 4, 2 = 16, 3 = 64 KiB); bit 3 placement anywhere
  magic: u32(56),
  pe_offset: u32(60),
});
export const ARM64_IMAGE_MAGIC = 0x644d_5241; // "ARM\x64"

/** Recognises an image and says where its parts go on a machine whose RAM starts at `ramBase`. */
export function parseImage(file: Uint8Array, { ramBase }: { readonly ramBase: bigint }): Result<GuestImage, LoadError> {
  if (file.length === 0) return failure("empty-image", "the file is empty");
  if (isElf(file)) return parseElf(file, { ramBase });
  const foreign = foreignFormat(file);
  if (foreign !== undefined) return foreign;
  if (hasArm64Magic(file)) return parseArm64Image(file, ramBase);
  return success(oneSegment("flat binary", file, ramBase + KERNEL_OFFSET_DEFAULT, BigInt(file.length)));
}

const hasArm64Magic = (file: Uint8Array): boolean =>
  file.length >= Arm64ImageHeader.size && Arm64ImageHeader.decode(file).magic === ARM64_IMAGE_MAGIC;

function parseArm64Image(file: Uint8Array, ramBase: bigint): Result<GuestImage, LoadError> {
  const header = Arm64ImageHeader.decode(file);
  if ((header.flags & 1n) !== 0n) {
    return failure("wrong-architecture", "this kernel is big-endian", "build it for little-endian AArch64");
  }
  if (header.image_size === 0n)
    return success(oneSegment("arm64 Image", file, ramBase + KERNEL_OFFSET_DEFAULT, BigInt(file.length)));
  const missing = missingPeBytes(file, header.pe_offset);
  if (missing > 0) {
    return failure(
      "truncated-image",
      `the file ends ${missing} bytes before what its own section table announces`,
      "copy or download it again",
    );
  }
  const size = header.image_size > BigInt(file.length) ? header.image_size : BigInt(file.length);
  return success(oneSegment("arm64 Image", file, ramBase + header.text_offset, size));
}

const oneSegment = (
  format: GuestImage["format"],
  bytes: Uint8Array,
  address: bigint,
  memorySize: bigint,
): GuestImage => ({ format, entry: address, segments: [{ address, bytes, memorySize, zeroFill: false }] });

/**
 * How many bytes the file lacks by the section table of the EFI application that it also is; 0 when it is none or is
 * whole. An Image's own header has no file size, so that this is the one way to see that one was cut.
 */
function missingPeBytes(file: Uint8Array, peOffset: number): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const isPe = file[0] === 0x4d && file[1] === 0x5a && peOffset >= 64 && peOffset + 24 <= file.length;
  if (!isPe || view.getUint32(peOffset, false) !== 0x5045_0000) return 0; // "PE\0\0"
  const sectionCount = view.getUint16(peOffset + 6, true);
  const sections = peOffset + 24 + view.getUint16(peOffset + 20, true);
  let end = sections + 40 * sectionCount;
  for (let i = 0; i < sectionCount && sections + 40 * (i + 1) <= file.length; i++) {
    const section = sections + 40 * i;
    const rawSize = view.getUint32(section + 16, true);
    if (rawSize !== 0) end = Math.max(end, view.getUint32(section + 20, true) + rawSize);
  }
  return Math.max(0, end - file.length);
}

const startsWith = (file: Uint8Array, ...magic: readonly number[]): boolean =>
  magic.every((byte, i) => file[i] === byte);
const textAt = (file: Uint8Array, offset: number, text: string): boolean =>
  [...text].every((char, i) => file[offset + i] === char.charCodeAt(0));

/** Files that people hand over and that would only crash as a flat binary. */
function foreignFormat(file: Uint8Array): ReturnType<typeof failure<LoadError["kind"]>> | undefined {
  const compressed = (name: string, command: string) =>
    failure("unsupported-image", `the image is compressed with ${name}`, `unpack it first: ${command}`);
  if (startsWith(file, 0x1f, 0x8b)) return compressed("gzip", "gunzip");
  if (startsWith(file, 0x28, 0xb5, 0x2f, 0xfd)) return compressed("zstd", "unzstd");
  if (startsWith(file, 0xfd, 0x37, 0x7a, 0x58, 0x5a)) return compressed("xz", "unxz");
  if (startsWith(file, 0x42, 0x5a, 0x68)) return compressed("bzip2", "bunzip2");
  if (startsWith(file, 0x04, 0x22, 0x4d, 0x18)) return compressed("lz4", "unlz4");
  if (startsWith(file, 0x4d, 0x5a) && textAt(file, 4, "zimg")) {
    return failure("unsupported-image", "this is a self-decompressing EFI kernel", "boot the Image inside it");
  }
  if (startsWith(file, 0x27, 0x05, 0x19, 0x56)) {
    return failure("unsupported-image", "this is a U-Boot image", "boot the Image inside it");
  }
  if (textAt(file, 0x202, "HdrS")) {
    return failure(
      "wrong-architecture",
      "this is a Linux kernel for x86",
      "the machine is AArch64: use an arm64 Image",
    );
  }
  if (textAt(file, 0x38, "RSC\x05")) {
    return failure(
      "wrong-architecture",
      "this is a Linux kernel for RISC-V",
      "the machine is AArch64: use an arm64 Image",
    );
  }
  if (startsWith(file, 0xcf, 0xfa, 0xed, 0xfe)) {
    return failure("unsupported-image", "this is a Mach-O file", "build an ELF executable or a flat binary");
  }
  if (startsWith(file, 0x23, 0x21)) {
    return failure("unsupported-image", "this is a script", "give an arm64 Image, an ELF executable or a flat binary");
  }
  if (textAt(file, 0, "070701") || textAt(file, 0, "070702")) {
    return failure(
      "unsupported-image",
      "this is a cpio archive",
      "an initrd goes to -i, --initrd; -k takes the kernel",
    );
  }
  if (startsWith(file, 0xd0, 0x0d, 0xfe, 0xed)) {
    return failure("unsupported-image", "this is a device tree blob or a FIT image", "give the kernel itself");
  }
  if (startsWith(file, 0x4d, 0x5a) && !hasArm64Magic(file)) {
    return failure("unsupported-image", "this is a Windows or EFI program without an arm64 Image header");
  }
  return undefined;
}
