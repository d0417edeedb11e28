/** FEAT_HAFDBS: what a walk writes into the descriptors it uses, and when it does not. */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { D, peek, poke, Tables } from "../../test-support/tables.js";
import { R } from "../cpu/state.js";
import { Permission } from "./walk.js";

const { READ, WRITE, EXECUTE } = Permission;
const TCR_EL1 = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
const TCR_HA = 1n << 39n;
const TCR_HD = 1n << 40n;
const TCR_EL2 = 16n | (5n << 16n);
const TCR_EL2_HA = 1n << 21n;
const TCR_EL2_HD = 1n << 22n;
const VTCR = 24n | (1n << 6n) | (5n << 16n) | (1n << 19n);
const VTCR_HA = 1n << 21n;
const VTCR_HD = 1n << 22n;
const RW = 1n << 31n;
const VM = 1n;

const DBM = 1n << 51n;
const S1 = DRAM + 0x10_0000n;
const S2 = DRAM + 0x20_0000n;
const TARGET = DRAM + 0x40_0000n;
const IPA = 0x10_0000_0000n;
const VA = 0x1000n;
const S2_PAGE = D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ;

/** EL1 with stage 1 over stage 2, whose tables a stage-2 block maps; `tables`: what stage 2 allows on stage 1's tables. */
function el1(options: { s1: bigint; s2?: bigint; tcr?: bigint; vtcr?: bigint; tables?: bigint }) {
  const { s1, s2 = S2_PAGE | D.S2_WRITE, tcr = 0n, vtcr = 0n, tables = D.S2_WRITE } = options;
  const found = machineAt({
    el: 1,
    state: SecurityState.NON_SECURE,
    registers: {
      SCTLR_EL1: 1n,
      TCR_EL1: TCR_EL1 | tcr,
      MAIR_EL1: 0xffn,
      TTBR0_EL1: S1,
      HCR_EL2: RW | VM,
      VTCR_EL2: VTCR | vtcr,
      VTTBR_EL2: S2,
    },
  });
  const second = new Tables(found.machine, { at: S2, startLevel: 1, rootPages: 2n });
  second.map(DRAM, (DRAM | S2_PAGE | tables) & ~2n, { level: 2 });
  second.map(IPA, TARGET | s2);
  const first = new Tables(found.machine, { at: S1 }).map(VA, IPA | s1);
  return { ...found, s1At: first.entry(VA, 3), s2At: second.entry(IPA, 3) };
}

function access({ machine, pe }: Pick<ReturnType<typeof el1>, "machine" | "pe">, need: number): string {
  const fault = machine.mmu.access(pe, machine.mmu.current(pe), Number(VA), 0, need, false);
  return fault ? `${fault.fault} s${fault.stage} L${fault.level}${fault.s1ptw ? " s1ptw" : ""}` : "ok";
}

describe("stage 1", () => {
  test("HA: an access sets the Access flag; without it the access faults", () => {
    const off = el1({ s1: D.PAGE });
    expect(access(off, READ)).toBe("access-flag s1 L3");
    const on = el1({ s1: D.PAGE, tcr: TCR_HA });
    expect(access(on, EXECUTE)).toBe("ok");
    expect(peek(on.machine, on.s1At)).toBe(IPA | D.PAGE | D.AF);
  });

  test("HA: a refused access sets nothing", () => {
    const at = el1({ s1: D.PAGE | D.AP_RO, tcr: TCR_HA });
    expect(access(at, WRITE)).toBe("permission s1 L3");
    expect(peek(at.machine, at.s1At) & D.AF).toBe(0n);
  });

  test("HD: the first write makes a DBM page writable, a read does not", () => {
    const at = el1({ s1: D.PAGE | D.AF | D.AP_RO | DBM, tcr: TCR_HA | TCR_HD });
    expect(access(at, READ)).toBe("ok");
    expect(peek(at.machine, at.s1At) & D.AP_RO).toBe(D.AP_RO);
    // The TLB got no permission to write from the read.
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA), 0)).toBe(0);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).read, Number(VA), 0)).not.toBe(0);
    expect(access(at, WRITE)).toBe("ok");
    expect(peek(at.machine, at.s1At)).toBe(IPA | D.PAGE | D.AF | DBM);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA), 0)).not.toBe(0);
  });

  test.each([
    { name: "HD without HA", tcr: TCR_HD, bits: D.AF | DBM },
    { name: "HA without HD", tcr: TCR_HA, bits: D.AF | DBM },
    { name: "no DBM", tcr: TCR_HA | TCR_HD, bits: D.AF },
  ])("read-only stays read-only: $name", ({ tcr, bits }) => {
    const at = el1({ s1: D.PAGE | D.AP_RO | bits, tcr });
    expect(access(at, WRITE)).toBe("permission s1 L3");
    expect(peek(at.machine, at.s1At) & D.AP_RO).toBe(D.AP_RO);
  });

  test("a table that says read-only has priority over DBM", () => {
    const at = el1({ s1: 0n, tcr: TCR_HA | TCR_HD });
    poke(at.machine, S1, 0n);
    const tables = new Tables(at.machine, { at: S1 + 0x1_0000n });
    tables.map(VA, IPA | D.PAGE | D.AF | D.AP_RO | DBM, { tableBits: D.AP_TABLE_RO });
    at.pe.r[R.TTBR0_EL1] = S1 + 0x1_0000n;
    at.pe.contextChanged();
    expect(access(at, WRITE)).toBe("permission s1 L3");
    expect(peek(at.machine, tables.entry(VA, 3)) & D.AP_RO).toBe(D.AP_RO);
  });

  test("stage 2 refuses the update of a descriptor that it maps read-only", () => {
    const at = el1({ s1: D.PAGE, tcr: TCR_HA, tables: 0n });
    expect(access(at, READ)).toBe("permission s2 L2 s1ptw");
    expect(peek(at.machine, at.s1At) & D.AF).toBe(0n);
  });

  test.each([
    { e2h: 0n, tcr: TCR_EL2 | TCR_EL2_HA | TCR_EL2_HD },
    { e2h: 1n << 34n, tcr: TCR_EL1 | TCR_HA | TCR_HD },
  ])("EL2, HCR_EL2.E2H $e2h", ({ e2h, tcr }) => {
    const at = machineAt({
      el: 2,
      state: SecurityState.REALM,
      registers: { SCTLR_EL2: 1n, TCR_EL2: tcr, MAIR_EL2: 0xffn, TTBR0_EL2: S1, HCR_EL2: RW | e2h },
    });
    const entry = new Tables(at.machine, { at: S1 }).map(VA, TARGET | D.PAGE | D.AP_RO | DBM).entry(VA, 3);
    expect(access(at, WRITE)).toBe("ok");
    expect(peek(at.machine, entry)).toBe(TARGET | D.PAGE | D.AF | DBM);
  });

  test("maintenance by address sets nothing", () => {
    const at = el1({ s1: D.PAGE | D.AP_RO | DBM, tcr: TCR_HA | TCR_HD });
    const { mmu } = at.machine;
    expect(mmu.translateOnly(at.pe, mmu.current(at.pe), Number(VA), 0, WRITE)).toBeUndefined();
    expect(peek(at.machine, at.s1At)).toBe(IPA | D.PAGE | D.AP_RO | DBM);
  });
});

describe("stage 2", () => {
  const S1_PAGE = D.PAGE | D.AF;

  test("HA and HD: Access flag, then dirty state", () => {
    const at = el1({ s1: S1_PAGE, s2: (S2_PAGE & ~D.AF) | DBM, vtcr: VTCR_HA | VTCR_HD });
    expect(access(at, READ)).toBe("ok");
    expect(peek(at.machine, at.s2At)).toBe(TARGET | S2_PAGE | DBM);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA), 0)).toBe(0);
    expect(access(at, WRITE)).toBe("ok");
    expect(peek(at.machine, at.s2At)).toBe(TARGET | S2_PAGE | DBM | D.S2_WRITE);
    expect(at.machine.mmu.probe(at.machine.mmu.current(at.pe).write, Number(VA), 0)).not.toBe(0);
  });

  test("without them the accesses fault", () => {
    expect(access(el1({ s1: S1_PAGE, s2: S2_PAGE & ~D.AF }), READ)).toBe("access-flag s2 L3");
    expect(access(el1({ s1: S1_PAGE, s2: S2_PAGE | DBM, vtcr: VTCR_HA }), WRITE)).toBe("permission s2 L3");
  });

  test("a stage-1 update makes the page of its table dirty", () => {
    const at = el1({ s1: D.PAGE, tcr: TCR_HA, vtcr: VTCR_HA | VTCR_HD, tables: DBM });
    expect(access(at, READ)).toBe("ok");
    expect(peek(at.machine, at.s1At) & D.AF).toBe(D.AF);
    const block = new Tables(at.machine, { at: S2, startLevel: 1, rootPages: 2n }).entry(DRAM, 2);
    expect(peek(at.machine, block) & D.S2_WRITE).toBe(D.S2_WRITE);
  });
});
