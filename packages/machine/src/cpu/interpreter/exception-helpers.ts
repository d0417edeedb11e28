/**
 * Helper functions of the exceptions that the engine takes itself: SVC from EL0 to EL1 and ERET from EL1, and of the system
 * instructions on which more depends than the register that they change. ../../exceptions.ts has the same in TypeScript, and everything that
 * is left to it here: each function returns 1 when it has done the instruction, or 0 when it has done nothing because
 *
 * - a level above takes part: HCR_EL2.TGE, another EL;
 * - somebody watches: software step, breakpoints and watchpoints are enabled, or the performance monitors count;
 * - the return is illegal, or may unmask an interrupt: a signal is asserted (LINES), or HCR_EL2 holds a virtual one;
 * - the level's translation context is not known: the state has no record of it (`Mmu` keeps them).
 *
 * What the machine counts of exceptions is kept in the state until it looks (`Processor.account`).
 * DDI 0487, "Exception entry", "Exception return"; shared pseudocode AArch64.TakeException, AArch64.ExceptionReturn.
 */
import { FlagKind } from "../flags.js";
import { FPCR, FPSR } from "../fp/environment.js";
import { INLINE } from "../inline.js";
import {
  add,
  and,
  divU,
  type Expr,
  emit,
  eq,
  i32,
  i64,
  isZero,
  ltS,
  ltU,
  ne,
  or,
  select,
  sext,
  shl,
  shrU,
  sub,
  wrap,
  xor,
  zext,
} from "../rows/expr.js";
import { LastEvent, LEVEL_SLOTS, offsetOf, type RegName } from "../state.js";
import type { HelperBody, HelperTable } from "./functions.js";
import { tlbEntry } from "./helpers.js";
import type { Local } from "./statements.js";

// PSTATE in SPSR format. DDI 0487, "SPSR_EL1".
const SP_SELECTED = 1 << 0;
const EL = 0xc;
const EL1 = 0x4;
const EL1H = 0x5;
const AARCH32 = 1 << 4;
const DAIF = 0xf << 6;
const SSBS = 1 << 12;
const IL = 1 << 20;
const PAN = 1 << 22;
const DIT = 1 << 24;
const NZCV = 0xf000_0000;
/** Modes that EL1 may return to: EL0t, EL1t, EL1h, a bit each. */
const RETURNS = (1 << 0x0) | (1 << 0x4) | (1 << 0x5);

/** HCR_EL2. */
const TGE = 1 << 27;
const VIRTUAL_SIGNALS = (1 << 6) | (1 << 7) | (1 << 8);
/** SCTLR_EL1.SPAN. */
const SPAN = 1 << 23;
/** MDSCR_EL1: SS, MDE. */
const WATCHED = (1 << 0) | (1 << 15);
/** ESR_ELx of an SVC but for its immediate: EC 0x15, IL. */
const ESR_SVC = (0x15 << 26) | (1 << 25);
/** From VBAR_EL1: a synchronous exception of a lower EL that uses AArch64. */
const VECTOR_SYNC_LOWER = 0x400;
/** The PC at which native firmware is: an ERET to it says so to the firmware of another level. */
const NATIVE_PC = 0x00ff_0000_0000_0000n;

const LEVEL_BYTES = LEVEL_SLOTS * 8;
const KNOWN = (LEVEL_SLOTS - 1) * 8;

function local(s: HelperBody, value: Expr): Expr {
  const place: Local = s.local(value.type);
  s.set(place, value);
  return place.value;
}

const no = (s: HelperBody, condition: Expr): void => s.if(condition, () => s.return(i32(0)));

/** Adds to an i32 of the state. */
const count = (s: HelperBody, name: RegName, by: Expr | number): void => s.store(name, add(s.load(name), by));

/** Something above EL1, or that looks at each exception, takes part: not zero. */
const isUnusual = (s: HelperBody, hcr: number): Expr =>
  or(or(and(s.load("HCR_EL2"), hcr), and(s.load("MDSCR_EL1"), WATCHED)), s.load("PMCNTENSET_EL0"));

/** A signal may be taken when it is no longer masked: not zero. */
const maySignal = (s: HelperBody): Expr => or(s.load("LINES"), and(s.load("HCR_EL2"), VIRTUAL_SIGNALS));

/** Byte offset, within the state, of the record of EL0, EL1 or EL1 with PAN, as `pstate` says. */
function recordOf(s: HelperBody, pstate: Expr): Expr {
  const el1 = select(and(pstate, PAN), i32(offsetOf("EL1_PAN_TLB_READ")), i32(offsetOf("EL1_TLB_READ")));
  return local(s, add(s.at(0, "i32").value, select(and(pstate, EL), el1, i32(offsetOf("EL0_TLB_READ")))));
}

const isUnknown = (s: HelperBody, record: Expr): Expr => isZero(s.loadAt(record, "i32", KNOWN));

/** The level of a record becomes the current one: its translation context, and what is checked there. */
function install(s: HelperBody, record: Expr): void {
  const { code } = s;
  const base = s.at(0, "i32").value;
  const now = offsetOf("TLB_READ");
  let offset = 0;
  for (; offset + 16 <= LEVEL_BYTES; offset += 16) {
    emit(code, base);
    emit(code, record);
    code.simdMemory("v128_load", offset, 3);
    code.simdMemory("v128_store", now + offset, 3);
  }
  if (offset === LEVEL_BYTES) return;
  emit(code, base);
  emit(code, s.loadAt(record, "i64", offset));
  code.memory("i64_store", now + offset, 3);
}

/**
 * Counts the instruction, attributes what has retired at its level, and counts one more for the exception; what the machine
 * will be told. Results of `Processor.retire`, `account` and `charge`.
 */
function account(s: HelperBody, done: "DONE_EL0" | "DONE_EL1", counter: "SVCS" | "ERETS", event: number): void {
  const left = local(s, sub(s.load("BUDGET"), 1));
  count(s, done, sub(s.load("MARK"), left));
  const charged = local(s, sub(left, 1));
  s.store("BUDGET", charged);
  s.store("MARK", charged);
  count(s, counter, 1);
  s.store("LAST_EVENT", i32(event));
}

/** Exchanges the stack pointers of EL0 and EL1. */
function exchangeSp(s: HelperBody, from: RegName, to: RegName): void {
  s.store(from, s.load("SP", "i64"));
  s.store("SP", s.load(to, "i64"));
}

/** NZCV, packed in bits 31:28, as it is in the state from now on. */
function packFlags(s: HelperBody): Expr {
  const kind = local(s, s.load("NZCV_KIND"));
  const a = local(s, s.load("NZCV_A", "i64"));
  const flags = s.local("i32");
  s.set(flags, wrap(a));
  s.if(kind, () => {
    const b = local(s, s.load("NZCV_B", "i64"));
    const isSub = local(s, eq(kind, FlagKind.SUB));
    const isLogic = local(s, eq(kind, FlagKind.LOGIC));
    const result = local(s, select(isLogic, a, select(isSub, sub(a, b), add(a, b))));
    const carry = select(isSub, isZero(ltU(a, b)), ltU(result, a));
    // Overflow: the operands of an addition have one sign and the result has not; for a subtraction b has the other sign.
    const signs = xor(xor(a, b), select(isSub, i64(0), i64(-1)));
    const overflow = ltS(and(signs, xor(a, result)), 0);
    const carries = select(isLogic, i32(0), or(shl(carry, 29), shl(overflow, 28)));
    s.set(flags, or(or(shl(ltS(result, 0), 31), shl(isZero(result), 30)), carries));
    s.store("NZCV_A", zext(flags.value));
    s.store("NZCV_KIND", i32(FlagKind.PACKED));
  });
  return and(flags.value, NZCV);
}

/** (immediate) → done: SVC of EL0. */
function takeSvc(s: HelperBody): Expr {
  const before = local(s, s.load("PSTATE"));
  const pan = select(and(s.load("SCTLR_EL1"), SPAN), i32(0), i32(PAN));
  const after = local(s, or(or(and(before, PAN | DIT | SSBS), pan), EL1H | DAIF));
  const record = recordOf(s, after);
  no(s, or(or(and(before, AARCH32 | 0xf), isUnusual(s, TGE)), isUnknown(s, record)));

  account(s, "DONE_EL0", "SVCS", LastEvent.SVC);
  s.store("SYNC_DONE", add(s.load("DONE_EL0"), s.load("DONE_EL1")));
  s.store("SYNC_PC1", s.load("SYNC_PC0", "i64"));
  s.store("SYNC_PC0", s.load("PC", "i64"));
  const flags = packFlags(s);
  s.store("SPSR_EL1", zext(or(before, flags)));
  s.store("ELR_EL1", add(s.load("PC", "i64"), 4));
  s.store("ESR_EL1", zext(or(s.param(0).value, ESR_SVC)));
  exchangeSp(s, "SP_EL0", "SP_EL1");
  s.store("PSTATE", zext(after));
  s.store("PC", add(and(s.load("VBAR_EL1", "i64"), ~0x7ffn), VECTOR_SYNC_LOWER));
  install(s, record);
  return i32(1);
}

/** () → done: ERET of EL1. */
function takeEret(s: HelperBody): Expr {
  const before = local(s, s.load("PSTATE"));
  const spsr = local(s, s.load("SPSR_EL1"));
  const pc = local(s, s.load("ELR_EL1", "i64"));
  no(s, ne(and(before, AARCH32 | EL), EL1));
  no(s, or(or(and(spsr, AARCH32 | IL), isUnusual(s, TGE)), maySignal(s)));
  no(s, or(isZero(and(shrU(i32(RETURNS), and(spsr, 0xf)), 1)), eq(pc, i64(NATIVE_PC))));
  const after = local(s, and(spsr, DAIF | PAN | DIT | SSBS | 0xf));
  const record = recordOf(s, after);
  no(s, isUnknown(s, record));

  account(s, "DONE_EL1", "ERETS", LastEvent.ERET);
  s.if(and(xor(before, after), SP_SELECTED), () =>
    s.if(
      and(before, SP_SELECTED),
      () => exchangeSp(s, "SP_EL1", "SP_EL0"),
      () => exchangeSp(s, "SP_EL0", "SP_EL1"),
    ),
  );
  s.store("PSTATE", zext(after));
  s.store("NZCV_A", zext(and(spsr, NZCV)));
  s.store("NZCV_KIND", i32(FlagKind.PACKED));
  s.store("PC", pc);
  s.store("EXCL_HOST", i32(0));
  s.store("EVENT", i32(1));
  install(s, record);
  return i32(1);
}

/** (immediate) → done: MSR PAN of EL1. Works on PSTATE and on the slots of the level alone. */
function setPan(s: HelperBody): Expr {
  const before = local(s, s.load("PSTATE"));
  const after = local(s, or(and(before, ~PAN), shl(and(s.param(0).value, 1), 22)));
  const record = recordOf(s, after);
  no(s, or(ne(and(before, EL), EL1), isUnknown(s, record)));
  s.if(xor(before, after), () => {
    s.store("PSTATE", zext(after));
    install(s, record);
  });
  return i32(1);
}

/** The instruction is done: goes to the next one. */
function next(s: HelperBody): Expr {
  s.store("PC", add(s.load("PC", "i64"), 4));
  count(s, "BUDGET", -1);
  return i32(1);
}

/** Address of Xn less the offset of X0. */
const registerAt = (s: HelperBody, n: Expr): Expr => add(s.at(0, "i32").value, shl(n, 3));

/** (va) → whether the software TLB allows reads there: then the address translates, and is memory that nobody watches. */
function isReadable(s: HelperBody): Expr {
  const va = s.param(0).value;
  const entry = tlbEntry(s.load("TLB_READ"), va);
  return eq(s.loadAt(entry, "i64"), and(va, ~0xfffn));
}

/** (Rt) → done: MRS of the virtual count. */
function readVirtualCount(s: HelperBody): Expr {
  no(s, isZero(and(s.load("SYS_INLINE"), INLINE.VIRTUAL_COUNT)));
  const clock = sub(s.load("CLOCK", "i64"), sext(s.load("BUDGET")));
  const ticks = divU(clock, zext(s.load("COUNTS_PER_TICK")));
  const { code } = s;
  emit(code, registerAt(s, s.param(0).value));
  emit(code, sub(ticks, s.load("CNTVOFF_EL2", "i64")));
  code.memory("i64_store", offsetOf("X0"), 3);
  s.store("XZR", i64(0));
  return next(s);
}

/** (Rt) → done: MSR of FPCR or FPSR. Code that has been translated for their values is left. */
const writeFp =
  (name: "FPCR" | "FPSR", writable: number) =>
  (s: HelperBody): Expr => {
    no(s, s.load("FP_TRAP"));
    s.store(name, zext(and(s.loadAt(registerAt(s, s.param(0).value), "i32", offsetOf("X0")), writable)));
    return next(s);
  };

/** (immediate) → done: MSR SPSel. */
function selectSp(s: HelperBody): Expr {
  const before = local(s, s.load("PSTATE"));
  no(s, isZero(and(before, EL)));
  const after = local(s, or(and(before, ~SP_SELECTED), and(s.param(0).value, 1)));
  // The bank of SP_ELx: those of EL1 to EL3 are in groups of their own.
  const el2 = select(and(before, 4), i32(offsetOf("SP_EL3")), i32(offsetOf("SP_EL2")));
  const bank = local(s, add(s.at(0, "i32").value, select(and(before, 8), el2, i32(offsetOf("SP_EL1")))));
  const bankStore = (value: Expr) => {
    emit(s.code, bank);
    emit(s.code, value);
    s.code.memory("i64_store", 0, 3);
  };
  s.if(xor(before, after), () => {
    s.if(
      and(after, SP_SELECTED),
      () => {
        s.store("SP_EL0", s.load("SP", "i64"));
        s.store("SP", s.loadAt(bank, "i64"));
      },
      () => {
        bankStore(s.load("SP", "i64"));
        s.store("SP", s.load("SP_EL0", "i64"));
      },
    );
    s.store("PSTATE", zext(after));
  });
  return next(s);
}

export const EXCEPTION_HELPERS: HelperTable = {
  takeSvc: { params: ["i32"], result: "i32", body: takeSvc },
  takeEret: { params: [], result: "i32", body: takeEret },
  isReadable: { params: ["i64"], result: "i32", body: isReadable },
  setPan: { params: ["i32"], result: "i32", body: setPan },
  readVirtualCount: { params: ["i32"], result: "i32", body: readVirtualCount },
  writeFpcr: { params: ["i32"], result: "i32", body: writeFp("FPCR", FPCR.WRITABLE) },
  writeFpsr: { params: ["i32"], result: "i32", body: writeFp("FPSR", FPSR.WRITABLE) },
  selectSp: { params: ["i32"], result: "i32", body: selectSp },
};
