/**
 * The real machine with Root Monitor and RMM, and a Host that does what the test tells it: one RMI call after another.
 * Between calls the Host's PEs make a harmless SMC over and over, so that each run of the machine can begin with a call.
 */
import { PSCI_FID, parseRmiReturnCode, RMI_FID, type RmiCommand, SMCCC_VERSION, type TraceEvent } from "@realmbox/abi";
import { baseBoard, generateInterpreter, Machine, type Pe, R, SMC } from "@realmbox/machine";
import { createMonitor } from "@realmbox/monitor";
import { nodeCrypto } from "../../../realmbox/src/crypto/node.js";
import { createRmm, type GranuleState } from "../index.js";
import type { RmiOutcome } from "./stand-in.js";

const CPU_ON = PSCI_FID.PSCI_CPU_ON_64;
const STATES = ["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const;

/** Made once for all machines of a test file. */
const ENGINE = generateInterpreter();

interface Call {
  readonly x: readonly bigint[];
  /** X0 to X7 on return. */
  result?: bigint[];
}

export class RealMachine {
  readonly machine: Machine;
  readonly events: TraceEvent[] = [];
  /** Emitted guest instructions allowed for one call. */
  limit = 20_000_000;
  private readonly calls = new Map<number, Call>();
  private readonly making = new Map<number, Call>();
  private job: ((pe: Pe) => void) | undefined;

  constructor(options: { pes?: number } = {}) {
    const board = baseBoard({ peCount: options.pes ?? 1, dramSize: 64n << 20n });
    const machine = new Machine({ board, engine: ENGINE });
    this.machine = machine;
    machine.trace.subscribe(["rmi", "rsi", "psci", "rec", "fault", "granule"], (event) => void this.events.push(event));
    const rmm = createRmm({ crypto: nodeCrypto, board, trace: machine.trace });
    const native = { kind: "native" } as const;
    machine.install(
      "root-el3",
      createMonitor({
        machine,
        crypto: nodeCrypto,
        seed: Uint8Array.of(1),
        rmm: { ...native, image: rmm.image },
        host: native,
      }),
    );
    machine.install("realm-el2", rmm);
    machine.install("ns-el2", { name: "test Host", image: Uint8Array.of(1), step: (pe) => this.step(pe) });
    machine.reset();
    machine.run();
    for (let index = 1; index < board.peCount; index++) this.smc(0, [CPU_ON, BigInt(index), 0x8000_0000n, 0n]);
    this.events.length = 0;
  }

  get pes(): readonly Pe[] {
    return this.machine.pes;
  }

  private step(pe: Pe) {
    const made = this.making.get(pe.index);
    if (made) {
      made.result = Array.from({ length: 8 }, (_, n) => pe.r[R.X0 + n]!);
      this.making.delete(pe.index);
    }
    if (pe.index === 0 && this.job) {
      this.job(pe);
      this.job = undefined;
    }
    const next = this.calls.get(pe.index);
    this.calls.delete(pe.index);
    if (next) {
      this.making.set(pe.index, next);
      next.x.forEach((value, n) => {
        pe.r[R.X0 + n] = value;
      });
      return SMC;
    }
    this.machine.stop("the Host waits for a call");
    pe.r[R.X0] = SMCCC_VERSION;
    return SMC;
  }

  /** Makes an SMC on a PE and runs until it has returned. Other PEs go on meanwhile. */
  smc(index: number, x: readonly bigint[]): bigint[] {
    const call = this.begin(index, x);
    const end = this.machine.now + this.limit;
    while (!call.result) {
      if (this.machine.now >= end) throw new Error("the call takes too long");
      const { kind } = this.machine.run({ instructions: this.limit });
      if (kind !== "stopped" && kind !== "limit") throw new Error(`the run ended: ${kind}`);
    }
    return call.result;
  }

  /** Runs for so many counts of the clock. */
  runFor(clock: number): void {
    const end = this.machine.now + clock;
    while (this.machine.now < end) this.machine.run({ instructions: end - this.machine.now });
  }

  /** Does something as the Host on PE 0: its ports and registers. */
  asHost<T>(job: (pe: Pe) => T): T {
    let result: T | undefined;
    this.job = (pe) => {
      result = job(pe);
    };
    while (this.job) this.machine.run();
    return result as T;
  }

  /** Begins an SMC on a PE; it is made when the machine runs. */
  begin(index: number, x: readonly bigint[]): Call {
    const call: Call = { x };
    this.calls.set(index, call);
    return call;
  }

  /** Bytes of a page, whatever its PAS: what only a test can see. */
  page(pa: bigint): Uint8Array {
    const { memory } = this.machine;
    const host = memory.host(Number(pa & ~0xfffn));
    return memory.u8.subarray(host, host + 4096);
  }

  write(pa: bigint, data: Uint8Array): void {
    this.page(pa).set(data, Number(pa & 0xfffn));
  }

  granuleState(pa: bigint): GranuleState {
    const { realm, dram } = this.machine.board;
    const at = realm.base + 0x15_0000n + ((pa - dram[0]!.base) / 4096n) * 2n;
    return STATES[this.page(at)[Number(at & 0xfffn) + 1]! >> 4]!;
  }

  rmiOn(index: number, fid: bigint, args: readonly bigint[]): RmiOutcome {
    const x = [fid, ...Array.from({ length: 7 }, (_, i) => args[i] ?? 0n)];
    return this.outcomeOf(this.smc(index, x));
  }

  outcomeOf([x0, ...out]: readonly bigint[]): RmiOutcome {
    const condition = this.events.findLast((e) => e.category === "rmi")?.fields.condition;
    const { status, index } = parseRmiReturnCode(x0!) ?? { status: "unknown", index: 0 };
    return {
      status,
      index,
      out: out.slice(0, 4),
      ...(condition === undefined ? {} : { condition: String(condition) }),
    };
  }

  rmi(command: RmiCommand, ...args: bigint[]): RmiOutcome {
    return this.rmiOn(0, RMI_FID[command], args);
  }

  ok(command: RmiCommand, ...args: bigint[]): bigint[] {
    const { status, index, condition, out } = this.rmi(command, ...args);
    if (status !== "RMI_SUCCESS")
      throw new Error(`${command}(${args.map((a) => a.toString(16))}): ${status} ${index} ${condition}`);
    return [...out];
  }
}
