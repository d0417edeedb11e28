import { Gpi, GRANULE_SIZE, Pas, RMM_EL3_STATUS, type RmmEl3Status } from "@realmbox/abi";
import { isFault, type Pe, R, type SlotEvent, type SlotExit, SMC } from "@realmbox/machine";
import { decodePlatformToken, toHex, verifySign1 } from "@realmbox/token";
import { describe, expect, test } from "vitest";
import { bootingRmm, crypto, DRAM, MONITOR_IMAGE, RMM_IMAGE, run, SEED, smc, systemOff } from "../harness.oracle.js";
import { deriveRak, platformIdentity, signerId } from "../keys.js";

const FID = {
  DELEGATE: 0xc400_01b0n,
  UNDELEGATE: 0xc400_01b1n,
  KEY: 0xc400_01b2n,
  TOKEN: 0xc400_01b3n,
  FEATURES: 0xc400_01b4n,
  RESERVE_MEMORY: 0xc400_01bbn,
};
const SHARED_PAGE = 0x4400_0000n - 0x1000n;
const GRANULE = DRAM.base + 0x5000n;

type Play = (pe: Pe) => Generator<SlotExit, void, SlotEvent>;

/** Plays calls of the RMM inside one RMI command. */
function inRmm(play: Play, options: { seed?: Uint8Array } = {}) {
  return run({
    options,
    rmm: bootingRmm(function* (pe) {
      for (;;) {
        yield* play(pe);
        pe.r[R.X0 + 1] = 0n;
        pe.r[R.X0] = 0xc400_018fn;
        yield SMC;
      }
    }),
    host: function* (pe) {
      yield* smc(pe, 0xc400_0150n);
      return yield* systemOff(pe);
    },
  });
}

const status = (x0: bigint): RmmEl3Status =>
  Object.entries(RMM_EL3_STATUS).find(([, value]) => value === BigInt.asIntN(64, x0))![0] as RmmEl3Status;

describe("granule transitions", () => {
  test.each([
    { what: "an NS granule", fid: FID.DELEGATE, pa: GRANULE, expected: "E_RMM_OK" },
    { what: "the last granule of DRAM", fid: FID.DELEGATE, pa: DRAM.base + DRAM.size - 0x1000n, expected: "E_RMM_OK" },
    { what: "misaligned", fid: FID.DELEGATE, pa: GRANULE + 8n, expected: "E_RMM_BAD_ADDR" },
    { what: "misaligned and not NS", fid: FID.DELEGATE, pa: 8n, expected: "E_RMM_BAD_ADDR" },
    { what: "beyond the protected space", fid: FID.DELEGATE, pa: 1n << 36n, expected: "E_RMM_BAD_ADDR" },
    { what: "a level 0 block", fid: FID.DELEGATE, pa: 0xc000_0000n, expected: "E_RMM_BAD_ADDR" },
    { what: "all ones, aligned", fid: FID.DELEGATE, pa: 0xffff_ffff_ffff_f000n, expected: "E_RMM_BAD_ADDR" },
    { what: "a Root granule", fid: FID.DELEGATE, pa: 0n, expected: "E_RMM_BAD_PAS" },
    { what: "a Realm granule of the carve-out", fid: FID.DELEGATE, pa: 0x4000_0000n, expected: "E_RMM_BAD_PAS" },
    { what: "a device", fid: FID.DELEGATE, pa: 0x2f00_0000n, expected: "E_RMM_BAD_PAS" },
    { what: "just past DRAM", fid: FID.DELEGATE, pa: DRAM.base + DRAM.size, expected: "E_RMM_BAD_PAS" },
    { what: "an NS granule", fid: FID.UNDELEGATE, pa: GRANULE, expected: "E_RMM_BAD_PAS" },
    { what: "misaligned", fid: FID.UNDELEGATE, pa: GRANULE + 1n, expected: "E_RMM_BAD_ADDR" },
    { what: "the RMM's own memory", fid: FID.UNDELEGATE, pa: 0x4000_0000n, expected: "E_RMM_BAD_PAS" },
    { what: "the shared page", fid: FID.UNDELEGATE, pa: SHARED_PAGE, expected: "E_RMM_BAD_PAS" },
  ])("$fid of $what", ({ fid, pa, expected }) => {
    let result: RmmEl3Status | undefined;
    const { machine } = inRmm(function* (pe) {
      result = status((yield* smc(pe, fid, pa))[0]!);
    });
    expect(result).toBe(expected);
    expect(machine.counters.granuleTransitions).toBe(expected === "E_RMM_OK" ? 1 : 0);
  });

  test("every granule of DRAM goes to Realm and back; its neighbours stay, its content too", () => {
    const seen: unknown[] = [];
    const { machine, events } = inRmm(function* (pe) {
      const gpis = () =>
        [-1n, 0n, 1n].map((n) => machineOf(pe).protection.gpi(Number(GRANULE + n * BigInt(GRANULE_SIZE))));
      const ns = pe.port(Pas.NS);
      const realm = pe.port(Pas.REALM);
      ns.write64(GRANULE, 0x1234n);
      seen.push(isFault(realm.read64(GRANULE)), gpis());
      yield* smc(pe, FID.DELEGATE, GRANULE);
      seen.push(isFault(ns.read64(GRANULE)), realm.read64(GRANULE), gpis());
      seen.push(status((yield* smc(pe, FID.DELEGATE, GRANULE))[0]!));
      yield* smc(pe, FID.UNDELEGATE, GRANULE);
      seen.push(isFault(realm.read64(GRANULE)), ns.read64(GRANULE), gpis());
    });
    const before = [Gpi.NS, Gpi.NS, Gpi.NS];
    const during = [Gpi.NS, Gpi.REALM, Gpi.NS];
    expect(seen).toEqual([true, before, true, 0x1234n, during, "E_RMM_BAD_PAS", true, 0x1234n, before]);
    expect(machine.counters.granuleTransitions).toBe(2);
    expect(events.filter((event) => event.startsWith("GPT pa"))).toEqual([
      "GPT pa=0x80005000 from=NS to=REALM status=E_RMM_OK",
      "GPT pa=0x80005000 from=NS to=REALM status=E_RMM_BAD_PAS",
      "GPT pa=0x80005000 from=REALM to=NS status=E_RMM_OK",
    ]);
  });

  test("the same through smcNow, which enters no lower EL", () => {
    const seen: unknown[] = [];
    inRmm(function* (pe) {
      pe.r[R.X0] = FID.DELEGATE;
      pe.r[R.X0 + 1] = GRANULE;
      pe.smcNow();
      seen.push(pe.r[R.X0], isFault(pe.port(Pas.NS).read64(GRANULE)));
      seen.push(status((yield* smc(pe, FID.DELEGATE, GRANULE))[0]!));
    });
    expect(seen).toEqual([0n, true, "E_RMM_BAD_PAS"]);
  });

  test("registers that are no outputs keep their values", () => {
    let registers: bigint[] = [];
    inRmm(function* (pe) {
      for (let n = 0; n < 31; n++) pe.r[R.X0 + n] = 0x1000n + BigInt(n);
      yield* smc(pe, FID.DELEGATE, GRANULE);
      registers = Array.from({ length: 31 }, (_, n) => pe.r[R.X0 + n]!);
    });
    expect(registers).toEqual([0n, GRANULE, ...Array.from({ length: 29 }, (_, n) => 0x1002n + BigInt(n))]);
  });
});

const machineOf = (pe: Pe) => pe as unknown as { protection: { gpi(pa: number): Gpi | undefined } };

describe("RMM_ATTEST_GET_REALM_KEY", () => {
  test.each([
    { what: "another page", call: [SHARED_PAGE - 0x1000n, 48n, 0n], expected: "E_RMM_BAD_ADDR" },
    { what: "another page, and everything else wrong", call: [0n, 0x9999n, 7n], expected: "E_RMM_BAD_ADDR" },
    { what: "end outside of the page", call: [SHARED_PAGE + 0xff0n, 48n, 0n], expected: "E_RMM_INVAL" },
    { what: "a huge size", call: [SHARED_PAGE, 0xffff_ffff_ffff_ffffn, 0n], expected: "E_RMM_INVAL" },
    { what: "an unknown curve", call: [SHARED_PAGE, 4096n, 1n], expected: "E_RMM_INVAL" },
    { what: "a buffer too small", call: [SHARED_PAGE, 47n, 0n], expected: "E_RMM_INVAL" },
    { what: "the whole page", call: [SHARED_PAGE, 4096n, 0n], expected: "E_RMM_OK" },
    { what: "the page's end", call: [SHARED_PAGE + 0xfd0n, 48n, 0n], expected: "E_RMM_OK" },
  ])("$what", ({ call, expected }) => {
    let result: RmmEl3Status | undefined;
    inRmm(function* (pe) {
      result = status((yield* smc(pe, FID.KEY, ...call))[0]!);
    });
    expect(result).toBe(expected);
  });

  test("gives a P-384 scalar that follows from seed and measurements", () => {
    const read = (seed?: Uint8Array) => {
      const key = new Uint8Array(48);
      let size = 0n;
      inRmm(
        function* (pe) {
          size = (yield* smc(pe, FID.KEY, SHARED_PAGE, 4096n, 0n))[1]!;
          pe.port(Pas.REALM).copyIn(SHARED_PAGE, key);
        },
        seed ? { seed } : {},
      );
      expect(size).toBe(48n);
      return toHex(key);
    };
    const measurements = [MONITOR_IMAGE, RMM_IMAGE].map((image) => crypto.hash("sha-256", image));
    expect(read()).toBe(toHex(deriveRak({ crypto, seed: SEED }, measurements)));
    expect(read()).toBe(read());
    expect(read(Uint8Array.of(9))).not.toBe(read());
  });
});

describe("RMM_ATTEST_GET_PLAT_TOKEN", () => {
  const CHALLENGE = Uint8Array.from({ length: 32 }, (_, n) => n);

  /** Fetches the whole token in pieces of at most `size` bytes. */
  function* fetch(pe: Pe, size: number): Generator<SlotExit, { token: Uint8Array; calls: number }, SlotEvent> {
    const parts: number[] = [];
    pe.port(Pas.REALM).copyOut(SHARED_PAGE, CHALLENGE);
    for (let calls = 1; ; calls++) {
      const [x0, length, remaining] = yield* smc(pe, FID.TOKEN, SHARED_PAGE, BigInt(size), calls === 1 ? 32n : 0n);
      expect(x0).toBe(0n);
      const part = new Uint8Array(Number(length));
      pe.port(Pas.REALM).copyIn(SHARED_PAGE, part);
      parts.push(...part);
      if (remaining === 0n) return { token: Uint8Array.from(parts), calls };
    }
  }

  test("the token verifies under the platform key and says what was measured", () => {
    let token: Uint8Array = new Uint8Array();
    inRmm(function* (pe) {
      ({ token } = yield* fetch(pe, 4096));
    });
    const { part, problems } = decodePlatformToken(token);
    expect(problems).toEqual([]);
    const identity = platformIdentity({ crypto, seed: SEED }, "base");
    expect(verifySign1(crypto, part!.sign1, { curve: "P-384", point: identity.cpak })).toBeUndefined();
    const component = (type: string, image: Uint8Array) => ({
      type,
      signerId: signerId(crypto),
      measurement: crypto.hash("sha-256", image),
      hashAlgorithm: "sha-256",
    });
    expect(part!.claims).toMatchObject({
      profile: "tag:arm.com,2023:cca_platform#1.0.0",
      challenge: CHALLENGE,
      implementationId: identity.implementationId,
      instanceId: identity.instanceId,
      lifecycle: 0x3000,
      hashAlgorithm: "sha-256",
      softwareComponents: [component("AP_BL31", MONITOR_IMAGE), component("RMM", RMM_IMAGE)],
    });
  });

  test("pieces of any size make the same token; a challenge starts it anew", () => {
    const tokens: string[] = [];
    const calls: number[] = [];
    inRmm(function* (pe) {
      for (const size of [4096, 100, 7, 4096]) {
        const fetched = yield* fetch(pe, size);
        tokens.push(toHex(fetched.token));
        calls.push(fetched.calls);
      }
    });
    expect(new Set(tokens).size).toBe(1);
    const bytes = tokens[0]!.length / 2;
    expect(calls).toEqual([1, Math.ceil(bytes / 100), Math.ceil(bytes / 7), 1]);
  });

  test.each([
    { what: "no token under way", call: [SHARED_PAGE, 4096n, 0n], expected: "E_RMM_INVAL" },
    { what: "another page", call: [SHARED_PAGE - 0x1000n, 4096n, 32n], expected: "E_RMM_BAD_ADDR" },
    { what: "end outside of the page", call: [SHARED_PAGE + 1n, 4096n, 32n], expected: "E_RMM_INVAL" },
    { what: "a challenge of 33 bytes", call: [SHARED_PAGE, 4096n, 33n], expected: "E_RMM_INVAL" },
    { what: "a challenge that leaves the page", call: [SHARED_PAGE + 0xff0n, 8n, 64n], expected: "E_RMM_INVAL" },
    { what: "no room", call: [SHARED_PAGE, 0n, 32n], expected: "E_RMM_INVAL" },
    { what: "a challenge of 48 bytes", call: [SHARED_PAGE, 4096n, 48n], expected: "E_RMM_OK" },
    { what: "a challenge of 64 bytes", call: [SHARED_PAGE, 4096n, 64n], expected: "E_RMM_OK" },
  ])("$what", ({ call, expected }) => {
    let result: RmmEl3Status | undefined;
    inRmm(function* (pe) {
      result = status((yield* smc(pe, FID.TOKEN, ...call))[0]!);
    });
    expect(result).toBe(expected);
  });

  test("after the end another call without a challenge is refused", () => {
    let result: RmmEl3Status | undefined;
    inRmm(function* (pe) {
      yield* fetch(pe, 4096);
      result = status((yield* smc(pe, FID.TOKEN, SHARED_PAGE, 4096n, 0n))[0]!);
    });
    expect(result).toBe("E_RMM_INVAL");
  });
});

test.each([
  { what: "RMM_EL3_FEATURES register 0", call: [FID.FEATURES, 0n], expected: "E_RMM_OK" },
  { what: "RMM_EL3_FEATURES register 1", call: [FID.FEATURES, 1n], expected: "E_RMM_INVAL" },
  { what: "RMM_EL3_TOKEN_SIGN", call: [0xc400_01b5n, 1n], expected: "E_RMM_UNK" },
  { what: "RMM_MEC_REFRESH", call: [0xc400_01b6n, 0n], expected: "E_RMM_UNK" },
  { what: "RMM_IDE_KEY_PROG", call: [0xc400_01b7n, 0n], expected: "E_RMM_UNK" },
  { what: "RMM_RESERVE_MEMORY", call: [FID.RESERVE_MEMORY, 4096n, 12n << 56n], expected: "E_RMM_NOMEM" },
  { what: "RMM_RESERVE_MEMORY, unknown flag", call: [FID.RESERVE_MEMORY, 4096n, 2n], expected: "E_RMM_INVAL" },
  { what: "an unused identifier", call: [0xc400_01c0n], expected: "E_RMM_UNK" },
])("$what", ({ call, expected }) => {
  let result: RmmEl3Status | undefined;
  inRmm(function* (pe) {
    result = status((yield* smc(pe, ...call))[0]!);
  });
  expect(result).toBe(expected);
});
