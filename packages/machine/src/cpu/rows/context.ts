/**
 * What the meaning of an instruction is built with: the machine as a row sees it. The interpreter generator and the
 * translator implement it.
 *
 * Rules for authors of rows:
 *  1. A value field is never tested with a JavaScript `if`; shape fields are plain numbers and may be.
 *  2. Anything used twice, or used after a register write, goes through `tmp`.
 *  3. Commit rule: accesses that can fault come before the first register write; write-back of the base comes last. Then
 *     the registers are the architectural state at every instruction boundary, and exceptions are precise.
 *  4. Register 31 has two readers: `get` (zero) and `getsp` (stack pointer). The row says which.
 *  5. `sf` 0 means i32 nodes and zero extension at the write; 1 means i64 nodes.
 */
import type { RegName } from "../state.js";
import type { Expr, ExprType, Field } from "./expr.js";
import type { Sum } from "./sum-flags.js";

/** A data access. */
export interface DataAccess {
  /** Bytes of the whole access: 1 to 64. */
  readonly size: number;
  /** Alignment that SCTLR_ELx.A asks for, bytes; the default is `size`. Pairs have their element's. */
  readonly align?: number;
  /** `Access` flags, besides READ and WRITE. */
  readonly flags?: number;
}

/** Names of the tables in the engine's part of the memory. */
export type TableName = "bitmask" | "crc32" | "crc32c";

/** A vector register: a field of five bits, or a node whose low five bits are its number. */
export type VectorRegister = Expr;

export interface Context {
  // Registers
  /** Register `r`, 31 = zero. */
  get(sf: number, r: Field): Expr;
  set(sf: number, r: Field, value: Expr): void;
  /** Register `r`, 31 = stack pointer. */
  getsp(sf: number, r: Field): Expr;
  setsp(sf: number, r: Field, value: Expr): void;
  /** Register `r | 1`: the second of a pair of the CASP kind. */
  getOdd(sf: number, r: Field): Expr;
  setOdd(sf: number, r: Field, value: Expr): void;
  /** X30 = `value`. */
  link(value: Expr): void;
  /** Evaluates now; the node returned may be used any number of times. */
  tmp(value: Expr): Expr;
  /** Address of this instruction. */
  pc(): Expr;
  /** A register of the state by its name, as i64. What an access must check is the row's to check. */
  special(name: RegName): Expr;
  setSpecial(name: RegName, value: Expr): void;
  /** An entry of a table: i64 of "bitmask", i32 of the CRC tables. */
  table(name: TableName, index: Expr): Expr;

  // Vector registers. Rows that use them say `fp: true`.
  /** Vn; with `q` 0 its low half, zeros above. */
  vector(n: VectorRegister, q?: number): Expr;
  /** Vd = `value` (v128); with `q` 0 its low half, zeros above. */
  setVector(d: VectorRegister, value: Expr, q?: number): void;
  /** The low 1, 2, 4 (zero extended to i32) or 8 (i64) bytes of Vn: Bn, Hn, Sn, Dn. */
  scalar(bytes: number, n: VectorRegister): Expr;
  /** The same as a write: the rest of the register becomes zero. */
  setScalar(bytes: number, d: VectorRegister, value: Expr): void;
  /** Lane `index` (i32) of Vn, typed as `scalar`; sign extended when `signed`. The index must be within the register. */
  lane(bytes: number, n: VectorRegister, index: Expr | number, signed?: boolean): Expr;
  /** The same as a write; the rest of the register stays. */
  setLane(bytes: number, d: VectorRegister, index: Expr | number, value: Expr): void;
  /** FPCR (i32). */
  fpcr(): Expr;
  /** FPSR |= `bits` (i32): cumulative flags. */
  raiseFpsr(bits: Expr): void;
  /** Calls a function of the interpreter's module (interpreter/functions.ts) by its name, with its parameters after `base`. */
  helper(name: string, result: ExprType, ...args: readonly Expr[]): Expr;
  /** `body` for i = 0 to `count` - 1, in order, as one loop. */
  repeat(count: number, body: (i: Expr) => void): void;

  // Flags
  /** NZCV of a - b, a + b, or of the logical result a. Operands are i32 or i64 and decide the width. */
  setFlags(kind: "sub" | "add", a: Expr, b: Expr): void;
  setFlags(kind: "logic", a: Expr): void;
  /** NZCV of a + b + carry in, when the sum is known. */
  setSumFlags(sum: Sum): void;
  /** NZCV = bits 31:28 of an i32. */
  setNzcv(packed: Expr): void;
  /** If `condition`: flags of a - b (or a + b), else bits 31:28 of `packed`. */
  setFlagsIf(condition: Expr, kind: "sub" | "add", a: Expr, b: Expr, packed: Expr): void;
  /** Whether condition code `cc` (i32, 4 bits) holds: 0 or 1. */
  condition(cc: Expr): Expr;

  // Memory: virtual addresses are i64; host addresses, good until the end of the instruction, are i32.
  /** The base register of an access, 31 = SP: it takes part in the SP alignment check. */
  base(n: Field): Expr;
  /** Where `size` bytes can be read. Faults here. */
  read(va: Expr, access: DataAccess): Expr;
  /** Stores the values (i32, i64; v128 of 8 or 16 bytes), each `size / values.length` bytes. Faults here, before anything is stored. */
  write(va: Expr, access: DataAccess, values: readonly Expr[]): void;
  /** Where `size` bytes can be read and written. Faults here. */
  modify(va: Expr, access: DataAccess): Expr;
  /** The `size` bytes at a host address (plus `offset`), sign or zero extended to `type`; v128 of 4, 8 or 16 bytes. */
  peek(host: Expr, size: number, type: ExprType, options?: { signed?: boolean; offset?: number }): Expr;
  poke(host: Expr, size: number, value: Expr, offset?: number): void;
  /** DC ZVA where it is a mere store that the TLB knows; everything else about it is left to `system`. */
  zeroBlock(va: Expr): void;
  /** Exclusive monitor: set to `host` and `size` bytes. */
  monitor(host: Expr, size: number): void;
  clearMonitor(): void;
  /** Whether the monitor holds exactly `host` and `size`: 0 or 1. */
  monitorHolds(host: Expr, size: number): Expr;

  // Control
  /** Runs `body` when the i32 is not zero. */
  when(condition: Expr, body: () => void): void;
  /** PC + offset (i32, bytes). Ends the instruction. */
  branch(offset: Expr): void;
  /** Goes to a virtual address. Ends the instruction. */
  jump(target: Expr, kind: "indirect" | "call" | "return"): void;
  /** Leaves the instruction to `EngineHost.system`. Nothing of it may have been done. */
  system(): void;
  /**
   * Ends the instruction by a helper function that does the whole of it over the PE's state: before the call the state is
   * complete, as for `EngineHost.system` (PC of this instruction, registers, flags, SP; BUDGET does not count it). A
   * result of 1: done, and counted in BUDGET; PC, registers, flags, SP, TLB pointers and checks of the state say where and
   * how to go on. 0: nothing was done, and the instruction is left to `system`.
   */
  transfer(helper: string, ...args: readonly Expr[]): void;
  /** A helper has changed the TLB pointers of the state; fetches from the current page may go on. */
  tlbChanged(): void;
}
