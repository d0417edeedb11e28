/**
 * Generates the interpreter: one WebAssembly module whose `run` executes the PE at a given state address until an
 * EngineExit, and whose `runTranslated` does so with translated code (dispatcher.ts). The bytes depend on the rows only.
 *
 * The loop: fetch a word, look its key up, jump to a handler. Handlers end at `sequential` (next word), `branchTo` (an
 * offset, mostly within the page), `jumpTo` (any address: fetch TLB), `refetch` (all is in the state) or `toHost`.
 * A fetch pointer never leaves its page, and every data access passes a TLB check or the host.
 *
 * Between instructions, BUDGET = `left` + BUDGET_HELD; during one, `left` is less by 1. BUDGET_HELD is zero but for the
 * rest of an instruction during which the host has set ATTENTION (see `slowAccess`).
 */
import { invariant } from "@realmbox/abi";
import { ENGINE_TABLES_SIZE, EngineExit, type EngineHost, HostReply } from "../engine.js";
import {
  add,
  and,
  type Expr,
  emit,
  eq,
  i32,
  isZero,
  leS,
  ltS,
  or,
  sext,
  shrU,
  sub,
  wrap,
  xor,
  zext,
} from "../rows/expr.js";
import { ROWS } from "../rows/index.js";
import type { Row } from "../rows/row.js";
import { CodeWriter, type Label } from "../wasm/code.js";
import { ModuleWriter } from "../wasm/module.js";
import { type Helpers, TemporaryPool } from "./context.js";
import { type DecodeTable, decodeTable, type Handler } from "./decode.js";
import {
  arriveFunction,
  dispatcherFunction,
  fillFunction,
  flagsHoldFunction,
  Interpret,
  REGION_PARAMETERS,
} from "./dispatcher.js";
import { defineHelpers } from "./functions.js";
import { Called, CalledContext, LoopContext, type LoopSites } from "./handlers.js";
import { emitCondition, type HostFunctions, slowAccess, tlbEntry } from "./helpers.js";
import { ENGINE_HELPERS } from "./slots.js";
import { Statements } from "./statements.js";
import { constantTables, DECODE_TABLE, nonZeroRuns } from "./tables.js";

const BASE = 0;

/** Entry 0 of the dispatch is the host's; handlers of the loop follow, then the functions of rare rows. */
interface Dispatch {
  readonly inLoop: readonly Handler[];
  readonly called: readonly Handler[];
  /** u16 by key. */
  readonly table: Uint16Array;
}

function dispatchOf({ handlers, byKey }: DecodeTable): Dispatch {
  const isRare = (handler: Handler) => handler.candidates.some(({ row }) => row.rare);
  const inLoop = handlers.filter((handler) => !isRare(handler));
  const called = handlers.filter(isRare);
  const numbers = [...inLoop, ...called].map((handler) => handlers.indexOf(handler));
  const numberOf = new Map(numbers.map((index, i) => [index, i + 1]));
  return { inLoop, called, table: Uint16Array.from(byKey, (index) => numberOf.get(index) ?? 0) };
}

/** Emits the candidates of a handler in order; `next` ends an instruction that went to its end. */
function emitHandler(
  code: CodeWriter,
  context: LoopContext | CalledContext,
  insn: number,
  handler: Handler,
  next: () => void,
): void {
  for (const { row, shape, mask, value } of handler.candidates) {
    const compared = mask !== 0;
    if (compared) {
      code.localGet(insn);
      code.i32(mask);
      code.op("i32_and");
      code.i32(value);
      code.op("i32_eq");
      code.if();
    }
    const fields = context.fields(row, shape);
    if (row.fp) context.checkFpAccess();
    row.sem(context, fields);
    next();
    if (compared) code.end();
    else return;
  }
  context.system();
}

/** (base, insn) → Called, for a rare handler. */
function calledFunction(helpers: Helpers, handler: Handler): CodeWriter {
  const code = new CodeWriter(2);
  const insn = 1;
  const context = new CalledContext(code, helpers, new TemporaryPool(code), { base: BASE, insn });
  emitHandler(code, context, insn, handler, () => {
    code.i32(Called.DONE);
    code.op("return");
  });
  code.op("unreachable");
  return code;
}

/** (base, Interpret) → EngineExit or InterpreterExit. */
function interpretFunction(dispatch: Dispatch, host: HostFunctions, helpers: Helpers, called: CalledTable): CodeWriter {
  const code = new CodeWriter(2);
  const s = new Statements(code, BASE);
  const pool = new TemporaryPool(code);
  const base = s.at(BASE, "i32").value;
  const how = s.at(1, "i32");
  const pointer = s.local("i32");
  const left = s.local("i32");
  const insn = s.local("i32");
  const branchOffset = s.local("i32");
  // Bits of `pointer` that are zero where the next instruction is looked up; when stepping, everywhere.
  const pageMask = s.local("i32");
  const scratch = s.local("i32");
  const pcOffset = s.local("i64");
  const target = s.local("i64");

  const pc = add(pcOffset.value, zext(pointer.value));
  /** BUDGET = `left` + `more` + BUDGET_HELD, which is then zero; PC = `at`. */
  const storeState = (more: number, at: Expr) => {
    s.store("BUDGET", add(add(left.value, more), s.load("BUDGET_HELD")));
    s.store("BUDGET_HELD", i32(0));
    s.store("PC", at);
  };
  const leave = (exit: number) => s.return(i32(exit));
  /** Takes over what the host did to the budget; leaves when it is spent or ATTENTION is set. */
  const takeBudget = () => {
    s.set(left, s.load("BUDGET"));
    s.if(or(leS(left.value, 0), s.load("ATTENTION")), () => leave(EngineExit.BUDGET));
  };

  s.set(pageMask, i32(0xfff));
  const refetch = code.loop();
  s.if(eq(how.value, Interpret.STEPPED), () => leave(EngineExit.BUDGET));
  takeBudget();
  s.set(target, s.load("PC", "i64"));

  const jumpTo = code.loop();
  s.if(or(leS(left.value, 0), eq(how.value, Interpret.STEPPED)), () => {
    storeState(0, target.value);
    leave(EngineExit.BUDGET);
  });
  s.if(and(wrap(target.value), 3), () => {
    storeState(0, target.value);
    s.do(host.misaligned, [base, i32(0)]);
    code.br(refetch);
  });
  s.set(scratch, tlbEntry(s.load("TLB_FETCH"), target.value));
  s.if(
    eq(s.loadAt(scratch.value, "i64"), and(target.value, ~0xfffn)),
    () => s.set(pointer, add(wrap(target.value), s.loadAt(scratch.value, "i32", 8))),
    () => {
      storeState(0, target.value);
      s.set(pointer, s.call(host.fetch, "i32", [base]));
      s.brIf(isZero(pointer.value), refetch);
      takeBudget();
      s.set(target, s.load("PC", "i64"));
    },
  );
  s.set(pcOffset, sub(target.value, zext(pointer.value)));
  s.if(eq(how.value, Interpret.STEP), () => {
    s.set(how, i32(Interpret.STEPPED));
    s.set(pageMask, i32(0));
  });
  const begun = code.block();
  s.brIf(eq(how.value, Interpret.PLAIN), begun);
  s.if(eq(how.value, Interpret.QUIET), () => {
    s.set(how, i32(Interpret.MIXED));
    code.br(begun);
  });
  s.if(eq(how.value, Interpret.MIXED), () => {
    s.set(scratch, s.call(helpers.arrive, "i32", [base, pointer.value, i32(1)]));
    s.if(scratch.value, () => {
      storeState(0, target.value);
      s.return(scratch.value);
    });
  });

  code.end(); // begun

  const next = code.loop();
  s.set(left, sub(left.value, 1));
  s.if(ltS(left.value, 0), () => {
    storeState(1, pc);
    leave(EngineExit.BUDGET);
  });
  s.set(insn, s.loadAt(pointer.value, "i32"));

  const sequential = code.block();
  const branchTo = code.block();
  const toHost = code.block();
  const toCalled = code.block();
  const labels: Label[] = dispatch.inLoop.map(() => code.block()).reverse();
  // The key is bits 31:21 and 15:10; the table has two bytes for each.
  emit(code, or(and(shrU(insn.value, 14), 0x3ff80), and(shrU(insn.value, 9), 0x7e)));
  code.memory("i32_load16_u", DECODE_TABLE, 1);
  code.localTee(scratch.index);
  code.brTable([toHost, ...labels], toCalled);

  const sites: LoopSites = {
    pointer: pointer.index,
    pcOffset: pcOffset.index,
    left: left.index,
    branchOffset: branchOffset.index,
    target: target.index,
    ...{ branchTo, jumpTo, refetch, toHost },
  };
  const context = new LoopContext(code, helpers, pool, { base: BASE, insn: insn.index }, sites);
  for (const handler of dispatch.inLoop) {
    code.end();
    emitHandler(code, context, insn.index, handler, () => code.br(sequential));
  }

  code.end(); // toCalled
  storeState(1, pc);
  for (const e of [base, insn.value, sub(scratch.value, dispatch.inLoop.length + 1)]) emit(code, e);
  code.callIndirect(called.type, called.table);
  code.localSet(scratch.index);
  s.brIf(eq(scratch.value, Called.REFETCH), refetch);
  s.set(left, sub(s.load("BUDGET"), 1));
  s.brIf(eq(scratch.value, Called.DONE), sequential);

  code.end(); // toHost
  storeState(1, pc);
  s.set(scratch, s.call(host.system, "i32", [base, insn.value]));
  s.if(eq(scratch.value, HostReply.LEAVE), () => leave(EngineExit.LEAVE));
  s.if(eq(scratch.value, HostReply.NEXT), () => {
    s.store("BUDGET", sub(s.load("BUDGET"), 1));
    s.store("PC", add(s.load("PC", "i64"), 4));
  });
  code.br(refetch);

  code.end(); // branchTo
  s.set(scratch, add(pointer.value, branchOffset.value));
  s.if(isZero(and(xor(scratch.value, pointer.value), -0x1000)), () => {
    s.set(pointer, scratch.value);
    s.brIf(eq(how.value, Interpret.PLAIN), next);
    s.if(eq(how.value, Interpret.STEPPED), () => {
      storeState(0, pc);
      leave(EngineExit.BUDGET);
    });
    // Calls and branches back begin something; forward branches may come to what has begun.
    const begins = or(leS(branchOffset.value, 0), eq(and(insn.value, 0xfc00_0000 | 0), 0x9400_0000 | 0));
    s.set(scratch, s.call(helpers.arrive, "i32", [base, pointer.value, begins]));
    s.brIf(isZero(scratch.value), next);
    storeState(0, pc);
    s.return(scratch.value);
  });
  s.set(target, add(pc, sext(branchOffset.value)));
  code.br(jumpTo);

  code.end(); // sequential
  s.set(pointer, add(pointer.value, 4));
  s.brIf(and(pointer.value, pageMask.value), next);
  s.set(target, pc);
  code.br(jumpTo);

  code.end(); // next
  code.end(); // jumpTo
  code.end(); // refetch
  code.op("unreachable");
  return code;
}

/** (slot, from): a region's function comes from the stage. JavaScript would make a wrapper of each. */
function installFunction(module: ModuleWriter, regions: number, stage: number): number {
  const code = new CodeWriter(2);
  code.localGet(0);
  code.localGet(1);
  code.i32(1);
  code.tableCopy(regions, stage);
  const index = module.declare({ params: [I, I], results: [] });
  module.define(index, code);
  return index;
}

/** The table of the functions of rare handlers, and their type. */
interface CalledTable {
  readonly type: number;
  readonly table: number;
}

const I = "i32" as const;
const L = "i64" as const;

/**
 * The interpreter's module. Takes a fraction of a second: made at build time, or once per process. Instructions that are not
 * among `rows` are the host's: tests leave out those that the machine has to do as well.
 */
export function generateInterpreter(rows: readonly Row[] = ROWS): Uint8Array {
  const dispatch = dispatchOf(decodeTable(rows));
  const module = new ModuleWriter();
  module.importMemory("realmbox", "memory", ENGINE_TABLES_SIZE / 0x10000);
  const importHost = (name: keyof EngineHost, params: number, results: readonly "i32"[] = [I]) =>
    module.importFunction("realmbox", name, { params: Array<"i32">(params).fill(I), results });
  const host: HostFunctions = {
    fetch: importHost("fetch", 1),
    load: importHost("load", 6),
    store: importHost("store", 6),
    modify: importHost("modify", 6),
    system: importHost("system", 2),
    misaligned: importHost("misaligned", 2, []),
  };
  const importTranslator = { fill: importHost("fill", 5), translate: importHost("translate", 2) };
  const operate = module.importFunction("realmbox", "operate", { params: [I, I, L, L, L], results: [L] });
  const regions = module.importTable("realmbox", "regions", 0);
  const stage = module.importTable("realmbox", "stage", 0);
  const shared = module.declareTable("helpers");
  const calledTable = module.declareTable();
  const called = { params: [I, I], results: [I] };
  const run = module.declare({ params: [I], results: [I] });
  const interpret = module.declare({ params: [I, I], results: [I] });
  const runTranslated = module.declare({ params: [I], results: [I] });
  const helpers: Helpers = {
    access: module.declare({ params: [I, L, I, I, L, I], results: [I] }),
    condition: module.declare({ params: [I, I], results: [I] }),
    arrive: module.declare({ params: [I, I, I], results: [I] }),
    named: defineHelpers(module, { operate }),
  };
  const engineHelpers: Record<(typeof ENGINE_HELPERS)[number], { readonly index: number; readonly code: CodeWriter }> =
    {
      fill: { index: module.declare({ params: [I, L, I], results: [I] }), code: fillFunction(importTranslator.fill) },
      flagsHold: { index: module.declare({ params: [I, L, L, I, I], results: [I] }), code: flagsHoldFunction() },
    };
  for (const name of ENGINE_HELPERS) {
    module.define(engineHelpers[name].index, engineHelpers[name].code);
    module.tableSlot(shared, engineHelpers[name].index);
  }
  for (const { index } of helpers.named.values()) module.tableSlot(shared, index);

  const access = new CodeWriter(6);
  slowAccess(access, host);
  module.define(helpers.access, access);
  const condition = new CodeWriter(2);
  emitCondition(condition, BASE, () => condition.localGet(1));
  module.define(helpers.condition, condition);
  module.define(helpers.arrive, arriveFunction());
  for (const handler of dispatch.called) {
    const index = module.declare(called);
    module.define(index, calledFunction(helpers, handler));
    module.tableSlot(calledTable, index);
  }
  module.define(
    interpret,
    interpretFunction(dispatch, host, helpers, { type: module.type(called), table: calledTable }),
  );
  const plain = new CodeWriter(1);
  plain.localGet(BASE);
  plain.i32(Interpret.PLAIN);
  plain.call(interpret);
  module.define(run, plain);
  const region = module.type({ params: [...REGION_PARAMETERS], results: [I] });
  module.define(
    runTranslated,
    dispatcherFunction({ interpret, translate: importTranslator.translate, region, regions }),
  );
  module.exportFunction("run", run);
  module.exportFunction("runTranslated", runTranslated);
  module.exportFunction("install", installFunction(module, regions, stage));

  const decodeBytes = new Uint8Array(dispatch.table.buffer);
  for (const { address, bytes } of [{ address: DECODE_TABLE, bytes: decodeBytes }, ...constantTables()]) {
    invariant(address + bytes.length <= ENGINE_TABLES_SIZE, "tables fit the engine's part of the memory");
    for (const part of nonZeroRuns(bytes)) module.dataSegment(address + part.offset, part.bytes);
  }
  return module.build();
}
