/** What the engine finds in TLB_READ_U and TLB_WRITE_U, where LDTR and STTR look: never a context that no longer holds. */
import { describe, expect, test } from "vitest";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { D, Tables } from "../../test-support/tables.js";
import { encode, rowNamed } from "../cpu/encode.js";
import { R } from "../cpu/state.js";
import { PSTATE, TLB_READ_LO, TLB_READ_U_LO, TLB_WRITE_LO, TLB_WRITE_U_LO } from "../words.js";

const TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
const S1 = DRAM + 0x10_0000n;
const CODE = DRAM + 0x30_0000n;
const TARGET = DRAM + 0x40_0000n;
const USER = 0x1000n;
const KERNEL = 0x2000n;
const HOST_MODE = (1n << 34n) | (1n << 27n);

const leaf = (pa: bigint, bits = 0n): bigint => pa | D.AF | D.PAGE | bits;

function guest(options: { el?: 0 | 1 | 2; pan?: boolean; hcr?: bigint } = {}) {
  const { el = 1, pan = true, hcr = 0n } = options;
  const at = machineAt({
    el,
    pstate: 0x3c0n | (pan ? BigInt(PSTATE.PAN) : 0n),
    registers: {
      HCR_EL2: (1n << 31n) | hcr,
      ...{ SCTLR_EL1: 1n, TCR_EL1: TCR, MAIR_EL1: 0xffn, TTBR0_EL1: S1 },
      ...{ SCTLR_EL2: 1n, TCR_EL2: TCR, MAIR_EL2: 0xffn, TTBR0_EL2: S1, VBAR_EL1: 0x8000n },
    },
  });
  const tables = new Tables(at.machine, { at: S1 })
    .map(USER, leaf(TARGET, D.AP_EL0))
    .map(KERNEL, leaf(TARGET))
    .map(0x3000n, leaf(CODE));
  return { ...at, tables };
}

/** The read and write arrays: of LDTR and STTR, of the current context, and the empty one. */
const arrays = ({ machine, pe }: ReturnType<typeof guest>) => ({
  u: [pe.w[TLB_READ_U_LO], pe.w[TLB_WRITE_U_LO]],
  own: [pe.w[TLB_READ_LO], pe.w[TLB_WRITE_LO]],
  empty: [machine.memory.emptyTlb, machine.memory.emptyTlb],
});

describe("which arrays", () => {
  test("known after the first access, and again after EL0 and after PAN has changed", () => {
    const at = guest();
    expect(arrays(at).u).toEqual(arrays(at).empty);
    const context = at.machine.mmu.unprivileged(at.pe);
    const known = [context.read, context.write];
    expect(context.el0).toBe(true);
    expect(arrays(at).u).toEqual(known);
    const set = (pstate: number) => {
      at.pe.w[R.PSTATE * 2] = pstate;
      at.pe.guestLevelChanged();
    };
    set(0x3c5);
    expect(arrays(at).u).toEqual(known);
    set(0x3c0);
    at.machine.mmu.current(at.pe);
    set(0x3c5 | PSTATE.PAN);
    expect(arrays(at).u).toEqual(known);
  });

  test("at EL0 they are the current context's", () => {
    const at = guest({ el: 0 });
    at.machine.mmu.unprivileged(at.pe);
    expect(arrays(at).u).toEqual(arrays(at).own);
    expect(arrays(at).u).not.toEqual(arrays(at).empty);
  });

  test.each([
    { hcr: 0n, el0: false },
    { hcr: HOST_MODE, el0: true },
  ])("at EL2 with HCR_EL2 $hcr: EL0's $el0", ({ hcr, el0 }) => {
    const at = guest({ el: 2, hcr });
    expect(at.machine.mmu.unprivileged(at.pe).el0).toBe(el0);
  });

  test("a changed register, a TLBI of everything, and recycling forget them", () => {
    const at = guest();
    at.machine.mmu.unprivileged(at.pe);
    at.pe.r[R.TTBR0_EL1] = S1 | (1n << 48n);
    at.pe.contextChanged();
    expect(arrays(at).u).toEqual(arrays(at).empty);

    at.machine.mmu.unprivileged(at.pe);
    at.machine.mmu.flushAll();
    expect(arrays(at).u).toEqual(arrays(at).empty);

    const { read } = at.machine.mmu.unprivileged(at.pe);
    const { pe, machine } = at;
    // The other contexts of the pool are made while this one stays installed.
    for (let asid = 2n; asid < 40n; asid++) {
      pe.r[R.TTBR0_EL1] = S1 | (asid << 48n);
      pe.contextChanged();
      const own = machine.mmu.current(pe);
      expect(pe.w[TLB_READ_U_LO]).toBe(machine.memory.emptyTlb);
      if (own.read === read) return;
    }
    throw new Error("the pool has no end");
  });
});

describe("what the engine does with them", () => {
  const ldtr = (n: number, t: number) => encode(rowNamed("LDTR, X (unprivileged)"), { i: 0, n, t });
  const sttr = (n: number, t: number) => encode(rowNamed("STTR, X (unprivileged)"), { i: 0, n, t });
  const TLBI_VMALLE1 = 0xd508871f;

  function run(at: ReturnType<typeof guest>, words: readonly number[]): bigint {
    at.machine.load(CODE, new Uint8Array(Uint32Array.from(words).buffer));
    const { pe } = at;
    pe.power = "on";
    pe.r[R.PC] = 0x3000n;
    at.machine.run({ instructions: words.length });
    return pe.r[R.PC];
  }

  test("under PAN they reach what EL0 may, again and again, and nothing else", () => {
    const at = guest();
    const host = at.machine.memory.host(Number(TARGET));
    at.machine.memory.view.setBigUint64(host, 0x1234n, true);
    at.pe.r[R.X1] = USER;
    expect(run(at, [ldtr(1, 2), ldtr(1, 3), sttr(1, 4), sttr(1, 5), ldtr(1, 6)])).toBe(0x3014n);
    expect([at.pe.r[R.X0 + 2], at.pe.r[R.X0 + 3], at.pe.r[R.X0 + 6]]).toEqual([0x1234n, 0x1234n, 0n]);
    at.pe.r[R.X1] = KERNEL;
    run(at, [ldtr(1, 2)]);
    expect([at.pe.r[R.ELR_EL1], at.pe.r[R.ESR_EL1] & 0x3fn]).toEqual([0x3000n, 0xfn]);
  });

  test("an unmapped page faults after the TLBI", () => {
    const at = guest();
    at.pe.r[R.X1] = USER;
    run(at, [ldtr(1, 2), ldtr(1, 2)]);
    at.tables.map(USER, 0n);
    expect(run(at, [ldtr(1, 2)])).toBe(0x3004n);
    run(at, [TLBI_VMALLE1, ldtr(1, 2)]);
    expect([at.pe.r[R.ELR_EL1], at.pe.r[R.ESR_EL1] & 0x3fn]).toEqual([0x3004n, 0x7n]);
  });
});
