/**
 * Booting Debian's kernel, from the start of the process to the first line of its user space: `realmbox run` as a normal VM and
 * with --realm, and qemu-system-aarch64 (TCG) with the same kernel, initramfs and command line but for the console's name, since
 * QEMU's board has a PL011. Needs `realmbox images fetch debian`.
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { COMMAND } from "./paths.mjs";
import { secondsTo } from "./process-time.mjs";
import { figure, median, spread, table } from "./statistics.mjs";

const USERSPACE = "realmbox: userspace";
const MEMORY_MIB = "512";

/** Kernel parameters behind the console's. The crypto self-tests are most of a stock boot. */
const LINES = [
  { name: "stock", params: "" },
  { name: "notests", params: "cryptomgr.notests=1" },
  /** What `realmbox run --realm debian` adds: a realm's bounce buffers of 16 MiB in place of 64. */
  { name: "swiotlb", params: "cryptomgr.notests=1 swiotlb=8192" },
];
/** How many times as long as QEMU it may take, and how many it should. */
const LIMITS = { vm: { must: 1.4, aim: 1 }, realm: { must: 2, aim: 1 } };

export const BOOT_NAMES = LINES.map(({ name }) => name);

/**
 * A fetched image's files, or undefined.
 * @param {string} name
 */
export function fetchedImage(name) {
  const folder =
    process.env.REALMBOX_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "realmbox");
  try {
    const record = JSON.parse(readFileSync(join(folder, `images/${name}.json`), "utf8"));
    const file = (/** @type {{ sha256: string }} */ { sha256 }) => join(folder, "files", sha256);
    return { version: record.kernel.version, kernel: file(record.kernel), initrd: file(record.initramfs) };
  } catch {
    return undefined;
  }
}

/** @param {import("./run.mjs").Options} options */
export async function boot({ rounds, only, qemu, jit, cpu, progress }) {
  const image = fetchedImage("debian");
  if (image === undefined) return { skipped: "run first: realmbox images fetch debian" };
  const rows = [];
  for (const { name, params } of LINES) {
    if (only && !only.includes(name)) continue;
    const line = (/** @type {string} */ console) => `console=${console}${params === "" ? "" : ` ${params}`}`;
    const ours = (/** @type {readonly string[]} */ more) => {
      const chosen = [...more, ...(jit === undefined ? [] : ["--jit", String(jit)])];
      const machine = ["-q", "-m", MEMORY_MIB, "--nodefaults", "-p", line("ttyS0"), "-i", image.initrd, image.kernel];
      return secondsTo(USERSPACE, process.execPath, [COMMAND, "run", ...chosen, ...machine], { cpu });
    };
    const theirs = () => {
      const machine = [
        "-M",
        "virt,gic-version=3",
        "-accel",
        "tcg",
        "-cpu",
        "cortex-a57",
        "-smp",
        "1",
        "-m",
        MEMORY_MIB,
      ];
      const files = ["-kernel", image.kernel, "-initrd", image.initrd, "-append", line("ttyAMA0")];
      return secondsTo(USERSPACE, "qemu-system-aarch64", [...machine, "-nographic", "-nic", "none", ...files], { cpu });
    };
    /** @type {Record<"vm" | "realm" | "qemu", number[]>} */
    const times = { vm: [], realm: [], qemu: [] };
    for (let round = 0; round < rounds; round++) {
      progress(`boot, ${name}, round ${round + 1}`);
      times.vm.push(await ours([]));
      if (qemu) times.qemu.push(await theirs());
      times.realm.push(await ours(["--realm"]));
    }
    const told = (/** @type {number[]} */ list) => ({ seconds: median(list), ...spread(list) });
    const toQemu = (/** @type {"vm" | "realm"} */ which) => {
      const ratios = times[which].map((seconds, i) => seconds / times.qemu[i]);
      return {
        ...told(times[which]),
        ...(qemu ? { toQemu: median(ratios), toQemuSpread: spread(ratios), ...LIMITS[which] } : {}),
      };
    };
    rows.push({
      name,
      commandLine: line("…"),
      vm: toQemu("vm"),
      realm: toQemu("realm"),
      ...(qemu ? { qemu: told(times.qemu) } : {}),
    });
  }
  return { kernel: image.version, memoryMiB: Number(MEMORY_MIB), rows };
}

/** @param {Awaited<ReturnType<typeof boot>>} result */
export function bootText(result) {
  if (result.skipped !== undefined) return `skipped: ${result.skipped}`;
  const seconds = (/** @type {any} */ of) =>
    of ? `${figure(of.seconds)} (${figure(of.min)} to ${figure(of.max)})` : "";
  const times = (/** @type {any} */ of) => (of?.toQemu === undefined ? "" : `${figure(of.toQemu)}`);
  return table([
    [
      `Debian ${result.kernel}, ${result.memoryMiB} MiB`,
      "normal VM, s",
      "realm, s",
      "QEMU's VM, s",
      "VM / QEMU, must 1.4",
      "realm / QEMU, must 2",
    ],
    ...result.rows.map((row) => [
      row.commandLine,
      seconds(row.vm),
      seconds(row.realm),
      seconds(row.qemu),
      times(row.vm),
      times(row.realm),
    ]),
  ]);
}
