/**
 * The interpreter's side of `Context`: operands come out of the instruction word, registers lie in the PE's state.
 * Where a handler stands, in the loop or in a function of its own, is for handlers.ts.
 */
import { invariant } from "@realmbox/abi";
import { Access, DC_ZVA_BYTES } from "../engine.js";
import { FlagKind } from "../flags.js";
import type { Context, DataAccess, TableName, VectorRegister } from "../rows/context.js";
import {
  add,
  and,
  type Expr,
  type ExprType,
  emit,
  type Field,
  i32,
  i64,
  leaf,
  or,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  zext,
} from "../rows/expr.js";
import type { FieldPlace, Row } from "../rows/row.js";
import { type Sum, sumFlags } from "../rows/sum-flags.js";
import { extractLane } from "../rows/vector.js";
import { offsetOf, R, type RegName } from "../state.js";
import type { CodeWriter, Op } from "../wasm/code.js";
import type { Candidate } from "./decode.js";
import type { DeclaredFunction } from "./functions.js";
import { lastPage, Slow, tlbEntry } from "./helpers.js";
import { TABLES } from "./tables.js";

/** Functions that handlers call. */
export interface Helpers {
  /** `slowAccess` of helpers.ts. */
  readonly access: number;
  /** (base, code) → 0 or 1: `emitCondition` as a function. */
  readonly condition: number;
  /** (base, host address, whether something begins there) → InterpreterExit or 0: see dispatcher.ts. */
  readonly arrive: number;
  /** Those that rows call by name. */
  readonly named: ReadonlyMap<string, DeclaredFunction>;
}

/** Byte offset of slot 31 within the register file. */
const SLOT_31 = 31 * 8;
const XZR = offsetOf("XZR");
invariant(R.X0 === 0 && R.XZR === 31 && R.SP === 32, "the state begins with X0..X30, XZR, SP");

/** Byte offset of V0: sixteen bytes each. */
const V0 = offsetOf("V0");
const VECTOR_BYTES = 16;

/** Locals of one function, reused by every handler in it. */
export class TemporaryPool {
  private readonly locals: Record<ExprType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  private readonly used: Record<ExprType, number> = { i32: 0, i64: 0, f32: 0, f64: 0, v128: 0 };
  private readonly code: CodeWriter;

  constructor(code: CodeWriter) {
    this.code = code;
  }

  take(type: ExprType): number {
    const index = this.used[type]++;
    return (this.locals[type][index] ??= this.code.local(type));
  }

  release(): void {
    for (const type of Object.keys(this.used) as ExprType[]) this.used[type] = 0;
  }
}

export abstract class InterpreterContext implements Context {
  protected readonly code: CodeWriter;
  protected readonly helpers: Helpers;
  protected readonly base_: number;
  protected readonly insn: number;
  private readonly pool: TemporaryPool;
  /** Bits of SP that must be zero, when the base register of this instruction is SP; else 0. */
  private spMisalignment: Expr | undefined;

  constructor(code: CodeWriter, helpers: Helpers, pool: TemporaryPool, locals: { base: number; insn: number }) {
    this.code = code;
    this.helpers = helpers;
    this.pool = pool;
    this.base_ = locals.base;
    this.insn = locals.insn;
  }

  abstract pc(): Expr;
  abstract branch(offset: Expr): void;
  abstract jump(target: Expr): void;
  abstract system(): void;
  abstract transfer(helper: string, ...args: readonly Expr[]): void;
  /** BUDGET - 1 less BUDGET_HELD, as the slow path wants it. */
  protected abstract left(): Expr;
  /** After the slow path: takes over what the host did to the budget, and leaves if `host` is 0. */
  protected abstract afterSlowAccess(host: number): void;

  /** Starts the next row: its operands. */
  fields(row: Row, shape: Candidate["shape"]): Record<string, number | Field> {
    this.pool.release();
    this.spMisalignment = undefined;
    return Object.fromEntries(
      Object.entries(row.fields).map(([name, place]) => [name, shape[name] ?? this.field(place)]),
    );
  }

  private word(): Expr {
    return leaf("i32", (code) => code.localGet(this.insn));
  }

  private field(place: FieldPlace): Field {
    const { lo, width, signed } = place;
    const value = signed
      ? shrS(shl(this.word(), 32 - lo - width), 32 - width)
      : and(shrU(this.word(), lo), lo + width === 32 ? -1 : 2 ** width - 1);
    return { op: "leaf", type: "i32", emit: (code) => emit(code, value), lo, width };
  }

  private state(): Expr {
    return leaf("i32", (code) => code.localGet(this.base_));
  }

  /** The register number times 8, out of the word by one shift and one mask. */
  private slot({ lo, width }: Field): Expr {
    invariant(width === 5, "a register field has five bits");
    const shifted = lo >= 3 ? shrU(this.word(), lo - 3) : shl(this.word(), 3 - lo);
    return and(shifted, SLOT_31);
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

  private getSlot(sf: number, slot: Expr): Expr {
    const address = add(this.state(), slot);
    return sf ? this.load("i64_load", "i64", address, 0, 3) : this.load("i32_load", "i32", address, 0, 2);
  }

  private setSlot(sf: number, slot: Expr, value: Expr): void {
    invariant(value.type === (sf ? "i64" : "i32"), "a register takes a value of its width");
    this.store("i64_store", add(this.state(), slot), sf ? value : zext(value), 0, 3);
  }

  get(sf: number, r: Field): Expr {
    return this.getSlot(sf, this.slot(r));
  }

  set(sf: number, r: Field, value: Expr): void {
    this.setSlot(sf, this.slot(r), value);
    this.store("i64_store", this.state(), i64(0), XZR, 3);
  }

  /** The slot after XZR when the number is 31. */
  private spSlot(r: Field): Expr {
    const slot = this.tmp(this.slot(r));
    return add(slot, shl(this.isSlot31(slot), 3));
  }

  private isSlot31(slot: Expr): Expr {
    return { op: "eq", type: "i32", args: [slot, i32(SLOT_31)] };
  }

  getsp(sf: number, r: Field): Expr {
    return this.getSlot(sf, this.spSlot(r));
  }

  setsp(sf: number, r: Field, value: Expr): void {
    this.setSlot(sf, this.spSlot(r), value);
  }

  getOdd(sf: number, r: Field): Expr {
    return this.getSlot(sf, or(this.slot(r), 8));
  }

  setOdd(sf: number, r: Field, value: Expr): void {
    this.setSlot(sf, or(this.slot(r), 8), value);
    this.store("i64_store", this.state(), i64(0), XZR, 3);
  }

  link(value: Expr): void {
    this.store("i64_store", this.state(), value, offsetOf("X30"), 3);
  }

  tmp(value: Expr): Expr {
    const local = this.pool.take(value.type);
    emit(this.code, value);
    this.code.localSet(local);
    return leaf(value.type, (code) => code.localGet(local));
  }

  special(name: RegName): Expr {
    return this.load("i64_load", "i64", this.state(), offsetOf(name), 3);
  }

  setSpecial(name: RegName, value: Expr): void {
    this.store("i64_store", this.state(), value, offsetOf(name), 3);
  }

  table(name: TableName, index: Expr): Expr {
    const { address, log2 } = TABLES[name];
    const [op, type] = log2 === 3 ? (["i64_load", "i64"] as const) : (["i32_load", "i32"] as const);
    return this.load(op, type, shl(index, log2), address, log2);
  }

  // Vector registers

  /** What an FP or SIMD instruction begins with: it is the host's where it traps. */
  checkFpAccess(): void {
    const { code } = this;
    emit(code, this.load("i32_load", "i32", this.state(), offsetOf("FP_TRAP"), 2));
    code.if();
    this.system();
    code.end();
  }

  /** Address of a vector register less V0. */
  private vectorAddress(r: VectorRegister): Expr {
    const place = r.op === "leaf" && "lo" in r ? (r as Field) : undefined;
    if (!place) return add(this.state(), shl(and(r, 31), 4));
    const { lo, width } = place;
    const shifted = lo >= 4 ? shrU(this.word(), lo - 4) : shl(this.word(), 4 - lo);
    return add(this.state(), and(shifted, (2 ** width - 1) * VECTOR_BYTES));
  }

  vector(n: VectorRegister, q = 1): Expr {
    const address = this.vectorAddress(n);
    return leaf("v128", (code) => {
      emit(code, address);
      code.simdMemory(q ? "v128_load" : "v128_load64_zero", V0, 3);
    });
  }

  setVector(d: VectorRegister, value: Expr, q = 1): void {
    invariant(value.type === "v128", "a vector register takes a vector");
    if (!q) {
      this.setScalar(8, d, extractLane(3, value, 0));
      return;
    }
    emit(this.code, this.vectorAddress(d));
    emit(this.code, value);
    this.code.simdMemory("v128_store", V0, 3);
  }

  scalar(bytes: number, n: VectorRegister): Expr {
    return this.lane(bytes, n, 0);
  }

  setScalar(bytes: number, d: VectorRegister, value: Expr): void {
    invariant(value.type === (bytes === 8 ? "i64" : "i32"), "a scalar has the type of its size", bytes);
    const address = this.vectorAddress(d);
    const wide = bytes === 8 ? value : zext(bytes === 4 ? value : and(value, 2 ** (8 * bytes) - 1));
    this.store("i64_store", address, wide, V0, 3);
    this.store("i64_store", address, i64(0), V0 + 8, 3);
  }

  private laneAddress(bytes: number, r: VectorRegister, index: Expr | number): { address: Expr; offset: number } {
    const address = this.vectorAddress(r);
    if (typeof index === "number") return { address, offset: V0 + index * bytes };
    return { address: add(address, shl(index, Math.log2(bytes))), offset: V0 };
  }

  lane(bytes: number, n: VectorRegister, index: Expr | number, signed = false): Expr {
    const { address, offset } = this.laneAddress(bytes, n, index);
    return this.peek(address, bytes, bytes === 8 ? "i64" : "i32", { signed, offset });
  }

  setLane(bytes: number, d: VectorRegister, index: Expr | number, value: Expr): void {
    const { address, offset } = this.laneAddress(bytes, d, index);
    this.poke(address, bytes, value, offset);
  }

  fpcr(): Expr {
    return this.load("i32_load", "i32", this.state(), offsetOf("FPCR"), 2);
  }

  raiseFpsr(bits: Expr): void {
    const fpsr = offsetOf("FPSR");
    this.store("i32_store", this.state(), or(this.load("i32_load", "i32", this.state(), fpsr, 2), bits), fpsr, 2);
  }

  helper(name: string, result: ExprType, ...args: readonly Expr[]): Expr {
    const found = this.helpers.named.get(name);
    invariant(found !== undefined, "a helper function has this name", name);
    const { index, definition } = found;
    const given = args.map(({ type }) => type).join();
    invariant(definition.params.join() === given && definition.result === result, "a helper is well typed", name);
    return leaf(result, (code) => {
      code.localGet(this.base_);
      for (const arg of args) emit(code, arg);
      code.call(index);
    });
  }

  repeat(count: number, body: (i: Expr) => void): void {
    const { code } = this;
    const local = this.pool.take("i32");
    code.i32(0);
    code.localSet(local);
    const again = code.loop();
    const i = leaf("i32", (into) => into.localGet(local));
    body(i);
    emit(code, add(i, 1));
    code.localTee(local);
    code.i32(count);
    code.op("i32_lt_u");
    code.brIf(again);
    code.end();
  }

  // Flags

  /** 32-bit operands shifted up give the flags of the 32-bit operation. */
  private widened(value: Expr): Expr {
    return value.type === "i64" ? value : shl(zext(value), 32);
  }

  setFlags(kind: "sub" | "add" | "logic", a: Expr, b?: Expr): void {
    const value = { sub: FlagKind.SUB, add: FlagKind.ADD, logic: FlagKind.LOGIC }[kind];
    this.store("i64_store", this.state(), this.widened(a), offsetOf("NZCV_A"), 3);
    if (b) this.store("i64_store", this.state(), this.widened(b), offsetOf("NZCV_B"), 3);
    this.store("i32_store", this.state(), i32(value), offsetOf("NZCV_KIND"), 2);
  }

  setSumFlags(sum: Sum): void {
    this.setNzcv(sumFlags(sum));
  }

  setNzcv(packed: Expr): void {
    this.store("i64_store", this.state(), zext(packed), offsetOf("NZCV_A"), 3);
    this.store("i32_store", this.state(), i32(FlagKind.PACKED), offsetOf("NZCV_KIND"), 2);
  }

  setFlagsIf(condition: Expr, kind: "sub" | "add", a: Expr, b: Expr, packed: Expr): void {
    emit(this.code, condition);
    this.code.if();
    this.setFlags(kind, a, b);
    this.code.else();
    this.setNzcv(packed);
    this.code.end();
  }

  condition(cc: Expr): Expr {
    return leaf("i32", (code) => {
      code.localGet(this.base_);
      emit(code, cc);
      code.call(this.helpers.condition);
    });
  }

  // Memory

  base(n: Field): Expr {
    const slot = this.tmp(this.slot(n));
    const isSp = this.tmp(this.isSlot31(slot));
    const value = this.tmp(this.getSlot(1, add(slot, shl(isSp, 3))));
    this.spMisalignment = and(wrap(value), sub(shl(isSp, 4), isSp));
    return value;
  }

  /** The host address of an access: inline by the TLB, or by the slow path. `va` is a temporary. */
  private resolve(va: Expr, access: DataAccess, kind: number, beforeSlow: () => void): Expr {
    const { code } = this;
    const { size, align = size, flags = 0 } = access;
    const write = kind === Slow.LOAD ? 0 : Access.WRITE;
    const needsAlignment = (flags & (Access.ORDERED | Access.ATOMIC)) !== 0;
    const unprivileged = (flags & Access.UNPRIVILEGED) !== 0;
    const noBase = this.spMisalignment === undefined ? Slow.NO_BASE : 0;
    const description = size | ((flags | write) << 8) | kind | noBase | ((align - 1) << 24);
    const host = this.pool.take("i32");
    const pushSlow = () => {
      beforeSlow();
      for (const e of [this.state(), va, i32(description), this.word(), this.pc(), this.left()]) emit(code, e);
      code.call(this.helpers.access);
      code.localSet(host);
      this.afterSlowAccess(host);
    };
    // Bits that spoil the comparison with the tag, whose low 12 bits are zero.
    let spoilers: Expr = this.spMisalignment ?? i32(0);
    if (align > 1) {
      const low = and(wrap(va), align - 1);
      const checked = sub(0, this.load("i32_load", "i32", this.state(), offsetOf("ALIGN_CHECK"), 2));
      spoilers = or(spoilers, needsAlignment ? low : and(low, checked));
    }
    const entry = this.pool.take("i32");
    const name = kind === Slow.LOAD ? "TLB_READ" : "TLB_WRITE";
    const array = this.load("i32_load", "i32", this.state(), offsetOf(unprivileged ? `${name}_U` : name), 2);
    emit(code, tlbEntry(array, va));
    code.localTee(entry);
    code.memory("i64_load", 0, 3);
    emit(code, or(lastPage(va, size), zext(spoilers)));
    code.op("i64_eq");
    code.if();
    emit(code, wrap(va));
    code.localGet(entry);
    code.memory("i32_load", 8, 2);
    code.op("i32_add");
    code.localSet(host);
    code.else();
    pushSlow();
    code.end();
    return leaf("i32", (into) => into.localGet(host));
  }

  read(va: Expr, access: DataAccess): Expr {
    return this.resolve(va, access, Slow.LOAD, () => {});
  }

  modify(va: Expr, access: DataAccess): Expr {
    return this.resolve(va, access, Slow.MODIFY, () => {});
  }

  write(va: Expr, access: DataAccess, values: readonly Expr[]): void {
    const bytes = access.size / values.length;
    const data = values.map((value) => this.tmp(value));
    const scratch = offsetOf("SCRATCH0");
    const toScratch = () => {
      for (const [i, value] of data.entries()) this.poke(this.state(), bytes, value, scratch + i * bytes);
    };
    const host = this.resolve(va, access, Slow.STORE, toScratch);
    for (const [i, value] of data.entries()) this.poke(host, bytes, value, i * bytes);
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
      if (size === 8) this.store("i64_store", host, extractLane(3, value, 0), offset, 0);
      else {
        invariant(size === 16, "a vector is stored whole or by its low half", size);
        emit(this.code, host);
        emit(this.code, value);
        this.code.simdMemory("v128_store", offset);
      }
      return;
    }
    const op = size === (value.type === "i64" ? 8 : 4) ? `${value.type}_store` : `${value.type}_store${size * 8}`;
    this.store(op as keyof typeof Op, host, value, offset, 0);
  }

  zeroBlock(va: Expr): void {
    const block = this.tmp(and(va, ~(DC_ZVA_BYTES - 1)));
    const array = this.load("i32_load", "i32", this.state(), offsetOf("TLB_WRITE"), 2);
    const entry = this.tmp(tlbEntry(array, block));
    const trap = this.load("i32_load", "i32", this.state(), offsetOf("ZVA_TRAP"), 2);
    const tag = this.load("i64_load", "i64", entry, 0, 3);
    this.when({ op: "ne", type: "i32", args: [tag, or(lastPage(block, DC_ZVA_BYTES), zext(trap))] }, () =>
      this.system(),
    );
    const host = this.tmp(add(wrap(block), this.load("i32_load", "i32", entry, 8, 2)));
    for (let offset = 0; offset < DC_ZVA_BYTES; offset += 8) this.store("i64_store", host, i64(0), offset, 3);
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
    const equal = (a: Expr, b: Expr): Expr => ({ op: "eq", type: "i32", args: [a, b] });
    return and(equal(held("EXCL_HOST"), host), equal(held("EXCL_SIZE"), i32(size)));
  }

  when(condition: Expr, body: () => void): void {
    emit(this.code, condition);
    this.code.if();
    body();
    this.code.end();
  }

  /** Each access loads them. */
  tlbChanged(): void {}

  protected storeState(name: "PC" | "BUDGET" | "BUDGET_HELD", value: Expr): void {
    if (name === "PC") this.store("i64_store", this.state(), value, offsetOf(name), 3);
    else this.store("i32_store", this.state(), value, offsetOf(name), 2);
  }

  protected loadState(name: "PC" | "BUDGET" | "BUDGET_HELD"): Expr {
    return name === "PC"
      ? this.load("i64_load", "i64", this.state(), offsetOf(name), 3)
      : this.load("i32_load", "i32", this.state(), offsetOf(name), 2);
  }
}
