/**
 * A REC whose code obeys the Host: one instruction after another, with any registers, and a report of what came of it.
 * The program is agent-code.ts.
 */
import { RMI_REC_ENTER_FLAGS, SMCCC_NOT_SUPPORTED } from "@realmbox/abi";
import { AGENT_EXCEPTION, AGENT_IMM, AGENT_PAGE, AGENT_REGISTERS } from "./agent-code.js";
import type { Host } from "./host.js";
import { mrs, SMC, type SystemRegister, type SystemRegisterName } from "./instructions.js";
import type { Realm, RecOptions } from "./realm.js";
import type { Rec, RecEnter, RecExit } from "./rec.js";
import type { Script } from "./script.js";

/** What an instruction has done. */
export interface Report {
  /** X0 to X29 after it. */
  readonly x: readonly bigint[];
  /** The exception that it took, by offset of its vector from VBAR_EL1, and ESR_EL1. */
  readonly exception?: { readonly vector: number; readonly esr: bigint };
}

/** An instruction ends with the agent's report, or the REC has left for another reason first. */
export type Outcome =
  | { readonly kind: "report"; readonly report: Report }
  | { readonly kind: "exit"; readonly exit: RecExit };

/** The instruction did not end in the way that the test needs. */
export class UnexpectedExit extends Error {
  override readonly name = "UnexpectedExit";
}

/** X0 to X29 of an instruction, where a test does not say otherwise. */
export const AGENT_PATTERN: readonly bigint[] = Array.from(
  { length: AGENT_REGISTERS },
  (_, n) => 0xc0de_0000_0000_0000n + BigInt(n) * 0x0101_0101n,
);

export class Agent {
  readonly rec: Rec;
  /** IPA of the agent's page. */
  readonly page: bigint;

  constructor(rec: Rec, page: bigint) {
    this.rec = rec;
    this.page = page;
  }

  /** Puts the agent's page into a NEW Realm at `page`, and makes a REC that starts there. */
  static *create(host: Host, realm: Realm, page: bigint, options: RecOptions = {}): Script<Agent> {
    yield* realm.data(host, page, AGENT_PAGE);
    return new Agent(yield* realm.rec(host, { pc: page, ...options }), page);
  }

  /** The first entry: X0 to X29 as the REC found them. */
  *begin(host: Host, enter: RecEnter = {}): Script<Report> {
    return this.reportOf(yield* this.rec.enter(host, enter));
  }

  /** Carries out a word, and `second` after it, with these registers: the agent's report, or the exit before it. */
  *exec(
    host: Host,
    word: number,
    registers: Readonly<Record<number, bigint>> = {},
    { second = 0xd503_201f, flags = 0n, ...enter }: RecEnter & { readonly second?: number } = {},
  ): Script<Outcome> {
    const gprs = [BigInt(word >>> 0) | (BigInt(second >>> 0) << 32n), ...AGENT_PATTERN];
    for (const [n, value] of Object.entries(registers)) gprs[Number(n) + 1] = value;
    return this.outcomeOf(yield* this.rec.enter(host, { ...enter, flags, gprs }));
  }

  /** The same, when only the report will do. */
  *run(
    host: Host,
    word: number,
    registers: Readonly<Record<number, bigint>> = {},
    enter: RecEnter & { readonly second?: number } = {},
  ): Script<Report> {
    return this.mustReport(yield* this.exec(host, word, registers, enter));
  }

  /** The same, when the REC must exit first. */
  *exit(
    host: Host,
    word: number,
    registers: Readonly<Record<number, bigint>> = {},
    enter: RecEnter & { readonly second?: number } = {},
  ): Script<RecExit> {
    const outcome = yield* this.exec(host, word, registers, enter);
    if (outcome.kind === "exit") return outcome.exit;
    throw new UnexpectedExit(`the instruction ${hex(word)} ends without an exit${exceptionText(outcome.report)}`);
  }

  /** Enters again after an exit before the report. */
  *resume(host: Host, enter: RecEnter = {}): Script<Outcome> {
    return this.outcomeOf(yield* this.rec.enter(host, enter));
  }

  /** Enters again: the report. */
  *finish(host: Host, enter: RecEnter = {}): Script<Report> {
    return this.mustReport(yield* this.resume(host, enter));
  }

  /** SMC #0 of the Realm with X0.. = `values`: X0 to X29 after it. Throws when the Realm takes an exception. */
  *smc(host: Host, ...values: readonly bigint[]): Script<readonly bigint[]> {
    const { x, exception } = yield* this.run(host, SMC, { ...values });
    if (exception)
      throw new UnexpectedExit(`the SMC ${values[0]!.toString(16)} ends${exceptionText({ x, exception })}`);
    return x;
  }

  /** The exit that an SMC of the Realm leads to. */
  *smcExit(host: Host, ...values: readonly bigint[]): Script<RecExit> {
    return yield* this.exit(host, SMC, { ...values });
  }

  /** A system register as the Realm reads it. Throws when the Realm takes an exception. */
  *mrs(host: Host, register: SystemRegisterName | SystemRegister): Script<bigint> {
    const { x, exception } = yield* this.run(host, mrs(0, register));
    if (exception) throw new UnexpectedExit(`MRS ${String(register)} ends${exceptionText({ x, exception })}`);
    return x[0]!;
  }

  private outcomeOf(exit: RecExit): Outcome {
    if (exit.reason === "RMI_EXIT_HOST_CALL" && exit.imm === AGENT_IMM)
      return { kind: "report", report: this.reportOf(exit) };
    return { kind: "exit", exit };
  }

  private reportOf(exit: RecExit): Report {
    if (exit.reason !== "RMI_EXIT_HOST_CALL" || exit.imm !== AGENT_IMM)
      throw new UnexpectedExit(`the agent does not report: ${exitText(exit)}`);
    const [syndrome, ...x] = exit.gprs;
    if ((syndrome! & AGENT_EXCEPTION) === 0n) return { x };
    const vector = Number((syndrome! >> 56n) & 0xfn) * 0x80;
    return { x, exception: { vector, esr: syndrome! & 0xff_ffff_ffff_ffffn } };
  }

  private mustReport(outcome: Outcome): Report {
    if (outcome.kind === "report") return outcome.report;
    throw new UnexpectedExit(`the agent does not report: ${exitText(outcome.exit)}`);
  }
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const exceptionText = ({ exception }: Report): string =>
  exception ? ` in an exception: vector ${hex(exception.vector)}, ESR_EL1 ${hex(exception.esr)}` : "";

/** An exit in a line. */
export function exitText({ reason, esr, far, hpfar, imm, gprs }: RecExit): string {
  const syndrome = reason === "RMI_EXIT_SYNC" ? `, esr ${hex(esr)}, far ${hex(far)}, hpfar ${hex(hpfar)}` : "";
  const call = reason === "RMI_EXIT_HOST_CALL" ? `, imm ${hex(imm)}` : "";
  return `${reason}${syndrome}${call}, gprs[0] ${hex(gprs[0]!)}`;
}

/** Flags of RmiRecEnter by name. */
export const enterFlags = (...names: readonly (keyof typeof RMI_REC_ENTER_FLAGS)[]): bigint =>
  names.reduce((flags, name) => flags | RMI_REC_ENTER_FLAGS[name].mask, 0n);

/** X0 of a call that nobody knows. */
export const UNKNOWN = SMCCC_NOT_SUPPORTED;
