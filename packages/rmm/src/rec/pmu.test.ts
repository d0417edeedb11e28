/** The PMU of Realms, on the real machine under the Root Monitor. */
import { PSCI_FID, RMI_FEATURE_REGISTER_0, RMI_REALM_FLAGS, RmiRecExitReason, RSI_FID } from "@realmbox/abi";
import { GROUPS, PMU_COUNTERS, PMU_PPI, R } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import * as a from "../../../host/src/asm.oracle.js";
import { RealMachine } from "../testing/real.js";
import { Host, PARAMS, type RealmParams } from "../testing/realm.js";

const CODE = 0x1000n;
const DATA = 0x2000n;
const { RMI_EXIT_IRQ, RMI_EXIT_PSCI, RMI_EXIT_HOST_CALL } = RmiRecExitReason;
const PMU_FLAG = RMI_REALM_FLAGS.PMU.of(1);

const PMU = {
  PMCR: [3, 3, 9, 12, 0],
  PMCNTENSET: [3, 3, 9, 12, 1],
  PMOVSCLR: [3, 3, 9, 12, 3],
  PMSELR: [3, 3, 9, 12, 5],
  PMCCNTR: [3, 3, 9, 13, 0],
  PMUSERENR: [3, 3, 9, 14, 0],
  PMINTENSET: [3, 0, 9, 14, 1],
  PMINTENCLR: [3, 0, 9, 14, 2],
  PMEVCNTR0: [3, 3, 14, 8, 0],
  PMEVCNTR3: [3, 3, 14, 8, 3],
  PMEVTYPER0: [3, 3, 14, 12, 0],
} as const satisfies Record<string, a.SysReg>;
const DFR0: a.SysReg = [3, 0, 0, 5, 0];
/** INST_RETIRED at Realm EL1: U, P = RLK, NSH = RLH. */
const INST_RETIRED = 0xc850_0008n;

const smc = (fid: bigint, ...args: (bigint | number)[]) => [
  ...args.flatMap((value, i) => a.mov(i + 1, value)),
  ...a.mov(0, fid),
  a.smc(),
];
const HOST_CALL = smc(RSI_FID.RSI_HOST_CALL, DATA);
const OFF = smc(PSCI_FID.PSCI_SYSTEM_OFF);
const set = (register: a.SysReg, value: bigint | number) => [...a.mov(9, value), a.msr(register, 9)];
/** Notes registers at DATA + 0x400 and up, through X10. */
const note = (first: number, ...registers: (a.SysReg | number)[]) => [
  ...a.mov(10, DATA),
  ...registers.flatMap((register, i) => {
    const at = 0x400 + 8 * (first + i);
    return typeof register === "number" ? [a.str(register, 10, 8, at)] : [a.mrs(11, register), a.str(11, 10, 8, at)];
  }),
];

type Code = Parameters<typeof a.program>;
function realmWith(code: Code, params: RealmParams) {
  const real = new RealMachine();
  const host = new Host(real);
  const realm = host.realm({ ...PARAMS, ...params });
  const image = a.program(...code);
  realm.data(CODE, new Uint8Array([...image, ...new Uint8Array(4096 - image.length)]));
  const dataPage = realm.data(DATA);
  const rec = realm.rec({ pc: CODE });
  realm.activate();
  const noted = (n: number) => new DataView(real.page(dataPage).slice().buffer).getBigUint64(0x400 + 8 * n, true);
  return { real, realm, rec, noted };
}

test("RMI_FEATURES: a PMU with all of the machine's event counters", () => {
  const value = new RealMachine().ok("RMI_FEATURES", 0n)[0]!;
  expect(RMI_FEATURE_REGISTER_0.PMU_EN.get(value)).toBe(1n);
  expect(RMI_FEATURE_REGISTER_0.PMU_NUM_CTRS.get(value)).toBe(BigInt(PMU_COUNTERS));
});

test("params_supp: more counters than there are; none is enough (FEAT_HPMN0)", () => {
  const create = (params: RealmParams) => {
    const real = new RealMachine();
    return () => new Host(real).realm({ ...PARAMS, ...params });
  };
  expect(create({ flags: PMU_FLAG, pmu_num_ctrs: PMU_COUNTERS + 1 })).toThrow("params_supp");
  expect(create({ flags: PMU_FLAG, pmu_num_ctrs: PMU_COUNTERS })).not.toThrow();
  expect(create({ flags: PMU_FLAG, pmu_num_ctrs: 0 })).not.toThrow();
  // Without the flag the number means nothing.
  expect(create({ pmu_num_ctrs: 200 })).not.toThrow();
});

describe("a Realm with PMU", () => {
  test.each([0, 1, 4, PMU_COUNTERS])("of %i event counters", (count) => {
    const { rec, noted } = realmWith(
      [
        note(0, PMU.PMCR, DFR0),
        set(PMU.PMCNTENSET, -1n),
        set(PMU.PMEVCNTR3, 0x77n),
        note(2, PMU.PMCNTENSET, PMU.PMEVCNTR3),
        OFF,
      ],
      { flags: PMU_FLAG, pmu_num_ctrs: count },
    );
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    expect(noted(0)).toBe(0x60n | (BigInt(count) << 11n));
    expect((noted(1) >> 8n) & 0xfn).toBe(7n);
    expect(noted(2)).toBe(0x8000_0000n | ((1n << BigInt(count)) - 1n));
    expect(noted(3)).toBe(count > 3 ? 0x77n : 0n);
  });

  const counting = [set(PMU.PMEVTYPER0, INST_RETIRED), set(PMU.PMCNTENSET, 1), set(PMU.PMCR, 1)].flat();

  test("counts its own instructions, neither the RMM's nor the Host's, through RSI and REC exits", () => {
    const { rec, noted, real } = realmWith(
      [
        counting,
        note(0, PMU.PMEVCNTR0),
        smc(RSI_FID.RSI_VERSION, 0x10000),
        note(1, PMU.PMEVCNTR0),
        HOST_CALL,
        note(2, PMU.PMEVCNTR0),
        OFF,
      ],
      { flags: PMU_FLAG, pmu_num_ctrs: 2 },
    );
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_HOST_CALL);
    real.runFor(5000); // the Host computes
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    // A note has what is before its MRS: the MSR that enables, or MRS and STR of the note before; and a MOVZ. An SMC that
    // traps is not executed.
    expect(noted(0)).toBe(2n);
    expect(noted(1) - noted(0)).toBe(BigInt(3 + smc(RSI_FID.RSI_VERSION, 0x10000).length - 1));
    expect(noted(2) - noted(1)).toBe(BigInt(3 + HOST_CALL.length - 1));
  });

  test("its registers are the REC's, and the Host finds its own", () => {
    const { rec, noted, real } = realmWith(
      [
        note(0, PMU.PMEVCNTR0, PMU.PMCCNTR, PMU.PMSELR, PMU.PMUSERENR),
        set(PMU.PMEVCNTR0, 0x1111),
        set(PMU.PMCCNTR, 0x2222),
        set(PMU.PMSELR, 3),
        set(PMU.PMUSERENR, 0xf),
        HOST_CALL,
        note(4, PMU.PMEVCNTR0, PMU.PMCCNTR, PMU.PMSELR, PMU.PMUSERENR),
        OFF,
      ],
      { flags: PMU_FLAG, pmu_num_ctrs: 2 },
    );
    const { first, count } = GROUPS.PMU;
    const ofHost = real.asHost(({ r }) => {
      for (let n = 0; n < count; n++) r[first + n] = BigInt(0x5000 + n);
      r[R.PMCR_EL0] = 0x20n;
      r[R.PMCNTENSET_EL0] = 0n;
      r[R.PMINTENSET_EL1] = 0n;
      r[R.PMOVSSET_EL0] = 0n;
      return r.slice(first, first + count);
    });
    const seen = () => real.asHost(({ r }) => r.slice(first, first + count));
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_HOST_CALL);
    expect(seen()).toEqual(ofHost);
    expect(rec.runUntilExit().exit_reason).toBe(RMI_EXIT_PSCI);
    expect(seen()).toEqual(ofHost);
    expect([0, 1, 2, 3].map(noted)).toEqual([0n, 0n, 0n, 0n]);
    expect([4, 5, 6, 7].map(noted)).toEqual([0x1111n, 0x2222n, 3n, 0xfn]);
  });

  test("an overflow is an exit by IRQ with pmu_ovf_status; the Host injects, the Realm clears", () => {
    const { rec, real } = realmWith(
      [
        set(PMU.PMEVCNTR0, 0xffff_fff0n),
        set(PMU.PMINTENSET, 1),
        counting,
        a.label("wait"),
        a.mrs(1, PMU.PMINTENSET),
        a.cbnz(1, "wait"),
        OFF,
      ],
      { flags: PMU_FLAG, pmu_num_ctrs: 1 },
    );
    enablePpi(real, PMU_PPI, true);
    const exit = rec.runUntilExit();
    expect(exit).toMatchObject({ exit_reason: RMI_EXIT_IRQ, esr: 0n, pmu_ovf_status: 1 });
    // The counter counts on while the flag is set; the Host that leaves the interrupt enabled learns of it again at once.
    expect(rec.runUntilExit()).toMatchObject({ exit_reason: RMI_EXIT_IRQ, pmu_ovf_status: 1 });
    // Outside of the REC the interrupt is not asserted: the state is the Host's.
    real.asHost((pe) => expect(pe.r[R.PMOVSSET_EL0]).toBe(0n));
  });

  test("RMI_REC_ENTER after the Host has masked the interrupt: the Realm gets its virtual one", () => {
    const { rec, noted, real } = realmWith(
      [
        a.adr(1, "vectors"),
        a.msr(a.SYS.VBAR_EL1, 1),
        set(a.SYS.ICC_PMR_EL1, 0xff),
        set(a.SYS.ICC_IGRPEN1_EL1, 1),
        a.ENABLE_IRQ,
        set(PMU.PMEVCNTR0, 0xffff_ff00n),
        set(PMU.PMINTENSET, 1),
        counting,
        a.label("wait"),
        a.b("wait"),
        a.org(0x800),
        a.label("vectors"),
        a.org(0x800 + 0x280),
        a.mrs(20, a.SYS.ICC_IAR1_EL1),
        set(PMU.PMOVSCLR, 1),
        a.msr(a.SYS.ICC_EOIR1_EL1, 20),
        note(0, 20, PMU.PMOVSCLR),
        OFF,
      ],
      { flags: PMU_FLAG, pmu_num_ctrs: 1 },
    );
    enablePpi(real, PMU_PPI, true);
    expect(rec.runUntilExit()).toMatchObject({ exit_reason: RMI_EXIT_IRQ, pmu_ovf_status: 1 });
    enablePpi(real, PMU_PPI, false);
    const lr = (1n << 62n) | (1n << 60n) | (0xa0n << 48n) | BigInt(PMU_PPI);
    expect(rec.runUntilExit({ gicv3_lrs: [lr] })).toMatchObject({ exit_reason: RMI_EXIT_PSCI, pmu_ovf_status: 0 });
    expect([noted(0), noted(1)]).toEqual([BigInt(PMU_PPI), 0n]);
  });
});

describe("a Realm without PMU", () => {
  test("has none to see, reads zeros and writes to nothing; the Host's counters do not count what it does", () => {
    const { rec, noted, real } = realmWith(
      [
        set(PMU.PMCNTENSET, -1n),
        set(PMU.PMCR, 1),
        note(0, DFR0, PMU.PMCR, PMU.PMCNTENSET, PMU.PMEVCNTR0, PMU.PMCCNTR),
        a.mov(2, 500),
        a.label("work"),
        a.subsImm(2, 2, 1),
        a.cbnz(2, "work"),
        OFF,
      ],
      {},
    );
    real.asHost(({ r }) => {
      // Everything everywhere, were it the Host's to say.
      r[R.MDCR_EL2] = BigInt(PMU_COUNTERS);
      r[R.PMEVTYPER0] = 0x0800_0008n;
      r[R.PMCNTENSET_EL0] = 1n;
      r[R.PMCR_EL0] = 1n;
    });
    const before = real.asHost(({ r }) => r[R.PMEVCNTR0]!);
    expect(rec.runUntilExit()).toMatchObject({ exit_reason: RMI_EXIT_PSCI, pmu_ovf_status: 0 });
    expect(real.asHost(({ r }) => r[R.PMEVCNTR0]!)).toBe(before);
    expect((noted(0) >> 8n) & 0xfn).toBe(0n);
    expect(noted(0) >> 60n).toBe(0n);
    expect([1, 2, 3, 4].map(noted)).toEqual([0n, 0n, 0n, 0n]);
  });
});

/** What a Host does at boot: its redistributor's PPI as Group 1, enabled; CPU interface on. */
function enablePpi({ machine }: RealMachine, intid: number, enabled: boolean): void {
  const { gicd, gicr } = machine.board;
  const from = { pe: 0, pas: 1, state: 1 } as const;
  const write = (pa: bigint, value: number) => void machine.bus.write(Number(pa), 4, BigInt(value), from);
  write(gicd, 0x12); // ARE_NS, EnableGrp1
  write(gicr + 0x14n, 0); // awake
  write(gicr + 0x1_0080n, 0xffff_ffff); // IGROUPR0
  write(gicr + (enabled ? 0x1_0100n : 0x1_0180n), 1 << intid); // ISENABLER0, ICENABLER0
  const { r } = machine.pes[0]!;
  r[R.ICC_PMR_EL1] = 0xffn;
  r[R.ICC_IGRPEN1_EL1] = 1n;
}
