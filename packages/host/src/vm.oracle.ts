/** Builds VMs for tests as a VMM does: memory, VGIC, vCPUs; the guest is a program of asm.oracle.ts. */
import {
  ARM_RME_POPULATE_FLAGS_MEASURE,
  KVM_ARM_VCPU,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_EXIT,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_REG,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
  KVM_VM_TYPE,
  KvmSmcccFilter,
} from "@realmbox/abi";
import {
  type GuestMemfd,
  isKvmError,
  type KvmResult,
  type KvmRun,
  type OnExit,
  type Op,
  type Process,
  type Vcpu,
  type Vm,
} from "./index.js";
import type { Stack } from "./stack.oracle.js";

export const RAM = 0x8000_0000n;
export const GICD = 0x3fff_0000n;
export const gicr = (vcpus: number): bigint => GICD - BigInt(vcpus) * 0x2_0000n;
export const UART = 0x100_0000n;
/** A function id that the tests' VMM takes: x1 is a value for `values`. */
export const REPORT = 0xc600_0f00;

export function ok<T>(result: KvmResult<T>): T {
  if (isKvmError(result)) throw new Error(`${result.errno}: ${result.why}`);
  return result;
}

export interface Guest {
  readonly vm: Vm;
  readonly vcpus: readonly Vcpu[];
  readonly memory: bigint;
  readonly guestMemfd: GuestMemfd | undefined;
  readonly process: Process;
  /** Exits that reached the VMM. */
  readonly exits: { readonly vcpu: number; readonly reason: number; readonly errno: string | undefined }[];
  /** Values that the guest reported by REPORT. */
  readonly values: bigint[];
  readonly writes: { readonly gpa: bigint; readonly len: number; readonly value: bigint }[];
}

export interface GuestOptions {
  readonly realm: boolean;
  readonly code: Uint8Array;
  readonly vcpus?: number;
  readonly memory?: bigint;
  /** What a read of an MMIO register gives. */
  readonly mmioRead?: (gpa: bigint) => bigint | "abort";
  /** Other exits; the default is to stop. */
  readonly onExit?: OnExit;
  readonly process?: Process;
  /** Leave out the interrupt controller. */
  readonly withoutGic?: boolean;
}

export function* buildGuest(stack: Stack, options: GuestOptions): Op<Guest> {
  const { realm, code, vcpus: count = 1, memory: size = 2n << 20n } = options;
  const process = options.process ?? stack.process;
  const kvm = ok(process.openKvm());
  const vm = ok(kvm.createVm(realm ? KVM_VM_TYPE.MACHINE.of(1) | 33n : 32n));
  if (realm) ok(yield* vm.createRealmOp());
  const slot = { slot: 0, guest_phys_addr: RAM, memory_size: size };
  let memory: bigint;
  let guestMemfd: GuestMemfd | undefined;
  if (realm) {
    const space = ok(ok(process.openRme()).createSpace(size));
    memory = space.userspace_addr;
    const { guest_memfd } = space;
    guestMemfd = guest_memfd;
    ok(vm.setUserMemoryRegion({ ...slot, flags: KVM_MEM_GUEST_MEMFD, userspace_addr: memory, guest_memfd }));
    ok(yield* vm.setMemoryAttributesOp({ address: RAM, size, attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE }));
  } else {
    memory = ok(process.mmap(size));
    ok(vm.setUserMemoryRegion({ ...slot, userspace_addr: memory }));
  }
  ok(process.write(memory, code));
  if (realm) {
    ok(yield* vm.initRipasRealmOp({ base: RAM, size }));
    const pages = BigInt((code.length + 4095) & ~4095);
    ok(yield* vm.populateRealmOp({ base: RAM, size: pages, flags: ARM_RME_POPULATE_FLAGS_MEASURE }));
  }
  const gic = options.withoutGic ? undefined : ok(vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3));
  const address = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
  if (gic) {
    ok(gic.setDeviceAttr(KVM_DEV_ARM_VGIC_GRP.ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, address(GICD)));
    ok(gic.setDeviceAttr(KVM_DEV_ARM_VGIC_GRP.ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, address(gicr(count))));
  }
  const vcpus: Vcpu[] = [];
  for (let id = 0; id < count; id++) {
    const vcpu = ok(vm.createVcpu(id));
    let features = 1 << KVM_ARM_VCPU.PSCI_0_2;
    if (id > 0) features |= 1 << KVM_ARM_VCPU.POWER_OFF;
    if (realm) features |= 1 << KVM_ARM_VCPU.REC;
    ok(vcpu.armVcpuInit({ target: 5, features: [features] }));
    if (id === 0) ok(vcpu.setOneReg(KVM_REG.PC, RAM));
    if (realm) ok(yield* vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC));
    vcpus.push(vcpu);
  }
  const filter = KvmSmcccFilter.encode({ base: REPORT, nr_functions: 1, action: KVM_SMCCC_FILTER_FWD_TO_USER });
  ok(vm.setDeviceAttr(KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, filter));
  if (gic) ok(gic.setDeviceAttr(KVM_DEV_ARM_VGIC_GRP.CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT));
  if (realm) ok(yield* vm.activateRealmOp());
  return { vm, vcpus, memory, guestMemfd, process, exits: [], values: [], writes: [] };
}

/** Builds a guest, or throws. */
export function makeGuest(stack: Stack, options: GuestOptions): Guest {
  return ok(stack.host.call(buildGuest(stack, options)) as KvmResult<Guest>);
}

const mmioValue = (run: KvmRun): bigint =>
  run.mmio.data.subarray(0, run.mmio.len).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** The VMM of the tests: answers MMIO, collects reports, converts memory, stops at everything else. */
export function vmmOf(guest: Guest, options: Pick<GuestOptions, "mmioRead" | "onExit">): OnExit {
  return (vcpu, run) => {
    guest.exits.push({ vcpu: vcpu.id, reason: run.exit_reason, errno: run.error?.errno });
    if (run.exit_reason === KVM_EXIT.MMIO && !run.error) {
      if (run.mmio.is_write) {
        guest.writes.push({ gpa: run.mmio.phys_addr, len: run.mmio.len, value: mmioValue(run) });
        return "run";
      }
      const value = options.mmioRead?.(run.mmio.phys_addr);
      if (value === "abort") ok(vcpu.setVcpuEvents({ ext_dabt_pending: true }));
      else if (value !== undefined) new DataView(run.mmio.data.buffer).setBigUint64(0, value, true);
      return "run";
    }
    if (run.exit_reason === KVM_EXIT.HYPERCALL && run.hypercall.nr === BigInt(REPORT)) {
      guest.values.push(ok(vcpu.getOneReg(KVM_REG.x(1))));
      return "run";
    }
    return options.onExit?.(vcpu, run) ?? "stop";
  };
}

/** Starts all vCPUs and runs the machine until the first thread stops, or `instructions` are spent. */
export function runGuest(
  stack: Stack,
  guest: Guest,
  options: Pick<GuestOptions, "mmioRead" | "onExit"> & { readonly instructions?: number } = {},
): string {
  const serve = vmmOf(guest, options);
  const onExit: OnExit = (vcpu, run) => {
    const answer = serve(vcpu, run);
    if (answer === "stop") stack.machine.stop("guest stopped");
    return answer;
  };
  for (const vcpu of guest.vcpus) if (!vcpu.started) ok(vcpu.start(onExit));
  return stack.machine.run({ instructions: options.instructions ?? 10_000_000 }).kind;
}
