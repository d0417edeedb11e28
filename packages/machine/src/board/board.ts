/**
 * What a board is: its PEs, its memory with the GPI that each range has at boot, and its devices. Boards are data; the
 * machine and the Root Monitor are built from it. A snapshot names its board by this data.
 *
 * Fields that only some boards need are optional; a board without them is unaffected by their existence.
 */
import { Gpi } from "@realmbox/abi";
import type { DeviceRow } from "../devices/rows.js";

export interface MemoryRange {
  readonly base: bigint;
  readonly size: bigint;
}

/** Memory beside the carve-outs and the Host's DRAM, and how the Root Monitor protects it for good. */
export interface FixedMemory extends MemoryRange {
  readonly name: string;
  readonly pas: "any" | "secure" | "root";
}

/** What PSCI_MEM_PROTECT needs of a board. */
export interface MemProtect {
  /** Address of a word in NOR flash that keeps its state; its block holds nothing else. */
  readonly word: bigint;
  /** What is overwritten at a boot with protection on; within the Host's DRAM. */
  readonly ranges: readonly MemoryRange[];
}

export interface Board {
  readonly name: string;
  readonly peCount: number;
  /** MPIDR_EL1 of each PE, `peCount` of them. Absent: affinity level 0 is the linear index. */
  readonly mpidrs?: readonly bigint[];
  /** Physical address width in bits, and the PPS that the GPT covers. */
  readonly paBits: number;
  /** The Root Monitor's carve-out of DRAM. */
  readonly root: MemoryRange;
  /** The RMM's; its last granule is the RMM-EL3 shared page. */
  readonly realm: MemoryRange;
  /** What belongs to the Host at boot, granule by granule delegable. */
  readonly dram: readonly MemoryRange[];
  readonly fixed?: readonly FixedMemory[];
  /** Memory whose bytes are 0xFF after power-on, as erased non-volatile memory; later resets leave it alone. */
  readonly erased?: readonly MemoryRange[];
  /** Where the granule protection tables lie, in Root memory. Absent: in the Root carve-out. */
  readonly gpt?: { readonly l0: MemoryRange; readonly l1: MemoryRange };
  readonly memProtect?: MemProtect;
  /** What SMCCC_ARCH_SOC_ID answers. */
  readonly socId?: { readonly version: number; readonly revision: number };
  /** The first UART. */
  readonly uart: bigint;
  /** The UART of a foreign RMM, where it has one of its own; else it is told of `uart`. */
  readonly rmmUart?: bigint;
  readonly gicd: bigint;
  readonly gicr: bigint;
  /** Every device but the GIC, the first UART included. Absent: that UART alone, by the name "uart". */
  readonly devices?: readonly DeviceRow[];
  /** Counter frequency, Hz, and how many instructions of the machine's clock make one tick. */
  readonly counterHz: number;
  readonly instructionsPerTick: number;
  /** Bytes of WebAssembly memory for physical pages; a page takes its share when it is first touched. */
  readonly frameBytes: number;
}

/** One WebAssembly memory has 4 GiB; PE states, TLBs and engine tables take their part of it. */
export const FRAME_BYTES_MAX = 3840 * 1024 * 1024;

/** Every range that is memory. */
export const memoryOf = (board: Board): readonly MemoryRange[] => [
  board.root,
  board.realm,
  ...board.dram,
  ...(board.fixed ?? []),
];

/** MPIDR_EL1 of a PE; bit 31 is RES1. */
export const mpidrOf = (board: Board, index: number): bigint => board.mpidrs?.[index] ?? 0x8000_0000n | BigInt(index);

/** The protected ranges with the GPI that they have at boot; what is in none of them is ANY. */
export function protectionOf(board: Board): readonly (MemoryRange & { readonly gpi: Gpi })[] {
  const fixed = (board.fixed ?? []).filter(({ pas }) => pas !== "any");
  return [
    ...board.dram.map((range) => ({ ...range, gpi: Gpi.NS as Gpi })),
    ...fixed.map((range) => ({ ...range, gpi: (range.pas === "root" ? Gpi.ROOT : Gpi.SECURE) as Gpi })),
    { ...board.realm, gpi: Gpi.REALM },
    { ...board.root, gpi: Gpi.ROOT },
  ];
}
