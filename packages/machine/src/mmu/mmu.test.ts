/**
 * What QEMU cannot express: the Security states of RME, granule protection in translation, memory types and alignment,
 * and which TLB entries maintenance drops. The rest of translation is conformance/translation.
 */
import { Gpi, Pas, SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { DRAM, machineAt, type PeAt } from "../../test-support/pe-at.js";
import { D, poke, Tables, writeGpt } from "../../test-support/tables.js";
import { R } from "../cpu/state.js";
import type { Fault } from "../fault.js";
import { GPCCR } from "../gpt.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { Permission } from "./walk.js";

const { REALM, NON_SECURE, ROOT, SECURE } = SecurityState;
const { READ, WRITE, EXECUTE } = Permission;

const M = 1n;
const TCR_EL1 = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
const TCR_EL2 = 16n | (5n << 16n);
const MAIR = 0x04_ffn; // 0 Normal, 1 Device-nGnRE
const VM = 1n;
const RW = 1n << 31n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const FWB = 1n << 46n;
const VTCR = 24n | (1n << 6n) | (5n << 16n) | (1n << 19n);
const VMID = (n: bigint) => n << 48n;

const PAGE = D.AF | D.PAGE;
const S2_PAGE = PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE;

/** Tables and targets: in the memory that the state's walks reach without a GPT, all of it. */
const S1 = DRAM + 0x10_0000n;
const S2 = DRAM + 0x20_0000n;
const TARGET = DRAM + 0x40_0000n;

/** Translates an access: the PAS and PA it ends in, or the fault. */
function access(
  { machine, pe }: { machine: Machine; pe: Processor },
  va: bigint,
  need: number = READ,
  unaligned = false,
): string | { pa: bigint; pas: Pas; device: boolean } {
  const { mmu } = machine;
  const lo = Number(BigInt.asIntN(32, va));
  const context = mmu.current(pe);
  const hi = mmu.untag(context, Number(BigInt.asIntN(32, va >> 32n)));
  const fault = mmu.access(pe, context, lo, hi, need, unaligned);
  if (fault) return describeFault(fault);
  return { pa: BigInt(mmu.walker.pa), pas: mmu.walker.pas, device: mmu.walker.device };
}

const describeFault = ({ fault, stage, level, onWalk, s1ptw }: Fault): string =>
  `${fault} s${stage} L${level}${onWalk ? " walk" : ""}${s1ptw ? " s1ptw" : ""}`;

const el2At = (state: SecurityState, leaf: bigint, extra: PeAt["registers"] = {}) => {
  const found = machineAt({
    el: 2,
    state,
    registers: { SCTLR_EL2: M, TCR_EL2, MAIR_EL2: MAIR, TTBR0_EL2: S1, HCR_EL2: RW, ...extra },
  });
  new Tables(found.machine, { at: S1 }).map(0x1000n, TARGET | leaf);
  return found;
};

const el1At = (state: SecurityState, leaf: bigint, s2Leaf: bigint | undefined, extra: PeAt["registers"] = {}) => {
  const ipa = 0x10_0000_0000n;
  const found = machineAt({
    el: 1,
    state,
    registers: {
      SCTLR_EL1: M,
      TCR_EL1,
      MAIR_EL1: MAIR,
      TTBR0_EL1: S1,
      HCR_EL2: RW | (s2Leaf === undefined ? 0n : VM),
      VTCR_EL2: VTCR,
      VTTBR_EL2: S2,
      ...extra,
    },
  });
  const s2 = new Tables(found.machine, { at: S2, startLevel: 1, rootPages: 2n });
  for (let pa = DRAM; pa < DRAM + 0x100_0000n; pa += 0x20_0000n) {
    s2.map(pa, (pa | S2_PAGE) & ~2n, { level: 2 });
  }
  if (s2Leaf !== undefined) s2.map(ipa, TARGET | s2Leaf);
  new Tables(found.machine, { at: S1 }).map(0x1000n, (s2Leaf === undefined ? TARGET : ipa) | leaf);
  return { ...found, s2 };
};

describe("physical address space of the output", () => {
  test.each([
    { nse: 0n, ns: 0n, pas: Pas.SECURE },
    { nse: 0n, ns: D.NS, pas: Pas.NS },
    { nse: D.NSE, ns: 0n, pas: Pas.ROOT },
    { nse: D.NSE, ns: D.NS, pas: Pas.REALM },
  ])("EL3: NSE $nse, NS $ns", ({ nse, ns, pas }) => {
    const at = machineAt({ el: 3, registers: { SCTLR_EL3: M, TCR_EL3: TCR_EL2, MAIR_EL3: MAIR, TTBR0_EL3: S1 } });
    new Tables(at.machine, { at: S1 }).map(0x1000n, TARGET | PAGE | D.AP_EL0 | nse | ns);
    expect(access(at, 0x1008n)).toEqual({ pa: TARGET + 8n, pas, device: false });
    // Root executes from Root memory only.
    const expected = pas === Pas.ROOT ? { pa: TARGET, pas, device: false } : "permission s1 L3";
    expect(access(at, 0x1000n, EXECUTE)).toEqual(expected);
  });

  test.each([
    { e2h: 0n, ns: 0n, pas: Pas.REALM },
    { e2h: 0n, ns: D.NS, pas: Pas.NS },
    { e2h: E2H, ns: 0n, pas: Pas.REALM },
    { e2h: E2H, ns: D.NS, pas: Pas.NS },
  ])("Realm EL2 (HCR_EL2 $e2h): NS $ns", ({ e2h, ns, pas }) => {
    const at = el2At(REALM, PAGE | ns, { HCR_EL2: RW | e2h, TCR_EL2: e2h ? TCR_EL1 : TCR_EL2 });
    expect(access(at, 0x1000n, WRITE)).toMatchObject({ pas });
    expect(access(at, 0x1000n, EXECUTE)).toEqual(
      pas === Pas.REALM ? expect.objectContaining({ pas }) : "permission s1 L3",
    );
  });

  test("Non-secure EL2 ignores NS", () => {
    expect(access(el2At(NON_SECURE, PAGE | D.NS), 0x1000n)).toMatchObject({ pas: Pas.NS });
    expect(access(el2At(NON_SECURE, PAGE), 0x1000n)).toMatchObject({ pas: Pas.NS });
  });

  test("Secure: NS of the leaf; NSTable sends the rest of the walk and the output to Non-secure", () => {
    expect(access(el2At(SECURE, PAGE), 0x1000n)).toMatchObject({ pas: Pas.SECURE });
    expect(access(el2At(SECURE, PAGE | D.NS), 0x1000n)).toMatchObject({ pas: Pas.NS });
    const at = machineAt({ el: 2, state: SECURE, registers: { SCTLR_EL2: M, TCR_EL2, MAIR_EL2: MAIR, TTBR0_EL2: S1 } });
    new Tables(at.machine, { at: S1 }).map(0x1000n, TARGET | PAGE, { tableBits: 1n << 63n });
    expect(access(at, 0x1000n)).toMatchObject({ pas: Pas.NS });
  });

  test("Secure with SCR_EL3.SIF executes Secure memory only", () => {
    const at = el2At(SECURE, PAGE | D.NS);
    expect(access(at, 0x1000n, EXECUTE)).toMatchObject({ pas: Pas.NS });
    at.pe.r[R.SCR_EL3] |= 1n << 9n;
    at.pe.contextChanged();
    expect(access(at, 0x1000n, EXECUTE)).toBe("permission s1 L3");
  });

  test.each([
    { name: "protected", s2: S2_PAGE, read: { pas: Pas.REALM }, fetch: { pas: Pas.REALM } },
    { name: "unprotected", s2: S2_PAGE | D.S2_NS, read: { pas: Pas.NS }, fetch: "permission s2 L3" },
  ])("Realm EL1, stage 2 $name", ({ s2, read, fetch }) => {
    const at = el1At(REALM, PAGE | D.NS, s2);
    expect(access(at, 0x1000n)).toMatchObject(read);
    const found = access(at, 0x1000n, EXECUTE);
    if (typeof fetch === "string") expect(found).toBe(fetch);
    else expect(found).toMatchObject(fetch);
  });

  test("Realm EL1: a stage-1 table in Non-secure memory is a stage-2 permission fault of the walk", () => {
    const at = el1At(REALM, PAGE, S2_PAGE);
    at.s2.map(S1 & ~0x1f_ffffn, ((S1 & ~0x1f_ffffn) | S2_PAGE | D.S2_NS) & ~2n, { level: 2 });
    expect(access(at, 0x1000n)).toBe("permission s2 L2 s1ptw");
  });

  test("Non-secure EL1 ignores bit 55 of stage 2", () => {
    expect(access(el1At(NON_SECURE, PAGE, S2_PAGE | D.S2_NS), 0x1000n, EXECUTE)).toMatchObject({ pas: Pas.NS });
  });

  test.each([
    { state: ROOT, el: 3 as const, pas: Pas.ROOT },
    { state: REALM, el: 2 as const, pas: Pas.REALM },
    { state: REALM, el: 1 as const, pas: Pas.REALM },
    { state: NON_SECURE, el: 2 as const, pas: Pas.NS },
    { state: SECURE, el: 1 as const, pas: Pas.SECURE },
  ])("stage 1 off at EL$el of state $state: its own space", ({ state, el, pas }) => {
    expect(access(machineAt({ el, state }), TARGET)).toEqual({ pa: TARGET, pas, device: true });
  });

  test.each([
    { name: "SW 0, SA 0", vstcr: 0n, vtcr: 0n, leaf: 0n, pas: Pas.SECURE },
    { name: "SA", vstcr: 1n << 30n, vtcr: 0n, leaf: 0n, pas: Pas.NS },
    { name: "SW", vstcr: 1n << 29n, vtcr: 0n, leaf: 0n, pas: Pas.NS },
    { name: "Non-secure IPA, NSA 0", vstcr: 0n, vtcr: 0n, leaf: D.NS, pas: Pas.SECURE },
    { name: "Non-secure IPA, NSA", vstcr: 0n, vtcr: 1n << 30n, leaf: D.NS, pas: Pas.NS },
    { name: "Non-secure IPA, NSW", vstcr: 0n, vtcr: 1n << 29n, leaf: D.NS, pas: Pas.NS },
  ])("Secure stage 2: $name", ({ vstcr, vtcr, leaf, pas }) => {
    const at = el1At(SECURE, PAGE | leaf, S2_PAGE, {
      VSTCR_EL2: (VTCR & 0xffn) | vstcr,
      VSTTBR_EL2: S2,
      VTCR_EL2: VTCR | vtcr,
    });
    expect(access(at, 0x1000n)).toMatchObject({ pas });
  });
});

describe("granule protection of each access", () => {
  const GPCCR_ON = GPCCR.PPS.of(2) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);
  const GPT = 0x10_0000n;
  /** NS memory, but for the given granules. */
  const protect = (at: { machine: Machine; pe: Processor }, ranges: { base: bigint; gpi: number }[]) => {
    const { gptbr } = writeGpt(at.machine, {
      at: GPT,
      rest: Gpi.NS,
      ranges: ranges.map((range) => ({ ...range, size: 0x1000n })),
    });
    at.pe.r[R.GPTBR_EL3] = gptbr;
    at.pe.r[R.GPCCR_EL3] = GPCCR_ON;
  };

  test.each([
    { what: "data", granule: TARGET, need: READ, expected: "granule-protection s0 L0" },
    { what: "fetch", granule: TARGET, need: EXECUTE, expected: "granule-protection s0 L0" },
    { what: "stage-1 root table", granule: S1, need: READ, expected: "granule-protection s1 L0 walk" },
    { what: "stage-1 level-1 table", granule: S1 + 0x1000n, need: READ, expected: "granule-protection s1 L1 walk" },
    { what: "stage-1 last table", granule: S1 + 0x3000n, need: READ, expected: "granule-protection s1 L3 walk" },
  ])("without stage 2: $what", ({ granule, need, expected }) => {
    const at = el1At(NON_SECURE, PAGE, undefined);
    protect(at, [{ base: granule, gpi: Gpi.REALM }]);
    expect(access(at, 0x1000n, need)).toBe(expected);
  });

  test.each([
    { what: "data", granule: TARGET, expected: "granule-protection s0 L0" },
    { what: "stage-1 table", granule: S1, expected: "granule-protection s1 L0 walk" },
    { what: "stage-2 root table, for the walk", granule: S2, expected: "granule-protection s2 L1 walk s1ptw" },
    { what: "stage-2 last table of the access", granule: S2 + 0x4000n, expected: "granule-protection s2 L3 walk" },
  ])("with stage 2: $what", ({ granule, expected }) => {
    const at = el1At(NON_SECURE, PAGE, S2_PAGE);
    protect(at, [{ base: granule, gpi: Gpi.ROOT }]);
    expect(access(at, 0x1000n)).toBe(expected);
  });

  test("Realm state walks and reads Realm memory, and NS where the descriptor says so", () => {
    const at = el2At(REALM, PAGE | D.NS);
    const realm = [0n, 0x1000n, 0x2000n, 0x3000n].map((offset) => ({ base: S1 + offset, gpi: Gpi.REALM }));
    protect(at, realm);
    expect(access(at, 0x1000n)).toMatchObject({ pas: Pas.NS });
    protect(at, [...realm, { base: TARGET, gpi: Gpi.REALM }]);
    at.pe.tlbi({ kind: "paall" });
    expect(access(at, 0x1000n)).toBe("granule-protection s0 L0");
  });

  test("a permission fault comes before granule protection", () => {
    const at = el1At(NON_SECURE, PAGE | D.AP_RO, undefined);
    protect(at, [{ base: TARGET, gpi: Gpi.REALM }]);
    expect(access(at, 0x1000n, WRITE)).toBe("permission s1 L3");
  });

  test("a granule that changes hands leaves the TLB with its invalidation", () => {
    const at = el1At(NON_SECURE, PAGE, undefined);
    protect(at, [{ base: TARGET, gpi: Gpi.NS }]);
    access(at, 0x1000n);
    const { mmu } = at.machine;
    const { read } = mmu.current(at.pe);
    expect(mmu.probe(read, 0x1000, 0)).not.toBe(0);
    const entry = GPT + 0x20000n + ((TARGET >> 16n) & 0x3fffn) * 8n;
    poke(at.machine, entry, 0x9999_9999_9999_999bn);
    // Another granule's invalidation is no reason to drop it.
    at.pe.tlbi({ kind: "rpalos", pa: TARGET + 0x1000n, size: 0x1000n });
    expect(mmu.probe(read, 0x1000, 0)).not.toBe(0);
    at.pe.tlbi({ kind: "rpalos", pa: TARGET, size: 0x1000n });
    expect(mmu.probe(read, 0x1000, 0)).toBe(0);
    expect(access(at, 0x1000n)).toBe("granule-protection s0 L0");
  });
});

describe("memory type and alignment", () => {
  const S2_BASE = PAGE | D.S2_READ | D.S2_WRITE;
  // MemAttr as bits 5:2; with FWB 0b110 is forced Write-Back, 0b111 as stage 1, 0b101 Non-cacheable, 0b0xx Device.
  test.each([
    { s1: 0, s2: 0b1111n, fwb: 0n, device: false },
    { s1: 1, s2: 0b1111n, fwb: 0n, device: true },
    { s1: 0, s2: 0b0000n, fwb: 0n, device: true },
    { s1: 0, s2: 0b0101n, fwb: 0n, device: false },
    { s1: 1, s2: 0b0110n, fwb: FWB, device: false },
    { s1: 1, s2: 0b0111n, fwb: FWB, device: true },
    { s1: 0, s2: 0b0111n, fwb: FWB, device: false },
    { s1: 1, s2: 0b0101n, fwb: FWB, device: true },
    { s1: 0, s2: 0b0101n, fwb: FWB, device: false },
    { s1: 0, s2: 0b0001n, fwb: FWB, device: true },
  ])("stage 1 attribute $s1, stage 2 MemAttr $s2, FWB $fwb", ({ s1, s2, fwb, device }) => {
    const at = el1At(NON_SECURE, PAGE | D.ATTR(s1), S2_BASE | (s2 << 2n), { HCR_EL2: RW | VM | fwb });
    expect(access(at, 0x1000n)).toMatchObject({ device });
    const unaligned = access(at, 0x1001n, READ, true);
    // Stage 1's type alone makes an alignment fault, then stage 2's: AArch64.S1HasAlignmentFault, S2HasAlignmentFault.
    if (s1 === 1) expect(unaligned).toMatch(/^alignment s1/);
    else if (device) expect(unaligned).toMatch(/^alignment s2/);
    else expect(unaligned).toMatchObject({ pa: TARGET + 1n });
  });

  test("stage 1 off: Device for alignment, unless HCR_EL2.DC, whatever stage 2 forces", () => {
    const registers = { SCTLR_EL1: 0n };
    expect(access(el1At(NON_SECURE, PAGE, undefined, registers), TARGET + 1n, READ, true)).toBe("alignment s1 L0");
    const dc = el1At(NON_SECURE, PAGE, S2_PAGE, { ...registers, HCR_EL2: RW | VM | (1n << 12n) });
    expect(access(dc, TARGET + 1n, READ, true)).toMatchObject({ device: false });
    const fwb = el1At(NON_SECURE, PAGE, S2_PAGE, { ...registers, HCR_EL2: RW | VM | FWB });
    fwb.s2.map(TARGET, (TARGET | S2_BASE | (6n << 2n)) & ~2n, { level: 2 });
    expect(access(fwb, TARGET + 1n, READ, true)).toBe("alignment s1 L0");
    expect(access(fwb, TARGET)).toMatchObject({ device: false });
  });

  test("alignment of Device memory comes before permission", () => {
    const at = el1At(NON_SECURE, PAGE | D.AP_RO | D.ATTR(1), undefined);
    expect(access(at, 0x1001n, WRITE, true)).toBe("alignment s1 L3");
  });

  test("Device memory is never in the TLB, but with stage 1 off, where the engine checks alignment", () => {
    const device = el1At(NON_SECURE, PAGE | D.ATTR(1), undefined);
    access(device, 0x1000n);
    const { mmu } = device.machine;
    expect(mmu.probe(mmu.current(device.pe).read, 0x1000, 0)).toBe(0);
    const off = machineAt({ el: 2 });
    access(off, TARGET);
    expect(off.machine.mmu.probe(off.machine.mmu.current(off.pe).read, Number(BigInt.asIntN(32, TARGET)), 0)).not.toBe(
      0,
    );
    expect(off.pe.r[R.ALIGN_CHECK]).toBe(1n);
  });
});

describe("what answers", () => {
  test("nothing at the address: external abort", () => {
    expect(access(machineAt({ el: 2 }), 0x5000_0000n)).toBe("external s0 L0");
  });

  test("a table where nothing is: external abort on the walk, of the stage that walks", () => {
    const s1 = el1At(NON_SECURE, PAGE, undefined, { TTBR0_EL1: 0x5000_0000n });
    expect(access(s1, 0x1000n)).toBe("external s1 L0 walk");
    const s2 = el1At(NON_SECURE, PAGE, S2_PAGE, { VTTBR_EL2: 0x5000_0000n });
    expect(access(s2, 0x1000n)).toBe("external s2 L1 walk s1ptw");
  });

  test("frames used up: external abort for new pages, the others go on", () => {
    const board = { ...machineAt({ el: 2 }).machine.board, frameBytes: 2 * 4096 };
    const at = machineAt({ el: 2, board });
    const seen: string[] = [];
    at.machine.trace.subscribe(["fault"], ({ name }) => seen.push(name));
    expect(access(at, TARGET)).toMatchObject({ pa: TARGET });
    expect(access(at, TARGET + 0x1000n)).toMatchObject({ pa: TARGET + 0x1000n });
    expect(access(at, TARGET + 0x2000n)).toBe("external s0 L0");
    expect(access(at, TARGET)).toMatchObject({ pa: TARGET });
    expect(seen).toEqual(["no frame left for a page"]);
  });
});

describe("contexts and maintenance", () => {
  const probe = ({ machine, pe }: { machine: Machine; pe: Processor }, va: number) =>
    machine.mmu.probe(machine.mmu.current(pe).read, va, 0) !== 0;

  test("a context is found again when its registers return: nothing is flushed", () => {
    const at = el1At(NON_SECURE, PAGE, S2_PAGE);
    access(at, 0x1000n);
    at.pe.r[R.VTTBR_EL2] = S2 | VMID(7n);
    at.pe.contextChanged();
    expect(probe(at, 0x1000)).toBe(false);
    at.pe.r[R.VTTBR_EL2] = S2;
    at.pe.contextChanged();
    expect(probe(at, 0x1000)).toBe(true);
  });

  test("a Realm context is not a Non-secure one, though all other registers are equal", () => {
    const at = el1At(REALM, PAGE, S2_PAGE);
    access(at, 0x1000n);
    at.pe.r[R.SCR_EL3] &= ~(1n << 62n);
    at.pe.levelChanged();
    expect(probe(at, 0x1000)).toBe(false);
  });

  test("more contexts than the pool holds: the least recently used one is recycled empty", () => {
    const at = el1At(NON_SECURE, PAGE, S2_PAGE);
    access(at, 0x1000n);
    for (let vmid = 1n; vmid < 40n; vmid++) {
      at.pe.r[R.VTTBR_EL2] = S2 | VMID(vmid);
      at.pe.contextChanged();
      expect(probe(at, 0x1000)).toBe(false);
      access(at, 0x1000n);
      expect(probe(at, 0x1000)).toBe(true);
    }
  });

  const flushed = (operation: (at: ReturnType<typeof el1At>) => void): boolean => {
    const at = el1At(NON_SECURE, PAGE, S2_PAGE, { VTTBR_EL2: S2 | VMID(5n) });
    access(at, 0x1000n);
    operation(at);
    return !probe(at, 0x1000);
  };
  test.each([
    { name: "its VMID", operation: { kind: "vmalls12e1", vmid: 5 } as const, expected: true },
    { name: "another VMID", operation: { kind: "vmalls12e1", vmid: 6 } as const, expected: false },
    {
      name: "an IPA of its VMID",
      operation: { kind: "ipas2e1", vmid: 5, ipa: 0n, size: 4096n } as const,
      expected: true,
    },
    { name: "EL2", operation: { kind: "alle2" } as const, expected: false },
    { name: "all granules", operation: { kind: "paall" } as const, expected: true },
  ])("native TLBI of $name", ({ operation, expected }) => {
    expect(flushed(({ pe }) => pe.tlbi(operation))).toBe(expected);
  });

  test("a TLBI by address inside a block drops every page made from the block", () => {
    const at = machineAt({
      el: 1,
      registers: { SCTLR_EL1: M, TCR_EL1, MAIR_EL1: MAIR, TTBR0_EL1: S1, HCR_EL2: RW },
    });
    new Tables(at.machine, { at: S1 })
      .map(0x20_0000n, (TARGET | PAGE) & ~2n, { level: 2 })
      .map(0x60_3000n, TARGET | PAGE);
    access(at, 0x20_0000n);
    access(at, 0x20_5000n);
    access(at, 0x60_3000n);
    const all = { scopes: -1, vmid: -1, asid: -1 };
    at.machine.mmu.flushVa(all, 0x60_1000, 0, true);
    expect([probe(at, 0x20_0000), probe(at, 0x20_5000), probe(at, 0x60_3000)]).toEqual([true, true, true]);
    at.machine.mmu.flushVa(all, 0x60_3000, 0, true);
    expect([probe(at, 0x20_0000), probe(at, 0x20_5000), probe(at, 0x60_3000)]).toEqual([true, true, false]);
    at.machine.mmu.flushVa(all, 0x21_0000, 0, true);
    expect([probe(at, 0x20_0000), probe(at, 0x20_5000)]).toEqual([false, false]);
  });

  test("host mode and guest mode differ by HCR_EL2.{E2H, TGE}", () => {
    const at = machineAt({
      el: 0,
      registers: { SCTLR_EL2: M, TCR_EL2: TCR_EL1, TTBR0_EL2: S1, MAIR_EL2: MAIR, HCR_EL2: RW | E2H | TGE },
    });
    new Tables(at.machine, { at: S1 }).map(0x1000n, TARGET | PAGE | D.AP_EL0);
    expect(access(at, 0x1000n)).toMatchObject({ pa: TARGET });
    at.pe.r[R.HCR_EL2] = RW | E2H;
    at.pe.contextChanged();
    // EL1&0 now: its stage 1 is off.
    expect(access(at, TARGET)).toMatchObject({ pa: TARGET, device: true });
  });
});
