/**
 * A region as one WebAssembly function (base, entry, pcBase) → RegionExit. Registers are locals; every way out goes through
 * one common exit, which puts them back into the state.
 *
 * The graph's nodes are the blocks, LOOKUP, where indirect branches find out whether their target is an entry of this very
 * function, and DISPATCH, which goes to an entry and is where the function begins.
 */
import { invariant } from "@realmbox/abi";
import { RegionExit } from "../engine.js";
import { tlbEntry } from "../interpreter/helpers.js";
import { helperSlot } from "../interpreter/slots.js";
import {
  add,
  and,
  type Expr,
  type ExprType,
  emit,
  i32,
  i64,
  leaf,
  local,
  ne,
  or,
  sub,
  wrap,
  xor,
} from "../rows/expr.js";
import { offsetOf } from "../state.js";
import { CodeWriter, type Label } from "../wasm/code.js";
import type { ModuleWriter } from "../wasm/module.js";
import { type Flags, NotTranslated, type Numbers, TranslatorContext, UNKNOWN } from "./context.js";
import { JumpCache } from "./jump-cache.js";
import { FunctionLocals } from "./locals.js";
import { type Block, PAGE, type Region } from "./region.js";
import { type Item, structure } from "./structure.js";

interface Target {
  readonly label: Label;
  /** What tells the loop which of its heads is meant. */
  readonly selector?: { readonly local: number; readonly value: number };
}

const pageOf = (place: number): number => place & ~(PAGE - 1);

export interface EmitOptions {
  readonly module: ModuleWriter;
  readonly region: Region;
  readonly mode: number;
  /** Slot of the function in the table of regions: what an entry of the jump cache names. */
  readonly slot: number;
}

/** Emits a region's function into a module; its body. */
export const emitRegion = (options: EmitOptions): CodeWriter => new RegionEmitter(options).emit();

class RegionEmitter {
  private readonly code = new CodeWriter(3);
  private readonly locals = new FunctionLocals(this.code);
  private readonly module: ModuleWriter;
  private readonly region: Region;
  private readonly slot: number;
  private readonly context: TranslatorContext;
  private readonly targets: Target[][];
  private readonly lookup: number;
  private readonly dispatch: number;
  /** Flags at a block's start where one place alone leads there. */
  private readonly inherited = new Map<number, Flags>();
  private readonly inheritedNumbers = new Map<number, Numbers>();
  private readonly soleSource: readonly boolean[];
  private exit!: Label;
  /** Helpers of transfers, in the order of their numbers, and those that have an argument. */
  private readonly transfers: string[] = [];
  private readonly transferArguments = new Set<string>();
  private transferLocals: { readonly which: number; readonly argument: number } | undefined;
  private readonly calls = new Map<string, { readonly slot: number; readonly type: number }>();
  /** Place of the present instruction, and counts that the block has taken for it and what follows. */
  private place = 0;
  private uncounted = 0;

  constructor({ module, region, mode, slot }: EmitOptions) {
    this.module = module;
    this.region = region;
    this.slot = slot;
    this.context = new TranslatorContext(this.code, this.locals, mode, {
      leave: () => this.leave(RegionExit.STEP, this.place, this.uncounted),
      call: (name, params, result) => this.callHelper(name, params, result),
      transfer: (helper, args) => this.transfer(helper, args),
    });
    this.lookup = region.blocks.length;
    this.dispatch = this.lookup + 1;
    this.targets = Array.from({ length: this.dispatch + 1 }, () => []);
    const sources = new Array<number>(region.blocks.length).fill(0);
    for (const block of region.blocks) for (const to of this.successors(block)) if (to < sources.length) sources[to]!++;
    for (const entry of region.entries) sources[entry] = 2;
    this.soleSource = sources.map((count) => count === 1);
  }

  emit(): CodeWriter {
    const { code, region, locals } = this;
    const graph = [...region.blocks.map((block) => this.successors(block)), [this.dispatch], [...region.entries]];
    this.exit = code.block();
    this.emitItems(structure(graph.length, this.dispatch, graph));
    code.op("unreachable");
    code.end();
    this.emitExit();
    this.emitPrologue();
    code.localGet(locals.result);
    return code;
  }

  /** Blocks that a block leads to, and LOOKUP. */
  private successors({ ending }: Block): number[] {
    if (ending.kind === "transfer") return [];
    if (ending.kind === "jump") return [this.lookup];
    const places = ending.kind === "fall" ? [ending.next] : [ending.target, ending.next];
    const blocks = places.map((place) => (place === undefined ? undefined : this.region.byStart.get(place)));
    return blocks.filter((block) => block !== undefined);
  }

  // Structure

  private emitItems(items: readonly Item[], selector?: { local: number; heads: readonly number[] }): void {
    const { code } = this;
    // With a selector the first item is branched to as well.
    const first = selector ? 0 : 1;
    for (let i = items.length - 1; i >= first; i--) this.name(items[i]!, code.block());
    if (selector) {
      code.localGet(selector.local);
      const labels = selector.heads.map((head) => this.targetOf(head).label);
      code.brTable(labels.slice(0, -1), labels.at(-1)!);
    }
    for (const [i, item] of items.entries()) {
      if (i >= first) {
        code.end();
        this.forget(item);
      }
      if (item.kind === "node") this.emitNode(item.node);
      else this.emitLoop(item);
    }
  }

  private emitLoop({ heads, items }: Extract<Item, { kind: "loop" }>): void {
    const { code } = this;
    const local = heads.length > 1 ? this.selectorOf(heads) : undefined;
    const label = code.loop();
    for (const [value, head] of heads.entries())
      this.targets[head]!.push({ label, ...(local === undefined ? {} : { selector: { local, value } }) });
    this.emitItems(items, local === undefined ? undefined : { local, heads });
    for (const head of heads) this.targets[head]!.pop();
    code.op("unreachable");
    code.end();
  }

  private readonly selectors = new Map<number, number>();
  /** The local that says which head of a loop is meant: one for each loop with several. */
  private selectorOf(heads: readonly number[]): number {
    const key = heads[0]!;
    let local = this.selectors.get(key);
    if (local === undefined) this.selectors.set(key, (local = this.code.local("i32")));
    return local;
  }

  private name(item: Item, label: Label): void {
    if (item.kind === "node") {
      this.targets[item.node]!.push({ label });
      return;
    }
    const { heads } = item;
    for (const [value, head] of heads.entries()) {
      const selector = heads.length > 1 ? { selector: { local: this.selectorOf(heads), value } } : {};
      this.targets[head]!.push({ label, ...selector });
    }
  }

  private forget(item: Item): void {
    if (item.kind === "node") this.targets[item.node]!.pop();
    else for (const head of item.heads) this.targets[head]!.pop();
  }

  private targetOf(node: number): Target {
    const target = this.targets[node]!.at(-1);
    invariant(target !== undefined, "a label names each target", node);
    return target;
  }

  private goTo(node: number): void {
    const { label, selector } = this.targetOf(node);
    if (selector) {
      this.code.i32(selector.value);
      this.code.localSet(selector.local);
    }
    this.code.br(label);
  }

  // Nodes

  private emitNode(node: number): void {
    if (node === this.dispatch) this.emitDispatch();
    else if (node === this.lookup) this.emitLookup();
    else this.emitBlock(node);
  }

  private emitDispatch(): void {
    const { code, region, locals } = this;
    const stubs = region.entries.filter((entry) => this.targetOf(entry).selector !== undefined);
    const labels = new Map<number, Label>();
    for (const entry of stubs) labels.set(entry, code.block());
    code.localGet(locals.entry);
    const all = region.entries.map((entry) => labels.get(entry) ?? this.targetOf(entry).label);
    code.brTable(all.slice(0, -1), all.at(-1)!);
    for (const entry of stubs.reverse()) {
      code.end();
      this.goTo(entry);
    }
  }

  /** Goes to the entry of this function that `target` is, or out. As the interpreter does, by way of the fetch TLB. */
  private emitLookup(): void {
    const { code, locals } = this;
    const target = local("i64", locals.target);
    locals.release();
    const out = code.block();
    const entry = locals.take("i32");
    emit(code, tlbEntry(this.state("TLB_FETCH"), target));
    code.localTee(entry.index);
    code.memory("i64_load", 0, 3);
    // A misaligned target is not equal to any tag.
    emit(code, and(target, ~0xffcn));
    code.op("i64_ne");
    code.brIf(out);
    const host = locals.take("i32");
    emit(code, add(wrap(target), this.at(entry, 8)));
    code.localSet(host.index);
    const slot = locals.take("i32");
    emit(code, JumpCache.address(host));
    code.localSet(slot.index);
    const isOurs = or(xor(this.at(slot, JumpCache.HOST), host), xor(this.at(slot, JumpCache.SLOT), this.slot));
    emit(code, isOurs);
    code.brIf(out);
    const mappedAlike = sub(target, this.wideAt(slot, JumpCache.PLACE));
    emit(code, { op: "ne", type: "i32", args: [mappedAlike, locals.pcBase] });
    code.brIf(out);
    emit(code, this.at(slot, JumpCache.ENTRY));
    code.localSet(locals.entry);
    this.goTo(this.dispatch);
    code.end();
    code.i32(RegionExit.NEXT);
    code.localSet(locals.result);
    code.br(this.exit);
  }

  private emitBlock(index: number): void {
    const { code, region, locals, context } = this;
    const block = region.blocks[index]!;
    const { start, instructions, ending } = block;
    const count = instructions.length;
    context.flags = this.inherited.get(index) ?? UNKNOWN;
    context.numbers = new Map(this.inheritedNumbers.get(index));

    code.localGet(locals.left);
    code.i32(count);
    code.op("i32_sub");
    code.localTee(locals.left);
    code.i32(0);
    code.op("i32_lt_s");
    code.unlikely();
    code.if();
    this.leave(RegionExit.FINISH, start, count);
    code.end();

    for (const [i, instruction] of instructions.entries()) {
      this.place = start + i * 4;
      this.uncounted = count - i;
      const mark = code.mark();
      const { flags } = context;
      try {
        context.translate(instruction, this.place);
      } catch (error) {
        if (!(error instanceof NotTranslated)) throw error;
        code.rewind(mark);
        context.flags = flags;
        this.leave(RegionExit.STEP, this.place, this.uncounted);
        return;
      }
    }
    this.uncounted = 0;
    switch (ending.kind) {
      case "fall":
        this.edge(ending.next);
        return;
      case "transfer":
        return;
      case "jump":
        context.settleFlags();
        this.goTo(this.lookup);
        return;
      default: {
        const { branchCondition } = context;
        if (branchCondition && ending.next !== undefined) {
          emit(code, branchCondition);
          code.if();
          this.edge(ending.target);
          code.end();
          this.edge(ending.next);
        } else this.edge(ending.target);
      }
    }
  }

  /** Goes from the end of the present block to a place. */
  private edge(to: number): void {
    const { region, context } = this;
    const block = region.byStart.get(to);
    if (block === undefined) {
      this.leave(region.leaving.has(to) ? RegionExit.STEP : RegionExit.NEXT, to, 0);
      return;
    }
    if (pageOf(to) !== pageOf(this.place)) this.checkPage(to);
    if (this.soleSource[block]) {
      this.inherited.set(block, context.flags);
      this.inheritedNumbers.set(block, new Map(context.numbers));
    } else context.settleFlags();
    this.goTo(block);
  }

  /** Leaves for `to` unless the fetch TLB has its page where it was. */
  private checkPage(to: number): void {
    const { code, locals } = this;
    const page = pageOf(to);
    const tag = add(locals.pcBase, i64(page));
    const entry = locals.take("i32");
    emit(code, tlbEntry(this.state("TLB_FETCH"), tag));
    code.localTee(entry.index);
    code.memory("i64_load", 0, 3);
    emit(code, tag);
    code.op("i64_ne");
    emit(code, ne(add(this.at(entry, 8), wrap(tag)), i32(this.region.pages.get(page)!)));
    code.op("i32_or");
    code.unlikely();
    code.if();
    this.leave(RegionExit.NEXT, to, 0);
    code.end();
  }

  /** Leaves the function: the state's PC becomes `place`, and `uncounted` instructions have not been executed. */
  private leave(exit: number, place: number, uncounted: number): void {
    const { code, locals, context } = this;
    context.settleFlags();
    if (uncounted > 0) {
      code.localGet(locals.left);
      code.i32(uncounted);
      code.op("i32_add");
      code.localSet(locals.left);
    }
    emit(code, add(locals.pcBase, i64(place)));
    code.localSet(locals.target);
    code.i32(exit);
    code.localSet(locals.result);
    code.br(this.exit);
  }

  /** Leaves the function by way of a helper, which does the present instruction and counts it. */
  private transfer(helper: string, args: readonly Expr[]): void {
    const { code, transfers } = this;
    const [argument] = args;
    invariant(args.length < 2 && argument?.type !== "i64", "a transfer's helper has at most one i32", helper);
    let number = transfers.indexOf(helper);
    if (number < 0) number = transfers.push(helper) - 1;
    this.transferLocals ??= { which: code.local("i32"), argument: code.local("i32") };
    code.i32(number + 1);
    code.localSet(this.transferLocals.which);
    if (argument) {
      this.transferArguments.add(helper);
      emit(code, argument);
      code.localSet(this.transferLocals.argument);
    }
    this.leave(RegionExit.STEP, this.place, this.uncounted);
  }

  /** At the common exit, the state complete: the helper of a transfer. What it does not do is the interpreter's. */
  private emitTransfers(): void {
    const { code, locals, transferLocals } = this;
    if (!transferLocals) return;
    for (const [number, helper] of this.transfers.entries()) {
      const hasArgument = this.transferArguments.has(helper);
      code.localGet(transferLocals.which);
      code.i32(number + 1);
      code.op("i32_eq");
      code.if();
      code.i32(RegionExit.CHANGED);
      code.i32(RegionExit.STEP);
      code.localGet(locals.base);
      if (hasArgument) code.localGet(transferLocals.argument);
      this.callHelper(helper, hasArgument ? ["i32"] : [], "i32");
      code.op("select");
      code.localSet(locals.result);
      code.end();
    }
  }

  // Beginning and end

  private emitPrologue(): void {
    const { locals } = this;
    const code = new CodeWriter(0);
    const load = (index: number, op: "i32_load" | "i64_load", offset: number) => {
      code.localGet(locals.base);
      code.memory(op, offset, op === "i32_load" ? 2 : 3);
      code.localSet(index);
    };
    load(locals.left, "i32_load", offsetOf("BUDGET"));
    for (const [name, { index }] of locals.tlbs) load(index, "i32_load", offsetOf(name));
    if (locals.usesFlags) {
      load(locals.flagIndices.a, "i64_load", offsetOf("NZCV_A"));
      load(locals.flagIndices.b, "i64_load", offsetOf("NZCV_B"));
      load(locals.flagIndices.kind, "i32_load", offsetOf("NZCV_KIND"));
    }
    for (const [slot, { index }] of locals.generals) load(index, "i64_load", slot * 8);
    for (const [n, { index }] of locals.vectors) {
      code.localGet(locals.base);
      code.simdMemory("v128_load", offsetOf("V0") + n * 16, 3);
      code.localSet(index);
    }
    this.code.begin(code);
  }

  private emitExit(): void {
    const { code, locals } = this;
    const store = (index: number, op: "i32_store" | "i64_store", offset: number) => {
      code.localGet(locals.base);
      code.localGet(index);
      code.memory(op, offset, op === "i32_store" ? 2 : 3);
    };
    store(locals.left, "i32_store", offsetOf("BUDGET"));
    store(locals.target, "i64_store", offsetOf("PC"));
    if (locals.usesFlags) {
      store(locals.flagIndices.a, "i64_store", offsetOf("NZCV_A"));
      store(locals.flagIndices.b, "i64_store", offsetOf("NZCV_B"));
      store(locals.flagIndices.kind, "i32_store", offsetOf("NZCV_KIND"));
    }
    for (const [slot, { index, written }] of locals.generals) if (written) store(index, "i64_store", slot * 8);
    for (const [n, { index, written }] of locals.vectors) {
      if (!written) continue;
      code.localGet(locals.base);
      code.localGet(index);
      code.simdMemory("v128_store", offsetOf("V0") + n * 16, 3);
    }
    this.emitTransfers();
  }

  private callHelper(name: string, params: readonly ExprType[], result: ExprType): void {
    let call = this.calls.get(name);
    if (!call) {
      const type = this.module.type({ params: ["i32", ...params], results: [result] });
      this.calls.set(name, (call = { slot: helperSlot(name), type }));
    }
    this.code.i32(call.slot);
    this.code.callIndirect(call.type, 0);
  }

  private state(name: "TLB_FETCH"): Expr {
    return this.at(local("i32", this.locals.base), offsetOf(name));
  }

  private at(address: Expr, offset: number): Expr {
    return leaf("i32", (code) => {
      emit(code, address);
      code.memory("i32_load", offset, 2);
    });
  }

  private wideAt(address: Expr, offset: number): Expr {
    return leaf("i64", (code) => {
      emit(code, address);
      code.memory("i64_load32_s", offset, 2);
    });
  }
}
