/**
 * Functions of the interpreter's module that handlers call: the slow path of data accesses, and condition codes.
 */
import { Access } from "../engine.js";
import { FlagKind } from "../flags.js";
import {
  add,
  and,
  type Expr,
  emit,
  eq,
  geS,
  geU,
  gtS,
  gtU,
  i32,
  isZero,
  leaf,
  ltS,
  ltU,
  shrU,
  sub,
  wrap,
  xor,
} from "../rows/expr.js";
import { offsetOf } from "../state.js";
import type { CodeWriter, Label } from "../wasm/code.js";

/**
 * How an access is described to the slow path, in one i32:
 * bits 7:0 size, 15:8 Access flags, 17:16 kind, 18 no base register, 19 always ask the host, 28:24 alignment - 1.
 */
export const Slow = { LOAD: 0, STORE: 1 << 16, MODIFY: 2 << 16, NO_BASE: 1 << 18, ALWAYS: 1 << 19 } as const;

export interface HostFunctions {
  readonly fetch: number;
  readonly load: number;
  readonly store: number;
  readonly modify: number;
  readonly system: number;
  readonly misaligned: number;
}

const TLB_INDEX_MASK = 0x3ff0;

/** Pushes the address of the TLB entry of the i64 local `va`; `array` is TLB_READ and so on. */
export function tlbEntry(
  code: CodeWriter,
  base: number,
  array: "TLB_READ" | "TLB_WRITE" | "TLB_FETCH",
  va: number,
): void {
  code.localGet(base);
  code.memory("i32_load", offsetOf(array), 2);
  code.localGet(va);
  code.op("i32_wrap_i64");
  code.i32(8);
  code.op("i32_shr_u");
  code.i32(TLB_INDEX_MASK);
  code.op("i32_and");
  code.op("i32_add");
}

/**
 * (base, va, description, insn, pc, left) → host address, or 0 when an exception has been taken.
 * `left` is BUDGET - 1, less what BUDGET_HELD holds. Stores the state that a host call needs, checks the alignment of SP,
 * looks whether the access was an ordinary one after all (SP checks switched off), and calls the host.
 *
 * When the host sets ATTENTION, the instruction still completes: the budget is put aside in BUDGET_HELD, and 1 is left.
 */
export function slowAccess(code: CodeWriter, host: HostFunctions): void {
  const [base, va, description, insn, pc, left] = [0, 1, 2, 3, 4, 5];
  const entry = code.local("i32");
  const access = code.local("i32");
  const result = code.local("i32");

  code.localGet(base);
  code.localGet(pc);
  code.memory("i64_store", offsetOf("PC"), 3);
  code.localGet(base);
  code.localGet(left);
  code.i32(1);
  code.op("i32_add");
  code.localGet(base);
  code.memory("i32_load", offsetOf("BUDGET_HELD"), 2);
  code.op("i32_add");
  code.memory("i32_store", offsetOf("BUDGET"), 2);
  code.localGet(base);
  code.i32(0);
  code.memory("i32_store", offsetOf("BUDGET_HELD"), 2);

  // SP alignment: the base register is SP (field 9:5 is 31), the check is on, and SP is not a multiple of 16.
  code.localGet(description);
  code.i32(Slow.NO_BASE);
  code.op("i32_and");
  code.op("i32_eqz");
  code.localGet(insn);
  code.i32(0x3e0);
  code.op("i32_and");
  code.i32(0x3e0);
  code.op("i32_eq");
  code.op("i32_and");
  code.localGet(base);
  code.memory("i32_load", offsetOf("SP_CHECK"), 2);
  code.i32(0);
  code.op("i32_ne");
  code.op("i32_and");
  code.localGet(base);
  code.memory("i32_load", offsetOf("SP"), 2);
  code.i32(15);
  code.op("i32_and");
  code.i32(0);
  code.op("i32_ne");
  code.op("i32_and");
  code.if();
  code.localGet(base);
  code.i32(1);
  code.call(host.misaligned);
  code.i32(0);
  code.op("return");
  code.end();

  code.localGet(description);
  code.i32(8);
  code.op("i32_shr_u");
  code.i32(0xff);
  code.op("i32_and");
  code.localSet(access);
  code.localGet(va);
  code.op("i32_wrap_i64");
  code.localGet(description);
  code.i32(24);
  code.op("i32_shr_u");
  code.op("i32_and");
  code.if();
  code.localGet(access);
  code.i32(Access.UNALIGNED);
  code.op("i32_or");
  code.localSet(access);
  code.end();

  // The plain check again. An unaligned access that may not be unaligned goes to the host.
  code.localGet(base);
  code.memory("i32_load", offsetOf("TLB_READ"), 2);
  code.localGet(base);
  code.memory("i32_load", offsetOf("TLB_WRITE"), 2);
  code.localGet(description);
  code.i32(3 << 16);
  code.op("i32_and");
  code.op("i32_eqz");
  code.op("select");
  code.localGet(va);
  code.op("i32_wrap_i64");
  code.i32(8);
  code.op("i32_shr_u");
  code.i32(TLB_INDEX_MASK);
  code.op("i32_and");
  code.op("i32_add");
  code.localTee(entry);
  code.memory("i64_load", 0, 3);
  code.localGet(va);
  code.localGet(description);
  code.i32(0xff);
  code.op("i32_and");
  code.i32(1);
  code.op("i32_sub");
  code.op("i64_extend_i32_u");
  code.op("i64_add");
  code.i64(-0x1000n);
  code.op("i64_and");
  code.op("i64_eq");
  code.localGet(description);
  code.i32(Slow.ALWAYS);
  code.op("i32_and");
  code.op("i32_eqz");
  code.op("i32_and");
  code.localGet(access);
  code.i32(Access.UNALIGNED);
  code.op("i32_and");
  code.op("i32_eqz");
  code.localGet(access);
  code.i32(Access.ORDERED | Access.ATOMIC);
  code.op("i32_and");
  code.localGet(base);
  code.memory("i32_load", offsetOf("ALIGN_CHECK"), 2);
  code.op("i32_or");
  code.op("i32_eqz");
  code.op("i32_or");
  code.op("i32_and");
  code.if();
  code.localGet(va);
  code.op("i32_wrap_i64");
  code.localGet(entry);
  code.memory("i32_load", 8, 2);
  code.op("i32_add");
  code.op("return");
  code.end();

  const call = (index: number) => {
    code.localGet(base);
    code.localGet(va);
    code.op("i32_wrap_i64");
    code.localGet(va);
    code.i64(32n);
    code.op("i64_shr_u");
    code.op("i32_wrap_i64");
    code.localGet(description);
    code.i32(0xff);
    code.op("i32_and");
    code.localGet(access);
    code.localGet(insn);
    code.call(index);
    code.localSet(result);
  };
  code.localGet(description);
  code.i32(Slow.STORE);
  code.op("i32_and");
  code.if();
  call(host.store);
  code.else();
  code.localGet(description);
  code.i32(Slow.MODIFY);
  code.op("i32_and");
  code.if();
  call(host.modify);
  code.else();
  call(host.load);
  code.end();
  code.end();
  code.localGet(result);
  code.op("i32_eqz");
  code.if();
  code.i32(0);
  code.op("return");
  code.end();

  code.localGet(base);
  code.memory("i32_load", offsetOf("ATTENTION"), 2);
  code.if();
  code.localGet(base);
  code.localGet(base);
  code.memory("i32_load", offsetOf("BUDGET"), 2);
  code.i32(1);
  code.op("i32_sub");
  code.memory("i32_store", offsetOf("BUDGET_HELD"), 2);
  code.localGet(base);
  code.i32(1);
  code.memory("i32_store", offsetOf("BUDGET"), 2);
  code.end();

  // The host has stored already: the handler's own store goes to the scratch slots.
  code.localGet(base);
  code.i32(offsetOf("SCRATCH0"));
  code.op("i32_add");
  code.localGet(result);
  code.localGet(description);
  code.i32(Slow.STORE);
  code.op("i32_and");
  code.op("select");
}

/** Condition codes without their lowest bit, which inverts; the eighth pair always holds. */
const CONDITION_COUNT = 7;

/** Whether EQ, CS, MI, VS, HI, GE or GT (by number) holds, for one kind of flags whose operands are `a` and `b`. */
function conditionOf(kind: number, condition: number, a: Expr, b: Expr): Expr {
  switch (kind) {
    case FlagKind.SUB: {
      const difference = sub(a, b);
      const overflow = ltS(and(xor(a, b), xor(a, difference)), 0);
      return [eq(a, b), geU(a, b), ltS(difference, 0), overflow, gtU(a, b), geS(a, b), gtS(a, b)][condition];
    }
    case FlagKind.ADD: {
      const sum = add(a, b);
      const zero = isZero(sum);
      const carry = ltU(sum, a);
      const negative = ltS(sum, 0);
      const overflow = ltS(and(xor(a, sum), xor(b, sum)), 0);
      const ge = eq(negative, overflow);
      return [zero, carry, negative, overflow, and(carry, isZero(zero)), ge, and(ge, isZero(zero))][condition];
    }
    case FlagKind.LOGIC:
      return [isZero(a), i32(0), ltS(a, 0), i32(0), i32(0), geS(a, 0), gtS(a, 0)][condition];
    default: {
      const bit = (n: number) => and(shrU(wrap(a), n), 1);
      const [n, z, c, v] = [bit(31), bit(30), bit(29), bit(28)];
      return [z, c, n, v, and(c, isZero(z)), eq(n, v), and(eq(n, v), isZero(z))][condition];
    }
  }
}

/**
 * Pushes whether a condition code holds, 0 or 1, out of the lazy flags: a jump by kind and condition to one comparison.
 * `pushCode` pushes the code of four bits. The lowest one inverts, except in AL and NV, which always hold.
 */
export function emitCondition(code: CodeWriter, base: number, pushCode: () => void): void {
  const kinds = [FlagKind.PACKED, FlagKind.SUB, FlagKind.ADD, FlagKind.LOGIC];
  const end = code.block("i32");
  const labels: Label[] = [];
  const conditions = Array.from({ length: CONDITION_COUNT }, (_, condition) => condition);
  const cases = kinds.flatMap((kind) => conditions.map((condition) => ({ kind, condition })));
  const operand = (name: "NZCV_A" | "NZCV_B") =>
    leaf("i64", (into) => {
      into.localGet(base);
      into.memory("i64_load", offsetOf(name), 3);
    });
  const always = code.block();
  for (const _ of cases) labels.unshift(code.block());
  code.localGet(base);
  code.memory("i32_load", offsetOf("NZCV_KIND"), 2);
  code.i32(3);
  code.op("i32_shl");
  pushCode();
  code.i32(1);
  code.op("i32_shr_u");
  code.op("i32_or");
  code.brTable(
    kinds.flatMap((kind) => [...labels.slice(kind * CONDITION_COUNT, (kind + 1) * CONDITION_COUNT), always]),
    always,
  );
  for (const { kind, condition } of cases) {
    code.end();
    emit(code, conditionOf(kind, condition, operand("NZCV_A"), operand("NZCV_B")));
    pushCode();
    code.i32(1);
    code.op("i32_and");
    code.op("i32_xor");
    code.br(end);
  }
  code.end();
  code.i32(1);
  code.end();
}
