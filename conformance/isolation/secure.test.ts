/**
 * The Secure world beside the Non-secure and the Realm one: guests/secure at S-EL1, reached by FF-A from emulated code at
 * NS-EL2 of the board `fvp`. What each may see of the other's memory and registers, and whose interrupts preempt whom.
 */
import { readFileSync } from "node:fs";
import { FFA_FID, RMI_FID } from "@realmbox/abi";
import { Agent, a64, Bench, Realm } from "@realmbox/conformance";
import { fvpBoard, R } from "@realmbox/machine";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";
import type { Assembler } from "../../packages/machine/test-support/assembler.js";
import { call, type Fvp, fvpWith, keep, print, UART } from "../../packages/monitor/src/fvp.oracle.js";

const IMAGE = new Uint8Array(readFileSync(new URL("../../guests/prebuilt-fvp/secure.bin", import.meta.url)));
const SECURE = { image: IMAGE, loadAt: 0x0700_0000n, el: 1 } as const;
const RESULTS = 0x8000_0000n;
const PSCI = { CPU_ON: 0xc400_0003, SYSTEM_OFF: 0x8400_0008 };
const UNKNOWN = 0xffff_ffff_ffff_ffffn;
/** The Host's endpoint to the payload's. */
const ENDPOINTS = 0x8001n;
const { FFA_MSG_SEND_DIRECT_REQ_64, FFA_MSG_SEND_DIRECT_RESP_64, FFA_SUCCESS, FFA_ERROR } = FFA_FID;
const [ECHO, READ, WRITE, COUNTER, REGISTERS, TIMER, INTERRUPTS, WHO] = [1, 2, 3, 4, 5, 6, 7, 8];
const NS = 1;

/** ESR of a data abort at the current EL with a granule protection fault, not on a walk. DDI 0487, "ESR_EL1", ISS of aborts. */
const GPF = (0x25n << 26n) | (1n << 25n) | 0x28n;
const WNR = 1n << 6n;

/** A direct request to the payload; its answer is kept from X3 on. */
function ask(a: Assembler, ...request: (bigint | number)[]): void {
  call(a, FFA_MSG_SEND_DIRECT_REQ_64, ENDPOINTS, 0, ...request);
}

function run(program: (a: Assembler) => void, options: Parameters<typeof fvpWith>[1] = { secure: SECURE }): Fvp {
  const fvp = fvpWith((a) => {
    a.mov(8, RESULTS);
    program(a);
    call(a, PSCI.SYSTEM_OFF);
  }, options);
  expect(fvp.machine.run({ instructions: 3_000_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
  return fvp;
}

test("the payload boots before the Host and answers its calls", () => {
  const fvp = run((a) => {
    print(a, UART[1], "host\n");
    call(a, FFA_FID.FFA_VERSION, 0x1_0000);
    keep(a, 0);
    call(a, FFA_FID.FFA_ID_GET);
    keep(a, 0, 2);
    ask(a, ECHO, 4, 5, 6, 7);
    keep(a, 0, 1, 3, 4, 5, 6, 7);
    ask(a, COUNTER);
    keep(a, 5);
  });
  expect(fvp.output("uart1")).toBe("secure: S-EL1 on PE 0x0000000000000000\nhost\n");
  expect(fvp.words(RESULTS, 3)).toEqual([0x1_0000n, FFA_SUCCESS, 0n]);
  expect(fvp.words(RESULTS + 24n, 8)).toEqual([
    FFA_MSG_SEND_DIRECT_RESP_64,
    0x8001_0000n,
    1n,
    ...[4n, 5n, 6n, 7n].map((value) => BigInt.asUintN(64, ~value)),
    100_000_000n,
  ]);
});

test("without an image FF-A is unknown, and no FIQ comes to EL3", () => {
  const fvp = run((a) => {
    call(a, FFA_FID.FFA_VERSION, 0x1_0000);
    keep(a, 0);
    ask(a, ECHO);
    keep(a, 0);
  }, {});
  expect(fvp.words(RESULTS, 2)).toEqual([UNKNOWN, UNKNOWN]);
  expect(fvp.machine.counters.fiqs).toBe(0);
});

test("what is not the Host's to call, or not to be sent, is refused without a switch", () => {
  const calls: (bigint | number)[][] = [
    [FFA_MSG_SEND_DIRECT_REQ_64, 0x1n], // to a Non-secure endpoint
    [FFA_MSG_SEND_DIRECT_REQ_64, 0x8000_8001n], // in a Secure endpoint's name
    [FFA_MSG_SEND_DIRECT_REQ_64, 0xffffn], // to the dispatcher
    [FFA_FID.FFA_MSG_WAIT],
    [FFA_FID.FFA_INTERRUPT],
    [FFA_FID.FFA_NORMAL_WORLD_RESUME],
    [FFA_FID.FFA_SECONDARY_EP_REGISTER, 0x8800_0000n],
    [0x8400_00f0n],
  ];
  const fvp = run((a) => {
    for (const values of calls) {
      call(a, ...values);
      keep(a, 0, 2);
    }
    ask(a, INTERRUPTS);
    keep(a, 4);
  });
  const [INVALID_PARAMETERS, NOT_SUPPORTED] = [0xffff_fffen, 0xffff_ffffn];
  const statuses = calls.map((_, n) => fvp.words(RESULTS + BigInt(n) * 16n, 2));
  expect(statuses).toEqual(calls.map((_, n) => [FFA_ERROR, n < 3 ? INVALID_PARAMETERS : NOT_SUPPORTED]));
  expect(fvp.words(RESULTS + BigInt(calls.length) * 16n, 1)).toEqual([0n]);
});

test("memory: Secure software reaches its own and the Host's, and no other world's", () => {
  const delegated = 0x9000_0000n;
  const reads = [
    { at: 0x0700_0000n, ns: 0, esr: 0n },
    { at: 0xfc00_0000n, ns: 0, esr: 0n },
    { at: 0x8000_1000n, ns: NS, esr: 0n },
    { at: 0x8000_1000n, ns: 0, esr: GPF }, // Non-secure memory by a Secure address
    { at: 0xfc00_0000n, ns: NS, esr: GPF },
    { at: 0xfdc0_0000n, ns: 0, esr: GPF }, // the RMM
    { at: 0xfdc0_0000n, ns: NS, esr: GPF },
    { at: 0xffc1_0000n, ns: 0, esr: GPF }, // the Root Monitor
    { at: delegated, ns: NS, esr: GPF },
    { at: delegated, ns: 0, esr: GPF },
  ];
  const fvp = run((a) => {
    a.mov(9, 0x8000_1000n).mov(10, 0x1234n).str(10, 9);
    call(a, RMI_FID.RMI_GRANULE_DELEGATE, delegated);
    keep(a, 0);
    for (const { at, ns } of reads) {
      ask(a, READ, at, ns);
      keep(a, 5, 6);
    }
    ask(a, WRITE, 0x8000_1008n, NS, 0x5678);
    keep(a, 5);
    ask(a, WRITE, delegated, NS, 0x5678);
    keep(a, 5);
    call(a, RMI_FID.RMI_GRANULE_DELEGATE, 0xfc00_0000n);
    keep(a, 0);
  });
  expect(fvp.words(RESULTS, 1)).toEqual([0n]);
  const NS_WINDOW = 0x10_0000_0000n;
  reads.forEach(({ at, ns, esr }, n) => {
    const far = esr === 0n ? 0n : at + (ns ? NS_WINDOW : 0n);
    expect([at, ns, ...fvp.words(RESULTS + 8n + BigInt(n) * 16n, 2)]).toEqual([at, ns, esr, far]);
  });
  expect(fvp.words(RESULTS + 8n + BigInt(reads.length) * 16n, 3)).toEqual([0n, GPF, 1n]); // RMI_ERROR_INPUT
  expect(fvp.words(0x8000_1000n, 2)).toEqual([0x1234n, 0x5678n]);
});

test("memory: the Host's accesses to Secure granules end in a granule protection fault", () => {
  const secure = [0x0600_0000n, 0x0700_0000n, 0xfc00_0000n];
  const fvp = run((a) => {
    a.set("VBAR_EL2", 0x8800_1000n);
    for (const at of secure) {
      a.mov(9, at).ldr(10, 9);
      keep(a, 11, 12);
      a.mov(9, at).str(10, 9);
      keep(a, 11, 12);
    }
    ask(a, READ, 0x0700_0000n, 0);
    keep(a, 4);
    call(a, PSCI.SYSTEM_OFF);
    // Synchronous, current EL with SP_EL2: ESR and FAR in X11 and X12, after the access.
    a.org(0x1200).mrs(11, "ESR_EL2").mrs(12, "FAR_EL2").mrs(13, "ELR_EL2").add(13, 13, 4).msr("ELR_EL2", 13);
    a.word(0xd69f_03e0); // eret
  });
  secure.forEach((at, n) => {
    expect(fvp.words(RESULTS + BigInt(n) * 32n, 4)).toEqual([GPF, at, GPF | WNR, at]);
  });
  const image = new DataView(IMAGE.buffer, IMAGE.byteOffset);
  expect(fvp.words(RESULTS + 96n, 1)).toEqual([image.getBigUint64(0, true)]);
});

test("registers: neither world sees or changes the other's", () => {
  const HOST = 0x4057_0000_0000_0000n;
  const names = ["TPIDR_EL0", "TPIDRRO_EL0", "TPIDR_EL1", "CNTV_CVAL_EL0", "CNTP_CVAL_EL0", "TPIDR_EL2", "FAR_EL1"];
  const fvp = run((a) => {
    for (const [n, name] of names.entries()) a.set(name, HOST + BigInt(n));
    a.mov(9, HOST + 0x99n).word(0x9e67_0123); // fmov d3, x9
    ask(a, REGISTERS, 0x5ec5_ec5e_c5ec_5ecen);
    keep(a, 4);
    for (const name of names) {
      a.mrs(9, name);
      keep(a, 9);
    }
    a.word(0x9e66_0069); // fmov x9, d3
    keep(a, 9);
    for (let n = 9; n <= 30; n++) a.mov(n, HOST + 0x100n + BigInt(n));
    ask(a, REGISTERS, 1);
    keep(a, 4, ...Array.from({ length: 22 }, (_, n) => 9 + n));
    ask(a, REGISTERS, 0);
    keep(a, 4);
  });
  expect(fvp.words(RESULTS, 1 + names.length)).toEqual([0n, ...names.map((_, n) => HOST + BigInt(n))]);
  const after = RESULTS + 8n + BigInt(names.length) * 8n;
  expect(fvp.words(after, 1)).toEqual([HOST + 0x99n]);
  const general = Array.from({ length: 22 }, (_, n) => HOST + 0x100n + BigInt(9 + n));
  expect(fvp.words(after + 8n, 24)).toEqual([0n, ...general, 0n]);
});

test("a Secure interrupt preempts the Host, who does not notice", () => {
  const ROUNDS = 20_000;
  const fvp = run((a) => {
    ask(a, INTERRUPTS);
    keep(a, 4);
    ask(a, TIMER, 5_000);
    for (let n = 0; n < 8; n++) a.mov(n, 0xabc0n + BigInt(n));
    a.mov(20, ROUNDS).mov(21, 0).label("loop").add(21, 21, 1).word(0xf100_0694); // subs x20, x20, #1
    a.bCond(1, "loop");
    keep(a, 0, 1, 2, 3, 4, 5, 6, 7, 21);
    ask(a, INTERRUPTS);
    keep(a, 4, 5);
  });
  expect(fvp.words(RESULTS, 1)).toEqual([0n]);
  expect(fvp.words(RESULTS + 8n, 8)).toEqual(Array.from({ length: 8 }, (_, n) => 0xabc0n + BigInt(n)));
  expect(fvp.words(RESULTS + 72n, 3)).toEqual([BigInt(ROUNDS), 1n, 29n]);
  expect(fvp.output("uart1")).toContain("secure: interrupt\n");
  expect(fvp.machine.counters.fiqs).toBe(1);
});

/** Scripts as the Host, and an agent in a Realm. */
const benchWithSecure = () =>
  new Bench({
    crypto: nodeCrypto,
    board: fvpBoard({ frameBytes: 32 << 20, peCount: 2 }),
    secure: SECURE,
    interleave: 0n,
    clockMax: 2_000_000,
  });

test("memory: Secure granules that the Host shows to a Realm as its own end in granule protection faults there", () => {
  benchWithSecure().play(function* (host) {
    const realm = yield* Realm.create(host);
    const agent = yield* Agent.create(host, realm, 0x1000n);
    yield* realm.activate(host);
    yield* agent.begin(host);
    for (const pa of [0x0700_0000n, 0xfc00_0000n]) {
      yield* realm.share(host, pa, { pa });
      const ipa = pa | realm.unprotected;
      for (const [word, isWrite] of [
        [a64.load(1, 2), 0n],
        [a64.store(1, 2), WNR],
      ] as const) {
        const { exception } = yield* agent.run(host, word, { 2: ipa });
        expect([pa, exception]).toEqual([pa, { vector: 0x200, esr: GPF | isWrite }]);
      }
    }
  });
});

test("a Secure interrupt that comes while a Realm runs is a REC exit due to FIQ", () => {
  const bench = benchWithSecure();
  bench.play(function* (host) {
    const realm = yield* Realm.create(host);
    const agent = yield* Agent.create(host, realm, 0x1000n);
    yield* realm.activate(host);
    yield* agent.begin(host);
    const request = [FFA_MSG_SEND_DIRECT_REQ_64, ENDPOINTS, 0n];
    yield* host.smc(...request, BigInt(TIMER), 2_000n);
    const exit = yield* agent.exit(host, a64.SPIN);
    expect(exit.reason).toBe("RMI_EXIT_FIQ");
    expect(exit.esr).toBe(0n);
    // This Host is native firmware, which nothing preempts; so the payload finds it at the next request.
    const answer = yield* host.smc(...request, BigInt(INTERRUPTS));
    expect(answer.slice(0, 5)).toEqual([FFA_MSG_SEND_DIRECT_RESP_64, 0x8001_0000n, 0n, BigInt(INTERRUPTS), 1n]);
  });
});

test("pieces and snapshots make no difference", () => {
  const program = (a: Assembler) => {
    ask(a, TIMER, 3_000);
    a.mov(20, 5_000).label("loop").word(0xf100_0694); // subs x20, x20, #1
    a.bCond(1, "loop");
    for (const pattern of [1, 2, 3]) {
      ask(a, REGISTERS, pattern);
      keep(a, 4);
    }
    ask(a, INTERRUPTS);
    keep(a, 4, 5);
  };
  const whole = run(program);
  const fvp = fvpWith(
    (a) => {
      a.mov(8, RESULTS);
      program(a);
      call(a, PSCI.SYSTEM_OFF);
    },
    { secure: SECURE },
  );
  const { machine } = fvp;
  let end = machine.run({ instructions: 97 });
  for (let n = 0; end.kind === "limit" && n < 20_000; n++) {
    if (n % 100 === 0) machine.restore(machine.snapshot());
    end = machine.run({ instructions: 97 });
  }
  expect(end.kind).toBe("stopped");
  expect(fvp.words(RESULTS, 5)).toEqual([0n, 0n, 0n, 1n, 29n]);
  expect(fvp.words(RESULTS, 5)).toEqual(whole.words(RESULTS, 5));
  expect(machine.now).toBe(whole.machine.now);
});

test("each PE that starts has its own Secure context, and loses it with CPU_OFF", () => {
  const fvp = run((a) => {
    const start = (context: number) => {
      call(a, PSCI.CPU_ON, 0x100, 0x8800_0800n, context);
      a.mov(9, RESULTS + 0x200n + BigInt(context) * 32n + 24n);
      a.label(`wait${context}`).ldr(10, 9).cbnz(10, `done${context}`).b(`wait${context}`).label(`done${context}`);
      // CPU_OFF may still be under way: until AFFINITY_INFO says OFF.
      a.label(`on${context}`);
      call(a, 0xc400_0004, 0x100, 0);
      a.cmp(0, 1).bCond(1, `on${context}`);
    };
    ask(a, REGISTERS, 77);
    keep(a, 4);
    start(0);
    start(1);
    ask(a, WHO);
    keep(a, 4);
    ask(a, REGISTERS, 77);
    keep(a, 4);
    call(a, PSCI.SYSTEM_OFF);
    // X0 is the context: who and register differences to RESULTS + 0x200 + 32 * context, then a mark.
    a.org(0x800)
      .mov(8, RESULTS + 0x200n)
      .word(0x8b00_1508); // add x8, x8, x0, lsl #5
    ask(a, WHO);
    keep(a, 4, 5);
    ask(a, REGISTERS, 99);
    keep(a, 4);
    a.mov(9, 1);
    keep(a, 9);
    call(a, 0x8400_0002);
  });
  expect(fvp.words(RESULTS, 3)).toEqual([0n, 0n, 0n]);
  for (const context of [0n, 1n])
    expect(fvp.words(RESULTS + 0x200n + context * 32n, 4)).toEqual([1n, 0x8100_0100n, 0n, 1n]);
  expect(fvp.output("uart1").match(/PE 0x0000000000000001/g)).toHaveLength(2);
});

test("an image that fails its boot leaves the Host alone, with no FF-A", () => {
  // mov x0, #FFA_ERROR; smc #0; b .
  const image = new Uint8Array(Uint32Array.of(0xd2b0_8000, 0xf280_0c00, 0xd400_0003, 0x1400_0000).buffer);
  const fvp = run(
    (a) => {
      call(a, FFA_FID.FFA_VERSION, 0x1_0000);
      keep(a, 0);
    },
    { secure: { image, loadAt: 0x0600_0000n, el: 2 } },
  );
  expect(fvp.words(RESULTS, 1)).toEqual([UNKNOWN]);
  expect(fvp.machine.pes[0]!.r[R.SCR_EL3]! & 1n).toBe(1n);
});
