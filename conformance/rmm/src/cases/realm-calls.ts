/** Calls of a Realm: refusals as a table, and the registers that a call leaves alone. */
import { PSCI_FID, type PsciFunction, RSI_FID, RSI_STATUS, type RsiCommand, type RsiStatus } from "@realmbox/abi";
import { AGENT_PATTERN, type Agent, type Host, Realm, type Script } from "../driver/index.js";
import { type ConformanceCase, DEN0137 } from "./case.js";
import { check, equal, fail } from "./check.js";
import { running } from "./rmi/violations.js";

/** A page of the Realm's own, at 0x8000, is RAM with content; 0xa000 is EMPTY; 0x2000 … hold further agents. */
export const BUFFER = 0x8000n;
export const EMPTY_PAGE = 0xa000n;

export interface RealmState {
  readonly realm: Realm;
  readonly agent: Agent;
  readonly agents: readonly Agent[];
}

/** A Realm that runs, with BUFFER; REC 0 has made its first report. */
export function* runningRealm(
  host: Host,
  params: Parameters<typeof Realm.create>[1] = {},
  { recs = 1 }: { readonly recs?: number } = {},
): Script<RealmState> {
  const realm = yield* Realm.create(host, params);
  yield* realm.data(host, BUFFER);
  const agents = yield* running(host, realm, recs);
  yield* agents[0]!.begin(host);
  return { realm, agent: agents[0]!, agents };
}

/** X4 to X29, of which a call may make those below X18 zero. DEN0137; DEN0028, "Register use". */
export function othersKept(x: readonly bigint[], outputs: number, pattern: readonly bigint[] = AGENT_PATTERN): void {
  for (let n = Math.max(4, outputs + 1); n < 30; n++) {
    if (n < 17 && x[n] === 0n) continue;
    equal(x[n], pattern[n], `X${n}, which is no output`);
  }
}

/** A call whose status must be this, by this condition; X1 to X3 as said, the others zero. */
function* refusedCall(
  host: Host,
  { agent }: RealmState,
  call: readonly bigint[],
  {
    x0,
    condition,
    command,
    out = [],
  }: { x0: bigint; condition: string; command: string; out?: readonly bigint[] | undefined },
): Script {
  const { refusals } = host.bench;
  const before = refusals.length;
  const x = yield* agent.smc(host, ...call);
  const told = refusals.slice(before).find((refusal) => refusal.command === command)?.condition;
  if (x[0] !== x0)
    fail(`X0 0x${x[0]!.toString(16)}${told ? ` (${told})` : ""}, not 0x${x0.toString(16)} (${condition})`);
  if (host.bench.namesConditions && told !== condition) fail(`refused by ${told}, not ${condition}`);
  for (let n = 1; n <= 3; n++) equal(x[n], out[n - 1] ?? 0n, `X${n} of the refused call`);
  const given = AGENT_PATTERN.map((value, n) => call[n] ?? value);
  othersKept(x, 0, given);
}

export interface RsiViolation {
  readonly condition: string;
  readonly variant?: string;
  readonly status: RsiStatus;
  readonly precondition: string;
  /** Arguments from X1 on. */
  readonly args: readonly bigint[] | ((state: RealmState) => readonly bigint[]);
  /** What is done before the call. */
  readonly before?: (host: Host, state: RealmState) => Script;
  readonly out?: readonly bigint[];
}

const argsOf = (args: RsiViolation["args"], state: RealmState) => (typeof args === "function" ? args(state) : args);

/** A case for each violation of an RSI command. Its conditions have no order in the document. */
export function rsiFailures(command: RsiCommand, violations: readonly RsiViolation[]): ConformanceCase[] {
  return violations.map(({ condition, variant, status, precondition, args, before, out }) => ({
    id: `${command}/${condition}${variant ? `/${variant}` : ""}`,
    command,
    kind: "failure",
    citation: `${DEN0137}, "${command} command", failure condition ${condition}`,
    preconditions: precondition,
    conditions: [`${command}/${condition}`],
    *run(host: Host) {
      const state = yield* runningRealm(host);
      if (before) yield* before(host, state);
      const x0 = BigInt(RSI_STATUS[status]);
      yield* refusedCall(host, state, [RSI_FID[command], ...argsOf(args, state)], { x0, condition, command, out });
    },
  }));
}

export interface PsciViolation {
  readonly command: PsciFunction;
  /** The interface's name of the function whose condition it is. */
  readonly owner?: string;
  readonly condition: string;
  readonly variant?: string;
  readonly x0: bigint;
  readonly precondition: string;
  readonly args: readonly bigint[];
}

export function psciFailures(violations: readonly PsciViolation[]): ConformanceCase[] {
  return violations.map(({ command, condition, variant, x0, precondition, args }) => {
    const name = command.replace(/_64$/, "");
    return {
      id: `${name}/${condition}${variant ? `/${variant}` : ""}`,
      command: name,
      kind: "failure",
      citation: `${DEN0137}, "${name} command", failure condition ${condition}`,
      preconditions: precondition,
      conditions: [`${name}/${condition}`],
      *run(host: Host) {
        const state = yield* runningRealm(host, {}, { recs: 2 });
        yield* refusedCall(host, state, [PSCI_FID[command], ...args], { x0, condition, command: name });
      },
    };
  });
}

/** A call of the Realm that must succeed: X0 to X29. */
export function* rsiOk(
  host: Host,
  agent: Agent,
  command: RsiCommand,
  ...args: readonly bigint[]
): Script<readonly bigint[]> {
  const x = yield* agent.smc(host, RSI_FID[command], ...args);
  equal(x[0], 0n, `X0 of ${command}`);
  return x;
}

/** A 64-bit word of the Realm's memory. */
export function* peek(host: Host, agent: Agent, ipa: bigint): Script<bigint> {
  const { x, exception } = yield* agent.run(host, 0xf940_0020, { 1: ipa }); // ldr x0, [x1]
  check(exception === undefined, `the load from 0x${ipa.toString(16)} takes no exception`);
  return x[0]!;
}

export function* poke(host: Host, agent: Agent, ipa: bigint, value: bigint): Script {
  const { exception } = yield* agent.run(host, 0xf900_0020, { 0: value, 1: ipa }); // str x0, [x1]
  check(exception === undefined, `the store to 0x${ipa.toString(16)} takes no exception`);
}
