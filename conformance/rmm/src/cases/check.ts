/** Comparisons whose failure says what was expected and what came. */
import type { RmiStatus } from "@realmbox/abi";
import type { Host, RmiAnswer } from "../driver/index.js";

/** The RMM does otherwise than the rule says. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

export function fail(message: string): never {
  throw new CheckFailed(message);
}

export function check(condition: boolean, message: string): void {
  if (!condition) fail(message);
}

type Plain = bigint | number | string | boolean | undefined;

const text = (value: Plain): string => {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  return typeof value === "string" ? value : String(value);
};

export function equal(actual: Plain, expected: Plain, what: string): void {
  if (actual !== expected) fail(`${what}: ${text(actual)}, not ${text(expected)}`);
}

export function equalAll(actual: readonly Plain[], expected: readonly Plain[], what: string): void {
  equal(actual.length, expected.length, `${what}, length`);
  for (const [i, value] of expected.entries()) equal(actual[i], value, `${what}[${i}]`);
}

export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  equal(actual.length, expected.length, `${what}, length`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  if (at >= 0)
    fail(`${what}: byte 0x${at.toString(16)} is 0x${actual[at]!.toString(16)}, not 0x${expected[at]!.toString(16)}`);
}

/** The named fields, each with its value. */
export function fields<T extends object>(
  actual: T,
  expected: { readonly [K in keyof T]?: T[K] & Plain },
  what: string,
): void {
  for (const [name, value] of Object.entries(expected))
    equal(actual[name as keyof T] as Plain, value as Plain, `${what}, ${name}`);
}

/** A command's refusal: status and index, and the condition from an RMM that tells. */
export function refused(
  host: Host,
  answer: RmiAnswer,
  { status, index = 0, condition }: { readonly status: RmiStatus; readonly index?: number; readonly condition: string },
): void {
  const told = host.bench.namesConditions;
  const got = answer.status === undefined ? text(answer.x[0]) : `${answer.status} ${answer.index}`;
  const by = answer.condition ? ` (${answer.condition})` : "";
  if (answer.status !== status || answer.index !== index) fail(`${got}${by}, not ${status} ${index} (${condition})`);
  if (told && answer.condition !== condition) fail(`refused by ${answer.condition}, not ${condition}`);
}

export function succeeded(answer: RmiAnswer, what: string): void {
  if (answer.status === "RMI_SUCCESS") return;
  fail(
    `${what}: ${answer.status ?? text(answer.x[0])} ${answer.index}${answer.condition ? ` (${answer.condition})` : ""}`,
  );
}
