/**
 * Functions of the interpreter's module that handlers call: the slow path of data accesses, and condition codes.
 */
import { Access, TLB_ENTRIES, TLB_ENTRY_SIZE } from "../engine.js";
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
  ne,
  or,
  select,
  shrU,
  sub,
  wrap,
  xor,
  zext,
} from "../rows/expr.js";
import { offsetOf } from "../state.js";
import type { CodeWriter, Label } from "../wasm/code.js";
import { Statements } from "./statements.js";

/**
 * How an access is described to the slow path, in one i32:
 * bits 7:0 size, 15:8 Access flags, 17:16 kind, 18 no base register, 28:24 alignment - 1.
 */
export const Slow = { LOAD: 0, STORE: 1 << 16, MODIFY: 2 << 16, NO_BASE: 1 << 18 } as const;

export interface HostFunctions {
  readonly fetch: number;
  readonly load: number;
  readonly store: number;
  readonly modify: number;
  readonly system: number;
  readonly misaligned: number;
}

/** Of an address shifted right by 8: the offset of its entry. */
const TLB_INDEX_MASK = (TLB_ENTRIES - 1) * TLB_ENTRY_SIZE;

/** Address of the TLB entry of `va` in the array that starts at `array`. */
export const tlbEntry = (array: Expr, va: Expr): Expr => add(array, and(shrU(wrap(va), 8), TLB_INDEX_MASK));

/** The page of the last byte of an access, to compare with a tag: an access across pages does not match. */
export const lastPage = (va: Expr, size: Expr | number): Expr =>
  and(add(va, typeof size === "number" ? size - 1 : sub(zext(size), 1)), ~0xfffn);

/**
 * (base, va, description, insn, pc, left) → host address, or 0 when an exception has been taken.
 * `left` is BUDGET - 1, less what BUDGET_HELD holds. Stores the state that a host call needs, checks the alignment of SP,
 * looks whether the access was an ordinary one after all (SP checks switched off), and calls the host.
 *
 * When the host sets ATTENTION, the instruction still completes: the budget is put aside in BUDGET_HELD, and 1 is left.
 */
export function slowAccess(code: CodeWriter, host: HostFunctions): void {
  const s = new Statements(code, 0);
  const base = s.at(0, "i32").value;
  const va = s.at(1, "i64").value;
  const description = s.at(2, "i32").value;
  const insn = s.at(3, "i32").value;
  const pc = s.at(4, "i64").value;
  const left = s.at(5, "i32").value;
  const access = s.local("i32");
  const entry = s.local("i32");
  const result = s.local("i32");
  const described = (bits: number): Expr => ne(and(description, bits), 0);
  const size = and(description, 0xff);

  s.store("PC", pc);
  s.store("BUDGET", add(add(left, 1), s.load("BUDGET_HELD")));
  s.store("BUDGET_HELD", i32(0));

  const baseIsSp = and(isZero(and(description, Slow.NO_BASE)), eq(and(insn, 0x3e0), 0x3e0));
  const spMisaligned = ne(and(s.load("SP"), 15), 0);
  s.if(and(and(baseIsSp, ne(s.load("SP_CHECK"), 0)), spMisaligned), () => {
    s.do(host.misaligned, [base, i32(1)]);
    s.return(i32(0));
  });

  s.set(access, and(shrU(description, 8), 0xff));
  s.if(and(wrap(va), shrU(description, 24)), () => s.set(access, or(access.value, Access.UNALIGNED)));

  // The plain check again. An access that may not be unaligned, and is, goes to the host.
  const writes = described(Slow.STORE | Slow.MODIFY);
  const array = select(
    and(access.value, Access.UNPRIVILEGED),
    select(writes, s.load("TLB_WRITE_U"), s.load("TLB_READ_U")),
    select(writes, s.load("TLB_WRITE"), s.load("TLB_READ")),
  );
  s.set(entry, tlbEntry(array, va));
  const known = eq(s.loadAt(entry.value, "i64"), lastPage(va, size));
  const mustAlign = or(and(access.value, Access.ORDERED | Access.ATOMIC), s.load("ALIGN_CHECK"));
  const alignmentAllowed = or(isZero(and(access.value, Access.UNALIGNED)), isZero(mustAlign));
  s.if(and(known, alignmentAllowed), () => s.return(add(wrap(va), s.loadAt(entry.value, "i32", 8))));

  const args = [base, wrap(va), wrap(shrU(va, 32)), size, access.value, insn];
  const ask = (index: number) => () => s.set(result, s.call(index, "i32", args));
  s.if(described(Slow.STORE), ask(host.store), () => s.if(described(Slow.MODIFY), ask(host.modify), ask(host.load)));
  s.if(isZero(result.value), () => s.return(i32(0)));

  s.if(s.load("ATTENTION"), () => {
    s.store("BUDGET_HELD", sub(s.load("BUDGET"), 1));
    s.store("BUDGET", i32(1));
  });
  // The host has stored already: the handler's own store goes to the scratch slots.
  emit(code, select(described(Slow.STORE), add(base, offsetOf("SCRATCH0")), result.value));
}

/** Condition codes without their lowest bit, which inverts; the eighth pair always holds. */
const CONDITION_COUNT = 7;

/** Whether EQ, CS, MI, VS, HI, GE or GT (by number) holds, for one kind of flags whose operands are `a` and `b`. */
export function conditionOf(kind: number, condition: number, a: Expr, b: Expr): Expr {
  switch (kind) {
    case FlagKind.SUB:
      return ofDifference(condition, a, b);
    case FlagKind.ADD:
      return ofSum(condition, a, b);
    case FlagKind.LOGIC:
      return ofResult(condition, a);
    default:
      return ofPacked(condition, a);
  }
}

function ofDifference(condition: number, a: Expr, b: Expr): Expr {
  switch (condition) {
    case 0:
      return eq(a, b);
    case 1:
      return geU(a, b);
    case 2:
      return ltS(sub(a, b), 0);
    case 3:
      return ltS(and(xor(a, b), xor(a, sub(a, b))), 0);
    case 4:
      return gtU(a, b);
    case 5:
      return geS(a, b);
    default:
      return gtS(a, b);
  }
}

function ofSum(condition: number, a: Expr, b: Expr): Expr {
  const sum = add(a, b);
  const overflow = () => ltS(and(xor(a, sum), xor(b, sum)), 0);
  switch (condition) {
    case 0:
      return isZero(sum);
    case 1:
      return ltU(sum, a);
    case 2:
      return ltS(sum, 0);
    case 3:
      return overflow();
    case 4:
      return and(ltU(sum, a), ne(sum, 0));
    case 5:
      return eq(ltS(sum, 0), overflow());
    default:
      return and(eq(ltS(sum, 0), overflow()), ne(sum, 0));
  }
}

function ofResult(condition: number, a: Expr): Expr {
  switch (condition) {
    case 0:
      return isZero(a);
    case 2:
      return ltS(a, 0);
    case 5:
      return geS(a, 0);
    case 6:
      return gtS(a, 0);
    default:
      return i32(0);
  }
}

/** `a`: NZCV in bits 31:28. */
function ofPacked(condition: number, a: Expr): Expr {
  const bit = (n: number) => and(shrU(wrap(a), n), 1);
  switch (condition) {
    case 0:
      return bit(30);
    case 1:
      return bit(29);
    case 2:
      return bit(31);
    case 3:
      return bit(28);
    case 4:
      return and(bit(29), isZero(bit(30)));
    case 5:
      return eq(bit(31), bit(28));
    default:
      return and(eq(bit(31), bit(28)), isZero(bit(30)));
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
