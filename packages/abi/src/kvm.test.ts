import { describe, expect, test } from "vitest";
import {
  ArmRmeConfigHash,
  ArmRmeConfigRpv,
  ArmRmeInitRipas,
  ArmRmePopulateRealm,
  ArmRmmPsciComplete,
  KVM_IOCTL,
  KVM_REG,
  KvmMemoryAttributes,
  KvmUserspaceMemoryRegion2,
  KvmVcpuInit,
} from "./kvm.js";

// Codes as the C preprocessor computes them from linux/kvm.h; the CCA ones from the v9 series.
test.each([
  ["KVM_GET_API_VERSION", 0x0000ae00],
  ["KVM_CREATE_VM", 0x0000ae01],
  ["KVM_CHECK_EXTENSION", 0x0000ae03],
  ["KVM_GET_VCPU_MMAP_SIZE", 0x0000ae04],
  ["KVM_CREATE_VCPU", 0x0000ae41],
  ["KVM_SET_USER_MEMORY_REGION", 0x4020ae46],
  ["KVM_SET_USER_MEMORY_REGION2", 0x40a0ae49],
  ["KVM_IRQ_LINE", 0x4008ae61],
  ["KVM_RUN", 0x0000ae80],
  ["KVM_GET_MP_STATE", 0x8004ae98],
  ["KVM_SET_MP_STATE", 0x4004ae99],
  ["KVM_GET_VCPU_EVENTS", 0x8040ae9f],
  ["KVM_SET_VCPU_EVENTS", 0x4040aea0],
  ["KVM_ENABLE_CAP", 0x4068aea3],
  ["KVM_GET_ONE_REG", 0x4010aeab],
  ["KVM_SET_ONE_REG", 0x4010aeac],
  ["KVM_ARM_VCPU_INIT", 0x4020aeae],
  ["KVM_ARM_PREFERRED_TARGET", 0x8020aeaf],
  ["KVM_ARM_VCPU_FINALIZE", 0x4004aec2],
  ["KVM_SET_MEMORY_ATTRIBUTES", 0x4020aed2],
  ["KVM_CREATE_GUEST_MEMFD", 0xc040aed4],
  ["KVM_ARM_VCPU_RMM_PSCI_COMPLETE", 0x4018aed6],
  ["KVM_CREATE_DEVICE", 0xc00caee0],
  ["KVM_SET_DEVICE_ATTR", 0x4018aee1],
  ["KVM_GET_DEVICE_ATTR", 0x4018aee2],
  ["KVM_HAS_DEVICE_ATTR", 0x4018aee3],
] as const)("%s", (name, code) => {
  expect(KVM_IOCTL[name]).toBe(code);
});

test("ioctl codes are distinct", () => {
  const codes = Object.values(KVM_IOCTL);
  expect(new Set(codes).size).toBe(codes.length);
});

describe("structures have the size that their ioctl encodes", () => {
  test.each([
    [KvmUserspaceMemoryRegion2, KVM_IOCTL.KVM_SET_USER_MEMORY_REGION2],
    [KvmMemoryAttributes, KVM_IOCTL.KVM_SET_MEMORY_ATTRIBUTES],
    [KvmVcpuInit, KVM_IOCTL.KVM_ARM_VCPU_INIT],
    [ArmRmmPsciComplete, KVM_IOCTL.KVM_ARM_VCPU_RMM_PSCI_COMPLETE],
  ])("$name", (structure, code) => {
    expect(structure.size).toBe((code >>> 16) & 0x3fff);
  });
  test("arm_rme_*", () => {
    expect([ArmRmeConfigRpv, ArmRmeConfigHash, ArmRmeInitRipas, ArmRmePopulateRealm].map((s) => s.size)).toEqual([
      260, 260, 32, 32,
    ]);
  });
});

test("register ids", () => {
  expect(KVM_REG.x(0)).toBe(0x6030_0000_0010_0000n);
  expect(KVM_REG.x(1)).toBe(0x6030_0000_0010_0002n);
  expect(KVM_REG.PC).toBe(0x6030_0000_0010_0040n);
  expect(KVM_REG.PSTATE).toBe(0x6030_0000_0010_0042n);
  expect(KVM_REG.sysreg(3, 0, 0, 0, 5)).toBe(0x6030_0000_0013_c005n); // MPIDR_EL1
});
