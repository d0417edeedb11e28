/**
 * An SMC of a Realm: RSI, PSCI, or nothing that exists. DEN0137 1.0-rel0, "Realm Services Interface"; DEN0028 (SMCCC).
 * X4 and up that are no outputs keep their values, as guests that call by SMCCC 1.1 expect; X1 to X3 are zero when absent.
 */
import { RSI_STATUS, type RsiStatus, SMCCC_FID, SMCCC_VERSION, type TraceValue } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { isPsci, psciCall } from "../psci/psci.js";
import type { TrapOutcome } from "../rec/abort.js";
import { beginBufferFaultExit } from "../rec/exit.js";
import type { Rec } from "../rec/rec.js";
import { skipInstruction } from "../rec/skip.js";
import { namedInputs } from "../rmi/command.js";
import { type Rmm, UNKNOWN_FUNCTION } from "../rmm.js";
import { fail, type RsiCommandRow, type RsiResult } from "./command.js";
import { RSI_COMMANDS } from "./table.js";

/** By the function id as a number: the hot path. */
const BY_FID: ReadonlyMap<number, RsiCommandRow> = new Map(
  RSI_COMMANDS.map((command) => [Number(command.fid), command]),
);
const SVE_HINT = Number(SMCCC_FID.SVE_HINT.mask);
/** SMCCC_VERSION's answer to a Realm: 1.2, the least that DEN0137 allows. */
const REALM_SMCCC_VERSION = 0x1_0002n;

export function realmSmc(rmm: Rmm, rec: Rec): TrapOutcome {
  const w0 = rmm.words[2 * R.X0]! >>> 0;
  // PSCI knows no SVE hint.
  if (isPsci(w0)) return psciCall(rmm, rec, w0);
  const command = BY_FID.get((w0 & ~SVE_HINT) >>> 0);
  if (command) return rsiCall(rmm, rec, command);
  const fid = BigInt((w0 & ~SVE_HINT) >>> 0);
  const x0 = fid === SMCCC_VERSION ? REALM_SMCCC_VERSION : UNKNOWN_FUNCTION;
  if (rmm.trace?.wants("rsi")) rmm.emit("rsi", fid === SMCCC_VERSION ? "SMCCC_VERSION" : "unknown", { fid, x0 });
  returnToRealm(rmm, [x0]);
  return "realm";
}

/** Writes the results of a call: X0, then X1 to X3 or as many as there are; and goes past the SMC. */
export function returnToRealm({ pe }: Rmm, results: readonly bigint[]): void {
  for (let n = 0; n < Math.max(4, results.length); n++) pe.r[R.X0 + n] = results[n] ?? 0n;
  skipInstruction(pe);
}

/** The same for a call's status and the outputs that its definition names. */
function returnCall(
  { pe }: Rmm,
  status: RsiStatus,
  names: readonly string[],
  out: Readonly<Partial<Record<string, bigint>>> | undefined,
): void {
  const { w } = pe;
  w[2 * R.X0] = RSI_STATUS[status];
  for (let i = 2 * R.X0 + 1; i < 2 * (R.X0 + 4); i++) w[i] = 0;
  if (out !== undefined) for (let n = 0; n < names.length; n++) pe.r[R.X0 + 1 + n] = out[names[n]!] ?? 0n;
  else for (let n = 3; n < names.length; n++) pe.r[R.X0 + 1 + n] = 0n;
  skipInstruction(pe);
}
const NO_OUTPUTS: readonly string[] = [];

function rsiCall(rmm: Rmm, rec: Rec, command: RsiCommandRow): TrapOutcome {
  const traced = rmm.trace?.wants("rsi") ? namedInputs(rmm, command.in) : undefined;
  const args = command.args as unknown as Record<string, bigint>;
  command.args.rmm = rmm;
  const result = command.run({ rmm, rec, rd: rmm.rd(rec.ownerFrame), args }, fail);
  if (traced !== undefined) traceCall(rmm, command.name, traced, result);
  switch (result.kind) {
    case "return":
      returnCall(rmm, result.status, command.out, result.out);
      return "realm";
    case "exit":
      if (result.status === undefined) skipInstruction(rmm.pe);
      else returnCall(rmm, result.status, NO_OUTPUTS, undefined);
      return "exit";
    case "buffer-fault":
      beginBufferFaultExit(rmm, rec, result.fault);
      return "exit";
  }
}

function traceCall(rmm: Rmm, name: string, args: Readonly<Record<string, bigint>>, result: RsiResult): void {
  const fields: Record<string, TraceValue> = { ...args };
  if (result.kind === "buffer-fault") fields.result = "buffer fault";
  else fields.status = result.status ?? "pending";
  if (result.kind === "return") {
    if (result.condition !== undefined) fields.condition = result.condition;
    for (const [out, value] of Object.entries(result.out ?? {})) fields[`${out}'`] = value!;
  }
  rmm.emit("rsi", name, fields);
}
