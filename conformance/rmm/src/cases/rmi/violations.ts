/**
 * Failure conditions as tables: a state in which the call succeeds, and for each condition the one thing that is wrong.
 * From a table follow a case for each violation, and one for each ordered pair: both wrong at once, the first is reported.
 */
import type { RmiCommand, RmiStatus } from "@realmbox/abi";
import { Agent, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, DEN0137 } from "../case.js";
import { check, equal, refused, succeeded } from "../check.js";

/** A state in which the call with these arguments succeeds. */
export interface Arranged {
  /** Arguments by name, in the order of X1, X2 … */
  args: Record<string, bigint>;
}

export interface Violation<S extends Arranged> {
  readonly condition: string;
  /** Which of several ways to violate it. */
  readonly variant?: string;
  readonly status: RmiStatus;
  readonly index?: number;
  readonly precondition: string;
  /** Makes the one thing wrong. Only arguments change, unless it says `changesState`. */
  readonly violate: (host: Host, s: S) => Script | undefined;
  /** The valid call does not succeed afterwards: what is wrong is not only an argument. */
  readonly changesState?: true;
  /** Outputs that are defined although the command fails, from X1 on; the others, up to X3, are zero. */
  readonly out?: (s: S) => readonly bigint[];
  readonly skip?: (host: Host) => Script<string | undefined>;
}

export interface FailureTable<S extends Arranged> {
  readonly command: RmiCommand;
  readonly arrange: (host: Host) => S | Script<S>;
  readonly violations: readonly Violation<S>[];
  /** The document's partial order: each of the first before each of the second. Variants are the first of each condition. */
  readonly order?: readonly (readonly [first: readonly string[], second: readonly string[]])[];
}

export function failureCases<S extends Arranged>(table: FailureTable<S>): ConformanceCase[] {
  return [...table.violations.map((violation) => failureCase(table, violation)), ...orderCases(table)];
}

const citationOf = (command: RmiCommand, what: string): string => `${DEN0137}, "${command} command", ${what}`;

function* arranged<S extends Arranged>(host: Host, { arrange }: FailureTable<S>): Script<S> {
  const s = arrange(host);
  return Symbol.iterator in s ? yield* s : s;
}

function* violate<S extends Arranged>(host: Host, { violate }: Violation<S>, s: S): Script {
  const script = violate(host, s);
  if (script) yield* script;
}

function failureCase<S extends Arranged>(table: FailureTable<S>, violation: Violation<S>): ConformanceCase {
  const { command } = table;
  const { condition, variant, precondition, skip } = violation;
  return {
    id: `${command}/${condition}${variant ? `/${variant}` : ""}`,
    command,
    kind: "failure",
    citation: citationOf(command, `failure condition ${condition}`),
    preconditions: precondition,
    conditions: [`${command}/${condition}`],
    ...(skip && { skip }),
    *run(host) {
      const s = yield* arranged(host, table);
      const valid = { ...s.args };
      yield* violate(host, violation, s);
      const answer = yield* host.rmi(command, ...Object.values(s.args));
      refused(host, answer, violation);
      const out = violation.out?.(s) ?? [];
      for (let n = 0; n < 3; n++) equal(answer.out[n], out[n] ?? 0n, `X${n + 1} of the refused call`);
      if (violation.changesState) return;
      // A failed command changes nothing: the valid call still succeeds.
      succeeded(yield* host.rmi(command, ...Object.values(valid)), "the valid call after the refused one");
    },
  };
}

function orderCases<S extends Arranged>(table: FailureTable<S>): ConformanceCase[] {
  const { command, violations, order = [] } = table;
  const named = (condition: string): Violation<S> => {
    const found = violations.find((violation) => violation.condition === condition);
    if (!found) throw new Error(`${command} has no violation of ${condition}`);
    return found;
  };
  const pairs = order.flatMap(([firsts, seconds]) =>
    firsts.flatMap((first) => seconds.map((second) => [named(first), named(second)] as const)),
  );
  return pairs.map(([first, second]) => ({
    id: `${command}/order/${first.condition}<${second.condition}`,
    command,
    kind: "order",
    citation: citationOf(command, "failure condition ordering"),
    preconditions: `${first.precondition}; and ${second.precondition}`,
    conditions: [`${command}/${first.condition}`],
    *run(host: Host) {
      const s = yield* arranged(host, table);
      yield* violate(host, second, s);
      yield* violate(host, first, s);
      refused(host, yield* host.rmi(command, ...Object.values(s.args)), first);
    },
  }));
}

// Violations that many commands share

export const GRANULE_STATES = ["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const;
export type GranuleState = (typeof GRANULE_STATES)[number];

/** A granule in a state, of a Realm of its own when it takes one. */
export function* granuleIn(host: Host, state: GranuleState): Script<bigint> {
  switch (state) {
    case "UNDELEGATED":
      return host.page();
    case "DELEGATED":
      return yield* host.delegated();
    case "RD":
      return (yield* Realm.create(host)).rd;
    case "RTT":
      return (yield* Realm.create(host)).params.rtt_base;
    case "DATA":
      return yield* (yield* Realm.create(host)).data(host, 0n);
    case "REC":
      return (yield* (yield* Realm.create(host)).rec(host)).addr;
    case "REC_AUX": {
      const { aux } = yield* (yield* Realm.create(host)).rec(host);
      check(aux.length > 0, "the Realm's RECs have auxiliary granules");
      return aux[0]!;
    }
  }
}

/** Addresses at which no delegable memory is. */
export const outsideMemory = ({ bench }: Host) => ({
  device: bench.board.uart,
  beyond_pa: (1n << BigInt(bench.board.paBits)) + 0x1000n,
  realm_carve_out: bench.board.realm.base,
  root_carve_out: bench.board.root.base,
});
const OUTSIDE = ["device", "beyond_pa", "realm_carve_out", "root_carve_out"] as const;

const INPUT = "RMI_ERROR_INPUT";

/** `x_align` and `x_bound`. */
function addressViolations<S extends Arranged>(arg: string, prefix: string): Violation<S>[] {
  return [
    {
      condition: `${prefix}_align`,
      status: INPUT,
      precondition: `${arg} is not aligned to 4 KiB`,
      violate: (_, s) => {
        s.args[arg]! += 0x800n;
      },
    },
    ...OUTSIDE.map(
      (where): Violation<S> => ({
        condition: `${prefix}_bound`,
        ...(where !== "device" && { variant: where }),
        status: INPUT,
        precondition: `${arg} is not delegable memory: ${where.replaceAll("_", " ")}`,
        violate: (host, s) => {
          s.args[arg] = outsideMemory(host)[where];
        },
      }),
    ),
  ];
}

/** `x_align`, `x_bound` and `x_state` of a granule that must be in `needed`. */
export function granuleViolations<S extends Arranged>(
  arg: string,
  needed: GranuleState,
  { prefix = arg, state = `${prefix}_state` }: { readonly prefix?: string; readonly state?: string } = {},
): Violation<S>[] {
  // The document's own example comes first: it is the one that orders are tested with.
  const first = needed === "DELEGATED" ? "UNDELEGATED" : "DELEGATED";
  const wrong = [first, ...GRANULE_STATES.filter((other) => other !== needed && other !== first)] as const;
  return [
    ...addressViolations<S>(arg, prefix),
    ...wrong.map(
      (other, i): Violation<S> => ({
        condition: state,
        ...(i > 0 && { variant: other }),
        status: INPUT,
        precondition: `${arg} is a granule in state ${other}`,
        *violate(host, s) {
          s.args[arg] = yield* granuleIn(host, other);
        },
      }),
    ),
  ];
}

/** `x_align`, `x_bound` and `x_pas` of a granule of the Host that the RMM reads or writes. */
export function hostPageViolations<S extends Arranged>(arg: string, prefix = arg): Violation<S>[] {
  return [
    ...addressViolations<S>(arg, prefix),
    ...(["DELEGATED", "RD", "DATA"] as const).map(
      (state, i): Violation<S> => ({
        condition: `${prefix}_pas`,
        ...(i > 0 && { variant: state }),
        status: INPUT,
        precondition: `${arg} is in the Realm PAS: a granule in state ${state}`,
        *violate(host, s) {
          s.args[arg] = yield* granuleIn(host, state);
        },
      }),
    ),
  ];
}

/** Sets one argument. */
export const setArg =
  <S extends Arranged>(arg: string, value: bigint | ((s: S) => bigint)) =>
  (_: Host, s: S): undefined => {
    s.args[arg] = typeof value === "bigint" ? value : value(s);
  };

/** A Realm that runs: an agent at IPA 0x1000 of each REC's index, activated. */
export function* running(host: Host, realm: Realm, recs = 1): Script<Agent[]> {
  const agents: Agent[] = [];
  for (let n = 0; n < recs; n++) agents.push(yield* Agent.create(host, realm, BigInt(0x1000 * (n + 1))));
  yield* realm.activate(host);
  return agents;
}
