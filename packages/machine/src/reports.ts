/**
 * What the machine tells of faults and SMCs: counts always, trace events when somebody listens. Names and fields are what
 * `--trace` prints.
 */
import { PAS_NAMES, SecurityState } from "@realmbox/abi";
import type { Requester } from "./bus.js";
import type { MutableCounters } from "./counters.js";
import { R } from "./cpu/state.js";
import type { Fault } from "./fault.js";
import type { Processor } from "./processor.js";
import type { AccessInfo } from "./syndrome.js";
import type { TraceBus } from "./trace.js";

const STATE_NAMES = ["SECURE", "NON_SECURE", "ROOT", "REALM"] as const;

/** "NON_SECURE EL2": for traces and messages. */
export const levelName = (pe: Processor): string => `${STATE_NAMES[pe.state]} EL${pe.el}`;

const faultName = ({ fault }: Fault): string => (fault === "granule-protection" ? "GPF" : fault);

/** Security state times four plus EL, of EL3. */
export const ROOT_LEVEL = SecurityState.ROOT * 4 + 3;

export class Reports {
  private readonly trace: TraceBus;
  private readonly counters: MutableCounters;
  /** Whether EL3 is native: then it traces the SMCs that it decodes itself. */
  private readonly hasMonitor: () => boolean;

  constructor(options: { trace: TraceBus; counters: MutableCounters; hasMonitor: () => boolean }) {
    this.trace = options.trace;
    this.counters = options.counters;
    this.hasMonitor = options.hasMonitor;
  }

  /** An SMC goes to EL3. */
  smc(pe: Processor): void {
    this.counters.smcs++;
    this.emitCall(pe, "SMC", "from");
  }

  /** EL3 returns to a lower EL. */
  smcReturn(pe: Processor): void {
    this.emitCall(pe, "ERET", "to");
  }

  /** An access of a PE is aborted. */
  abort(pe: Processor, fault: Fault, { lo, hi, fetch, write }: AccessInfo, target: number): void {
    if (fault.fault === "granule-protection") this.counters.granuleProtectionFaults++;
    if (!this.trace.wants("fault")) return;
    this.trace.emit({
      category: "fault",
      name: faultName(fault),
      fields: {
        by: levelName(pe),
        access: fetch ? "fetch" : write ? "write" : "read",
        va: (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0),
        stage: fault.stage,
        level: fault.level,
        ...(fault.s1ptw ? { s1ptw: true } : {}),
        ...(fault.ipa === undefined ? {} : { ipa: fault.ipa }),
        ...(fault.pa === undefined ? {} : { pa: fault.pa }),
        pc: pe.r[R.PC],
        to: `EL${target}`,
      },
    });
  }

  /** An access of a port is refused. */
  portFault(fault: Fault, from: Requester): void {
    if (fault.fault === "granule-protection") this.counters.granuleProtectionFaults++;
    if (!this.trace.wants("fault")) return;
    this.trace.emit({
      category: "fault",
      name: faultName(fault),
      fields: { by: `port of ${STATE_NAMES[from.state]}`, pa: fault.pa ?? 0n, pas: PAS_NAMES[from.pas] },
    });
  }

  /** All frames are in use, and a page needs one: the access ends in an external abort. */
  exhausted(pa: number): void {
    if (!this.trace.wants("fault")) return;
    this.trace.emit({ category: "fault", name: "no frame left for a page", fields: { pa: BigInt(pa) } });
  }

  private emitCall(pe: Processor, name: string, direction: "from" | "to"): void {
    if (this.hasMonitor() || !this.trace.wants("smc")) return;
    const x = (n: number) => pe.r[R.X0 + n]!;
    this.trace.emit({
      category: "smc",
      name,
      fields: { [direction]: levelName(pe), x0: x(0), x1: x(1), x2: x(2), x3: x(3) },
    });
  }
}
