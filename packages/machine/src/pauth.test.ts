/**
 * Pointer authentication: the engine's instructions against the plain functions, over regimes, layouts and pointers; enables,
 * traps, keys. The plain functions are the Arm ARM's pseudocode; conformance/system compares with QEMU.
 */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { DRAM, machineAt, type PeAt } from "../test-support/pe-at.js";
import { PAUTH_KEYS } from "./cpu/pauth.js";
import { R } from "./cpu/state.js";
import { addPac, authenticate, pauthKey, pauthMix } from "./pauth.js";
import type { Processor } from "./processor.js";

const SCR = 1n | (1n << 10n) | (3n << 16n); // NS, RW, APK and API
const HCR = (1n << 31n) | (3n << 40n); // RW, APK and API
const E2H = 1n << 34n;
const ENABLES = (1n << 31n) | (1n << 30n) | (1n << 27n) | (1n << 13n);
const RES1 = 0x30d0_0800n;
const KEYS = Object.fromEntries(
  ["IA", "IB", "DA", "DB", "GA"].flatMap((key, i) => [
    [`AP${key}KeyLo_EL1`, 0x0123_4567_89ab_cdefn * BigInt(i + 1)],
    [`AP${key}KeyHi_EL1`, 0xfedc_ba98_7654_3210n - BigInt(i)],
  ]),
) as PeAt["registers"];

interface Setting {
  readonly name: string;
  readonly el: 1 | 2;
  readonly registers: Record<string, bigint>;
}

const tcr2 = (t0sz: bigint, t1sz: bigint, flags = 0n): bigint => t0sz | (t1sz << 16n) | flags;
const TBI0 = 1n << 37n;
const TBI1 = 1n << 38n;
const TBID0 = 1n << 51n;
const SETTINGS: readonly Setting[] = [
  { name: "EL1, 48 bits", el: 1, registers: { TCR_EL1: tcr2(16n, 16n) } },
  { name: "EL1, 39 and 42 bits, TBI0", el: 1, registers: { TCR_EL1: tcr2(25n, 22n, TBI0) } },
  { name: "EL1, TBI0 and TBI1, TBID0", el: 1, registers: { TCR_EL1: tcr2(16n, 25n, TBI0 | TBI1 | TBID0) } },
  { name: "EL1, 21 bits", el: 1, registers: { TCR_EL1: tcr2(43n, 43n) } },
  { name: "EL1, sizes beyond what there is", el: 1, registers: { TCR_EL1: tcr2(0n, 63n) } },
  { name: "EL2, TBI", el: 2, registers: { TCR_EL2: 16n | (1n << 20n) } },
  { name: "EL2, TBI and TBID", el: 2, registers: { TCR_EL2: 28n | (1n << 20n) | (1n << 29n) } },
  { name: "EL2 with E2H", el: 2, registers: { HCR_EL2: HCR | E2H, TCR_EL2: tcr2(25n, 25n, TBI1) } },
];

const POINTERS = [
  0x0000_0000_8800_1234n,
  0xffff_ffff_ffff_8000n,
  0x5a00_0000_8800_1234n,
  0x0080_0000_0000_1000n,
  0xff7f_0000_0000_1000n,
  0x1234_5678_9abc_def0n,
  0n,
];
/** Addresses that every setting has. */
const CANONICAL = [0x1234n, 0xffff_ffff_ffff_8000n];
const MODIFIER = 0x1122_3344_5566_7788n;

/** A PE that has executed `words` with X1, X2, … = the pointers, X8 = the modifier. */
function start({ el, registers }: Pick<Setting, "el" | "registers">, words: readonly number[], ...pointers: bigint[]) {
  const at = machineAt({
    el,
    state: SecurityState.NON_SECURE,
    registers: {
      SCR_EL3: SCR,
      HCR_EL2: HCR,
      [`SCTLR_EL${el}`]: RES1 | ENABLES,
      ...KEYS,
      ...registers,
      PC: DRAM,
      ...Object.fromEntries(pointers.map((pointer, n) => [`X${n + 1}`, pointer])),
      X8: MODIFIER,
    } as NonNullable<PeAt["registers"]>,
  });
  at.machine.load(
    DRAM,
    assemble((a) => {
      for (const word of words) a.word(word);
    }),
  );
  if (words.length > 0) at.machine.run({ instructions: words.length });
  return at.pe;
}

const pointersOf = (pe: Pick<Processor, "r">): bigint[] => POINTERS.map((_, n) => pe.r[R.X0 + 1 + n]!);
/** `word` for X1, on X1 to X7. */
const onAll = (word: number): number[] => POINTERS.map((_, n) => word + n);

/** PAC… and AUT… X1, X8 by opcode bits 1:0 (key), bit 2 authenticates; `zero`: the modifier is zero. */
const onX1 = (opcode: number, zero = false): number =>
  (0xdac1_0000 | ((opcode | (zero ? 8 : 0)) << 10) | ((zero ? 31 : 8) << 5) | 1) >>> 0;

describe.each(SETTINGS)("$name", (setting) => {
  test.each(PAUTH_KEYS.map((key, k) => ({ name: key.name, key, k })))("PAC$name, AUT$name, XPAC", ({ key, k }) => {
    const pe = start(setting, onAll(onX1(k)), ...POINTERS);
    const signed = pointersOf(pe);
    expect(signed).toEqual(POINTERS.map((pointer) => addPac(pe, key, { pointer, modifier: MODIFIER })));
    for (const [word, modifier] of [
      [onX1(4 | k), MODIFIER],
      [onX1(4 | k, true), 0n],
    ] as const) {
      const after = start(setting, onAll(word), ...signed);
      expect(pointersOf(after)).toEqual(signed.map((pointer) => authenticate(after, key, { pointer, modifier })));
    }
    // What is canonical comes back; XPAC gives the address as well.
    for (const pointer of CANONICAL) {
      const code = addPac(pe, key, { pointer, modifier: MODIFIER });
      expect(authenticate(pe, key, { pointer: code, modifier: MODIFIER })).toBe(pointer);
      expect(start(setting, [key.data ? 0xdac1_47e1 : 0xdac1_43e1], code).r[R.X0 + 1]).toBe(pointer);
    }
  });
});

const PLAIN: Setting = SETTINGS[0]!;

test("PACGA: the upper half of the mix of both registers", () => {
  const pe = start(PLAIN, [0x9ac8_3023], 0x1234n); // PACGA X3, X1, X8
  expect(pe.r[R.X0 + 3]).toBe(pauthMix(0x1234n, MODIFIER, pauthKey(pe, "GA")) & ~0xffff_ffffn);
});

test("a disabled key leaves pointers alone; branches and loads are plain ones", () => {
  const registers = { ...PLAIN.registers, SCTLR_EL1: RES1 };
  for (let k = 0; k < 8; k++) expect(start({ el: 1, registers }, [onX1(k)], 0x1234n).r[R.X0 + 1]).toBe(0x1234n);
  expect(start({ el: 1, registers }, [0xd71f_0828], DRAM + 0x40n).r[R.PC]).toBe(DRAM + 0x40n); // BRAA X1, X8
  expect(start({ el: 1, registers }, [0xf820_0423], DRAM).r[R.X0 + 3]).toBe(0xf820_0423n); // LDRAA X3, [X1]
});

test("branches and loads authenticate", () => {
  const [ia, , da] = PAUTH_KEYS;
  const pe = start(PLAIN, []);
  const target = DRAM + 0x40n;
  const signed = addPac(pe, ia, { pointer: target, modifier: MODIFIER });
  expect(start(PLAIN, [0xd71f_0828], signed).r[R.PC]).toBe(target); // BRAA X1, X8
  const linked = start(PLAIN, [0xd73f_0828], signed); // BLRAA X1, X8
  expect([linked.r[R.PC], linked.r[R.X30]]).toEqual([target, DRAM + 4n]);
  const zero = addPac(pe, ia, { pointer: target, modifier: 0n });
  expect(start(PLAIN, [0xd61f_083f], zero).r[R.PC]).toBe(target); // BRAAZ X1
  expect(start(PLAIN, [0xd71f_0828], zero).r[R.PC]).not.toBe(target);
  const data = addPac(pe, da, { pointer: DRAM - 8n, modifier: 0n });
  const loaded = start(PLAIN, [0xf820_1c23], data); // LDRAA X3, [X1, #8]!
  expect([loaded.r[R.X0 + 3], loaded.r[R.X0 + 1]]).toEqual([0xf820_1c23n, DRAM]);
  // ERETAA: ELR is authenticated with SP.
  const elr = addPac(pe, ia, { pointer: target, modifier: 0x1000n });
  const returned = start(
    { el: 2, registers: { SP_EL2: 0x1000n, ELR_EL2: elr, SPSR_EL2: 0x3c9n, TCR_EL2: 16n } },
    [0xd69f_0bff],
  );
  expect(returned.r[R.PC]).toBe(target);
});

describe("traps", () => {
  /** The EL that the word's exception goes to, and the class; undefined when it takes none. */
  function trap(word: number, registers: Record<string, bigint>, el: 1 | 2 = 1): readonly [number, bigint] | undefined {
    const pe = start({ el, registers: { ...PLAIN.registers, ...registers } }, [word], 0x1234n);
    if (pe.r[R.PC] === DRAM + 4n) return undefined;
    return [pe.el, pe.r[[0, R.ESR_EL1, R.ESR_EL2, R.ESR_EL3][pe.el]!]! >> 26n];
  }
  const NO_API = { HCR_EL2: HCR & ~(1n << 41n) };
  const NO_APK = { HCR_EL2: HCR & ~(1n << 40n) };
  const NO_API_3 = { SCR_EL3: SCR & ~(1n << 17n) };
  const NO_APK_3 = { SCR_EL3: SCR & ~(1n << 16n) };
  const PACGA = 0x9ac8_3023;
  const PACIASP = 0xd503_233f;
  const MSR_KEY = 0xd518_2100; // MSR APIAKeyLo_EL1, X0

  test.each([
    ["PACIA", onX1(0)],
    ["AUTDB", onX1(7)],
    ["PACIASP", PACIASP],
    ["PACGA", PACGA],
    ["RETAA", 0xd65f_0bff],
    ["LDRAA", 0xf820_0423],
    ["BRAA", 0xd71f_0828],
  ])("%s: HCR_EL2.API, then SCR_EL3.API", (_, word) => {
    expect(trap(word, NO_API)).toEqual([2, 0x09n]);
    expect(trap(word, { ...NO_API, ...NO_API_3 })).toEqual([2, 0x09n]);
    expect(trap(word, NO_API_3)).toEqual([3, 0x09n]);
    expect(trap(word, { ...NO_API_3, TCR_EL2: 16n }, 2)).toEqual([3, 0x09n]);
  });

  test("what is not enabled does not trap, but PACGA does; XPACI never", () => {
    const disabled = { ...NO_API, SCTLR_EL1: RES1 };
    expect(trap(onX1(0), disabled)).toBeUndefined();
    expect(trap(PACIASP, disabled)).toBeUndefined();
    expect(trap(PACGA, disabled)).toEqual([2, 0x09n]);
    expect(trap(0xdac1_43e1, NO_API)).toBeUndefined();
  });

  test("keys: HCR_EL2.APK, SCR_EL3.APK", () => {
    expect(trap(MSR_KEY, {})).toBeUndefined();
    expect(trap(MSR_KEY, NO_APK)).toEqual([2, 0x18n]);
    expect(trap(MSR_KEY, NO_APK_3)).toEqual([3, 0x18n]);
    expect(trap(MSR_KEY, { ...NO_APK_3, TCR_EL2: 16n }, 2)).toEqual([3, 0x18n]);
  });
});
