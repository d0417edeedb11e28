/**
 * What the user asks for, with kvmtool's options and defaults (`lkvm run`, builtin-run.c), and what follows from it: the
 * whole content of the guest's machine before its first instruction. All of this is pure: the same configuration gives
 * the same machine, and for a realm the same measurement, without running anything.
 *
 * @spec kvmtool, "lkvm run": partial: no firmware and flash, no PCI, no virtio devices but console, block and entropy (so
 *   there is no implicit network card and no root file system), no MTE, SVE, gicv2, gicv3-its
 * @spec virtio 1.2, "Device Types": partial: console, block, entropy
 */
import { type ConfigError, failure, type LoadError, type Result, success } from "./error.js";
import { machineTree } from "./fdt/machine-tree.js";
import { utf8 } from "./fdt/writer.js";
import { parseImage } from "./loader/image.js";
import { type MemoryRange, type Placement, placeImages } from "./loader/placement.js";
import { CPUS_MAX, defaultMemorySize, FDT_ALIGN, hex, ipaBits, RAM_BASE } from "./memory-map.js";
import type { VirtioDeviceConfig } from "./virtio/devices.js";
import type { Disk } from "./virtio/disk.js";
import type { VirtioTransport } from "./virtio/mmio.js";

export type MeasurementAlgorithm = "sha256" | "sha512";

export const CONSOLE_KINDS = ["serial", "virtio"] as const;
export type ConsoleKind = (typeof CONSOLE_KINDS)[number];

export interface VmConfig {
  /** Kernel: arm64 Image, ELF executable or flat binary (`-k`). */
  readonly kernel: Uint8Array;
  /** Initial RAM disk (`-i`). */
  readonly initrd?: Uint8Array;
  /** Kernel parameters (`-p`). */
  readonly params?: string;
  /** The command line is `params` alone, and none when that is empty (`--nodefaults`). */
  readonly nodefaults?: boolean;
  /** vCPUs, 1 to 8; default 1 (`-c`). */
  readonly cpus?: number;
  /** RAM in bytes, a multiple of 4 KiB; default 64 MiB for each vCPU and three more (`-m`). */
  readonly memory?: bigint;
  /** RAM base, 2 MiB aligned, 0x8000_0000 or above (`-m size@base`). */
  readonly ramBase?: bigint;
  /** /chosen/kaslr-seed; default 0 (`--kaslr-seed`). */
  readonly kaslrSeed?: bigint;
  /** Block devices in their order: /dev/vda, /dev/vdb …; at most 4 (`-d`). Only their number is measured. */
  readonly disks?: readonly Disk[];
  /** An entropy device (`--rng`). */
  readonly rng?: boolean;
  /** Which console has the input: UART 0, or a virtio console that is there only then; default serial (`--console`). */
  readonly console?: ConsoleKind;
  /** Version 2 of virtio over MMIO, or 1; default mmio (`--virtio-transport`; kvmtool's default is pci). */
  readonly virtioTransport?: VirtioTransport;
  /** Make the VM a realm (`--realm`). */
  readonly realm?: boolean;
  /** A PMU (`--pmu`). */
  readonly pmu?: boolean;
  /** Event counters of a realm's PMU; default all that the RMM offers (`--pmu-counters`; realms with `pmu` only). */
  readonly pmuCounters?: number;
  /** Hash of RIM and REMs; default sha256 (`--measurement-algo`; realms only). */
  readonly measurementAlgorithm?: MeasurementAlgorithm;
  /** Realm personalization value, at most 64 bytes, zero-padded at the end (`--realm-pv`; realms only). */
  readonly personalizationValue?: Uint8Array;
}

/** The guest's machine before its first instruction. */
export interface MachineContent {
  readonly cpus: number;
  readonly ram: MemoryRange;
  readonly realm: boolean;
  readonly ipaBits: number;
  readonly pmu: boolean;
  /** Event counters that a realm asks for; undefined: all. */
  readonly pmuCounters: number | undefined;
  readonly bootargs: string | undefined;
  readonly console: ConsoleKind;
  /** The virtio devices by slot. */
  readonly virtio: readonly VirtioDeviceConfig[];
  readonly virtioTransport: VirtioTransport;
  /** Kernel, initrd and the device tree's address. */
  readonly placement: Placement;
  /** The device tree's 64 KiB. */
  readonly deviceTree: Uint8Array;
  /** PC of vCPU 0; its X0 is the device tree's address. */
  readonly entry: bigint;
  readonly measurementAlgorithm: MeasurementAlgorithm;
  /** 64 bytes. */
  readonly personalizationValue: Uint8Array;
}

export const RPV_SIZE = 64;
/** kvmtool's buffer for the command line, with the NUL. */
export const COMMAND_LINE_MAX = 2048;
const IPA_BITS_MAX = 48;
/** kvmtool, "MAX_DISK_IMAGES". */
export const DISKS_MAX = 4;

/** Checks the configuration, loads and places the images, writes the device tree. */
export function machineContent(config: VmConfig): Result<MachineContent, LoadError | ConfigError> {
  const cpus = config.cpus ?? 1;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > CPUS_MAX) {
    return failure("bad-cpus", `${cpus} vCPUs: the machine has 1 to ${CPUS_MAX}`);
  }
  const realm = config.realm ?? false;
  const problem = checkRealmOptions(config, realm);
  if (problem !== undefined) return problem;
  const ram: MemoryRange = { base: config.ramBase ?? RAM_BASE, size: config.memory ?? defaultMemorySize(cpus) };
  const memoryProblem = checkMemory(ram, realm);
  if (memoryProblem !== undefined) return memoryProblem;
  const { disks = [] } = config;
  if (disks.length > DISKS_MAX) return failure("too-many-disks", `${disks.length} disks; ${DISKS_MAX} is the most`);
  const virtio = virtioDevices(config);
  const bootargs = commandLine(config);
  if (!bootargs.ok) return bootargs;

  const kernel = parseImage(config.kernel, { ramBase: ram.base });
  if (!kernel.ok) return kernel;
  const placement = placeImages({
    ram,
    kernel: kernel.value,
    realm,
    ...(config.initrd === undefined ? {} : { initrd: config.initrd }),
  });
  if (!placement.ok) return placement;

  const { initrd } = placement.value;
  const tree = machineTree({
    cpus,
    ram,
    realm,
    pmu: config.pmu ?? false,
    virtioDevices: virtio.length,
    kaslrSeed: BigInt.asUintN(64, config.kaslrSeed ?? 0n),
    ...(bootargs.value === undefined ? {} : { bootargs: bootargs.value }),
    ...(initrd === undefined ? {} : { initrd: { start: initrd.start, size: initrd.bytes.length } }),
  });
  if (!tree.ok) return tree;

  const personalizationValue = new Uint8Array(RPV_SIZE);
  personalizationValue.set(config.personalizationValue ?? []);
  return success({
    cpus,
    ram,
    realm,
    ipaBits: ipaBits({ ramTop: ram.base + ram.size, realm }),
    pmu: config.pmu ?? false,
    pmuCounters: config.pmuCounters,
    bootargs: bootargs.value,
    console: config.console ?? "serial",
    virtio,
    virtioTransport: config.virtioTransport ?? "mmio",
    placement: placement.value,
    deviceTree: tree.value,
    entry: kernel.value.entry,
    measurementAlgorithm: config.measurementAlgorithm ?? "sha256",
    personalizationValue,
  });
}

/** The devices in their fixed order: console, disks, entropy. */
function virtioDevices({ console, disks = [], rng = false }: VmConfig): VirtioDeviceConfig[] {
  return [
    ...(console === "virtio" ? [{ kind: "console" } as const] : []),
    ...disks.map((disk) => ({ kind: "block", disk }) as const),
    ...(rng ? [{ kind: "rng" } as const] : []),
  ];
}

function checkRealmOptions(config: VmConfig, realm: boolean) {
  const { measurementAlgorithm, personalizationValue, pmu = false, pmuCounters } = config;
  if (pmuCounters !== undefined && !(realm && pmu)) {
    return failure(
      "realm-only-option",
      "the number of event counters is a property of a realm's PMU",
      "add --realm and --pmu, or leave --pmu-counters out",
    );
  }
  if (!realm && (measurementAlgorithm !== undefined || personalizationValue !== undefined)) {
    return failure(
      "realm-only-option",
      "a normal VM has neither a measurement algorithm nor a personalization value",
      "add --realm, or leave --measurement-algo and --realm-pv out",
    );
  }
  if (personalizationValue !== undefined && personalizationValue.length > RPV_SIZE) {
    return failure(
      "bad-realm-pv",
      `the personalization value has ${personalizationValue.length} bytes; ${RPV_SIZE} is the most`,
    );
  }
  return undefined;
}

function checkMemory(ram: MemoryRange, realm: boolean) {
  if (ram.size <= 0n || ram.size % 4096n !== 0n) {
    return failure("bad-memory", `${ram.size} bytes of RAM are not a positive multiple of 4 KiB`, "for example -m 128");
  }
  if (ram.base < RAM_BASE || ram.base % FDT_ALIGN !== 0n) {
    return failure(
      "bad-memory",
      `RAM cannot start at ${hex(ram.base)}`,
      `give a multiple of 2 MiB from ${hex(RAM_BASE)} on; below it are the devices`,
    );
  }
  const bits = ipaBits({ ramTop: ram.base + ram.size, realm });
  if (bits > IPA_BITS_MAX) {
    return failure(
      "bad-memory",
      `RAM up to ${hex(ram.base + ram.size)} needs ${bits} bits of IPA; ${IPA_BITS_MAX} is the most`,
    );
  }
  return undefined;
}

/**
 * The kernel command line, with kvmtool's own spaces, because it is measured ("kvm_run_set_real_cmdline"): console, root
 * device unless the user names one, then the user's parameters. Undefined when there is none to give.
 */
export function commandLine({
  params = "",
  nodefaults = false,
  console = "serial",
}: Pick<VmConfig, "params" | "nodefaults" | "console">): Result<string | undefined, ConfigError> {
  let line = params;
  if (!nodefaults) {
    line = console === "virtio" ? " console=hvc0" : " console=ttyS0";
    if (!params.includes("root=")) line += " root=/dev/vda rw ";
    if (params !== "") line += ` ${params}`;
  }
  if (line.includes("\0")) return failure("bad-params", "the kernel parameters hold a NUL character");
  const size = utf8(line).length + 1;
  if (size > COMMAND_LINE_MAX) {
    return failure(
      "bad-params",
      `the kernel command line has ${size} bytes with its NUL; ${COMMAND_LINE_MAX} is the most`,
    );
  }
  return success(line === "" ? undefined : line);
}
