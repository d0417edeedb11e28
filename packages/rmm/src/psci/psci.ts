/**
 * PSCI as the RMM serves it to a Realm: version 1.1, conduit SMC. DEN0137 1.0-rel0, "PSCI"; DEN0022. What concerns another
 * REC, or the machine, becomes a REC exit; the RMM checks the arguments first, so that the Host sees sanitised ones.
 */
import {
  indexOfMpidr,
  PSCI_AFFINITY,
  PSCI_FID,
  PSCI_VERSION_1_1,
  type PsciFunction,
  psciCode,
  RmiRecExitReason,
  SMCCC_VERSION,
  type TraceValue,
} from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { type Rd, RealmState } from "../realm/rd.js";
import type { TrapOutcome } from "../rec/abort.js";
import { beginExit } from "../rec/exit.js";
import type { Rec } from "../rec/rec.js";
import { skipInstruction } from "../rec/skip.js";
import type { Rmm } from "../rmm.js";

export type PsciResult =
  /** Back to the Realm with X0. */
  | { readonly kind: "return"; readonly x0: bigint; readonly condition?: string }
  /** REC exit; the Realm goes on with `x0` when the Host enters the REC again. */
  | { readonly kind: "exit"; readonly x0: bigint }
  /** REC exit; the registers stay as they are until RMI_PSCI_COMPLETE. */
  | { readonly kind: "pending"; readonly target: bigint };

/** Answers with an error; `condition` must be one of the function's declared conditions. */
export type PsciRefuse<Condition extends string> = (condition: Condition, x0: bigint) => PsciResult;

export interface PsciCall<In extends string> {
  readonly rec: Rec;
  readonly rd: Rd;
  readonly args: Readonly<Record<In, bigint>>;
}

export interface PsciDefinition<In extends string, Condition extends string> {
  /** The function as the document names it. */
  readonly name: PsciFunction;
  readonly fids: readonly PsciFunction[];
  /** Arguments in X1, X2, ... */
  readonly in: readonly In[];
  /** Ids of the conditions, in the order in which they are checked. */
  readonly conditions: readonly Condition[];
  run(call: PsciCall<NoInfer<In>>, refuse: PsciRefuse<NoInfer<Condition>>): PsciResult;
}

export type PsciFunctionRow = PsciDefinition<string, string>;

const psciFunction = <const In extends string, const Condition extends string>(
  definition: PsciDefinition<In, Condition>,
): PsciFunctionRow => definition as unknown as PsciFunctionRow;

const refuse: PsciRefuse<string> = (condition, x0) => ({ kind: "return", x0, condition });

/** The condition of a function identifier that no row has. */
export const PSCI_UNKNOWN = { name: "PSCI", conditions: ["func_id"] } as const;

/**
 * PSCI_VERSION
 * @spec DEN0137 1.0-rel0, "PSCI_VERSION command": complete
 */
const version = psciFunction({
  name: "PSCI_VERSION",
  fids: ["PSCI_VERSION"],
  in: [],
  conditions: [],
  run: () => ({ kind: "return", x0: PSCI_VERSION_1_1 }),
});

/**
 * PSCI_FEATURES; SMCCC_VERSION counts as present, which is how guests find out that SMCCC is new enough for RSI.
 * @spec DEN0137 1.0-rel0, "PSCI_FEATURES command": complete
 */
const features = psciFunction({
  name: "PSCI_FEATURES",
  fids: ["PSCI_FEATURES"],
  in: ["psci_func_id"],
  conditions: ["func_id"],
  run({ args }, refuse) {
    const fid = Number(args.psci_func_id & 0xffff_ffffn);
    if (fid !== Number(SMCCC_VERSION) && !BY_FID.has(fid)) return refuse("func_id", psciCode("PSCI_NOT_SUPPORTED"));
    return { kind: "return", x0: 0n };
  },
});

/**
 * PSCI_CPU_SUSPEND: every power state is a plain suspend; the REC goes on after the call when it is entered again.
 * @spec DEN0137 1.0-rel0, "PSCI_CPU_SUSPEND command": complete
 */
const cpuSuspend = psciFunction({
  name: "PSCI_CPU_SUSPEND",
  fids: ["PSCI_CPU_SUSPEND", "PSCI_CPU_SUSPEND_64"],
  in: ["power_state", "entry_point_address", "context_id"],
  conditions: [],
  run: () => ({ kind: "exit", x0: psciCode("PSCI_SUCCESS") }),
});

/**
 * PSCI_CPU_OFF: the REC is not runnable until another one turns it on.
 * @spec DEN0137 1.0-rel0, "PSCI_CPU_OFF command": complete
 */
const cpuOff = psciFunction({
  name: "PSCI_CPU_OFF",
  fids: ["PSCI_CPU_OFF"],
  in: [],
  conditions: [],
  run({ rec }) {
    rec.runnable = 0;
    return { kind: "exit", x0: psciCode("PSCI_SUCCESS") };
  },
});

/** Whether a REC of that index has been created in the Realm. */
const exists = (rd: Rd, index: number): boolean => index < rd.rec_index;

/**
 * PSCI_CPU_ON: the Host turns the target on by RMI_PSCI_COMPLETE. Entry point and context id stay with the caller's REC.
 * @spec DEN0137 1.0-rel0, "PSCI_CPU_ON command": complete
 */
const cpuOn = psciFunction({
  name: "PSCI_CPU_ON",
  fids: ["PSCI_CPU_ON", "PSCI_CPU_ON_64"],
  in: ["target_cpu", "entry_point_address", "context_id"],
  conditions: ["entry", "mpidr", "already_on"],
  run({ rec, rd, args }, refuse) {
    const target = args.target_cpu;
    if (!rd.isProtected(args.entry_point_address)) return refuse("entry", psciCode("PSCI_INVALID_ADDRESS"));
    const index = indexOfMpidr(target);
    if (!exists(rd, index)) return refuse("mpidr", psciCode("PSCI_INVALID_PARAMETERS"));
    if (index === rec.index) return refuse("already_on", psciCode("PSCI_ALREADY_ON"));
    return { kind: "pending", target };
  },
});

/**
 * PSCI_AFFINITY_INFO, for affinity level 0: the Host names the target by RMI_PSCI_COMPLETE, the RMM answers.
 * @spec DEN0137 1.0-rel0, "PSCI_AFFINITY_INFO command": complete
 */
const affinityInfo = psciFunction({
  name: "PSCI_AFFINITY_INFO",
  fids: ["PSCI_AFFINITY_INFO", "PSCI_AFFINITY_INFO_64"],
  in: ["target_affinity", "lowest_affinity_level"],
  conditions: ["level", "target"],
  run({ rec, rd, args }, refuse) {
    const target = args.target_affinity;
    if ((args.lowest_affinity_level & 0xffff_ffffn) !== 0n) return refuse("level", psciCode("PSCI_INVALID_PARAMETERS"));
    const index = indexOfMpidr(target);
    if (!exists(rd, index)) return refuse("target", psciCode("PSCI_INVALID_PARAMETERS"));
    if (index === rec.index) return { kind: "return", x0: PSCI_AFFINITY.ON };
    return { kind: "pending", target };
  },
});

/**
 * PSCI_SYSTEM_OFF and PSCI_SYSTEM_RESET: the Realm never runs again; a reset is a new Realm, of the Host's making.
 * @spec DEN0137 1.0-rel0, "PSCI_SYSTEM_OFF command": complete
 * @spec DEN0137 1.0-rel0, "PSCI_SYSTEM_RESET command": complete
 */
const systemOff = psciFunction({
  name: "PSCI_SYSTEM_OFF",
  fids: ["PSCI_SYSTEM_OFF", "PSCI_SYSTEM_RESET"],
  in: [],
  conditions: [],
  run({ rd }) {
    rd.state = RealmState.SYSTEM_OFF;
    return { kind: "exit", x0: psciCode("PSCI_SUCCESS") };
  },
});

/** The PSCI interface of a Realm as one table. */
export const PSCI_FUNCTIONS: readonly PsciFunctionRow[] = [
  version,
  cpuSuspend,
  cpuOff,
  cpuOn,
  affinityInfo,
  systemOff,
  features,
];

const BY_FID: ReadonlyMap<number, { readonly name: PsciFunction; readonly row: PsciFunctionRow }> = new Map(
  PSCI_FUNCTIONS.flatMap((row) => row.fids.map((name) => [Number(PSCI_FID[name]), { name, row }] as const)),
);

/** The ids that DEN0137 leaves to PSCI, served or not. */
export const isPsci = (fid: number): boolean =>
  (fid >= 0x8400_0000 && fid <= 0x8400_0014) || (fid >= 0xc400_0000 && fid <= 0xc400_0014);

/** A PSCI call of the loaded REC. */
export function psciCall(rmm: Rmm, rec: Rec, fid: number): TrapOutcome {
  const { pe } = rmm;
  const known = BY_FID.get(fid);
  const args: Record<string, bigint> = {};
  known?.row.in.forEach((name, i) => {
    args[name] = rmm.x(i + 1);
  });
  const result: PsciResult = known
    ? known.row.run({ rec, rd: rmm.rd(rec.ownerFrame), args }, refuse)
    : refuse("func_id", psciCode("PSCI_NOT_SUPPORTED"));
  if (rmm.trace?.wants("psci")) tracePsci(rmm, known?.name ?? "unknown", known ? args : { fid: BigInt(fid) }, result);

  skipInstruction(pe);
  if (result.kind !== "pending") {
    pe.r[R.X0] = result.x0;
    for (let n = 1; n <= 3; n++) pe.r[R.X0 + n] = 0n;
  }
  if (result.kind === "return") return "realm";

  rec.forgetExit();
  beginExit(rmm, RmiRecExitReason.RMI_EXIT_PSCI);
  rmm.exit.setGpr(0, BigInt(fid));
  if (result.kind === "pending") {
    rec.psci_pending = 1;
    rmm.exit.setGpr(1, result.target);
  }
  return "exit";
}

function tracePsci(rmm: Rmm, name: string, args: Readonly<Record<string, bigint>>, result: PsciResult): void {
  const fields: Record<string, TraceValue> = { ...args };
  if (result.kind === "pending") fields.status = "pending";
  else fields.x0 = result.x0;
  if (result.kind === "return" && result.condition !== undefined) fields.condition = result.condition;
  rmm.emit("psci", name, fields);
}
