/** REC entry and exit: registers, exits, aborts, emulated accesses, traps, interrupts, timers, SIMD. */
import { EC, ESR, ICH_HCR_EL2, RmiRecExitReason, SPSR, sysregIss } from "@realmbox/abi";
import { GROUPS, R } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { Host, PAGE, type Realm, type TestRec, UNPROTECTED } from "../testing/realm.js";

const { RMI_EXIT_SYNC, RMI_EXIT_IRQ, RMI_EXIT_FIQ, RMI_EXIT_SERROR } = RmiRecExitReason;
const RW = (6n << 2n) | (3n << 6n);

function runnable(prepare: (realm: Realm) => void = () => {}): { realm: Realm; rec: TestRec } {
  const realm = new Host().realm();
  prepare(realm);
  const rec = realm.rec({ pc: 0x8000n, gprs: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] });
  realm.activate();
  return { realm, rec };
}

const running = (prepare?: (realm: Realm) => void) => {
  const made = runnable(prepare);
  made.rec.enter();
  return made;
};

describe("first entry", () => {
  test("state of DEN0137 and TF-RMM", () => {
    const { rec } = running();
    const { r } = rec.pe;
    expect(Array.from({ length: 31 }, (_, n) => rec.x(n))).toEqual([
      1n,
      2n,
      3n,
      4n,
      5n,
      6n,
      7n,
      8n,
      ...Array(23).fill(0n),
    ]);
    expect(r[R.ELR_EL2]).toBe(0x8000n);
    expect(r[R.SPSR_EL2]).toBe(0x3c5n);
    expect(r[R.SCTLR_EL1]).toBe(0x00c5_0878n);
    expect(r[R.MDSCR_EL1]).toBe(0x1000n);
    expect(r[R.VMPIDR_EL2]).toBe(0x8000_0000n);
  });

  test("EL2 controls", () => {
    const { rec, realm } = running();
    const { r } = rec.pe;
    // TF-RMM's value with TIDCP, which makes IMPLEMENTATION DEFINED registers trap.
    expect(r[R.HCR_EL2]).toBe(0x0000_4324_800c_043fn | (1n << 20n));
    // 33 bits of IPA from level 1; 48 bits of PA; 16-bit VMIDs.
    expect(r[R.VTCR_EL2]).toBe(0xc000_3500n | (64n - 33n) | (1n << 6n) | (5n << 16n) | (1n << 19n));
    expect(r[R.VTTBR_EL2]).toBe(realm.rttBase | (1n << 48n));
    expect(r[R.CPTR_EL2]).toBe(0x5000_0000n);
    expect(r[R.MDCR_EL2]).toBe(0x1082_0260n);
    expect(r[R.CNTHCTL_EL2]).toBe(0xc00n);
    expect(r[R.ICH_HCR_EL2]).toBe(0x8101n);
    expect(r[R.VPIDR_EL2]).toBe(0x410f_d0f0n);
  });

  test("WFI and WFE trap when the Host asks for it, for one entry", () => {
    const { rec } = runnable();
    rec.enter({ flags: 0xcn });
    expect(rec.pe.r[R.HCR_EL2]! & 0x6000n).toBe(0x6000n);
    rec.interrupt();
    rec.enter();
    expect(rec.pe.r[R.HCR_EL2]! & 0x6000n).toBe(0n);
  });
});

describe("worlds do not mix", () => {
  test("the Host's EL1 state comes back, the REC's stays with the REC", () => {
    const { rec } = runnable();
    const { r } = rec.pe;
    const el1 = Array.from({ length: GROUPS.EL1.count }, (_, i) => GROUPS.EL1.first + i);
    for (const slot of el1) r[slot] = BigInt(0x1000 + slot);
    rec.enter();
    for (const slot of el1) r[slot] = BigInt(0x2000 + slot);
    for (let n = 0; n < 31; n++) rec.set(n, BigInt(0x3000 + n));
    r[R.ELR_EL2] = 0x8888n;
    r[R.SPSR_EL2] = 0x6000_0000n;
    rec.interrupt();
    for (const slot of el1) expect(r[slot]).toBe(BigInt(0x1000 + slot));
    // The five results of RMI_REQ_COMPLETE; X4 is the Host's own.
    expect([1, 2, 3, 4, 5].map((n) => rec.x(n))).toEqual([0n, 0n, 0n, 0n, 0x5b5b_0003n]);

    const other = rec.realm.machine.pes[2]!;
    rec.enter({}, other);
    for (const slot of el1) expect(other.r[slot]).toBe(BigInt(0x2000 + slot));
    for (let n = 0; n < 31; n++) expect(rec.x(n)).toBe(BigInt(0x3000 + n));
    expect(other.r[R.ELR_EL2]).toBe(0x8888n);
    expect(other.r[R.SPSR_EL2]).toBe(0x6000_0000n);
  });

  test("SIMD: the Host's registers until first use, the REC's from then on, the Host's again after", () => {
    const { rec } = runnable();
    const { r } = rec.pe;
    const fp = Array.from({ length: GROUPS.FP.count }, (_, i) => GROUPS.FP.first + i);
    for (const slot of fp) r[slot] = 0x11n;
    rec.enter();
    expect(r[R.CPTR_EL2]! & 0x30_0000n).toBe(0n);
    expect(rec.trap({ esr: ESR.EC.of(EC.FP) | ESR.IL.mask })).toBeUndefined();
    expect(rec.pc).toBe(0x8000n); // executed again
    expect(r[R.CPTR_EL2]! & 0x30_0000n).toBe(0x30_0000n);
    for (const slot of fp) expect(r[slot]).toBe(0n);
    for (const slot of fp) r[slot] = 0x22n;
    rec.interrupt();
    for (const slot of fp) expect(r[slot]).toBe(0x11n);
    rec.enter();
    for (const slot of fp) expect(r[slot]).toBe(0x11n);
    rec.trap({ esr: ESR.EC.of(EC.FP) | ESR.IL.mask });
    for (const slot of fp) expect(r[slot]).toBe(0x22n);
  });

  test("RmiRecExit outside the fields of the exit is zero, the enter half is not written", () => {
    const { rec } = runnable();
    rec.enter({ gprs: Array(31).fill(0xaan) });
    const page = rec.realm.machine.page(rec.run);
    const enter = page.slice(0, 0x800);
    page.fill(0xff, 0x800);
    rec.interrupt();
    expect(page.slice(0, 0x800)).toEqual(enter);
    page[0x800] = 0; // exit_reason
    page.fill(0, 0xb00, 0xc20); // GIC and timers
    expect(page.slice(0x800).every((byte) => byte === 0)).toBe(true);
  });

  test("a run page that was delegated while the REC ran: RMI_ERROR_INPUT, nothing written, the REC keeps its state", () => {
    const { rec, realm } = running();
    realm.machine.page(rec.run).fill(0);
    realm.machine.ok("RMI_GRANULE_DELEGATE", rec.run);
    rec.set(9, 99n);
    expect(rec.interrupt()).toMatchObject({ status: "RMI_ERROR_INPUT" });
    expect(realm.machine.page(rec.run).every((byte) => byte === 0)).toBe(true);
    realm.machine.ok("RMI_GRANULE_UNDELEGATE", rec.run);
    rec.enter();
    expect(rec.x(9)).toBe(99n);
  });
});

describe("asynchronous exits", () => {
  test.each([
    ["irq", RMI_EXIT_IRQ],
    ["fiq", RMI_EXIT_FIQ],
  ] as const)("%s", (vector, reason) => {
    const { rec } = running();
    rec.interrupt(vector);
    expect(rec.exit).toMatchObject({ exit_reason: reason, esr: 0n, far: 0n, hpfar: 0n });
    expect(rec.exit.gprs.every((value) => value === 0n)).toBe(true);
  });

  test("an SError that concerns the Realm is injected at its next entry, once it is due", () => {
    const { rec } = running();
    rec.pe.r[R.ESR_EL2] = ESR.EC.of(EC.SERROR) | ESR.IL.mask | (3n << 10n) | 0x11n; // UER
    rec.interrupt("serror");
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SERROR, esr: 0xbc00_0c11n });
    rec.enter();
    expect(rec.pe.r[R.HCR_EL2]! & 0x100n).toBe(0x100n);
    expect(rec.pe.r[R.VSESR_EL2]).toBe(((1n << 25n) & 0x1ff_ffffn) | 0xc11n);
    rec.interrupt();
    rec.enter(); // not taken yet: still due
    expect(rec.pe.r[R.HCR_EL2]! & 0x100n).toBe(0x100n);
    rec.pe.r[R.HCR_EL2]! &= ~0x100n; // the hardware clears VSE as EL1 takes it
    rec.interrupt();
    rec.enter();
    expect(rec.pe.r[R.HCR_EL2]! & 0x100n).toBe(0n);
  });
});

/** What the Realm's EL1 sees of an injected exception. */
const injected = (rec: TestRec) => {
  const { r } = rec.pe;
  return {
    esr: r[R.ESR_EL1],
    far: r[R.FAR_EL1],
    elr: r[R.ELR_EL1],
    spsr: r[R.SPSR_EL1],
    pc: r[R.ELR_EL2],
    pstate: r[R.SPSR_EL2],
  };
};

describe("aborts", () => {
  const DA = 0x9000_0007n; // EC 0x24, DFSC translation fault level 3
  const IA = 0x8000_0007n;
  const SEA_DATA = ESR.EC.of(EC.DATA_ABORT_SAME) | ESR.IL.mask | 0x210n;
  const SEA_FETCH = ESR.EC.of(EC.INSTRUCTION_ABORT_SAME) | ESR.IL.mask | 0x210n;

  test("protected, RAM, no page: exit", () => {
    const { rec } = running((realm) => realm.ram(PAGE));
    rec.dataAbort(PAGE, { far: 0x1234n });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: DA, far: 0n, hpfar: PAGE >> 8n });
    rec.enter();
    rec.fetchAbort(PAGE);
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: IA, far: 0n, hpfar: PAGE >> 8n });
    rec.enter();
    expect(rec.pc).toBe(0x8000n); // not advanced
  });

  test("protected, DESTROYED: exit, with or without a page", () => {
    const { rec, realm } = running((realm) => realm.data(PAGE));
    realm.machine.rmiOn(1, 0xc400_0155n, [realm.rd, PAGE]);
    rec.dataAbort(PAGE);
    expect(rec.exit.esr).toBe(DA);
    realm.machine.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, realm.host.delegated(), PAGE);
    rec.enter().dataAbort(PAGE);
    expect(rec.exit.esr).toBe(DA);
  });

  test("protected, EMPTY: SEA to the Realm, data and instruction", () => {
    const { rec } = running();
    rec.pe.r[R.VBAR_EL1] = 0x4000n;
    expect(rec.dataAbort(0x7000n, { write: true, far: 0xffff_8000_0000_7008n })).toBeUndefined();
    expect(injected(rec)).toEqual({
      esr: SEA_DATA | 0x40n,
      far: 0xffff_8000_0000_7008n,
      elr: 0x8000n,
      spsr: 0x3c5n,
      pc: 0x4200n,
      pstate: 0x3c5n,
    });
    expect(rec.fetchAbort(0x7000n)).toBeUndefined();
    expect(injected(rec)).toMatchObject({ esr: SEA_FETCH, elr: 0x4200n });
  });

  test("protected and mapped by now: made again", () => {
    const { rec } = running((realm) => realm.data(PAGE));
    expect(rec.dataAbort(PAGE)).toBeUndefined();
    expect(rec.pc).toBe(0x8000n);
  });

  test("unprotected, instruction: SEA to the Realm", () => {
    const { rec } = running();
    expect(rec.fetchAbort(UNPROTECTED)).toBeUndefined();
    expect(injected(rec).esr).toBe(SEA_FETCH);
  });

  test("unprotected, data, ISV: emulatable exit", () => {
    const { rec } = running();
    rec.set(3, 0x1122_3344_5566_7788n);
    rec.dataAbort(UNPROTECTED, { write: true, srt: 3, far: 0xffff_0001_0000_0abcn });
    // EC, ISV, SAS 3, SF, WnR, DFSC; neither IL nor SRT.
    expect(rec.exit).toMatchObject({
      exit_reason: RMI_EXIT_SYNC,
      esr: 0x91c0_8047n,
      far: 0xabcn,
      hpfar: UNPROTECTED >> 8n,
    });
    expect(rec.exit.gprs[0]).toBe(0x1122_3344_5566_7788n);
    expect(rec.exit.gprs.slice(1).every((value) => value === 0n)).toBe(true);
  });

  test("unprotected, data, ISV, load: no register shown", () => {
    const { rec } = running();
    rec.set(0, 0x5ec7e7n);
    rec.dataAbort(UNPROTECTED);
    expect(rec.exit.gprs[0]).toBe(0n);
  });

  test("unprotected, data, no ISV: exit, nothing of the access shown", () => {
    const { rec } = running();
    rec.set(0, 0x5ec7e7n);
    rec.dataAbort(UNPROTECTED, { isv: false, write: true, far: 0x123n });
    expect(rec.exit).toMatchObject({ esr: DA, far: 0n, hpfar: UNPROTECTED >> 8n });
    expect(rec.exit.gprs[0]).toBe(0n);
  });

  test("beyond the IPA width: Address Size Fault to the Realm", () => {
    const { rec } = running();
    expect(rec.dataAbort(1n << 33n, { far: 0x2_0000_0000n })).toBeUndefined();
    expect(injected(rec)).toMatchObject({ esr: ESR.EC.of(EC.DATA_ABORT_SAME) | ESR.IL.mask, far: 0x2_0000_0000n });
    expect(rec.fetchAbort(1n << 40n)).toBeUndefined();
    expect(injected(rec).esr).toBe(ESR.EC.of(EC.INSTRUCTION_ABORT_SAME) | ESR.IL.mask);
  });

  test("an external abort is injected and reported", () => {
    const { rec } = running((realm) => realm.data(PAGE));
    rec.trap({ esr: 0x9200_0010n, far: 0x1000n, ipa: PAGE });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x9000_0010n, hpfar: 0n });
    rec.enter();
    expect(injected(rec)).toMatchObject({ esr: SEA_DATA, elr: 0x8000n });
  });
});

describe("injected exceptions", () => {
  test.each([
    ["EL1h", 0x5n, 0x200n, EC.DATA_ABORT_SAME],
    ["EL1t", 0x4n, 0x000n, EC.DATA_ABORT_SAME],
    ["EL0", 0x0n, 0x400n, EC.DATA_ABORT_LOWER],
  ] as const)("from %s", (_, mode, offset, ec) => {
    const { rec } = running();
    const { r } = rec.pe;
    r[R.VBAR_EL1] = 0x10_0000n;
    r[R.SPSR_EL2] = 0x6000_0000n | SPSR.UAO.mask | SPSR.IL.mask | SPSR.BTYPE.mask | SPSR.SS.mask | mode;
    rec.dataAbort(0x7000n);
    expect(r[R.ELR_EL2]).toBe(0x10_0000n + offset);
    expect(ESR.EC.get(r[R.ESR_EL1]!)).toBe(BigInt(ec));
    expect(r[R.SPSR_EL2]).toBe(0x6000_03c5n); // NZCV kept; IL, SS, BTYPE, UAO cleared; SPAN is set
  });

  test("PSTATE.PAN is set when SCTLR_EL1.SPAN is 0, else kept; SSBS comes from DSSBS", () => {
    const { rec } = running();
    const { r } = rec.pe;
    r[R.SCTLR_EL1] = 1n << 44n;
    rec.dataAbort(0x7000n);
    expect(r[R.SPSR_EL2]).toBe(0x3c5n | SPSR.PAN.mask | SPSR.SSBS.mask);
    r[R.SCTLR_EL1] = 1n << 23n;
    rec.dataAbort(0x7000n);
    expect(r[R.SPSR_EL2]).toBe(0x3c5n | SPSR.PAN.mask);
  });

  test("HVC: Undefined at the instruction itself", () => {
    const { rec } = running();
    rec.pe.r[R.ELR_EL2] = 0x8004n; // after the HVC
    expect(rec.trap({ esr: ESR.EC.of(EC.HVC64) | ESR.IL.mask })).toBeUndefined();
    expect(injected(rec)).toMatchObject({ esr: ESR.IL.mask, elr: 0x8000n, pc: 0x200n });
  });

  test.each([
    ["SVE", EC.SVE],
    ["SME", EC.SME],
  ] as const)("%s: Undefined", (_, ec) => {
    const { rec } = running();
    expect(rec.trap({ esr: ESR.EC.of(ec) | ESR.IL.mask })).toBeUndefined();
    expect(injected(rec)).toMatchObject({ esr: ESR.IL.mask, elr: 0x8000n });
  });
});

describe("emulated accesses", () => {
  const ISS = {
    byte: 0n,
    half: 1n << 22n,
    word: 2n << 22n,
    double: 3n << 22n,
    SSE: 1n << 21n,
    SF: 1n << 15n,
    ISV: 1n << 24n,
  };
  test.each([
    ["unsigned byte", ISS.byte, 0xffff_ff81n, 0x81n],
    ["signed byte to X", ISS.byte | ISS.SSE | ISS.SF, 0x81n, 0xffff_ffff_ffff_ff81n],
    ["signed byte to W", ISS.byte | ISS.SSE, 0x81n, 0xffff_ff81n],
    ["unsigned half", ISS.half, 0x1_8001n, 0x8001n],
    ["signed half to W", ISS.half | ISS.SSE, 0x8001n, 0xffff_8001n],
    ["word", ISS.word, 0x1_8000_0001n, 0x8000_0001n],
    ["signed word to X", ISS.word | ISS.SSE | ISS.SF, 0x8000_0001n, 0xffff_ffff_8000_0001n],
    ["double", ISS.double | ISS.SF, 0x8765_4321_1234_5678n, 0x8765_4321_1234_5678n],
  ])("load, %s", (_, iss, given, expected) => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED, { isv: false, iss: ISS.ISV | iss | (9n << 16n) });
    rec.enter({ flags: 1n, gprs: [given] });
    expect(rec.x(9)).toBe(expected);
    expect(rec.pc).toBe(0x8004n);
  });

  test.each([
    ["byte", ISS.byte, 0x88n],
    ["half", ISS.half, 0x7788n],
    ["word", ISS.word, 0x5566_7788n],
  ])("store, %s: cut to the access", (_, iss, expected) => {
    const { rec } = running();
    rec.set(9, 0x1122_3344_5566_7788n);
    rec.dataAbort(UNPROTECTED, { isv: false, write: true, iss: ISS.ISV | iss | (9n << 16n) });
    expect(rec.exit.gprs[0]).toBe(expected);
    rec.enter({ flags: 1n, gprs: [0xbadn] });
    expect(rec.x(9)).toBe(0x1122_3344_5566_7788n);
    expect(rec.pc).toBe(0x8004n);
  });

  test("XZR", () => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED, { srt: 31, write: true });
    expect(rec.exit.gprs[0]).toBe(0n);
    rec.enter({ flags: 1n });
    rec.dataAbort(UNPROTECTED, { srt: 31 });
    rec.enter({ flags: 1n, gprs: [5n] });
    expect(rec.pc).toBe(0x8008n);
    expect(rec.pe.r[R.XZR]).toBe(0n);
  });

  test("without the flag the access is made again; a second entry cannot complete it", () => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED);
    rec.enter();
    expect(rec.pc).toBe(0x8000n);
    rec.interrupt();
    expect(rec.tryEnter({ flags: 1n })).toMatchObject({ condition: "rec_mmio" });
  });

  test("a refused entry can be repeated", () => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED, { srt: 4 });
    expect(rec.tryEnter({ flags: 1n, gicv3_hcr: 1n })).toMatchObject({ condition: "rec_gicv3" });
    rec.enter({ flags: 1n, gprs: [7n] });
    expect(rec.x(4)).toBe(7n);
  });

  test("inject_sea wins over emul_mmio, and uses the remembered address", () => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED, { write: true, far: 0xffff_1234_5678_9abcn });
    rec.enter({ flags: 3n });
    expect(injected(rec)).toMatchObject({
      esr: ESR.EC.of(EC.DATA_ABORT_SAME) | ESR.IL.mask | 0x250n,
      far: 0xffff_1234_5678_9abcn,
      elr: 0x8000n,
    });
    expect(rec.pc).toBe(0x200n);
  });

  test("inject_sea applies to an abort that is not emulatable", () => {
    const { rec } = running();
    rec.dataAbort(UNPROTECTED, { isv: false });
    rec.enter({ flags: 2n });
    expect(injected(rec).elr).toBe(0x8000n);
  });
});

describe("system registers", () => {
  const sysreg = (rec: TestRec, name: number, options: { read: boolean; rt: number }) =>
    rec.trap({
      esr: ESR.EC.of(EC.SYSREG64) | ESR.IL.mask | BigInt(name) | (BigInt(options.rt) << 5n) | (options.read ? 1n : 0n),
    });
  const read = (rec: TestRec, name: number) => {
    expect(sysreg(rec, name, { read: true, rt: 3 })).toBeUndefined();
    return rec.x(3);
  };

  test("ID registers: without what a Realm lacks, with its breakpoints", () => {
    const { rec } = running();
    expect(read(rec, sysregIss(3, 0, 0, 5, 0))).toBe(0x10_1006n);
    expect(rec.pc).toBe(0x8004n);
    expect(read(rec, sysregIss(3, 0, 0, 7, 0))).toBe(5n);
    expect(read(rec, sysregIss(3, 0, 0, 4, 5))).toBe(0n); // ID_AA64SMFR0_EL1
    expect(read(rec, sysregIss(3, 0, 0, 1, 0))).toBe(0n); // AArch32
    expect(read(rec, sysregIss(3, 0, 0, 7, 7))).toBe(0n);
  });

  test("XZR as target, debug channel and PMU registers: read as zero, writes ignored", () => {
    const { rec } = running();
    rec.set(3, 5n);
    expect(sysreg(rec, sysregIss(2, 0, 0, 2, 0), { read: false, rt: 3 })).toBeUndefined(); // MDCCINT_EL1
    expect(rec.x(3)).toBe(5n);
    expect(read(rec, sysregIss(3, 3, 9, 12, 0))).toBe(0n); // PMCR_EL0
    expect(sysreg(rec, sysregIss(3, 0, 0, 7, 0), { read: true, rt: 31 })).toBeUndefined();
    expect(rec.pe.r[R.XZR]).toBe(0n);
    expect(rec.pc).toBe(0x800cn);
  });

  test("MDSCR_EL1, breakpoints and watchpoints are the Realm's; in the PE while MDE is set", () => {
    const { rec } = running();
    const { r } = rec.pe;
    const MDE = 1n << 15n;
    const write = (name: number, value: bigint) => {
      rec.set(3, value);
      expect(sysreg(rec, name, { read: false, rt: 3 })).toBeUndefined();
    };
    const [MDSCR, BVR1, BCR1, WVR0, WCR0] = [
      sysregIss(2, 0, 0, 2, 2),
      ...[4, 5].map((op2) => sysregIss(2, 0, 0, 1, op2)),
      ...[6, 7].map((op2) => sysregIss(2, 0, 0, 0, op2)),
    ] as const;
    r[R.DBGBVR1] = 0x1000n; // the Host's
    write(BVR1!, 0xffff_8000_0000_1003n);
    write(BCR1!, 0x1_0000_01e5n);
    write(WVR0!, 0x2000n);
    expect(r[R.DBGBVR1]).toBe(0x1000n);
    expect(read(rec, BVR1!)).toBe(0xffff_8000_0000_1000n);
    expect(read(rec, BCR1!)).toBe(0x1e5n);

    write(MDSCR, MDE | 1n);
    expect(read(rec, MDSCR)).toBe(MDE | 1n);
    expect([r[R.DBGBVR1], r[R.DBGBCR1], r[R.DBGWVR0]]).toEqual([0xffff_8000_0000_1000n, 0x1e5n, 0x2000n]);
    write(WCR0!, 0x1fn);
    expect(r[R.DBGWCR0]).toBe(0x1fn);

    // The Host has its own while the REC does not run.
    rec.interrupt("irq");
    expect([r[R.DBGBVR1], r[R.DBGBCR1], r[R.DBGWVR0], r[R.DBGWCR0]]).toEqual([0x1000n, 0n, 0n, 0n]);
    r[R.DBGBCR0] = 7n;
    rec.enter();
    expect([r[R.DBGBVR1], r[R.DBGBCR0], r[R.DBGWCR0]]).toEqual([0xffff_8000_0000_1000n, 0n, 0x1fn]);
    write(MDSCR, 1n);
    expect([r[R.DBGBVR1], r[R.DBGBCR0], r[R.DBGWCR0]]).toEqual([0x1000n, 7n, 0n]);
    expect(read(rec, WCR0!)).toBe(0x1fn);

    // There are two of each.
    write(sysregIss(2, 0, 0, 2, 4), 0x3000n);
    expect(read(rec, sysregIss(2, 0, 0, 2, 4))).toBe(0n);
  });

  test("an access that traps is a step that is done", () => {
    const { rec } = running();
    const SS = 1n << 21n;
    rec.pe.r[R.SPSR_EL2]! |= SS;
    read(rec, sysregIss(3, 0, 0, 5, 0));
    expect(rec.pe.r[R.SPSR_EL2]! & SS).toBe(0n);
  });

  test("IMPLEMENTATION DEFINED: Undefined", () => {
    const { rec } = running();
    expect(sysreg(rec, sysregIss(3, 1, 15, 2, 0), { read: true, rt: 3 })).toBeUndefined();
    expect(injected(rec)).toMatchObject({ esr: ESR.IL.mask, elr: 0x8000n });
  });

  test.each([
    ["ICC_SGI1R_EL1", sysregIss(3, 0, 12, 11, 5), 0x623a_3016n],
    ["ICC_SGI0R_EL1", sysregIss(3, 0, 12, 11, 7), 0x623e_3016n],
    ["ICC_ASGI1R_EL1", sysregIss(3, 0, 12, 11, 6), 0x623c_3016n],
    ["ICC_DIR_EL1", sysregIss(3, 0, 12, 11, 1), 0x6232_3016n],
  ])("%s: exit with the value", (_, name, esr) => {
    const { rec } = running();
    rec.set(0, 0x1_0001n);
    sysreg(rec, name, { read: false, rt: 0 });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr });
    expect(rec.exit.gprs[0]).toBe(0x1_0001n);
    rec.enter();
    expect(rec.pc).toBe(0x8004n);
  });

  test("a trapped read gets the Host's value at the next entry", () => {
    const { rec } = running();
    sysreg(rec, sysregIss(3, 0, 12, 12, 3), { read: true, rt: 7 });
    expect(rec.exit.gprs[0]).toBe(0n);
    rec.enter({ gprs: [0x77n] });
    expect([rec.x(7), rec.pc]).toEqual([0x77n, 0x8004n]);
  });
});

describe("waiting", () => {
  test.each([
    ["WFI", 0n, 0n],
    ["WFE", 1n, 0n],
    ["WFIT", 2n, 0x1234n],
    ["WFET", 3n, 0x1234n],
  ])("%s", (_, ti, timeout) => {
    const { rec } = runnable();
    rec.enter({ flags: 0xcn });
    rec.set(6, 0x1234n);
    rec.trap({ esr: ESR.EC.of(EC.WFX) | ESR.IL.mask | (6n << 5n) | (1n << 2n) | ti });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x0400_0000n | ti });
    expect(rec.exit.gprs[0]).toBe(timeout);
    rec.enter();
    expect(rec.pc).toBe(0x8004n);
  });
});

describe("virtual interrupts", () => {
  const PENDING = (1n << 62n) | (1n << 60n) | (0xa0n << 48n);
  test("list registers and the Host's control bits go in and come out", () => {
    const { rec } = runnable();
    const { r } = rec.pe;
    rec.enter({ gicv3_hcr: 0x40fen, gicv3_lrs: [PENDING | 27n, PENDING | 40n, 0n, PENDING | 8192n, PENDING | 99n] });
    expect(r[R.ICH_HCR_EL2]).toBe(0x8101n | 0x40fen);
    expect([0, 1, 2, 3, 4].map((n) => r[R.ICH_LR0 + n])).toEqual([
      PENDING | 27n,
      PENDING | 40n,
      0n,
      PENDING | 8192n,
      0n,
    ]);
    r[R.ICH_LR0] = 0n; // served
    r[R.ICH_LR0 + 1] = (2n << 62n) | 40n; // active
    r[R.ICH_VMCR_EL2] = 0xf0n << 24n;
    r[R.ICH_HCR_EL2]! |= 3n << 27n; // EOIcount
    rec.interrupt();
    const { exit } = rec;
    expect(exit.gicv3_lrs.slice(0, 5)).toEqual([0n, (2n << 62n) | 40n, 0n, PENDING | 8192n, 0n]);
    // VFIQEn is RES1 with system registers alone; the binary points read as their least values.
    expect(exit.gicv3_vmcr).toBe((0xf0n << 24n) | (2n << 21n) | (3n << 18n) | 8n);
    expect(exit.gicv3_hcr).toBe((3n << 27n) | 0x40fen);
    expect(ICH_HCR_EL2.EN.get(r[R.ICH_HCR_EL2]!)).toBe(0n);
    rec.enter();
    expect(r[R.ICH_VMCR_EL2]).toBe(0xf0n << 24n); // the REC's own
    expect(r[R.ICH_HCR_EL2]).toBe(0x8101n | (3n << 27n));
  });

  test("entries of state inactive are not looked at", () => {
    const { rec } = runnable();
    rec.enter({ gicv3_lrs: [(1n << 61n) | 1023n, 0x1fffn << 32n] });
    expect(rec.pe.r[R.ICH_LR0]).toBe((1n << 61n) | 1023n);
  });
});

describe("timers", () => {
  const CTL = { off: 0n, enabled: 1n, asserted: 5n, masked: 7n };
  const CNTVMASK = 1n << 18n;
  const CNTPMASK = 1n << 19n;

  test("an output that is asserted while the REC is out: the Host learns of it first, then the REC runs with it masked", () => {
    const { rec, realm } = running();
    rec.pe.r[R.CNTV_CTL_EL0] = CTL.enabled;
    rec.pe.r[R.CNTV_CVAL_EL0] = 1000n;
    realm.machine.timers.CNTV = CTL.enabled;
    rec.interrupt();
    expect(rec.exit).toMatchObject({ cntv_ctl: 1n, cntv_cval: 1000n });
    realm.machine.timers.CNTV = CTL.asserted;
    expect(rec.tryEnter()).toMatchObject({ status: "RMI_SUCCESS" });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_IRQ, cntv_ctl: 5n, esr: 0n });
    rec.enter();
    expect(rec.pe.r[R.CNTHCTL_EL2]).toBe(0xc00n | CNTVMASK);

    // The Realm re-arms it: the output drops, and the next trap tells the Host.
    realm.machine.timers.CNTV = CTL.enabled;
    expect(rec.smc(0x8000_0000n)).toMatchObject({ status: "RMI_SUCCESS" });
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_IRQ, cntv_ctl: 1n });
    rec.enter();
    expect(rec.x(0)).toBe(0x1_0002n); // the call's result was not lost
    expect(rec.pe.r[R.CNTHCTL_EL2]).toBe(0xc00n);
  });

  test("IMASK: not asserted; the physical timer likewise", () => {
    const { rec, realm } = running();
    rec.pe.r[R.CNTV_CTL_EL0] = 3n;
    rec.pe.r[R.CNTP_CTL_EL0] = 1n;
    realm.machine.timers.CNTV = CTL.masked;
    realm.machine.timers.CNTP = CTL.asserted;
    rec.interrupt();
    expect(rec.exit).toMatchObject({ cntv_ctl: 7n, cntp_ctl: 5n });
    rec.enter();
    expect(rec.pe.r[R.CNTHCTL_EL2]).toBe(0xc00n | CNTPMASK);
  });
});

test("an exception class that nothing is configured to trap: exit without a reason given", () => {
  const { rec } = running();
  rec.trap({ esr: ESR.EC.of(EC.BRK64) | ESR.IL.mask | 7n });
  expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0n });
});

test("a mapping of the Host's that is not the Host's is the GPT's business: RMI_RTT_MAP_UNPROTECTED takes any PA", () => {
  const { realm } = runnable((r) => void r.tables(UNPROTECTED));
  realm.machine.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, UNPROTECTED, 3n, realm.rd | RW);
});
