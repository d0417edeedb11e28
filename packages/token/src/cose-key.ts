/**
 * Elliptic curve public keys and the two forms in which a Realm token carries the Realm Attestation Key (RAK): a
 * COSE_Key (RFC 9053, 7.1.1) where the claim set has a profile, the bare point before that.
 *
 * @spec RFC 9053, "Double Coordinate Curves": partial: no compressed points, no private keys
 */

import type { EcCurve } from "@realmbox/abi";
import { type CborKey, type CborValue, decodeCbor, encodeCbor } from "./cbor.js";
import { failure, type Result, success, type TokenProblem } from "./problem.js";

/** A public key: its curve and the uncompressed point 0x04 || X || Y (SEC 1, 2.3.3). */
export interface EcPublicKey {
  readonly curve: EcCurve;
  readonly point: Uint8Array;
}

interface CurveParameters {
  /** COSE's number of the curve. RFC 9053, table 18. */
  readonly cose: number;
  /** Bytes of a coordinate, and of a private scalar. */
  readonly size: number;
  /** The field's prime. */
  readonly p: bigint;
  /** The curve is y² = x³ - 3x + b (SP 800-186, 3.2.1). */
  readonly b: bigint;
}

export const EC_CURVES: Readonly<Record<EcCurve, CurveParameters>> = {
  "P-256": {
    cose: 1,
    size: 32,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8_aa3a93e7_b3ebbd55_769886bc_651d06b0_cc53b0f6_3bce3c3e_27d2604bn,
  },
  "P-384": {
    cose: 2,
    size: 48,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7_e23ee7e4_988e056b_e3f82d19_181d9c6e_fe814112_0314088f_5013875a_c656398d_8a2ed19d_2a85c8ed_d3ec2aefn,
  },
  "P-521": {
    cose: 3,
    size: 66,
    p: 2n ** 521n - 1n,
    b: 0x51_953eb961_8e1c9a1f_929a21a0_b68540ee_a2da725b_99b315f3_b8b48991_8ef109e1_56193951_ec7e937b_1652c0bd_3bb1bf07_3573df88_3d2c34f1_ef451fd4_6b503f00n,
  },
};

const CURVE_NAMES = Object.keys(EC_CURVES) as EcCurve[];

const EC2 = 2; // key type; RFC 9053, table 17
/** COSE_Key labels: key type, curve, coordinates. RFC 9052, 7.1, and RFC 9053, table 19. */
const KTY = 1;
const CRV = -1;
const X = -2;
const Y = -3;

/**
 * The key as a COSE_Key {1: 2, -1: curve, -2: X, -3: Y} in this order, 107 bytes for P-384: the RAK claim's content,
 * and what its binding hash runs over.
 */
export function encodeCoseKey({ curve, point }: EcPublicKey): Uint8Array {
  const { cose, size } = EC_CURVES[curve];
  return encodeCbor(
    new Map<CborKey, CborValue>([
      [KTY, EC2],
      [CRV, cose],
      [X, point.subarray(1, 1 + size)],
      [Y, point.subarray(1 + size)],
    ]),
  );
}

/** Reads a COSE_Key of type EC2 with both coordinates; other entries are ignored. */
export function decodeCoseKey(data: Uint8Array): Result<EcPublicKey, TokenProblem> {
  const item = decodeCbor(data);
  if (!item.ok) return malformed(`is not a COSE_Key: ${item.problem.message}`);
  if (!(item.value instanceof Map)) return malformed("is not a COSE_Key: not a map");
  const key = item.value;
  if (key.get(KTY) !== EC2) return malformed("has a COSE key type other than EC2");
  const curve = CURVE_NAMES.find((name) => EC_CURVES[name].cose === key.get(CRV));
  if (!curve) return malformed("is on an unknown COSE curve");
  const { size } = EC_CURVES[curve];
  const [x, y] = [key.get(X), key.get(Y)];
  if (!(x instanceof Uint8Array && x.length === size && y instanceof Uint8Array && y.length === size))
    return malformed(`does not have two coordinates of ${size} bytes`);
  return onCurve({ curve, point: Uint8Array.of(4, ...x, ...y) });
}

/** Reads a bare uncompressed point; its length tells the curve. */
export function decodeRawKey(data: Uint8Array): Result<EcPublicKey, TokenProblem> {
  const curve = CURVE_NAMES.find((name) => data.length === 1 + 2 * EC_CURVES[name].size);
  if (!curve || data[0] !== 4) return malformed("is not an uncompressed point");
  return onCurve({ curve, point: data.slice() });
}

/** The key, unless its point is not one of the curve's. */
export function onCurve(key: EcPublicKey): Result<EcPublicKey, TokenProblem> {
  const { size, p, b } = EC_CURVES[key.curve];
  const x = toInteger(key.point.subarray(1, 1 + size));
  const y = toInteger(key.point.subarray(1 + size));
  const good = x < p && y < p && (y * y - (x * x * x - 3n * x + b)) % p === 0n;
  return good ? success(key) : malformed(`is not a point of ${key.curve}`);
}

const toInteger = (data: Uint8Array) => data.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

const malformed = (what: string) =>
  failure({ stage: "claims", code: "public-key", message: `the public key ${what}` } as const);
