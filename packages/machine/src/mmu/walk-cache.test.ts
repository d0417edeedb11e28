/** What walks remember: never more than what TLB maintenance leaves, and with the results of a whole walk. */
import { Gpi, SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { DRAM, machineAt, type PeAt } from "../../test-support/pe-at.js";
import { D, peek, poke, Tables, writeGpt } from "../../test-support/tables.js";
import { R } from "../cpu/state.js";
import { GPCCR } from "../gpt.js";
import { executeSys } from "../sys-instructions.js";
import { Permission } from "./walk.js";

const { NON_SECURE, REALM, SECURE } = SecurityState;
const { READ, WRITE, EXECUTE } = Permission;
const TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n) | (1n << 36n);
const TCR_HA_HD = 3n << 39n;
const VTCR = 24n | (1n << 6n) | (5n << 16n) | (1n << 19n);
const VTCR_HA_HD = 3n << 21n;
const S1 = DRAM + 0x10_0000n;
const S2 = DRAM + 0x20_0000n;
const SPARE = DRAM + 0x30_0000n;
const A = DRAM + 0x40_0000n;
const B = DRAM + 0x60_0000n;
const VA = 0x4000_0000n;
const PAGE = 0x1000n;
const LEAF = D.AF | D.PAGE;
const S2_LEAF = D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE;
const DBM = 1n << 51n;
/** A block's descriptor out of a page's. */
const block = (descriptor: bigint): bigint => descriptor & ~2n;

interface Options {
  readonly state?: SecurityState;
  readonly stage2?: boolean;
  readonly asid?: bigint;
  readonly vmid?: bigint;
  readonly registers?: PeAt["registers"];
  readonly el?: 0 | 1;
}

function guest({ state = NON_SECURE, stage2 = false, asid = 1n, vmid = 1n, registers = {}, el = 1 }: Options = {}) {
  const at = machineAt({
    el,
    state,
    registers: {
      ...{ SCTLR_EL1: 1n, TCR_EL1: TCR, MAIR_EL1: 0xffn, TTBR0_EL1: S1 | (asid << 48n) },
      ...{ HCR_EL2: (1n << 31n) | (stage2 ? 1n : 0n), VTCR_EL2: VTCR, VTTBR_EL2: S2 | (vmid << 48n) },
      ...registers,
    },
  });
  const s1 = new Tables(at.machine, { at: S1 }).map(VA, A | LEAF).map(VA + PAGE, (A + PAGE) | LEAF);
  const s2 = new Tables(at.machine, { at: S2, startLevel: 1, rootPages: 2n });
  for (let pa = DRAM; pa < DRAM + 0x80_0000n; pa += 0x20_0000n) s2.map(pa, block(pa | S2_LEAF), { level: 2 });
  return { ...at, s1, s2 };
}

type Guest = ReturnType<typeof guest>;

function access({ machine, pe }: Pick<Guest, "machine" | "pe">, va: bigint, need: number = READ): bigint | string {
  const { mmu } = machine;
  const fault = mmu.access(pe, mmu.current(pe), Number(BigInt.asIntN(32, va)), Number(va >> 32n), need, false);
  return fault ? `${fault.fault} s${fault.stage} L${fault.level}${fault.s1ptw ? " s1ptw" : ""}` : BigInt(mmu.walker.pa);
}

/** Whether the next access would be translated without a walk. */
function remembers({ machine, pe }: Guest, va: bigint): boolean {
  const { mmu } = machine;
  return mmu.walker.recall(mmu.current(pe), Number(BigInt.asIntN(32, va)), Number(va >> 32n), READ, false);
}

/** TLBI with its operand in X0. */
function tlbi({ machine, pe }: Guest, op: { op1?: number; crm?: number; op2: number }, operand = 0n, el = 1): void {
  const pstate = pe.pstate;
  pe.pstate = (pstate & ~0xfn) | BigInt(el * 4 + 1);
  pe.r[R.X0] = operand;
  executeSys(machine, pe, 0xd508_8000 | ((op.op1 ?? 0) << 16) | ((op.crm ?? 7) << 8) | (op.op2 << 5));
  pe.pstate = pstate;
}

const VMALLE1 = { op2: 0 };
const VAE1 = { op2: 1 };
const ASIDE1 = { op2: 2 };
const VAAE1 = { op2: 3 };
const VALE1 = { op2: 5 };
const VAALE1 = { op2: 7 };
const VMALLS12E1 = { op1: 4, op2: 6 };
const IPAS2E1 = { op1: 4, crm: 4, op2: 1 };
const ALLE1 = { op1: 4, op2: 4 };

describe("stage 1", () => {
  test("a neighbour is found without a walk, also when it has just been mapped, and faults when it is not", () => {
    const at = guest();
    expect(access(at, VA)).toBe(A);
    expect(remembers(at, VA + PAGE)).toBe(true);
    expect(access(at, VA + PAGE)).toBe(A + PAGE);
    expect(access(at, VA + 2n * PAGE)).toBe("translation s1 L3");
    at.s1.map(VA + 2n * PAGE, B | LEAF);
    expect(access(at, VA + 2n * PAGE)).toBe(B);
  });

  /** The table of VA's 2 MiB is another one, which maps B. */
  function replaceTable(at: Guest): void {
    poke(at.machine, SPARE, B | LEAF);
    poke(at.machine, at.s1.entry(VA, 2), SPARE | D.TABLE);
  }
  const page = (va: bigint): bigint => va >> 12n;
  const asid = (n: bigint): bigint => n << 48n;
  test.each([
    { name: "VMALLE1", op: VMALLE1 },
    { name: "VAE1 of the address", op: VAE1, operand: page(VA) | asid(1n) },
    { name: "VAAE1 of another address in the same table", op: VAAE1, operand: page(VA + 5n * PAGE) },
    { name: "VAE1 of an address that shares the upper tables", op: VAE1, operand: page(VA + 0x20_0000n) | asid(1n) },
    { name: "ASIDE1 of its ASID", op: ASIDE1, operand: asid(1n) },
    { name: "VMALLS12E1", op: VMALLS12E1, el: 2 },
    { name: "IPAS2E1", op: IPAS2E1, el: 2 },
    { name: "ALLE1", op: ALLE1, el: 2 },
  ])("another table is used after TLBI $name", ({ op, operand, el }) => {
    const at = guest();
    access(at, VA);
    replaceTable(at);
    tlbi(at, op, operand, el);
    expect(access(at, VA)).toBe(B);
  });

  test.each([
    { name: "ASIDE1 of another ASID", op: ASIDE1, operand: asid(2n), kept: true },
    { name: "VALE1", op: VALE1, operand: page(VA + PAGE) | asid(1n), kept: true },
    { name: "VAALE1", op: VAALE1, operand: page(VA + PAGE), kept: true },
    { name: "VAE1", op: VAE1, operand: page(VA + PAGE) | asid(1n), kept: false },
  ])("TLBI $name: the table stays remembered $kept", ({ op, operand, kept }) => {
    const at = guest();
    access(at, VA);
    tlbi(at, op, operand);
    expect(remembers(at, VA)).toBe(kept);
  });

  test("of another VMID: what is remembered stays; of the own one it goes", () => {
    for (const vmid of [1n, 2n]) {
      const at = guest({ stage2: true });
      access(at, VA);
      at.pe.r[R.VTTBR_EL2] = S2 | (vmid << 48n);
      tlbi(at, VMALLS12E1, 0n, 2);
      at.pe.r[R.VTTBR_EL2] = S2 | (1n << 48n);
      at.pe.contextChanged();
      expect(remembers(at, VA)).toBe(vmid === 2n);
    }
  });

  test("a block that becomes a table: its pages and its leaf go with the TLBI of any of its addresses", () => {
    const at = guest();
    at.s1.map(0x8000_0000n, block(A | LEAF), { level: 2 });
    for (const offset of [0n, 5n * PAGE, 0x1f_f000n]) expect(access(at, 0x8000_0000n + offset)).toBe(A + offset);
    access(at, VA + PAGE);
    poke(at.machine, at.s1.entry(0x8000_0000n, 2), SPARE | D.TABLE);
    poke(at.machine, SPARE, B | LEAF);
    tlbi(at, VALE1, page(0x8000_3000n) | asid(1n));
    const { mmu } = at.machine;
    const { read } = mmu.current(at.pe);
    expect([0x8000_0000, 0x8000_5000, 0x801f_f000].map((va) => mmu.probe(read, va | 0, 0))).toEqual([0, 0, 0]);
    expect(access(at, 0x8000_0000n)).toBe(B);
    expect(access(at, 0x8000_5000n)).toBe("translation s1 L3");
    // The rest of the context is as it was.
    expect(mmu.probe(read, Number(VA + PAGE), 0)).not.toBe(0);
  });

  test("a TLBI within a 1 GiB block", () => {
    const at = guest();
    at.s1.map(0x8000_0000n, block(DRAM | LEAF), { level: 1 });
    expect(access(at, 0x8040_0000n)).toBe(A);
    poke(at.machine, at.s1.entry(0x8000_0000n, 1), 0n);
    tlbi(at, VALE1, page(0xb000_0000n) | asid(1n));
    expect(access(at, 0x8040_0000n)).toBe("translation s1 L1");
  });

  test("Access flag and dirty state of a neighbour are set by its own first access", () => {
    const off = guest();
    access(off, VA);
    off.s1.map(VA + PAGE, (A + PAGE) | D.PAGE);
    expect(access(off, VA + PAGE)).toBe("access-flag s1 L3");

    const at = guest({ registers: { TCR_EL1: TCR | TCR_HA_HD } });
    access(at, VA);
    const entry = at.s1.entry(VA + PAGE, 3);
    at.s1.map(VA + PAGE, (A + PAGE) | D.PAGE | D.AP_RO | DBM);
    expect(access(at, VA + PAGE)).toBe(A + PAGE);
    expect(peek(at.machine, entry) & (D.AF | D.AP_RO)).toBe(D.AF | D.AP_RO);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA + PAGE), 0)).toBe(0);
    expect(access(at, VA + PAGE, WRITE)).toBe(A + PAGE);
    expect(peek(at.machine, entry) & D.AP_RO).toBe(0n);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA + PAGE), 0)).not.toBe(0);
  });

  test("a clean block is written through a walk that makes it dirty", () => {
    const at = guest({ registers: { TCR_EL1: TCR | TCR_HA_HD } });
    at.s1.map(0x8000_0000n, block(A | LEAF | D.AP_RO | DBM), { level: 2 });
    access(at, 0x8000_0000n);
    access(at, 0x8000_1000n, WRITE);
    expect(peek(at.machine, at.s1.entry(0x8000_0000n, 2)) & D.AP_RO).toBe(0n);
  });

  test("a granule of tables that changes hands", () => {
    const at = guest();
    const GPT = 0x10_0000n;
    const protect = (gpi: number) => {
      const table = peek(at.machine, at.s1.entry(VA, 2)) & 0xffff_ffff_f000n;
      const { gptbr } = writeGpt(at.machine, { at: GPT, rest: Gpi.NS, ranges: [{ base: table, size: PAGE, gpi }] });
      at.pe.r[R.GPTBR_EL3] = gptbr;
      return Number(table);
    };
    protect(Gpi.NS);
    at.pe.r[R.GPCCR_EL3] = GPCCR.PPS.of(2) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);
    access(at, VA);
    expect(remembers(at, VA + PAGE)).toBe(true);
    at.machine.invalidateGranules(protect(Gpi.REALM), 4096);
    expect(access(at, VA + PAGE)).toBe("granule-protection s1 L3");
  });
});

describe("stage 2", () => {
  const IPA = 0x1_4000_0000n;
  const both = (options: Options = {}) => {
    const at = guest({ stage2: true, ...options });
    at.s1.map(VA, IPA | LEAF).map(VA + PAGE, (IPA + PAGE) | LEAF);
    at.s2.map(IPA, A | S2_LEAF).map(IPA + PAGE, (A + PAGE) | S2_LEAF);
    return at;
  };

  test("a neighbour is found without a walk; unmapped it faults, mapped it is found", () => {
    const at = both();
    expect(access(at, VA)).toBe(A);
    expect(remembers(at, VA + PAGE)).toBe(true);
    at.s1.map(VA + 2n * PAGE, (IPA + 2n * PAGE) | LEAF);
    expect(access(at, VA + 2n * PAGE)).toBe("translation s2 L3");
    at.s2.map(IPA + 2n * PAGE, B | S2_LEAF);
    expect(access(at, VA + 2n * PAGE)).toBe(B);
  });

  test.each([
    { name: "IPAS2E1", op: IPAS2E1 },
    { name: "VMALLS12E1", op: VMALLS12E1 },
  ])("a block that becomes a table is forgotten by TLBI $name", ({ op }) => {
    const at = both();
    at.s1.map(VA, 0x1_8000_0000n | LEAF);
    at.s2.map(0x1_8000_0000n, block(A | S2_LEAF), { level: 2 });
    expect(access(at, VA)).toBe(A);
    poke(at.machine, at.s2.entry(0x1_8000_0000n, 2), SPARE | D.TABLE);
    poke(at.machine, SPARE, B | S2_LEAF);
    tlbi(at, op, 0x1_8000_0000n >> 12n, 2);
    expect(access(at, VA)).toBe(B);
  });

  test("a permission that is granted needs no maintenance, of a page or a block", () => {
    const at = both();
    at.s1.map(VA + PAGE, 0x1_8000_0000n | LEAF);
    at.s2.map(IPA, A | (S2_LEAF & ~D.S2_WRITE)).map(0x1_8000_0000n, block(B | (S2_LEAF & ~D.S2_WRITE)), { level: 2 });
    expect([access(at, VA), access(at, VA + PAGE)]).toEqual([A, B]);
    expect([access(at, VA, WRITE), access(at, VA + PAGE, WRITE)]).toEqual(["permission s2 L3", "permission s2 L2"]);
    at.s2.map(IPA, A | S2_LEAF).map(0x1_8000_0000n, block(B | S2_LEAF), { level: 2 });
    expect([access(at, VA, WRITE), access(at, VA + PAGE, WRITE)]).toEqual([A, B]);
  });

  test("Access flag and dirty state of a neighbour", () => {
    const at = both({ registers: { VTCR_EL2: VTCR | VTCR_HA_HD } });
    access(at, VA);
    const entry = at.s2.entry(IPA + PAGE, 3);
    at.s2.map(IPA + PAGE, ((A + PAGE) | S2_LEAF | DBM) & ~(D.AF | D.S2_WRITE));
    access(at, VA + PAGE);
    expect(peek(at.machine, entry) & (D.AF | D.S2_WRITE)).toBe(D.AF);
    access(at, VA + PAGE, WRITE);
    expect(peek(at.machine, entry) & D.S2_WRITE).toBe(D.S2_WRITE);
  });
});

test("a page with translated code keeps its entry for writes, which the engine does not see", () => {
  const at = guest();
  const { machine, pe } = at;
  const { mmu, memory } = machine;
  const context = mmu.current(pe);
  const lo = Number(VA);
  access(at, VA, WRITE);
  const page = mmu.host;
  const hidden: number[] = [];
  memory.onCodeWrite = (host) => {
    hidden.push(host);
    memory.codePages[host >>> 12] = 0;
  };
  memory.codePages[page >>> 12] = 1;
  mmu.hideWrites(page);
  expect([mmu.probe(context.write, lo, 0), mmu.probe(context.read, lo, 0)]).toEqual([0, page]);
  // No walk is made for it: an unmapping needs a TLBI, as it does without translated code.
  at.s1.map(VA, 0n);
  expect(mmu.probeWrite(context, lo + 8, 0)).toBe(page + 8);
  expect([hidden, mmu.probe(context.write, lo, 0)]).toEqual([[page], page]);
  memory.codePages[page >>> 12] = 1;
  mmu.hideWrites(page);
  tlbi(at, VAALE1, VA >> 12n);
  expect(mmu.probeWrite(context, lo, 0)).toBe(0);
  // Filled while it has code.
  at.s1.map(VA, A | LEAF);
  access(at, VA);
  expect([mmu.probe(context.write, lo, 0), mmu.probeWrite(context, lo, 0)]).toEqual([0, page]);
});

describe("what is remembered gives what a walk gives", () => {
  const TABLE_BITS = [0n, D.AP_TABLE_NO_EL0, D.AP_TABLE_RO, D.PXN_TABLE, D.UXN_TABLE, 1n << 63n];
  const LEAF_BITS = [D.AP_EL0, D.AP_RO, D.PXN, D.UXN, DBM, D.NS, D.ATTR(1), 0n];
  const S2_BITS = [D.S2_READ, D.S2_WRITE, D.S2_XN, D.S2_NS, D.S2_NORMAL];

  test.each(
    [NON_SECURE, REALM, SECURE].flatMap((state) =>
      [0, 1].flatMap((el) => [false, true].map((stage2) => ({ state, el: el as 0 | 1, stage2, seed: state * 8 + el }))),
    ),
  )("state $state, EL$el, stage 2 $stage2", ({ state, el, stage2, seed }) => {
    let random = 0x9e37 + seed * 77;
    const next = (n: number) => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return (random >>> 8) % n;
    };
    const some = (bits: readonly bigint[]) => bits.reduce((set, bit) => (next(3) === 0 ? set | bit : set), 0n);
    let remembered = 0;
    for (let round = 0; round < 24; round++) {
      const wxn = next(2) === 0 ? 1n << 19n : 0n;
      const at = guest({
        ...{ state, el, stage2 },
        registers: {
          ...{ SCTLR_EL1: 1n | wxn, TCR_EL1: TCR | (next(2) === 0 ? TCR_HA_HD : 0n), MAIR_EL1: 0x04ffn },
          ...{ VSTCR_EL2: VTCR & 0xffn, VSTTBR_EL2: S2 },
        },
      });
      const { mmu } = at.machine;
      const base = 0x5000_0000n;
      const tableBits = TABLE_BITS[next(TABLE_BITS.length)]!;
      const IPA = 0x1_0000_0000n;
      for (let i = 0n; i < 8n; i++) {
        const output = stage2 ? IPA : A;
        at.s1.map(base + i * PAGE, (output + i * PAGE) | LEAF | some(LEAF_BITS), { tableBits });
        at.s2.map(IPA + i * PAGE, (A + i * PAGE) | D.AF | D.PAGE | some(S2_BITS));
      }
      const context = mmu.current(at.pe);
      for (let i = 0; i < 40; i++) {
        const lo = Number(base) + next(8) * 4096 + next(4096);
        const need = [READ, WRITE, EXECUTE][next(3)]!;
        const unaligned = next(2) === 0;
        mmu.access(at.pe, context, lo, 0, need, unaligned);
        const { walker } = mmu;
        const fields = () => {
          const { pa, pas, ipa, ipaPas, permissions, s1Permissions, device, s1Device } = walker;
          return { pa, pas, ipa, ipaPas, permissions, s1Permissions, device, s1Device };
        };
        if (!walker.recall(context, lo, 0, need, unaligned)) continue;
        remembered++;
        const found = fields();
        const options = { need, unaligned, update: false };
        context.walks.forget();
        expect(walker.translate(context, at.pe.protection, lo, 0, options)).toBeUndefined();
        expect(fields()).toEqual(found);
      }
    }
    expect(remembered).toBeGreaterThan(50);
  });
});
