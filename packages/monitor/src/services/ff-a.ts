/**
 * FF-A's dispatcher at EL3 between the Non-secure world and the Secure one, whose software is the SPMC. What is for one world
 * alone is answered or refused here; the rest goes to the other world with X0 to X7. DEN0077A 1.0, "Interfaces"; what is
 * routed where as TF-A v2.12, services/std_svc/spmd.
 *
 * The SPMC is one of FF-A 1.0: it gets no framework messages (FFA_VERSION is answered here; it does not hear of CPU_OFF).
 * After an interrupt that preempted the Non-secure world it says FFA_NORMAL_WORLD_RESUME, which is of 1.1, or FFA_RUN with a
 * Non-secure target. FF-A has no FFA_RUN from a Secure physical instance, and TF-A refuses it; but the RMM ACS's Secure
 * payload, which is a 1.0 SPMC, goes back so.
 *
 * @spec DEN0077A 1.0, "Interfaces": partial: those of the SPMD; no framework messages, no logical partitions in it
 */
import {
  FFA_FID,
  FFA_FID_FIRST,
  FFA_FID_FIRST_64,
  FFA_FID_LAST,
  FFA_FID_LAST_64,
  FFA_ID,
  FFA_ID_SECURE,
  FFA_STATUS,
  FFA_VERSION_1_0,
  type FfaFunction,
  type FfaStatus,
  SecurityState,
} from "@realmbox/abi";
import { ERET, type Pe, R, type SlotExit } from "@realmbox/machine";
import { SecureState, type SecureWorld } from "../secure-world.js";
import { fidNumber, namesOf, returnUnknown, returnValue, type Service, type SmcCall } from "./service.js";

/** What the dispatcher needs of the monitor. */
export interface FfaParts {
  readonly secure: SecureWorld;
  /** The end of the Secure world's boot on this PE. */
  bootComplete(pe: Pe, succeeded: boolean): SlotExit;
}

const fids = (...names: FfaFunction[]): ReadonlySet<number> => new Set(names.map((name) => fidNumber(FFA_FID[name])));
const is = (fid: number, name: FfaFunction): boolean => fid === fidNumber(FFA_FID[name]);

/** Only the Non-secure world calls them, and the SPMC serves them. */
const FOR_SPMC = fids(
  "FFA_FEATURES",
  "FFA_RX_RELEASE",
  "FFA_RX_ACQUIRE",
  "FFA_RXTX_MAP",
  "FFA_RXTX_MAP_64",
  "FFA_RXTX_UNMAP",
  "FFA_PARTITION_INFO_GET",
  "FFA_NOTIFICATION_BITMAP_CREATE",
  "FFA_NOTIFICATION_BITMAP_DESTROY",
  "FFA_NOTIFICATION_BIND",
  "FFA_NOTIFICATION_UNBIND",
  "FFA_NOTIFICATION_SET",
  "FFA_NOTIFICATION_GET",
  "FFA_NOTIFICATION_INFO_GET",
  "FFA_NOTIFICATION_INFO_GET_64",
  "FFA_MSG_SEND2",
  "FFA_RUN",
);
/** Either world sends them to the other. */
const FOR_OTHER_WORLD = fids(
  "FFA_ERROR",
  "FFA_SUCCESS",
  "FFA_SUCCESS_64",
  "FFA_MSG_SEND",
  "FFA_MSG_SEND_DIRECT_RESP",
  "FFA_MSG_SEND_DIRECT_RESP_64",
  "FFA_MEM_DONATE",
  "FFA_MEM_DONATE_64",
  "FFA_MEM_LEND",
  "FFA_MEM_LEND_64",
  "FFA_MEM_SHARE",
  "FFA_MEM_SHARE_64",
  "FFA_MEM_RETRIEVE_REQ",
  "FFA_MEM_RETRIEVE_REQ_64",
  "FFA_MEM_RETRIEVE_RESP",
  "FFA_MEM_RELINQUISH",
  "FFA_MEM_RECLAIM",
  "FFA_MEM_FRAG_RX",
  "FFA_MEM_FRAG_TX",
);
/** Only the SPMC says them. */
const FOR_HOST = fids("FFA_MSG_WAIT", "FFA_INTERRUPT", "FFA_YIELD");
const DIRECT_REQUESTS = fids("FFA_MSG_SEND_DIRECT_REQ", "FFA_MSG_SEND_DIRECT_REQ_64");

const NAMES = namesOf(FFA_FID);
/** Function identifiers of FF-A that this service knows. */
export const FFA_CALL_COUNT = NAMES.size;

export function ffaService({ secure, bootComplete }: FfaParts): Service {
  function fromHost(call: SmcCall): SlotExit {
    const { pe, fid } = call;
    if (is(fid, "FFA_VERSION")) return version(call);
    if (is(fid, "FFA_ID_GET")) return success(pe, FFA_ID.NS_HYPERVISOR);
    if (is(fid, "FFA_SPM_ID_GET")) return success(pe, FFA_ID.SPMC);
    if (DIRECT_REQUESTS.has(fid) && !isRequestToSecure(call.argument(1))) return error(pe, "FFA_INVALID_PARAMETERS");
    if (!DIRECT_REQUESTS.has(fid) && !FOR_SPMC.has(fid) && !FOR_OTHER_WORLD.has(fid))
      return error(pe, "FFA_NOT_SUPPORTED");
    secure.enter(pe, valuesOf(call));
    return ERET;
  }

  function fromSecure(call: SmcCall, state: SecureState): SlotExit {
    const { pe, fid } = call;
    if (is(fid, "FFA_VERSION")) return version(call);
    if (is(fid, "FFA_FEATURES")) return success(pe, 0n);
    if (is(fid, "FFA_ID_GET")) return success(pe, FFA_ID.SPMC);
    if (is(fid, "FFA_SPM_ID_GET")) return success(pe, FFA_ID.SPMD);
    if (state === SecureState.BOOTING) return whileBooting(call);
    if (state === SecureState.PREEMPTING) {
      const resumes =
        is(fid, "FFA_NORMAL_WORLD_RESUME") || (is(fid, "FFA_RUN") && !isSecureId(call.argument(1) >> 16n));
      if (!resumes) return error(pe, "FFA_DENIED");
      secure.leave(pe);
      return ERET;
    }
    if (is(fid, "FFA_NORMAL_WORLD_RESUME")) return error(pe, "FFA_DENIED");
    if (!FOR_OTHER_WORLD.has(fid) && !FOR_HOST.has(fid)) return error(pe, "FFA_NOT_SUPPORTED");
    secure.leave(pe, valuesOf(call));
    return ERET;
  }

  function whileBooting(call: SmcCall): SlotExit {
    const { pe, fid } = call;
    if (is(fid, "FFA_MSG_WAIT")) return bootComplete(pe, true);
    if (is(fid, "FFA_ERROR")) return bootComplete(pe, false);
    if (!is(fid, "FFA_SECONDARY_EP_REGISTER") || !secure.bootsCold(pe)) return error(pe, "FFA_DENIED");
    const entry = call.argument(1);
    const { loadAt, image } = secure.image;
    if (entry < loadAt || entry >= loadAt + BigInt(image.length)) return error(pe, "FFA_INVALID_PARAMETERS");
    secure.setSecondaryEntry(pe, entry);
    return success(pe, 0n);
  }

  return {
    name: "FF-A",
    ranges: [
      [fidNumber(FFA_FID_FIRST), fidNumber(FFA_FID_LAST)],
      [fidNumber(FFA_FID_FIRST_64), fidNumber(FFA_FID_LAST_64)],
    ],
    callers: [SecurityState.NON_SECURE, SecurityState.SECURE],
    nameOf: (fid) => NAMES.get(fid),
    handle(call) {
      const state = secure.state(call.pe);
      if (call.caller === SecurityState.SECURE) return fromSecure(call, state);
      return state === SecureState.READY ? fromHost(call) : returnUnknown(call.pe);
    },
  };
}

/** A Secure interrupt while the Host or one of its guests ran: the Secure world handles it. */
export function preemptHost(pe: Pe, secure: SecureWorld): void {
  secure.enter(pe, [FFA_FID.FFA_INTERRUPT], SecureState.PREEMPTING);
}

const isSecureId = (id: bigint): boolean => (id & FFA_ID_SECURE) !== 0n;

/** Source in 31:16, destination in 15:0. The SPMD itself takes no messages. */
function isRequestToSecure(endpoints: bigint): boolean {
  const destination = endpoints & 0xffffn;
  return !isSecureId(endpoints >> 16n) && isSecureId(destination) && destination !== FFA_ID.SPMD;
}

/** X0 to X7 of a call, as its convention has them. */
const valuesOf = ({ fid, argument }: SmcCall): bigint[] => [
  BigInt(fid),
  ...[1, 2, 3, 4, 5, 6, 7].map((n) => argument(n)),
];

/** Bit 31 of the version that the caller asks for must be zero. */
function version({ pe, argument }: SmcCall): SlotExit {
  const asked = argument(1);
  return returnValue(pe, (asked & 0x8000_0000n) === 0n ? FFA_VERSION_1_0 : FFA_STATUS.FFA_NOT_SUPPORTED & 0xffff_ffffn);
}

function respond({ r }: Pe, name: FfaFunction, w2: bigint): SlotExit {
  for (let n = 1; n < 8; n++) r[R.X0 + n] = 0n;
  r[R.X0] = FFA_FID[name];
  r[R.X0 + 2] = BigInt.asUintN(32, w2);
  return ERET;
}

const success = (pe: Pe, w2: bigint): SlotExit => respond(pe, "FFA_SUCCESS", w2);
const error = (pe: Pe, status: FfaStatus): SlotExit => respond(pe, "FFA_ERROR", FFA_STATUS[status]);
