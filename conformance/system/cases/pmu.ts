/**
 * The performance monitors' registers: who may access them under which control, what they keep, and which counters an event
 * reaches at which EL. Most events are PMSWINC_EL0's; instructions and cycles are counted beside QEMU's -icount. QEMU 7.2 has PMUv3p5 on
 * `max`, PMUv3p1 on Neoverse N1, and as many counters as ours.
 * DDI 0487, "Performance Monitors registers", "The Performance Monitors Extension".
 */
import { Random } from "../../oracle/random.js";
import { type Allowance, type Bench, type Case, HCR, type Level, SPSR } from "../case.js";
import { mrs, msr, nop, smc, svc } from "../encoding.js";
import { CODE } from "../layout.js";
import type { Cpu } from "../run-qemu.js";

const bit = (n: number): bigint => 1n << BigInt(n);
const COUNTERS = 6;
const ALL = 0xffff_ffff_ffff_ffffn;

/** What both have, with the bits that mean the same. */
const REGISTERS = [
  ...["PMCR_EL0", "PMCNTENSET_EL0", "PMCNTENCLR_EL0", "PMOVSCLR_EL0", "PMOVSSET_EL0", "PMSELR_EL0", "PMCCNTR_EL0"],
  ...["PMXEVTYPER_EL0", "PMXEVCNTR_EL0", "PMUSERENR_EL0", "PMINTENSET_EL1", "PMINTENCLR_EL1", "PMCCFILTR_EL0"],
  ...["PMSWINC_EL0", "PMCEID0_EL0", "PMCEID1_EL0", "PMEVCNTR0_EL0", "PMEVCNTR5_EL0", "PMEVTYPER0_EL0"],
];

const ALLOWANCES: readonly Allowance[] = [
  {
    field: /PMCR_EL0.*X[123]$/,
    mask: 0x1_ffff_0058n,
    why: "PMCR_EL0: IMP and IDCODE are IMPLEMENTATION DEFINED; D and LC are RES0 and RES1 without AArch32, X is RAZ/WI",
  },
  { field: /PMCEID.*X[123]$/, why: "which events are counted is IMPLEMENTATION DEFINED" },
];

/** FZO is PMUv3p7's; SH, RLK, RLU and RLH those of features that QEMU 7.2 lacks, MT of one that we lack. */
const KEPT: Readonly<Record<string, bigint>> = {
  PMCR_EL0: ALL & ~bit(9) & ~0x1_ffff_005en,
  PMXEVTYPER_EL0: 0xfc00_ffffn | (ALL << 32n),
  PMEVTYPER0_EL0: 0xfc00_ffffn | (ALL << 32n),
  PMCCFILTR_EL0: 0xfc00_0000n | (ALL << 32n),
};

type Controls = Readonly<Record<string, bigint>>;
const BASE: Controls = { MDCR_EL2: BigInt(COUNTERS) };
const settings: readonly (readonly [string, Controls])[] = [
  ["no control", {}],
  ...(["EN", "SW", "CR", "ER"] as const).map(
    (name, at) => [`PMUSERENR_EL0.${name}`, { PMUSERENR_EL0: bit(at) }] as const,
  ),
  ["PMUSERENR_EL0.{SW, CR, ER}", { PMUSERENR_EL0: 0xen }],
  // Not MDCR_EL2.TPMCR, which QEMU 7.2 does not know: it is in packages/machine/src/pmu.
  ["MDCR_EL2.TPM", { PMUSERENR_EL0: 1n, MDCR_EL2: bit(6) | 6n }],
  ["MDCR_EL2.TPM, PMUSERENR_EL0 0", { MDCR_EL2: bit(6) | 6n }],
  ["MDCR_EL3.TPM", { PMUSERENR_EL0: 1n, MDCR_EL3: bit(6) }],
  ["MDCR_EL2.TPM, MDCR_EL3.TPM", { PMUSERENR_EL0: 1n, MDCR_EL2: bit(6) | 6n, MDCR_EL3: bit(6) }],
  ["TGE, PMUSERENR_EL0 0", { HCR_EL2: HCR.RW | HCR.TGE }],
  ["host, PMUSERENR_EL0 0", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
  ["host, MDCR_EL2.TPM", { PMUSERENR_EL0: 1n, HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H, MDCR_EL2: bit(6) | 6n }],
];

const levelsOf = ({ HCR_EL2 = 0n }: Controls): readonly Level[] =>
  (HCR_EL2 & HCR.TGE) === 0n ? ["EL0", "EL1", "EL2", "EL3"] : ["EL0", "EL2", "EL3"];

const endOf = (level: Level): number => (level === "EL0" ? svc(0x50) : smc(0));

function access(b: Bench, level: Level, name: string, kind: "MRS" | "MSR"): void {
  const { program } = b;
  program.clear();
  program.x(1, 0n);
  program.x(2, 0n);
  program.code([kind === "MRS" ? mrs(2, name) : msr(name, 1), endOf(level)]);
  program.step(`${kind} ${name} at ${level}`);
  b.enter(level, { registers: 3 });
  program.step("");
}

const accessCases = (cpu: Cpu): Case[] =>
  settings.map(([name, controls]) => ({
    name: `access: ${name} (${cpu})`,
    cpu,
    run: (b) => {
      for (const allowance of ALLOWANCES) b.allow(allowance);
      b.set({ ...BASE, ...controls });
      for (const register of REGISTERS) {
        for (const level of levelsOf(controls)) {
          access(b, level, register, "MRS");
          // An MSR of 0 changes nothing but PMUSERENR_EL0, which decides what follows.
          if (register !== "PMUSERENR_EL0") access(b, level, register, "MSR");
        }
      }
    },
  }));

/** Writes patterns at EL1 and reads back at EL2; nothing counts. */
const valueCases = (cpu: Cpu): Case[] =>
  REGISTERS.filter((name) => !/CEID|SWINC|XEVCNTR|EVCNTR|CCNTR/.test(name) || cpu === "max")
    .filter((name) => !/CEID|SWINC|XEVCNTR/.test(name))
    .map((name) => ({
      name: `values of ${name} (${cpu})`,
      cpu,
      run: (b) => {
        b.set(BASE);
        const kept = KEPT[name];
        if (kept !== undefined)
          b.allow({ field: /X[23]$/, mask: ALL & ~kept, why: "bits of features that only one of the two has" });
        for (const pattern of [ALL, 0n, 0xaaaa_aaaa_aaaa_aaaan, 0x5555_5555_5555_5555n]) {
          // PMCR_EL0.E would start the counters.
          const value = name === "PMCR_EL0" ? pattern & ~1n : pattern;
          b.program.clear();
          b.x({ 1: value });
          b.program.step(`${value.toString(16)} `);
          b.run("EL1", [msr(name, 1), mrs(2, name)], { registers: 3 });
          b.run("EL2", [mrs(3, name)], { registers: 4 });
          b.program.step("");
        }
        b.program.msr(name.replace("CLR", "SET").replace("SET_", "CLR_"), name.includes("CNTEN") ? ALL : 0n);
        if (/SET|CLR/.test(name)) for (const clr of CLEARED) b.program.msr(clr, ALL);
      },
    }));
const CLEARED = ["PMCNTENCLR_EL0", "PMOVSCLR_EL0", "PMINTENCLR_EL1"];

const FILTERS = [31, 30, 29, 28, 27, 26];

/** Random filters, enables and ranges; an increment of all counters at each EL, and what the counters have then. */
function eventCase(random: Random, at: number): Case {
  const some = (bits: readonly number[], oneIn = 2) =>
    bits.reduce((sum, n) => (random.oneIn(oneIn) ? sum | bit(n) : sum), 0n);
  const controls: Record<string, bigint> = {
    // HPME, HPMD, HCCD, HLP; SPME.
    MDCR_EL2: some([7, 17, 26]),
    MDCR_EL3: some([17]),
    PMCR_EL0: some([0, 5, 7]) | bit(6),
    PMCNTENCLR_EL0: ALL,
    PMCNTENSET_EL0: some([0, 1, 2, 3, 4, 5], 3) ^ 0x3fn,
    PMOVSCLR_EL0: ALL,
    PMUSERENR_EL0: 1n,
  };
  const hpmn = BigInt(1 + random.below(COUNTERS));
  for (let n = 0; n < COUNTERS; n++) {
    controls[`PMEVTYPER${n}_EL0`] = some(FILTERS, 3);
    const high = random.oneIn(2) ? 0xffff_ffffn : BigInt(random.below(1000));
    const low = random.oneIn(2) ? 0xffff_ffffn : BigInt(random.below(1000));
    controls[`PMEVCNTR${n}_EL0`] = (high << 32n) | low;
  }
  return {
    name: `software increments ${at}`,
    cpu: "max",
    run: (b) => {
      for (const level of ["EL0", "EL1", "EL2", "EL3"] as const) {
        // QEMU lets EL1 and EL0 increment counters of the second range.
        b.set({ ...controls, MDCR_EL2: controls.MDCR_EL2 | (level < "EL2" ? BigInt(COUNTERS) : hpmn) });
        b.program.clear();
        b.x({ 1: ALL });
        b.program.step(`at ${level} `);
        b.run(level, [msr("PMSWINC_EL0", 1)], { registers: 0 });
        b.program.clear();
        const reads = Array.from({ length: COUNTERS }, (_, n) => mrs(n, `PMEVCNTR${n}_EL0`));
        b.program.code([...reads, mrs(COUNTERS, "PMOVSSET_EL0"), smc(0)]);
        b.program.enter(SPSR.EL3, CODE);
        b.program.registers(COUNTERS + 1);
        b.program.step("");
      }
      b.set({ PMCR_EL0: 0n, PMCNTENCLR_EL0: ALL, PMOVSCLR_EL0: ALL });
    },
  };
}

/** Instructions and cycles (one each, with -icount shift=0) from the write that enables to the one that disables. */
const countingCase = (level: Level, event: number, count: number): Case => ({
  name: `${count} instructions at ${level}, event ${event}`,
  cpu: "max",
  counted: true,
  run: (b) => {
    b.set({ ...BASE, MDCR_EL3: bit(17), PMUSERENR_EL0: 1n, PMCR_EL0: 0x46n });
    b.set({ PMCNTENCLR_EL0: ALL, PMOVSCLR_EL0: ALL });
    // NSH; an overflow on the way.
    b.set({ PMEVTYPER0_EL0: BigInt(event) | bit(27), PMEVCNTR0_EL0: 0xffff_fff0n, PMCNTENSET_EL0: bit(31) | 1n });
    b.set({ PMCCFILTR_EL0: bit(27), PMCCNTR_EL0: 0n });
    b.x({ 1: 0x41n, 2: 0x40n });
    b.run(
      level,
      [
        ...[msr("PMCR_EL0", 1), ...Array<number>(count).fill(nop), mrs(3, "PMEVCNTR0_EL0"), nop],
        ...[msr("PMCR_EL0", 2), nop, mrs(4, "PMEVCNTR0_EL0"), mrs(5, "PMOVSSET_EL0"), mrs(6, "PMCCNTR_EL0")],
      ],
      { registers: 7 },
    );
    b.set({ PMCR_EL0: 0n, PMCNTENCLR_EL0: ALL, PMOVSCLR_EL0: ALL });
  },
});
export const countingCases: readonly Case[] = (["EL0", "EL1", "EL2", "EL3"] as const).flatMap((level) =>
  [0x08, 0x11].flatMap((event) => [0, 1, 7, 13, 14, 15, 16, 30].map((count) => countingCase(level, event, count))),
);

const EVENT_CASES = 250;
const random = new Random(11);

export const pmuCases: readonly Case[] = [
  ...(["neoverse-n1", "max"] as const).flatMap((cpu) => [...accessCases(cpu), ...valueCases(cpu)]),
  ...Array.from({ length: EVENT_CASES }, (_, at) => eventCase(random, at)),
];
