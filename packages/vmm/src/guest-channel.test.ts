import { GUEST_CHALLENGE, GUEST_EXIT, GUEST_TOKEN, GUEST_TOKEN_SIZE_MAX, SMCCC_NOT_SUPPORTED } from "@realmbox/abi";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GuestChannel } from "./guest-channel.js";

class Regs {
  readonly x = new BigUint64Array(31);
  get = (n: number) => this.x[n]!;
  set = (n: number, value: bigint) => {
    this.x[n] = value;
  };
}

const channelWith = (challenge?: Uint8Array) => {
  const channel = new GuestChannel(challenge);
  const regs = new Regs();
  const call = (nr: bigint, args: readonly bigint[] = [], imm = 0) => {
    for (const [i, value] of args.entries()) regs.set(1 + i, value);
    const result = channel.call({ nr, imm }, regs);
    return result.kind === "exit" ? result.status : regs.get(0);
  };
  /** A chunk as a guest sends it: size, offset, 224 bytes in X3 to X30. */
  const send = (token: Uint8Array, offset: number, size = token.length) => {
    const chunk = new Uint8Array(224);
    chunk.set(token.subarray(offset, offset + 224));
    return call(GUEST_TOKEN, [BigInt(size), BigInt(offset), ...new BigUint64Array(chunk.buffer)]);
  };
  return { channel, regs, call, send };
};
const tokenOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31) & 255);

test("exit status", () => {
  expect(channelWith().call(GUEST_EXIT, [77n])).toBe(77n);
});

describe("challenge", () => {
  test("64 bytes in X1 to X8, little-endian, padded", () => {
    const { call, regs } = channelWith(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
    expect(call(GUEST_CHALLENGE)).toBe(0n);
    expect([...regs.x.slice(1, 9)]).toEqual([0x0807060504030201n, 9n, 0n, 0n, 0n, 0n, 0n, 0n]);
  });
  test("none: refused", () => {
    expect(channelWith().call(GUEST_CHALLENGE)).toBe(SMCCC_NOT_SUPPORTED);
  });
});

describe("token", () => {
  test.each([1, 223, 224, 225, 1000, GUEST_TOKEN_SIZE_MAX])("of %d bytes", (size) => {
    const { channel, send } = channelWith();
    const token = tokenOf(size);
    for (let offset = 0; offset < size; offset += 224) {
      expect(channel.token).toBeUndefined();
      expect(send(token, offset)).toBe(0n);
    }
    expect(channel.token).toEqual(token);
  });
  test("offset 0 begins anew; until then the state stays as it is", () => {
    const { channel, send } = channelWith();
    const token = tokenOf(500);
    send(token, 0);
    expect(send(token, 448)).toBe(SMCCC_NOT_SUPPORTED); // out of order
    expect(send(token, 224, 501)).toBe(SMCCC_NOT_SUPPORTED); // another size
    expect(send(token, 0)).toBe(0n);
    send(token, 224);
    send(token, 448);
    expect(channel.token).toEqual(token);
    send(tokenOf(300), 0);
    expect(channel.token).toBeUndefined();
  });
  test.each([
    ["no size", 0n, 0n],
    ["too large", BigInt(GUEST_TOKEN_SIZE_MAX) + 1n, 0n],
    ["enormous", 0xffff_ffff_ffff_ffffn, 0n],
    ["offset at the end", 10n, 10n],
    ["offset beyond", 10n, 0xffff_ffff_ffff_ffffn],
    ["chunk without a beginning", 500n, 224n],
  ])("%s is refused", (_, size, offset) => {
    const { channel, call } = channelWith();
    expect(call(GUEST_TOKEN, [size, offset])).toBe(SMCCC_NOT_SUPPORTED);
    expect(channel.token).toBeUndefined();
  });
  test("state goes into another instance", () => {
    const first = channelWith();
    const token = tokenOf(300);
    first.send(token, 0);
    const second = channelWith();
    second.channel.state = structuredClone(first.channel.state);
    second.send(token, 224);
    expect(second.channel.token).toEqual(token);
  });
});

test("another immediate or function is refused", () => {
  const { call } = channelWith(new Uint8Array(64));
  expect(call(GUEST_CHALLENGE, [], 1)).toBe(SMCCC_NOT_SUPPORTED);
  expect(call(GUEST_EXIT, [0n], 1)).toBe(SMCCC_NOT_SUPPORTED);
  expect(call(0xc600_0f03n)).toBe(SMCCC_NOT_SUPPORTED);
});

test("any calls: a token that is complete has the size that its last beginning said", () => {
  const word = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.bigInt({ min: 0n, max: 1000n }));
  const small = fc.constantFrom(0n, 1n, 224n, 225n, 448n);
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom(0xc600_0f00n, GUEST_CHALLENGE, GUEST_TOKEN, 0n),
          fc.oneof(small, word),
          fc.oneof(small, word),
        ),
        { maxLength: 40 },
      ),
      (calls) => {
        const { channel, call } = channelWith(new Uint8Array(64));
        let size = 0n;
        for (const [nr, x1, x2] of calls) {
          const answer = call(nr, [x1, x2]);
          if (nr === GUEST_TOKEN && answer === 0n && x2 === 0n) size = x1;
          if (channel.token !== undefined) expect(BigInt(channel.token.length)).toBe(size);
        }
      },
    ),
    { numRuns: 300, seed: 1 },
  );
});
