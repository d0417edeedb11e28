/**
 * Whatever emulated code does, at any level, is a value: no run of random instructions, system register writes and SYS
 * instructions ends in a thrown error or does not end. Seeded; the failing seed is in the test's name.
 */
import { SecurityState } from "@realmbox/abi";
import { expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { machineAt, type PeAt, testBoard } from "../test-support/pe-at.js";
import { writeGpt } from "../test-support/tables.js";
import { R } from "./cpu/state.js";
import { SYS_ROWS } from "./sys-instructions.js";
import { encodingOf } from "./sysreg/system-registers.js";

/** xorshift32. */
function random(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const INTERESTING = [0n, 1n, 0xffff_ffff_ffff_ffffn, 0x8000_0000n, 0x8000_1003n, 0x4000_0000n, 0x2f00_0000n, 1n << 47n];

const LEVELS: readonly Pick<PeAt, "el" | "state">[] = [
  { el: 0 },
  { el: 1 },
  { el: 1, state: SecurityState.REALM },
  { el: 1, state: SecurityState.SECURE },
  { el: 2 },
  { el: 2, state: SecurityState.REALM },
  { el: 2, state: SecurityState.SECURE },
  { el: 3 },
];

const BOARD = testBoard({ peCount: 2, frameBytes: 12 << 20 });
const CODE = 0x8000_0000n;
const VECTORS = CODE + 0x10000n;
const WORDS = 2048;

test.each(Array.from({ length: 40 }, (_, seed) => seed))("seed %i", (seed) => {
  const next = random(seed + 1);
  const pick = <T>(list: readonly T[]): T => list[next() % list.length]!;
  const level = LEVELS[seed % LEVELS.length]!;
  const hcr = 0x8000_0000n | pick([0n, 1n, 1n << 34n, (1n << 34n) | (1n << 27n), 0x3fn, 1n << 12n]);
  const { machine, pe } = machineAt({
    ...level,
    board: BOARD,
    registers: {
      PC: CODE,
      HCR_EL2: hcr,
      CNTHCTL_EL2: 0xfffn,
    },
  });
  // Every exception skips its instruction, and clobbers X30; what random writes make of it, they make of it.
  for (const el of [1, 2, 3]) {
    const vectors = assemble((a) => {
      for (let vector = 0; vector < 16; vector++) {
        a.org(vector * 0x80)
          .mrs(30, `ELR_EL${el}`)
          .add(30, 30, 4)
          .msr(`ELR_EL${el}`, 30)
          .eret();
      }
    });
    machine.load(VECTORS + BigInt(el * 0x800), vectors);
  }
  if (seed % 3 === 0) {
    const { gptbr } = writeGpt(machine, {
      at: 0x10_0000n,
      rest: 0xf,
      ranges: [],
    });
    pe.r[R.GPTBR_EL3] = gptbr;
    pe.r[R.GPCCR_EL3] = 0x1_3502n;
  }
  const { names } = machine.systemRegisters;
  const words = Uint32Array.from({ length: WORDS }, () => {
    const rt = next() % 31;
    switch (next() % 8) {
      case 0:
        return 0xd500_0000 | (encodingOf(pick(names)) << 5) | rt;
      case 1:
        return 0xd520_0000 | (encodingOf(pick(names)) << 5) | rt;
      case 2: {
        const [op1, crn, crm, op2] = pick(SYS_ROWS).at;
        return 0xd508_0000 | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5) | rt;
      }
      case 3:
        // Loads and stores of every kind.
        return 0x3800_0000 | (next() & 0xc7ff_ffff);
      case 4:
        return pick([0xd400_0001, 0xd400_0002, 0xd400_0003, 0xd69f_03e0, 0xd503_207f, 0xd503_205f, 0xd503_209f]);
      case 5:
        return 0xd500_4000 | (next() & 0x7_0fe0) | 0x1f; // MSR (immediate)
      case 6:
        return 0xd503_201f;
      default:
        return next();
    }
  });
  machine.load(CODE, new Uint8Array(words.buffer));
  for (let i = 0; i < 31; i++) pe.r[R.X0 + i] = pick(INTERESTING) ^ (next() % 3 === 0 ? BigInt(next() & 0xfff8) : 0n);
  const ends: string[] = [];
  for (let run = 0; run < 40; run++) {
    // From a new place with sane vectors; what the last run did to translation and traps stays, every other time.
    pe.sleeping = false;
    pe.r[R.PC] = CODE + BigInt((next() % WORDS) * 4);
    pe.r[R.VBAR_EL1] = VECTORS + 0x800n;
    pe.r[R.VBAR_EL2] = VECTORS + 0x1000n;
    pe.r[R.VBAR_EL3] = VECTORS + 0x1800n;
    if (run % 2 === 0) for (const name of ["SCTLR_EL1", "SCTLR_EL2", "SCTLR_EL3"] as const) pe.r[R[name]] = 0n;
    for (let i = 0; i < 31; i++) if (next() % 2 === 0) pe.r[R.X0 + i] = pick(INTERESTING) ^ BigInt(next() & 0xff8);
    pe.pstate = 0x3c0n | pick([0n, 4n, 5n, 8n, 9n, 12n, 13n]);
    ends.push(machine.run({ instructions: 500 }).kind);
  }
  expect(ends).toHaveLength(40);
  // What it left can be saved and restored.
  const data = machine.snapshot();
  machine.restore(data);
  expect(machine.snapshot()).toEqual(data);
});
