/**
 * Who may read and write each system register, and what traps it: every register of the machine's tables at every EL,
 * under every control that concerns some. A write puts back what EL3 has just read, so that it changes nothing.
 * DDI 0487, each register's "Accessibility".
 */
import { Random } from "../../oracle/random.js";
import { type Bench, type Case, DEFAULTS, HCR, type Level, SCR, SCTLR, SPSR } from "../case.js";
import { mrs, msr, SYSTEM_REGISTERS, smc, svc } from "../encoding.js";
import { CODE } from "../layout.js";
import type { Cpu } from "../run-qemu.js";

/** Registers of features that a CPU of QEMU has not. */
const ABSENT: Readonly<Record<Cpu, RegExp>> = {
  // FEAT_ECV, FEAT_RNG, FEAT_RME, FEAT_SEL2, FEAT_CSV2_2, FEAT_DIT, FEAT_PAuth, FEAT_HCX, FEAT_PMUv3p4.
  "neoverse-n1": /^(CNTPOFF|CNT.CTSS|RNDR|GPCCR|GPTBR|MFAR|VST|CNTH[PV]S_|SCXTNUM|DIT$|AP..Key|HCRX|PMMIR)/,
  // And no timers of Secure EL2.
  max: /^(CNTPOFF|CNT.CTSS|GPCCR|GPTBR|MFAR|CNTH[PV]S_)/,
};

/** What a read or a write does beside the register. */
const EFFECTS = /^ICC_(IAR|EOIR|DIR|SGI|ASGI)/;

/** Where the tables of the two differ although both are right. */
const SKIPPED: readonly (readonly [RegExp, string])[] = [
  [/^ERRSELR_EL1$/, "no error records: IMPLEMENTATION DEFINED whether it exists"],
  [/^ICH_LR([4-9]|1\d)_/, "QEMU has four list registers"],
  [
    /^DBG[BW][VC]R|^DBGDTR|^OSDTR|^OSECCR|^DBGCLAIM|^DBGAUTH|^DBGPRCR/,
    "debug registers: QEMU's are those of DebugVer of its CPU",
  ],
];

type Controls = Readonly<Record<string, bigint>>;

/** Whether a bit or bits of a control are all set. */
const has = (controls: Controls, name: string, bits: bigint): boolean =>
  ((controls[name] ?? DEFAULTS[name] ?? 0n) & bits) === bits;
const isSecure = (controls: Controls): boolean => !has(controls, "SCR_EL3", SCR.NS);
const hasEl2 = (controls: Controls): boolean => !isSecure(controls) || has(controls, "SCR_EL3", SCR.EEL2);
const isHost = (controls: Controls): boolean => has(controls, "HCR_EL2", HCR.E2H | HCR.TGE) && hasEl2(controls);

interface Deviation {
  readonly register: RegExp;
  readonly level: Level;
  readonly when: (controls: Controls, cpu: Cpu) => boolean;
  readonly why: string;
}

/** Accesses for which QEMU does not do what the architecture says; `architecture.ts` has some of them. */
const DEVIATIONS: readonly Deviation[] = [
  {
    register: /^(MIDR|MPIDR|REVIDR|AIDR|CLIDR|CCSIDR|S3_0_C0_|ID_)/,
    level: "EL0",
    when: (_, cpu) => cpu === "max",
    why: "FEAT_IDST, which is not ours, reports EC 0x18",
  },
  {
    register: /^(VSTTBR|VSTCR)_EL2$/,
    level: "EL3",
    when: (controls) => !has(controls, "SCR_EL3", SCR.EEL2),
    why: "DDI 0487, VSTTBR_EL2: UNDEFINED at EL3 while SCR_EL3.EEL2 is 0; QEMU has no check",
  },
  {
    register: /^SCXTNUM_EL0$/,
    level: "EL0",
    when: isHost,
    why: "DDI 0487, SCXTNUM_EL0: a host's EL0 does not look at HCR_EL2.EnSCXT; QEMU does",
  },
  {
    register: /^SCXTNUM_EL[01]$/,
    level: "EL1",
    when: (controls) => has(controls, "SCTLR_EL2", 1n << 20n),
    why: "DDI 0487, SCXTNUM_EL1: SCTLR_EL2.TSCXT is for a host's EL0; QEMU traps EL1 by it",
  },
  {
    register: /^ICC_/,
    level: "EL1",
    when: (controls) => isSecure(controls) && hasEl2(controls),
    why: "QEMU 7.2's GIC knows no Secure EL2: neither traps nor virtual registers",
  },
  {
    register: /^MDCCSR_EL0$/,
    level: "EL0",
    when: (controls) => has(controls, "MDSCR_EL1", 1n << 12n),
    why: "DDI 0487, MDCCSR_EL0: MDSCR_EL1.TDCC traps EL0; QEMU 7.2 has no check",
  },
  {
    register: /^MDCR_EL2$/,
    level: "EL2",
    when: (controls) => has(controls, "MDCR_EL3", 1n << 9n),
    why: "DDI 0487, MDCR_EL3.TDA: traps EL2's access to MDCR_EL2; QEMU has no check",
  },
  {
    register: /^CNTPCT_EL0$/,
    level: "EL0",
    when: (controls) =>
      !has(controls, "HCR_EL2", HCR.E2H) && has(controls, "CNTHCTL_EL2", 1n) !== has(controls, "CNTHCTL_EL2", 2n),
    why: "DDI 0487, CNTPCT_EL0: EL0 needs CNTHCTL_EL2.EL1PCTEN; QEMU looks at EL1PCEN",
  },
  {
    register: /^(ICH_.*|ICC_SRE)_EL2$/,
    level: "EL3",
    when: (controls) => !hasEl2(controls),
    why: "UNVERIFIED: EL3's access to EL2 registers of the GIC while EL2 is disabled; ours are UNDEFINED",
  },
];

/** Levels that exist. */
const levelsOf = (controls: Controls): readonly Level[] =>
  (["EL0", "EL1", "EL2", "EL3"] as const).filter(
    (level) =>
      (level !== "EL2" || hasEl2(controls)) &&
      (level !== "EL1" || !(hasEl2(controls) && has(controls, "HCR_EL2", HCR.TGE))),
  );

const settings: readonly (readonly [string, Controls])[] = [
  ["no control", {}],
  ["Secure state", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW }],
  ["Secure state, SCR_EL3.ST", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW | SCR.ST }],
  ...(["TVM", "TRVM", "TID1", "TID2", "TID3", "TACR", "TIDCP", "TERR", "E2H", "IMO", "FMO", "TSW"] as const).map(
    (bit) => [`HCR_EL2.${bit}`, { HCR_EL2: HCR.RW | HCR[bit] }] as const,
  ),
  ["HCR_EL2.TGE", { HCR_EL2: HCR.RW | HCR.TGE }],
  ["HCR_EL2.{E2H, TGE}", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
  ["HCR_EL2.{E2H, TGE, TID2, TVM}", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H | HCR.TID2 | HCR.TVM }],
  ["CPTR_EL2.TCPAC", { CPTR_EL2: 0x8000_33ffn }],
  ["CPTR_EL3.TCPAC", { CPTR_EL3: 0x8000_0000n }],
  ["MDCR_EL2.TDA", { MDCR_EL2: 1n << 9n }],
  ["MDSCR_EL1.TDCC", { MDSCR_EL1: 1n << 12n }],
  ["MDSCR_EL1.TDCC, TGE", { MDSCR_EL1: 1n << 12n, HCR_EL2: HCR.RW | HCR.TGE }],
  ["MDCR_EL2.TDA, host", { MDCR_EL2: 1n << 9n, HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
  ["MDCR_EL2.TDRA", { MDCR_EL2: 1n << 11n }],
  ["MDCR_EL2.TDOSA", { MDCR_EL2: 1n << 10n }],
  ["MDCR_EL2.TDE", { MDCR_EL2: 1n << 8n }],
  ["MDCR_EL3.TDA", { MDCR_EL3: 1n << 9n }],
  ["MDCR_EL3.TDOSA", { MDCR_EL3: 1n << 10n }],
  ["SCR_EL3.APK", { SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 16n) }],
  ["SCR_EL3.APK, HCR_EL2.APK", { SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 16n), HCR_EL2: HCR.RW | (1n << 40n) }],
  ["HCR_EL2.APK", { HCR_EL2: HCR.RW | (1n << 40n) }],
  ["SCR_EL3.APK, host", { SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 16n), HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE }],
  ["SCR_EL3.HXEn", { SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 38n) }],
  ["SCR_EL3.TERR", { SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 15n) }],
  ["SCTLR_EL1.{UCT, UMA}", { SCTLR_EL1: SCTLR.OFF | SCTLR.UCT | SCTLR.UMA }],
  ["SCTLR_EL1.UCT, HCR_EL2.TID2", { SCTLR_EL1: SCTLR.OFF | SCTLR.UCT, HCR_EL2: HCR.RW | HCR.TID2 }],
  ["SCTLR_EL2.UCT of a host", { SCTLR_EL2: SCTLR.OFF | SCTLR.UCT, HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
  ["CNTHCTL_EL2 0", { CNTHCTL_EL2: 0n }],
  ["CNTHCTL_EL2 1", { CNTHCTL_EL2: 1n }],
  ["CNTHCTL_EL2 2", { CNTHCTL_EL2: 2n }],
  ["CNTHCTL_EL2 0, E2H", { HCR_EL2: HCR.RW | HCR.E2H, CNTHCTL_EL2: 0n }],
  ["CNTHCTL_EL2 0xc00, E2H", { HCR_EL2: HCR.RW | HCR.E2H, CNTHCTL_EL2: 0xc00n }],
  ["CNTHCTL_EL2 0x303, host", { HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE, CNTHCTL_EL2: 0x303n }],
  ["CNTKCTL_EL1 0", { CNTKCTL_EL1: 0n }],
  ["CNTKCTL_EL1 0x303", { CNTKCTL_EL1: 0x303n }],
  ["CNTKCTL_EL1 0x100", { CNTKCTL_EL1: 0x100n }],
  ["CNTKCTL_EL1 0x200, CNTHCTL_EL2 0", { CNTKCTL_EL1: 0x201n, CNTHCTL_EL2: 0n }],
  ["CNTKCTL_EL1 0, TGE", { CNTKCTL_EL1: 0n, HCR_EL2: HCR.RW | HCR.TGE }],
  ...[10n, 11n, 12n, 13n, 14n].map(
    (bit) =>
      [
        `ICH_HCR_EL2 bit ${bit}, HCR_EL2.{IMO, FMO}`,
        { ICH_HCR_EL2: 1n << bit, HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO },
      ] as const,
  ),
  ["Secure EL2", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW | SCR.EEL2 }],
  ["SCR_EL3.IRQ", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.IRQ }],
  ["SCR_EL3.FIQ", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.FIQ }],
  ["SCR_EL3.{IRQ, FIQ}", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.IRQ | SCR.FIQ }],
  [
    "SCR_EL3.{IRQ, FIQ}, HCR_EL2.{IMO, FMO}",
    { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.IRQ | SCR.FIQ, HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO },
  ],
];

/** What a MSR writes where EL3 cannot read the register. */
const writtenTo = (name: string): bigint => (/EOIR|DIR/.test(name) ? 1023n : 0n);

function tryRegister(b: Bench, level: Level, name: string): void {
  const { program } = b;
  const end = level === "EL0" ? svc(0x50) : smc(0);
  program.clear();
  program.code([mrs(2, name), end]);
  program.step(`MRS ${name} at ${level}`);
  b.enter(level, { registers: 0 });

  program.clear();
  program.x(1, writtenTo(name));
  if (!EFFECTS.test(name)) {
    // Under E2H the name may mean another register at EL2 than at EL3.
    const from = level === "EL2" ? "EL2" : "EL3";
    program.code([mrs(1, name), smc(0)]);
    program.step(`MRS ${name} at ${from}`, { compared: false });
    program.enter(SPSR[from], CODE);
    program.clear();
    program.keep(1);
  }
  program.code([msr(name, 1), end]);
  program.step(`MSR ${name} at ${level}`);
  b.enter(level, { registers: 0 });
  program.step("");
}

const registersOf = (cpu: Cpu): readonly string[] =>
  [...SYSTEM_REGISTERS.keys()].filter(
    (name) => !ABSENT[cpu].test(name) && !SKIPPED.some(([pattern]) => pattern.test(name)),
  );

/** Whether the two machines can be compared in this. */
function isComparable(name: string, level: Level, controls: Controls, cpu: Cpu): boolean {
  // Without E2H the aliases are UNDEFINED; QEMU 7.2 lets them through, or traps them. `architecture.ts` has them.
  if (/_EL[01]2$/.test(name) && !(has(controls, "HCR_EL2", HCR.E2H) && hasEl2(controls))) return false;
  return !DEVIATIONS.some(
    ({ register, level: at, when }) => at === level && register.test(name) && when(controls, cpu),
  );
}

const systematic = (cpu: Cpu): Case[] =>
  settings
    // FEAT_SEL2 is max's alone.
    .filter(([name]) => cpu === "max" || name !== "Secure EL2")
    .map(([name, controls]) => ({
      name: `${name} (${cpu})`,
      cpu,
      run: (b) => {
        b.set(controls);
        for (const register of registersOf(cpu))
          for (const level of levelsOf(controls))
            if (isComparable(register, level, controls, cpu)) tryRegister(b, level, register);
      },
    }));

/** Many controls at once: which trap comes first. */
function randomControls(random: Random, cpu: Cpu): Controls {
  const some = (bits: readonly bigint[], count = 4) =>
    bits.reduce((sum, bit) => (random.oneIn(count) ? sum | bit : sum), 0n);
  const { TVM, TRVM, TID1, TID2, TID3, TACR, TERR, E2H, TGE, IMO, FMO } = HCR;
  const secure = random.oneIn(6);
  const scr = secure ? SCR.RES1 | SCR.HCE | SCR.RW : DEFAULTS.SCR_EL3;
  // QEMU's max fails an assertion of its own in Secure state without EL2.
  const eel2 = secure && cpu === "max" ? SCR.EEL2 : 0n;
  const e2h = random.oneIn(3) ? E2H : 0n;
  const bit = (at: number) => 1n << BigInt(at);
  return {
    SCR_EL3: scr | eel2 | some([SCR.IRQ, SCR.FIQ, SCR.ST, bit(15), bit(25)]) | some([bit(16), bit(38)], 2),
    HCR_EL2:
      HCR.RW | e2h | some([TVM, TRVM, TID1, TID2, TID3, TACR, TERR, TGE, IMO, FMO]) | some([bit(53), bit(40)], 2),
    CPTR_EL2: e2h ? (3n << 20n) | some([bit(31)]) : 0x33ffn | some([bit(31)]),
    CPTR_EL3: some([bit(31)]),
    MDCR_EL2: some([bit(8), bit(9), bit(10), bit(11)]),
    MDCR_EL3: some([bit(9), bit(10)]),
    CNTHCTL_EL2: some([0, 1, 8, 9, 10, 11].map(bit), 2),
    CNTKCTL_EL1: some([0, 1, 8, 9].map(bit), 2),
    SCTLR_EL1: SCTLR.OFF | some([SCTLR.UCT, SCTLR.UMA, bit(20)], 2),
    SCTLR_EL2: SCTLR.OFF | some([SCTLR.UCT, SCTLR.UMA, bit(20)], 2),
    // EL3 reaches it where there is an EL2.
    ...(!secure || eel2 ? { ICH_HCR_EL2: some([10, 11, 12, 14].map(bit)) } : {}),
  };
}

const RANDOM_SETTINGS = 200;
const RANDOM_REGISTERS = 40;

const combined = (cpu: Cpu): Case[] =>
  Array.from({ length: RANDOM_SETTINGS }, (_, seed) => ({
    name: `controls together, seed ${seed} (${cpu})`,
    cpu,
    run: (b) => {
      const random = new Random(7000 + seed);
      const controls = randomControls(random, cpu);
      b.set(controls);
      for (const register of random.shuffle([...registersOf(cpu)]).slice(0, RANDOM_REGISTERS))
        for (const level of levelsOf(controls))
          if (isComparable(register, level, controls, cpu)) tryRegister(b, level, register);
    },
  }));

export const registerCases: readonly Case[] = (["neoverse-n1", "max"] as const).flatMap((cpu) => [
  ...systematic(cpu),
  ...combined(cpu),
]);
