/**
 * State in which a REC starts, at creation and when PSCI_CPU_ON turns it on. DEN0137 1.0-rel0, "REC initial state". EL1
 * registers that are not named start as zero.
 */
import { bit, SPSR_EL1H_MASKED } from "@realmbox/abi";
import { GROUPS, PMCR, R } from "@realmbox/machine";
import { type Rec, RecLayout } from "./rec.js";

/** SCTLR_EL1: MMU and caches off, little-endian; SPAN, EIS, nTWE, nTWI, EOS, nAA, CP15BEN, SA0, SA are set. */
const SCTLR_EL1_RESET = 0x00c5_0878n;
const SCTLR_EL1_EE = bit(25);
/** MDSCR_EL1.TDCC: accesses to the Debug Communications Channel trap. */
const MDSCR_EL1_RESET = 0x1000n;
/** PMCR_EL0.DP: the cycle counter stops where counting is prohibited. Counters are zero. */
const PMCR_EL0_RESET = BigInt(PMCR.DP);

const el1Offset = (slot: number): number => RecLayout.fields.el1.offset + 8 * (slot - GROUPS.EL1.first);

/** Registers of a REC that RMI_REC_CREATE starts; the granule is zero. */
export function resetRec(rec: Rec, pc: bigint): void {
  rec.pc = pc;
  rec.pstate = SPSR_EL1H_MASKED;
  rec.set64(el1Offset(R.SCTLR_EL1), SCTLR_EL1_RESET);
  rec.set64(el1Offset(R.MDSCR_EL1), MDSCR_EL1_RESET);
  rec.blocks.pmu[R.PMCR_EL0 - GROUPS.PMU.first] = PMCR_EL0_RESET;
}

/** Turns on a REC for PSCI_CPU_ON: its registers start anew, with the caller's endianness. */
export function turnOnRec(rec: Rec, caller: Rec, { entry, contextId }: { entry: bigint; contextId: bigint }): void {
  rec.bytes.fill(0, RecLayout.fields.gprs.offset, RecLayout.fields.gprs.offset + RecLayout.fields.gprs.size);
  rec.bytes.fill(0, RecLayout.fields.el1.offset, RecLayout.fields.el1.offset + RecLayout.fields.el1.size);
  rec.blocks.debug.fill(0n);
  rec.blocks.pmu.fill(0n);
  resetRec(rec, entry);
  const callerSctlr = caller.get64(el1Offset(R.SCTLR_EL1));
  rec.set64(el1Offset(R.SCTLR_EL1), SCTLR_EL1_RESET | (callerSctlr & SCTLR_EL1_EE.mask));
  rec.setGpr(0, contextId);
  rec.runnable = 1;
}
