/**
 * The end of an RMI command: the return to the Host and the trace event. The register rules are those of the RMM-EL3
 * interface 0.x: five results, of which the last is the Host's own X4 unless the command returns something there.
 */
import { RMI_STATUS, type TraceValue } from "@realmbox/abi";
import type { SlotExit } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import { highOf, lowOf } from "../views.js";
import type { RmiCommandRow, RmiResult } from "./command.js";

/** What of a command its end needs. */
type Named = Pick<RmiCommandRow, "name" | "out">;

/** Index of X4 among the results. */
const X4 = 4;

/**
 * Returns to the Host with a command's result. `args` are for the trace: absent when nobody listens.
 * `rmm.results` has the Host's X4 already.
 */
export function completeRmi(
  rmm: Rmm,
  command: Named,
  args: Readonly<Record<string, bigint>> | undefined,
  result: RmiResult<string>,
): SlotExit {
  if (args !== undefined) traceRmi(rmm, command, args, result);
  const { results } = rmm;
  results[0] = result.status === "RMI_SUCCESS" ? 0 : RMI_STATUS[result.status] | (result.index << 8);
  for (let i = 1; i < 2 * X4; i++) results[i] = 0;
  const { out } = result;
  for (let i = 0; i < command.out.length; i++) {
    const value = out?.[command.out[i]!] ?? 0n;
    results[2 * (i + 1)] = lowOf(value);
    results[2 * (i + 1) + 1] = highOf(value);
  }
  return rmm.isolation.returnToHost(rmm.pe, results);
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
