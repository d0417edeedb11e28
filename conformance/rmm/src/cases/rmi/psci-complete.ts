/** RMI_PSCI_COMPLETE, and what PSCI_CPU_ON and PSCI_AFFINITY_INFO lead to. */
import { PSCI_FID, psciCode } from "@realmbox/abi";
import { type Agent, Agent as AgentOf, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalAll, refused } from "../check.js";
import { spinning } from "../running.js";
import { type Arranged, failureCases, granuleViolations, setArg } from "./violations.js";

const INPUT = "RMI_ERROR_INPUT";
const SUCCESS = psciCode("PSCI_SUCCESS");
const DENIED = psciCode("PSCI_DENIED");
const ALREADY_ON = psciCode("PSCI_ALREADY_ON");
const ENTRY = 0x2000n;

interface Pending extends Arranged {
  readonly realm: Realm;
  readonly agents: readonly Agent[];
}

/** REC 0 asks for REC 1 with a PSCI call; REC 1 is runnable or not; REC 2 is there, too. */
function* pendingCall(
  host: Host,
  { fid = PSCI_FID.PSCI_CPU_ON_64 as bigint, runnable = false, x2 = ENTRY, x3 = 0x1234n } = {},
): Script<Pending> {
  const realm = yield* Realm.create(host);
  const agents = [
    yield* AgentOf.create(host, realm, 0x1000n),
    yield* AgentOf.create(host, realm, ENTRY, { runnable, gprs: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] }),
    yield* AgentOf.create(host, realm, 0x3000n),
  ];
  yield* realm.activate(host);
  yield* agents[0]!.begin(host);
  const exit = yield* agents[0]!.smcExit(host, fid, 1n, x2, x3);
  equal(exit.reason, "RMI_EXIT_PSCI", "the exit");
  return {
    args: { calling_rec: agents[0]!.rec.addr, target_rec: agents[1]!.rec.addr, status: SUCCESS },
    realm,
    agents,
  };
}

const table = failureCases<Pending>({
  command: "RMI_PSCI_COMPLETE",
  arrange: (host) => pendingCall(host),
  violations: [
    {
      condition: "alias",
      status: INPUT,
      precondition: "calling_rec is target_rec",
      violate: setArg("target_rec", (s) => s.args.calling_rec!),
    },
    ...granuleViolations<Pending>("calling_rec", "REC", { prefix: "calling" }),
    ...granuleViolations<Pending>("target_rec", "REC", { prefix: "target" }),
    {
      condition: "calling_running",
      status: INPUT,
      precondition: "The calling REC runs on another PE (TF-RMM's rule)",
      changesState: true,
      *violate(host, { agents, args }) {
        yield* spinning(host, agents[2]!.rec);
        args.calling_rec = agents[2]!.rec.addr;
      },
    },
    {
      condition: "pending",
      status: INPUT,
      precondition: "The calling REC has no request",
      violate: setArg("calling_rec", ({ agents }) => agents[2]!.rec.addr),
    },
    {
      condition: "owner",
      status: INPUT,
      precondition: "The target is another Realm's REC of that index",
      *violate(host, s) {
        s.args.target_rec = (yield* pendingCall(host)).args.target_rec!;
      },
    },
    {
      condition: "target",
      status: INPUT,
      precondition: "The target is not the REC that the request names",
      violate: setArg("target_rec", ({ agents }) => agents[2]!.rec.addr),
    },
    {
      condition: "status",
      status: INPUT,
      precondition: "status is PSCI_INVALID_PARAMETERS",
      violate: setArg("status", psciCode("PSCI_INVALID_PARAMETERS")),
    },
    { condition: "status", variant: "wild", status: INPUT, precondition: "status is 1", violate: setArg("status", 1n) },
    {
      condition: "status",
      variant: "already_on",
      status: INPUT,
      precondition: "status is PSCI_ALREADY_ON",
      violate: setArg("status", ALREADY_ON),
    },
    {
      condition: "status",
      variant: "w_register",
      status: INPUT,
      precondition: "status is PSCI_DENIED in 32 bits",
      violate: setArg("status", 0xffff_fffdn),
    },
  ],
});

/** The status is refused, and the request remains. */
function deniedCase(
  name: string,
  precondition: string,
  options: Parameters<typeof pendingCall>[1],
  result: bigint,
): ConformanceCase {
  return {
    id: `RMI_PSCI_COMPLETE/status/${name}`,
    command: "RMI_PSCI_COMPLETE",
    kind: "failure",
    citation: 'DEN0137 1.0-rel0, "RMI_PSCI_COMPLETE command", failure condition status',
    preconditions: precondition,
    conditions: ["RMI_PSCI_COMPLETE/status"],
    *run(host) {
      const { args, agents } = yield* pendingCall(host, options);
      const call = (status: bigint) => host.rmi("RMI_PSCI_COMPLETE", args.calling_rec!, args.target_rec!, status);
      refused(host, yield* call(DENIED), { status: INPUT, condition: "status" });
      equal((yield* call(SUCCESS)).status, "RMI_SUCCESS", "completion with PSCI_SUCCESS afterwards");
      equal((yield* agents[0]!.finish(host)).x[0], result, "X0 of the Realm's call");
    },
  };
}

/** Completes with a status; X0 to X3 of the caller. */
function* completed(host: Host, { args, agents }: Pending, status: bigint): Script<readonly bigint[]> {
  yield* host.ok("RMI_PSCI_COMPLETE", args.calling_rec!, args.target_rec!, status);
  return (yield* agents[0]!.finish(host)).x.slice(0, 4);
}

const effectCases = effects("RMI_PSCI_COMPLETE", "RMI_PSCI_COMPLETE command, success conditions", {
  cpu_on: [
    "PSCI_CPU_ON of a REC that is off: SUCCESS; the target runs at the entry point with the context id, the rest zero",
    function* (host) {
      const call = yield* pendingCall(host);
      equalAll(yield* completed(host, call, SUCCESS), [0n, 0n, 0n, 0n], "X0 to X3 of the caller");
      const { x } = yield* call.agents[1]!.begin(host);
      equalAll(x, [0x1234n, ...Array<bigint>(29).fill(0n)], "X0 to X29 of the target");
      equal(yield* call.agents[1]!.mrs(host, "DAIF"), 0x3c0n, "DAIF of the target");
      equal(yield* call.agents[1]!.mrs(host, "CURRENT_EL"), 4n, "CurrentEL of the target");
      equal((yield* call.agents[1]!.mrs(host, "SCTLR_EL1")) & 0x1005n, 0n, "SCTLR_EL1.M, C and I of the target");
    },
  ],
  cpu_on_32: [
    "PSCI_CPU_ON with its SMC32 function identifier: the same",
    function* (host) {
      const call = yield* pendingCall(host, { fid: PSCI_FID.PSCI_CPU_ON });
      equalAll(yield* completed(host, call, SUCCESS), [0n, 0n, 0n, 0n], "X0 to X3 of the caller");
      yield* call.agents[1]!.begin(host);
    },
  ],
  cpu_on_again: [
    "PSCI_CPU_ON of a REC that turned itself off: it starts anew",
    function* (host) {
      const call = yield* pendingCall(host, { runnable: true });
      const [first, second] = call.agents;
      equalAll(yield* completed(host, call, SUCCESS), [ALREADY_ON, 0n, 0n, 0n], "X0 to X3 while the target is on");
      yield* second!.begin(host);
      yield* second!.smcExit(host, PSCI_FID.PSCI_CPU_OFF);
      yield* first!.smcExit(host, PSCI_FID.PSCI_CPU_ON_64, 1n, ENTRY, 99n);
      equalAll(yield* completed(host, call, SUCCESS), [0n, 0n, 0n, 0n], "X0 to X3 after it has turned itself off");
      equalAll((yield* second!.begin(host)).x, [99n, ...Array<bigint>(29).fill(0n)], "X0 to X29 of the target");
    },
  ],
  cpu_on_already_on: [
    "PSCI_CPU_ON of a REC that is on: ALREADY_ON, and the target is as it was",
    function* (host) {
      const call = yield* pendingCall(host, { runnable: true });
      equalAll(yield* completed(host, call, SUCCESS), [ALREADY_ON, 0n, 0n, 0n], "X0 to X3 of the caller");
      equalAll(
        (yield* call.agents[1]!.begin(host)).x.slice(0, 8),
        [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n],
        "X0 to X7 of the target",
      );
    },
  ],
  cpu_on_denied: [
    "PSCI_CPU_ON of a REC that is off, denied by the Host: DENIED, and the target is still off",
    function* (host) {
      const call = yield* pendingCall(host);
      equalAll(yield* completed(host, call, DENIED), [DENIED, 0n, 0n, 0n], "X0 to X3 of the caller");
      const entered = yield* call.agents[1]!.rec.tryEnter(host);
      refused(host, entered, { status: "RMI_ERROR_REC", condition: "rec_runnable" });
    },
    { conditions: ["RMI_REC_ENTER/rec_runnable"] },
  ],
  affinity_on: [
    "PSCI_AFFINITY_INFO of a REC that is on: ON",
    function* (host) {
      const call = yield* pendingCall(host, { fid: PSCI_FID.PSCI_AFFINITY_INFO_64, runnable: true, x2: 0n });
      equalAll(yield* completed(host, call, SUCCESS), [0n, 0n, 0n, 0n], "X0 to X3 of the caller");
    },
  ],
  affinity_off: [
    "PSCI_AFFINITY_INFO of a REC that is off: OFF",
    function* (host) {
      const call = yield* pendingCall(host, { fid: PSCI_FID.PSCI_AFFINITY_INFO_64, x2: 0n });
      equalAll(yield* completed(host, call, SUCCESS), [1n, 0n, 0n, 0n], "X0 to X3 of the caller");
    },
  ],
  affinity_after_off: [
    "PSCI_AFFINITY_INFO of a REC that has turned itself off: OFF",
    function* (host) {
      const call = yield* pendingCall(host, { fid: PSCI_FID.PSCI_AFFINITY_INFO_64, runnable: true, x2: 0n });
      yield* call.agents[1]!.begin(host);
      yield* call.agents[1]!.smcExit(host, PSCI_FID.PSCI_CPU_OFF);
      equal((yield* completed(host, call, SUCCESS))[0], 1n, "X0 of the caller");
    },
  ],
  not_pending: [
    "A completed request is not pending: the caller runs, and completing again is refused",
    function* (host) {
      const call = yield* pendingCall(host);
      yield* completed(host, call, SUCCESS);
      const again = yield* host.rmi("RMI_PSCI_COMPLETE", ...Object.values(call.args));
      refused(host, again, { status: INPUT, condition: "pending" });
    },
    { conditions: ["RMI_PSCI_COMPLETE/pending"] },
  ],
  registers_kept: [
    "The caller's X4 to X29 are as they were",
    function* (host) {
      const call = yield* pendingCall(host);
      yield* host.ok("RMI_PSCI_COMPLETE", ...Object.values(call.args));
      const { x } = yield* call.agents[0]!.finish(host);
      for (let n = 4; n < 30; n++) equal(x[n], 0xc0de_0000_0000_0000n + BigInt(n) * 0x0101_0101n, `X${n}`);
    },
  ],
  system_off: [
    "A request can be completed after the Realm has turned itself off",
    function* (host) {
      const call = yield* pendingCall(host);
      yield* call.agents[2]!.begin(host);
      yield* call.agents[2]!.smcExit(host, PSCI_FID.PSCI_SYSTEM_OFF);
      yield* host.ok("RMI_PSCI_COMPLETE", ...Object.values(call.args));
    },
  ],
  running_target: [
    "PSCI_CPU_ON of a REC that runs on another PE: ALREADY_ON",
    function* (host) {
      const call = yield* pendingCall(host, { runnable: true });
      const spin = yield* spinning(host, call.agents[1]!.rec);
      equalAll(yield* completed(host, call, SUCCESS), [ALREADY_ON, 0n, 0n, 0n], "X0 to X3 of the caller");
      equal((yield* spin.stop()).reason, "RMI_EXIT_IRQ", "the target's exit");
    },
  ],
});

export const psciCompleteCases: readonly ConformanceCase[] = [
  ...table,
  deniedCase("denied_runnable", "PSCI_DENIED for PSCI_CPU_ON of a REC that is on", { runnable: true }, ALREADY_ON),
  deniedCase(
    "denied_affinity",
    "PSCI_DENIED for PSCI_AFFINITY_INFO",
    { fid: PSCI_FID.PSCI_AFFINITY_INFO_64, x2: 0n },
    1n,
  ),
  ...effectCases,
];
