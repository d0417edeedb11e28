/** What it takes to have done an instruction of the Realm that trapped. */
import { type Pe, R } from "@realmbox/machine";

const SPSR_SS = 1n << 21n;

/** The loaded REC goes on after the instruction that trapped: for a Realm that steps itself, the step is done. */
export function skipInstruction({ r }: Pe): void {
  r[R.ELR_EL2]! += 4n;
  r[R.SPSR_EL2]! &= ~SPSR_SS;
}
