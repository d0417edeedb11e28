/**
 * The observer around slot realm-el2: before each step of the RMM it says what the specification demands, and after the step
 * it compares: results, the REC's registers, RmiRecExit, memory and tables. A step is atomic, so nothing happens between the
 * two. What is wrong is thrown as a `Violation`.
 */
import {
  type Firmware,
  GROUPS,
  type Pe,
  R,
  type SlotEvent,
  type SlotExit,
  type TlbiOperation,
} from "@realmbox/machine";
import { SECRET } from "./agent.js";
import { type Inspection, Violation } from "./inspection.js";
import { PAGE, paOf } from "./layout.js";
import { GPI_NS, LastExit, type Ledger, type Realm, type Rec, Ripas } from "./ledger.js";
import { Probes } from "./probes.js";
import {
  bufferAt,
  bufferFault,
  type ExitFields,
  forget,
  judgeAbort,
  judgeSmc,
  type RealmInput,
  type RealmVerdict,
  Reason,
} from "./realm-verdict.js";
import { exitWord, isOfHardware, loaded, REASONS } from "./rec-run.js";
import { Arguments, commandOf, type JudgeInput, judgeRmi, type Verdict } from "./rmi-verdict.js";

const { EL1 } = GROUPS;
const SVE_HINT = 0x1_0000;
const NOT_SUPPORTED = 0xffff_ffff_ffff_ffffn;
/** Upper half of the values that the Host leaves in its registers. */
export const MARKER = 0x4057_a11e;
const EC = { WFX: 0x01, SMC64: 0x17, SYSREG: 0x18, INSTRUCTION_ABORT: 0x20, DATA_ABORT: 0x24 } as const;

/** Registers of a REC as it left its PE. */
interface Saved {
  readonly gpr: BigUint64Array;
  /** Undefined: they were reset. */
  readonly el1: BigUint64Array | undefined;
}

interface OnPe {
  /** X0 to X30, low half first: of the PE, as they are. */
  readonly words: Uint32Array;
  /** The same as they were before the step. */
  readonly before: Uint32Array;
  readonly args: Arguments;
  /** The REC's registers before the step: kept when the REC leaves. */
  saved: Saved;
  rec: Rec | undefined;
  /** Granule of the RmiRecRun in use. */
  run: number;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

export class Observer implements Firmware {
  readonly name: string;
  readonly image: Uint8Array;
  /** Calls of the Host to the RMM, and of realms. */
  rmiCalls = 0;
  realmCalls = 0;
  /** How often what came out, by name. */
  readonly outcomes = new Map<string, number>();
  /** Look at everything after each call. */
  thorough = false;
  private readonly rmm: Firmware;
  private readonly ledger: Ledger;
  private readonly inspection: Inspection;
  private readonly gic: JudgeInput["gic"];
  private readonly onPe: OnPe[] = [];
  private readonly saved = new Map<Rec, Saved>();
  private readonly probes: Probes;
  /** TLB maintenance of the step under way. */
  private readonly invalidated: TlbiOperation[] = [];
  private sinceFull = 0;
  private faultsSeen = 0;

  constructor(rmm: Firmware, options: { ledger: Ledger; inspection: Inspection; gic: JudgeInput["gic"] }) {
    this.rmm = rmm;
    this.name = rmm.name;
    this.image = rmm.image;
    this.ledger = options.ledger;
    this.inspection = options.inspection;
    this.gic = options.gic;
    this.probes = new Probes(options.ledger, options.inspection);
    this.ledger.onFrozen = (granule) => this.inspection.remember(granule);
  }

  step(pe: Pe, event: SlotEvent): SlotExit {
    switch (event.kind) {
      case "return":
        return this.rmi(pe);
      case "exception":
        return this.realm(pe, event);
      default:
        return this.rmm.step(pe, event);
    }
  }

  /** The REC that a PE runs. */
  recOn(pe: number): Rec | undefined {
    return this.onPe[pe]?.rec;
  }

  private at(pe: Pe): OnPe {
    return (this.onPe[pe.index] ??= onPe(pe));
  }

  /** Told of each TLB maintenance operation of native firmware. */
  noteTlbi(operation: TlbiOperation): void {
    this.invalidated.push(operation);
  }

  /** Every range whose translations may be cached was invalidated, whatever this machine's TLBs hold. */
  private nothingIsStale({ stale, params }: Realm, why: () => string): void {
    for (const { ipa, size } of stale) {
      const covered = this.invalidated.some(
        (one) =>
          (one.kind === "vmalls12e1" && one.vmid === params.vmid) ||
          (one.kind === "ipas2e1" &&
            one.vmid === params.vmid &&
            Number(one.ipa) <= ipa &&
            Number(one.ipa + one.size) >= ipa + size),
      );
      if (!covered)
        throw new Violation(
          "no stale translation",
          `${why()}: IPA ${hex(ipa)} and ${hex(size)} bytes are not invalidated`,
        );
    }
    stale.length = 0;
  }

  private run(pe: Pe, event: SlotEvent, what: () => string): SlotExit {
    this.invalidated.length = 0;
    try {
      return this.rmm.step(pe, event);
    } catch (error) {
      throw new Violation("the RMM goes on", `${what()}: the RMM fails: ${(error as Error).message}`);
    }
  }

  private count(name: string): void {
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
  }

  private finish(why: () => string): void {
    this.inspection.quick(why);
    if (this.thorough || ++this.sinceFull >= 1000) {
      this.sinceFull = 0;
      this.inspection.full(why);
    }
  }

  // RMI

  private rmi(pe: Pe): SlotExit {
    this.rmiCalls++;
    const args = argumentsOf(this.at(pe));
    const fid = (args.low(0) & ~SVE_HINT) >>> 0;
    const command = commandOf(fid);
    const { ledger, inspection } = this;
    const page = (granule: number) => inspection.page(granule);
    const verdict: Verdict | undefined = command && judgeRmi(command, { ledger, args, page, gic: this.gic });
    // What the Host gave, before the call may write over it.
    const run = verdict?.enter ? args.granule(2) : -1;
    const enter = run >= 0 ? page(run).slice(0, 0x800) : undefined;
    const text = () => `${command ?? hex(fid)}(${[1, 2, 3, 4, 5].map((n) => hex(args.big(n))).join(", ")})`;
    const exit = this.run(pe, { kind: "return" }, text);
    if (!verdict) {
      this.count("unknown");
      if (exit.kind !== "smc" || pe.r[R.X0 + 1] !== NOT_SUPPORTED)
        throw new Violation("results", `${text()} is no function and does not answer NOT_SUPPORTED`);
      this.finish(text);
      return exit;
    }
    if (exit.kind === "eret") {
      if (!verdict.enter) throw new Violation("results", `${text()} enters a realm`);
      this.count(`${command} RMI_SUCCESS`);
      this.entered(pe, verdict.enter, run, enter!, text);
      return exit;
    }
    const code = pe.r[R.X0 + 1]!;
    if (code !== BigInt(verdict.code))
      throw new Violation(
        verdict.code === 0 ? "results" : "refusals",
        `${text()} answers ${hex(code)}; by the specification it is ${hex(verdict.code)}`,
      );
    this.count(`${command} ${STATUS[verdict.code & 0xff]}`);
    if (verdict.enter) {
      this.count(`${command} at once`);
      this.notEntered(verdict.enter, run, enter!, text);
      this.finish(text);
      return exit;
    }
    if (verdict.code === 0 && verdict.apply) {
      this.apply(command!, verdict, args, text);
    } else {
      for (const granule of verdict.granules) inspection.unchanged(granule, text);
    }
    for (let n = 0; n < 4; n++) {
      const expected = n < verdict.out.length ? BigInt(verdict.out[n]!) : n < 3 ? 0n : args.big(4);
      if (pe.r[R.X0 + 2 + n] !== expected)
        throw new Violation("results", `${text()}: X${n + 1} is ${hex(pe.r[R.X0 + 2 + n]!)}, not ${hex(expected!)}`);
    }
    this.finish(text);
    return exit;
  }

  private apply(command: string, verdict: Verdict, args: Arguments, why: () => string): void {
    const { inspection, ledger } = this;
    const realms = ledger.realms.size;
    if (command === "RMI_PSCI_COMPLETE") this.completesPsci(args);
    const realm = ledger.realmAt(args.granule(1));
    verdict.apply!();
    if (realm) this.nothingIsStale(realm, why);
    if (ledger.realms.size !== realms) inspection.expectVmids();
    for (const granule of verdict.granules) inspection.expect(granule);
    switch (command) {
      case "RMI_DATA_CREATE": {
        const [data, source] = [inspection.page(args.granule(2)), inspection.page(args.granule(4))];
        if (!data.every((byte, i) => byte === source[i]))
          throw new Violation("results", `${why()}: the page does not hold what the source does`);
        break;
      }
      case "RMI_DATA_CREATE_UNKNOWN":
        inspection.unchanged(args.granule(2), why);
    }
    for (const granule of verdict.granules) inspection.verify(granule);
  }

  /** X0 to X3 of the REC whose call is complete, and the registers of a REC turned on. DEN0137, "RMI_PSCI_COMPLETE". */
  private completesPsci(args: Arguments): void {
    const calling = this.ledger.recAt(args.granule(1))!;
    const target = this.ledger.recAt(args.granule(2))!;
    const { on, context } = calling.psci!;
    const isOn = target.runnable || target.pe >= 0;
    const denied = args.low(3) !== 0;
    const result = denied ? -3n : on ? (isOn ? -4n : 0n) : isOn ? 0n : 1n;
    this.saved.get(calling)?.gpr.set([BigInt.asUintN(64, result), 0n, 0n, 0n]);
    if (!on || denied || isOn) return;
    const gpr = new BigUint64Array(31);
    gpr[0] = context;
    this.saved.set(target, { gpr, el1: undefined });
  }

  // REC entry

  private entered(pe: Pe, rec: Rec, run: number, enter: Uint8Array, text: () => string): void {
    const here = this.at(pe);
    const { realm } = rec;
    if (rec.pe >= 0 || here.rec)
      throw new Violation("a REC runs on one PE", `${text()}: the REC runs on PE ${rec.pe} already`);
    const { r } = pe;
    const vttbr = (BigInt(realm.params.vmid) << 48n) | BigInt(paOf(realm.params.rttBase));
    if (r[R.VTTBR_EL2] !== vttbr)
      throw new Violation("private to one realm", `${text()}: VTTBR_EL2 is ${hex(r[R.VTTBR_EL2]!)}, not ${hex(vttbr)}`);
    if ((r[R.VTCR_EL2]! & 0x3fn) !== BigInt(64 - realm.params.ipaWidth))
      throw new Violation("private to one realm", `${text()}: VTCR_EL2.T0SZ is not that of the IPA width`);
    if ((r[R.HCR_EL2]! & 1n) === 0n) throw new Violation("private to one realm", `${text()}: stage 2 is off`);
    const view = new DataView(enter.buffer);
    const flags = view.getUint32(0, true);
    const known = this.saved.get(rec);
    this.completed(pe, rec, { view, flags, known, text });
    rec.pe = pe.index;
    realm.running++;
    here.rec = rec;
    here.run = run;
    this.inspection.expect(rec.granule);
    this.inspection.unchanged(realm.rd, text);
    for (const aux of rec.aux) this.inspection.unchanged(aux, text);
    this.inspection.remember(rec.granule);
    this.hostIsHidden(pe, text);
    this.finish(text);
  }

  /** What the entry completes; and all other registers are as the REC left them. */
  private completed(
    pe: Pe,
    rec: Rec,
    entry: { view: DataView; flags: number; known: Saved | undefined; text: () => string },
  ): void {
    const { view, flags, known, text } = entry;
    const { r } = pe;
    const free = new Set<number>();
    const gpr0 = view.getBigUint64(0x200, true);
    const expectX = (n: number, value: bigint, what: string) => {
      free.add(n);
      if (r[R.X0 + n] !== value) throw new Violation("results", `${text()}: X${n} is ${hex(r[R.X0 + n]!)}: ${what}`);
    };
    const sea = (flags & 2) !== 0;
    if (rec.lastExit === LastExit.EMULATABLE && (flags & 3) === 1 && (rec.lastEsr & 0x40n) === 0n) {
      const register = Number((rec.lastEsr >> 16n) & 0x1fn);
      if (register !== 31) expectX(register, loaded(rec.lastEsr, gpr0), "the emulated load's value is another");
    }
    if (rec.lastExit === LastExit.SYSREG_READ) {
      const register = Number((rec.lastEsr >> 5n) & 0x1fn);
      if (register !== 31) expectX(register, gpr0, "the emulated register's value is another");
    }
    forget(rec);
    if (rec.ripas) {
      const { addr, top, value } = rec.ripas;
      const rejected = value === Ripas.RAM && addr !== top && (flags & 0x10) !== 0;
      expectX(0, 0n, "RSI_IPA_STATE_SET has succeeded");
      expectX(1, BigInt(addr), "how far RSI_IPA_STATE_SET went is another");
      expectX(2, rejected ? 1n : 0n, "the Host's response is another");
      rec.ripas = undefined;
    }
    if (rec.hostCall >= 0) {
      const buffer = bufferAt({ rec }, rec.hostCall);
      if (buffer.kind === "fault") throw new Violation("results", `${text()}: the RsiHostCall is not mapped`);
      expectX(0, buffer.kind === "mapped" ? 0n : 1n, "the result of RSI_HOST_CALL is another");
      if (buffer.kind === "mapped") this.answered(rec, buffer.granule, view, text);
      rec.hostCall = -1;
    }
    if (!known) return;
    for (let n = 0; n < 31; n++) {
      if (!free.has(n) && r[R.X0 + n] !== known.gpr[n])
        throw new Violation(
          "a REC keeps its registers",
          `${text()}: X${n} is ${hex(r[R.X0 + n]!)}, was ${hex(known.gpr[n]!)}`,
        );
    }
    const { el1 } = known;
    if (sea || !el1) return;
    for (let n = 0; n < EL1.count; n++) {
      if (r[EL1.first + n] !== el1[n])
        throw new Violation("a REC keeps its registers", `${text()}: slot ${n} of its EL1 registers has changed`);
    }
  }

  /** The Host's registers are in the realm's RsiHostCall. */
  private answered(rec: Rec, granule: number, view: DataView, text: () => string): void {
    const bytes = this.inspection.page(granule);
    const at = rec.hostCall % PAGE;
    for (let i = 0; i < 31 * 8; i++) {
      if (bytes[at + 8 + i] !== view.getUint8(0x200 + i))
        throw new Violation("results", `${text()}: the RsiHostCall does not hold the Host's gprs[${i >> 3}]`);
    }
    this.probes.plan(rec, view);
  }

  /** No register of the realm holds what the Host had in its own. */
  private hostIsHidden(pe: Pe, text: () => string): void {
    const { words } = this.at(pe);
    for (let n = 0; n < 31; n++) {
      if (words[2 * n + 1] === MARKER) throw new Violation("registers stay apart", `${text()}: X${n} is the Host's`);
    }
    const { r } = pe;
    for (let n = EL1.first; n < EL1.first + EL1.count; n++) {
      if (r[n]! >> 32n === BigInt(MARKER))
        throw new Violation("registers stay apart", `${text()}: an EL1 register of the realm is the Host's`);
    }
  }

  /** RMI_REC_ENTER has ended before the REC ran. */
  private notEntered(rec: Rec, run: number, enter: Uint8Array, text: () => string): void {
    const flags = enter[0]!;
    if (rec.lastExit !== LastExit.NONE || (flags & 3) !== 0 || rec.ripas) this.saved.delete(rec);
    forget(rec);
    rec.ripas = undefined;
    let expected: ExitFields = { reason: Reason.IRQ };
    if (rec.hostCall >= 0) {
      const buffer = bufferAt({ rec }, rec.hostCall);
      this.saved.delete(rec);
      if (buffer.kind === "fault") {
        const { level } = rec.realm.walk(rec.hostCall, 3);
        expected = bufferFault(rec.hostCall, level);
      } else {
        rec.hostCall = -1;
      }
    }
    this.checkExit(run, expected, text);
    this.left(rec);
  }

  // Exceptions of a running REC

  private realm(pe: Pe, event: Extract<SlotEvent, { kind: "exception" }>): SlotExit {
    const here = this.at(pe);
    const { rec } = here;
    if (!rec) throw new Violation("a REC runs on one PE", `PE ${pe.index} takes an exception and runs no REC`);
    const { r } = pe;
    const esr = r[R.ESR_EL2]!;
    const ec = event.vector === "sync" ? Number((esr >> 26n) & 0x3fn) : -1;
    const before = registersOf(pe, here);
    const pc = r[R.ELR_EL2]!;
    const args = argumentsOf(here);
    const input: RealmInput = { ledger: this.ledger, rec, args, page: (granule) => this.inspection.page(granule) };
    let verdict: RealmVerdict = { kind: "any" };
    if (ec === EC.SMC64) {
      this.realmCalls++;
      verdict = judgeSmc(input);
    } else if (ec === EC.DATA_ABORT || ec === EC.INSTRUCTION_ABORT) {
      verdict = judgeAbort(input, { esr, far: r[R.FAR_EL2]!, hpfar: r[R.HPFAR_EL2]! });
    }
    const text = () =>
      ec === EC.SMC64
        ? `realm's SMC(${Array.from(before.gpr.subarray(0, 5), hex).join(", ")})`
        : `realm's ${event.vector} exception, ESR_EL2 ${hex(esr)}, PC ${hex(pc)}`;
    const exit = this.run(pe, event, text);
    const isRdFree = (verdict.kind === "return" || verdict.kind === "exit") && verdict.rd === true;
    if (exit.kind === "eret") this.wentOn(pe, { verdict, before, pc, text });
    else this.exited(pe, here, { verdict, before, ec, esr, text });
    // Realms that do nothing but fault are looked at now and then.
    if (exit.kind === "eret" && ec !== EC.SMC64 && ++this.faultsSeen % 64 !== 0 && !this.thorough) return exit;
    if (isRdFree) this.inspection.verify(rec.realm.rd);
    else this.inspection.unchanged(rec.realm.rd, text);
    if (exit.kind === "eret") {
      this.inspection.remember(rec.granule);
      if (verdict.kind === "token" || verdict.kind === "token-init" || ec !== EC.SMC64)
        for (const aux of rec.aux) this.inspection.remember(aux);
    }
    this.finish(text);
    return exit;
  }

  private wentOn(pe: Pe, step: { verdict: RealmVerdict; before: Saved; pc: bigint; text: () => string }): void {
    const { verdict, before, pc, text } = step;
    const { r } = pe;
    const rec = this.at(pe).rec!;
    switch (verdict.kind) {
      case "exit":
        throw new Violation(
          "exits",
          `${text()}: the REC goes on with X0 ${hex(r[R.X0]!)}; by the specification it leaves`,
        );
      case "return": {
        verdict.apply?.();
        const count = Math.max(4, verdict.x.length);
        for (let n = 0; n < 31; n++) {
          const expected = n < count ? (verdict.x[n] ?? 0n) : before.gpr[n]!;
          // What a failed RSI_MEASUREMENT_READ leaves in X4 to X8 is open.
          if (r[R.X0 + n] === expected || (verdict.x[0] !== 0n && n >= 4 && n <= 8 && r[R.X0 + n] === 0n)) continue;
          throw new Violation("results", `${text()}: X${n} is ${hex(r[R.X0 + n]!)}, not ${hex(expected)}`);
        }
        this.wrote(verdict.writes, text);
        if (r[R.ELR_EL2] !== pc + 4n) throw new Violation("results", `${text()}: the PC is not behind the SMC`);
        break;
      }
      case "token": {
        const [x0, x1] = [r[R.X0]!, r[R.X0 + 1]!];
        if (x0 === 3n && x1 === 0n) break;
        const isRefused = verdict.buffer?.kind === "return" && x0 === 1n && x1 === 0n;
        if (isRefused) break;
        if (verdict.buffer || (x0 !== 0n && x0 !== 3n) || x1 > BigInt(verdict.max))
          throw new Violation("results", `${text()}: X0 is ${hex(x0)}, X1 ${hex(x1)}`);
        if (x0 === 0n) rec.attesting = false;
        break;
      }
      case "token-init":
        if (r[R.X0] !== 0n) throw new Violation("results", `${text()}: X0 is ${hex(r[R.X0]!)}`);
        rec.attesting = true;
        break;
      case "inject":
        if ((r[R.ESR_EL1]! & 0x3fn) !== BigInt(verdict.status) || r[R.ELR_EL1] !== pc)
          throw new Violation(
            "exits",
            `${text()}: EL1 sees ESR_EL1 ${hex(r[R.ESR_EL1]!)}, ELR_EL1 ${hex(r[R.ELR_EL1]!)}`,
          );
        break;
      case "retry":
        if (r[R.ELR_EL2] !== pc) throw new Violation("exits", `${text()}: the access is not made again`);
    }
  }

  private wrote(
    writes: { readonly granule: number; readonly bytes: Uint8Array } | undefined,
    text: () => string,
  ): void {
    if (!writes) return;
    const page = this.inspection.page(writes.granule);
    if (!writes.bytes.every((byte, i) => page[i] === byte))
      throw new Violation("results", `${text()}: the realm's page does not hold what the call writes`);
  }

  private exited(
    pe: Pe,
    here: OnPe,
    step: { verdict: RealmVerdict; before: Saved; ec: number; esr: bigint; text: () => string },
  ): void {
    const { verdict, before, ec, esr, text } = step;
    const rec = here.rec!;
    const { run } = here;
    const code = pe.r[R.X0 + 1]!;
    // The Host may have delegated the page of its RmiRecRun meanwhile.
    const expectedCode = this.ledger.gpi[run] === GPI_NS ? 0n : 1n;
    if (code !== expectedCode) throw new Violation("results", `${text()}: RMI_REC_ENTER answers ${hex(code)}`);
    let expected: ExitFields | undefined;
    let keeps = true;
    switch (verdict.kind) {
      case "exit":
        verdict.apply?.();
        expected = verdict.exit;
        if (ec === EC.SMC64) {
          const resumes = expected.reason === Reason.SYNC; // a buffer to be mapped: the SMC is made again
          if (!resumes && expected.reason !== Reason.HOST_CALL && !rec.psci) before.gpr.fill(0n, 0, 4);
        }
        break;
      case "any":
        forget(rec);
        if (ec === EC.SYSREG && (esr & 1n) === 1n) {
          rec.lastExit = LastExit.SYSREG_READ;
          rec.lastEsr = esr;
        }
        keeps = ec === -1 || ec === EC.WFX || ec === EC.SYSREG;
        break;
      default:
        // A timer of the realm has fired meanwhile: the REC would have gone on, and leaves.
        if (verdict.kind === "return") verdict.apply?.();
        if (verdict.kind === "token" && !verdict.buffer) rec.attesting = undefined;
        if (verdict.kind === "token-init") rec.attesting = true;
        forget(rec);
        expected = { reason: Reason.IRQ };
        if (verdict.kind === "token" && verdict.buffer?.kind === "exit" && this.reasonAt(run) === Reason.SYNC)
          expected = verdict.buffer.exit;
        keeps = false;
    }
    if (code === 0n) this.checkExit(run, expected, text);
    if (expected?.reason === Reason.HOST_CALL) this.probes.check(rec, expected.gprs!, before.el1!);
    else if (ec !== -1) this.probes.forget(rec);
    if (expected?.gprs?.some((value) => value >> 32n === BigInt(SECRET))) this.inspection.secretsAreOut = true;
    if (keeps) {
      const old = this.saved.get(rec);
      this.saved.set(rec, before);
      here.saved = old?.el1 ? old : newSaved();
    } else {
      this.saved.delete(rec);
    }
    here.rec = undefined;
    here.run = -1;
    rec.pe = -1;
    rec.realm.running--;
    this.inspection.expect(rec.granule);
    this.left(rec);
  }

  /** The REC and the realm's memory are as the run left them. */
  private left(rec: Rec): void {
    for (const granule of [rec.granule, ...rec.aux]) this.inspection.remember(granule);
    if (rec.realm.running === 0) for (const granule of rec.realm.ram) this.inspection.remember(granule);
  }

  private reasonAt(run: number): number {
    return this.inspection.page(run)[0x800]!;
  }

  /** RmiRecExit in the Host's memory. `expected` undefined: the fields are open, and no secret is in them. */
  private checkExit(run: number, expected: ExitFields | undefined, text: () => string): void {
    const page = this.inspection.page(run);
    const view = new DataView(page.buffer, page.byteOffset + 0x800, 0x800);
    this.count(`exit ${REASONS[view.getUint8(0)] ?? view.getUint8(0)}`);
    for (let offset = 0; offset < 0x800; offset += 8) {
      const low = view.getUint32(offset, true);
      const high = view.getUint32(offset + 4, true);
      if (!expected) {
        if (high === SECRET)
          throw new Violation("secrets stay private", `${text()}: RmiRecExit holds a realm's secret`);
        continue;
      }
      // List registers, their control and timers are as the hardware has them.
      if (isOfHardware(offset)) continue;
      const want = exitWord(expected, offset);
      if (want === undefined ? (low | high) === 0 : BigInt(high) * 0x1_0000_0000n + BigInt(low) === want) continue;
      throw new Violation(
        "exits",
        `${text()}: RmiRecExit at ${hex(offset)} is ${hex(BigInt(high) * 0x1_0000_0000n + BigInt(low))}, not ${hex(want ?? 0n)}`,
      );
    }
  }
}

const STATUS = ["RMI_SUCCESS", "RMI_ERROR_INPUT", "RMI_ERROR_REALM", "RMI_ERROR_REC", "RMI_ERROR_RTT"];

function onPe(pe: Pe): OnPe {
  const words = new Uint32Array(pe.bytes.buffer, pe.bytes.byteOffset + 8 * R.X0, 2 * 31);
  const before = words.slice();
  return { words, before, args: new Arguments(before), saved: newSaved(), rec: undefined, run: -1 };
}

/** The general registers as they are before the step. */
function argumentsOf({ words, before, args }: OnPe): Arguments {
  before.set(words);
  return args;
}

const newSaved = (): Saved => ({ gpr: new BigUint64Array(31), el1: new BigUint64Array(EL1.count) });

function registersOf({ r }: Pe, { saved }: OnPe): Saved {
  for (let n = 0; n < 31; n++) saved.gpr[n] = r[R.X0 + n]!;
  for (let n = 0; n < EL1.count; n++) saved.el1![n] = r[EL1.first + n]!;
  return saved;
}
