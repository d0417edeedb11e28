/**
 * `node conformance/rmm/planted.mjs`: proves that the nets hold. Bugs are planted one at a time, each behind a switch of one
 * instrumented build of machine, Root Monitor, RMM, fuzzer and conformance cases: one for each invariant, by an edit of the
 * source text; and every tenth check of the RMM's conditions deleted (mutation/instrument.mjs). Says which net catches which:
 * fuzzing, with side, seed, calls and CPU seconds, and the conformance cases.
 *
 *   node conformance/rmm/planted.mjs                  everything; a Markdown table on stdout
 *   node conformance/rmm/planted.mjs --bugs [TEXT]    the planted bugs, or those whose name contains a text
 *   node conformance/rmm/planted.mjs --conditions     every tenth condition
 *   ... --fuzz-only                                   without the conformance cases
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { instrument, RUNTIME } from "./mutation/instrument.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const packages = join(root, "packages");
const ROOMS = ["abi", "token", "machine", "monitor", "rmm"];

/** [what is wrong, invariant, file, text, replacement]; `BUG` in a replacement is true while the bug is planted. */
const PLANTED = [
  [
    "no scrub when an object ends",
    "scrubbed",
    "rmm/src/granule/granule.ts",
    "this.rmm.wipe(this.addr);",
    "if (!BUG) this.rmm.wipe(this.addr);",
  ],
  ["no scrub at delegation", "scrubbed", "rmm/src/rmi/granule.ts", "rmm.wipe(addr);", "if (!BUG) rmm.wipe(addr);"],
  [
    "no TLB invalidation of a range",
    "no stale translation",
    "rmm/src/isolation/rme.ts",
    'pe.tlbi({ kind: "ipas2e1", vmid, ipa, size });',
    'if (!BUG) pe.tlbi({ kind: "ipas2e1", vmid, ipa, size });',
  ],
  [
    "no TLB invalidation when a realm ends",
    "no stale translation",
    "rmm/src/isolation/rme.ts",
    'pe.tlbi({ kind: "vmalls12e1", vmid });',
    'if (!BUG) pe.tlbi({ kind: "vmalls12e1", vmid });',
  ],
  [
    "no invalidation of GPT information",
    "no stale translation",
    "monitor/src/services/rmm-el3.ts",
    'pe.tlbi({ kind: "rpalos", pa, size: BigInt(GRANULE_SIZE) });',
    'if (!BUG) pe.tlbi({ kind: "rpalos", pa, size: BigInt(GRANULE_SIZE) });',
  ],
  [
    "TLB maintenance without an effect",
    "no stale translation",
    "machine/src/machine.ts",
    "this.mmu.flushWhere((context) => context.state === state && context.vmid === vmid);",
    "if (!BUG) this.mmu.flushWhere((context) => context.state === state && context.vmid === vmid);",
  ],
  [
    "a page is not counted in its table",
    "counts equal references",
    "rmm/src/rmi/data.ts",
    'rmm.granules.get(at.rtt, "RTT").refcount++;',
    'if (!BUG) rmm.granules.get(at.rtt, "RTT").refcount++;',
  ],
  [
    "a REC's end is not counted in its RD",
    "counts equal references",
    "rmm/src/rmi/rec.ts",
    'rmm.granules.get(owner, "RD").refcount--;',
    'if (!BUG) rmm.granules.get(owner, "RD").refcount--;',
  ],
  [
    "RIPAS stays RAM when a page is taken",
    "RIPAS by the protocol",
    "rmm/src/rmi/data.ts",
    "ripas === RmiRipas.RAM ? RmiRipas.DESTROYED : ripas",
    "ripas === RmiRipas.RAM && !BUG ? RmiRipas.DESTROYED : ripas",
  ],
  [
    "a page makes its address RAM",
    "RIPAS by the protocol",
    "rmm/src/rmi/data.ts",
    "assigned(data, rtteRipas(at.entry), RTT_LEVEL_PAGE)",
    "assigned(data, BUG ? RmiRipas.RAM : rtteRipas(at.entry), RTT_LEVEL_PAGE)",
  ],
  [
    "RTT_DESTROY leaves EMPTY behind",
    "RIPAS by the protocol",
    "rmm/src/rmi/rtt.ts",
    "unassigned(RmiRipas.DESTROYED) : UNASSIGNED_NS",
    "unassigned(BUG ? RmiRipas.EMPTY : RmiRipas.DESTROYED) : UNASSIGNED_NS",
  ],
  [
    "a page in use can be mapped again",
    "private to one realm",
    "rmm/src/rmi/data.ts",
    'granule.become("DATA"); // its content',
    'if (!BUG) granule.become("DATA"); // its content',
  ],
  [
    "stage 2 of another VMID",
    "private to one realm",
    "rmm/src/isolation/rme.ts",
    "vttbr: rttBase | VTTBR_EL2.VMID.of(vmid)",
    "vttbr: rttBase | VTTBR_EL2.VMID.of(BUG ? 0 : vmid)",
  ],
  [
    "delegation without a GPT change",
    "the GPT agrees",
    "rmm/src/isolation/rme.ts",
    "protect: (pe, pa) => el3Call(",
    "protect: (pe, pa) => BUG || el3Call(",
  ],
  [
    "undelegation without a GPT change",
    "the GPT agrees",
    "rmm/src/isolation/rme.ts",
    "const status = el3Call(pe, RMM_EL3_FID.RMM_GTSI_UNDELEGATE, pa);",
    "const status = BUG ? OK : el3Call(pe, RMM_EL3_FID.RMM_GTSI_UNDELEGATE, pa);",
  ],
  [
    "RIM not extended by data",
    "measurements follow from the calls",
    "rmm/src/rmi/data.ts",
    "extendRimData(rmm.crypto",
    "if (!BUG) extendRimData(rmm.crypto",
  ],
  [
    "RIM not extended by RIPAS",
    "measurements follow from the calls",
    "rmm/src/rmi/ripas.ts",
    "extendRimRipas(rmm.crypto",
    "if (!BUG) extendRimRipas(rmm.crypto",
  ],
  [
    "RIM extended by a REC that cannot run",
    "measurements follow from the calls",
    "rmm/src/rmi/rec.ts",
    "if (runnable) extendRimRec",
    "if (runnable || BUG) extendRimRec",
  ],
  [
    "REM extended without its old value",
    "measurements follow from the calls",
    "rmm/src/measurement/measurement.ts",
    "crypto.hash(hashAlgorithm(rd), old, value)",
    "BUG ? crypto.hash(hashAlgorithm(rd), value) : crypto.hash(hashAlgorithm(rd), old, value)",
  ],
  [
    "a refused DATA_CREATE copies",
    "a refused call changes nothing",
    "rmm/src/rmi/data.ts",
    "if (rd.state !== RealmState.NEW) return fail(",
    "if (BUG) rmm.bytesAt(data).set(source);\n    if (rd.state !== RealmState.NEW) return fail(",
  ],
  [
    "a refused REALM_CREATE keeps the VMID",
    "a refused call changes nothing",
    "rmm/src/rmi/realm.ts",
    "const rttSize = BigInt(rtt_num_start * GRANULE_SIZE);",
    "if (BUG) takeVmid(rmm, vmid);\n    const rttSize = BigInt(rtt_num_start * GRANULE_SIZE);",
  ],
  [
    "the Host's EL1 registers are lost",
    "the Host keeps its registers",
    "rmm/src/isolation/rme.ts",
    "registers.el1.set(context.blocks.el1);",
    "if (!BUG) registers.el1.set(context.blocks.el1);",
  ],
  [
    "the Host's SIMD registers are lost",
    "the Host keeps its registers",
    "rmm/src/isolation/rme.ts",
    "context.registers.fp.set(context.blocks.fp);",
    "if (!BUG) context.registers.fp.set(context.blocks.fp);",
  ],
  [
    "the Host's X5 to X30 are a realm's",
    "registers stay apart",
    "monitor/src/world.ts",
    "views.pe.afterResults.set(views.ns.afterResults);",
    "if (!BUG) views.pe.afterResults.set(views.ns.afterResults);",
  ],
  [
    "a REC starts with the Host's EL1 registers",
    "registers stay apart",
    "rmm/src/isolation/rme.ts",
    "registers.el1.set(el1);",
    "if (!BUG) registers.el1.set(el1);",
  ],
  [
    "a REC's general registers are not saved",
    "a REC keeps its registers",
    "rmm/src/isolation/rme.ts",
    "gprs.set(registers.gprs);",
    "if (!BUG) gprs.set(registers.gprs);",
  ],
  [
    "a VMID is given twice",
    "VMIDs are unique",
    "rmm/src/rmi/realm.ts",
    "if (!vmidIsFree(rmm, vmid))",
    "if (!BUG && !vmidIsFree(rmm, vmid))",
  ],
  [
    "a VMID is never free again",
    "VMIDs are unique",
    "rmm/src/rmi/realm.ts",
    "freeVmid(rmm, vmid);",
    "if (!BUG) freeVmid(rmm, vmid);",
  ],
  [
    "a REC runs on two PEs",
    "a REC runs on one PE",
    "rmm/src/rmi/rec-enter.ts",
    "granule.refcount = 1;",
    "if (!BUG) granule.refcount = 1;",
  ],
  [
    "a running REC is entered",
    "a REC runs on one PE",
    "rmm/src/rmi/rec-enter.ts",
    'if (granule.refcount !== 0) return fail("rec_state"',
    'if (granule.refcount !== 0 && !BUG) return fail("rec_state"',
  ],
  [
    "RmiRecExit shows the exit before",
    "secrets stay private",
    "rmm/src/rec/exit.ts",
    "rmm.exit.bytes.fill(0);",
    "if (!BUG) rmm.exit.bytes.fill(0);",
  ],
  [
    "Host memory is executable in a realm",
    "tables map what they may",
    "rmm/src/rtt/entry.ts",
    "return desc | NS | EXECUTE_NEVER |",
    "return desc | NS | (BUG ? 0n : EXECUTE_NEVER) |",
  ],
  [
    "unfolded Host memory maps one page",
    "tables map what they may",
    "rmm/src/rtt/walk.ts",
    "assignedNs(desc + BigInt(i) * size, level)",
    "assignedNs(BUG ? desc : desc + BigInt(i) * size, level)",
  ],
  [
    "any Host address counts as Non-secure",
    "the Host stays in its memory",
    "machine/src/ports.ts",
    "if (this.protection().check(pa, this.pas) !== GPC_OK) return 0;",
    "if (!(BUG && this.from.state === SecurityState.NON_SECURE) && this.protection().check(pa, this.pas) !== GPC_OK) return 0;",
  ],
  [
    "an accepted RIPAS change goes no further",
    "RIPAS by the protocol",
    "rmm/src/rmi/ripas.ts",
    "rec.ripas_addr = addr;",
    "if (!BUG) rec.ripas_addr = addr;",
  ],
];
/** Sides and seeds that a bug is hunted with, in turn, until it is caught. */
const HUNTS = [
  { side: "host", seed: 1, pes: 1, calls: 20_000 },
  { side: "both", seed: 2, pes: 2, calls: 30_000 },
  { side: "realm", seed: 3, pes: 2, calls: 20_000 },
];
/** And these for a bug that no wrong result gives away. */
const LONG_HUNTS = [
  { side: "both", seed: 5, pes: 1, calls: 100_000 },
  { side: "host", seed: 4, pes: 2, calls: 100_000 },
];

/** The file's text with all its bugs, each behind its switch. */
function plant(path, text) {
  let result = text;
  for (const [name, , file, from, to] of PLANTED) {
    if (path !== join(packages, file)) continue;
    if (!result.includes(from)) throw new Error(`${file} has no longer the text for "${name}"`);
    result = result.replace(from, to.replaceAll("BUG", `(globalThis.plantedBug === ${JSON.stringify(name)})`));
  }
  return result;
}

async function instrumented() {
  const found = new Set();
  const outfile = join(here, "dist/mutants/planted.mjs");
  mkdirSync(dirname(outfile), { recursive: true });
  const room = (name) => join(packages, name, "src/index.ts");
  await build({
    stdin: {
      contents: `export { fuzz } from "./fuzz/index.ts";
        export { CASES, CONDITIONS, UNREACHABLE_CONDITIONS } from "./cases/index.ts";
        export { Benches, runCase } from "./cases/run.ts";
        export { createRmm } from "@realmbox/rmm";
        export { generateInterpreter } from "@realmbox/machine";
        export { nodeCrypto } from "${join(packages, "realmbox/src/crypto/node.ts")}";`,
      resolveDir: join(here, "src"),
      loader: "ts",
    },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    outfile,
    banner: { js: RUNTIME },
    alias: Object.fromEntries(ROOMS.map((name) => [`@realmbox/${name}`, room(name)])),
    logLevel: "error",
    plugins: [
      {
        name: "plant",
        setup(plugin) {
          plugin.onLoad({ filter: /packages\/(machine|monitor|rmm)\/src\/.*\.ts$/ }, ({ path }) => {
            const text = plant(path, readFileSync(path, "utf8"));
            const isRmm = relative(join(packages, "rmm/src"), path).startsWith("..") === false;
            return { contents: isRmm ? instrument(path, text, found) : text, loader: "ts" };
          });
        },
      },
    ],
  });
  return { nets: await import(pathToFileURL(outfile)), found };
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

function hunt({ fuzz, nodeCrypto }, engine, hunts) {
  const start = cpuSeconds();
  let calls = 0;
  for (const one of hunts) {
    const report = fuzz({ ...one, crypto: nodeCrypto, engine, now: () => performance.now(), shrinking: 0 });
    calls += report.calls;
    if (report.failure) {
      const { invariant, sentence } = report.failure;
      const where = `${one.side}, seed ${one.seed}, ${one.pes} PE`;
      return { where, calls, seconds: cpuSeconds() - start, invariant, sentence };
    }
  }
  return { calls, seconds: cpuSeconds() - start };
}

/** The first conformance case that fails; with `namesConditions` also when the RMM refuses by another condition. */
function conform({ CASES, Benches, runCase, createRmm, nodeCrypto }, setBug, namesConditions) {
  const benches = new Benches({ crypto: nodeCrypto, rmm: { kind: "native", create: createRmm, namesConditions } });
  for (const kind of new Set(CASES.map(({ machine = "default" }) => machine))) benches.get(kind);
  setBug(true);
  try {
    for (const one of CASES) if (runCase(benches, one).result === "failed") return one.id;
  } finally {
    setBug(false);
  }
  return undefined;
}

/** The switches of a condition's checks; a check that commands share is switched by command. */
function keysOf(condition, found) {
  const keys = [...found].filter((key) => key === condition || key.startsWith(`${condition}#`));
  if (keys.length > 0) return keys;
  if (found.has(`*/${condition.slice(condition.indexOf("/") + 1)}`)) return [condition];
  throw new Error(`no check was found for ${condition}`);
}

const byId = (caseId) => caseId && `${caseId}, by its id alone`;

async function main(args) {
  const has = (flag) => args.includes(flag);
  const filter = args.find((arg) => !arg.startsWith("--"));
  const { nets, found } = await instrumented();
  const engine = nets.generateInterpreter();
  const reachable = nets.CONDITIONS.filter((id) => !nets.UNREACHABLE_CONDITIONS.some((one) => one.id === id));
  const tenth = reachable.filter((_, n) => n % 10 === 0).flatMap((id) => keysOf(id, found));
  const bugs = [
    ...(has("--conditions")
      ? []
      : PLANTED.map(([name, invariant]) => ({
          name,
          invariant,
          set: (on) => (globalThis.plantedBug = on ? name : undefined),
        }))),
    ...(has("--bugs")
      ? []
      : tenth.map((name) => ({
          name,
          isCondition: true,
          set: (on) => (nets.mutation.active = on ? name : undefined),
        }))),
  ].filter(({ name }) => filter === undefined || name.includes(filter));
  process.stdout.write(
    "| Bug | Fuzzing | Calls | CPU s | Broken invariant | Conformance case |\n| --- | --- | --: | --: | --- | --- |\n",
  );
  let missed = 0;
  for (const { name, set, isCondition } of bugs) {
    if (has("--verbose")) process.stderr.write(`${name}\n`);
    set(true);
    const fuzzed = hunt(nets, engine, isCondition ? HUNTS : [...HUNTS, ...LONG_HUNTS]);
    set(false);
    const caseId = has("--fuzz-only") ? "" : (conform(nets, set, false) ?? byId(conform(nets, set, true)));
    if (fuzzed.where === undefined && !caseId) missed++;
    const cells = [
      name,
      fuzzed.where ?? "–",
      fuzzed.calls.toLocaleString("en-US"),
      fuzzed.seconds.toFixed(1),
      fuzzed.invariant ?? "–",
      caseId ?? "–",
    ];
    process.stdout.write(`| ${cells.join(" | ")} |\n`);
    if (has("--verbose") && fuzzed.sentence) process.stdout.write(`  ${fuzzed.sentence}\n`);
  }
  process.stdout.write(`\n${bugs.length} bugs, ${missed} missed\n`);
  return missed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
