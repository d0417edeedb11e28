/** The devices of a board as data: one row each. What a kind is, its file in this folder says. */
interface RowOf<Kind extends string> {
  readonly kind: Kind;
  /** Unique on its board; snapshots store the device's state under it. */
  readonly name: string;
  readonly base: bigint;
}

export type DeviceRow = RowOf<"pl011"> & { readonly intid: number };
