/**
 * What a device of the physical machine is, and what it may do to the machine. A device never runs by itself: software
 * reads and writes its registers, and the machine calls `expire` when its clock has reached the device's `deadline`.
 *
 * Invariants
 * - A device's state changes only in `write`, `read`, `expire`, `reset` and `restore`, so it is a function of the run so far.
 * - Whoever changes `deadline` outside of `expire` tells the machine by `reschedule`.
 */
import type { MmioDevice, Requester, Snapshotable } from "../bus.js";

export interface Device extends MmioDevice, Snapshotable {
  readonly name: string;
  /** To the state after a reset of the machine. Contents of memories stay. */
  reset(): void;
  /** Clock at which the device does something by itself; absent or Infinity: never. */
  readonly deadline?: number;
  /** The clock has reached `deadline`; afterwards `deadline` is later than `at`. */
  expire?(at: number): void;
}

/** What a device may ask of its machine, and do to it. */
export interface DeviceSystem {
  /** The machine's clock, and how many of its counts are a second. */
  readonly now: number;
  readonly countsPerSecond: number;
  /** Counts in a tick of the system counter. */
  readonly countsPerTick: number;
  /** The level of a shared peripheral interrupt. */
  setSpi(intid: number, level: boolean): void;
  /** A byte that software sends through the UART of that name. */
  uartOutput(uart: string, byte: number): void;
  /** The device's deadline may have changed. */
  reschedule(): void;
  /** Power is switched off: the run ends with this reason. */
  powerOff(reason: string): void;
  /** A reset of the whole machine, for this reason, when the instruction that is under way is done. */
  reset(reason: string): void;
  /** Whether the PE with this affinity (Aff3.Aff2.Aff1.Aff0, packed in 32 bits) is on; undefined: there is none. */
  isPeOn(affinity: number): boolean | undefined;
  /** Affinities of all PEs. */
  readonly affinities: readonly number[];
}

/**
 * A device of 32-bit registers on a bus without byte strobes: a narrower write puts zeros around its bytes, a wider access
 * is two.
 */
export abstract class RegisterDevice implements Device {
  readonly name: string;
  protected readonly system: DeviceSystem;

  constructor(name: string, system: DeviceSystem) {
    this.name = name;
    this.system = system;
  }

  abstract reset(): void;
  abstract save(): unknown;
  abstract restore(data: unknown): void;

  /** A register's value, as an unsigned number. What does not exist reads zero. */
  protected abstract readRegister(offset: number, from: Requester): number;
  /** `value` is unsigned. What does not exist ignores it. */
  protected abstract writeRegister(offset: number, value: number, from: Requester): void;

  read(offset: number, size: number, from: Requester): bigint {
    if (size === 8) return BigInt(this.word(offset, from)) | (BigInt(this.word(offset + 4, from)) << 32n);
    return BigInt(this.word(offset & ~3, from) >>> (8 * (offset & 3)));
  }

  write(offset: number, size: number, value: bigint, from: Requester): void {
    if (size === 8) {
      this.writeRegister(offset, Number(value & 0xffff_ffffn), from);
      this.writeRegister(offset + 4, Number(value >> 32n), from);
    } else {
      this.writeRegister(offset & ~3, (Number(value) << (8 * (offset & 3))) >>> 0, from);
    }
  }

  private word(offset: number, from: Requester): number {
    return this.readRegister(offset, from) >>> 0;
  }
}

/** PeriphID0..3 and PCellID0..3 of a PrimeCell at 0xFE0: part number, and revision in bits 31:20 of the peripheral id. */
export function primeCellId(offset: number, part: number): number | undefined {
  if (offset < 0xfe0 || offset > 0xffc) return undefined;
  const id = [part & 0xff, 0x10 | (part >> 8), 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
  return id[(offset - 0xfe0) >> 2]!;
}
