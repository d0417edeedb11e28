/**
 * The physical GIC as the Host of a test needs it: SGI 0 and the timers' PPIs, Non-secure Group 1. IHI 0069H.
 */
import { PPI } from "@realmbox/abi";
import { type Board, GICR_FRAME_SIZE, type MemoryPort, type Pe } from "@realmbox/machine";

const SGI = 0;
/** First special INTID: nothing pending. */
const INTID_SPECIAL = 1020;
const PPIS = [SGI, PPI.EL2_PHYSICAL_TIMER, PPI.EL1_VIRTUAL_TIMER, PPI.EL1_PHYSICAL_TIMER];
/** Offsets in a redistributor's SGI_base frame. */
const GICR = { ISENABLER0: 0x1_0100n, IPRIORITYR: 0x1_0400n } as const;
const GICD_CTLR = 0x0000n;
/** GICD_CTLR as Non-secure sees it: EnableGrp1A, ARE_NS. */
const CTLR_NS = 0x12;
const PRIORITY = 0x80;
const PMR_ALL = 0xf0n;

function write32(port: MemoryPort, address: bigint, value: number): void {
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, value, true);
  port.copyOut(address, word);
}

/** Once for a machine. */
export function setUpDistributor({ gicd }: Board, port: MemoryPort): void {
  write32(port, gicd + GICD_CTLR, CTLR_NS);
}

/** On each PE that takes interrupts. */
export function setUpCpuInterface({ gicr }: Board, pe: Pe, port: MemoryPort): void {
  const frame = gicr + BigInt(GICR_FRAME_SIZE * pe.index);
  for (const intid of PPIS) port.copyOut(frame + GICR.IPRIORITYR + BigInt(intid), Uint8Array.of(PRIORITY));
  write32(port, frame + GICR.ISENABLER0, PPIS.reduce((set, intid) => set | (1 << intid), 0) >>> 0);
  pe.msr("ICC_SRE_EL2", 0xfn);
  pe.msr("ICC_PMR_EL1", PMR_ALL);
  pe.msr("ICC_BPR1_EL1", 0n);
  pe.msr("ICC_IGRPEN1_EL1", 1n);
}

/** SGI 0 to one PE. */
export function sendSgi(from: Pe, { mpidr }: Pick<Pe, "mpidr">): void {
  const aff0 = mpidr & 0xffn;
  from.msr(
    "ICC_SGI1R_EL1",
    (((mpidr >> 32n) & 0xffn) << 48n) |
      ((aff0 >> 4n) << 44n) |
      (((mpidr >> 16n) & 0xffn) << 32n) |
      (BigInt(SGI) << 24n) |
      (((mpidr >> 8n) & 0xffn) << 16n) |
      (1n << (aff0 & 0xfn)),
  );
}

/** Acknowledges and ends what is pending, until nothing is: INTIDs in the order in which they came. */
export function acknowledgeAll(pe: Pe): number[] {
  const taken: number[] = [];
  for (let n = 0; n < 64; n++) {
    const intid = Number(pe.mrs("ICC_IAR1_EL1") & 0xff_ffffn);
    if (intid >= INTID_SPECIAL) break;
    pe.msr("ICC_EOIR1_EL1", BigInt(intid));
    taken.push(intid);
    if (taken.filter((other) => other === intid).length > 2) break; // a level that nobody lowers
  }
  return taken;
}
