/**
 * Pointer authentication: codes bit for bit (QEMU's IMPLEMENTATION DEFINED algorithm is the same mix), where they lie in each
 * layout of addresses, what a failure leaves, enables and traps. DDI 0487, "Pointer authentication".
 */
import { type Allowance, type Bench, type Case, DEFAULTS, HCR, type Level, SCTLR, tcr, tcr2 } from "../case.js";
import { msr, op } from "../encoding.js";

const API = 1n << 41n;
const APK = 1n << 40n;
const SCR_PAUTH = 3n << 16n;
const ENABLES = (1n << 31n) | (1n << 30n) | (1n << 27n) | (1n << 13n);
const E2H = HCR.E2H;

const KEYS: Readonly<Record<string, bigint>> = Object.fromEntries(
  ["IA", "IB", "DA", "DB", "GA"].flatMap((key, i) => [
    [`AP${key}KeyLo_EL1`, 0x0123_4567_89ab_cdefn * BigInt(i + 1)],
    [`AP${key}KeyHi_EL1`, 0xfedc_ba98_7654_3210n - BigInt(i)],
  ]),
);

const POINTERS = [
  0x0000_0000_8800_1234n,
  0xffff_ffff_ffff_8000n,
  0x5a00_0000_8800_1234n,
  0x0080_0000_0000_1000n,
  0xff7f_0000_0000_1000n,
  0x1234_5678_9abc_def0n,
  0n,
];
const [MODIFIER, OTHER] = [8, 9];

/**
 * Pointers 4 and 5, whose bits 55 and 63 differ, where the halves have different sizes and the top byte counts.
 */
const HALVES: Allowance = {
  field: /X[45]$/,
  why: "DDI 0487, AddPAC: without TBI bit 63 chooses the half, and with it TxSZ; QEMU takes bit 55",
};

interface Setting {
  readonly name: string;
  readonly level: Level;
  readonly registers: Readonly<Record<string, bigint>>;
  /** Keys for which `HALVES` holds. */
  readonly halves?: readonly string[];
}

const TBI = (n: number): bigint => 1n << BigInt(37 + n);
const TBID = (n: number): bigint => 1n << BigInt(51 + n);
const one = (more: bigint, t0sz = 16): bigint => tcr2({ t0sz, more });

const SETTINGS: readonly Setting[] = [
  { name: "EL1, 48 bits", level: "EL1", registers: { TCR_EL1: tcr() } },
  {
    name: "EL1, 39 and 42 bits",
    level: "EL1",
    registers: { TCR_EL1: tcr({ t0sz: 25, t1sz: 22 }) },
    halves: ["IA", "IB", "DA", "DB"],
  },
  { name: "EL1, TBI0, TBI1", level: "EL1", registers: { TCR_EL1: tcr({ more: TBI(0) | TBI(1) }) } },
  {
    name: "EL1, TBI0, TBI1, TBID0, TBID1",
    level: "EL1",
    registers: { TCR_EL1: tcr({ t0sz: 20, more: TBI(0) | TBI(1) | TBID(0) | TBID(1) }) },
    halves: ["IA", "IB"],
  },
  { name: "EL1, 21 bits", level: "EL1", registers: { TCR_EL1: tcr({ t0sz: 43, t1sz: 43 }) } },
  { name: "EL0", level: "EL0", registers: { TCR_EL1: tcr({ t0sz: 25, t1sz: 25, more: TBI(0) | TBI(1) }) } },
  { name: "EL2", level: "EL2", registers: { TCR_EL2: one(0n) } },
  { name: "EL2, TBI", level: "EL2", registers: { TCR_EL2: one(1n << 20n, 28) } },
  { name: "EL2, TBI, TBID", level: "EL2", registers: { TCR_EL2: one((1n << 20n) | (1n << 29n)) } },
  {
    name: "EL2 with E2H",
    level: "EL2",
    registers: { HCR_EL2: HCR.RW | E2H | API | APK, TCR_EL2: tcr({ t0sz: 25, t1sz: 25, more: TBI(0) | TBI(1) }) },
  },
];

const ROW = {
  sign: "PACIA, PACIB, PACDA, PACDB, AUTIA, AUTIB, AUTDA, AUTDB",
  zero: "PACIZA, PACIZB, PACDZA, PACDZB, AUTIZA, AUTIZB, AUTDZA, AUTDZB",
} as const;

/** One of PAC… and AUT… on X`d`. */
const onRegister = (key: number, authenticate: number, d: number, n: number): number =>
  op(ROW.sign, { u: authenticate, k: key >> 1, b: key & 1, n, d });
const zeroed = (key: number, authenticate: number, d: number): number =>
  op(ROW.zero, { u: authenticate, k: key >> 1, b: key & 1, d });

const onAll = (word: (d: number) => number): number[] => POINTERS.map((_, n) => word(n + 1));

function prepare(b: Bench, registers: Readonly<Record<string, bigint>>): void {
  b.set({
    SCR_EL3: DEFAULTS.SCR_EL3! | SCR_PAUTH,
    HCR_EL2: HCR.RW | API | APK,
    ...registers,
    SCTLR_EL1: SCTLR.OFF | ENABLES,
    SCTLR_EL2: SCTLR.OFF | ENABLES,
    ...KEYS,
  });
}

function body(b: Bench, level: Level, step: string, words: readonly number[]): void {
  const { program } = b;
  program.clear();
  b.x(Object.fromEntries(POINTERS.map((pointer, n) => [n + 1, pointer])));
  b.x({ [MODIFIER]: 0x1122_3344_5566_7788n, [OTHER]: 0x99n });
  program.step(step);
  b.run(level, words, { registers: 8 });
  program.step("");
}

const codes: Case[] = SETTINGS.flatMap(({ name, level, registers, halves = [] }) =>
  ["IA", "IB", "DA", "DB"].map(
    (key, k): Case => ({
      name: `${name}: ${key}`,
      cpu: "max",
      run: (b) => {
        prepare(b, registers);
        if (halves.includes(key)) b.allow(HALVES);
        const sign = onAll((d) => onRegister(k, 0, d, MODIFIER));
        body(b, level, "signed", sign);
        body(b, level, "authenticated", [...sign, ...onAll((d) => onRegister(k, 1, d, MODIFIER))]);
        body(b, level, "with another modifier", [...sign, ...onAll((d) => onRegister(k, 1, d, OTHER))]);
        body(b, level, "with zero", [...onAll((d) => zeroed(k, 0, d)), ...onAll((d) => zeroed(k, 1, d))]);
        body(b, level, "stripped", [...sign, ...onAll((d) => op("XPACI, XPACD", { k: k >> 1, d }))]);
      },
    }),
  ),
);

const generic: Case = {
  name: "PACGA",
  cpu: "max",
  run: (b) => {
    prepare(b, {});
    body(
      b,
      "EL1",
      "",
      onAll((d) => op("PACGA", { n: d, m: MODIFIER, d })),
    );
  },
};

/** Words whose use traps, with what they need. */
const USES: readonly (readonly [name: string, word: number])[] = [
  ["PACIA", onRegister(0, 0, 1, MODIFIER)],
  ["AUTDB", onRegister(3, 1, 1, MODIFIER)],
  ["PACIASP", op("HINT", { m: 3, p: 1 })],
  ["PACGA", op("PACGA", { n: 1, m: MODIFIER, d: 3 })],
  ["XPACD", op("XPACI, XPACD", { k: 1, d: 1 })],
  ["MSR APIBKeyHi_EL1", msr("APIBKeyHi_EL1", 1)],
];

const traps: Case[] = (
  [
    ["enabled", {}],
    ["HCR_EL2.API 0", { HCR_EL2: HCR.RW | APK }],
    ["HCR_EL2.APK 0", { HCR_EL2: HCR.RW | API }],
    ["SCR_EL3.API 0", { SCR_EL3: DEFAULTS.SCR_EL3! | (1n << 16n) }],
    ["SCR_EL3.APK 0", { SCR_EL3: DEFAULTS.SCR_EL3! | (1n << 17n) }],
  ] as const
).flatMap(([what, registers]) =>
  [true, false].map(
    (enabled): Case => ({
      name: `traps: ${what}, keys ${enabled ? "enabled" : "disabled"}`,
      cpu: "max",
      run: (b) => {
        prepare(b, {});
        b.set({ ...registers, ...(enabled ? {} : { SCTLR_EL1: SCTLR.OFF, SCTLR_EL2: SCTLR.OFF }) });
        for (const level of ["EL1", "EL2"] as const) {
          for (const [name, word] of USES) body(b, level, `${level} ${name}`, [word]);
        }
      },
    }),
  ),
);

export const pauthCases: readonly Case[] = [...codes, generic, ...traps];
