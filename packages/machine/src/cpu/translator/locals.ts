/** The locals of a region's function: which registers it uses and writes is known when it has been emitted. */
import { type Expr, type ExprType, emit, i32, type Leaf, leaf } from "../rows/expr.js";
import { bitmaskImmediate } from "../rows/text.js";
import { offsetOf } from "../state.js";
import type { CodeWriter } from "../wasm/code.js";

/** Parameters: the PE's state, which entry, the virtual address of the root's page. */
export const PARAMETERS = ["i32", "i32", "i64"] as const;

interface RegisterLocal {
  readonly index: number;
  readonly value: Leaf;
  written: boolean;
}

type TlbName = `TLB_${"READ" | "WRITE"}${"" | "_U"}`;
type Held = "a" | "b" | "condition";

export class FunctionLocals {
  readonly base = 0;
  readonly entry = 1;
  readonly pcBaseIndex = 2;
  readonly pcBase: Leaf = leaf("i64", (code) => code.localGet(2));
  /** i32: counts left. */
  readonly left: number;
  /** i64: where an indirect branch or an exit goes. */
  readonly target: number;
  /** i32: what the function returns. */
  readonly result: number;
  /** Whether the flags' locals are in use. */
  usesFlags = false;
  /** Pointers of the software TLB that are in use, by their names in the state. */
  readonly tlbs = new Map<TlbName, { readonly index: number; readonly value: Leaf }>();
  readonly generals = new Map<number, RegisterLocal>();
  readonly vectors = new Map<number, RegisterLocal>();
  readonly flagIndices: { readonly a: number; readonly b: number; readonly kind: number };
  readonly flagA: Leaf;
  readonly flagB: Leaf;
  readonly flagKind: Leaf;

  private readonly code: CodeWriter;
  private readonly held = new Map<string, Leaf & { readonly index: number }>();
  private readonly pool = new Map<ExprType, number[]>();
  private readonly used = new Map<ExprType, number>();

  constructor(code: CodeWriter) {
    this.code = code;
    this.left = code.local("i32");
    this.target = code.local("i64");
    this.result = code.local("i32");
    this.flagIndices = { a: code.local("i64"), b: code.local("i64"), kind: code.local("i32") };
    this.flagA = this.read("i64", this.flagIndices.a);
    this.flagB = this.read("i64", this.flagIndices.b);
    this.flagKind = this.read("i32", this.flagIndices.kind);
  }

  private read(type: ExprType, index: number): Leaf {
    return leaf(type, (code) => code.localGet(index));
  }

  private register(map: Map<number, RegisterLocal>, slot: number, type: "i64" | "v128"): RegisterLocal {
    let known = map.get(slot);
    if (!known) {
      const index = this.code.local(type);
      known = { index, value: this.read(type, index), written: false };
      map.set(slot, known);
    }
    return known;
  }

  /** X0 to X30, or SP as 32. */
  general(slot: number): Expr {
    return this.register(this.generals, slot, "i64").value;
  }

  /** The local that a write goes to. */
  written(slot: number): number {
    const register = this.register(this.generals, slot, "i64");
    register.written = true;
    return register.index;
  }

  vector(n: number): Expr {
    return this.register(this.vectors, n, "v128").value;
  }

  writtenVector(n: number): number {
    const register = this.register(this.vectors, n, "v128");
    register.written = true;
    return register.index;
  }

  /** The array that an access looks in. */
  tlb(kind: "READ" | "WRITE", unprivileged: boolean): Expr {
    const name: TlbName = unprivileged ? `TLB_${kind}_U` : `TLB_${kind}`;
    let known = this.tlbs.get(name);
    if (!known) {
      const index = this.code.local("i32");
      known = { index, value: this.read("i32", index) };
      this.tlbs.set(name, known);
    }
    return known.value;
  }

  /** After a fill: the context's arrays may have been installed by it. */
  reloadTlb(code: CodeWriter): void {
    for (const [name, { index }] of this.tlbs) {
      code.localGet(this.base);
      code.memory("i32_load", offsetOf(name), 2);
      code.localSet(index);
    }
  }

  touchFlags(): void {
    this.usesFlags = true;
  }

  /** Keeps an operand of the flags until others are set; 64-bit ones in the locals of the state's form. */
  hold(code: CodeWriter, name: Held, value: Expr): Expr {
    if (value.op === "const") return value;
    const isCanonical = value.type === "i64" && name !== "condition";
    const index = isCanonical ? this.flagIndices[name as "a" | "b"] : this.heldLocal(name, value.type).index;
    emit(code, value);
    code.localSet(index);
    return this.read(value.type, index);
  }

  private heldLocal(name: Held, type: ExprType): { readonly index: number } {
    const key = `${name} ${type}`;
    let known = this.held.get(key);
    if (!known) {
      const index = this.code.local(type);
      known = { ...this.read(type, index), index };
      this.held.set(key, known);
    }
    return known;
  }

  /** Sets the locals that have the state's form; what they hold already is left. */
  setFlagLocals(code: CodeWriter, a: Expr, b: Expr | undefined, kind: number): void {
    const { flagIndices } = this;
    emit(code, a);
    code.localSet(flagIndices.a);
    if (b) {
      emit(code, b);
      code.localSet(flagIndices.b);
    }
    emit(code, i32(kind));
    code.localSet(flagIndices.kind);
    this.usesFlags = true;
  }

  /** A local for the present instruction. */
  take(type: ExprType): number {
    let locals = this.pool.get(type);
    if (!locals) this.pool.set(type, (locals = []));
    const n = this.used.get(type) ?? 0;
    this.used.set(type, n + 1);
    return (locals[n] ??= this.code.local(type));
  }

  release(): void {
    this.used.clear();
  }

  /** DecodeBitMasks of N:immr:imms. */
  bitmask(index: number): bigint {
    return bitmaskImmediate(index >> 12, (index >> 6) & 0x3f, index & 0x3f) ?? 0n;
  }
}
