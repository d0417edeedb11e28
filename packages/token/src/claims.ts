/**
 * Claim sets as tables: one row per claim says its label, its name, what its value must be, and which generations of
 * the token have it. Reading, checking, writing and showing a claim set all run over the rows.
 */

import { toBase64 } from "./bytes.js";
import { CborFloat, type CborMap, type CborValue, Tagged } from "./cbor.js";
import type { TokenProblem } from "./problem.js";

/** The claim sets that were published one after another; a profile string selects one. */
export type Generation = "legacy" | "1.0.0" | "2024" | "2026";

/** Mandatory, optional, forbidden; a generation without an entry does not know the claim and ignores it. */
export type Need = "M" | "O" | "X";

/** What a claim's value must be. */
export interface ValueRule {
  /** For people: "32 bytes". */
  readonly expected: string;
  /** What is wrong with a value, as the end of a sentence that begins with the claim's name. */
  check(value: CborValue, generation: Generation): string | undefined;
  /** For a list of maps: the rows of each map. */
  readonly entry?: readonly ClaimRow[];
}

export interface ClaimRow<Key extends string = string> {
  readonly label: number;
  /** The property that holds the value in the decoded claim set. */
  readonly key: Key;
  /** The claim's name in JSON, as veraison/ccatoken spells it where it knows the claim. */
  readonly name: string;
  readonly value: ValueRule;
  readonly need: { readonly [G in Generation]?: Need };
}

/** Decodes and checks a claim set: the values of the claims that are right, and a problem for each that is not. */
export function readClaims<Claims>(
  map: CborMap,
  rows: readonly ClaimRow<Extract<keyof Claims, string>>[],
  generation: Generation,
): { readonly claims: Partial<Claims>; readonly problems: readonly TokenProblem[] } {
  const claims: Partial<Record<string, unknown>> = {};
  const problems: TokenProblem[] = [];
  for (const { label, key, name, value: rule, need } of rows) {
    const wanted = need[generation];
    if (wanted === undefined) continue;
    const problem = (code: string, what: string) =>
      problems.push({ stage: "claims", code, claim: name, message: `${name} (${label}) ${what}` });
    if (!map.has(label)) {
      if (wanted === "M") problem("claim-missing", "is missing");
      continue;
    }
    if (wanted === "X") {
      problem("claim-forbidden", "must not be present in this profile");
      continue;
    }
    const value = map.get(label);
    const wrong = rule.check(value, generation);
    if (wrong !== undefined) problem("claim-value", wrong);
    else claims[key] = rule.entry ? readEntries(value as CborMap[], rule.entry, generation) : value;
  }
  return { claims: claims as Partial<Claims>, problems };
}

const readEntries = (list: readonly CborMap[], rows: readonly ClaimRow[], generation: Generation) =>
  list.map((entry) => readClaims<Record<string, unknown>>(entry, rows, generation).claims);

/** The claim set as a CBOR map, in the rows' order; absent properties are left out. */
export function writeClaims(claims: object, rows: readonly ClaimRow[]): CborMap {
  const map: CborMap = new Map();
  for (const { label, key, value: rule } of rows) {
    const value = (claims as Readonly<Record<string, CborValue>>)[key];
    if (value === undefined) continue;
    map.set(label, rule.entry ? (value as never[]).map((entry) => writeClaims(entry, rule.entry!)) : value);
  }
  return map;
}

/** Values that JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/**
 * A claim set as JSON in the way of veraison/ccatoken: claims by name, byte strings in base64. Unlike there, claims
 * without a row are shown too, under their label. Works on claim sets that do not pass the checks.
 */
export function claimsToJson(map: CborMap, rows: readonly ClaimRow[]): { readonly [name: string]: Json } {
  return Object.fromEntries(
    [...map].map(([label, value]) => {
      const row = rows.find((r) => r.label === label);
      return [row?.name ?? String(label), valueToJson(value, row?.value.entry)];
    }),
  );
}

function valueToJson(value: CborValue, entry?: readonly ClaimRow[]): Json {
  if (value instanceof Uint8Array) return toBase64(value);
  if (value instanceof Map) return claimsToJson(value, entry ?? []);
  if (value instanceof CborFloat) return Number.isFinite(value.value) ? value.value : String(value.value);
  if (value instanceof Tagged) return { tag: value.tag, value: valueToJson(value.value) };
  if (typeof value === "bigint") return value.toString();
  if (value === undefined) return null;
  if (typeof value === "object" && value !== null) return value.map((item) => valueToJson(item, entry));
  return value;
}

/** A byte string of one of the given sizes, or of any; `first` is what it must begin with. */
export function bytesOf(sizes: readonly number[], first?: number): ValueRule {
  const list = sizes.join(", ").replace(/, (\d+)$/, " or $1");
  const start = first === undefined ? "" : ` that begin with 0x${first.toString(16).padStart(2, "0")}`;
  const expected = sizes.length === 0 ? "bytes" : `${list} bytes${start}`;
  return {
    expected,
    check(value) {
      if (!(value instanceof Uint8Array)) return `is ${describe(value)}, not a byte string`;
      if (sizes.length > 0 && !sizes.includes(value.length)) return `has ${value.length} bytes, not ${list}`;
      if (first !== undefined && value[0] !== first) return `must be ${expected}`;
      return undefined;
    },
  };
}

/** A hash value, of whichever of the three algorithms. */
export const digest = bytesOf([32, 48, 64]);

/** Text that is not empty; with `values`, one of these. */
export function textOf(values?: readonly string[]): ValueRule {
  return {
    expected: values ? values.join(", ") : "text",
    check(value) {
      if (typeof value !== "string") return `is ${describe(value)}, not text`;
      if (value === "") return "is empty";
      if (values && !values.includes(value)) return `is ${JSON.stringify(value)}, not one of ${values.join(", ")}`;
      return undefined;
    },
  };
}

/** An unsigned integer that `accept` takes. */
export function uintOf(expected: string, accept: (value: number) => boolean): ValueRule {
  return {
    expected,
    check(value) {
      if (typeof value !== "number") return `is ${describe(value)}, not an integer`;
      return accept(value) ? undefined : `is ${value}, not ${expected}`;
    },
  };
}

/** A list whose every element satisfies `item`; of exactly `count` elements, or of at least one. */
export function listOf(item: ValueRule, count?: number): ValueRule {
  return {
    expected: `${count ?? "1 or more"} × (${item.expected})`,
    check(value, generation) {
      if (!Array.isArray(value)) return `is ${describe(value)}, not an array`;
      if (count !== undefined && value.length !== count) return `has ${value.length} entries, not ${count}`;
      if (value.length === 0) return "is empty";
      for (const [i, element] of value.entries()) {
        const wrong = item.check(element, generation);
        if (wrong !== undefined) return `[${i}] ${wrong}`;
      }
      return undefined;
    },
  };
}

/** One or more maps with these rows. */
export function mapsOf(entry: readonly ClaimRow[]): ValueRule {
  const map: ValueRule = {
    expected: "map",
    check(value, generation) {
      if (!(value instanceof Map)) return `is ${describe(value)}, not a map`;
      return readClaims<Record<string, unknown>>(value, entry, generation).problems[0]?.message;
    },
  };
  return { ...listOf(map), entry };
}

/** A value that satisfies one of the rules. */
export function eitherOf(...rules: readonly ValueRule[]): ValueRule {
  const expected = rules.map((rule) => rule.expected).join(" or ");
  return {
    expected,
    check: (value, generation) =>
      rules.some((rule) => rule.check(value, generation) === undefined) ? undefined : `is not ${expected}`,
  };
}

/** An array, whatever is in it. */
export const anyList: ValueRule = {
  expected: "array",
  check: (value) => (Array.isArray(value) ? undefined : `is ${describe(value)}, not an array`),
};

/** What kind of value it is, for messages. */
function describe(value: CborValue): string {
  if (typeof value === "number" || typeof value === "bigint") return "an integer";
  if (typeof value === "string") return "text";
  if (typeof value === "boolean") return "a boolean";
  if (value === null || value === undefined) return "nothing";
  if (value instanceof Uint8Array) return "a byte string";
  if (value instanceof Map) return "a map";
  if (value instanceof Tagged) return `tagged ${value.tag}`;
  if (value instanceof CborFloat) return "a floating point number";
  return "an array";
}
