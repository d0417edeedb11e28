/** A Realm under test: built by RMI calls on the stand-in, played by traps. */
import {
  EC,
  ESR,
  hpfarOfIpa,
  ISS_ABORT,
  PSCI_FID,
  type PsciFunction,
  RMI_FID,
  RmiRealmParams,
  RmiRecEnter,
  RmiRecExit,
  RmiRecParams,
  RSI_FID,
  type RsiCommand,
  recMpidrOfIndex,
} from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { DRAM, type RmiOutcome, StandIn, type StandInPe } from "./stand-in.js";

/** What building a Realm takes: the stand-in, or the real machine. */
export type TestMachine = Pick<StandIn, "page" | "write" | "ok" | "rmi" | "granuleState"> & {
  rmiOn(index: number, fid: bigint, args: readonly bigint[]): RmiOutcome | undefined;
};

export type RealmParams = Parameters<typeof RmiRealmParams.encode>[0];
export const GRANULE = 4096n;
export const PAGE = 0x1000n;
export const BLOCK = 0x20_0000n;

/** Parameters of a Realm of 33 IPA bits: start level 1, one table of 1 GiB entries; unprotected from 4 GiB on. */
export const PARAMS: RealmParams = { s2sz: 33, num_bps: 1, num_wps: 1, rtt_level_start: 1n, rtt_num_start: 1, vmid: 1 };
export const UNPROTECTED = 1n << 32n;

export class Host<M extends TestMachine = StandIn> {
  readonly machine: M;
  private next = DRAM;

  constructor(machine: M = new StandIn().bootAll() as never) {
    this.machine = machine;
  }

  /** A granule that nobody uses. */
  ns(alignment = 1n): bigint {
    const size = alignment * GRANULE;
    this.next = ((this.next + size - 1n) / size) * size;
    const pa = this.next;
    this.next += GRANULE;
    return pa;
  }

  delegated(alignment = 1n): bigint {
    const pa = this.ns(alignment);
    this.machine.ok("RMI_GRANULE_DELEGATE", pa);
    return pa;
  }

  /** An NS granule with this content. */
  page(content: Uint8Array): bigint {
    const pa = this.ns();
    this.machine.page(pa).fill(0);
    this.machine.write(pa, content);
    return pa;
  }

  realm(overrides: RealmParams = {}): Realm<M> {
    const count = overrides.rtt_num_start ?? PARAMS.rtt_num_start!;
    const rtt_base = this.delegated(BigInt(count));
    for (let i = 1; i < count; i++) this.delegated();
    const rd = this.delegated();
    const params = { ...PARAMS, rtt_base, ...overrides };
    this.machine.ok("RMI_REALM_CREATE", rd, this.page(RmiRealmParams.encode(params)));
    return new Realm(this, rd, rtt_base);
  }
}

export interface RecOptions {
  readonly runnable?: boolean;
  readonly pc?: bigint;
  readonly gprs?: bigint[];
}

export class Realm<M extends TestMachine = StandIn> {
  readonly host: Host<M>;
  readonly machine: M;
  readonly rd: bigint;
  readonly rttBase: bigint;
  private recCount = 0;

  constructor(host: Host<M>, rd: bigint, rttBase: bigint) {
    this.host = host;
    this.machine = host.machine;
    this.rd = rd;
    this.rttBase = rttBase;
  }

  /** Tables down to `level` for `ipa`, as far as they are missing. */
  tables(ipa: bigint, level = 3): this {
    for (let l = 2; l <= level; l++) {
      const base = ipa & -(1n << BigInt(12 + 9 * (3 - (l - 1))));
      const [walk, state] = this.machine.ok("RMI_RTT_READ_ENTRY", this.rd, base, BigInt(l - 1));
      if (walk === BigInt(l - 1) && state !== 2n)
        this.machine.ok("RMI_RTT_CREATE", this.rd, this.host.delegated(), base, BigInt(l));
    }
    return this;
  }

  /** RAM with content, mapped. */
  data(ipa: bigint, content: Uint8Array = new Uint8Array(4096)): bigint {
    this.tables(ipa);
    const data = this.host.delegated();
    this.machine.ok("RMI_DATA_CREATE", this.rd, data, ipa, this.host.page(content), 1n);
    return data;
  }

  /** RIPAS RAM for one page, not mapped. */
  ram(ipa: bigint): void {
    this.tables(ipa);
    this.machine.ok("RMI_RTT_INIT_RIPAS", this.rd, ipa, ipa + PAGE);
  }

  entry(ipa: bigint, level = 3n) {
    const [walk, state, desc, ripas] = this.machine.ok("RMI_RTT_READ_ENTRY", this.rd, ipa, level);
    return { level: Number(walk), state: Number(state), desc, ripas: Number(ripas) };
  }

  rec({ runnable = true, pc = 0x1000n, gprs = [] }: RecOptions = {}): TestRec<M> {
    const rec = this.host.delegated();
    const aux = [this.host.delegated(), this.host.delegated()];
    const index = this.recCount++;
    const params = RmiRecParams.encode({
      flags: runnable ? 1n : 0n,
      mpidr: recMpidrOfIndex(index),
      pc,
      gprs,
      num_aux: 2n,
      aux,
    });
    this.machine.ok("RMI_REC_CREATE", this.rd, rec, this.host.page(params));
    return new TestRec(this, rec, aux);
  }

  activate(): this {
    this.machine.ok("RMI_REALM_ACTIVATE", this.rd);
    return this;
  }
}

export type Enter = Parameters<typeof RmiRecEnter.encode>[0];

/** A REC: entered by the Host. On the stand-in the test plays the Realm too, by traps. */
export class TestRec<M extends TestMachine = StandIn> {
  readonly realm: Realm<M>;
  readonly addr: bigint;
  readonly aux: readonly bigint[];
  readonly run: bigint;
  private played: StandInPe | undefined;

  constructor(realm: Realm<M>, addr: bigint, aux: readonly bigint[], run = realm.host.ns()) {
    this.realm = realm;
    this.addr = addr;
    this.aux = aux;
    this.run = run;
  }

  /** The PE on which the REC was entered last. */
  get pe(): StandInPe {
    return this.played ?? (this.realm.machine as unknown as StandIn).pes[0]!;
  }

  /** RMI_REC_ENTER. On the stand-in, undefined: the REC runs; on the real machine it has run. */
  tryEnter(enter: Enter = {}, pe: { readonly index: number } = { index: this.pe.index }): RmiOutcome | undefined {
    this.played = (this.realm.machine as unknown as StandIn).pes[pe.index];
    this.fillRun(enter);
    return this.realm.machine.rmiOn(pe.index, RMI_FID.RMI_REC_ENTER, [this.addr, this.run]);
  }

  fillRun(enter: Enter): void {
    const page = this.realm.machine.page(this.run);
    page.fill(0);
    page.set(RmiRecEnter.encode(enter));
  }

  /** Enters the REC and plays it. */
  enter(enter: Enter = {}, pe?: { readonly index: number }): this {
    const outcome = this.tryEnter(enter, pe);
    if (outcome) throw new Error(`REC_ENTER: ${outcome.status} ${outcome.condition}`);
    return this;
  }

  /** Enters the REC on the real machine; what it exits with. */
  runUntilExit(enter: Enter = {}, pe?: { readonly index: number }) {
    const outcome = this.tryEnter(enter, pe);
    if (outcome?.status !== "RMI_SUCCESS") throw new Error(`REC_ENTER: ${outcome?.status} ${outcome?.condition}`);
    return this.exit;
  }

  x(n: number): bigint {
    return this.pe.r[R.X0 + n]!;
  }
  set(n: number, value: bigint): void {
    this.pe.r[R.X0 + n] = value;
  }
  get pc(): bigint {
    return this.pe.r[R.ELR_EL2]!;
  }

  private get standIn(): StandIn {
    return this.realm.machine as unknown as StandIn;
  }

  /** What RmiRecExit says, after an exit. */
  get exit() {
    return RmiRecExit.decode(this.realm.machine.page(this.run), 0x800);
  }

  /** The REC takes a synchronous exception to R-EL2. Returns the end of REC_ENTER, or undefined: the REC goes on. */
  trap(syndrome: { esr: bigint; far?: bigint; ipa?: bigint }): RmiOutcome | undefined {
    const { pe, standIn: machine } = this;
    pe.r[R.ESR_EL2] = syndrome.esr;
    pe.r[R.FAR_EL2] = syndrome.far ?? 0n;
    pe.r[R.HPFAR_EL2] = hpfarOfIpa(syndrome.ipa ?? 0n);
    return machine.outcome(pe, machine.rmm.step(pe, { kind: "exception", vector: "sync", lower: true }));
  }

  interrupt(vector: "irq" | "fiq" | "serror" = "irq"): RmiOutcome | undefined {
    const machine = this.standIn;
    return machine.outcome(this.pe, machine.rmm.step(this.pe, { kind: "exception", vector, lower: true }));
  }

  smc(fid: bigint, args: readonly bigint[] = []): RmiOutcome | undefined {
    this.set(0, fid);
    args.forEach((value, i) => {
      this.set(i + 1, value);
    });
    return this.trap({ esr: ESR.EC.of(EC.SMC64) | ESR.IL.mask });
  }

  /** An RSI call that returns to the Realm: X0. */
  rsi(command: RsiCommand, ...args: bigint[]): bigint {
    if (this.smc(RSI_FID[command], args)) throw new Error(`${command} left the Realm`);
    return this.x(0);
  }
  rsiExit(command: RsiCommand, ...args: bigint[]): RmiOutcome {
    const outcome = this.smc(RSI_FID[command], args);
    if (!outcome) throw new Error(`${command} did not exit: X0 = ${this.x(0)}`);
    return outcome;
  }
  psci(name: PsciFunction, ...args: bigint[]): RmiOutcome | undefined {
    return this.smc(PSCI_FID[name], args);
  }

  /** A Data Abort at an IPA; `isv`: a 64-bit access of X`srt`. */
  dataAbort(ipa: bigint, options: { isv?: boolean; write?: boolean; srt?: number; iss?: bigint; far?: bigint } = {}) {
    const { isv = true, write = false, srt = 0, iss = 0n, far = 0xffff_0000_0000_0000n | ipa } = options;
    const access = isv ? ISS_ABORT.ISV.mask | ISS_ABORT.SAS.of(3) | ISS_ABORT.SF.mask | ISS_ABORT.SRT.of(srt) : 0n;
    const esr = ESR.EC.of(EC.DATA_ABORT_LOWER) | ESR.IL.mask | access | ISS_ABORT.WNR.of(write ? 1 : 0) | 7n | iss;
    return this.trap({ esr, far, ipa });
  }

  fetchAbort(ipa: bigint) {
    return this.trap({ esr: ESR.EC.of(EC.INSTRUCTION_ABORT_LOWER) | ESR.IL.mask | 7n, far: ipa, ipa });
  }
}
