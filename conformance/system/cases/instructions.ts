/**
 * System instructions: who may execute each SYS instruction and what traps it; FP and SIMD access traps; WFI; DC ZVA and
 * what it writes. DDI 0487, "A64 System instructions", "CPACR_EL1", "CPTR_EL2", "HCR_EL2".
 */
import { SYS_ROWS } from "../../../packages/machine/src/sys-instructions.js";
import { type Bench, type Case, DEFAULTS, HCR, type Level, mapRunner, NORMAL, SCR, SCTLR, tcr } from "../case.js";
import { mrs, op, smc, svc, sys } from "../encoding.js";
import { DATA } from "../layout.js";

const LEVELS: readonly Level[] = ["EL0", "EL1", "EL2", "EL3"];

/** RME's own. */
const ABSENT = /PAALL|RPA|PAPA/;

const settings: readonly (readonly [string, Readonly<Record<string, bigint>>])[] = [
  ["no control", {}],
  ["SCTLR_EL1.{UCI, DZE}", { SCTLR_EL1: SCTLR.OFF | SCTLR.UCI | SCTLR.DZE }],
  ["Secure state", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW }],
  ...(["TPCP", "TPU", "TSW", "TTLB", "TDZ", "TIDCP", "TGE", "E2H"] as const).flatMap((bit) => [
    [`HCR_EL2.${bit}`, { HCR_EL2: HCR.RW | HCR[bit] }] as const,
    [
      `HCR_EL2.${bit}, SCTLR_EL1.{UCI, DZE}`,
      { HCR_EL2: HCR.RW | HCR[bit], SCTLR_EL1: SCTLR.OFF | SCTLR.UCI | SCTLR.DZE },
    ] as const,
  ]),
  ["host", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
  ["host, SCTLR_EL2.{UCI, DZE}", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H, SCTLR_EL2: SCTLR.OFF | SCTLR.UCI | SCTLR.DZE }],
  [
    "host, HCR_EL2.{TPCP, TPU, TDZ}",
    {
      HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H | HCR.TPCP | HCR.TPU | HCR.TDZ,
      SCTLR_EL2: SCTLR.OFF | SCTLR.UCI | SCTLR.DZE,
    },
  ],
];

/** Names of SYS instructions, and encodings that are none on either machine. DC ZVA has cases of its own. */
const NAMES = [
  ...SYS_ROWS.map(({ name }) => name).filter((name) => !ABSENT.test(name) && name !== "DC ZVA"),
  ...["SYS 0,11,0,0", "SYS 3,15,0,0", "SYS 0,7,8,6", "SYS 3,7,5,2", "SYS 7,8,3,0", "SYS 0,7,1,1"],
];

const access: Case[] = settings.map(([name, registers]) => ({
  name: `SYS: ${name}`,
  run: (b) => {
    b.set(registers);
    const noEl1 = ((registers.HCR_EL2 ?? 0n) & HCR.TGE) !== 0n;
    for (const instruction of NAMES)
      for (const level of LEVELS) {
        // QEMU 7.2 has no TIDCP.
        if (name.includes("TIDCP") && /SYS .,1[15]/.test(instruction)) continue;
        if (level === "EL1" && noEl1) continue;
        if (level === "EL2" && name === "Secure state") continue;
        b.program.clear();
        b.x({ 1: instruction.startsWith("DC") || instruction.startsWith("IC") ? DATA : 0 });
        b.program.code([sys(instruction, 1), level === "EL0" ? svc(0x50) : smc(0)]);
        b.program.step(`${instruction} at ${level}`);
        b.enter(level, { registers: 0 });
        b.program.step("");
      }
  },
}));

/** Words of FP, SIMD and of the FP control registers. */
const FP: readonly (readonly [string, number])[] = [
  ["FMOV D0, #1.0", 0x1e6e_1000],
  ["LDR Q0, [X0]", 0x3dc0_0000],
  ["LDP D0, D1, [X0]", 0x6d40_0400],
  ["MOVI V0.16B, #0", 0x4f00_e400],
  ["LD1 {V0.16B}, [X0]", 0x4c40_7000],
  ["MRS X1, FPCR", 0xd53b_4401],
  ["MSR FPSR, X1", 0xd51b_4421],
];

const fpSettings: readonly (readonly [string, Readonly<Record<string, bigint>>])[] = [
  ...[0n, 1n, 2n].map((fpen) => [`CPACR_EL1.FPEN ${fpen}`, { CPACR_EL1: fpen << 20n }] as const),
  ["CPTR_EL2.TFP", { CPTR_EL2: 0x33ffn | (1n << 10n) }],
  ["CPTR_EL3.TFP", { CPTR_EL3: 1n << 10n }],
  ["CPACR_EL1.FPEN 0, CPTR_EL2.TFP", { CPACR_EL1: 0n, CPTR_EL2: 0x33ffn | (1n << 10n) }],
  ["CPTR_EL2.TFP, CPTR_EL3.TFP", { CPTR_EL2: 0x33ffn | (1n << 10n), CPTR_EL3: 1n << 10n }],
  ...[0n, 1n, 2n].flatMap((fpen) => [
    [`E2H: CPTR_EL2.FPEN ${fpen}`, { HCR_EL2: HCR.RW | HCR.E2H, CPTR_EL2: fpen << 20n }] as const,
    [
      `host: CPTR_EL2.FPEN ${fpen}`,
      { HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE, CPTR_EL2: fpen << 20n, CPACR_EL1: 0n },
    ] as const,
  ]),
  ["CPACR_EL1.FPEN 0, TGE", { HCR_EL2: HCR.RW | HCR.TGE, CPACR_EL1: 0n }],
];

/** Whether something traps; what is allowed is the instruction oracle's. */
const traps = (registers: Readonly<Record<string, bigint>>, level: Level): boolean => {
  const { CPACR_EL1 = DEFAULTS.CPACR_EL1, CPTR_EL2 = DEFAULTS.CPTR_EL2, CPTR_EL3 = 0n, HCR_EL2 = 0n } = registers;
  if ((CPTR_EL3 & (1n << 10n)) !== 0n) return true;
  if (level === "EL3") return false;
  const [e2h, tge] = [(HCR_EL2 & HCR.E2H) !== 0n, (HCR_EL2 & HCR.TGE) !== 0n];
  const fpen = (value: bigint) => (value >> 20n) & 3n;
  const closed = (value: bigint, user: boolean) => (user ? fpen(value) !== 3n : (fpen(value) & 1n) === 0n);
  if (level !== "EL2" && !(e2h && tge) && closed(CPACR_EL1, level === "EL0")) return true;
  if (!e2h) return (CPTR_EL2 & (1n << 10n)) !== 0n;
  return closed(CPTR_EL2, level === "EL0" && tge);
};

const floatingPoint: Case[] = fpSettings.map(([name, registers]) => ({
  name: `FP: ${name}`,
  run: (b) => {
    b.set(registers);
    const noEl1 = ((registers.HCR_EL2 ?? 0n) & HCR.TGE) !== 0n;
    for (const level of LEVELS) {
      if ((level === "EL1" && noEl1) || !traps(registers, level)) continue;
      for (const [text, word] of FP) {
        b.program.clear();
        b.x({ 0: DATA });
        b.program.code([word, level === "EL0" ? svc(0x50) : smc(0)]);
        b.program.step(`${text} at ${level}`);
        b.enter(level, { registers: 0 });
        b.program.step("");
      }
    }
  },
}));

/** WFI where it traps; QEMU has no traps of WFE, and none for a host. */
const waiting: Case[] = (
  [
    ["SCTLR_EL1.nTWI 0", { SCTLR_EL1: SCTLR.OFF & ~SCTLR.NTWI }, ["EL0"]],
    ["SCTLR_EL1.nTWI 0, TGE", { SCTLR_EL1: SCTLR.OFF & ~SCTLR.NTWI, HCR_EL2: HCR.RW | HCR.TGE }, ["EL0"]],
    ["HCR_EL2.TWI", { HCR_EL2: HCR.RW | HCR.TWI }, ["EL0", "EL1"]],
    [
      "SCTLR_EL1.nTWI 0, HCR_EL2.TWI",
      { SCTLR_EL1: SCTLR.OFF & ~SCTLR.NTWI, HCR_EL2: HCR.RW | HCR.TWI },
      ["EL0", "EL1"],
    ],
    ["SCR_EL3.TWI", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.TWI }, ["EL0", "EL1", "EL2"]],
    [
      "HCR_EL2.TWI, SCR_EL3.TWI",
      { HCR_EL2: HCR.RW | HCR.TWI, SCR_EL3: DEFAULTS.SCR_EL3 | SCR.TWI },
      ["EL0", "EL1", "EL2"],
    ],
  ] as const
).flatMap(([name, registers, levels]) =>
  levels.map(
    (level): Case => ({
      name: `WFI at ${level}: ${name}`,
      run: (b) => {
        b.set(registers);
        b.run(level, [op("WFI")]);
      },
    }),
  ),
);

function zeroWorld(b: Bench): void {
  const low = b.tree(48);
  mapRunner(low);
  low.map(0x20_0000n, DATA, { attr: NORMAL, ap: 1 });
  low.map(0x20_1000n, DATA + 0x1000, { attr: NORMAL, ap: 3 });
  low.map(0x20_2000n, DATA + 0x1000, { attr: NORMAL, ap: 1, af: 0 });
  b.install(low);
  b.set({
    TTBR0_EL1: BigInt(low.root),
    TCR_EL1: tcr({ more: 1n << 37n }),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M | SCTLR.DZE,
  });
}

/** DC ZVA writes 64 bytes at any address within, and faults like a store. */
const zeroing: Case[] = (["EL0", "EL1"] as const).flatMap((level) =>
  [0n, 7n, 0xfffn, 0x1000n, 0x103fn, 0x2010n, 0x3000n, 0x5a00_0000_0000_0038n].map(
    (offset): Case => ({
      name: `DC ZVA at ${level}, 0x${(0x20_0000n + offset).toString(16)}`,
      run: (b) => {
        zeroWorld(b);
        for (let i = 0; i < 4096; i += 8) if (i < 136 || i > 4024) b.program.write64(DATA + i, 0xffff_ffff_ffff_ffffn);
        b.access(level, "zero", 0x20_0000n + offset);
        for (let i = 0; i < 4096; i += 8) if (i < 136 || i > 4024) b.program.read64(DATA + i);
        b.program.read64(DATA + 0x1000);
      },
    }),
  ),
);

/** DC ZVA under its controls, to Normal memory. */
const zeroTraps: Case[] = settings
  .filter(([name]) => !/TGE|host/.test(name))
  .map(([name, registers]) => ({
    name: `DC ZVA: ${name}`,
    run: (b) => {
      zeroWorld(b);
      b.set({ ...registers, SCTLR_EL1: SCTLR.M | (registers.SCTLR_EL1 ?? SCTLR.OFF) });
      for (const level of ["EL0", "EL1"] as const) {
        b.access(level, "zero", 0x20_0000n);
        b.program.step(level);
        b.run(level, [mrs(1, "DCZID_EL0")]);
        b.program.step("");
      }
    },
  }));

export const instructionCases: readonly Case[] = [...access, ...floatingPoint, ...waiting, ...zeroing, ...zeroTraps];
