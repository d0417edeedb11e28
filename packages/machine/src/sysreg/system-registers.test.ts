import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { assemble } from "../../test-support/assembler.js";
import { DRAM, machineAt, type PeAt } from "../../test-support/pe-at.js";
import { R } from "../cpu/state.js";
import { ID_REGISTERS } from "./id.js";
import { encodingOf } from "./system-registers.js";

const RW = 1n << 31n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const bit = (n: number) => 1n << BigInt(n);

/** Runs `mrs x0, name` or `msr name, x0` with X0 = 0x55; what happened: the value, or "EL2 0x18". */
function run(name: string, at: PeAt & { write?: boolean; x0?: bigint }) {
  const { machine, pe } = machineAt({
    ...at,
    registers: { HCR_EL2: RW, PC: DRAM, VBAR_EL1: DRAM + 0x800n, ...at.registers },
  });
  pe.r[R.X0] = at.x0 ?? 0x55n;
  machine.load(
    DRAM,
    assemble((a) => (at.write ? a.msr(name, 0) : a.mrs(0, name))),
  );
  const { el } = at;
  machine.run({ instructions: 1 });
  const taken = pe.r[R.PC] !== DRAM + 4n;
  const esr = [0n, pe.r[R.ESR_EL1], pe.r[R.ESR_EL2], pe.r[R.ESR_EL3]][pe.el]!;
  return { machine, pe, value: pe.r[R.X0]!, trap: taken ? `EL${pe.el} 0x${(esr >> 26n).toString(16)}` : "no", el, esr };
}

describe("traps of HCR_EL2, at EL1", () => {
  test.each([
    { bits: bit(18), read: ["ID_AA64PFR0_EL1", "ID_AA64MMFR2_EL1", "S3_0_C0_C7_7", "S3_0_C0_C1_0"], write: [] },
    { bits: bit(16), read: ["REVIDR_EL1", "AIDR_EL1"], write: [] },
    { bits: bit(17), read: ["CTR_EL0", "CLIDR_EL1", "CCSIDR_EL1", "CSSELR_EL1"], write: ["CSSELR_EL1"] },
    { bits: bit(49), read: ["CLIDR_EL1", "CCSIDR_EL1", "CSSELR_EL1"], write: ["CSSELR_EL1"] },
    { bits: bit(21), read: ["ACTLR_EL1"], write: ["ACTLR_EL1"] },
    {
      bits: bit(26),
      read: [],
      write: ["SCTLR_EL1", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "ESR_EL1", "FAR_EL1", "AFSR0_EL1", "AFSR1_EL1"].concat([
        "MAIR_EL1",
        "AMAIR_EL1",
        "CONTEXTIDR_EL1",
      ]),
    },
    { bits: bit(30), read: ["SCTLR_EL1", "TTBR0_EL1", "CONTEXTIDR_EL1"], write: [] },
    { bits: bit(36), read: ["ERRIDR_EL1", "ERRSELR_EL1"], write: ["ERRSELR_EL1"] },
  ])("$bits", ({ bits, read, write }) => {
    for (const name of read) {
      expect([name, run(name, { el: 1, registers: { HCR_EL2: RW | bits } }).trap]).toEqual([name, "EL2 0x18"]);
      expect([name, run(name, { el: 1 }).trap]).toEqual([name, "no"]);
      expect([name, run(name, { el: 2, registers: { HCR_EL2: RW | bits } }).trap]).toEqual([name, "no"]);
    }
    for (const name of write) {
      expect([name, run(name, { el: 1, write: true, registers: { HCR_EL2: RW | bits } }).trap]).toEqual([
        name,
        "EL2 0x18",
      ]);
    }
  });

  test("not trapped by TID3 or TVM: MIDR, MPIDR, VBAR_EL1, TPIDR_EL1", () => {
    const registers = { HCR_EL2: RW | bit(18) | bit(26) | bit(30) };
    for (const name of ["MIDR_EL1", "MPIDR_EL1", "VBAR_EL1", "TPIDR_EL1"]) {
      expect([name, run(name, { el: 1, registers }).trap]).toEqual([name, "no"]);
    }
  });

  test("no EL2 in Secure state without EEL2: nothing traps there", () => {
    const { machine, pe } = machineAt({
      el: 1,
      state: SecurityState.SECURE,
      registers: { HCR_EL2: RW | bit(18), PC: DRAM },
    });
    pe.r[R.SCR_EL3] &= ~bit(18);
    machine.load(
      DRAM,
      assemble((a) => a.mrs(0, "ID_AA64PFR0_EL1")),
    );
    machine.run({ instructions: 1 });
    expect(pe.r[R.PC]).toBe(DRAM + 4n);
  });

  test("TIDCP: IMPLEMENTATION DEFINED encodings trap from EL1, else they are UNDEFINED", () => {
    const word = 0xd538_0000 | (0xb << 12); // S3_0_C11_C0_0
    const at = (hcr: bigint) => {
      const { machine, pe } = machineAt({ el: 1, registers: { HCR_EL2: hcr, PC: DRAM } });
      machine.load(
        DRAM,
        assemble((a) => a.word(word)),
      );
      machine.run({ instructions: 1 });
      return [pe.el, pe.el === 2 ? pe.r[R.ESR_EL2]! >> 26n : pe.r[R.ESR_EL1]! >> 26n];
    };
    expect(at(RW | bit(20))).toEqual([2, 0x18n]);
    expect(at(RW)).toEqual([1, 0n]);
  });

  test("the syndrome names register, direction and Rt", () => {
    const { machine, pe } = machineAt({ el: 1, registers: { HCR_EL2: RW | bit(18), PC: DRAM } });
    machine.load(
      DRAM,
      assemble((a) => a.mrs(7, "ID_AA64MMFR0_EL1")),
    );
    machine.run({ instructions: 1 });
    // Op0 3, Op2 0, Op1 0, CRn 0, Rt 7, CRm 7, read.
    expect(pe.r[R.ESR_EL2]).toBe((0x18n << 26n) | (1n << 25n) | (3n << 20n) | (7n << 5n) | (7n << 1n) | 1n);
  });
});

describe("EL0", () => {
  test.each([
    { name: "CTR_EL0", registers: {}, trap: "EL1 0x18" },
    { name: "CTR_EL0", registers: { SCTLR_EL1: bit(15) }, trap: "no" },
    { name: "CTR_EL0", registers: { HCR_EL2: RW | TGE }, trap: "EL2 0x18" },
    { name: "DAIF", registers: {}, trap: "EL1 0x18" },
    { name: "DAIF", registers: { SCTLR_EL1: bit(9) }, trap: "no" },
    { name: "MIDR_EL1", registers: {}, trap: "EL1 0x0" },
    { name: "ID_AA64PFR0_EL1", registers: {}, trap: "EL1 0x0" },
    { name: "TPIDR_EL1", registers: {}, trap: "EL1 0x0" },
    { name: "TPIDR_EL0", registers: {}, trap: "no" },
    { name: "TPIDRRO_EL0", registers: {}, trap: "no" },
    { name: "NZCV", registers: {}, trap: "no" },
    { name: "RNDR", registers: {}, trap: "no" },
    { name: "CNTVCT_EL0", registers: {}, trap: "EL1 0x18" },
    { name: "CNTVCT_EL0", registers: { CNTKCTL_EL1: bit(1), CNTHCTL_EL2: 3n }, trap: "no" },
    { name: "CNTPCT_EL0", registers: { CNTKCTL_EL1: bit(0), CNTHCTL_EL2: 0n }, trap: "EL2 0x18" },
    { name: "CNTPCT_EL0", registers: { CNTKCTL_EL1: bit(0), CNTHCTL_EL2: 1n }, trap: "no" },
    { name: "CNTFRQ_EL0", registers: {}, trap: "EL1 0x18" },
    { name: "CNTFRQ_EL0", registers: { CNTKCTL_EL1: bit(1) }, trap: "no" },
    { name: "CNTV_CTL_EL0", registers: { CNTKCTL_EL1: bit(8) }, trap: "no" },
    { name: "CNTP_CTL_EL0", registers: { CNTKCTL_EL1: bit(9), CNTHCTL_EL2: bit(1) }, trap: "no" },
    { name: "CNTP_CTL_EL0", registers: { CNTKCTL_EL1: bit(9) }, trap: "EL2 0x18" },
    { name: "SCXTNUM_EL0", registers: { SCTLR_EL1: bit(20) }, trap: "EL1 0x18" },
    { name: "SCXTNUM_EL0", registers: {}, trap: "EL2 0x18" },
    { name: "SCXTNUM_EL0", registers: { HCR_EL2: RW | bit(53) }, trap: "no" },
  ])("reads $name with $registers: $trap", ({ name, registers, trap }) => {
    expect(run(name, { el: 0, registers }).trap).toBe(trap);
  });

  test("writes TPIDRRO_EL0: UNDEFINED", () => {
    expect(run("TPIDRRO_EL0", { el: 0, write: true }).trap).toBe("EL1 0x0");
  });
});

describe("EL1 and the timers under CNTHCTL_EL2", () => {
  test.each([
    { name: "CNTPCT_EL0", registers: {}, trap: "EL2 0x18" },
    { name: "CNTPCT_EL0", registers: { CNTHCTL_EL2: bit(0) }, trap: "no" },
    { name: "CNTPCT_EL0", registers: { HCR_EL2: RW | E2H, CNTHCTL_EL2: bit(0) }, trap: "EL2 0x18" },
    { name: "CNTPCT_EL0", registers: { HCR_EL2: RW | E2H, CNTHCTL_EL2: bit(10) }, trap: "no" },
    { name: "CNTP_TVAL_EL0", registers: { CNTHCTL_EL2: bit(0) }, trap: "EL2 0x18" },
    { name: "CNTP_TVAL_EL0", registers: { HCR_EL2: RW | E2H, CNTHCTL_EL2: bit(11) }, trap: "no" },
    { name: "CNTVCT_EL0", registers: { CNTHCTL_EL2: bit(14) }, trap: "EL2 0x18" },
    { name: "CNTV_CVAL_EL0", registers: { CNTHCTL_EL2: bit(13) }, trap: "EL2 0x18" },
    { name: "CNTV_CVAL_EL0", registers: {}, trap: "no" },
  ])("$name with $registers: $trap", ({ name, registers, trap }) => {
    expect(run(name, { el: 1, registers }).trap).toBe(trap);
  });
});

describe("VHE", () => {
  const NAMES = ["SCTLR", "CPACR", "TTBR0", "TTBR1", "TCR", "AFSR0", "AFSR1", "ESR", "FAR", "MAIR", "AMAIR"].concat([
    "VBAR",
    "CONTEXTIDR",
    "SPSR",
    "ELR",
  ]);
  test.each(NAMES)("%s_EL1 at EL2 is EL2's with E2H, and _EL12 is EL1's", (name) => {
    const el2 = (name === "CPACR" ? "CPTR_EL2" : `${name}_EL2`) as "SCTLR_EL2";
    const el1 = `${name}_EL1` as "SCTLR_EL1";
    const registers = { [el1]: 0x1000n, [el2]: 0x2000n };
    expect(run(el1, { el: 2, registers: { ...registers, HCR_EL2: RW } }).value).toBe(0x1000n);
    expect(run(el1, { el: 2, registers: { ...registers, HCR_EL2: RW | E2H } }).value).toBe(0x2000n);
    expect(run(`${name}_EL12`, { el: 2, registers: { ...registers, HCR_EL2: RW | E2H } }).value).toBe(0x1000n);
    expect(run(`${name}_EL12`, { el: 2, registers: { ...registers, HCR_EL2: RW } }).trap).toBe("EL2 0x0");
    expect(run(`${name}_EL12`, { el: 1, registers: { ...registers, HCR_EL2: RW | E2H } }).trap).toBe("EL1 0x0");
    // Not at EL3: no redirection there.
    expect(run(el1, { el: 3, registers: { ...registers, HCR_EL2: RW | E2H } }).value).toBe(0x1000n);
  });

  test("the EL1 timers' names: EL2's timers with E2H, and at EL0 below a host", () => {
    const registers = {
      CNTP_CVAL_EL0: 1n,
      CNTHP_CVAL_EL2: 2n,
      CNTV_CVAL_EL0: 3n,
      CNTHV_CVAL_EL2: 4n,
      CNTHCTL_EL2: 0xf03n,
    };
    const read = (name: string, el: 0 | 1 | 2, hcr: bigint) =>
      run(name, { el, registers: { ...registers, HCR_EL2: RW | hcr } }).value;
    expect(read("CNTP_CVAL_EL0", 2, 0n)).toBe(1n);
    expect(read("CNTP_CVAL_EL0", 2, E2H)).toBe(2n);
    expect(read("CNTV_CVAL_EL0", 2, E2H)).toBe(4n);
    expect(read("CNTP_CVAL_EL02", 2, E2H)).toBe(1n);
    expect(read("CNTV_CVAL_EL02", 2, E2H)).toBe(3n);
    expect(read("CNTV_CVAL_EL0", 0, E2H | TGE)).toBe(4n);
    expect(read("CNTV_CVAL_EL0", 1, E2H)).toBe(3n);
  });
});

describe("values", () => {
  test("identity at EL1 is what EL2 chose", () => {
    const registers = { VPIDR_EL2: 0x1111n, VMPIDR_EL2: 0x2222n };
    expect(run("MIDR_EL1", { el: 1, registers }).value).toBe(0x1111n);
    expect(run("MPIDR_EL1", { el: 1, registers }).value).toBe(0x2222n);
    expect(run("MIDR_EL1", { el: 2, registers }).value).toBe(0x410f_d0f0n);
    expect(run("MPIDR_EL1", { el: 2, registers }).value).toBe(0x8000_0000n);
  });

  test("every encoding of the ID space reads at EL1; what is unallocated is zero", () => {
    for (let crm = 1; crm < 8; crm++) {
      for (let op2 = 0; op2 < 8; op2++) {
        const { machine, pe } = machineAt({ el: 1, registers: { HCR_EL2: RW, PC: DRAM } });
        machine.load(
          DRAM,
          assemble((a) => a.word(0xd538_0000 | (crm << 8) | (op2 << 5))),
        );
        pe.r[R.X0] = 0x55n;
        machine.run({ instructions: 1 });
        const known = Object.values(ID_REGISTERS).find((id) => id.crm === crm && id.op2 === op2);
        expect([crm, op2, pe.r[R.X0]]).toEqual([crm, op2, known?.value ?? 0n]);
      }
    }
  });

  test("what the machine advertises", () => {
    // Profile M with AES and SHA; every other field as there.
    const values = Object.fromEntries(Object.entries(ID_REGISTERS).map(([name, { value }]) => [name, value]));
    expect(values).toMatchObject({
      ID_AA64PFR0_EL1: 0x1311_0010_1100_1111n,
      ID_AA64DFR0_EL1: 0x1000_0000_0010_1707n,
      ID_AA64ISAR0_EL1: 0x1000_0000_0021_1120n,
      ID_AA64MMFR0_EL1: 0x2000_0211_0f00_1025n,
      ID_AA64MMFR1_EL1: 0x100_0010_1122n,
      ID_AA64MMFR2_EL1: 0x1000_0100_1000_0000n,
    });
  });

  test("RNDR repeats with the seed, and clears NZCV", () => {
    const first = run("RNDR", { el: 1 });
    const second = run("RNDR", { el: 1 });
    expect(first.value).toBe(second.value);
    expect(first.value).not.toBe(0x55n);
    expect(first.pe.nzcv).toBe(0n);
  });

  test("SP_EL0 is UNDEFINED while it is the stack pointer", () => {
    expect(run("SP_EL0", { el: 1 }).trap).toBe("no");
    const { machine, pe } = machineAt({ el: 1, registers: { HCR_EL2: RW, PC: DRAM } });
    pe.pstate = 0x3c4n;
    machine.load(
      DRAM,
      assemble((a) => a.mrs(0, "SP_EL0")),
    );
    machine.run({ instructions: 1 });
    expect(pe.r[R.ESR_EL1]! >> 26n).toBe(0n);
    expect(pe.r[R.ELR_EL1]).toBe(DRAM);
  });

  test("masks: VBAR, GPCCR_EL3, HCR_EL2.RW", () => {
    const ones = (1n << 64n) - 1n;
    expect(run("VBAR_EL2", { el: 2, write: true, x0: ones }).pe.r[R.VBAR_EL2]).toBe(ones & ~0x7ffn);
    expect(run("GPCCR_EL3", { el: 3, write: true, x0: 0xfffe_fff8n }).pe.r[R.GPCCR_EL3]).toBe(0xff00n);
    expect(run("HCR_EL2", { el: 2, write: true, x0: 0n }).pe.r[R.HCR_EL2]).toBe(RW);
  });

  test("OSLAR_EL1 sets the lock that OSLSR_EL1 shows", () => {
    expect(run("OSLSR_EL1", { el: 1 }).value).toBe(0xan);
    expect(run("OSLAR_EL1", { el: 1, write: true, x0: 0n }).pe.r[R.OSLSR_EL1]).toBe(0x8n);
  });

  test("registers of EL2 and EL3 are UNDEFINED below", () => {
    expect(run("HCR_EL2", { el: 1 }).trap).toBe("EL1 0x0");
    expect(run("GPCCR_EL3", { el: 2 }).trap).toBe("EL2 0x0");
    expect(run("ICH_HCR_EL2", { el: 1 }).trap).toBe("EL1 0x0");
    expect(run("VSTTBR_EL2", { el: 2 }).trap).toBe("EL2 0x0");
    expect(run("VSTTBR_EL2", { el: 2, state: SecurityState.SECURE }).trap).toBe("no");
  });

  test("CNTPOFF_EL2: to EL3 without SCR_EL3.ECVEn; it moves what EL1 sees with CNTHCTL_EL2.ECV", () => {
    const trapped = machineAt({ el: 2, registers: { HCR_EL2: RW, PC: DRAM } });
    trapped.pe.r[R.SCR_EL3] &= ~bit(28);
    trapped.machine.load(
      DRAM,
      assemble((a) => a.mrs(0, "CNTPOFF_EL2")),
    );
    trapped.machine.run({ instructions: 1 });
    expect([trapped.pe.el, trapped.pe.r[R.ESR_EL3]! >> 26n]).toEqual([3, 0x18n]);
    const registers = { CNTPOFF_EL2: 5n, CNTHCTL_EL2: 1n | bit(12) };
    expect(run("CNTPCT_EL0", { el: 1, registers }).value).toBe((1n << 64n) - 5n);
    expect(run("CNTPCT_EL0", { el: 2, registers }).value).toBe(0n);
    expect(run("CNTVCT_EL0", { el: 1, registers: { CNTVOFF_EL2: 7n } }).value).toBe((1n << 64n) - 7n);
  });

  test("every name assembles to an encoding of its own", () => {
    const { machine } = machineAt({ el: 3 });
    const { names } = machine.systemRegisters;
    expect(new Set(names.map(encodingOf)).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(200);
  });
});
