/** Which hints are instructions of pointer authentication, and that what one signs its partner authenticates. */
import { expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { DRAM, machineAt } from "../test-support/pe-at.js";
import { R } from "./cpu/state.js";

const hint = (number: number): number => 0xd503_201f | (number << 5);
/** EnIA, EnIB; the RES1 bits of SCTLR_EL1. */
const SCTLR = (1n << 31n) | (1n << 30n) | 0x30d0_0800n;
const POINTER = 0x8800_1234n;

/** The pointer register after each of the hints; SP, X16 and the keys are set. */
function pointers(hints: readonly number[], register: number): bigint[] {
  const { machine, pe } = machineAt({
    el: 1,
    registers: {
      SCR_EL3: 1n | (1n << 10n) | (3n << 16n), // NS, RW, APK and API
      HCR_EL2: (1n << 31n) | (3n << 40n), // RW, APK and API
      SCTLR_EL1: SCTLR,
      TCR_EL1: 16n | (16n << 16n),
      SP_EL1: 0x1000n,
      X16: 0x2000n,
      X17: POINTER,
      X30: POINTER,
      APIAKeyLo_EL1: 1n,
      APIAKeyHi_EL1: 2n,
      APIBKeyLo_EL1: 3n,
      APIBKeyHi_EL1: 4n,
      PC: DRAM,
    },
  });
  machine.load(
    DRAM,
    assemble((a) => {
      for (const number of hints) a.word(hint(number));
    }),
  );
  return hints.map(() => {
    machine.run({ instructions: 1 });
    return pe.r[register]!;
  });
}

test.each([
  ["PACIA1716, AUTIA1716", 8, 12, R.X0 + 17],
  ["PACIB1716, AUTIB1716", 10, 14, R.X0 + 17],
  ["PACIAZ, AUTIAZ", 24, 28, R.X0 + 30],
  ["PACIASP, AUTIASP", 25, 29, R.X0 + 30],
  ["PACIBZ, AUTIBZ", 26, 30, R.X0 + 30],
  ["PACIBSP, AUTIBSP", 27, 31, R.X0 + 30],
])("%s", (_, sign, authenticate, register) => {
  const [signed, authenticated] = pointers([sign, authenticate], register);
  expect(signed).not.toBe(POINTER);
  expect(signed! & 0xffff_ffffn).toBe(POINTER);
  expect(authenticated).toBe(POINTER);
});

test("each has a modifier and a key of its own", () => {
  const signed = [24, 25, 26, 27].map((number) => pointers([number], R.X0 + 30)[0]!);
  expect(new Set(signed).size).toBe(4);
});

test("other hints leave pointers alone", () => {
  const others = [0, 6, 9, 11, 13, 15, 32, 34, 127];
  expect(pointers(others, R.X0 + 30)).toEqual(others.map(() => POINTER));
});
