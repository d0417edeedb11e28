import { SecurityState, SPSR_EL1H_MASKED } from "@realmbox/abi";
import { ERET, type Machine, type Pe, R, SMC } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { answering, bootingRmm, build, run, smc, systemOff, UNKNOWN } from "../harness.oracle.js";

const OK = 0n;
const RMI = 0xc400_0150n;

/** Calls from the Host and from the RMM (within an RMI command), X1 to X7 zero. */
function callsFrom(caller: "Host" | "RMM", fids: readonly bigint[]): bigint[] {
  const results: bigint[] = [];
  run({
    rmm: bootingRmm(function* (pe) {
      for (;;) {
        if (caller === "RMM") for (const fid of fids) results.push((yield* smc(pe, fid, 0n, 0n, 0n))[0]!);
        pe.r[R.X0 + 1] = 0x77n;
        pe.r[R.X0] = 0xc400_018fn;
        yield SMC;
      }
    }),
    host: function* (pe) {
      if (caller === "Host") for (const fid of fids) results.push((yield* smc(pe, fid, 0n, 0n, 0n))[0]!);
      else yield* smc(pe, RMI);
      return yield* systemOff(pe);
    },
  });
  return results;
}

const FORWARDED = 0x77n;

// What each caller gets for each range; -1 is "unknown function".
describe("routing by function identifier and caller", () => {
  const rows: { name: string; fid: bigint; host: bigint; rmm: bigint }[] = [
    { name: "SMCCC_VERSION", fid: 0x8000_0000n, host: 0x1_0005n, rmm: 0x1_0005n },
    { name: "SMCCC_VERSION with the SVE hint", fid: 0x8001_0000n, host: 0x1_0005n, rmm: 0x1_0005n },
    { name: "SMCCC_ARCH_FEATURES of 0", fid: 0x8000_0001n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "SMCCC_ARCH_SOC_ID", fid: 0x8000_0002n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "SMCCC_ARCH_WORKAROUND_1", fid: 0x8000_8000n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "PSCI_VERSION", fid: 0x8400_0000n, host: 0x1_0001n, rmm: UNKNOWN },
    { name: "a yielding call", fid: 0x0400_0000n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "PSCI_VERSION with a bit that must be zero", fid: 0x8402_0000n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "PSCI range, unused", fid: 0x8400_001fn, host: UNKNOWN, rmm: UNKNOWN },
    { name: "TRNG_VERSION", fid: 0x8400_0050n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "FFA_VERSION", fid: 0x8400_0063n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "SDEI_VERSION", fid: 0xc400_0020n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "before RMI", fid: 0xc400_014fn, host: UNKNOWN, rmm: UNKNOWN },
    { name: "RMI_VERSION", fid: 0xc400_0150n, host: FORWARDED, rmm: UNKNOWN },
    { name: "RMI range, unused", fid: 0xc400_018en, host: FORWARDED, rmm: UNKNOWN },
    { name: "RMI_REQ_COMPLETE", fid: 0xc400_018fn, host: FORWARDED, rmm: OK },
    { name: "RSI_VERSION", fid: 0xc400_0190n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "the SMC32 form of RMI_VERSION", fid: 0x8400_0150n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "GTSI_DELEGATE of 0", fid: 0xc400_01b0n, host: UNKNOWN, rmm: BigInt.asUintN(64, -3n) },
    { name: "the SMC32 form of GTSI_DELEGATE", fid: 0x8400_01b0n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "RMM_EL3_FEATURES", fid: 0xc400_01b4n, host: UNKNOWN, rmm: OK },
    { name: "RMM_BOOT_COMPLETE after the boot", fid: 0xc400_01cfn, host: UNKNOWN, rmm: UNKNOWN },
    { name: "RMI range of later versions", fid: 0xc400_01d0n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "FIRME", fid: 0xc400_0400n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "standard service revision", fid: 0x8400_ff03n, host: 0n, rmm: 0n },
    { name: "SiP", fid: 0xc200_0000n, host: UNKNOWN, rmm: UNKNOWN },
    { name: "trusted OS", fid: 0xb200_0000n, host: UNKNOWN, rmm: UNKNOWN },
  ];
  test("from the Host", () => {
    const results = callsFrom(
      "Host",
      rows.map(({ fid }) => fid),
    );
    expect(rows.map(({ name }, n) => [name, results[n]])).toEqual(rows.map(({ name, host }) => [name, host]));
  });
  test("from the RMM", () => {
    const callable = rows.filter(({ fid }) => fid !== 0xc400_018fn); // that one ends the command
    const results = callsFrom(
      "RMM",
      callable.map(({ fid }) => fid),
    );
    expect(callable.map(({ name }, n) => [name, results[n]])).toEqual(callable.map(({ name, rmm }) => [name, rmm]));
  });
});

test("an unknown call changes X0 and nothing else", () => {
  const registers: bigint[][] = [];
  run({
    host: function* (pe) {
      for (let n = 0; n < 31; n++) pe.r[R.X0 + n] = 0x1000n + BigInt(n);
      pe.r[R.X0] = 0xc400_0777n;
      yield SMC;
      registers.push(Array.from({ length: 31 }, (_, n) => pe.r[R.X0 + n]!));
      return yield* systemOff(pe);
    },
  });
  expect(registers[0]).toEqual([UNKNOWN, ...Array.from({ length: 30 }, (_, n) => 0x1001n + BigInt(n))]);
});

test("SMCCC_ARCH_FEATURES knows VERSION and itself", () => {
  const results: bigint[] = [];
  run({
    host: function* (pe) {
      for (const asked of [0x8000_0000n, 0x8000_0001n, 0x8000_0003n, 0x8400_0000n]) {
        results.push((yield* smc(pe, 0x8000_0001n, asked))[0]!);
      }
      results.push((yield* smc(pe, 0x8000_0001n, 0xffff_ffff_8000_0000n))[0]!); // SMC32: the upper half is ignored
      return yield* systemOff(pe);
    },
  });
  expect(results).toEqual([0n, 0n, UNKNOWN, UNKNOWN, 0n]);
});

describe("what cannot come from native firmware", () => {
  /** An exception at EL3 as if software at a lower level had caused it, stepped by hand. */
  const exception = (machine: Machine, esr: bigint, change: (pe: Pe) => void) => {
    const pe = machine.pes[0]!;
    // From wherever the run ended to the entry of EL3.
    pe.pstate = 0x3cdn;
    pe.r[R.ESR_EL3] = esr;
    pe.r[R.ELR_EL3] = 0x8000_1000n;
    change(pe);
    return { pe, exit: machine.firmwareAt(SecurityState.ROOT * 4 + 3)!.step(pe, LOWER_SYNC) };
  };
  const LOWER_SYNC = { kind: "exception", vector: "sync", lower: true } as const;
  const booted = () => {
    const machine = build({ host: systemOff, rmm: answering(() => [0n]) });
    machine.run({ instructions: 100_000 });
    return machine;
  };

  test("SMC with a non-zero immediate is unknown", () => {
    const { pe, exit } = exception(booted(), (0x17n << 26n) | 1n, ({ r }) => {
      r[R.X0] = 0x8000_0000n;
    });
    expect([exit, pe.r[R.X0]]).toEqual([ERET, UNKNOWN]);
  });

  test("R-EL1 gets nothing of the RMM's interface", () => {
    for (const fid of [0xc400_01b0n, 0xc400_01b4n, 0xc400_018fn]) {
      const { pe } = exception(booted(), 0x17n << 26n, ({ r }) => {
        r[R.X0] = fid;
        r[R.SCR_EL3] = r[R.SCR_EL3]! | (1n << 62n) | 1n;
        r[R.SPSR_EL3] = SPSR_EL1H_MASKED;
      });
      expect(pe.r[R.X0]).toBe(UNKNOWN);
    }
  });

  test("Secure state gets SMCCC and nothing else", () => {
    const results = [0x8000_0000n, 0x8400_0000n, 0xc400_0150n, 0xc400_01b4n].map((fid) => {
      const { pe } = exception(booted(), 0x17n << 26n, ({ r }) => {
        r[R.X0] = fid;
        r[R.SCR_EL3] = 0n;
      });
      return pe.r[R.X0];
    });
    expect(results).toEqual([0x1_0005n, UNKNOWN, UNKNOWN, UNKNOWN]);
  });

  test.each([
    { from: "EL2h", spsr: 0x3c9n, elr: 0xa_0200n, target: 0x3c9n },
    { from: "EL2t", spsr: 0x3c8n, elr: 0xa_0000n, target: 0x3c9n },
    { from: "EL1h", spsr: 0x3c5n, elr: 0xb_0200n, target: 0x3c5n },
    { from: "EL0", spsr: 0x3c0n, elr: 0xb_0400n, target: 0x3c5n },
  ])("a trapped access of $from comes back as UNDEFINED", ({ spsr, elr, target }) => {
    const { pe, exit } = exception(booted(), 0x18n << 26n, ({ r }) => {
      r[R.SPSR_EL3] = spsr;
      r[R.VBAR_EL2] = 0xa_0000n;
      r[R.VBAR_EL1] = 0xb_0000n;
      r[R.HCR_EL2] = 0n;
    });
    expect([exit, pe.r[R.ELR_EL3], pe.r[R.SPSR_EL3]]).toEqual([ERET, elr, target]);
    const [savedElr, esr] = target === 0x3c9n ? [R.ELR_EL2, R.ESR_EL2] : [R.ELR_EL1, R.ESR_EL1];
    expect([pe.r[savedElr], pe.r[esr]]).toEqual([0x8000_1000n, 1n << 25n]);
  });
});

test("the smc trace: each call with its name, caller, arguments and what the caller finds", () => {
  const lines: string[] = [];
  const machine = build({
    rmm: answering(() => [0n, 0x1_0000n]),
    host: function* (pe) {
      yield* smc(pe, RMI, 0x1_0000n, 2n, 3n);
      yield* smc(pe, 0xc400_0777n, 1n, 2n, 3n);
      return yield* systemOff(pe);
    },
  });
  machine.trace.subscribe(["smc"], ({ name, fields }) => {
    if (name === "ERET") return; // the machine's own event of the return
    lines.push([name, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join(" "));
  });
  machine.run({ instructions: 100_000 });
  expect(lines).toEqual([
    "RMM_BOOT_COMPLETE from=Realm x1=0 x2=1 x3=1140846592",
    "RMI_VERSION from=Non-secure x1=65536 x2=2 x3=3",
    "RMI_REQ_COMPLETE from=Realm x0=0 x1=65536 x2=3",
    `SMC 0xc4000777 from=Non-secure x0=${UNKNOWN}`,
    "PSCI_SYSTEM_OFF from=Non-secure x1=1 x2=2 x3=3",
  ]);
});
