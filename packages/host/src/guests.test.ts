/** Guests on the whole stack: the same small programs in a normal VM and in a realm. */
import {
  KVM_ARM_IRQ_TYPE_SPI,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_CAP,
  KVM_EXIT,
  KVM_IRQ_LINE_FIELD,
  KVM_MEM_READONLY,
  KVM_REG,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_SYSTEM_EVENT,
  KvmSmcccFilter,
  PSCI_FID,
} from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import {
  add,
  addImm,
  adr,
  b,
  cbnz,
  cbz,
  DISABLE_DEBUG,
  ENABLE_DEBUG,
  ENABLE_IRQ,
  ERET,
  hvc,
  label,
  ldp,
  ldr,
  ldrsb,
  mov,
  movReg,
  mrs,
  msr,
  org,
  program,
  SYS,
  smc,
  str,
  subsImm,
  WFI,
} from "./asm.oracle.js";
import type { OnExit, Op } from "./index.js";
import { makeStack, type Stack } from "./stack.oracle.js";
import { GICD, type Guest, gicr, makeGuest, ok, RAM, REPORT, runGuest, UART, vmmOf } from "./vm.oracle.js";

const RSI_HOST_CALL = 0xc400_0199;
const RSI_IPA_STATE_SET = 0xc400_0197;
const SHARED = 1n << 32n;

/** What differs between the two kinds of VM in a guest's code. */
interface Kind {
  readonly realm: boolean;
  /** Reports Xn (n from 19 on); a realm passes it in RsiHostCall at x28. */
  report(n: number): number[];
  /** Address of a device. */
  device(gpa: bigint): bigint;
  psci(fid: bigint): number[];
}

const NORMAL: Kind = {
  realm: false,
  report: (n) => [...mov(0, REPORT), movReg(1, n), hvc()],
  device: (gpa) => gpa,
  psci: (fid) => [...mov(0, fid), hvc()],
};
/** RsiHostCall: imm at 0, gprs at 8; 256 bytes aligned: at RAM + 0x1f00. */
const HOST_CALL = RAM + 0x1f00n;
const REALM: Kind = {
  realm: true,
  report: (n) => [
    ...mov(28, HOST_CALL),
    str(31, 28, 8, 0),
    ...mov(0, REPORT),
    str(0, 28, 8, 8),
    str(n, 28, 8, 16),
    ...mov(0, RSI_HOST_CALL),
    movReg(1, 28),
    smc(),
  ],
  device: (gpa) => gpa | SHARED,
  psci: (fid) => [...mov(0, fid), smc()],
};
const KINDS = [
  ["normal VM", NORMAL],
  ["realm", REALM],
] as const;

const OFF = (kind: Kind) => kind.psci(PSCI_FID.PSCI_SYSTEM_OFF);

/** The whole life of a guest on a fresh stack; everything must be back afterwards. */
function live(
  kind: Kind,
  code: Uint8Array,
  options: Partial<Parameters<typeof makeGuest>[1]> & { readonly pes?: number; readonly instructions?: number } = {},
): Guest & { readonly end: string; readonly stack: Stack } {
  const stack = makeStack({ dramMiB: 32, pes: options.pes ?? 1 });
  const pages = { ...stack.host.pages };
  const guest = makeGuest(stack, { realm: kind.realm, code, ...options });
  const end = runGuest(stack, guest, options);
  ok(stack.host.call(stack.process.exitOp()));
  expect({ ...stack.host.pages }).toEqual(pages);
  return { ...guest, end, stack };
}

const lastExit = (guest: Guest) => guest.exits.at(-1)!;

describe.each(KINDS)("%s", (_, kind) => {
  test("runs, reports and switches itself off", () => {
    const events: number[] = [];
    const guest = live(kind, program(mov(19, 0x1234_5678_9abc_def0n), kind.report(19), OFF(kind)), {
      onExit: (_vcpu, run) => {
        events.push(run.system_event.type);
        return "stop";
      },
    });
    expect(guest.values).toEqual([0x1234_5678_9abc_def0n]);
    expect(lastExit(guest).reason).toBe(KVM_EXIT.SYSTEM_EVENT);
    expect(events).toEqual([KVM_SYSTEM_EVENT.SHUTDOWN]);
    expect(guest.end).toBe("stopped");
  });

  test("reset is an event of its own", () => {
    let type = 0;
    live(kind, program(kind.psci(PSCI_FID.PSCI_SYSTEM_RESET)), {
      onExit: (_vcpu, run) => {
        type = run.system_event.type;
        return "stop";
      },
    });
    expect(type).toBe(KVM_SYSTEM_EVENT.RESET);
  });

  test("MMIO: sizes, sign extension, write data", () => {
    const guest = live(
      kind,
      program(
        mov(1, kind.device(UART)),
        mov(2, 0x1122_3344_5566_7788n),
        str(2, 1, 1),
        str(2, 1, 2),
        str(2, 1, 4),
        str(2, 1, 8),
        str(31, 1, 4, 4),
        mov(19, -1n),
        ldr(19, 1, 1),
        mov(20, -1n),
        ldr(20, 1, 4),
        ldrsb(21, 1),
        ldr(22, 1, 8, 8),
        kind.report(19),
        kind.report(20),
        kind.report(21),
        kind.report(22),
        OFF(kind),
      ),
      { mmioRead: (gpa) => (gpa === UART ? 0xffff_ffff_8765_43f1n : 0xfedc_ba98_7654_3210n) },
    );
    expect(guest.writes).toEqual([
      { gpa: UART, len: 1, value: 0x88n },
      { gpa: UART, len: 2, value: 0x7788n },
      { gpa: UART, len: 4, value: 0x5566_7788n },
      { gpa: UART, len: 8, value: 0x1122_3344_5566_7788n },
      { gpa: UART + 4n, len: 4, value: 0n },
    ]);
    expect(guest.values).toEqual([0xf1n, 0x8765_43f1n, 0xffff_ffff_ffff_fff1n, 0xfedc_ba98_7654_3210n]);
  });

  test("memory that was not loaded is zero, and keeps what is written", () => {
    const guest = live(
      kind,
      program(
        mov(1, RAM + 0x10_0000n),
        ldr(19, 1),
        mov(2, 77),
        str(2, 1),
        addImm(3, 1, 0),
        ldr(20, 3),
        kind.report(19),
        kind.report(20),
        OFF(kind),
      ),
    );
    expect(guest.values).toEqual([0n, 77n]);
  });

  test("ID registers: EL0 and EL1 only in a normal VM; MPIDR", () => {
    const guest = live(
      kind,
      program(mrs(19, SYS.MPIDR_EL1), mrs(20, SYS.ID_AA64PFR0_EL1), kind.report(19), kind.report(20), OFF(kind)),
    );
    expect(guest.values[0]).toBe(0x8000_0000n);
    expect(guest.values[1]! & 0xffn).toBe(0x11n);
    if (!kind.realm) expect(guest.values[1]! & 0xff00n).toBe(0n);
  });

  test("an external abort in place of a device that is not there", () => {
    const guest = live(
      kind,
      program(
        adr(1, "vectors"),
        msr(SYS.VBAR_EL1, 1),
        mov(1, kind.device(0x200_0000n)),
        ldr(19, 1),
        label("back"),
        kind.report(21),
        kind.report(22),
        OFF(kind),
        org(0x800),
        label("vectors"),
        org(0xa00), // synchronous, current EL with SPx
        mrs(21, SYS.ESR_EL1),
        mrs(22, SYS.FAR_EL1),
        adr(2, "back"),
        msr(SYS.ELR_EL1, 2),
        ERET,
      ),
      { mmioRead: () => "abort" },
    );
    const esr = guest.values[0]!;
    expect(esr >> 26n).toBe(0x25n);
    expect(esr & 0x3fn).toBe(0x10n);
    expect(guest.values[1]).toBe(kind.device(0x200_0000n));
  });

  test("watches and steps itself", () => {
    const watched = RAM + 0x7000n;
    const guest = live(
      kind,
      program(
        adr(1, "vectors"),
        msr(SYS.VBAR_EL1, 1),
        mov(26, 0),
        mov(1, watched),
        msr(SYS.DBGWVR0_EL1, 1),
        mov(2, 1n | (1n << 1n) | (1n << 3n) | (0xffn << 5n)), // EL1, loads, eight bytes
        msr(SYS.DBGWCR0_EL1, 2),
        mov(3, (1n << 15n) | (1n << 13n)), // MDE, KDE
        msr(SYS.MDSCR_EL1, 3),
        ENABLE_DEBUG,
        str(31, 1),
        ldr(5, 1, 8, 8),
        ldr(5, 1),
        kind.report(21),
        kind.report(22),
        // One instruction at a time: an MRS that EL2 emulates is one as well, and the MSR ends it.
        DISABLE_DEBUG,
        mov(24, 0),
        mov(26, 1),
        mov(3, (1n << 13n) | 1n), // KDE, SS
        msr(SYS.MDSCR_EL1, 3),
        adr(4, "stepped"),
        msr(SYS.ELR_EL1, 4),
        mov(4, 0x20_01c5n), // SS, PSTATE.D = 0, EL1
        msr(SYS.SPSR_EL1, 4),
        ERET,
        label("stepped"),
        mrs(5, SYS.ID_AA64PFR0_EL1),
        movReg(6, 5),
        movReg(7, 6),
        msr(SYS.MDSCR_EL1, 31),
        kind.report(24),
        kind.report(21),
        OFF(kind),
        org(0x800),
        label("vectors"),
        org(0xa00), // synchronous, current EL with SPx
        mrs(21, SYS.ESR_EL1),
        mrs(22, SYS.FAR_EL1),
        cbnz(26, "step"),
        mrs(2, SYS.ELR_EL1),
        addImm(2, 2, 4),
        msr(SYS.ELR_EL1, 2),
        ERET,
        label("step"),
        addImm(24, 24, 1),
        msr(SYS.SPSR_EL1, 4),
        ERET,
      ),
    );
    expect(guest.values).toEqual([0xd600_0022n, watched, 3n, 0xcf00_0022n]);
  });

  test("an SGI to itself arrives through the list registers", () => {
    const guest = live(
      kind,
      program(
        gicInit(kind, 1),
        mov(1, (3n << 24n) | 1n),
        msr(SYS.ICC_SGI1R_EL1, 1),
        mrs(19, SYS.ICC_IAR1_EL1),
        msr(SYS.ICC_EOIR1_EL1, 19),
        mrs(20, SYS.ICC_IAR1_EL1),
        kind.report(19),
        kind.report(20),
        OFF(kind),
      ),
    );
    expect(guest.values).toEqual([3n, 1023n]);
  });

  test.each([
    ["virtual", SYS.CNTV_TVAL_EL0, SYS.CNTV_CTL_EL0, 27n],
    ["physical", SYS.CNTP_TVAL_EL0, SYS.CNTP_CTL_EL0, 30n],
  ] as const)("the %s timer ends a WFI, and its interrupt ends with the timer", (_name, tval, ctl, intid) => {
    const guest = live(
      kind,
      program(
        gicInit(kind, 1),
        mov(1, 100_000),
        msr(tval, 1),
        mov(1, 1),
        msr(ctl, 1),
        label("wait"),
        WFI,
        mrs(19, SYS.ICC_IAR1_EL1),
        mov(2, 1023),
        subsImm(3, 19, 1023),
        cbz(3, "wait"),
        msr(ctl, 31),
        msr(SYS.ICC_EOIR1_EL1, 19),
        mrs(20, SYS.ICC_IAR1_EL1),
        kind.report(19),
        kind.report(20),
        OFF(kind),
      ),
    );
    expect(guest.values).toEqual([intid, 1023n]);
  });

  test("a timer interrupts code that does not wait", () => {
    const guest = live(
      kind,
      program(
        adr(1, "vectors"),
        msr(SYS.VBAR_EL1, 1),
        gicInit(kind, 1),
        mov(19, 0),
        mov(1, 1000),
        msr(SYS.CNTV_TVAL_EL0, 1),
        mov(1, 1),
        msr(SYS.CNTV_CTL_EL0, 1),
        ENABLE_IRQ,
        label("spin"),
        addImm(18, 18, 1),
        subsImm(2, 19, 3),
        cbnz(2, "spin"),
        kind.report(19),
        OFF(kind),
        org(0x800),
        label("vectors"),
        org(0xa80), // IRQ, current EL with SPx
        mrs(2, SYS.ICC_IAR1_EL1),
        mov(3, 1000),
        msr(SYS.CNTV_TVAL_EL0, 3),
        msr(SYS.ICC_EOIR1_EL1, 2),
        addImm(19, 19, 1),
        ERET,
      ),
    );
    expect(guest.values).toEqual([3n]);
  });

  test("a line of the VMM, raised between two runs, wakes the guest; a level stays until it drops", () => {
    const stack = makeStack({ dramMiB: 32 });
    const guest = makeGuest(stack, {
      realm: kind.realm,
      code: program(
        gicInit(kind, 1),
        enableSpi(kind, 33),
        kind.report(31),
        label("wait"),
        WFI,
        mrs(19, SYS.ICC_IAR1_EL1),
        subsImm(3, 19, 1023),
        cbz(3, "wait"),
        kind.report(19),
        mov(1, kind.device(UART)),
        str(19, 1, 1), // the VMM lowers the line
        msr(SYS.ICC_EOIR1_EL1, 19),
        mrs(20, SYS.ICC_IAR1_EL1),
        kind.report(20),
        OFF(kind),
      ),
    });
    const irq = Number(KVM_IRQ_LINE_FIELD.TYPE.of(KVM_ARM_IRQ_TYPE_SPI)) | 33;
    // Nothing can wake the guest from inside.
    expect(runGuest(stack, guest)).toBe("deadlock");
    ok(guest.vm.irqLine(irq, true));
    const end = stack.machine.run({ instructions: 1_000_000 }).kind;
    expect(end).toBe("stopped");
    expect(guest.values).toEqual([0n, 33n, 33n]);
    ok(guest.vm.irqLine(irq, false));
    ok(stack.host.call(stack.process.exitOp()));
  });

  test.each([1, 2, 4])("CPU_ON, SGIs between vCPUs on %i PEs", (pes) => {
    const guest = live(
      kind,
      program(
        gicInit(kind, 4),
        // Turn on 1, 2, 3 with their number as context.
        mov(23, 1),
        label("next"),
        mov(0, PSCI_FID.PSCI_CPU_ON_64),
        movReg(1, 23),
        adr(2, "secondary"),
        movReg(3, 23),
        kind.realm ? smc() : hvc(),
        cbnz(0, "fail"),
        addImm(23, 23, 1),
        subsImm(4, 23, 4),
        cbnz(4, "next"),
        // Each sends SGI 1 to 3 to this one.
        mov(19, 0),
        mov(22, 3),
        label("wait"),
        WFI,
        label("more"),
        mrs(20, SYS.ICC_IAR1_EL1),
        subsImm(3, 20, 1023),
        cbz(3, "wait"),
        msr(SYS.ICC_EOIR1_EL1, 20),
        add(19, 19, 20),
        subsImm(22, 22, 1),
        cbnz(22, "more"),
        kind.report(19),
        OFF(kind),
        label("fail"),
        movReg(19, 0),
        kind.report(19),
        OFF(kind),
        label("secondary"),
        movReg(24, 0),
        mov(5, 24),
        mov(6, 1),
        // value = context << 24 | target list 1: by repeated doubling
        movReg(7, 24),
        label("shift"),
        add(7, 7, 7),
        subsImm(5, 5, 1),
        cbnz(5, "shift"),
        add(7, 7, 6),
        msr(SYS.ICC_SGI1R_EL1, 7),
        kind.psci(PSCI_FID.PSCI_CPU_OFF),
      ),
      { vcpus: 4, pes },
    );
    expect(guest.values).toEqual([6n]);
  });

  test("an SGI from another PE arrives although the last one of its number is still active", () => {
    const guest = live(
      kind,
      program(
        gicInit(kind, 2),
        mov(0, PSCI_FID.PSCI_CPU_ON_64),
        mov(1, 1),
        adr(2, "secondary"),
        mov(3, 0),
        kind.realm ? smc() : hvc(),
        mov(19, 0),
        mov(5, RAM + 0x8000n),
        label("wait"),
        WFI,
        mrs(20, SYS.ICC_IAR1_EL1),
        subsImm(3, 20, 1023),
        cbz(3, "wait"),
        mov(4, RAM + 0x9000n),
        str(4, 4), // a page that is not there yet: an exit, which shows the Host the active state
        mov(6, 1),
        str(6, 5), // lets the other send again
        mov(7, 20_000),
        label("active"),
        subsImm(7, 7, 1),
        cbnz(7, "active"),
        msr(SYS.ICC_EOIR1_EL1, 20),
        label("spin"), // no exit by itself
        mrs(21, SYS.ICC_IAR1_EL1),
        subsImm(3, 21, 1023),
        cbz(3, "spin"),
        kind.report(21),
        OFF(kind),
        label("secondary"),
        mov(1, (5n << 24n) | 1n),
        msr(SYS.ICC_SGI1R_EL1, 1),
        mov(5, RAM + 0x8000n),
        label("poll"),
        ldr(6, 5),
        cbz(6, "poll"),
        msr(SYS.ICC_SGI1R_EL1, 1),
        label("idle"),
        b("idle"),
      ),
      { vcpus: 2, pes: 2 },
    );
    expect(guest.values).toEqual([5n]);
  });

  test("AFFINITY_INFO, CPU_ON of a CPU that is on, and of none", () => {
    const code = program(
      mov(1, 1),
      mov(2, 0),
      kind.psci(PSCI_FID.PSCI_AFFINITY_INFO_64),
      movReg(19, 0),
      mov(1, 0),
      adr(2, "entry"),
      kind.psci(PSCI_FID.PSCI_CPU_ON_64),
      movReg(20, 0),
      mov(1, 7),
      adr(2, "entry"),
      kind.psci(PSCI_FID.PSCI_CPU_ON_64),
      movReg(21, 0),
      kind.psci(PSCI_FID.PSCI_VERSION),
      movReg(22, 0),
      kind.report(19),
      kind.report(20),
      kind.report(21),
      kind.report(22),
      label("entry"),
      OFF(kind),
    );
    const guest = live(kind, code, { vcpus: 2 });
    const signed = guest.values.map((value) => BigInt.asIntN(64, value));
    expect(signed).toEqual([1n, -4n, -2n, 0x10001n]);
  });

  test("a guest that spins does not keep the others from running", () => {
    const code = program(
      mov(1, 1),
      adr(2, "spin"),
      mov(3, 0),
      kind.psci(PSCI_FID.PSCI_CPU_ON_64),
      mov(19, 0),
      mov(20, 200_000),
      label("count"),
      addImm(19, 19, 1),
      subsImm(20, 20, 1),
      cbnz(20, "count"),
      kind.report(19),
      OFF(kind),
      label("spin"),
      b("spin"),
    );
    const guest = live(kind, code, { vcpus: 2, pes: 1, instructions: 50_000_000 });
    expect(guest.values).toEqual([200_000n]);
  });

  test("more interrupts pending than list registers: all arrive, once each", () => {
    const first = 32;
    const count = 24;
    const guest = live(
      kind,
      program(
        gicInit(kind, 1),
        mov(2, kind.device(GICD) + 0x104n),
        mov(1, (1n << BigInt(count)) - 1n),
        str(1, 2, 4), // enable
        str(1, 2, 4, 0x100), // and make pending
        mov(19, 0),
        mov(20, 0),
        label("next"),
        mrs(21, SYS.ICC_IAR1_EL1),
        subsImm(3, 21, 1023),
        cbz(3, "done"),
        msr(SYS.ICC_EOIR1_EL1, 21),
        add(19, 19, 21),
        addImm(20, 20, 1),
        b("next"),
        label("done"),
        kind.report(20),
        kind.report(19),
        OFF(kind),
      ),
    );
    const sum = Array.from({ length: count }, (_x, n) => first + n).reduce((total, intid) => total + intid, 0);
    expect(guest.values).toEqual([BigInt(count), BigInt(sum)]);
  });

  test.each([
    ["EOI deactivates", false],
    ["ICC_DIR_EL1 deactivates", true],
  ])("more interrupts active than list registers: %s", (_name, split) => {
    // Each SPI has a higher priority than the one before, so that it preempts it.
    const count = 20;
    const spis = Array.from({ length: count }, (_x, n) => 32 + n);
    const at = (offset: number) => kind.device(GICD) + BigInt(offset);
    const guest = live(
      kind,
      program(
        gicInit(kind, 1),
        mov(1, split ? 2 : 0),
        msr(SYS.ICC_CTLR_EL1, 1),
        spis.flatMap((intid, n) => [...mov(2, at(0x400 + intid)), ...mov(1, 0xe8 - 8 * n), str(1, 2, 1)]),
        mov(2, at(0x104)),
        mov(1, -1n),
        str(1, 2, 4),
        spis.flatMap((_intid, n) => [
          ...mov(2, at(0x204)),
          ...mov(1, 1 << n),
          str(1, 2, 4),
          mrs(22, SYS.ICC_IAR1_EL1),
          add(19, 19, 22),
        ]),
        kind.report(19),
        [...spis]
          .reverse()
          .flatMap((intid) => [
            ...mov(1, intid),
            msr(SYS.ICC_EOIR1_EL1, 1),
            ...(split ? [msr(SYS.ICC_DIR_EL1, 1)] : []),
          ]),
        mov(2, at(0x304)), // ISACTIVER1
        ldr(20, 2, 4),
        kind.report(20),
        mrs(21, SYS.ICC_IAR1_EL1),
        kind.report(21),
        OFF(kind),
      ),
    );
    expect(guest.values).toEqual([BigInt(spis.reduce((total, intid) => total + intid, 0)), 0n, 1023n]);
  });

  test("a snapshot taken in the middle goes on as the original does", () => {
    const code = program(
      gicInit(kind, 1),
      mov(19, 0),
      label("loop"),
      addImm(19, 19, 1),
      mov(1, 20_000),
      msr(SYS.CNTV_TVAL_EL0, 1),
      mov(1, 1),
      msr(SYS.CNTV_CTL_EL0, 1),
      label("wait"),
      WFI,
      mrs(20, SYS.ICC_IAR1_EL1),
      subsImm(3, 20, 1023),
      cbz(3, "wait"),
      msr(SYS.CNTV_CTL_EL0, 31),
      msr(SYS.ICC_EOIR1_EL1, 20),
      kind.report(19),
      subsImm(4, 19, 8),
      cbnz(4, "loop"),
      OFF(kind),
    );
    const stack = makeStack({ dramMiB: 32 });
    const guest = makeGuest(stack, { realm: kind.realm, code });
    expect(runGuest(stack, guest, { instructions: 900_000 })).toBe("limit");
    const before = guest.values.length;
    expect(before).toBeGreaterThan(1);
    expect(before).toBeLessThan(8);
    const snapshot = stack.machine.snapshot();

    const copy = makeStack({ dramMiB: 32, cold: true });
    copy.machine.restore(snapshot);
    const process = copy.host.findProcess("vmm")!;
    const vm = copy.host.vms(process)[0]!;
    const revived: Guest = { ...guest, vm, vcpus: vm.vcpus, process, values: [...guest.values], exits: [], writes: [] };
    const onExit = vmmOf(revived, {
      onExit: () => {
        copy.machine.stop("done");
        return "stop";
      },
    });
    expect(vm.vcpus[0]!.started).toBe(true);
    ok(vm.vcpus[0]!.start(onExit));
    expect(copy.machine.run({ instructions: 10_000_000 }).kind).toBe("stopped");
    expect(stack.machine.run({ instructions: 10_000_000 }).kind).toBe("stopped");
    expect(revived.values).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
    expect(guest.values).toEqual(revived.values);
    expect(copy.machine.now).toBe(stack.machine.now);
    expect(copy.host.counters).toEqual(stack.host.counters);
    ok(copy.host.call(process.exitOp()));
    expect(copy.host.pages).toEqual({ ...copy.host.pages, user: 0, realm: 0, guestMemfd: 0, shared: 0, leaked: 0 });
  });

  test("a signal makes KVM_RUN return EINTR, from code that never leaves", () => {
    const stack = makeStack({ dramMiB: 32 });
    const guest = makeGuest(stack, { realm: kind.realm, code: program(label("spin"), b("spin")) });
    expect(runGuest(stack, guest, { instructions: 100_000 })).toBe("limit");
    ok(guest.vcpus[0]!.interrupt());
    expect(stack.machine.run({ instructions: 1_000_000 }).kind).toBe("stopped");
    expect(lastExit(guest)).toMatchObject({ reason: KVM_EXIT.INTR, errno: "EINTR" });
    ok(stack.host.call(stack.process.exitOp()));
  });
});

describe("normal VM", () => {
  test("a register that the VM does not have is UNDEFINED", () => {
    const guest = live(
      NORMAL,
      program(
        adr(1, "vectors"),
        msr(SYS.VBAR_EL1, 1),
        mrs(2, SYS.PMCR_EL0),
        label("back"),
        NORMAL.report(19),
        OFF(NORMAL),
        org(0x800),
        label("vectors"),
        org(0xa00),
        mrs(19, SYS.ESR_EL1),
        adr(2, "back"),
        msr(SYS.ELR_EL1, 2),
        ERET,
      ),
    );
    expect(guest.values).toEqual([0x0200_0000n]);
  });

  test("an access without syndrome is ENOSYS", () => {
    const guest = live(NORMAL, program(mov(1, UART), ldp(2, 3, 1)));
    expect(lastExit(guest).errno).toBe("ENOSYS");
  });

  test("with KVM_CAP_ARM_NISV_TO_USER it is an exit of its own", () => {
    const stack = makeStack({ dramMiB: 32 });
    const guest = makeGuest(stack, { realm: false, code: program(mov(1, UART), ldp(2, 3, 1)) });
    ok(stack.host.call(guest.vm.enableCapOp(KVM_CAP.ARM_NISV_TO_USER)));
    runGuest(stack, guest);
    expect(lastExit(guest)).toMatchObject({ reason: KVM_EXIT.ARM_NISV, errno: undefined });
    expect(guest.vcpus[0]!.run.arm_nisv.fault_ipa).toBe(UART);
  });

  test("a read-only slot reads as memory; writes are MMIO", () => {
    const stack = makeStack({ dramMiB: 32 });
    const at = 0x200_0000n;
    const code = program(
      mov(1, at),
      ldr(19, 1),
      mov(2, 0x55),
      str(2, 1),
      ldr(20, 1),
      NORMAL.report(19),
      NORMAL.report(20),
      OFF(NORMAL),
    );
    const guest = makeGuest(stack, { realm: false, code });
    const memory = ok(stack.process.mmap(4096n));
    ok(stack.process.write(memory, Uint8Array.of(0x11)));
    ok(
      guest.vm.setUserMemoryRegion({
        slot: 1,
        flags: KVM_MEM_READONLY,
        guest_phys_addr: at,
        memory_size: 4096n,
        userspace_addr: memory,
      }),
    );
    runGuest(stack, guest);
    expect(guest.values).toEqual([0x11n, 0x11n]);
    expect(guest.writes).toEqual([{ gpa: at, len: 8, value: 0x55n }]);
  });

  test("memory that is taken away while the VM runs becomes MMIO", () => {
    const stack = makeStack({ dramMiB: 32 });
    const page = RAM + 0x20_0000n;
    const code = program(
      mov(25, page),
      mov(26, 7),
      str(26, 25),
      NORMAL.report(26),
      label("loop"),
      ldr(19, 25),
      subsImm(3, 19, 7),
      cbz(3, "loop"),
      NORMAL.report(19),
      OFF(NORMAL),
    );
    const guest = makeGuest(stack, { realm: false, code });
    const memory = ok(stack.process.mmap(4096n));
    const slot = { slot: 1, guest_phys_addr: page, memory_size: 4096n, userspace_addr: memory };
    ok(guest.vm.setUserMemoryRegion(slot));
    expect(runGuest(stack, guest, { mmioRead: () => 9n, instructions: 100_000 })).toBe("limit");
    ok(stack.host.call(guest.vm.deleteUserMemoryRegionOp(1)));
    ok(stack.process.munmap(memory));
    expect(stack.machine.run({ instructions: 1_000_000 }).kind).toBe("stopped");
    expect(guest.values).toEqual([7n, 9n]);
  });

  test("two VMs share a PE, each with its own watchpoint", () => {
    const stack = makeStack({ dramMiB: 32 });
    const code = (seed: number) =>
      program(
        adr(1, "vectors"),
        msr(SYS.VBAR_EL1, 1),
        mov(1, RAM + 0x8000n),
        mov(6, RAM + 0x8000n + BigInt(8 * seed)),
        msr(SYS.DBGWVR0_EL1, 6),
        mov(2, 1n | (1n << 1n) | (3n << 3n) | (0xffn << 5n)), // EL1, loads and stores, eight bytes
        msr(SYS.DBGWCR0_EL1, 2),
        mov(3, (1n << 15n) | (1n << 13n)), // MDE, KDE
        msr(SYS.MDSCR_EL1, 3),
        mov(19, 0),
        mov(20, 20_000),
        label("loop"),
        ENABLE_DEBUG,
        str(20, 1, 8, 8),
        str(20, 1, 8, 16),
        subsImm(20, 20, 1),
        cbnz(20, "loop"),
        NORMAL.report(19),
        NORMAL.report(22),
        OFF(NORMAL),
        org(0x800),
        label("vectors"),
        org(0xa00), // synchronous, current EL with SPx
        addImm(19, 19, 1),
        mrs(22, SYS.FAR_EL1),
        mrs(2, SYS.ELR_EL1),
        addImm(2, 2, 4),
        msr(SYS.ELR_EL1, 2),
        ERET,
      );
    const guests = [1, 2].map((seed) => makeGuest(stack, { realm: false, code: code(seed) }));
    let stopped = 0;
    for (const guest of guests) {
      const onExit: OnExit = () => {
        stopped++;
        return "stop";
      };
      runGuest(stack, guest, { instructions: 1, onExit });
    }
    for (let n = 0; n < 100 && stopped < 2; n++) stack.machine.run({ instructions: 100_000 });
    expect(guests.map((guest) => guest.values)).toEqual([
      [20_000n, RAM + 0x8008n],
      [20_000n, RAM + 0x8010n],
    ]);
    ok(stack.host.call(stack.process.exitOp()));
  });

  test("two VMs share a PE, each with its own registers, memory and counter", () => {
    const stack = makeStack({ dramMiB: 32 });
    const code = (seed: number) =>
      program(
        mov(19, seed),
        mov(20, 300_000),
        mov(5, RAM + 0x8000n),
        label("loop"),
        addImm(19, 19, 1),
        str(19, 5),
        ldr(19, 5),
        subsImm(20, 20, 1),
        cbnz(20, "loop"),
        NORMAL.report(19),
        OFF(NORMAL),
      );
    const guests = [1, 1_000_000].map((seed) => makeGuest(stack, { realm: false, code: code(seed) }));
    let stopped = 0;
    for (const guest of guests) {
      const onExit: OnExit = () => {
        stopped++;
        return "stop";
      };
      runGuest(stack, guest, { instructions: 1, onExit });
    }
    for (let n = 0; n < 100 && stopped < 2; n++) stack.machine.run({ instructions: 1_000_000 });
    expect(guests.map((guest) => guest.values)).toEqual([[300_001n], [1_300_000n]]);
    ok(stack.host.call(stack.process.exitOp()));
  });
});

describe("realm", () => {
  const kind = REALM;

  test("memory pressure: the next access ends with EHWPOISON, and the content is gone", () => {
    const stack = makeStack({ dramMiB: 32 });
    const secret = RAM + 0x10_0000n;
    const code = program(
      mov(1, secret),
      mov(2, 99),
      str(2, 1),
      mov(3, kind.device(UART)),
      str(2, 3, 1), // the VMM takes the page away here
      ldr(19, 1),
      kind.report(19),
      OFF(kind),
    );
    const guest = makeGuest(stack, { realm: true, code });
    const serve: OnExit = (vcpu, run) => {
      guest.exits.push({ vcpu: vcpu.id, reason: run.exit_reason, errno: run.error?.errno });
      if (run.exit_reason === KVM_EXIT.MMIO) {
        return (function* (): Op<"run" | "stop"> {
          expect(yield* stack.host.reclaimOp(guest.vm, secret, 4096n)).toBe(1);
          return "run";
        })();
      }
      stack.machine.stop("done");
      return "stop";
    };
    ok(guest.vcpus[0]!.start(serve));
    stack.machine.run({ instructions: 1_000_000 });
    expect(lastExit(guest)).toEqual({ vcpu: 0, reason: KVM_EXIT.MEMORY_FAULT, errno: "EHWPOISON" });
    expect(guest.vcpus[0]!.run.memory_fault).toMatchObject({ gpa: secret, size: 4096n, flags: 8n });
    ok(stack.host.call(stack.process.exitOp()));
    expect(stack.host.pages.leaked).toBe(0);
  });

  test("RIPAS EMPTY and back to RAM: the VMM converts, the old content is gone, what is shared is seen by both", () => {
    const stack = makeStack({ dramMiB: 32 });
    const page = RAM + 0x10_0000n;
    const setRipas = (ripas: number) => [
      ...mov(0, RSI_IPA_STATE_SET),
      ...mov(1, page),
      ...mov(2, page + 0x1000n),
      ...mov(3, ripas),
      ...mov(4, 1), // also over DESTROYED
      smc(),
    ];
    const guest = makeGuest(stack, {
      realm: true,
      code: program(
        mov(5, page),
        mov(6, page | SHARED),
        mov(7, 0x77),
        str(7, 5),
        setRipas(0),
        movReg(19, 0),
        kind.report(19),
        ldr(20, 6), // the shared page: not what was private
        kind.report(20),
        mov(7, 0x88),
        str(7, 6),
        mov(3, kind.device(UART)),
        str(7, 3, 1), // the VMM looks, and writes 0x99
        ldr(21, 6),
        kind.report(21),
        setRipas(1),
        ldr(22, 5), // private again: neither of the two
        kind.report(22),
        OFF(kind),
      ),
    });
    const seen: bigint[] = [];
    const serve = vmmOf(guest, {
      onExit: (_vcpu, run) => {
        if (run.exit_reason !== KVM_EXIT.MEMORY_FAULT) {
          stack.machine.stop("done");
          return "stop";
        }
        const { gpa, size, flags } = run.memory_fault;
        return (function* (): Op<"run" | "stop"> {
          ok(yield* guest.vm.setMemoryAttributesOp({ address: gpa, size, attributes: flags }));
          return "run";
        })();
      },
    });
    const onExit: OnExit = (vcpu, run) => {
      if (run.exit_reason === KVM_EXIT.MMIO && run.mmio.is_write) {
        const word = new Uint8Array(8);
        ok(stack.process.read(guest.memory + 0x10_0000n, word));
        seen.push(new DataView(word.buffer).getBigUint64(0, true));
        ok(stack.process.write(guest.memory + 0x10_0000n, Uint8Array.of(0x99)));
      }
      return serve(vcpu, run);
    };
    ok(guest.vcpus[0]!.start(onExit));
    expect(stack.machine.run({ instructions: 1_000_000 }).kind).toBe("stopped");
    expect(guest.values).toEqual([0n, 0n, 0x99n, 0n]);
    expect(seen).toEqual([0x88n]);
    const faults = guest.exits.filter(({ reason }) => reason === KVM_EXIT.MEMORY_FAULT);
    expect(faults.map(({ errno }) => errno)).toEqual(["EFAULT", "EFAULT"]);
    ok(stack.host.call(stack.process.exitOp()));
    expect(stack.host.pages).toMatchObject({ leaked: 0, realm: 0, guestMemfd: 0, user: 0 });
  });

  test("a hole punched while the realm waits for EMPTY is made with the change", () => {
    const stack = makeStack({ dramMiB: 32 });
    const page = RAM + 0x10_0000n;
    const code = program(
      mov(5, page),
      mov(6, 1),
      str(6, 5),
      mov(0, RSI_IPA_STATE_SET),
      mov(1, page),
      mov(2, page + 0x1000n),
      mov(3, 0),
      mov(4, 0), // not over DESTROYED: the Host must not destroy the page first
      smc(),
      movReg(19, 0),
      movReg(20, 1),
      kind.report(19),
      kind.report(20),
      OFF(kind),
    );
    const guest = makeGuest(stack, { realm: true, code });
    runGuest(stack, guest, {
      onExit: (_vcpu, run) => {
        if (run.exit_reason !== KVM_EXIT.MEMORY_FAULT) return "stop";
        const { gpa, size, flags } = run.memory_fault;
        return (function* (): Op<"run" | "stop"> {
          ok(yield* guest.guestMemfd!.punchHoleOp(gpa - RAM, size));
          ok(yield* guest.vm.setMemoryAttributesOp({ address: gpa, size, attributes: flags }));
          return "run";
        })();
      },
    });
    expect(guest.values).toEqual([0n, page + 0x1000n]);
    const before = stack.host.pages.guestMemfd;
    ok(stack.host.call(guest.vm.closeOp()));
    expect(before).toBe(2); // the pages of the code and of RsiHostCall
    expect(stack.host.pages).toMatchObject({ guestMemfd: 0, leaked: 0 });
  });

  test("a change that the VMM does not make is rejected, and the page stays", () => {
    const stack = makeStack({ dramMiB: 32 });
    const page = RAM + 0x10_0000n;
    const code = program(
      mov(5, page),
      mov(6, 0x66),
      str(6, 5),
      mov(0, RSI_IPA_STATE_SET),
      mov(1, page),
      mov(2, page + 0x1000n),
      mov(3, 0),
      mov(4, 1),
      smc(),
      movReg(20, 1),
      ldr(21, 5),
      kind.report(20),
      kind.report(21),
      OFF(kind),
    );
    const guest = makeGuest(stack, { realm: true, code });
    runGuest(stack, guest, {
      onExit: (_vcpu, run) => (run.exit_reason === KVM_EXIT.MEMORY_FAULT ? "run" : "stop"),
    });
    expect(guest.values).toEqual([page, 0x66n]);
    ok(stack.host.call(guest.vm.closeOp()));
  });

  test("CPU_ON that the VMM denies", () => {
    const filter = KvmSmcccFilter.encode({
      base: Number(PSCI_FID.PSCI_CPU_ON_64),
      nr_functions: 1,
      action: KVM_SMCCC_FILTER_FWD_TO_USER,
    });
    const stack = makeStack({ dramMiB: 32 });
    const code = program(
      mov(1, 1),
      adr(2, "entry"),
      mov(3, 0),
      kind.psci(PSCI_FID.PSCI_CPU_ON_64),
      movReg(19, 0),
      kind.report(19),
      label("entry"),
      OFF(kind),
    );
    const guest = makeGuest(stack, { realm: true, code, vcpus: 2 });
    ok(guest.vm.setDeviceAttr(KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, filter));
    runGuest(stack, guest, {
      onExit: (vcpu, run) => {
        if (run.exit_reason !== KVM_EXIT.HYPERCALL) return "stop";
        expect(ok(vcpu.getOneReg(KVM_REG.x(1)))).toBe(1n);
        return (function* (): Op<"run" | "stop"> {
          ok(yield* vcpu.rmmPsciCompleteOp({ target_mpidr: 1n, psci_status: -3 }));
          return "run";
        })();
      },
    });
    expect(guest.values.map((value) => BigInt.asIntN(64, value))).toEqual([-3n]);
    ok(stack.host.call(stack.process.exitOp()));
  });
});

/** ICC set up; distributor Group 1 on; redistributor of vCPU 0: SGIs, timers' PPIs. */
function gicInit(kind: Kind, vcpus: number): number[] {
  const sgiBase = kind.device(gicr(vcpus)) + 0x1_0000n;
  return [
    ...mov(1, 0xf0),
    msr(SYS.ICC_PMR_EL1, 1),
    ...mov(1, 1),
    msr(SYS.ICC_IGRPEN1_EL1, 1),
    ...mov(2, kind.device(GICD)),
    ...mov(1, 2),
    str(1, 2, 4),
    ...mov(2, sgiBase + 0x100n),
    ...mov(1, 0x4800_ffffn),
    str(1, 2, 4),
  ];
}

/** Enables an SPI as level-sensitive, to vCPU 0. */
function enableSpi(kind: Kind, intid: number): number[] {
  return [
    ...mov(2, kind.device(GICD) + BigInt(0x100 + (intid >> 5) * 4)),
    ...mov(1, 1n << BigInt(intid & 31)),
    str(1, 2, 4),
  ];
}
