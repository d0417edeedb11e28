/**
 * One process of the snapshot suite, on the built library: runs a guest from its start or from a snapshot, to its end or
 * to a clock count where it saves a snapshot. The job comes as JSON in the only argument; the outcome is JSON on stdout,
 * the trace goes to a file.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { library, image, cpus, realm, params, stopAt, saveTo, restoreFrom, traceTo } = JSON.parse(process.argv[2]);
const { Box, nodeCrypto, parseJit, TRACE_CATEGORIES, traceLine } = await import(pathToFileURL(library));
const lines = [];
const options = {
  crypto: nodeCrypto,
  pes: cpus,
  dramSize: 256n << 20n,
  jit: parseJit(process.env.REALMBOX_JIT ?? "on"),
  trace: { categories: TRACE_CATEGORIES, listener: (event) => void lines.push(traceLine(event)) },
};
const config = { kernel: new Uint8Array(readFileSync(image)), cpus, realm, params, memory: 32n << 20n };

function start() {
  if (restoreFrom === undefined) {
    const box = new Box(options);
    return { box, guest: unwrap(box.createGuest(config)) };
  }
  const { box, guests } = unwrap(Box.restore(options, new Uint8Array(readFileSync(restoreFrom)), [{ config }]));
  return { box, guest: guests[0] };
}

function unwrap(result) {
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

const { box, guest } = start();
const begun = box.machine.now;
const end = guest.run({ instructions: stopAt === undefined ? 60_000_000 : stopAt - begun, checkEvery: 60_000_000 });
if (saveTo !== undefined) writeFileSync(saveTo, box.snapshot());
writeFileSync(traceTo, lines.map((line) => `${line}\n`).join(""));
const { machine, host } = box;
process.stdout.write(
  JSON.stringify({
    end,
    begun,
    now: machine.now,
    console: guest.console,
    token: guest.token && Buffer.from(guest.token).toString("hex"),
    pes: machine.pes.map(({ el, state }) => ({ el, state })),
    counters: machine.counters,
    host: host.counters,
  }),
);
