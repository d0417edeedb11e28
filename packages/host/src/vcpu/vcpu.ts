/**
 * A vCPU: its registers while no PE holds them, its REC, its virtual interrupt interface and timers, and the VMM's thread
 * that serves it, as a state machine of plain data. No guest ever runs inside a handler: a thread is READY, RUNNING on a
 * PE, BLOCKED, or in the middle of an operation.
 *
 * Invariants
 * - `loadedOn` names the PE that holds the EL1 registers of a normal VM's vCPU; the arrays here are stale meanwhile.
 * - A thread is in the run queue of its home PE exactly while it is READY.
 */
import { KVM_ARM_VCPU, mpidrOfIndex, SPSR_EL1H_MASKED } from "@realmbox/abi";
import { GROUPS, MDSCR_MDE, R } from "@realmbox/machine";
import type { OnExit, Vcpu } from "../kvm/api.js";
import { RunPage } from "../kvm/run.js";
import type { VmCore } from "../kvm/vm-core.js";
import type { PeContext } from "../pe-context.js";
import type { Rec } from "../rmi/realm.js";
import { ListRegisters } from "../vgic/list-registers.js";
import { RunView } from "./realm-vcpu.js";

export const ThreadState = {
  /** Not in KVM_RUN. */
  STOPPED: 0,
  /** In KVM_RUN, wants a PE. */
  READY: 1,
  /** In the guest on its home PE. */
  RUNNING: 2,
  /** Waits for an interrupt, for power, for a signal. */
  BLOCKED: 3,
  /** An operation runs on its behalf. */
  WORKING: 4,
} as const;
export type ThreadState = (typeof ThreadState)[keyof typeof ThreadState];

/** What the next KVM_RUN has to complete first. */
export const Completion = { NONE: 0, MMIO_READ: 1, MMIO_WRITE: 2 } as const;
export type Completion = (typeof Completion)[keyof typeof Completion];

/** A realm's pending RSI_IPA_STATE_SET. */
export interface RipasChange {
  readonly base: bigint;
  readonly top: bigint;
  /** RmiRipas. */
  readonly value: number;
}

const FIRST = GROUPS.EL1.first;
/** SCTLR_EL1 after a reset, as KVM gives it: MMU and caches off. */
const SCTLR_EL1_RESET = 0x00c5_0078n;

export class VcpuCore {
  readonly id: number;
  readonly vm: VmCore;
  /** Position among the VM's vCPUs: the VGIC's, and the home PE's choice. */
  readonly index: number;
  readonly run = new RunPage();

  /** Bits of KVM_ARM_VCPU_INIT's features; undefined before. */
  features: number | undefined = undefined;
  /** PSCI: not powered off. */
  powered = true;

  // Registers
  readonly gprs = new BigUint64Array(31);
  /** The same as 32-bit words. */
  readonly gprWords = new Uint32Array(this.gprs.buffer);
  pc = 0n;
  pstate: bigint = SPSR_EL1H_MASKED;
  readonly el1 = new BigUint64Array(GROUPS.EL1.count);
  readonly fp = new BigUint64Array(GROUPS.FP.count);
  /** The DEBUG group. Accesses trap, so this is always what the guest has written; in the PE while MDSCR_EL1.MDE is set. */
  readonly debug = new BigUint64Array(GROUPS.DEBUG.count);
  /** The PMU group, of a normal VM's vCPU with PMU. */
  readonly pmu = new BigUint64Array(GROUPS.PMU.count);
  loadedOn: PeContext | undefined = undefined;

  // Realm
  rec: Rec | undefined = undefined;
  /** RMI_REC_ENTER_FLAGS of the next entry. */
  enterFlags = 0;
  /** The next entry hands all general registers over (after a host call). */
  handGprs = false;
  /** Value for enter.gprs[0]: an emulated read. */
  enterGpr0 = 0n;
  ripas: RipasChange | undefined = undefined;
  /** MPIDR that a pending PSCI request of the realm names, and whether that is CPU_ON. */
  psciTarget: bigint | undefined = undefined;
  psciOn = false;
  readonly runView = new RunView();
  /** How many list registers the enter half of the run page holds. */
  listsShown = 0;

  // Virtual interrupt interface and timers
  readonly lists = new ListRegisters();
  /** The VGIC has changed since the list registers were filled: otherwise empty ones stay empty. */
  listsStale = true;
  vmcr = 0;
  ap0r = 0n;
  ap1r = 0n;
  /** Timers as of the last exit: CTL without ISTATUS, CVAL as a physical count. */
  cntvCtl = 0;
  cntvCval = 0;
  cntpCtl = 0;
  cntpCval = 0;
  /** The PMU asserted its overflow interrupt at the last exit. */
  pmuAsserted = false;

  // Thread
  state: ThreadState = ThreadState.STOPPED;
  onExit: OnExit | undefined = undefined;
  /** The descriptor through which the thread was started: what `onExit` is given. */
  handle: Vcpu | undefined = undefined;
  /** The VM is being closed. */
  retired = false;
  home: PeContext;
  completion: Completion = Completion.NONE;
  /** ESR_EL2 and FAR_EL2 of the trapped access that an MMIO exit completes. */
  mmioEsr = 0n;
  mmioFar = 0n;
  /** The VMM asks for an external abort in place of the MMIO access. */
  injectAbort = false;
  injectSError = false;
  /** A signal: KVM_RUN returns EINTR. */
  signal = false;
  /** An SGI to the PE it runs on is under way. */
  kicked = false;
  /** While BLOCKED: the count at which a timer changes its output; Infinity: none. */
  deadline = Infinity;

  constructor(vm: VmCore, id: number, index: number, home: PeContext) {
    this.vm = vm;
    this.id = id;
    this.index = index;
    this.home = home;
  }

  /** Whether KVM_ARM_VCPU_INIT asked for a feature (KVM_ARM_VCPU). */
  hasFeature(bit: number): boolean {
    return this.features !== undefined && ((this.features >> bit) & 1) === 1;
  }

  get hasPmu(): boolean {
    return this.hasFeature(KVM_ARM_VCPU.PMU_V3);
  }

  /** MPIDR_EL1 as the guest reads it. */
  get mpidr(): bigint {
    return mpidrOfIndex(this.id);
  }

  /** KVM_ARM_VCPU_INIT, and PSCI_CPU_ON of a normal VM: the registers after a reset. Not while loaded. */
  reset(): void {
    this.gprs.fill(0n);
    this.pc = 0n;
    this.pstate = SPSR_EL1H_MASKED;
    this.el1.fill(0n);
    this.el1[R.SCTLR_EL1 - FIRST] = SCTLR_EL1_RESET;
    this.fp.fill(0n);
    this.debug.fill(0n);
    this.pmu.fill(0n);
    this.pmuAsserted = false;
    this.vmcr = 0;
    this.ap0r = 0n;
    this.ap1r = 0n;
    this.completion = Completion.NONE;
    this.injectAbort = false;
    this.injectSError = false;
  }

  /** A register of the EL1 group by its slot in `Pe.r`, wherever it is now. */
  readEl1(slot: number): bigint {
    return this.loadedOn ? this.loadedOn.pe.r[slot]! : this.el1[slot - FIRST]!;
  }

  writeEl1(slot: number, value: bigint): void {
    if (this.loadedOn) this.loadedOn.pe.r[slot] = value;
    else this.el1[slot - FIRST] = value;
    if (slot === R.MDSCR_EL1) this.showDebug();
  }

  /** Breakpoints and watchpoints into the PE, when they are on: after a change of them or of MDSCR_EL1, and at each load. */
  showDebug(): void {
    if (this.loadedOn && (this.readEl1(R.MDSCR_EL1) & MDSCR_MDE) !== 0n) this.loadedOn.debug.set(this.debug);
  }

  getPc(): bigint {
    return this.loadedOn ? this.loadedOn.pe.r[R.ELR_EL2]! : this.pc;
  }

  setPc(value: bigint): void {
    if (this.loadedOn) this.loadedOn.pe.r[R.ELR_EL2] = value;
    else this.pc = value;
  }

  getPstate(): bigint {
    return this.loadedOn ? this.loadedOn.pe.r[R.SPSR_EL2]! : this.pstate;
  }

  setPstate(value: bigint): void {
    if (this.loadedOn) this.loadedOn.pe.r[R.SPSR_EL2] = value;
    else this.pstate = value;
  }
}
