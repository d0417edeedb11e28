/**
 * Events for whoever subscribes: world switches, SMCs, faults, exits and granule transitions. Nothing is hidden, and
 * nothing is built when nobody listens: emitters ask `wants` first.
 */

export const TRACE_CATEGORIES = [
  "boot", // monitor and RMM booting, images measured
  "smc", // every SMC that reaches EL3, and its return
  "rmi", // RMI commands with arguments, status, refusing condition
  "rsi", // RSI commands, likewise
  "psci", // PSCI calls of realms, of normal VMs and of the Host
  "rec", // REC entries and exits, with the exit reason decoded
  "fault", // translation, permission and granule protection faults
  "mmio", // accesses that a VMM emulates
  "virtio", // virtio devices: set up, reset, broken by their driver
  "irq", // physical and virtual interrupts
  "granule", // granule state and GPT transitions
] as const;
export type TraceCategory = (typeof TRACE_CATEGORIES)[number];

/** bigint prints as hexadecimal, number as decimal. */
export type TraceValue = string | number | bigint | boolean;

export interface TraceEvent {
  readonly category: TraceCategory;
  /** What happened, in the document's words: `RMI_RTT_CREATE`, `REC exit`, `GPF`. */
  readonly name: string;
  /** Arguments, status, refusing condition (`condition`), in the order in which they print. */
  readonly fields: Readonly<Record<string, TraceValue>>;
}

/** An event with its stamp: the machine's clock (instructions, design §5) and the PE it happened on. */
export interface StampedTraceEvent extends TraceEvent {
  readonly at: number;
  readonly pe: number;
}

export interface Trace {
  /** Whether anybody listens to a category: ask before building an event. */
  wants(category: TraceCategory): boolean;
  emit(event: TraceEvent): void;
}
