/**
 * Secure state: which address space stage 1 chooses (NS, NSTable), SCR_EL3.SIF, and Secure EL2 with its two stage-2
 * translations. DDI 0487, "Secure EL2", "VSTCR_EL2", "VTCR_EL2.{NSW, NSA}".
 */
import {
  type Allowance,
  type Bench,
  type Case,
  DEFAULTS,
  EL2_SYNDROME,
  HCR,
  mapRunner,
  NORMAL,
  SCR,
  SCTLR,
  tcr,
  tcr2,
  vtcr,
} from "../case.js";
import { isb, mrs, sys } from "../encoding.js";
import { CODE, DATA, VECTORS_EL2 } from "../layout.js";
import { leaf, type Tree } from "../tables.js";
import { mapRunner2 } from "./stage2.js";

const SECURE = DEFAULTS.SCR_EL3 & ~SCR.NS;
const VA = 0x20_0000n;
const IPA = 0x7_2345_0000n;

/** PAR_EL1: what matters here is the address and NS. */
const SPACE: Allowance = {
  field: /X2$/,
  when: (par) => (par & 1n) === 0n,
  mask: 0xff00_0000_0000_0980n,
  why: "DDI 0487, PAR_EL1: ATTR and SH may be what the implementation uses; bit 11 is NSE, UNKNOWN below EL3, with FEAT_RME",
};

function translate(b: Bench, level: "EL1" | "EL2", instruction: string, va: bigint): void {
  b.program.clear();
  b.x({ 1: va });
  b.program.step(`${instruction} 0x${va.toString(16)}`);
  b.run(level, [sys(instruction, 1), isb, mrs(2, "PAR_EL1")], { registers: 3 });
  b.program.step("");
}

/** Leaves of both spaces, below tables that are Secure and one that is not. */
function fill(tree: Tree, output: (page: number) => bigint): readonly bigint[] {
  const vas = [VA, VA + 0x1000n, 0x4000_0000_0000n, 0x4000_0000_1000n];
  tree.set(vas[0], 3, output(0) | leaf(3, { attr: NORMAL, ap: 1 }));
  tree.set(vas[1], 3, output(1) | leaf(3, { attr: NORMAL, ap: 1, ns: 1 }));
  // NSTable in the tables of level 0 and 1.
  tree.set(vas[2], 3, output(2) | leaf(3, { attr: NORMAL, ap: 1 }), { ns: 1 });
  tree.set(vas[3], 3, output(3) | leaf(3, { attr: NORMAL, ap: 1, ns: 1 }), { ns: 1 });
  return vas;
}

const stage1: Case[] = [0n, SCR.SIF].map((sif) => ({
  name: `Secure EL1: NS and NSTable, SIF ${sif ? 1 : 0}`,
  run: (b) => {
    const low = b.tree(48);
    mapRunner(low);
    const vas = fill(low, (page) => BigInt(DATA + page * 0x1000));
    b.install(low);
    b.set({
      SCR_EL3: SECURE | sif,
      TTBR0_EL1: BigInt(low.root),
      TCR_EL1: tcr(),
      SCTLR_EL1: SCTLR.OFF | SCTLR.M,
    });
    b.allow(SPACE);
    for (const va of vas) {
      translate(b, "EL1", "AT S1E1R", va);
      for (const kind of ["read", "write", "execute"] as const)
        for (const level of ["EL0", "EL1"] as const) b.access(level, kind, va);
    }
  },
}));

const secureEl2: Case[] = [0n, SCR.SIF].map((sif) => ({
  name: `Secure EL2: NS and NSTable, SIF ${sif ? 1 : 0}`,
  cpu: "max",
  run: (b) => {
    const tree = b.tree(48);
    for (const at of [VECTORS_EL2, CODE, CODE + 0x1000]) tree.map(BigInt(at), at, { attr: NORMAL, ap: 2 });
    const vas = fill(tree, (page) => BigInt(DATA + page * 0x1000));
    b.install(tree);
    b.set({
      SCR_EL3: SECURE | SCR.EEL2 | sif,
      TTBR0_EL2: BigInt(tree.root),
      TCR_EL2: tcr2(),
      SCTLR_EL2: SCTLR.OFF | SCTLR.M,
    });
    b.allow(SPACE);
    b.allow(EL2_SYNDROME);
    for (const va of vas) {
      translate(b, "EL2", "AT S1E2R", va);
      for (const kind of ["read", "write", "execute"] as const) b.access("EL2", kind, va);
    }
  },
}));

const [SW, SA, NSW, NSA] = [1n << 29n, 1n << 30n, 1n << 29n, 1n << 30n];

/** Both IPA spaces, each with tables of its own, and the bits that send walks and outputs to Non-secure memory. */
const stage2: Case[] = [0n, SW, SA].flatMap((secure) =>
  [0n, NSW, NSA, NSW | NSA].map(
    (nonSecure): Case => ({
      name: `Secure stage 2: VSTCR 0x${secure.toString(16)}, VTCR 0x${nonSecure.toString(16)}`,
      cpu: "max",
      run: (b) => {
        const low = b.tree(48);
        mapRunner(low);
        const vas = fill(low, (page) => IPA + BigInt(page * 0x1000));
        const own = b.tree(40, 1);
        const other = b.tree(40, 1);
        for (const tree of [own, other]) mapRunner2(tree);
        // The second page is missing in one, the third read-only in the other.
        own.map2(IPA, DATA);
        own.map2(IPA + 0x2000n, DATA + 0x2000, { s2ap: 1 });
        other.map2(IPA + 0x1000n, DATA + 0x1000);
        other.map2(IPA + 0x3000n, DATA + 0x3000, { s2ap: 1 });
        b.install(low, own, other);
        b.set({
          SCR_EL3: SECURE | SCR.EEL2,
          HCR_EL2: HCR.RW | HCR.VM,
          VSTCR_EL2: vtcr({ more: secure }),
          VTCR_EL2: vtcr({ more: nonSecure }),
          VSTTBR_EL2: BigInt(own.root),
          VTTBR_EL2: BigInt(other.root),
          TTBR0_EL1: BigInt(low.root),
          TCR_EL1: tcr(),
          SCTLR_EL1: SCTLR.OFF | SCTLR.M,
        });
        b.allow(SPACE);
        for (const va of vas) {
          translate(b, "EL2", "AT S12E1R", va);
          translate(b, "EL2", "AT S12E1W", va);
          translate(b, "EL1", "AT S1E1R", va);
          for (const kind of ["read", "write", "execute"] as const) b.access("EL1", kind, va);
        }
      },
    }),
  ),
);

export const secureCases: readonly Case[] = [...stage1, ...secureEl2, ...stage2];
