/**
 * The physical GIC as the Host drives it: set-up of distributor, redistributor and CPU interface from Non-secure EL2,
 * SGIs between PEs, and disabling a timer's PPI while a guest serves it. IHI 0069H; all interrupts are Non-secure
 * Group 1, which EL3 has arranged.
 */
import { PPI } from "@realmbox/abi";
import { type Board, GICR_FRAME_SIZE, type MemoryPort, type Pe } from "@realmbox/machine";

/** SGI that makes a PE look at its vCPUs. */
export const SGI_KICK = 0;
/** ICH maintenance interrupt. */
const PPI_MAINTENANCE = 25;
/**
 * realmbox's own: the SPI by which calls from outside the run loop (terminal input, `Host.call`) reach the Host, as a
 * physical device would. No device of a board uses it.
 */
export const SPI_DOORBELL = 255;
/** First special INTID: nothing pending. */
export const INTID_SPECIAL = 1020;

const GICD = { CTLR: 0x0000, ISENABLER: 0x0100, IPRIORITYR: 0x0400, ICFGR: 0x0c00, IROUTER: 0x6000 } as const;
/** Offsets in a redistributor's SGI_base frame. */
const GICR = { ISENABLER0: 0x1_0100, ICENABLER0: 0x1_0180, IPRIORITYR: 0x1_0400 } as const;
/** GICD_CTLR as Non-secure sees it: EnableGrp1A, ARE_NS. */
const CTLR_NS = 0x12;
const PRIORITY = 0x80;
const PMR_ALL = 0xf0n;

const PPIS =
  (1 << SGI_KICK) |
  (1 << PPI_MAINTENANCE) |
  (1 << PPI.PMU) |
  (1 << PPI.EL2_PHYSICAL_TIMER) |
  (1 << PPI.EL1_VIRTUAL_TIMER) |
  (1 << PPI.EL1_PHYSICAL_TIMER);

const word = new Uint8Array(4);

function write32(port: MemoryPort, address: bigint, value: number): void {
  new DataView(word.buffer).setUint32(0, value, true);
  port.copyOut(address, word);
}

const redistributor = (board: Board, pe: Pe): bigint => board.gicr + BigInt(GICR_FRAME_SIZE * pe.index);

/** Once, on PE 0. The doorbell is edge-triggered and goes to PE 0. */
export function setUpDistributor(board: Board, pe: Pe, port: MemoryPort): void {
  const { gicd } = board;
  write32(port, gicd + BigInt(GICD.CTLR), CTLR_NS);
  const n = SPI_DOORBELL;
  port.copyOut(gicd + BigInt(GICD.IPRIORITYR + n), Uint8Array.of(PRIORITY));
  const configAt = gicd + BigInt(GICD.ICFGR + (n >> 4) * 4);
  const config = new Uint8Array(4);
  port.copyIn(configAt, config);
  const old = new DataView(config.buffer).getUint32(0, true);
  write32(port, configAt, (old | (2 << ((n & 15) * 2))) >>> 0);
  port.write64(gicd + BigInt(GICD.IROUTER + 8 * n), pe.mpidr & 0xff_00ff_ffffn);
  write32(port, gicd + BigInt(GICD.ISENABLER + (n >> 5) * 4), 2 ** (n & 31));
}

/** On each PE. */
export function setUpCpu(board: Board, pe: Pe, port: MemoryPort): void {
  const frame = redistributor(board, pe);
  for (let intid = 0; intid < 32; intid++) {
    if (((PPIS >>> intid) & 1) === 1) port.copyOut(frame + BigInt(GICR.IPRIORITYR + intid), Uint8Array.of(PRIORITY));
  }
  write32(port, frame + BigInt(GICR.ISENABLER0), PPIS);
  pe.msr("ICC_SRE_EL2", 0xfn);
  pe.msr("ICC_PMR_EL1", PMR_ALL);
  pe.msr("ICC_BPR1_EL1", 0n);
  pe.msr("ICC_IGRPEN1_EL1", 1n);
}

/** Enables or disables private interrupts of the PE: bit n is INTID n. */
export function setPpisEnabled(board: Board, pe: Pe, port: MemoryPort, intids: number, enabled: boolean): void {
  write32(port, redistributor(board, pe) + BigInt(enabled ? GICR.ISENABLER0 : GICR.ICENABLER0), intids >>> 0);
}

/** Sends the kick to another PE. IHI 0069, "ICC_SGI1R_EL1". */
export function sendKick(from: Pe, to: Pe): void {
  const { mpidr } = to;
  const aff0 = mpidr & 0xffn;
  const value =
    (((mpidr >> 32n) & 0xffn) << 48n) |
    ((aff0 >> 4n) << 44n) |
    (((mpidr >> 16n) & 0xffn) << 32n) |
    (BigInt(SGI_KICK) << 24n) |
    (((mpidr >> 8n) & 0xffn) << 16n) |
    (1n << (aff0 & 0xfn));
  from.msr("ICC_SGI1R_EL1", value);
}
