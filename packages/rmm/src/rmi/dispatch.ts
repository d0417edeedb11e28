/**
 * One RMI call: from X0 to X7 as EL3 hands them over, to the return to the Host. DEN0137 1.0-rel0, "RMI interface".
 */
import { SMCCC_FID } from "@realmbox/abi";
import { R, type SlotExit } from "@realmbox/machine";
import { leaveRec } from "../rec/exit.js";
import { type Rmm, UNKNOWN_FUNCTION } from "../rmm.js";
import { fail, type RmiCommandRow } from "./command.js";
import { completeRmi } from "./complete.js";
import { RMI_COMMANDS } from "./table.js";

/** By the function id as a number: the hot path. */
const BY_FID: ReadonlyMap<number, RmiCommandRow> = new Map(
  RMI_COMMANDS.map((command) => [Number(command.fid), command]),
);
/** The hint that the caller has no live SVE state. */
const SVE_HINT = Number(SMCCC_FID.SVE_HINT.mask);

/** The event that resumes the RMM after its last SMC: the Host's call. */
export function rmiCall(rmm: Rmm): SlotExit {
  const x4 = rmm.x(4);
  const fid = (rmm.words[2 * R.X0]! & ~SVE_HINT) >>> 0;
  const command = BY_FID.get(fid);
  if (command === undefined) {
    if (rmm.trace?.wants("rmi")) rmm.emit("rmi", "unknown", { fid: BigInt(fid), x0: UNKNOWN_FUNCTION });
    return rmm.isolation.returnToHost(rmm.pe, [UNKNOWN_FUNCTION, 0n, 0n, 0n, x4]);
  }
  const args: Record<string, bigint> = {};
  for (let i = 0; i < command.in.length; i++) args[command.in[i]!] = rmm.x(i + 1);
  const result = command.run(rmm, args, fail);
  switch (result.status) {
    case "ENTERED":
      return rmm.isolation.resume();
    case "EXITED":
      return leaveRec(rmm);
    default:
      return completeRmi(rmm, command, args, result, x4);
  }
}
