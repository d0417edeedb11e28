/**
 * Exceptions and returns: classes and syndromes of the instructions that make them, where they go, what PSTATE becomes,
 * which vector is used, and which returns are illegal. DDI 0487, "AArch64 Exception model", "ESR_EL1".
 */
import { type Bench, type Case, HCR, type Level, PAN, SCR, SCTLR, SPSR } from "../case.js";
import { eret, hvc, isb, mov, mrs, msr, msrImmediate, nop, op, smc, svc } from "../encoding.js";
import { CODE } from "../layout.js";

const LEVELS: readonly Level[] = ["EL0", "EL1", "EL1T", "EL2", "EL2T", "EL3", "EL3T"];

const GENERATORS: readonly (readonly [string, number])[] = [
  ["SVC", svc(0xabcd)],
  ["HVC", hvc(0xabcd)],
  ["SMC", smc(0xabcd)],
  ["BRK", op("BRK", { i: 0xabcd })],
  ["HLT", op("HLT", { i: 0x1234 })],
  ["UDF", op("UDF", { i: 0xabcd })],
  ["unallocated word", 0x0300_0000],
  ["ERET at EL0", eret],
];

const generation: Case[] = LEVELS.flatMap((level) =>
  GENERATORS.filter(([name]) => name !== "ERET at EL0" || level === "EL0").flatMap(([name, word]) =>
    (
      [
        ["", {}],
        [", HCR_EL2.TSC", { HCR_EL2: HCR.RW | HCR.TSC }],
        [", HVC disabled", { SCR_EL3: SCR.NS | SCR.RES1 | SCR.RW }],
        [", HCR_EL2.TGE", { HCR_EL2: HCR.RW | HCR.TGE }],
        [", HCR_EL2.{E2H, TGE}", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
      ] as const
    )
      // EL1 does not exist under TGE.
      .filter(([what]) => !(what.includes("TGE") && level.startsWith("EL1")))
      // QEMU takes an HVC at EL3 to EL2; `architecture.ts` has it.
      .filter(() => !(name === "HVC" && level.startsWith("EL3")))
      .map(
        ([what, registers]): Case => ({
          name: `${name} at ${level}${what}`,
          run: (b) => {
            b.set(registers);
            b.run(level, [word]);
          },
        }),
      ),
  ),
);

/** The handler's condition flags: architecture, "Exception entry", leaves them; QEMU clears them. */
const keepsFlags = (pstate: number) => ({
  field: /SPSR_EL3$/,
  mask: 0xf000_0000n,
  expect: BigInt((pstate & 0xf000_0000) >>> 0),
  why: "DDI 0487, AArch64.TakeException: PSTATE.{N, Z, C, V} do not change; QEMU clears them",
});

/** What an entry does to PSTATE: SPSR of what came before, PSTATE of the handler in SPSR_EL3. */
const entries: Case[] = LEVELS.flatMap((level) =>
  [0, 0xf000_0000, 0x5000_0000, PAN, PAN | 0xa000_0000].flatMap((pstate) =>
    [0n, SCTLR.SPAN].map(
      (span): Case => ({
        name: `entry from ${level}, PSTATE 0x${pstate.toString(16)}, SPAN ${span ? 1 : 0}`,
        run: (b) => {
          b.set({
            SCTLR_EL1: (SCTLR.OFF & ~SCTLR.SPAN) | span,
            SCTLR_EL2: (SCTLR.OFF & ~SCTLR.SPAN) | span,
            HCR_EL2: HCR.RW | (level.startsWith("EL2") ? HCR.E2H : 0n),
          });
          b.allow(keepsFlags(pstate));
          b.run(level, [svc(1)], { pstate });
        },
      }),
    ),
  ),
);

const hostEntries: Case[] = (["EL0", "EL2"] as const).flatMap((level) =>
  [0n, SCTLR.SPAN].map(
    (span): Case => ({
      name: `entry to EL2 of a host from ${level}, SPAN ${span ? 1 : 0}`,
      run: (b) => {
        b.set({ SCTLR_EL2: (SCTLR.OFF & ~SCTLR.SPAN) | span, HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE });
        b.run(level, [svc(1)]);
      },
    }),
  ),
);

/** ERET with a SPSR; at the address that it returns to: SVC, then the end. */
function returnWith(b: Bench, level: "EL1" | "EL2" | "EL3", spsr: number): void {
  const target = CODE + 0x800;
  b.program.code([svc(0x77), smc(0x78)], target);
  b.x({ 1: spsr, 2: target });
  const own = level.slice(0, 3);
  // The runner's own EL3 state is not a case's to change; ELR_EL3 and SPSR_EL3 are set anew at each entry.
  b.run(level, [msr(`SPSR_${own}`, 1), msr(`ELR_${own}`, 2), eret]);
}

const modes: Case[] = (["EL1", "EL2", "EL3"] as const).flatMap((level) =>
  Array.from({ length: 32 }, (_, mode) => mode)
    // Neoverse N1 has AArch32 at EL0, ours has not: `architecture.ts` has User mode.
    .filter((mode) => mode !== 0x10)
    .flatMap((mode) =>
      (
        [
          ["", {}],
          [", TGE", { HCR_EL2: HCR.RW | HCR.TGE }],
          [", Secure", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW }],
        ] as const
      )
        .filter(([what]) => !(what === ", TGE" && level === "EL1") && !(what === ", Secure" && level === "EL2"))
        .map(
          ([what, registers]): Case => ({
            name: `ERET at ${level} to mode 0x${mode.toString(16)}${what}`,
            run: (b) => {
              b.set(registers);
              returnWith(b, level, 0x3c0 | mode);
            },
          }),
        ),
    ),
);

/** PSTATE fields of features that one of the two has not. */
const FEATURES = {
  field: /SPSR_EL\d$/,
  mask: (1n << 23n) | (1n << 12n) | (1n << 24n) | (3n << 10n) | (1n << 25n),
  why: "FEAT_UAO and FEAT_SSBS are Neoverse N1's alone, FEAT_DIT ours",
};

const stateBits: Case[] = (["EL1", "EL2"] as const).flatMap((level) =>
  [SPSR.EL0, SPSR.EL1, SPSR.EL1T].flatMap((mode) =>
    Array.from({ length: 26 }, (_, i) => i + 6)
      // Interrupts and software step have cases of their own.
      .filter((at) => at > 9 && at !== 21)
      .map(
        (at): Case => ({
          name: `ERET at ${level} to 0x${mode.toString(16)} with SPSR bit ${at}`,
          run: (b) => {
            b.allow(FEATURES);
            b.allow(keepsFlags((1 << at) >>> 0));
            returnWith(b, level, (mode | (1 << at)) >>> 0);
          },
        }),
      ),
  ),
);

const illegalState: Case[] = (
  [
    ["at the next instruction", [nop]],
    ["before SVC", [svc(1)]],
    ["before an undefined instruction", [op("UDF", { i: 0 })]],
    ["before BRK", [op("BRK", { i: 3 })]],
  ] as const
).flatMap(([what, words]) =>
  LEVELS.map(
    (level): Case => ({
      name: `PSTATE.IL at ${level}, ${what}`,
      run: (b) => b.run(level, words, { pstate: 1 << 20 }),
    }),
  ),
);

/** PC and SP alignment. */
const alignment: Case[] = [
  ...LEVELS.flatMap((level) =>
    [1, 2, 3].map(
      (offset): Case => ({
        name: `BR to an address with ${offset} in its low bits at ${level}`,
        run: (b) => {
          b.x({ 5: CODE + 0x40 + offset });
          b.run(level, [op("BR", { n: 5 })]);
        },
      }),
    ),
  ),
  {
    name: "ERET to a misaligned PC",
    run: (b) => {
      b.x({ 1: SPSR.EL0, 2: CODE + 2 });
      b.run("EL1", [msr("SPSR_EL1", 1), msr("ELR_EL1", 2), eret]);
    },
  },
];

/** SPSel, and which stack pointer is which. */
const stackPointers: Case[] = [
  ...(["EL1", "EL2"] as const).flatMap((level): Case[] => [
    {
      name: `SPSel at ${level}`,
      run: (b) => {
        b.x({ 5: 0x4020_9000, 6: 0x4020_a000 });
        b.run(
          level,
          [
            mrs(0, "SPSel"),
            mov(31, 5),
            msrImmediate("SPSel", 0),
            mov(1, 31),
            mov(31, 6),
            mrs(2, "SPSel"),
            msrImmediate("SPSel", 1),
            mov(3, 31),
            mrs(4, "SP_EL0"),
            msr("SP_EL0", 5),
          ],
          { registers: 8 },
        );
      },
    },
    {
      name: `SP_EL0 while it is in use at ${level}`,
      run: (b) => b.run(`${level}T`, [mrs(0, "SP_EL0")]),
    },
    {
      name: `write of SP_EL0 while it is in use at ${level}`,
      run: (b) => b.run(`${level}T`, [msr("SP_EL0", 0)]),
    },
    {
      name: `MSR SPSel, X at ${level}`,
      run: (b) => {
        b.x({ 0: 0 });
        b.run(level, [msr("SPSel", 0), mrs(1, "SPSel"), msr("SPSel", 1), mrs(2, "SPSel")]);
      },
    },
  ]),
  { name: "SP_EL1 at EL2", run: (b) => b.run("EL2", [mrs(0, "SP_EL1"), msr("SP_EL1", 1), mrs(2, "SP_EL1")]) },
  { name: "SP_EL1 at EL1", run: (b) => b.run("EL1", [mrs(0, "SP_EL1")]) },
  { name: "SP_EL2 at EL2", run: (b) => b.run("EL2", [mrs(0, "S3_6_C4_C1_0")]) },
  { name: "SPSel at EL0", run: (b) => b.run("EL0", [mrs(0, "SPSel")]) },
  { name: "MSR SPSel, #imm at EL0", run: (b) => b.run("EL0", [msrImmediate("SPSel", 0)]) },
];

const pstateFields: Case[] = LEVELS.filter((level) => level !== "EL3T").flatMap((level): Case[] => [
  {
    name: `CurrentEL at ${level}`,
    run: (b) => b.run(level, [mrs(0, "CurrentEL")]),
  },
  {
    name: `NZCV at ${level}`,
    run: (b) => {
      b.x({ 1: 0xffff_ffff_ffff_ffffn, 2: 0x6000_0000 });
      b.allow(keepsFlags(0x6000_0000));
      b.run(level, [mrs(0, "NZCV"), msr("NZCV", 1), mrs(1, "NZCV"), msr("NZCV", 2), svc(1)]);
    },
  },
  ...[0n, SCTLR.UMA].flatMap((uma): Case[] => [
    {
      name: `DAIF at ${level}, UMA ${uma ? 1 : 0}`,
      run: (b) => {
        b.set({ SCTLR_EL1: SCTLR.OFF | uma });
        b.x({ 1: 0xffff_ffff_ffff_fe3fn });
        b.run(level, [mrs(0, "DAIF"), msr("DAIF", 1), mrs(2, "DAIF"), svc(2)]);
      },
    },
    {
      name: `DAIFSet and DAIFClr at ${level}, UMA ${uma ? 1 : 0}`,
      run: (b) => {
        b.set({ SCTLR_EL1: SCTLR.OFF | uma });
        if (level === "EL0" && !uma)
          b.allow({
            field: /ESR_EL1$/,
            mask: 0xf_c000n,
            expect: 0xe_c000n,
            why: "DDI 0487, ISS encoding of a trapped MSR: Op2 19:17, Op1 16:14; QEMU 7.2 exchanges the two for DAIFSet and DAIFClr",
          });
        b.run(level, [msrImmediate("DAIFClr", 8), msrImmediate("DAIFSet", 5), mrs(2, "DAIF"), svc(3)]);
      },
    },
  ]),
  {
    name: `PAN at ${level}`,
    run: (b) => {
      b.x({ 3: 0xffff_ffffn });
      b.run(level, [
        mrs(0, "PAN"),
        msrImmediate("PAN", 1),
        mrs(1, "PAN"),
        msr("PAN", 31),
        mrs(2, "PAN"),
        msr("PAN", 3),
        svc(1),
      ]);
    },
  },
]);

/** Registers of the exception model as storage: what can be written, what reads back. */
const storage: Case[] = (["EL1", "EL2"] as const).flatMap((level) =>
  (["ELR", "SPSR", "ESR", "FAR", "VBAR"] as const).map(
    (register): Case => ({
      name: `${register}_${level} holds what is written`,
      run: (b) => {
        const name = `${register}_${level}`;
        const res0 = { SPSR: 0xffff_ffff_0000_0000n, VBAR: 0x7ffn } as Partial<Record<typeof register, bigint>>;
        b.allow({ field: /X2$/, mask: res0[register] ?? 0n, expect: 0n, why: "RES0 bits, which QEMU keeps" });
        b.x({ 1: register === "VBAR" ? 0xffff_0000_4010_0fffn : 0xf123_4567_89ab_cdefn });
        b.run(level, [mrs(0, name), msr(name, 1), isb, mrs(2, name), msr(name, 0), isb]);
      },
    }),
  ),
);

export const exceptionCases: readonly Case[] = [
  ...generation,
  ...entries,
  ...hostEntries,
  ...modes,
  ...stateBits,
  ...illegalState,
  ...alignment,
  ...stackPointers,
  ...pstateFields,
  ...storage,
];
