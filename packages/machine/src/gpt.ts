/**
 * The granule protection check: FEAT_RME (RMEv1), 4 KiB granules, tables in memory. Every access of the machine passes
 * it with its physical address and PAS: data, fetches, table walks, ports of native firmware, Host-side devices.
 *
 * A look-up that ends in a GPI is remembered per granule until the GPT information is invalidated (TLBI PAALL, RPAOS,
 * RPALOS, a write to GPCCR_EL3 or GPTBR_EL3), as the architecture lets a PE do. Refusals by an invalid table are not
 * remembered. GPT fetches themselves are not checked.
 *
 * DDI 0487, "The Granule Protection Check Mechanism": "GPT entry formats", "Granule protection check faults" and their
 * priority, "GPCCR_EL3", "GPTBR_EL3".
 *
 * @spec DDI 0487, "The Granule Protection Check Mechanism": partial: PGS 16 KB and 64 KB are reserved values (the
 *   machine has no such granule sizes), no GPC2 and GPC3 fields
 */
import { bit, bits, Gpi, Pas } from "@realmbox/abi";
import type { Fault } from "./fault.js";
import { PAGE_SIZE, type PhysicalMemory } from "./memory.js";

/** GPCCR_EL3, Granule Protection Check Control Register. */
export const GPCCR = {
  PPS: bits(2, 0), // protected physical address size
  IRGN: bits(9, 8),
  ORGN: bits(11, 10),
  SH: bits(13, 12), // 1 is reserved
  PGS: bits(15, 14), // granule size: 0 = 4 KiB
  GPC: bit(16), // 1: checks are made
  GPCP: bit(17), // implemented as 0
  L0GPTSZ: bits(23, 20), // read-only: what one L0 entry covers
} as const;

/** The bits of GPCCR_EL3 that software can write on this machine. */
export const GPCCR_WRITABLE =
  GPCCR.PPS.mask | GPCCR.IRGN.mask | GPCCR.ORGN.mask | GPCCR.SH.mask | GPCCR.PGS.mask | GPCCR.GPC.mask;

/** GPTBR_EL3: bits 39:0 are PA[51:12] of the L0 table. */
export const GPTBR = { BADDR: bits(39, 0) } as const;

/** log2 of what one L0 entry covers on this machine: 1 GiB (GPCCR_EL3.L0GPTSZ = 0). */
export const L0_ENTRY_BITS = 30;

const GRANULE_BITS = 12;
const PPS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;

/** The protected physical address size that `bits` of physical address need, as GPCCR_EL3.PPS encodes it. */
export const ppsFor = (paBits: number): number => PPS_BITS.findIndex((size) => size >= paBits);

/** `check` allows the access. Everything else is REFUSED with a GPCSC: the code of ESR_EL3 for a GPC exception. */
export const GPC_OK = 0;
const REFUSED = 0x100;

/** ESR_EL3.GPCSC of a GPC exception, without the level in bit 0. DDI 0487, "ISS encoding for a GPC exception". */
export const GPCSC = { ADDRESS_SIZE: 0x00, WALK: 0x04, GPF: 0x0c, EXTERNAL: 0x14 } as const;

/** The granule protection fault or GPT fault behind a refusal of `check`. */
export function gpcFault(refusal: number, pa: number, pas: Pas): Fault {
  const gpcsc = refusal & 0x3f;
  const kind = {
    [GPCSC.ADDRESS_SIZE]: "gpt-address-size",
    [GPCSC.WALK]: "gpt-walk",
    [GPCSC.GPF]: "granule-protection",
    [GPCSC.EXTERNAL]: "gpt-external",
  } as const;
  return {
    fault: kind[(gpcsc & ~1) as keyof typeof kind],
    stage: 0,
    level: 0,
    gptLevel: gpcsc & 1,
    onWalk: false,
    s1ptw: false,
    pa: BigInt(pa),
    pas,
  };
}

/** Whether a granule with this GPI may be accessed in this PAS. DDI 0487, "GPI values". */
export const gpiPermits = (gpi: number, pas: Pas): boolean =>
  gpi === Gpi.ANY || ((gpi & 0xc) === GPI_OF_PAS && (gpi & 3) === pas);
/** A GPI that allows one PAS has that one's number in bits 1:0. */
const GPI_OF_PAS = 0x8;

const isValidGpi = (gpi: number): boolean =>
  gpi === Gpi.NO_ACCESS || (gpi >= Gpi.SECURE && gpi <= Gpi.REALM) || gpi === Gpi.ANY;

/** A remembered GPI: bit 7 set, bit 4 the level that gave it, bits 3:0 the GPI. */
const KNOWN = 0x80;
const LEVEL_1 = 0x10;

/**
 * Granule protection as one pair of values of GPCCR_EL3 and GPTBR_EL3 says. PEs with equal values share one object, and
 * so what it remembers.
 */
export class GranuleProtection {
  readonly enabled: boolean;
  /** Addresses from here on are outside of the protected space. */
  readonly limit: number;
  private readonly invalid: boolean;
  private readonly base: number;
  private readonly memory: PhysicalMemory;
  private readonly known: Uint8Array;

  constructor(memory: PhysicalMemory, { gpccr, gptbr, paBits }: { gpccr: bigint; gptbr: bigint; paBits: number }) {
    this.memory = memory;
    this.enabled = GPCCR.GPC.get(gpccr) === 1n;
    const size = PPS_BITS[Number(GPCCR.PPS.get(gpccr))];
    const sh = GPCCR.SH.get(gpccr);
    const cacheable = GPCCR.IRGN.get(gpccr) !== 0n || GPCCR.ORGN.get(gpccr) !== 0n;
    this.invalid =
      size === undefined || size > paBits || GPCCR.PGS.get(gpccr) !== 0n || sh === 1n || (!cacheable && sh !== 2n);
    const t = size ?? 32;
    this.limit = 2 ** t;
    // The base is aligned to the size of the L0 table, at least 4 KiB: lower bits are treated as zero.
    const align = 2 ** Math.max(t - L0_ENTRY_BITS + 3, GRANULE_BITS);
    const base = Number(GPTBR.BADDR.get(gptbr)) * PAGE_SIZE;
    this.base = base - (base % align);
    this.known = new Uint8Array(this.enabled ? memory.pageCount : 0);
  }

  /** Whether the granule of a page index (`PhysicalMemory.pageIndex`) is known to allow the access; false: ask `check`. */
  isKnown(page: number, pas: Pas): boolean {
    return !this.enabled || (this.known[page]! & ~LEVEL_1) === (KNOWN | GPI_OF_PAS | pas);
  }

  /** Whether the access is allowed: GPC_OK, or a refusal for `gpcFault`. The steps are the architecture's, in its order. */
  check(pa: number, pas: Pas): number {
    if (!this.enabled) return GPC_OK;
    const page = this.memory.pageIndex(pa);
    if (page >= 0) {
      const known = this.known[page]!;
      if (known !== 0) {
        if (gpiPermits(known & 0xf, pas)) return GPC_OK;
        return REFUSED | GPCSC.GPF | ((known & LEVEL_1) >> 4);
      }
    }
    if (this.invalid) return REFUSED | GPCSC.WALK;
    if (pa >= this.limit) return pas === Pas.NS ? GPC_OK : REFUSED | GPCSC.GPF;
    const found = this.lookUp(pa);
    if (found >= REFUSED) return found;
    if (page >= 0) this.known[page] = KNOWN | found;
    return gpiPermits(found & 0xf, pas) ? GPC_OK : REFUSED | GPCSC.GPF | ((found & LEVEL_1) >> 4);
  }

  /** Whether it is known that an access to a page of memory (`PhysicalMemory.pageIndex`) is allowed; if not, `check` knows. */
  permits(page: number, pas: Pas): boolean {
    if (!this.enabled) return true;
    const known = this.known[page]!;
    return known !== 0 && gpiPermits(known & 0xf, pas);
  }

  /** The GPI that the tables give for the granule at `pa`, or undefined when the walk fails. For tools and tests. */
  gpi(pa: number): Gpi | undefined {
    if (!this.enabled || this.invalid || pa >= this.limit) return undefined;
    const found = this.lookUp(pa);
    return found >= REFUSED ? undefined : ((found & 0xf) as Gpi);
  }

  /** Forgets what is known about [pa, pa + size), and what lies between: over-invalidation is allowed. */
  invalidate(pa: number, size: number): void {
    if (size > 2 ** 30) {
      this.known.fill(0);
      return;
    }
    for (let at = pa; at < pa + size; at += PAGE_SIZE) {
      const page = this.memory.pageIndex(at);
      if (page >= 0) this.known[page] = 0;
    }
  }

  /** Forgets one page, by its index. */
  forget(page: number): void {
    if (this.enabled) this.known[page] = 0;
  }

  invalidateAll(): void {
    this.known.fill(0);
  }

  /** Walks the tables: GPI with LEVEL_1 when level 1 gave it, or a refusal. */
  private lookUp(pa: number): number {
    if (this.base >= this.limit) return REFUSED | GPCSC.ADDRESS_SIZE;
    const { i32 } = this.memory;
    const l0 = this.memory.host(this.base + Math.floor(pa / 2 ** L0_ENTRY_BITS) * 8);
    if (l0 <= 0) return REFUSED | GPCSC.EXTERNAL;
    const lo = i32[l0 >>> 2]!;
    const hi = i32[(l0 >>> 2) + 1]!;
    const type = lo & 0xf;
    if (type === 1) {
      // Block: GPI in 7:4, the rest RES0.
      const gpi = (lo >> 4) & 0xf;
      return hi !== 0 || lo >>> 8 !== 0 || !isValidGpi(gpi) ? REFUSED | GPCSC.WALK : gpi;
    }
    // Table: L1 address in 51:12, of which the bits below the L1 table's size (128 KiB) are RES0.
    if (type !== 3 || (lo & 0x1_fff0) !== 0 || hi >>> 20 !== 0) return REFUSED | GPCSC.WALK;
    const table = hi * 2 ** 32 + ((lo & ~0xfff) >>> 0);
    if (table >= this.limit) return REFUSED | GPCSC.ADDRESS_SIZE;
    return this.lookUpLevel1(table, pa);
  }

  private lookUpLevel1(table: number, pa: number): number {
    const { i32 } = this.memory;
    // 16 granules an entry; `pa >>> 16` keeps bits 31:16, of which 29:16 are the index.
    const l1 = this.memory.host(table + ((pa >>> (GRANULE_BITS + 4)) & 0x3fff) * 8);
    if (l1 <= 0) return REFUSED | GPCSC.EXTERNAL | 1;
    const lo = i32[l1 >>> 2]!;
    const hi = i32[(l1 >>> 2) + 1]!;
    if ((lo & 0xf) === 1) {
      // Contiguous: GPI in 7:4, Contig in 9:8 (0 is reserved), the rest RES0.
      const gpi = (lo >> 4) & 0xf;
      const valid = hi === 0 && lo >>> 10 === 0 && (lo & 0x300) !== 0 && isValidGpi(gpi);
      return valid ? gpi | LEVEL_1 : REFUSED | GPCSC.WALK | 1;
    }
    // Granules: the entry is invalid if any of its sixteen GPIs is.
    for (let shift = 0; shift < 32; shift += 4) {
      if (!isValidGpi((lo >>> shift) & 0xf) || !isValidGpi((hi >>> shift) & 0xf)) return REFUSED | GPCSC.WALK | 1;
    }
    const i = (pa >>> GRANULE_BITS) & 0xf;
    return (((i < 8 ? lo : hi) >>> ((i & 7) * 4)) & 0xf) | LEVEL_1;
  }
}
