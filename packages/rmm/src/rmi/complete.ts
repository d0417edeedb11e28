/**
 * The end of an RMI command: the return to the Host and the trace event. The register rules are those of the RMM-EL3
 * interface 0.x: five results, of which the last is the Host's own X4 unless the command returns something there.
 */
import { rmiReturnCode, type TraceValue } from "@realmbox/abi";
import type { SlotExit } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import type { RmiCommandRow, RmiResult } from "./command.js";

/** What of a command its end needs. */
type Named = Pick<RmiCommandRow, "name" | "out">;

/** Returns to the Host with a command's result. */
export function completeRmi(
  rmm: Rmm,
  command: Named,
  args: Readonly<Record<string, bigint>>,
  result: RmiResult<string>,
  x4: bigint,
): SlotExit {
  const failed = result.status !== "RMI_SUCCESS";
  if (rmm.trace?.wants("rmi")) traceRmi(rmm, command, args, result);
  const code = rmiReturnCode(result.status, failed ? result.index : 0);
  const { out } = result;
  const output = (i: number) => {
    const name = command.out[i];
    return name === undefined ? undefined : (out?.[name] ?? 0n);
  };
  return rmm.isolation.returnToHost(rmm.pe, [code, output(0) ?? 0n, output(1) ?? 0n, output(2) ?? 0n, output(3) ?? x4]);
}

function traceRmi(rmm: Rmm, command: Named, args: Readonly<Record<string, bigint>>, result: RmiResult<string>): void {
  const fields: Record<string, TraceValue> = { ...args, status: result.status };
  if (result.status !== "RMI_SUCCESS") {
    if (result.status === "RMI_ERROR_RTT" || result.index !== 0) fields.index = result.index;
    fields.condition = result.condition;
  }
  for (const [name, value] of Object.entries(result.out ?? {})) fields[`${name}'`] = value!;
  rmm.emit("rmi", command.name, fields);
}
