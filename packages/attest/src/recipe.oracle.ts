/** For tests: the ingredients of a good token, with keys that are nobody's. */

import { PLATFORM_PROFILE_1_0_0, REALM_PROFILE_1_0_0 } from "@realmbox/token";
import { nodeCrypto } from "../../realmbox/src/crypto/node.js";
import type { TrustAnchor } from "./keys.js";
import type { TokenRecipe } from "./mutate.js";

export const fill = (size: number, byte: number): Uint8Array => new Uint8Array(size).fill(byte);

export const recipe: TokenRecipe = {
  crypto: nodeCrypto,
  cpak: fill(48, 0x11),
  rak: fill(48, 0x22),
  platform: {
    profile: PLATFORM_PROFILE_1_0_0,
    implementationId: fill(32, 1),
    instanceId: Uint8Array.of(1, ...fill(32, 2)),
    config: Uint8Array.of(1, 2, 3),
    lifecycle: 0x3000,
    hashAlgorithm: "sha-256",
    verificationService: "https://verifier.example",
    softwareComponents: [
      { type: "AP_BL31", signerId: fill(32, 3), version: "1.2", measurement: fill(32, 4) },
      { type: "RMM", signerId: fill(32, 5), measurement: fill(32, 6) },
    ],
  },
  realm: {
    profile: REALM_PROFILE_1_0_0,
    challenge: Uint8Array.of(...fill(32, 7), ...fill(32, 0)),
    personalizationValue: fill(64, 8),
    hashAlgorithm: "sha-256",
    initialMeasurement: fill(32, 9),
    extensibleMeasurements: [10, 11, 12, 13].map((byte) => fill(32, byte)),
  },
};

export const cpak: TrustAnchor = {
  key: { curve: "P-384", point: nodeCrypto.ecPublicKey("P-384", recipe.cpak) },
};
export const otherKey: TrustAnchor = {
  key: { curve: "P-384", point: nodeCrypto.ecPublicKey("P-384", fill(48, 0x33)) },
};
