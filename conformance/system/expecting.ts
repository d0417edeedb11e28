/** A bench on which each entry says what the architecture expects of it: for what no other machine here can tell. */
import { type Access, Bench, type Level } from "./case.js";

/** Where an entry ends and what it leaves there. */
export interface Expected {
  /** "end": the body came to its end; at EL0 that is an SVC, so say where it goes. */
  readonly to: "end" | "EL1" | "EL2" | "EL3";
  readonly esr?: bigint;
  readonly far?: bigint;
  readonly elr?: bigint;
  readonly spsr?: bigint;
  /** Other fields that are noted: "HPFAR_EL2", "X1", and "MFAR_EL3". */
  readonly also?: Readonly<Record<string, bigint>>;
}

/** How a body at EL0 ends. */
export const SVC_END: Expected = { to: "EL1", esr: 0x5600_0050n };

export interface Expectation {
  readonly field: string;
  readonly value: bigint;
  readonly mask: bigint;
}

const ALL = (1n << 64n) - 1n;
const SMC_END = 0x5e00_0000n;
/** ESR_EL3 of the SMC in a vector: the immediate's upper byte says whose vector. */
const VECTOR_OF = { EL1: 0x5e00_0100n, EL2: 0x5e00_0200n } as const;

export class Expecting extends Bench {
  readonly expectations: Expectation[] = [];
  private steps = 0;
  private prefix = "";

  /** Starts a case; names of its fields begin with `name`. */
  beginNamed(at: number, name: string): void {
    this.begin(at);
    this.prefix = name;
    this.steps = 0;
  }

  /** One access, and what comes of it. */
  sees(level: Level, kind: Access | "execute", va: bigint | number, expected: Expected, pstate = 0): void {
    const step = this.nextStep();
    this.access(level, kind, va, { pstate, step });
    this.outcome(step, expected);
  }

  /** A body, and what comes of it. `x`: general registers before. */
  executes(
    level: Level,
    words: readonly number[],
    expected: Expected,
    options: { readonly pstate?: number; readonly x?: Readonly<Record<number, bigint | number>> } = {},
  ): void {
    const step = this.nextStep();
    this.program.clear();
    this.x(options.x ?? {});
    this.program.step(step);
    this.run(level, words, { pstate: options.pstate ?? 0, registers: 5 });
    this.program.step("");
    this.outcome(step, expected);
  }

  private nextStep(): string {
    return `${this.prefix}, step ${++this.steps}`;
  }

  private expect(field: string, value: bigint, mask = ALL): void {
    this.expectations.push({ field, value: value & mask, mask });
  }

  private outcome(step: string, expected: Expected): void {
    const { to, esr, far, elr, spsr, also = {} } = expected;
    if (to === "end") this.expect(`${step}: ESR_EL3`, SMC_END);
    if (to === "EL1" || to === "EL2") this.expect(`${step}: ESR_EL3`, VECTOR_OF[to], 0xffff_ff00n);
    for (const [name, value] of Object.entries({ ESR: esr, FAR: far, ELR: elr, SPSR: spsr }))
      if (value !== undefined) this.expect(`${step}: ${name}_${to}`, value);
    if ("MFAR_EL3" in also) {
      this.program.step(step);
      this.program.mrs("MFAR_EL3");
      this.program.step("");
    }
    for (const [name, value] of Object.entries(also)) this.expect(`${step}: ${name}`, value);
  }
}
