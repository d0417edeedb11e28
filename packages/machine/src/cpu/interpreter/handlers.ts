/**
 * The two places of a handler: `LoopContext` emits those of the interpreter's loop, `CalledContext` functions of their own
 * for rare rows.
 */
import { add, type Expr, emit, i32, leaf, sub, zext } from "../rows/expr.js";
import type { CodeWriter, Label } from "../wasm/code.js";
import { type Helpers, InterpreterContext, type TemporaryPool } from "./context.js";
import { emitCondition } from "./helpers.js";

/** Locals of the interpreter's loop, and the places that handlers end at. */
export interface LoopSites {
  /** i32: host address of the instruction. */
  readonly pointer: number;
  /** i64: PC minus `pointer`. */
  readonly pcOffset: number;
  /** i32: BUDGET less BUDGET_HELD, and less 1 during an instruction. */
  readonly left: number;
  /** i32: for `branchTo`, bytes from this instruction. */
  readonly branchOffset: number;
  /** i64: for `jumpTo`, the address. */
  readonly target: number;
  readonly branchTo: Label;
  readonly jumpTo: Label;
  /** Goes on where the state says. */
  readonly refetch: Label;
  /** Leaves the instruction to the host. */
  readonly toHost: Label;
}

/** Handlers in the loop. */
export class LoopContext extends InterpreterContext {
  private readonly sites: LoopSites;

  constructor(
    code: CodeWriter,
    helpers: Helpers,
    pool: TemporaryPool,
    locals: { base: number; insn: number },
    sites: LoopSites,
  ) {
    super(code, helpers, pool, locals);
    this.sites = sites;
  }

  pc(): Expr {
    const { pointer, pcOffset } = this.sites;
    return add(
      leaf("i64", (code) => code.localGet(pcOffset)),
      zext(leaf("i32", (code) => code.localGet(pointer))),
    );
  }

  branch(offset: Expr): void {
    emit(this.code, offset);
    this.code.localSet(this.sites.branchOffset);
    this.code.br(this.sites.branchTo);
  }

  jump(target: Expr): void {
    emit(this.code, target);
    this.code.localSet(this.sites.target);
    this.code.br(this.sites.jumpTo);
  }

  system(): void {
    this.code.br(this.sites.toHost);
  }

  /** Stores what is not in the state: BUDGET as between two instructions, and PC. */
  transfer(helper: string, ...args: readonly Expr[]): void {
    const { code } = this;
    const { left, refetch } = this.sites;
    this.storeState("BUDGET", add(add(this.left(), 1), this.loadState("BUDGET_HELD")));
    this.storeState("BUDGET_HELD", i32(0));
    this.storeState("PC", this.pc());
    emit(code, this.helper(helper, "i32", ...args));
    code.brIf(refetch);
    emit(code, sub(this.loadState("BUDGET"), 1));
    code.localSet(left);
    this.system();
  }

  /** Inline: conditional branches are too frequent for a call. */
  override condition(cc: Expr): Expr {
    return leaf("i32", (code) => emitCondition(code, this.base_, () => emit(code, cc)));
  }

  protected left(): Expr {
    return leaf("i32", (code) => code.localGet(this.sites.left));
  }

  protected afterSlowAccess(host: number): void {
    emit(this.code, sub(this.loadState("BUDGET"), 1));
    this.code.localSet(this.sites.left);
    this.code.localGet(host);
    this.code.op("i32_eqz");
    this.code.brIf(this.sites.refetch);
  }
}

/** What a function of a rare row returns. */
export const Called = {
  /** The state says where to go on: an exception has been taken. */
  REFETCH: 0,
  /** Done; the next instruction follows. BUDGET does not count this one yet. */
  DONE: 1,
  /** No row matches: the host's. */
  TO_HOST: 2,
} as const;

/** Functions (base, insn) → Called. PC and BUDGET are in the state. */
export class CalledContext extends InterpreterContext {
  pc(): Expr {
    return this.loadState("PC");
  }

  branch(): never {
    throw new Error("invariant broken: a rare row does not branch");
  }

  jump(): never {
    return this.branch();
  }

  system(): void {
    this.code.i32(Called.TO_HOST);
    this.code.op("return");
  }

  transfer(helper: string, ...args: readonly Expr[]): void {
    const { code } = this;
    emit(code, this.helper(helper, "i32", ...args));
    code.if();
    code.i32(Called.REFETCH);
    code.op("return");
    code.end();
    this.system();
  }

  protected left(): Expr {
    return sub(this.loadState("BUDGET"), 1);
  }

  protected afterSlowAccess(host: number): void {
    this.code.localGet(host);
    this.code.op("i32_eqz");
    this.code.if();
    this.code.i32(Called.REFETCH);
    this.code.op("return");
    this.code.end();
  }
}
