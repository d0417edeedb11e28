/**
 * Memory ports: how native firmware and Host-side devices reach physical memory. A port belongs to a requester (a slot on
 * a PE, or the devices) and to one PAS that the requester's Security state may use; each call is checked against the GPT
 * granule by granule, so firmware that touches the wrong PAS gets a granule protection fault like anybody else.
 * DDI 0487, "Physical address spaces" (which PAS each Security state can access).
 */
import { invariant, Pas, SecurityState } from "@realmbox/abi";
import type { Bus, Requester } from "./bus.js";
import type { MutableCounters, PortCounts } from "./counters.js";
import type { Fault } from "./fault.js";
import { GPC_OK, type GranuleProtection, gpcFault } from "./gpt.js";
import { NO_FRAME, PAGE_SIZE, type PhysicalMemory } from "./memory.js";
import type { Reports } from "./reports.js";
import type { MemoryPort } from "./slot.js";

/** What a port needs of the machine. */
export interface PortSystem {
  readonly memory: PhysicalMemory;
  readonly bus: Bus;
  readonly counters: MutableCounters;
  readonly reports: Reports;
}

/** The PE by whose GPCCR_EL3 and GPTBR_EL3 a port's accesses are checked. */
interface Protected {
  readonly protection: GranuleProtection;
}

/** Whether a Security state can make accesses in a PAS: its own, and Non-secure; Root all. */
export const stateHasPas = (state: SecurityState, pas: Pas): boolean =>
  state === SecurityState.ROOT || pas === Pas.NS || pas === (state as number);

export class Port implements MemoryPort {
  readonly pas: Pas;
  private readonly system: PortSystem;
  private readonly memory: PhysicalMemory;
  private readonly counts: PortCounts;
  private readonly from: Requester;
  private readonly pe: Protected;

  constructor(system: PortSystem, options: { from: Requester; counts: PortCounts; pe: Protected }) {
    const { pas, state } = options.from;
    invariant(stateHasPas(state, pas), "the Security state has this PAS", `${state} ${pas}`);
    this.system = system;
    this.memory = system.memory;
    this.pas = pas;
    this.from = options.from;
    this.counts = options.counts;
    this.pe = options.pe;
  }

  copyIn(pa: bigint, into: Uint8Array): Fault | undefined {
    const { length } = into;
    const start = Number(pa);
    const { memory } = this.system;
    const host = this.hostWithin(start, length);
    if (host > 0) {
      this.count(length);
      into.set(memory.u8.subarray(host, host + length));
      return undefined;
    }
    const refused = this.check(start, length);
    if (refused) return refused;
    this.count(length);
    for (let done = 0; done < length; ) {
      const at = start + done;
      const n = Math.min(length - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
      if (memory.isMemory(at)) {
        const host = memory.host(at);
        into.set(memory.u8.subarray(host, host + n), done);
      } else {
        this.deviceRead(at, into.subarray(done, done + n));
      }
      done += n;
    }
    return undefined;
  }

  copyOut(pa: bigint, from: Uint8Array): Fault | undefined {
    const { length } = from;
    const start = Number(pa);
    const { memory } = this.system;
    const host = this.hostWithin(start, length);
    if (host > 0) {
      this.count(length);
      memory.writes(host);
      memory.u8.set(from, host);
      return undefined;
    }
    const refused = this.check(start, length);
    if (refused) return refused;
    this.count(length);
    for (let done = 0; done < length; ) {
      const at = start + done;
      const n = Math.min(length - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
      const part = from.subarray(done, done + n);
      if (memory.isMemory(at)) {
        const to = memory.host(at);
        memory.writes(to);
        memory.u8.set(part, to);
      } else this.deviceWrite(at, part);
      done += n;
    }
    return undefined;
  }

  read64(pa: bigint): bigint | Fault {
    const at = Number(pa);
    invariant((at & 7) === 0, "read64 is aligned", pa);
    const host = this.hostWithin(at, 8);
    if (host > 0) {
      this.count(8);
      return this.system.memory.u64[host / 8]!;
    }
    const refused = this.check(at, 8);
    if (refused) return refused;
    this.count(8);
    return this.system.bus.read(at, 8, this.from)!;
  }

  write64(pa: bigint, value: bigint): Fault | undefined {
    const at = Number(pa);
    invariant((at & 7) === 0, "write64 is aligned", pa);
    const host = this.hostWithin(at, 8);
    if (host > 0) {
      this.count(8);
      this.memory.writes(host);
      this.memory.u64[host / 8] = value;
      return undefined;
    }
    const refused = this.check(at, 8);
    if (refused) return refused;
    this.count(8);
    this.system.bus.write(at, 8, value, this.from);
    return undefined;
  }

  zero(pa: bigint, length: number): Fault | undefined {
    const start = Number(pa);
    const refused = this.check(start, length, false);
    if (refused) return refused;
    this.count(length);
    const { memory } = this.system;
    for (let done = 0; done < length; ) {
      const at = start + done;
      const n = Math.min(length - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
      if (memory.isTouched(at)) {
        const host = memory.host(at);
        memory.writes(host);
        memory.u8.fill(0, host, host + n);
      } else if (!memory.isMemory(at)) {
        this.deviceWrite(at, new Uint8Array(n));
      }
      done += n;
    }
    return undefined;
  }

  granule(pa: bigint | number): Uint8Array | Fault {
    const at = typeof pa === "number" ? pa : Number(pa);
    invariant((at & (PAGE_SIZE - 1)) === 0, "granule is aligned", pa);
    const host = this.hostWithin(at, PAGE_SIZE);
    if (host <= 0) return this.check(at, PAGE_SIZE) ?? this.refuse(this.external(at));
    this.count(PAGE_SIZE);
    this.memory.writes(host);
    return this.memory.pageBytes(host);
  }

  page(pfn: number): Uint8Array | Fault {
    const { memory } = this;
    const page = memory.pageIndexOf(pfn);
    if (page >= 0 && this.pe.protection.isKnown(page, this.pas)) {
      const bytes = memory.knownBytes(page);
      if (bytes !== undefined) {
        this.count(PAGE_SIZE);
        memory.writes(bytes.byteOffset);
        return bytes;
      }
    }
    return this.granule(pfn * PAGE_SIZE);
  }

  /** The usual case: host address of [pa, pa + length) when it is memory of one granule that the GPT allows; else 0 or less. */
  private hostWithin(pa: number, length: number): number {
    if ((pa & (PAGE_SIZE - 1)) + length > PAGE_SIZE) return 0;
    if (this.pe.protection.check(pa, this.pas) !== GPC_OK) return 0;
    return this.memory.host(pa);
  }

  private count(bytes: number): void {
    this.counts.accesses[this.pas]!++;
    this.counts.bytes[this.pas]! += bytes;
  }

  /** The first refusal among the granules of [pa, pa + length); `allocate`: a page without a frame gets one now. */
  private check(pa: number, length: number, allocate = true): Fault | undefined {
    const { memory, bus } = this.system;
    const { protection } = this.pe;
    const end = pa + length;
    for (let at = pa; at < end; at = at - (at % PAGE_SIZE) + PAGE_SIZE) {
      const refusal = protection.check(at, this.pas);
      if (refusal !== GPC_OK) return this.refuse(gpcFault(refusal, at, this.pas));
      if (allocate || !memory.isMemory(at)) {
        const host = memory.host(at);
        if (host === NO_FRAME) this.system.reports.exhausted(at);
        if (host <= 0 && !(host !== NO_FRAME && bus.has(at, this.pas))) return this.refuse(this.external(at));
      }
    }
    return undefined;
  }

  private external(pa: number): Fault {
    return { fault: "external", stage: 0, level: 0, onWalk: false, s1ptw: false, pa: BigInt(pa), pas: this.pas };
  }

  private refuse(fault: Fault): Fault {
    this.system.reports.portFault(fault, this.from);
    return fault;
  }

  /** Device accesses are split into naturally aligned ones of up to 8 bytes. */
  private deviceRead(pa: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const size = accessSize(pa + done, into.length - done);
      const value = this.system.bus.read(pa + done, size, this.from) ?? 0n;
      for (let i = 0; i < size; i++) into[done + i] = Number((value >> BigInt(8 * i)) & 0xffn);
      done += size;
    }
  }

  private deviceWrite(pa: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) {
      const size = accessSize(pa + done, from.length - done);
      let value = 0n;
      for (let i = 0; i < size; i++) value |= BigInt(from[done + i]!) << BigInt(8 * i);
      this.system.bus.write(pa + done, size, value, this.from);
      done += size;
    }
  }
}

/** The largest naturally aligned access that starts at `pa` and has at most `left` bytes. */
function accessSize(pa: number, left: number): number {
  for (let size = 8; size > 1; size /= 2) {
    if (pa % size === 0 && size <= left) return size;
  }
  return 1;
}
