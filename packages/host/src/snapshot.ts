/**
 * The Host's state as plain data. Pages, tables and REC run pages are in the machine's memory; here is what the kernel
 * knows beside it. A snapshot can be taken while no operation is under way: operations are generators, and guest code
 * never runs inside one.
 *
 * Threads come back without their VMM: `Vcpu.start` gives a restored thread its `OnExit` again and goes on with it.
 */
import { invariant } from "@realmbox/abi";
import type { Kernel } from "./kernel.js";
import type { HostCounters, RmmInfo } from "./kvm/api.js";
import { type GuestFile, ProcessCore } from "./kvm/process.js";
import { type SmcccFilter, VmCore } from "./kvm/vm-core.js";
import type { AddressSpaceState } from "./memory/address-space.js";
import type { AllocatorState } from "./memory/allocator.js";
import { PrivatePages } from "./memory/slots.js";
import { Stage2 } from "./memory/stage2.js";
import { Realm, type RealmSnapshot, type Rec } from "./rmi/realm.js";
import type { ThreadState, VcpuCore } from "./vcpu/vcpu.js";
import type { VgicState } from "./vgic/vgic.js";

interface KernelState {
  readonly allocator: AllocatorState;
  readonly counters: HostCounters;
  readonly vmids: number[];
  readonly realmVmids: number[];
  readonly rmm: { readonly version: string; readonly features0: string } | null;
  readonly ready: boolean;
  readonly peLists: number;
  readonly realmLists: number;
  readonly nextVmId: number;
  readonly processes: readonly ProcessState[];
  readonly vms: readonly VmState[];
  readonly pes: readonly PeState[];
}

interface ProcessState {
  readonly name: string;
  readonly memory: AddressSpaceState;
  readonly timer: { readonly at: number; readonly home: number };
  readonly files: readonly ({ readonly size: string; readonly pages: readonly number[]; readonly vm: number } | null)[];
}

interface VmState {
  readonly id: number;
  readonly owner: string;
  readonly ipaBits: number;
  readonly vmid: number;
  readonly realm: RealmSnapshot | null;
  readonly stage2: ReturnType<Stage2["save"]> | null;
  readonly slots: readonly SlotState[];
  readonly privatePages: [number, number][];
  readonly sharedMapped: [number, number][];
  readonly timers: { readonly virtual: number; readonly physical: number };
  readonly pmu: number;
  readonly vgic: VgicState | null;
  readonly hasRealmDevice: boolean;
  readonly counterOffset: number;
  readonly nisvToUser: boolean;
  readonly hasRun: boolean;
  readonly filters: readonly SmcccFilter[];
  readonly vcpus: readonly VcpuState[];
}

interface SlotState {
  readonly id: number;
  readonly readOnly: boolean;
  readonly base: string;
  readonly size: string;
  readonly userspaceAddr: string;
  readonly file: number;
  readonly privateOffset: string;
}

interface VcpuState {
  readonly id: number;
  readonly features: number;
  readonly words: readonly string[];
  readonly numbers: readonly number[];
  readonly rec: Rec | null;
  readonly ripas: { readonly base: string; readonly top: string; readonly value: number } | null;
  readonly psciTarget: string | null;
  readonly loaded: boolean;
  readonly state: ThreadState;
  readonly deadline: number;
  readonly lists: readonly number[];
  readonly mmio: {
    readonly phys: string;
    readonly data: readonly number[];
    readonly len: number;
    readonly write: boolean;
  };
}

interface PeState {
  readonly booted: boolean;
  /** [VM id, vCPU id] of each. */
  readonly running: readonly [number, number] | null;
  readonly next: readonly [number, number] | null;
  readonly runQueue: readonly (readonly [number, number])[];
  readonly maskedPpis: number;
  readonly timerDeadline: number;
  readonly sliceOwner: readonly [number, number] | null;
  readonly sliceEnd: number;
}

const NEVER = -1;
const bound = (count: number): number => (count === Infinity ? NEVER : count);
const unbound = (count: number): number => (count === NEVER ? Infinity : count);

export function saveKernel(kernel: Kernel): KernelState {
  invariant(!kernel.busy, "a snapshot is taken while no operation is under way");
  const name = (vcpu: VcpuCore | undefined) => (vcpu ? ([vcpu.vm.id, vcpu.id] as const) : null);
  return {
    allocator: kernel.allocator.save(),
    counters: structuredCopy(kernel.counters),
    vmids: kernel.vmids.save(),
    realmVmids: kernel.realmVmids.save(),
    rmm: kernel.rmm ? { version: kernel.rmm.version.toString(), features0: kernel.rmm.features0.toString() } : null,
    ready: kernel.ready,
    peLists: kernel.peLists,
    realmLists: kernel.realmLists,
    nextVmId: kernel.nextVmId,
    processes: [...kernel.processes.values()].map(saveProcess),
    vms: kernel.vms.map(saveVm),
    pes: kernel.contexts.map((c) => ({
      booted: c.booted,
      running: name(c.running),
      next: name(c.next),
      runQueue: c.runQueue.map((vcpu) => name(vcpu)!),
      maskedPpis: c.maskedPpis,
      timerDeadline: bound(c.timerDeadline),
      sliceOwner: name(c.sliceOwner),
      sliceEnd: c.sliceEnd,
    })),
  };
}

const structuredCopy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

function saveProcess(process: ProcessCore): ProcessState {
  return {
    name: process.name,
    memory: process.memory.save(),
    timer: { at: bound(process.timerAt), home: process.timerHome },
    files: process.files.map((file) =>
      file ? { size: file.pages.size.toString(), pages: [...file.pages.pages], vm: file.vm?.id ?? 0 } : null,
    ),
  };
}

function saveVm(vm: VmCore): VmState {
  return {
    id: vm.id,
    owner: vm.owner.name,
    ipaBits: vm.ipaBits,
    vmid: vm.vmid,
    realm: vm.realm?.save() ?? null,
    stage2: vm.stage2?.save() ?? null,
    slots: vm.slots.all.map((slot) => ({
      id: slot.id,
      readOnly: slot.readOnly,
      base: slot.base.toString(),
      size: slot.size.toString(),
      userspaceAddr: slot.userspaceAddr.toString(),
      file: vm.owner.files.findIndex((file) => file !== undefined && file.pages === slot.privatePages),
      privateOffset: slot.privateOffset.toString(),
    })),
    privatePages: vm.privatePages.save(),
    sharedMapped: vm.sharedMapped.save(),
    timers: { ...vm.timerIntids },
    pmu: vm.pmuIntid,
    vgic: vm.vgic?.save() ?? null,
    hasRealmDevice: vm.hasRealmDevice,
    counterOffset: vm.counterOffset,
    nisvToUser: vm.nisvToUser,
    hasRun: vm.hasRun,
    filters: vm.filters,
    vcpus: vm.vcpus.map(saveVcpu),
  };
}

/** The 64-bit values of a vCPU that are not in arrays, in the order of `saveVcpu` and `restoreVcpu`. */
const WORDS = ["pc", "pstate", "enterGpr0", "ap0r", "ap1r", "mmioEsr", "mmioFar"] as const;
const NUMBERS = [
  "enterFlags",
  "listsShown",
  "vmcr",
  "cntvCtl",
  "cntvCval",
  "cntpCtl",
  "cntpCval",
  "completion",
] as const;
const FLAGS = [
  "powered",
  "handGprs",
  "psciOn",
  "injectAbort",
  "injectSError",
  "signal",
  "kicked",
  "pmuAsserted",
] as const;

function saveVcpu(vcpu: VcpuCore): VcpuState {
  const { mmio } = vcpu.run;
  return {
    id: vcpu.id,
    features: vcpu.features ?? NEVER,
    words: [...vcpu.gprs, ...vcpu.el1, ...vcpu.debug, ...vcpu.fp, ...vcpu.pmu, ...WORDS.map((name) => vcpu[name])].map(
      String,
    ),
    numbers: [...NUMBERS.map((name) => vcpu[name]), ...FLAGS.map((name) => Number(vcpu[name]))],
    rec: vcpu.rec ?? null,
    ripas: vcpu.ripas
      ? { base: vcpu.ripas.base.toString(), top: vcpu.ripas.top.toString(), value: vcpu.ripas.value }
      : null,
    psciTarget: vcpu.psciTarget?.toString() ?? null,
    loaded: vcpu.loadedOn !== undefined,
    state: vcpu.state,
    deadline: bound(vcpu.deadline),
    lists: vcpu.lists.save(),
    mmio: { phys: mmio.phys_addr.toString(), data: [...mmio.data], len: mmio.len, write: mmio.is_write },
  };
}

export function restoreKernel(kernel: Kernel, data: unknown): void {
  invariant(typeof data === "object" && data !== null && "allocator" in data, "snapshot of the Host");
  const state = data as KernelState;
  invariant(state.pes.length === kernel.contexts.length, "snapshot of a machine with as many PEs");
  kernel.allocator.restore(state.allocator);
  Object.assign(kernel.counters, structuredCopy(state.counters));
  kernel.vmids.restore(state.vmids);
  kernel.realmVmids.restore(state.realmVmids);
  kernel.rmm = reviveRmm(state.rmm);
  kernel.ready = state.ready;
  kernel.peLists = state.peLists;
  kernel.realmLists = state.realmLists;
  kernel.nextVmId = state.nextVmId;
  kernel.processes.clear();
  for (const c of kernel.contexts) c.reset();
  for (const process of state.processes) restoreProcess(kernel, process);
  kernel.vms = state.vms.map((vm) => restoreVm(kernel, vm));
  for (const process of state.processes) bindFiles(kernel, process);
  const find = (name: readonly [number, number] | null) =>
    name ? kernel.vms.find((vm) => vm.id === name[0])?.vcpus.find((vcpu) => vcpu.id === name[1]) : undefined;
  state.pes.forEach((pe, index) => {
    const c = kernel.contexts[index]!;
    c.booted = pe.booted;
    c.running = find(pe.running);
    c.next = find(pe.next);
    c.runQueue.push(...pe.runQueue.map((name) => find(name)!));
    c.maskedPpis = pe.maskedPpis;
    c.timerDeadline = unbound(pe.timerDeadline);
    c.sliceOwner = find(pe.sliceOwner);
    c.sliceEnd = pe.sliceEnd;
  });
}

function reviveRmm(rmm: KernelState["rmm"]): RmmInfo | undefined {
  return rmm ? { version: BigInt(rmm.version), features0: BigInt(rmm.features0) } : undefined;
}

function restoreProcess(kernel: Kernel, state: ProcessState): void {
  const process = new ProcessCore(kernel, state.name);
  process.memory.restore(state.memory);
  process.timerAt = unbound(state.timer.at);
  process.timerHome = state.timer.home;
  for (const [id, file] of state.files.entries()) {
    let revived: GuestFile | undefined;
    if (file) {
      const pages = new PrivatePages(BigInt(file.size));
      pages.pages.set(file.pages);
      revived = { id, pages, vm: undefined };
    }
    process.files.push(revived);
  }
  kernel.processes.set(state.name, process);
}

function bindFiles(kernel: Kernel, state: ProcessState): void {
  const process = kernel.processes.get(state.name)!;
  for (const [id, file] of state.files.entries()) {
    const revived = process.files[id];
    if (file && revived) revived.vm = kernel.vms.find((vm) => vm.id === file.vm);
  }
}

function restoreVm(kernel: Kernel, state: VmState): VmCore {
  const owner = kernel.processes.get(state.owner);
  invariant(owner !== undefined, "the VM's process is in the snapshot", state.owner);
  const { id, ipaBits, vmid } = state;
  const realm = state.realm ? new Realm(kernel.realmEnvironment, ipaBits) : undefined;
  if (realm) realm.restore(state.realm!);
  const stage2 = state.stage2 ? Stage2.restore(kernel.allocator, () => kernel.port, state.stage2) : undefined;
  const vm = VmCore.revive(kernel, owner, { id, ipaBits, vmid, realm, stage2 });
  for (const slot of state.slots) {
    const userspaceAddr = BigInt(slot.userspaceAddr);
    const size = BigInt(slot.size);
    const mapping = owner.memory.find(userspaceAddr, size);
    invariant(mapping !== undefined, "the slot's memory is in the snapshot", slot.id);
    vm.slots.add({
      id: slot.id,
      readOnly: slot.readOnly,
      base: BigInt(slot.base),
      size,
      userspaceAddr,
      mapping,
      privatePages: owner.files[slot.file]?.pages,
      privateOffset: BigInt(slot.privateOffset),
    });
  }
  vm.privatePages.restore(state.privatePages);
  vm.sharedMapped.restore(state.sharedMapped);
  vm.pmuIntid = state.pmu;
  vm.timerIntids.virtual = state.timers.virtual;
  vm.timerIntids.physical = state.timers.physical;
  vm.hasRealmDevice = state.hasRealmDevice;
  vm.counterOffset = state.counterOffset;
  vm.nisvToUser = state.nisvToUser;
  vm.hasRun = state.hasRun;
  vm.filters = [...state.filters];
  for (const vcpu of state.vcpus) restoreVcpu(vm, vcpu);
  if (state.vgic) vm.makeVgic().restore(state.vgic);
  // The VGIC's restore calls for attention; what the threads are doing comes after it.
  state.vcpus.forEach((vcpu, index) => {
    const core = vm.vcpus[index]!;
    core.state = vcpu.state;
    core.deadline = unbound(vcpu.deadline);
  });
  return vm;
}

function restoreVcpu(vm: VmCore, state: VcpuState): void {
  const vcpu = vm.createVcpu(state.id, true) as VcpuCore;
  vcpu.features = state.features === NEVER ? undefined : state.features;
  const words = state.words.map(BigInt);
  let at = 0;
  for (const array of [vcpu.gprs, vcpu.el1, vcpu.debug, vcpu.fp, vcpu.pmu]) {
    array.set(words.slice(at, at + array.length));
    at += array.length;
  }
  for (const name of WORDS) vcpu[name] = words[at++]!;
  const numbers = [...state.numbers];
  for (const name of NUMBERS) (vcpu as unknown as Record<string, number>)[name] = numbers.shift()!;
  for (const name of FLAGS) vcpu[name] = numbers.shift() !== 0;
  vcpu.rec = state.rec ?? undefined;
  if (vcpu.rec) vcpu.runView.bind(vcpu.rec);
  vcpu.ripas = state.ripas
    ? { base: BigInt(state.ripas.base), top: BigInt(state.ripas.top), value: state.ripas.value }
    : undefined;
  vcpu.psciTarget = state.psciTarget === null ? undefined : BigInt(state.psciTarget);
  if (state.loaded) {
    vcpu.loadedOn = vcpu.home;
    vcpu.home.loaded = vcpu;
  }
  vcpu.lists.restore(state.lists);
  const { mmio } = vcpu.run;
  mmio.phys_addr = BigInt(state.mmio.phys);
  mmio.data.set(state.mmio.data);
  mmio.len = state.mmio.len;
  mmio.is_write = state.mmio.write;
}
