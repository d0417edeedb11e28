/**
 * An instruction is one row: the encoding drawn as the manual draws it, its meaning over expression nodes, its text.
 * Decoder, interpreter generator, translator and disassembler read the same rows.
 *
 * The pattern has 32 symbols, most significant bit first; spaces are for the eye. 0 and 1 are fixed; every other letter
 * names a field, one run of the same letter each.
 */
import { invariant } from "@realmbox/abi";
import type { Context } from "./context.js";
import type { Field } from "./expr.js";

type Symbols<P extends string, Acc = never> = P extends `${infer C}${infer Rest}`
  ? Symbols<Rest, C extends "0" | "1" | " " ? Acc : Acc | C>
  : Acc;

/** Which part of the manual's classification a row belongs to; the oracle chooses operands by it. */
export type RowGroup =
  | ("data" | "branch" | "load-store" | "exclusive" | "atomic" | "system")
  | ("simd-data" | "simd-load-store" | "fp-data");

interface Definition<P extends string, S extends string> {
  /** The manual's heading. */
  readonly name: string;
  readonly group: RowGroup;
  /** Fields that change what is emitted. All their bits lie in the decode key (bits 31:21 and 15:10). */
  readonly shape?: readonly S[];
  /** Immediates that are two's complement: sign extended in `sem`, negative in `print`. */
  readonly signed?: readonly Symbols<P>[];
  /** Register fields drawn without their lowest bit, which is a fixed 0: the field includes it. */
  readonly even?: readonly Symbols<P>[];
  /** Which values of fields inside the decode key are allocated; the others do not match the row. */
  readonly allocated?: (f: Readonly<Record<Symbols<P>, number>>) => boolean;
  /** The name of a row that also matches these words; this one goes first. */
  readonly refines?: string;
  /** Operands for which the manual allows several behaviours ("CONSTRAINED UNPREDICTABLE"); not compared with others. */
  readonly unpredictable?: (f: Readonly<Record<Symbols<P>, number>>) => boolean;
  /** Seldom executed: emitted as a function of its own, which keeps the interpreter's loop small. */
  readonly rare?: boolean;
  /** Uses FP and SIMD registers: their access check comes before anything else of the instruction. */
  readonly fp?: boolean;
  readonly sem: (c: Context, f: { readonly [L in Symbols<P>]: L extends S ? number : Field }) => void;
  readonly print: (f: Readonly<Record<Symbols<P>, number>>, pc: bigint) => string;
}

export interface FieldPlace {
  readonly lo: number;
  readonly width: number;
  readonly signed: boolean;
}

export interface Row {
  readonly name: string;
  readonly group: RowGroup;
  readonly pattern: string;
  /** Fixed bits, as unsigned 32-bit numbers. */
  readonly mask: number;
  readonly value: number;
  readonly fields: Readonly<Record<string, FieldPlace>>;
  readonly shape: readonly string[];
  readonly allocated: ((f: Readonly<Record<string, number>>) => boolean) | undefined;
  readonly refines: string | undefined;
  readonly unpredictable: ((f: Readonly<Record<string, number>>) => boolean) | undefined;
  readonly rare: boolean;
  readonly fp: boolean;
  readonly sem: (c: Context, f: Readonly<Record<string, number | Field>>) => void;
  readonly print: (f: Readonly<Record<string, number>>, pc: bigint) => string;
}

/** Declares one instruction. */
export function row<const P extends string, const S extends Symbols<P> = never>(
  pattern: P,
  definition: Definition<P, S>,
): Row {
  const { name } = definition;
  const symbols = pattern.replaceAll(" ", "");
  invariant(symbols.length === 32, "a pattern has 32 symbols", `${name}: ${symbols.length}`);
  let mask = 0;
  let value = 0;
  const fields: Record<string, FieldPlace> = {};
  const signed: readonly string[] = definition.signed ?? [];
  const even: readonly string[] = definition.even ?? [];
  for (let at = 0; at < 32; ) {
    const symbol = symbols[at];
    if (symbol === "0" || symbol === "1") {
      mask = (mask | (1 << (31 - at))) >>> 0;
      if (symbol === "1") value = (value | (1 << (31 - at))) >>> 0;
      at++;
      continue;
    }
    let end = at;
    while (symbols[end] === symbol) end++;
    invariant(!(symbol in fields), "a field is one run of its letter", `${name}: ${symbol}`);
    const extra = even.includes(symbol) ? 1 : 0;
    fields[symbol] = { lo: 32 - end - extra, width: end - at + extra, signed: signed.includes(symbol) };
    at = end;
  }
  return {
    name,
    group: definition.group,
    pattern,
    mask,
    value,
    fields,
    shape: definition.shape ?? [],
    allocated: definition.allocated as Row["allocated"],
    refines: definition.refines,
    unpredictable: definition.unpredictable as Row["unpredictable"],
    rare: definition.rare ?? false,
    fp: definition.fp ?? false,
    sem: definition.sem as Row["sem"],
    print: definition.print as Row["print"],
  };
}

/** The value of a field in a word; negative for signed fields. */
export function fieldOf(word: number, { lo, width, signed }: FieldPlace): number {
  return signed ? (word << (32 - lo - width)) >> (32 - width) : (word >>> lo) & (2 ** width - 1);
}

/** All fields of a word that the row matches. */
export function fieldsOf(row: Row, word: number): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, place] of Object.entries(row.fields)) values[name] = fieldOf(word, place);
  return values;
}
