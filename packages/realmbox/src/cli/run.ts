/**
 * `realmbox run`, `token` and `measure`: from options to a guest that has run. Guest console on stdout, everything else on
 * stderr; with `--json` the report alone on stdout and the console on stderr.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync, writeSync } from "node:fs";
import { type StampedTraceEvent, TRACE_CATEGORIES, type TraceCategory } from "@realmbox/abi";
import { toPem } from "@realmbox/attest";
import { fromHex, toHex } from "@realmbox/token";
import {
  type BuildStep,
  CONSOLE_KINDS,
  type Disk,
  type MachineContent,
  MemoryDisk,
  machineContent,
  VIRTIO_TRANSPORTS,
  type VmConfig,
  type VmmError,
} from "@realmbox/vmm";
import { Box, type BoxOptions } from "../box.js";
import { nodeCrypto } from "../crypto/node.js";
import { openDisks, parseDisk } from "../disk.js";
import type { Guest, GuestEnd, RunAsyncOptions } from "../guest.js";
import { hostTime } from "../host-time.js";
import { exitOf, makeReport, measure, type Report, realmPlatform, reportText } from "../report.js";
import { Session } from "../terminal/session.js";
import { parseCategories, traceLine } from "../trace-text.js";
import { checkRun } from "./check-translator.js";
import { findImage, type Image, notesOf, paramsOf, readInput } from "./images.js";
import { profileOf } from "./profile.js";
import { parseCount, parseMemory } from "./size.js";
import { EXIT, UsageError } from "./usage.js";

/** Options as commander gives them: kvmtool's names. */
export interface RunFlags {
  readonly realm?: boolean;
  readonly kernel?: string;
  readonly cpus?: string;
  readonly mem?: string;
  readonly initrd?: string;
  readonly params?: string;
  readonly nodefaults?: boolean;
  readonly disk?: readonly string[];
  readonly rng?: boolean;
  readonly console?: string;
  readonly virtioTransport?: string;
  readonly kaslrSeed?: string;
  readonly measurementAlgo?: string;
  readonly pmu?: boolean;
  readonly pmuCounters?: string;
  readonly realmPv?: string;
  readonly dumpDtb?: string;
  readonly pes?: string;
  readonly seed?: string;
  readonly interleave?: string;
  readonly rmm?: string;
  readonly challenge?: string;
  readonly cpakOut?: string;
  readonly clock?: string;
  readonly timeout?: string;
  readonly maxInstructions?: string;
  readonly trace?: string;
  readonly traceOut?: string;
  readonly jit?: string;
  readonly checkTranslator?: string;
  readonly profile?: string;
  readonly symbols?: readonly string[];
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export const CPUS_MAX = 8;
/** What the architecture has room for. */
const PMU_COUNTERS_MAX = 31;
/** What a guest may have of the machine's frames (board `base`), so that the stack's own needs are met. */
const MEMORY_MAX = 3n << 30n;

/** The image that a positional or `-k` names; exactly one of the two. */
export function imageOf(positional: string | undefined, flags: Pick<RunFlags, "kernel">): Image {
  if (positional !== undefined && flags.kernel !== undefined) {
    throw new UsageError(
      `both an image ('${positional}') and --kernel ('${flags.kernel}') are given`,
      "give one of them",
    );
  }
  if (flags.kernel !== undefined) return findImage("option '-k, --kernel'", flags.kernel);
  if (positional === undefined)
    throw new UsageError("no image given", "name a file or a built-in image: realmbox run --realm hello");
  return findImage("image", positional);
}

/**
 * The guest's configuration; `UsageError` names the option. `disks` are those of `-d`, opened; without them the disks have
 * no content, which a measurement does not see.
 */
export function configOf(
  image: Image,
  flags: RunFlags,
  disks: readonly Disk[] = (flags.disk ?? []).map((argument) => {
    const { readOnly } = parseDisk(argument);
    return new MemoryDisk(0, { readOnly });
  }),
): VmConfig {
  const algorithm = flags.measurementAlgo;
  if (algorithm !== undefined && algorithm !== "sha256" && algorithm !== "sha512") {
    throw new UsageError(`option '--measurement-algo': '${algorithm}' is neither sha256 nor sha512`);
  }
  const memory = flags.mem === undefined ? undefined : parseMemory(flags.mem);
  if (memory !== undefined && memory.size > MEMORY_MAX) {
    throw new UsageError(`option '-m, --mem': ${flags.mem} is more than the machine has`, "3G is the most");
  }
  const initrd = flags.initrd === undefined ? image.fetched?.initrd : readInput("option '-i, --initrd'", flags.initrd);
  const params = paramsOf(image, flags);
  return {
    kernel: image.bytes,
    ...(initrd === undefined ? {} : { initrd }),
    ...(params === undefined ? {} : { params }),
    nodefaults: flags.nodefaults ?? false,
    disks,
    rng: flags.rng ?? false,
    console: parseChoice("--console", flags.console ?? "serial", CONSOLE_KINDS),
    virtioTransport: parseChoice("--virtio-transport", flags.virtioTransport ?? "mmio", VIRTIO_TRANSPORTS),
    cpus: flags.cpus === undefined ? 1 : parseCount("-c, --cpus", flags.cpus, { min: 1, max: CPUS_MAX }),
    ...(memory === undefined ? {} : { memory: memory.size }),
    ...(memory?.base === undefined ? {} : { ramBase: memory.base }),
    ...(flags.kaslrSeed === undefined ? {} : { kaslrSeed: parseInteger("--kaslr-seed", flags.kaslrSeed) }),
    realm: flags.realm ?? false,
    pmu: flags.pmu ?? false,
    ...(flags.pmuCounters === undefined
      ? {}
      : { pmuCounters: parseCount("--pmu-counters", flags.pmuCounters, { min: 0, max: PMU_COUNTERS_MAX }) }),
    ...(algorithm === undefined ? {} : { measurementAlgorithm: algorithm }),
    ...(flags.realmPv === undefined ? {} : { personalizationValue: new TextEncoder().encode(flags.realmPv) }),
  };
}

export function parseChoice<T extends string>(option: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === text);
  if (choice === undefined) {
    const hint = text.startsWith("pci") ? "there is no PCI: virtio devices are on MMIO" : undefined;
    throw new UsageError(`option '${option}': '${text}' is neither ${choices.join(" nor ")}`, hint);
  }
  return choice;
}

export function parseInteger(option: string, text: string): bigint {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text) || BigInt(text) >= 1n << 64n) {
    throw new UsageError(`option '${option}': '${text}' is not an unsigned 64-bit number`);
  }
  return BigInt(text);
}

export function parseSeconds(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0)) throw new UsageError(`option '--timeout': '${text}' is not a positive number of seconds`);
  return value * 1000;
}

/** A VMM error as a usage error that names the image. */
export const refused = (image: Image, { message, hint }: VmmError): UsageError =>
  new UsageError(`${image.name}: ${message}`, hint);

export function challengeOf(flags: RunFlags): Uint8Array {
  if (flags.challenge === undefined) return new Uint8Array(64);
  if (flags.challenge === "random") return new Uint8Array(randomBytes(64));
  const bytes = fromHex(flags.challenge);
  if (bytes === undefined || bytes.length < 1 || bytes.length > 64) {
    throw new UsageError("option '--challenge': not 1 to 64 bytes in hexadecimal", "or write --challenge random");
  }
  return bytes;
}

const CLOCK_KINDS = ["virtual", "host"] as const;

/** Whether the guest's time is the host's. */
function followsHost(flags: RunFlags): boolean {
  const isHost = parseChoice("--clock", flags.clock ?? "virtual", CLOCK_KINDS) === "host";
  if (isHost && flags.maxInstructions !== undefined) {
    throw new UsageError("--max-instructions counts on the machine's own clock: not with --clock host");
  }
  return isHost;
}

interface Outcome {
  readonly box: Box;
  readonly guest: Guest;
  readonly end: GuestEnd;
  readonly report: Report;
}

/** Output sinks of a run. */
export interface RunOutput {
  readonly console: (bytes: Uint8Array) => void;
  /** Where `console` goes, and passing on what it holds. */
  readonly consoleFd: 1 | 2;
  readonly flush: () => void;
  readonly progress: (line: string) => void;
  /** A trace line with its end, when traces do not go to a file. The console's half lines wait for it. */
  readonly trace: (line: string) => void;
}

/** Boots a box, builds the guest, runs it to its end. */
export async function runImage(image: Image, config: VmConfig, flags: RunFlags, output: RunOutput): Promise<Outcome> {
  const isHostClock = followsHost(flags);
  const timeout = parseSeconds(flags.timeout);
  const limit =
    flags.maxInstructions === undefined
      ? undefined
      : parseCount("--max-instructions", flags.maxInstructions, { min: 1, max: Number.MAX_SAFE_INTEGER });
  const challenge = challengeOf(flags);
  const content = machineContent(config);
  if (!content.ok) throw refused(image, content.error);
  if (flags.dumpDtb !== undefined) writeOutput("option '--dump-dtb'", flags.dumpDtb, content.value.deviceTree);
  const options = boxOptionsOf(content.value, flags);
  const profile = profileOf(flags, image.name, (path, text) => writeOutput("option '--profile'", path, text));
  const trace = traceOf(flags, output);

  const { realm = false } = config;
  for (const note of notesOf(image, { ...flags, realm })) output.progress(note);
  const started = Date.now();
  const rmmLines = lineSplitter((line) => output.progress(`rmm: ${line}`));
  const box = bootBox({
    ...options,
    ...(options.rmm === undefined ? {} : { onRmmConsole: rmmLines }),
    ...(isHostClock ? { clock: hostTime } : {}),
    trace: {
      categories: ["boot", ...(trace?.categories ?? [])].filter(
        (name, i, all) => all.indexOf(name) === i,
      ) as TraceCategory[],
      listener: (event) => {
        if (trace?.categories.includes(event.category)) trace.write(`${traceLine(event)}\n`);
        else output.progress(bootLine(event));
      },
    },
  });
  if (flags.cpakOut !== undefined) {
    writeOutput("option '--cpak-out'", flags.cpakOut, toPem({ curve: "P-384", point: box.identity.cpak }));
  }
  const created = box.createGuest(config, {
    onConsole: output.console,
    challenge,
    ...(isHostClock ? { startDate: started } : {}),
    onStep: (step) => output.progress(stepLine(step)),
  });
  if (!created.ok) throw refused(image, created.error);
  const guest = created.value;
  output.progress(config.realm ? `running ${image.name} as a realm` : `running ${image.name} as a normal VM`);
  const profiling = profile?.(box.machine);
  const end = await runInSession(guest, output, {
    timeoutMs: timeout - (Date.now() - started),
    ...(limit === undefined ? {} : { instructions: limit }),
    ...(profiling === undefined ? {} : { profiler: profiling.profiler }),
  });
  profiling?.end();
  const report = makeReport({ box, guest, end, image: image.name, challenge });
  trace?.end();
  return { box, guest, end, report };
}

/** The box that the options ask for, for a guest with this content. */
export function boxOptionsOf(content: MachineContent, flags: RunFlags): BoxOptions {
  const { pes, seed, interleave, rmm } = flags;
  return {
    crypto: nodeCrypto,
    ...(rmm === undefined ? {} : { rmm: readInput("option '--rmm'", rmm) }),
    pes: pes === undefined ? content.cpus : parseCount("--pes", pes, { min: 1, max: CPUS_MAX }),
    dramSize: dramFor(content),
    seed: seed === undefined ? 0n : parseInteger("--seed", seed),
    ...(interleave === undefined ? {} : { interleave: parseInteger("--interleave", interleave) }),
  };
}

/** Boots a box; an RMM that does not fit or boot is the user's. */
export function bootBox(options: BoxOptions): Box {
  try {
    return new Box(options);
  } catch (error) {
    if (error instanceof RangeError && options.rmm) throw new UsageError(`option '--rmm': ${error.message}`);
    throw error;
  }
}

/** Bytes to lines, without their ends. */
function lineSplitter(emit: (line: string) => void): (byte: number) => void {
  let line: number[] = [];
  return (byte) => {
    if (byte === 13) return;
    if (byte !== 10) {
      line.push(byte);
      return;
    }
    emit(String.fromCharCode(...line));
    line = [];
  };
}

/** Runs a guest with this process's standard input, terminal and signals. */
async function runInSession(
  guest: Guest,
  { consoleFd, console, flush }: RunOutput,
  options: Pick<RunAsyncOptions, "instructions" | "profiler"> & { readonly timeoutMs: number },
): Promise<GuestEnd> {
  const session = new Session({
    consoleFd,
    timeoutMs: options.timeoutMs,
    say: (text) => {
      console(Buffer.from(text));
      flush();
    },
    onEnd: (why) => guest.vm.stop(why),
    onResize: (size) => guest.vm.setConsoleSize(size),
  });
  try {
    const end = await guest.runAsync({
      signal: session.signal,
      onPause: flush,
      ...(session.source === undefined ? {} : { source: session.source }),
      ...(options.instructions === undefined ? {} : { instructions: options.instructions }),
      ...(options.profiler === undefined ? {} : { profiler: options.profiler }),
    });
    return end.kind === "cancelled" ? (session.ending ?? end) : end;
  } finally {
    session.close();
  }
}

/**
 * Host DRAM for a guest: its memory twice (the shared half and the private one), tables, and room for the Host itself.
 * Pages take memory only when touched.
 */
const dramFor = ({ ram }: MachineContent): bigint => {
  const MiB = 1n << 20n;
  const wanted = ram.size * 2n + ram.size / 128n + 128n * MiB;
  return (wanted + 64n * MiB - 1n) & ~(64n * MiB - 1n);
};

const fieldsText = (fields: BuildStep["fields"] | StampedTraceEvent["fields"]): string =>
  Object.entries(fields)
    .map(([key, value]) => ` ${key} ${typeof value === "bigint" ? `0x${value.toString(16)}` : value}`)
    .join("");
const bootLine = (event: StampedTraceEvent): string => `boot: ${event.name}${fieldsText(event.fields)}`;
const stepLine = (step: BuildStep): string => `build: ${step.name}${fieldsText(step.fields)}`;

export function traceOf(flags: Pick<RunFlags, "trace" | "traceOut">, output: Pick<RunOutput, "trace">) {
  if (flags.trace === undefined) {
    if (flags.traceOut !== undefined)
      throw new UsageError("--trace-out without --trace", "add --trace or --trace=rmi,rec");
    return undefined;
  }
  const parsed = parseCategories(flags.trace);
  if ("unknown" in parsed) {
    throw new UsageError(`option '--trace': there is no category '${parsed.unknown}'`, TRACE_CATEGORIES.join(", "));
  }
  if (flags.traceOut === undefined) {
    return { categories: parsed.categories, write: output.trace, end: () => {} };
  }
  const path = flags.traceOut;
  let chunk: string[] = [];
  let first = true;
  const flush = () => {
    writeOutput("option '--trace-out'", path, chunk.join(""), first ? "w" : "a");
    first = false;
    chunk = [];
  };
  flush();
  return {
    categories: parsed.categories,
    write: (line: string) => {
      if (chunk.push(line) >= 10_000) flush();
    },
    end: flush,
  };
}

/** Writes a file that an option names; `UsageError` names both. */
export function writeOutput(option: string, path: string, data: Uint8Array | string, flag: "w" | "a" = "w"): void {
  try {
    writeFileSync(path, data, { flag });
  } catch (error) {
    throw new UsageError(`${option}: cannot write '${path}': ${(error as NodeJS.ErrnoException).code}`);
  }
}

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes all of it to a descriptor, however slowly the other end reads. A closed pipe, or a terminal that is gone, ends the
 * writing, not the run.
 */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE" || code === "EIO") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(sleepCell, 0, 0, 1);
    }
  }
}

const writeTrace = (line: string): void => writeAll(2, Buffer.from(line));

/** A console writer that hands whole lines to the descriptor, and the rest when asked to. */
export function lineWriter(fd: number): { write: (bytes: Uint8Array) => void; flush: () => void } {
  let line: number[] = [];
  const flush = () => {
    if (line.length > 0) writeAll(fd, Uint8Array.from(line));
    line = [];
  };
  return {
    write: (bytes) => {
      for (const byte of bytes) {
        line.push(byte);
        if (byte === 10 || line.length >= 4096) flush();
      }
    },
    flush,
  };
}

/** Opens the disks of `-d` for as long as `run` takes. */
async function withDisks<T>(
  flags: RunFlags,
  warn: (line: string) => void,
  run: (disks: readonly Disk[]) => Promise<T>,
): Promise<T> {
  const disks = openDisks(flags.disk ?? [], { warn });
  try {
    return await run(disks);
  } finally {
    for (const disk of disks) disk.close();
  }
}

export async function runCommand(positional: string | undefined, flags: RunFlags): Promise<number> {
  const image = imageOf(positional, flags);
  if (flags.checkTranslator !== undefined) return checkRun(image, flags);
  const consoleFd = flags.json ? 2 : 1;
  const console = lineWriter(consoleFd);
  const tell = (line: string) => {
    console.flush();
    writeAll(2, Buffer.from(`${line}\n`));
  };
  const progress = (line: string) => {
    if (!flags.quiet) tell(line);
  };
  const { report } = await withDisks(
    flags,
    (line) => tell(`realmbox: ${line}`),
    (disks) => {
      const config = configOf(image, flags, disks);
      const { write, flush } = console;
      return runImage(image, config, flags, { console: write, consoleFd, flush, progress, trace: writeTrace });
    },
  );
  console.flush();
  if (flags.json) writeAll(1, Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
  if (!flags.quiet) writeAll(2, Buffer.from(reportText(report)));
  else if (report.exit >= EXIT.TIMEOUT) writeAll(2, Buffer.from(`realmbox: ${report.end}\n`));
  return report.exit;
}

export interface TokenFlags extends RunFlags {
  readonly out: string;
}

/** `realmbox token --out FILE IMAGE`: runs the image as a realm and writes its token. */
export async function tokenCommand(positional: string | undefined, flags: TokenFlags): Promise<number> {
  const image = imageOf(positional, flags);
  const console = lineWriter(2);
  const { guest, end, report } = await withDisks(
    flags,
    (line) => writeAll(2, Buffer.from(`realmbox: ${line}\n`)),
    (disks) => {
      const config = configOf(image, { ...flags, realm: true }, disks);
      return runImage(image, config, flags, {
        console: flags.quiet ? () => {} : console.write,
        consoleFd: 2,
        flush: console.flush,
        progress: (line) => {
          if (!flags.quiet) writeAll(2, Buffer.from(`${line}\n`));
        },
        trace: writeTrace,
      });
    },
  );
  console.flush();
  if (guest.token === undefined) {
    writeAll(2, Buffer.from(`realmbox: ${image.name} ended without handing over a token: ${exitOf(end).why}\n`));
    return report.exit === 0 ? EXIT.CRASHED : report.exit;
  }
  writeOutput("option '--out'", flags.out, guest.token);
  if (flags.json) writeAll(1, Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
  if (!flags.quiet) writeAll(2, Buffer.from(reportText(report)));
  return report.exit;
}

/** `realmbox measure IMAGE`: the RIM that the same `run --realm` would have, without running the guest. */
export function measureCommand(positional: string | undefined, flags: RunFlags): number {
  const image = imageOf(positional, flags);
  const config = configOf(image, { ...flags, realm: true });
  const content = machineContent(config);
  if (!content.ok) throw refused(image, content.error);
  // What the platform gives to every realm is the RMM's to say: boot it and ask.
  const box = new Box({ crypto: nodeCrypto });
  const rmm = box.host.rmm;
  if (rmm === undefined) throw new UsageError("the machine has no Realm Management Monitor");
  const rim = toHex(measure(nodeCrypto, content.value, realmPlatform(rmm.features0)));
  const algorithm = content.value.measurementAlgorithm;
  writeAll(
    1,
    Buffer.from(
      flags.json ? `${JSON.stringify({ schemaVersion: 1, image: image.name, algorithm, rim })}\n` : `${rim}\n`,
    ),
  );
  return EXIT.OK;
}
