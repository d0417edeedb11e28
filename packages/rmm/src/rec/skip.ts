/** What it takes to have done an instruction of the Realm that trapped. */
import { type Pe, R } from "@realmbox/machine";

/** SPSR_EL2.SS, bit 21, in the register's third byte: no bigint, as this is part of each host call. */
const SPSR_BYTE_2 = R.SPSR_EL2 * 8 + 2;
const SS = 1 << 5;

/** The loaded REC goes on after the instruction that trapped: for a Realm that steps itself, the step is done. */
export function skipInstruction({ r, bytes }: Pe): void {
  r[R.ELR_EL2]! += 4n;
  bytes[SPSR_BYTE_2]! &= ~SS;
}
