/**
 * One run: the machine with the real Root Monitor and RMM, the observer around the RMM, and in slot ns-el2 a Host that makes
 * the operations of a source, one after another, each on its PE. An operation begins when the one before has begun and its
 * own PE is free, so that RECs run on some PEs while the Host goes on on others. Equal operations, equal runs.
 */
import {
  type Crypto,
  Pas,
  PSCI_FID,
  RMI_FID,
  RmiRealmParams,
  SMCCC_NOT_SUPPORTED,
  type StampedTraceEvent,
  type TraceCategory,
} from "@realmbox/abi";
import {
  baseBoard,
  type Firmware,
  GICR_FRAME_SIZE,
  GROUPS,
  isFault,
  Machine,
  type MemoryPort,
  type Pe,
  R,
  type SlotEvent,
  type SlotExit,
  SMC,
  WFI,
} from "@realmbox/machine";
import { createMonitor } from "@realmbox/monitor";
import { createRmm } from "@realmbox/rmm";
import { SECRET } from "./agent.js";
import { Inspection, Violation } from "./inspection.js";
import { bigPaOf, DRAM, DRAM_END, GRANULES, HOST_FIRST, PAGE, paOf, SECURE } from "./layout.js";
import { GPI_NS, GPI_SECURE, Ledger } from "./ledger.js";
import { MARKER, Observer } from "./observer.js";
import { granuleOf } from "./rmi-verdict.js";
import type { Operation } from "./script.js";
import { sources } from "./sources.js";

export interface OperationSource {
  /** The next operation; `free`: PEs that do nothing. Undefined: that was all. */
  next(run: Run): Operation | undefined;
  /** What came out of a Host's call: X0 to X4. */
  done?(operation: Operation, x: readonly bigint[], run: Run): void;
}

export interface RunOptions {
  readonly crypto: Crypto;
  /** The interpreter, generated once for all runs. */
  readonly engine: Uint8Array;
  readonly pes: number;
  readonly seed: number;
  /** Seed by which the PEs interleave; 0: equal turns. */
  readonly interleave: number;
  readonly source: OperationSource;
  /** The RMM that is fuzzed: the native one when absent. */
  readonly createRmm?: typeof createRmm;
  /** Look at everything after each call, not after each thousandth. */
  readonly thorough?: boolean;
  /** Called with the trace of RMI, RSI and PSCI calls. */
  readonly onTrace?: (event: StampedTraceEvent) => void;
}

/** Why a run has ended. */
export type RunOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "violation"; readonly invariant: string; readonly sentence: string };

const TRACED: readonly TraceCategory[] = ["rmi", "rsi", "psci"];
/** A limit for machine.run between two looks at the operations' progress, in counts of the clock. */
const PATIENCE = 5_000_000;
/** Ticks of the counter between two looks of a PE that waits for its turn. */
const IDLE_TICKS = 3n;
const PPI_EL2_TIMER = 26;
const PPIS = (1 << 25) | (1 << PPI_EL2_TIMER) | (1 << 27) | (1 << 30);
const RMI_FIRST = 0xc400_0150;
const RMI_LAST = 0xc400_018f;
const { EL1, EL2, FP, DEBUG, ICC, PMU } = GROUPS;
/** Registers of the Host that calls preserve, beside the general ones. SMCCC; DEN0137, "REC exit". */
const PRESERVED = [EL1, EL2, FP, DEBUG, ICC, PMU] as const;

export class Run {
  readonly machine: Machine;
  readonly ledger: Ledger;
  /** Undefined until the Host has set things up. */
  observer: Observer | undefined;
  inspection: Inspection | undefined;
  /** Operations that have begun. */
  begun = 0;
  /** Calls to interfaces other than RMI. */
  otherCalls = 0;
  private readonly options: RunOptions;
  private readonly rmm: Firmware;
  private readonly hosts: HostPe[] = [];
  private nextOne: Operation | undefined;
  private ready = 0;
  private ended = false;

  constructor(options: RunOptions) {
    const { crypto, engine, pes, seed, interleave } = options;
    this.options = options;
    const board = baseBoard({ peCount: pes, dramSize: BigInt(GRANULES * PAGE), frameBytes: 8 << 20 });
    const machine = new Machine({ board, engine, seed: BigInt(seed), interleave: BigInt(interleave) });
    this.machine = machine;
    this.ledger = new Ledger(crypto);
    this.rmm = (options.createRmm ?? createRmm)({ crypto, board, trace: machine.trace });
    const native = { kind: "native" } as const;
    machine.install(
      "root-el3",
      createMonitor({
        machine,
        crypto,
        seed: Uint8Array.of(seed),
        image: Uint8Array.of(1),
        rmm: { ...native, image: this.rmm.image },
        host: native,
      }),
    );
    machine.install("realm-el2", {
      name: this.rmm.name,
      image: this.rmm.image,
      step: (pe, event) => (this.observer ?? this.rmm).step(pe, event),
    });
    machine.install("ns-el2", {
      name: "hostile Host",
      image: Uint8Array.of(1),
      step: (pe, event) => this.host(pe, event),
    });
    machine.reset();
  }

  /** PEs that make no call now. */
  get free(): readonly number[] {
    return this.hosts.flatMap((host, pe) => (host.made === undefined ? [pe] : []));
  }

  /** All calls so far. */
  get calls(): number {
    return (this.observer?.rmiCalls ?? 0) + (this.observer?.realmCalls ?? 0) + this.otherCalls;
  }

  play(): RunOutcome {
    const { machine } = this;
    try {
      for (;;) {
        const before = this.begun;
        const end = machine.run({ instructions: PATIENCE });
        if (end.kind === "stopped") break;
        // A realm that takes nothing but exceptions is interrupted, as a Host's timer tick would.
        if (end.kind === "exception-loop") this.interrupt();
        else if (end.kind !== "limit")
          throw new Violation("the machine goes on", `the machine ends: ${JSON.stringify(end)}`);
        else if (before === this.begun) throw new Violation("the machine goes on", "a call does not end");
      }
      if (!this.ended) throw new Violation("the machine goes on", "something has stopped the machine");
      this.inspection!.full(() => "at the end");
      return { kind: "done" };
    } catch (error) {
      if (error instanceof Violation) return { kind: "violation", invariant: error.invariant, sentence: error.message };
      const { message, stack } = error as Error;
      return { kind: "violation", invariant: "no crash", sentence: `${message}\n${stack}` };
    }
  }

  private interrupt(): void {
    for (const pe of this.machine.pes) if (pe.el < 2) pe.r[R.CNTHP_CVAL_EL2] = 0n;
  }

  // The Host

  private host(pe: Pe, event: SlotEvent): SlotExit {
    const host = (this.hosts[pe.index] ??= new HostPe(pe));
    if (host.setUp) {
      const { done, value } = host.setUp.next();
      if (!done) return value as SlotExit;
      host.setUp = undefined;
      if (++this.ready === this.machine.pes.length) this.arm();
    } else if (event.kind === "start") {
      // The first start; or the way back from a PSCI call that has put the PE to sleep.
      if (host.made) host.made = undefined;
      else {
        host.setUp = this.setUp(pe);
        return this.host(pe, event);
      }
      setUpCpu(this.machine, pe);
    } else if (host.made && event.kind === "return") {
      this.complete(host);
    } else if (event.kind === "exception") {
      throw new Violation("the machine goes on", `the Host takes an exception on PE ${pe.index}`);
    }
    return this.goOn(host);
  }

  private goOn(host: HostPe): SlotExit {
    const { pe } = host;
    if (!this.observer) return host.idle(this.machine.counter());
    for (;;) {
      this.nextOne ??= this.options.source.next(this);
      const operation = this.nextOne;
      if (!operation) {
        if (this.free.length === this.machine.pes.length) {
          this.ended = true;
          this.machine.stop("all operations are done");
        }
        return host.idle(this.machine.counter());
      }
      if (operation.pe !== pe.index) return host.idle(this.machine.counter());
      this.nextOne = undefined;
      this.begun++;
      if (operation.kind === "smc") return host.call(operation, this.machine.counter());
      this.access(pe.port(Pas.NS), operation);
    }
  }

  /** An access of the Host: it succeeds where the ledger says Non-secure, and nowhere else. */
  private access(port: MemoryPort, operation: Exclude<Operation, { kind: "smc" }>): void {
    const pa = operation.pa & ~7n;
    const granule = granuleOf(pa & ~0xfffn);
    const { root, realm } = this.machine.board;
    const inside = [root, realm].some(({ base, size }) => pa >= base && pa < base + size);
    if (granule < 0 && !inside) return;
    const allowed = granule >= 0 && this.ledger.gpi[granule] === GPI_NS;
    const value = operation.kind === "read" ? port.read64(pa) : port.write64(pa, operation.value);
    const refused = typeof value === "object" && isFault(value);
    if (refused !== !allowed)
      throw new Violation(
        "the Host stays in its memory",
        `the Host's ${operation.kind} of 0x${pa.toString(16)} is ${refused ? "refused" : "not refused"}`,
      );
    if (typeof value === "bigint" && value >> 32n === BigInt(SECRET) && !this.inspection!.secretsAreOut)
      throw new Violation("secrets stay private", `the Host reads a realm's secret at 0x${pa.toString(16)}`);
  }

  private complete(host: HostPe): void {
    const operation = host.made!;
    host.made = undefined;
    const { pe } = host;
    const fid = Number(operation.x[0]! & 0xfffe_ffffn);
    const isRmi = fid >= RMI_FIRST && fid < RMI_LAST;
    if (!isRmi) {
      this.otherCalls++;
      checkOther(fid, pe.r[R.X0]!);
    }
    host.checkRegisters(isRmi ? 5 : 8, operation);
    const x = Array.from({ length: 5 }, (_, n) => pe.r[R.X0 + n]!);
    this.options.source.done?.(operation, x, this);
  }

  // Set-up

  /** From the first instruction on: interrupt controller, the other PEs, and what the RMM offers. */
  private *setUp(pe: Pe): Generator<SlotExit, void> {
    const { machine, ledger } = this;
    const port = pe.port(Pas.NS);
    setUpCpu(machine, pe);
    if (pe.index !== 0) return;
    write32(port, machine.board.gicd, 0x12);
    for (const { mpidr } of machine.pes.slice(1)) {
      yield* smc(pe, [PSCI_FID.PSCI_CPU_ON_64, mpidr & 0xff_00ff_ffffn, BigInt(DRAM), 0n]);
    }
    const [, featureRegister0] = yield* smc(pe, [RMI_FID.RMI_FEATURES, 0n]);
    const [rd, rtt, params] = [bigPaOf(0), bigPaOf(1), bigPaOf(HOST_FIRST)];
    for (const pa of [rd, rtt]) yield* smc(pe, [RMI_FID.RMI_GRANULE_DELEGATE, pa]);
    const P = RmiRealmParams.fields;
    const words = {
      [P.s2sz.offset]: 33n,
      [P.num_bps.offset]: 1n,
      [P.num_wps.offset]: 1n,
      [P.rtt_base.offset]: rtt,
      [P.rtt_level_start.offset]: 1n,
      [P.rtt_num_start.offset]: 1n,
    };
    writePage(port, params, words);
    yield* smc(pe, [RMI_FID.RMI_REALM_CREATE, rd, params]);
    const [, auxCount] = yield* smc(pe, [RMI_FID.RMI_REC_AUX_COUNT, rd]);
    yield* smc(pe, [RMI_FID.RMI_REALM_DESTROY, rd]);
    for (const pa of [rd, rtt]) yield* smc(pe, [RMI_FID.RMI_GRANULE_UNDELEGATE, pa]);
    ledger.offer = { featureRegister0: featureRegister0!, auxCount: Number(auxCount) };
    for (const [n, bytes] of sources().entries()) port.copyOut(bigPaOf(HOST_FIRST + 16 + n), bytes);
  }

  /** All PEs are there: from now on everything is watched. */
  private arm(): void {
    const { machine, ledger } = this;
    this.giveToSecure();
    const inspection = new Inspection(machine, ledger);
    const pe = machine.pes[0]!;
    const vtr = pe.mrs("ICH_VTR_EL2");
    const gic = {
      listRegisters: Number(vtr & 0x1fn) + 1,
      priorityBits: Number(vtr >> 29n) + 1,
      idBits: ((vtr >> 23n) & 7n) === 0n ? 16 : 24,
    };
    this.inspection = inspection;
    this.observer = new Observer(this.rmm, { ledger, inspection, gic });
    this.observer.thorough = this.options.thorough ?? false;
    const tlbi = machine.tlbi.bind(machine);
    machine.tlbi = (pe, operation) => {
      this.observer?.noteTlbi(operation);
      tlbi(pe, operation);
    };
    if (this.options.onTrace) machine.trace.subscribe(TRACED, this.options.onTrace);
    for (const { pe } of this.hosts) plantMarkers(pe);
    inspection.full(() => "before the first call");
  }

  /** Granules of the Secure world: their GPIs, as Secure firmware's boot would have left them. */
  private giveToSecure(): void {
    const { machine } = this;
    const { memory } = machine;
    const gptbr = Number(machine.pes[0]!.r[R.GPTBR_EL3]! & 0xff_ffff_ffffn) * PAGE;
    for (const granule of SECURE) {
      const pa = paOf(granule);
      const l0 = memory.i32[memory.host(gptbr + Math.floor(pa / 2 ** 30) * 8) >>> 2]!;
      const n = Math.floor(pa / PAGE) & 15;
      const at = memory.host(((l0 & ~0xfff) >>> 0) + (Math.floor(pa / 2 ** 16) % 2 ** 14) * 8 + (n >> 3) * 4) >>> 2;
      const shift = (n & 7) * 4;
      memory.i32[at] = (memory.i32[at]! & ~(0xf << shift)) | (GPI_SECURE << shift);
      machine.invalidateGranules(pa, PAGE);
    }
  }
}

/** One PE of the Host. */
class HostPe {
  readonly pe: Pe;
  setUp: Generator<SlotExit, void> | undefined;
  /** The call that is under way. */
  made: Extract<Operation, { kind: "smc" }> | undefined;
  private readonly before = PRESERVED.map(({ count }) => new BigUint64Array(count));
  private readonly general = new BigUint64Array(31);

  constructor(pe: Pe) {
    this.pe = pe;
  }

  /** Waits, and lets the others go on: for a few ticks, so that time passes even when all others wait. */
  idle(now: bigint): SlotExit {
    this.pe.r[R.CNTHP_CVAL_EL2] = now + IDLE_TICKS;
    this.pe.r[R.CNTHP_CTL_EL2] = 1n;
    return WFI;
  }

  call(operation: Extract<Operation, { kind: "smc" }>, now: bigint): SlotExit {
    const { pe, general } = this;
    const { r } = pe;
    const { x, pages, time } = operation;
    const port = pe.port(Pas.NS);
    for (const [pa, words] of pages ?? []) writePage(port, pa, words);
    for (let n = 0; n < 31; n++) {
      r[R.X0 + n] = n < x.length ? x[n]! : n < 8 ? 0n : (BigInt(MARKER) << 32n) | BigInt(n);
    }
    r[R.CNTHP_CVAL_EL2] = now + BigInt(time);
    r[R.CNTHP_CTL_EL2] = time > 0 ? 1n : 0n;
    general.set(r.subarray(R.X0, R.X0 + 31));
    for (const [n, { first, count }] of PRESERVED.entries()) this.before[n]!.set(r.subarray(first, first + count));
    this.made = operation;
    return SMC;
  }

  /** Everything that calls preserve is as it was. `results`: general registers that may have changed. */
  checkRegisters(results: number, { x }: { readonly x: readonly bigint[] }): void {
    const { r } = this.pe;
    const what = () =>
      `SMC(${x
        .slice(0, 5)
        .map((value) => `0x${value.toString(16)}`)
        .join(", ")})`;
    r[R.CNTHP_CTL_EL2] = 0n;
    for (let n = results; n < 31; n++) {
      if (r[R.X0 + n] !== this.general[n])
        throw new Violation(
          "the Host keeps its registers",
          `${what()} changes X${n} to 0x${r[R.X0 + n]!.toString(16)}`,
        );
    }
    for (let g = 0; g < PRESERVED.length; g++) {
      const { first, count } = PRESERVED[g]!;
      const before = this.before[g]!;
      for (let n = 0; n < count; n++) {
        if (r[first + n] === before[n]) continue;
        const name = Object.keys(R).find((key) => R[key as keyof typeof R] === first + n);
        throw new Violation(
          "the Host keeps its registers",
          `${what()} changes ${name} to 0x${r[first + n]!.toString(16)}`,
        );
      }
    }
  }
}

/** Values in the Host's registers that no realm may find in its own. */
function plantMarkers({ r }: Pe): void {
  const marker = (n: number) => (BigInt(MARKER) << 32n) | BigInt(n);
  for (const name of [
    "SP_EL0",
    "SP_EL1",
    "ELR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "FAR_EL1",
    "MAIR_EL1",
    "CONTEXTIDR_EL1",
    "TPIDR_EL1",
    "TPIDR_EL0",
    "TPIDRRO_EL0",
    "PAR_EL1",
    "CNTV_CVAL_EL0",
    "CNTP_CVAL_EL0",
  ] as const)
    r[R[name]] = marker(R[name]);
  for (let n = 0; n < 64; n++) r[R.V0 + n] = marker(n);
}

/** An SMC of the set-up. */
function* smc(pe: Pe, x: readonly bigint[]): Generator<SlotExit, readonly bigint[]> {
  for (let n = 0; n < 8; n++) pe.r[R.X0 + n] = x[n] ?? 0n;
  yield SMC;
  return [pe.r[R.X0]!, pe.r[R.X0 + 1]!];
}

function writePage(port: MemoryPort, pa: bigint, words: Readonly<Record<number, bigint>>): void {
  if (port.zero(pa, PAGE)) return;
  for (const offset in words) port.write64(pa + BigInt(offset), words[offset]!);
}

function write32(port: MemoryPort, pa: bigint, value: number): void {
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, value, true);
  port.copyOut(pa, word);
}

/** Redistributor and CPU interface: the timers' interrupts come, at equal priority. IHI 0069. */
function setUpCpu({ board }: Machine, pe: Pe): void {
  const port = pe.port(Pas.NS);
  const frame = board.gicr + BigInt(GICR_FRAME_SIZE * pe.index) + 0x1_0000n;
  for (let intid = 0; intid < 32; intid++) {
    if (((PPIS >>> intid) & 1) === 1) port.copyOut(frame + 0x400n + BigInt(intid), Uint8Array.of(0x80));
  }
  write32(port, frame + 0x100n, PPIS);
  pe.msr("ICC_SRE_EL2", 0xfn);
  pe.msr("ICC_PMR_EL1", 0xf0n);
  pe.msr("ICC_BPR1_EL1", 0n);
  pe.msr("ICC_IGRPEN1_EL1", 1n);
}

/** A call to another interface ends with a value that the interface knows. DEN0022, DEN0028. */
function checkOther(fid: number, x0: bigint): void {
  if (x0 === SMCCC_NOT_SUPPORTED) return;
  const value = BigInt.asIntN(64, x0);
  const isPsci = (fid & ~0x4000_001f) >>> 0 === 0x8400_0000 && value >= -9n && value <= 0x1_0001n;
  const isArch = fid >>> 24 === 0x80 && value >= -4n && value <= 0x1_0005n;
  if (!isPsci && !isArch) throw new Violation("results", `SMC 0x${fid.toString(16)} answers 0x${x0.toString(16)}`);
}

/** Whether a number is in the fuzzer's DRAM. */
export const inDram = (pa: number): boolean => pa >= DRAM && pa < DRAM_END;
