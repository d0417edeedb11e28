/** Realms from KVM_CREATE_VM to the teardown, on the real machine, monitor and RMM; no guest code runs. */
import {
  ARM_RME_CONFIG_HASH_ALGO,
  ARM_RME_CONFIG_RPV,
  ARM_RME_POPULATE_FLAGS_MEASURE,
  KVM_ARM_VCPU,
  KVM_CAP,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_REG,
  KVM_VM_TYPE,
} from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { monitorMap } from "../../monitor/src/memory-map.js";
import { isKvmError, type Kvm, type KvmResult, type Op, type RmeSpace, type Vm } from "./index.js";
import { makeStack, type Stack } from "./stack.oracle.js";

const REALM = KVM_VM_TYPE.MACHINE.of(1);
const RAM = 0x8000_0000n;
const MiB = 1n << 20n;
const REC_FEATURES = (1 << KVM_ARM_VCPU.PSCI_0_2) | (1 << KVM_ARM_VCPU.REC);

function ok<T>(result: KvmResult<T>): T {
  if (isKvmError(result)) throw new Error(`${result.errno}: ${result.why}`);
  return result;
}
const openKvm = (stack: Stack): Kvm => ok(stack.process.openKvm());

interface Built {
  readonly vm: Vm;
  readonly space: RmeSpace;
}

/** A realm with memory, in state new. */
function* newRealm(stack: Stack, size: bigint, ipaBits = 33): Op<Built> {
  const vm = ok(openKvm(stack).createVm(REALM | BigInt(ipaBits)));
  ok(vm.configRealm({ cfg: ARM_RME_CONFIG_HASH_ALGO, hash_algo: 0 }));
  ok(vm.configRealm({ cfg: ARM_RME_CONFIG_RPV, rpv: new Uint8Array(64).fill(7) }));
  ok(yield* vm.createRealmOp());
  const space = ok(ok(stack.process.openRme()).createSpace(size));
  ok(
    vm.setUserMemoryRegion({
      slot: 0,
      flags: KVM_MEM_GUEST_MEMFD,
      guest_phys_addr: RAM,
      memory_size: size,
      userspace_addr: space.userspace_addr,
      guest_memfd: space.guest_memfd,
    }),
  );
  ok(yield* vm.setMemoryAttributesOp({ address: RAM, size, attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE }));
  return { vm, space };
}

function* activeRealm(stack: Stack, size: bigint, vcpus = 1): Op<Built> {
  const built = yield* newRealm(stack, size);
  const { vm } = built;
  ok(yield* vm.initRipasRealmOp({ base: RAM, size }));
  ok(yield* vm.populateRealmOp({ base: RAM, size: size / 2n, flags: ARM_RME_POPULATE_FLAGS_MEASURE }));
  for (let id = 0; id < vcpus; id++) {
    const vcpu = ok(vm.createVcpu(id));
    const features = REC_FEATURES | (id === 0 ? 0 : 1 << KVM_ARM_VCPU.POWER_OFF);
    ok(vcpu.armVcpuInit({ target: 5, features: [features] }));
    if (id === 0) ok(vcpu.setOneReg(KVM_REG.PC, RAM));
    ok(yield* vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC));
  }
  ok(yield* vm.activateRealmOp());
  return built;
}

/** GPT, granule table and all that the RMM keeps, by page; zero pages left out. The monitor's PE contexts are not in it. */
function firmwareMemory({ machine }: Stack): Map<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>();
  const { board } = machine;
  const { root, realm } = board;
  const gpt = Number(monitorMap(board).l0);
  const parts = [
    [gpt, Number(root.base + root.size)],
    [Number(realm.base), Number(realm.base + realm.size)],
  ] as const;
  for (const [base, end] of parts) {
    for (let pa = base; pa < end; pa += 4096) {
      if (!machine.memory.isTouched(pa)) continue;
      const host = machine.memory.host(pa);
      const bytes = machine.memory.u8.slice(host, host + 4096);
      if (bytes.some((byte) => byte !== 0)) pages.set(pa, bytes);
    }
  }
  return pages;
}

const MARK = 0xa5;

test("a realm's construction and teardown leave everything as it was", () => {
  const stack = makeStack({ dramMiB: 128 });
  const { host } = stack;
  const before = firmwareMemory(stack);
  const pages = { ...host.pages };
  const built = host.call(
    (function* (): Op<KvmResult<Built>> {
      const realm = yield* newRealm(stack, 8n * MiB);
      ok(stack.process.write(realm.space.userspace_addr, new Uint8Array(4 * 1024 * 1024).fill(MARK)));
      const { vm } = realm;
      ok(yield* vm.initRipasRealmOp({ base: RAM, size: 8n * MiB }));
      ok(yield* vm.populateRealmOp({ base: RAM, size: 4n * MiB, flags: ARM_RME_POPULATE_FLAGS_MEASURE }));
      return realm;
    })(),
  );
  const { vm } = ok(built);
  expect(vm.realmState).toBe("new");
  expect(host.pages.guestMemfd).toBe(1024);
  expect(host.pages.realm).toBe(1 + 8 + 2 /* tables for 4 MiB */);
  expect(ok(host.call(vm.closeOp()))).toBeUndefined();
  expect(ok(host.call(stack.process.exitOp()))).toBeUndefined();
  expect({ ...host.pages }).toEqual(pages);
  expect(firmwareMemory(stack)).toEqual(before);
});

test("no byte of a destroyed realm is in undelegated memory", () => {
  const stack = makeStack({ dramMiB: 32 });
  const { host, machine } = stack;
  host.call(
    (function* (): Op<KvmResult> {
      const { vm, space } = yield* newRealm(stack, 4n * MiB);
      const secret = new Uint8Array(2 * 1024 * 1024).fill(MARK);
      ok(stack.process.write(space.userspace_addr, secret));
      ok(yield* vm.populateRealmOp({ base: RAM, size: 2n * MiB }));
      // The VMM's own copy is not the realm's: it goes first.
      secret.fill(0);
      ok(stack.process.write(space.userspace_addr, secret));
      return yield* vm.closeOp();
    })(),
  );
  const { base, size } = machine.board.dram[0]!;
  let marks = 0;
  for (let pa = Number(base); pa < Number(base + size); pa += 4096) {
    if (!machine.memory.isTouched(pa)) continue;
    const at = machine.memory.host(pa);
    for (let i = 0; i < 4096; i++) if (machine.memory.u8[at + i] === MARK) marks++;
  }
  expect(marks).toBe(0);
});

describe("refusals", () => {
  const stack = makeStack({ dramMiB: 64 });
  const { host, process } = stack;
  const call = <T>(op: Op<T>) => host.call(op);
  const errno = (result: unknown) => (isKvmError(result) ? result.errno : result);

  test("KVM_CREATE_VM", () => {
    const kvm = openKvm(stack);
    expect(errno(kvm.createVm(KVM_VM_TYPE.MACHINE.of(2)))).toBe("EINVAL");
    expect(errno(kvm.createVm(REALM | 31n))).toBe("EINVAL");
    expect(errno(kvm.createVm(REALM | 49n))).toBe("EINVAL");
    expect(errno(kvm.createVm(1n << 40n))).toBe("EINVAL");
  });

  test("the order of the realm's life", () => {
    const kvm = openKvm(stack);
    const vm = ok(kvm.createVm(REALM | 33n));
    expect(errno(call(vm.initRipasRealmOp({ base: RAM, size: MiB })))).toBe("EPERM");
    expect(errno(call(vm.activateRealmOp()))).toBe("EPERM");
    expect(call(vm.createRealmOp())).toBeUndefined();
    expect(errno(call(vm.createRealmOp()))).toBe("EEXIST");
    expect(errno(vm.configRealm({ cfg: ARM_RME_CONFIG_HASH_ALGO, hash_algo: 1 }))).toBe("EPERM");
    // Memory without guest_memfd cannot be populated.
    const address = ok(process.mmap(MiB));
    ok(vm.setUserMemoryRegion({ slot: 1, guest_phys_addr: RAM, memory_size: MiB, userspace_addr: address }));
    expect(errno(call(vm.populateRealmOp({ base: RAM, size: 4096n })))).toBe("EPERM");
    expect(errno(call(vm.populateRealmOp({ base: RAM + 1n, size: 4096n })))).toBe("EINVAL");
    expect(errno(call(vm.populateRealmOp({ base: RAM, size: 4096n, flags: 2 })))).toBe("EINVAL");
    const vcpu = ok(vm.createVcpu(0));
    expect(errno(vcpu.armVcpuInit({ target: 5, features: [1 << KVM_ARM_VCPU.PSCI_0_2] }))).toBe("EINVAL");
    expect(errno(vcpu.armVcpuInit({ target: 5, features: [1 << KVM_ARM_VCPU.REC] }))).toBe("EINVAL");
    expect(errno(vcpu.armVcpuInit({ target: 4, features: [REC_FEATURES] }))).toBe("EINVAL");
    ok(vcpu.armVcpuInit({ target: 5, features: [REC_FEATURES] }));
    expect(errno(vcpu.setOneReg(KVM_REG.PSTATE, 0n))).toBe("EPERM");
    expect(errno(vcpu.start(() => "stop"))).toBe("EINVAL");
    ok(call(vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC)));
    expect(errno(call(vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC)))).toBe("EPERM");
    ok(call(vm.activateRealmOp()));
    expect(errno(call(vm.activateRealmOp()))).toBe("EPERM");
    expect(errno(call(vm.initRipasRealmOp({ base: RAM, size: MiB })))).toBe("EPERM");
    expect(errno(vm.createVcpu(1))).toBe("EBUSY");
    ok(call(vm.closeOp()));
    expect(errno(vm.createVcpu(2))).toBe("EBADF");
    ok(process.munmap(address));
    expect({ ...host.pages, free: 0 }).toEqual({
      free: 0,
      reserved: 0,
      user: 0,
      guestMemfd: 0,
      realm: 0,
      stage2: 0,
      shared: 0,
      leaked: 0,
    });
  });

  test("calls of another process", () => {
    const other = host.process("other");
    const vm = ok(openKvm(stack).createVm(33n));
    const vcpu = ok(vm.createVcpu(0));
    expect(errno(vm.as(other).createVcpu(1))).toBe("EIO");
    expect(errno(vcpu.as(other).setOneReg(KVM_REG.x(0), 1n))).toBe("EIO");
    expect(errno(vcpu.as(other).start(() => "stop"))).toBe("EIO");
    expect(errno(call(vm.as(other).closeOp()))).toBe("EIO");
    expect(errno(ok(process.openRme()).as(other).createSpace(MiB))).toBe("EIO");
    ok(call(vm.closeOp()));
    ok(call(other.exitOp()));
  });

  test("KVM_ENABLE_CAP carries the same calls as bytes", () => {
    const vm = ok(openKvm(stack).createVm(REALM | 33n));
    const config = new Uint8Array(260);
    config[0] = ARM_RME_CONFIG_HASH_ALGO;
    config[4] = 9;
    expect(errno(call(vm.enableCapOp(KVM_CAP.ARM_RME, [0n], config)))).toBe("EINVAL");
    config[4] = 1;
    expect(call(vm.enableCapOp(KVM_CAP.ARM_RME, [0n], config))).toBeUndefined();
    expect(errno(call(vm.enableCapOp(KVM_CAP.ARM_RME, [0n], config.subarray(0, 100))))).toBe("EFAULT");
    expect(errno(call(vm.enableCapOp(KVM_CAP.ARM_RME, [9n])))).toBe("EINVAL");
    expect(errno(call(vm.enableCapOp(99, [])))).toBe("EINVAL");
    expect(call(vm.enableCapOp(KVM_CAP.ARM_RME_V10, [1n]))).toBeUndefined();
    expect(vm.realmState).toBe("new");
    ok(call(vm.closeOp()));
  });
});

test("private memory is out of the Host's reach", () => {
  const events: string[] = [];
  const stack = makeStack({ dramMiB: 32, trace: ["fault"], listener: (event) => void events.push(event.name) });
  const { host, machine } = stack;
  const { vm, space } = ok(host.call(activeRealm(stack, 2n * MiB)) as KvmResult<Built>);
  const faults = machine.counters.granuleProtectionFaults;
  const into = new Uint8Array(16).fill(MARK);
  const refused = space.guest_memfd.read(0n, into);
  expect(isKvmError(refused) && refused.errno).toBe("EFAULT");
  expect(into.every((byte) => byte === MARK)).toBe(true);
  expect(machine.counters.granuleProtectionFaults).toBe(faults + 1);
  expect(host.counters.granuleFaults).toBe(1);
  expect(events).toContain("GPF");
  expect(events).toContain("Host access refused");
  ok(host.call(vm.closeOp()));
});

test("memory pressure: pages come back wiped, and punched holes as well", () => {
  const stack = makeStack({ dramMiB: 32 });
  const { host } = stack;
  const { vm, space } = ok(host.call(activeRealm(stack, 4n * MiB)) as KvmResult<Built>);
  expect(host.pages.guestMemfd).toBe(512);
  expect(host.call(host.reclaimOp(vm, RAM, 0x10_0000n))).toBe(256);
  expect(host.pages.guestMemfd).toBe(256);
  ok(host.call(space.guest_memfd.punchHoleOp(0x10_0000n, 0x8_0000n)));
  expect(host.pages.guestMemfd).toBe(128);
  ok(host.call(vm.closeOp()));
  expect(host.pages.guestMemfd).toBe(0);
  expect(host.pages.leaked).toBe(0);
});

test("too little memory is ENOMEM, and nothing is lost", () => {
  const stack = makeStack({ dramMiB: 8 });
  const { host } = stack;
  const result = host.call(
    (function* (): Op<KvmResult> {
      const { vm } = yield* newRealm(stack, 8n * MiB);
      const failed = yield* vm.populateRealmOp({ base: RAM, size: 8n * MiB });
      ok(yield* vm.closeOp());
      return failed;
    })(),
  );
  expect(isKvmError(result) && result.errno).toBe("ENOMEM");
  ok(host.call(stack.process.exitOp()));
  expect(host.pages.free).toBe(2048);
});
