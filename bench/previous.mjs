/**
 * Benchmarks: `npm run bench [-- NAME…] [--json] [--rounds N]`. Each figure is the median over interleaved rounds, and where there
 * is a peer, a ratio against it in the same run. Needs `npm run build`; QEMU's figure needs Debian's qemu-system-arm.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Box, nodeCrypto } from "../packages/realmbox/bundle/index.js";
import { linux } from "./linux.mjs";

const { values, positionals } = parseArgs({
  options: { json: { type: "boolean", default: false }, rounds: { type: "string", default: "5" } },
  allowPositionals: true,
});
const rounds = Number(values.rounds);
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const image = (name) => new Uint8Array(readFileSync(path(`guests/prebuilt/${name}.bin`)));
const MiB = 1n << 20n;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const range = (list) => ({ median: median(list), min: Math.min(...list), max: Math.max(...list), rounds: list.length });

/** Runs `hostile case=…` in a fresh box; host seconds and guest instructions between its begin and end lines. */
function runCase(params, { realm }) {
  const box = new Box({ crypto: nodeCrypto });
  const created = box.createGuest({ kernel: image("hostile"), realm, params, memory: 32n * MiB });
  if (!created.ok) throw new Error(created.error.message);
  const guest = created.value;
  const reach = (text) => {
    const end = guest.run({ console: text, checkEvery: 20_000 });
    if (end.kind !== "reached") throw new Error(`${params}: ${JSON.stringify(end)}\n${guest.console}`);
  };
  const retired = () => box.machine.counters.instructions.reduce((sum, count) => sum + count, 0);
  reach("hostile: begin");
  const from = { time: performance.now(), instructions: retired(), entries: box.host.counters.recEntries };
  const end = guest.run({ console: "hostile: end", checkEvery: 2_000_000 });
  if (!guest.console.includes("hostile: end")) throw new Error(`${params}: ${JSON.stringify(end)}\n${guest.console}`);
  return {
    seconds: (performance.now() - from.time) / 1000,
    instructions: retired() - from.instructions,
    entries: box.host.counters.recEntries - from.entries,
  };
}

/** The same image on qemu-system-aarch64 (TCG); seconds between the two lines, or undefined without QEMU. */
async function runQemu(params) {
  if (spawnSync("qemu-system-aarch64", ["--version"]).error) return undefined;
  const qemu = spawn(
    "qemu-system-aarch64",
    [
      "-M",
      "virt,gic-version=3",
      "-cpu",
      "cortex-a57",
      "-m",
      "128",
      "-nographic",
      "-nic",
      "none",
      "-kernel",
      path("guests/prebuilt/hostile.bin"),
      "-append",
      params,
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  let text = "";
  let begun;
  try {
    for await (const chunk of qemu.stdout) {
      text += chunk;
      if (begun === undefined && text.includes("hostile: begin")) begun = performance.now();
      if (text.includes("hostile: end")) return (performance.now() - begun) / 1000;
    }
    throw new Error(`qemu ended early: ${text}`);
  } finally {
    qemu.kill("SIGKILL");
  }
}

/** Instructions per second of the interpreter on an integer mix, and the ratio to QEMU's TCG per unit of work. */
async function interpreter() {
  const ours = { n: 40 };
  const theirs = { n: 400 };
  const speeds = [];
  const ratios = [];
  let qemuSpeed;
  runCase("case=mix n=1", { realm: false });
  for (let round = 0; round < rounds; round++) {
    const run = runCase(`case=mix n=${ours.n}`, { realm: false });
    speeds.push(run.instructions / run.seconds / 1e6);
    const seconds = await runQemu(`case=mix n=${theirs.n}`);
    if (seconds === undefined) continue;
    ratios.push(seconds / theirs.n / (run.seconds / ours.n));
    qemuSpeed = ((run.instructions / ours.n) * theirs.n) / seconds / 1e6;
  }
  return [
    { name: "interpreter, integer mix", unit: "million instructions/s", ...range(speeds), aim: undefined },
    ratios.length > 0
      ? {
          name: "… ratio to qemu-system-aarch64 TCG",
          unit: "×",
          ...range(ratios),
          aim: "≥ 0.08",
          peer: `${Math.round(qemuSpeed)} million instructions/s`,
        }
      : { name: "… ratio to qemu-system-aarch64 TCG", unit: "×", skipped: "qemu-system-aarch64 is not installed" },
  ];
}

/** REC entry and exit round trips: a realm that makes host calls; beside it a normal VM that makes HVCs. */
function recEntries() {
  const n = 50_000;
  const realm = [];
  const vm = [];
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    const r = runCase(`case=exits n=${n}`, { realm: true });
    const v = runCase(`case=exits n=${n}`, { realm: false });
    realm.push(n / r.seconds);
    vm.push(n / v.seconds);
    ratios.push(r.seconds / v.seconds);
  }
  return [
    { name: "REC entry/exit round trips", unit: "1/s", ...range(realm), aim: "≥ 100,000" },
    { name: "normal VM entry/exit round trips", unit: "1/s", ...range(vm) },
    { name: "… cost of a REC round trip to a VM's", unit: "×", ...range(ratios) },
  ];
}

/** Create, populate (all of RAM that an initrd can fill), activate, destroy. */
function lifeCycle(size, initrd) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const box = new Box({ crypto: nodeCrypto });
    const content = new Uint8Array(Number(initrd));
    for (let i = 0; i < content.length; i += 64) content[i] = (i * 2654435761) >>> 24;
    const from = performance.now();
    const created = box.createGuest({ kernel: image("hello"), initrd: content, realm: true, memory: size });
    if (!created.ok) throw new Error(created.error.message);
    const closed = created.value.close();
    if (!closed.ok) throw new Error(closed.error.message);
    times.push((performance.now() - from) / 1000);
  }
  return {
    name: `realm of ${size / MiB} MiB: create, populate ${initrd / MiB} MiB, activate, destroy`,
    unit: "s",
    ...range(times),
  };
}

/** Process start to the first character of the guest, beside a bare `node`. */
async function start() {
  const first = (args) =>
    new Promise((resolve, reject) => {
      const from = performance.now();
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
      child.stdout.once("data", () => resolve((performance.now() - from) / 1000));
      child.on("error", reject);
      child.on("exit", () => reject(new Error("no output")));
    });
  const times = [];
  const bare = [];
  for (let round = 0; round < rounds; round++) {
    times.push(await first([path("packages/realmbox/bin/realmbox.js"), "run", "--realm", "-q", "hello"]));
    bare.push(await first(["-e", "console.log(1); setTimeout(() => {}, 100)"]));
  }
  return [
    { name: "process start to the first guest character (realm)", unit: "s", ...range(times), aim: "< 1.5" },
    { name: "… bare node, first output", unit: "s", ...range(bare) },
  ];
}

const suites = {
  interpreter,
  rec: recEntries,
  lifecycle: () => [lifeCycle(16n * MiB, 13n * MiB), { ...lifeCycle(64n * MiB, 60n * MiB), aim: "< 0.5" }],
  start,
  linux: () => linux({ rounds, range, path }),
};
const wanted = positionals.length > 0 ? positionals : Object.keys(suites);
const unknown = wanted.find((name) => !(name in suites));
if (unknown !== undefined) {
  console.error(`bench: there is no '${unknown}'; ${Object.keys(suites).join(", ")}`);
  process.exit(125);
}
const results = [];
for (const name of wanted) results.push(...(await suites[name]()));

const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.versions.node };
if (values.json) console.log(JSON.stringify({ schemaVersion: 1, machine, results }, null, 2));
else {
  const figure = (x) => (x >= 1000 ? Math.round(x).toLocaleString("en-US") : x.toPrecision(3));
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; median (min to max) of ${rounds} rounds\n`,
  );
  for (const r of results) {
    const value = r.skipped
      ? `skipped: ${r.skipped}`
      : `${figure(r.median)} (${figure(r.min)} to ${figure(r.max)}) ${r.unit}`;
    console.log(`${r.name.padEnd(64)} ${value}${r.aim ? `; aim ${r.aim}` : ""}${r.peer ? `; peer ${r.peer}` : ""}`);
  }
}
