/**
 * Options of other programs that people type: QEMU's single-dash long options would otherwise be read as a cluster of
 * short options (`-kernel Image` as `-k ernel` and a positional), with no error. They are refused with the right spelling.
 */
import { UsageError } from "./usage.js";

/** QEMU option (without the dash) → the hint: what to write instead, or why there is nothing to write. */
const QEMU: Readonly<Record<string, string>> = {
  kernel: "use --kernel FILE (or the image as an argument)",
  append: 'use --params "…"',
  initrd: "use --initrd FILE",
  smp: "use --cpus N",
  cpu: "there is one CPU model",
  machine: "there is one machine; --realm makes the guest a realm",
  M: "there is one machine; --realm makes the guest a realm",
  nographic: "the console is always this terminal",
  serial: "the console is always this terminal",
  bios: "use --kernel FILE: there is no guest firmware",
  object: "use --realm, --measurement-algo, --realm-pv",
  accel: "everything is emulated",
  "enable-kvm": "everything is emulated",
  dtb: "the device tree is made by realmbox (--dump-dtb FILE shows it)",
  d: "use --trace[=categories]",
  drive: "use --disk FILE",
  device: "use --disk FILE, --rng, --console virtio",
  netdev: "there is no network",
};

/** Throws `UsageError` when an argument is a QEMU option that would be misread. Stops at `--`. */
export function refuseForeignOptions(argv: readonly string[], known: (option: string) => boolean): void {
  for (const arg of argv) {
    if (arg === "--") return;
    const match = /^-([A-Za-z][A-Za-z-]*)(?:=.*)?$/.exec(arg);
    if (!match) continue;
    const name = match[1]!;
    if (name.length === 1 && known(`-${name}`)) continue;
    const instead = QEMU[name];
    if (instead !== undefined) throw new UsageError(`'${arg}' is QEMU's option`, instead);
    if (name.length > 1 && known(`--${name}`))
      throw new UsageError(`unknown option '${arg}'`, `did you mean --${name}?`);
  }
}
