/**
 * Options of other programs that people type: QEMU's single-dash long options would otherwise be read as a cluster of
 * short options (`-kernel Image` as `-k ernel` and a positional), with no error. They are refused with the right spelling.
 */
import { UsageError } from "./usage.js";

/** QEMU option (without the dash) → what to write instead, or why there is nothing. */
const QEMU: Readonly<Record<string, string>> = {
  kernel: "--kernel FILE (or the image as an argument)",
  append: '--params "…"',
  initrd: "--initrd FILE",
  smp: "--cpus N",
  cpu: "nothing: there is one CPU model",
  machine: "nothing: there is one machine; --realm makes the guest a realm",
  M: "nothing: there is one machine; --realm makes the guest a realm",
  nographic: "nothing: the console is always this terminal",
  serial: "nothing: the console is always this terminal",
  bios: "--kernel FILE: there is no guest firmware",
  object: "--realm, --measurement-algo, --realm-pv",
  accel: "nothing: everything is emulated",
  "enable-kvm": "nothing: everything is emulated",
  dtb: "nothing: the device tree is made by realmbox (--dump-dtb FILE shows it)",
  d: "--trace[=categories]",
  drive: "nothing yet: there are no disks",
  device: "nothing yet: there are no further devices",
  netdev: "nothing yet: there is no network",
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
    if (instead !== undefined) throw new UsageError(`'${arg}' is QEMU's option`, `use ${instead}`);
    if (name.length > 1 && known(`--${name}`))
      throw new UsageError(`unknown option '${arg}'`, `did you mean --${name}?`);
  }
}
