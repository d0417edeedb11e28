/**
 * One RMI call: from X0 to X7 as EL3 hands them over, to the return to the Host. DEN0137 1.0-rel0, "RMI interface".
 */
import { SMCCC_FID } from "@realmbox/abi";
import { R, type SlotExit } from "@realmbox/machine";
import { leaveRec } from "../rec/exit.js";
import { type Rmm, UNKNOWN_FUNCTION } from "../rmm.js";
import { highOf, lowOf } from "../views.js";
import { fail, namedInputs, type RmiCommandRow } from "./command.js";
import { completeRmi } from "./complete.js";
import { RMI_COMMANDS } from "./table.js";

/** By the function id as a number: the hot path. */
const BY_FID: ReadonlyMap<number, RmiCommandRow> = new Map(
  RMI_COMMANDS.map((command) => [Number(command.fid), command]),
);
/** The hint that the caller has no live SVE state. */
const SVE_HINT = Number(SMCCC_FID.SVE_HINT.mask);

/** Where the Host's X4 is among the results: it keeps it. */
const X4 = 2 * 4;

/** The event that resumes the RMM after its last SMC: the Host's call. */
export function rmiCall(rmm: Rmm): SlotExit {
  const { words, results } = rmm;
  results[X4] = words[2 * (R.X0 + 4)]!;
  results[X4 + 1] = words[2 * (R.X0 + 4) + 1]!;
  const fid = (words[2 * R.X0]! & ~SVE_HINT) >>> 0;
  const command = BY_FID.get(fid);
  if (command === undefined) {
    if (rmm.trace?.wants("rmi")) rmm.emit("rmi", "unknown", { fid: BigInt(fid), x0: UNKNOWN_FUNCTION });
    results.fill(0, 0, X4);
    results[0] = lowOf(UNKNOWN_FUNCTION);
    results[1] = highOf(UNKNOWN_FUNCTION);
    return rmm.isolation.returnToHost(rmm.pe, results);
  }
  const traced = rmm.trace?.wants("rmi") ? namedInputs(rmm, command.in) : undefined;
  const { args } = command;
  args.rmm = rmm;
  const result = command.run(rmm, args as unknown as Record<string, bigint>, fail);
  switch (result.status) {
    case "ENTERED":
      return rmm.isolation.resume();
    case "EXITED":
      return leaveRec(rmm);
    default:
      return completeRmi(rmm, command, traced, result);
  }
}
