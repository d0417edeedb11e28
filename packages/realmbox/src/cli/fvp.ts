/**
 * `realmbox fvp`: runs an image built for NS-EL2 of Arm's FVP Base platform and reports what it said. The suite's console is
 * on stdout as it comes, everything else on stderr; with `--json` the report alone is on stdout and the console on stderr.
 */
import { closeSync, existsSync, openSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeCrypto } from "../crypto/node.js";
import {
  Fvp,
  type FvpEnd,
  type FvpImageSource,
  type FvpOptions,
  fvpProblem,
  fvpReportText,
  junitXml,
  SUITE_KINDS,
  SUITE_UART,
} from "../fvp/index.js";
import { traceLine } from "../trace-text.js";
import { checkFvp } from "./check-translator.js";
import { readInput } from "./images.js";
import {
  CPUS_MAX,
  lineWriter,
  parseChoice,
  parseInteger,
  parseSeconds,
  traceOf,
  writeAll,
  writeOutput,
} from "./run.js";
import { parseCount } from "./size.js";
import { closest } from "./suggest.js";
import { EXIT, UsageError } from "./usage.js";

/** Options as commander gives them. */
export interface FvpFlags {
  readonly ns?: string;
  readonly rmm?: string;
  readonly secure?: string;
  readonly secureEl?: string;
  readonly hwConfig?: string;
  readonly flash0?: string;
  readonly flash1?: string;
  readonly report?: string;
  readonly junit?: string;
  readonly json?: boolean;
  readonly timeout?: string;
  readonly maxInstructions?: string;
  readonly maxResets?: string;
  readonly seed?: string;
  readonly interleave?: string;
  readonly pes?: string;
  readonly dram2?: boolean;
  readonly uart?: readonly string[];
  readonly suite?: string;
  readonly trace?: string;
  readonly traceOut?: string;
  readonly jit?: string;
  readonly checkTranslator?: string;
  readonly quiet?: boolean;
}

const UARTS = 4;
const SUITES = [...SUITE_KINDS, "none"] as const;

/** Folders that may hold the built-in images: beside the bundle, or the workspace's own when run from the sources. */
const FOLDERS = ["./fvp-images", "../../../../guests/prebuilt-fvp"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

/** An image by file name, or the name of a built-in one, as with `run`. */
function readImage(option: string, name: string): FvpImageSource {
  if (name.includes("/") || existsSync(name)) return { name, bytes: readInput(option, name) };
  const folder = FOLDERS.find((path) => existsSync(path));
  const files = folder === undefined ? [] : readdirSync(folder).filter((file) => file.endsWith(".bin"));
  const names = files.map((file) => basename(file, ".bin"));
  if (folder !== undefined && names.includes(name)) {
    return { name, bytes: readInput(option, join(folder, `${name}.bin`)) };
  }
  const near = closest(name, names);
  const hint = near === undefined ? `built in: ${names.join(", ")}; a file may be anywhere` : `did you mean ${near}?`;
  throw new UsageError(`${option}: no file and no built-in image '${name}'`, hint);
}

/** `IMAGE[@ADDRESS]`; a file whose name ends like an address is the file. */
function readPlacedImage(option: string, text: string): FvpOptions["ns"] {
  const match = existsSync(text) ? null : /^(.+)@(.*)$/.exec(text);
  if (!match) return readImage(option, text);
  const address = match[2]!;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(address)) {
    throw new UsageError(`${option}: '${address}' is not an address`, "write a number: --ns image.bin@0x88000000");
  }
  return { ...readImage(option, match[1]!), address: BigInt(address) };
}

const fileOf = (option: string, path: string | undefined): FvpImageSource | undefined =>
  path === undefined ? undefined : { name: path, bytes: readInput(option, path) };

/** Where each UART's output goes: `N=FILE`, or `N=-` for the console. */
function uartFiles(options: readonly string[]): ReadonlyMap<number, string> {
  const files = new Map<number, string>();
  for (const text of options) {
    const match = /^(\d)=(.+)$/.exec(text);
    if (!match || Number(match[1]) >= UARTS) {
      throw new UsageError(`option '--uart': '${text}' is not N=FILE or N=- with N from 0 to ${UARTS - 1}`);
    }
    files.set(Number(match[1]), match[2]!);
  }
  return files;
}

interface Writer {
  readonly write: (bytes: Uint8Array) => void;
  readonly flush: () => void;
}

/** Opens what `--uart` names, and sends the suites' UARTs to the console. */
function openUarts(flags: FvpFlags, suite: FvpOptions["suite"], consoleFd: 1 | 2) {
  const files = uartFiles(flags.uart ?? []);
  const onConsole =
    suite === undefined ? Object.values(SUITE_UART) : suite === "none" ? [SUITE_UART.tftf] : [SUITE_UART[suite]];
  const opened: number[] = [];
  const writers = new Map<number, Writer>();
  for (let uart = 0; uart < UARTS; uart++) {
    const file = files.get(uart) ?? (onConsole.includes(uart) ? "-" : undefined);
    if (file === undefined) continue;
    let fd: number = consoleFd;
    if (file !== "-") {
      writeOutput("option '--uart'", file, "");
      fd = openSync(file, "a");
      opened.push(fd);
    }
    writers.set(uart, lineWriter(fd));
  }
  const flush = () => {
    for (const writer of writers.values()) writer.flush();
  };
  return {
    write: (uart: number, byte: number) => writers.get(uart)?.write(Uint8Array.of(byte)),
    flush,
    close: () => {
      flush();
      for (const fd of opened) closeSync(fd);
    },
  };
}

/** SIGINT and SIGTERM end the run with its report. */
function catchSignals() {
  let end: FvpEnd | undefined;
  const names = ["SIGINT", "SIGTERM"] as const;
  const handlers = names.map((name) => {
    const handler = () => {
      end ??= { kind: "signal", number: constants.signals[name], why: `${name} ended the run` };
    };
    process.on(name, handler);
    return () => process.removeListener(name, handler);
  });
  return {
    interrupted: () => end,
    release: () => {
      for (const remove of handlers) remove();
    },
  };
}

export async function fvpCommand(flags: FvpFlags): Promise<number> {
  const started = performance.now();
  if (flags.ns === undefined) throw new UsageError("option '--ns <image>' is missing", "realmbox fvp --ns el2");
  const timeoutMs = parseSeconds(flags.timeout);
  const limit = countOf("--max-instructions", flags.maxInstructions, Number.MAX_SAFE_INTEGER);
  const suite = flags.suite === undefined ? undefined : parseChoice("--suite", flags.suite, SUITES);
  const ns = readPlacedImage("option '--ns'", flags.ns);
  const rmm = flags.rmm === undefined ? undefined : readImage("option '--rmm'", flags.rmm);
  const secure = flags.secure === undefined ? undefined : readPlacedImage("option '--secure'", flags.secure);
  const secureEl = parseChoice("--secure-el", flags.secureEl ?? "1", ["1", "2"]) === "1" ? 1 : 2;
  const hwConfig = fileOf("option '--hw-config'", flags.hwConfig);
  const flash = [fileOf("option '--flash0'", flags.flash0), fileOf("option '--flash1'", flags.flash1)] as const;
  const resetsMax = countOf("--max-resets", flags.maxResets, 1_000_000, 0);
  const options = {
    ns,
    ...(rmm === undefined ? {} : { rmm }),
    ...(secure === undefined ? {} : { secure: { ...secure, el: secureEl as 1 | 2 } }),
    ...(hwConfig === undefined ? {} : { hwConfig }),
    flash,
    dram2: flags.dram2 ?? false,
    ...(flags.pes === undefined ? {} : { pes: parseCount("--pes", flags.pes, { min: 1, max: CPUS_MAX }) }),
    ...(flags.seed === undefined ? {} : { seed: parseInteger("--seed", flags.seed) }),
    ...(flags.interleave === undefined ? {} : { interleave: parseInteger("--interleave", flags.interleave) }),
    ...(resetsMax === undefined ? {} : { resetsMax }),
    ...(suite === undefined ? {} : { suite }),
  };
  const problem = fvpProblem(options);
  if (problem !== undefined) throw new UsageError(problem);
  if (flags.checkTranslator !== undefined) return checkFvp(options, flags);
  // Better now than after the run.
  if (flags.report !== undefined) writeOutput("option '--report'", flags.report, "");
  if (flags.junit !== undefined) writeOutput("option '--junit'", flags.junit, "");

  const uarts = openUarts(flags, suite, flags.json ? 2 : 1);
  const tell = (text: string) => {
    uarts.flush();
    writeAll(2, Buffer.from(text));
  };
  const trace = traceOf(flags, { trace: tell });
  const signals = catchSignals();
  try {
    const fvp = new Fvp({
      ...options,
      crypto: nodeCrypto,
      onUart: uarts.write,
      ...(trace === undefined
        ? {}
        : { trace: { categories: trace.categories, listener: (event) => trace.write(`${traceLine(event)}\n`) } }),
    });
    const end = await fvp.runAsync({
      interrupted: signals.interrupted,
      ...(limit === undefined ? {} : { instructions: limit }),
      ...(Number.isFinite(timeoutMs) ? { timeoutMs: timeoutMs - (performance.now() - started) } : {}),
    });
    const report = fvp.report(end);
    uarts.flush();
    const json = `${JSON.stringify(report, null, 2)}\n`;
    if (flags.report !== undefined) writeOutput("option '--report'", flags.report, json);
    if (flags.junit !== undefined) writeOutput("option '--junit'", flags.junit, junitXml(report));
    if (flags.json) writeAll(1, Buffer.from(json));
    if (!flags.quiet) writeAll(2, Buffer.from(fvpReportText(report)));
    else if (report.exit >= EXIT.TIMEOUT) writeAll(2, Buffer.from(`realmbox: ${report.end.why}\n`));
    return report.exit;
  } finally {
    signals.release();
    trace?.end();
    uarts.close();
  }
}

const countOf = (option: string, text: string | undefined, max: number, min = 1): number | undefined =>
  text === undefined ? undefined : parseCount(option, text, { min, max });
