/**
 * Assembles a WebAssembly module out of function bodies. Imports come first in the function index space, so they are
 * declared before any function. WebAssembly Core Specification 1.0, "Binary format, Modules".
 */
import { invariant } from "@realmbox/abi";
import { ByteWriter, type CodeWriter, ValueType, type ValueTypeName } from "./code.js";

const EXTERNAL_FUNCTION = 0;
const EXTERNAL_TABLE = 1;
const EXTERNAL_MEMORY = 2;
const FUNCTION_TYPE = 0x60;
const FUNCREF = 0x70;

/** Custom section of the branch hinting proposal. */
const BRANCH_HINTS = "metadata.code.branch_hint";

const SECTION = { type: 1, import: 2, function: 3, table: 4, export: 7, element: 9, code: 10, data: 11 } as const;

export interface Signature {
  readonly params: readonly ValueTypeName[];
  readonly results: readonly ValueTypeName[];
}

export class ModuleWriter {
  private readonly types: string[] = [];
  private readonly imports: { readonly module: string; readonly name: string; readonly type: number }[] = [];
  private readonly functions: {
    readonly type: number;
    body: Uint8Array | undefined;
    unlikely: readonly number[];
  }[] = [];
  private readonly exports: { readonly name: string; readonly index: number }[] = [];
  private readonly tables: { readonly module: string; readonly name: string; readonly min: number }[] = [];
  private readonly elements: { readonly table: number; readonly functions: readonly number[] }[] = [];
  private readonly ownTables: { readonly elements: number[]; export: string | undefined }[] = [];
  private readonly data: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  private memory: { readonly module: string; readonly name: string; readonly minPages: number } | undefined;

  /** The index of a function type; equal ones share it. */
  type({ params, results }: Signature): number {
    const key = `${params.join(",")}:${results.join(",")}`;
    const known = this.types.indexOf(key);
    return known >= 0 ? known : this.types.push(key) - 1;
  }

  importMemory(module: string, name: string, minPages: number): void {
    this.memory = { module, name, minPages };
  }

  importFunction(module: string, name: string, signature: Signature): number {
    invariant(this.functions.length === 0, "imports precede functions", name);
    return this.imports.push({ module, name, type: this.type(signature) }) - 1;
  }

  /** Imports a table of functions with at least `min` entries; its index. Before the module's own tables. */
  importTable(module: string, name: string, min: number): number {
    invariant(this.ownTables.length === 0, "imported tables precede the module's own", name);
    return this.tables.push({ module, name, min }) - 1;
  }

  /** Instantiation puts functions into a table, imported or not, from its beginning. */
  fillTable(table: number, functions: readonly number[]): void {
    this.elements.push({ table, functions });
  }

  /** A table of the module's own, with what `tableSlot` puts in; its index. Exported when it has a name. */
  declareTable(name?: string): number {
    return this.tables.length + this.ownTables.push({ elements: [], export: name }) - 1;
  }

  /** Reserves a function's index; `define` gives its body. */
  declare(signature: Signature): number {
    return this.imports.length + this.functions.push({ type: this.type(signature), body: undefined, unlikely: [] }) - 1;
  }

  /** Gives a declared function its body; the bytes that it has. */
  define(index: number, code: CodeWriter): number {
    const entry = this.functions[index - this.imports.length];
    invariant(entry !== undefined && entry.body === undefined, "function is declared and has no body", index);
    entry.body = code.body().slice();
    entry.unlikely = code.unlikelyOffsets();
    return entry.body.length;
  }

  exportFunction(name: string, index: number): void {
    this.exports.push({ name, index });
  }

  /** Appends a function to a table of the module's own; its slot. */
  tableSlot(table: number, functionIndex: number): number {
    const own = this.ownTables[table - this.tables.length];
    invariant(own !== undefined, "the table is the module's own", table);
    return own.elements.push(functionIndex) - 1;
  }

  /** Bytes that instantiation copies to `offset`. */
  dataSegment(offset: number, bytes: Uint8Array): void {
    this.data.push({ offset, bytes });
  }

  build(): Uint8Array {
    const out = new ByteWriter();
    out.bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    const section = (id: keyof typeof SECTION, count: number, write: (body: ByteWriter) => void) => {
      if (count === 0) return;
      const body = new ByteWriter();
      body.u32(count);
      write(body);
      out.u8(SECTION[id]);
      out.u32(body.length);
      out.bytes(body.result());
    };
    const split = (names: string) => (names === "" ? [] : (names.split(",") as ValueTypeName[]));
    section("type", this.types.length, (body) => {
      for (const key of this.types) {
        body.u8(FUNCTION_TYPE);
        for (const names of key.split(":").map(split)) {
          body.u32(names.length);
          for (const name of names) body.u8(ValueType[name]);
        }
      }
    });
    section("import", this.imports.length + this.tables.length + (this.memory ? 1 : 0), (body) => {
      if (this.memory) {
        body.text(this.memory.module);
        body.text(this.memory.name);
        body.u8(EXTERNAL_MEMORY);
        body.u8(0);
        body.u32(this.memory.minPages);
      }
      for (const { module, name, min } of this.tables) {
        body.text(module);
        body.text(name);
        body.u8(EXTERNAL_TABLE);
        body.u8(FUNCREF);
        body.u8(0);
        body.u32(min);
      }
      for (const { module, name, type } of this.imports) {
        body.text(module);
        body.text(name);
        body.u8(EXTERNAL_FUNCTION);
        body.u32(type);
      }
    });
    section("function", this.functions.length, (body) => {
      for (const { type } of this.functions) body.u32(type);
    });
    section("table", this.ownTables.length, (body) => {
      for (const { elements } of this.ownTables) {
        body.u8(FUNCREF);
        body.u8(1);
        body.u32(elements.length);
        body.u32(elements.length);
      }
    });
    const exported = this.ownTables.flatMap(({ export: name }, i) => (name === undefined ? [] : [{ name, i }]));
    section("export", this.exports.length + exported.length, (body) => {
      for (const { name, i } of exported) {
        body.text(name);
        body.u8(EXTERNAL_TABLE);
        body.u32(this.tables.length + i);
      }
      for (const { name, index } of this.exports) {
        body.text(name);
        body.u8(EXTERNAL_FUNCTION);
        body.u32(index);
      }
    });
    const own = this.ownTables.map(({ elements }, i) => ({ table: this.tables.length + i, functions: elements }));
    const filled = [...this.elements, ...own];
    section("element", filled.length, (body) => {
      for (const { table, functions } of filled) {
        // Active, of a table by its index, function indices.
        body.u32(2);
        body.u32(table);
        body.u8(0x41);
        body.s32(0);
        body.u8(0x0b);
        body.u8(0);
        body.u32(functions.length);
        for (const index of functions) body.u32(index);
      }
    });
    const hinted = this.functions.flatMap(({ unlikely }, i) =>
      unlikely.length > 0 ? [{ index: i + this.imports.length, unlikely }] : [],
    );
    if (hinted.length > 0) {
      const body = new ByteWriter();
      body.text(BRANCH_HINTS);
      body.u32(hinted.length);
      for (const { index, unlikely } of hinted) {
        body.u32(index);
        body.u32(unlikely.length);
        for (const offset of unlikely) {
          body.u32(offset);
          body.u8(1);
          body.u8(0);
        }
      }
      out.u8(0);
      out.u32(body.length);
      out.bytes(body.result());
    }
    section("code", this.functions.length, (body) => {
      for (const [i, { body: code }] of this.functions.entries()) {
        invariant(code !== undefined, "every declared function has a body", i + this.imports.length);
        body.u32(code.length);
        body.bytes(code);
      }
    });
    section("data", this.data.length, (body) => {
      for (const { offset, bytes } of this.data) {
        body.u32(0);
        body.u8(0x41);
        body.s32(offset);
        body.u8(0x0b);
        body.u32(bytes.length);
        body.bytes(bytes);
      }
    });
    return out.result().slice();
  }
}
