/** The platform token's claims: what the Root Monitor attests. draft-ffm-rats-cca-token, "Platform Claims". */

import type { HashAlgorithm } from "@realmbox/abi";
import type { CborValue } from "./cbor.js";
import {
  anyList,
  bytesOf,
  type ClaimRow,
  digest,
  eitherOf,
  listOf,
  mapsOf,
  textOf,
  uintOf,
  type ValueRule,
} from "./claims.js";

/** A measured firmware component. */
export interface SoftwareComponent {
  /** Names by convention: AP_BL31, RMM, … */
  readonly type?: string;
  /** Hash of the public key that signed the component; 32, 48 or 64 bytes. */
  readonly signerId: Uint8Array;
  readonly version?: string;
  /** Hash of the component; 32, 48 or 64 bytes. */
  readonly measurement: Uint8Array;
  readonly hashAlgorithm?: string;
  /** Whether the component can be replaced while running. Profiles of 2026. */
  readonly liveActivation?: boolean;
  /** Profiles of 2026. */
  readonly countersigners?: readonly Uint8Array[];
}

export interface PlatformClaims {
  readonly profile: string;
  /** Up to the profiles of 2024: hash of the RAK claim; 32, 48 or 64 bytes. */
  readonly challenge?: Uint8Array;
  /** From the profiles of 2026 on, in place of `challenge`. */
  readonly workloadBinding?: Uint8Array;
  /** Identifies the platform's design; 32 bytes. */
  readonly implementationId: Uint8Array;
  /** Identifies this one platform and its attestation key; 33 bytes, the first is 0x01. */
  readonly instanceId: Uint8Array;
  /** System properties in a form of the implementation's. */
  readonly config: Uint8Array;
  /** 16 bits; see `lifecycleState`. */
  readonly lifecycle: number;
  /** Algorithm of the extended measurements in this token. */
  readonly hashAlgorithm: HashAlgorithm;
  /** Profiles from 2024 on: 1, the realm management security domain. */
  readonly clientId?: number;
  /** A hint where the token can be verified; never to be followed blindly. */
  readonly verificationService?: string;
  /** At least one. */
  readonly softwareComponents: readonly SoftwareComponent[];
  readonly manufacturingConfig?: Uint8Array;
  readonly extension?: readonly CborValue[];
  readonly rootOfTrustKeys?: readonly CborValue[];
  readonly peerSigners?: Uint8Array | readonly Uint8Array[];
  readonly tpmBinding?: Uint8Array;
}

export const HASH_NAMES: readonly HashAlgorithm[] = ["sha-256", "sha-384", "sha-512"];

/** Security lifecycle states by the upper byte; the lower byte is the implementation's. Names as in veraison/ccatoken. */
const LIFECYCLE_STATES = [
  "unknown",
  "assembly-and-test",
  "cca-platform-rot-provisioning",
  "secured",
  "non-cca-platform-rot-debug",
  "recoverable-cca-platform-rot-debug",
  "decommissioned",
] as const;
export type LifecycleState = (typeof LIFECYCLE_STATES)[number];

/** The state that a lifecycle value stands for: 0xS0xx is state S; undefined for values outside the ranges. */
export function lifecycleState(lifecycle: number): LifecycleState | undefined {
  return (lifecycle & 0x0f00) === 0 && lifecycle <= 0xffff ? LIFECYCLE_STATES[lifecycle >> 12] : undefined;
}

const ALWAYS = { legacy: "M", "1.0.0": "M", "2024": "M", "2026": "M" } as const;
const OPTIONAL = { legacy: "O", "1.0.0": "O", "2024": "O", "2026": "O" } as const;
const FROM_2024 = { "2024": "O", "2026": "O" } as const;

const boolean: ValueRule = {
  expected: "true or false",
  check: (value) => (typeof value === "boolean" ? undefined : "is not a boolean"),
};

/** Rows of a software component's map, in the order in which TF-A's sample tokens have them. */
export const SOFTWARE_COMPONENT_ROWS: readonly ClaimRow<keyof SoftwareComponent>[] = [
  { label: 1, key: "type", name: "measurement-type", value: textOf(), need: OPTIONAL },
  { label: 5, key: "signerId", name: "signer-id", value: digest, need: ALWAYS },
  { label: 4, key: "version", name: "version", value: textOf(), need: OPTIONAL },
  { label: 2, key: "measurement", name: "measurement-value", value: digest, need: ALWAYS },
  { label: 6, key: "hashAlgorithm", name: "measurement-description", value: textOf(), need: OPTIONAL },
  { label: 7, key: "liveActivation", name: "live-firmware-activation", value: boolean, need: { "2026": "O" } },
  { label: 8, key: "countersigners", name: "countersigner-ids", value: listOf(digest), need: { "2026": "O" } },
];

/** The claims, in the order in which TF-A's sample tokens have them. */
// biome-ignore format: a table
export const PLATFORM_CLAIM_ROWS: readonly ClaimRow<keyof PlatformClaims>[] = [
  { label: 265, key: "profile", name: "cca-platform-profile", value: textOf(), need: ALWAYS },
  { label: 10, key: "challenge", name: "cca-platform-challenge", value: digest, need: { ...ALWAYS, "2026": "X" } },
  { label: 2408, key: "workloadBinding", name: "cca-platform-workload-binding", value: digest, need: { "2026": "M" } },
  { label: 2396, key: "implementationId", name: "cca-platform-implementation-id", value: bytesOf([32]), need: ALWAYS },
  // An EAT UEID of type RAND (RFC 9711, 4.2.1).
  { label: 256, key: "instanceId", name: "cca-platform-instance-id", value: bytesOf([33], 0x01), need: ALWAYS },
  { label: 2401, key: "config", name: "cca-platform-config", value: bytesOf([]), need: ALWAYS },
  { label: 2395, key: "lifecycle", name: "cca-platform-lifecycle", value: uintOf("a lifecycle value", (v) => lifecycleState(v) !== undefined), need: ALWAYS },
  { label: 2402, key: "hashAlgorithm", name: "cca-platform-hash-algo-id", value: textOf(HASH_NAMES), need: ALWAYS },
  { label: 2394, key: "clientId", name: "cca-platform-client-id", value: uintOf("1", (v) => v === 1), need: { "2024": "M", "2026": "M" } },
  { label: 2400, key: "verificationService", name: "cca-platform-service-indicator", value: textOf(), need: OPTIONAL },
  { label: 2399, key: "softwareComponents", name: "cca-platform-sw-components", value: mapsOf(SOFTWARE_COMPONENT_ROWS), need: ALWAYS },
  { label: 2403, key: "manufacturingConfig", name: "cca-platform-manufacturing-config", value: bytesOf([]), need: FROM_2024 },
  { label: 2404, key: "extension", name: "cca-platform-extension", value: anyList, need: FROM_2024 },
  { label: 2405, key: "rootOfTrustKeys", name: "cca-platform-tbb-rotpk", value: anyList, need: FROM_2024 },
  { label: 2406, key: "peerSigners", name: "cca-platform-peer-signers", value: eitherOf(bytesOf([]), listOf(bytesOf([]))), need: FROM_2024 },
  { label: 2407, key: "tpmBinding", name: "cca-platform-tpm-binding", value: bytesOf([]), need: { "2026": "O" } },
];
