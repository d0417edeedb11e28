/**
 * ELF executables for AArch64: PT_LOAD segments go to their physical addresses (p_paddr), which must lie in the
 * machine's RAM; a position-independent one (ET_DYN) whose addresses start below RAM is moved as a whole to where a flat
 * binary would go, and relocates itself. System V ABI, "Program Loading"; ELF for the Arm 64-bit Architecture (AArch64).
 *
 * @spec System V ABI, "Program Loading": partial: no relocations, no interpreters
 */
import { layout, u16, u32, u64 } from "@realmbox/abi";
import { failure, type LoadError, type Result, success } from "../error.js";
import { alignUp, hex, KERNEL_OFFSET_DEFAULT, MiB } from "../memory-map.js";
import type { GuestImage, ImageSegment } from "./image.js";

const Elf64Header = layout("Elf64_Ehdr", 64, {
  e_type: u16(16),
  e_machine: u16(18),
  e_entry: u64(24),
  e_phoff: u64(32),
  e_phentsize: u16(54),
  e_phnum: u16(56),
});
const Elf64ProgramHeader = layout("Elf64_Phdr", 56, {
  p_type: u32(0),
  p_flags: u32(4),
  p_offset: u64(8),
  p_vaddr: u64(16),
  p_paddr: u64(24),
  p_filesz: u64(32),
  p_memsz: u64(40),
  p_align: u64(48),
});

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET = { REL: 1, EXEC: 2, DYN: 3, CORE: 4 } as const;
const PT = { LOAD: 1, INTERP: 3, NOTE: 4 } as const;
const PF_R = 4;
const EM_AARCH64 = 183;
/**
 * How to link for the machine. Without --build-id=none GNU ld puts a note, and the headers with it, below RAM, and
 * objcopy fills the gap.
 */
const linkHint = (address: bigint): string =>
  `link it for the machine: -nostdlib -static -Wl,-Ttext=${hex(address)},--build-id=none`;
/** Other machines, for the message. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "32-bit x86",
  8: "MIPS",
  20: "32-bit PowerPC",
  21: "PowerPC",
  22: "s390",
  40: "32-bit Arm",
  62: "x86-64",
  243: "RISC-V",
  258: "LoongArch",
};

export const isElf = (file: Uint8Array): boolean =>
  file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;

const truncated = (what: string) =>
  failure("truncated-image", `the ELF file ends inside ${what}`, "copy or build it again");

/** Reads an ELF file whose magic was already seen. */
export function parseElf(file: Uint8Array, { ramBase }: { readonly ramBase: bigint }): Result<GuestImage, LoadError> {
  if (file.length < 20) return truncated("its header");
  const header = Elf64Header.decode(withRoomFor(file, Elf64Header.size));
  const machine = header.e_machine;
  if (file[5] !== ELFDATA2LSB) {
    return failure("wrong-architecture", "the ELF file is big-endian", "build it for little-endian AArch64");
  }
  if (machine !== EM_AARCH64) {
    return failure(
      "wrong-architecture",
      `the ELF file is for ${MACHINES[machine] ?? `machine ${machine}`}, not for AArch64`,
      "build it with an aarch64 compiler",
    );
  }
  if (file[4] !== ELFCLASS64)
    return failure("wrong-architecture", "the ELF file is 32-bit", "build it for 64-bit AArch64");
  if (file.length < Elf64Header.size) return truncated("its header");
  if (header.e_type === ET.REL) {
    return failure("unsupported-image", "the ELF file is an object file", linkHint(ramBase + KERNEL_OFFSET_DEFAULT));
  }
  if (header.e_type !== ET.EXEC && header.e_type !== ET.DYN) {
    return failure("unsupported-image", `the ELF file is no executable (e_type ${header.e_type})`);
  }

  const programHeaders = readProgramHeaders(file, header);
  if (!programHeaders.ok) return programHeaders;
  if (programHeaders.value.some(({ p_type }) => p_type === PT.INTERP)) {
    return failure(
      "unsupported-image",
      "the ELF file is a dynamically linked program of an operating system",
      `a guest image runs on the bare machine; ${linkHint(ramBase + KERNEL_OFFSET_DEFAULT)}`,
    );
  }
  const loads = programHeaders.value.filter(
    (entry) =>
      entry.p_type === PT.LOAD &&
      entry.p_memsz !== 0n &&
      (entry.p_paddr >= ramBase || !holdsOnlyHeaders(entry, header, programHeaders.value)),
  );
  if (loads.length === 0) return failure("malformed-image", "the ELF file has nothing to load (no PT_LOAD segment)");
  return placeSegments(file, loads, { entry: header.e_entry, movable: header.e_type === ET.DYN, ramBase });
}

type ProgramHeader = ReturnType<typeof Elf64ProgramHeader.decode>;

function readProgramHeaders(
  file: Uint8Array,
  header: ReturnType<typeof Elf64Header.decode>,
): Result<readonly ProgramHeader[], LoadError> {
  if (header.e_phnum === 0)
    return failure("malformed-image", "the ELF file has no program headers", "link it as an executable");
  if (header.e_phnum === 0xffff)
    return failure("unsupported-image", "the ELF file has more than 65534 program headers");
  if (header.e_phentsize !== Elf64ProgramHeader.size) {
    return failure("malformed-image", `the ELF file's program headers have ${header.e_phentsize} bytes, not 56`);
  }
  const end = header.e_phoff + BigInt(header.e_phnum * Elf64ProgramHeader.size);
  if (end > BigInt(file.length)) return truncated("its program headers");
  const headers: ProgramHeader[] = [];
  for (let i = 0; i < header.e_phnum; i++) {
    const entry = Elf64ProgramHeader.decode(file, Number(header.e_phoff) + i * Elf64ProgramHeader.size);
    if (entry.p_type === PT.LOAD) {
      if (entry.p_filesz > entry.p_memsz) {
        return failure("malformed-image", `segment ${i} of the ELF file is larger in the file than in memory`);
      }
      if (entry.p_offset + entry.p_filesz > BigInt(file.length)) return truncated(`segment ${i}`);
    }
    headers.push(entry);
  }
  return success(headers);
}

/**
 * Whether a segment holds the file's own headers and notes and nothing of the program. A linker that is told where the
 * text goes leaves such a segment at its default address.
 */
function holdsOnlyHeaders(
  segment: ProgramHeader,
  { e_phoff, e_phnum }: ReturnType<typeof Elf64Header.decode>,
  all: readonly ProgramHeader[],
): boolean {
  if (segment.p_offset !== 0n || segment.p_flags !== PF_R || segment.p_filesz !== segment.p_memsz) return false;
  const headersEnd = e_phoff + BigInt(e_phnum * Elf64ProgramHeader.size);
  const ends = all
    .filter(({ p_type, p_offset }) => p_type === PT.NOTE && p_offset < segment.p_filesz)
    .map(({ p_offset, p_filesz }) => p_offset + p_filesz);
  return segment.p_filesz <= headersEnd || ends.includes(segment.p_filesz);
}

function placeSegments(
  file: Uint8Array,
  loads: readonly ProgramHeader[],
  { entry, movable, ramBase }: { readonly entry: bigint; readonly movable: boolean; readonly ramBase: bigint },
): Result<GuestImage, LoadError> {
  const ascending = [...loads].sort((a, b) => (a.p_paddr < b.p_paddr ? -1 : a.p_paddr > b.p_paddr ? 1 : 0));
  const lowest = ascending[0]!.p_paddr;
  const bias = movable && lowest < ramBase ? biasFor(ascending, ramBase) : 0n;

  const segments: ImageSegment[] = [];
  let entryIpa: bigint | undefined;
  let end = 0n;
  for (const { p_paddr, p_vaddr, p_memsz, p_filesz, p_offset } of ascending) {
    const address = p_paddr + bias;
    if (address < ramBase) {
      return failure(
        "outside-ram",
        `the ELF file wants memory at ${hex(address)}, where the machine has no RAM (it starts at ${hex(ramBase)})`,
        linkHint(ramBase + KERNEL_OFFSET_DEFAULT),
      );
    }
    if (address < end) return failure("overlapping-image", `two segments of the ELF file overlap at ${hex(address)}`);
    end = address + p_memsz;
    if (entry >= p_vaddr && entry < p_vaddr + p_memsz) entryIpa ??= entry - p_vaddr + address;
    const start = Number(p_offset);
    segments.push({
      address,
      bytes: file.subarray(start, start + Number(p_filesz)),
      memorySize: p_memsz,
      zeroFill: true,
    });
  }
  if (entryIpa === undefined || entryIpa % 4n !== 0n) {
    return failure(
      "malformed-image",
      `the ELF file's entry point ${hex(entry)} is ${entryIpa === undefined ? "in none of its segments" : "not aligned to 4 bytes"}`,
      "define _start, or give the linker -e",
    );
  }
  return success({ format: "ELF", entry: entryIpa, segments });
}

/** How far a position-independent image moves: to where a flat binary goes, congruent to its own alignment. */
function biasFor(ascending: readonly ProgramHeader[], ramBase: bigint): bigint {
  const isPowerOf2 = (n: bigint) => n > 0n && (n & (n - 1n)) === 0n;
  // An alignment above 2 MiB would push the image out of a small machine for nothing: no loader promises more.
  const align = ascending.reduce(
    (most, { p_align }) => (isPowerOf2(p_align) && p_align > most && p_align <= 2n * MiB ? p_align : most),
    0x1000n,
  );
  const lowest = ascending[0]!.p_paddr;
  return alignUp(ramBase + KERNEL_OFFSET_DEFAULT, align) - (lowest - (lowest % align));
}

/** The file's first `size` bytes, zero-padded. */
function withRoomFor(file: Uint8Array, size: number): Uint8Array {
  if (file.length >= size) return file;
  const padded = new Uint8Array(size);
  padded.set(file);
  return padded;
}
