/**
 * Bringing up the machine and each PE at EL3: interrupt controller, system registers, granule protection. What TF-A's
 * BL2 and BL31 do on a platform whose interrupts all belong to the Non-secure world. IHI 0069, "Programmers' model";
 * DDI 0487, "GPCCR_EL3".
 */
import { invariant, Pas } from "@realmbox/abi";
import { type Board, GICR_FRAME_SIZE, type Pe, R, SPI_COUNT } from "@realmbox/machine";
import type { GranuleTables } from "./gpt.js";

const GICD = {
  CTLR: 0x0000,
  IGROUPR: 0x0080,
  ISENABLER: 0x0100,
  IPRIORITYR: 0x0400,
  IGRPMODR: 0x0d00,
  IROUTER: 0x6000,
};
const GICR = { WAKER: 0x0014, IGROUPR0: 0x1_0080, ISENABLER0: 0x1_0100, IPRIORITYR: 0x1_0400, IGRPMODR0: 0x1_0d00 };
const CNTCTL = { FRQ: 0x00, NSAR: 0x04, ACR: 0x40 };
const CNTACR_ALL = 0x3f;
/** Group 0, Group 1 Non-secure, Group 1 Secure; ARE_S and ARE_NS. */
const GICD_CTLR_ENABLES = 0x37;
/** The highest priority that belongs to the Non-secure half, for four interrupts. */
const PRIORITIES = 0x8080_8080;
const ALL = 0xffff_ffff;

/** A 32-bit register of a device, through the Root port. */
function write32(pe: Pe, pa: bigint, value: number): void {
  const data = Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  const fault = pe.port(Pas.ROOT).copyOut(pa, data);
  invariant(fault === undefined, "the board's devices answer", pa.toString(16));
}

function read32(pe: Pe, pa: bigint): number {
  const data = new Uint8Array(4);
  const fault = pe.port(Pas.ROOT).copyIn(pa, data);
  invariant(fault === undefined, "the board's devices answer", pa.toString(16));
  return new DataView(data.buffer).getUint32(0, true);
}

/**
 * Whether the distributor is as `setUpDistributor` left it: a reset of the machine resets it, the start of a PE does
 * not, and the Non-secure world cannot touch the enables of Group 0. So this tells a cold boot from PSCI_CPU_ON.
 */
export function isDistributorSetUp(pe: Pe, board: Board): boolean {
  const ctlr = new Uint8Array(4);
  const fault = pe.port(Pas.ROOT).copyIn(board.gicd + BigInt(GICD.CTLR), ctlr);
  invariant(fault === undefined, "the board's devices answer", board.gicd);
  return (ctlr[0]! & 1) !== 0;
}

/** Distributor: every SPI in Group 1 Non-secure, all groups enabled. */
export function setUpDistributor(pe: Pe, board: Board): void {
  const at = (offset: number) => board.gicd + BigInt(offset);
  for (let word = 1; word <= SPI_COUNT / 32; word++) write32(pe, at(GICD.IGROUPR + 4 * word), ALL);
  for (let intid = 32; intid < 32 + SPI_COUNT; intid += 4) write32(pe, at(GICD.IPRIORITYR + intid), PRIORITIES);
  write32(pe, at(GICD.CTLR), GICD_CTLR_ENABLES);
}

/** SPIs of the Secure world: the trusted watchdog's, and those of the memory-mapped timers that are not Non-secure. */
const secureSpis = (board: Board): number[] =>
  (board.devices ?? []).flatMap((row) => {
    if (row.kind === "sp805") return row.trusted ? [row.intid] : [];
    return row.kind === "memory-timers" ? row.intids.slice(0, -1) : [];
  });

/** SGIs 8 to 15, and the PPI of the Secure physical timer. TF-A v2.12, include/plat/arm/common/arm_def.h. */
const SECURE_PPIS = 0xff00 | (1 << 29);

/** Secure Group 1 at the highest priority, enabled, to this PE: what TF-A gives the Secure world before it starts. */
export function claimSecureInterrupts(pe: Pe, board: Board): void {
  const at = (offset: number) => board.gicd + BigInt(offset);
  for (const intid of secureSpis(board)) {
    const word = 4 * (intid >> 5);
    const bit = 1 << (intid & 31);
    write32(pe, at(GICD.IGROUPR + word), read32(pe, at(GICD.IGROUPR + word)) & ~bit);
    write32(pe, at(GICD.IGRPMODR + word), read32(pe, at(GICD.IGRPMODR + word)) | bit);
    const lane = 0xff << (8 * (intid & 3));
    const priority = at(GICD.IPRIORITYR + (intid & ~3));
    write32(pe, priority, read32(pe, priority) & ~lane);
    write32(pe, at(GICD.IROUTER + 8 * intid), Number(pe.mpidr & 0xff_ffffn));
    write32(pe, at(GICD.ISENABLER + word), bit);
  }
}

/** Likewise for the private interrupts of this PE. */
export function claimSecurePpis(pe: Pe, board: Board): void {
  const at = (offset: number) => board.gicr + BigInt(pe.index * GICR_FRAME_SIZE + offset);
  write32(pe, at(GICR.IGROUPR0), ~SECURE_PPIS);
  write32(pe, at(GICR.IGRPMODR0), SECURE_PPIS);
  for (let intid = 0; intid < 32; intid += 4) {
    const lanes = [0, 1, 2, 3].reduce((sum, n) => sum | (SECURE_PPIS & (1 << (intid + n)) ? 0xff << (8 * n) : 0), 0);
    write32(pe, at(GICR.IPRIORITYR + intid), PRIORITIES & ~lanes);
  }
  write32(pe, at(GICR.ISENABLER0), SECURE_PPIS);
}

/** No interrupt of the Secure world's is signalled to this PE: nobody there would handle it. */
export function disableSecureGroups(pe: Pe): void {
  pe.msr("ICC_IGRPEN0_EL1", 0n);
  pe.msr("ICC_IGRPEN1_EL3", 0n);
}

/** Memory-mapped timers, where the board has them: the last frame is the Non-secure world's, with all its registers. */
export function setUpTimers(pe: Pe, board: Board): void {
  for (const row of board.devices ?? []) {
    if (row.kind !== "memory-timers") continue;
    const frame = row.intids.length - 1;
    write32(pe, row.base + BigInt(CNTCTL.FRQ), board.counterHz);
    write32(pe, row.base + BigInt(CNTCTL.ACR + 4 * frame), CNTACR_ALL);
    write32(pe, row.base + BigInt(CNTCTL.NSAR), 1 << frame);
  }
}

/** Redistributor and CPU interface of this PE: awake, SGIs and PPIs in Group 1 Non-secure, nothing masked for EL3. */
export function setUpCpuInterface(pe: Pe, board: Board): void {
  const at = (offset: number) => board.gicr + BigInt(pe.index * GICR_FRAME_SIZE + offset);
  write32(pe, at(GICR.WAKER), 0);
  write32(pe, at(GICR.IGROUPR0), ALL);
  for (let intid = 0; intid < 32; intid += 4) write32(pe, at(GICR.IPRIORITYR + intid), PRIORITIES);
  pe.msr("ICC_SRE_EL3", 0xfn);
  pe.msr("ICC_IGRPEN0_EL1", 1n);
  pe.msr("ICC_IGRPEN1_EL3", 2n); // Secure Group 1; the Host enables its own
  pe.msr("ICC_PMR_EL1", 0xf8n);
}

/** SCCD and MCCD, as TF-A: cycles are not counted in Secure state and at EL3; SPME and MPMX 0: nor is anything else. */
const MDCR_EL3 = (1n << 23n) | (1n << 34n);

/** EL3's own registers on this PE, with the granule protection check on. The tables exist. */
export function setUpEl3(pe: Pe, { vectors, tables }: { vectors: bigint; tables: GranuleTables }): void {
  const { r } = pe;
  r[R.VBAR_EL3] = vectors;
  r[R.CPTR_EL3] = 0n; // no traps of FP/SIMD, trace or CPACR
  r[R.MDCR_EL3] = MDCR_EL3;
  r[R.GPTBR_EL3] = tables.gptbr;
  r[R.GPCCR_EL3] = tables.configured;
  pe.tlbi({ kind: "paall" });
  r[R.GPCCR_EL3] = tables.enabled;
  pe.tlbi({ kind: "paall" });
}
