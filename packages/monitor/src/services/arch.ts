/**
 * Calls that every SMCCC implementation answers, from any Security state, and the queries of the standard service range.
 * DEN0028 (SMCCC) 1.5, "Arm Architecture Calls", "General service queries".
 */
import {
  SecurityState,
  SMCCC_ARCH_FEATURES,
  SMCCC_ARCH_SOC_ID,
  SMCCC_NOT_SUPPORTED,
  SMCCC_VERSION,
  SMCCC_VERSION_1_5,
} from "@realmbox/abi";
import { type Board, R } from "@realmbox/machine";
import { fidNumber, returnUnknown, returnValue, type Service } from "./service.js";

const VERSION = fidNumber(SMCCC_VERSION);
const FEATURES = fidNumber(SMCCC_ARCH_FEATURES);
const SOC_ID = fidNumber(SMCCC_ARCH_SOC_ID);
const INVALID_PARAMETER = -3n;
/** Of the standard services: call count, UID, revision. */
const STD_CALL_COUNT = 0x8400_ff00;
const STD_UID = 0x8400_ff01;
const STD_REVISION = 0x8400_ff03;

/** UUID of this implementation's standard services, as four little-endian words: a2f3c1d4-5b1e-4c8a-9d07-6e2f81b4c350. */
const UID = [0xd4c1_f3a2n, 0x8a4c_1e5bn, 0x2f6e_079dn, 0x50c3_b481n];
const REVISION = { major: 0n, minor: 1n };

const EVERYBODY = [SecurityState.NON_SECURE, SecurityState.SECURE, SecurityState.REALM];

const NAMES = new Map([
  [VERSION, "SMCCC_VERSION"],
  [FEATURES, "SMCCC_ARCH_FEATURES"],
  [SOC_ID, "SMCCC_ARCH_SOC_ID"],
  [STD_CALL_COUNT, "STD_SVC_CALL_COUNT"],
  [STD_UID, "STD_SVC_UID"],
  [STD_REVISION, "STD_SVC_REVISION"],
]);

/**
 * @spec DEN0028 1.5, "Arm Architecture Calls": partial: the optional calls are absent
 *
 * SMCCC_VERSION, SMCCC_ARCH_FEATURES, and SMCCC_ARCH_SOC_ID on a board that stands for a system with an identity; the
 * workarounds and FEATURE_AVAILABILITY are absent, and ARCH_FEATURES says so.
 */
export const archService = ({ socId }: Pick<Board, "socId">): Service => ({
  name: "arch",
  ranges: [
    [0x8000_0000, 0x80ff_ffff],
    [0xc000_0000, 0xc0ff_ffff],
  ],
  callers: EVERYBODY,
  nameOf: (fid) => NAMES.get(fid),
  handle({ pe, fid, argument }) {
    if (fid === VERSION) return returnValue(pe, SMCCC_VERSION_1_5);
    if (fid === FEATURES) {
      const asked = argument(1);
      const known =
        asked === SMCCC_VERSION ||
        asked === SMCCC_ARCH_FEATURES ||
        (asked === SMCCC_ARCH_SOC_ID && socId !== undefined);
      return returnValue(pe, known ? 0n : SMCCC_NOT_SUPPORTED);
    }
    if (fid === SOC_ID && socId) {
      const answers = [socId.version, socId.revision];
      return returnValue(pe, BigInt(answers[Number(argument(1))] ?? INVALID_PARAMETER));
    }
    return returnUnknown(pe);
  },
});

/** Call count, UID and revision of the standard services. `callCount`: functions that the other services implement. */
export const standardQueries = (callCount: number): Service => ({
  name: "standard service queries",
  ranges: [[0x8400_ff00, 0x8400_ffff]],
  callers: EVERYBODY,
  nameOf: (fid) => NAMES.get(fid),
  handle({ pe, fid }) {
    switch (fid) {
      case STD_CALL_COUNT:
        return returnValue(pe, BigInt(callCount));
      case STD_UID:
        UID.forEach((word, n) => {
          pe.r[R.X0 + n] = word;
        });
        return returnValue(pe, UID[0]!);
      case STD_REVISION:
        pe.r[R.X0 + 1] = REVISION.minor;
        return returnValue(pe, REVISION.major);
    }
    return returnUnknown(pe);
  },
});
