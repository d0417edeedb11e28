/**
 * The attestation token: the Realm token, signed by the Realm Attestation Key (RAK), beside the platform token of this
 * boot. DEN0137 1.0-rel0, "CCA attestation token"; draft-ffm-rats-cca-token. Key and platform token come from EL3 at cold
 * boot and stay in the RMM's memory; the platform token's challenge is the hash of the RAK claim, which ties the two.
 */
import { GRANULE_SIZE, invariant } from "@realmbox/abi";
import { buildCcaToken, buildRealmToken, ecSigner, rakClaim } from "@realmbox/token";
import { digestSize, hashAlgorithm } from "../measurement/measurement.js";
import { Keys, PLATFORM_TOKEN_SIZE_MAX } from "../memory-map.js";
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { frameOf } from "../views.js";

/** Bytes of a token at most: one granule holds it while the Realm fetches it. */
export const TOKEN_SIZE_MAX = GRANULE_SIZE;
/** Heads, tag, signature and claims of a Realm token, beside its measurements, with room to spare. */
const REALM_TOKEN_SIZE_MAX = 1024;

const keys = (rmm: Rmm): Keys => rmm.pageAt(frameOf(rmm.map.keys)).as(Keys);

/**
 * Cold boot: fetches RAK and platform token. Without either the RMM boots all the same, and tokens are refused.
 */
export function initAttestation(rmm: Rmm): void {
  const { pe, isolation, crypto, map } = rmm;
  const globals = rmm.globals();
  const sharedPage = globals.shared_page;
  const rak = isolation.realmAttestationKey(pe, sharedPage);
  if (rak === undefined) return;
  const stored = keys(rmm);
  const { publicKey, challenge } = rakClaim(crypto, { curve: "P-384", point: crypto.ecPublicKey("P-384", rak) });
  stored.rak_private = rak;
  stored.rak_public = publicKey;
  stored.rak_public_size = publicKey.length;
  const sizeMax = Math.min(PLATFORM_TOKEN_SIZE_MAX, TOKEN_SIZE_MAX - REALM_TOKEN_SIZE_MAX);
  const platformToken = isolation.platformToken(pe, sharedPage, challenge, sizeMax);
  if (platformToken === undefined) return;
  rmm.bytesAt(map.platformToken).set(platformToken);
  globals.platform_token_size = platformToken.length;
  globals.attestation = 1;
}

export const attestationReady = (rmm: Rmm): boolean => rmm.globals().attestation === 1;

/** The token of a Realm as it is now: its claims signed by the RAK, beside the platform token. */
export function token(rmm: Rmm, rd: Rd, challenge: Uint8Array): Uint8Array {
  const { rak_private, rak_public, rak_public_size } = keys(rmm);
  const size = digestSize(rd);
  const measurement = (index: number) => rd.measurement(index).slice(0, size);
  const realmToken = buildRealmToken(
    {
      challenge,
      personalizationValue: rd.rpv,
      publicKey: rak_public.slice(0, rak_public_size),
      hashAlgorithm: hashAlgorithm(rd),
      initialMeasurement: measurement(0),
      extensibleMeasurements: [1, 2, 3, 4].map(measurement),
    },
    ecSigner(rmm.crypto, rak_private),
  );
  const platformToken = rmm.bytesAt(rmm.map.platformToken).slice(0, rmm.globals().platform_token_size);
  const collection = buildCcaToken(platformToken, realmToken);
  invariant(collection.length <= TOKEN_SIZE_MAX, "a token fits a granule", collection.length);
  return collection;
}
