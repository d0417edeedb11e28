/** PSCI as a Realm sees it. RMI_PSCI_COMPLETE has the rest of PSCI_CPU_ON and PSCI_AFFINITY_INFO. */
import { PSCI_FID, type PsciFunction, psciCode } from "@realmbox/abi";
import { AGENT_PATTERN, type Agent, type Host, type RecExit, type Script } from "../driver/index.js";
import { type ConformanceCase, DEN0137, effects } from "./case.js";
import { check, equal, equalAll, refused } from "./check.js";
import { othersKept, psciFailures, runningRealm } from "./realm-calls.js";

const NOT_SUPPORTED = psciCode("PSCI_NOT_SUPPORTED");
const INVALID_PARAMETERS = psciCode("PSCI_INVALID_PARAMETERS");
const ALREADY_ON = psciCode("PSCI_ALREADY_ON");
const INVALID_ADDRESS = psciCode("PSCI_INVALID_ADDRESS");

/** An exit that tells a PSCI call: function, target, and nothing else. */
function exitIs(exit: RecExit, fid: bigint, target = 0n): void {
  equal(exit.reason, "RMI_EXIT_PSCI", "the exit");
  equalAll(exit.gprs.slice(0, 2), [fid, target], "gprs[0] and [1]");
  equalAll(exit.gprs.slice(4), Array<bigint>(27).fill(0n), "gprs[4] and up");
  equalAll([exit.esr, exit.far, exit.hpfar, BigInt(exit.imm)], [0n, 0n, 0n, 0n], "esr, far, hpfar, imm");
}

const failures = psciFailures([
  {
    command: "PSCI_FEATURES",
    condition: "func_id",
    x0: NOT_SUPPORTED,
    precondition: "The function asked about is MIGRATE",
    args: [0x8400_0005n],
  },
  {
    command: "PSCI_FEATURES",
    condition: "func_id",
    variant: "system_reset2",
    x0: NOT_SUPPORTED,
    precondition: "The function asked about is SYSTEM_RESET2",
    args: [0x8400_0012n],
  },
  {
    command: "PSCI_FEATURES",
    condition: "func_id",
    variant: "rsi",
    x0: NOT_SUPPORTED,
    precondition: "The function asked about is RSI_VERSION",
    args: [0xc400_0190n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "entry",
    x0: INVALID_ADDRESS,
    precondition: "The entry point is Unprotected",
    args: [1n, 1n << 32n, 0n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "entry",
    variant: "wild",
    x0: INVALID_ADDRESS,
    precondition: "The entry point is 2^63",
    args: [1n, 1n << 63n, 0n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "mpidr",
    x0: INVALID_PARAMETERS,
    precondition: "No REC has the target's index",
    args: [2n, 0x2000n, 0n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "mpidr",
    variant: "aff1",
    x0: INVALID_PARAMETERS,
    precondition: "The target has Aff1 = 1",
    args: [0x100n, 0x2000n, 0n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "mpidr",
    variant: "aff3",
    x0: INVALID_PARAMETERS,
    precondition: "The target has Aff3 = 1",
    args: [1n << 32n, 0x2000n, 0n],
  },
  {
    command: "PSCI_CPU_ON_64",
    condition: "already_on",
    x0: ALREADY_ON,
    precondition: "The target is the caller",
    args: [0n, 0x2000n, 0n],
  },
  {
    command: "PSCI_CPU_ON",
    condition: "already_on",
    variant: "smc32",
    x0: ALREADY_ON,
    precondition: "The target is the caller, SMC32",
    args: [0n, 0x2000n, 0n],
  },
  {
    command: "PSCI_AFFINITY_INFO_64",
    condition: "level",
    x0: INVALID_PARAMETERS,
    precondition: "The affinity level is 1",
    args: [0n, 1n],
  },
  {
    command: "PSCI_AFFINITY_INFO_64",
    condition: "level",
    variant: "3",
    x0: INVALID_PARAMETERS,
    precondition: "The affinity level is 3",
    args: [1n, 3n],
  },
  {
    command: "PSCI_AFFINITY_INFO_64",
    condition: "target",
    x0: INVALID_PARAMETERS,
    precondition: "No REC has the target's index",
    args: [2n, 0n],
  },
  {
    command: "PSCI_AFFINITY_INFO",
    condition: "target",
    variant: "smc32",
    x0: INVALID_PARAMETERS,
    precondition: "No REC has the target's index, SMC32",
    args: [0x1_0000n, 0n],
  },
]);

/** Functions of PSCI that a Realm does not have. */
const ABSENT: Readonly<Record<string, readonly bigint[]>> = {
  migrate: [0x8400_0005n, 0xc400_0005n],
  migrate_info: [0x8400_0006n, 0x8400_0007n, 0xc400_0007n],
  cpu_freeze: [0x8400_000bn],
  cpu_default_suspend: [0x8400_000cn, 0xc400_000cn],
  node_hw_state: [0x8400_000dn, 0xc400_000dn],
  system_suspend: [0x8400_000en, 0xc400_000en],
  set_suspend_mode: [0x8400_000fn],
  statistics: [0x8400_0010n, 0xc400_0010n, 0x8400_0011n, 0xc400_0011n],
  system_reset2: [0x8400_0012n, 0xc400_0012n],
  mem_protect: [0x8400_0013n, 0x8400_0014n, 0xc400_0014n],
  wrong_width: [0xc400_0000n, 0xc400_0002n, 0xc400_0008n, 0xc400_0009n, 0xc400_000an],
};

const absent: ConformanceCase[] = Object.entries(ABSENT).map(([name, fids], i) => ({
  id: i === 0 ? "PSCI/func_id" : `PSCI/func_id/${name}`,
  command: "PSCI",
  kind: "failure",
  citation: `${DEN0137}, "PSCI", functions that a Realm has`,
  preconditions: `A function that a Realm does not have: ${name.replaceAll("_", " ")}`,
  conditions: ["PSCI/func_id"],
  *run(host: Host) {
    const { agent } = yield* runningRealm(host);
    for (const fid of fids) {
      const x = yield* agent.smc(host, fid, 1n, 2n, 3n);
      equalAll(x.slice(0, 4), [NOT_SUPPORTED, 0n, 0n, 0n], `X0 to X3 of 0x${fid.toString(16)}`);
      othersKept(x, 0);
    }
  },
}));

const PRESENT: readonly PsciFunction[] = [
  "PSCI_CPU_SUSPEND",
  "PSCI_CPU_SUSPEND_64",
  "PSCI_CPU_OFF",
  "PSCI_CPU_ON",
  "PSCI_CPU_ON_64",
  "PSCI_AFFINITY_INFO",
  "PSCI_AFFINITY_INFO_64",
  "PSCI_SYSTEM_OFF",
  "PSCI_SYSTEM_RESET",
  "PSCI_FEATURES",
];

function* exitOf(host: Host, agent: Agent, command: PsciFunction, ...args: readonly bigint[]): Script<RecExit> {
  return yield* agent.smcExit(host, PSCI_FID[command], ...args);
}

const effectCases = [
  ...effects("PSCI_VERSION", "PSCI_VERSION command", {
    version: [
      "At least 1.1, and X1 to X3 zero",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const x = yield* agent.smc(host, PSCI_FID.PSCI_VERSION, 1n, 2n, 3n);
        check(x[0]! >= 0x1_0001n && x[0]! < 1n << 31n, `version 0x${x[0]!.toString(16)}`);
        equalAll(x.slice(1, 4), [0n, 0n, 0n], "X1 to X3");
        othersKept(x, 0);
      },
    ],
  }),
  ...effects("PSCI_FEATURES", "PSCI_FEATURES command", {
    present: [
      "Every function that a Realm has, and SMCCC_VERSION",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        for (const fid of [...PRESENT.map((name) => PSCI_FID[name]), 0x8000_0000n]) {
          equal((yield* agent.smc(host, PSCI_FID.PSCI_FEATURES, fid))[0], 0n, `X0 for 0x${fid.toString(16)}`);
        }
      },
    ],
  }),
  ...effects("PSCI_CPU_SUSPEND", "PSCI_CPU_SUSPEND command", {
    exit: [
      "An exit that tells the function alone; after the next entry the call has succeeded",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        for (const name of ["PSCI_CPU_SUSPEND_64", "PSCI_CPU_SUSPEND"] as const) {
          exitIs(yield* exitOf(host, agent, name, 0x10000n, 0x2000n, 7n), PSCI_FID[name]);
          const { x } = yield* agent.finish(host);
          equalAll(x.slice(0, 4), [0n, 0n, 0n, 0n], "X0 to X3");
          equalAll(x.slice(4), AGENT_PATTERN.slice(4), "X4 to X29");
        }
      },
    ],
  }),
  ...effects("PSCI_CPU_OFF", "PSCI_CPU_OFF command", {
    off: [
      "An exit that tells the function; the REC is not runnable, other RECs are",
      function* (host) {
        const { agents } = yield* runningRealm(host, {}, { recs: 2 });
        exitIs(yield* exitOf(host, agents[0]!, "PSCI_CPU_OFF"), PSCI_FID.PSCI_CPU_OFF);
        refused(host, yield* agents[0]!.rec.tryEnter(host), { status: "RMI_ERROR_REC", condition: "rec_runnable" });
        yield* agents[1]!.begin(host);
      },
      { conditions: ["RMI_REC_ENTER/rec_runnable"] },
    ],
  }),
  ...effects("PSCI_CPU_ON", "PSCI_CPU_ON command", {
    exit: [
      "An exit that tells function and target; the caller's request is pending, so it does not run",
      function* (host) {
        for (const name of ["PSCI_CPU_ON_64", "PSCI_CPU_ON"] as const) {
          const { agents } = yield* runningRealm(host, {}, { recs: 2 });
          exitIs(yield* exitOf(host, agents[0]!, name, 1n, 0x2000n, 5n), PSCI_FID[name], 1n);
          refused(host, yield* agents[0]!.rec.tryEnter(host), { status: "RMI_ERROR_REC", condition: "rec_psci" });
        }
      },
      { conditions: ["RMI_REC_ENTER/rec_psci"] },
    ],
    last_protected: [
      "The last Protected address is an entry point",
      function* (host) {
        const { agents, realm } = yield* runningRealm(host, {}, { recs: 2 });
        exitIs(
          yield* exitOf(host, agents[0]!, "PSCI_CPU_ON_64", 1n, realm.unprotected - 4n, 0n),
          PSCI_FID.PSCI_CPU_ON_64,
          1n,
        );
      },
    ],
  }),
  ...effects("PSCI_AFFINITY_INFO", "PSCI_AFFINITY_INFO command", {
    exit: [
      "An exit that tells function and target; the request is pending",
      function* (host) {
        const { agents } = yield* runningRealm(host, {}, { recs: 2 });
        exitIs(yield* exitOf(host, agents[0]!, "PSCI_AFFINITY_INFO_64", 1n, 0n), PSCI_FID.PSCI_AFFINITY_INFO_64, 1n);
        refused(host, yield* agents[0]!.rec.tryEnter(host), { status: "RMI_ERROR_REC", condition: "rec_psci" });
      },
      { conditions: ["RMI_REC_ENTER/rec_psci"] },
    ],
    self: [
      "The caller itself is ON, without an exit",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        equal((yield* agent.smc(host, PSCI_FID.PSCI_AFFINITY_INFO_64, 0n, 0n))[0], 0n, "X0");
      },
    ],
  }),
  ...effects("PSCI_SYSTEM_OFF", "PSCI_SYSTEM_OFF command", {
    off: [
      "SYSTEM_OFF and SYSTEM_RESET: an exit that tells the function; none of the Realm's RECs runs again",
      function* (host) {
        for (const name of ["PSCI_SYSTEM_OFF", "PSCI_SYSTEM_RESET"] as const) {
          const { agents } = yield* runningRealm(host, {}, { recs: 2 });
          exitIs(yield* exitOf(host, agents[0]!, name), PSCI_FID[name]);
          for (const { rec } of agents) {
            refused(host, yield* rec.tryEnter(host), { status: "RMI_ERROR_REALM", index: 1, condition: "system_off" });
          }
        }
      },
      { conditions: ["RMI_REC_ENTER/system_off"] },
    ],
  }),
];

export const psciCases: readonly ConformanceCase[] = [...failures, ...absent, ...effectCases];
