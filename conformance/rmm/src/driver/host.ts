/**
 * The Host of a test: what a script on one PE does. Calls are real SMCs of NS-EL2; memory is reached through the PE's
 * Non-secure port, so the granule protection check applies. Knows nothing of the RMM but its interface.
 */
import {
  GRANULE_SIZE,
  Pas,
  PSCI_AFFINITY,
  PSCI_FID,
  parseRmiReturnCode,
  RMI_FID,
  type RmiCommand,
  type RmiStatus,
} from "@realmbox/abi";
import { isFault, type Pe, R, SMC, WFI } from "@realmbox/machine";
import type { Bench } from "./bench.js";
import { acknowledgeAll, sendSgi, setUpCpuInterface, setUpDistributor } from "./physical-gic.js";
import { HostError, type Script, type Task } from "./script.js";

/** X0 to X17 of an SMC's return: what SMCCC 1.2 lets a call change. */
export type Registers = readonly bigint[];

export interface RmiAnswer {
  /** What X0 says; undefined when it is no RmiCommandReturnCode. */
  readonly status: RmiStatus | undefined;
  readonly index: number;
  /** X0 to X17. */
  readonly x: Registers;
  /** X1 to X4: the outputs. */
  readonly out: Registers;
  /** Id of the condition that refused, from an RMM that tells. */
  readonly condition: string | undefined;
}

/** A call that had to succeed did not. */
export class CallRefused extends Error {
  override readonly name = "CallRefused";
  readonly answer: RmiAnswer;
  constructor(command: RmiCommand, args: readonly bigint[], answer: RmiAnswer) {
    const { status, index, condition, x } = answer;
    const what = status ? `${status} ${index}${condition ? ` (${condition})` : ""}` : `X0 0x${x[0]!.toString(16)}`;
    super(`${command}(${args.map((arg) => `0x${arg.toString(16)}`).join(", ")}): ${what}`);
    this.answer = answer;
  }
}

const PAGE = BigInt(GRANULE_SIZE);
/** X18 to X30 come back from an SMC as they were. SMCCC 1.2, "Register use in AArch64 SMC and HVC calls". */
const PRESERVED = { first: 18, last: 30 } as const;
const RESULTS = 18;
const pattern = (n: number): bigint => 0x5a5a_0000_0000_0000n + BigInt(n);

/** What the scripts of one play have in common: who has which memory and VMID. */
export class SharedByPes {
  readonly bench: Bench;
  private nextGranule: bigint;
  private readonly end: bigint;
  private nextVmid = 1;
  private distributorIsSetUp = false;

  constructor(bench: Bench) {
    this.bench = bench;
    const { base, size } = bench.board.dram[0]!;
    // Host images and manifests of boards that have any lie at the start.
    this.nextGranule = base + (size >> 2n);
    this.end = base + size;
  }

  /** `count` granules of Host memory in a row, the first aligned to `align` granules. Nothing is taken twice in a play. */
  take(count = 1, align = 1): bigint {
    const step = PAGE * BigInt(align);
    const first = ((this.nextGranule + step - 1n) / step) * step;
    this.nextGranule = first + PAGE * BigInt(count);
    if (this.nextGranule > this.end) throw new HostError("the Host's memory is used up");
    return first;
  }

  /** Granules that `take` has left. */
  get left(): bigint {
    return (this.end - this.nextGranule) / PAGE;
  }

  takeVmid(): number {
    return this.nextVmid++;
  }

  /** True once. */
  claimDistributor(): boolean {
    const first = !this.distributorIsSetUp;
    this.distributorIsSetUp = true;
    return first;
  }
}

export class Host {
  readonly shared: SharedByPes;
  readonly pe: Pe;
  private interruptsAreSetUp = false;

  constructor(shared: SharedByPes, pe: Pe) {
    this.shared = shared;
    this.pe = pe;
  }

  get bench(): Bench {
    return this.shared.bench;
  }

  // Calls

  /**
   * An SMC with X0.. = `values`; the other registers hold patterns, X0 to X17 included when `values` are fewer. Throws
   * when a register that every call preserves has changed.
   */
  *smc(...values: readonly bigint[]): Script<Registers> {
    const { r } = this.pe;
    for (let n = 0; n <= PRESERVED.last; n++) r[R.X0 + n] = values[n] ?? (n < 8 ? 0n : pattern(n));
    const event = yield SMC;
    if (event.kind !== "return") throw new HostError(`the SMC 0x${values[0]!.toString(16)} ended with ${event.kind}`);
    for (let n = PRESERVED.first; n <= PRESERVED.last; n++) {
      if (r[R.X0 + n] === pattern(n)) continue;
      throw new HostError(`the SMC 0x${values[0]!.toString(16)} changed X${n} to 0x${r[R.X0 + n]!.toString(16)}`);
    }
    return Array.from({ length: RESULTS }, (_, n) => r[R.X0 + n]!);
  }

  /** An RMI command. */
  *rmi(command: RmiCommand, ...args: readonly bigint[]): Script<RmiAnswer> {
    const { refusals } = this.bench;
    const before = refusals.length;
    const x = yield* this.smc(RMI_FID[command], ...args);
    const { status, index } = parseRmiReturnCode(x[0]!) ?? { status: undefined, index: 0 };
    const refusal = refusals.findLast((r, i) => i >= before && r.pe === this.pe.index && r.command === command);
    return { status, index, x, out: x.slice(1, 5), condition: refusal?.condition };
  }

  /** An RMI command that must succeed: X1 to X4. Throws CallRefused. */
  *ok(command: RmiCommand, ...args: readonly bigint[]): Script<Registers> {
    const answer = yield* this.rmi(command, ...args);
    if (answer.status !== "RMI_SUCCESS") throw new CallRefused(command, args, answer);
    return answer.out;
  }

  // Memory

  /** A fresh granule of Host memory, not delegated, with `content` at its start and zeros behind. */
  page(content: Uint8Array = new Uint8Array()): bigint {
    const pa = this.shared.take();
    const bytes = new Uint8Array(GRANULE_SIZE);
    bytes.set(content);
    this.write(pa, bytes);
    return pa;
  }

  /** Fresh granules that have been delegated, in a row; the first is aligned to `align` granules. */
  *delegated(count = 1, align = 1): Script<bigint> {
    const first = this.shared.take(count, align);
    for (let i = 0n; i < count; i++) yield* this.ok("RMI_GRANULE_DELEGATE", first + i * PAGE);
    return first;
  }

  /** Writes Host memory. Throws when the granule protection check, or the memory, refuses. */
  write(pa: bigint, bytes: Uint8Array): void {
    const fault = this.port().copyOut(pa, bytes);
    if (fault) throw new HostError(`a write of the Host to 0x${pa.toString(16)}: ${fault.fault}`);
  }

  read(pa: bigint, size = GRANULE_SIZE): Uint8Array {
    const bytes = new Uint8Array(size);
    const fault = this.port().copyIn(pa, bytes);
    if (fault) throw new HostError(`a read of the Host from 0x${pa.toString(16)}: ${fault.fault}`);
    return bytes;
  }

  /** Whether the Host can get at a granule: the GPT says NS or ANY. */
  canAccess(pa: bigint): boolean {
    return !isFault(this.port().read64(pa));
  }

  private port() {
    return this.pe.port(Pas.NS);
  }

  // Other PEs

  /** Turns another PE on, which plays `script` there. */
  *start<Result>(pe: number, script: (host: Host) => Script<Result>): Script<Task<Result>> {
    const { machine, board } = this.bench;
    const task = this.bench.schedule(pe, (at) => script(new Host(this.shared, at)));
    const entry = board.dram[0]!.base;
    const [x0] = yield* this.smc(PSCI_FID.PSCI_CPU_ON_64, affinityOf(machine.pes[pe]!), entry, 0n);
    if (x0 !== 0n) throw new HostError(`PSCI_CPU_ON of PE ${pe}: ${BigInt.asIntN(64, x0!)}`);
    return task;
  }

  /** Waits until a script has ended and its PE is off again; its result. */
  *join<Result>(task: Task<Result>): Script<Result> {
    const affinity = affinityOf(this.bench.machine.pes[task.pe]!);
    yield* this.until(() => task.done);
    while ((yield* this.smc(PSCI_FID.PSCI_AFFINITY_INFO_64, affinity, 0n))[0] !== PSCI_AFFINITY.OFF);
    return task.result as Result;
  }

  /** Lets the other PEs go on until something has become true. */
  *until(condition: () => boolean): Script {
    while (!condition()) yield* this.pause();
  }

  /** A call that changes nothing: the other PEs get their turn. */
  *pause(): Script {
    yield* this.smc(PSCI_FID.PSCI_VERSION);
  }

  // Interrupts

  /** Physical interrupts of this PE: SGI 0, and the PPIs of the timers. Needed before `kick` and `timer` have effects. */
  setUpInterrupts(): void {
    if (this.interruptsAreSetUp) return;
    this.interruptsAreSetUp = true;
    if (this.shared.claimDistributor()) setUpDistributor(this.bench.board, this.port());
    setUpCpuInterface(this.bench.board, this.pe, this.port());
  }

  /** SGI 0 to a PE: a REC that runs there exits with RMI_EXIT_IRQ. */
  kick(pe: number): void {
    sendSgi(this.pe, this.bench.machine.pes[pe]!);
  }

  /** An interrupt of this PE's NS-EL2 timer after so many ticks of the counter; undefined turns it off. */
  timer(ticks: bigint | undefined): void {
    const { r } = this.pe;
    this.setUpInterrupts();
    r[R.CNTHP_CVAL_EL2] = this.bench.machine.counter() + (ticks ?? 0n);
    r[R.CNTHP_CTL_EL2] = ticks === undefined ? 0n : 1n;
  }

  /** Acknowledges and ends all pending physical interrupts; their INTIDs. */
  takeInterrupts(): number[] {
    return acknowledgeAll(this.pe);
  }

  /** WFI at NS-EL2 until an interrupt is pending. */
  *waitForInterrupt(): Script {
    yield WFI;
  }
}

/** The affinity fields of a PE's MPIDR_EL1, as PSCI takes them. */
export const affinityOf = ({ mpidr }: Pick<Pe, "mpidr">): bigint => mpidr & 0xff_00ff_ffffn;
