/**
 * Stage-2 translation tables of normal VMs: real descriptors in Non-secure memory, walked by the machine's MMU.
 * DDI 0487, "VMSAv8-64 translation table format descriptors" (4 KiB granule), with HCR_EL2.FWB = 1 (MemAttr encoding of
 * FEAT_S2FWB). Pages only; the Host does not make blocks.
 */
import { bit, bits, GRANULE_SIZE, invariant, rttEntryShift } from "@realmbox/abi";
import { isFault, type MemoryPort } from "@realmbox/machine";
import type { PageAllocator } from "./allocator.js";

/** Stage-2 descriptor fields. DDI 0487, "Stage 2 attribute fields". */
export const S2_DESC = {
  VALID: bit(0),
  TABLE_OR_PAGE: bit(1),
  MEM_ATTR: bits(5, 2), // with FWB: 0b0110 Normal Write-Back, whatever stage 1 says
  S2AP: bits(7, 6), // bit 6 read, bit 7 write
  SH: bits(9, 8),
  AF: bit(10),
  OA: bits(47, 12),
} as const;

const NORMAL_WB = 6n;
const INNER_SHAREABLE = 3n;
const TABLE = S2_DESC.VALID.mask | S2_DESC.TABLE_OR_PAGE.mask;
const ENTRIES = 512;

/**
 * Where the walk starts, and with how many concatenated tables, for an IPA width: as few levels as concatenation allows
 * (DDI 0487, "Concatenated translation tables"). The Host's choice for realms, too (RMI_REALM_CREATE).
 */
export function stage2Geometry(ipaBits: number): { readonly startLevel: number; readonly tables: number } {
  const startLevel = 4 - Math.floor((ipaBits - 8) / 9);
  const resolved = (4 - startLevel) * 9 + 12;
  return { startLevel, tables: ipaBits <= resolved ? 1 : 2 ** (ipaBits - resolved) };
}

export class Stage2 {
  readonly ipaBits: number;
  readonly startLevel: number;
  readonly tables: number;
  /** VTTBR_EL2.BADDR. */
  readonly root: bigint;
  readonly #allocator: PageAllocator;
  readonly #port: () => MemoryPort;
  /** Tables below the root, as page frame numbers, for the teardown. */
  readonly #nodes: number[] = [];

  private constructor(allocator: PageAllocator, port: () => MemoryPort, ipaBits: number, root: number) {
    const geometry = stage2Geometry(ipaBits);
    this.#allocator = allocator;
    this.#port = port;
    this.ipaBits = ipaBits;
    this.startLevel = geometry.startLevel;
    this.tables = geometry.tables;
    this.root = BigInt(root) << 12n;
  }

  /** Empty tables for an IPA space of `ipaBits`; undefined without memory. */
  static create(allocator: PageAllocator, port: () => MemoryPort, ipaBits: number): Stage2 | undefined {
    const { tables } = stage2Geometry(ipaBits);
    const root = allocator.allocContiguous(tables, "stage2");
    if (root === undefined) return undefined;
    const stage2 = new Stage2(allocator, port, ipaBits, root);
    stage2.#zero(stage2.root, tables * GRANULE_SIZE);
    return stage2;
  }

  /** The tables that a snapshot describes; their content is in the snapshot's memory. */
  static restore(
    allocator: PageAllocator,
    port: () => MemoryPort,
    state: { readonly ipaBits: number; readonly root: string; readonly nodes: readonly number[] },
  ): Stage2 {
    const stage2 = new Stage2(allocator, port, state.ipaBits, Number(BigInt(state.root) >> 12n));
    stage2.#nodes.push(...state.nodes);
    return stage2;
  }

  save(): { ipaBits: number; root: string; nodes: number[] } {
    return { ipaBits: this.ipaBits, root: this.root.toString(), nodes: [...this.#nodes] };
  }

  /**
   * Maps the page of `ipa` to `pa`. False when there is no page left for a table. The old entry must be invalid, or map
   * the same page: then the permission may be widened (no TLB maintenance is needed for either).
   */
  map(ipa: bigint, pa: bigint, writable: boolean): boolean {
    const at = this.#entry(ipa, true);
    if (at === undefined) return false;
    const s2ap = writable ? 3n : 1n;
    const descriptor =
      pa |
      TABLE |
      S2_DESC.MEM_ATTR.of(NORMAL_WB) |
      S2_DESC.S2AP.of(s2ap) |
      S2_DESC.SH.of(INNER_SHAREABLE) |
      S2_DESC.AF.mask;
    const old = this.#read(at);
    invariant((old & 1n) === 0n || S2_DESC.OA.get(old) === pa >> 12n, "stage-2 entry is not remapped", ipa);
    this.#write(at, descriptor);
    return true;
  }

  /** Whether the page of `ipa` is mapped, and for writing. */
  isMapped(ipa: bigint): { readonly writable: boolean } | undefined {
    const at = this.#entry(ipa, false);
    if (at === undefined) return undefined;
    const descriptor = this.#read(at);
    if ((descriptor & 1n) === 0n) return undefined;
    return { writable: (S2_DESC.S2AP.get(descriptor) & 2n) !== 0n };
  }

  /** Invalidates the entry of a page. True when it was valid: the caller then owes the TLB maintenance. */
  unmap(ipa: bigint): boolean {
    const at = this.#entry(ipa, false);
    if (at === undefined || (this.#read(at) & 1n) === 0n) return false;
    this.#write(at, 0n);
    return true;
  }

  /** All tables go back to the allocator. The caller invalidates the VMID's TLB entries. */
  destroy(): void {
    const root = Number(this.root >> 12n);
    for (let n = 0; n < this.tables; n++) this.#allocator.free(root + n, "stage2");
    for (const node of this.#nodes) this.#allocator.free(node, "stage2");
    this.#nodes.length = 0;
  }

  /** Physical address of the level-3 entry of an IPA; undefined when a table is missing and was not (or cannot be) made. */
  #entry(ipa: bigint, make: boolean): bigint | undefined {
    invariant(ipa >= 0n && ipa >> BigInt(this.ipaBits) === 0n, "IPA within the IPA space", ipa);
    // The start level's tables are consecutive: one array of up to 16 * 512 entries.
    let at = this.root + 8n * (ipa >> BigInt(rttEntryShift(this.startLevel)));
    for (let level = this.startLevel; level < 3; level++) {
      let descriptor = this.#read(at);
      if ((descriptor & 1n) === 0n) {
        if (!make) return undefined;
        const node = this.#allocator.alloc("stage2");
        if (node === undefined) return undefined;
        this.#nodes.push(node);
        const pa = BigInt(node) << 12n;
        this.#zero(pa, GRANULE_SIZE);
        descriptor = pa | TABLE;
        this.#write(at, descriptor);
      }
      const index = (ipa >> BigInt(rttEntryShift(level + 1))) & BigInt(ENTRIES - 1);
      at = (S2_DESC.OA.get(descriptor) << 12n) + 8n * index;
    }
    return at;
  }

  #read(at: bigint): bigint {
    const value = this.#port().read64(at);
    invariant(!isFault(value), "stage-2 table is Non-secure memory", at);
    return value;
  }

  #write(at: bigint, value: bigint): void {
    const fault = this.#port().write64(at, value);
    invariant(fault === undefined, "stage-2 table is Non-secure memory", at);
  }

  #zero(at: bigint, length: number): void {
    const fault = this.#port().zero(at, length);
    invariant(fault === undefined, "stage-2 table is Non-secure memory", at);
  }
}
