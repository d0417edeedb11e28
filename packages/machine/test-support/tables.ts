/** Translation and granule protection tables for tests, written straight into memory. */
import type { Machine } from "../src/machine.js";

/** Descriptor bits, for tests that spell them. */
export const D = {
  TABLE: 3n,
  PAGE: 3n,
  BLOCK: 1n,
  AF: 1n << 10n,
  AP_EL0: 1n << 6n,
  AP_RO: 1n << 7n,
  NS: 1n << 5n,
  NSE: 1n << 11n,
  ATTR: (index: number) => BigInt(index) << 2n,
  PXN: 1n << 53n,
  UXN: 1n << 54n,
  S2_READ: 1n << 6n,
  S2_WRITE: 1n << 7n,
  S2_XN: 1n << 54n,
  S2_NS: 1n << 55n,
  /** Stage-2 memory types without FWB: Normal Write-Back, Device-nGnRnE. */
  S2_NORMAL: 0xfn << 2n,
  S2_DEVICE: 0n,
  PXN_TABLE: 1n << 59n,
  UXN_TABLE: 1n << 60n,
  AP_TABLE_NO_EL0: 1n << 61n,
  AP_TABLE_RO: 1n << 62n,
} as const;

export function poke(machine: Machine, pa: bigint, value: bigint): void {
  machine.memory.view.setBigUint64(machine.memory.host(Number(pa)), value, true);
}

export const peek = (machine: Machine, pa: bigint): bigint =>
  machine.memory.view.getBigUint64(machine.memory.host(Number(pa)), true);

/** Tables in a row of pages; every missing level is made when an address is mapped. */
export class Tables {
  readonly root: bigint;
  private next: bigint;
  private readonly machine: Machine;
  private readonly startLevel: number;

  constructor(
    machine: Machine,
    options: { readonly at: bigint; readonly startLevel?: number; readonly rootPages?: bigint },
  ) {
    this.machine = machine;
    this.root = options.at;
    this.next = options.at + 0x1000n * (options.rootPages ?? 1n);
    this.startLevel = options.startLevel ?? 0;
  }

  /** Writes `descriptor` for the address at a level; `tableBits` are set in the table descriptors on the way. */
  map(
    address: bigint,
    descriptor: bigint,
    options: { readonly level?: number; readonly tableBits?: bigint } = {},
  ): this {
    const { level = 3, tableBits = 0n } = options;
    let table = this.root;
    for (let at = this.startLevel; at < level; at++) {
      const entry = table + this.index(address, at) * 8n;
      if (peek(this.machine, entry) === 0n) {
        poke(this.machine, entry, this.next | D.TABLE | tableBits);
        this.next += 0x1000n;
      }
      table = peek(this.machine, entry) & 0xffff_ffff_f000n;
    }
    poke(this.machine, table + this.index(address, level) * 8n, descriptor);
    return this;
  }

  /** Where the descriptor of an address lies at a level. */
  entry(address: bigint, level: number): bigint {
    let table = this.root;
    for (let at = this.startLevel; at < level; at++) {
      table = peek(this.machine, table + this.index(address, at) * 8n) & 0xffff_ffff_f000n;
    }
    return table + this.index(address, level) * 8n;
  }

  private index(address: bigint, level: number): bigint {
    const bits = BigInt(39 - 9 * level);
    // The first level may be concatenated: up to 13 bits.
    const width = level === this.startLevel ? 13n : 9n;
    return (address & 0xffff_ffff_ffffn & ((1n << (bits + width)) - 1n)) >> bits;
  }
}

/** A GPT in Root memory: L0 at `at`, one L1 table per described GiB after it. GPIs by granule, default `rest`. */
export function writeGpt(
  machine: Machine,
  options: {
    readonly at: bigint;
    readonly rest: number;
    readonly ranges: readonly { base: bigint; size: bigint; gpi: number }[];
  },
): { gptbr: bigint } {
  const { at, rest, ranges } = options;
  for (let i = 0n; i < 64n; i++) poke(machine, at + i * 8n, (BigInt(rest) << 4n) | 1n);
  let table = at + 0x20000n;
  const tables = new Map<bigint, bigint>();
  for (const { base, size, gpi } of ranges) {
    for (let pa = base; pa < base + size; pa += 0x1000n) {
      const gib = pa >> 30n;
      let l1 = tables.get(gib);
      if (l1 === undefined) {
        l1 = table;
        table += 0x20000n;
        tables.set(gib, l1);
        const fill = BigInt(rest) * 0x1111_1111_1111_1111n;
        for (let i = 0n; i < 0x4000n; i++) poke(machine, l1 + i * 8n, fill);
        poke(machine, at + gib * 8n, l1 | 3n);
      }
      const entry = l1 + ((pa >> 16n) & 0x3fffn) * 8n;
      const shift = ((pa >> 12n) & 0xfn) * 4n;
      poke(machine, entry, (peek(machine, entry) & ~(0xfn << shift)) | (BigInt(gpi) << shift));
    }
  }
  return { gptbr: at >> 12n };
}
