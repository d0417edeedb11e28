/**
 * PSCI 1.1 for the Host. DEN0022, "PSCI functions"; orders of checks, and what is implemented, as in TF-A v2.12 on the FVP.
 *
 * A PE's power state is in its context granule. CPU_ON makes a PE start at EL3; it brings up its RMM context first
 * (boot.ts) and then enters the Non-secure world where it was told to. A PE that is suspended waits for an interrupt at
 * EL3. What clusters and the system are in follows from all of them (power-domains.ts).
 *
 * @spec DEN0022 1.1, "functions": partial: MIGRATE, MIGRATE_INFO_TYPE, MIGRATE_INFO_UP_CPU, CPU_FREEZE and
 *   CPU_DEFAULT_SUSPEND answer NOT_SUPPORTED; MEM_PROTECT and MEM_PROTECT_CHECK_RANGE do on a board without memory for
 *   its state; no vendor-specific resets; standby of PEs only
 */
import {
  PSCI_AFFINITY,
  PSCI_VERSION_1_1,
  type PsciStatus,
  psciCode,
  SecurityState,
  SMCCC_VERSION,
  type Trace,
} from "@realmbox/abi";
import { type Board, ERET, OFF, type Pe, packAffinity, R, type SlotExit, WFI } from "@realmbox/machine";
import { isProtectable, isProtected, setProtected } from "../mem-protect.js";
import { Power } from "../memory-map.js";
import type { Worlds } from "../world.js";
import {
  CLUSTER_LEVEL,
  CPU_LEVEL,
  type Level,
  Local,
  type PowerDomains,
  type States,
  SYSTEM_LEVEL,
} from "./power-domains.js";
import { returnValue, type Service, type SmcCall, type TraceFields } from "./service.js";

/** What PSCI needs of the machine. */
export interface PowerControl {
  readonly board: Board;
  readonly pes: readonly Pick<Pe, "index" | "mpidr">[];
  readonly trace: Trace;
  startPe(index: number): void;
  stop(reason: string): void;
  requestReset(reason: string): void;
}

/** Reasons with which the run ends, or the machine is reset. */
export const PSCI_SYSTEM_OFF = "PSCI_SYSTEM_OFF";
export const PSCI_SYSTEM_RESET = "PSCI_SYSTEM_RESET";

interface Parts {
  readonly power: PowerControl;
  readonly worlds: Worlds;
  readonly domains: PowerDomains;
}

interface Context extends Parts {
  readonly call: SmcCall;
  readonly pe: Pe;
}

interface PsciFunction {
  readonly name: string;
  readonly fids: readonly number[];
  /** The answer, or the exit when the function does not simply return. */
  readonly run: (c: Context) => PsciStatus | bigint | SlotExit;
  /** PSCI_FEATURES' answer for it; 0 when absent. */
  readonly features?: bigint;
  /** Whether the board has what it needs; absent: any board has. */
  readonly exists?: (board: Board) => boolean;
}

/** Affinity bits of a target. What MPIDR_EL1 has in 31:24 should be zero; TF-A takes an MPIDR as it reads as well. */
const AFFINITY_MASK = 0xff_00ff_ffffn;
const MPIDR_FLAGS = 0xff00_0000n;

/** power_state in the original format: StateID 15:0, type 16 (1: powerdown), level 25:24. */
const POWER_STATE = { ID: 0xffffn, TYPE: 1n << 16n, LEVEL: 3n << 24n, RES0: 0xfcfe_0000n };

/** PSCI_NODE_HW_STATE's answers. The board's power controller knows no standby. */
const HW = { ON: 0n, OFF: 1n };

/** PSCI_SET_SUSPEND_MODE. */
const MODE = { PLATFORM_COORDINATED: 0n, OS_INITIATED: 1n };
/** PSCI_FEATURES' answer for CPU_SUSPEND: original power_state format, OS-initiated mode. */
const SUSPEND_FEATURES = 1n;

const ALL_OFF: States = [Local.OFF, Local.OFF, Local.OFF];

const low = (value: bigint): bigint => value & 0xffff_ffffn;

const peOf = ({ power }: Context, target: bigint): number | undefined => {
  if ((target & ~(AFFINITY_MASK | MPIDR_FLAGS)) !== 0n) return undefined;
  return power.pes.find(({ mpidr }) => packAffinity(mpidr) === packAffinity(target))?.index;
};

/** Where a PE may start: at an instruction in the Host's memory. */
const isEntryPoint = ({ power }: Context, pa: bigint): boolean =>
  (pa & 1n) === 0n && power.board.dram.some(({ base, size }) => pa >= base && pa < base + size);

/** Everything but PE `index` is off. */
const isLastOn = ({ power, worlds, pe }: Context): boolean =>
  power.pes.every(({ index }) => index === pe.index || worlds.power(pe, index) === Power.OFF);

const areAllOn = ({ power, worlds, pe }: Context): boolean =>
  power.pes.every(({ index }) => worlds.power(pe, index) !== Power.OFF);

/** The level and the state there that a power_state names; undefined: none that this platform has. */
function decodePowerState(value: bigint): { level: Level; state: Local } | undefined {
  const level = Number((value & POWER_STATE.LEVEL) >> 24n);
  if ((value & (POWER_STATE.RES0 | POWER_STATE.ID)) !== 0n || level > SYSTEM_LEVEL) return undefined;
  if ((value & POWER_STATE.TYPE) !== 0n) return { level: level as Level, state: Local.OFF };
  return level === CPU_LEVEL ? { level, state: Local.RETENTION } : undefined;
}

function cpuOn(c: Context): PsciStatus {
  const { call, pe, worlds } = c;
  const index = peOf(c, call.argument(1));
  const entry = call.argument(2);
  if (index === undefined) return "PSCI_INVALID_PARAMETERS";
  if (!isEntryPoint(c, entry)) return "PSCI_INVALID_ADDRESS";
  const state = worlds.power(pe, index);
  if (state === Power.ON_PENDING) return "PSCI_ON_PENDING";
  if (state !== Power.OFF) return "PSCI_ALREADY_ON";
  worlds.setEntry(pe, { index, entry, contextId: call.argument(3) });
  worlds.setPower(pe, Power.ON_PENDING, index);
  c.power.startPe(index);
  return "PSCI_SUCCESS";
}

/** The caller's PE goes off; it starts anew with CPU_ON. */
function cpuOff({ pe, worlds, domains }: Context): SlotExit {
  domains.leave(pe, ALL_OFF, { mayRefuse: false });
  worlds.setPower(pe, Power.OFF);
  return OFF;
}

function affinityInfo(c: Context): PsciStatus | bigint {
  const index = peOf(c, c.call.argument(1));
  if (index === undefined || low(c.call.argument(2)) !== 0n) return "PSCI_INVALID_PARAMETERS";
  const state = c.worlds.power(c.pe, index);
  if (state === Power.OFF) return PSCI_AFFINITY.OFF;
  return state === Power.ON_PENDING ? PSCI_AFFINITY.ON_PENDING : PSCI_AFFINITY.ON;
}

/** Standby returns here after the wake-up; powerdown loses the context and goes on at the entry point. */
function cpuSuspend(c: Context): PsciStatus | SlotExit {
  const { call, pe, worlds, domains } = c;
  const wanted = decodePowerState(low(call.argument(1)));
  if (!wanted) return "PSCI_INVALID_PARAMETERS";
  if (wanted.state === Local.RETENTION) {
    domains.leave(pe, [Local.RETENTION, Local.RUN, Local.RUN], { mayRefuse: true });
    worlds.setPower(pe, Power.STANDBY);
    return WFI;
  }
  // Only SYSTEM_SUSPEND takes the system down: level 2 becomes level 1.
  const cluster = wanted.level >= CLUSTER_LEVEL ? Local.OFF : Local.RUN;
  return powerDown(c, [Local.OFF, cluster, Local.RUN], { entry: call.argument(2), contextId: call.argument(3) });
}

function systemSuspend(c: Context): PsciStatus | SlotExit {
  if (!isLastOn(c)) return "PSCI_DENIED";
  return powerDown(c, ALL_OFF, { entry: c.call.argument(1), contextId: c.call.argument(2) });
}

function powerDown(
  c: Context,
  wanted: States,
  { entry, contextId }: { entry: bigint; contextId: bigint },
): PsciStatus | SlotExit {
  const { pe, worlds, domains } = c;
  if (!isEntryPoint(c, entry)) return "PSCI_INVALID_ADDRESS";
  // With an interrupt pending nothing is switched off and nothing is lost.
  if (pe.mrs("ISR_EL1") !== 0n) return "PSCI_SUCCESS";
  const refused = domains.leave(pe, wanted, { mayRefuse: true });
  if (refused) return refused;
  worlds.setEntry(pe, { index: pe.index, entry, contextId });
  worlds.setPower(pe, Power.POWERDOWN);
  return WFI;
}

function setSuspendMode(c: Context): PsciStatus {
  const { pe, domains } = c;
  const mode = c.call.argument(1);
  if (mode !== MODE.PLATFORM_COORDINATED && mode !== MODE.OS_INITIATED) return "PSCI_INVALID_PARAMETERS";
  const osInitiated = mode === MODE.OS_INITIATED;
  if (osInitiated === domains.isOsInitiated(pe)) return "PSCI_SUCCESS";
  if (!isLastOn(c) && !(osInitiated && areAllOn(c))) return "PSCI_DENIED";
  domains.setOsInitiated(pe, osInitiated);
  return "PSCI_SUCCESS";
}

function nodeHwState(c: Context): PsciStatus | bigint {
  const { pe, power, worlds, domains } = c;
  const index = peOf(c, c.call.argument(1));
  const level = Number(low(c.call.argument(2)));
  if (index === undefined || level > CLUSTER_LEVEL) return "PSCI_INVALID_PARAMETERS";
  const isOn = (n: number) => ![Power.OFF, Power.POWERDOWN].includes(worlds.power(pe, n) as 0);
  const on =
    level === CPU_LEVEL
      ? isOn(index)
      : power.pes.some((other) => domains.sameCluster(index, other.index) && isOn(other.index));
  return on ? HW.ON : HW.OFF;
}

/** PSCI_STAT_COUNT and PSCI_STAT_RESIDENCY: 0 for what does not exist. */
const statistics =
  (what: "count" | "us"): PsciFunction["run"] =>
  (c) => {
    const index = peOf(c, c.call.argument(1));
    const state = decodePowerState(low(c.call.argument(2)));
    return index === undefined || !state ? 0n : c.domains.statistics(c.pe, index, state)[what];
  };

function systemOff({ power }: Context): SlotExit {
  power.stop(PSCI_SYSTEM_OFF);
  return OFF;
}

function systemReset({ power }: Context): SlotExit {
  power.requestReset(PSCI_SYSTEM_RESET);
  return OFF;
}

/** Reset type 0 is SYSTEM_WARM_RESET, which keeps memory; there are no vendor-specific types. */
function systemReset2({ call, pe, power }: Context): PsciStatus | SlotExit {
  if (low(call.argument(1)) !== 0n) return "PSCI_INVALID_PARAMETERS";
  if (power.board.memProtect) setProtected(pe, power.board.memProtect, false);
  power.requestReset(PSCI_SYSTEM_RESET);
  return OFF;
}

/** Answers what it was. */
function memProtect({ call, pe, power }: Context): PsciStatus | bigint {
  const place = power.board.memProtect;
  if (!place) return "PSCI_NOT_SUPPORTED";
  const was = isProtected(pe, place);
  setProtected(pe, place, low(call.argument(1)) !== 0n);
  return was ? 1n : 0n;
}

function memProtectCheckRange({ call, power }: Context): PsciStatus {
  const range = { base: call.argument(1), size: call.argument(2) };
  const place = power.board.memProtect;
  return place && isProtectable(place, range) ? "PSCI_SUCCESS" : "PSCI_DENIED";
}

const hasMemProtect = (board: Board): boolean => board.memProtect !== undefined;

const FUNCTIONS: readonly PsciFunction[] = [
  { name: "PSCI_VERSION", fids: [0x8400_0000], run: () => PSCI_VERSION_1_1 },
  { name: "PSCI_CPU_SUSPEND", fids: [0x8400_0001, 0xc400_0001], run: cpuSuspend, features: SUSPEND_FEATURES },
  { name: "PSCI_CPU_OFF", fids: [0x8400_0002], run: cpuOff },
  { name: "PSCI_CPU_ON", fids: [0x8400_0003, 0xc400_0003], run: cpuOn },
  { name: "PSCI_AFFINITY_INFO", fids: [0x8400_0004, 0xc400_0004], run: affinityInfo },
  { name: "PSCI_SYSTEM_OFF", fids: [0x8400_0008], run: systemOff },
  { name: "PSCI_SYSTEM_RESET", fids: [0x8400_0009], run: systemReset },
  { name: "PSCI_FEATURES", fids: [0x8400_000a], run: features },
  { name: "PSCI_NODE_HW_STATE", fids: [0x8400_000d, 0xc400_000d], run: nodeHwState },
  { name: "PSCI_SYSTEM_SUSPEND", fids: [0x8400_000e, 0xc400_000e], run: systemSuspend },
  { name: "PSCI_SET_SUSPEND_MODE", fids: [0x8400_000f], run: setSuspendMode },
  { name: "PSCI_STAT_RESIDENCY", fids: [0x8400_0010, 0xc400_0010], run: statistics("us") },
  { name: "PSCI_STAT_COUNT", fids: [0x8400_0011, 0xc400_0011], run: statistics("count") },
  { name: "PSCI_SYSTEM_RESET2", fids: [0x8400_0012, 0xc400_0012], run: systemReset2 },
  { name: "PSCI_MEM_PROTECT", fids: [0x8400_0013], run: memProtect, exists: hasMemProtect },
  {
    name: "PSCI_MEM_PROTECT_CHECK_RANGE",
    fids: [0x8400_0014, 0xc400_0014],
    run: memProtectCheckRange,
    exists: hasMemProtect,
  },
];

const BY_FID: ReadonlyMap<number, PsciFunction> = new Map(
  FUNCTIONS.flatMap((row) => row.fids.map((fid) => [fid, row] as const)),
);

const rowOf = (board: Board, fid: number): PsciFunction | undefined => {
  const row = BY_FID.get(fid);
  return row?.exists?.(board) === false ? undefined : row;
};

function features({ call, power }: Context): PsciStatus | bigint {
  const asked = low(call.argument(1));
  if (asked === SMCCC_VERSION) return 0n;
  const row = rowOf(power.board, Number(asked));
  return row ? (row.features ?? 0n) : "PSCI_NOT_SUPPORTED";
}

/** Function identifiers implemented on a board. */
export const psciCallCount = (board: Board): number =>
  [...BY_FID.keys()].filter((fid) => rowOf(board, fid) !== undefined).length;

export function psciService(parts: Parts): Service {
  const { power } = parts;
  return {
    name: "PSCI",
    ranges: [
      [0x8400_0000, 0x8400_001f],
      [0xc400_0000, 0xc400_001f],
    ],
    callers: [SecurityState.NON_SECURE],
    nameOf: (fid) => BY_FID.get(fid)?.name,
    handle(call) {
      const { pe, fid } = call;
      const row = rowOf(power.board, fid);
      const fields: TraceFields = power.trace.wants("psci")
        ? { from: "Host", x1: call.argument(1), x2: call.argument(2), x3: call.argument(3) }
        : {};
      const result = row ? row.run({ call, pe, ...parts }) : "PSCI_NOT_SUPPORTED";
      if (power.trace.wants("psci")) {
        const status = typeof result === "object" ? result.kind : result;
        power.trace.emit({
          category: "psci",
          name: row?.name ?? `PSCI 0x${fid.toString(16)}`,
          fields: { ...fields, status },
        });
      }
      if (typeof result === "object") return result;
      return returnValue(pe, typeof result === "string" ? psciCode(result) : result);
    },
  };
}

/** The wake-up of a PE that CPU_SUSPEND or SYSTEM_SUSPEND put to sleep. `restart` enters the Non-secure world anew. */
export function wakeUp(pe: Pe, { worlds, domains }: Omit<Parts, "power">, restart: () => void): SlotExit {
  const state = worlds.power(pe);
  worlds.setPower(pe, Power.ON);
  domains.enter(pe);
  if (state === Power.POWERDOWN) {
    restart();
    return ERET;
  }
  pe.r[R.X0] = psciCode("PSCI_SUCCESS");
  return ERET;
}
