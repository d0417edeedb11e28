/**
 * Interrupts: where physical ones go from each EL and what masks them, virtual ones, acknowledging by priority, list
 * registers, generic timers, WFI. DDI 0487, "Asynchronous exception types, routing, masking and priorities"; IHI 0069H.
 */
import { loadConstant } from "../../oracle/assemble.js";
import { Random } from "../../oracle/random.js";
import { type Case, DEFAULTS, HCR, type Level, SCR, UNMASK } from "../case.js";
import { isb, mrs, msr, msrImmediate, nop, op } from "../encoding.js";
import { activate, allGroup0, configure, type Group, noteState, pend, resetGic, SPI } from "../gic.js";

const LEVELS: readonly Level[] = ["EL0", "EL1", "EL1T", "EL2", "EL2T", "EL3", "EL3T"];

/** Each kind of interrupt from each EL, under each routing and mask: which vector, if any. */
const routing: Case[] = (["group 1", "group 0", "group 1, Secure"] as const satisfies readonly Group[]).flatMap(
  (group) =>
    (
      [
        ["", {}],
        [", SCR_EL3.IRQ", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.IRQ }],
        [", SCR_EL3.FIQ", { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.FIQ }],
        [", HCR_EL2.{IMO, FMO}", { HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO }],
        [", HCR_EL2.IMO", { HCR_EL2: HCR.RW | HCR.IMO }],
        [
          ", SCR_EL3.FIQ, HCR_EL2.{IMO, FMO}",
          { SCR_EL3: DEFAULTS.SCR_EL3 | SCR.FIQ, HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO },
        ],
        [", TGE", { HCR_EL2: HCR.RW | HCR.TGE }],
        [", {E2H, TGE}", { HCR_EL2: HCR.RW | HCR.TGE | HCR.E2H }],
        [", Secure", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW }],
        [", Secure, SCR_EL3.FIQ", { SCR_EL3: SCR.RES1 | SCR.HCE | SCR.RW | SCR.FIQ }],
      ] as const
    ).map(
      ([what, registers]): Case => ({
        name: `${group} interrupt${what}`,
        run: (b) => {
          resetGic(b);
          configure(b, 5, { group });
          b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
          b.set(registers);
          pend(b, 5);
          for (const level of LEVELS) {
            if (what.includes("TGE") && level.startsWith("EL1")) continue;
            if (what.includes("Secure") && level.startsWith("EL2")) continue;
            for (const unmask of [0, UNMASK.I, UNMASK.F, UNMASK.I | UNMASK.F]) {
              b.program.clear();
              b.program.step(
                `${level}, ${unmask & UNMASK.I ? "I clear" : "I set"}, ${unmask & UNMASK.F ? "F clear" : "F set"}`,
              );
              b.run(level, level === "EL0" ? [nop, nop] : [mrs(0, "ISR_EL1"), nop], { pstate: unmask, registers: 1 });
              b.program.step("");
            }
          }
        },
      }),
    ),
);

/** Virtual interrupts by HCR_EL2.{VI, VF, VSE}: taken at EL0 and EL1 alone. */
const virtual: Case[] = (
  [
    ["VI", HCR.VI | HCR.IMO],
    ["VF", HCR.VF | HCR.FMO],
    ["VI and VF", HCR.VI | HCR.VF | HCR.IMO | HCR.FMO],
    ["VI without IMO", HCR.VI],
    ["VF without FMO", HCR.VF],
    ["VI under TGE", HCR.VI | HCR.IMO | HCR.TGE],
  ] as const
).map(([name, bits]) => ({
  name: `HCR_EL2: ${name}`,
  run: (b) => {
    resetGic(b);
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    b.set({ HCR_EL2: HCR.RW | bits });
    if (name === "VI and VF")
      b.allow({
        field: /unmasked 192: (ESR_EL3|ELR_EL3)$/,
        why: "which of two interrupts comes first is IMPLEMENTATION DEFINED",
      });
    for (const level of ["EL0", "EL1", "EL2"] as const) {
      if (level === "EL1" && (bits & HCR.TGE) !== 0n) continue;
      for (const unmask of [0, UNMASK.I, UNMASK.F, UNMASK.I | UNMASK.F]) {
        b.program.clear();
        b.program.step(`${level}, unmasked ${unmask}`);
        b.run(level, level === "EL0" ? [nop] : [mrs(0, "ISR_EL1"), nop], { pstate: unmask, registers: 1 });
        b.program.step("");
      }
    }
  },
}));

/** A virtual SError by HCR_EL2.VSE: reported as VSESR_EL2 says, and consumed. */
const virtualSErrors: Case[] = [HCR.VSE | HCR.AMO, HCR.VSE, HCR.VSE | HCR.AMO | HCR.TGE].map((bits) => ({
  name: `virtual SError, HCR_EL2 0x${bits.toString(16)}`,
  run: (b) => {
    resetGic(b);
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    for (const level of ["EL0", "EL1", "EL2"] as const) {
      if (level === "EL1" && (bits & HCR.TGE) !== 0n) continue;
      for (const unmask of [0, UNMASK.A]) {
        b.set({ HCR_EL2: HCR.RW | bits, VSESR_EL2: 0x12_3456n });
        b.program.clear();
        b.program.step(`${level}, A ${unmask ? "clear" : "set"}`);
        b.run(level, level === "EL0" ? [nop] : [mrs(0, "ISR_EL1"), nop], { pstate: unmask, registers: 1 });
        b.program.mrs("HCR_EL2");
        b.program.step("");
      }
    }
  },
}));

/** Unmasking within a body: the interrupt comes before the next instruction. */
const unmasking: Case[] = (
  [
    ["MSR DAIFClr", [nop, msrImmediate("DAIFClr", 2), nop]],
    ["MSR DAIF", [msr("DAIF", 31), nop]],
    ["MSR ICC_PMR_EL1", [msrImmediate("DAIFClr", 2), ...loadConstant(3, 0xf0n), msr("ICC_PMR_EL1", 3), isb, nop]],
    ["MSR ICC_IGRPEN1_EL1", [msrImmediate("DAIFClr", 2), ...loadConstant(3, 1n), msr("ICC_IGRPEN1_EL1", 3), isb, nop]],
    [
      "ICC_SGI1R_EL1",
      [msrImmediate("DAIFClr", 2), ...loadConstant(3, (6n << 24n) | 1n), msr("ICC_SGI1R_EL1", 3), isb, nop],
    ],
  ] as const
).map(([name, words]) => ({
  name: `unmasked by ${name}`,
  run: (b) => {
    b.allow({
      field: /ELR_EL|X3/,
      mask: 0xfn,
      why: "DDI 0487, Context synchronization: when an interrupt is taken after a write of the GIC's registers, up to the ISB, is not architected",
    });
    resetGic(b);
    configure(b, 5, {});
    configure(b, 6, {});
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    if (name.includes("PMR")) b.program.msr("ICC_PMR_EL1", 0x80);
    if (name.includes("IGRPEN")) b.program.msr("ICC_IGRPEN1_EL1", 0);
    if (!name.includes("SGI")) pend(b, 5);
    b.run("EL1", words);
    noteState(b);
  },
}));

/** A body under construction: reads go to X0, X1, ... */
class Sequence {
  readonly words: number[] = [];
  reads = 0;

  read(name: string): number {
    const t = this.reads++;
    this.words.push(mrs(t, name));
    return t;
  }

  write(name: string, value: bigint): void {
    this.words.push(...loadConstant(29, value), msr(name, 29), isb);
  }

  /** Writes back what a read has given. */
  writeRead(name: string, t: number): void {
    this.words.push(msr(name, t), isb);
  }

  get full(): boolean {
    return this.reads > 26;
  }
}

/** A random dialogue with the CPU interface: acknowledge, end, mask, look. Ends come in the reverse order. */
function dialogue(random: Random, group: 0 | 1): Sequence {
  const sequence = new Sequence();
  const active: number[] = [];
  const [iar, eoir, hppir, bpr] = ["IAR", "EOIR", "HPPIR", "BPR"].map((name) => `ICC_${name}${group}_EL1`);
  let split = false;
  while (!sequence.full) {
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2:
        active.push(sequence.read(iar));
        break;
      case 3:
      case 4: {
        const t = active.pop();
        if (t === undefined) break;
        sequence.writeRead(eoir, t);
        if (split) sequence.writeRead("ICC_DIR_EL1", t);
        break;
      }
      case 5:
        sequence.write("ICC_PMR_EL1", BigInt(random.pick([0xff, 0xf0, 0xc0, 0xa0, 0x90, 0x80, 0x50])));
        break;
      case 6:
        sequence.read(random.pick(["ICC_RPR_EL1", hppir, "ICC_PMR_EL1", `ICC_AP${group}R0_EL1`, bpr]));
        break;
      case 7:
        // EOImode changes only while nothing is active.
        if (active.length > 0) break;
        split = random.oneIn(2);
        sequence.write("ICC_CTLR_EL1", split ? 2n : 0n);
        break;
      default:
        if (active.length === 0) sequence.write(bpr, BigInt(random.below(8)));
    }
  }
  while (active.length > 0) {
    const t = active.pop()!;
    sequence.writeRead(eoir, t);
    if (split) sequence.writeRead("ICC_DIR_EL1", t);
  }
  return sequence;
}

const SEEDS = 40;

/** Group 1 at EL1 and EL2 in Non-secure state, group 0 at EL3: interrupts of several priorities, a random dialogue. */
const acknowledging: Case[] = Array.from({ length: SEEDS }, (_, seed) => seed).flatMap((seed) =>
  (["EL1", "EL2", "EL3"] as const).map(
    (level): Case => ({
      name: `acknowledging at ${level}, seed ${seed}`,
      run: (b) => {
        const random = new Random(1000 + seed);
        const group = level === "EL3" ? 0 : 1;
        resetGic(b);
        for (const intid of [1, 2, 3, 7, 20, SPI, SPI + 1])
          configure(b, intid, {
            priority: random.pick([0x80, 0x88, 0x90, 0xa0, 0xa0, 0xb0, 0xc0, 0xe0]),
            enabled: !random.oneIn(5),
          });
        if (group === 0) allGroup0(b);
        b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
        for (const intid of [1, 2, 3, 7, 20, SPI, SPI + 1]) if (!random.oneIn(4)) pend(b, intid);
        const sequence = dialogue(random, group);
        b.run(level, sequence.words, { registers: 28 });
        noteState(b);
      },
    }),
  ),
);

/** List registers: random contents, a random dialogue of EL1 with the virtual interface, and what is left of them. */
const lists: Case[] = Array.from({ length: SEEDS * 3 }, (_, seed) => ({
  name: `list registers, seed ${seed}`,
  run: (b) => {
    b.allow({ field: /ICH_ELRSR_EL2$/, mask: 0xfff0n, why: "ours has 16 list registers, QEMU's 4" });
    const random = new Random(5000 + seed);
    const group = random.below(2) as 0 | 1;
    resetGic(b);
    b.set({ HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO });
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    const { program } = b;
    const hcr = 1n | (random.oneIn(2) ? BigInt(random.below(256)) : 0n);
    const enables = BigInt(random.pick([3, 3, 3, 1, 2]));
    program.msr("ICH_HCR_EL2", hcr);
    // VPMR, both binary points, group enables.
    const [vpmr, vbpr0, vbpr1] = [random.pick([0xf8, 0xf8, 0xa0]), random.below(8), random.below(8)].map(BigInt);
    program.msr("ICH_VMCR_EL2", (vpmr << 24n) | (vbpr0 << 21n) | (vbpr1 << 18n) | enables);
    b.allow({
      field: /ICH_MISR_EL2$/,
      mask: 0x20n,
      expect: (hcr & 0x20n) !== 0n && (enables & 1n) === 0n ? 0x20n : 0n,
      why: "IHI 0069H, ICH_MISR_EL2.VGrp0D: follows VENG0; QEMU 7.2 looks at VENG1",
    });
    const intids = random.shuffle([1, 5, 16, 27, 33, 100, 1000]).slice(0, 4);
    for (const [i, intid] of intids.entries()) {
      const state = random.pick([0, 1, 1, 1, 2, 3]);
      const lr =
        BigInt(intid) |
        (BigInt(random.pick([0x10, 0x48, 0x80, 0x80, 0xa0, 0xf0])) << 48n) |
        (BigInt(random.oneIn(4) ? 1 - group : group) << 60n) |
        (BigInt(state) << 62n) |
        (random.oneIn(4) ? 1n << 41n : 0n);
      program.msr(`ICH_LR${i}_EL2`, lr);
    }
    for (const name of ["ICH_MISR_EL2", "ICH_EISR_EL2", "ICH_ELRSR_EL2"]) program.mrs(name);
    b.run("EL1", [mrs(28, "ISR_EL1"), ...dialogue(random, group).words], { registers: 29 });
    for (let i = 0; i < 4; i++) program.mrs(`ICH_LR${i}_EL2`);
    for (const name of [
      "ICH_HCR_EL2",
      "ICH_VMCR_EL2",
      "ICH_MISR_EL2",
      "ICH_EISR_EL2",
      "ICH_ELRSR_EL2",
      "ICH_AP0R0_EL2",
      "ICH_AP1R0_EL2",
    ])
      program.mrs(name);
  },
}));

/** A list register that is taken as a virtual interrupt, or wakes nothing. */
const injected: Case[] = [0, 1].flatMap((group) =>
  (["EL0", "EL1", "EL2"] as const).flatMap((level) =>
    [0, UNMASK.I, UNMASK.F, UNMASK.I | UNMASK.F].map(
      (pstate): Case => ({
        name: `list register of group ${group} at ${level}, unmasked ${pstate}`,
        run: (b) => {
          resetGic(b);
          b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
          b.set({ HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO });
          b.program.msr("ICH_VMCR_EL2", 0xff00_0003n);
          b.program.msr("ICH_LR0_EL2", 33n | (0x80n << 48n) | (BigInt(group) << 60n) | (1n << 62n));
          b.program.msr("ICH_HCR_EL2", 1);
          b.run(level, [nop, nop], { pstate });
        },
      }),
    ),
  ),
);

/** HW = 1: the end of the virtual interrupt deactivates the physical one. */
const hardware: Case[] = [0, 1].map((split) => ({
  name: `list register with a physical interrupt, EOImode ${split}`,
  run: (b) => {
    resetGic(b);
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    configure(b, 27, {});
    activate(b, 27);
    b.set({ HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO });
    b.program.msr("ICH_VMCR_EL2", 0xff00_0003n | (split ? 1n << 9n : 0n));
    b.program.msr("ICH_LR0_EL2", 27n | (27n << 32n) | (0x80n << 48n) | (1n << 60n) | (1n << 61n) | (1n << 62n));
    b.program.msr("ICH_HCR_EL2", 1);
    noteState(b);
    const sequence = new Sequence();
    const t = sequence.read("ICC_IAR1_EL1");
    sequence.writeRead("ICC_EOIR1_EL1", t);
    if (split) sequence.writeRead("ICC_DIR_EL1", t);
    b.run("EL1", sequence.words);
    noteState(b);
    b.program.mrs("ICH_LR0_EL2");
  },
}));

/** Maintenance interrupt, PPI 25. */
const maintenance: Case[] = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].map((bit) => ({
  name: `maintenance by ICH_HCR_EL2 bit ${bit}`,
  run: (b) => {
    resetGic(b);
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    configure(b, 25, {});
    b.set({ HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO });
    for (const vmcr of [0xff00_0000n, 0xff00_0003n])
      for (const lr of [0n, 33n | (0x80n << 48n) | (1n << 60n) | (1n << 62n), 34n | (1n << 41n)]) {
        b.program.msr("ICH_VMCR_EL2", vmcr);
        b.program.msr("ICH_LR0_EL2", lr);
        b.program.msr("ICH_HCR_EL2", 1n | (1n << bit));
        b.program.mrs("ICH_MISR_EL2");
        noteState(b);
      }
  },
}));

const TIMERS = [
  ["CNTV", "CNTV_CTL_EL0", "CNTV_CVAL_EL0", 27],
  ["CNTP", "CNTP_CTL_EL0", "CNTP_CVAL_EL0", 30],
  ["CNTHP", "CNTHP_CTL_EL2", "CNTHP_CVAL_EL2", 26],
  ["CNTHV", "CNTHV_CTL_EL2", "CNTHV_CVAL_EL2", 28],
  ["CNTPS", "CNTPS_CTL_EL1", "CNTPS_CVAL_EL1", 29],
] as const;
const NEVER = 0xffff_ffff_ffff_ffffn;

/** The condition, ISTATUS, IMASK, and the PPI's line. */
const timers: Case[] = TIMERS.flatMap(([name, ctl, cval, intid]) =>
  [0n, 1n, 2n, 3n].flatMap((control) =>
    [0n, NEVER, 1n << 62n].map(
      (value): Case => ({
        name: `${name}: CTL ${control}, CVAL 0x${value.toString(16)}`,
        run: (b) => {
          resetGic(b);
          if (name === "CNTHV")
            b.allow({ field: /pending, private/, mask: 1n << 28n, why: "QEMU 7.2's virt does not connect it" });
          b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
          configure(b, intid, {});
          b.program.msr(cval, value);
          b.program.msr(ctl, control);
          b.program.mrs(ctl);
          b.program.mrs(cval);
          noteState(b);
          b.program.msr(cval, NEVER);
          b.program.mrs(ctl);
          noteState(b);
          b.program.msr(ctl, 0);
          noteState(b);
        },
      }),
    ),
  ),
);

/** The virtual count is the physical one less CNTVOFF_EL2. */
const offsets: Case[] = [1n << 62n, 1n << 63n, NEVER - 1n].flatMap((offset) =>
  [0n, 1n << 61n, 1n << 62n, (1n << 63n) + 1n, 3n << 62n].map(
    (value): Case => ({
      name: `CNTVOFF_EL2 0x${offset.toString(16)}, CNTV_CVAL_EL0 0x${value.toString(16)}`,
      run: (b) => {
        resetGic(b);
        b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
        b.set({ CNTVOFF_EL2: offset });
        b.program.msr("CNTV_CVAL_EL0", value);
        b.program.msr("CNTV_CTL_EL0", 1);
        b.run("EL1", [
          mrs(1, "CNTV_CTL_EL0"),
          mrs(0, "CNTVCT_EL0"),
          op("SBFM, BFM, UBFM, 64-bit", { o: 2, r: 60, s: 63, n: 0, d: 0 }),
        ]);
        b.program.msr("CNTV_CTL_EL0", 0);
      },
    }),
  ),
);

/** TVAL: a signed distance from the count. */
const distances: Case[] = TIMERS.filter(([name]) => name === "CNTV" || name === "CNTP").flatMap(([name, ctl, cval]) =>
  [0x7000_0000n, 0x9000_0000n, 0xf000_0000n, 0x1_7000_0000n].map(
    (value): Case => ({
      name: `${name}_TVAL_EL0 0x${value.toString(16)}`,
      run: (b) => {
        resetGic(b);
        b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
        // CVAL less the count has the sign and the upper bits of TVAL.
        b.x({ 1: value });
        b.run(
          "EL1",
          [
            mrs(5, "CNTVCT_EL0"),
            msr(`${name}_TVAL_EL0`, 1),
            mrs(2, cval),
            op("ADD, ADDS, SUB, SUBS (shifted register), 64-bit", { o: 1, n: 2, m: 5, d: 2 }),
            op("SBFM, BFM, UBFM, 64-bit", { o: 2, r: 31, s: 63, n: 2, d: 2 }),
            ...loadConstant(3, 1n),
            msr(ctl, 3),
            mrs(4, ctl),
            msr(ctl, 31),
            op("MOVZ", { f: 1, d: 5 }),
          ],
          { registers: 5 },
        );
      },
    }),
  ),
);

/** A timer that comes while the PE waits: WFI ends, masked or not. */
const waking: Case[] = (["EL1", "EL2"] as const).flatMap((level) =>
  [0, UNMASK.I].map(
    (pstate): Case => ({
      name: `WFI at ${level} until a timer, ${pstate ? "unmasked" : "masked"}`,
      run: (b) => {
        b.allow({ field: /X[01]$/, why: "the count itself" });
        resetGic(b);
        b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
        configure(b, 30, {});
        if (level === "EL2") b.set({ HCR_EL2: HCR.RW | HCR.IMO });
        b.run(
          level,
          [
            mrs(0, "CNTPCT_EL0"),
            op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, h: 1, i: 32, n: 0, d: 0 }),
            msr("CNTP_CVAL_EL0", 0),
            ...loadConstant(3, 1n),
            msr("CNTP_CTL_EL0", 3),
            isb,
            op("WFI"),
            nop,
            mrs(4, "CNTP_CTL_EL0"),
            mrs(2, "ISR_EL1"),
          ],
          { pstate },
        );
        noteState(b);
        b.program.msr("CNTP_CTL_EL0", 0);
      },
    }),
  ),
);

/** Something is pending already: WFI does not wait. */
const notWaiting: Case[] = (["EL1", "EL2", "EL3"] as const).map((level) => ({
  name: `WFI at ${level} with a pending, masked interrupt`,
  run: (b) => {
    resetGic(b);
    configure(b, 5, {});
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    pend(b, 5);
    b.run(level, [op("WFI"), mrs(2, "ISR_EL1")]);
  },
}));

/** The same for a virtual interrupt, at EL1. */
const notWaitingVirtual: Case[] = [HCR.VI, 0n].map((vi) => ({
  name: `WFI at EL1 with a pending, masked virtual interrupt of ${vi ? "HCR_EL2.VI" : "a list register"}`,
  run: (b) => {
    resetGic(b);
    b.program.msr("SCR_EL3", DEFAULTS.SCR_EL3);
    b.set({ HCR_EL2: HCR.RW | HCR.IMO | HCR.FMO | vi });
    b.program.msr("ICH_VMCR_EL2", 0xf800_0003n);
    b.program.msr("ICH_LR0_EL2", vi ? 0n : 33n | (0x80n << 48n) | (1n << 60n) | (1n << 62n));
    b.program.msr("ICH_HCR_EL2", 1);
    b.run("EL1", [op("WFI"), mrs(2, "ISR_EL1")]);
  },
}));

export const interruptCases: readonly Case[] = [
  ...routing,
  ...virtual,
  ...virtualSErrors,
  ...unmasking,
  ...acknowledging,
  ...lists,
  ...injected,
  ...hardware,
  ...maintenance,
  ...timers,
  ...offsets,
  ...distances,
  ...waking,
  ...notWaiting,
  ...notWaitingVirtual,
];
