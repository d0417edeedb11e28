/** The driver itself: its Host, its Realms and its agent, over the native RMM. */
import { PSCI_FID, RSI_FID } from "@realmbox/abi";
import { AGENT_PAGE, AGENT_PATTERN, Agent, a64, Bench, features, Realm } from "@realmbox/conformance";
import { disassemble } from "@realmbox/machine";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";

const bench = new Bench({ crypto: nodeCrypto, clockMax: 40_000 });
const PAGE = 0x1000n;

test("a play begins with a machine that has just booted", () => {
  const once = () =>
    bench.play(function* (host) {
      const { S2SZ } = yield* features(host);
      const realm = yield* Realm.create(host);
      return { S2SZ, rd: realm.rd, at: host.bench.machine.now };
    });
  const first = once();
  expect(first.S2SZ).toBe(48n);
  expect(once()).toEqual(first);
});

test("the agent reports registers and exceptions, and survives exits", () => {
  bench.play(function* (host) {
    const realm = yield* Realm.create(host);
    const agent = yield* Agent.create(host, realm, PAGE, { gprs: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] });
    yield* realm.activate(host);
    const { x } = yield* agent.begin(host);
    expect(x).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, ...Array<bigint>(22).fill(0n)]);

    expect(yield* agent.run(host, a64.NOP)).toEqual({ x: AGENT_PATTERN });
    expect(yield* agent.mrs(host, "CURRENT_EL")).toBe(4n);
    const undefined_ = yield* agent.run(host, a64.UDF);
    expect(undefined_.exception).toEqual({ vector: 0x200, esr: 0x200_0000n });
    expect(undefined_.x).toEqual(AGENT_PATTERN);
    expect((yield* agent.run(host, a64.SVC)).exception).toEqual({ vector: 0x200, esr: 0x5600_0000n });

    const version = yield* agent.smc(host, RSI_FID.RSI_VERSION, 0x1_0000n);
    expect(version.slice(0, 3)).toEqual([0n, 0x1_0000n, 0x1_0000n]);
    const exit = yield* agent.smcExit(host, PSCI_FID.PSCI_CPU_SUSPEND_64);
    expect(exit.reason).toBe("RMI_EXIT_PSCI");
    const after = yield* agent.finish(host);
    expect(after.x[0]).toBe(0n);
    expect(after.x.slice(4)).toEqual(AGENT_PATTERN.slice(4));
  });
});

test("a REC runs on another PE until it is kicked", () => {
  bench.play(function* (host) {
    const realm = yield* Realm.create(host);
    const agent = yield* Agent.create(host, realm, PAGE);
    yield* realm.activate(host);
    let spins = false;
    const task = yield* host.start(1, function* (other) {
      other.setUpInterrupts();
      yield* agent.begin(other);
      spins = true;
      const exit = yield* agent.exit(other, a64.SPIN);
      return { exit, taken: other.takeInterrupts() };
    });
    host.setUpInterrupts();
    yield* host.until(() => spins && host.bench.machine.pes[1]!.el === 1);
    expect(task.done).toBe(false);
    expect((yield* host.rmi("RMI_REC_DESTROY", agent.rec.addr)).status).toBe("RMI_ERROR_REC");
    host.kick(1);
    const { exit, taken } = yield* host.join(task);
    expect(exit.reason).toBe("RMI_EXIT_IRQ");
    expect(taken).toEqual([0]);
    yield* host.ok("RMI_REC_DESTROY", agent.rec.addr);
  });
});

test("what a script throws ends the play, and the next one is as independent as ever", () => {
  expect(() =>
    bench.play(function* (host) {
      yield* host.ok("RMI_REALM_ACTIVATE", 0n);
    }),
  ).toThrow("RMI_REALM_ACTIVATE(0x0): RMI_ERROR_INPUT 0 (rd_bound)");
  expect(() =>
    bench.play(function* (host) {
      while (true) yield* host.pause();
    }),
  ).toThrow("no end after");
  expect(
    bench.play(function* (host) {
      return (yield* host.delegated()) > 0n;
    }),
  ).toBe(true);
});

test("the agent's listing", () => {
  const view = new DataView(AGENT_PAGE.buffer);
  const listing: string[] = [];
  for (let at = 0; at < 0x400 && view.getUint32(at, true) !== 0; at += 4)
    listing.push(disassemble(view.getUint32(at, true), BigInt(at)));
  expect(listing.filter((line) => !/^(stp|ldp) /.test(line))).toMatchInlineSnapshot(`
    [
      "adr x30, 0x400",
      "adr x0, 0x800",
      "msr s3_0_c12_c0_0, x0",
      "isb",
      "str xzr, [x30, #8]",
      "mov x0, #0x199",
      "movk x0, #0xc400, lsl #16",
      "add x1, x30, #0x0",
      "smc #0x0",
      "cbnz x0, 0x50",
      "ldr x2, [x30, #8]",
      "adr x1, 0xc0",
      "str x2, [x1]",
      "dc cvau, x1",
      "dsb ish",
      "ic ivau, x1",
      "dsb ish",
      "isb",
      "nop",
      "nop",
      "str xzr, [x30, #8]",
      "b 0x50",
      "str x1, [x30, #24]",
      "mrs x1, esr_el1",
      "bfi x1, x0, #56, #4",
      "mov x0, #0x8000000000000000",
      "orr x1, x1, x0",
      "str x1, [x30, #8]",
      "b 0x50",
    ]
  `);
});
