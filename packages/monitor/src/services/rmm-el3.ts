/**
 * What EL3 does for the RMM at run time: RMM-EL3 interface, profile v0 (reported as 0.8). TF-A, "RMM-EL3 Communication
 * Specification", "RMM-EL3 runtime service interface".
 *
 * Invariants: no call but RMM_BOOT_COMPLETE switches the world; registers that are no outputs keep their values; a
 * granule that the RMM holds can always be given back.
 *
 * @spec RMM-EL3 Communication Specification 0.8, "RMM-EL3 Runtime Interface": partial: EL3_TOKEN_SIGN, MEC_REFRESH and
 *   the IDE calls answer E_RMM_UNK
 */
import {
  Gpi,
  GRANULE_SIZE,
  invariant,
  PAS_NAMES,
  Pas,
  RMM_ATTEST_CURVE,
  RMM_EL3_FID,
  RMM_EL3_FID_FIRST,
  RMM_EL3_FID_LAST,
  type RmmEl3Status,
  rmmEl3Code,
  SecurityState,
  type Trace,
} from "@realmbox/abi";
import { type Counters, ERET, type Pe, R, type SlotExit } from "@realmbox/machine";
import type { GranuleTables, Transition } from "../gpt.js";
import type { MonitorMemory } from "../monitor-memory.js";
import { fidNumber, namesOf, type Service, type SmcCall } from "./service.js";

export interface RmmServices {
  readonly trace: Trace;
  readonly counters: Pick<Counters, "granuleTransitions">;
  readonly tables: GranuleTables;
  readonly memory: MonitorMemory;
  /** The RMM-EL3 shared page. */
  readonly sharedPage: bigint;
  /** Builds the platform token for a challenge. */
  platformToken(pe: Pe, challenge: Uint8Array): Uint8Array;
  /** RMM_BOOT_COMPLETE: leaves the RMM for good, on this PE and for this boot. */
  bootComplete(pe: Pe, status: bigint): SlotExit;
  /** Whether the RMM boots on this PE now. */
  isBooting(pe: Pe): boolean;
}

const FID = {
  DELEGATE: fidNumber(RMM_EL3_FID.RMM_GTSI_DELEGATE),
  UNDELEGATE: fidNumber(RMM_EL3_FID.RMM_GTSI_UNDELEGATE),
  GET_REALM_KEY: fidNumber(RMM_EL3_FID.RMM_ATTEST_GET_REALM_KEY),
  GET_PLAT_TOKEN: fidNumber(RMM_EL3_FID.RMM_ATTEST_GET_PLAT_TOKEN),
  FEATURES: fidNumber(RMM_EL3_FID.RMM_EL3_FEATURES),
  RESERVE_MEMORY: fidNumber(RMM_EL3_FID.RMM_RESERVE_MEMORY),
  BOOT_COMPLETE: fidNumber(RMM_EL3_FID.RMM_BOOT_COMPLETE),
} as const;
const NAMES = namesOf(RMM_EL3_FID);

export const RMM_EL3_CALL_COUNT = Object.keys(FID).length;

const CHALLENGE_SIZES = [32, 48, 64];
const REALM_KEY_SIZE = 48n;
/** RMM_EL3_FEATURES register 0: no token signing in EL3. */
const FEATURES_REGISTER_0 = 0n;
/** RMM_RESERVE_MEMORY, X2: alignment 63:56, local CPU 0; all else zero. */
const RESERVE_FLAGS_RES0 = 0x00ff_ffff_ffff_fffen;

export function rmmEl3Service(services: RmmServices): Service {
  return {
    name: "RMM-EL3",
    ranges: [[fidNumber(RMM_EL3_FID_FIRST), fidNumber(RMM_EL3_FID_LAST)]],
    callers: [SecurityState.REALM],
    nameOf: (fid) => NAMES.get(fid),
    handle(call) {
      const { pe, fid } = call;
      if (fid === FID.DELEGATE || fid === FID.UNDELEGATE) {
        const { w } = pe;
        const status = fid === FID.DELEGATE ? transition(services, pe, TO_REALM) : transition(services, pe, TO_NS);
        const code = CODES[status];
        w[X0_LO] = code;
        w[X0_LO + 1] = code >> 31;
        return ERET;
      }
      if (fid === FID.BOOT_COMPLETE && services.isBooting(pe)) return services.bootComplete(pe, call.argument(1));
      pe.r[R.X0] = rmmEl3Code(run(services, call));
      return ERET;
    },
  };
}

function run(services: RmmServices, call: SmcCall): RmmEl3Status {
  switch (call.fid) {
    case FID.GET_REALM_KEY:
      return getRealmKey(services, call);
    case FID.GET_PLAT_TOKEN:
      return getPlatformToken(services, call);
    case FID.FEATURES:
      if (call.argument(1) !== 0n) return "E_RMM_INVAL";
      call.pe.r[R.X0 + 1] = FEATURES_REGISTER_0;
      return "E_RMM_OK";
    case FID.RESERVE_MEMORY:
      // There is no pool: the RMM's carve-out is all that it gets.
      return (call.argument(2) & RESERVE_FLAGS_RES0) !== 0n ? "E_RMM_INVAL" : "E_RMM_NOMEM";
  }
  return "E_RMM_UNK";
}

const X0_LO = 2 * R.X0;
const X1_LO = 2 * (R.X0 + 1);
const TO_REALM: Transition = { from: Gpi.NS, to: Gpi.REALM };
const TO_NS: Transition = { from: Gpi.REALM, to: Gpi.NS };
/** What a transition ends with, as the low words of X0: for each granule that the Host gives, so no 64-bit values. */
const CODES = {
  E_RMM_OK: codeOf("E_RMM_OK"),
  E_RMM_BAD_ADDR: codeOf("E_RMM_BAD_ADDR"),
  E_RMM_BAD_PAS: codeOf("E_RMM_BAD_PAS"),
} as const;

function codeOf(status: RmmEl3Status): number {
  return Number(BigInt.asIntN(32, rmmEl3Code(status)));
}

/** Changes the granule at X1. */
function transition(services: RmmServices, pe: Pe, change: Transition): keyof typeof CODES {
  const { tables, trace, counters } = services;
  const low = pe.w[X1_LO]!;
  const high = pe.w[X1_LO + 1]!;
  // Beyond 2^43 there is no memory of any board.
  const frame = high >>> 11 === 0 ? (high << 20) | (low >>> 12) : NO_FRAME;
  const error = (low & (GRANULE_SIZE - 1)) !== 0 ? "BAD_ADDR" : tables.change(pe.port(Pas.ROOT), frame, change);
  if (error === undefined) {
    pe.invalidateGranule(frame);
    counters.granuleTransitions++;
  }
  const status = error === undefined ? "E_RMM_OK" : error === "BAD_PAS" ? "E_RMM_BAD_PAS" : "E_RMM_BAD_ADDR";
  if (trace.wants("granule")) {
    trace.emit({
      category: "granule",
      name: "GPT",
      fields: { pa: pe.r[R.X0 + 1]!, from: pasName(change.from), to: pasName(change.to), status },
    });
  }
  return status;
}
const NO_FRAME = 0x7fff_ffff;

const pasName = (gpi: Gpi): string => PAS_NAMES[gpi & 3]!;

/** Where [buffer, buffer + size) lies in the shared page, or why it does not. */
function sharedBuffer(services: RmmServices, buffer: bigint, size: bigint): number | RmmEl3Status {
  const page = BigInt(GRANULE_SIZE);
  if (buffer - (buffer % page) !== services.sharedPage) return "E_RMM_BAD_ADDR";
  const offset = buffer % page;
  return offset + size > page ? "E_RMM_INVAL" : Number(offset);
}

function getRealmKey(services: RmmServices, { pe, argument }: SmcCall): RmmEl3Status {
  const [buffer, size, curve] = [argument(1), argument(2), argument(3)];
  const offset = sharedBuffer(services, buffer, size);
  if (typeof offset === "string") return offset;
  if (curve !== RMM_ATTEST_CURVE.ECC_SECP384R1 || size < REALM_KEY_SIZE) return "E_RMM_INVAL";
  services.memory.copyToRealm(pe, buffer, services.memory.globals(pe).rak);
  pe.r[R.X0 + 1] = REALM_KEY_SIZE;
  return "E_RMM_OK";
}

/** The token in pieces: a challenge starts it, calls without one go on until nothing remains. */
function getPlatformToken(services: RmmServices, { pe, argument }: SmcCall): RmmEl3Status {
  const { memory } = services;
  const [buffer, size, challengeSize] = [argument(1), argument(2), argument(3)];
  const offset = sharedBuffer(services, buffer, size);
  if (typeof offset === "string") return offset;
  if (size === 0n) return "E_RMM_INVAL";
  if (challengeSize !== 0n) {
    if (!CHALLENGE_SIZES.includes(Number(challengeSize)) || offset + Number(challengeSize) > GRANULE_SIZE) {
      return "E_RMM_INVAL";
    }
    const token = services.platformToken(pe, memory.copyFromRealm(pe, buffer, Number(challengeSize)));
    invariant(token.length <= GRANULE_SIZE, "the platform token fits into its granule", token.length);
    memory.startToken(pe, token);
  }
  const chunk = memory.nextTokenChunk(pe, Number(size));
  if (chunk === undefined) return "E_RMM_INVAL";
  memory.copyToRealm(pe, buffer, chunk.bytes);
  pe.r[R.X0 + 1] = BigInt(chunk.bytes.length);
  pe.r[R.X0 + 2] = BigInt(chunk.remaining);
  return "E_RMM_OK";
}
