/** Where two recordings of one script differ. */
import type { RmiCommand } from "@realmbox/abi";
import { type Call, type Recording, reasonOf } from "./recording.js";

export interface Difference {
  /** The script, and the number of the call in it, from 0. */
  readonly script: string;
  readonly at: number;
  readonly command: RmiCommand;
  readonly args: readonly bigint[];
  /** What differs: "X0" (status and index), "X1" to "X4", a field of RmiRecExit, or "end": how the script ended. */
  readonly fields: readonly FieldDifference[];
  /** The call's status and the exit's reason on the first RMM. */
  readonly about: string;
}

export interface FieldDifference {
  readonly field: string;
  readonly first: string;
  readonly second: string;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** X0 in words; the exit's reason belongs to it. */
function statusText(call: Call): string {
  const status = call.status === undefined ? "no return code" : `${call.status}${call.index ? ` ${call.index}` : ""}`;
  const reason = reasonOf(call);
  return reason === undefined ? status : `${status}, ${reason}`;
}

function fieldsOf(first: Call, second: Call): FieldDifference[] {
  if (statusText(first) !== statusText(second)) {
    return [{ field: "X0", first: statusText(first), second: statusText(second) }];
  }
  const fields: FieldDifference[] = [];
  first.out.forEach((value, n) => {
    const other = second.out[n]!;
    if (value !== other) fields.push({ field: `X${n + 1}`, first: hex(value), second: hex(other) });
  });
  for (const [field, value] of Object.entries(first.exit ?? {})) {
    const other = second.exit![field]!;
    if (value !== other) fields.push({ field, first: hex(value), second: hex(other) });
  }
  return fields;
}

/** What a script threw, without the condition that only our RMM names. */
const endOf = ({ error }: Recording): string | undefined => error?.replace(/ \(\w+\)$/, "");

const isSameCall = (a: Call, b: Call): boolean =>
  a.command === b.command && a.args.length === b.args.length && a.args.every((arg, n) => arg === b.args[n]);

/**
 * The calls that differ, in order, up to where the two plays no longer make the same calls. A script that asserts ends
 * where an assertion fails; that counts as a difference of its last call.
 */
export function differences(script: string, first: Recording, second: Recording): Difference[] {
  const found: Difference[] = [];
  const count = Math.min(first.calls.length, second.calls.length);
  let at = 0;
  for (; at < count; at++) {
    const [one, other] = [first.calls[at]!, second.calls[at]!];
    if (!isSameCall(one, other)) return found;
    const fields = fieldsOf(one, other);
    if (fields.length === 0) continue;
    const { command, args } = one;
    found.push({ script, at, command, args, fields, about: statusText(one) });
  }
  const last = first.calls[at - 1] ?? second.calls[at - 1];
  if (endOf(first) !== endOf(second) && last !== undefined) {
    const { command, args } = last;
    const end = ({ error }: Recording) => error ?? "comes to its end";
    const fields = [{ field: "end", first: end(first), second: end(second) }];
    found.push({ script, at: at - 1, command, args, fields, about: statusText(last) });
  }
  return found;
}
