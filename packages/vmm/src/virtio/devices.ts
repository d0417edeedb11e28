/**
 * The virtio devices of a machine: slots, interrupts, the guest memory that they share, and the timer by which requests
 * complete later.
 *
 * Order of the devices, which decides slots and interrupts: console, disks as on the command line, entropy.
 */
import { invariant, KVM_ARM_IRQ_TYPE_SPI, KVM_IRQ_LINE_FIELD, type Trace } from "@realmbox/abi";
import type { Process, Vm } from "@realmbox/host";
import type { ConsoleInput } from "../devices/console.js";
import { GuestRam, type GuestRamOptions, type GuestRamState } from "../guest-ram.js";
import { virtioIntid } from "../memory-map.js";
import { VirtioBlock } from "./block.js";
import { VirtioConsole, type VirtioConsoleState } from "./console.js";
import type { VirtioDevice } from "./device.js";
import type { Disk } from "./disk.js";
import { VirtioEntropy } from "./entropy.js";
import { VirtioMmio, type VirtioMmioState, type VirtioTransport } from "./mmio.js";

/** Which devices there are, in their order. */
export type VirtioDeviceConfig =
  | { readonly kind: "console" }
  | { readonly kind: "block"; readonly disk: Disk }
  | { readonly kind: "rng" };

export interface VirtioDevicesOptions extends GuestRamOptions {
  readonly devices: readonly VirtioDeviceConfig[];
  readonly transport: VirtioTransport;
  readonly consoleOutput: (byte: number) => void;
  readonly consoleInput: ConsoleInput;
  /** Fills an array with the entropy device's bytes. */
  readonly random: ((into: Uint8Array) => void) | undefined;
  readonly trace?: Trace | undefined;
}

export interface VirtioDevicesState {
  readonly transports: readonly VirtioMmioState[];
  readonly ram: GuestRamState;
  readonly console: VirtioConsoleState | null;
}

export class VirtioDevices {
  /** The guest's memory as the devices have it. */
  readonly ram: GuestRam;
  /** By slot. */
  readonly transports: readonly VirtioMmio[];
  readonly console: VirtioConsole | undefined;
  #process: Process | undefined;
  #vm: Vm | undefined;

  constructor(options: VirtioDevicesOptions) {
    this.ram = new GuestRam(options);
    const devices = options.devices.map((config, slot) => makeDevice(config, slot, options));
    this.console = devices.find((device) => device instanceof VirtioConsole);
    this.transports = devices.map(
      (device, slot) =>
        new VirtioMmio({
          device,
          slot,
          transport: options.transport,
          realm: options.realm,
          ram: this.ram,
          interrupt: () => this.#pulse(slot),
          now: () => this.#process?.now ?? 0,
          countsPerUs: () => (this.#process?.clockHz ?? 0) / 1_000_000,
          schedule: () => this.#schedule(),
          trace: options.trace,
        }),
    );
    for (const transport of this.transports) {
      if (transport.device === this.console) this.console.attach(transport);
    }
  }

  /** The machine is there: its process, VM, and where the process has the first byte of RAM. */
  attach(process: Process, vm: Vm, address: bigint): void {
    this.#process = process;
    this.#vm = vm;
    this.ram.attach(process, address);
    if (this.transports.length > 0) process.onTimer(() => this.#expired());
  }

  get state(): VirtioDevicesState {
    return {
      transports: this.transports.map(({ state }) => state),
      ram: this.ram.state,
      console: this.console?.state ?? null,
    };
  }

  /** Takes over a state; the process's timer is the Host's own state and is not armed again. */
  set state({ transports, ram, console }: VirtioDevicesState) {
    for (const [slot, transport] of this.transports.entries()) transport.state = transports[slot]!;
    this.ram.state = ram;
    if (this.console !== undefined && console !== null) this.console.state = console;
  }

  #expired(): void {
    const now = this.#process!.now;
    for (const transport of this.transports) {
      if (transport.due !== undefined && transport.due <= now) transport.expired();
    }
    this.#schedule();
  }

  #schedule(): void {
    const due = this.transports.flatMap((transport) => transport.due ?? []);
    this.#process?.setTimer(due.length > 0 ? Math.min(...due) : undefined);
  }

  /** A rising edge, as kvmtool triggers it: the level goes up and down again. */
  #pulse(slot: number): void {
    const irq = Number(KVM_IRQ_LINE_FIELD.TYPE.of(KVM_ARM_IRQ_TYPE_SPI)) | virtioIntid(slot);
    this.#vm?.irqLine(irq, true);
    this.#vm?.irqLine(irq, false);
  }
}

function makeDevice(config: VirtioDeviceConfig, slot: number, options: VirtioDevicesOptions): VirtioDevice {
  switch (config.kind) {
    case "console":
      return new VirtioConsole({ output: options.consoleOutput, input: options.consoleInput });
    case "block": {
      const disks = options.devices.slice(0, slot).filter(({ kind }) => kind === "block");
      return new VirtioBlock(config.disk, disks.length);
    }
    case "rng":
      invariant(options.random !== undefined, "an entropy device has a source", slot);
      return new VirtioEntropy(options.random);
  }
}
