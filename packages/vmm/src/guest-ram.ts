/**
 * Guest memory as the devices have it: the one way by which a back end reads and writes what the guest shows it. All
 * accesses go through the address space of the VMM's process on the Host, and from there through the Host's Non-secure
 * port, where they are counted and checked like every access of the Host.
 *
 * - A normal VM shows all of its RAM.
 * - A realm shows what it has made shared. A page that it keeps private is refused here; if it were not, the VMM would find
 *   the page's shared half, which is other memory: private content is not reachable by this way at all.
 *
 * Addresses are IPAs as a driver writes them into queues. A realm's may carry the top IPA bit, the unprotected alias under
 * which the guest itself maps shared pages: Linux gives plain IPAs in 6.13 and aliases in later versions.
 */
import { invariant } from "@realmbox/abi";
import type { Process } from "@realmbox/host";
import type { MemoryRange } from "./loader/placement.js";

/** Why a device may not access an address. */
export type RamRefusal =
  /** Not all of it is RAM. */
  | "outside-ram"
  /** A page that the realm keeps private. */
  | "private"
  /** The Host refused: no page is left. */
  | "host-refused";

export interface GuestRamOptions {
  readonly ram: MemoryRange;
  readonly ipaBits: number;
  readonly realm: boolean;
}

/** Accesses of all devices since the start. */
export interface GuestRamCounters {
  reads: number;
  writes: number;
  bytesRead: number;
  bytesWritten: number;
  refused: number;
}

export interface GuestRamState {
  /** Runs of shared pages of a realm: first page of RAM, count. */
  readonly shared: readonly (readonly [number, number])[];
  readonly counters: GuestRamCounters;
}

/** What of the VMM's process is needed. */
export type ProcessMemory = Pick<Process, "read" | "write">;

const PAGE_BITS = 12;
const PAGE = 1n << BigInt(PAGE_BITS);

export class GuestRam {
  readonly counters: GuestRamCounters = { reads: 0, writes: 0, bytesRead: 0, bytesWritten: 0, refused: 0 };
  readonly #base: bigint;
  readonly #size: bigint;
  /** A realm's top IPA bit; 0 for a normal VM. */
  readonly #alias: bigint;
  /** One byte for each page of a realm: 1 is shared. */
  readonly #shared: Uint8Array | undefined;
  #process: ProcessMemory | undefined;
  #address = 0n;

  constructor({ ram, ipaBits, realm }: GuestRamOptions) {
    this.#base = ram.base;
    this.#size = ram.size;
    this.#alias = realm ? 1n << BigInt(ipaBits - 1) : 0n;
    this.#shared = realm ? new Uint8Array(Number(ram.size >> BigInt(PAGE_BITS))) : undefined;
  }

  /** Says where the VMM's process has the first byte of RAM (of a realm: of what it shares). */
  attach(process: ProcessMemory, address: bigint): void {
    this.#process = process;
    this.#address = address;
  }

  /** A realm's pages became shared or private: what the VMM told the Host by KVM_SET_MEMORY_ATTRIBUTES. */
  setShared(range: { readonly address: bigint; readonly size: bigint }, isShared: boolean): void {
    const first = Number((range.address - this.#base) / PAGE);
    this.#shared?.fill(isShared ? 1 : 0, first, first + Number(range.size / PAGE));
  }

  /** Why [address, address + length) is not for devices; undefined when it is. */
  refusal(address: bigint, length: number): RamRefusal | undefined {
    const offset = this.#offset(address);
    if (offset < 0n || offset + BigInt(length) > this.#size) return this.#refuse("outside-ram");
    if (this.#shared === undefined || length === 0) return undefined;
    const first = Number(offset >> BigInt(PAGE_BITS));
    const last = Number((offset + BigInt(length - 1)) >> BigInt(PAGE_BITS));
    for (let page = first; page <= last; page++) if (this.#shared[page] === 0) return this.#refuse("private");
    return undefined;
  }

  /** Fills `into`; on a refusal it holds nothing of the guest's. */
  read(address: bigint, into: Uint8Array): RamRefusal | undefined {
    const refused = this.refusal(address, into.length);
    if (refused !== undefined) return refused;
    this.counters.reads++;
    this.counters.bytesRead += into.length;
    const error = this.#memory.read(this.#address + this.#offset(address), into);
    return error === undefined ? undefined : this.#refuse("host-refused");
  }

  /** Writes all of `from`, or nothing unless the Host runs out of pages. */
  write(address: bigint, from: Uint8Array): RamRefusal | undefined {
    const refused = this.refusal(address, from.length);
    if (refused !== undefined) return refused;
    this.counters.writes++;
    this.counters.bytesWritten += from.length;
    const error = this.#memory.write(this.#address + this.#offset(address), from);
    return error === undefined ? undefined : this.#refuse("host-refused");
  }

  get state(): GuestRamState {
    const shared: [number, number][] = [];
    for (const [page, isShared] of this.#shared?.entries() ?? []) {
      if (isShared === 0) continue;
      const last = shared.at(-1);
      if (last !== undefined && last[0] + last[1] === page) last[1]++;
      else shared.push([page, 1]);
    }
    return { shared, counters: { ...this.counters } };
  }

  set state({ shared, counters }: GuestRamState) {
    this.#shared?.fill(0);
    for (const [first, count] of shared) this.#shared?.fill(1, first, first + count);
    Object.assign(this.counters, counters);
  }

  get #memory(): ProcessMemory {
    invariant(this.#process !== undefined, "devices run when the guest's memory is there");
    return this.#process;
  }

  /** Offset in RAM of an address in either form; may lie outside. */
  #offset(address: bigint): bigint {
    return (address & ~this.#alias) - this.#base;
  }

  #refuse(why: RamRefusal): RamRefusal {
    this.counters.refused++;
    return why;
  }
}
