/** The KVM calls that need no guest: what each refuses, and with which errno. On the real machine with monitor and RMM. */
import {
  KVM_API_VERSION,
  KVM_ARM_VCPU,
  KVM_ARM_VCPU_TIMER_CTRL,
  KVM_ARM_VCPU_TIMER_IRQ_VTIMER,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_CAP,
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_ARM_REALM_GRP,
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP,
  KVM_DEV_TYPE_ARM_REALM,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_READONLY,
  KVM_MP_STATE,
  KVM_REG,
  KVM_SMCCC_FILTER_DENY,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
  KVM_VM_TYPE,
  KvmSmcccFilter,
  SPSR_EL1H_MASKED,
} from "@realmbox/abi";
import { afterEach, describe, expect, test } from "vitest";
import { isKvmError, type Kvm, type Vm } from "../index.js";
import { makeStack } from "../stack.oracle.js";
import { ok, RAM } from "../vm.oracle.js";

const stack = makeStack({ dramMiB: 64 });
const { host, process } = stack;
const REALM = KVM_VM_TYPE.MACHINE.of(1) | 33n;
const PSCI = 1 << KVM_ARM_VCPU.PSCI_0_2;
const MiB = 1n << 20n;
const open: Vm[] = [];

const kvm = (): Kvm => ok(process.openKvm());
function makeVm(type = 33n): Vm {
  const vm = ok(kvm().createVm(type));
  open.push(vm);
  return vm;
}
const errno = (result: unknown): unknown => (isKvmError(result) ? result.errno : result);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);

afterEach(() => {
  for (const vm of open.splice(0)) ok(host.call(vm.closeOp()));
  expect(host.pages).toMatchObject({ realm: 0, guestMemfd: 0, stage2: 0, shared: 0, leaked: 0 });
});

describe("/dev/kvm", () => {
  test("version and capabilities", () => {
    expect(kvm().getApiVersion()).toBe(KVM_API_VERSION);
    expect(ok(kvm().getVcpuMmapSize())).toBeGreaterThanOrEqual(2352);
    for (const cap of [KVM_CAP.ARM_RME, KVM_CAP.ARM_RME_V10, KVM_CAP.ARM_RME_V1, KVM_CAP.GUEST_MEMFD]) {
      expect(kvm().checkExtension(cap)).toBe(1);
    }
    expect(kvm().checkExtension(KVM_CAP.ARM_VM_IPA_SIZE)).toBe(48);
    expect(kvm().checkExtension(12345)).toBe(0);
  });

  test.each([0n, 32n, 40n, 48n])("a VM with IPA size %i", (bits) => {
    const vm = makeVm(bits);
    expect(vm.ipaBits).toBe(bits === 0n ? 40 : Number(bits));
    expect(vm.isRealm).toBe(false);
    expect(host.pages.stage2).toBeGreaterThan(0);
  });
});

test("/dev/rme", () => {
  const rme = ok(process.openRme());
  expect(rme.getApiVersion()).toBe(1);
  expect(rme.getFeatures(0)).toBe(host.rmm!.features0);
  expect(rme.getFeatures(1)).toBe(0n);
  const space = ok(rme.createSpace(MiB));
  const vm = makeVm(REALM);
  const slot = { slot: 0, guest_phys_addr: RAM, memory_size: MiB, userspace_addr: space.userspace_addr };
  ok(vm.setUserMemoryRegion({ ...slot, flags: KVM_MEM_GUEST_MEMFD, guest_memfd: space.guest_memfd }));
  expect(errno(host.call(rme.destroySpaceOp(space)))).toBe("EBUSY");
  ok(host.call(vm.deleteUserMemoryRegionOp(0)));
  expect(host.call(rme.destroySpaceOp(space))).toBeUndefined();
  expect(errno(rme.createSpace(100n))).toBe("EINVAL");
  expect(errno(rme.createSpace(1n << 40n))).toBe("ENOMEM");
});

describe("memory slots", () => {
  const memory = ok(process.mmap(4n * MiB));
  const slot = { slot: 0, guest_phys_addr: RAM, memory_size: MiB, userspace_addr: memory };

  test.each([
    ["misaligned address", { guest_phys_addr: RAM + 1n }, "EINVAL"],
    ["misaligned size", { memory_size: 100n }, "EINVAL"],
    ["size 0", { memory_size: 0n }, "EINVAL"],
    ["misaligned memory", { userspace_addr: memory + 8n }, "EINVAL"],
    ["no memory behind it", { userspace_addr: 0x1000n }, "EFAULT"],
    ["more than the memory behind it", { memory_size: 8n * MiB }, "EFAULT"],
    ["beyond the IPA space", { guest_phys_addr: 1n << 33n }, "EINVAL"],
    ["slot number", { slot: -1 }, "EINVAL"],
    ["unknown flags", { flags: 0x100 }, "EINVAL"],
    ["dirty log", { flags: 1 }, "EINVAL"],
    ["guest_memfd in a normal VM", { flags: KVM_MEM_GUEST_MEMFD }, "EINVAL"],
  ] as const)("%s", (_, change, expected) => {
    expect(errno(makeVm().setUserMemoryRegion({ ...slot, ...change }))).toBe(expected);
  });

  test("slots do not overlap, and go away", () => {
    const vm = makeVm();
    ok(vm.setUserMemoryRegion(slot));
    expect(errno(vm.setUserMemoryRegion(slot))).toBe("EEXIST");
    expect(errno(vm.setUserMemoryRegion({ ...slot, slot: 1, guest_phys_addr: RAM + MiB - 0x1000n }))).toBe("EEXIST");
    ok(vm.setUserMemoryRegion({ ...slot, slot: 1, guest_phys_addr: RAM + MiB, flags: KVM_MEM_READONLY }));
    expect(errno(process.munmap(memory))).toBe("EBUSY");
    ok(host.call(vm.deleteUserMemoryRegionOp(0)));
    expect(errno(host.call(vm.deleteUserMemoryRegionOp(0)))).toBe("EINVAL");
    ok(vm.setUserMemoryRegion(slot));
  });

  test("a realm's slots lie in its protected half", () => {
    const vm = makeVm(REALM);
    expect(errno(vm.setUserMemoryRegion({ ...slot, guest_phys_addr: 1n << 32n }))).toBe("EINVAL");
    expect(errno(host.call(vm.setMemoryAttributesOp({ address: 1n << 32n, size: MiB, attributes: 8n })))).toBe(
      "EINVAL",
    );
    expect(errno(host.call(vm.setMemoryAttributesOp({ address: RAM, size: MiB, attributes: 1n })))).toBe("EINVAL");
    const file = ok(vm.createGuestMemfd(MiB));
    const other = makeVm(REALM);
    const half = { ...slot, flags: KVM_MEM_GUEST_MEMFD, guest_memfd: file };
    expect(errno(other.setUserMemoryRegion(half))).toBe("EINVAL");
    expect(errno(vm.setUserMemoryRegion({ ...half, guest_memfd_offset: 0x1000n }))).toBe("EINVAL");
    ok(vm.setUserMemoryRegion(half));
    expect(errno(vm.setUserMemoryRegion({ ...half, slot: 1, guest_phys_addr: RAM + MiB }))).toBe("EINVAL");
    expect(errno(makeVm().createGuestMemfd(MiB))).toBe("EINVAL");
  });
});

describe("process memory", () => {
  test("is zero, keeps what is written, and ends where it ends", () => {
    const at = ok(process.mmap(3n * 4096n));
    const into = new Uint8Array(5000).fill(1);
    ok(process.read(at + 100n, into));
    expect(into.every((byte) => byte === 0)).toBe(true);
    const before = host.pages.user;
    ok(process.write(at + 4090n, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)));
    expect(host.pages.user).toBe(before + 2);
    const back = new Uint8Array(12);
    ok(process.read(at + 4089n, back));
    expect([...back]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]);
    expect(errno(process.read(at + 3n * 4096n - 1n, new Uint8Array(2)))).toBe("EFAULT");
    expect(errno(process.write(at - 1n, new Uint8Array(2)))).toBe("EFAULT");
    ok(process.munmap(at));
    expect(host.pages.user).toBe(before);
    expect(errno(process.read(at, new Uint8Array(1)))).toBe("EFAULT");
    expect(errno(process.munmap(at))).toBe("EINVAL");
  });

  test("what is not needed goes back, and is zero then; not what a VM was given", () => {
    const at = ok(process.mmap(MiB));
    const before = host.pages.user;
    ok(process.write(at, new Uint8Array(3 * 4096).fill(7)));
    expect(host.pages.user).toBe(before + 3);
    ok(process.dontNeed(at + 4096n, 2n * 4096n));
    expect(host.pages.user).toBe(before + 1);
    const into = new Uint8Array(3 * 4096);
    ok(process.read(at, into));
    expect(into.every((byte, i) => byte === (i < 4096 ? 7 : 0))).toBe(true);

    expect(errno(process.dontNeed(at + 1n, 4096n))).toBe("EINVAL");
    expect(errno(process.dontNeed(at, 0n))).toBe("EINVAL");
    expect(errno(process.dontNeed(at, 2n * MiB))).toBe("EFAULT");
    const vm = makeVm();
    const slot = { slot: 0, guest_phys_addr: RAM, memory_size: MiB / 2n, userspace_addr: at + MiB / 2n };
    ok(vm.setUserMemoryRegion(slot));
    expect(errno(process.dontNeed(at + MiB / 2n, 4096n))).toBe("EBUSY");
    ok(process.dontNeed(at, MiB / 2n));
    expect(host.pages.user).toBe(before);
    ok(host.call(vm.closeOp()));
    open.pop();
    ok(process.munmap(at));
  });

  test("a page that another had is zero again", () => {
    const first = ok(process.mmap(4096n));
    ok(process.write(first, new Uint8Array(4096).fill(0xee)));
    ok(process.munmap(first));
    const second = ok(process.mmap(4096n));
    ok(process.write(second, Uint8Array.of(1)));
    const into = new Uint8Array(4096);
    ok(process.read(second, into));
    expect(into.subarray(1).every((byte) => byte === 0)).toBe(true);
    ok(process.munmap(second));
  });

  test("sizes", () => {
    expect(errno(process.mmap(0n))).toBe("EINVAL");
    expect(errno(process.mmap(1n << 50n))).toBe("ENOMEM");
  });
});

describe("vCPUs", () => {
  test("creation and initialisation", () => {
    const vm = makeVm();
    expect(errno(vm.createVcpu(-1))).toBe("EINVAL");
    expect(errno(vm.createVcpu(64))).toBe("EINVAL");
    const vcpu = ok(vm.createVcpu(3));
    expect(errno(vm.createVcpu(3))).toBe("EEXIST");
    expect(errno(vcpu.getOneReg(KVM_REG.x(0)))).toBe("ENOEXEC");
    expect(errno(vcpu.start(() => "stop"))).toBe("EINVAL");
    expect(errno(vcpu.armVcpuInit({ target: 5, features: [1 << KVM_ARM_VCPU.SVE] }))).toBe("ENOENT");
    expect(errno(vcpu.armVcpuInit({ target: 5, features: [1 << KVM_ARM_VCPU.REC] }))).toBe("EINVAL");
    const { target } = ok(vm.preferredTarget());
    ok(vcpu.armVcpuInit({ target, features: [PSCI | (1 << KVM_ARM_VCPU.POWER_OFF)] }));
    expect(errno(vcpu.armVcpuInit({ target, features: [PSCI] }))).toBe("EINVAL");
    expect(vcpu.getMpState()).toBe(KVM_MP_STATE.STOPPED);
    ok(vcpu.setMpState(KVM_MP_STATE.RUNNABLE));
    expect(vcpu.getMpState()).toBe(KVM_MP_STATE.RUNNABLE);
    expect(errno(vcpu.setMpState(KVM_MP_STATE.SUSPENDED))).toBe("EINVAL");
    expect(errno(host.call(vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC)))).toBe("EPERM");
  });

  test("registers after a reset, and as they are set", () => {
    const vm = makeVm();
    const vcpu = ok(vm.createVcpu(0x12));
    ok(vcpu.armVcpuInit({ target: 5, features: [PSCI] }));
    expect(vcpu.getOneReg(KVM_REG.PSTATE)).toBe(SPSR_EL1H_MASKED);
    expect(vcpu.getOneReg(KVM_REG.sysreg(3, 0, 1, 0, 0))).toBe(0xc5_0078n);
    expect(vcpu.getOneReg(KVM_REG.sysreg(3, 0, 0, 0, 5))).toBe(0x8000_0102n);
    ok(vcpu.setOneReg(KVM_REG.x(30), 5n));
    ok(vcpu.setOneReg(KVM_REG.PC, RAM));
    ok(vcpu.setOneReg(KVM_REG.sysreg(3, 0, 12, 0, 0), 0x1000n));
    expect(vcpu.getOneReg(KVM_REG.x(30))).toBe(5n);
    expect(vcpu.getOneReg(KVM_REG.PC)).toBe(RAM);
    expect(vcpu.getOneReg(KVM_REG.sysreg(3, 0, 12, 0, 0))).toBe(0x1000n);
    expect(errno(vcpu.setOneReg(KVM_REG.PSTATE, 0x9n))).toBe("EINVAL"); // EL2h
    expect(errno(vcpu.setOneReg(KVM_REG.sysreg(3, 0, 0, 0, 5), 0n))).toBe("EINVAL");
    expect(errno(vcpu.getOneReg(KVM_REG.sysreg(3, 7, 0, 0, 0)))).toBe("ENOENT");
    expect(errno(vcpu.getOneReg(0n))).toBe("EINVAL");
  });

  test("interrupt numbers of the timers", () => {
    const vcpu = ok(makeVm().createVcpu(0));
    ok(vcpu.setDeviceAttr(KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, u32(28)));
    expect(errno(vcpu.setDeviceAttr(KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, u32(5)))).toBe("EINVAL");
    expect(errno(vcpu.setDeviceAttr(KVM_ARM_VCPU_TIMER_CTRL, 9n, u32(28)))).toBe("ENXIO");
    expect(errno(vcpu.setDeviceAttr(7, 0n, u32(28)))).toBe("ENXIO");
  });
});

describe("VGICv3", () => {
  const { ADDR, NR_IRQS, CTRL } = KVM_DEV_ARM_VGIC_GRP;

  test("is configured, initialised, and driven", () => {
    const vm = makeVm();
    expect(errno(vm.irqLine((1 << 24) | 32, true))).toBe("ENXIO");
    ok(vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3, KVM_CREATE_DEVICE_TEST));
    const gic = ok(vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3));
    expect(errno(vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3))).toBe("EEXIST");
    expect(errno(gic.setDeviceAttr(CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT))).toBe("ENODEV"); // no vCPU
    expect(errno(gic.setDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, u64(0x3fff_1000n)))).toBe("EINVAL");
    expect(errno(gic.setDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, u64(1n << 40n)))).toBe("E2BIG");
    ok(gic.setDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, u64(0x3fff_0000n)));
    expect(errno(gic.setDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, u64(0x3fff_0000n)))).toBe("EEXIST");
    expect(errno(gic.setDeviceAttr(NR_IRQS, 0n, u32(65)))).toBe("EINVAL");
    ok(gic.setDeviceAttr(NR_IRQS, 0n, u32(96)));
    expect(errno(gic.setDeviceAttr(NR_IRQS, 0n, u32(96)))).toBe("EBUSY");
    const vcpu = ok(vm.createVcpu(0));
    ok(vcpu.armVcpuInit({ target: 5, features: [PSCI] }));
    expect(errno(vcpu.start(() => "stop"))).toBe("EBUSY"); // not initialised
    ok(gic.setDeviceAttr(CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT));
    expect(errno(vcpu.start(() => "stop"))).toBe("ENXIO"); // no redistributors
    expect(errno(vm.createVcpu(1))).toBe("EBUSY");
    const into = new Uint8Array(8);
    ok(gic.getDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, into));
    expect(into.every((byte) => byte === 0xff)).toBe(true);
    ok(gic.setDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, u64(0x3fff_0000n)));
    expect(errno(vcpu.start(() => "stop"))).toBe("EINVAL"); // they overlap
    ok(vm.irqLine((1 << 24) | 95, true));
    expect(errno(vm.irqLine((1 << 24) | 96, true))).toBe("EINVAL");
    expect(errno(vm.irqLine((1 << 24) | 31, true))).toBe("EINVAL");
    ok(vm.irqLine((2 << 24) | 16, true));
    expect(errno(vm.irqLine((2 << 24) | (1 << 16) | 16, true))).toBe("EINVAL");
    expect(errno(vm.irqLine(3 << 24, true))).toBe("EINVAL");
  });

  test("attributes that it has not", () => {
    const gic = ok(makeVm().createDevice(KVM_DEV_TYPE_ARM_VGIC_V3));
    expect(gic.hasDeviceAttr(ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST)).toBeUndefined();
    for (const [group, attr] of [
      [ADDR, 9n],
      [CTRL, 1n],
      [99, 0n],
    ] as const) {
      expect(errno(gic.hasDeviceAttr(group, attr))).toBe("ENXIO");
      expect(isKvmError(gic.setDeviceAttr(group, attr, u64(0n)))).toBe(true);
    }
  });
});

test("the realm device drives a realm through its attributes", () => {
  const vm = makeVm(REALM);
  expect(errno(makeVm().createDevice(KVM_DEV_TYPE_ARM_REALM))).toBe("ENODEV");
  const device = ok(vm.createDevice(KVM_DEV_TYPE_ARM_REALM));
  expect(errno(vm.createDevice(KVM_DEV_TYPE_ARM_REALM))).toBe("EEXIST");
  const state = new Uint8Array(1);
  const { CREATE, ACTIVATE, STATE } = KVM_DEV_ARM_REALM_GRP;
  expect(errno(host.call(device.setDeviceAttrOp(ACTIVATE, 0n)))).toBe("EPERM");
  expect(host.call(device.setDeviceAttrOp(CREATE, 0n))).toBeUndefined();
  ok(device.getDeviceAttr(STATE, 0n, state));
  expect(state[0]).toBe(1);
  expect(host.call(device.setDeviceAttrOp(ACTIVATE, 0n))).toBeUndefined();
  ok(device.getDeviceAttr(STATE, 0n, state));
  expect(state[0]).toBe(2);
  expect(errno(host.call(device.setDeviceAttrOp(STATE, 0n)))).toBe("EINVAL");
  expect(errno(device.hasDeviceAttr(6, 0n))).toBe("ENXIO");
});

test("SMCCC filters", () => {
  const vm = makeVm();
  const filter = (base: number, nr_functions: number, action: number) =>
    vm.setDeviceAttr(
      KVM_ARM_VM_SMCCC_CTRL,
      KVM_ARM_VM_SMCCC_FILTER,
      KvmSmcccFilter.encode({ base, nr_functions, action }),
    );
  expect(filter(0x8400_0000, 16, KVM_SMCCC_FILTER_DENY)).toBeUndefined();
  expect(errno(filter(0x8400_000f, 2, KVM_SMCCC_FILTER_DENY))).toBe("EEXIST");
  expect(errno(filter(0x8600_0000, 0, KVM_SMCCC_FILTER_DENY))).toBe("EINVAL");
  expect(errno(filter(0xffff_ffff, 2, KVM_SMCCC_FILTER_DENY))).toBe("EINVAL");
  expect(errno(filter(0x8600_0000, 1, 3))).toBe("EINVAL");
  expect(errno(vm.setDeviceAttr(5, 0n, new Uint8Array(24)))).toBe("ENXIO");
});
