import { OFF, R, SMC } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { answering, DRAM, run, type Script, smc, systemOff } from "../harness.oracle.js";

const ERROR = {
  NOT_SUPPORTED: BigInt.asUintN(64, -1n),
  INVALID_PARAMETERS: BigInt.asUintN(64, -2n),
  ALREADY_ON: BigInt.asUintN(64, -4n),
  ON_PENDING: BigInt.asUintN(64, -5n),
  INVALID_ADDRESS: BigInt.asUintN(64, -9n),
};
const FID = {
  VERSION: 0x8400_0000n,
  CPU_SUSPEND: 0xc400_0001n,
  CPU_OFF: 0x8400_0002n,
  CPU_ON: 0xc400_0003n,
  CPU_ON_32: 0x8400_0003n,
  AFFINITY_INFO: 0xc400_0004n,
  SYSTEM_RESET: 0x8400_0009n,
  FEATURES: 0x8400_000an,
  NODE_HW_STATE: 0xc400_000dn,
  SYSTEM_RESET2: 0xc400_0012n,
};
const ENTRY = DRAM.base;

/** Plays calls on PE 0 and returns their X0. */
function play(calls: readonly (readonly bigint[])[], options: { peCount?: number; secondary?: Script } = {}): bigint[] {
  const results: bigint[] = [];
  run({
    peCount: options.peCount ?? 1,
    rmm: answering(() => [0n]),
    host: function* (pe) {
      if (pe.index !== 0) return yield* options.secondary!(pe);
      for (const call of calls) results.push((yield* smc(pe, ...call))[0]!);
      return yield* systemOff(pe);
    },
  });
  return results;
}

/** A PE that turns itself off at once. */
const parked: Script = function* (pe) {
  yield* smc(pe, FID.CPU_OFF);
  return OFF;
};

test.each([
  { asked: "SMCCC_VERSION", fid: 0x8000_0000n, answer: 0n },
  { asked: "PSCI_VERSION", fid: 0x8400_0000n, answer: 0n },
  { asked: "CPU_SUSPEND: OS-initiated mode", fid: 0xc400_0001n, answer: 1n },
  { asked: "CPU_OFF", fid: 0x8400_0002n, answer: 0n },
  { asked: "CPU_OFF as SMC64", fid: 0xc400_0002n, answer: ERROR.NOT_SUPPORTED },
  { asked: "CPU_ON", fid: 0xc400_0003n, answer: 0n },
  { asked: "AFFINITY_INFO", fid: 0x8400_0004n, answer: 0n },
  { asked: "MIGRATE", fid: 0x8400_0005n, answer: ERROR.NOT_SUPPORTED },
  { asked: "SYSTEM_OFF", fid: 0x8400_0008n, answer: 0n },
  { asked: "SYSTEM_RESET2", fid: 0xc400_0012n, answer: 0n },
  { asked: "MIGRATE_INFO_TYPE", fid: 0x8400_0006n, answer: ERROR.NOT_SUPPORTED },
  { asked: "SYSTEM_SUSPEND", fid: 0xc400_000en, answer: 0n },
  { asked: "SET_SUSPEND_MODE", fid: 0x8400_000fn, answer: 0n },
  { asked: "STAT_COUNT", fid: 0xc400_0011n, answer: 0n },
  { asked: "MEM_PROTECT on a board without a place for its state", fid: 0x8400_0013n, answer: ERROR.NOT_SUPPORTED },
  { asked: "RMI_VERSION", fid: 0xc400_0150n, answer: ERROR.NOT_SUPPORTED },
])("PSCI_FEATURES of $asked", ({ fid, answer }) => {
  expect(play([[FID.FEATURES, fid]])).toEqual([answer]);
});

// DEN0022, "CPU_ON": each row breaks one rule; the rules are checked in this order.
test.each([
  { rule: "MPIDR of no PE", call: [FID.CPU_ON, 7n, ENTRY], answer: ERROR.INVALID_PARAMETERS },
  {
    rule: "a bit outside of the affinity fields",
    call: [FID.CPU_ON, 0x100_0000_0001n, ENTRY],
    answer: ERROR.INVALID_PARAMETERS,
  },
  { rule: "none: an MPIDR as it reads", call: [FID.CPU_ON, 0x8100_0001n, ENTRY], answer: 0n },
  { rule: "no PE, and a bad address", call: [FID.CPU_ON, 7n, 0n], answer: ERROR.INVALID_PARAMETERS },
  { rule: "entry in the Root carve-out", call: [FID.CPU_ON, 1n, 0n], answer: ERROR.INVALID_ADDRESS },
  { rule: "entry in the Realm carve-out", call: [FID.CPU_ON, 1n, 0x4000_0000n], answer: ERROR.INVALID_ADDRESS },
  { rule: "entry past DRAM", call: [FID.CPU_ON, 1n, DRAM.base + DRAM.size], answer: ERROR.INVALID_ADDRESS },
  { rule: "the caller itself", call: [FID.CPU_ON, 0n, ENTRY], answer: ERROR.ALREADY_ON },
  { rule: "the caller itself, bad address", call: [FID.CPU_ON, 0n, 0n], answer: ERROR.INVALID_ADDRESS },
  { rule: "SMC32 truncates its arguments", call: [FID.CPU_ON_32, 0xffff_ffff_0000_0001n, ENTRY], answer: 0n },
  { rule: "none", call: [FID.CPU_ON, 1n, ENTRY], answer: 0n },
])("PSCI_CPU_ON, rule broken: $rule", ({ call, answer }) => {
  expect(
    play([call], {
      peCount: 2,
      secondary: parked,
    }),
  ).toEqual([answer]);
});

test("PSCI_CPU_ON twice: pending, then on", () => {
  const results = play(
    [
      [FID.AFFINITY_INFO, 1n, 0n],
      [FID.CPU_ON, 1n, ENTRY],
      [FID.AFFINITY_INFO, 1n, 0n],
      [FID.CPU_ON, 1n, ENTRY],
    ],
    {
      peCount: 2,
      secondary: parked,
    },
  );
  // The other PE has not had its turn.
  expect(results).toEqual([1n, 0n, 2n, ERROR.ON_PENDING]);
});

test("a PE that is on is ALREADY_ON, and OFF after CPU_OFF", () => {
  const seen: bigint[] = [];
  run({
    peCount: 2,
    host: function* (pe) {
      if (pe.index === 1) {
        seen.push((yield* smc(pe, FID.CPU_ON, 0n, ENTRY))[0]!, (yield* smc(pe, FID.AFFINITY_INFO, 0n, 0n))[0]!);
        yield* smc(pe, FID.CPU_OFF);
      }
      yield* smc(pe, FID.CPU_ON, 1n, ENTRY, 0n);
      while ((yield* smc(pe, FID.AFFINITY_INFO, 1n, 0n))[0] !== 1n);
      seen.push((yield* smc(pe, FID.NODE_HW_STATE, 1n, 0n))[0]!, (yield* smc(pe, FID.NODE_HW_STATE, 0n, 0n))[0]!);
      return yield* systemOff(pe);
    },
  });
  expect(seen).toEqual([ERROR.ALREADY_ON, 0n, 1n, 0n]);
});

test.each([
  { rule: "level above 0", call: [FID.AFFINITY_INFO, 0n, 1n], answer: ERROR.INVALID_PARAMETERS },
  { rule: "no such PE", call: [FID.AFFINITY_INFO, 0x100n, 0n], answer: ERROR.INVALID_PARAMETERS },
  { rule: "the caller", call: [FID.AFFINITY_INFO, 0n, 0n], answer: 0n },
])("PSCI_AFFINITY_INFO: $rule", ({ call, answer }) => {
  expect(play([call])).toEqual([answer]);
});

describe("PSCI_CPU_SUSPEND", () => {
  test.each([
    { rule: "reserved bit", call: [FID.CPU_SUSPEND, 1n << 17n], answer: ERROR.INVALID_PARAMETERS },
    { rule: "level 3", call: [FID.CPU_SUSPEND, 3n << 24n], answer: ERROR.INVALID_PARAMETERS },
    { rule: "powerdown with a bad entry", call: [FID.CPU_SUSPEND, 1n << 16n, 0n], answer: ERROR.INVALID_ADDRESS },
  ])("$rule", ({ call, answer }) => {
    expect(play([call])).toEqual([answer]);
  });

  /** CNTHP fires 50 ticks from now; its PPI is enabled and not masked. */
  const armTimer: (...args: Parameters<Script>) => void = (pe) => {
    pe.port(1).copyOut(0x2f11_0100n, Uint8Array.of(0, 0, 0, 1 << 2)); // INTID 26
    pe.msr("ICC_PMR_EL1", 0xf8n);
    pe.msr("ICC_IGRPEN1_EL1", 1n);
    pe.r[R.CNTHP_CVAL_EL2] = 50n;
    pe.r[R.CNTHP_CTL_EL2] = 1n;
  };

  test("standby returns with SUCCESS when an interrupt is pending; registers are kept", () => {
    const seen: bigint[] = [];
    const { machine } = run({
      host: function* (pe) {
        armTimer(pe);
        pe.r[R.X0 + 20] = 0x1234n;
        pe.r[R.HCR_EL2] = 0x10n;
        seen.push(...(yield* smc(pe, FID.CPU_SUSPEND, 0n)).slice(0, 1), pe.r[R.X0 + 20]!, pe.r[R.HCR_EL2]!);
        return yield* systemOff(pe);
      },
    });
    expect(seen).toEqual([0n, 0x1234n, 0x10n]);
    expect(machine.ticks).toBeGreaterThanOrEqual(50);
  });

  test("powerdown goes on at the entry point with the context id, EL2 as after a reset; the RMM keeps its context", () => {
    const seen: unknown[] = [];
    let starts = 0;
    run({
      rmm: answering((pe) => [pe.r[R.X0 + 1]! + 1n]),
      host: function* (pe) {
        if (starts++ === 0) {
          seen.push((yield* smc(pe, 0xc400_0150n, 1n))[0]!);
          armTimer(pe);
          pe.r[R.HCR_EL2] = 0x10n;
          yield* smc(pe, FID.CPU_SUSPEND, 1n << 16n, ENTRY + 0x40n, 0x99n);
          throw new Error("powerdown does not return");
        }
        seen.push(pe.r[R.PC], pe.r[R.X0], pe.r[R.HCR_EL2], pe.pstate);
        seen.push((yield* smc(pe, 0xc400_0150n, 5n))[0]!);
        return yield* systemOff(pe);
      },
    });
    expect(seen).toEqual([2n, ENTRY + 0x40n, 0x99n, 0n, 0x3c9n, 6n]);
  });
});

test.each([
  { name: "SYSTEM_RESET", call: [FID.SYSTEM_RESET], end: "PSCI_SYSTEM_RESET" },
  { name: "SYSTEM_RESET2, warm", call: [FID.SYSTEM_RESET2, 0n], end: "PSCI_SYSTEM_RESET" },
])("PSCI_$name ends the run", ({ call, end }) => {
  const result = run({
    host: function* (pe) {
      call.forEach((value, n) => {
        pe.r[R.X0 + n] = value;
      });
      yield SMC;
      throw new Error("does not return");
    },
  });
  expect(result.end).toEqual({ kind: "stopped", reason: end });
});
