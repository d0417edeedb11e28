/**
 * The smallest machine on which the RMM's step runs: PE state, memory with a GPI per granule, and an EL3 that serves the
 * RMM-EL3 calls. No instruction is executed: tests play the Host (`rmi`) and the Realm (`trap`). What needs translation,
 * timers or an interpreter is tested on the real machine.
 */
import { createHash } from "node:crypto";
import {
  bits,
  Gpi,
  GRANULE_SIZE,
  Pas,
  parseRmiReturnCode,
  RMI_FID,
  RMM_EL3_FID,
  RMM_EL3_VERSION_0_8,
  type RmiCommand,
  rmmEl3Code,
  rmmManifest,
  SecurityState,
  type TraceEvent,
} from "@realmbox/abi";
import {
  type BlockMove,
  baseBoard,
  type Fault,
  type Firmware,
  type MemoryPort,
  type Move,
  PE_STATE_SLOTS,
  type Pe,
  R,
  type SlotExit,
} from "@realmbox/machine";
import { nodeCrypto } from "../../../realmbox/src/crypto/node.js";
import { createRmm, type GranuleState } from "../index.js";

export const board = baseBoard({ peCount: 4, dramSize: 64n << 20n });
export const DRAM = board.dram[0]!.base;
/** The first granule after DRAM: not delegable. */
export const DRAM_END = DRAM + board.dram[0]!.size;
export const SHARED_PAGE = board.realm.base;

/** The sample RAK that Arm's reference firmware carries is not needed: any scalar will do. */
const RAK = Uint8Array.from({ length: 48 }, (_, i) => i + 1);
/** Its public key, computed once for all stand-ins. */
const RAK_PUBLIC = nodeCrypto.ecPublicKey("P-384", RAK);
export const PLATFORM_TOKEN = Uint8Array.from({ length: 1500 }, (_, i) => (i * 7) & 0xff);

const ID_REGISTERS: Readonly<Record<string, bigint>> = {
  MIDR_EL1: 0x410f_d0f0n,
  ID_AA64MMFR0_EL1: bits(3, 0).of(5), // 48 bits
  ID_AA64MMFR1_EL1: bits(7, 4).of(2), // 16-bit VMIDs
  ID_AA64DFR0_EL1: (0x1n << 12n) | (0x1n << 20n) | 0x6n | (0xfn << 32n) | (0x5n << 8n), // 2 breakpoints, 2 watchpoints, more
  ICH_VTR_EL2: 3n | bits(31, 29).of(4) | bits(28, 26).of(4), // 4 list registers, 5 priority bits, 16-bit INTIDs
  ICH_MISR_EL2: 0n,
};

/** Bytes of the stand-in's memory: what no test touches costs nothing. */
const MEMORY_SIZE = 32 << 20;

export class StandIn {
  readonly carveOut = board.realm.base;
  /** PE states and pages in the order of their first touch: what block moves have addresses in. */
  readonly memory = new Uint8Array(MEMORY_SIZE);
  private memoryUsed = 0;
  readonly pages = new Map<bigint, Uint8Array>();
  readonly gpi = new Map<bigint, number>();
  /** Pages at which no memory answers. */
  readonly absent = new Set<bigint>();
  readonly tlbi: unknown[] = [];
  /** What a PE has left of the clock whenever firmware computes. */
  computeAtMost = Number.POSITIVE_INFINITY;
  readonly events: TraceEvent[] = [];
  readonly pes: StandInPe[];
  readonly rmm: Firmware;
  /** How EL3 misbehaves, for boot tests. */
  el3 = {
    realmKey: true,
    platformToken: PLATFORM_TOKEN as Uint8Array | undefined,
    chunk: 1000,
    challenge: new Uint8Array(),
  };
  /** Nobody listens to the trace: for measurements. */
  quiet = false;
  /** Timer controls as `timerCtl` gives them, ISTATUS included. */
  timers = { CNTV: 0n, CNTP: 0n };

  constructor() {
    this.pes = Array.from({ length: board.peCount }, (_, i) => new StandInPe(this, i));
    this.rmm = createRmm({
      crypto: { ...nodeCrypto, ecPublicKey: () => RAK_PUBLIC },
      board,
      trace: { wants: () => !this.quiet, emit: (event) => void this.events.push(event) },
    });
    for (let pa = board.realm.base; pa < board.realm.base + board.realm.size; pa += 4096n) this.gpi.set(pa, Gpi.REALM);
  }

  /** The next `size` bytes of the memory. */
  take(size: number): Uint8Array {
    const start = this.memoryUsed;
    this.memoryUsed += size;
    if (this.memoryUsed > MEMORY_SIZE) throw new Error("the stand-in's memory is used up");
    return this.memory.subarray(start, this.memoryUsed);
  }

  page(pa: bigint): Uint8Array {
    const base = pa & ~0xfffn;
    let page = this.pages.get(base);
    if (!page) {
      page = this.take(GRANULE_SIZE);
      this.pages.set(base, page);
    }
    return page;
  }

  gpiOf(pa: bigint): number {
    const known = this.gpi.get(pa & ~0xfffn);
    if (known !== undefined) return known;
    return pa >= DRAM && pa < DRAM_END ? Gpi.NS : Gpi.ROOT;
  }

  /** Delegable granules with content or a GPI of their own. */
  granules(): readonly bigint[] {
    const known = new Set([...this.pages.keys(), ...this.gpi.keys()]);
    return [...known].filter((pa) => pa >= DRAM && pa < DRAM_END);
  }

  /** Writes as the Host would, whatever the GPI: tests only write where the Host may. */
  write(pa: bigint, data: Uint8Array): void {
    this.page(pa).set(data, Number(pa & 0xfffn));
  }

  /** State of a granule, read from the RMM's table. */
  granuleState(pa: bigint): GranuleState {
    const at = board.realm.base + 0x15_0000n + ((pa - DRAM) / 4096n) * 2n;
    const entry = this.page(at)[Number(at & 0xfffn) + 1]! >> 4;
    return (["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const)[entry]!;
  }

  refcount(pa: bigint): number {
    const at = board.realm.base + 0x15_0000n + ((pa - DRAM) / 4096n) * 2n;
    const page = this.page(at);
    return page[Number(at & 0xfffn)]! | ((page[Number(at & 0xfffn) + 1]! & 0xf) << 8);
  }

  /** The RMM's context of a PE. */
  rmmPeContext(index: number): bigint {
    return board.realm.base + 0x10_8000n + BigInt(index) * 4096n;
  }

  /** Everything that delegable memory and the RMM hold, as one digest: a refused command leaves it as it was. */
  fingerprint(): string {
    const hash = createHash("sha256");
    for (const pa of [...this.pages.keys()].sort((a, b) => (a < b ? -1 : 1))) {
      const page = this.pages.get(pa)!;
      if (page.some((byte) => byte !== 0)) hash.update(`${pa}`).update(page);
    }
    for (const [pa, gpi] of [...this.gpi].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (gpi !== (pa >= DRAM && pa < DRAM_END ? Gpi.NS : Gpi.REALM)) hash.update(`${pa} ${gpi}`);
    }
    return hash.digest("hex");
  }

  boot(
    overrides: {
      pe?: number;
      x0?: bigint;
      version?: bigint;
      count?: bigint;
      page?: bigint;
      manifest?: Uint8Array;
    } = {},
  ): bigint {
    const pe = this.pes[overrides.pe ?? 0]!;
    this.write(SHARED_PAGE, overrides.manifest ?? rmmManifest(SHARED_PAGE, board.dram));
    pe.r[R.X0] = overrides.x0 ?? BigInt(pe.index);
    pe.r[R.X0 + 1] = overrides.version ?? RMM_EL3_VERSION_0_8;
    pe.r[R.X0 + 2] = overrides.count ?? BigInt(board.peCount);
    pe.r[R.X0 + 3] = overrides.page ?? SHARED_PAGE;
    const exit = this.rmm.step(pe, { kind: "start" });
    if (exit.kind !== "smc" || pe.r[R.X0] !== RMM_EL3_FID.RMM_BOOT_COMPLETE) throw new Error("boot did not complete");
    return BigInt.asIntN(64, pe.r[R.X0 + 1]!);
  }

  /** Boots all PEs. */
  bootAll(): this {
    for (const pe of this.pes) {
      const status = pe.index === 0 ? this.boot() : this.boot({ pe: pe.index, version: 0n, count: 0n, page: 0n });
      if (status !== 0n) throw new Error(`boot status ${status}`);
    }
    this.events.length = 0;
    return this;
  }

  /** An RMI call of the Host on PE 0; `undefined` when the REC has been entered. */
  rmi(command: RmiCommand, ...args: bigint[]): RmiOutcome {
    const outcome = this.rmiOn(0, RMI_FID[command], args);
    if (!outcome) throw new Error(`${command} entered a REC`);
    return outcome;
  }

  rmiOn(index: number, fid: bigint, args: readonly bigint[]): RmiOutcome | undefined {
    const pe = this.pes[index]!;
    pe.r[R.X0] = fid;
    for (let i = 0; i < 7; i++) pe.r[R.X0 + 1 + i] = args[i] ?? 0x5b5b_0000n + BigInt(i);
    return this.outcome(pe, this.rmm.step(pe, { kind: "return" }));
  }

  outcome(pe: StandInPe, exit: SlotExit): RmiOutcome | undefined {
    if (exit.kind === "eret") return undefined;
    if (exit.kind !== "smc" || pe.r[R.X0] !== RMM_EL3_FID.RMI_REQ_COMPLETE) throw new Error("not the end of a command");
    const x0 = pe.r[R.X0 + 1]!;
    const out = [0, 1, 2, 3].map((i) => pe.r[R.X0 + 2 + i]!);
    const event = this.events.findLast((e) => e.category === "rmi");
    const condition = event?.fields.condition;
    const { status, index } = parseRmiReturnCode(x0) ?? { status: "unknown" as const, index: 0 };
    return { status, index, out, ...(condition === undefined ? {} : { condition: String(condition) }) };
  }

  /** Succeeds or throws. */
  ok(command: RmiCommand, ...args: bigint[]): readonly bigint[] {
    const { status, index, condition, out } = this.rmi(command, ...args);
    if (status !== "RMI_SUCCESS")
      throw new Error(`${command}(${args.map((a) => a.toString(16))}): ${status} ${index} ${condition}`);
    return out;
  }
}

export interface RmiOutcome {
  readonly status: string;
  readonly index: number;
  readonly condition?: string;
  /** X1 to X4. */
  readonly out: readonly bigint[];
}

const viewOf = ({ buffer, byteOffset }: Uint8Array): DataView => new DataView(buffer, byteOffset, GRANULE_SIZE);

class StandInPort implements MemoryPort {
  readonly pas: Pas;
  private readonly machine: StandIn;
  constructor(machine: StandIn, pas: Pas) {
    this.machine = machine;
    this.pas = pas;
  }

  private refused(pa: bigint, length: number): Fault | undefined {
    if (this.machine.absent.has(pa & ~0xfffn))
      return { fault: "external", stage: 0, level: 0, onWalk: false, s1ptw: false, pa };
    const allowed = this.pas === Pas.NS ? Gpi.NS : Gpi.REALM;
    for (let at = pa & ~0xfffn; at < pa + BigInt(length); at += 4096n) {
      if (this.machine.gpiOf(at) !== allowed)
        return { fault: "granule-protection", stage: 0, level: 1, onWalk: false, s1ptw: false, pa: at };
    }
    return undefined;
  }

  private chunks(pa: bigint, length: number, visit: (page: Uint8Array, done: number) => void): void {
    for (let done = 0; done < length; ) {
      const at = pa + BigInt(done);
      const n = Math.min(length - done, GRANULE_SIZE - Number(at & 0xfffn));
      const start = Number(at & 0xfffn);
      visit(this.machine.page(at).subarray(start, start + n), done);
      done += n;
    }
  }

  copyIn(pa: bigint, into: Uint8Array) {
    const fault = this.refused(pa, into.length);
    if (!fault) this.chunks(pa, into.length, (page, done) => into.set(page, done));
    return fault;
  }
  copyOut(pa: bigint, from: Uint8Array) {
    const fault = this.refused(pa, from.length);
    if (!fault) this.chunks(pa, from.length, (page, done) => page.set(from.subarray(done, done + page.length)));
    return fault;
  }
  read64(pa: bigint) {
    return this.refused(pa, 8) ?? viewOf(this.machine.page(pa)).getBigUint64(Number(pa & 0xfffn), true);
  }
  write64(pa: bigint, value: bigint) {
    const fault = this.refused(pa, 8);
    if (!fault) viewOf(this.machine.page(pa)).setBigUint64(Number(pa & 0xfffn), value, true);
    return fault;
  }
  zero(pa: bigint, length: number) {
    const fault = this.refused(pa, length);
    if (!fault) this.chunks(pa, length, (page) => page.fill(0));
    return fault;
  }
  granule(addr: bigint | number) {
    const pa = BigInt(addr);
    return this.refused(pa, GRANULE_SIZE) ?? this.machine.page(pa);
  }
  page(pfn: number) {
    return this.granule(pfn * GRANULE_SIZE);
  }
}

export class StandInPe implements Pe {
  readonly index: number;
  readonly mpidr: bigint;
  readonly bytes: Uint8Array;
  readonly r: BigUint64Array;
  readonly w: Int32Array;
  readonly el = 2;
  readonly state = SecurityState.REALM;
  readonly slot = "realm-el2";
  pstate = 0n;
  nzcv = 0n;
  private readonly machine: StandIn;
  private tokenLeft: Uint8Array | undefined;

  constructor(machine: StandIn, index: number) {
    this.machine = machine;
    this.index = index;
    this.mpidr = BigInt(index);
    this.bytes = machine.take(8 * PE_STATE_SLOTS);
    const { buffer, byteOffset } = this.bytes;
    this.r = new BigUint64Array(buffer, byteOffset, PE_STATE_SLOTS);
    this.w = new Int32Array(buffer, byteOffset, 2 * PE_STATE_SLOTS);
  }

  mrs(name: string): bigint {
    const value = ID_REGISTERS[name];
    if (value === undefined) throw new Error(`unknown register ${name}`);
    return value;
  }
  msr(name: string): void {
    throw new Error(`unexpected write of ${name}`);
  }
  timerCtl(timer: string): bigint {
    return this.machine.timers[timer as "CNTV"];
  }
  port(pas: Pas): MemoryPort {
    return new StandInPort(this.machine, pas);
  }
  tlbi(operation: unknown): void {
    this.machine.tlbi.push(operation);
  }
  invalidateGranule(): void {
    throw new Error("granule transitions are EL3's");
  }
  blockMove(moves: readonly Move[]): BlockMove {
    return (...bases) => {
      for (const { from, to, size } of moves) {
        const source = bases[from.base] + from.offset;
        this.machine.memory.copyWithin(bases[to.base] + to.offset, source, source + size);
      }
    };
  }

  compute(counts: number): number {
    return Math.min(counts, this.machine.computeAtMost);
  }

  /** EL3: granule transitions and attestation services. */
  smcNow(): void {
    const [fid, x1, x2, x3] = [0, 1, 2, 3].map((i) => this.r[R.X0 + i]!) as [bigint, bigint, bigint, bigint];
    const { machine } = this;
    const transition = (from: number, to: number) => {
      if (machine.gpiOf(x1) !== from) return rmmEl3Code("E_RMM_BAD_PAS");
      machine.gpi.set(x1, to);
      return rmmEl3Code("E_RMM_OK");
    };
    switch (fid) {
      case RMM_EL3_FID.RMM_GTSI_DELEGATE:
        this.r[R.X0] = transition(Gpi.NS, Gpi.REALM);
        return;
      case RMM_EL3_FID.RMM_GTSI_UNDELEGATE:
        this.r[R.X0] = transition(Gpi.REALM, Gpi.NS);
        return;
      case RMM_EL3_FID.RMM_ATTEST_GET_REALM_KEY:
        if (machine.el3.realmKey) machine.write(x1, RAK);
        this.r[R.X0] = rmmEl3Code(machine.el3.realmKey ? "E_RMM_OK" : "E_RMM_UNK");
        this.r[R.X0 + 1] = 48n;
        return;
      case RMM_EL3_FID.RMM_ATTEST_GET_PLAT_TOKEN: {
        if (x3 !== 0n) {
          machine.el3.challenge = machine.page(x1).slice(0, Number(x3));
          this.tokenLeft = machine.el3.platformToken;
        }
        if (!this.tokenLeft) {
          this.r[R.X0] = rmmEl3Code("E_RMM_UNK");
          return;
        }
        const chunk = this.tokenLeft.subarray(0, Math.min(Number(x2), machine.el3.chunk));
        this.tokenLeft = this.tokenLeft.subarray(chunk.length);
        machine.write(x1, chunk);
        this.r[R.X0] = rmmEl3Code("E_RMM_OK");
        this.r[R.X0 + 1] = BigInt(chunk.length);
        this.r[R.X0 + 2] = BigInt(this.tokenLeft.length);
        return;
      }
      default:
        throw new Error(`unexpected EL3 call ${fid.toString(16)}`);
    }
  }
}
