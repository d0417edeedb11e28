/**
 * The board `fvp` with Root Monitor and RMM, and a program of the user's at NS-EL2: test suites built for Arm's FVP Base
 * platform, hypervisors, experiments. The library's second entry beside `Box`, for programs that run such an image to its
 * end and look at the results. Nothing here needs Node.
 *
 * The program is foreign code: whatever it does, a run ends by one of `FvpEnd`, and what is kept of its output is bounded.
 */
import type { Crypto, StampedTraceEvent, TraceCategory } from "@realmbox/abi";
import {
  FVP_IMAGES,
  FVP_PES,
  fvpBoard,
  instructionsTotal,
  type Jit,
  Machine,
  NorFlash,
  type RunEnd,
} from "@realmbox/machine";
import {
  type ConfigBlob,
  createMonitor,
  type ImageProblem,
  imageProblem,
  PSCI_SYSTEM_OFF,
  type RmmImage,
} from "@realmbox/monitor";
import { createRmm } from "@realmbox/rmm";
import { toHex } from "@realmbox/token";
import { ENGINE } from "../build-info.js";
import { identityOf, seedBytes } from "../firmware.js";
import { type HostTime, hostTime } from "../host-time.js";
import { translatorReport } from "../translator-report.js";
import { AcsParser } from "./acs-parser.js";
import { ConsoleLines } from "./console-lines.js";
import type { FvpEnd } from "./fvp-end.js";
import { countsOf, type FvpImage, type FvpReport, type FvpReset, makeFvpReport } from "./fvp-report.js";
import type { Stamp, SuiteKind, SuiteParser, SuiteResults } from "./results.js";
import { TftfParser } from "./tftf-parser.js";

/** An image of the user's. */
export interface FvpImageSource {
  /** How reports call it. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface FvpOptions {
  readonly crypto: Crypto;
  /** The program at NS-EL2; default address 0x8800_0000. */
  readonly ns: FvpImageSource & { readonly address?: bigint };
  /** An RMM for R-EL2 in place of realmbox's own: a position-independent binary with TF-A's RMM boot interface. */
  readonly rmm?: FvpImageSource;
  /**
   * A program of the Secure world; default address 0x0600_0000. `el`: where it is entered, default S-EL1; with 2 there is a
   * Secure EL2. Without a program there is no Secure world, and FF-A is not answered.
   */
  readonly secure?: FvpImageSource & { readonly address?: bigint; readonly el?: 1 | 2 };
  /** A device tree for the program, at 0x8200_0000; X1 points at it. */
  readonly hwConfig?: FvpImageSource;
  /** Contents of the NOR flashes at 0x0800_0000 and 0x0C00_0000, from their first byte on; the rest is erased. */
  readonly flash?: readonly [FvpImageSource | undefined, FvpImageSource | undefined];
  /** PEs, 1 to 8; default 8. Those beyond the first start by PSCI CPU_ON. */
  readonly pes?: number;
  /** Whether the second DRAM bank, 2 GiB at 0x8_8000_0000, exists. */
  readonly dram2?: boolean;
  /** From which everything random follows: keys, RNDR. Default 0. */
  readonly seed?: bigint;
  /** Seed by which the PEs interleave, at instruction boundaries; 0, the default: they take turns of 10,000 counts. */
  readonly interleave?: bigint;
  /** Whose console to parse; default: find out. */
  readonly suite?: SuiteKind | "none";
  /** Resets in a row without a test that has a result in between, until the run ends; default 3. */
  readonly resetsMax?: number;
  /** Each byte that software sends through UART 0 to 3. */
  readonly onUart?: (uart: number, byte: number) => void;
  /** The interpreter's WebAssembly bytes; generated when absent (a tenth of a second). */
  readonly engine?: Uint8Array;
  /** Whether hot code is translated to WebAssembly; default "on". Runs do not depend on it, only their speed. */
  readonly jit?: Jit;
  /** Host time, for the report and `timeoutMs`. */
  readonly time?: HostTime;
  readonly trace?: {
    readonly categories: readonly TraceCategory[];
    readonly listener: (event: StampedTraceEvent) => void;
  };
}

/** What can be wrong about what the user gives. */
export type FvpImageOptions = Pick<FvpOptions, "ns" | "rmm" | "secure" | "hwConfig" | "flash" | "pes" | "dram2">;

export interface FvpRunOptions {
  /** Clock counts after which the run ends. */
  readonly instructions?: number;
  /** Host time after which the run ends, milliseconds. */
  readonly timeoutMs?: number;
  /** Asked every few milliseconds of host time; an answer ends the run. */
  readonly interrupted?: () => FvpEnd | undefined;
}

/** The UARTs on which the suites speak. */
export const SUITE_UART: Readonly<Record<SuiteKind, number>> = { acs: 2, tftf: 0 };

/** Host time between two looks at limits. */
const SLICE_MS = 10;
const SLICE_COUNTS = { first: 500_000, least: 50_000, most: 20_000_000 } as const;
/** Machine time that a suite that panics has left for its register dump. */
const PANIC_MS = 200;
const RESETS_MAX = 3;
/** Resets that a report lists. */
const RESETS_KEPT = 1000;
/** What an RMM of the TF-RMM family says about itself, on UART3. */
const RMM_BANNER = /^(?:Booting (?:TF-)?RMM|RMM-EL3 Interface|Boot Manifest Interface|RMI\/RSI ABI)\b/;
const RMM_UART = 3;
const VERSIONS_MAX = 16;

const STOP_SUITE = "suite ended";
/** With which the V2M registers end a run. */
const V2M_SHUTDOWN = "V2M shutdown";

/** Why these options cannot be run, as a sentence for the user; undefined: they can. */
export function fvpProblem(options: FvpImageOptions): string | undefined {
  const board = boardOf(options);
  const { ns, rmm, secure, hwConfig, flash = [] } = options;
  for (const [what, image] of Object.entries({
    "NS image": ns,
    RMM: rmm,
    "Secure image": secure,
    HW_CONFIG: hwConfig,
  })) {
    if (image !== undefined && image.bytes.length === 0) return `${what} '${image.name}' is empty`;
  }
  const address = ns.address ?? FVP_IMAGES.NS;
  for (const [what, image] of Object.entries({ "NS image": ns, "Secure image": secure })) {
    if (image?.address !== undefined && image.address % 4096n !== 0n) {
      return `${what} '${image.name}': address ${hex(image.address)} is not a multiple of 4 KiB`;
    }
  }
  for (const [n, contents] of flash.entries()) {
    const size = board.devices?.find((row) => row.kind === "nor-flash" && row.name === `flash${n}`);
    if (contents !== undefined && size?.kind === "nor-flash" && contents.bytes.length > size.size) {
      return `flash ${n} '${contents.name}' has ${contents.bytes.length} bytes; there is room for ${size.size}`;
    }
  }
  const problem = imageProblem(board, imagesOf(options));
  if (problem !== undefined) return problemText(problem, options);
  if (hwConfig !== undefined) {
    const end = FVP_IMAGES.HW_CONFIG + BigInt(hwConfig.bytes.length);
    if (end > address && FVP_IMAGES.HW_CONFIG < address + BigInt(ns.bytes.length)) {
      return `NS image '${ns.name}' at ${hex(address)} and HW_CONFIG at ${hex(FVP_IMAGES.HW_CONFIG)} overlap`;
    }
  }
  return undefined;
}

export class Fvp {
  readonly machine: Machine;
  readonly #options: FvpOptions;
  readonly #time: HostTime;
  readonly #parsers: readonly SuiteParser[];
  readonly #lines: readonly ConsoleLines[];
  readonly #versions: string[] = [];
  readonly #resets: FvpReset[] = [];
  #resetsInVain = 0;
  #completedAtReset = 0;
  #end: FvpEnd | undefined;
  /** Clock at which a panic is final. */
  #panicEnd = Number.POSITIVE_INFINITY;
  #counts: number = SLICE_COUNTS.first;
  #wallMs = 0;

  /** Assembles the machine, about to boot. Throws a RangeError with `fvpProblem`'s sentence. */
  constructor(options: FvpOptions) {
    const problem = fvpProblem(options);
    if (problem !== undefined) throw new RangeError(problem);
    this.#options = options;
    this.#time = options.time ?? hostTime;
    const { crypto, seed = 0n, interleave = 0n, engine = ENGINE, jit, trace } = options;
    const board = boardOf(options);
    const machine = new Machine({
      board,
      seed,
      interleave,
      ...(engine === undefined ? {} : { engine }),
      ...(jit === undefined ? {} : { jit }),
      stopwatch: () => this.#time.now() / 1000,
    });
    this.machine = machine;
    if (trace) machine.trace.subscribe(trace.categories, trace.listener);

    const { rmm, ...images } = imagesOf(options);
    const native =
      rmm === undefined
        ? createRmm({ crypto, board, trace: machine.trace, image: identityOf("rmm"), pauth: true })
        : undefined;
    if (native) machine.install("realm-el2", native);
    const rmmImage: RmmImage = rmm ?? { kind: "native", image: native!.image };
    machine.install(
      "root-el3",
      createMonitor({
        machine,
        crypto,
        seed: seedBytes(seed),
        image: identityOf("monitor"),
        rmm: rmmImage,
        ...images,
      }),
    );

    for (const [n, contents] of options.flash?.entries() ?? []) {
      const flash = machine.devices.get(`flash${n}`);
      if (contents !== undefined && flash instanceof NorFlash) flash.load(contents.bytes);
    }

    const { suite } = options;
    const wanted = (kind: SuiteKind) => suite === undefined || suite === kind;
    this.#parsers = [...(wanted("acs") ? [new AcsParser()] : []), ...(wanted("tftf") ? [new TftfParser()] : [])];
    this.#lines = [0, 1, 2, 3].map((uart) => new ConsoleLines((line) => this.#line(uart, line)));
    machine.onUartOutput = (byte, name) => this.#output(Number(name.slice("uart".length)), byte);
    machine.onReset = (reset) => this.#reset(reset.reason);
    machine.reset();
  }

  /** How the run ended; undefined: it goes on, or a limit of `run` ended it. */
  get end(): FvpEnd | undefined {
    return this.#end;
  }

  /** Results so far; undefined: nothing was recognised as a suite's. */
  get results(): SuiteResults | undefined {
    return this.#parser?.results(this.#stamp());
  }

  /** Runs to the end or a limit; nothing else runs on this thread meanwhile. May be called again after a limit. */
  run(options: FvpRunOptions = {}): FvpEnd {
    const slices = this.#slices(options);
    for (;;) {
      const slice = slices.next();
      if (slice.done) return slice.value;
    }
  }

  /** Runs likewise, and lets others run on this thread every few milliseconds. */
  async runAsync(options: FvpRunOptions = {}): Promise<FvpEnd> {
    const slices = this.#slices(options);
    for (;;) {
      const slice = slices.next();
      if (slice.done) return slice.value;
      await this.#time.pause();
    }
  }

  /** The report of what has run so far; `end` is what the last run returned. */
  report(end: FvpEnd): FvpReport {
    for (const lines of this.#lines) lines.flush();
    const { crypto, ns, rmm, secure, seed = 0n, dram2 = false } = this.#options;
    const { machine } = this;
    const image = ({ name, bytes }: FvpImageSource, address: bigint): FvpImage => ({
      name,
      size: bytes.length,
      sha256: toHex(crypto.hash("sha-256", bytes)),
      address: hex(address),
    });
    return makeFvpReport({
      images: {
        ns: image(ns, ns.address ?? FVP_IMAGES.NS),
        rmm: rmm ? image(rmm, FVP_IMAGES.RMM) : null,
        secure: secure ? image(secure, secure.address ?? FVP_IMAGES.SECURE) : null,
      },
      board: { name: machine.board.name, pes: machine.board.peCount, dram2 },
      seed,
      end,
      results: this.results,
      versions: this.#versions,
      wallMs: this.#wallMs,
      machineMs: machine.now / machine.countsPerMs,
      counts: countsOf(machine.counters),
      translator: translatorReport(machine),
      resets: this.#resets,
    });
  }

  /** One step per slice of host time. */
  *#slices({ instructions, timeoutMs, interrupted }: FvpRunOptions): Generator<undefined, FvpEnd> {
    const { machine } = this;
    const from = this.#time.now();
    const wallBefore = this.#wallMs;
    const last = machine.now + (instructions ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const end =
        this.#end ?? interrupted?.() ?? this.#limit(last, timeoutMs === undefined ? undefined : from + timeoutMs);
      if (end !== undefined) {
        // After a limit the run may go on in the middle of a line.
        if (this.#end !== undefined) for (const lines of this.#lines) lines.flush();
        return end;
      }
      const sliceFrom = this.#time.now();
      const counts = Math.min(this.#counts, last - machine.now);
      const outcome = machine.run({ instructions: counts });
      const now = this.#time.now();
      this.#wallMs = wallBefore + now - from;
      this.#adapt(outcome, now - sliceFrom);
      this.#end ??= this.#outcome(outcome);
      yield;
    }
  }

  #limit(last: number, deadline: number | undefined): FvpEnd | undefined {
    if (this.machine.now >= last) return { kind: "limit", why: "the instruction limit is reached" };
    if (deadline !== undefined && this.#time.now() >= deadline) {
      return { kind: "timeout", why: "the time limit is reached" };
    }
    return undefined;
  }

  /** Makes the next slice take about as long as wanted. */
  #adapt(outcome: RunEnd, took: number): void {
    if (outcome.kind !== "limit") return;
    const counts = took > 0 ? Math.ceil((this.#counts * SLICE_MS) / took) : SLICE_COUNTS.most;
    this.#counts = Math.min(Math.max(counts, SLICE_COUNTS.least), SLICE_COUNTS.most);
  }

  #outcome(end: RunEnd): FvpEnd | undefined {
    const panic = this.#parser?.panic;
    switch (end.kind) {
      case "limit":
      case "idle":
        if (this.machine.now < this.#panicEnd) return undefined;
        return { kind: "panic", why: panic ?? "the suite cannot go on" };
      case "deadlock":
        if (typeof panic === "string") return { kind: "panic", why: panic };
        return { kind: "deadlock", why: `nothing can happen any more: ${end.detail}` };
      case "exception-loop":
        return { kind: "exception-loop", why: end.detail };
      case "stopped":
        return this.#stopped(end.reason);
    }
  }

  #stopped(reason: string): FvpEnd | undefined {
    switch (reason) {
      case STOP_SUITE:
        return { kind: "suite", why: "the suite reached its end" };
      case PSCI_SYSTEM_OFF:
      case V2M_SHUTDOWN:
        return { kind: "off", why: `the machine was switched off: ${reason}` };
      default:
        return { kind: "stopped", why: reason };
    }
  }

  /** A reset of the machine: the images start again, unless it led nowhere too often. */
  #reset(reason: string): boolean {
    for (const lines of this.#lines) lines.flush();
    const test = this.#parser?.openTest ?? null;
    if (this.#resets.length < RESETS_KEPT) {
      this.#resets.push({ reason, machineMs: this.machine.now / this.machine.countsPerMs, test });
    }
    for (const parser of this.#parsers) parser.reset();
    this.#panicEnd = Number.POSITIVE_INFINITY;
    const completed = this.#parser?.completed ?? 0;
    this.#resetsInVain = completed > this.#completedAtReset ? 1 : this.#resetsInVain + 1;
    this.#completedAtReset = completed;
    const { resetsMax = RESETS_MAX } = this.#options;
    if (this.#resetsInVain <= resetsMax) return true;
    this.#end ??= { kind: "resets", why: `${this.#resetsInVain} resets in a row and no test finished: ${reason}` };
    return false;
  }

  /** The suite that spoke first. */
  get #parser(): SuiteParser | undefined {
    return this.#parsers.find(({ recognised }) => recognised);
  }

  #output(uart: number, byte: number): void {
    this.#options.onUart?.(uart, byte);
    this.#lines[uart]?.push(byte);
  }

  #line(uart: number, line: string): void {
    if (uart === RMM_UART && RMM_BANNER.test(line.trim()) && this.#versions.length < VERSIONS_MAX) {
      if (!this.#versions.includes(line.trim())) this.#versions.push(line.trim());
    }
    const parser = this.#parsers.find(({ kind }) => SUITE_UART[kind] === uart);
    if (parser === undefined) return;
    parser.line(line, this.#stamp());
    if (parser.ended) this.machine.stop(STOP_SUITE);
    else if (parser.panic !== null && this.#panicEnd === Number.POSITIVE_INFINITY) {
      this.#panicEnd = this.machine.now + PANIC_MS * this.machine.countsPerMs;
    }
  }

  #stamp(): Stamp {
    const { machine } = this;
    for (const pe of machine.pes) pe.account();
    return {
      instructions: instructionsTotal(machine.counters),
      machineMs: machine.now / machine.countsPerMs,
      hostMs: this.#time.now(),
    };
  }
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

const boardOf = ({ pes, dram2 }: Pick<FvpOptions, "pes" | "dram2">) =>
  fvpBoard({ peCount: pes ?? FVP_PES, secondBank: dram2 ?? false });

function imagesOf({ ns, rmm, secure, hwConfig }: FvpImageOptions) {
  const configs: ConfigBlob[] =
    hwConfig === undefined ? [] : [{ name: "HW_CONFIG", data: hwConfig.bytes, loadAt: FVP_IMAGES.HW_CONFIG }];
  return {
    host: { kind: "binary" as const, image: ns.bytes, loadAt: ns.address ?? FVP_IMAGES.NS },
    ...(rmm === undefined ? {} : { rmm: { kind: "binary" as const, image: rmm.bytes } }),
    ...(secure === undefined
      ? {}
      : {
          secure: { image: secure.bytes, loadAt: secure.address ?? FVP_IMAGES.SECURE, el: secure.el ?? (1 as const) },
        }),
    configs,
  };
}

function problemText(problem: ImageProblem, { ns, rmm, secure, dram2 }: FvpImageOptions): string {
  switch (problem.kind) {
    case "rmm-too-large":
      return `RMM '${rmm?.name}' has ${problem.size} bytes; there is room for ${problem.sizeMax}`;
    case "not-in-dram": {
      const what = problem.name === "Host image" ? `NS image '${ns.name}'` : problem.name;
      const banks = `0x80000000 to 0xfbffffff${dram2 ? " and 0x880000000 to 0x8ffffffff" : ""}`;
      return `${what}: ${problem.size} bytes at ${hex(problem.loadAt)} do not lie in Non-secure DRAM, ${banks}`;
    }
    case "not-in-secure-memory": {
      const memory = "0x6000000 to 0x7ffffff and 0xfc000000 to 0xfdbfffff";
      return `Secure image '${secure?.name}': ${problem.size} bytes at ${hex(problem.loadAt)} do not lie in Secure memory, ${memory}`;
    }
    case "too-many-configs":
      return `more than ${problem.countMax} configurations`;
  }
}
