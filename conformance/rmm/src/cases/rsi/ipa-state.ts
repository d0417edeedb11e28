/** RSI_IPA_STATE_GET, RSI_IPA_STATE_SET: the RIPAS change protocol as the Realm and the Host see it. */
import { RSI_FID } from "@realmbox/abi";
import { AGENT_PATTERN, bytesFrom, enterFlags, Realm } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalAll } from "../check.js";
import { othersKept, rsiFailures, rsiOk, runningRealm } from "../realm-calls.js";
import { running } from "../rmi/violations.js";

const INPUT = "RSI_ERROR_INPUT";
const REJECT = enterFlags("RIPAS_RESPONSE");

const get = [
  ...rsiFailures("RSI_IPA_STATE_GET", [
    { condition: "base_align", status: INPUT, precondition: "base is not aligned to 4 KiB", args: [0x800n, 0x2000n] },
    {
      condition: "base_bound",
      status: INPUT,
      precondition: "base is Unprotected",
      args: ({ realm }) => [realm.unprotected, realm.unprotected + 0x1000n],
    },
    {
      condition: "base_bound",
      variant: "wild",
      status: INPUT,
      precondition: "base is 2^63",
      args: [1n << 63n, (1n << 63n) + 0x1000n],
    },
    { condition: "end_align", status: INPUT, precondition: "top is not aligned to 4 KiB", args: [0x1000n, 0x2800n] },
    {
      condition: "end_bound",
      status: INPUT,
      precondition: "top is one page into the Unprotected half",
      args: ({ realm }) => [0x1000n, realm.unprotected + 0x1000n],
    },
    { condition: "end_bound", variant: "wild", status: INPUT, precondition: "top is 2^63", args: [0x1000n, 1n << 63n] },
    { condition: "size_valid", status: INPUT, precondition: "top is base", args: [0x1000n, 0x1000n] },
    {
      condition: "size_valid",
      variant: "below",
      status: INPUT,
      precondition: "top is below base",
      args: [0x2000n, 0x1000n],
    },
  ]),
  ...effects("RSI_IPA_STATE_GET", "RSI_IPA_STATE_GET command", {
    states: [
      "EMPTY, RAM and DESTROYED, each as far as it reaches below top",
      function* (host) {
        const realm = yield* Realm.create(host);
        yield* realm.ram(host, 0x1_0000n, 0x1_4000n);
        yield* realm.data(host, 0x1_8000n);
        const [agent] = yield* running(host, realm);
        yield* agent!.begin(host);
        yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x1_8000n);
        for (const [base, top, out, ripas] of [
          [0x1_0000n, 0x1_2000n, 0x1_2000n, 1n],
          [0x1_0000n, 0x1_6000n, 0x1_4000n, 1n],
          [0x1_4000n, 0x1_a000n, 0x1_8000n, 0n],
          [0x1_8000n, 0x1_a000n, 0x1_9000n, 2n],
        ] as const) {
          const x = yield* rsiOk(host, agent!, "RSI_IPA_STATE_GET", base, top);
          equalAll(x.slice(1, 4), [out, ripas, 0n], `X1 to X3 from 0x${base.toString(16)}`);
          othersKept(x, 2);
        }
      },
    ],
    block: [
      "A base within an entry above level 3: the entry's RIPAS, and no further than top",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        const x = yield* rsiOk(host, agent, "RSI_IPA_STATE_GET", 0x4000_1000n, 0x4000_2000n);
        equalAll(x.slice(1, 3), [0x4000_2000n, 0n], "X1 and X2");
        const last = yield* rsiOk(host, agent, "RSI_IPA_STATE_GET", realm.unprotected - 0x1000n, realm.unprotected);
        equalAll(last.slice(1, 3), [realm.unprotected, 0n], "X1 and X2 of the last page");
      },
    ],
  }),
];

const set = [
  ...rsiFailures("RSI_IPA_STATE_SET", [
    {
      condition: "ripas_valid",
      status: INPUT,
      precondition: "ripas is DESTROYED",
      args: [0x1_0000n, 0x1_1000n, 2n, 0n],
    },
    {
      condition: "ripas_valid",
      variant: "255",
      status: INPUT,
      precondition: "ripas is 255",
      args: [0x1_0000n, 0x1_1000n, 255n, 0n],
    },
    {
      condition: "base_align",
      status: INPUT,
      precondition: "base is not aligned to 4 KiB",
      args: [0x1_0800n, 0x1_2000n, 1n, 0n],
    },
    {
      condition: "top_align",
      status: INPUT,
      precondition: "top is not aligned to 4 KiB",
      args: [0x1_0000n, 0x1_1800n, 1n, 0n],
    },
    { condition: "size_valid", status: INPUT, precondition: "top is base", args: [0x1_0000n, 0x1_0000n, 1n, 0n] },
    {
      condition: "size_valid",
      variant: "below",
      status: INPUT,
      precondition: "top is below base",
      args: [0x1_0000n, 0n, 1n, 0n],
    },
    {
      condition: "rgn_bound",
      status: INPUT,
      precondition: "top is one page into the Unprotected half",
      args: ({ realm }) => [0x1_0000n, realm.unprotected + 0x1000n, 1n, 0n],
    },
    {
      condition: "rgn_bound",
      variant: "unprotected",
      status: INPUT,
      precondition: "The range is Unprotected",
      args: ({ realm }) => [realm.unprotected, realm.unprotected + 0x1000n, 1n, 0n],
    },
    {
      condition: "rgn_bound",
      variant: "wild",
      status: INPUT,
      precondition: "top is 2^63",
      args: [0x1_0000n, 1n << 63n, 1n, 0n],
    },
  ]),
  ...effects("RSI_IPA_STATE_SET", "RSI_IPA_STATE_SET command; REC exit due to RIPAS change", {
    exit: [
      "The exit tells base, top and value, and nothing else",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        for (const value of [1n, 0n]) {
          const exit = yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, value, 0n);
          equal(exit.reason, "RMI_EXIT_RIPAS_CHANGE", "the exit");
          equalAll(
            [exit.ripas_base, exit.ripas_top, BigInt(exit.ripas_value)],
            [0x1_0000n, 0x1_4000n, value],
            "ripas_*",
          );
          equalAll([exit.esr, exit.far, exit.hpfar, BigInt(exit.imm)], [0n, 0n, 0n, 0n], "esr, far, hpfar, imm");
          equalAll(exit.gprs, Array<bigint>(31).fill(0n), "gprs");
          yield* agent.finish(host);
        }
      },
    ],
    accepted: [
      "The Host changes all of it: X1 is top, X2 ACCEPT; X4 and up are as they were",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, 0x1_0000n, 0x1_4000n);
        const { x } = yield* agent.finish(host);
        equalAll(x.slice(0, 4), [0n, 0x1_4000n, 0n, 0n], "X0 to X3");
        othersKept(x, 4, [...AGENT_PATTERN.slice(0, 4), 0n, ...AGENT_PATTERN.slice(5)]);
      },
    ],
    partial: [
      "The Host changes a part of it and accepts: X1 is where it stopped",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, 0x1_0000n, 0x1_1000n);
        equalAll((yield* agent.finish(host)).x.slice(0, 3), [0n, 0x1_1000n, 0n], "X0 to X2");
      },
    ],
    nothing: [
      "The Host changes nothing and accepts: X1 is base",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        equalAll((yield* agent.finish(host)).x.slice(0, 3), [0n, 0x1_0000n, 0n], "X0 to X2");
      },
    ],
    rejected: [
      "The Host rejects a change to RAM, at once or after a part of it: X2 is REJECT",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        equalAll((yield* agent.finish(host, { flags: REJECT })).x.slice(0, 3), [0n, 0x1_0000n, 1n], "X0 to X2");
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, 0x1_0000n, 0x1_2000n);
        equalAll(
          (yield* agent.finish(host, { flags: REJECT })).x.slice(0, 3),
          [0n, 0x1_2000n, 1n],
          "X0 to X2 after a part",
        );
      },
    ],
    reject_means_nothing: [
      "Rejecting what is done, or a change to EMPTY, is no rejection: X2 is ACCEPT",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 1n, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, 0x1_0000n, 0x1_4000n);
        equalAll(
          (yield* agent.finish(host, { flags: REJECT })).x.slice(0, 3),
          [0n, 0x1_4000n, 0n],
          "X0 to X2, all is done",
        );
        yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_4000n, 0n, 0n);
        equalAll(
          (yield* agent.finish(host, { flags: REJECT })).x.slice(0, 3),
          [0n, 0x1_0000n, 0n],
          "X0 to X2, to EMPTY",
        );
      },
    ],
    flag_sbz: [
      "Bits 63:1 of flags do not matter",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const exit = yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x1_0000n, 0x1_1000n, 1n, 0xffff_fffen);
        equal(exit.reason, "RMI_EXIT_RIPAS_CHANGE", "the exit");
      },
    ],
    whole_half: [
      "The last page of the Protected half is a range",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        const { unprotected } = realm;
        const exit = yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, unprotected - 0x1000n, unprotected, 1n, 0n);
        equal(exit.ripas_top, unprotected, "ripas_top");
      },
    ],
    host_cannot_make_ram: [
      "A page that the Host takes back and gives again stays DESTROYED until the Realm asks with RSI_CHANGE_DESTROYED",
      function* (host) {
        const realm = yield* Realm.create(host);
        yield* realm.data(host, 0x9000n, bytesFrom(1));
        const [agent] = yield* running(host, realm);
        yield* agent!.begin(host);
        yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x9000n);
        yield* realm.unknownData(host, 0x9000n);
        equal((yield* rsiOk(host, agent!, "RSI_IPA_STATE_GET", 0x9000n, 0xa000n))[2], 2n, "RIPAS");
        yield* agent!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, 0x9000n, 0xa000n, 1n, 1n);
        yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent!.rec.addr, 0x9000n, 0xa000n);
        equal((yield* agent!.finish(host)).x[1], 0xa000n, "X1");
        equal((yield* rsiOk(host, agent!, "RSI_IPA_STATE_GET", 0x9000n, 0xa000n))[2], 1n, "RIPAS afterwards");
      },
    ],
  }),
];

export const ipaStateCases: readonly ConformanceCase[] = [...get, ...set];
