/**
 * What a service of the Root Monitor is: a range of function identifiers and who may call it. Whatever no service takes
 * ends as "unknown function". DEN0028 (SMCCC) 1.5; TF-A, "RMM-EL3 Communication Specification".
 */
import { type SecurityState, SMCCC_NOT_SUPPORTED, type TraceValue } from "@realmbox/abi";
import { ERET, type Pe, R, type SlotExit } from "@realmbox/machine";

/** One SMC, decoded. */
export interface SmcCall {
  readonly pe: Pe;
  /** Function identifier: W0 without the SVE hint. */
  readonly fid: number;
  /** The caller's Security state, from SCR_EL3. */
  readonly caller: SecurityState;
  /** Argument n, X1 to X7: truncated to 32 bits in the SMC32 convention. */
  argument(n: number): bigint;
}

export interface Service {
  readonly name: string;
  /** Function identifiers as unsigned numbers, both ends included. */
  readonly ranges: readonly (readonly [first: number, last: number])[];
  readonly callers: readonly SecurityState[];
  /** Performs the call: results in the general registers, and where the PE goes on. */
  handle(call: SmcCall): SlotExit;
  /** The function's name for the trace, if the service knows it. */
  nameOf(fid: number): string | undefined;
}

/** X0 = `value`, others unchanged, back to the caller. */
export function returnValue(pe: Pe, value: bigint): SlotExit {
  pe.r[R.X0] = BigInt.asUintN(64, value);
  return ERET;
}

/** Unknown, refused and misdirected calls: X0 = -1, other registers unchanged. */
export const returnUnknown = (pe: Pe): SlotExit => returnValue(pe, SMCCC_NOT_SUPPORTED);

/** Function identifiers are declared as 64-bit values; here they are numbers. */
export const fidNumber = (fid: bigint): number => Number(fid);

/** Names by function identifier. */
export const namesOf = (table: Readonly<Record<string, bigint>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(table).map(([name, fid]) => [fidNumber(fid), name]));

export type TraceFields = Readonly<Record<string, TraceValue>>;
