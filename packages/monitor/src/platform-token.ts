/**
 * The CCA platform token: profile tag:arm.com,2023:cca_platform#1.0.0, signed with the platform key (ES384), bound to the
 * Realm attestation key by the challenge that the RMM passes: the hash of that key's public half.
 * draft-ffm-rats-cca-token, "CCA Platform Token".
 */
import type { Crypto } from "@realmbox/abi";
import { buildPlatformToken, ecSigner, type SoftwareComponent } from "@realmbox/token";
import { type PlatformIdentity, signerId } from "./keys.js";

/** A measured image: SHA-256 over its bytes. */
export interface Component {
  /** Name by the convention of TF-A's tokens: AP_BL31, RMM, HW_CONFIG. */
  readonly type: string;
  readonly measurement: Uint8Array;
}

/** "secured": nothing of the Root or Realm world can be debugged from inside. */
const LIFECYCLE_SECURED = 0x3000;
/** System properties, one byte each: memory encryption contexts, DRAM encryption, DRAM integrity, spare. None here. */
const CONFIG = Uint8Array.of(0, 0, 0, 0);
/** A hint only. example.com is reserved (RFC 2606): there is no public service for emulated platforms. */
const VERIFICATION_SERVICE = "https://realmbox.example.com/verify";

/** The software components claim, in boot order. */
export function softwareComponents(crypto: Crypto, components: readonly Component[]): SoftwareComponent[] {
  const signer = signerId(crypto);
  return components.map(({ type, measurement }) => ({
    type,
    signerId: signer,
    measurement,
    hashAlgorithm: "sha-256",
  }));
}

export interface PlatformTokenInputs {
  readonly crypto: Crypto;
  /** The platform key's private scalar. */
  readonly cpak: Uint8Array;
  readonly identity: Pick<PlatformIdentity, "implementationId" | "instanceId">;
  readonly components: readonly Component[];
  /** 32, 48 or 64 bytes. */
  readonly challenge: Uint8Array;
}

/** Builds and signs the token. Deterministic: equal inputs make equal bytes. */
export function platformToken({ crypto, cpak, identity, components, challenge }: PlatformTokenInputs): Uint8Array {
  return buildPlatformToken(
    {
      challenge,
      implementationId: identity.implementationId,
      instanceId: identity.instanceId,
      config: CONFIG,
      lifecycle: LIFECYCLE_SECURED,
      hashAlgorithm: "sha-256",
      softwareComponents: softwareComponents(crypto, components),
      verificationService: VERIFICATION_SERVICE,
    },
    ecSigner(crypto, cpak),
  );
}
