/**
 * A realm's vCPU: RMI_REC_ENTER and what its exits ask of the Host. Everything that passes is in the RmiRecRun page, a
 * Non-secure granule; the Host reads nothing else of the realm. DEN0137 1.0-rel0, "Realm Execution Context", "REC exit".
 *
 * The page is read and written as 32-bit words: an entry and its exit make no objects.
 */
import {
  EC,
  invariant,
  ipaOfHpfar,
  KVM_EXIT,
  KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_SYSTEM_EVENT,
  PSCI_FID,
  psciCode,
  RMI_FID,
  RMI_REC_ENTER_FLAGS,
  RMI_STATUS,
  RmiRecExitReason,
  RmiRipas,
} from "@realmbox/abi";
import { isFault, R } from "@realmbox/machine";
import type { Kernel } from "../kernel.js";
import type { Op } from "../kvm/api.js";
import { privateIndex, sharedIndex } from "../memory/slots.js";
import type { PeContext } from "../pe-context.js";
import { levelOf, statusOf } from "../rmi/calls.js";
import type { Rec } from "../rmi/realm.js";
import { type Handled, Outcome } from "./outcome.js";
import { smcccCall } from "./smccc.js";
import { writeGicRegister } from "./sysreg-traps.js";
import { updatePmuLine, updateTimerLines } from "./timers.js";
import { Completion, type VcpuCore } from "./vcpu.js";

/** Word offsets of RmiRecRun. */
const ENTER = { FLAGS: 0, GPRS: 0x200 / 4, HCR: 0x300 / 4, LRS: 0x308 / 4 } as const;
const EXIT = {
  REASON: 0x800 / 4,
  ESR: 0x900 / 4,
  FAR: 0x908 / 4,
  HPFAR: 0x910 / 4,
  GPRS: 0xa00 / 4,
  HCR: 0xb00 / 4,
  LRS: 0xb08 / 4,
  VMCR: 0xb90 / 4,
  CNTP_CTL: 0xc00 / 4,
  CNTP_CVAL: 0xc08 / 4,
  CNTV_CTL: 0xc10 / 4,
  CNTV_CVAL: 0xc18 / 4,
  RIPAS_BASE: 0xd00 / 4,
  RIPAS_TOP: 0xd08 / 4,
  RIPAS_VALUE: 0xd10 / 4,
  IMM: 0xe00 / 4,
  PMU_OVF_STATUS: 0xf00 / 4,
} as const;
const FLAG = {
  EMUL_MMIO: Number(RMI_REC_ENTER_FLAGS.EMUL_MMIO.mask),
  INJECT_SEA: Number(RMI_REC_ENTER_FLAGS.INJECT_SEA.mask),
  TRAP_WFI: Number(RMI_REC_ENTER_FLAGS.TRAP_WFI.mask),
  TRAP_WFE: Number(RMI_REC_ENTER_FLAGS.TRAP_WFE.mask),
  RIPAS_REJECT: Number(RMI_REC_ENTER_FLAGS.RIPAS_RESPONSE.mask),
} as const;
/** ISS of a Data Abort. */
const ISV = 1 << 24;
const WNR = 1 << 6;
const FSC_PERMISSION = 0x0c;
const TIMER_CTL = 3;
/** X0 in the words of a PE's state: registers are two words each. */
const X0 = 2 * R.X0;
const REC_ENTER = Number(BigInt.asIntN(32, RMI_FID.RMI_REC_ENTER));

/** The REC run page as words; made anew only when the port gives another page. */
export class RunView {
  #bytes: Uint8Array = new Uint8Array(0);
  #u32: Uint32Array = new Uint32Array(0);
  #u64: BigUint64Array = new BigUint64Array(0);
  #exitGprs: BigUint64Array = this.#u64;
  /** Page frame numbers of REC and run page. */
  rec = 0;
  run = 0;

  /** The REC was created, or came back from a snapshot. */
  bind(rec: Rec): void {
    this.rec = rec.pfn;
    this.run = rec.run;
  }

  /** The page through the port, so that each look is checked. Undefined: somebody delegated it. */
  open(kernel: Kernel): Uint32Array | undefined {
    const bytes = kernel.port.page(this.run);
    if (bytes !== this.#bytes) {
      if (isFault(bytes)) {
        kernel.reportFault(bytes, "REC run page");
        return undefined;
      }
      this.#bytes = bytes;
      this.#u32 = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      this.#u64 = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
      this.#exitGprs = this.#u64.subarray(EXIT.GPRS / 2, EXIT.GPRS / 2 + 31);
    }
    return this.#u32;
  }

  /** The 31 general registers of the enter half. */
  giveGprs(gprs: BigUint64Array): void {
    this.#u64.set(gprs, ENTER.GPRS / 2);
  }

  takeGprs(into: BigUint64Array): void {
    into.set(this.#exitGprs);
  }

  setGpr0(value: bigint): void {
    this.#u64[ENTER.GPRS / 2] = value;
  }

  gpr(n: number): bigint {
    return this.#u64[EXIT.GPRS / 2 + n]!;
  }

  word64(offset: number): bigint {
    return this.#u64[offset / 2]!;
  }
}

const double = (words: Uint32Array, at: number): number => words[at]! + words[at + 1]! * 0x1_0000_0000;

/**
 * What must be done before the next entry and needs SMCs: the answer to a PSCI request that the VMM did not give, a
 * RIPAS change. Undefined when there is nothing.
 */
export function prepareRealmEntry(kernel: Kernel, vcpu: VcpuCore): Op<Outcome> | undefined {
  if (vcpu.psciTarget !== undefined) return completePsci(kernel, vcpu, psciCode("PSCI_SUCCESS"));
  if (vcpu.ripas) return vcpu.vm.lock.with(changeRipas(vcpu));
  return undefined;
}

/** Puts RMI_REC_ENTER into the PE's registers. False: the run page is gone, KVM_RUN has failed. */
export function enterRealm(kernel: Kernel, c: PeContext, vcpu: VcpuCore): boolean {
  const view = vcpu.runView;
  const words = view.open(kernel);
  if (!words) {
    vcpu.run.fail("EFAULT", "the REC run page cannot be accessed");
    return false;
  }
  let flags = vcpu.enterFlags | FLAG.TRAP_WFI;
  if (c.runQueue.length > 0) flags |= FLAG.TRAP_WFE;
  words[ENTER.FLAGS] = flags;
  if (vcpu.handGprs) view.giveGprs(vcpu.gprs);
  else if ((flags & FLAG.EMUL_MMIO) !== 0) view.setGpr0(vcpu.enterGpr0);

  const distributor = vcpu.vm.vgic?.distributor;
  const { lists } = vcpu;
  if (distributor && vcpu.listsStale) {
    lists.fill(distributor, vcpu.index, kernel.realmLists);
    vcpu.listsStale = lists.used > 0;
    words[ENTER.HCR] = lists.hcr;
    const count = 2 * Math.max(lists.used, vcpu.listsShown);
    for (let n = 0; n < count; n++) words[ENTER.LRS + n] = lists.words[n]!;
    vcpu.listsShown = lists.used;
  }
  const state = c.words;
  state[X0] = REC_ENTER;
  state[X0 + 1] = 0;
  state[X0 + 2] = view.rec << 12;
  state[X0 + 3] = view.rec >>> 20;
  state[X0 + 4] = view.run << 12;
  state[X0 + 5] = view.run >>> 20;
  kernel.counters.rmiCalls++;
  return true;
}

/** RMI_REC_ENTER has returned. */
export function exitRealm(kernel: Kernel, c: PeContext, vcpu: VcpuCore): Handled {
  if ((c.words[X0]! | c.words[X0 + 1]!) !== 0) return entryRefused(vcpu, c.pe.r[R.X0]!);
  kernel.counters.recEntries++;
  vcpu.enterFlags = 0;
  vcpu.handGprs = false;
  const view = vcpu.runView;
  const words = view.open(kernel);
  if (!words) {
    vcpu.run.fail("EFAULT", "the REC run page cannot be accessed");
    return Outcome.EXIT;
  }
  takeInterruptState(kernel, vcpu, words);

  const reason = words[EXIT.REASON]! & 0xff;
  if (reason < kernel.counters.recExits.length) kernel.counters.recExits[reason]!++;
  switch (reason) {
    case RmiRecExitReason.RMI_EXIT_SYNC:
      return exitSync(kernel, vcpu, words);
    case RmiRecExitReason.RMI_EXIT_IRQ:
    case RmiRecExitReason.RMI_EXIT_FIQ:
      kernel.counters.irqExits++;
      kernel.acknowledgeInterrupts(c);
      return c.runQueue.length > 0 ? Outcome.YIELD : Outcome.RESUME;
    case RmiRecExitReason.RMI_EXIT_PSCI:
      return exitPsci(kernel, vcpu);
    case RmiRecExitReason.RMI_EXIT_RIPAS_CHANGE:
      return exitRipasChange(vcpu, words);
    case RmiRecExitReason.RMI_EXIT_HOST_CALL: {
      view.takeGprs(vcpu.gprs);
      vcpu.handGprs = true;
      return smcccCall(kernel, vcpu, "host-call", words[EXIT.IMM]! & 0xffff);
    }
    case RmiRecExitReason.RMI_EXIT_SERROR:
      // The RMM has dealt with the realm's side; a Host would log the error record.
      return Outcome.RESUME;
  }
  vcpu.run.internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
  vcpu.run.internal.data[0] = BigInt(reason);
  vcpu.run.exit(KVM_EXIT.INTERNAL_ERROR);
  return Outcome.EXIT;
}

/** List registers and timers as the RMM left them. */
function takeInterruptState(kernel: Kernel, vcpu: VcpuCore, words: Uint32Array): void {
  vcpu.vmcr = words[EXIT.VMCR]!;
  vcpu.cntpCtl = words[EXIT.CNTP_CTL]! & TIMER_CTL;
  vcpu.cntpCval = double(words, EXIT.CNTP_CVAL);
  vcpu.cntvCtl = words[EXIT.CNTV_CTL]! & TIMER_CTL;
  vcpu.cntvCval = double(words, EXIT.CNTV_CVAL);
  const distributor = vcpu.vm.vgic?.distributor;
  if (!distributor) return;
  const { lists } = vcpu;
  const eoiCount = words[EXIT.HCR]! >>> 27;
  if (lists.used > 0 || eoiCount > 0) {
    for (let n = 0; n < 2 * lists.used; n++) lists.words[n] = words[EXIT.LRS + n]!;
    lists.fold(distributor, vcpu.index, eoiCount);
  }
  updateTimerLines(vcpu, kernel.count);
  if (vcpu.hasPmu) updatePmuLine(vcpu, (words[EXIT.PMU_OVF_STATUS]! & 1) !== 0);
}

function entryRefused(vcpu: VcpuCore, x0: bigint): Outcome {
  const { run } = vcpu;
  if (statusOf(x0) === RMI_STATUS.RMI_ERROR_REALM && levelOf(x0) === 1) {
    run.exit(KVM_EXIT.SHUTDOWN); // another vCPU has switched the realm off
    return Outcome.EXIT;
  }
  run.fail("ENXIO", `RMI_REC_ENTER: status ${statusOf(x0)}, index ${levelOf(x0)}`);
  run.exit_reason = KVM_EXIT.FAIL_ENTRY;
  run.fail_entry.hardware_entry_failure_reason = x0;
  run.fail_entry.cpu = vcpu.home.index;
  return Outcome.EXIT;
}

function exitSync(kernel: Kernel, vcpu: VcpuCore, words: Uint32Array): Handled {
  const esr = words[EXIT.ESR]!;
  switch (esr >>> 26) {
    case EC.WFX:
      return (esr & 1) !== 0 ? Outcome.YIELD : Outcome.WAIT;
    case EC.SYSREG64:
      // Writes of ICC_SGI*R and ICC_DIR; the RMM answers everything else itself.
      writeGicRegister(vcpu, esr & 0x1ff_ffff, vcpu.runView.gpr(0));
      return Outcome.RESUME;
    case EC.DATA_ABORT_LOWER:
    case EC.INSTRUCTION_ABORT_LOWER:
      return exitAbort(kernel, vcpu, esr, ipaOfHpfar(vcpu.runView.word64(EXIT.HPFAR)), words[EXIT.FAR]! & 0xfff);
  }
  return Outcome.RESUME; // an external abort that the RMM has injected, or nothing that concerns the Host
}

/** An abort at `page`: private or shared memory to map, a device to emulate, or nothing. */
function exitAbort(kernel: Kernel, vcpu: VcpuCore, esr: number, page: bigint, offset: number): Handled {
  const { vm, run } = vcpu;
  const realm = vm.realm!;
  const isShared = (page & realm.sharedBit) !== 0n;
  const gpaPage = page & (realm.sharedBit - 1n);
  const gpa = gpaPage + BigInt(offset);
  const slot = vm.slots.find(gpaPage);
  if (!isShared) {
    if (!slot?.privatePages || !vm.isPrivate(gpaPage)) {
      run.memoryFault(gpaPage, 0x1000n, true, "EFAULT", "private access to memory that is not private");
      return Outcome.EXIT;
    }
    return vm.lock.with(mapPrivate(kernel, vcpu, gpaPage));
  }
  const isWrite = (esr & WNR) !== 0;
  const readOnlyWrite = slot?.readOnly === true && isWrite && (esr & 0x3c) === FSC_PERMISSION;
  if (slot && !readOnlyWrite) {
    if (vm.isPrivate(gpaPage)) {
      run.memoryFault(gpaPage, 0x1000n, false, "EFAULT", "shared access to memory that is private");
      return Outcome.EXIT;
    }
    return vm.lock.with(mapShared(kernel, vcpu, gpaPage));
  }
  if ((esr & ISV) === 0 || esr >>> 26 !== EC.DATA_ABORT_LOWER) {
    vcpu.enterFlags |= FLAG.INJECT_SEA;
    return Outcome.RESUME;
  }
  const size = 1 << ((esr >>> 22) & 3);
  return emulateMmio(kernel, vcpu, gpa, size, isWrite ? vcpu.runView.gpr(0) : undefined);
}

/** A device access: the VGIC's own, or the VMM's. */
function emulateMmio(kernel: Kernel, vcpu: VcpuCore, gpa: bigint, size: number, write: bigint | undefined): Outcome {
  const vgic = vcpu.vm.vgic;
  if (vgic?.distributor) {
    const value = write === undefined ? vgic.read(gpa, size) : vgic.write(gpa, size, write) ? 0n : undefined;
    if (value !== undefined) {
      vcpu.enterFlags |= FLAG.EMUL_MMIO;
      vcpu.enterGpr0 = value;
      return Outcome.RESUME;
    }
  }
  vcpu.run.mmioExit(gpa, size, write);
  vcpu.completion = write === undefined ? Completion.MMIO_READ : Completion.MMIO_WRITE;
  kernel.events.mmio(vcpu, gpa, size, write);
  return Outcome.EXIT;
}

/** KVM_RUN after an MMIO exit: the VMM's answer becomes the flags of the next entry. */
export function completeRealmMmio(vcpu: VcpuCore): void {
  if (vcpu.injectAbort) vcpu.enterFlags |= FLAG.INJECT_SEA;
  else {
    vcpu.enterFlags |= FLAG.EMUL_MMIO;
    vcpu.enterGpr0 = vcpu.completion === Completion.MMIO_READ ? vcpu.run.mmioValue() : 0n;
  }
  vcpu.injectAbort = false;
  vcpu.completion = Completion.NONE;
}

function* mapPrivate(kernel: Kernel, vcpu: VcpuCore, gpa: bigint): Op<Outcome> {
  const { vm, run } = vcpu;
  const slot = vm.slots.find(gpa);
  if (!slot?.privatePages) return Outcome.RESUME; // the slot went away while the operation waited
  const outcome = yield* vm.realm!.mapProtected(slot.privatePages, privateIndex(slot, gpa), Number(gpa >> 12n));
  switch (outcome) {
    case "mapped":
      kernel.counters.faultsPrivate++;
      return Outcome.RESUME;
    case "retry":
      return Outcome.RESUME;
    case "poisoned":
      run.memoryFault(gpa, 0x1000n, true, "EHWPOISON", "the content of the page is gone (RIPAS DESTROYED)");
      return Outcome.EXIT;
    case "memory":
      run.fail("ENOMEM", "no page for private memory");
      return Outcome.EXIT;
    case "refused":
      run.fail("ENXIO", "the RMM refused a page of private memory");
      return Outcome.EXIT;
  }
}

function* mapShared(kernel: Kernel, vcpu: VcpuCore, gpa: bigint): Op<Outcome> {
  const { vm } = vcpu;
  const slot = vm.slots.find(gpa);
  if (!slot) return Outcome.RESUME;
  const pa = vm.memory.touch(slot.mapping, sharedIndex(slot, gpa));
  if (pa === undefined) {
    vcpu.run.fail("ENOMEM", "no page for shared memory");
    return Outcome.EXIT;
  }
  const page = Number(gpa >> 12n);
  if (!vm.sharedMapped.has(page)) {
    if (!(yield* vm.realm!.mapUnprotected(gpa | vm.realm!.sharedBit, pa, !slot.readOnly))) {
      vcpu.run.fail("ENXIO", "the RMM refused a page of shared memory");
      return Outcome.EXIT;
    }
    vm.sharedMapped.set(page, true);
    kernel.counters.faultsShared++;
  }
  return Outcome.RESUME;
}

function exitPsci(kernel: Kernel, vcpu: VcpuCore): Outcome {
  const view = vcpu.runView;
  const fid = view.gpr(0) & 0xffff_ffffn;
  const target = view.gpr(1);
  switch (fid) {
    case PSCI_FID.PSCI_CPU_ON:
    case PSCI_FID.PSCI_CPU_ON_64:
    case PSCI_FID.PSCI_AFFINITY_INFO:
    case PSCI_FID.PSCI_AFFINITY_INFO_64:
      vcpu.psciTarget = target;
      vcpu.psciOn = fid === PSCI_FID.PSCI_CPU_ON || fid === PSCI_FID.PSCI_CPU_ON_64;
      if (vcpu.vm.smcccAction(Number(fid)) !== KVM_SMCCC_FILTER_FWD_TO_USER) return Outcome.RESUME;
      view.takeGprs(vcpu.gprs);
      vcpu.run.hypercall.nr = fid;
      vcpu.run.hypercall.flags = 0n;
      vcpu.run.hypercall.imm = 0;
      vcpu.run.exit(KVM_EXIT.HYPERCALL);
      return Outcome.EXIT;
    case PSCI_FID.PSCI_CPU_OFF:
      return Outcome.POWER_OFF;
    case PSCI_FID.PSCI_CPU_SUSPEND:
    case PSCI_FID.PSCI_CPU_SUSPEND_64:
      return Outcome.WAIT;
    case PSCI_FID.PSCI_SYSTEM_OFF:
    case PSCI_FID.PSCI_SYSTEM_RESET: {
      const isReset = fid === PSCI_FID.PSCI_SYSTEM_RESET;
      vcpu.vm.realm!.state = "off";
      kernel.kickAll(vcpu.vm);
      vcpu.run.systemEvent(isReset ? KVM_SYSTEM_EVENT.RESET : KVM_SYSTEM_EVENT.SHUTDOWN, [0n]);
      return Outcome.EXIT;
    }
  }
  return Outcome.RESUME;
}

/** RMI_PSCI_COMPLETE for the pending request of `vcpu`; a vCPU that it turned on starts to run. */
export function* completePsci(kernel: Kernel, vcpu: VcpuCore, status: bigint): Op<Outcome> {
  const { vm, run } = vcpu;
  const mpidr = vcpu.psciTarget;
  invariant(mpidr !== undefined, "a PSCI request is pending");
  const target = vm.vcpuByMpidr(mpidr);
  const done = target?.rec !== undefined && (yield* vm.realm!.psciComplete(vcpu.rec!, target.rec, status));
  if (!done) {
    run.fail("ENXIO", "RMI_PSCI_COMPLETE was refused");
    return Outcome.EXIT;
  }
  vcpu.psciTarget = undefined;
  if (vcpu.psciOn && status === psciCode("PSCI_SUCCESS") && !target.powered) kernel.powerOn(target);
  return Outcome.RESUME;
}

/** RSI_IPA_STATE_SET: the VMM hears of it first, and converts the range; the next entry makes the change. */
function exitRipasChange(vcpu: VcpuCore, words: Uint32Array): Outcome {
  const view = vcpu.runView;
  const base = view.word64(EXIT.RIPAS_BASE);
  const top = view.word64(EXIT.RIPAS_TOP);
  const value = words[EXIT.RIPAS_VALUE]! & 0xff;
  vcpu.ripas = { base, top, value };
  vcpu.run.memoryFault(base, top - base, value === RmiRipas.RAM, "EFAULT", "the realm asks for a change of RIPAS");
  return Outcome.EXIT;
}

/** Makes the pending RIPAS change, as far as the VMM has converted the range; else it is rejected. */
function* changeRipas(vcpu: VcpuCore): Op<Outcome> {
  const { vm } = vcpu;
  const realm = vm.realm!;
  const { base, top, value } = vcpu.ripas!;
  const wantsPrivate = value === RmiRipas.RAM;
  let agreed = base;
  while (agreed < top && vm.slots.find(agreed)?.privatePages && vm.isPrivate(agreed) === wantsPrivate) {
    agreed += 0x1000n;
  }
  const reached = agreed > base ? yield* realm.setRipas(vcpu.rec!, base, agreed) : base;
  if (!wantsPrivate) {
    // The pages behind an EMPTY range are of no use to the realm any more.
    for (let gpa = base; gpa < reached; gpa += 0x1000n) yield* vm.destroyPrivatePage(gpa);
  }
  if (reached === base) vcpu.enterFlags |= FLAG.RIPAS_REJECT;
  vcpu.ripas = undefined;
  return Outcome.RESUME;
}
