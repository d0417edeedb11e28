/**
 * One measurement in a process of its own, as QEMU has one. The argument is a JSON document (a request of realmbox.mjs), so is the
 * output: the marks that the guest has shown on its console and when, or the time that something took.
 */
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const request = JSON.parse(process.argv[2]);
const { Box, Fvp, nodeCrypto } = await import(pathToFileURL(request.library).href);
const jit = request.jit === undefined ? {} : { jit: request.jit };
const read = (/** @type {string} */ file) => new Uint8Array(readFileSync(file));

/** Marks in the order in which they come: `byte` takes the console's, `done` says whether the last was there. */
function watch(/** @type {readonly string[]} */ marks, /** @type {() => Record<string, number>} */ counters) {
  const shown = [];
  let line = "";
  return {
    shown,
    done: () => shown.length === marks.length,
    byte(/** @type {number} */ byte) {
      if (byte !== 10) {
        line += String.fromCharCode(byte);
        return false;
      }
      const isMark = shown.length < marks.length && line.includes(marks[shown.length]);
      if (isMark) {
        const { user, system } = process.cpuUsage();
        shown.push({ line: line.trim(), ms: performance.now(), cpuMs: (user + system) / 1000, counters: counters() });
      }
      line = "";
      return isMark && shown.length === marks.length;
    },
  };
}

/** Numbers only, nested ones by their path, so that the difference of two is the work between two marks. */
function numbers(/** @type {object} */ of, path = "") {
  return Object.entries(of).flatMap(([key, value]) =>
    typeof value === "number"
      ? [[`${path}${key}`, value]]
      : typeof value === "object" && value !== null
        ? numbers(value, `${path}${key}.`)
        : [],
  );
}

const total = (/** @type {ArrayLike<number>} */ list) => Array.from(list).reduce((sum, count) => sum + count, 0);
const makeBox = () => new Box({ crypto: nodeCrypto, dramSize: BigInt(request.memoryMiB + 512) << 20n, ...jit });

/** A realm or a normal VM until its last mark. */
function guest() {
  const box = makeBox();
  const counters = () => ({
    ...Object.fromEntries(numbers(box.host.counters)),
    instructions: total(box.machine.counters.instructions),
  });
  const watched = watch(request.marks, counters);
  const created = box.createGuest(
    {
      kernel: read(request.kernel),
      ...(request.initrd === undefined ? {} : { initrd: read(request.initrd) }),
      params: request.params,
      nodefaults: request.nodefaults ?? false,
      realm: request.realm,
      memory: BigInt(request.memoryMiB) << 20n,
    },
    { onConsole: (bytes) => bytes.some(watched.byte) && box.machine.stop("the last mark") },
  );
  if (!created.ok) throw new Error(created.error.message);
  const end = created.value.run({ condition: watched.done, checkEvery: 10_000_000 });
  return { shown: watched.shown, end, console: watched.done() ? "" : created.value.console.slice(-4000) };
}

/** A program at NS-EL2 of the board `fvp` until its last mark. */
function fvp() {
  let last = "";
  let ended = false;
  const watched = watch(request.marks, () => ({}));
  const machine = new Fvp({
    crypto: nodeCrypto,
    ns: { name: "el2", bytes: read(request.kernel) },
    hwConfig: { name: "options", bytes: new TextEncoder().encode(request.params) },
    pes: 1,
    suite: "none",
    ...jit,
    onUart: (uart, byte) => {
      if (uart !== 2) return;
      last = (last + String.fromCharCode(byte)).slice(-4000);
      ended ||= watched.byte(byte);
    },
  });
  const end = machine.run({
    interrupted: () => (ended ? { kind: "signal", number: 0, why: "the last mark" } : undefined),
    instructions: 20_000_000_000,
  });
  return { shown: watched.shown, end, console: watched.done() ? "" : last };
}

/** Creating a realm, populating it, activating it, destroying it: milliseconds, elapsed and of the processor. */
function lifeCycle() {
  const box = makeBox();
  const content = new Uint8Array(request.contentMiB << 20);
  for (let i = 0; i < content.length; i += 64) content[i] = (i * 2654435761) >>> 24;
  const kernel = read(request.kernel);
  const from = performance.now();
  const { user, system } = process.cpuUsage();
  const created = box.createGuest({ kernel, initrd: content, realm: true, memory: BigInt(request.memoryMiB) << 20n });
  if (!created.ok) throw new Error(created.error.message);
  const closed = created.value.close();
  if (!closed.ok) throw new Error(closed.error.message);
  const used = process.cpuUsage({ user, system });
  return {
    ms: performance.now() - from,
    cpuMs: (used.user + used.system) / 1000,
    rmiCalls: box.host.counters.rmiCalls,
  };
}

const kinds = { guest, fvp, lifeCycle };
const result = kinds[/** @type {keyof typeof kinds} */ (request.kind)]();
console.log(JSON.stringify(result, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
