import { sysregIss } from "@realmbox/abi";
import { Distributor, GROUPS, KVM_VGIC } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { guestIdRegister } from "./id-registers.js";
import { emulateSysreg } from "./sysreg-traps.js";
import type { VcpuCore } from "./vcpu.js";

const READ = 1;
const rt = (n: number) => n << 5;

/** The part of a vCPU that system register traps reach. */
function vcpuWith(distributor?: Distributor): VcpuCore {
  const el1 = new Map<number, bigint>();
  return {
    index: 0,
    gprs: new BigUint64Array(31),
    debug: new BigUint64Array(GROUPS.DEBUG.count),
    showDebug: () => {},
    vm: { vgic: distributor ? { distributor } : undefined },
    readEl1: (slot: number) => el1.get(slot) ?? 0n,
    writeEl1: (slot: number, value: bigint) => void el1.set(slot, value),
  } as unknown as VcpuCore;
}

function read(vcpu: VcpuCore, register: number): bigint | undefined {
  vcpu.gprs[3] = 0xdead_beefn;
  return emulateSysreg(vcpu, register | READ | rt(3)) ? vcpu.gprs[3] : undefined;
}
function write(vcpu: VcpuCore, register: number, value: bigint): boolean {
  vcpu.gprs[4] = value;
  return emulateSysreg(vcpu, register | rt(4));
}

describe("ID registers", () => {
  test("every register of the group is answered, most of them with zero", () => {
    const vcpu = vcpuWith();
    for (let crm = 1; crm <= 7; crm++) {
      for (let op2 = 0; op2 < 8; op2++) {
        const register = sysregIss(3, 0, 0, crm, op2);
        expect(read(vcpu, register)).toBe(guestIdRegister(register, false));
        expect(write(vcpu, register, 0n)).toBe(false);
      }
    }
  });

  test("a VM sees EL0 and EL1 in AArch64, GICv3, FP, no EL2, EL3, SVE, PMU or pointer authentication", () => {
    const vcpu = vcpuWith();
    const pfr0 = read(vcpu, sysregIss(3, 0, 0, 4, 0))!;
    const field = (value: bigint, lo: number) => (value >> BigInt(lo)) & 0xfn;
    expect([0, 4, 8, 12, 16, 20, 24, 32].map((lo) => field(pfr0, lo))).toEqual([1n, 1n, 0n, 0n, 0n, 0n, 1n, 0n]);
    expect(field(read(vcpu, sysregIss(3, 0, 0, 5, 0))!, 8)).toBe(0n); // PMUVer
    expect(read(vcpu, sysregIss(3, 0, 0, 6, 1))).toBe(0n); // ISAR1
    expect(field(read(vcpu, sysregIss(3, 0, 0, 7, 0))!, 28)).toBe(0n); // TGran4
    expect(field(read(vcpu, sysregIss(3, 0, 0, 7, 0))!, 24)).toBe(0xfn); // TGran64
  });

  test("a vCPU that was asked to have a PMU sees PMUv3p7", () => {
    const dfr0 = sysregIss(3, 0, 0, 5, 0);
    const before = read(vcpuWith(), dfr0)!;
    expect(read({ ...vcpuWith(), hasPmu: true } as VcpuCore, dfr0)).toBe(before | (7n << 8n));
  });

  test("PMU registers trap in a VM without PMU, and are UNDEFINED", () => {
    const vcpu = vcpuWith();
    for (const register of [sysregIss(3, 3, 9, 12, 0), sysregIss(3, 3, 9, 13, 0), sysregIss(3, 0, 9, 14, 1)]) {
      expect(read(vcpu, register)).toBeUndefined();
      expect(write(vcpu, register, 0n)).toBe(false);
    }
  });

  test("a read into XZR is discarded", () => {
    const vcpu = vcpuWith();
    expect(emulateSysreg(vcpu, sysregIss(3, 0, 0, 4, 0) | READ | rt(31))).toBe(true);
    expect(vcpu.gprs.every((value) => value === 0n)).toBe(true);
  });
});

test("debug registers are storage, the debug channel reads zero, trace is UNDEFINED", () => {
  const vcpu = vcpuWith();
  for (const [crm, op2] of [
    [0, 4],
    [1, 5],
    [0, 6],
    [1, 7],
  ] as const) {
    const register = sysregIss(2, 0, 0, crm, op2);
    expect(write(vcpu, register, BigInt(96 + 8 * crm + 64 * op2))).toBe(true);
    expect(read(vcpu, register)).toBe(BigInt(96 + 8 * crm + 64 * op2));
  }
  expect(read(vcpu, sysregIss(2, 0, 0, 2, 4))).toBeUndefined(); // DBGBVR2_EL1: only two
  expect(write(vcpu, sysregIss(2, 0, 0, 2, 2), 0x1000n)).toBe(true);
  expect(read(vcpu, sysregIss(2, 0, 0, 2, 2))).toBe(0x1000n); // MDSCR_EL1
  expect(read(vcpu, sysregIss(2, 0, 1, 1, 4))).toBe(8n); // OSLSR_EL1
  expect(write(vcpu, sysregIss(2, 0, 1, 0, 4), 0n)).toBe(true); // OSLAR_EL1
  expect(read(vcpu, sysregIss(2, 3, 0, 5, 0))).toBe(0n); // DBGDTRRX_EL0
  expect(read(vcpu, sysregIss(2, 1, 0, 0, 1))).toBeUndefined(); // TRCTRACEIDR
});

test.each([
  ["PMCR_EL0", sysregIss(3, 3, 9, 12, 0)],
  ["PMCCNTR_EL0", sysregIss(3, 3, 9, 13, 0)],
  ["APIAKeyLo_EL1", sysregIss(3, 0, 2, 1, 0)],
  ["LORC_EL1", sysregIss(3, 0, 10, 4, 3)],
  ["an IMPLEMENTATION DEFINED register", sysregIss(3, 0, 15, 0, 0)],
])("%s is UNDEFINED", (_, register) => {
  const vcpu = vcpuWith();
  expect(read(vcpu, register)).toBeUndefined();
  expect(write(vcpu, register, 1n)).toBe(false);
});

test("DC by set and way does nothing; ACTLR_EL1 ignores writes", () => {
  const vcpu = vcpuWith();
  expect(write(vcpu, sysregIss(1, 0, 7, 14, 2), 0n)).toBe(true);
  expect(write(vcpu, sysregIss(3, 0, 1, 0, 1), 5n)).toBe(true);
  expect(read(vcpu, sysregIss(3, 0, 1, 0, 1))).toBe(0n);
});

describe("GIC system registers", () => {
  const make = () => new Distributor({ profile: KVM_VGIC, mpidrs: [0n, 1n, 2n], spiCount: 32 });

  test("ICC_SGI1R_EL1 reaches the vCPUs of its target list", () => {
    const distributor = make();
    expect(write(vcpuWith(distributor), sysregIss(3, 0, 12, 11, 5), (5n << 24n) | 0b110n)).toBe(true);
    expect([0, 1, 2].map((cpu) => distributor.isPending(cpu, 5))).toEqual([false, true, true]);
  });

  test("ICC_SGI1R_EL1.IRM reaches all others", () => {
    const distributor = make();
    write(vcpuWith(distributor), sysregIss(3, 0, 12, 11, 5), (1n << 40n) | (2n << 24n));
    expect([0, 1, 2].map((cpu) => distributor.isPending(cpu, 2))).toEqual([false, true, true]);
  });

  test("ICC_DIR_EL1 deactivates", () => {
    const distributor = make();
    distributor.setActive(0, 40, true);
    expect(write(vcpuWith(distributor), sysregIss(3, 0, 12, 11, 1), 40n)).toBe(true);
    expect(distributor.isActive(0, 40)).toBe(false);
    expect(write(vcpuWith(distributor), sysregIss(3, 0, 12, 11, 1), 0xff_ffffn)).toBe(true);
  });

  test("reads of them, and any without a VGIC, are UNDEFINED", () => {
    expect(read(vcpuWith(make()), sysregIss(3, 0, 12, 11, 5))).toBeUndefined();
    expect(write(vcpuWith(), sysregIss(3, 0, 12, 11, 5), 1n)).toBe(false);
  });
});
