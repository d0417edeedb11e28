/** The devices of a board as data: one row each. What a kind is, the file of that name in this folder says. */
interface RowOf<Kind extends string> {
  readonly kind: Kind;
  /** Unique on its board; snapshots store the device's state under it. */
  readonly name: string;
  readonly base: bigint;
  /** Answers Secure and Root accesses only; others find nothing there. */
  readonly trusted?: true;
}

export type DeviceRow =
  | (RowOf<"pl011"> & { readonly intid: number })
  | (RowOf<"sp804"> & { readonly intid: number })
  | (RowOf<"sp805"> & { readonly intid: number; readonly hz: number })
  /** `timers`: the names of the SP804s whose clocks it chooses, in order. */
  | (RowOf<"sp810"> & { readonly timers: readonly string[] })
  | (RowOf<"generic-watchdog"> & { readonly intid: number })
  | RowOf<"counter-control">
  | RowOf<"counter-read">
  /** `intids`: the interrupt of each frame's timer; there are as many frames. */
  | (RowOf<"memory-timers"> & { readonly intids: readonly number[] })
  | RowOf<"v2m-sysreg">
  | RowOf<"power-controller">
  | (RowOf<"nor-flash"> & { readonly size: number })
  | (RowOf<"empty-ecam"> & { readonly size: number });

/** The row of a kind. */
export type RowOfKind<Kind extends DeviceRow["kind"]> = Extract<DeviceRow, { readonly kind: Kind }>;
