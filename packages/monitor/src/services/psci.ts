/**
 * PSCI 1.1 for the Host. DEN0022, "PSCI functions"; orders of checks as in TF-A's PSCI library.
 *
 * A PE's power state is in its context granule. CPU_ON makes a PE start at EL3; it brings up its RMM context first
 * (boot.ts) and then enters the Non-secure world where it was told to.
 *
 * @spec DEN0022 1.1, "functions": partial: the optional MIGRATE, SYSTEM_SUSPEND, SET_SUSPEND_MODE, STAT_RESIDENCY,
 *   STAT_COUNT, MEM_PROTECT and MEM_PROTECT_CHECK_RANGE answer NOT_SUPPORTED
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
import { Power } from "../memory-map.js";
import type { Worlds } from "../world.js";
import { returnValue, type Service, type SmcCall, type TraceFields } from "./service.js";

/** What PSCI needs of the machine. */
export interface PowerControl {
  readonly board: Board;
  readonly pes: readonly Pick<Pe, "index" | "mpidr">[];
  readonly trace: Trace;
  startPe(index: number): void;
  stop(reason: string): void;
}

/** Reasons with which the run ends. */
export const PSCI_SYSTEM_OFF = "PSCI_SYSTEM_OFF";
export const PSCI_SYSTEM_RESET = "PSCI_SYSTEM_RESET";

interface Context {
  readonly call: SmcCall;
  readonly pe: Pe;
  readonly power: PowerControl;
  readonly worlds: Worlds;
}

interface PsciFunction {
  readonly name: string;
  readonly fids: readonly number[];
  /** The answer, or the exit when the function does not simply return. */
  readonly run: (c: Context) => PsciStatus | bigint | SlotExit;
  /** PSCI_FEATURES' answer for it; 0 when absent. */
  readonly features?: bigint;
}

/** The affinity bits of MPIDR_EL1; everything else of a target argument must be zero. */
const AFFINITY_MASK = 0xff_00ff_ffffn;

/** power_state in the original format: StateID 15:0, type 16 (1: powerdown), level 25:24. */
const POWER_STATE = { TYPE: 1n << 16n, LEVEL: 3n << 24n, RES0: 0xfcfe_0000n };
const LEVEL_MAX = 2n;

/** PSCI_NODE_HW_STATE's answers. */
const HW = { ON: 0n, OFF: 1n, STANDBY: 2n };

const peOf = ({ power }: Context, target: bigint): number | undefined => {
  if ((target & ~AFFINITY_MASK) !== 0n) return undefined;
  return power.pes.find(({ mpidr }) => packAffinity(mpidr) === packAffinity(target))?.index;
};

/** Where a PE may start: in the Host's memory. */
const isHostMemory = ({ power }: Context, pa: bigint): boolean =>
  power.board.dram.some(({ base, size }) => pa >= base && pa < base + size);

function cpuOn(c: Context): PsciStatus {
  const { call, pe, worlds } = c;
  const index = peOf(c, call.argument(1));
  const entry = call.argument(2);
  if (index === undefined) return "PSCI_INVALID_PARAMETERS";
  if (!isHostMemory(c, entry)) return "PSCI_INVALID_ADDRESS";
  const state = worlds.power(pe, index);
  if (state === Power.ON_PENDING) return "PSCI_ON_PENDING";
  if (state !== Power.OFF) return "PSCI_ALREADY_ON";
  worlds.setEntry(pe, { index, entry, contextId: call.argument(3) });
  worlds.setPower(pe, Power.ON_PENDING, index);
  c.power.startPe(index);
  return "PSCI_SUCCESS";
}

/** The caller's PE goes off; it starts anew with CPU_ON. */
function cpuOff({ pe, worlds }: Context): SlotExit {
  worlds.setPower(pe, Power.OFF);
  return OFF;
}

function affinityInfo(c: Context): PsciStatus | bigint {
  const index = peOf(c, c.call.argument(1));
  if (index === undefined || c.call.argument(2) !== 0n) return "PSCI_INVALID_PARAMETERS";
  const state = c.worlds.power(c.pe, index);
  if (state === Power.OFF) return PSCI_AFFINITY.OFF;
  return state === Power.ON_PENDING ? PSCI_AFFINITY.ON_PENDING : PSCI_AFFINITY.ON;
}

/** Standby returns here after the wake-up; powerdown loses the context and goes on at the entry point. */
function cpuSuspend(c: Context): PsciStatus | SlotExit {
  const { call, pe, worlds } = c;
  const powerState = call.argument(1);
  if ((powerState & ~0xffff_ffffn) !== 0n || (powerState & POWER_STATE.RES0) !== 0n) return "PSCI_INVALID_PARAMETERS";
  if ((powerState & POWER_STATE.LEVEL) >> 24n > LEVEL_MAX) return "PSCI_INVALID_PARAMETERS";
  if ((powerState & POWER_STATE.TYPE) === 0n) {
    worlds.setPower(pe, Power.STANDBY);
    return WFI;
  }
  const entry = call.argument(2);
  if (!isHostMemory(c, entry)) return "PSCI_INVALID_ADDRESS";
  worlds.setEntry(pe, { index: pe.index, entry, contextId: call.argument(3) });
  worlds.setPower(pe, Power.POWERDOWN);
  return WFI;
}

function nodeHwState(c: Context): PsciStatus | bigint {
  const index = peOf(c, c.call.argument(1));
  if (index === undefined || c.call.argument(2) !== 0n) return "PSCI_INVALID_PARAMETERS";
  switch (c.worlds.power(c.pe, index)) {
    case Power.OFF:
    case Power.POWERDOWN:
      return HW.OFF;
    case Power.STANDBY:
      return HW.STANDBY;
  }
  return HW.ON;
}

function system(reason: string): PsciFunction["run"] {
  return ({ power }) => {
    power.stop(reason);
    return OFF;
  };
}

function features({ call }: Context): PsciStatus | bigint {
  const asked = call.argument(1);
  if (asked === SMCCC_VERSION) return 0n;
  return BY_FID.get(Number(asked & 0xffff_ffffn))?.features ?? "PSCI_NOT_SUPPORTED";
}

const FUNCTIONS: readonly PsciFunction[] = [
  { name: "PSCI_VERSION", fids: [0x8400_0000], run: () => PSCI_VERSION_1_1 },
  // 0: original power_state format, no OS-initiated mode.
  { name: "PSCI_CPU_SUSPEND", fids: [0x8400_0001, 0xc400_0001], run: cpuSuspend },
  { name: "PSCI_CPU_OFF", fids: [0x8400_0002], run: cpuOff },
  { name: "PSCI_CPU_ON", fids: [0x8400_0003, 0xc400_0003], run: cpuOn },
  { name: "PSCI_AFFINITY_INFO", fids: [0x8400_0004, 0xc400_0004], run: affinityInfo },
  // 2: there is no Trusted OS, or it needs no migration.
  { name: "PSCI_MIGRATE_INFO_TYPE", fids: [0x8400_0006], run: () => 2n },
  { name: "PSCI_SYSTEM_OFF", fids: [0x8400_0008], run: system(PSCI_SYSTEM_OFF) },
  { name: "PSCI_SYSTEM_RESET", fids: [0x8400_0009], run: system(PSCI_SYSTEM_RESET) },
  { name: "PSCI_FEATURES", fids: [0x8400_000a], run: features },
  { name: "PSCI_NODE_HW_STATE", fids: [0x8400_000d, 0xc400_000d], run: nodeHwState },
  {
    name: "PSCI_SYSTEM_RESET2",
    fids: [0x8400_0012, 0xc400_0012],
    // Reset type 0 is SYSTEM_WARM_RESET; there are no vendor-specific types.
    run: (c) => (c.call.argument(1) === 0n ? system(PSCI_SYSTEM_RESET)(c) : "PSCI_INVALID_PARAMETERS"),
  },
];

const BY_FID: ReadonlyMap<number, PsciFunction & { readonly features: bigint }> = new Map(
  FUNCTIONS.flatMap((row) => row.fids.map((fid) => [fid, { features: 0n, ...row }] as const)),
);

/** Function identifiers implemented. */
export const PSCI_CALL_COUNT = BY_FID.size;

export function psciService(power: PowerControl, worlds: Worlds): Service {
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
      const row = BY_FID.get(fid);
      const fields: TraceFields = power.trace.wants("psci")
        ? { from: "Host", x1: call.argument(1), x2: call.argument(2), x3: call.argument(3) }
        : {};
      const result = row ? row.run({ call, pe, power, worlds }) : "PSCI_NOT_SUPPORTED";
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

/** The wake-up of a PE that CPU_SUSPEND put to sleep. `restart` enters the Non-secure world anew. */
export function wakeUp(pe: Pe, worlds: Worlds, restart: () => void): SlotExit {
  const state = worlds.power(pe);
  worlds.setPower(pe, Power.ON);
  if (state === Power.POWERDOWN) {
    restart();
    return ERET;
  }
  pe.r[R.X0] = psciCode("PSCI_SUCCESS");
  return ERET;
}
