/**
 * A VMM that calls anything with anything, in any order, on two VMs and their vCPUs: every call gives a value or an errno,
 * nothing throws, and in the end every page is back. Seeded: a failure prints its seed.
 */
import { KVM_ARM_VCPU, KVM_CAP, KVM_REG, KVM_VM_TYPE } from "@realmbox/abi";
import { expect, test } from "vitest";
import { b, label, program } from "../asm.oracle.js";
import { type Device, type GuestMemfd, isKvmError, type Op, type Vcpu, type Vm } from "../index.js";
import { makeStack } from "../stack.oracle.js";
import { makeGuest, ok, RAM } from "../vm.oracle.js";

/** xorshift32. */
function randomFrom(seed: number) {
  let state = seed | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const below = (limit: number) => next() % limit;
  return { next, below, pick: <T>(list: readonly T[]): T => list[below(list.length)]! };
}

const PAGE = 0x1000n;
const CALLS = 1500;

test.each([1, 2, 3, 4])("seed %i", (seed) => {
  const { next, below, pick } = randomFrom(seed * 7919);
  const stack = makeStack({ dramMiB: 16, pes: 2 });
  const { host, process } = stack;
  const pages = { ...host.pages };
  const kvm = ok(process.openKvm());
  const rme = ok(process.openRme());
  const vms: Vm[] = [];
  const vcpus: Vcpu[] = [];
  const devices: Device[] = [];
  const files: GuestMemfd[] = [];
  const memory = [ok(process.mmap(1n << 20n)), ok(process.mmap(8n << 12n))];
  const spin = program(label("spin"), b("spin"));
  ok(process.write(memory[0]!, spin));
  // A realm and a normal VM that are ready to run: what follows hits them, too.
  for (const realm of [true, false]) {
    const guest = makeGuest(stack, { realm, code: spin, vcpus: 2, memory: 1n << 20n });
    vms.push(guest.vm);
    vcpus.push(...guest.vcpus);
    if (guest.guestMemfd) files.push(guest.guestMemfd);
  }

  const address = (): bigint =>
    pick([0n, RAM, RAM + PAGE * BigInt(below(300)), BigInt(next()), BigInt(next()) << 12n, 1n << 32n, -PAGE]);
  const size = (): bigint => pick([0n, PAGE, PAGE * BigInt(below(64)), 1n << 20n, BigInt(next()), -1n]);
  const bytes = (): Uint8Array =>
    Uint8Array.from({ length: pick([0, 4, 8, 16, 24, 32, 260]) }, () => pick([0, 1, below(256)]));
  const word = (): bigint =>
    pick([0n, 1n, BigInt(below(16)), BigInt(next()), (BigInt(next()) << 32n) | BigInt(next())]);

  const run = <T>(op: Op<T>) => host.call(op);
  const keep = <T>(list: T[], value: T | { errno: string }): unknown => {
    if (!isKvmError(value)) list.push(value as T);
    return value;
  };
  const withVm: ((vm: Vm) => unknown)[] = [
    (vm) => keep(vcpus, vm.createVcpu(below(5) - 1)),
    (vm) =>
      vm.setUserMemoryRegion({
        slot: below(4) - 1,
        flags: pick([0, 0, 2, 4, 4, below(16)]),
        guest_phys_addr: address(),
        memory_size: size(),
        userspace_addr: pick([...memory, address()]),
        ...(files.length > 0 && below(2) === 0 ? { guest_memfd: pick(files) } : {}),
        guest_memfd_offset: pick([0n, 0n, size()]),
      }),
    (vm) => run(vm.deleteUserMemoryRegionOp(below(3))),
    (vm) => keep(files, vm.createGuestMemfd(size(), pick([0n, 0n, 1n]))),
    (vm) =>
      run(
        vm.setMemoryAttributesOp({
          address: address(),
          size: pick([PAGE, 1n << 20n, -1n]),
          attributes: pick([0n, 8n, 1n]),
        }),
      ),
    (vm) => vm.irqLine(pick([(1 << 24) | below(300), (2 << 24) | below(64), next()]), below(2) === 0),
    (vm) => keep(devices, vm.createDevice(pick([7, 0x524d, below(20)]), pick([0, 0, 1, 2]))),
    (vm) => run(vm.enableCapOp(pick([KVM_CAP.ARM_RME, KVM_CAP.ARM_RME_V1, below(400)]), [word()], bytes())),
    (vm) => vm.configRealm({ cfg: below(3), hash_algo: below(3), rpv: bytes() }),
    (vm) => run(vm.createRealmOp()),
    (vm) => run(vm.initRipasRealmOp({ base: address(), size: pick([PAGE, PAGE * BigInt(below(600)), -1n]) })),
    (vm) =>
      run(vm.populateRealmOp({ base: address(), size: pick([PAGE, PAGE * BigInt(below(20)), -1n]), flags: below(3) })),
    (vm) => (below(4) === 0 ? run(vm.activateRealmOp()) : undefined),
    (vm) => vm.setDeviceAttr(below(2), word(), bytes()),
    (vm) => run(host.reclaimOp(vm, address(), PAGE * 4n)),
    (vm) => (below(10) === 0 ? run(vm.closeOp()) : undefined),
  ];
  const withVcpu: ((vcpu: Vcpu) => unknown)[] = [
    (vcpu) =>
      vcpu.armVcpuInit({
        target: pick([5, 5, 5, below(7)]),
        features: [pick([4, 5, (1 << KVM_ARM_VCPU.REC) | 4, (1 << KVM_ARM_VCPU.REC) | 5, below(2048)])],
      }),
    (vcpu) => run(vcpu.armVcpuFinalizeOp(pick([KVM_ARM_VCPU.REC, below(12)]))),
    (vcpu) => vcpu.setOneReg(pick([KVM_REG.PC, KVM_REG.PSTATE, KVM_REG.x(below(31)), word()]), pick([RAM, word()])),
    (vcpu) => vcpu.getOneReg(pick([KVM_REG.PC, KVM_REG.x(below(31)), word()])),
    (vcpu) => vcpu.setMpState(below(12)),
    (vcpu) => vcpu.setVcpuEvents({ ext_dabt_pending: below(2) === 0, serror_pending: below(2) === 0 }),
    (vcpu) => vcpu.setDeviceAttr(below(3), word(), bytes()),
    (vcpu) => run(vcpu.rmmPsciCompleteOp({ target_mpidr: word(), psci_status: -below(4) })),
    (vcpu) => vcpu.start((_vcpu, page) => (page.error?.errno === "EINTR" || below(4) === 0 ? "stop" : "run")),
    (vcpu) => vcpu.interrupt(),
  ];
  const others: (() => unknown)[] = [
    () =>
      vms.length < 6 ? keep(vms, kvm.createVm(pick([KVM_VM_TYPE.MACHINE.of(1) | 33n, 33n, 0n, word()]))) : undefined,
    () => stack.machine.run({ instructions: below(20_000) }),
    () => (files.length > 0 ? run(pick(files).punchHoleOp(size(), size())) : undefined),
    () => (files.length > 0 ? pick(files).read(size(), new Uint8Array(below(5000))) : undefined),
    () => process.read(address(), new Uint8Array(below(5000))),
    () => process.write(pick([memory[1]!, address()]), new Uint8Array(below(5000))),
    () => {
      const space = rme.createSpace(pick([PAGE, size()]));
      return isKvmError(space) ? space : run(rme.destroySpaceOp(space));
    },
    () => (devices.length > 0 ? pick(devices).setDeviceAttr(below(8), word(), bytes()) : undefined),
    () => (devices.length > 0 ? run(pick(devices).setDeviceAttrOp(below(8), pick([0n, word()]), bytes())) : undefined),
    () => (devices.length > 0 ? pick(devices).getDeviceAttr(below(8), word(), bytes()) : undefined),
  ];
  let refused = 0;
  for (let n = 0; n < CALLS; n++) {
    const kind = below(10);
    let result: unknown;
    if (kind < 5 && vms.length > 0) result = pick(withVm)(pick(vms));
    else if (kind < 8 && vcpus.length > 0) result = pick(withVcpu)(pick(vcpus));
    else result = pick(others)();
    if (isKvmError(result)) refused++;
  }
  expect(refused).toBeGreaterThan(CALLS / 10);
  expect(run(process.exitOp())).toBeUndefined();
  expect({ ...host.pages }).toEqual(pages);
});
