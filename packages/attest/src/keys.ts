/**
 * Trust anchors: the platform attestation keys (CPAK) that a verifier believes in, read from PEM or JSON, and written
 * as PEM. Only elliptic curve public keys; certificates are a later matter.
 */

import type { EcCurve } from "@realmbox/abi";
import {
  EC_CURVES,
  type EcPublicKey,
  equalBytes,
  failure,
  fromBase64,
  fromHex,
  onCurve,
  type Result,
  success,
  toBase64,
  toHex,
} from "@realmbox/token";

/** A trusted key; with ids, trusted for that platform only. */
export interface TrustAnchor {
  readonly key: EcPublicKey;
  readonly implementationId?: Uint8Array;
  readonly instanceId?: Uint8Array;
}

/** A sentence that says what is wrong with the text. */
export type KeyProblem = string;

/**
 * All of a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7; RFC 5480, 2) before its point. DER has one encoding for each
 * value, so that for a named curve and an uncompressed point these bytes are always the same.
 */
const SPKI_PREFIX: Readonly<Record<EcCurve, Uint8Array>> = {
  "P-256": fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200")!,
  "P-384": fromHex("3076301006072a8648ce3d020106052b81040022036200")!,
  "P-521": fromHex("30819b301006072a8648ce3d020106052b8104002303818600")!,
};
const CURVES = Object.keys(SPKI_PREFIX) as EcCurve[];

/** The key as PEM text, "PUBLIC KEY" (RFC 7468, 13): what openssl and other verifiers read. */
export function toPem({ curve, point }: EcPublicKey): string {
  const base64 = toBase64(Uint8Array.of(...SPKI_PREFIX[curve], ...point));
  const lines = base64.match(/.{1,64}/g)!;
  return ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
}

/** A JSON Web Key (RFC 7517) with the members that an EC public key needs (RFC 7518, 6.2.1). */
export interface Jwk {
  readonly kty: "EC";
  readonly crv: EcCurve;
  readonly x: string;
  readonly y: string;
}

export function toJwk({ curve, point }: EcPublicKey): Jwk {
  const { size } = EC_CURVES[curve];
  const coordinate = (at: number) =>
    toBase64(point.subarray(at, at + size))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
  return { kty: "EC", crv: curve, x: coordinate(1), y: coordinate(1 + size) };
}

/**
 * Reads a trust file: PEM with one or more "PUBLIC KEY" blocks; or JSON, one of a JWK, a JWK set, or a list of
 * {instance-id, implementation-id, pkey: JWK} with ids in hexadecimal (rust-ccatoken's trust anchor store).
 */
export function parseTrustAnchors(text: string): Result<readonly TrustAnchor[], KeyProblem> {
  if (text.includes("-----BEGIN")) return parsePem(text);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return failure("neither PEM nor JSON");
  }
  if (isObject(json) && Array.isArray(json.keys)) return all(json.keys.map((key) => anchorOf(key, {})));
  if (Array.isArray(json)) {
    return all(
      json.map((entry) =>
        isObject(entry) && "pkey" in entry ? anchorOf(entry.pkey, entry) : failure("an entry without pkey"),
      ),
    );
  }
  return all([anchorOf(json, {})]);
}

function parsePem(text: string): Result<readonly TrustAnchor[], KeyProblem> {
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)];
  if (blocks.length === 0) return failure("a PEM block that does not end");
  return all(
    blocks.map(([, label, body]): Result<TrustAnchor, KeyProblem> => {
      if (label !== "PUBLIC KEY") {
        const hint = /PRIVATE KEY/.test(label!) ? '; extract the public one with "openssl pkey -pubout"' : "";
        return failure(`a PEM block ${label}, where PUBLIC KEY is expected${hint}`);
      }
      const der = fromBase64(body!.replaceAll(/\s/g, ""));
      if (!der) return failure("a PEM block that is not base64");
      const key = fromSpki(der);
      return key.ok ? success({ key: key.value }) : key;
    }),
  );
}

/** Reads a SubjectPublicKeyInfo in DER. */
export function fromSpki(der: Uint8Array): Result<EcPublicKey, KeyProblem> {
  for (const curve of CURVES) {
    const prefix = SPKI_PREFIX[curve];
    const point = der.slice(prefix.length);
    if (point.length !== 1 + 2 * EC_CURVES[curve].size || !equalBytes(der.subarray(0, prefix.length), prefix)) continue;
    if (point[0] !== 4) return failure("a key that is not an uncompressed point");
    const key = onCurve({ curve, point });
    return key.ok ? key : failure(key.problem.message);
  }
  return failure("not an uncompressed public key on P-256, P-384 or P-521");
}

/** Reads a JWK. A private one is taken for its public half. */
export function fromJwk(json: unknown): Result<EcPublicKey, KeyProblem> {
  if (!isObject(json) || json.kty !== "EC") return failure('not a JWK of key type "EC"');
  const curve = CURVES.find((name) => name === json.crv);
  if (!curve) return failure(`a JWK on the curve ${JSON.stringify(json.crv)}, not one of ${CURVES.join(", ")}`);
  const { size } = EC_CURVES[curve];
  const [x, y] = [json.x, json.y].map((text) => (typeof text === "string" ? fromBase64(text) : undefined));
  if (x?.length !== size || y?.length !== size) return failure(`a JWK without x and y of ${size} bytes`);
  const key = onCurve({ curve, point: Uint8Array.of(4, ...x, ...y) });
  return key.ok ? key : failure(key.problem.message);
}

function anchorOf(jwk: unknown, entry: Readonly<Record<string, unknown>>): Result<TrustAnchor, KeyProblem> {
  const key = fromJwk(jwk);
  if (!key.ok) return key;
  const ids: { implementationId?: Uint8Array; instanceId?: Uint8Array } = {};
  for (const [name, property] of [
    ["implementation-id", "implementationId"],
    ["instance-id", "instanceId"],
  ] as const) {
    if (entry[name] === undefined) continue;
    const id = typeof entry[name] === "string" ? fromHex(entry[name]) : undefined;
    if (!id) return failure(`an ${name} that is not hexadecimal`);
    ids[property] = id;
  }
  return success({ key: key.value, ...ids });
}

/** All values, or the first problem; a file without any key is a problem too. */
function all(results: readonly Result<TrustAnchor, KeyProblem>[]): Result<readonly TrustAnchor[], KeyProblem> {
  const anchors: TrustAnchor[] = [];
  for (const result of results) {
    if (!result.ok) return result;
    anchors.push(result.value);
  }
  return anchors.length > 0 ? success(anchors) : failure("no key in it");
}

/** Whether an anchor may speak for this platform. */
export const anchorFits = (
  anchor: TrustAnchor,
  platform: { readonly implementationId: Uint8Array; readonly instanceId: Uint8Array },
): boolean =>
  (!anchor.implementationId || equalBytes(anchor.implementationId, platform.implementationId)) &&
  (!anchor.instanceId || equalBytes(anchor.instanceId, platform.instanceId));

/** The point in hexadecimal: whether two keys are one. */
export const keyText = (key: EcPublicKey): string => `${key.curve} ${toHex(key.point)}`;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
