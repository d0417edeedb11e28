/**
 * What a row does whatever its operands are: its meaning run once over a context that only takes notes.
 */
import type { Context } from "../rows/context.js";
import { type Expr, type ExprType, type Field, leaf } from "../rows/expr.js";
import type { FieldPlace, Row } from "../rows/row.js";

export interface Effects {
  /** Always left to the interpreter: a system instruction without a meaning of its own. */
  readonly leaves: boolean;
  /** Needs NZCV as they were before. */
  readonly readsFlags: boolean;
  /** Sets NZCV, whatever they were. */
  readonly writesFlags: boolean;
  /** Branches, conditionally or not. */
  readonly branches: boolean;
  /** Its last act is an indirect branch of this kind. */
  readonly jumps: "indirect" | "call" | "return" | undefined;
  /** Is the work of a helper over the whole state. */
  readonly transfers: boolean;
  /** Writes X30 with the address of the next instruction. */
  readonly links: boolean;
}

const nothing = (type: ExprType): Expr => leaf(type, () => {});

class Notes implements Context {
  leaves = false;
  readsFlags = false;
  writesFlags = false;
  branches = false;
  jumps: Effects["jumps"];
  links = false;
  transfers = false;
  /** Conditions that the present place is under. */
  private depth = 0;

  get = (sf: number) => nothing(sf ? "i64" : "i32");
  getsp = this.get;
  getOdd = this.get;
  set = () => {};
  setsp = () => {};
  setOdd = () => {};
  link = () => {
    this.links = true;
  };
  tmp = (value: Expr) => nothing(value.type);
  pc = () => nothing("i64");
  special = () => nothing("i64");
  setSpecial = () => {};
  table = (name: string) => nothing(name === "bitmask" ? "i64" : "i32");
  vector = () => nothing("v128");
  setVector = () => {};
  scalar = (bytes: number) => nothing(bytes === 8 ? "i64" : "i32");
  setScalar = () => {};
  lane = (bytes: number) => nothing(bytes === 8 ? "i64" : "i32");
  setLane = () => {};
  fpcr = () => nothing("i32");
  raiseFpsr = () => {};
  helper = (_name: string, result: ExprType) => nothing(result);
  repeat = (_count: number, body: (i: Expr) => void) => body(nothing("i32"));

  private writes(): void {
    if (this.depth === 0) this.writesFlags = true;
  }
  setFlags = () => this.writes();
  setSumFlags = () => this.writes();
  setNzcv = () => this.writes();
  setFlagsIf = () => this.writes();
  condition = () => {
    this.readsFlags = true;
    return nothing("i32");
  };

  base = () => nothing("i64");
  read = () => nothing("i32");
  write = () => {};
  modify = () => nothing("i32");
  peek = (_host: Expr, _size: number, type: ExprType) => nothing(type);
  poke = () => {};
  zeroBlock = () => {};
  monitor = () => {};
  clearMonitor = () => {};
  monitorHolds = () => nothing("i32");

  when = (_condition: Expr, body: () => void) => {
    this.depth++;
    body();
    this.depth--;
  };
  branch = () => {
    this.branches = true;
  };
  jump = (_target: Expr, kind: "indirect" | "call" | "return") => {
    this.jumps = kind;
  };
  system = () => {
    if (this.depth === 0) this.leaves = true;
  };
  transfer = () => {
    if (this.depth === 0) this.transfers = true;
  };
  /** Regions have the pointers in locals. */
  tlbChanged = () => this.system();
}

export function effectsOf(
  row: Row,
  shape: Readonly<Record<string, number>>,
  fields: readonly (readonly [name: string, place: FieldPlace])[],
): Effects {
  const notes = new Notes();
  const operands = Object.fromEntries(
    fields.map(([name, { lo, width }]): [string, number | Field] => [
      name,
      shape[name] ?? { op: "leaf", type: "i32", emit: () => {}, lo, width },
    ]),
  );
  row.sem(notes, operands);
  const { leaves, readsFlags, writesFlags, branches, jumps, links, transfers } = notes;
  return { leaves, readsFlags, writesFlags, branches, jumps, links, transfers };
}
