/**
 * The Host's kernel: native firmware of slot ns-el2. It boots the PEs, runs operations and vCPU threads on them, takes
 * physical interrupts, and keeps what all VMs share: pages, VMIDs, counters.
 *
 * One step = one event of one PE (start, return from an SMC, exit of a guest, wake-up). A step handles the event, then
 * looks for the next thing to do on that PE: an operation that can go on, the vCPU that goes on at once, the run queue;
 * with nothing to do the PE waits for an interrupt.
 *
 * Invariants
 * - `current` is the PE whose step is under way; undefined between steps. What happens between steps (a VMM's input, a
 *   call from outside) reaches PEs through the doorbell interrupt.
 * - `c.running` is set exactly while the PE is in a guest; `c.job` exactly while the SMC of an operation is under way.
 */

import type { Trace } from "@realmbox/abi";
import { invariant, KVM_EXIT, PPI, REC_EXIT_REASON_NAMES } from "@realmbox/abi";
import {
  type Board,
  ERET,
  type Fault,
  type MemoryPort,
  type Pe,
  R,
  type SlotEvent,
  type SlotExit,
  SMC,
  WFI,
} from "@realmbox/machine";
import { boot } from "./boot.js";
import { HostEvents } from "./events.js";
import type { HostCounters, Op, OpStep, RmmInfo } from "./kvm/api.js";
import type { ProcessCore } from "./kvm/process.js";
import type { VmCore } from "./kvm/vm-core.js";
import type { PageSource } from "./memory/address-space.js";
import { PageAllocator } from "./memory/allocator.js";
import { type Job, PeContext } from "./pe-context.js";
import { INTID_SPECIAL, SGI_KICK, SPI_DOORBELL, sendKick, setPpisEnabled } from "./physical-gic.js";
import { Rmi } from "./rmi/calls.js";
import type { RealmEnvironment } from "./rmi/realm.js";
import { completeNormalMmio, enterNormal, exitNormal, HCR_HOST, putVcpu } from "./vcpu/normal-vcpu.js";
import { type Handled, Outcome } from "./vcpu/outcome.js";
import { completeRealmMmio, enterRealm, exitRealm, prepareRealmEntry } from "./vcpu/realm-vcpu.js";
import { nextTimerCount, updateTimerLines } from "./vcpu/timers.js";
import { Completion, ThreadState, type VcpuCore } from "./vcpu/vcpu.js";
import { VmidPool } from "./vmids.js";

/** What the Host needs of the machine. */
export interface HostMachine {
  readonly board: Board;
  readonly pes: readonly Pe[];
  readonly trace: Trace;
  /** CNTPCT as a number. */
  readonly ticks: number;
  setSpi(intid: number, level: boolean): void;
  devicePort(): MemoryPort;
}

/**
 * Whether a vCPU in the guest must come out for its list registers: something is pending that they may not show. An
 * edge counts even while its interrupt is active, for the guest's EOI will not make an exit.
 */
function hasNews({ vm, index }: VcpuCore): boolean {
  const distributor = vm.vgic!.distributor!;
  if (distributor.hppi(index) >= 0) return true;
  return distributor
    .candidates(index)
    .some((intid) => distributor.isPending(index, intid) && distributor.isEdge(index, intid));
}

const zeros = (count: number): number[] => new Array<number>(count).fill(0);

/** A vCPU runs this long before the next one of its PE, when several want it: 4 ms. */
const SLICES_PER_SECOND = 250;

export class Kernel {
  readonly machine: HostMachine;
  readonly allocator: PageAllocator;
  readonly counters: HostCounters = {
    recEntries: 0,
    recExits: zeros(REC_EXIT_REASON_NAMES.length),
    guestEntries: 0,
    guestExits: zeros(64),
    irqExits: 0,
    kvmExits: zeros(KVM_EXIT.MEMORY_FAULT + 1),
    faultsPrivate: 0,
    faultsShared: 0,
    faultsNormal: 0,
    rmiCalls: 0,
    granuleFaults: 0,
    kicks: 0,
  };
  readonly events: HostEvents;
  readonly rmi = new Rmi(this.counters);
  readonly vmids = new VmidPool();
  readonly realmVmids = new VmidPool();
  readonly contexts: readonly PeContext[];
  readonly processes = new Map<string, ProcessCore>();
  vms: VmCore[] = [];
  nextVmId = 1;

  rmm: RmmInfo | undefined = undefined;
  /** All PEs have booted. */
  ready = false;
  /** List registers of the PE, and those that the RMM passes on. */
  peLists = 0;
  realmLists = 0;

  current: PeContext | undefined = undefined;
  readonly #devicePort: () => MemoryPort;
  readonly #slice: number;

  constructor(machine: HostMachine) {
    this.machine = machine;
    this.events = new HostEvents(machine.trace, this.counters);
    this.allocator = new PageAllocator(machine.board.dram);
    this.contexts = machine.pes.map((pe) => new PeContext(pe));
    let port: MemoryPort | undefined;
    this.#devicePort = () => (port ??= machine.devicePort());
    this.#slice = Math.ceil(machine.board.counterHz / SLICES_PER_SECOND);
  }

  // What the parts need

  /** The physical count. */
  get count(): number {
    return this.machine.ticks;
  }

  /** Non-secure memory: as the PE whose step it is, or as a device between steps. */
  get port(): MemoryPort {
    return this.current ? this.current.port : this.#devicePort();
  }

  get pageSource(): PageSource {
    return this;
  }

  get realmEnvironment(): RealmEnvironment {
    return this;
  }

  get features0(): bigint {
    return this.rmm?.features0 ?? 0n;
  }

  allocVmid(): number | undefined {
    return this.realmVmids.alloc();
  }

  freeVmid(vmid: number): void {
    this.realmVmids.free(vmid);
  }

  flushVmid(vmid: number): void {
    this.current!.pe.tlbi({ kind: "vmalls12e1", vmid });
  }

  /** The vCPU whose VMM asked for the operation that is under way. */
  get callingThread(): VcpuCore | undefined {
    return this.current?.job?.thread;
  }

  homeFor(index: number): PeContext {
    return this.contexts[index % this.contexts.length]!;
  }

  reportFault(fault: Fault, what: string): void {
    this.events.fault(fault, what);
  }

  // Steps

  step(pe: Pe, event: SlotEvent): SlotExit {
    const c = this.contexts[pe.index]!;
    this.current = c;
    switch (event.kind) {
      case "start":
        this.#start(c);
        break;
      case "return":
        this.#returned(c);
        break;
      case "wake":
        this.acknowledgeInterrupts(c);
        break;
      case "exception":
        this.#exception(c, event.vector, event.lower);
    }
    const exit = this.#schedule(c);
    this.current = undefined;
    return exit;
  }

  #start(c: PeContext): void {
    const { r } = c.pe;
    r[R.HCR_EL2] = HCR_HOST;
    r[R.ICH_HCR_EL2] = 0n;
    r[R.CNTHP_CTL_EL2] = 0n;
    this.#enqueue(c, { op: boot(this, c), thread: undefined, done: () => {}, cancelled: false });
  }

  #returned(c: PeContext): void {
    if (c.job) return; // #schedule resumes it
    const vcpu = c.running;
    invariant(vcpu !== undefined, "an SMC that returns was somebody's");
    c.running = undefined;
    vcpu.kicked = false;
    this.#handled(c, vcpu, exitRealm(this, c, vcpu));
  }

  #exception(c: PeContext, vector: "sync" | "irq" | "fiq" | "serror", lower: boolean): void {
    const vcpu = c.running;
    if (!lower || !vcpu) {
      // Only asynchronous ones can come here: the Host's own code does not fault.
      if (vector === "irq" || vector === "fiq") this.acknowledgeInterrupts(c);
      return;
    }
    c.running = undefined;
    vcpu.kicked = false;
    this.#handled(c, vcpu, exitNormal(this, c, vcpu, vector));
  }

  // Operations

  /** Operations are under way: their generators are no plain data. */
  get busy(): boolean {
    return this.contexts.some((c) => c.job || c.readyJobs.length > 0 || c.waitingJobs.length > 0);
  }

  #enqueue(c: PeContext, job: Job): void {
    c.readyJobs.push(job);
  }

  /** An operation from outside the run loop, on PE 0. */
  submit(op: Op<unknown>, done: (value: unknown) => void): Job {
    const job: Job = { op, thread: undefined, done, cancelled: false };
    this.#enqueue(this.contexts[0]!, job);
    this.ringDoorbell();
    return job;
  }

  /** Drops an operation whose caller has given up. */
  cancel(job: Job): void {
    job.cancelled = true;
    for (const c of this.contexts) {
      for (const queue of [c.readyJobs, c.waitingJobs]) {
        const at = queue.indexOf(job);
        if (at >= 0) queue.splice(at, 1);
      }
    }
  }

  /** A lock was released, or a thread stopped: operations that wait look again. */
  resumeWaiting(): void {
    for (const c of this.contexts) {
      if (c.waitingJobs.length === 0) continue;
      c.readyJobs.push(...c.waitingJobs.splice(0));
      if (c !== this.current) this.#kickPe(c);
    }
  }

  /** Resumes the operation of the PE; its SMC, or undefined when it is done or waits. */
  #drive(c: PeContext, job: Job): SlotExit | undefined {
    const { regs } = this.rmi;
    regs.set(c.smcRegs); // results of the SMC that it made last; of no meaning at its start
    const { done, value } = job.op.next(regs) as IteratorResult<OpStep, unknown>;
    if (done) {
      c.job = undefined;
      if (!job.cancelled) job.done(value);
      return undefined;
    }
    if (value === "wait") {
      c.job = undefined;
      if (!job.cancelled) c.waitingJobs.push(job);
      return undefined;
    }
    c.smcRegs.set(value as BigUint64Array);
    return SMC;
  }

  // Threads

  #schedule(c: PeContext): SlotExit {
    for (;;) {
      c.job ??= c.readyJobs.shift();
      if (c.job) {
        const exit = this.#drive(c, c.job);
        if (exit) return exit;
        continue;
      }
      const vcpu = c.next ?? c.runQueue.shift();
      c.next = undefined;
      if (!vcpu) {
        this.#setTimer(c, Infinity);
        return WFI;
      }
      if (vcpu.state !== ThreadState.READY) continue;
      const exit = this.#enter(c, vcpu);
      if (exit) return exit;
    }
  }

  /** Brings a READY vCPU into the guest; undefined when something else came of it. */
  #enter(c: PeContext, vcpu: VcpuCore): SlotExit | undefined {
    const isRealm = vcpu.vm.realm !== undefined;
    if (vcpu.completion !== Completion.NONE) {
      if (isRealm) completeRealmMmio(vcpu);
      else completeNormalMmio(this, c, vcpu);
    }
    if (vcpu.signal || vcpu.run.immediate_exit || vcpu.vm.closed) {
      vcpu.signal = false;
      vcpu.run.interrupted();
      this.#toVmm(c, vcpu);
      return undefined;
    }
    if (!vcpu.powered) {
      this.#block(c, vcpu);
      return undefined;
    }
    if (isRealm) {
      const work = prepareRealmEntry(this, vcpu);
      if (work) {
        this.#handled(c, vcpu, work);
        return undefined;
      }
      if (c.loaded) putVcpu(c);
      // Until the realm has dealt with an overflow that it was told of, the interrupt would only make it exit.
      this.maskPpis(c, vcpu.pmuAsserted ? 1 << PPI.PMU : 0);
      if (!enterRealm(this, c, vcpu)) {
        this.#toVmm(c, vcpu);
        return undefined;
      }
      this.#setRunning(c, vcpu);
      return SMC;
    }
    enterNormal(this, c, vcpu);
    this.counters.guestEntries++;
    this.#setRunning(c, vcpu);
    return ERET;
  }

  #setRunning(c: PeContext, vcpu: VcpuCore): void {
    vcpu.state = ThreadState.RUNNING;
    c.running = vcpu;
    if (c.runQueue.length === 0) {
      c.sliceOwner = undefined;
      this.#setTimer(c, Infinity);
      return;
    }
    // The slice goes on over the exits of a vCPU that is entered again at once.
    const { count } = this;
    if (c.sliceOwner !== vcpu || c.sliceEnd <= count) {
      c.sliceOwner = vcpu;
      c.sliceEnd = count + this.#slice;
    }
    this.#setTimer(c, c.sliceEnd);
  }

  /** Goes on with a vCPU as its exit's handling says. */
  #handled(c: PeContext, vcpu: VcpuCore, handled: Handled): void {
    if (typeof handled === "object") {
      vcpu.state = ThreadState.WORKING;
      this.#enqueue(c, {
        op: handled,
        thread: vcpu,
        done: (outcome) => this.#outcome(c, vcpu, outcome as Outcome),
        cancelled: false,
      });
      return;
    }
    this.#outcome(c, vcpu, handled);
  }

  #outcome(c: PeContext, vcpu: VcpuCore, outcome: Outcome): void {
    vcpu.state = ThreadState.READY;
    switch (outcome) {
      case Outcome.RESUME:
        if (c.next) c.runQueue.push(vcpu);
        else c.next = vcpu;
        return;
      case Outcome.YIELD:
        c.runQueue.push(vcpu);
        return;
      case Outcome.WAIT:
        if (this.#hasInterrupt(vcpu)) c.next = vcpu;
        else this.#block(c, vcpu);
        return;
      case Outcome.POWER_OFF:
        vcpu.powered = false;
        this.#block(c, vcpu);
        return;
      case Outcome.EXIT:
        this.#toVmm(c, vcpu);
    }
  }

  /** KVM_RUN returns to the VMM's thread, which says what comes next. */
  #toVmm(c: PeContext, vcpu: VcpuCore): void {
    const { run } = vcpu;
    this.counters.kvmExits[run.exit_reason]!++;
    vcpu.state = ThreadState.WORKING;
    const answer = vcpu.vm.closed ? "stop" : vcpu.onExit!(vcpu.handle!, run);
    if (typeof answer === "object") {
      this.#enqueue(c, {
        op: answer,
        thread: vcpu,
        done: (value) => this.#answered(c, vcpu, value as "run" | "stop"),
        cancelled: false,
      });
    } else this.#answered(c, vcpu, answer);
  }

  #answered(c: PeContext, vcpu: VcpuCore, answer: "run" | "stop"): void {
    if (answer === "run" && !vcpu.vm.closed && !vcpu.retired) {
      const refused = vcpu.vm.readyToRun(vcpu);
      if (!refused) {
        vcpu.state = ThreadState.READY;
        c.runQueue.push(vcpu);
        return;
      }
    }
    this.#stop(c, vcpu);
  }

  #stop(c: PeContext, vcpu: VcpuCore): void {
    if (c.loaded === vcpu) putVcpu(c);
    const queued = c.runQueue.indexOf(vcpu);
    if (queued >= 0) c.runQueue.splice(queued, 1);
    if (c.next === vcpu) c.next = undefined;
    vcpu.state = ThreadState.STOPPED;
    vcpu.onExit = undefined;
    vcpu.signal = false;
    this.resumeWaiting();
  }

  /** The VMM's thread begins: KVM_RUN. */
  start(vcpu: VcpuCore): void {
    vcpu.state = ThreadState.READY;
    vcpu.signal = false;
    vcpu.retired = false;
    this.#queue(vcpu);
  }

  #queue(vcpu: VcpuCore): void {
    const { home } = vcpu;
    home.runQueue.push(vcpu);
    if (home !== this.current) this.#kickPe(home);
  }

  #block(c: PeContext, vcpu: VcpuCore): void {
    if (c.loaded === vcpu) putVcpu(c);
    vcpu.state = ThreadState.BLOCKED;
    vcpu.deadline = vcpu.powered ? nextTimerCount(vcpu, this.count) : Infinity;
  }

  #wake(vcpu: VcpuCore): void {
    vcpu.state = ThreadState.READY;
    vcpu.deadline = Infinity;
    this.#queue(vcpu);
  }

  powerOn(vcpu: VcpuCore): void {
    vcpu.powered = true;
    if (vcpu.state === ThreadState.BLOCKED) this.#wake(vcpu);
  }

  /** PSCI_SYSTEM_OFF of a normal VM: no vCPU of it goes on. */
  stopAll(vm: VmCore): void {
    for (const vcpu of vm.vcpus) {
      vcpu.powered = false;
      this.kick(vcpu);
    }
  }

  /** Makes every vCPU of a VM leave the guest once, and blocked ones look again. */
  kickAll(vm: VmCore): void {
    for (const vcpu of vm.vcpus) {
      if (vcpu.state === ThreadState.BLOCKED && vcpu.powered) this.#wake(vcpu);
      else this.kick(vcpu);
    }
  }

  /** A signal to the VMM's thread. */
  interrupt(vcpu: VcpuCore): void {
    if (vcpu.state === ThreadState.STOPPED) return;
    vcpu.signal = true;
    if (vcpu.state === ThreadState.BLOCKED) this.#wake(vcpu);
    else this.kick(vcpu);
  }

  /** The VM goes away: the thread ends as soon as it is out of the guest. */
  retire(vcpu: VcpuCore): void {
    vcpu.retired = true;
    vcpu.ripas = undefined;
    switch (vcpu.state) {
      case ThreadState.READY:
      case ThreadState.BLOCKED:
        this.#stop(vcpu.home, vcpu);
        break;
      case ThreadState.RUNNING:
        this.kick(vcpu);
    }
  }

  forget(vm: VmCore): void {
    this.vms = this.vms.filter((one) => one !== vm);
    for (const c of this.contexts) c.threads = c.threads.filter((vcpu) => vcpu.vm !== vm);
  }

  // Timers of processes

  /** Arms or disarms the timer of a process, on the PE whose step it is. */
  setProcessTimer(process: ProcessCore, at = Infinity): void {
    process.timerAt = at;
    process.timerHome = this.current?.index ?? 0;
    // The end of a step programs CNTHP; between steps there is none.
    if (!this.current && at !== Infinity) this.ringDoorbell();
  }

  #processTimersExpired(c: PeContext, count: number): void {
    for (const process of this.processes.values()) {
      if (process.timerHome !== c.index || process.timerAt > count) continue;
      process.timerAt = Infinity;
      process.onTimer?.();
    }
  }

  // Interrupts

  /** Something is pending and enabled for the vCPU, above its priority mask. */
  #hasInterrupt(vcpu: VcpuCore): boolean {
    if (vcpu.signal) return true;
    const distributor = vcpu.vm.vgic?.distributor;
    if (!distributor) return false;
    const hppi = distributor.hppi(vcpu.index);
    return hppi >= 0 && ((hppi >> 16) & 0xff) < vcpu.vmcr >>> 24;
  }

  /** The VGIC says that what a vCPU could be sent has changed. */
  interruptsOf(vcpu: VcpuCore): void {
    vcpu.listsStale = true;
    if (vcpu.state === ThreadState.BLOCKED) {
      if (vcpu.powered && this.#hasInterrupt(vcpu)) this.#wake(vcpu);
    } else if (vcpu.state === ThreadState.RUNNING && vcpu.home !== this.current) {
      if (!vcpu.kicked && hasNews(vcpu)) this.kick(vcpu);
    }
  }

  /** Makes a running vCPU leave the guest. */
  kick(vcpu: VcpuCore): void {
    if (vcpu.state !== ThreadState.RUNNING || vcpu.kicked || vcpu.home === this.current) return;
    vcpu.kicked = true;
    this.#kickPe(vcpu.home);
  }

  #kickPe(c: PeContext): void {
    this.counters.kicks++;
    if (this.current) sendKick(this.current.pe, c.pe);
    else this.ringDoorbell();
  }

  /** From between steps: a physical interrupt that PE 0 takes and passes on. */
  ringDoorbell(): void {
    this.machine.setSpi(SPI_DOORBELL, true);
    this.machine.setSpi(SPI_DOORBELL, false);
  }

  /** PE 0 has the doorbell: the PEs that have something to do are told. */
  #answerDoorbell(c: PeContext): void {
    for (const other of this.contexts) {
      if (other === c || !other.booted) continue;
      const wanted =
        other.running?.kicked === true || other.readyJobs.length > 0 || (!other.running && other.runQueue.length > 0);
      if (wanted) sendKick(c.pe, other.pe);
    }
  }

  /** Takes every physical interrupt that is pending for the PE. */
  acknowledgeInterrupts(c: PeContext): void {
    const { pe } = c;
    let seen = 0;
    for (;;) {
      const intid = Number(pe.mrs("ICC_IAR1_EL1") & 0xff_ffffn);
      if (intid >= INTID_SPECIAL) return;
      pe.msr("ICC_EOIR1_EL1", BigInt(intid));
      if (intid === SPI_DOORBELL) this.#answerDoorbell(c);
      if (intid >= 32 || intid === SGI_KICK) continue;
      // A level that drops only when the step is over: once each.
      if ((seen >>> intid) & 1) return;
      seen |= 1 << intid;
      if (intid === PPI.EL2_PHYSICAL_TIMER) this.#timerExpired(c);
    }
  }

  /** Timers of the vCPUs that wait on this PE, and of processes; the next programming of CNTHP comes with the end of the step. */
  #timerExpired(c: PeContext): void {
    c.pe.r[R.CNTHP_CTL_EL2] = 0n;
    c.timerDeadline = Infinity;
    const { count } = this;
    for (const vcpu of c.threads) {
      if (vcpu.state !== ThreadState.BLOCKED || vcpu.deadline > count) continue;
      vcpu.deadline = Infinity;
      updateTimerLines(vcpu, count); // wakes it through the VGIC, when the interrupt is enabled there
      if (vcpu.state === ThreadState.BLOCKED) vcpu.deadline = nextTimerCount(vcpu, count);
    }
    this.#processTimersExpired(c, count);
  }

  /** CNTHP of the PE: the next timer of a vCPU that waits or of a process, and the end of the slice when others want the PE. */
  #setTimer(c: PeContext, sliceEnd: number): void {
    let deadline = sliceEnd;
    for (const vcpu of c.threads) {
      if (vcpu.state === ThreadState.BLOCKED && vcpu.deadline < deadline) deadline = vcpu.deadline;
    }
    for (const { timerAt, timerHome } of this.processes.values()) {
      if (timerHome === c.index && timerAt < deadline) deadline = timerAt;
    }
    if (deadline === c.timerDeadline) return;
    c.timerDeadline = deadline;
    const { r } = c.pe;
    if (deadline === Infinity) r[R.CNTHP_CTL_EL2] = 0n;
    else {
      r[R.CNTHP_CVAL_EL2] = BigInt(deadline);
      r[R.CNTHP_CTL_EL2] = 1n;
    }
  }

  /** Which timer PPIs must not interrupt the PE now. */
  maskPpis(c: PeContext, masked: number): void {
    const changed = masked ^ c.maskedPpis;
    if (changed === 0) return;
    const { board } = this.machine;
    if (changed & masked) setPpisEnabled(board, c.pe, c.port, changed & masked, false);
    if (changed & ~masked) setPpisEnabled(board, c.pe, c.port, changed & ~masked, true);
    c.maskedPpis = masked;
  }
}
