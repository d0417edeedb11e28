/** Devices of the physical machine, as the bus sees them. */
import { invariant, type Pas, type SecurityState } from "@realmbox/abi";

/** Who makes an access: devices such as the GIC show each Security state another view. */
export interface Requester {
  readonly pe: number;
  readonly pas: Pas;
  readonly state: SecurityState;
}

/** A device behind a range of physical addresses. Any access is answered: bad ones read zero and write nothing. */
export interface MmioDevice {
  readonly name: string;
  /** `size` is 1, 2, 4 or 8 bytes; `offset` is from the device's base. */
  read(offset: number, size: number, from: Requester): bigint;
  write(offset: number, size: number, value: bigint, from: Requester): void;
}

/** State that a snapshot holds: plain data in, plain data out. */
export interface Snapshotable {
  /** The name under which the state is stored. */
  readonly name: string;
  /** JSON data; bigint and bytes are encoded by the caller as strings. */
  save(): unknown;
  restore(data: unknown): void;
}

/** Whether a PAS is that of trusted software, as a bus sees it: Secure or Root. */
export const isTrusted = (pas: Pas): boolean => (pas & 1) === 0;

/** A device and the physical addresses that it answers at. */
export interface MappedDevice {
  readonly base: bigint;
  readonly size: bigint;
  /** Only Secure and Root accesses reach it. */
  readonly trusted?: boolean;
  readonly device: MmioDevice;
}

interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly trusted: boolean;
  readonly device: MmioDevice;
}

/** The devices by physical address. */
export class Bus {
  private readonly mappings: Mapping[] = [];

  attach({ base, size, trusted = false, device }: MappedDevice): void {
    const start = Number(base);
    const end = start + Number(size);
    const other = this.mappings.find((mapping) => start < mapping.end && mapping.start < end);
    invariant(other === undefined, "devices do not overlap", `${device.name}, ${other?.device.name}`);
    this.mappings.push({ start, end, trusted, device });
  }

  /** Whether a device answers accesses to `pa` in this PAS. */
  has(pa: number, pas: Pas): boolean {
    return this.find(pa, pas) !== undefined;
  }

  /** Reads `size` (1, 2, 4, 8) bytes at `pa`, naturally aligned; undefined when nothing answers there. */
  read(pa: number, size: number, from: Requester): bigint | undefined {
    const mapping = this.find(pa, from.pas);
    return mapping && BigInt.asUintN(size * 8, mapping.device.read(pa - mapping.start, size, from));
  }

  /** Writes `size` (1, 2, 4, 8) bytes at `pa`, naturally aligned; false when nothing answers there. */
  write(pa: number, size: number, value: bigint, from: Requester): boolean {
    const mapping = this.find(pa, from.pas);
    if (!mapping) return false;
    mapping.device.write(pa - mapping.start, size, BigInt.asUintN(size * 8, value), from);
    return true;
  }

  private find(pa: number, pas: Pas): Mapping | undefined {
    const mapping = this.mappings.find(({ start, end }) => pa >= start && pa < end);
    return mapping?.trusted && !isTrusted(pas) ? undefined : mapping;
  }
}
