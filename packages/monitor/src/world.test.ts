import { RMM_EL3_FID } from "@realmbox/abi";
import { type Pe, R, SMC } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { answering, bootingRmm, run, smc, systemOff } from "./harness.oracle.js";

const RMI = 0xc400_0151n;
const SVE_HINT = 1n << 16n;

/** Registers that EL3 swaps with the world (SP is SP_EL2 there), and ones that it leaves to the RMM. */
const SWAPPED = [
  ...["SP", "SCTLR_EL2", "ACTLR_EL2", "AFSR0_EL2", "AFSR1_EL2", "AMAIR_EL2", "CNTVOFF_EL2", "CNTPOFF_EL2"],
  ...["CPTR_EL2", "ELR_EL2", "ESR_EL2", "FAR_EL2", "HACR_EL2", "HPFAR_EL2", "HSTR_EL2", "MAIR_EL2", "MDCR_EL2"],
  ...["SPSR_EL2", "TCR_EL2", "TPIDR_EL2", "TTBR0_EL2", "TTBR1_EL2", "CONTEXTIDR_EL2", "VBAR_EL2", "VMPIDR_EL2"],
  ...["VPIDR_EL2", "VTCR_EL2", "VTTBR_EL2", "VDISR_EL2", "VSESR_EL2", "SCXTNUM_EL2", "CNTHCTL_EL2", "HCR_EL2"],
  ...["SP_EL0", "APIAKeyLo_EL1", "APIBKeyHi_EL1", "APGAKeyHi_EL1", "ICH_HCR_EL2", "ICH_VMCR_EL2"],
] as (keyof typeof R)[];
const LEFT_ALONE = [
  ...["SP_EL1", "ELR_EL1", "SPSR_EL1", "SCTLR_EL1", "TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1", "TPIDR_EL1", "TPIDR_EL0"],
  ...["CPACR_EL1", "CNTKCTL_EL1", "CNTV_CVAL_EL0", "CNTP_CVAL_EL0", "CNTHP_CVAL_EL2", "CNTHV_CVAL_EL2"],
  ...["ICH_LR0", "ICH_LR15", "ICH_AP0R0_EL2", "ICH_AP1R0_EL2", "V0", "V63", "FPCR"],
] as (keyof typeof R)[];

/** Distinct values that mean nothing harmful: a multiple of 0x10000 in each register. */
const mark = (pe: Pe, names: readonly (keyof typeof R)[], world: bigint) => {
  names.forEach((name, n) => {
    pe.r[R[name]] = (world << 40n) | (BigInt(n + 1) << 20n);
  });
};
const marks = (pe: Pe, names: readonly (keyof typeof R)[]) => names.map((name) => pe.r[R[name]]! >> 40n);
const HOST = 0xaaan;
const RMM = 0xbbbn;

describe("the world switch of an RMI command", () => {
  const seen: Record<string, unknown> = {};
  const { machine, end } = run({
    rmm: bootingRmm(function* (pe) {
      for (let call = 0; ; call++) {
        seen[`arguments${call}`] = Array.from({ length: 31 }, (_, n) => pe.r[R.X0 + n]!);
        seen[`rmm swapped${call}`] = marks(pe, SWAPPED);
        seen[`rmm left${call}`] = marks(pe, LEFT_ALONE);
        seen[`rmm nzcv${call}`] = pe.nzcv;
        mark(pe, SWAPPED, RMM);
        mark(pe, LEFT_ALONE, RMM);
        for (let n = 0; n < 31; n++) pe.r[R.X0 + n] = 0x7000n + BigInt(n);
        pe.nzcv = 0x3000_0000n;
        pe.r[R.X0] = RMM_EL3_FID.RMI_REQ_COMPLETE;
        yield SMC;
      }
    }),
    host: function* (pe) {
      for (let n = 0; n < 31; n++) pe.r[R.X0 + n] = 0x1000n + BigInt(n);
      mark(pe, SWAPPED, HOST);
      mark(pe, LEFT_ALONE, HOST);
      pe.nzcv = 0xc000_0000n;
      pe.r[R.X0] = RMI | SVE_HINT;
      yield SMC;
      seen.results = Array.from({ length: 31 }, (_, n) => pe.r[R.X0 + n]!);
      seen["host swapped"] = marks(pe, SWAPPED);
      seen["host left"] = marks(pe, LEFT_ALONE);
      seen["host nzcv"] = pe.nzcv;
      yield* smc(pe, RMI);
      return yield* systemOff(pe);
    },
  });
  const all = (names: readonly unknown[], world: bigint) => names.map(() => world);

  test("ends well, two switches each way and the boot's", () => {
    expect(end).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
    expect(machine.counters.worldSwitches).toBe(5);
  });
  test("X0 with the SVE hint and X1 to X7 arrive; nothing else of the Host's general registers does", () => {
    const registers = seen.arguments0 as bigint[];
    expect(registers.slice(0, 8)).toEqual([RMI | SVE_HINT, ...[1, 2, 3, 4, 5, 6, 7].map((n) => 0x1000n + BigInt(n))]);
    expect(registers.slice(8)).toEqual(new Array(23).fill(0n));
  });
  test("X8 to X30 of the next command are what the RMM had at its last SMC", () => {
    expect((seen.arguments1 as bigint[]).slice(8)).toEqual(Array.from({ length: 23 }, (_, n) => 0x7008n + BigInt(n)));
  });
  test("the Host's X0 to X4 are the RMM's X1 to X5; X5 to X30 are unchanged", () => {
    const registers = seen.results as bigint[];
    expect(registers.slice(0, 5)).toEqual([0x7001n, 0x7002n, 0x7003n, 0x7004n, 0x7005n]);
    expect(registers.slice(5)).toEqual(Array.from({ length: 26 }, (_, n) => 0x1005n + BigInt(n)));
  });
  test("EL2 registers, PAuth keys, SP_EL0, ICH_HCR and ICH_VMCR belong to a world", () => {
    expect(seen["rmm swapped0"]).not.toContain(HOST);
    expect(seen["host swapped"]).toEqual(all(SWAPPED, HOST));
    expect(seen["rmm swapped1"]).toEqual(all(SWAPPED, RMM));
  });
  test("EL1 registers, timers, list registers and FP are left to the RMM", () => {
    expect(seen["rmm left0"]).toEqual(all(LEFT_ALONE, HOST));
    expect(seen["host left"]).toEqual(all(LEFT_ALONE, RMM));
  });
  test("PSTATE follows the world", () => {
    expect([seen["host nzcv"], seen["rmm nzcv1"]]).toEqual([0xc000_0000n, 0x3000_0000n]);
  });
});

test("PEs have contexts of their own", () => {
  const results: bigint[] = [];
  run({
    peCount: 3,
    rmm: answering((pe) => [BigInt(pe.index) * 0x100n + pe.r[R.X0 + 1]!]),
    host: function* (pe) {
      if (pe.index === 0) {
        for (const target of [1n, 2n]) yield* smc(pe, 0xc400_0003n, target, 0x8000_0000n, 0n);
      }
      for (let n = 0n; n < 20n; n++) results.push((yield* smc(pe, RMI, n))[0]!);
      if (pe.index !== 0) {
        yield* smc(pe, 0x8400_0002n);
      }
      for (const target of [1n, 2n]) while ((yield* smc(pe, 0xc400_0004n, target, 0n))[0] !== 1n);
      return yield* systemOff(pe);
    },
  });
  const expected = [0, 1, 2].flatMap((pe) => Array.from({ length: 20 }, (_, n) => BigInt(pe * 0x100 + n)));
  expect(results.sort((a, b) => Number(a - b))).toEqual(expected);
});
