/**
 * Layouts written once: registers by bit range, structures by offset. Reading, writing, trace output and documentation
 * all come from these tables. All structures are little-endian, as every interface of the stack is.
 */

/** A bit range of a 64-bit register, both ends included. */
export interface Bits {
  readonly hi: number;
  readonly lo: number;
  /** The range as a mask in place. */
  readonly mask: bigint;
  /** Extracts the field's value. */
  get(reg: bigint): bigint;
  /** Returns `reg` with the field replaced; bits of `value` beyond the field's width are dropped. */
  set(reg: bigint, value: bigint): bigint;
  /** The field alone, in place: `set(0n, value)`. */
  of(value: bigint | number): bigint;
}

/** The bits `hi:lo` of a register. */
export function bits(hi: number, lo: number): Bits {
  const width = (1n << BigInt(hi - lo + 1)) - 1n;
  const at = BigInt(lo);
  const mask = width << at;
  return {
    hi,
    lo,
    mask,
    get: (reg) => (reg >> at) & width,
    set: (reg, value) => (reg & ~mask) | ((value & width) << at),
    of: (value) => (BigInt(value) & width) << at,
  };
}

/** One bit of a register. */
export const bit = (n: number): Bits => bits(n, n);

/** A field of a structure: where it lies and how its bytes are read and written. */
export interface Field<T> {
  /** What it is, for whoever makes accessors of its own. */
  readonly kind: "u8" | "u16" | "u32" | "u64" | "i64" | "bytes" | "u64s";
  readonly offset: number;
  readonly size: number;
  read(view: DataView, base: number): T;
  write(view: DataView, base: number, value: T): void;
}

const number = (
  offset: number,
  size: 1 | 2 | 4,
  get: "getUint8" | "getUint16" | "getUint32",
  set: "setUint8" | "setUint16" | "setUint32",
): Field<number> => ({
  kind: size === 1 ? "u8" : size === 2 ? "u16" : "u32",
  offset,
  size,
  read: (view, base) => view[get](base + offset, true),
  write: (view, base, value) => view[set](base + offset, value, true),
});

export const u8 = (offset: number): Field<number> => number(offset, 1, "getUint8", "setUint8");
export const u16 = (offset: number): Field<number> => number(offset, 2, "getUint16", "setUint16");
export const u32 = (offset: number): Field<number> => number(offset, 4, "getUint32", "setUint32");

export const u64 = (offset: number): Field<bigint> => ({
  kind: "u64",
  offset,
  size: 8,
  read: (view, base) => view.getBigUint64(base + offset, true),
  write: (view, base, value) => view.setBigUint64(base + offset, value, true),
});

export const i64 = (offset: number): Field<bigint> => ({
  kind: "i64",
  offset,
  size: 8,
  read: (view, base) => view.getBigInt64(base + offset, true),
  write: (view, base, value) => view.setBigInt64(base + offset, value, true),
});

/** A fixed run of bytes. `read` copies; `write` pads with zeros and refuses a longer value. */
export const bytes = (offset: number, size: number): Field<Uint8Array> => ({
  kind: "bytes",
  offset,
  size,
  read: (view, base) => new Uint8Array(view.buffer, view.byteOffset + base + offset, size).slice(),
  write: (view, base, value) => {
    if (value.length > size) throw new RangeError(`${value.length} bytes do not fit in a field of ${size}`);
    const to = new Uint8Array(view.buffer, view.byteOffset + base + offset, size);
    to.fill(0);
    to.set(value);
  },
});

/** `count` consecutive 64-bit words. `write` pads with zeros and refuses more than `count`. */
export const u64s = (offset: number, count: number): Field<bigint[]> => ({
  kind: "u64s",
  offset,
  size: 8 * count,
  read: (view, base) => Array.from({ length: count }, (_, i) => view.getBigUint64(base + offset + 8 * i, true)),
  write: (view, base, value) => {
    if (value.length > count) throw new RangeError(`${value.length} words do not fit in a field of ${count}`);
    for (let i = 0; i < count; i++) view.setBigUint64(base + offset + 8 * i, value[i] ?? 0n, true);
  },
});

// biome-ignore lint/suspicious/noExplicitAny: a table of fields of differing types has no narrower common type
export type Fields = Readonly<Record<string, Field<any>>>;
export type FieldValue<F> = F extends Field<infer T> ? T : never;
export type Values<L extends Layout<Fields>> = { -readonly [K in keyof L["fields"]]: FieldValue<L["fields"][K]> };

/** A structure's layout: its name as the document prints it, its size in bytes, its fields. */
export interface Layout<F extends Fields> {
  readonly name: string;
  readonly size: number;
  readonly fields: F;
  /** Decodes every field of a structure that starts at `base` of `data`. */
  decode(data: Uint8Array, base?: number): { -readonly [K in keyof F]: FieldValue<F[K]> };
  /** A zero-filled structure with the given fields written. */
  encode(values: { readonly [K in keyof F]?: FieldValue<F[K]> }): Uint8Array;
}

/** Declares a structure; throws when two fields overlap or one lies outside `size`. */
export function layout<F extends Fields>(name: string, size: number, fields: F): Layout<F> {
  let end = 0;
  let last = "";
  for (const [key, field] of Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset)) {
    if (field.offset < end) throw new Error(`${name}: field ${key} overlaps ${last}`);
    end = field.offset + field.size;
    last = key;
    if (end > size) throw new Error(`${name}: field ${key} ends at ${end}, beyond the size ${size}`);
  }
  const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.byteLength);
  return {
    name,
    size,
    fields,
    decode(data, base = 0) {
      const view = viewOf(data);
      return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.read(view, base)])) as never;
    },
    encode(values) {
      const data = new Uint8Array(size);
      const view = viewOf(data);
      for (const [key, value] of Object.entries(values)) {
        if (value !== undefined) fields[key]!.write(view, 0, value);
      }
      return data;
    },
  };
}
