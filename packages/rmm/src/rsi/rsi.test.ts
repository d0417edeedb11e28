/** RSI: every failure condition of every command by its id, and what success does. */
import { createHash } from "node:crypto";
import { RmiRecExitReason, RSI_FID, type RsiCommand, RsiHostCall } from "@realmbox/abi";
import { decodeCoseKey, decodeRealmToken, splitCollection, verifySign1 } from "@realmbox/token";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../../realmbox/src/crypto/node.js";
import { RdLayout } from "../realm/rd.js";
import { BLOCK, Host, PAGE, type Realm, type RealmParams, type TestRec, UNPROTECTED } from "../testing/realm.js";
import { PLATFORM_TOKEN, StandIn } from "../testing/stand-in.js";
import { SIGNING_COUNTS } from "./attestation.js";
import { RSI_COMMANDS } from "./table.js";

const SUCCESS = 0n;
const INPUT = 1n;
const STATE = 2n;
const INCOMPLETE = 3n;
const UNKNOWN = 4n;
/** A page of RAM, one with RIPAS RAM and no page, and EMPTY ones. */
const RAM = PAGE;
const UNBACKED = 2n * PAGE;
const EMPTY = 8n * PAGE;

function running({
  params = {},
  prepare = () => {},
  machine,
}: {
  params?: RealmParams;
  prepare?: (realm: Realm) => void;
  machine?: StandIn;
} = {}) {
  const realm = (machine ? new Host(machine) : new Host()).realm(params);
  const page = realm.data(RAM);
  realm.ram(UNBACKED);
  prepare(realm);
  const rec = realm.rec();
  realm.activate();
  rec.enter();
  return { realm, rec, page: realm.machine.page(page), machine: realm.machine };
}

const CASES: Partial<Record<RsiCommand, readonly [condition: string, args: readonly bigint[], status: bigint][]>> = {
  RSI_VERSION: [["incompat_lower", [0x2_0000n], INPUT]],
  RSI_MEASUREMENT_READ: [
    ["index_bound", [5n], INPUT],
    ["index_bound", [1n << 63n], INPUT],
  ],
  RSI_MEASUREMENT_EXTEND: [
    ["index_bound", [0n, 8n], INPUT],
    ["index_bound", [5n, 8n], INPUT],
    ["size_bound", [1n, 65n], INPUT],
    ["size_bound", [1n, 1n << 63n], INPUT],
  ],
  RSI_ATTESTATION_TOKEN_CONTINUE: [
    ["addr_align", [RAM + 8n, 0n, 8n], INPUT],
    ["offset_bound", [RAM, 4096n, 0n], INPUT],
    ["size_bound", [RAM, 8n, 4096n], INPUT],
    ["size_overflow", [RAM, 8n, 0xffff_ffff_ffff_fff8n], INPUT],
    ["addr_bound", [UNPROTECTED, 0n, 8n], INPUT],
    ["state", [RAM, 0n, 4096n], STATE],
  ],
  RSI_REALM_CONFIG: [
    ["addr_align", [RAM + 8n], INPUT],
    ["addr_bound", [UNPROTECTED], INPUT],
    ["addr_bound", [1n << 63n], INPUT],
    ["ripas", [EMPTY], INPUT],
  ],
  RSI_IPA_STATE_SET: [
    ["ripas_valid", [RAM, RAM + PAGE, 2n, 0n], INPUT],
    ["base_align", [RAM + 8n, RAM + PAGE, 1n, 0n], INPUT],
    ["top_align", [RAM, RAM + PAGE + 8n, 1n, 0n], INPUT],
    ["size_valid", [RAM, RAM, 1n, 0n], INPUT],
    ["size_valid", [RAM, 0n, 1n, 0n], INPUT],
    ["rgn_bound", [RAM, UNPROTECTED + PAGE, 1n, 0n], INPUT],
  ],
  RSI_IPA_STATE_GET: [
    ["base_align", [RAM + 8n, RAM + PAGE], INPUT],
    ["base_bound", [UNPROTECTED, UNPROTECTED + PAGE], INPUT],
    ["end_align", [RAM, RAM + 8n], INPUT],
    ["end_bound", [RAM, UNPROTECTED + PAGE], INPUT],
    ["size_valid", [RAM, RAM], INPUT],
  ],
  RSI_HOST_CALL: [
    ["addr_align", [RAM + 0x80n], INPUT],
    ["addr_bound", [UNPROTECTED], INPUT],
    ["ripas", [EMPTY], INPUT],
  ],
};
/** Shown by tests of their own below. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  RSI_ATTESTATION_TOKEN_INIT: ["attestation_unavailable"],
  RSI_ATTESTATION_TOKEN_CONTINUE: ["ripas"],
};

for (const { name, conditions } of RSI_COMMANDS) {
  describe(name, () => {
    const cases = CASES[name] ?? [];
    test.each(cases)("%s", (condition, args, status) => {
      const { rec, machine } = running();
      const before = machine.fingerprint();
      for (let n = 4; n < 31; n++) rec.set(n, BigInt(n));
      expect(rec.rsi(name, ...args)).toBe(status);
      expect(machine.events.findLast((e) => e.category === "rsi")!.fields.condition).toBe(condition);
      if (name !== "RSI_VERSION" && name !== "RSI_MEASUREMENT_READ") {
        expect([rec.x(1), rec.x(2), rec.x(3)]).toEqual([0n, 0n, 0n]);
        for (let n = Math.max(4, args.length + 1); n < 31; n++) expect(rec.x(n)).toBe(BigInt(n));
      }
      expect(rec.pc).toBe(0x1004n);
      expect(machine.fingerprint()).toBe(before);
    });
    test("all conditions are covered", () => {
      const covered = new Set([...cases.map(([condition]) => condition), ...(ELSEWHERE[name] ?? [])]);
      expect([...covered].sort()).toEqual([...conditions].sort());
    });
  });
}

test("the table has every command once, under its FID", () => {
  expect(RSI_COMMANDS.map(({ fid }) => fid)).toEqual(Object.values(RSI_FID));
  expect(RSI_COMMANDS.map(({ name }) => name)).toEqual(Object.keys(RSI_FID));
});

describe("SMC of a Realm", () => {
  test.each([
    0x8000_0001n,
    0x8000_0002n,
    0x8000_8000n,
    0x8400_0050n,
    0xc500_0020n,
    0xc600_0000n,
    0xc400_018fn,
    0xc400_019an,
    0xc400_0150n,
    0n,
  ])("FID %s is unknown", (fid) => {
    const { rec } = running();
    rec.set(5, 5n);
    expect(rec.smc(fid, [1n, 2n, 3n])).toBeUndefined();
    expect([rec.x(0), rec.x(1), rec.x(2), rec.x(3), rec.x(5)]).toEqual([0xffff_ffff_ffff_ffffn, 0n, 0n, 0n, 5n]);
  });

  test("W0 alone is the FID; the SVE hint is ignored", () => {
    const { rec } = running();
    rec.smc(0xdead_beef_c401_0190n, [0x1_0000n]);
    expect([rec.x(0), rec.x(1)]).toEqual([SUCCESS, 0x1_0000n]);
  });

  test("SMCCC_VERSION", () => {
    const { rec } = running();
    rec.smc(0x8000_0000n);
    expect(rec.x(0)).toBe(0x1_0002n);
  });
});

test("RSI_VERSION, RSI_FEATURES", () => {
  const { rec } = running();
  expect(rec.rsi("RSI_VERSION", 0x1_0000n)).toBe(SUCCESS);
  expect([rec.x(1), rec.x(2)]).toEqual([0x1_0000n, 0x1_0000n]);
  expect(rec.rsi("RSI_VERSION", 0x1_0001n)).toBe(INPUT);
  expect([rec.x(1), rec.x(2)]).toEqual([0x1_0000n, 0x1_0000n]);
  expect(rec.rsi("RSI_FEATURES", 77n)).toBe(SUCCESS);
  expect(rec.x(1)).toBe(0n);
});

describe("buffers", () => {
  const commands: [RsiCommand, (ipa: bigint) => bigint[]][] = [
    ["RSI_REALM_CONFIG", (ipa) => [ipa]],
    ["RSI_HOST_CALL", (ipa) => [ipa + 0x100n]],
    ["RSI_ATTESTATION_TOKEN_CONTINUE", (ipa) => [ipa, 0n, 64n]],
  ];
  test.each(commands)("%s: no page: exit for the Host to resolve, then the call is made again", (name, args) => {
    const { rec, realm, machine } = running();
    rec.rsi("RSI_ATTESTATION_TOKEN_INIT");
    const pc = rec.pc;
    rec.rsiExit(name, ...args(UNBACKED));
    expect(rec.exit).toMatchObject({ exit_reason: 0, esr: 0x9000_0007n, far: 0n, hpfar: UNBACKED >> 8n });
    machine.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, realm.host.delegated(), UNBACKED);
    rec.enter();
    expect([rec.pc, rec.x(0), rec.x(1)]).toEqual([pc, RSI_FID[name], args(UNBACKED)[0]]);
  });
  test("DESTROYED: likewise; level of the walk in the syndrome", () => {
    const { rec, realm } = running();
    realm.machine.rmiOn(1, 0xc400_0155n, [realm.rd, RAM]);
    rec.rsiExit("RSI_REALM_CONFIG", RAM);
    expect(rec.exit.esr).toBe(0x9000_0007n);
    const other = running({ prepare: (r) => r.machine.ok("RMI_RTT_INIT_RIPAS", r.rd, BLOCK, 2n * BLOCK) });
    other.rec.rsiExit("RSI_REALM_CONFIG", BLOCK + PAGE);
    expect(other.rec.exit).toMatchObject({ esr: 0x9000_0006n, hpfar: (BLOCK + PAGE) >> 8n });
  });
  test("RSI_ATTESTATION_TOKEN_CONTINUE ripas: EMPTY", () => {
    const { rec } = running();
    rec.rsi("RSI_ATTESTATION_TOKEN_INIT");
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", EMPTY, 0n, 64n)).toBe(INPUT);
  });
});

test("RSI_REALM_CONFIG: the whole granule", () => {
  const rpv = Uint8Array.from({ length: 64 }, (_, i) => i);
  const { rec, page } = running({ params: { hash_algo: 1, rpv } });
  page.fill(0xff);
  expect(rec.rsi("RSI_REALM_CONFIG", RAM)).toBe(SUCCESS);
  const expected = new Uint8Array(4096);
  expected[0] = 33;
  expected[8] = 1;
  expected.set(rpv, 0x200);
  expect(page).toEqual(expected);
});

describe("measurements", () => {
  const read = (rec: TestRec, index: bigint) => {
    expect(rec.rsi("RSI_MEASUREMENT_READ", index)).toBe(SUCCESS);
    return Buffer.from(new BigUint64Array(Array.from({ length: 8 }, (_, i) => rec.x(1 + i))).buffer);
  };
  test.each([
    [0, "sha256", 32],
    [1, "sha512", 64],
  ] as const)("algorithm %i", (hash_algo, name, size) => {
    const { rec, machine, realm } = running({ params: { hash_algo } });
    const rim = machine.page(realm.rd).subarray(RdLayout.fields.measurements.offset).subarray(0, 64);
    expect(read(rec, 0n)).toEqual(Buffer.from(rim));
    expect(read(rec, 2n).every((b) => b === 0)).toBe(true);
    let rem: Buffer = Buffer.alloc(size);
    for (const length of [64, 5, 0, 64]) {
      const words = Array.from({ length: 8 }, (_, i) => 0x0101_0101_0101_0101n * BigInt(i + 1));
      expect(rec.rsi("RSI_MEASUREMENT_EXTEND", 2n, BigInt(length), ...words)).toBe(SUCCESS);
      const value = Buffer.from(new BigUint64Array(words).buffer).subarray(0, length);
      rem = createHash(name).update(rem).update(value).digest();
      expect(read(rec, 2n)).toEqual(Buffer.concat([rem, Buffer.alloc(64 - size)]));
    }
    expect(read(rec, 1n).every((b) => b === 0)).toBe(true);
  });
});

describe("RSI_IPA_STATE_GET", () => {
  test("as far as the RIPAS stays the same, within one table", () => {
    const { rec } = running();
    const get = (base: bigint, top: bigint) => {
      expect(rec.rsi("RSI_IPA_STATE_GET", base, top)).toBe(SUCCESS);
      return [rec.x(1), rec.x(2)];
    };
    expect(get(0n, UNPROTECTED)).toEqual([RAM, 0n]);
    expect(get(RAM, UNPROTECTED)).toEqual([3n * PAGE, 1n]);
    expect(get(RAM, 2n * PAGE)).toEqual([2n * PAGE, 1n]);
    expect(get(3n * PAGE, UNPROTECTED)).toEqual([BLOCK, 0n]);
    expect(get(BLOCK + PAGE, UNPROTECTED)).toEqual([1n << 30n, 0n]);
    expect(get(BLOCK + PAGE, BLOCK + 3n * PAGE)).toEqual([BLOCK + 3n * PAGE, 0n]);
    expect(get(1n << 30n, UNPROTECTED)).toEqual([UNPROTECTED, 0n]);
  });
  test("DESTROYED", () => {
    const { rec, realm } = running();
    realm.machine.rmiOn(1, 0xc400_0155n, [realm.rd, RAM]);
    rec.rsi("RSI_IPA_STATE_GET", RAM, UNPROTECTED);
    expect([rec.x(1), rec.x(2)]).toEqual([2n * PAGE, 2n]);
  });
});

describe("RSI_IPA_STATE_SET", () => {
  const ask = (rec: TestRec, base: bigint, top: bigint, ripas: bigint, flags = 0n) => {
    rec.rsiExit("RSI_IPA_STATE_SET", base, top, ripas, flags);
    expect(rec.exit).toMatchObject({
      exit_reason: RmiRecExitReason.RMI_EXIT_RIPAS_CHANGE,
      ripas_base: base,
      ripas_top: top,
      ripas_value: Number(ripas),
    });
    expect(rec.exit.gprs.every((value) => value === 0n)).toBe(true);
  };
  const answer = (rec: TestRec) => [rec.x(0), rec.x(1), rec.x(2), rec.x(3)];

  test("carried out in parts", () => {
    const { rec, realm, machine } = running();
    ask(rec, 0n, 6n * PAGE, 1n);
    expect(machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, 0n, 4n * PAGE)[0]).toBe(4n * PAGE);
    expect(machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, 4n * PAGE, 6n * PAGE)[0]).toBe(6n * PAGE);
    rec.enter();
    expect(answer(rec)).toEqual([SUCCESS, 6n * PAGE, 0n, 0n]);
    expect(realm.entry(5n * PAGE).ripas).toBe(1);
    rec.interrupt();
    expect(machine.rmi("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, 0n, PAGE)).toMatchObject({ condition: "top_bound" });
  });

  test.each([
    ["RAM, refused", 1n, 0n, 0x10n, 1n],
    ["RAM, partial, accepted", 1n, 2n, 0n, 0n],
    ["RAM, complete, refused: nothing is left to refuse", 1n, 4n, 0x10n, 0n],
    ["EMPTY, refused: not reported", 0n, 0n, 0x10n, 0n],
  ])("%s", (_, ripas, pages, flags, response) => {
    const { rec, realm, machine } = running();
    ask(rec, 0n, 4n * PAGE, ripas);
    if (pages > 0n) machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, 0n, pages * PAGE);
    rec.enter({ flags });
    expect(answer(rec)).toEqual([SUCCESS, pages * PAGE, response, 0n]);
  });

  test("RAM to EMPTY and back keeps page and content; TLB maintenance on the way out", () => {
    const { rec, realm, machine, page } = running();
    page.fill(0x77);
    machine.tlbi.length = 0;
    ask(rec, RAM, RAM + PAGE, 0n);
    machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, RAM, RAM + PAGE);
    expect(machine.tlbi).toEqual([{ kind: "ipas2e1", vmid: 1, ipa: RAM, size: PAGE }]);
    expect(realm.entry(RAM)).toMatchObject({ state: 1, ripas: 0 });
    rec.enter();
    ask(rec, RAM, RAM + PAGE, 1n);
    machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, RAM, RAM + PAGE);
    expect(realm.entry(RAM)).toMatchObject({ state: 1, ripas: 1 });
    expect(page.every((b) => b === 0x77)).toBe(true);
    expect(machine.tlbi.length).toBe(1);
  });

  test("DESTROYED changes only when the Realm says so", () => {
    const { rec, realm, machine } = running();
    machine.rmiOn(1, 0xc400_0155n, [realm.rd, RAM]);
    ask(rec, 0n, 3n * PAGE, 1n);
    expect(machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, 0n, 3n * PAGE)[0]).toBe(RAM);
    rec.enter();
    expect(answer(rec)).toEqual([SUCCESS, RAM, 0n, 0n]);
    ask(rec, RAM, 3n * PAGE, 1n, 1n);
    expect(machine.ok("RMI_RTT_SET_RIPAS", realm.rd, rec.addr, RAM, 3n * PAGE)[0]).toBe(3n * PAGE);
    expect(realm.entry(RAM).ripas).toBe(1);
  });
});

describe("RSI_HOST_CALL", () => {
  const AT = RAM + 0x200n;
  const gprs = Array.from({ length: 31 }, (_, i) => BigInt(0x100 + i));

  test("all registers, both ways", () => {
    const { rec, page } = running();
    page.set(RsiHostCall.encode({ imm: 0xabcd, gprs }), 0x200);
    const registers = Array.from({ length: 30 }, (_, i) => BigInt(0x900 + i));
    registers.forEach((value, i) => {
      rec.set(i + 1, value);
    });
    rec.rsiExit("RSI_HOST_CALL", AT);
    expect(rec.exit).toMatchObject({ exit_reason: RmiRecExitReason.RMI_EXIT_HOST_CALL, imm: 0xabcd, gprs, esr: 0n });
    rec.enter({ gprs: gprs.map((value) => value + 0x1000n) });
    expect(RsiHostCall.decode(page, 0x200)).toEqual({ imm: 0xabcd, gprs: gprs.map((value) => value + 0x1000n) });
    expect(rec.x(0)).toBe(SUCCESS);
    expect([rec.x(1), rec.x(30)]).toEqual([AT, registers[29]]);
    expect(rec.pc).toBe(0x1004n);
  });

  test("the page is gone at the next entry: exit, and the call stays pending", () => {
    const { rec, realm, machine } = running();
    rec.rsiExit("RSI_HOST_CALL", AT);
    machine.ok("RMI_DATA_DESTROY", realm.rd, RAM);
    const lr = (1n << 62n) | 40n;
    for (let i = 0; i < 2; i++) {
      expect(rec.tryEnter({ gprs, gicv3_lrs: [lr] })).toMatchObject({ status: "RMI_SUCCESS" });
      expect(rec.exit).toMatchObject({ exit_reason: 0, esr: 0x9000_0007n, hpfar: RAM >> 8n });
      expect(rec.exit.gicv3_lrs[0]).toBe(lr); // no pending interrupt is dropped
    }
  });

  test("the Realm made its page EMPTY meanwhile, from another REC: an error, and the Realm runs", () => {
    let other: TestRec | undefined;
    const { rec, realm, machine } = running({
      prepare: (r) => {
        other = r.rec();
      },
    });
    rec.rsiExit("RSI_HOST_CALL", AT);
    other!.enter({}, machine.pes[1]).rsiExit("RSI_IPA_STATE_SET", RAM, RAM + PAGE, 0n, 0n);
    machine.ok("RMI_RTT_SET_RIPAS", realm.rd, other!.addr, RAM, RAM + PAGE);
    rec.enter({ gprs });
    expect(rec.x(0)).toBe(INPUT);
    rec.interrupt();
    rec.enter(); // nothing is pending
  });
});

describe("attestation", () => {
  const challenge = Array.from({ length: 8 }, (_, i) => 0x1112_1314_1516_1718n + BigInt(i));
  const init = (rec: TestRec) => {
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_INIT", ...challenge)).toBe(SUCCESS);
    expect(rec.x(1)).toBe(4096n);
  };
  /** Fetches the token in pieces of `size`. */
  const fetch = (rec: TestRec, page: Uint8Array, size: bigint): Uint8Array => {
    const token: number[] = [];
    for (;;) {
      const status = rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0x10n, size);
      token.push(...page.subarray(0x10, 0x10 + Number(rec.x(1))));
      if (status === SUCCESS) return Uint8Array.from(token);
      expect(status).toBe(INCOMPLETE);
      expect(rec.x(1)).toBe(size);
    }
  };

  test.each([0, 1])("a token of a Realm with algorithm %i", (hash_algo) => {
    const rpv = new Uint8Array(64).fill(0x42);
    const { rec, page, machine } = running({ params: { hash_algo, rpv } });
    rec.rsi("RSI_MEASUREMENT_EXTEND", 1n, 8n, 1n);
    const measurements = [0n, 1n, 2n, 3n, 4n].map((index) => {
      rec.rsi("RSI_MEASUREMENT_READ", index);
      const words = new BigUint64Array(Array.from({ length: 8 }, (_, i) => rec.x(1 + i)));
      return new Uint8Array(words.buffer).slice(0, hash_algo === 0 ? 32 : 64);
    });
    init(rec);
    rec.rsi("RSI_MEASUREMENT_EXTEND", 1n, 8n, 2n); // after INIT: not in this token
    const token = fetch(rec, page, 100n);
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 8n)).toBe(STATE);
    const collection = splitCollection(token);
    if (!collection.ok) throw new Error(collection.problem.message);
    expect(collection.value.tag).toBe(399);
    expect(collection.value.platform).toEqual(PLATFORM_TOKEN);
    const { part, problems } = decodeRealmToken(collection.value.realm, "1.0.0");
    expect(problems).toEqual([]);
    const claims = part!.claims!;
    expect(claims).toMatchObject({
      challenge: new Uint8Array(new BigUint64Array(challenge).buffer),
      personalizationValue: rpv,
      hashAlgorithm: hash_algo === 0 ? "sha-256" : "sha-512",
      publicKeyHashAlgorithm: "sha-256",
      profile: "tag:arm.com,2023:realm#1.0.0",
      initialMeasurement: measurements[0],
      extensibleMeasurements: measurements.slice(1),
    });
    const key = decodeCoseKey(claims.publicKey);
    if (!key.ok) throw new Error(key.problem.message);
    expect(verifySign1(nodeCrypto, part!.sign1, key.value)).toBeUndefined();
    expect(machine.el3.challenge).toEqual(nodeCrypto.hash("sha-256", claims.publicKey));

    init(rec);
    rec.interrupt();
    rec.enter(); // a REC exit does not lose the state
    expect(fetch(rec, page, 4000n)).not.toEqual(token); // the REM has changed
    init(rec);
    const again = fetch(rec, page, 64n);
    init(rec);
    expect(fetch(rec, page, 999n)).toEqual(again); // deterministic
  });

  test("size 0 makes no progress; a second INIT wins", () => {
    const { rec, page } = running();
    init(rec);
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 0n)).toBe(INCOMPLETE);
    expect(rec.x(1)).toBe(0n);
    const whole = fetch(rec, page, 2000n);
    init(rec);
    rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 100n);
    init(rec);
    expect(fetch(rec, page, 2000n)).toEqual(whole);
  });

  test("signing takes time: INCOMPLETE with nothing written when something else is due", () => {
    const { rec, page, machine } = running();
    machine.computeAtMost = SIGNING_COUNTS / 4;
    page.fill(0xee);
    init(rec);
    for (let n = 1; n < 4; n++) {
      expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 4096n)).toBe(INCOMPLETE);
      expect(rec.x(1)).toBe(0n);
    }
    expect(page.every((byte) => byte === 0xee)).toBe(true);
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 4096n)).toBe(SUCCESS);
    expect(rec.x(1)).toBeGreaterThan(2000n);
    init(rec); // begins anew
    expect(rec.rsi("RSI_ATTESTATION_TOKEN_CONTINUE", RAM, 0n, 4096n)).toBe(INCOMPLETE);
  });

  test("without a key, or without a platform token, INIT fails; attestation_unavailable", () => {
    for (const el3 of [{ realmKey: false }, { platformToken: undefined }]) {
      const machine = new StandIn();
      Object.assign(machine.el3, el3);
      machine.bootAll();
      const { rec, page } = running({ machine });
      expect(rec.rsi("RSI_ATTESTATION_TOKEN_INIT", ...challenge)).toBe(UNKNOWN);
      expect(machine.events.findLast((e) => e.category === "rsi")!.fields.condition).toBe("attestation_unavailable");
      expect(page.every((b) => b === 0)).toBe(true);
    }
  });
});
