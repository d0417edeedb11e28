/**
 * Reference values: what firmware and which Realms a relying party expects, and the comparison of a token's claims
 * with them. A value that a reference leaves out is not compared. The file form is rust-ccatoken's reference value
 * store (JSON, byte strings in hexadecimal), so that its files can be used; CoRIM is a later matter.
 */

import {
  equalBytes,
  failure,
  fromHex,
  type PlatformClaims,
  type RealmClaims,
  type Result,
  success,
  toHex,
} from "@realmbox/token";

export interface ComponentReference {
  readonly measurement: Uint8Array;
  readonly signerId?: Uint8Array;
  readonly type?: string;
  readonly version?: string;
}

export interface PlatformReference {
  readonly implementationId?: Uint8Array;
  readonly config?: Uint8Array;
  /** All components, in the token's order. */
  readonly softwareComponents?: readonly ComponentReference[];
}

export interface RealmReference {
  readonly initialMeasurement?: Uint8Array;
  /** REM[0] to REM[3]; undefined ones are not compared. */
  readonly extensibleMeasurements?: readonly (Uint8Array | undefined)[];
  readonly personalizationValue?: Uint8Array;
  readonly publicKeyHashAlgorithm?: string;
}

/** A token must agree with one entry of each list that is given. */
export interface ReferenceValues {
  readonly platform?: readonly PlatformReference[];
  readonly realm?: readonly RealmReference[];
}

/** One way in which a token differs from a reference. */
export interface Difference {
  readonly code: string;
  readonly message: string;
  readonly claim: string;
}

/**
 * The differences from the reference that fits best: empty when one fits. An empty list of references fits nothing.
 */
export function bestFit<R>(references: readonly R[], compare: (reference: R) => Difference[]): readonly Difference[] {
  let best: Difference[] | undefined;
  for (const reference of references) {
    const differences = compare(reference);
    if (!best || differences.length < best.length) best = differences;
  }
  return best ?? [{ code: "reference-missing", message: "there is no reference value to compare with", claim: "" }];
}

export function comparePlatform(claims: PlatformClaims, reference: PlatformReference): Difference[] {
  const found: Difference[] = [];
  const bytes = (name: string, value: Uint8Array, wanted: Uint8Array | undefined) => {
    const claim = `cca-platform-${name}`;
    if (wanted && !equalBytes(value, wanted)) found.push(differs(name, claim, value, wanted));
  };
  bytes("implementation-id", claims.implementationId, reference.implementationId);
  bytes("config", claims.config, reference.config);
  const wanted = reference.softwareComponents;
  if (!wanted) return found;
  const component = (message: string) =>
    found.push({ code: "software-components", claim: "cca-platform-sw-components", message });
  const have = claims.softwareComponents;
  if (have.length !== wanted.length)
    component(`the platform has ${have.length} software components, the reference ${wanted.length}`);
  for (const [i, want] of wanted.entries()) {
    const is = have[i];
    if (!is) break;
    const name = `software component ${i} (${is.type ?? want.type ?? "unnamed"})`;
    if (!equalBytes(is.measurement, want.measurement))
      component(`${name} measures ${toHex(is.measurement)}, expected ${toHex(want.measurement)}`);
    if (want.signerId && !equalBytes(is.signerId, want.signerId))
      component(`${name} is signed by ${toHex(is.signerId)}, expected ${toHex(want.signerId)}`);
    for (const key of ["type", "version"] as const)
      if (want[key] !== undefined && is[key] !== want[key])
        component(`${name} has the ${key} ${JSON.stringify(is[key] ?? null)}, expected ${JSON.stringify(want[key])}`);
  }
  return found;
}

export function compareRealm(claims: RealmClaims, reference: RealmReference): Difference[] {
  const found: Difference[] = [];
  const bytes = (code: string, name: string, value: Uint8Array, wanted: Uint8Array | undefined) => {
    if (wanted && !equalBytes(value, wanted)) found.push(differs(code, `cca-realm-${name}`, value, wanted));
  };
  bytes("rim", "initial-measurement", claims.initialMeasurement, reference.initialMeasurement);
  for (const [i, rem] of (reference.extensibleMeasurements ?? []).entries())
    bytes(`rem${i}`, "extensible-measurements", claims.extensibleMeasurements[i] ?? new Uint8Array(0), rem);
  bytes("rpv", "personalization-value", claims.personalizationValue, reference.personalizationValue);
  const algorithm = reference.publicKeyHashAlgorithm;
  if (algorithm !== undefined && algorithm !== claims.publicKeyHashAlgorithm)
    found.push({
      code: "public-key-hash-algorithm",
      claim: "cca-realm-public-key-hash-algo-id",
      message: `the RAK is bound by ${JSON.stringify(claims.publicKeyHashAlgorithm)}, expected ${JSON.stringify(algorithm)}`,
    });
  return found;
}

const differs = (code: string, claim: string, value: Uint8Array, wanted: Uint8Array): Difference => ({
  code,
  claim,
  message: `${claim} is ${toHex(value)}, expected ${toHex(wanted)}${code.startsWith("rem") ? ` (REM${code.slice(3)})` : ""}`,
});

/** Reads a reference value file; the problem is a sentence. Members that are not known are refused, misspelt ones thus too. */
export function parseReferenceValues(text: string): Result<ReferenceValues, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return failure("not JSON");
  }
  try {
    const file = members(json, "the file", ["platform", "realm"]);
    return success({
      ...(file.platform !== undefined && { platform: list(file.platform, "platform").map(platformReference) }),
      ...(file.realm !== undefined && { realm: list(file.realm, "realm").map(realmReference) }),
    });
  } catch (e) {
    if (e instanceof Unfit) return failure(e.message);
    throw e;
  }
}

class Unfit extends Error {}

function platformReference(json: unknown): PlatformReference {
  const entry = members(json, "platform", ["implementation-id", "platform-configuration", "sw-components"]);
  const components = entry["sw-components"];
  return {
    ...optional("implementationId", hex(entry, "implementation-id")),
    ...optional("config", hex(entry, "platform-configuration")),
    ...(components !== undefined && { softwareComponents: list(components, "sw-components").map(componentReference) }),
  };
}

function componentReference(json: unknown): ComponentReference {
  const entry = members(json, "sw-components", ["measurement-value", "signer-id", "version", "component-type"]);
  const measurement = hex(entry, "measurement-value");
  if (!measurement) throw new Unfit("a software component without measurement-value");
  return {
    measurement,
    ...optional("signerId", hex(entry, "signer-id")),
    ...optional("type", string(entry, "component-type")),
    ...optional("version", string(entry, "version")),
  };
}

function realmReference(json: unknown): RealmReference {
  const rems = "extensible-measurements";
  const entry = members(json, "realm", ["initial-measurement", "rak-hash-algorithm", rems, "personalization-value"]);
  return {
    ...optional("initialMeasurement", hex(entry, "initial-measurement")),
    ...optional("personalizationValue", hex(entry, "personalization-value")),
    ...optional("publicKeyHashAlgorithm", string(entry, "rak-hash-algorithm")),
    ...(entry[rems] !== undefined && {
      extensibleMeasurements: list(entry[rems], rems).map((rem) =>
        rem === null || rem === "" ? undefined : hex({ [rems]: rem }, rems),
      ),
    }),
  };
}

type Members = Readonly<Record<string, unknown>>;

function members(json: unknown, what: string, names: readonly string[]): Members {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Unfit(`${what}: not an object`);
  const unknown = Object.keys(json).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Unfit(`${what}: unknown member ${JSON.stringify(unknown)}`);
  return json as Members;
}

function list(json: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(json)) throw new Unfit(`${name}: not a list`);
  return json;
}

function hex(entry: Members, name: string): Uint8Array | undefined {
  const text = entry[name];
  if (text === undefined) return undefined;
  const value = typeof text === "string" ? fromHex(text) : undefined;
  if (!value) throw new Unfit(`${name}: not hexadecimal`);
  return value;
}

function string(entry: Members, name: string): string | undefined {
  const text = entry[name];
  if (text !== undefined && typeof text !== "string") throw new Unfit(`${name}: not text`);
  return text;
}

const optional = <K extends string, V>(key: K, value: V | undefined) =>
  (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
