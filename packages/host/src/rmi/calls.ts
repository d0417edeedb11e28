/**
 * The Host's side of RMI: each command as the registers of its SMC. An operation yields what a method gives and finds
 * X0..X7 of the answer in the same array: `const r = yield rmi.granuleDelegate(pa)`; it reads them before its next yield.
 * DEN0137 1.0-rel0, "Realm Management Interface".
 */
import { RMI_FID, RMI_RETURN_CODE, RMI_STATUS } from "@realmbox/abi";
import type { HostCounters } from "../kvm/api.js";

/** Status and index of X0. */
export const statusOf = (x0: bigint): number => Number(RMI_RETURN_CODE.STATUS.get(x0));
export const levelOf = (x0: bigint): number => Number(RMI_RETURN_CODE.INDEX.get(x0));
/** X0 is RMI_ERROR_RTT: `levelOf` is where the walk ended. */
export const isRttError = (x0: bigint): boolean => statusOf(x0) === RMI_STATUS.RMI_ERROR_RTT;

/** The function id in X0, and a frame's address or a page's IPA in Xn, as the two words of each register. */
const lowOf = (fid: bigint): number => Number(BigInt.asIntN(32, fid));
const FID = {
  DELEGATE: lowOf(RMI_FID.RMI_GRANULE_DELEGATE),
  UNDELEGATE: lowOf(RMI_FID.RMI_GRANULE_UNDELEGATE),
  DATA_CREATE: lowOf(RMI_FID.RMI_DATA_CREATE),
  DATA_CREATE_UNKNOWN: lowOf(RMI_FID.RMI_DATA_CREATE_UNKNOWN),
  DATA_DESTROY: lowOf(RMI_FID.RMI_DATA_DESTROY),
} as const;

export class Rmi {
  readonly #counters: HostCounters;
  /** One array for all operations: what it holds is taken over at once, into the PE's registers or by the reader. */
  readonly regs = new BigUint64Array(8);
  /** The same as 32-bit words. */
  readonly words = new Int32Array(this.regs.buffer);

  constructor(counters: HostCounters) {
    this.#counters = counters;
  }

  /** Any SMC. */
  smc(fid: bigint, x1 = 0n, x2 = 0n, x3 = 0n, x4 = 0n, x5 = 0n): BigUint64Array {
    const { regs } = this;
    regs[0] = fid;
    regs[1] = x1;
    regs[2] = x2;
    regs[3] = x3;
    regs[4] = x4;
    regs[5] = x5;
    regs[6] = 0n;
    regs[7] = 0n;
    return regs;
  }

  #rmi(fid: bigint, x1 = 0n, x2 = 0n, x3 = 0n, x4 = 0n, x5 = 0n): BigUint64Array {
    this.#counters.rmiCalls++;
    return this.smc(fid, x1, x2, x3, x4, x5);
  }

  // What is called for each page of a realm: frames and pages are numbers (address / 4096), and no 64-bit value is made.

  /** X0 of the answer is RMI_SUCCESS. */
  get succeeded(): boolean {
    return (this.words[0]! | this.words[1]!) === 0;
  }

  /** Frame number in Xn of the answer. */
  frame(n: number): number {
    return (this.words[2 * n]! >>> 12) + this.words[2 * n + 1]! * 0x10_0000;
  }

  #pages(fid: number, x1: number, x2 = 0, x3 = 0, x4 = 0): BigUint64Array {
    this.#counters.rmiCalls++;
    const { words } = this;
    words[0] = fid;
    words[1] = 0;
    words[2] = x1 << 12;
    words[3] = (x1 / 0x10_0000) | 0;
    words[4] = x2 << 12;
    words[5] = (x2 / 0x10_0000) | 0;
    words[6] = x3 << 12;
    words[7] = (x3 / 0x10_0000) | 0;
    words[8] = x4 << 12;
    words[9] = (x4 / 0x10_0000) | 0;
    for (let i = 10; i < 16; i++) words[i] = 0;
    return this.regs;
  }

  granuleDelegate = (frame: number) => this.#pages(FID.DELEGATE, frame);
  granuleUndelegate = (frame: number) => this.#pages(FID.UNDELEGATE, frame);
  dataCreate(rd: number, data: number, ipa: number, src: number, flags: number): BigUint64Array {
    const regs = this.#pages(FID.DATA_CREATE, rd, data, ipa, src);
    this.words[10] = flags;
    return regs;
  }
  dataCreateUnknown = (rd: number, data: number, ipa: number) => this.#pages(FID.DATA_CREATE_UNKNOWN, rd, data, ipa);
  /** Out: X1 data, X2 top. */
  dataDestroy = (rd: number, ipa: number) => this.#pages(FID.DATA_DESTROY, rd, ipa);

  // All others, with addresses.

  version = (requested: bigint) => this.#rmi(RMI_FID.RMI_VERSION, requested);
  features = (index: bigint) => this.#rmi(RMI_FID.RMI_FEATURES, index);
  realmActivate = (rd: bigint) => this.#rmi(RMI_FID.RMI_REALM_ACTIVATE, rd);
  realmCreate = (rd: bigint, params: bigint) => this.#rmi(RMI_FID.RMI_REALM_CREATE, rd, params);
  realmDestroy = (rd: bigint) => this.#rmi(RMI_FID.RMI_REALM_DESTROY, rd);
  /** Out: X1 aux_count. */
  recAuxCount = (rd: bigint) => this.#rmi(RMI_FID.RMI_REC_AUX_COUNT, rd);
  recCreate = (rd: bigint, rec: bigint, params: bigint) => this.#rmi(RMI_FID.RMI_REC_CREATE, rd, rec, params);
  recDestroy = (rec: bigint) => this.#rmi(RMI_FID.RMI_REC_DESTROY, rec);
  rttCreate = (rd: bigint, rtt: bigint, ipa: bigint, level: number) =>
    this.#rmi(RMI_FID.RMI_RTT_CREATE, rd, rtt, ipa, BigInt(level));
  /** Out: X1 rtt, X2 top. */
  rttDestroy = (rd: bigint, ipa: bigint, level: number) => this.#rmi(RMI_FID.RMI_RTT_DESTROY, rd, ipa, BigInt(level));
  /** Out: X1 rtt. */
  rttFold = (rd: bigint, ipa: bigint, level: number) => this.#rmi(RMI_FID.RMI_RTT_FOLD, rd, ipa, BigInt(level));
  rttMapUnprotected = (rd: bigint, ipa: bigint, level: number, desc: bigint) =>
    this.#rmi(RMI_FID.RMI_RTT_MAP_UNPROTECTED, rd, ipa, BigInt(level), desc);
  /** Out: X1 top. */
  rttUnmapUnprotected = (rd: bigint, ipa: bigint, level: number) =>
    this.#rmi(RMI_FID.RMI_RTT_UNMAP_UNPROTECTED, rd, ipa, BigInt(level));
  /** Out: X1 walk_level, X2 state, X3 desc, X4 ripas. */
  rttReadEntry = (rd: bigint, ipa: bigint, level: number) =>
    this.#rmi(RMI_FID.RMI_RTT_READ_ENTRY, rd, ipa, BigInt(level));
  /** Out: X1 out_top. */
  rttInitRipas = (rd: bigint, base: bigint, top: bigint) => this.#rmi(RMI_FID.RMI_RTT_INIT_RIPAS, rd, base, top);
  /** Out: X1 out_top. */
  rttSetRipas = (rd: bigint, rec: bigint, base: bigint, top: bigint) =>
    this.#rmi(RMI_FID.RMI_RTT_SET_RIPAS, rd, rec, base, top);
  psciComplete = (callingRec: bigint, targetRec: bigint, status: bigint) =>
    this.#rmi(RMI_FID.RMI_PSCI_COMPLETE, callingRec, targetRec, status);
}
