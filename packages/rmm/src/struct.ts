/**
 * Objects over bytes: a class whose properties are the fields of a layout, reading and writing the granule itself. State
 * of the RMM lies in memory only; an instance lives no longer than a step.
 */
import type { Fields, FieldValue, Layout } from "@realmbox/abi";

export interface Struct {
  /** Physical address of the structure's first byte. */
  readonly addr: bigint;
  /** The bytes of the granule, in place. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export type StructOf<F extends Fields> = Struct & { -readonly [K in keyof F]: FieldValue<F[K]> };

/** A class with one accessor per field of `layout`. */
export function structClass<F extends Fields>(layout: Layout<F>): new (addr: bigint, bytes: Uint8Array) => StructOf<F> {
  class View implements Struct {
    readonly addr: bigint;
    readonly bytes: Uint8Array;
    readonly view: DataView;
    constructor(addr: bigint, bytes: Uint8Array) {
      this.addr = addr;
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, layout.size);
    }
  }
  for (const [name, field] of Object.entries(layout.fields)) {
    Object.defineProperty(View.prototype, name, {
      get(this: View) {
        return field.read(this.view, 0);
      },
      set(this: View, value) {
        field.write(this.view, 0, value);
      },
    });
  }
  return View as never;
}
