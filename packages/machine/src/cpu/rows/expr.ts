/**
 * Expression nodes: what the meaning of an instruction is written in. A row's `sem` builds them once; the interpreter
 * generator emits them with operands taken out of the instruction word, the translator with operands folded in.
 *
 * Nodes are pure. Constructors fold what is constant. Operations are those of WebAssembly: shift counts are taken modulo
 * the width, and a division must not meet its trapping operands (use `choose` around it).
 */
import { invariant } from "@realmbox/abi";
import type { CodeWriter, Op } from "../wasm/code.js";
import type { SimdOpName } from "../wasm/simd.js";

export type IntType = "i32" | "i64";
/** v128 is a whole vector register, or its low half with zeros above; f32 and f64 are the host's, for helper functions. */
export type ExprType = IntType | "f32" | "f64" | "v128";

type BinaryOp =
  | ("add" | "sub" | "mul" | "div_s" | "div_u" | "and" | "or" | "xor" | "shl" | "shr_s" | "shr_u" | "rotr")
  | CompareOp;
type CompareOp = "eq" | "ne" | "lt_s" | "lt_u" | "gt_s" | "gt_u" | "le_s" | "le_u" | "ge_s" | "ge_u";
type UnaryOp = "clz" | "eqz" | "extend8_s" | "extend16_s" | "extend32_s";

export type Expr =
  | { readonly op: "const"; readonly type: IntType; readonly value: bigint }
  | { readonly op: BinaryOp; readonly type: ExprType; readonly args: readonly [Expr, Expr] }
  | { readonly op: UnaryOp | "wrap" | "zext" | "sext"; readonly type: ExprType; readonly arg: Expr }
  /** An instruction of the vector extension: constructors are in vector.ts. */
  | {
      readonly op: "simd";
      readonly type: ExprType;
      readonly simd: SimdOpName;
      readonly args: readonly Expr[];
      readonly immediate: readonly number[];
    }
  /** Both arms are evaluated. */
  | { readonly op: "select"; readonly type: ExprType; readonly condition: Expr; readonly args: readonly [Expr, Expr] }
  /** Only the chosen arm is evaluated. */
  | { readonly op: "choose"; readonly type: ExprType; readonly condition: Expr; readonly args: readonly [Expr, Expr] }
  /** A local of the function, by its index. */
  | Local
  /** Something of the context: a bit field of the word, a load. */
  | Leaf;

export interface Local {
  readonly op: "local";
  readonly type: ExprType;
  readonly index: number;
}

export interface Leaf {
  readonly op: "leaf";
  readonly type: ExprType;
  readonly emit: (code: CodeWriter) => void;
}

/** A value field of the encoding: a register number or an immediate, as an i32. */
export interface Field extends Leaf {
  readonly lo: number;
  readonly width: number;
}

/** Plain numbers are accepted next to a node and take its type. */
export type Operand = Expr | number | bigint;

export const constant = (type: IntType, value: number | bigint): Expr => ({
  op: "const",
  type,
  value: type === "i32" ? BigInt.asIntN(32, BigInt(value)) : BigInt.asIntN(64, BigInt(value)),
});
export const i32 = (value: number | bigint): Expr => constant("i32", value);
export const i64 = (value: number | bigint): Expr => constant("i64", value);

const isExpr = (operand: Operand): operand is Expr => typeof operand === "object";
const isConst = (e: Expr): e is Extract<Expr, { op: "const" }> => e.op === "const";

const COMPARES: ReadonlySet<string> = new Set([
  "eq",
  "ne",
  "lt_s",
  "lt_u",
  "gt_s",
  "gt_u",
  "le_s",
  "le_u",
  "ge_s",
  "ge_u",
]);
/** Of which 0 is the neutral operand on the left, and on the right. */
const NEUTRAL_LEFT: ReadonlySet<string> = new Set(["add", "or", "xor"]);
const NEUTRAL_RIGHT: ReadonlySet<string> = new Set(["add", "sub", "or", "xor", "shl", "shr_s", "shr_u", "rotr"]);

function evaluate(op: BinaryOp, type: IntType, a: bigint, b: bigint): bigint | undefined {
  const bits = type === "i32" ? 32 : 64;
  const unsigned = (value: bigint) => BigInt.asUintN(bits, value);
  const count = unsigned(b) % BigInt(bits);
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shl":
      return a << count;
    case "shr_s":
      return a >> count;
    case "shr_u":
      return unsigned(a) >> count;
    case "eq":
      return a === b ? 1n : 0n;
    case "ne":
      return a !== b ? 1n : 0n;
    default:
      return undefined;
  }
}

function binary(op: BinaryOp, left: Operand, right: Operand): Expr {
  const typed = isExpr(left) ? left : isExpr(right) ? right : undefined;
  invariant(typed !== undefined, "an operand is a node", op);
  const { type } = typed;
  invariant(type === "i32" || type === "i64", "integer operations are on integers", op);
  const a = isExpr(left) ? left : constant(type, left);
  const b = isExpr(right) ? right : constant(type, right);
  invariant(a.type === b.type, "operands have one type", op);
  const resultType = COMPARES.has(op) ? "i32" : type;
  if (isConst(a) && isConst(b)) {
    const value = evaluate(op, type, a.value, b.value);
    if (value !== undefined) return constant(resultType, value);
  }
  if (isConst(b)) {
    if (b.value === 0n && NEUTRAL_RIGHT.has(op)) return a;
    if (op === "and" && b.value === -1n) return a;
    if (op === "and" && b.value === 0n) return b;
    if (op === "mul" && b.value === 1n) return a;
  } else if (isConst(a)) {
    if (a.value === 0n && NEUTRAL_LEFT.has(op)) return b;
    if (op === "and" && a.value === 0n) return a;
    if (op === "and" && a.value === -1n) return b;
  }
  return { op, type: resultType, args: [a, b] };
}

export const add = (a: Operand, b: Operand): Expr => binary("add", a, b);
export const sub = (a: Operand, b: Operand): Expr => binary("sub", a, b);
export const mul = (a: Operand, b: Operand): Expr => binary("mul", a, b);
export const divS = (a: Operand, b: Operand): Expr => binary("div_s", a, b);
export const divU = (a: Operand, b: Operand): Expr => binary("div_u", a, b);
export const and = (a: Operand, b: Operand): Expr => binary("and", a, b);
export const or = (a: Operand, b: Operand): Expr => binary("or", a, b);
export const xor = (a: Operand, b: Operand): Expr => binary("xor", a, b);
export const shl = (a: Operand, b: Operand): Expr => binary("shl", a, b);
export const shrS = (a: Operand, b: Operand): Expr => binary("shr_s", a, b);
export const shrU = (a: Operand, b: Operand): Expr => binary("shr_u", a, b);
export const rotr = (a: Operand, b: Operand): Expr => binary("rotr", a, b);
export const eq = (a: Operand, b: Operand): Expr => binary("eq", a, b);
export const ne = (a: Operand, b: Operand): Expr => binary("ne", a, b);
export const ltS = (a: Operand, b: Operand): Expr => binary("lt_s", a, b);
export const ltU = (a: Operand, b: Operand): Expr => binary("lt_u", a, b);
export const gtS = (a: Operand, b: Operand): Expr => binary("gt_s", a, b);
export const gtU = (a: Operand, b: Operand): Expr => binary("gt_u", a, b);
export const leS = (a: Operand, b: Operand): Expr => binary("le_s", a, b);
export const geS = (a: Operand, b: Operand): Expr => binary("ge_s", a, b);
export const geU = (a: Operand, b: Operand): Expr => binary("ge_u", a, b);

const unary = (op: UnaryOp, arg: Expr, type: ExprType = arg.type): Expr => ({ op, type, arg });
export const not = (a: Expr): Expr => xor(a, -1);
export const neg = (a: Expr): Expr => sub(0, a);
export const clz = (a: Expr): Expr => unary("clz", a);
export const isZero = (a: Expr): Expr => (isConst(a) ? i32(a.value === 0n ? 1 : 0) : unary("eqz", a, "i32"));
export const extend8 = (a: Expr): Expr => unary("extend8_s", a);
export const extend16 = (a: Expr): Expr => unary("extend16_s", a);
export const extend32 = (a: Expr): Expr => unary("extend32_s", a);

/** i64 to i32: the low half. */
export function wrap(a: Expr): Expr {
  invariant(a.type === "i64", "wrap takes an i64");
  if (isConst(a)) return i32(a.value);
  if (a.op === "zext" || a.op === "sext") return a.arg;
  return { op: "wrap", type: "i32", arg: a };
}

/** i32 to i64. */
export function zext(a: Expr): Expr {
  invariant(a.type === "i32", "zext takes an i32");
  return isConst(a) ? i64(BigInt.asUintN(32, a.value)) : { op: "zext", type: "i64", arg: a };
}

/** i32 to i64, sign extended. */
export function sext(a: Expr): Expr {
  invariant(a.type === "i32", "sext takes an i32");
  return isConst(a) ? i64(a.value) : { op: "sext", type: "i64", arg: a };
}

/** `condition` (i32) ? `a` : `b`, both evaluated. */
export function select(condition: Expr, a: Expr, b: Expr): Expr {
  invariant(a.type === b.type && condition.type === "i32", "select is well typed");
  if (isConst(condition)) return condition.value !== 0n ? a : b;
  return { op: "select", type: a.type, condition, args: [a, b] };
}

/** `condition` (i32) ? `a` : `b`, only one evaluated. */
export function choose(condition: Expr, a: Expr, b: Expr): Expr {
  invariant(a.type === b.type && condition.type === "i32", "choose is well typed");
  if (isConst(condition)) return condition.value !== 0n ? a : b;
  return { op: "choose", type: a.type, condition, args: [a, b] };
}

export const local = (type: ExprType, index: number): Local => ({ op: "local", type, index });

export const leaf = (type: ExprType, emit: (code: CodeWriter) => void): Leaf => ({ op: "leaf", type, emit });

type OpName = keyof typeof Op;
const opNames = (type: IntType): Readonly<Record<BinaryOp, OpName>> =>
  Object.fromEntries(BINARY.map((op) => [op, `${type}_${op}`])) as Record<BinaryOp, OpName>;
const BINARY: readonly BinaryOp[] = [
  ...(["add", "sub", "mul", "div_s", "div_u", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotr"] as const),
  ...(["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"] as const),
];
const OPS_32 = opNames("i32");
const OPS_64 = opNames("i64");

/** Emits the node: its value is on the stack afterwards. */
export function emit(code: CodeWriter, e: Expr): void {
  switch (e.op) {
    case "local":
      code.localGet(e.index);
      return;
    case "leaf":
      e.emit(code);
      return;
    case "const":
      if (e.type === "i32") code.i32(Number(e.value));
      else code.i64(e.value);
      return;
    case "wrap":
      emit(code, e.arg);
      code.op("i32_wrap_i64");
      return;
    case "zext":
      emit(code, e.arg);
      code.op("i64_extend_i32_u");
      return;
    case "sext":
      emit(code, e.arg);
      code.op("i64_extend_i32_s");
      return;
    case "clz":
    case "eqz":
    case "extend8_s":
    case "extend16_s":
      emit(code, e.arg);
      code.op(`${e.arg.type as IntType}_${e.op}`);
      return;
    case "extend32_s":
      emit(code, e.arg);
      code.op("i64_extend32_s");
      return;
    case "simd":
      for (const arg of e.args) emit(code, arg);
      code.simd(e.simd, e.immediate);
      return;
    case "select":
      emit(code, e.args[0]);
      emit(code, e.args[1]);
      emit(code, e.condition);
      code.op("select");
      return;
    case "choose":
      emit(code, e.condition);
      code.if(e.type);
      emit(code, e.args[0]);
      code.else();
      emit(code, e.args[1]);
      code.end();
      return;
    default:
      emit(code, e.args[0]);
      emit(code, e.args[1]);
      code.op((e.args[0].type === "i32" ? OPS_32 : OPS_64)[e.op]);
  }
}
