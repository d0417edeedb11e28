/**
 * The report that ends a run: what was expected, what the token says, whether it verifies, and what it cost.
 */

import type { Crypto } from "@realmbox/abi";
import { Pas, SecurityState } from "@realmbox/abi";
import {
  RimCalculator,
  STAGES,
  type Stage,
  type TrustAnchor,
  type VerificationProblem,
  verifyToken,
} from "@realmbox/attest";
import { type Counters, instructionsAt, portBytes } from "@realmbox/machine";
import { toHex } from "@realmbox/token";
import {
  type MachineContent,
  planRealm,
  type RealmPlan,
  type RealmPlatform,
  realmPlatform,
  rimEvents,
} from "@realmbox/vmm";
import type { Box } from "./box.js";
import type { Guest, GuestEnd } from "./guest.js";
import { type TranslatorReport, translatorReport } from "./translator-report.js";

/** Names of RmiRecExitReason. DEN0137 1.0-rel0, "RmiRecExitReason type". */
const REC_EXIT_NAMES = ["sync", "irq", "fiq", "psci", "ripas_change", "host_call", "serror"] as const;

export interface Report {
  readonly schemaVersion: 1;
  readonly image: string;
  readonly kind: "realm" | "normal VM";
  /** The process's exit code: the guest's own status, 124 timeout, 126 crashed, 128 and the number of the signal that ended it. */
  readonly exit: number;
  /** Why it ended, in words. */
  readonly end: string;
  /** Hexadecimal; null for a normal VM, `token` null when the guest made none. */
  readonly rim: { readonly expected: string; readonly token: string | null; readonly match: boolean } | null;
  readonly token: {
    readonly bytes: number;
    readonly verified: boolean;
    /** The verifier's stage: "accepted", or the one that failed. */
    readonly stage: Stage;
    readonly challengeMatched: boolean;
    readonly problems: readonly VerificationProblem[];
  } | null;
  readonly counts: Counts;
  /** Null: everything was interpreted. */
  readonly translator: TranslatorReport | null;
}

export interface Counts {
  readonly recEntries: number;
  readonly recExits: Readonly<Record<string, number>>;
  readonly guestEntries: number;
  readonly rmiCalls: number;
  readonly smcs: number;
  readonly worldSwitches: number;
  readonly granuleTransitions: number;
  readonly granuleProtectionFaults: number;
  /** Bytes that Host, VMM and devices moved through their memory ports: in Non-secure memory, and in any other. */
  readonly hostBytes: { readonly nonSecure: number; readonly other: number };
  readonly mmio: number;
  /** Emulated instructions retired by world; native firmware retires none. */
  readonly instructions: {
    readonly realm: number;
    readonly nonSecure: number;
    readonly secure: number;
    readonly root: number;
    readonly total: number;
  };
  /** The machine's clock at the end. */
  readonly clock: number;
}

/** The RIM that a realm of this plan has, computed from the plan alone. */
export function expectedRim(crypto: Crypto, plan: RealmPlan): Uint8Array {
  const rim = new RimCalculator(crypto, plan.parameters);
  for (const event of rimEvents(plan)) {
    switch (event.kind) {
      case "realm-create":
        break; // the calculator starts with it
      case "init-ripas":
        rim.ripas(event.base, event.top);
        break;
      case "data-create":
        rim.data(event.ipa, event.flags, event.content);
        break;
      case "rec-create":
        rim.rec(event.flags, event.pc, event.gprs);
        break;
    }
  }
  return rim.value();
}

/** The RIM of a realm with this content on a platform, without running anything. */
export const measure = (crypto: Crypto, content: MachineContent, platform: RealmPlatform): Uint8Array =>
  expectedRim(crypto, planRealm(content, platform));

export { realmPlatform };

/** The exit code and the sentence for how a guest ended. */
export function exitOf(end: GuestEnd): { readonly exit: number; readonly why: string } {
  switch (end.kind) {
    case "exit":
      return { exit: end.status, why: `the guest reported exit status ${end.status}` };
    case "shutdown":
      return { exit: 0, why: "the guest switched off" };
    case "reset":
      return { exit: 0, why: "the guest asked for a reset" };
    case "limit":
      return { exit: 124, why: "the instruction limit is reached" };
    case "cancelled":
      return { exit: 124, why: "the time limit is reached" };
    case "reached":
      return { exit: 0, why: "the awaited condition holds" };
    case "signal":
      return { exit: 128 + end.number, why: `${end.name} ended the run` };
    case "idle":
      return { exit: 126, why: "the guest waits for input that never comes" };
    case "stopped":
      return { exit: 0, why: end.why };
    case "crash":
    case "host-error":
    case "stuck":
      return { exit: 126, why: end.why };
  }
}

/** Puts the report together; verifies the token if there is one. */
export function makeReport(options: {
  readonly box: Box;
  readonly guest: Guest;
  readonly end: GuestEnd;
  readonly image: string;
  readonly challenge: Uint8Array;
}): Report {
  const { box, guest, end, image, challenge } = options;
  const { exit, why } = exitOf(end);
  const { plan } = guest.vm;
  const anchor: TrustAnchor = {
    key: { curve: "P-384", point: box.identity.cpak },
    implementationId: box.identity.implementationId,
    instanceId: box.identity.instanceId,
  };
  const result =
    guest.token === undefined
      ? undefined
      : verifyToken(guest.token, { crypto: box.crypto, trustAnchors: [anchor], challenge });
  const rimOfToken = result?.token?.realm.claims?.initialMeasurement;
  const expected = plan === undefined ? undefined : toHex(expectedRim(box.crypto, plan));
  const token = rimOfToken === undefined ? null : toHex(rimOfToken);
  return {
    schemaVersion: 1,
    image,
    kind: plan === undefined ? "normal VM" : "realm",
    exit,
    end: why,
    rim: expected === undefined ? null : { expected, token, match: expected === token },
    token:
      guest.token === undefined || result === undefined
        ? null
        : {
            bytes: guest.token.length,
            verified: result.accepted,
            stage: result.stage,
            challengeMatched: result.accepted || STAGES.indexOf(result.stage) > STAGES.indexOf("challenge"),
            problems: result.problems,
          },
    counts: countsOf(box, guest),
    translator: translatorReport(box.machine),
  };
}

/** What the Host's side read and wrote, by the kind of memory: realms keep their own only if `other` is 0. */
export function hostBytesOf(counters: Counters): Counts["hostBytes"] {
  const bytes = (pas: Pas) => portBytes(counters, "ns-el2", pas) + portBytes(counters, "devices", pas);
  return { nonSecure: bytes(Pas.NS), other: bytes(Pas.SECURE) + bytes(Pas.ROOT) + bytes(Pas.REALM) };
}

function countsOf({ machine, host }: Box, guest: Guest): Counts {
  const { counters } = machine;
  const world = (state: number) =>
    [0, 1, 2, 3].reduce((sum, el) => sum + instructionsAt(counters, state as never, el), 0);
  const instructions = {
    realm: world(SecurityState.REALM),
    nonSecure: world(SecurityState.NON_SECURE),
    secure: world(SecurityState.SECURE),
    root: world(SecurityState.ROOT),
  };
  const { realm, nonSecure, secure, root } = instructions;
  return {
    recEntries: host.counters.recEntries,
    recExits: Object.fromEntries(REC_EXIT_NAMES.map((name, reason) => [name, host.counters.recExits[reason] ?? 0])),
    guestEntries: host.counters.guestEntries,
    rmiCalls: host.counters.rmiCalls,
    smcs: counters.smcs,
    worldSwitches: counters.worldSwitches,
    granuleTransitions: counters.granuleTransitions,
    granuleProtectionFaults: counters.granuleProtectionFaults,
    hostBytes: hostBytesOf(counters),
    mmio: guest.vm.counters.mmioReads + guest.vm.counters.mmioWrites,
    instructions: { ...instructions, total: realm + nonSecure + secure + root },
    clock: machine.now,
  };
}

/** The report as text, for people. */
export function reportText(report: Report): string {
  const { counts, rim, token } = report;
  const n = (value: number) => value.toLocaleString("en-US");
  const lines = [`${report.image} as a ${report.kind}: exit ${report.exit} (${report.end})`];
  if (rim !== null) {
    lines.push(`  RIM expected  ${rim.expected}`);
    lines.push(
      `  RIM in token  ${rim.token ?? "(no token)"}${rim.token === null ? "" : rim.match ? "  equal" : "  DIFFERENT"}`,
    );
  }
  if (token !== null) {
    lines.push(
      token.verified
        ? `  token         ${n(token.bytes)} bytes: platform key → RAK → realm claims verified, challenge matched`
        : `  token         ${n(token.bytes)} bytes: NOT VERIFIED at stage ${token.stage}: ${token.problems.map(({ message }) => message).join("; ")}`,
    );
  }
  if (report.kind === "realm") {
    const exits = Object.entries(counts.recExits).filter(([, count]) => count > 0);
    lines.push(
      `  REC entries   ${n(counts.recEntries)}; exits: ${exits.map(([name, count]) => `${name} ${n(count)}`).join(", ") || "none"}`,
    );
  } else {
    lines.push(`  VM entries    ${n(counts.guestEntries)}`);
  }
  lines.push(
    `  SMCs          ${n(counts.smcs)}; RMI calls ${n(counts.rmiCalls)}; world switches ${n(counts.worldSwitches)}; granule transitions ${n(counts.granuleTransitions)}`,
    `  instructions  realm ${n(counts.instructions.realm)}, non-secure ${n(counts.instructions.nonSecure)}`,
  );
  return `${lines.join("\n")}\n`;
}
