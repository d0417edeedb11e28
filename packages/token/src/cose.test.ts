import { createECDH } from "node:crypto";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../realmbox/src/crypto/node.js";
import { fromHex, toHex } from "./bytes.js";
import { decodeCbor, encodeCbor, Tagged } from "./cbor.js";
import { decodeCoseKey, decodeRawKey, type EcPublicKey, encodeCoseKey } from "./cose-key.js";
import { COSE_ALGORITHMS, type CoseAlgorithm, decodeSign1, ecSigner, encodeSign1, verifySign1 } from "./cose-sign1.js";

const hex = (text: string) => fromHex(text.replaceAll(/\s/g, ""))!;

/** RFC 8152, appendix C.2.1 "Single ECDSA Signature" (RFC 9052 has the same example) and its key "11". */
const RFC8152_SIGN1 = hex(`d2 84 43a10126 a1044231 31 54 546869732069732074686520636f6e74656e742e
  5840 8eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e
       2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36`);
const KEY_11: EcPublicKey = {
  curve: "P-256",
  point: hex(`04 bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff
                 20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e`),
};

const P384_SCALAR = new Uint8Array(48).fill(7);
const P384: EcPublicKey = { curve: "P-384", point: nodeCrypto.ecPublicKey("P-384", P384_SCALAR) };

describe("COSE_Sign1", () => {
  test("RFC 8152, C.2.1 verifies", () => {
    const message = decodeSign1(RFC8152_SIGN1, "message");
    if (!message.ok) throw new Error(message.problem.message);
    expect(new TextDecoder().decode(message.value.payload)).toBe("This is the content.");
    expect(verifySign1(nodeCrypto, message.value, KEY_11)).toBeUndefined();
  });

  test.each(Object.keys(COSE_ALGORITHMS) as CoseAlgorithm[])("%s: what was signed verifies", (algorithm) => {
    const { curve } = COSE_ALGORITHMS[algorithm];
    const privateKey = new Uint8Array({ "P-256": 32, "P-384": 48, "P-521": 66 }[curve]).fill(1);
    privateKey[0] = 0;
    const data = encodeSign1(hex("a0"), ecSigner(nodeCrypto, privateKey, algorithm));
    const message = decodeSign1(data, "message");
    if (!message.ok) throw new Error(message.problem.message);
    const key = { curve, point: nodeCrypto.ecPublicKey(curve, privateKey) };
    expect(verifySign1(nodeCrypto, message.value, key)).toBeUndefined();
  });

  test("the protected header and the frame are the bytes that every published token has", () => {
    const data = encodeSign1(hex("a0"), ecSigner(nodeCrypto, P384_SCALAR));
    expect(toHex(data.subarray(0, 10))).toBe("d28444a1013822a041a0");
    expect(toHex(data.subarray(10, 12))).toBe("5860");
    expect(data.length).toBe(12 + 96);
  });

  const signature = new Uint8Array(96).fill(1);
  test.each([
    ["no CBOR", "ff"],
    ["no tag", toHex(encodeCbor([hex("a0"), new Map(), hex("a0"), signature]))],
    ["another tag", toHex(encodeCbor(new Tagged(17, [hex("a0"), new Map(), hex("a0"), signature])))],
    ["array of 3", toHex(encodeCbor(new Tagged(18, [hex("a0"), new Map(), hex("a0")])))],
    ["protected header as a map", toHex(encodeCbor(new Tagged(18, [new Map(), new Map(), hex("a0"), signature])))],
    ["protected header not a map", toHex(encodeCbor(new Tagged(18, [hex("80"), new Map(), hex("a0"), signature])))],
    ["protected header truncated", toHex(encodeCbor(new Tagged(18, [hex("a1"), new Map(), hex("a0"), signature])))],
    ["unprotected header missing", toHex(encodeCbor(new Tagged(18, [hex("a0"), null, hex("a0"), signature])))],
    ["payload detached", toHex(encodeCbor(new Tagged(18, [hex("a0"), new Map(), null, signature])))],
    ["payload empty", toHex(encodeCbor(new Tagged(18, [hex("a0"), new Map(), hex(""), signature])))],
    ["signature not bytes", toHex(encodeCbor(new Tagged(18, [hex("a0"), new Map(), hex("a0"), "x"])))],
    [
      "one header in both places",
      toHex(encodeCbor(new Tagged(18, [hex("a1013822"), new Map([[1, -35]]), hex("a0"), signature]))),
    ],
  ])("decode refuses: %s", (_what, data) => {
    expect(decodeSign1(hex(data), "message")).toMatchObject({ ok: false, problem: { stage: "decode" } });
  });

  test.each([
    ["algorithm-missing", "", P384, signature],
    ["algorithm-missing", "a0", P384, signature],
    ["algorithm-unusable", "a10163455333", P384, signature],
    ["algorithm-unusable", "a1013824", P384, signature], // -37, PS256
    ["algorithm-unusable", "a10126", P384, signature],
    ["critical-header", "a201382202810f", P384, signature],
    ["signature-size", "a1013822", P384, signature.subarray(1)],
    ["signature", "a1013822", P384, signature],
  ] as const)("verify refuses: %s, protected header %s", (code, header, key, sig) => {
    const data = encodeCbor(new Tagged(18, [hex(header), new Map(), hex("a0"), sig]));
    const message = decodeSign1(data, "message");
    if (!message.ok) throw new Error(message.problem.message);
    expect(verifySign1(nodeCrypto, message.value, key)).toMatchObject({ code });
  });
});

describe("COSE_Key", () => {
  test.each(["P-256", "P-384", "P-521"] as const)("%s: what OpenSSL generates is on the curve; round trip", (curve) => {
    const name = { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" }[curve];
    for (let i = 0; i < 8; i++) {
      const ecdh = createECDH(name);
      const point = Uint8Array.from(ecdh.generateKeys());
      const key: EcPublicKey = { curve, point };
      expect(decodeCoseKey(encodeCoseKey(key))).toEqual({ ok: true, value: key });
      expect(decodeRawKey(point)).toEqual({ ok: true, value: key });
      const off = point.slice();
      off[off.length - 1]! ^= 1;
      expect(decodeRawKey(off)).toMatchObject({ ok: false });
    }
  });

  test("a P-384 key has the 107 bytes {1: 2, -1: 2, -2: X, -3: Y} in this order", () => {
    const data = encodeCoseKey(P384);
    expect(data.length).toBe(107);
    expect(toHex(data)).toBe(
      `a401022002215830${toHex(P384.point.subarray(1, 49))}225830${toHex(P384.point.subarray(49))}`,
    );
  });

  const entries = (changes: readonly (readonly [number, unknown])[]) => {
    const decoded = decodeCbor(encodeCoseKey(P384));
    const map = (decoded as { value: Map<number, unknown> }).value;
    for (const [label, value] of changes) value === undefined ? map.delete(label) : map.set(label, value);
    return encodeCbor(map as never);
  };
  test("other entries are ignored", () => {
    expect(decodeCoseKey(entries([[3, -35]]))).toMatchObject({ ok: true });
  });
  test.each<[string, [number, unknown][]]>([
    ["no key type", [[1, undefined]]],
    ["OKP", [[1, 1]]],
    ["unknown curve", [[-1, 8]]],
    ["curve that does not fit the coordinates", [[-1, 1]]],
    ["compressed y", [[-3, true]]],
    ["x of 47 bytes", [[-2, new Uint8Array(47)]]],
    ["x that is the field's prime", [[-2, new Uint8Array(48).fill(0xff)]]],
    ["point off the curve", [[-2, new Uint8Array(48)]]],
  ])("refused: %s", (_what, changes) => {
    expect(decodeCoseKey(entries(changes))).toMatchObject({ ok: false, problem: { code: "public-key" } });
  });
  test.each<[string, string]>([
    ["not CBOR", "ff"],
    ["not a map", "80"],
  ])("refused: %s", (_what, data) => {
    expect(decodeCoseKey(hex(data))).toMatchObject({ ok: false, problem: { code: "public-key" } });
  });

  test.each<[string, Uint8Array]>([
    ["compressed", Uint8Array.of(2, ...P384.point.subarray(1, 49))],
    ["wrong length", P384.point.subarray(1)],
    ["other prefix", Uint8Array.of(6, ...P384.point.subarray(1))],
  ])("a bare point is refused: %s", (_what, point) => {
    expect(decodeRawKey(point)).toMatchObject({ ok: false });
  });
});
