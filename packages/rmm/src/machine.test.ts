/** The RMM on the real machine under the Root Monitor: Realms that run, and what translation and GPC enforce. */
import { Pas, PSCI_FID, RMI_FID, RmiRecExitReason, RSI_FID } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import * as a from "../../host/src/asm.oracle.js";
import { RealMachine } from "./testing/real.js";
import { BLOCK, Host, PAGE, Realm, type RealmParams, TestRec, UNPROTECTED } from "./testing/realm.js";

const CODE = 0x1000n;
const DATA = 0x2000n;
const { RMI_EXIT_SYNC, RMI_EXIT_IRQ, RMI_EXIT_PSCI, RMI_EXIT_HOST_CALL, RMI_EXIT_RIPAS_CHANGE } = RmiRecExitReason;
const RW = (6n << 2n) | (3n << 6n);

const smc = (fid: bigint, ...args: (bigint | number)[]) => [
  ...args.flatMap((value, i) => a.mov(i + 1, value)),
  ...a.mov(0, fid),
  a.smc(),
];
const HOST_CALL = smc(RSI_FID.RSI_HOST_CALL, DATA);
const OFF = smc(PSCI_FID.PSCI_SYSTEM_OFF);
type Code = Parameters<typeof a.program>;

/** A Realm that runs `code` at 0x1000 with a page of RAM at 0x2000. */
function realmWith(code: Code, options: { params?: RealmParams; pes?: number } = {}) {
  const real = new RealMachine({ pes: options.pes ?? 1 });
  const host = new Host(real);
  const realm = host.realm(options.params);
  const image = a.program(...code);
  const codePage = realm.data(CODE, new Uint8Array([...image, ...new Uint8Array(4096 - image.length)]));
  const dataPage = realm.data(DATA);
  return { real, host, realm, codePage, dataPage };
}
function activeRealmWith(...args: Parameters<typeof realmWith>) {
  const made = realmWith(...args);
  const rec = made.realm.rec({ pc: CODE });
  made.realm.activate();
  return { ...made, rec };
}

test("a Realm runs, calls the Host, and goes off", () => {
  const { rec, real, dataPage } = activeRealmWith([
    a.mov(9, DATA),
    a.mov(10, 0x77),
    a.str(10, 9, 8, 0x100), // gprs[31]: beyond the structure
    a.mov(10, 0x1234),
    a.str(10, 9, 2, 0), // imm
    a.mov(10, 0xabcdn),
    a.str(10, 9, 8, 8), // gprs[0]
    HOST_CALL,
    a.ldr(11, 9, 8, 8), // the Host's answer
    a.str(11, 9, 8, 0x200),
    OFF,
  ]);
  expect(rec.runUntilExit()).toMatchObject({ exit_reason: RMI_EXIT_HOST_CALL, imm: 0x1234 });
  expect(rec.exit.gprs[0]).toBe(0xabcdn);
  expect(rec.runUntilExit({ gprs: [0x5555n] })).toMatchObject({ exit_reason: RMI_EXIT_PSCI });
  expect(new DataView(real.page(dataPage).slice().buffer).getBigUint64(0x200, true)).toBe(0x5555n);
  expect(rec.tryEnter()).toMatchObject({ condition: "system_off" });
});

test("what a Realm sees of itself: configuration, ID registers, MPIDR", () => {
  const { rec, real, dataPage } = activeRealmWith([
    smc(RSI_FID.RSI_REALM_CONFIG, DATA),
    a.mov(9, DATA),
    a.str(0, 9, 8, 0x800),
    a.mrs(1, a.SYS.MPIDR_EL1),
    a.str(1, 9, 8, 0x808),
    a.mrs(1, a.SYS.ID_AA64PFR0_EL1),
    a.str(1, 9, 8, 0x810),
    a.mrs(1, [3, 0, 0, 5, 0]), // ID_AA64DFR0_EL1
    a.str(1, 9, 8, 0x818),
    OFF,
  ]);
  expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  const view = new DataView(real.page(dataPage).slice().buffer);
  const at = (offset: number) => view.getBigUint64(offset, true);
  expect(at(0)).toBe(33n);
  expect(at(0x800)).toBe(0n);
  expect(at(0x808)).toBe(0x8000_0000n);
  expect(at(0x810) & 0xffffn).toBe(0x1111n); // EL0 to EL3, AArch64
  expect((at(0x818) >> 12n) & 0xfn).toBe(1n); // two breakpoints
  expect((at(0x818) >> 8n) & 0xfn).toBe(0n); // no PMU
});

describe("memory", () => {
  test("RAM without a page: exit, the Host gives a page, the access is made again and reads zero", () => {
    const { rec, real, realm, host } = realmWithRam();
    const exit = rec.runUntilExit();
    expect(exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x9000_0007n, hpfar: 0x3000n >> 8n, far: 0n });
    const page = host.ns();
    real.page(page).fill(0xee); // what the Host leaves in it is not the Realm's
    real.ok("RMI_GRANULE_DELEGATE", page);
    real.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, page, 0x3000n);
    expect(rec.runUntilExit().gprs[0]).toBe(PSCI_FID.PSCI_SYSTEM_OFF);
  });
  function realmWithRam() {
    const made = realmWith([a.mov(9, 0x3000), a.ldr(3, 9), a.cbnz(3, "wrong"), OFF, a.label("wrong"), a.UDF]);
    made.realm.ram(0x3000n);
    const rec = made.realm.rec({ pc: CODE });
    made.realm.activate();
    return { ...made, rec };
  }

  test("a page that the Host destroys: the next access is an exit for good, and the content is gone", () => {
    const { rec, real, realm, dataPage } = activeRealmWith([
      a.mov(9, DATA),
      a.mov(10, 0x5ec7e7),
      a.str(10, 9, 8, 0x400),
      HOST_CALL,
      a.ldr(10, 9, 8, 0x400),
      OFF,
    ]);
    rec.runUntilExit();
    // The answer of the host call needs the page too: the Realm does not run without it.
    expect(real.ok("RMI_DATA_DESTROY", realm.rd, DATA)[0]).toBe(dataPage);
    expect(real.page(dataPage).every((byte) => byte === 0)).toBe(true);
    real.ok("RMI_GRANULE_UNDELEGATE", dataPage);
    for (let i = 0; i < 2; i++) expect(rec.runUntilExit()).toMatchObject({ esr: 0x9000_0007n, hpfar: DATA >> 8n });
  });

  test("EMPTY: a Synchronous External Abort in the Realm, data and fetch, without an exit", () => {
    const { rec, real, dataPage } = activeRealmWith([
      a.adr(1, "vectors"),
      a.msr(a.SYS.VBAR_EL1, 1),
      a.mov(9, 0x7000),
      a.ldr(3, 9),
      a.org(0x800),
      a.label("vectors"),
      a.org(0x800 + 0x200),
      a.mov(9, DATA),
      a.mrs(1, a.SYS.ESR_EL1),
      a.mrs(2, a.SYS.FAR_EL1),
      a.str(1, 9, 8, 0x400),
      a.str(2, 9, 8, 0x408),
      OFF,
    ]);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    const view = new DataView(real.page(dataPage).slice().buffer);
    expect(view.getBigUint64(0x400, true)).toBe(0x9600_0210n);
    expect(view.getBigUint64(0x408, true)).toBe(0x7000n);
  });

  test("shared memory: reads and writes of the Host's page; never executable", () => {
    const { rec, real, realm, host } = activeRealmWith([
      a.mov(9, UNPROTECTED),
      a.ldr(10, 9),
      a.addImm(10, 10, 1),
      a.str(10, 9, 8, 8),
      OFF,
    ]);
    const page = host.ns();
    real.write(page, new Uint8Array(new BigUint64Array([41n]).buffer));
    realm.tables(UNPROTECTED);
    real.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, UNPROTECTED, 3n, page | RW);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    expect(new BigUint64Array(real.page(page).slice().buffer)[1]).toBe(42n);
  });

  test("an unprotected mapping of Realm memory of another Realm: a granule protection fault, nothing read", () => {
    const { rec, real, realm, host, dataPage } = activeRealmWith([
      a.adr(1, "vectors"),
      a.msr(a.SYS.VBAR_EL1, 1),
      a.mov(9, UNPROTECTED),
      a.mov(10, 0),
      a.ldr(10, 9),
      a.org(0x800),
      a.label("vectors"),
      a.org(0x800 + 0x200),
      a.mov(9, DATA),
      a.mrs(1, a.SYS.ESR_EL1),
      a.str(1, 9, 8, 0x400),
      a.str(10, 9, 8, 0x408),
      OFF,
    ]);
    const other = host.realm({ vmid: 2 });
    const secret = other.data(0n, new Uint8Array(4096).fill(0x5e));
    realm.tables(UNPROTECTED);
    real.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, UNPROTECTED, 3n, secret | RW);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    const view = new DataView(real.page(dataPage).slice().buffer);
    expect(view.getBigUint64(0x400, true)).toBe(0x9600_0028n); // EC 0x25, DFSC granule protection fault
    expect(view.getBigUint64(0x408, true)).toBe(0n);
  });

  test("a delegated page under a live unprotected mapping faults from then on", () => {
    const { rec, real, realm, host, dataPage } = activeRealmWith([
      a.adr(1, "vectors"),
      a.msr(a.SYS.VBAR_EL1, 1),
      a.mov(9, UNPROTECTED),
      a.ldr(10, 9), // fills the TLB
      HOST_CALL,
      a.ldr(10, 9),
      a.org(0x800),
      a.label("vectors"),
      a.org(0x800 + 0x200),
      a.mov(9, DATA),
      a.mrs(1, a.SYS.ESR_EL1),
      a.str(1, 9, 8, 0x400),
      OFF,
    ]);
    const page = host.ns();
    realm.tables(UNPROTECTED);
    real.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, UNPROTECTED, 3n, page | RW);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_HOST_CALL);
    real.ok("RMI_GRANULE_DELEGATE", page);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    expect(new DataView(real.page(dataPage).slice().buffer).getBigUint64(0x400, true)).toBe(0x9600_0028n);
  });

  test("folding and unfolding under a Realm that runs change nothing that it sees", () => {
    const code = a.program(
      a.mov(9, 0x20_1000),
      a.ldr(10, 9),
      a.cbz(10, "end"),
      HOST_CALL,
      a.ldr(10, 9),
      a.label("end"),
      OFF,
    );
    const real = new RealMachine();
    const host = new Host(real);
    const realm = host.realm();
    realm.data(CODE, new Uint8Array([...code, ...new Uint8Array(4096 - code.length)]));
    realm.data(DATA);
    realm.tables(BLOCK);
    const content = host.page(new Uint8Array(4096).fill(0x11));
    const pages = [host.delegated(512n), ...Array.from({ length: 511 }, () => host.delegated())];
    pages.forEach((page, i) => {
      real.ok("RMI_DATA_CREATE", realm.rd, page, BLOCK + BigInt(i) * PAGE, content, 0n);
    });
    const rec = realm.rec({ pc: CODE });
    realm.activate();
    real.ok("RMI_RTT_FOLD", realm.rd, BLOCK, 3n);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_HOST_CALL); // read through the block
    real.ok("RMI_RTT_CREATE", realm.rd, host.delegated(), BLOCK, 3n);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  });

  test("emulated access: a load is answered, a store is seen, an access without syndrome is refused by inject_sea", () => {
    const { rec, real, dataPage } = activeRealmWith([
      a.adr(1, "vectors"),
      a.msr(a.SYS.VBAR_EL1, 1),
      a.mov(9, UNPROTECTED),
      a.ldrsb(10, 9),
      a.str(10, 9, 4, 0x18),
      a.ldp(3, 4, 9),
      a.org(0x800),
      a.label("vectors"),
      a.org(0x800 + 0x200),
      a.mov(9, DATA),
      a.str(10, 9, 8, 0x400),
      a.mrs(1, a.SYS.ELR_EL1),
      a.str(1, 9, 8, 0x408),
      OFF,
    ]);
    expect(rec.runUntilExit()).toMatchObject({ esr: 0x9100_8005n, hpfar: UNPROTECTED >> 8n, far: 0n });
    expect(rec.runUntilExit({ flags: 1n, gprs: [0x80n] })).toMatchObject({ far: 0x18n });
    expect(rec.exit.gprs[0]).toBe(0xffff_ff80n);
    expect(rec.runUntilExit({ flags: 1n })).toMatchObject({ esr: 0x9000_0005n, far: 0n });
    expect(rec.runUntilExit({ flags: 2n }).exit_reason).toBe(RMI_EXIT_PSCI);
    const view = new DataView(real.page(dataPage).slice().buffer);
    expect(view.getBigUint64(0x400, true)).toBe(0xffff_ffff_ffff_ff80n);
    expect(view.getBigUint64(0x408, true)).toBe(CODE + 20n + 4n * BigInt(a.mov(9, UNPROTECTED).length - 1));
  });
});

describe("interrupts and timers", () => {
  test("a list register interrupts the Realm; its acknowledgement comes out again", () => {
    const { rec } = activeRealmWith([
      a.adr(1, "vectors"),
      a.msr(a.SYS.VBAR_EL1, 1),
      a.mov(1, 0xff),
      a.msr(a.SYS.ICC_PMR_EL1, 1),
      a.mov(1, 1),
      a.msr(a.SYS.ICC_IGRPEN1_EL1, 1),
      a.ISB,
      a.ENABLE_IRQ,
      a.label("wait"),
      a.b("wait"),
      a.org(0x800),
      a.label("vectors"),
      a.org(0x800 + 0x280),
      a.mrs(5, a.SYS.ICC_IAR1_EL1),
      a.mov(9, DATA),
      a.str(5, 9, 8, 8),
      HOST_CALL,
      a.msr(a.SYS.ICC_EOIR1_EL1, 5),
      OFF,
    ]);
    const lr = (1n << 62n) | (1n << 60n) | (0xa0n << 48n) | 42n;
    const exit = rec.runUntilExit({ gicv3_lrs: [lr] });
    expect(exit).toMatchObject({ exit_reason: RMI_EXIT_HOST_CALL });
    expect(exit.gprs[0]).toBe(42n);
    expect(exit.gicv3_lrs[0]! >> 62n).toBe(2n); // active
    expect(rec.runUntilExit({ gicv3_lrs: [exit.gicv3_lrs[0]!], gprs: [42n] }).gicv3_lrs[0]! >> 62n).toBe(0n);
  });

  test("an SGI is the Host's to deliver", () => {
    const { rec } = activeRealmWith([a.mov(1, 0x100_0001n), a.msr(a.SYS.ICC_SGI1R_EL1, 1), OFF]);
    const exit = rec.runUntilExit();
    expect(exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x623a_3036n });
    expect(exit.gprs[0]).toBe(0x100_0001n);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  });

  test.each([
    ["virtual", a.SYS.CNTV_TVAL_EL0, a.SYS.CNTV_CTL_EL0, "cntv_ctl", 27],
    ["physical", a.SYS.CNTP_TVAL_EL0, a.SYS.CNTP_CTL_EL0, "cntp_ctl", 30],
  ] as const)(
    "the %s timer of a Realm: exit when it fires, then it runs with the output masked",
    (_, tval, ctl, field, intid) => {
      const { rec, real } = activeRealmWith([
        a.mov(1, 100),
        a.msr(tval, 1),
        a.mov(1, 1),
        a.msr(ctl, 1),
        a.ISB,
        a.mov(2, 2000),
        a.label("wait"),
        a.subsImm(2, 2, 1),
        a.cbnz(2, "wait"),
        a.mov(2, 4000),
        a.label("more"),
        a.subsImm(2, 2, 1),
        a.cbnz(2, "more"),
        OFF,
      ]);
      // The Host must have enabled the physical interrupt for it to be taken.
      enablePpi(real, intid);
      const exit = rec.runUntilExit();
      expect(exit).toMatchObject({ exit_reason: RMI_EXIT_IRQ, esr: 0n });
      expect(exit[field]).toBe(5n);
      expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    },
  );

  /** What a Host does at boot: its redistributor's PPI as Group 1, enabled; CPU interface on. */
  function enablePpi(real: RealMachine, intid: number): void {
    const { machine } = real;
    const { gicd, gicr } = machine.board;
    const from = { pe: 0, pas: 1, state: 1 } as const;
    const write = (pa: bigint, value: number) => {
      if (!machine.bus.write(Number(pa), 4, BigInt(value), from)) return;
    };
    write(gicd, 0x12); // ARE_NS, EnableGrp1
    write(gicr + 0x14n, 0); // awake
    write(gicr + 0x1_0080n, 0xffff_ffff); // IGROUPR0
    write(gicr + 0x1_0100n, 1 << intid); // ISENABLER0
    const { r } = machine.pes[0]!;
    r[R.ICC_PMR_EL1] = 0xffn;
    r[R.ICC_IGRPEN1_EL1] = 1n;
  }

  test("WFI with the trap flag is an exit; without, the Realm sleeps until its timer", () => {
    const { rec } = activeRealmWith([a.WFI, OFF]);
    expect(rec.runUntilExit({ flags: 4n })).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x0400_0000n });
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  });
});

describe("RIPAS", () => {
  test("the Realm shares a page and takes it back", () => {
    const { rec, real, realm } = activeRealmWith([
      smc(RSI_FID.RSI_IPA_STATE_SET, DATA, DATA + PAGE, 0, 1),
      smc(RSI_FID.RSI_IPA_STATE_GET, DATA, DATA + PAGE),
      a.cbnz(2, "wrong"),
      smc(RSI_FID.RSI_IPA_STATE_SET, DATA, DATA + PAGE, 1, 1),
      smc(RSI_FID.RSI_IPA_STATE_GET, DATA, DATA + PAGE),
      a.cbz(2, "wrong"),
      OFF,
      a.label("wrong"),
      a.UDF,
    ]);
    for (const ripas of [0, 1]) {
      expect(rec.runUntilExit()).toMatchObject({
        exit_reason: RMI_EXIT_RIPAS_CHANGE,
        ripas_base: DATA,
        ripas_value: ripas,
      });
      real.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, DATA, DATA + PAGE);
    }
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  });
});

describe("two PEs", () => {
  test("while a REC runs, another PE destroys its page: the REC meets the fault at its next access", () => {
    const { rec, real, realm, dataPage } = activeRealmWith(
      [a.mov(9, DATA), a.label("loop"), a.ldr(10, 9), a.cbz(10, "loop"), OFF],
      { pes: 2 },
    );
    rec.fillRun({});
    const call = real.begin(1, [RMI_FID.RMI_REC_ENTER, rec.addr, rec.run]);
    real.runFor(50_000);
    expect(call.result).toBeUndefined();
    expect(real.rmi("RMI_REC_DESTROY", rec.addr)).toMatchObject({ condition: "rec_state" });
    expect(real.rmi("RMI_REC_ENTER", rec.addr, rec.run)).toMatchObject({ condition: "rec_state" });
    real.ok("RMI_DATA_DESTROY", realm.rd, DATA);
    real.runFor(50_000);
    expect(call.result?.[0]).toBe(0n);
    expect(rec.exit).toMatchObject({ exit_reason: RMI_EXIT_SYNC, esr: 0x9000_0007n, hpfar: DATA >> 8n });
    expect(real.page(dataPage).every((byte) => byte === 0)).toBe(true);
  });

  test("a second REC is turned on through the Host", () => {
    const { real, realm } = realmWith(
      [
        smc(PSCI_FID.PSCI_CPU_ON_64, 1, CODE + 0x800n, 0x99),
        a.mov(9, DATA),
        a.label("wait"),
        a.ldr(10, 9, 8, 0x400),
        a.cbz(10, "wait"),
        OFF,
        a.org(0x800),
        a.mov(9, DATA),
        a.str(0, 9, 8, 0x400),
        smc(PSCI_FID.PSCI_CPU_OFF),
      ],
      { pes: 2 },
    );
    const first = realm.rec({ pc: CODE });
    const second = realm.rec({ runnable: false });
    realm.activate();
    expect(first.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    real.ok("RMI_PSCI_COMPLETE", first.addr, second.addr, 0n);
    first.fillRun({});
    real.begin(0, [RMI_FID.RMI_REC_ENTER, first.addr, first.run]);
    expect(second.runUntilExit({}, { index: 1 }).gprs[0]).toBe(PSCI_FID.PSCI_CPU_OFF);
    real.runFor(50_000);
    expect(first.exit.gprs[0]).toBe(PSCI_FID.PSCI_SYSTEM_OFF);
  });
});

test("another RMM object goes on from a snapshot: its state is memory and PE state alone", () => {
  const made = () =>
    activeRealmWith([
      a.mov(9, DATA),
      a.mov(10, 0x77),
      a.str(10, 9, 8, 8),
      HOST_CALL,
      a.ldr(11, 9, 8, 8),
      a.str(11, 9, 8, 0x10),
      HOST_CALL,
      OFF,
    ]);
  const { rec, real } = made();
  expect(rec.runUntilExit().gprs[0]).toBe(0x77n);
  const snapshot = real.machine.snapshot();

  const other = new RealMachine();
  other.machine.restore(snapshot);
  const again = new TestRec(new Realm(new Host(other), rec.realm.rd, rec.realm.rttBase), rec.addr, rec.aux, rec.run);
  expect(again.runUntilExit({ gprs: [0x1234n] }).gprs[1]).toBe(0x1234n);
  expect(again.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
  other.ok("RMI_REC_DESTROY", rec.addr);
  // The machine that the snapshot was taken of is another one.
  expect(rec.runUntilExit({ gprs: [0x4321n] }).gprs[1]).toBe(0x4321n);
});

test("the Host's port to Realm memory: a granule protection fault as a value", () => {
  const { real, realm, codePage } = activeRealmWith([OFF]);
  for (const pa of [codePage, realm.rd, realm.rttBase]) {
    real.asHost((pe) => {
      const port = pe.port(Pas.NS);
      expect(port.granule(pa)).toMatchObject({ fault: "granule-protection" });
      expect(port.write64(pa, 0n)).toMatchObject({ fault: "granule-protection" });
      expect(() => pe.port(Pas.REALM)).toThrow();
    });
  }
});
