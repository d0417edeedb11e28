/**
 * Builds the guest's machine with the Host's KVM calls, as kvmtool does after its options are read: VM, realm, memory and
 * images, vCPUs, interrupt controller (kvmtool, the init lists of core, base, late and last). For a realm it carries out a
 * RealmPlan, by the explicit calls of KVM_CAP_ARM_RME (CCA series v9).
 */
import {
  ARM_RME_CONFIG_HASH_ALGO,
  ARM_RME_CONFIG_PMU,
  ARM_RME_CONFIG_RPV,
  ARM_RME_HASH_ALGO_SHA256,
  ARM_RME_HASH_ALGO_SHA512,
  ARM_RME_POPULATE_FLAGS_MEASURE,
  GUEST_EXIT,
  KVM_API_VERSION,
  KVM_ARM_VCPU,
  KVM_ARM_VCPU_PMU_V3_CTRL,
  KVM_ARM_VCPU_PMU_V3_INIT,
  KVM_ARM_VCPU_PMU_V3_IRQ,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_REG,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
  KVM_VM_TYPE,
  KVM_VM_TYPE_ARM_NORMAL,
  KVM_VM_TYPE_ARM_REALM,
  KvmSmcccFilter,
  layout,
  PPI,
  RMI_REALM_FLAGS,
  SPSR_EL1H_MASKED,
  u32,
  u64,
} from "@realmbox/abi";
import { type GuestMemfd, isKvmError, type KvmResult, type Op, type Process, type Vcpu, type Vm } from "@realmbox/host";
import type { MachineContent } from "./config.js";
import { failure, type Result, success } from "./error.js";
import { GIC_DIST_BASE, gicInterruptCount, gicRedistBase } from "./memory-map.js";
import type { RealmPlan } from "./realm/plan.js";

export interface BuiltMachine {
  readonly vm: Vm;
  readonly vcpus: readonly Vcpu[];
  readonly memory: GuestMemory;
}

/** The guest's RAM as the VMM has it. */
export interface GuestMemory {
  /** Address in the VMM's own memory of the first byte of RAM; for a realm: of what it shares. */
  readonly address: bigint;
  /** A realm's private half. */
  readonly guestMemfd?: GuestMemfd;
}

/** A step that was done, for whoever shows progress. bigint prints as hexadecimal. */
export interface BuildStep {
  /** The call's own name. */
  readonly name: string;
  readonly fields: Readonly<Record<string, string | number | bigint>>;
}

export interface BuildOptions {
  readonly process: Process;
  readonly content: MachineContent;
  /** For a realm. */
  readonly plan: RealmPlan | undefined;
  readonly onStep?: (step: BuildStep) => void;
}

/** A call that the Host refused; caught below and made a value. */
class Refused extends Error {}

function must<T>(call: string, result: KvmResult<T>): T {
  if (isKvmError(result)) throw new Refused(`${call}: ${result.errno} (${result.why})`);
  return result;
}

/** Builds the machine, ready to run. On failure everything is given back. */
export function* buildMachine(options: BuildOptions): Op<Result<BuiltMachine>> {
  try {
    return success(yield* build(options));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    yield* options.process.exitOp();
    return failure("host-refused", error.message);
  }
}

function* build({ process, content, plan, onStep = () => {} }: BuildOptions): Op<BuiltMachine> {
  const { ram, realm, cpus } = content;
  const kvm = must("open /dev/kvm", process.openKvm());
  const version = must("KVM_GET_API_VERSION", kvm.getApiVersion());
  if (version !== KVM_API_VERSION) throw new Refused(`KVM_GET_API_VERSION: ${version}, not ${KVM_API_VERSION}`);
  const machine = realm ? KVM_VM_TYPE_ARM_REALM : KVM_VM_TYPE_ARM_NORMAL;
  const vm = must(
    "KVM_CREATE_VM",
    kvm.createVm(KVM_VM_TYPE.MACHINE.of(machine) | KVM_VM_TYPE.IPA_SIZE.of(content.ipaBits)),
  );
  onStep({ name: "KVM_CREATE_VM", fields: { type: realm ? "realm" : "normal", ipa_bits: content.ipaBits } });

  if (plan !== undefined) yield* createRealm(vm, plan, onStep);
  const gic = createGic(vm, cpus, content.virtio.length);
  const memory = yield* createMemory(process, vm, content);
  onStep({ name: "KVM_SET_USER_MEMORY_REGION", fields: { base: ram.base, size: ram.size } });
  loadImages(process, memory.address, content);
  if (plan !== undefined) {
    yield* populateRealm(vm, plan, {
      onStep,
      /** The realm has its own copy: the pages that it was made from serve for what is populated next. */
      populated: (base, size) => must("madvise", process.dontNeed(memory.address + (base - ram.base), size)),
    });
  }

  const vcpus: Vcpu[] = [];
  for (let id = 0; id < cpus; id++) vcpus.push(yield* createVcpu(vm, id, content, onStep));
  forwardGuestChannel(vm);
  must("VGIC CTRL_INIT", gic.setDeviceAttr(KVM_DEV_ARM_VGIC_GRP.CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT));
  if (plan !== undefined) {
    must("ACTIVATE_REALM", yield* vm.activateRealmOp());
    onStep({ name: "ACTIVATE_REALM", fields: {} });
  }
  return { vm, vcpus, memory };
}

type OnStep = (step: BuildStep) => void;

function* createRealm(vm: Vm, { parameters, rpv }: RealmPlan, onStep: OnStep): Op<void> {
  const { hashAlgorithm } = parameters;
  const hash_algo = hashAlgorithm === "sha-512" ? ARM_RME_HASH_ALGO_SHA512 : ARM_RME_HASH_ALGO_SHA256;
  must("CONFIG_REALM (hash)", vm.configRealm({ cfg: ARM_RME_CONFIG_HASH_ALGO, hash_algo }));
  must("CONFIG_REALM (RPV)", vm.configRealm({ cfg: ARM_RME_CONFIG_RPV, rpv }));
  if (parameters.flags & RMI_REALM_FLAGS.PMU.mask)
    must("CONFIG_REALM (PMU)", vm.configRealm({ cfg: ARM_RME_CONFIG_PMU, num_pmu_cntrs: parameters.pmuNumCtrs }));
  must("CREATE_REALM", yield* vm.createRealmOp());
  onStep({ name: "CREATE_REALM", fields: { hash: hashAlgorithm, s2sz: parameters.s2sz } });
}

/** Bytes that are populated at a time: what the source of one such piece takes is all that a large image takes twice. */
const POPULATE_SIZE = 1n << 20n;

function* populateRealm(
  vm: Vm,
  { ripas, populate }: RealmPlan,
  { onStep, populated }: { readonly onStep: OnStep; populated(base: bigint, size: bigint): void },
): Op<void> {
  const { base, top } = ripas;
  must("INIT_RIPAS_REALM", yield* vm.initRipasRealmOp({ base, size: top - base }));
  onStep({ name: "INIT_RIPAS_REALM", fields: { base, top } });
  for (const { what, base, top } of populate) {
    const flags = ARM_RME_POPULATE_FLAGS_MEASURE;
    for (let at = base; at < top; at += POPULATE_SIZE) {
      const size = top - at < POPULATE_SIZE ? top - at : POPULATE_SIZE;
      must(`POPULATE_REALM (${what})`, yield* vm.populateRealmOp({ base: at, size, flags }));
      populated(at, size);
    }
    onStep({ name: "POPULATE_REALM", fields: { what, base, top } });
  }
}

const U32 = layout("u32", 4, { value: u32(0) });
const U64 = layout("u64", 8, { value: u64(0) });

function createGic(vm: Vm, cpus: number, virtioDevices: number) {
  const gic = must("KVM_CREATE_DEVICE (VGICv3)", vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3));
  const { ADDR, NR_IRQS } = KVM_DEV_ARM_VGIC_GRP;
  const setAddress = (what: string, type: bigint, value: bigint) =>
    must(`VGIC ${what}`, gic.setDeviceAttr(ADDR, type, U64.encode({ value })));
  setAddress("distributor address", KVM_VGIC_V3_ADDR_TYPE_DIST, GIC_DIST_BASE);
  setAddress("redistributor address", KVM_VGIC_V3_ADDR_TYPE_REDIST, gicRedistBase(cpus));
  must("VGIC NR_IRQS", gic.setDeviceAttr(NR_IRQS, 0n, U32.encode({ value: gicInterruptCount(virtioDevices) })));
  return gic;
}

function* createMemory(process: Process, vm: Vm, { ram, realm }: MachineContent): Op<GuestMemory> {
  const slot = { slot: 0, guest_phys_addr: ram.base, memory_size: ram.size };
  if (!realm) {
    const address = must("mmap of the guest's RAM", process.mmap(ram.size));
    must("KVM_SET_USER_MEMORY_REGION", vm.setUserMemoryRegion({ ...slot, userspace_addr: address }));
    return { address };
  }
  const rme = must("open /dev/rme", process.openRme());
  const { userspace_addr, guest_memfd } = must("RME_CREATE_SPACE", rme.createSpace(ram.size));
  const flags = KVM_MEM_GUEST_MEMFD;
  must(
    "KVM_SET_USER_MEMORY_REGION2",
    vm.setUserMemoryRegion({ ...slot, flags, userspace_addr, guest_memfd, guest_memfd_offset: 0n }),
  );
  const attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE;
  const range = { address: ram.base, size: ram.size, attributes };
  must("KVM_SET_MEMORY_ATTRIBUTES", yield* vm.setMemoryAttributesOp(range));
  return { address: userspace_addr, guestMemfd: guest_memfd };
}

/** Puts the images where the guest finds them; for a realm this is what POPULATE_REALM copies from. */
function loadImages(process: Process, address: bigint, { ram, placement, deviceTree }: MachineContent): void {
  const load = (what: string, ipa: bigint, bytes: Uint8Array) =>
    must(`loading the ${what}`, process.write(address + (ipa - ram.base), bytes));
  for (const segment of placement.kernel.segments) load("kernel", segment.address, segment.bytes);
  if (placement.initrd !== undefined) load("initrd", placement.initrd.start, placement.initrd.bytes);
  load("device tree", placement.fdt, deviceTree);
}

/** Creates a vCPU as after reset: the first runs from the entry point, the others wait for PSCI CPU_ON. */
function* createVcpu(vm: Vm, id: number, { realm, pmu, entry, placement }: MachineContent, onStep: OnStep): Op<Vcpu> {
  const vcpu = must("KVM_CREATE_VCPU", vm.createVcpu(id));
  const { target } = must("KVM_ARM_PREFERRED_TARGET", vm.preferredTarget());
  let features = 1 << KVM_ARM_VCPU.PSCI_0_2;
  if (id > 0) features |= 1 << KVM_ARM_VCPU.POWER_OFF;
  if (realm) features |= 1 << KVM_ARM_VCPU.REC;
  if (pmu) features |= 1 << KVM_ARM_VCPU.PMU_V3;
  must("KVM_ARM_VCPU_INIT", vcpu.armVcpuInit({ target, features: [features] }));

  if (pmu) {
    const intid = U32.encode({ value: PPI.PMU });
    must("PMU_V3 IRQ", vcpu.setDeviceAttr(KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, intid));
    must("PMU_V3 INIT", vcpu.setDeviceAttr(KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, new Uint8Array(0)));
  }
  const set = (name: string, register: bigint, value: bigint) =>
    must(`KVM_SET_ONE_REG (${name})`, vcpu.setOneReg(register, value));
  if (!realm) set("PSTATE", KVM_REG.PSTATE, SPSR_EL1H_MASKED);
  for (const n of [1, 2, 3]) set(`X${n}`, KVM_REG.x(n), 0n);
  if (id === 0) {
    set("X0", KVM_REG.x(0), placement.fdt);
    set("PC", KVM_REG.PC, entry);
  }
  if (realm) must("KVM_ARM_VCPU_FINALIZE (REC)", yield* vcpu.armVcpuFinalizeOp(KVM_ARM_VCPU.REC));
  const pc = id === 0 ? { pc: entry, x0: placement.fdt } : {};
  onStep({ name: realm ? "KVM_ARM_VCPU_FINALIZE" : "KVM_ARM_VCPU_INIT", fields: { vcpu: id, ...pc } });
  return vcpu;
}

/** Function ids of the guest's channel: one run, from GUEST_EXIT on. */
const GUEST_CHANNEL_FUNCTIONS = 3;

/** Hands the guest channel's calls to this VMM instead of answering them in the kernel. */
function forwardGuestChannel(vm: Vm): void {
  const filter = KvmSmcccFilter.encode({
    base: Number(GUEST_EXIT),
    nr_functions: GUEST_CHANNEL_FUNCTIONS,
    action: KVM_SMCCC_FILTER_FWD_TO_USER,
  });
  must("KVM_ARM_VM_SMCCC_FILTER", vm.setDeviceAttr(KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, filter));
}
