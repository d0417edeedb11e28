import { SecurityState, type SecurityState as State } from "@realmbox/abi";
import { beforeEach, describe, expect, test } from "vitest";
import { PE_STATE_SIZE, R } from "../cpu/state.js";
import { Line } from "../irq.js";
import type { Pe } from "../pe.js";
import type { CpuInterface } from "./cpu-interface.js";
import { GIC_REGISTERS } from "./cpu-registers.js";
import { Gic } from "./gic.js";
import { ICH_VTR } from "./virtual-interface.js";

/** The part of a PE that the interface looks at. */
class PeState {
  readonly bytes = new Uint8Array(PE_STATE_SIZE);
  readonly r = new BigUint64Array(this.bytes.buffer);
  el: 0 | 1 | 2 | 3 = 2;
  state: State = SecurityState.NON_SECURE;
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
  get mpidr(): bigint {
    return 0x8000_0000n | BigInt(this.index);
  }
}

const SECURE_PAS = { pe: 0, pas: 2, state: SecurityState.ROOT } as const;
const SCR_NS = 1n;
const SCR_FIQ = 4n;
const HCR_FMO = 1n << 3n;
const HCR_IMO = 1n << 4n;

let pes: PeState[];
let pe: PeState;
let gic: Gic;
let cpu: CpuInterface;

const gicd = (offset: number, value: bigint, size = 4) => gic.devices[0]!.device.write(offset, size, value, SECURE_PAS);
const gicr = (offset: number, value: bigint, size = 4) => gic.devices[1]!.device.write(offset, size, value, SECURE_PAS);
const at = (el: 0 | 1 | 2 | 3, state: State) => {
  pe.el = el;
  pe.state = state;
};
const read = (name: string) => cpu.read(name);
const write = (name: string, value: bigint) => cpu.write(name, value);
const lines = () => gic.lines(pe as unknown as Pe);

/** As EL3 firmware leaves it: everything Group 1 Non-secure, groups enabled, NS with the unshifted view. */
beforeEach(() => {
  pes = [new PeState(0), new PeState(1)];
  pe = pes[0]!;
  gic = new Gic({ board: { gicd: 0x2f00_0000n, gicr: 0x2f10_0000n }, pes: pes as unknown as Pe[] });
  gic.reset();
  cpu = gic.interfaces[0]!;
  gicd(0x0, 0x7n);
  for (let word = 1; word < 8; word++) gicd(0x80 + 4 * word, 0xffff_ffffn);
  for (const frame of [0, 0x2_0000]) {
    gicr(frame + 0x14, 0n);
    gicr(frame + 0x1_0080, 0xffff_ffffn);
    gicr(frame + 0x1_0100, 0xffff_ffffn);
  }
  gicd(0x104, 0xffff_ffffn);
  for (let n = 0; n < 32; n++) gicd(0x420 + n, 0x80n, 1);
  pe.r[R.SCR_EL3] = SCR_NS;
  at(3, SecurityState.ROOT);
  write("ICC_IGRPEN0_EL1", 1n);
  write("ICC_IGRPEN1_EL3", 3n);
  write("ICC_PMR_EL1", 0xffn);
  at(2, SecurityState.NON_SECURE);
});

describe("acknowledge, end, deactivate", () => {
  test("the whole life of a level-sensitive SPI", () => {
    gic.setSpi(32, true);
    expect(lines()).toBe(Line.IRQ);
    expect(read("ICC_HPPIR1_EL1")).toBe(32n);
    expect(read("ICC_IAR1_EL1")).toBe(32n);
    expect(read("ICC_RPR_EL1")).toBe(0x80n);
    expect(read("ICC_AP1R0_EL1")).toBe(1n << 16n);
    expect(lines()).toBe(0);
    expect(read("ICC_IAR1_EL1")).toBe(1023n);
    gic.setSpi(32, false);
    write("ICC_EOIR1_EL1", 32n);
    expect(read("ICC_RPR_EL1")).toBe(0xffn);
    expect(gic.distributor.isActive(0, 32)).toBe(false);
  });

  test("EOImode = 1: EOIR drops the priority, DIR deactivates", () => {
    write("ICC_CTLR_EL1", 2n);
    gic.setSpi(32, true);
    read("ICC_IAR1_EL1");
    gic.setSpi(32, false);
    write("ICC_EOIR1_EL1", 32n);
    expect([read("ICC_RPR_EL1"), gic.distributor.isActive(0, 32)]).toEqual([0xffn, true]);
    write("ICC_DIR_EL1", 32n);
    expect(gic.distributor.isActive(0, 32)).toBe(false);
  });

  test("EOImode = 0: DIR does nothing", () => {
    gic.setSpi(32, true);
    read("ICC_IAR1_EL1");
    write("ICC_DIR_EL1", 32n);
    expect(gic.distributor.isActive(0, 32)).toBe(true);
  });

  test("EOIR without an active priority, or of a special INTID, does nothing", () => {
    write("ICC_EOIR1_EL1", 32n);
    gic.setSpi(32, true);
    read("ICC_IAR1_EL1");
    write("ICC_EOIR1_EL1", 1023n);
    write("ICC_EOIR0_EL1", 32n); // the running priority is Group 1's
    expect(read("ICC_RPR_EL1")).toBe(0x80n);
  });

  test("a higher priority interrupt preempts, an equal group priority does not", () => {
    gicd(0x421, 0x78n, 1);
    gicd(0x422, 0x80n, 1);
    gic.setSpi(32, true);
    expect(read("ICC_IAR1_EL1")).toBe(32n);
    gic.setSpi(34, true);
    expect(lines()).toBe(0);
    gic.setSpi(33, true);
    expect(lines()).toBe(Line.IRQ);
    expect(read("ICC_IAR1_EL1")).toBe(33n);
    expect(read("ICC_RPR_EL1")).toBe(0x78n);
    write("ICC_EOIR1_EL1", 33n);
    expect(read("ICC_RPR_EL1")).toBe(0x80n);
  });

  test("the binary point groups priorities: Non-secure BPR1 = 4 leaves bits 7:4", () => {
    write("ICC_BPR1_EL1", 4n);
    gicd(0x420, 0x88n, 1);
    gicd(0x421, 0x80n, 1);
    gicd(0x422, 0x78n, 1);
    gic.setSpi(32, true);
    read("ICC_IAR1_EL1");
    expect(read("ICC_RPR_EL1")).toBe(0x80n);
    gic.setSpi(33, true);
    expect(lines()).toBe(0);
    gic.setSpi(34, true);
    expect(lines()).toBe(Line.IRQ);
  });

  test.each([
    { pmr: 0x80n, expected: 0 },
    { pmr: 0x88n, expected: Line.IRQ },
  ])("priority mask $pmr against priority 0x80", ({ pmr, expected }) => {
    write("ICC_PMR_EL1", pmr);
    gic.setSpi(32, true);
    expect(lines()).toBe(expected);
    expect(read("ICC_HPPIR1_EL1")).toBe(32n); // the mask hides it from IAR and the line, not from HPPIR
    expect(read("ICC_IAR1_EL1")).toBe(expected ? 32n : 1023n);
  });

  test("ICC_IGRPEN1 off: nothing is signalled", () => {
    gic.setSpi(32, true);
    write("ICC_IGRPEN1_EL1", 0n);
    expect([lines(), read("ICC_HPPIR1_EL1")]).toEqual([0, 1023n]);
  });

  test("an SGI reaches the other PE", () => {
    write("ICC_SGI1R_EL1", (5n << 24n) | 0b10n);
    expect(lines()).toBe(0);
    const other = pes[1]!;
    gic.interfaces[1]!.write("ICC_PMR_EL1", 0xf0n);
    gic.interfaces[1]!.write("ICC_IGRPEN1_EL1", 1n);
    expect(gic.lines(other as unknown as Pe)).toBe(Line.IRQ);
    expect(gic.interfaces[1]!.read("ICC_IAR1_EL1")).toBe(5n);
    gic.interfaces[1]!.write("ICC_EOIR1_EL1", 5n);
    expect(gic.lines(other as unknown as Pe)).toBe(0);
  });
});

describe("IRQ or FIQ, and who may acknowledge", () => {
  /** INTID 32 in the group wanted. */
  const configure = (group: "G0" | "G1S" | "G1NS") => {
    gicd(0x84, group === "G1NS" ? 0xffff_ffffn : 0xffff_fffen);
    gicd(0xd04, group === "G1S" ? 1n : 0n);
    gic.setSpi(32, true);
  };
  // IHI 0069, "Interrupt assignment to IRQ and FIQ signals"; special INTIDs of ICC_IAR0 and ICC_IAR1
  test.each([
    { group: "G0", el: 1, state: "SECURE", line: Line.FIQ, iar0: 32n, iar1: 1023n },
    { group: "G0", el: 2, state: "NON_SECURE", line: Line.FIQ, iar0: 1023n, iar1: 1023n },
    { group: "G0", el: 2, state: "REALM", line: Line.FIQ, iar0: 1023n, iar1: 1023n },
    { group: "G0", el: 3, state: "ROOT", line: Line.FIQ, iar0: 32n, iar1: 1023n },
    { group: "G1S", el: 1, state: "SECURE", line: Line.IRQ, iar0: 1023n, iar1: 32n },
    { group: "G1S", el: 2, state: "NON_SECURE", line: Line.FIQ, iar0: 1023n, iar1: 1023n },
    { group: "G1S", el: 2, state: "REALM", line: Line.FIQ, iar0: 1023n, iar1: 1023n },
    { group: "G1S", el: 3, state: "ROOT", line: Line.FIQ, iar0: 1020n, iar1: 32n },
    { group: "G1NS", el: 1, state: "SECURE", line: Line.FIQ, iar0: 1023n, iar1: 1023n },
    { group: "G1NS", el: 2, state: "NON_SECURE", line: Line.IRQ, iar0: 1023n, iar1: 32n },
    { group: "G1NS", el: 2, state: "REALM", line: Line.IRQ, iar0: 1023n, iar1: 32n },
    { group: "G1NS", el: 3, state: "ROOT", line: Line.FIQ, iar0: 1021n, iar1: 32n },
  ] as const)("$group at EL$el $state", ({ group, el, state, line, iar0, iar1 }) => {
    configure(group);
    at(el, SecurityState[state]);
    expect(lines()).toBe(line);
    expect([read("ICC_HPPIR0_EL1"), read("ICC_HPPIR1_EL1")]).toEqual([iar0, iar1]);
    expect(read("ICC_IAR0_EL1")).toBe(iar0);
    if (iar0 >= 1020n) expect(read("ICC_IAR1_EL1")).toBe(iar1);
  });

  test("one Security state: Group 1 is IRQ at every EL", () => {
    configure("G1NS");
    gicd(0x0, 0x43n);
    at(3, SecurityState.ROOT);
    expect(lines()).toBe(Line.IRQ);
  });

  test("Non-secure cannot end a Group 0 interrupt", () => {
    configure("G0");
    at(3, SecurityState.ROOT);
    expect(read("ICC_IAR0_EL1")).toBe(32n);
    at(2, SecurityState.NON_SECURE);
    write("ICC_EOIR0_EL1", 32n);
    expect(gic.distributor.isActive(0, 32)).toBe(true);
    at(3, SecurityState.ROOT);
    write("ICC_EOIR0_EL1", 32n);
    expect(gic.distributor.isActive(0, 32)).toBe(false);
  });
});

describe("views", () => {
  test.each([
    { written: 0x00n, stored: 0x80n, read: 0x00n },
    { written: 0x80n, stored: 0xc0n, read: 0x80n },
    { written: 0xf0n, stored: 0xf8n, read: 0xf0n },
    { written: 0xffn, stored: 0xf8n, read: 0xf0n },
  ])("ICC_PMR $written from Non-secure with SCR_EL3.FIQ = 1", (row) => {
    pe.r[R.SCR_EL3] = SCR_NS | SCR_FIQ;
    write("ICC_PMR_EL1", row.written);
    expect([pe.r[R.ICC_PMR_EL1], read("ICC_PMR_EL1")]).toEqual([row.stored, row.read]);
  });
  test("a mask in the Secure half reads zero and cannot be changed from Realm or Non-secure", () => {
    write("ICC_PMR_EL1", 0x40n);
    pe.r[R.SCR_EL3] = SCR_NS | SCR_FIQ;
    at(2, SecurityState.REALM);
    write("ICC_PMR_EL1", 0xf0n);
    expect([read("ICC_PMR_EL1"), pe.r[R.ICC_PMR_EL1]]).toEqual([0n, 0x40n]);
  });
  test("PMR implements five bits: Linux's probe writes 1 << (8 - PRIbits)", () => {
    write("ICC_PMR_EL1", 0x08n);
    expect(read("ICC_PMR_EL1")).toBe(0x08n);
    write("ICC_PMR_EL1", 0x07n);
    expect(read("ICC_PMR_EL1")).toBe(0n);
  });
  test("ICC_CTLR_EL1 is banked in ICC_CTLR_EL3, which alone sets CBPR", () => {
    write("ICC_CTLR_EL1", 0x3n);
    expect(read("ICC_CTLR_EL1")).toBe(0x402n);
    at(1, SecurityState.SECURE);
    expect(read("ICC_CTLR_EL1")).toBe(0x400n);
    write("ICC_CTLR_EL1", 0x2n);
    at(3, SecurityState.ROOT);
    expect(read("ICC_CTLR_EL3")).toBe(0x400n | 0b11000n);
    write("ICC_CTLR_EL3", 0b11010n);
    expect(read("ICC_CTLR_EL1")).toBe(0x403n); // SCR_EL3.NS = 1
    pe.r[R.SCR_EL3] = 0n;
    expect(read("ICC_CTLR_EL1")).toBe(0x402n);
  });
  test("binary points have minima and follow CBPR", () => {
    expect([read("ICC_BPR0_EL1"), read("ICC_BPR1_EL1")]).toEqual([2n, 3n]);
    write("ICC_BPR1_EL1", 0n);
    expect(read("ICC_BPR1_EL1")).toBe(3n);
    const commonPoint = (value: bigint) => {
      at(3, SecurityState.ROOT);
      write("ICC_CTLR_EL3", value);
      at(1, SecurityState.NON_SECURE);
    };
    commonPoint(0b10n); // CBPR_EL1NS
    write("ICC_BPR0_EL1", 7n);
    expect(read("ICC_BPR1_EL1")).toBe(7n);
    write("ICC_BPR0_EL1", 4n);
    expect(read("ICC_BPR1_EL1")).toBe(5n);
    write("ICC_BPR1_EL1", 6n);
    commonPoint(0n);
    expect(read("ICC_BPR1_EL1")).toBe(3n);
  });
  test("ICC_IGRPEN1_EL1 is banked; ICC_IGRPEN1_EL3 shows both", () => {
    write("ICC_IGRPEN1_EL1", 0n);
    at(3, SecurityState.ROOT);
    expect(read("ICC_IGRPEN1_EL3")).toBe(2n);
    at(1, SecurityState.SECURE);
    expect(read("ICC_IGRPEN1_EL1")).toBe(1n);
  });
  test("ICC_SRE is fixed", () => {
    write("ICC_SRE_EL2", 0n);
    expect([read("ICC_SRE_EL1"), read("ICC_SRE_EL2"), read("ICC_SRE_EL3")]).toEqual([0x7n, 0xfn, 0xfn]);
  });
});

describe("access", () => {
  const access = (name: string, isWrite = false) => cpu.access(GIC_REGISTERS.get(name)!, isWrite);
  const TC = 1n << 10n;
  const TALL0 = 1n << 11n;
  const TALL1 = 1n << 12n;
  const TDIR = 1n << 14n;
  test.each([
    { reg: "ICC_PMR_EL1", el: 0, expected: "undefined" },
    { reg: "ICC_IAR1_EL1", el: 1, expected: "ok" },
    { reg: "ICC_IAR1_EL1", el: 1, hcr: HCR_FMO, expected: "ok" },
    { reg: "ICC_IAR1_EL1", el: 1, hcr: HCR_IMO, expected: "virtual" },
    { reg: "ICC_IAR1_EL1", el: 1, hcr: HCR_IMO, ich: TALL1, expected: "trap-el2" },
    { reg: "ICC_IAR1_EL1", el: 2, hcr: HCR_IMO, ich: TALL1, expected: "ok" },
    { reg: "ICC_IAR1_EL1", el: 1, scr: 3n, expected: "trap-el3" },
    { reg: "ICC_IAR1_EL1", el: 1, scr: 3n, hcr: HCR_IMO, expected: "virtual" },
    { reg: "ICC_IAR0_EL1", el: 1, hcr: HCR_IMO, expected: "ok" },
    { reg: "ICC_IAR0_EL1", el: 1, hcr: HCR_FMO, expected: "virtual" },
    { reg: "ICC_IAR0_EL1", el: 1, ich: TALL0, expected: "trap-el2" },
    { reg: "ICC_IAR0_EL1", el: 2, scr: 5n, expected: "trap-el3" },
    { reg: "ICC_PMR_EL1", el: 1, hcr: HCR_FMO, expected: "virtual" },
    { reg: "ICC_PMR_EL1", el: 1, hcr: HCR_IMO, ich: TC, expected: "trap-el2" },
    { reg: "ICC_PMR_EL1", el: 2, scr: 5n, expected: "ok" },
    { reg: "ICC_PMR_EL1", el: 2, scr: 7n, expected: "trap-el3" },
    { reg: "ICC_PMR_EL1", el: 3, scr: 7n, expected: "ok" },
    { reg: "ICC_DIR_EL1", write: true, el: 1, hcr: HCR_IMO, expected: "virtual" },
    { reg: "ICC_DIR_EL1", write: true, el: 1, hcr: HCR_IMO, ich: TDIR, expected: "trap-el2" },
    { reg: "ICC_SGI1R_EL1", write: true, el: 1, expected: "ok" },
    { reg: "ICC_SGI1R_EL1", write: true, el: 1, hcr: HCR_IMO, expected: "trap-el2" },
    { reg: "ICC_SGI0R_EL1", write: true, el: 1, hcr: HCR_IMO, expected: "trap-el2" },
    { reg: "ICC_ASGI1R_EL1", write: true, el: 1, hcr: HCR_FMO, expected: "trap-el2" },
    { reg: "ICC_SGI1R_EL1", el: 2, expected: "undefined" }, // write-only
    { reg: "ICC_IAR1_EL1", write: true, el: 2, expected: "undefined" }, // read-only
    { reg: "ICH_HCR_EL2", el: 1, expected: "undefined" },
    { reg: "ICH_HCR_EL2", el: 2, expected: "ok" },
    { reg: "ICH_HCR_EL2", el: 3, expected: "ok" },
    { reg: "ICH_VTR_EL2", write: true, el: 2, expected: "undefined" },
    { reg: "ICC_IGRPEN1_EL3", el: 2, expected: "undefined" },
    { reg: "ICC_SRE_EL1", el: 1, hcr: HCR_IMO, ich: TC, expected: "ok" },
  ] as const)("$reg at EL$el", (row) => {
    at(row.el, row.el === 3 ? SecurityState.ROOT : SecurityState.REALM);
    pe.r[R.SCR_EL3] = "scr" in row ? row.scr : SCR_NS;
    pe.r[R.HCR_EL2] = "hcr" in row ? row.hcr : 0n;
    pe.r[R.ICH_HCR_EL2] = "ich" in row ? row.ich : 0n;
    expect(access(row.reg, "write" in row)).toBe(row.expected);
  });
});

describe("virtual interface", () => {
  const lr = (fields: {
    intid: number;
    state?: number;
    priority?: number;
    group?: number;
    hw?: number;
    pintid?: number;
    eoi?: boolean;
  }) =>
    BigInt(fields.intid) |
    (BigInt(fields.pintid ?? 0) << 32n) |
    (fields.eoi ? 1n << 41n : 0n) |
    (BigInt(fields.priority ?? 0x80) << 48n) |
    (BigInt(fields.group ?? 1) << 60n) |
    (BigInt(fields.hw ?? 0) << 61n) |
    (BigInt(fields.state ?? 1) << 62n);
  const lrState = (n: number) => Number(pe.r[R.ICH_LR0 + n]! >> 62n);

  beforeEach(() => {
    at(2, SecurityState.REALM);
    write("ICH_HCR_EL2", 1n);
    write("ICH_VMCR_EL2", 0xf8n << 24n);
    at(1, SecurityState.REALM);
    write("ICV_IGRPEN0_EL1", 1n);
    write("ICV_IGRPEN1_EL1", 1n);
  });

  test("ICH_VTR_EL2", () => {
    expect(read("ICH_VTR_EL2")).toBe(ICH_VTR);
    expect(ICH_VTR).toBe(0x9018_000fn);
  });

  test("the whole life of a virtual interrupt", () => {
    pe.r[R.ICH_LR0 + 3] = lr({ intid: 27 });
    expect(lines()).toBe(Line.VIRQ);
    expect(read("ICV_HPPIR1_EL1")).toBe(27n);
    expect(read("ICV_IAR1_EL1")).toBe(27n);
    expect([lrState(3), lines(), read("ICV_RPR_EL1"), read("ICV_AP1R0_EL1")]).toEqual([2, 0, 0x80n, 1n << 16n]);
    write("ICV_EOIR1_EL1", 27n);
    expect([lrState(3), read("ICV_RPR_EL1"), pe.r[R.ICH_AP1R0_EL2]]).toEqual([0, 0xffn, 0n]);
  });

  test.each([
    { name: "ICH_HCR.En clear", change: () => write("ICH_HCR_EL2", 0n) },
    { name: "group disabled", change: () => write("ICV_IGRPEN1_EL1", 0n) },
    { name: "masked by VPMR", change: () => write("ICV_PMR_EL1", 0x80n) },
  ])("not signalled: $name", ({ change }) => {
    pe.r[R.ICH_LR0] = lr({ intid: 27 });
    expect(lines()).toBe(Line.VIRQ);
    change();
    expect([lines(), read("ICV_IAR1_EL1"), lrState(0)]).toEqual([0, 1023n, 1]);
  });

  test("Group 0 is vFIQ and acknowledged by ICV_IAR0 alone", () => {
    pe.r[R.ICH_LR0] = lr({ intid: 40, group: 0 });
    expect(lines()).toBe(Line.VFIQ);
    expect(read("ICV_IAR1_EL1")).toBe(1023n);
    expect(read("ICV_IAR0_EL1")).toBe(40n);
    expect(pe.r[R.ICH_AP0R0_EL2]).toBe(1n << 16n);
  });

  test("the highest priority pending list register wins; active and pending does not count", () => {
    pe.r[R.ICH_LR0] = lr({ intid: 32, priority: 0x90 });
    pe.r[R.ICH_LR0 + 1] = lr({ intid: 33, priority: 0x40, state: 3 });
    pe.r[R.ICH_LR0 + 2] = lr({ intid: 34, priority: 0x60 });
    expect(read("ICV_IAR1_EL1")).toBe(34n);
    expect(read("ICV_IAR1_EL1")).toBe(1023n);
  });

  test("preemption by group priority: VBPR1 = 5 leaves bits 7:5", () => {
    write("ICV_BPR1_EL1", 5n);
    pe.r[R.ICH_LR0] = lr({ intid: 32, priority: 0x98 });
    expect(read("ICV_IAR1_EL1")).toBe(32n);
    pe.r[R.ICH_LR0 + 1] = lr({ intid: 33, priority: 0x80 });
    expect(lines()).toBe(0);
    pe.r[R.ICH_LR0 + 2] = lr({ intid: 34, priority: 0x78 });
    expect(lines()).toBe(Line.VIRQ);
  });

  test("pending and active: EOI leaves it pending", () => {
    pe.r[R.ICH_LR0] = lr({ intid: 32 });
    read("ICV_IAR1_EL1");
    pe.r[R.ICH_LR0] = lr({ intid: 32, state: 3 });
    write("ICV_EOIR1_EL1", 32n);
    expect([lrState(0), lines()]).toEqual([1, Line.VIRQ]);
  });

  test("VEOIM = 1: EOIR drops, DIR deactivates", () => {
    write("ICV_CTLR_EL1", 2n);
    expect(read("ICV_CTLR_EL1")).toBe(0x402n);
    pe.r[R.ICH_LR0] = lr({ intid: 32 });
    read("ICV_IAR1_EL1");
    write("ICV_EOIR1_EL1", 32n);
    expect([lrState(0), read("ICV_RPR_EL1")]).toEqual([2, 0xffn]);
    write("ICV_DIR_EL1", 32n);
    expect(lrState(0)).toBe(0);
  });

  test("HW = 1: deactivation reaches the physical interrupt", () => {
    gic.distributor.setActive(0, 27, true);
    pe.r[R.ICH_LR0] = lr({ intid: 27, hw: 1, pintid: 27 });
    read("ICV_IAR1_EL1");
    write("ICV_EOIR1_EL1", 27n);
    expect(gic.distributor.isActive(0, 27)).toBe(false);
  });

  test("a deactivation that finds no list register counts in EOIcount, LPIs do not", () => {
    pe.r[R.ICH_LR0] = lr({ intid: 32 });
    read("ICV_IAR1_EL1");
    pe.r[R.ICH_LR0] = 0n;
    write("ICV_EOIR1_EL1", 32n);
    expect(read("ICH_HCR_EL2") >> 27n).toBe(1n);
    write("ICV_EOIR1_EL1", 32n); // no active priority left
    expect(read("ICH_HCR_EL2") >> 27n).toBe(1n);
    write("ICV_CTLR_EL1", 2n);
    write("ICV_DIR_EL1", 33n);
    write("ICV_DIR_EL1", 8192n);
    expect(read("ICH_HCR_EL2") >> 27n).toBe(2n);
  });

  test("ICH_VMCR and the ICV registers are views of each other", () => {
    write("ICV_PMR_EL1", 0xffn);
    write("ICV_BPR0_EL1", 6n);
    write("ICV_BPR1_EL1", 1n);
    write("ICV_CTLR_EL1", 1n);
    expect(read("ICH_VMCR_EL2")).toBe(0xf8cc_001bn);
    expect(read("ICV_BPR1_EL1")).toBe(7n); // VCBPR: VBPR0 + 1
    write("ICH_VMCR_EL2", 0n);
    expect([read("ICV_PMR_EL1"), read("ICV_BPR0_EL1"), read("ICV_BPR1_EL1"), read("ICV_IGRPEN1_EL1")]).toEqual([
      0n,
      2n,
      3n,
      0n,
    ]);
    expect(read("ICH_VMCR_EL2")).toBe(0x004c_0008n);
  });

  test("a VMCR block-moved as zero behaves as one with the minimal binary points", () => {
    pe.r[R.ICH_VMCR_EL2] = 0xf800_0002n;
    pe.r[R.ICH_LR0] = lr({ intid: 32, priority: 0x80 });
    expect(read("ICV_IAR1_EL1")).toBe(32n);
    pe.r[R.ICH_LR0 + 1] = lr({ intid: 33, priority: 0x78 });
    expect(read("ICV_IAR1_EL1")).toBe(33n);
  });

  describe("maintenance", () => {
    const HCR = { UIE: 2n, LRENPIE: 4n, NPIE: 8n, VGrp0EIE: 16n, VGrp0DIE: 32n, VGrp1EIE: 64n, VGrp1DIE: 128n };
    test.each([
      { bit: "EOI", hcr: 0n, lrs: [lr({ intid: 32, state: 0, eoi: true })], misr: 1n },
      { bit: "no EOI while valid", hcr: 0n, lrs: [lr({ intid: 32, state: 2, eoi: true })], misr: 0n },
      { bit: "U with one valid", hcr: HCR.UIE, lrs: [lr({ intid: 32 })], misr: 2n },
      { bit: "no U with two valid", hcr: HCR.UIE, lrs: [lr({ intid: 32 }), lr({ intid: 33, state: 2 })], misr: 0n },
      { bit: "LRENP", hcr: HCR.LRENPIE | (1n << 27n), lrs: [], misr: 4n },
      { bit: "no LRENP with EOIcount 0", hcr: HCR.LRENPIE, lrs: [], misr: 0n },
      { bit: "NP", hcr: HCR.NPIE, lrs: [lr({ intid: 32, state: 2 })], misr: 8n },
      { bit: "no NP", hcr: HCR.NPIE, lrs: [lr({ intid: 32 })], misr: 0n },
      { bit: "VGrp0E", hcr: HCR.VGrp0EIE, lrs: [], vmcr: 1n, misr: 16n },
      { bit: "VGrp0D", hcr: HCR.VGrp0DIE, lrs: [], vmcr: 0n, misr: 32n },
      { bit: "VGrp1E", hcr: HCR.VGrp1EIE, lrs: [], vmcr: 2n, misr: 64n },
      { bit: "VGrp1D", hcr: HCR.VGrp1DIE, lrs: [], vmcr: 1n, misr: 128n },
    ])("$bit", ({ hcr, lrs, misr, ...row }) => {
      write("ICH_HCR_EL2", hcr | 1n);
      write("ICH_VMCR_EL2", "vmcr" in row ? (row.vmcr as bigint) : 3n);
      lrs.forEach((value, n) => {
        pe.r[R.ICH_LR0 + n] = value;
      });
      expect(read("ICH_MISR_EL2")).toBe(misr);
      lines();
      expect(gic.distributor.lineLevel(0, 25)).toBe(misr !== 0n);
      write("ICH_HCR_EL2", hcr);
      lines();
      expect(gic.distributor.lineLevel(0, 25)).toBe(false);
    });

    test("ICH_EISR and ICH_ELRSR", () => {
      pe.r[R.ICH_LR0] = lr({ intid: 32, state: 0, eoi: true });
      pe.r[R.ICH_LR0 + 1] = lr({ intid: 33 });
      pe.r[R.ICH_LR0 + 2] = lr({ intid: 34, state: 0, hw: 1, eoi: true });
      expect([read("ICH_EISR_EL2"), read("ICH_ELRSR_EL2")]).toEqual([1n, 0xfffcn]);
    });

    test("the maintenance interrupt is a physical PPI", () => {
      at(2, SecurityState.NON_SECURE);
      write("ICH_HCR_EL2", 1n | HCR.NPIE);
      expect(lines()).toBe(Line.IRQ);
      expect(read("ICC_IAR1_EL1")).toBe(25n);
    });
  });
});
