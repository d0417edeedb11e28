/** The Realm token's claims: what the RMM attests. draft-ffm-rats-cca-token, "Realm Claims". */

import type { HashAlgorithm } from "@realmbox/abi";
import { bytesOf, type ClaimRow, digest, eitherOf, listOf, textOf, uintOf } from "./claims.js";
import { HASH_NAMES } from "./platform-claims.js";

export interface RealmClaims {
  /** The caller's challenge, 64 bytes. */
  readonly challenge: Uint8Array;
  /** Profiles from 2024 on: made at the Realm's creation; 33 bytes, the first is 0x01. */
  readonly instanceId?: Uint8Array;
  /** Personalization value (RPV), 64 bytes. */
  readonly personalizationValue: Uint8Array;
  /** The RAK exactly as carried: a COSE_Key, or in legacy tokens the bare point. The binding hash runs over it. */
  readonly publicKey: Uint8Array;
  /** Algorithm of RIM and REMs. */
  readonly hashAlgorithm: HashAlgorithm;
  /** Algorithm of the binding hash: "sha-256" with every known RMM. */
  readonly publicKeyHashAlgorithm: string;
  /** Profiles from 2024 on: 0 shared, 1 private; tokens of 2024 may have the words instead. */
  readonly mecPolicy?: number | string;
  /** Absent in legacy tokens. */
  readonly profile?: string;
  /** RIM, as long as the algorithm's digest. */
  readonly initialMeasurement: Uint8Array;
  /** REM[0] to REM[3]. */
  readonly extensibleMeasurements: readonly Uint8Array[];
  /** Profiles of 2026: live firmware activation, 0 disallowed, 1 allowed. */
  readonly lfaPolicy?: number;
  /** Profiles of 2026: hash of the device token. */
  readonly devicesTokenHash?: Uint8Array;
}

/** RMM 1.0 has four Realm Extensible Measurements. DEN0137, "Realm measurements". */
export const REM_COUNT = 4;

const ALWAYS = { legacy: "M", "1.0.0": "M", "2024": "M", "2026": "M" } as const;
const FROM_2024 = { "2024": "M", "2026": "M" } as const;
const bit = uintOf("0 or 1", (v) => v === 0 || v === 1);

/** The claims, in the order in which TF-RMM writes them. */
// biome-ignore format: a table
export const REALM_CLAIM_ROWS: readonly ClaimRow<keyof RealmClaims>[] = [
  { label: 10, key: "challenge", name: "cca-realm-challenge", value: bytesOf([64]), need: ALWAYS },
  { label: 256, key: "instanceId", name: "cca-realm-instance-id", value: bytesOf([33], 0x01), need: FROM_2024 },
  { label: 44235, key: "personalizationValue", name: "cca-realm-personalization-value", value: bytesOf([64]), need: ALWAYS },
  { label: 44237, key: "publicKey", name: "cca-realm-public-key", value: bytesOf([]), need: ALWAYS },
  { label: 44236, key: "hashAlgorithm", name: "cca-realm-hash-algo-id", value: textOf(HASH_NAMES), need: ALWAYS },
  { label: 44240, key: "publicKeyHashAlgorithm", name: "cca-realm-public-key-hash-algo-id", value: textOf(), need: ALWAYS },
  { label: 44243, key: "mecPolicy", name: "cca-realm-mec-policy", value: eitherOf(bit, textOf(["shared", "private"])), need: { "2024": "M" } },
  { label: 44243, key: "mecPolicy", name: "cca-realm-mec-policy", value: bit, need: { "2026": "M" } },
  { label: 265, key: "profile", name: "cca-realm-profile", value: textOf(), need: { legacy: "O", "1.0.0": "O", "2024": "O", "2026": "O" } },
  { label: 44238, key: "initialMeasurement", name: "cca-realm-initial-measurement", value: digest, need: ALWAYS },
  { label: 44239, key: "extensibleMeasurements", name: "cca-realm-extensible-measurements", value: listOf(digest, REM_COUNT), need: ALWAYS },
  { label: 44244, key: "lfaPolicy", name: "cca-realm-lfa-policy", value: bit, need: { "2026": "O" } },
  { label: 44257, key: "devicesTokenHash", name: "cca-realm-devices-token-hash", value: digest, need: { "2026": "O" } },
];
