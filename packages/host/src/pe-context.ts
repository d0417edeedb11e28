/** What the Host keeps for each PE: whose registers it holds, who waits for it, which operation runs on it. */

import { Pas } from "@realmbox/abi";
import { GROUPS, type MemoryPort, type Pe, R } from "@realmbox/machine";
import type { Op } from "./kvm/api.js";
import type { VcpuCore } from "./vcpu/vcpu.js";

/** An operation and what to do with its result. */
export interface Job {
  readonly op: Op<unknown>;
  /** The thread on whose behalf it runs; undefined for calls from outside the run loop. */
  readonly thread: VcpuCore | undefined;
  done(value: unknown): void;
  cancelled: boolean;
}

export class PeContext {
  readonly pe: Pe;
  readonly index: number;
  #port: MemoryPort | undefined;
  /** Non-secure memory and devices; only in a step of the PE. */
  get port(): MemoryPort {
    return (this.#port ??= this.pe.port(Pas.NS));
  }
  /** Windows into the PE's state, for block moves. */
  readonly smcRegs: BigUint64Array;
  readonly gprs: BigUint64Array;
  readonly el1: BigUint64Array;
  readonly debug: BigUint64Array;
  readonly pmu: BigUint64Array;
  readonly fp: BigUint64Array;
  /** The whole state as 32-bit words. */
  readonly words: Int32Array;

  booted = false;
  /** The normal VM's vCPU whose EL1 registers are in the PE. */
  loaded: VcpuCore | undefined = undefined;
  /** The vCPU that is in the guest: the next event of this PE is its exit. */
  running: VcpuCore | undefined = undefined;
  /** Goes on at once, before the run queue. */
  next: VcpuCore | undefined = undefined;
  readonly runQueue: VcpuCore[] = [];
  /** Every vCPU whose home this is. */
  threads: VcpuCore[] = [];

  /** The operation whose SMC is under way. */
  job: Job | undefined = undefined;
  readonly readyJobs: Job[] = [];
  readonly waitingJobs: Job[] = [];

  /** Whose slice of the PE ends at `sliceEnd`, while several want it. */
  sliceOwner: VcpuCore | undefined = undefined;
  sliceEnd = 0;
  /** PPIs that are disabled in the redistributor while a guest's timer or PMU asserts them: bit n is INTID n. */
  maskedPpis = 0;
  /** What CNTHP is set to; Infinity: off. */
  timerDeadline = Infinity;

  constructor(pe: Pe) {
    this.pe = pe;
    this.index = pe.index;
    this.smcRegs = pe.r.subarray(R.X0, R.X0 + 8);
    this.gprs = pe.r.subarray(R.X0, R.X0 + 31);
    this.el1 = pe.r.subarray(GROUPS.EL1.first, GROUPS.EL1.first + GROUPS.EL1.count);
    this.debug = pe.r.subarray(GROUPS.DEBUG.first, GROUPS.DEBUG.first + GROUPS.DEBUG.count);
    this.pmu = pe.r.subarray(GROUPS.PMU.first, GROUPS.PMU.first + GROUPS.PMU.count);
    this.words = pe.w;
    this.fp = pe.r.subarray(GROUPS.FP.first, GROUPS.FP.first + GROUPS.FP.count);
  }

  /** Forgets everything: a snapshot follows. */
  reset(): void {
    this.loaded = undefined;
    this.running = undefined;
    this.next = undefined;
    this.sliceOwner = undefined;
    this.runQueue.length = 0;
    this.threads = [];
    this.job = undefined;
    this.readyJobs.length = 0;
    this.waitingJobs.length = 0;
  }
}
