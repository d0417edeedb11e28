/**
 * One measurement in a process of its own, as QEMU has one: runs a guest image in a fresh box until it ends or has shown the last
 * of the marks, and prints when each mark was shown. The argument is a JSON document (`ChildRequest` in realmbox.mjs), so is the
 * output.
 */
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const request = JSON.parse(process.argv[2]);
const { Box, nodeCrypto } = await import(pathToFileURL(request.library).href);

const box = new Box({
  crypto: nodeCrypto,
  dramSize: BigInt(request.memoryMiB + 512) << 20n,
  ...(request.jit === undefined ? {} : { jit: request.jit }),
});

const total = (/** @type {ArrayLike<number>} */ list) => Array.from(list).reduce((sum, count) => sum + count, 0);
/** Numbers only, so that the difference of two is the work between two marks. */
function counters() {
  const { host, machine } = box;
  const numbers = Object.entries(host.counters).filter(([, value]) => typeof value === "number");
  return { instructions: total(machine.counters.instructions), ...Object.fromEntries(numbers) };
}

const marks = [...request.marks];
const shown = [];
let line = "";
const onConsole = (/** @type {Uint8Array} */ bytes) => {
  line += String.fromCharCode(...bytes);
  if (!line.endsWith("\n")) return;
  if (marks.length > 0 && line.includes(marks[0])) {
    shown.push({ line: line.trim(), ms: performance.now(), counters: counters() });
    marks.shift();
    if (marks.length === 0) box.machine.stop("the last mark");
  }
  line = "";
};
const created = box.createGuest(
  {
    kernel: new Uint8Array(readFileSync(request.kernel)),
    ...(request.initrd === undefined ? {} : { initrd: new Uint8Array(readFileSync(request.initrd)) }),
    params: request.params,
    realm: request.realm,
    memory: BigInt(request.memoryMiB) << 20n,
  },
  { onConsole },
);
if (!created.ok) throw new Error(created.error.message);
const guest = created.value;
const end = guest.run({ condition: () => marks.length === 0, checkEvery: 10_000_000 });
const rest = marks.length === 0 ? {} : { end, console: guest.console.slice(-4000) };
console.log(
  JSON.stringify({ shown, counters: box.machine.counters, ...rest }, (_, value) =>
    typeof value === "bigint"
      ? Number(value)
      : ArrayBuffer.isView(value)
        ? Array.from(/** @type {any} */ (value))
        : value,
  ),
);
