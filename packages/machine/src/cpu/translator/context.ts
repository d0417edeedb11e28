/**
 * The translator's side of `Context`: operands are constants, registers are locals of the region's function, the kind of
 * the flags is known while it can be. What the software TLB does not allow leaves the region before the instruction.
 */
import { invariant } from "@realmbox/abi";
import { Access, DC_ZVA_BYTES } from "../engine.js";
import { FlagKind } from "../flags.js";
import { conditionOf, lastPage, tlbEntry } from "../interpreter/helpers.js";
import { TABLES } from "../interpreter/tables.js";
import { PAUTH } from "../pauth.js";
import type { Context, DataAccess, TableName, VectorRegister } from "../rows/context.js";
import {
  add,
  and,
  type Expr,
  type ExprType,
  emit,
  eq,
  type Field,
  i32,
  i64,
  isZero,
  type Leaf,
  type Local,
  leaf,
  local,
  ltS,
  ne,
  or,
  shl,
  wrap,
  zext,
} from "../rows/expr.js";
import { fieldOf } from "../rows/row.js";
import { overflowOf, type Sum, sumFlags } from "../rows/sum-flags.js";
import { extractLane, replaceLane, simd, vectorZero } from "../rows/vector.js";
import { offsetOf, R, type RegName } from "../state.js";
import type { CodeWriter, Op } from "../wasm/code.js";
import { fieldValue } from "./decode.js";
import { comparisonFlags, comparisonHolds, type InlinePlan, inlinePlan, isUnordered } from "./fp-inline.js";
import { asNumber, half, isHalf, isPattern, numberAtHand, type Pattern, patternOf, withNumbers } from "./fp-values.js";
import type { FunctionLocals } from "./locals.js";
import { Mode } from "./mode.js";
import type { Instruction } from "./region.js";

/** Types of the numbers that scalars of so many bytes are. */
const NUMBER_TYPES: Readonly<Record<number, "f32" | "f64">> = { 4: "f32", 8: "f64" };

/** A vector's low half, zeros above. */
const lowHalf = (value: Expr): Expr =>
  simd("f64x2_replace_lane", [vectorZero, simd("f64x2_extract_lane", [value], { type: "f64", immediate: [0] })], {
    immediate: [0],
  });

const SP = R.SP;
const XZR = R.XZR;
invariant(R.X0 === 0 && XZR === 31 && SP === 32, "the state begins with X0..X30, XZR, SP");

/** NZCV as it is known at a place of the code. `wide`: operands have 64 bits. */
export type Flags =
  /** In the locals that the state is kept in, in its form. */
  | { readonly kind: "unknown" }
  | { readonly kind: "sub" | "add"; readonly a: Expr; readonly b: Expr }
  | { readonly kind: "logic"; readonly a: Expr }
  | { readonly kind: "packed"; readonly a: Expr }
  /** Of a sum with carry. */
  | ({ readonly kind: "sum" } & Sum)
  /** Of a comparison of numbers, f32 or f64. */
  | { readonly kind: "numbers"; readonly a: Expr; readonly b: Expr }
  /** Of a - b or a + b where `condition` holds, else `otherwise`, bits 31:28. */
  | { readonly kind: "if"; readonly condition: Expr; readonly met: Flags; readonly otherwise: number };

/** Address of the PE's state: the first parameter. */
const STATE = local("i32", 0);

export const UNKNOWN: Flags = { kind: "unknown" };

/** What the region does with an instruction that it cannot finish. */
export interface Sites {
  /** Leaves before the present instruction, which the interpreter executes. */
  readonly leave: () => void;
  /** Leaves by a helper that does the present instruction; its arguments are i32. */
  readonly transfer: (helper: string, args: readonly Expr[]) => void;
  /** Functions that are called through the table of helpers. */
  readonly call: (name: string, params: readonly ExprType[], result: ExprType) => void;
}

/** Scalar registers that are also at hand as numbers: the local of each. */
export type Numbers = ReadonlyMap<number, Expr>;

/** The result of a comparison of numbers as a pattern of flags. */
interface Comparison extends Leaf {
  readonly helper: string;
  readonly a: Expr;
  readonly b: Expr;
}
const isComparison = (e: Expr): e is Comparison => "helper" in e;

/** Thrown when an instruction's operands are such that it is the interpreter's. */
export class NotTranslated extends Error {}

export class TranslatorContext implements Context {
  flags: Flags = UNKNOWN;
  /** What the low part of a vector register is, the rest being zero. */
  numbers = new Map<number, Expr>();
  /** A direct branch of this instruction: its condition, when it has one. */
  branchCondition: Expr | undefined;
  private instruction: Instruction | undefined;
  private at = 0;
  private spMisaligned: Expr | undefined;
  private readonly code: CodeWriter;
  private readonly locals: FunctionLocals;
  private readonly mode: number;
  private readonly sites: Sites;

  constructor(code: CodeWriter, locals: FunctionLocals, mode: number, sites: Sites) {
    this.code = code;
    this.locals = locals;
    this.mode = mode;
    this.sites = sites;
  }

  /** Emits one instruction, `at` its place. */
  translate(instruction: Instruction, at: number): void {
    this.instruction = instruction;
    this.at = at;
    this.spMisaligned = undefined;
    this.branchCondition = undefined;
    this.locals.release();
    const { word, form } = instruction;
    const { operands } = form;
    for (const [name, place] of form.values) operands[name] = fieldValue(fieldOf(word, place));
    if (form.row.fp && (this.mode & Mode.FP_TRAP) !== 0) throw new NotTranslated();
    form.row.sem(this, operands as Parameters<typeof form.row.sem>[1]);
  }

  // Registers

  private numberOf(e: Expr): number {
    if (e.op !== "const") throw new NotTranslated();
    return Number(e.value);
  }

  private register(slot: number, sf: number): Expr {
    if (slot === XZR) return sf ? i64(0) : i32(0);
    const value = this.locals.general(slot);
    return sf ? value : wrap(value);
  }

  private setRegister(slot: number, sf: number, value: Expr): void {
    invariant(value.type === (sf ? "i64" : "i32"), "a register takes a value of its width");
    if (slot === XZR) {
      // A conversion of a number raises flags of FPSR whatever becomes of its result.
      if (this.instruction!.form.row.fp && value.op !== "const") {
        emit(this.code, value);
        this.code.op("drop");
      }
      return;
    }
    emit(this.code, sf ? value : zext(value));
    this.code.localSet(this.locals.written(slot));
  }

  get(sf: number, r: Field): Expr {
    return this.register(this.numberOf(r), sf);
  }

  set(sf: number, r: Field, value: Expr): void {
    this.setRegister(this.numberOf(r), sf, value);
  }

  getsp(sf: number, r: Field): Expr {
    const n = this.numberOf(r);
    return this.register(n === XZR ? SP : n, sf);
  }

  setsp(sf: number, r: Field, value: Expr): void {
    const n = this.numberOf(r);
    this.setRegister(n === XZR ? SP : n, sf, value);
  }

  getOdd(sf: number, r: Field): Expr {
    return this.register(this.numberOf(r) | 1, sf);
  }

  setOdd(sf: number, r: Field, value: Expr): void {
    this.setRegister(this.numberOf(r) | 1, sf, value);
  }

  link(value: Expr): void {
    this.setRegister(30, 1, value);
  }

  tmp(value: Expr): Expr {
    if (value.op === "const") return value;
    const number = value.type === "v128" ? undefined : numberAtHand(value);
    if (number) return patternOf(this.evaluated(number));
    const result = this.evaluated(withNumbers(value));
    return isHalf(value) ? half(result) : result;
  }

  /** The value in a local of its own. */
  private evaluated(value: Expr): Local {
    const local = this.locals.take(value.type);
    emit(this.code, value);
    this.code.localSet(local.index);
    return local;
  }

  pc(): Expr {
    return add(this.locals.pcBase, i64(this.at));
  }

  special(name: RegName): Expr {
    const slot = R[name];
    if (slot === XZR) return i64(0);
    if (name === "PAUTH" && (this.mode & Mode.PAUTH) === 0) {
      return i64((this.mode & Mode.PAUTH_TRAP) === 0 ? 0 : PAUTH.TRAP);
    }
    return slot <= SP ? this.locals.general(slot) : this.load("i64_load", "i64", this.state(), slot * 8, 3);
  }

  setSpecial(name: RegName, value: Expr): void {
    const slot = R[name];
    if (slot <= SP) this.setRegister(slot, 1, value);
    else this.store("i64_store", this.state(), value, slot * 8, 3);
  }

  table(name: TableName, index: Expr): Expr {
    const { address, log2 } = TABLES[name];
    const [op, type] = log2 === 3 ? (["i64_load", "i64"] as const) : (["i32_load", "i32"] as const);
    if (name === "bitmask" && index.op === "const") return i64(this.locals.bitmask(Number(index.value)));
    return this.load(op, type, shl(index, log2), address, log2);
  }

  // Vector registers

  vector(n: VectorRegister, q = 1): Expr {
    const value = this.locals.vector(this.numberOf(n) & 31);
    return q ? value : half(leaf("v128", (code) => emit(code, lowHalf(value))));
  }

  setVector(d: VectorRegister, value: Expr, q = 1): void {
    invariant(value.type === "v128", "a vector register takes a vector");
    const number = this.numberOf(d) & 31;
    const written = withNumbers(value);
    emit(this.code, q ? written : lowHalf(written));
    this.code.localSet(this.locals.writtenVector(number));
    this.numbers.delete(number);
  }

  scalar(bytes: number, n: VectorRegister): Expr {
    const known = this.numbers.get(this.numberOf(n) & 31);
    if (known && known.type === NUMBER_TYPES[bytes]) return patternOf(known);
    return this.lane(bytes, n, 0);
  }

  setScalar(bytes: number, d: VectorRegister, value: Expr): void {
    invariant(value.type === (bytes === 8 ? "i64" : "i32"), "a scalar has the type of its size", bytes);
    const type = NUMBER_TYPES[bytes];
    if (!type) {
      this.setVector(d, replaceLane(Math.log2(bytes), vectorZero, 0, value));
      return;
    }
    // The number is what is read next, mostly; the vector is off the path from result to operand.
    const register = this.numberOf(d) & 31;
    const number = this.locals.number(register, type);
    emit(this.code, asNumber(value));
    this.code.localSet(number.index);
    const name = type === "f64" ? "f64x2_replace_lane" : "f32x4_replace_lane";
    this.setVector(d, simd(name, [vectorZero, number], { immediate: [0] }));
    this.numbers.set(register, number);
  }

  lane(bytes: number, n: VectorRegister, index: Expr | number, signed = false): Expr {
    const lane = typeof index === "number" ? index : this.numberOf(index);
    const value = extractLane(Math.log2(bytes), this.vector(n), lane, signed);
    const number = bytes < 4 ? undefined : numberAtHand(value);
    if (!number) return value;
    const pattern: Pattern = { ...leaf(value.type, (code) => emit(code, value)), number };
    return pattern;
  }

  setLane(bytes: number, d: VectorRegister, index: Expr | number, value: Expr): void {
    const lane = typeof index === "number" ? index : this.numberOf(index);
    this.setVector(d, replaceLane(Math.log2(bytes), this.vector(d), lane, value));
  }

  fpcr(): Expr {
    return this.load("i32_load", "i32", this.state(), offsetOf("FPCR"), 2);
  }

  raiseFpsr(bits: Expr): void {
    const fpsr = offsetOf("FPSR");
    this.store("i32_store", this.state(), or(this.load("i32_load", "i32", this.state(), fpsr, 2), bits), fpsr, 2);
  }

  helper(name: string, result: ExprType, ...args: readonly Expr[]): Expr {
    // It works on registers in the state, which are elsewhere now.
    if (name === "pauthHint") return i32(1);
    const comparison = /^fcmpe?(32|64)$/.test(name) && (this.mode & Mode.HOST_FP) !== 0;
    if (comparison) return this.comparison(name, args);
    const plan = inlinePlan(name, this.mode);
    if (!plan) return this.call(name, result, args);
    const value = this.inline(plan, name, result, args);
    return value.type === result ? value : patternOf(value);
  }

  private call(name: string, result: ExprType, args: readonly Expr[]): Leaf {
    return leaf(result, (code) => {
      code.localGet(this.locals.base);
      for (const arg of args) emit(code, arg);
      this.sites.call(
        name,
        args.map(({ type }) => type),
        result,
      );
    });
  }

  /** What a plan does, and the helper's call for what it does not: a number where the helper has a pattern. */
  private inline(plan: InlinePlan, name: string, result: ExprType, args: readonly Expr[]): Leaf {
    const { host, unfit, special } = plan;
    return leaf(plan.result, (code) => {
      const operands = args.map((arg, i) => this.evaluated(arg.type === plan.operands[i] ? arg : asNumber(arg)));
      const patterns = operands.map((x) => (x.type === "f32" || x.type === "f64" ? patternOf(x) : x));
      const called = this.call(name, result, patterns);
      const fallback = plan.result === result ? called : asNumber(called);
      if (unfit) {
        emit(code, unfit(operands));
        code.unlikely();
        code.if(plan.result);
        emit(code, fallback);
        code.else();
        emit(code, host(operands));
        code.end();
        return;
      }
      if (!special) {
        emit(code, host(operands));
        return;
      }
      const value = this.locals.take(plan.result);
      emit(code, host(operands));
      code.localSet(value.index);
      emit(code, special(value, operands, args.every(isHalf)));
      code.unlikely();
      code.if();
      emit(code, fallback);
      code.localSet(value.index);
      code.end();
      code.localGet(value.index);
    });
  }

  private comparison(name: string, args: readonly Expr[]): Comparison {
    const [a, b] = args.map((arg) => this.evaluated(asNumber(arg)));
    const of = { a: a!, b: b! };
    const flags = leaf("i32", (code) => {
      this.signalUnordered(name, of);
      emit(code, comparisonFlags(of));
    });
    return { ...flags, helper: name, ...of };
  }

  /** What a comparison does to FPSR when an operand is a NaN. */
  private signalUnordered(name: string, of: { readonly a: Expr; readonly b: Expr }): void {
    const { code } = this;
    emit(code, isUnordered(of));
    code.unlikely();
    code.if();
    emit(code, this.call(name, "i32", [patternOf(of.a), patternOf(of.b)]));
    code.op("drop");
    code.end();
  }

  repeat(count: number, body: (i: Expr) => void): void {
    for (let i = 0; i < count; i++) body(i32(i));
  }

  // Flags

  setFlags(kind: "sub" | "add" | "logic", a: Expr, b?: Expr): void {
    const left = this.locals.hold(this.code, "a", a);
    if (kind === "logic" || b === undefined) this.flags = { kind: "logic", a: left };
    else this.flags = { kind, a: left, b: this.locals.hold(this.code, "b", b) };
    this.locals.touchFlags();
  }

  setSumFlags({ a, b, result, carry }: Sum): void {
    const { locals, code } = this;
    const sum = {
      a: locals.hold(code, "a", a),
      b: locals.hold(code, "b", b),
      result: locals.hold(code, "result", result),
      carry: locals.hold(code, "condition", carry),
    };
    this.flags = { kind: "sum", ...sum };
    locals.touchFlags();
  }

  setNzcv(packed: Expr): void {
    if (isComparison(packed)) {
      const { helper, a, b } = packed;
      this.signalUnordered(helper, { a, b });
      this.flags = {
        kind: "numbers",
        a: this.locals.hold(this.code, "a", a),
        b: this.locals.hold(this.code, "b", b),
      };
      this.locals.touchFlags();
      return;
    }
    this.flags = { kind: "packed", a: this.locals.hold(this.code, "a", packed) };
    this.locals.touchFlags();
  }

  setFlagsIf(condition: Expr, kind: "sub" | "add", a: Expr, b: Expr, packed: Expr): void {
    const held = this.locals.hold(this.code, "condition", condition);
    this.setFlags(kind, a, b);
    this.flags = { kind: "if", condition: held, met: this.flags, otherwise: this.numberOf(packed) };
  }

  condition(cc: Expr): Expr {
    return this.conditionOf(this.numberOf(cc));
  }

  conditionOf(cc: number): Expr {
    if (cc >> 1 === 7) return i32(1);
    const held = this.holds(this.flags, cc >> 1);
    return cc & 1 ? isZero(held) : held;
  }

  /** Whether a condition without its lowest bit holds. */
  private holds(flags: Flags, condition: number): Expr {
    switch (flags.kind) {
      case "sub":
        return conditionOf(FlagKind.SUB, condition, flags.a, flags.b);
      case "add":
        return conditionOf(FlagKind.ADD, condition, flags.a, flags.b);
      case "logic":
        return conditionOf(FlagKind.LOGIC, condition, flags.a, flags.a);
      case "packed":
        return conditionOf(FlagKind.PACKED, condition, zext(flags.a), i64(0));
      case "sum": {
        const { result, carry } = flags;
        const overflow = overflowOf(flags);
        const isGe = () => eq(ltS(result, 0), overflow);
        const all = [
          () => isZero(result),
          () => carry,
          () => ltS(result, 0),
          () => overflow,
          () => and(carry, ne(result, 0)),
          isGe,
          () => and(isGe(), ne(result, 0)),
        ];
        return all[condition]!();
      }
      case "numbers":
        return comparisonHolds(condition, flags);
      case "if": {
        const met = this.holds(flags.met, condition);
        const packed = conditionOf(FlagKind.PACKED, condition, i64(flags.otherwise >>> 0), i64(0));
        invariant(packed.op === "const", "flags that are known fold");
        return packed.value !== 0n ? or(isZero(flags.condition), met) : and(flags.condition, met);
      }
      default: {
        const { flagA, flagB, flagKind } = this.locals;
        this.locals.touchFlags();
        return leaf("i32", (code) => {
          code.localGet(this.locals.base);
          for (const part of [flagA, flagB, flagKind, i32(condition)]) emit(code, part);
          this.sites.call("flagsHold", ["i64", "i64", "i32", "i32"], "i32");
        });
      }
    }
  }

  /** Puts the flags where the state keeps them. */
  settleFlags(): void {
    this.settle(this.flags);
  }

  private settle(flags: Flags): void {
    const { code, locals } = this;
    const wide = (value: Expr) => (value.type === "i64" ? value : shl(zext(value), 32));
    switch (flags.kind) {
      case "unknown":
        return;
      case "sub":
      case "add":
        locals.setFlagLocals(code, wide(flags.a), wide(flags.b), flags.kind === "sub" ? FlagKind.SUB : FlagKind.ADD);
        return;
      case "logic":
        locals.setFlagLocals(code, wide(flags.a), undefined, FlagKind.LOGIC);
        return;
      case "packed":
        locals.setFlagLocals(code, zext(flags.a), undefined, FlagKind.PACKED);
        return;
      case "sum":
        locals.setFlagLocals(code, zext(sumFlags(flags)), undefined, FlagKind.PACKED);
        return;
      case "numbers":
        locals.setFlagLocals(code, zext(comparisonFlags(flags)), undefined, FlagKind.PACKED);
        return;
      case "if":
        emit(code, flags.condition);
        code.if();
        this.settle(flags.met);
        code.else();
        locals.setFlagLocals(code, i64(flags.otherwise >>> 0), undefined, FlagKind.PACKED);
        code.end();
    }
  }

  // Memory

  base(n: Field): Expr {
    const value = this.tmp(this.getsp(1, n));
    if (this.numberOf(n) === XZR && (this.mode & Mode.SP_CHECK) !== 0) this.spMisaligned = and(wrap(value), 15);
    return value;
  }

  /** The host address of an access that the TLB allows. */
  private resolve(va: Expr, access: DataAccess, write: boolean): Expr {
    const { code, locals } = this;
    const { size, align = size, flags = 0 } = access;
    const array = locals.tlb(write ? "WRITE" : "READ", (flags & Access.UNPRIVILEGED) !== 0);
    const mustAlign = (flags & (Access.ORDERED | Access.ATOMIC)) !== 0 || (this.mode & Mode.ALIGN_CHECK) !== 0;
    const address = this.tmp(va);
    let spoilers = this.spMisaligned;
    if (mustAlign && align > 1) {
      const low = and(wrap(address), align - 1);
      spoilers = spoilers ? or(spoilers, low) : low;
    }
    if (spoilers) {
      emit(code, spoilers);
      code.if();
      this.sites.leave();
      code.end();
    }
    const entry = locals.take("i32");
    emit(code, tlbEntry(array, address));
    code.localTee(entry.index);
    code.memory("i64_load", 0, 3);
    emit(code, lastPage(address, size));
    code.op("i64_ne");
    code.unlikely();
    code.if();
    code.localGet(locals.base);
    emit(code, address);
    code.i32(size | ((flags | (write ? Access.WRITE : 0)) << 8));
    this.sites.call("fill", ["i64", "i32"], "i32");
    code.localTee(entry.index);
    code.op("i32_eqz");
    code.if();
    this.sites.leave();
    code.end();
    code.end();
    const host = locals.take("i32");
    emit(code, wrap(address));
    code.localGet(entry.index);
    code.memory("i32_load", 8, 2);
    code.op("i32_add");
    code.localSet(host.index);
    return host;
  }

  read(va: Expr, access: DataAccess): Expr {
    return this.resolve(va, access, false);
  }

  modify(va: Expr, access: DataAccess): Expr {
    return this.resolve(va, access, true);
  }

  write(va: Expr, access: DataAccess, values: readonly Expr[]): void {
    const bytes = access.size / values.length;
    const host = this.resolve(va, access, true);
    for (const [i, value] of values.entries()) this.poke(host, bytes, value, i * bytes);
  }

  peek(host: Expr, size: number, type: ExprType, options: { signed?: boolean; offset?: number } = {}): Expr {
    if (type === "v128") {
      const load = size === 16 ? "v128_load" : size === 8 ? "v128_load64_zero" : "v128_load32_zero";
      return leaf("v128", (code) => {
        emit(code, host);
        code.simdMemory(load, options.offset ?? 0);
      });
    }
    const op =
      size === (type === "i64" ? 8 : 4) ? `${type}_load` : `${type}_load${size * 8}_${options.signed ? "s" : "u"}`;
    return this.load(op as keyof typeof Op, type, host, options.offset ?? 0, 0);
  }

  poke(host: Expr, size: number, value: Expr, offset = 0): void {
    if (value.type === "v128") {
      if (size === 8) {
        const low = simd("f64x2_extract_lane", [value], { type: "f64", immediate: [0] });
        this.store("f64_store", host, low, offset, 0);
      } else {
        invariant(size === 16, "a vector is stored whole or by its low half", size);
        emit(this.code, host);
        emit(this.code, value);
        this.code.simdMemory("v128_store", offset);
      }
      return;
    }
    if (isPattern(value) && size === (value.type === "i64" ? 8 : 4)) {
      this.store(value.type === "i64" ? "f64_store" : "f32_store", host, value.number, offset, 0);
      return;
    }
    const op = size === (value.type === "i64" ? 8 : 4) ? `${value.type}_store` : `${value.type}_store${size * 8}`;
    this.store(op as keyof typeof Op, host, value, offset, 0);
  }

  zeroBlock(va: Expr): void {
    if ((this.mode & Mode.ZVA_TRAP) !== 0) throw new NotTranslated();
    const block = this.tmp(and(va, ~(DC_ZVA_BYTES - 1)));
    const host = this.resolve(block, { size: DC_ZVA_BYTES, align: 1 }, true);
    for (let offset = 0; offset < DC_ZVA_BYTES; offset += 16) {
      emit(this.code, host);
      emit(this.code, vectorZero);
      this.code.simdMemory("v128_store", offset);
    }
  }

  monitor(host: Expr, size: number): void {
    this.store("i32_store", this.state(), host, offsetOf("EXCL_HOST"), 2);
    this.store("i32_store", this.state(), i32(size), offsetOf("EXCL_SIZE"), 2);
  }

  clearMonitor(): void {
    this.store("i32_store", this.state(), i32(0), offsetOf("EXCL_HOST"), 2);
  }

  monitorHolds(host: Expr, size: number): Expr {
    const held = (name: "EXCL_HOST" | "EXCL_SIZE") => this.load("i32_load", "i32", this.state(), offsetOf(name), 2);
    return and(eq(held("EXCL_HOST"), host), eq(held("EXCL_SIZE"), i32(size)));
  }

  // Control

  when(condition: Expr, body: () => void): void {
    if (this.instruction!.form.effects.branches) {
      // A direct branch: the block's end is emitted by whoever places it.
      this.branchCondition = condition;
      return;
    }
    if (condition.op === "const") {
      if (condition.value !== 0n) body();
      return;
    }
    emit(this.code, condition);
    this.code.if();
    const before = new Map(this.numbers);
    body();
    this.code.end();
    for (const [register, number] of this.numbers) if (before.get(register) !== number) this.numbers.delete(register);
  }

  branch(): void {}

  jump(target: Expr): void {
    emit(this.code, target);
    this.code.localSet(this.locals.target);
  }

  system(): void {
    this.sites.leave();
  }

  transfer(helper: string, ...args: readonly Expr[]): void {
    this.sites.transfer(helper, args);
  }

  /** Rows that change the pointers are left to the interpreter. */
  tlbChanged(): never {
    throw new NotTranslated();
  }

  private state(): Expr {
    return STATE;
  }

  private load(op: keyof typeof Op, type: ExprType, address: Expr, offset: number, align: number): Expr {
    return leaf(type, (code) => {
      emit(code, address);
      code.memory(op, offset, align);
    });
  }

  private store(op: keyof typeof Op, address: Expr, value: Expr, offset: number, align: number): void {
    emit(this.code, address);
    emit(this.code, value);
    this.code.memory(op, offset, align);
  }
}
