/**
 * Translated code among interpreted code: the dispatcher, which enters regions and lets the interpreter do what they leave,
 * and what the interpreter looks at where a branch arrives. The interpreter is the reference: a region leaves before each
 * instruction that is more than it can do, and the interpreter executes that one as it always does.
 */
import {
  EngineExit,
  PROMOTE_AT,
  REACH_COUNT_ENTRIES,
  REACH_COUNTS,
  REACH_THRESHOLD,
  REGION_ENTRIES,
  RegionExit,
  TRANSLATED_COUNT,
} from "../engine.js";
import { FPSR } from "../fp/environment.js";
import { PAUTH, PAUTH_ENABLES } from "../pauth.js";
import {
  add,
  and,
  type Expr,
  emit,
  eq,
  gtU,
  i32,
  i64,
  isZero,
  leaf,
  leS,
  ne,
  or,
  select,
  sext,
  shl,
  shrU,
  sub,
  wrap,
  zext,
} from "../rows/expr.js";
import { JumpCache } from "../translator/jump-cache.js";
import { FPCR_OTHER, Mode } from "../translator/mode.js";
import { CodeWriter } from "../wasm/code.js";
import { conditionOf, lastPage, tlbEntry } from "./helpers.js";
import { Statements } from "./statements.js";

/** Parameters of a region's function: the PE's state, which entry, the virtual address of its root's page. */
export const REGION_PARAMETERS = ["i32", "i32", "i64"] as const;

/** How `interpret` goes about it. */
export const Interpret = {
  /** Until an EngineExit. */
  PLAIN: 0,
  /** Until there is translated code at the target of a branch, or there should be. */
  MIXED: 1,
  /** One instruction, or the exception that it is. */
  STEP: 2,
  /** `interpret`'s own: the instruction of a STEP has begun. */
  STEPPED: 3,
  /** As MIXED, but nothing begins where it begins: a slice has ended there, or an instruction has been stepped over. */
  QUIET: 4,
} as const;

/** Vectors are multiples of this. */
const VECTOR_SIZE = 0x80;

/** What `interpret` returns in MIXED besides an EngineExit. */
export const InterpreterExit = {
  /** PC has translated code. */
  TRANSLATED: 2,
  /** PC has been reached so often that it should be translated. */
  HOT: 3,
} as const;

/** The mode of code that may run now: `modeOf` (translator/mode.ts) in WebAssembly. */
function modeNow(s: Statements): Expr {
  const bits = [
    [ne(s.load("FP_TRAP"), 0), Mode.FP_TRAP],
    [ne(s.load("SP_CHECK"), 0), Mode.SP_CHECK],
    [ne(s.load("ALIGN_CHECK"), 0), Mode.ALIGN_CHECK],
    [ne(s.load("ZVA_TRAP"), 0), Mode.ZVA_TRAP],
    [ne(and(s.load("PAUTH"), PAUTH_ENABLES), 0), Mode.PAUTH],
    [isZero(and(s.load("FPCR"), FPCR_OTHER)), Mode.HOST_FP],
    [ne(and(s.load("FPSR"), FPSR.IXC), 0), Mode.INEXACT],
    [ne(and(s.load("PAUTH"), PAUTH.TRAP), 0), Mode.PAUTH_TRAP],
  ] as const;
  return bits.map(([holds, bit]) => shl(holds, Math.log2(bit))).reduce((all, bit) => or(all, bit));
}

/** (base, host, begins) → InterpreterExit, or 0: nothing is there. Counts arrivals where something begins. */
export function arriveFunction(): CodeWriter {
  const code = new CodeWriter(3);
  const s = new Statements(code, 0);
  const host = s.at(1, "i32").value;
  const begins = s.at(2, "i32").value;
  const slot = s.local("i32");
  const count = s.local("i32");
  s.set(slot, JumpCache.address(host));
  s.if(eq(s.loadAt(slot.value, "i32", JumpCache.HOST), host), () =>
    s.if(eq(s.loadAt(slot.value, "i32", JumpCache.MODE), modeNow(s)), () => s.return(i32(InterpreterExit.TRANSLATED))),
  );
  s.if(isZero(begins), () => s.return(i32(0)));
  s.set(slot, and(shrU(host, 1), (REACH_COUNT_ENTRIES - 1) * 2));
  emit(code, slot.value);
  code.memory("i32_load16_u", REACH_COUNTS, 1);
  code.i32(1);
  code.op("i32_add");
  code.localSet(count.index);
  const isHot = gtU(count.value, s.loadAt(i32(0), "i32", REACH_THRESHOLD));
  emit(code, slot.value);
  emit(code, select(isHot, i32(0), count.value));
  code.memory("i32_store16", REACH_COUNTS, 1);
  s.return(select(isHot, i32(InterpreterExit.HOT), i32(0)));
  code.op("unreachable");
  return code;
}

/** (base, va, size | access << 8) → address of the TLB entry, or 0: `EngineHost.fill`. */
export function fillFunction(fill: number): CodeWriter {
  const code = new CodeWriter(3);
  const s = new Statements(code, 0);
  const va = s.at(1, "i64").value;
  const description = s.at(2, "i32").value;
  const size = and(description, 0xff);
  // One that crosses pages is the interpreter's.
  const isWithin: Expr = { op: "eq", type: "i32", args: [lastPage(va, size), and(va, ~0xfffn)] };
  s.if(isZero(isWithin), () => s.return(i32(0)));
  s.return(s.call(fill, "i32", [s.at(0, "i32").value, wrap(va), wrap(shrU(va, 32)), size, shrU(description, 8)]));
  code.op("unreachable");
  return code;
}

/** (base, a, b, kind, condition) → 0 or 1: whether EQ, CS, MI, VS, HI, GE or GT (by number) holds. */
export function flagsHoldFunction(): CodeWriter {
  const code = new CodeWriter(5);
  const s = new Statements(code, 0);
  const a = s.at(1, "i64").value;
  const b = s.at(2, "i64").value;
  const conditions = [0, 1, 2, 3, 4, 5, 6];
  const kinds = [0, 1, 2, 3];
  const otherwise = code.block();
  const labels = kinds.flatMap((kind) => conditions.map((condition) => ({ kind, condition })));
  const blocks = labels.map(() => code.block()).reverse();
  emit(code, add({ op: "mul", type: "i32", args: [s.at(3, "i32").value, i32(7)] }, s.at(4, "i32").value));
  code.brTable(blocks, otherwise);
  for (const { kind, condition } of labels) {
    code.end();
    s.return(conditionOf(kind, condition, a, b));
  }
  code.end();
  code.op("unreachable");
  return code;
}

interface DispatcherParts {
  /** Functions of the module. */
  readonly interpret: number;
  readonly translate: number;
  /** The type of regions, and the table of them. */
  readonly region: number;
  readonly regions: number;
}

/**
 * (base) → EngineExit. Most regions are entered from others: what does not change on that way, the mode and the counters, is
 * in locals.
 */
export function dispatcherFunction({ interpret, translate, region, regions }: DispatcherParts): CodeWriter {
  const code = new CodeWriter(1);
  const s = new Statements(code, 0);
  const base = s.at(0, "i32").value;
  const left = s.local("i32");
  const target = s.local("i64");
  const entry = s.local("i32");
  const slot = s.local("i32");
  const how = s.local("i32");
  const result = s.local("i32");
  const mode = s.local("i32");
  const executed = s.local("i64");
  const entries = s.local("i64");
  // Where the instruction after a stepped one is: coming there is no branch.
  const after = s.local("i64");
  s.set(after, s.load("PC", "i64"));
  s.if(isZero(and(wrap(after.value), VECTOR_SIZE - 1)), () => s.set(after, i64(-1)));
  s.set(mode, modeNow(s));
  const done = code.block();
  const again = code.loop();

  s.set(result, i32(EngineExit.BUDGET));
  s.set(left, s.load("BUDGET"));
  s.brIf(or(leS(left.value, 0), s.load("ATTENTION")), done);
  s.set(target, s.load("PC", "i64"));
  const isSame: Expr = { op: "eq", type: "i32", args: [target.value, after.value] };
  s.set(how, select(isSame, i32(Interpret.QUIET), i32(Interpret.MIXED)));
  s.set(after, i64(-1));
  const interpreted = code.block();
  const isElsewhere: Expr = { op: "ne", type: "i32", args: [s.loadAt(entry.value, "i64"), and(target.value, ~0xffcn)] };
  s.set(entry, tlbEntry(s.load("TLB_FETCH"), target.value));
  s.brIf(isElsewhere, interpreted);
  s.set(entry, add(wrap(target.value), s.loadAt(entry.value, "i32", 8)));
  s.set(slot, JumpCache.address(entry.value));
  s.brIf(ne(s.loadAt(slot.value, "i32", JumpCache.HOST), entry.value), interpreted);
  s.brIf(ne(s.loadAt(slot.value, "i32", JumpCache.MODE), mode.value), interpreted);
  emit(code, slot.value);
  emit(code, add(s.loadAt(slot.value, "i32", JumpCache.HITS), 1));
  code.localTee(result.index);
  code.memory("i32_store", JumpCache.HITS, 2);
  s.if(eq(result.value, PROMOTE_AT), () => {
    s.do(translate, [base, i32(1)]);
    code.op("drop");
    code.br(again);
  });
  emit(code, base);
  emit(code, s.loadAt(slot.value, "i32", JumpCache.ENTRY));
  emit(code, sub(target.value, sext(s.loadAt(slot.value, "i32", JumpCache.PLACE))));
  emit(code, s.loadAt(slot.value, "i32", JumpCache.SLOT));
  code.callIndirect(region, regions);
  code.localSet(result.index);
  s.set(executed, add(executed.value, zext(sub(left.value, s.load("BUDGET")))));
  s.set(entries, add(entries.value, i64(1)));
  s.brIf(eq(result.value, RegionExit.NEXT), again);
  s.if(eq(result.value, RegionExit.CHANGED), () => {
    s.set(mode, modeNow(s));
    code.br(again);
  });
  s.set(how, i32(Interpret.PLAIN));
  s.if(eq(result.value, RegionExit.STEP), () => {
    s.set(how, i32(Interpret.STEP));
    s.set(after, add(s.load("PC", "i64"), 4));
  });
  code.end(); // interpreted

  s.set(result, s.call(interpret, "i32", [base, how.value]));
  s.if(eq(result.value, InterpreterExit.HOT), () => {
    s.set(mode, modeNow(s));
    s.brIf(s.call(translate, "i32", [base, i32(0)]), again);
    s.set(after, add(s.load("PC", "i64"), 4));
    s.set(result, s.call(interpret, "i32", [base, i32(Interpret.STEP)]));
  });
  s.set(mode, modeNow(s));
  s.brIf(ne(result.value, EngineExit.LEAVE), again);

  code.end(); // again
  code.end(); // done
  addTo(code, TRANSLATED_COUNT, executed.value);
  addTo(code, REGION_ENTRIES, entries.value);
  emit(code, result.value);
  return code;
}

/** The i64 at a host address += `value`. */
function addTo(code: CodeWriter, address: number, value: Expr): void {
  const old = leaf("i64", (into) => {
    into.i32(0);
    into.memory("i64_load", address, 3);
  });
  code.i32(0);
  emit(code, add(old, value));
  code.memory("i64_store", address, 3);
}
