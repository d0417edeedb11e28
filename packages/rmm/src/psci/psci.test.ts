/** PSCI of a Realm: what the RMM answers, what becomes an exit, and RMI_PSCI_COMPLETE. */
import { PSCI_FID, type PsciFunction, psciCode, RmiRecExitReason } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { Host, type TestRec, UNPROTECTED } from "../testing/realm.js";
import { PSCI_FUNCTIONS } from "./psci.js";

const NOT_SUPPORTED = psciCode("PSCI_NOT_SUPPORTED");

/** A running REC 0 and a second REC. */
function running({ runnable = false } = {}) {
  const host = new Host();
  const realm = host.realm();
  const rec = realm.rec();
  const other = realm.rec({ runnable });
  realm.activate();
  rec.enter();
  return { rec, other, realm, machine: host.machine };
}
const returns = (rec: TestRec, name: PsciFunction, ...args: bigint[]): bigint => {
  for (let n = 4; n < 31; n++) rec.set(n, BigInt(n));
  expect(rec.psci(name, ...args)).toBeUndefined();
  expect([rec.x(1), rec.x(2), rec.x(3)]).toEqual([0n, 0n, 0n]);
  for (let n = 4; n < 31; n++) expect(rec.x(n)).toBe(BigInt(n));
  return rec.x(0);
};

test("every FID of the table is one of PSCI's, once", () => {
  const fids = PSCI_FUNCTIONS.flatMap(({ fids: names }) => names.map((name) => PSCI_FID[name]));
  expect(new Set(fids).size).toBe(fids.length);
  expect(fids.length).toBe(11);
});

test("PSCI_VERSION: 1.1", () => {
  expect(returns(running().rec, "PSCI_VERSION")).toBe(0x1_0001n);
});

describe("PSCI_FEATURES", () => {
  test.each([
    0x8400_0000n,
    0x8400_0001n,
    0xc400_0001n,
    0x8400_0002n,
    0x8400_0003n,
    0xc400_0003n,
    0x8400_0004n,
    0xc400_0004n,
    0x8400_0008n,
    0x8400_0009n,
    0x8400_000an,
    0x8000_0000n,
  ])("%s", (fid) => {
    expect(returns(running().rec, "PSCI_FEATURES", fid)).toBe(0n);
  });
  test.each([0x8400_0005n, 0xc400_000en, 0x8400_0012n, 0x8000_0001n, 0xc400_0190n])("%s: func_id", (fid) => {
    expect(returns(running().rec, "PSCI_FEATURES", fid)).toBe(NOT_SUPPORTED);
  });
});

test.each([
  0x8400_0005n,
  0x8400_0006n,
  0x8400_0007n,
  0x8400_000en,
  0xc400_000en,
  0x8400_0014n,
  0xc400_0014n,
  0xc400_0002n,
])("%s is not supported", (fid) => {
  const { rec } = running();
  expect(rec.smc(fid, [1n, 2n, 3n])).toBeUndefined();
  expect([rec.x(0), rec.x(1)]).toEqual([NOT_SUPPORTED, 0n]);
});

test("PSCI knows no SVE hint", () => {
  const { rec } = running();
  rec.smc(PSCI_FID.PSCI_VERSION | 0x1_0000n);
  expect(rec.x(0)).toBe(NOT_SUPPORTED);
});

const exitOf = (rec: TestRec) => {
  const { exit_reason, esr, gprs } = rec.exit;
  expect(gprs.slice(2).every((value) => value === 0n)).toBe(true);
  expect(esr).toBe(0n);
  expect(exit_reason).toBe(RmiRecExitReason.RMI_EXIT_PSCI);
  return [gprs[0], gprs[1]];
};

test("PSCI_CPU_SUSPEND: the REC goes on after the call", () => {
  const { rec } = running();
  rec.psci("PSCI_CPU_SUSPEND_64", 5n, 0x7000n, 9n);
  expect(exitOf(rec)).toEqual([0xc400_0001n, 0n]);
  rec.enter();
  expect([rec.x(0), rec.x(1), rec.pc]).toEqual([0n, 0n, 0x1004n]);
});

test("PSCI_CPU_OFF: not runnable until turned on", () => {
  const { rec } = running();
  rec.psci("PSCI_CPU_OFF");
  expect(exitOf(rec)).toEqual([0x8400_0002n, 0n]);
  expect(rec.tryEnter()).toMatchObject({ condition: "rec_runnable" });
});

test.each(["PSCI_SYSTEM_OFF", "PSCI_SYSTEM_RESET"] as const)("%s: no REC of the Realm runs again", (name) => {
  const { rec, other, machine, realm } = running({ runnable: true });
  other.enter({}, machine.pes[1]);
  rec.psci(name);
  expect(exitOf(rec)).toEqual([PSCI_FID[name], 0n]);
  expect(rec.tryEnter()).toMatchObject({ status: "RMI_ERROR_REALM", index: 1, condition: "system_off" });
  expect(other.smc(PSCI_FID.PSCI_VERSION)).toBeUndefined(); // one that runs goes on until its next exit
  other.interrupt();
  expect(other.tryEnter()).toMatchObject({ condition: "system_off" });
  expect(machine.rmi("RMI_REALM_ACTIVATE", realm.rd)).toMatchObject({ condition: "realm_state" });
  machine.ok("RMI_REC_DESTROY", rec.addr);
});

describe("PSCI_CPU_ON", () => {
  test.each([
    ["entry", [1n, UNPROTECTED, 0n], "PSCI_INVALID_ADDRESS"],
    ["entry", [99n, UNPROTECTED, 0n], "PSCI_INVALID_ADDRESS"],
    ["mpidr", [2n, 0x1000n, 0n], "PSCI_INVALID_PARAMETERS"],
    ["mpidr", [0x1_0000_0000n, 0x1000n, 0n], "PSCI_INVALID_PARAMETERS"],
    ["already_on", [0n, 0x1000n, 0n], "PSCI_ALREADY_ON"],
  ] as const)("%s", (condition, args, status) => {
    const { rec, machine } = running();
    expect(returns(rec, "PSCI_CPU_ON_64", ...args)).toBe(psciCode(status));
    expect(machine.events.findLast((e) => e.category === "psci")!.fields.condition).toBe(condition);
  });

  test("pending until RMI_PSCI_COMPLETE; bits of the target that are no affinity are ignored", () => {
    const { rec, other, machine } = running();
    rec.pe.r[R.SCTLR_EL1] = 1n << 25n; // the caller is big-endian
    rec.psci("PSCI_CPU_ON_64", 0x8000_0001n, 0x4_2000n, 0x77n);
    expect(exitOf(rec)).toEqual([0xc400_0003n, 0x8000_0001n]);
    expect(rec.tryEnter()).toMatchObject({ condition: "rec_psci" });
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n);
    expect(machine.rmi("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n)).toMatchObject({ condition: "pending" });
    rec.enter();
    expect([rec.x(0), rec.x(1), rec.x(2), rec.x(3), rec.pc]).toEqual([0n, 0n, 0n, 0n, 0x1004n]);
    other.enter({}, machine.pes[1]);
    const { r } = other.pe;
    expect(Array.from({ length: 31 }, (_, n) => other.x(n))).toEqual([0x77n, ...Array(30).fill(0n)]);
    expect([r[R.ELR_EL2], r[R.SPSR_EL2], r[R.SCTLR_EL1]]).toEqual([0x4_2000n, 0x3c5n, 0x02c5_0878n]);
    expect(r[R.VMPIDR_EL2]).toBe(0x8000_0001n);
  });

  test("the Host may deny", () => {
    const { rec, other, machine } = running();
    rec.psci("PSCI_CPU_ON", 1n, 0n);
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, psciCode("PSCI_DENIED"));
    rec.enter();
    expect(rec.x(0)).toBe(psciCode("PSCI_DENIED"));
    expect(other.tryEnter()).toMatchObject({ condition: "rec_runnable" });
  });

  test("a target that is on already", () => {
    const { rec, other, machine } = running({ runnable: true });
    rec.psci("PSCI_CPU_ON_64", 1n, 0n);
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n);
    rec.enter();
    expect(rec.x(0)).toBe(psciCode("PSCI_ALREADY_ON"));
  });

  test("a REC that was off starts anew", () => {
    const { rec, other, machine } = running({ runnable: true });
    other.enter({}, machine.pes[1]);
    other.set(20, 20n);
    other.pe.r[R.TTBR0_EL1] = 0x5000n;
    other.psci("PSCI_CPU_OFF");
    rec.psci("PSCI_CPU_ON_64", 1n, 0x3000n, 1n);
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n);
    other.enter();
    expect([other.x(0), other.x(20), other.pc, other.pe.r[R.TTBR0_EL1]]).toEqual([1n, 0n, 0x3000n, 0n]);
  });
});

describe("PSCI_AFFINITY_INFO", () => {
  test.each([
    ["level", [1n, 1n], "PSCI_INVALID_PARAMETERS"],
    ["target", [2n, 0n], "PSCI_INVALID_PARAMETERS"],
  ] as const)("%s", (_, args, status) => {
    expect(returns(running().rec, "PSCI_AFFINITY_INFO_64", ...args)).toBe(psciCode(status));
  });

  test("of the caller itself: on", () => {
    expect(returns(running().rec, "PSCI_AFFINITY_INFO_64", 0n, 0n)).toBe(0n);
  });

  test.each([
    [true, 0n],
    [false, 1n],
  ])("of another REC, runnable %s", (runnable, result) => {
    const { rec, other, machine } = running({ runnable });
    rec.psci("PSCI_AFFINITY_INFO", 1n, 0n);
    expect(exitOf(rec)).toEqual([0x8400_0004n, 1n]);
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n);
    rec.enter();
    expect(rec.x(0)).toBe(result);
  });

  test("junk in X0[63:32] does not confuse the completion", () => {
    const { rec, other, machine } = running();
    rec.smc(0xdead_0000_c400_0003n, [1n, 0x1000n, 0n]);
    expect(exitOf(rec)).toEqual([0xc400_0003n, 1n]);
    machine.ok("RMI_PSCI_COMPLETE", rec.addr, other.addr, 0n);
    rec.enter();
    expect(rec.x(0)).toBe(0n);
  });
});
