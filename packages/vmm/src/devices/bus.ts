/**
 * The guest's MMIO bus: which device answers an address. An access belongs to a device only when all of its bytes lie in
 * the device's range, as kvmtool's lookup has it (mmio.c). Everything else is unclaimed; what happens then is the
 * machine's decision (a normal VM reads zero, a realm gets an external abort).
 */
import { invariant } from "@realmbox/abi";

/** A device of the guest's machine. Accesses have 1, 2, 4 or 8 bytes and any alignment. */
export interface MmioDevice {
  /** Name for traces. */
  readonly name: string;
  readonly base: bigint;
  /** Bytes that it decodes. */
  readonly size: bigint;
  /** Reads at an offset: fills `data`, little-endian; bytes left alone read as zero. */
  read(offset: number, data: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
}

export interface MmioAccess {
  readonly address: bigint;
  /** As many bytes as the access has: filled by a read, taken by a write. */
  readonly data: Uint8Array;
  readonly isWrite: boolean;
}

export class MmioBus {
  readonly #devices: MmioDevice[] = [];

  /** The devices, by address. */
  get devices(): readonly MmioDevice[] {
    return this.#devices;
  }

  add(device: MmioDevice): void {
    const clash = this.#devices.find(({ base, size }) => base < device.base + device.size && device.base < base + size);
    invariant(clash === undefined, "devices overlap", `${device.name}, ${clash?.name}`);
    this.#devices.push(device);
    this.#devices.sort((a, b) => (a.base < b.base ? -1 : 1));
  }

  /** Performs an access; the device that answered, or undefined when none did. A read's data is zeroed first. */
  access({ address, data, isWrite }: MmioAccess): MmioDevice | undefined {
    if (!isWrite) data.fill(0);
    const device = this.#devices.find(
      ({ base, size }) => address >= base && address + BigInt(data.length) <= base + size,
    );
    if (device === undefined) return undefined;
    const offset = Number(address - device.base);
    if (isWrite) device.write(offset, data);
    else device.read(offset, data);
    return device;
  }
}
