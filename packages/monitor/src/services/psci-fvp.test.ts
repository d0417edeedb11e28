/** PSCI on the board `fvp`: what TF-A v2.12 has there beyond the minimum. Scripted Hosts. */
import { fvpBoard, OFF, type Pe, R } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { answering, run, type Script, smc, systemOff } from "../harness.oracle.js";

const FID = {
  CPU_SUSPEND: 0xc400_0001n,
  CPU_OFF: 0x8400_0002n,
  CPU_ON: 0xc400_0003n,
  AFFINITY_INFO: 0xc400_0004n,
  FEATURES: 0x8400_000an,
  NODE_HW_STATE: 0xc400_000dn,
  SYSTEM_SUSPEND: 0xc400_000en,
  SET_SUSPEND_MODE: 0x8400_000fn,
  STAT_RESIDENCY: 0xc400_0010n,
  STAT_COUNT: 0xc400_0011n,
  MEM_PROTECT: 0x8400_0013n,
  MEM_PROTECT_CHECK_RANGE: 0xc400_0014n,
};
const SUCCESS = 0n;
const ERROR = {
  NOT_SUPPORTED: BigInt.asUintN(64, -1n),
  INVALID_PARAMETERS: BigInt.asUintN(64, -2n),
  DENIED: BigInt.asUintN(64, -3n),
  INVALID_ADDRESS: BigInt.asUintN(64, -9n),
};
const ENTRY = 0x8800_0000n;
const HW = { ON: 0n, OFF: 1n };
const STATE = { standby: 0n, core: 1n << 16n, cluster: (1n << 16n) | (1n << 24n), system: (1n << 16n) | (2n << 24n) };
const NOBODY = 0x2_0000n;

/** CNTHP fires `ticks` from now; its PPI is enabled and not masked. */
function armTimer(pe: Pe, ticks: bigint): void {
  const frame = 0x2f10_0000n + 0x2_0000n * BigInt(pe.index);
  pe.port(1).copyOut(frame + 0x1_0100n, Uint8Array.of(0, 0, 0, 1 << 2)); // INTID 26
  pe.msr("ICC_PMR_EL1", 0xf8n);
  pe.msr("ICC_IGRPEN1_EL1", 1n);
  pe.r[R.CNTHP_CVAL_EL2] = pe.mrs("CNTPCT_EL0") + ticks;
  pe.r[R.CNTHP_CTL_EL2] = 1n;
}

const disarmTimer = (pe: Pe): void => {
  pe.r[R.CNTHP_CTL_EL2] = 0n;
};

/** Plays a script on PE 0 of the board, another on the PEs that it starts. */
function play(script: Script, secondary: Script = parked): void {
  const result = run({
    board: fvpBoard({ frameBytes: 16 << 20 }),
    rmm: answering(() => [0n]),
    host: (pe) => (pe.index === 0 ? script(pe) : secondary(pe)),
  });
  expect(result.end).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
}

/** Turns itself off at once. */
const parked: Script = function* (pe) {
  yield* smc(pe, FID.CPU_OFF);
  return OFF;
};

function* call(pe: Pe, ...values: bigint[]) {
  return (yield* smc(pe, ...values))[0]!;
}

/** Waits until a PE is off. */
function* untilOff(pe: Pe, mpidr: bigint) {
  while ((yield* call(pe, FID.AFFINITY_INFO, mpidr, 0n)) !== 1n);
}

test("SMCCC_ARCH_SOC_ID", () => {
  play(function* (pe) {
    const answers: bigint[] = [];
    for (const call of [
      [0x8000_0001n, 0x8000_0002n],
      [0x8000_0002n, 0n],
      [0x8000_0002n, 1n],
      [0x8000_0002n, 2n],
    ] as const)
      answers.push((yield* smc(pe, ...call))[0]!);
    expect(answers).toEqual([0n, 0x043b_0000n, 2n, BigInt.asUintN(64, -3n)]);
    return yield* systemOff(pe);
  });
});

test.each([
  ["no such PE", [FID.NODE_HW_STATE, NOBODY, 0n], ERROR.INVALID_PARAMETERS],
  ["the system", [FID.NODE_HW_STATE, 0n, 2n], ERROR.INVALID_PARAMETERS],
  ["suspend mode 2", [FID.SET_SUSPEND_MODE, 2n], ERROR.INVALID_PARAMETERS],
  ["suspend mode as it is", [FID.SET_SUSPEND_MODE, 0n], SUCCESS],
  ["StateID that is not zero", [FID.CPU_SUSPEND, 1n], ERROR.INVALID_PARAMETERS],
  ["standby of a cluster", [FID.CPU_SUSPEND, 1n << 24n], ERROR.INVALID_PARAMETERS],
  ["powerdown of level 3", [FID.CPU_SUSPEND, (1n << 16n) | (3n << 24n), ENTRY], ERROR.INVALID_PARAMETERS],
  ["system suspend to nowhere", [FID.SYSTEM_SUSPEND, 0n], ERROR.INVALID_ADDRESS],
  ["an odd entry point", [FID.CPU_ON, 0x100n, ENTRY + 1n], ERROR.INVALID_ADDRESS],
  ["statistics of no PE", [FID.STAT_COUNT, NOBODY, STATE.core], 0n],
  ["statistics of no state", [FID.STAT_COUNT, 0n, 3n << 24n], 0n],
  ["MEM_PROTECT exists", [FID.FEATURES, FID.MEM_PROTECT], SUCCESS],
  ["a range that is protected", [FID.MEM_PROTECT_CHECK_RANGE, 0x8c00_0000n, 0x4000_0000n], SUCCESS],
  ["the last byte", [FID.MEM_PROTECT_CHECK_RANGE, 0xfbff_ffffn, 1n], SUCCESS],
  ["past the end", [FID.MEM_PROTECT_CHECK_RANGE, 0xfbff_ffffn, 2n], ERROR.DENIED],
  ["before the start", [FID.MEM_PROTECT_CHECK_RANGE, 0x8bff_ffffn, 2n], ERROR.DENIED],
  ["an empty range", [FID.MEM_PROTECT_CHECK_RANGE, 0x9000_0000n, 0n], ERROR.DENIED],
  ["a range that wraps", [FID.MEM_PROTECT_CHECK_RANGE, 0x9000_0000n, 0xffff_ffff_ffff_ffffn], ERROR.DENIED],
] as const)("%s", (_, values, answer) => {
  play(function* (pe) {
    expect(yield* call(pe, ...values)).toBe(answer);
    return yield* systemOff(pe);
  });
});

describe("NODE_HW_STATE", () => {
  test("a PE, and a cluster that is on while one of its PEs is", () => {
    const seen: bigint[] = [];
    play(function* (pe) {
      const states = function* () {
        for (const [mpidr, level] of [
          [0x0n, 0n],
          [0x0n, 1n],
          [0x1_0100n, 0n],
          [0x1_0000n, 1n],
        ] as const)
          seen.push(yield* call(pe, FID.NODE_HW_STATE, mpidr, level));
      };
      yield* states();
      yield* call(pe, FID.CPU_ON, 0x1_0100n, ENTRY, 0n);
      yield* states();
      yield* untilOff(pe, 0x1_0100n);
      yield* states();
      return yield* systemOff(pe);
    });
    const alone = [HW.ON, HW.ON, HW.OFF, HW.OFF];
    expect(seen).toEqual([...alone, HW.ON, HW.ON, HW.ON, HW.ON, ...alone]);
  });
});

describe("STAT_COUNT and STAT_RESIDENCY", () => {
  /** Counts of the states of a PE and of its domains. */
  function* counts(pe: Pe, mpidr: bigint) {
    const found: bigint[] = [];
    for (const state of Object.values(STATE)) found.push(yield* call(pe, FID.STAT_COUNT, mpidr, state));
    return found;
  }

  test("standby and powerdown of a PE; its cluster goes off with its last PE only", () => {
    let starts = 0;
    play(function* (pe) {
      if (starts++ === 0) {
        expect(yield* counts(pe, 0n)).toEqual([0n, 0n, 0n, 0n]);
        armTimer(pe, 10_050n);
        expect(yield* call(pe, FID.CPU_SUSPEND, STATE.standby)).toBe(SUCCESS);
        disarmTimer(pe);
        expect(yield* counts(pe, 0n)).toEqual([1n, 0n, 0n, 0n]);
        expect(yield* call(pe, FID.STAT_RESIDENCY, 0n, STATE.standby)).toBe(100n); // 10,000 ticks and some
        // Alone in its cluster, it takes the cluster down.
        armTimer(pe, 200_050n);
        yield* call(pe, FID.CPU_SUSPEND, STATE.cluster, ENTRY, 0n);
        throw new Error("powerdown does not return");
      }
      disarmTimer(pe);
      if (starts === 2) {
        expect(yield* counts(pe, 0n)).toEqual([1n, 1n, 1n, 0n]);
        expect(yield* call(pe, FID.STAT_RESIDENCY, 0n, STATE.core)).toBe(2000n);
        expect(yield* call(pe, FID.STAT_RESIDENCY, 0x300n, STATE.cluster)).toBe(2000n);
        // Only the PE.
        armTimer(pe, 1000n);
        yield* call(pe, FID.CPU_SUSPEND, STATE.core, ENTRY, 0n);
      }
      if (starts === 3) {
        expect(yield* counts(pe, 0n)).toEqual([1n, 2n, 1n, 0n]);
        // The system, by a call of its own; CPU_SUSPEND's level 2 is level 1.
        armTimer(pe, 1000n);
        yield* call(pe, FID.SYSTEM_SUSPEND, ENTRY, 0n);
      }
      if (starts === 4) {
        expect(yield* counts(pe, 0n)).toEqual([1n, 3n, 2n, 1n]);
        armTimer(pe, 1000n);
        yield* call(pe, FID.CPU_SUSPEND, STATE.system, ENTRY, 0n);
      }
      expect(yield* counts(pe, 0n)).toEqual([1n, 4n, 3n, 1n]);
      expect(yield* counts(pe, 0x1_0000n)).toEqual([0n, 0n, 0n, 1n]);
      return yield* systemOff(pe);
    });
    expect(starts).toBe(5);
  });

  test("CPU_OFF and CPU_ON count; the other cluster goes off with its last PE", () => {
    play(function* (pe) {
      for (let n = 1n; n <= 3n; n++) {
        yield* call(pe, FID.CPU_ON, 0x1_0000n, ENTRY, 0n);
        yield* untilOff(pe, 0x1_0000n);
        // Each start counts the time before it; the first found a cluster that nobody had left.
        expect(yield* counts(pe, 0x1_0000n)).toEqual([0n, n, n - 1n, 0n]);
      }
      return yield* systemOff(pe);
    });
  });
});

describe("suspends", () => {
  test("with an interrupt pending nothing is switched off and nothing is lost", () => {
    play(function* (pe) {
      armTimer(pe, 1n << 40n);
      pe.port(1).copyOut(0x2f11_0200n, Uint8Array.of(0, 0, 0, 1 << 2)); // GICR_ISPENDR0: INTID 26
      pe.r[R.HCR_EL2] = 0x10n;
      expect(pe.mrs("ISR_EL1")).not.toBe(0n);
      expect(yield* call(pe, FID.CPU_SUSPEND, STATE.core, ENTRY, 0n)).toBe(SUCCESS);
      expect(yield* call(pe, FID.SYSTEM_SUSPEND, ENTRY, 0n)).toBe(SUCCESS);
      expect(pe.r[R.HCR_EL2]).toBe(0x10n);
      return yield* systemOff(pe);
    });
  });

  test("SYSTEM_SUSPEND is for the last PE", () => {
    play(function* (pe) {
      yield* call(pe, FID.CPU_ON, 0x100n, ENTRY, 0n);
      expect(yield* call(pe, FID.SYSTEM_SUSPEND, ENTRY, 0n)).toBe(ERROR.DENIED);
      yield* untilOff(pe, 0x100n);
      return yield* systemOff(pe);
    });
  });

  test("OS-initiated mode: the last PE of a cluster takes it down, the others say nothing about it", () => {
    const other = 0x100n;
    let starts = 0;
    play(
      function* (pe) {
        if (starts++ === 0) {
          expect(yield* call(pe, FID.SET_SUSPEND_MODE, 1n)).toBe(SUCCESS);
          yield* call(pe, FID.CPU_ON, other, ENTRY, 0n);
          while ((yield* call(pe, FID.AFFINITY_INFO, other, 0n)) !== 0n);
          // The other PE is in a suspend of its own level by now.
          while ((yield* call(pe, FID.NODE_HW_STATE, other, 0n)) !== HW.OFF);
          armTimer(pe, 1000n);
          yield* call(pe, FID.CPU_SUSPEND, STATE.cluster, ENTRY, 0n);
        }
        disarmTimer(pe);
        expect(yield* call(pe, FID.STAT_COUNT, other, STATE.cluster)).toBe(1n);
        return yield* systemOff(pe);
      },
      function* (pe) {
        armTimer(pe, 1n << 40n);
        yield* call(pe, FID.CPU_SUSPEND, STATE.core, ENTRY, 0n);
        return OFF;
      },
    );
    expect(starts).toBe(2);
  });

  test("OS-initiated mode: a request that others do not allow is refused", () => {
    let starts = 0;
    play(
      function* (pe) {
        if (starts++ === 0) {
          expect(yield* call(pe, FID.SET_SUSPEND_MODE, 1n)).toBe(SUCCESS);
          yield* call(pe, FID.CPU_ON, 0x100n, ENTRY, 0n);
          expect(yield* call(pe, FID.SET_SUSPEND_MODE, 0n)).toBe(ERROR.DENIED);
          while ((yield* call(pe, FID.AFFINITY_INFO, 0x100n, 0n)) !== 0n);
          expect(yield* call(pe, FID.CPU_SUSPEND, STATE.cluster, ENTRY, 0n)).toBe(ERROR.DENIED);
          yield* untilOff(pe, 0x100n);
          armTimer(pe, 1000n);
          yield* call(pe, FID.CPU_SUSPEND, STATE.cluster, ENTRY, 0n);
        }
        disarmTimer(pe);
        expect(yield* call(pe, FID.SET_SUSPEND_MODE, 0n)).toBe(SUCCESS);
        return yield* systemOff(pe);
      },
      function* (pe) {
        // Long enough for the other PE to see this one on.
        for (let n = 0; n < 20_000; n++) yield* smc(pe, 0x8400_0000n);
        return yield* parked(pe);
      },
    );
    expect(starts).toBe(2);
  });
});
