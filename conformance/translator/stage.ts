/**
 * Directed cases: a program of EL1 with identity tables, run by the interpreter and by the translator in several ways. All
 * must leave the same machine behind; what a case expects of it is its own to say.
 *
 *   0x8000_0000  vectors: each exception is noted at NOTES (ESR, FAR, ELR), and execution goes on as HANDLER says
 *   0x8000_1000  code of the case; 0x8000_8000 and on: more code, aliased writable at +0x1000_0000
 *   0x8002_0000  data; 0x8010_0000 tables; notes at 0x8003_0000
 */
import { expect } from "vitest";
import { type Assembler, assemble } from "../../packages/machine/test-support/assembler.js";
import { place, testBoard, testEngine } from "../../packages/machine/test-support/pe-at.js";
import { D, Tables } from "../../packages/machine/test-support/tables.js";
import { compareMachines, type Jit, Machine, R, type RegName, type TranslatorLimits } from "./machine.js";

export const VECTORS = 0x8000_0000n;
export const START = 0x8000_1000n;
export const CODE = 0x8000_8000n;
export const CODE_PAGES = 8;
/** Where the code is writable: its address plus this. */
export const ALIAS = 0x1000_0000n;
export const DATA = 0x8002_0000n;
export const NOTES = 0x8003_0000n;
const TABLES = 0x8010_0000n;
export const PAGE = 0x1000n;

const LEAF = D.PAGE | D.AF;
const TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
const MAIR = 0x04_ffn;
/** RES1, UCI, UCT, DZE, M. */
const SCTLR = 0x34d0_c801n;

/** Every way in which a case runs. */
const WAYS: readonly { readonly jit: Jit; readonly pieces: number | undefined }[] = [
  { jit: "off", pieces: undefined },
  { jit: 0, pieces: undefined },
  { jit: 0, pieces: 1 },
  { jit: 0, pieces: 7 },
  { jit: 1, pieces: undefined },
  { jit: 4, pieces: 33 },
];

export interface Stage {
  readonly machine: Machine;
  readonly tables: Tables;
  /** Runs until the case's WFI, or so many counts; each piece is one call of Machine.run. */
  readonly run: (counts?: number) => void;
  readonly x: (n: number) => bigint;
  /** Exceptions taken: ESR, FAR, ELR of each. */
  readonly notes: () => readonly (readonly [esr: bigint, far: bigint, elr: bigint])[];
}

export interface StageOptions {
  readonly pes?: number;
  readonly interleave?: bigint;
  readonly registers?: Readonly<Partial<Record<RegName, bigint>>>;
  /** What an exception does after its note: goes on behind the instruction, at X28, or stops. */
  readonly handler?: "skip" | "x28" | "stop";
  /** Where PE `n` begins; default: all at START. */
  readonly pcs?: readonly bigint[];
  readonly el?: 0 | 1;
  readonly limits?: TranslatorLimits;
  readonly ways?: typeof WAYS;
}

/** The vectors of EL1: X29 counts notes of PE 0, X27 is theirs. */
function vectors(handler: StageOptions["handler"]): (a: Assembler) => void {
  return (a) => {
    for (let slot = 0; slot < 16; slot++) a.org(slot * 0x80).b("note");
    a.org(0x800).label("note");
    a.mov(27, NOTES).word(0x8b1d_177b); // add x27, x27, x29, lsl #5
    a.msr("TPIDR_EL1", 0);
    for (const [i, name] of ["ESR_EL1", "FAR_EL1", "ELR_EL1"].entries()) a.mrs(0, name).str(0, 27, i * 8);
    a.add(29, 29, 1);
    if (handler === "skip") a.mrs(0, "ELR_EL1").add(0, 0, 4).msr("ELR_EL1", 0);
    if (handler === "x28") a.msr("ELR_EL1", 28);
    a.mrs(0, "TPIDR_EL1");
    if (handler === "stop") a.wfi().loop();
    a.eret();
  };
}

function stageOf(code: (a: Assembler) => void, options: StageOptions, jit: Jit, pieces: number | undefined): Stage {
  const { pes = 1, interleave = 0n, registers = {}, handler = "skip", pcs = [], el = 1, limits } = options;
  const machine = new Machine({
    board: testBoard({ peCount: pes, frameBytes: 4 << 20 }),
    engine: testEngine(),
    interleave,
    jit,
    ...(limits === undefined ? {} : { translatorLimits: limits }),
  });
  machine.load(VECTORS, assemble(vectors(handler)));
  machine.load(START, assemble(code));
  const tables = new Tables(machine, { at: TABLES });
  tables.map(VECTORS, VECTORS | LEAF | D.AP_RO | D.UXN);
  tables.map(NOTES, NOTES | LEAF | D.PXN | D.UXN);
  for (let pa = START; pa < CODE + BigInt(CODE_PAGES) * PAGE; pa += PAGE) {
    tables.map(pa, pa | LEAF | D.AP_EL0 | D.AP_RO);
    tables.map(pa + ALIAS, pa | LEAF | D.PXN | D.UXN);
  }
  for (let pa = DATA; pa < DATA + 8n * PAGE; pa += PAGE) tables.map(pa, pa | LEAF | D.AP_EL0 | D.PXN | D.UXN);
  // The tables themselves, as a case may change them.
  for (let pa = TABLES; pa < TABLES + 16n * PAGE; pa += PAGE) tables.map(pa, pa | LEAF | D.PXN | D.UXN);
  machine.reset();
  for (let pe = 1; pe < pes; pe++) machine.startPe(pe);
  for (const [i, pe] of machine.pes.entries()) {
    place(pe, {
      el,
      registers: {
        SCTLR_EL1: SCTLR,
        TCR_EL1: TCR,
        MAIR_EL1: MAIR,
        TTBR0_EL1: TABLES,
        TTBR1_EL1: TABLES,
        VBAR_EL1: VECTORS,
        HCR_EL2: 1n << 31n,
        CPACR_EL1: 3n << 20n,
        CNTHCTL_EL2: 3n,
        MDCR_EL2: 6n,
        CPTR_EL2: 0x33ffn,
        X0: BigInt(i),
        PC: pcs[i] ?? START,
        ...registers,
      },
    });
    pe.contextChanged();
  }
  return {
    machine,
    tables,
    run: (counts = 200_000) => {
      const last = machine.now + counts;
      while (machine.now < last) {
        const left = last - machine.now;
        const end = machine.run({ instructions: pieces === undefined ? left : Math.min(left, pieces) });
        if (end.kind !== "limit") {
          expect(end).toMatchObject({ kind: "deadlock" });
          return;
        }
      }
    },
    x: (n) => machine.pes[0].r[R.X0 + n],
    notes: () =>
      Array.from({ length: Number(machine.pes[0].r[R.X29]) }, (_, i) => {
        const word = (at: bigint) => machine.memory.view.getBigUint64(machine.memory.host(Number(at)), true);
        const at = NOTES + BigInt(i) * 32n;
        return [word(at), word(at + 8n), word(at + 16n)] as const;
      }),
  };
}

/**
 * Runs a case in all ways. `play` runs the stage and looks at it; what it returns, and the machines, must be equal. With
 * the translator, `translated` instructions at least are translated code's: a case that never leaves the interpreter says
 * nothing.
 */
export function inAllWays<Result>(
  code: (a: Assembler) => void,
  play: (stage: Stage) => Result,
  { translated = 1, ...options }: StageOptions & { readonly translated?: number } = {},
): Result {
  let reference: { readonly machine: Machine; readonly result: Result } | undefined;
  for (const { jit, pieces } of options.ways ?? WAYS) {
    const stage = stageOf(code, options, jit, pieces);
    const result = play(stage);
    const { machine } = stage;
    if (reference === undefined) {
      reference = { machine, result };
      continue;
    }
    const way = `jit ${jit}, pieces of ${pieces}`;
    expect({ way, result }).toEqual({ way, result: reference.result });
    const differences = compareMachines(reference.machine, machine, { parts: true });
    expect({ way, differences }).toEqual({ way, differences: [] });
    if (jit === 0)
      expect(machine.translator?.translatedInstructions ?? 0, way).toBeGreaterThanOrEqual(
        pieces === 1 ? 0 : translated,
      );
  }
  return reference!.result;
}

export { DRAM } from "../../packages/machine/test-support/pe-at.js";
export { D, R };
