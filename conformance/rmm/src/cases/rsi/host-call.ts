/** RSI_HOST_CALL: the structure, the exit, the answer. */
import { RSI_FID } from "@realmbox/abi";
import { AGENT_PATTERN, type Agent, enterFlags, type Host, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { check, equal, equalAll } from "../check.js";
import { BUFFER, EMPTY_PAGE, othersKept, peek, poke, rsiFailures, runningRealm } from "../realm-calls.js";

const INPUT = "RSI_ERROR_INPUT";
const AT = BUFFER + 0x300n;
const GPRS = Array.from({ length: 31 }, (_, n) => 0xaa00_0000_0000_0000n + BigInt(n) * 0x0101n);

/** Fills the structure at `at`: imm with bits beyond its 16, and all registers. */
function* fill(host: Host, agent: Agent, at = AT): Script {
  yield* poke(host, agent, at, 0xffff_ffff_ffff_4321n);
  for (const [n, value] of GPRS.entries()) yield* poke(host, agent, at + 8n + 8n * BigInt(n), value);
}

export const hostCallCases: readonly ConformanceCase[] = [
  ...rsiFailures("RSI_HOST_CALL", [
    {
      condition: "addr_align",
      status: INPUT,
      precondition: "addr is not aligned to 256 bytes",
      args: [BUFFER + 0x80n],
    },
    {
      condition: "addr_align",
      variant: "8",
      status: INPUT,
      precondition: "addr is aligned to 8 bytes only",
      args: [BUFFER + 8n],
    },
    {
      condition: "addr_bound",
      status: INPUT,
      precondition: "addr is Unprotected",
      args: ({ realm }) => [realm.unprotected],
    },
    { condition: "addr_bound", variant: "wild", status: INPUT, precondition: "addr is 2^63", args: [1n << 63n] },
    { condition: "ripas", status: INPUT, precondition: "RIPAS of addr is EMPTY", args: [EMPTY_PAGE] },
  ]),
  ...effects("RSI_HOST_CALL", "RSI_HOST_CALL command; REC exit due to Host call", {
    exit: [
      "The exit has imm and all 31 registers of the structure, and nothing else",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* fill(host, agent);
        const exit = yield* agent.smcExit(host, RSI_FID.RSI_HOST_CALL, AT);
        equal(exit.reason, "RMI_EXIT_HOST_CALL", "the exit");
        equal(exit.imm, 0x4321, "imm");
        equalAll(exit.gprs, GPRS, "gprs");
        equalAll(
          [exit.esr, exit.far, exit.hpfar, exit.ripas_base, exit.ripas_top],
          [0n, 0n, 0n, 0n, 0n],
          "esr to ripas_top",
        );
      },
    ],
    answer: [
      "The Host's 31 registers are in the structure, imm as before; of the Realm's registers X0 alone has changed",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* fill(host, agent);
        yield* agent.smcExit(host, RSI_FID.RSI_HOST_CALL, AT);
        const answer = GPRS.map((value) => value ^ 0xffn);
        const { x } = yield* agent.finish(host, { gprs: answer });
        equalAll(x, [0n, AT, ...AGENT_PATTERN.slice(2)], "X0 to X29");
        for (const n of [0, 1, 15, 30])
          equal(yield* peek(host, agent, AT + 8n + 8n * BigInt(n)), answer[n], `gprs[${n}]`);
        equal(yield* peek(host, agent, AT), 0xffff_ffff_ffff_4321n, "imm and what follows it");
      },
    ],
    no_page: [
      "RIPAS of addr is RAM, and there is no page: a Data Abort exit; with a page, the same call is made",
      function* (host) {
        const { realm, agent } = yield* runningRealm(host);
        yield* noPage(host, agent, () => realm.unknownData(host, 0xc000n));
      },
    ],
    page_goes_away: [
      "The page of the structure is gone at the next entry: a Data Abort exit at once, and the call stays pending",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        yield* fill(host, agent);
        yield* agent.smcExit(host, RSI_FID.RSI_HOST_CALL, AT);
        yield* host.ok("RMI_DATA_DESTROY", realm.rd, BUFFER);
        const outcome = yield* agent.resume(host, { gprs: GPRS });
        check(outcome.kind === "exit", "the REC exits");
        if (outcome.kind === "report") return;
        equal(outcome.exit.reason, "RMI_EXIT_SYNC", "the exit");
        equal(outcome.exit.esr, 0x9000_0007n, "esr");
        equal(outcome.exit.hpfar, BUFFER >> 8n, "hpfar");
      },
    ],
    structure_empty: [
      "Another REC makes the structure's page EMPTY: the Realm runs, and gets no answer",
      function* (host) {
        const { agents, realm } = yield* runningRealm(host, {}, { recs: 2 });
        const [first, second] = agents;
        yield* second!.begin(host);
        yield* first!.smcExit(host, RSI_FID.RSI_HOST_CALL, BUFFER);
        yield* second!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, BUFFER, BUFFER + 0x1000n, 0n, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, second!.rec.addr, BUFFER, BUFFER + 0x1000n);
        yield* second!.finish(host);
        const { exception } = yield* first!.finish(host, { gprs: GPRS });
        check(exception === undefined, "the Realm takes no exception");
      },
    ],
    emul_mmio: [
      "A host call's exit is no abort: emul_mmio is refused after it",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_HOST_CALL, BUFFER);
        equal((yield* agent.rec.tryEnter(host, { flags: enterFlags("EMUL_MMIO") })).status, "RMI_ERROR_REC", "status");
      },
      { conditions: ["RMI_REC_ENTER/rec_mmio"] },
    ],
    others: [
      "X4 to X29 outlast a call that is refused",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        othersKept(yield* agent.smc(host, RSI_FID.RSI_HOST_CALL, BUFFER + 1n), 0);
      },
      { conditions: ["RSI_HOST_CALL/addr_align"] },
    ],
  }),
];

/** RSI_HOST_CALL with a structure in RAM without a page: a Data Abort exit, then, after `repair`, the host call's. */
function* noPage(host: Host, agent: Agent, repair: () => Script<unknown>): Script {
  const { realm } = agent.rec;
  yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0xc000n, 0xd000n, 1n, 0n);
  yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, 0xc000n, 0xd000n);
  yield* agent.finish(host);
  const exit = yield* agent.smcExit(host, RSI_FID.RSI_HOST_CALL, 0xc100n);
  equal(exit.esr, 0x9000_0007n, "esr");
  equal(exit.hpfar, 0xc0n, "hpfar: the page, without the structure's offset");
  yield* repair();
  const outcome = yield* agent.resume(host);
  equal(outcome.kind === "exit" ? outcome.exit.reason : "a report", "RMI_EXIT_HOST_CALL", "the exit after the repair");
  equal((yield* agent.finish(host)).x[0], 0n, "X0");
}
