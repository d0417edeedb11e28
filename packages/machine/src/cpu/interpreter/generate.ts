/**
 * Generates the interpreter: one WebAssembly module whose `run` executes the PE at a given state address until an
 * EngineExit. The bytes depend on the rows only.
 *
 * The loop: fetch a word, look its key up, jump to a handler. Handlers end at `sequential` (next word), `branchTo` (an
 * offset, mostly within the page), `jumpTo` (any address: fetch TLB), `refetch` (all is in the state) or `toHost`.
 * A fetch pointer never leaves its page, and every data access passes a TLB check or the host.
 *
 * Between instructions, BUDGET = `left` + BUDGET_HELD; during one, `left` is less by 1. BUDGET_HELD is zero but for the
 * rest of an instruction during which the host has set ATTENTION (see `slowAccess`).
 */
import { invariant } from "@realmbox/abi";
import { ENGINE_TABLES_SIZE, EngineExit, HostReply } from "../engine.js";
import { ROWS } from "../rows/index.js";
import { offsetOf } from "../state.js";
import { CodeWriter, type Label } from "../wasm/code.js";
import { ModuleWriter } from "../wasm/module.js";
import { Called, CalledContext, type Helpers, LoopContext, type LoopSites, TemporaryPool } from "./context.js";
import { type DecodeTable, decodeTable, type Handler } from "./decode.js";
import { emitCondition, type HostFunctions, slowAccess, tlbEntry } from "./helpers.js";
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
    row.sem(context, context.fields(row, shape));
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

function runFunction(dispatch: Dispatch, host: HostFunctions, helpers: Helpers, calledType: number): CodeWriter {
  const code = new CodeWriter(1);
  const pointer = code.local("i32");
  const left = code.local("i32");
  const insn = code.local("i32");
  const branchOffset = code.local("i32");
  const entry = code.local("i32");
  const reply = code.local("i32");
  const pcOffset = code.local("i64");
  const target = code.local("i64");
  const pool = new TemporaryPool(code);

  const loadBudget = () => {
    code.localGet(BASE);
    code.memory("i32_load", offsetOf("BUDGET"), 2);
  };
  const pushPc = () => {
    code.localGet(pcOffset);
    code.localGet(pointer);
    code.op("i64_extend_i32_u");
    code.op("i64_add");
  };
  /** BUDGET = `left` + `more` + BUDGET_HELD, which is then zero. */
  const storeBudget = (more: number) => {
    code.localGet(BASE);
    code.localGet(left);
    code.i32(more);
    code.op("i32_add");
    code.localGet(BASE);
    code.memory("i32_load", offsetOf("BUDGET_HELD"), 2);
    code.op("i32_add");
    code.memory("i32_store", offsetOf("BUDGET"), 2);
    code.localGet(BASE);
    code.i32(0);
    code.memory("i32_store", offsetOf("BUDGET_HELD"), 2);
  };
  const storePc = (push: () => void) => {
    code.localGet(BASE);
    push();
    code.memory("i64_store", offsetOf("PC"), 3);
  };
  const leave = (exit: number) => {
    code.i32(exit);
    code.op("return");
  };
  const leaveIf = (exit: number) => {
    code.if();
    leave(exit);
    code.end();
  };

  const refetch = code.loop();
  loadBudget();
  code.localTee(left);
  code.i32(0);
  code.op("i32_le_s");
  code.localGet(BASE);
  code.memory("i32_load", offsetOf("ATTENTION"), 2);
  code.op("i32_or");
  leaveIf(EngineExit.BUDGET);
  code.localGet(BASE);
  code.memory("i64_load", offsetOf("PC"), 3);
  code.localSet(target);

  const jumpTo = code.loop();
  code.localGet(left);
  code.i32(0);
  code.op("i32_le_s");
  code.if();
  storeBudget(0);
  storePc(() => code.localGet(target));
  leave(EngineExit.BUDGET);
  code.end();
  code.localGet(target);
  code.op("i32_wrap_i64");
  code.i32(3);
  code.op("i32_and");
  code.if();
  storeBudget(0);
  storePc(() => code.localGet(target));
  code.localGet(BASE);
  code.i32(0);
  code.call(host.misaligned);
  code.br(refetch);
  code.end();
  tlbEntry(code, BASE, "TLB_FETCH", target);
  code.localTee(entry);
  code.memory("i64_load", 0, 3);
  code.localGet(target);
  code.i64(-0x1000n);
  code.op("i64_and");
  code.op("i64_eq");
  code.if();
  code.localGet(target);
  code.op("i32_wrap_i64");
  code.localGet(entry);
  code.memory("i32_load", 8, 2);
  code.op("i32_add");
  code.localSet(pointer);
  code.else();
  storeBudget(0);
  storePc(() => code.localGet(target));
  code.localGet(BASE);
  code.call(host.fetch);
  code.localTee(pointer);
  code.op("i32_eqz");
  code.brIf(refetch);
  loadBudget();
  code.localTee(left);
  code.i32(0);
  code.op("i32_le_s");
  code.localGet(BASE);
  code.memory("i32_load", offsetOf("ATTENTION"), 2);
  code.op("i32_or");
  leaveIf(EngineExit.BUDGET);
  code.localGet(BASE);
  code.memory("i64_load", offsetOf("PC"), 3);
  code.localSet(target);
  code.end();
  code.localGet(target);
  code.localGet(pointer);
  code.op("i64_extend_i32_u");
  code.op("i64_sub");
  code.localSet(pcOffset);

  const next = code.loop();
  code.localGet(left);
  code.i32(1);
  code.op("i32_sub");
  code.localTee(left);
  code.i32(0);
  code.op("i32_lt_s");
  code.if();
  storeBudget(1);
  storePc(pushPc);
  leave(EngineExit.BUDGET);
  code.end();
  code.localGet(pointer);
  code.memory("i32_load", 0, 2);
  code.localSet(insn);

  const sequential = code.block();
  const branchTo = code.block();
  const toHost = code.block();
  const toCalled = code.block();
  const labels: Label[] = dispatch.inLoop.map(() => code.block()).reverse();
  // The key is bits 31:21 and 15:10; the table has two bytes for each.
  code.localGet(insn);
  code.i32(14);
  code.op("i32_shr_u");
  code.i32(0x3ff80);
  code.op("i32_and");
  code.localGet(insn);
  code.i32(9);
  code.op("i32_shr_u");
  code.i32(0x7e);
  code.op("i32_and");
  code.op("i32_or");
  code.memory("i32_load16_u", DECODE_TABLE, 1);
  code.localTee(entry);
  code.brTable([toHost, ...labels], toCalled);

  const sites: LoopSites = { pointer, pcOffset, left, branchOffset, target, branchTo, jumpTo, refetch, toHost };
  const context = new LoopContext(code, helpers, pool, { base: BASE, insn }, sites);
  for (const handler of dispatch.inLoop) {
    code.end();
    emitHandler(code, context, insn, handler, () => code.br(sequential));
  }

  code.end(); // toCalled
  storeBudget(1);
  storePc(pushPc);
  code.localGet(BASE);
  code.localGet(insn);
  code.localGet(entry);
  code.i32(dispatch.inLoop.length + 1);
  code.op("i32_sub");
  code.callIndirect(calledType);
  code.localTee(reply);
  code.op("i32_eqz");
  code.brIf(refetch);
  loadBudget();
  code.i32(1);
  code.op("i32_sub");
  code.localSet(left);
  code.localGet(reply);
  code.i32(Called.DONE);
  code.op("i32_eq");
  code.brIf(sequential);

  code.end(); // toHost
  storeBudget(1);
  storePc(pushPc);
  code.localGet(BASE);
  code.localGet(insn);
  code.call(host.system);
  code.localTee(reply);
  code.i32(HostReply.LEAVE);
  code.op("i32_eq");
  leaveIf(EngineExit.LEAVE);
  code.localGet(reply);
  code.i32(HostReply.NEXT);
  code.op("i32_eq");
  code.if();
  loadBudget();
  code.i32(1);
  code.op("i32_sub");
  code.localSet(left);
  storeBudget(0);
  storePc(() => {
    code.localGet(BASE);
    code.memory("i64_load", offsetOf("PC"), 3);
    code.i64(4n);
    code.op("i64_add");
  });
  code.end();
  code.br(refetch);

  code.end(); // branchTo
  code.localGet(pointer);
  code.localGet(branchOffset);
  code.op("i32_add");
  code.localTee(entry);
  code.localGet(pointer);
  code.op("i32_xor");
  code.i32(-0x1000);
  code.op("i32_and");
  code.op("i32_eqz");
  code.if();
  code.localGet(entry);
  code.localSet(pointer);
  code.br(next);
  code.end();
  pushPc();
  code.localGet(branchOffset);
  code.op("i64_extend_i32_s");
  code.op("i64_add");
  code.localSet(target);
  code.br(jumpTo);

  code.end(); // sequential
  code.localGet(pointer);
  code.i32(4);
  code.op("i32_add");
  code.localTee(pointer);
  code.i32(0xfff);
  code.op("i32_and");
  code.brIf(next);
  pushPc();
  code.localSet(target);
  code.br(jumpTo);

  code.end(); // next
  code.end(); // jumpTo
  code.end(); // refetch
  code.op("unreachable");
  return code;
}

const I = "i32" as const;
const L = "i64" as const;

/** The interpreter's module. Takes a fraction of a second: made at build time, or once per process. */
export function generateInterpreter(): Uint8Array {
  const dispatch = dispatchOf(decodeTable(ROWS));
  const module = new ModuleWriter();
  module.importMemory("realmbox", "memory", ENGINE_TABLES_SIZE / 0x10000);
  const importHost = (name: keyof HostFunctions, params: number, results: readonly "i32"[] = [I]) =>
    module.importFunction("realmbox", name, { params: Array<"i32">(params).fill(I), results });
  const host: HostFunctions = {
    fetch: importHost("fetch", 1),
    load: importHost("load", 6),
    store: importHost("store", 6),
    modify: importHost("modify", 6),
    system: importHost("system", 2),
    misaligned: importHost("misaligned", 2, []),
  };
  const called = { params: [I, I], results: [I] };
  const calledType = module.type(called);
  const run = module.declare({ params: [I], results: [I] });
  const helpers: Helpers = {
    access: module.declare({ params: [I, L, I, I, L, I], results: [I] }),
    condition: module.declare({ params: [I, I], results: [I] }),
  };

  const access = new CodeWriter(6);
  slowAccess(access, host);
  module.define(helpers.access, access);
  const condition = new CodeWriter(2);
  emitCondition(condition, BASE, () => condition.localGet(1));
  module.define(helpers.condition, condition);
  for (const handler of dispatch.called) {
    const index = module.declare(called);
    module.define(index, calledFunction(helpers, handler));
    module.tableSlot(index);
  }
  module.define(run, runFunction(dispatch, host, helpers, calledType));
  module.exportFunction("run", run);

  const decodeBytes = new Uint8Array(dispatch.table.buffer);
  for (const { address, bytes } of [{ address: DECODE_TABLE, bytes: decodeBytes }, ...constantTables()]) {
    invariant(address + bytes.length <= ENGINE_TABLES_SIZE, "tables fit the engine's part of the memory");
    for (const part of nonZeroRuns(bytes)) module.dataSegment(address + part.offset, part.bytes);
  }
  return module.build();
}
