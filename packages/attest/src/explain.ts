/**
 * A token for people: everything in it as a tree of labelled lines, as deep as it can be decoded. Says what is there,
 * not whether it can be trusted.
 */

import {
  CborFloat,
  type CborKey,
  type CborMap,
  type CborValue,
  type ClaimRow,
  COSE_ALGORITHMS,
  decodeCbor,
  decodeRak,
  decodeRealmToken,
  decodeSign1,
  equalBytes,
  type Generation,
  lifecycleState,
  lookUp,
  PLATFORM_CLAIM_ROWS,
  PLATFORM_PROFILES,
  PROFILE_LABEL,
  REALM_CLAIM_ROWS,
  splitCollection,
  Tagged,
  toHex,
} from "@realmbox/token";
import { TOKEN_SIZE_MAX } from "./verify.js";

export interface ExplainNode {
  readonly label: string;
  readonly value?: string;
  readonly children?: readonly ExplainNode[];
}

/** The tree of a token; for bytes that are none, what is wrong with them. */
export function explainToken(data: Uint8Array): ExplainNode {
  const label = "CCA token";
  const size = `${data.length} bytes`;
  if (data.length > TOKEN_SIZE_MAX) return { label, value: `${size}, too large for a token` };
  const collection = splitCollection(data);
  if (!collection.ok) return { label, value: `${size}; ${collection.problem.message}` };
  const { tag, platform, realm } = collection.value;
  const generation = platformGeneration(platform);
  return {
    label,
    value: `${size}, collection with tag ${tag}`,
    children: [
      explainPart("platform token", platform, PLATFORM_CLAIM_ROWS),
      explainPart("realm token", realm, REALM_CLAIM_ROWS, explainRak(realm, generation)),
    ],
  };
}

/** The tree as lines, two spaces of indentation a level. */
export function renderTree(node: ExplainNode, depth = 0): string {
  const line = `${"  ".repeat(depth)}${node.label}${node.value === undefined ? "" : `: ${node.value}`}\n`;
  return line + (node.children ?? []).map((child) => renderTree(child, depth + 1)).join("");
}

function explainPart(
  label: string,
  bytes: Uint8Array,
  rows: readonly ClaimRow[],
  extra: readonly ExplainNode[] = [],
): ExplainNode {
  const size = `${bytes.length} bytes`;
  const sign1 = decodeSign1(bytes, label);
  if (!sign1.ok) return { label, value: `${size}; ${sign1.problem.message}` };
  const { protectedHeader, unprotectedHeader, payload, signature } = sign1.value;
  const claims = decodeCbor(payload);
  return {
    label,
    value: `${size}, COSE_Sign1`,
    children: [
      explainHeader("protected header", protectedHeader),
      explainHeader("unprotected header", unprotectedHeader),
      claims.ok && claims.value instanceof Map
        ? { label: "claims", children: [...explainMap(claims.value, rows), ...extra] }
        : { label: "claims", value: claims.ok ? "not a map" : claims.problem.message },
      { label: "signature", value: toHex(signature) },
    ],
  };
}

/** Names of the header parameters that tokens use. RFC 9052, 3.1; RFC 9360, 2. */
const HEADERS: Readonly<Record<number, string>> = { 1: "alg", 2: "crit", 4: "kid", 33: "x5chain", 34: "x5t" };

function explainHeader(label: string, header: CborMap): ExplainNode {
  if (header.size === 0) return { label, value: "empty" };
  return {
    label,
    children: [...header].map(([key, value]): ExplainNode => {
      const name = typeof key === "number" ? HEADERS[key] : undefined;
      const algorithm = Object.entries(COSE_ALGORITHMS).find(([, { id }]) => key === 1 && id === value)?.[0];
      const shown = name ? `${name} (${key})` : keyText(key);
      return algorithm ? { label: shown, value: `${algorithm} (${value})` } : explainValue(shown, value);
    }),
  };
}

const keyText = (key: CborKey) => (typeof key === "string" ? JSON.stringify(key) : String(key));

const explainMap = (map: CborMap, rows: readonly ClaimRow[]): ExplainNode[] =>
  [...map].map(([key, value]) => {
    const row = rows.find(({ label }) => label === key);
    if (!row) return explainValue(`${keyText(key)} (unknown)`, value);
    const label = `${row.name} (${key})`;
    // The one number whose meaning is not in its name.
    if (row.key === "lifecycle" && typeof value === "number")
      return { label, value: `0x${value.toString(16).padStart(4, "0")}, ${lifecycleState(value) ?? "invalid"}` };
    return explainValue(label, value, row.value.entry);
  });

function explainValue(label: string, value: CborValue, rows: readonly ClaimRow[] = []): ExplainNode {
  if (value instanceof Uint8Array) return { label, value: toHex(value) || "(no bytes)" };
  if (value instanceof Map) return { label, children: explainMap(value, rows) };
  if (value instanceof Tagged) return { label, children: [explainValue(`tag ${value.tag}`, value.value, rows)] };
  if (value instanceof CborFloat) return { label, value: String(value.value) };
  if (typeof value === "string") return { label, value: JSON.stringify(value) };
  if (typeof value === "object" && value !== null)
    return { label, children: value.map((item, i) => explainValue(`[${i}]`, item, rows)) };
  return { label, value: String(value) };
}

function platformGeneration(platform: Uint8Array): Generation | undefined {
  const sign1 = decodeSign1(platform, "platform token");
  const claims = sign1.ok ? decodeCbor(sign1.value.payload) : undefined;
  const profile = claims?.ok && claims.value instanceof Map ? claims.value.get(PROFILE_LABEL) : undefined;
  const generation = typeof profile === "string" ? lookUp(PLATFORM_PROFILES, profile) : undefined;
  return generation === "unsupported" ? undefined : generation;
}

/** What the public key claim holds: the curve and the point. */
function explainRak(realm: Uint8Array, platform: Generation | undefined): ExplainNode[] {
  const { part } = decodeRealmToken(realm, platform ?? "1.0.0");
  if (!part?.claims) return [];
  const rak = decodeRak(part.claims, part.generation);
  if (!rak.ok) return [{ label: "realm attestation key", value: rak.problem.message }];
  const { curve, point } = rak.value;
  const form = equalBytes(part.claims.publicKey, point) ? "bare point" : "COSE_Key";
  return [{ label: "realm attestation key", value: `${curve} ${form}, ${toHex(point)}` }];
}
