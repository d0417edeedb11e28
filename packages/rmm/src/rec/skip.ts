/** What it takes to have done an instruction of the Realm that trapped. */
import { type Pe, R } from "@realmbox/machine";

const ELR = 2 * R.ELR_EL2;
const SPSR = 2 * R.SPSR_EL2;
/** SPSR_EL2.SS. */
const SS = 1 << 21;

/** The loaded REC goes on after the instruction that trapped: for a Realm that steps itself, the step is done. */
export function skipInstruction({ w }: Pe): void {
  const low = (w[ELR]! + 4) | 0;
  w[ELR] = low;
  if (low >>> 0 < 4) w[ELR + 1] = w[ELR + 1]! + 1;
  w[SPSR] = w[SPSR]! & ~SS;
}
