/**
 * What QEMU cannot express or does otherwise, with what the architecture says instead: memory types and alignment, SP
 * alignment, cache maintenance, routing of external aborts, traps that QEMU 7.2 has not. DDI 0487, under the heading
 * that each group names.
 */
import { DEFAULTS, DEVICE, HCR, mapRunner, NORMAL, SCR, SCTLR, tcr, vtcr } from "../case.js";
import { dsb, eret, hvc, isb, mov, mrs, msr, nop, op, smc, svc, sys } from "../encoding.js";
import { type Expecting, SVC_END } from "../expecting.js";
import { CODE, DATA, dataWord, NOTHING } from "../layout.js";
import type { Tree } from "../tables.js";
import { mapRunner2 } from "./stage2.js";

export interface ArchitectureCase {
  readonly name: string;
  readonly run: (b: Expecting) => void;
}

const VA = 0x20_0000n;
const IPA = 0x7_2345_0000n;
const END = { to: "end" } as const;
const hpfar = (ipa: bigint) => (ipa >> 12n) << 4n;

/** Stage 1 with the runner; `fill` adds pages. */
function stage1(b: Expecting, fill: (low: Tree) => void, sctlr = 0n): void {
  const low = b.tree(48);
  mapRunner(low);
  fill(low);
  b.install(low);
  b.set({ TTBR0_EL1: BigInt(low.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M | sctlr });
}

/** Both stages: VA to IPA, and what `fill` makes of IPA. */
function bothStages(b: Expecting, attr: number, fill: (second: Tree) => void): void {
  const low = b.tree(48);
  const second = b.tree(40, 1);
  mapRunner(low);
  low.map(VA, IPA, { attr, ap: 1 });
  mapRunner2(second);
  fill(second);
  b.install(low, second);
  b.set({
    HCR_EL2: HCR.RW | HCR.VM,
    VTCR_EL2: vtcr(),
    VTTBR_EL2: BigInt(second.root),
    TTBR0_EL1: BigInt(low.root),
    TCR_EL1: tcr(),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M,
  });
}

/** "Alignment support", "Device memory". */
const memoryTypes: ArchitectureCase[] = [
  {
    name: "unaligned accesses to Device memory of stage 1",
    run: (b) => {
      stage1(b, (low) => {
        low.map(VA, DATA, { attr: DEVICE, ap: 1, uxn: 1, pxn: 1 });
        low.map(VA + 0x1000n, DATA + 0x1000, { attr: DEVICE, ap: 3, uxn: 1, pxn: 1 });
      });
      for (const at of [1n, 4n, 7n]) {
        const far = VA + at;
        b.sees("EL1", "read", far, { to: "EL1", esr: 0x9600_0021n, far });
        b.sees("EL1", "write", far, { to: "EL1", esr: 0x9600_0061n, far });
        b.sees("EL0", "read", far, { to: "EL1", esr: 0x9200_0021n, far });
        b.sees("EL0", "writePair", far, { to: "EL1", esr: 0x9200_0061n, far });
      }
      for (const kind of ["read", "write", "readPair", "writePair", "readExclusive"] as const)
        b.sees("EL1", kind, VA + 8n, END);
      b.sees("EL1", "readByte", VA + 3n, END);
      // Alignment of Device memory comes before permission.
      b.sees("EL1", "write", VA + 0x1001n, { to: "EL1", esr: 0x9600_0061n });
      b.sees("EL1", "write", VA + 0x1000n, { to: "EL1", esr: 0x9600_004fn });
      b.sees("EL1", "zero", VA + 0x40n, { to: "EL1", esr: 0x9600_0061n, far: VA + 0x40n });
    },
  },
  {
    name: "unaligned accesses to Device memory of stage 2",
    run: (b) => {
      bothStages(b, NORMAL, (second) => second.map2(IPA, DATA, { attr: 0 }));
      b.sees("EL1", "read", VA + 4n, { to: "EL2", esr: 0x93c1_8021n, far: VA + 4n, also: { HPFAR_EL2: hpfar(IPA) } });
      b.sees("EL0", "writePair", VA + 4n, { to: "EL2", esr: 0x9200_0061n });
      b.sees("EL1", "read", VA + 8n, END);
    },
  },
  {
    name: "unaligned accesses with stage 1 off",
    run: (b) => {
      b.sees("EL1", "read", DATA + 4, { to: "EL1", esr: 0x9600_0021n, far: BigInt(DATA + 4) });
      b.sees("EL2", "write", DATA + 1, { to: "EL2", esr: 0x9600_0061n, far: BigInt(DATA + 1) });
      b.sees("EL3", "read", DATA + 1, { to: "EL3", esr: 0x9600_0021n, far: BigInt(DATA + 1) });
      b.sees("EL1", "zero", DATA, { to: "EL1", esr: 0x9600_0061n });
      b.sees("EL1", "read", DATA + 8, END);
    },
  },
  {
    name: "HCR_EL2.DC makes memory Normal while stage 1 is off",
    run: (b) => {
      const second = b.tree(40, 1);
      mapRunner2(second);
      second.map2(IPA, DATA);
      second.map2(IPA + 0x1000n, DATA, { attr: 0 });
      b.install(second);
      b.set({ HCR_EL2: HCR.RW | HCR.DC, VTCR_EL2: vtcr(), VTTBR_EL2: BigInt(second.root) });
      b.sees("EL1", "read", IPA + 4n, END);
      b.sees("EL1", "zero", IPA + 0x40n, END);
      b.sees("EL1", "read", IPA + 0x1004n, { to: "EL2", esr: 0x93c1_8021n });
    },
  },
  ...[6, 7, 5, 0].map(
    (attr): ArchitectureCase => ({
      name: `FWB: MemAttr ${attr} does not change alignment of stage 1's Device memory`,
      run: (b) => {
        bothStages(b, DEVICE, (second) => second.map2(IPA, DATA, { attr }));
        b.set({ HCR_EL2: HCR.RW | HCR.VM | HCR.FWB });
        b.sees("EL1", "read", VA + 4n, { to: "EL1", esr: 0x9600_0021n });
        b.sees("EL1", "read", VA + 8n, END);
        b.sees("EL1", "read", VA + 4n, { to: "EL1", esr: 0x9600_0021n });
      },
    }),
  ),
  {
    name: "FWB: stage 2 over stage 1's Normal memory, and over translation that is off",
    run: (b) => {
      for (const [attr, device] of [
        [6, false],
        [7, false],
        [5, false],
        [1, true],
      ] as const) {
        bothStages(b, NORMAL, (second) => second.map2(IPA, DATA, { attr }));
        b.program.flush();
        b.set({ HCR_EL2: HCR.RW | HCR.VM | HCR.FWB });
        b.sees("EL1", "read", VA + 4n, device ? { to: "EL2", esr: 0x93c1_8021n } : END);
      }
      b.set({ SCTLR_EL1: SCTLR.OFF });
      b.sees("EL1", "read", IPA + 4n, { to: "EL1", esr: 0x9600_0021n });
      b.sees("EL1", "read", IPA + 8n, END);
    },
  },
];

/** "SP alignment checking". */
const stack: ArchitectureCase[] = [
  {
    name: "a misaligned SP as base",
    run: (b) => {
      const load = op("LDR, X (unsigned offset)", { n: 31, t: 1 });
      const fault = (to: "EL1" | "EL2") => ({ to, esr: 0x9a00_0000n, elr: BigInt(CODE) });
      const sctlr = SCTLR.OFF & ~(SCTLR.SA | SCTLR.SA0);
      for (const [bits, el0, el1] of [
        [0n, false, false],
        [SCTLR.SA0, true, false],
        [SCTLR.SA, false, true],
      ] as const) {
        b.set({ SCTLR_EL1: sctlr | bits, SCTLR_EL2: sctlr | bits });
        const set = op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 31, d: 31, i: 8 });
        const elr = BigInt(CODE + 4);
        b.executes("EL0", [set, load], el0 ? { ...fault("EL1"), elr } : SVC_END);
        b.executes("EL1", [set, load], el1 ? { ...fault("EL1"), elr } : END);
        b.executes("EL1T", [set, load], el1 ? { ...fault("EL1"), elr } : END);
        b.executes("EL2T", [set, load], el1 ? { ...fault("EL2"), elr } : END);
        b.executes("EL2", [mov(31, 5), load], el1 ? { ...fault("EL2"), elr } : END, { x: { 5: 0x4020_8008 } });
        // Neither arithmetic nor prefetches check.
        b.executes("EL1", [set, op("PRFM (immediate)", { n: 31 })], END);
        for (const word of [
          op("STP, X (pre-index)", { n: 31, t: 1, u: 2, i: -2 }),
          op("LDXR, LDAXR, X", { n: 31, t: 1 }),
          op("LDADD, X", { n: 31, t: 1, s: 2 }),
          op("LDTR, X (unprivileged)", { n: 31, t: 1 }),
          op("STLR, X", { n: 31, t: 1 }),
        ])
          b.executes("EL1", [set, word], el1 ? { ...fault("EL1"), elr } : END);
      }
    },
  },
];

/** "A64 cache maintenance instructions", "MMU fault types". */
const caches: ArchitectureCase[] = [
  {
    name: "faults of cache maintenance",
    run: (b) => {
      stage1(
        b,
        (low) => {
          low.map(VA, DATA, { attr: NORMAL, ap: 0 });
          low.map(VA + 0x1000n, DATA, { attr: NORMAL, ap: 3 });
          low.map(VA + 0x2000n, DATA, { attr: NORMAL, ap: 1, af: 0 });
        },
        SCTLR.UCI,
      );
      const missing = VA + 0x3018n;
      for (const kind of ["clean", "cleanUnified", "cleanInvalidate"] as const) {
        b.sees("EL1", kind, missing, { to: "EL1", esr: 0x9600_0147n, far: missing });
        b.sees("EL0", kind, missing, { to: "EL1", esr: 0x9200_0147n, far: missing });
        b.sees("EL1", kind, VA, END);
        // EL0 needs permission to read.
        b.sees("EL0", kind, VA + 9n, { to: "EL1", esr: 0x9200_014fn, far: VA + 9n });
        b.sees("EL0", kind, VA + 0x1001n, SVC_END);
        b.sees("EL1", kind, VA + 0x2000n, { to: "EL1", esr: 0x9600_014bn });
      }
      // DC IVAC needs permission to write.
      b.sees("EL1", "invalidate", missing, { to: "EL1", esr: 0x9600_0147n });
      b.sees("EL1", "invalidate", VA, END);
      b.sees("EL1", "invalidate", VA + 0x1000n, { to: "EL1", esr: 0x9600_014fn });
    },
  },
  {
    name: "faults of cache maintenance at stage 2",
    run: (b) => {
      bothStages(b, NORMAL, () => {});
      b.sees("EL1", "clean", VA + 0x10n, {
        to: "EL2",
        esr: 0x9200_0145n,
        far: VA + 0x10n,
        also: { HPFAR_EL2: hpfar(IPA) },
      });
      b.sees("EL1", "zero", VA + 0x10n, { to: "EL2", esr: 0x9200_0045n });
    },
  },
];

/** "SMC", "HVC", "SCR_EL3". */
const calls: ArchitectureCase[] = [
  {
    name: "HVC at EL3 is EL3's",
    run: (b) => {
      b.executes("EL3", [hvc(0xabcd)], { to: "EL3", esr: 0x5a00_abcdn, elr: BigInt(CODE + 4), spsr: 0x3cdn });
    },
  },
  {
    name: "SMC disabled by SCR_EL3.SMD is UNDEFINED; HCR_EL2.TSC comes first",
    run: (b) => {
      // Vectors that come back to EL3 by an external abort, since SMC cannot.
      const vectors = CODE + 0x2000;
      const load = op("LDR, X (unsigned offset)", { n: 28, t: 27 });
      for (let slot = 0; slot < 16; slot++) b.program.code([load, op("B")], vectors + slot * 0x80);
      const x = { 28: NOTHING };
      const back = { to: "EL3", esr: 0x9200_0010n, far: BigInt(NOTHING) } as const;
      const scr = DEFAULTS.SCR_EL3 | SCR.SMD | SCR.EA;
      b.set({ SCR_EL3: scr, VBAR_EL1: vectors, VBAR_EL2: vectors });
      b.executes("EL1", [smc(1)], { ...back, also: { ESR_EL1: 0x0200_0000n, ELR_EL1: BigInt(CODE) } }, { x });
      b.executes("EL2", [smc(1)], { ...back, also: { ESR_EL2: 0x0200_0000n, ELR_EL2: BigInt(CODE) } }, { x });
      b.set({ HCR_EL2: HCR.RW | HCR.TSC });
      b.executes("EL1", [smc(1)], { ...back, also: { ESR_EL2: 0x5e00_0001n, ELR_EL2: BigInt(CODE) } }, { x });
    },
  },
  {
    name: "ERET to AArch32 or to a reserved Security state is illegal",
    run: (b) => {
      const x = { 1: 0x3d0, 2: CODE + 0x40 };
      const illegal = { esr: 0x3a00_0000n, elr: BigInt(CODE + 0x40) };
      b.executes(
        "EL1",
        [msr("SPSR_EL1", 1), msr("ELR_EL1", 2), eret],
        { ...illegal, to: "EL1", spsr: 0x10_03c5n },
        { x },
      );
      b.executes(
        "EL2",
        [msr("SPSR_EL2", 1), msr("ELR_EL2", 2), eret],
        { ...illegal, to: "EL2", spsr: 0x10_03c9n },
        { x },
      );
      // {NSE, NS} = {1, 0}.
      b.set({ SCR_EL3: (DEFAULTS.SCR_EL3 & ~SCR.NS) | (1n << 62n) });
      b.executes("EL1", [nop], { to: "EL3", esr: 0x3a00_0000n, elr: BigInt(CODE), spsr: 0x10_03cdn });
    },
  },
];

/** "Synchronous External abort", "SCR_EL3.EA", "HCR_EL2.TEA". */
const external: ArchitectureCase[] = [
  {
    name: "external aborts go where EA and TEA say",
    run: (b) => {
      const far = BigInt(NOTHING);
      b.sees("EL1", "read", far, { to: "EL1", esr: 0x9600_0010n, far });
      b.set({ HCR_EL2: HCR.RW | HCR.TEA });
      b.sees("EL1", "read", far, { to: "EL2", esr: 0x9200_0010n, far });
      b.sees("EL0", "execute", far, { to: "EL2", esr: 0x8200_0010n, far });
      b.sees("EL2", "write", far, { to: "EL2", esr: 0x9600_0050n, far });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR.EA });
      b.sees("EL1", "read", far, { to: "EL3", esr: 0x9200_0010n, far });
      b.sees("EL2", "write", far, { to: "EL3", esr: 0x9200_0050n, far });
      b.sees("EL0", "execute", far, { to: "EL3", esr: 0x8200_0010n, far });
      b.sees("EL3", "read", far, { to: "EL3", esr: 0x9600_0010n, far });
    },
  },
  {
    name: "external aborts on walks go the same way",
    run: (b) => {
      stage1(b, (low) => low.set(VA, 2, BigInt(NOTHING) | 3n));
      b.sees("EL1", "read", VA, { to: "EL1", esr: 0x9600_0017n, far: VA });
      b.set({ HCR_EL2: HCR.RW | HCR.TEA });
      b.sees("EL1", "read", VA, { to: "EL2", esr: 0x9200_0017n, far: VA });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR.EA });
      b.sees("EL0", "write", VA, { to: "EL3", esr: 0x9200_0057n, far: VA });
      // AT takes the abort instead of reporting it.
      b.executes("EL1", [sys("AT S1E1R", 1)], { to: "EL3", esr: 0x9200_0157n, far: VA }, { x: { 1: VA } });
    },
  },
];

const WFE = op("WFE");
const WFI = op("WFI");
const WAITS = 0x07e0_0000n;

/** "WFE", "WFI": an ERET leaves the event register set, so the second WFE is the one that waits. */
const waits: ArchitectureCase[] = [
  {
    name: "traps of WFE, and of WFI below a host",
    run: (b) => {
      const elr = BigInt(CODE + 4);
      const off = SCTLR.OFF & ~SCTLR.NTWE & ~SCTLR.NTWI;
      b.set({ SCTLR_EL1: off });
      b.executes("EL0", [WFE, WFE], { to: "EL1", esr: WAITS | 1n, elr });
      b.executes("EL1", [op("SEVL"), WFE], END);
      b.set({ SCTLR_EL1: SCTLR.OFF, HCR_EL2: HCR.RW | HCR.TWE });
      b.executes("EL0", [WFE, WFE], { to: "EL2", esr: WAITS | 1n, elr });
      b.executes("EL1", [WFE, WFE], { to: "EL2", esr: WAITS | 1n, elr });
      b.set({ HCR_EL2: HCR.RW, SCR_EL3: DEFAULTS.SCR_EL3 | SCR.TWE });
      b.executes("EL2", [WFE, WFE], { to: "EL3", esr: WAITS | 1n, elr });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3, HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE, SCTLR_EL2: off });
      b.executes("EL0", [WFI], { to: "EL2", esr: WAITS, elr: BigInt(CODE) });
      b.executes("EL0", [WFE, WFE], { to: "EL2", esr: WAITS | 1n, elr });
    },
  },
];

/** ISS of a trapped MRS, MSR or SYS. */
const trapped = (op0: number, op1: number, crn: number, crm: number, op2: number, rt: number, read: 0 | 1): bigint =>
  0x6200_0000n | BigInt((op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (rt << 5) | (crm << 1) | read);
const UNDEFINED = 0x0200_0000n;

/** Accesses of system registers where QEMU 7.2 does otherwise: the tables of `registers.ts` name them. */
const registers: ArchitectureCase[] = [
  {
    name: "aliases of E2H are UNDEFINED without it",
    run: (b) => {
      for (const name of ["SCTLR_EL12", "TTBR0_EL12", "SPSR_EL12", "CNTV_CTL_EL02", "CNTP_CVAL_EL02"]) {
        b.executes("EL2", [mrs(1, name)], { to: "EL2", esr: UNDEFINED });
        b.executes("EL3", [msr(name, 1)], { to: "EL3", esr: UNDEFINED });
        b.executes("EL1", [mrs(1, name)], { to: "EL1", esr: UNDEFINED });
      }
    },
  },
  {
    name: "CNTPCT_EL0 at EL0 needs EL1PCTEN",
    run: (b) => {
      b.set({ CNTHCTL_EL2: 1n });
      b.executes("EL0", [mrs(1, "CNTPCT_EL0")], SVC_END);
      b.set({ CNTHCTL_EL2: 2n });
      b.executes("EL0", [mrs(1, "CNTPCT_EL0")], { to: "EL2", esr: trapped(3, 3, 14, 0, 1, 1, 1) });
    },
  },
  {
    name: "MDSCR_EL1.TDCC traps EL0's MDCCSR_EL0",
    run: (b) => {
      b.set({ MDSCR_EL1: 1n << 12n });
      b.executes("EL0", [mrs(2, "MDCCSR_EL0")], { to: "EL1", esr: 0x6220_c043n, elr: BigInt(CODE) });
      b.executes("EL1", [mrs(2, "MDCCSR_EL0")], { to: "end", also: { X2: 0n } });
      b.set({ MDSCR_EL1: 0n });
      b.executes("EL0", [mrs(2, "MDCCSR_EL0")], SVC_END);
    },
  },
  {
    name: "MDCR_EL3.TDA traps EL2's MDCR_EL2",
    run: (b) => {
      b.set({ MDCR_EL3: 1n << 9n });
      b.executes("EL2", [mrs(3, "MDCR_EL2")], { to: "EL3", esr: trapped(3, 4, 1, 1, 1, 3, 1) });
    },
  },
  {
    name: "HCR_EL2.TIDCP traps IMPLEMENTATION DEFINED encodings",
    run: (b) => {
      b.executes("EL1", [sys("SYS 0,11,0,0", 1)], { to: "EL1", esr: UNDEFINED });
      b.set({ HCR_EL2: HCR.RW | HCR.TIDCP });
      b.executes("EL1", [sys("SYS 0,11,0,0", 1)], { to: "EL2", esr: trapped(1, 0, 11, 0, 0, 1, 0) });
      b.executes("EL1", [mrs(2, "S3_1_C15_C2_3")], { to: "EL2", esr: trapped(3, 1, 15, 2, 3, 2, 1) });
    },
  },
];

/** "HCR_EL2.TGE", AArch64.AT. */
const underTge: ArchitectureCase[] = [
  {
    name: "TGE without E2H: stage 1 of EL0 is off whatever SCTLR_EL1.M says",
    run: (b) => {
      b.set({
        HCR_EL2: HCR.RW | HCR.TGE,
        TTBR0_EL1: BigInt(NOTHING),
        TCR_EL1: tcr(),
        SCTLR_EL1: SCTLR.OFF | SCTLR.M,
      });
      b.sees("EL0", "read", DATA, { to: "EL2", esr: 0x5600_0050n });
      b.sees("EL0", "read", DATA + 1, { to: "EL2", esr: 0x9200_0021n });
    },
  },
  {
    name: "AT S12E1R under {E2H, TGE} is of the EL1&0 regime, which is off",
    run: (b) => {
      b.set({ HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE });
      b.executes(
        "EL2",
        [
          sys("AT S12E1R", 2),
          isb,
          mrs(1, "PAR_EL1"),
          op("SBFM, BFM, UBFM, 64-bit", { o: 2, r: 12, s: 47, n: 1, d: 1 }),
        ],
        { to: "end", also: { X1: 0x1234_5678n } },
        { x: { 2: 0x123_4567_8123n } },
      );
    },
  },
  ...(["TLBI IPAS2E1", "TLBI IPAS2E1IS", "TLBI IPAS2LE1IS"] as const).map(
    (instruction): ArchitectureCase => ({
      // A host that follows with VMALLE1 names its own EL2&0 by it. DDI 0487, "TLB maintenance instructions".
      name: `${instruction} is of the current VMID under {E2H, TGE}, too`,
      run: (b) => {
        const [va, ipa] = [0x12_3456_7000n, 0x7_2345_6000n];
        const first = b.tree(48);
        const second = b.tree(40, 1);
        mapRunner(first);
        mapRunner2(second);
        first.map(va, ipa, { attr: NORMAL, ap: 1 });
        second.map2(ipa, DATA);
        b.install(first, second);
        b.set({
          HCR_EL2: HCR.RW | HCR.VM | HCR.E2H,
          CPTR_EL2: 3n << 20n,
          VTCR_EL2: vtcr(),
          VTTBR_EL2: BigInt(second.root) | (5n << 48n),
          TTBR0_EL1: BigInt(first.root),
          TCR_EL1: tcr(),
          SCTLR_EL1: SCTLR.OFF | SCTLR.M,
        });
        b.sees("EL1", "read", va, { to: "end", also: { X1: dataWord(DATA) } });
        b.program.write64(second.at(ipa, 3), 0n);
        b.program.msr("HCR_EL2", HCR.RW | HCR.VM | HCR.E2H | HCR.TGE);
        b.executes("EL2", [sys(instruction, 1), dsb, isb], { to: "end" }, { x: { 1: ipa >> 12n } });
        b.program.msr("HCR_EL2", HCR.RW | HCR.VM | HCR.E2H);
        b.sees("EL1", "read", va, { to: "EL2", far: va, also: { HPFAR_EL2: ipa >> 8n } });
      },
    }),
  ),
];

/** "Exception entry": the flags stay. */
const entry: ArchitectureCase[] = [
  {
    name: "PSTATE.{N, Z, C, V} of the handler",
    run: (b) => {
      for (const flags of [0xf000_0000, 0x9000_0000])
        b.executes(
          "EL1",
          [svc(1)],
          { to: "EL1", spsr: BigInt(flags) | 0x3c5n, also: { SPSR_EL3: BigInt(flags) | 0x3c5n } },
          { pstate: flags },
        );
    },
  },
];

export const architectureCases: readonly ArchitectureCase[] = [
  ...memoryTypes,
  ...stack,
  ...caches,
  ...calls,
  ...external,
  ...waits,
  ...registers,
  ...underTge,
  ...entry,
];
