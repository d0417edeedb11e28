import { toHex } from "@realmbox/token";
import { expect, test } from "vitest";
import { crypto } from "./harness.oracle.js";
import { deriveCpak, deriveRak, deriveScalar, platformIdentity } from "./keys.js";

const seed = Uint8Array.of(0);

test("scalars are valid private keys of P-384, and differ by label and by each input", () => {
  const seen = new Set<string>();
  for (let n = 0; n < 50; n++) {
    const scalar = deriveScalar(crypto, `label ${n % 2}`, Uint8Array.of(n >> 1));
    expect(scalar).toHaveLength(48);
    expect(crypto.ecPublicKey("P-384", scalar)).toHaveLength(97); // throws when out of range
    seen.add(toHex(scalar));
  }
  expect(seen.size).toBe(50);
});

test("inputs do not run together", () => {
  const a = deriveScalar(crypto, "l", Uint8Array.of(1, 2), Uint8Array.of(3));
  const b = deriveScalar(crypto, "l", Uint8Array.of(1), Uint8Array.of(2, 3));
  expect(toHex(a)).not.toBe(toHex(b));
});

test("the RAK depends on each measurement, the CPAK on none", () => {
  const [a, b] = [new Uint8Array(32), new Uint8Array(32).fill(1)];
  const keys = [[a, a], [a, b], [b, a], [a]].map((measurements) => toHex(deriveRak({ crypto, seed }, measurements)));
  expect(new Set(keys).size).toBe(4);
  expect(toHex(deriveCpak({ crypto, seed }))).not.toBe(toHex(deriveCpak({ crypto, seed: Uint8Array.of(1) })));
});

test("the identity names the board by implementation id and the key by instance id", () => {
  const one = platformIdentity({ crypto, seed }, "base");
  const other = platformIdentity({ crypto, seed: Uint8Array.of(1) }, "base");
  const fvp = platformIdentity({ crypto, seed }, "fvp");
  expect([one.implementationId.length, one.instanceId.length, one.instanceId[0]]).toEqual([32, 33, 1]);
  expect(toHex(one.implementationId)).toBe(toHex(other.implementationId));
  expect(toHex(one.implementationId)).not.toBe(toHex(fvp.implementationId));
  expect(toHex(one.instanceId)).not.toBe(toHex(other.instanceId));
});
