/** The locals of a region's function: which registers it uses and writes is known when it has been emitted. */
import { type Expr, type ExprType, emit, i32, type Local, local } from "../rows/expr.js";
import { bitmaskImmediate } from "../rows/text.js";
import type { CodeWriter } from "../wasm/code.js";

/** Parameters: the PE's state, which entry, the virtual address of the root's page. */
export const PARAMETERS = ["i32", "i32", "i64"] as const;

interface RegisterLocal {
  readonly index: number;
  readonly value: Local;
  written: boolean;
}

type TlbName = `TLB_${"READ" | "WRITE"}${"" | "_U"}`;
const TLB_NAMES = { READ: ["TLB_READ", "TLB_READ_U"], WRITE: ["TLB_WRITE", "TLB_WRITE_U"] } as const;
type Held = "a" | "b" | "result" | "condition";

export class FunctionLocals {
  readonly base = 0;
  readonly entry = 1;
  readonly pcBaseIndex = 2;
  readonly pcBase = local("i64", 2);
  /** i32: counts left. */
  readonly left: number;
  /** i64: where an indirect branch or an exit goes. */
  readonly target: number;
  /** i32: what the function returns. */
  readonly result: number;
  /** Whether the flags' locals are in use. */
  usesFlags = false;
  /** Pointers of the software TLB that are in use, by their names in the state. */
  readonly tlbs = new Map<TlbName, { readonly index: number; readonly value: Local }>();
  readonly generals = new Map<number, RegisterLocal>();
  readonly vectors = new Map<number, RegisterLocal>();
  readonly flagIndices: { readonly a: number; readonly b: number; readonly kind: number };
  readonly flagA: Local;
  readonly flagB: Local;
  readonly flagKind: Local;

  private readonly code: CodeWriter;
  private readonly held = new Map<string, Local>();
  private readonly pool: Record<ExprType, Local[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  private readonly used: Record<ExprType, number> = { i32: 0, i64: 0, f32: 0, f64: 0, v128: 0 };
  private readonly numbers = new Map<string, Local>();

  constructor(code: CodeWriter) {
    this.code = code;
    this.left = code.local("i32");
    this.target = code.local("i64");
    this.result = code.local("i32");
    this.flagIndices = { a: code.local("i64"), b: code.local("i64"), kind: code.local("i32") };
    this.flagA = local("i64", this.flagIndices.a);
    this.flagB = local("i64", this.flagIndices.b);
    this.flagKind = local("i32", this.flagIndices.kind);
  }

  private register(map: Map<number, RegisterLocal>, slot: number, type: "i64" | "v128"): RegisterLocal {
    let known = map.get(slot);
    if (!known) {
      const index = this.code.local(type);
      known = { index, value: local(type, index), written: false };
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

  /** The local of a vector register's low part as a number. */
  number(n: number, type: "f32" | "f64"): Local {
    const key = `${n} ${type}`;
    let known = this.numbers.get(key);
    if (!known) this.numbers.set(key, (known = local(type, this.code.local(type))));
    return known;
  }

  /** The array that an access looks in. */
  tlb(kind: "READ" | "WRITE", unprivileged: boolean): Expr {
    const name = TLB_NAMES[kind][unprivileged ? 1 : 0];
    let known = this.tlbs.get(name);
    if (!known) {
      const index = this.code.local("i32");
      known = { index, value: local("i32", index) };
      this.tlbs.set(name, known);
    }
    return known.value;
  }

  touchFlags(): void {
    this.usesFlags = true;
  }

  /** Keeps an operand of the flags until others are set; 64-bit ones in the locals of the state's form. */
  hold(code: CodeWriter, name: Held, value: Expr): Expr {
    if (value.op === "const") return value;
    const isCanonical = value.type === "i64" && (name === "a" || name === "b");
    const index = isCanonical ? this.flagIndices[name as "a" | "b"] : this.heldLocal(name, value.type).index;
    emit(code, value);
    code.localSet(index);
    return local(value.type, index);
  }

  private heldLocal(name: Held, type: ExprType): Local {
    const key = `${name} ${type}`;
    let known = this.held.get(key);
    if (!known) this.held.set(key, (known = local(type, this.code.local(type))));
    return known;
  }

  /** Sets the locals that have the state's form. */
  setFlagLocals(code: CodeWriter, a: Expr, b: Expr | undefined, kind: number): void {
    const { flagIndices } = this;
    this.setUnlessThere(code, flagIndices.a, a);
    if (b) this.setUnlessThere(code, flagIndices.b, b);
    emit(code, i32(kind));
    code.localSet(flagIndices.kind);
    this.usesFlags = true;
  }

  private setUnlessThere(code: CodeWriter, index: number, value: Expr): void {
    if (value.op === "local" && value.index === index) return;
    emit(code, value);
    code.localSet(index);
  }

  /** A local for the present instruction. */
  take(type: ExprType): Local {
    return (this.pool[type][this.used[type]++] ??= local(type, this.code.local(type)));
  }

  release(): void {
    const { used } = this;
    used.i32 = 0;
    used.i64 = 0;
    used.f32 = 0;
    used.f64 = 0;
    used.v128 = 0;
  }

  /** DecodeBitMasks of N:immr:imms. */
  bitmask(index: number): bigint {
    return bitmaskImmediate(index >> 12, (index >> 6) & 0x3f, index & 0x3f) ?? 0n;
  }
}
