/** RMI_REC_ENTER: its failure conditions, and what an entry does before the REC runs. Exits are in exits.ts. */
import { PSCI_FID, RmiRecEnter } from "@realmbox/abi";
import {
  type Agent,
  a64,
  enterFlags,
  features,
  type Host,
  Realm,
  type RecEnter,
  type Script,
} from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { check, equal, equalAll, refused } from "../check.js";
import { spinning } from "../running.js";
import {
  type Arranged,
  failureCases,
  granuleViolations,
  hostPageViolations,
  running,
  type Violation,
} from "./violations.js";

interface Entry extends Arranged {
  readonly realm: Realm;
  readonly agents: readonly Agent[];
}

/** A Realm whose REC 0 has been entered once; REC 1 exists. */
function* entry(host: Host): Script<Entry> {
  const realm = yield* Realm.create(host);
  const agents = yield* running(host, realm, 2);
  yield* agents[0]!.begin(host);
  return { args: { rec: agents[0]!.rec.addr, run_ptr: host.page() }, realm, agents };
}

/** Another RmiRecEnter. */
const withEnter = (enter: RecEnter | ((host: Host) => Script<RecEnter>)) =>
  function* (host: Host, s: Entry): Script {
    s.args.run_ptr = host.page(RmiRecEnter.encode(typeof enter === "function" ? yield* enter(host) : enter));
  };

const wrongGic = (
  variant: string | undefined,
  precondition: string,
  enter: RecEnter | ((host: Host) => Script<RecEnter>),
): Violation<Entry> => ({
  condition: "rec_gicv3",
  ...(variant && { variant }),
  status: "RMI_ERROR_REC",
  precondition,
  violate: withEnter(enter),
});

/** A list register in state Pending, with a vINTID. */
export const pending = (vintid: number, { priority = 0x80, group = 1, more = 0n } = {}): bigint =>
  (1n << 62n) | (BigInt(group) << 60n) | (BigInt(priority) << 48n) | BigInt(vintid) | more;

const HCR_FORBIDDEN = [0, 8, 9, 10, 11, 12, 13, 15, 16, 27, 31, 32, 63] as const;

const enterTable = failureCases<Entry>({
  command: "RMI_REC_ENTER",
  arrange: entry,
  violations: [
    ...hostPageViolations<Entry>("run_ptr", "run"),
    ...granuleViolations<Entry>("rec", "REC", { state: "rec_gran_state" }),
    {
      condition: "rec_state",
      status: "RMI_ERROR_REC",
      precondition: "The REC runs on another PE",
      changesState: true,
      *violate(host, { agents }) {
        yield* spinning(host, agents[0]!.rec, { begun: true });
      },
    },
    {
      condition: "realm_new",
      status: "RMI_ERROR_REALM",
      index: 0,
      precondition: "The Realm is NEW",
      *violate(host, s) {
        s.args.rec = (yield* (yield* Realm.create(host)).rec(host)).addr;
      },
    },
    {
      condition: "system_off",
      status: "RMI_ERROR_REALM",
      index: 1,
      precondition: "The Realm has turned itself off",
      changesState: true,
      *violate(host, { agents }) {
        yield* agents[0]!.smcExit(host, PSCI_FID.PSCI_SYSTEM_OFF);
      },
    },
    {
      condition: "rec_runnable",
      status: "RMI_ERROR_REC",
      precondition: "The REC has turned itself off",
      changesState: true,
      *violate(host, { agents }) {
        yield* agents[0]!.smcExit(host, PSCI_FID.PSCI_CPU_OFF);
      },
    },
    {
      condition: "rec_psci",
      status: "RMI_ERROR_REC",
      precondition: "The REC's PSCI request is pending",
      changesState: true,
      *violate(host, { agents }) {
        yield* agents[0]!.smcExit(host, PSCI_FID.PSCI_AFFINITY_INFO_64, 1n, 0n);
      },
    },
    wrongGic(undefined, "A list register has HW set", { gicv3_lrs: [pending(32, { more: 1n << 61n })] }),
    ...HCR_FORBIDDEN.map((n) => wrongGic(`hcr_${n}`, `gicv3_hcr has bit ${n} set`, { gicv3_hcr: 1n << BigInt(n) })),
    wrongGic("vintid_1020", "A list register has the special vINTID 1020", { gicv3_lrs: [pending(1020)] }),
    wrongGic("vintid_1023", "A list register has the special vINTID 1023", { gicv3_lrs: [pending(1023)] }),
    wrongGic("vintid_8191", "A list register has vINTID 8191, the last before LPIs", { gicv3_lrs: [pending(8191)] }),
    wrongGic("vintid_wild", "A list register has a vINTID beyond the implemented bits", {
      gicv3_lrs: [pending(0xffff_ffff)],
    }),
    wrongGic("pintid", "A list register without HW has bits of the pINTID set", {
      gicv3_lrs: [pending(40, { more: 1n << 33n })],
    }),
    wrongGic("priority", "A list register's priority has RES0 bits set", {
      gicv3_lrs: [pending(40, { priority: 0x81 })],
    }),
    wrongGic("duplicate", "Two list registers have one vINTID", { gicv3_lrs: [pending(40), pending(40)] }),
    wrongGic("duplicate_active", "Two list registers have one vINTID, one of them Active", {
      gicv3_lrs: [pending(40), (1n << 63n) | 40n],
    }),
    wrongGic("last_lr", "The last implemented list register has HW set", function* (host) {
      const count = Number((yield* features(host)).GICV3_NUM_LRS) + 1;
      return { gicv3_lrs: [...Array<bigint>(count - 1).fill(0n), pending(50, { more: 1n << 61n })] };
    }),
    {
      condition: "rec_mmio",
      status: "RMI_ERROR_REC",
      precondition: "emul_mmio is set, and the last exit was a host call",
      violate: withEnter({ flags: enterFlags("EMUL_MMIO") }),
    },
    ...(
      [
        ["protected", "a Data Abort at a Protected IPA", a64.load(0, 1), 0x5_0000n],
        ["no_syndrome", "a Data Abort at an Unprotected IPA without a syndrome", a64.loadExclusive(0, 1), 1n << 32n],
        ["wfi", "a trapped WFI", a64.WFI, 0n],
      ] as const
    ).map(
      ([variant, what, word, address]): Violation<Entry> => ({
        condition: "rec_mmio",
        variant,
        status: "RMI_ERROR_REC",
        precondition: `emul_mmio is set, and the last exit was ${what}`,
        *violate(host, s) {
          yield* aborted(host, s, word, address);
          yield* withEnter({ flags: enterFlags("EMUL_MMIO") })(host, s);
        },
      }),
    ),
    {
      condition: "inject_sea",
      status: "RMI_ERROR_REC",
      precondition: "inject_sea is set, and the last exit was a host call (TF-RMM's rule; the text has none)",
      violate: withEnter({ flags: enterFlags("INJECT_SEA") }),
    },
    {
      condition: "inject_sea",
      variant: "protected",
      status: "RMI_ERROR_REC",
      precondition: "inject_sea is set, and the last exit was a Data Abort at a Protected IPA",
      *violate(host, s) {
        yield* aborted(host, s, a64.load(0, 1), 0x5_0000n);
        yield* withEnter({ flags: enterFlags("INJECT_SEA") })(host, s);
      },
    },
  ],
  order: [
    [
      ["rec_align", "rec_bound", "rec_gran_state", "run_align", "run_bound", "run_pas"],
      ["rec_state", "rec_runnable", "rec_mmio", "realm_new", "system_off", "rec_gicv3", "rec_psci"],
    ],
  ],
});

/** REC 0's last exit is by this access; the IPA is RAM without a page where it is Protected. */
function* aborted(host: Host, { agents, realm }: Entry, word: number, address: bigint): Script {
  const [agent] = agents;
  if (address !== 0n && address < realm.unprotected) yield* makeRam(host, realm, agent!, address);
  const exit = yield* agent!.exit(host, word, { 1: address }, { flags: enterFlags("TRAP_WFI") });
  equal(exit.reason, "RMI_EXIT_SYNC", "the exit before");
}

/** The Realm makes a page of its own RAM, of which it has no page yet. */
export function* makeRam(host: Host, realm: Realm, agent: Agent, ipa: bigint): Script {
  yield* realm.tables(host, ipa);
  const exit = yield* agent.smcExit(host, 0xc400_0197n, ipa, ipa + 0x1000n, 1n, 0n);
  equal(exit.reason, "RMI_EXIT_RIPAS_CHANGE", "the exit of RSI_IPA_STATE_SET");
  yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, ipa, ipa + 0x1000n);
  equal((yield* agent.finish(host)).x[1], ipa + 0x1000n, "X1 of RSI_IPA_STATE_SET");
}

const entryEffects = effects("RMI_REC_ENTER", "REC entry", {
  refusal_writes_nothing: [
    "A refused entry writes no RmiRecExit, and forgets nothing: the next entry goes on",
    function* (host) {
      const { agents, realm } = yield* entry(host);
      const [agent] = agents;
      const exit = yield* agent!.exit(host, a64.load(0, 1), { 1: realm.unprotected });
      equal(exit.reason, "RMI_EXIT_SYNC", "the exit");
      const wrong = { flags: enterFlags("EMUL_MMIO"), gprs: [7n], gicv3_hcr: 1n };
      refused(host, yield* agent!.rec.tryEnter(host, wrong), { status: "RMI_ERROR_REC", condition: "rec_gicv3" });
      check(!agent!.rec.exitWasWritten(host), "RmiRecExit was not written");
      const { x } = yield* agent!.finish(host, { flags: enterFlags("EMUL_MMIO"), gprs: [0x77n] });
      equal(x[0], 0x77n, "X0 after the emulated load");
    },
    { conditions: ["RMI_REC_ENTER/rec_gicv3"] },
  ],
  gicv3_hcr_bits: [
    "Each bit that the Host may set in gicv3_hcr is accepted, and shown at the exit",
    function* (host) {
      const { agents } = yield* entry(host);
      for (const n of [1n, 2n, 3n, 4n, 5n, 6n, 7n, 14n]) {
        const exit = yield* agents[0]!.rec.enter(host, { gprs: [BigInt(a64.NOP)], gicv3_hcr: 1n << n });
        check((exit.gicv3_hcr & (1n << n)) !== 0n, `bit ${n} of gicv3_hcr at the exit`);
        equal(exit.gicv3_hcr & ~0xf800_40fen, 0n, "bits of gicv3_hcr at the exit that the Host does not own");
        host.setUpInterrupts();
        host.takeInterrupts();
      }
    },
  ],
  list_registers: [
    "List registers go in and come out: pending ones that the REC masks are as they were",
    function* (host) {
      const { agents } = yield* entry(host);
      const lrs = [pending(27), pending(1019, { priority: 0 }), pending(0), pending(8192, { more: 1n << 41n })];
      const count = Number((yield* features(host)).GICV3_NUM_LRS) + 1;
      const given = lrs.slice(0, count);
      const exit = yield* agents[0]!.rec.enter(host, { gprs: [BigInt(a64.NOP)], gicv3_lrs: given });
      equalAll(exit.gicv3_lrs, [...given, ...Array<bigint>(16 - given.length).fill(0n)], "gicv3_lrs at the exit");
    },
  ],
  list_registers_inactive: [
    "A list register in state Inactive is not checked",
    function* (host) {
      const { agents } = yield* entry(host);
      const lr = (1n << 61n) | (0x81n << 48n) | 1023n;
      const exit = yield* agents[0]!.rec.enter(host, { gprs: [BigInt(a64.NOP)], gicv3_lrs: [lr] });
      equal(exit.reason, "RMI_EXIT_HOST_CALL", "the exit");
    },
  ],
  virtual_interrupt: [
    "A pending virtual interrupt is taken by the REC: acknowledged and ended, its list register is free",
    function* (host) {
      const { agents } = yield* entry(host);
      const [agent] = agents;
      yield* agent!.run(host, a64.msr("ICC_PMR_EL1", 0), { 0: 0xf0n });
      yield* agent!.run(host, a64.msr("ICC_IGRPEN1_EL1", 0), { 0: 1n });
      const { exception } = yield* agent!.run(host, a64.daifClr(2), {}, { second: a64.ISB, gicv3_lrs: [pending(27)] });
      equal(exception?.vector, 0x280, "the vector of the interrupt");
      const active = yield* agent!.exec(host, a64.mrs(0, "ICC_IAR1_EL1"), {}, { gicv3_lrs: [pending(27)] });
      check(active.kind === "report", "the agent reports");
      equal(active.kind === "report" ? active.report.x[0] : 0n, 27n, "ICC_IAR1_EL1");
      const rec = agent!.rec;
      const lr = rec.readExit(host, host.read(rec.run).subarray(0, 0x800)).gicv3_lrs[0]!;
      equal(lr >> 62n, 2n, "state of the acknowledged list register: Active");
      yield* agent!.run(host, a64.msr("ICC_EOIR1_EL1", 0), { 0: 27n }, { gicv3_lrs: [lr] });
      const after = rec.readExit(host, host.read(rec.run).subarray(0, 0x800)).gicv3_lrs[0]!;
      equal(after >> 62n, 0n, "state of the ended list register");
    },
    { citation: "REC interrupts; list registers" },
  ],
  pmr_kept: [
    "The REC's own GIC registers outlast its exits, and are not another REC's",
    function* (host) {
      const { agents } = yield* entry(host);
      const [first, second] = agents;
      yield* second!.begin(host);
      yield* first!.run(host, a64.msr("ICC_PMR_EL1", 0), { 0: 0xa0n });
      yield* second!.run(host, a64.msr("ICC_PMR_EL1", 0), { 0: 0x50n });
      equal(yield* first!.mrs(host, "ICC_PMR_EL1"), 0xa0n, "ICC_PMR_EL1 of REC 0");
      equal(yield* second!.mrs(host, "ICC_PMR_EL1"), 0x50n, "ICC_PMR_EL1 of REC 1");
    },
  ],
  registers_kept: [
    "General, SIMD and system registers outlast exits, and are not another REC's",
    function* (host) {
      const { agents } = yield* entry(host);
      const names = [
        "TPIDR_EL0",
        "TPIDR_EL1",
        "TPIDRRO_EL0",
        "CONTEXTIDR_EL1",
        "TTBR0_EL1",
        "MAIR_EL1",
        "SP_EL0",
        "ELR_EL1",
        "FAR_EL1",
        "PAR_EL1",
      ] as const;
      yield* agents[1]!.begin(host);
      for (const [i, agent] of agents.entries()) {
        for (const [n, name] of names.entries()) {
          yield* agent.run(host, a64.msr(name, 0), { 0: BigInt(0x1000 * (i + 1) + n) << 12n });
        }
        yield* agent.run(host, a64.msr("CPACR_EL1", 0), { 0: 3n << 20n }, { second: a64.ISB });
        yield* agent.run(host, FMOV_D7_X0, { 0: 0xfeed_0000n + BigInt(i) });
      }
      for (const [i, agent] of agents.entries()) {
        for (const [n, name] of names.entries()) {
          const expected = BigInt(0x1000 * (i + 1) + n) << 12n;
          const value = yield* agent.mrs(host, name);
          equal(
            name === "CONTEXTIDR_EL1" ? value : value,
            name === "CONTEXTIDR_EL1" ? expected & 0xffff_ffffn : expected,
            `${name} of REC ${i}`,
          );
        }
        equal((yield* agent.run(host, FMOV_X0_D7)).x[0], 0xfeed_0000n + BigInt(i), `D7 of REC ${i}`);
      }
    },
    { citation: "REC exit; saved state" },
  ],
  any_pe: [
    "A REC goes on where it was on another PE",
    function* (host) {
      const { agents } = yield* entry(host);
      const [agent] = agents;
      yield* agent!.run(host, a64.msr("TPIDR_EL1", 0), { 0: 0xabcdn });
      const task = yield* host.start(1, function* (other) {
        return yield* agent!.mrs(other, "TPIDR_EL1");
      });
      equal(yield* host.join(task), 0xabcdn, "TPIDR_EL1 on another PE");
    },
  ],
  two_recs_at_once: [
    "Two RECs of a Realm run at the same time on two PEs",
    function* (host) {
      const { agents } = yield* entry(host);
      const spin = yield* spinning(host, agents[1]!.rec);
      yield* agents[0]!.run(host, a64.NOP);
      equal((yield* spin.stop()).reason, "RMI_EXIT_IRQ", "the exit of REC 1");
    },
  ],
});

/** FMOV D7, X0 and FMOV X0, D7. */
const FMOV_D7_X0 = 0x9e67_0007;
const FMOV_X0_D7 = 0x9e66_00e0;

export const recEnterCases: readonly ConformanceCase[] = [...enterTable, ...entryEffects];
