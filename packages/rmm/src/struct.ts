/**
 * Objects over bytes: a class whose properties are the fields of a layout, reading and writing the granule itself. State
 * of the RMM lies in memory only; an instance lives no longer than a step.
 */
import type { Field, Fields, FieldValue, Layout } from "@realmbox/abi";
import { viewsOf } from "./views.js";

export interface Struct {
  /** Physical address of the structure's first byte. */
  readonly addr: bigint;
  /** The bytes of the granule, in place. */
  readonly bytes: Uint8Array;
  /** A view in which the structure starts at `base`. */
  readonly view: DataView;
  readonly base: number;
  /** The 64-bit word at a byte offset. */
  get64(offset: number): bigint;
  set64(offset: number, value: bigint): void;
}

export type StructOf<F extends Fields> = Struct & { -readonly [K in keyof F]: FieldValue<F[K]> };

/** A class with one accessor per field of `layout`. */
export function structClass<F extends Fields>(layout: Layout<F>): new (addr: bigint, bytes: Uint8Array) => StructOf<F> {
  class View implements Struct {
    // `declare`: an instance is made several times per REC entry, and defining fields costs more than setting them.
    declare readonly addr: bigint;
    declare readonly bytes: Uint8Array;
    declare readonly view: DataView;
    declare readonly base: number;
    constructor(addr: bigint, bytes: Uint8Array) {
      this.addr = addr;
      this.bytes = bytes;
      this.view = viewsOf(bytes.buffer).data;
      this.base = bytes.byteOffset;
    }
    get64(offset: number): bigint {
      return this.view.getBigUint64(this.base + offset, true);
    }
    set64(offset: number, value: bigint): void {
      this.view.setBigUint64(this.base + offset, value, true);
    }
  }
  for (const [name, field] of Object.entries(layout.fields)) {
    Object.defineProperty(View.prototype, name, accessors(field));
  }
  return View as never;
}

/**
 * Getter and setter of a field. Words have accessors of their own, because a call that sees every kind of field is never
 * inlined (40 ns instead of 5).
 */
// biome-ignore lint/suspicious/noExplicitAny: fields of differing types have no narrower common type
function accessors(field: Field<any>): PropertyDescriptor & ThisType<Struct> {
  const { offset } = field;
  switch (field.kind) {
    case "u8":
      return {
        get() {
          return this.view.getUint8(this.base + offset);
        },
        set(value: number) {
          this.view.setUint8(this.base + offset, value);
        },
      };
    case "u32":
      return {
        get() {
          return this.view.getUint32(this.base + offset, true);
        },
        set(value: number) {
          this.view.setUint32(this.base + offset, value, true);
        },
      };
    case "u64":
      return {
        get() {
          return this.view.getBigUint64(this.base + offset, true);
        },
        set(value: bigint) {
          this.view.setBigUint64(this.base + offset, value, true);
        },
      };
    default:
      return {
        get() {
          return field.read(this.view, this.base);
        },
        set(value) {
          field.write(this.view, this.base, value);
        },
      };
  }
}
