/**
 * Booting Debian's kernel to the first line of its user space: as a realm, as a normal VM, and on qemu-system-aarch64 (TCG) with
 * the same kernel, initramfs and parameters but the console's name (QEMU's board has a PL011). Needs `realmbox images fetch debian`.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { Box, nodeCrypto } from "../packages/realmbox/bundle/index.js";

const USERSPACE = "realmbox: userspace";
const MiB = 1n << 20n;

/** The fetched image, or undefined. */
function debian() {
  const folder =
    process.env.REALMBOX_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "realmbox");
  try {
    const record = JSON.parse(readFileSync(join(folder, "images/debian.json"), "utf8"));
    const file = ({ sha256 }) => join(folder, "files", sha256);
    return {
      version: record.kernel.version,
      kernel: file(record.kernel),
      initrd: file(record.initramfs),
      params: record.params,
    };
  } catch {
    return undefined;
  }
}

/** Seconds from the start of a process to a text in its output; then it is killed. */
async function secondsTo(text, command, args) {
  const from = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  try {
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.includes(text)) return (performance.now() - from) / 1000;
    }
    throw new Error(`${command} ended early: ${output.slice(-2000)}`);
  } finally {
    child.kill("SIGKILL");
  }
}

/** Guest instructions up to the line. */
function instructionsTo(text, image, { realm }) {
  const box = new Box({ crypto: nodeCrypto, dramSize: 1408n * MiB });
  const created = box.createGuest({
    kernel: new Uint8Array(readFileSync(image.kernel)),
    initrd: new Uint8Array(readFileSync(image.initrd)),
    params: image.params,
    memory: 512n * MiB,
    realm,
  });
  if (!created.ok) throw new Error(created.error.message);
  const end = created.value.run({ console: text });
  if (end.kind !== "reached") throw new Error(`${JSON.stringify(end)}: ${created.value.console.slice(-2000)}`);
  return box.machine.counters.instructions.reduce((sum, count) => sum + count, 0);
}

export async function linux({ rounds, range, path }) {
  const image = debian();
  const what = "Debian's kernel to user space";
  if (image === undefined) return [{ name: what, skipped: "run first: realmbox images fetch debian" }];
  const ours = (realm) => [
    path("packages/realmbox/bin/realmbox.js"),
    "run",
    ...(realm ? ["--realm"] : []),
    "-q",
    "-m",
    "512",
    "debian",
  ];
  const qemu = [
    ...["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "512", "-nographic", "-nic", "none"],
    ...["-kernel", image.kernel, "-initrd", image.initrd, "-append", `console=ttyAMA0 ${image.params}`],
  ];
  const hasQemu = !spawnSync("qemu-system-aarch64", ["--version"]).error;
  const times = { realm: [], vm: [], qemu: [] };
  for (let round = 0; round < rounds; round++) {
    times.vm.push(await secondsTo(USERSPACE, process.execPath, ours(false)));
    if (hasQemu) times.qemu.push(await secondsTo(USERSPACE, "qemu-system-aarch64", qemu));
    times.realm.push(await secondsTo(USERSPACE, process.execPath, ours(true)));
  }
  const count = (realm) => `${(instructionsTo(USERSPACE, image, { realm }) / 1e6).toFixed(0)} million instructions`;
  const row = (name, list, more = {}) => ({
    name: `${what} ${image.version}: ${name}`,
    unit: "s",
    ...range(list),
    ...more,
  });
  const ratio = (name, a, b) => ({ name: `… ${name}`, unit: "×", ...range(a.map((time, i) => time / b[i])) });
  return [
    row("normal VM", times.vm, { peer: count(false) }),
    row("realm", times.realm, { peer: count(true) }),
    ratio("realm to normal VM", times.realm, times.vm),
    ...(hasQemu
      ? [
          row("qemu-system-aarch64 TCG", times.qemu),
          ratio("normal VM to QEMU", times.vm, times.qemu),
          ratio("realm to QEMU's normal VM", times.realm, times.qemu),
        ]
      : [{ name: "… beside qemu-system-aarch64 TCG", skipped: "qemu-system-aarch64 is not installed" }]),
  ];
}
