/**
 * A process that boots a kernel as a realm with 2 vCPUs, lets it run a few commands, and prints what the boot was: a hash over
 * every event of the trace, one over the console, and the clock. Arguments: the built library, kernel, initrd, kernel parameters.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [library, kernel, initrd, params] = process.argv.slice(2);
const { Box, hostBytesOf, nodeCrypto, TRACE_CATEGORIES, traceLine } = await import(pathToFileURL(library).href);

const MORE_THAN_A_BOOT = 4_000_000_000;
const EVENTS_AT_ONCE = 5000;

const trace = createHash("sha256");
let events = 0;
let lines = "";
const listener = (event) => {
  lines += `${traceLine(event)}\n`;
  if (++events % EVENTS_AT_ONCE !== 0) return;
  trace.update(lines);
  lines = "";
};
const box = new Box({
  crypto: nodeCrypto,
  pes: 2,
  dramSize: 1408n << 20n,
  trace: { categories: TRACE_CATEGORIES, listener },
});
const created = box.createGuest({
  kernel: new Uint8Array(readFileSync(kernel)),
  initrd: new Uint8Array(readFileSync(initrd)),
  params: `${params} realmbox.run="dmesg | tail -n 3; ls -l /sys/devices/system/cpu; head -c 64 /dev/urandom | sha256sum"`,
  realm: true,
  cpus: 2,
  memory: 512n << 20n,
});
if (!created.ok) throw new Error(created.error.message);
const guest = created.value;
const end = guest.run({ instructions: MORE_THAN_A_BOOT });
if (end.kind !== "shutdown") throw new Error(`${JSON.stringify(end)}: ${guest.console.slice(-2000)}`);
const { other } = hostBytesOf(box.machine.counters);
if (other !== 0) throw new Error(`the Host reached ${other} bytes that are not Non-secure`);
trace.update(lines);
const console_ = createHash("sha256").update(guest.console, "latin1").digest("hex");
process.stdout.write(JSON.stringify({ trace: trace.digest("hex"), console: console_, clock: box.machine.now, events }));
