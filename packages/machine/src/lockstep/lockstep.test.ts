/** The check finds what was planted, at its exact count; equal machines are equal to their end. */
import { describe, expect, test } from "vitest";
import { type Assembler, assemble } from "../../test-support/assembler.js";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { R } from "../cpu/state.js";
import type { Jit } from "../jit.js";
import { type LockstepSubject, lockstep, lockstepText } from "./index.js";

/** A loop that adds up, stores each sum, and takes an exception at its end. */
const program = (a: Assembler) =>
  a
    .mov(0, 0)
    .mov(1, 0)
    .mov(2, DRAM + 0x8000n)
    .label("again")
    .add(0, 0, 1)
    .word(0x8b000021) // add x1, x1, x0
    .str(1, 2)
    .cmp(0, 500)
    .bCond(1, "again")
    .svc()
    .loop();

/** Counts before the loop, and in one round of it. */
const BEFORE = 4; // the address takes two instructions
const ROUND = 5;

function subject(write: (a: Assembler) => void, plant?: (subject: LockstepSubject) => void): LockstepSubject {
  const { machine, pe } = machineAt({ el: 1, registers: { PC: DRAM, VBAR_EL1: DRAM + 0x1000n } });
  machine.load(DRAM, assemble(write));
  machine.load(
    DRAM + 0x1200n,
    assemble((a) => a.wfi().loop()),
  );
  pe.contextChanged();
  const made: LockstepSubject = {
    machine,
    run: (clock) => {
      const end = machine.run({ instructions: clock - machine.now });
      return end.kind === "limit" ? undefined : end.kind;
    },
  };
  plant?.(made);
  return made;
}

/** The same machine, in which something else happens when the clock has come to a count. */
const plantAt =
  (clock: number, what: (subject: LockstepSubject) => void) =>
  (made: LockstepSubject): void => {
    const { run, machine } = made;
    let planted = false;
    made.run = (until) => {
      if (planted || until < clock) return run(until);
      const end = clock > machine.now ? run(clock) : undefined;
      planted = true;
      what(made);
      return end ?? (until > clock ? run(until) : undefined);
    };
  };

const pair = (plant?: (subject: LockstepSubject) => void) => (jit: Jit) =>
  subject(program, jit === "off" ? undefined : plant);

describe("lockstep", () => {
  test.each([1, 7, 1000, 100_000])("equal machines, steps of %i", (step) => {
    const result = lockstep({ create: pair(), step, deepEvery: 500 });
    expect(result).toMatchObject({ end: "deadlock", difference: undefined });
    expect(result.clock).toBeGreaterThan(500 * ROUND);
    expect(lockstepText(result, "-")).toMatch(/equal up to count 2,50\d \(deadlock\)/);
  });

  test.each([1, 10, 1000])("a register, steps of %i", (step) => {
    const clock = BEFORE + 100 * ROUND + 2;
    const create = pair(plantAt(clock, ({ machine }) => (machine.pes[0]!.r[R.X7] = 5n)));
    const { difference } = lockstep({ create, step });
    expect(difference).toMatchObject({
      clock,
      equalAt: clock - 1,
      differences: [{ what: "PE 0 X7", interpreter: "0x0", translator: "0x5" }],
    });
    expect(difference!.executed.at(-1)).toEqual({
      clock: clock - 1,
      pe: 0,
      level: "NON_SECURE EL1",
      pc: DRAM + 4n * 5n,
      text: "add x1, x1, x0",
    });
    const text = lockstepText({ clock, comparisons: 1, end: undefined, difference }, "do it again");
    expect(text).toContain(`differ at count ${clock}, PE 0 at NON_SECURE EL1, PC 0x80000014; equal at ${clock - 1}`);
    expect(text).toMatch(/^ {2}PE 0 X7 +0x0 +0x5$/m);
    expect(text).toMatch(/0000000080000014 {2}add x1, x1, x0\nrepeat: do it again\n$/);
  });

  test("flags, whose lazy form may differ", () => {
    const same = pair(plantAt(600, ({ machine: { pes } }) => (pes[0]!.nzcv = pes[0]!.nzcv)));
    expect(lockstep({ create: same, step: 50 }).difference).toBeUndefined();
    const other = pair(plantAt(600, ({ machine: { pes } }) => (pes[0]!.nzcv = 0x1000_0000n)));
    const found = lockstep({ create: other, step: 50 }).difference;
    expect(found?.clock).toBe(600);
    expect(found?.differences.map(({ what }) => what)).toEqual(["PE 0 NZCV"]);
  });

  test("memory that nothing reads, by the looks at everything", () => {
    const create = pair(plantAt(1234, ({ machine }) => (machine.memory.u8[machine.memory.host(0x8000_9003)] = 9)));
    const { difference, clock } = lockstep({ create, step: 10, deepEvery: 100 });
    expect(clock).toBe(1300);
    expect(difference).toMatchObject({
      clock: 1234,
      equalAt: 1233,
      differences: [
        { what: "memory 0x80009000", interpreter: "(never touched)", translator: `00 00 00 09${" 00".repeat(12)}` },
      ],
    });
  });

  test("machines that do not start alike", () => {
    const create = (jit: Jit) => subject(jit === "off" ? program : (a) => program(a).nop());
    expect(lockstep({ create, step: 10 })).toMatchObject({
      clock: 0,
      difference: { clock: 0, differences: [{ what: expect.stringMatching(/^memory 0x800000/) }] },
    });
  });

  test("how the run ends", () => {
    const create = pair((made) => {
      const { run } = made;
      made.run = (clock) => run(clock) && "another end";
    });
    const { difference } = lockstep({ create, step: 64 });
    expect(difference?.differences).toEqual([{ what: "end", interpreter: "deadlock", translator: "another end" }]);
    const throwing = pair(
      plantAt(300, () => {
        throw new Error("a defect");
      }),
    );
    expect(lockstep({ create: throwing, step: 64 }).difference).toMatchObject({
      clock: 300,
      differences: expect.arrayContaining([{ what: "end", interpreter: "goes on", translator: "throws a defect" }]),
    });
  });

  test("an instruction that takes another way", () => {
    const create = pair(plantAt(700, ({ machine }) => (machine.pes[0]!.r[R.X0] = 1n)));
    const { difference } = lockstep({ create, step: 5000 });
    expect(difference?.clock).toBe(700);
  });

  test("console output", () => {
    const create = (jit: Jit) => ({ ...subject(program), output: () => (jit === "off" ? "one" : "other") });
    expect(lockstep({ create, step: 100 }).difference?.differences).toContainEqual({
      what: "output",
      interpreter: '"one"',
      translator: '"other"',
    });
  });

  test("a run that is not the same each time is told as it was seen", () => {
    let made = 0;
    const create = () =>
      subject(program, made++ === 1 ? plantAt(50, ({ machine }) => (machine.pes[0]!.r[R.X9] = 1n)) : undefined);
    expect(lockstep({ create, step: 10 }).difference).toMatchObject({ clock: 50, executed: [] });
  });
});
