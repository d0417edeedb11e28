/**
 * Functions of the interpreter's module that rows call by name (`Context.helper`): what is too long to stand in every
 * handler. They work on the state and on their parameters, and call each other.
 */
import { invariant } from "@realmbox/abi";
import type { Expr, ExprType } from "../rows/expr.js";
import { CodeWriter } from "../wasm/code.js";
import type { ModuleWriter } from "../wasm/module.js";
import { EXCEPTION_HELPERS } from "./exception-helpers.js";
import { FP_HELPERS } from "./fp-helpers.js";
import { PAUTH_HELPERS } from "./pauth-helpers.js";
import { SIMD_HELPERS } from "./simd-helpers.js";
import { type Local, Statements } from "./statements.js";

/** Every function has the address of the PE's state before these parameters. */
export interface HelperFunction {
  readonly params: readonly ExprType[];
  readonly result: ExprType;
  /** Emits the statements; the node returned is the result. */
  readonly body: (s: HelperBody) => Expr;
}

export type HelperTable = Readonly<Record<string, HelperFunction>>;

/** Imported functions that helpers call, by index. */
export interface HelperImports {
  /** (base, operation, a, b, c) → result: `operate` of fp/operations.ts under the PE's FPCR and FPSR. */
  readonly operate: number;
}

/** A helper with its index in the module. */
export interface DeclaredFunction {
  readonly index: number;
  readonly definition: HelperFunction;
}

const BASE = 0;

/** The body of a helper: statements, its parameters, and calls of other helpers. */
export class HelperBody extends Statements {
  readonly imports: HelperImports;
  private readonly definition: HelperFunction;
  private readonly named: ReadonlyMap<string, DeclaredFunction>;

  constructor(
    code: CodeWriter,
    definition: HelperFunction,
    named: ReadonlyMap<string, DeclaredFunction>,
    imports: HelperImports,
  ) {
    super(code, BASE);
    this.imports = imports;
    this.definition = definition;
    this.named = named;
  }

  /** Parameter `i`, not counting the state's address. It is a local like others. */
  param(i: number): Local {
    return this.at(i + 1, this.definition.params[i]!);
  }

  /** Another helper's result: evaluated where the node is emitted. */
  helper(name: string, ...args: readonly Expr[]): Expr {
    const found = this.named.get(name);
    invariant(found !== undefined, "a helper function has this name", name);
    const { index, definition } = found;
    invariant(definition.params.join() === args.map(({ type }) => type).join(), "a helper is well typed", name);
    return this.call(index, definition.result, [this.at(BASE, "i32").value, ...args]);
  }
}

export const HELPERS: HelperTable = { ...SIMD_HELPERS, ...FP_HELPERS, ...PAUTH_HELPERS, ...EXCEPTION_HELPERS };

/** Adds the functions to a module. */
export function defineHelpers(module: ModuleWriter, imports: HelperImports): ReadonlyMap<string, DeclaredFunction> {
  const named = new Map<string, DeclaredFunction>();
  for (const [name, definition] of Object.entries(HELPERS)) {
    const index = module.declare({ params: ["i32", ...definition.params], results: [definition.result] });
    named.set(name, { index, definition });
  }
  for (const { index, definition } of named.values()) {
    const code = new CodeWriter(1 + definition.params.length);
    const body = new HelperBody(code, definition, named, imports);
    body.return(definition.body(body));
    code.op("unreachable");
    module.define(index, code);
  }
  return named;
}
