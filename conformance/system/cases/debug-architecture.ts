/**
 * Self-hosted debug where QEMU 7.2 does otherwise or cannot be asked: it looks at another bit of OSLSR_EL1 for the OS Lock,
 * decides once per translated block whether it steps, takes an unaligned access for aligned ones, and has neither Realms
 * nor watchpoints of DC IVAC. DDI 0487, "AArch64 Self-hosted Debug".
 */
import { HCR, mapRunner, NORMAL, SCR, SCTLR, tcr } from "../case.js";
import { isb, mrs, msr, msrImmediate, nop, op } from "../encoding.js";
import { type Expected, type Expecting, SVC_END } from "../expecting.js";
import { CODE, DATA, NOTHING } from "../layout.js";
import type { ArchitectureCase } from "./architecture.js";
import { MDSCR } from "./debug.js";

const { SS, KDE, MDE } = MDSCR;
const STEP = 1 << 21;
const UNMASK_D = 1 << 9;
const TDE = 1n << 8n;
const NSE = 1n << 62n;
const SSCE = 1n << 29n;
const END: Expected = { to: "end" };
const VA = 0x20_0000n;

/** Of EL0, all four bytes. */
const BREAK_EL0 = 1n | (2n << 1n) | (0xfn << 5n);
/** Of EL1 and EL0, loads and stores, all eight bytes. */
const WATCH = 1n | (3n << 1n) | (3n << 3n) | (0xffn << 5n);

const brk = op("BRK", { i: 5 });
const step = (elr: number): Expected => ({ to: "EL1", esr: 0xcb00_0022n, elr: BigInt(elr) });
const breaks = (elr: number): Expected => ({ to: "EL1", esr: 0xc200_0022n, elr: BigInt(elr) });
const watched = (far: bigint, write: boolean, el: 0 | 1): Expected => ({
  to: "EL1",
  esr: (el === 0 ? 0xd200_0022n : 0xd600_0022n) | (write ? 0x40n : 0n),
  far,
});

/** EL1&0 translation on: two pages at VA, a read-only one after them, and one that nothing answers. */
function translated(b: Expecting, more = 0n): void {
  const tree = b.tree(48);
  mapRunner(tree);
  const page = { attr: NORMAL, ap: 1, sh: 3, uxn: 1, pxn: 1 };
  tree.map(VA, DATA, page);
  tree.map(VA + 0x1000n, DATA + 0x1000, page);
  tree.map(VA + 0x2000n, DATA + 0x2000, { ...page, ap: 3 });
  tree.map(VA + 0x3000n, NOTHING, page);
  b.install(tree);
  b.set({ SCTLR_EL1: SCTLR.OFF | SCTLR.M, TCR_EL1: tcr({ more }), TTBR0_EL1: BigInt(tree.root) });
}

export const debugArchitectureCases: readonly ArchitectureCase[] = [
  {
    name: "the OS Lock disables software step, breakpoints and watchpoints, not BRK",
    run: (b) => {
      b.set({ MDSCR_EL1: SS | KDE | MDE, DBGBVR0_EL1: CODE, DBGBCR0_EL1: BREAK_EL0 });
      b.set({ DBGWVR0_EL1: DATA, DBGWCR0_EL1: WATCH });
      b.set({ OSLAR_EL1: 0n });
      b.executes("EL0", [nop], breaks(CODE), { pstate: STEP });
      b.sees("EL1", "read", DATA, watched(BigInt(DATA), false, 1), STEP | UNMASK_D);
      b.set({ OSLAR_EL1: 1n });
      b.executes("EL0", [nop], SVC_END, { pstate: STEP });
      b.sees("EL1", "read", DATA, END, UNMASK_D);
      b.executes("EL0", [brk], { to: "EL1", esr: 0xf200_0005n });
    },
  },
  {
    name: "BRK depends neither on MDE and KDE nor on PSTATE.D",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: 0n });
      b.executes("EL0", [brk], { to: "EL1", esr: 0xf200_0005n });
      b.executes("EL1", [brk], { to: "EL1", esr: 0xf200_0005n });
      b.set({ MDCR_EL2: TDE });
      b.executes("EL0", [brk], { to: "EL2", esr: 0xf200_0005n });
      b.executes("EL1", [brk], { to: "EL2", esr: 0xf200_0005n });
      b.set({ MDCR_EL2: 0n, HCR_EL2: HCR.RW | HCR.TGE });
      b.executes("EL0", [brk], { to: "EL2", esr: 0xf200_0005n });
    },
  },
  {
    name: "an instruction that masks debug exceptions ends stepping",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: SS | KDE });
      b.executes("EL1", [msrImmediate("DAIFSet", 8), nop], END, { pstate: STEP | UNMASK_D });
      // What it unmasks later finds PSTATE.SS cleared: pending at once, and no instruction was stepped.
      const later = [msrImmediate("DAIFSet", 8), nop, msrImmediate("DAIFClr", 8), nop];
      b.executes("EL1", later, { to: "EL1", esr: 0xce00_0022n, elr: BigInt(CODE + 12) }, { pstate: STEP | UNMASK_D });
    },
  },
  {
    name: "the OS Lock taken by a stepped instruction ends stepping",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: SS | KDE });
      const pstate = STEP | UNMASK_D;
      b.executes("EL1", [msr("OSLAR_EL1", 6), isb, nop], END, { pstate, x: { 6: 1 } });
      b.executes("EL1", [msr("OSLAR_EL1", 31), nop], { to: "EL1", esr: 0xce00_0022n }, { pstate: UNMASK_D });
    },
  },
  {
    name: "breakpoints and SSCE: Non-secure state and Realm",
    run: (b) => {
      const states = { "Non-secure": SCR.NS, Realm: SCR.NS | NSE } as const;
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGBVR0_EL1: CODE });
      for (const [name, state] of Object.entries(states)) {
        b.set({ SCR_EL3: state | SCR.RES1 | SCR.HCE | SCR.RW });
        for (const [control, matches] of [
          [0n, true],
          [1n << 14n, name === "Non-secure"],
          [(1n << 14n) | SSCE, name === "Realm"],
          [SSCE, false], // reserved
          [2n << 14n, false],
        ] as const) {
          b.set({ DBGBCR0_EL1: BREAK_EL0 | control });
          b.executes("EL0", [nop], matches ? breaks(CODE) : SVC_END);
        }
      }
    },
  },
  {
    name: "software step in a Realm",
    run: (b) => {
      b.set({ SCR_EL3: SCR.NS | NSE | SCR.RES1 | SCR.HCE | SCR.RW, OSLAR_EL1: 0n, MDSCR_EL1: SS });
      b.executes("EL0", [nop, nop], step(CODE + 4), { pstate: STEP });
    },
  },
  {
    name: "BAS of a breakpoint is RES1",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGBVR0_EL1: CODE + 4, DBGBCR0_EL1: 1n | (2n << 1n) });
      b.executes("EL0", [nop, nop], breaks(CODE + 4));
    },
  },
  {
    name: "address registers are sign-extended from bit 48, their low bits are zero",
    run: (b) => {
      for (const name of ["DBGBVR0_EL1", "DBGWVR1_EL1"]) {
        const value = 0x1_2345_6789_abcfn;
        for (const [written, kept] of [
          [value, 0xffff_2345_6789_abccn],
          [value & 0xffff_ffff_ffffn, 0x2345_6789_abccn],
          [value | (0xfffen << 48n), 0xffff_2345_6789_abccn],
        ] as const)
          b.executes("EL1", [msr(name, 1), mrs(2, name)], { to: "end", also: { X2: kept } }, { x: { 1: written } });
      }
    },
  },
  {
    name: "watchpoints see exactly the bytes of an unaligned access",
    run: (b) => {
      translated(b);
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGWVR0_EL1: VA + 0x100n, DBGWCR0_EL1: WATCH });
      for (const [at, far] of [
        [0xf8n, undefined],
        [0xf9n, 0x100n],
        [0xffn, 0x100n],
        [0x101n, 0x101n],
        [0x107n, 0x107n],
        [0x108n, undefined],
      ] as const) {
        const hit = (write: boolean): Expected => (far === undefined ? SVC_END : watched(VA + far, write, 0));
        b.sees("EL0", "read", VA + at, hit(false));
        b.sees("EL0", "write", VA + at, hit(true));
      }
    },
  },
  {
    name: "watchpoints on either page of an access that crosses into the next",
    run: (b) => {
      translated(b);
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGWVR0_EL1: VA + 0x1000n, DBGWCR0_EL1: WATCH });
      b.sees("EL0", "read", VA + 0xffcn, watched(VA + 0x1000n, false, 0));
      b.sees("EL0", "write", VA + 0xffcn, watched(VA + 0x1000n, true, 0));
      b.sees("EL0", "readPair", VA + 0xff4n, watched(VA + 0x1000n, false, 0));
      b.set({ DBGWVR0_EL1: VA + 0xff8n });
      b.sees("EL0", "write", VA + 0xffcn, watched(VA + 0xffcn, true, 0));
      b.set({ DBGWVR0_EL1: VA + 0x1008n });
      b.sees("EL0", "write", VA + 0xffcn, SVC_END);
    },
  },
  {
    name: "DC IVAC is watched as a store to its line",
    run: (b) => {
      translated(b);
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE | KDE, DBGWVR0_EL1: VA + 0x108n, DBGWCR0_EL1: WATCH });
      const expected: Expected = { to: "EL1", esr: 0xd600_0162n, far: VA + 0x108n };
      for (const at of [0x100n, 0x108n, 0x13fn]) b.sees("EL1", "invalidate", VA + at, expected, UNMASK_D);
      for (const at of [0xffn, 0x140n]) b.sees("EL1", "invalidate", VA + at, END, UNMASK_D);
      b.set({ DBGWCR0_EL1: WATCH & ~(2n << 3n) });
      b.sees("EL1", "invalidate", VA + 0x108n, END, UNMASK_D);
    },
  },
  {
    name: "a fault of translation has priority over a watchpoint, an external abort has not",
    run: (b) => {
      translated(b);
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGWVR0_EL1: VA + 0x2000n, DBGWCR0_EL1: WATCH });
      b.sees("EL0", "write", VA + 0x2000n, { to: "EL1", esr: 0x9200_004fn, far: VA + 0x2000n });
      b.sees("EL0", "read", VA + 0x2000n, watched(VA + 0x2000n, false, 0));
      b.set({ DBGWVR0_EL1: VA + 0x3000n });
      b.sees("EL0", "write", VA + 0x3000n, watched(VA + 0x3000n, true, 0));
      b.sees("EL0", "write", VA + 0x3008n, { to: "EL1", esr: 0x9200_0050n });
    },
  },
  {
    name: "the tag of an address does not matter to a watchpoint",
    run: (b) => {
      const tagged = VA | (0xa5n << 56n);
      translated(b, 1n << 37n);
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGWVR0_EL1: VA, DBGWCR0_EL1: WATCH });
      b.sees("EL0", "read", tagged, watched(tagged, false, 0));
      b.sees("EL0", "write", tagged + 4n, watched(tagged + 4n, true, 0));
      b.sees("EL0", "read", tagged + 8n, SVC_END);
    },
  },
];
