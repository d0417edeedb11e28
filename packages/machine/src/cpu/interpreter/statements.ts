/** Statements over expression nodes, for the parts of the interpreter that are not instructions. */
import { type Expr, type ExprType, emit, type IntType, leaf } from "../rows/expr.js";
import { offsetOf, type RegName } from "../state.js";
import type { CodeWriter, Label } from "../wasm/code.js";

/** A local of the function, readable as a node. */
export interface Local {
  readonly index: number;
  readonly value: Expr;
}

export class Statements {
  readonly code: CodeWriter;
  private readonly base: number;

  /** `base` is the local that holds the address of the PE's state. */
  constructor(code: CodeWriter, base: number) {
    this.code = code;
    this.base = base;
  }

  /** A parameter, or a local declared before. */
  at(index: number, type: ExprType): Local {
    return { index, value: leaf(type, (code) => code.localGet(index)) };
  }

  local(type: ExprType): Local {
    return this.at(this.code.local(type), type);
  }

  set(local: Local, value: Expr): void {
    emit(this.code, value);
    this.code.localSet(local.index);
  }

  /** A register of the state: its low half, or all of it. */
  load(name: RegName, type: IntType = "i32"): Expr {
    return leaf(type, (code) => {
      code.localGet(this.base);
      code.memory(`${type}_load`, offsetOf(name), 2);
    });
  }

  store(name: RegName, value: Expr): void {
    this.code.localGet(this.base);
    emit(this.code, value);
    this.code.memory(`${value.type as IntType}_store`, offsetOf(name), 2);
  }

  /** An aligned load from anywhere. */
  loadAt(address: Expr, type: IntType, offset = 0): Expr {
    return leaf(type, (code) => {
      emit(code, address);
      code.memory(`${type}_load`, offset, 2);
    });
  }

  /** The result of a function as a node: evaluated where the node is emitted, once. */
  call(index: number, type: ExprType, args: readonly Expr[]): Expr {
    return leaf(type, () => this.do(index, args));
  }

  /** Calls a function without a result. */
  do(index: number, args: readonly Expr[]): void {
    for (const arg of args) emit(this.code, arg);
    this.code.call(index);
  }

  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    emit(this.code, condition);
    this.code.if();
    then();
    if (otherwise) {
      this.code.else();
      otherwise();
    }
    this.code.end();
  }

  brIf(condition: Expr, label: Label): void {
    emit(this.code, condition);
    this.code.brIf(label);
  }

  return(value: Expr): void {
    emit(this.code, value);
    this.code.op("return");
  }
}
