/**
 * Objects over bytes: a class whose properties are the fields of a layout, reading and writing the granule itself. State
 * of the RMM lies in memory only: an instance is nothing but a view, and is asked for anew in each step (`Page.as`).
 */
import type { Field, Fields, FieldValue, Layout } from "@realmbox/abi";
import { addressOf, type Page } from "./views.js";

export interface Struct {
  /** Physical address of the structure's first byte, and its granule's frame number. */
  readonly addr: bigint;
  readonly frame: number;
  /** The bytes of the granule, in place. */
  readonly bytes: Uint8Array;
  /** The granule's views; `view` is its DataView. */
  readonly page: Page;
  readonly view: DataView;
  /** The structure as 32-bit words: what is at byte offset n, in word n / 4. */
  readonly words: Int32Array;
  /** The 64-bit word at a byte offset. */
  get64(offset: number): bigint;
  set64(offset: number, value: bigint): void;
}

export type StructOf<F extends Fields> = Struct & { -readonly [K in keyof F]: FieldValue<F[K]> };

/** A class with one accessor per field of `layout`. */
export function structClass<F extends Fields>(layout: Layout<F>): new (page: Page) => StructOf<F> {
  class View implements Struct {
    readonly frame: number;
    readonly bytes: Uint8Array;
    readonly page: Page;
    readonly view: DataView;
    readonly words: Int32Array;
    constructor(page: Page) {
      this.frame = page.frame;
      this.bytes = page.bytes;
      this.page = page;
      this.view = page.data;
      this.words = page.i32;
    }
    get addr(): bigint {
      return addressOf(this.frame);
    }
    get64(offset: number): bigint {
      return this.view.getBigUint64(offset, true);
    }
    set64(offset: number, value: bigint): void {
      this.view.setBigUint64(offset, value, true);
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
          return this.view.getUint8(offset);
        },
        set(value: number) {
          this.view.setUint8(offset, value);
        },
      };
    case "u32":
      return {
        get() {
          return this.view.getUint32(offset, true);
        },
        set(value: number) {
          this.view.setUint32(offset, value, true);
        },
      };
    case "u64":
      return {
        get() {
          return this.view.getBigUint64(offset, true);
        },
        set(value: bigint) {
          this.view.setBigUint64(offset, value, true);
        },
      };
    default:
      return {
        get() {
          return field.read(this.view, 0);
        },
        set(value) {
          field.write(this.view, 0, value);
        },
      };
  }
}
