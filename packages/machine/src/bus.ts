/** Devices of the physical machine, as the bus sees them. */
import type { Pas, SecurityState } from "@realmbox/abi";

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
