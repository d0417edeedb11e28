/**
 * What DEN0137 1.0-rel0 says to what a running REC does: its RSI and PSCI calls, and its stage 2 aborts. From the ledger and
 * the REC's registers; where an order between failures is open, it is TF-RMM's.
 */
import { entrySize, Kind } from "./descriptors.js";
import { DRAM, PAGE } from "./layout.js";
import { LastExit, type Ledger, RealmState, type Rec, Ripas } from "./ledger.js";
import type { Arguments } from "./rmi-verdict.js";

/** Reasons of a REC exit. DEN0137, "RmiRecExitReason type". */
export const Reason = { SYNC: 0, IRQ: 1, FIQ: 2, PSCI: 3, RIPAS_CHANGE: 4, HOST_CALL: 5, SERROR: 6 } as const;

/** The fields of RmiRecExit that depend on the exit; what is missing must be zero. */
export interface ExitFields {
  readonly reason: number;
  readonly esr?: bigint;
  readonly far?: bigint;
  readonly hpfar?: bigint;
  readonly gprs?: readonly bigint[];
  readonly ripas?: { readonly base: bigint; readonly top: bigint; readonly value: number };
  readonly imm?: number;
}

export type RealmVerdict =
  /** The REC goes on after the SMC, with these in X0 and up; X1 to X3 are zero when missing. */
  | {
      readonly kind: "return";
      readonly x: readonly bigint[];
      readonly apply?: () => void;
      /** What the call writes into the realm's memory. */
      readonly writes?: { readonly granule: number; readonly bytes: Uint8Array };
      /** The RD may change. */
      readonly rd?: boolean;
    }
  /**
   * A part of the attestation token: X0 is RSI_INCOMPLETE or RSI_SUCCESS, X1 at most `max`. While it is being signed always
   * RSI_INCOMPLETE without bytes, and only then what is wrong with the buffer: `buffer`.
   */
  | { readonly kind: "token"; readonly max: number; readonly buffer?: RealmVerdict }
  /** The attestation token is begun: X0 is RSI_SUCCESS. */
  | { readonly kind: "token-init" }
  | { readonly kind: "exit"; readonly exit: ExitFields; readonly apply?: () => void; readonly rd?: boolean }
  /** The REC takes an exception at EL1 or tries again. `status`: the fault status that EL1 sees. */
  | { readonly kind: "inject"; readonly status: number }
  | { readonly kind: "retry" }
  /** Not judged. */
  | { readonly kind: "any" };

const code = (value: number): bigint => BigInt.asUintN(64, BigInt(value));
const result = (...x: number[]): RealmVerdict => ({ kind: "return", x: x.map(code) });
const INPUT = result(1);

/** ESR_EL2 of an abort that the RMM makes up for a buffer: Data Abort, translation fault. */
const BUFFER_FAULT = 0x9000_0004;

export interface RealmInput {
  readonly ledger: Ledger;
  readonly rec: Rec;
  readonly args: Arguments;
  /** The bytes of a granule. */
  page(granule: number): Uint8Array;
}

type Buffer_ =
  | { readonly kind: "mapped"; readonly granule: number }
  | { readonly kind: "empty" }
  | { readonly kind: "fault"; readonly verdict: RealmVerdict };

/** What the RMM finds at a Protected IPA of the realm. */
export function bufferAt({ rec }: { readonly rec: Rec }, ipa: number): Buffer_ {
  const { table, index, level } = rec.realm.walk(ipa, 3);
  const ripas = table.ripas[index];
  if (table.kind[index] === Kind.ASSIGNED && ripas === Ripas.RAM) {
    const pa = table.out[index]! + (ipa % entrySize(level));
    return { kind: "mapped", granule: Math.floor((pa - DRAM) / PAGE) };
  }
  if (ripas === Ripas.EMPTY) return { kind: "empty" };
  return { kind: "fault", verdict: { kind: "exit", exit: bufferFault(ipa, level), apply: () => forget(rec) } };
}

export const bufferFault = (ipa: number, level: number): ExitFields => ({
  reason: Reason.SYNC,
  esr: BigInt(BUFFER_FAULT + level),
  hpfar: BigInt(Math.floor(ipa / PAGE)) << 4n,
});

export function forget(rec: Rec): void {
  rec.lastExit = LastExit.NONE;
  rec.lastEsr = 0n;
}

/** An SMC of the realm. */
export function judgeSmc(input: RealmInput): RealmVerdict {
  const { args } = input;
  const w0 = args.low(0);
  if ((w0 >= 0x8400_0000 && w0 <= 0x8400_0014) || (w0 >= 0xc400_0000 && w0 <= 0xc400_0014)) return judgePsci(input, w0);
  const fid = (w0 & ~0x1_0000) >>> 0;
  const rsi = RSI[fid - 0xc400_0190];
  if (rsi) return rsi(input);
  return result(fid === 0x8000_0000 ? 0x1_0002 : -1);
}

const RSI: readonly ((input: RealmInput) => RealmVerdict)[] = [
  // RSI_VERSION, RSI_FEATURES
  ({ args }) => result(args.number(1) === 0x1_0000 ? 0 : 1, 0x1_0000, 0x1_0000),
  () => result(0),
  // RSI_MEASUREMENT_READ
  ({ rec, args }) => {
    if (args.number(1) > 4) return INPUT;
    const slot = rec.realm.measurements[args.low(1)]!;
    const view = new DataView(slot.buffer);
    return { kind: "return", x: [0n, ...Array.from({ length: 8 }, (_, n) => view.getBigUint64(8 * n, true))] };
  },
  // RSI_MEASUREMENT_EXTEND
  ({ ledger, rec, args }) => {
    const index = args.number(1);
    const size = args.number(2);
    if (index === 0 || index > 4 || size > 64) return INPUT;
    const value = new Uint8Array(64);
    const view = new DataView(value.buffer);
    for (let n = 0; n < 8; n++) view.setBigUint64(8 * n, args.big(3 + n), true);
    const apply = () => {
      const old = rec.realm.measurements[index]!.subarray(0, rec.realm.params.hash === 0 ? 32 : 64);
      ledger.setMeasurement(rec.realm, index, ledger.hash(rec.realm, old, value.subarray(0, size)));
    };
    return { kind: "return", x: [0n], apply, rd: true };
  },
  // RSI_ATTESTATION_TOKEN_INIT, _CONTINUE
  () => ({ kind: "token-init" }),
  (input) => {
    const { rec, args } = input;
    const offset = args.number(2);
    const size = args.number(3);
    if (!args.aligned(1) || offset >= PAGE || size > PAGE || offset + size > PAGE) return INPUT;
    if (args.number(1) >= rec.realm.protectedSize) return INPUT;
    if (rec.attesting === undefined) return { kind: "any" };
    if (!rec.attesting) return result(2);
    const buffer = bufferAt(input, args.number(1));
    if (buffer.kind === "fault") return { kind: "token", max: size, buffer: buffer.verdict };
    return buffer.kind === "empty" ? { kind: "token", max: size, buffer: INPUT } : { kind: "token", max: size };
  },
  // RSI_REALM_CONFIG
  (input) => {
    const { rec, args } = input;
    if (!args.aligned(1) || args.number(1) >= rec.realm.protectedSize) return INPUT;
    const buffer = bufferAt(input, args.number(1));
    if (buffer.kind === "fault") return buffer.verdict;
    if (buffer.kind === "empty") return INPUT;
    const { ipaWidth, hash, rpv } = rec.realm.params;
    const bytes = new Uint8Array(PAGE);
    bytes[0] = ipaWidth;
    bytes[8] = hash;
    bytes.set(rpv, 0x200);
    return { kind: "return", x: [0n], writes: { granule: buffer.granule, bytes } };
  },
  // RSI_IPA_STATE_SET
  ({ rec, args }) => {
    const value = args.low(3) & 0xff;
    const base = args.number(1);
    const top = args.number(2);
    if (value > 1 || !args.aligned(1) || !args.aligned(2) || args.big(2) <= args.big(1)) return INPUT;
    if (top > rec.realm.protectedSize) return INPUT;
    return {
      kind: "exit",
      exit: { reason: Reason.RIPAS_CHANGE, ripas: { base: args.big(1), top: args.big(2), value } },
      apply() {
        rec.ripas = { base, addr: base, top, value, destroyed: (args.low(4) & 1) === 1 };
        forget(rec);
      },
    };
  },
  // RSI_IPA_STATE_GET
  ({ rec, args }) => {
    const base = args.number(1);
    const top = args.number(2);
    const { protectedSize } = rec.realm;
    if (!args.aligned(1) || base >= protectedSize || !args.aligned(2) || top > protectedSize) return INPUT;
    if (args.big(1) >= args.big(2)) return INPUT;
    const { table, index, level } = rec.realm.walk(base, 3);
    const size = entrySize(level);
    let end = table.base + (index + 1) * size;
    for (let i = index + 1; i < 512 && end < top; i++, end += size) {
      if (table.kind[i] !== Kind.UNASSIGNED && table.kind[i] !== Kind.ASSIGNED) break;
      if (table.ripas[i] !== table.ripas[index]) break;
    }
    return result(0, Math.min(end, top), table.ripas[index]!);
  },
  // RSI_HOST_CALL
  (input) => {
    const { rec, args } = input;
    const ipa = args.number(1);
    if (!args.aligned(1, 0x100) || ipa >= rec.realm.protectedSize) return INPUT;
    const buffer = bufferAt(input, ipa);
    if (buffer.kind === "fault") return buffer.verdict;
    if (buffer.kind === "empty") return INPUT;
    const bytes = input.page(buffer.granule);
    const view = new DataView(bytes.buffer, bytes.byteOffset + (ipa % PAGE), 0x100);
    const gprs = Array.from({ length: 31 }, (_, n) => view.getBigUint64(8 + 8 * n, true));
    const apply = () => {
      rec.hostCall = ipa;
      forget(rec);
    };
    return { kind: "exit", exit: { reason: Reason.HOST_CALL, gprs, imm: view.getUint16(0, true) }, apply };
  },
];

const SUPPORTED: ReadonlySet<number> = new Set([
  0x8400_0000, 0x8400_0001, 0xc400_0001, 0x8400_0002, 0x8400_0003, 0xc400_0003, 0x8400_0004, 0xc400_0004, 0x8400_0008,
  0x8400_0009, 0x8400_000a, 0x8000_0000,
]);

/** Index of the REC that an MPIDR names. DEN0137, "RecIndex". */
const indexOf = (low: number, high: number): number =>
  (low & 0xf) + 16 * ((low >>> 8) & 0xff) + 4096 * ((low >>> 16) & 0xff) + 2 ** 20 * (high & 0xff);

function judgePsci({ rec, args }: RealmInput, fid: number): RealmVerdict {
  const { realm } = rec;
  const exit = (apply: () => void, target?: bigint): RealmVerdict => ({
    kind: "exit",
    exit: { reason: Reason.PSCI, gprs: [BigInt(fid), ...(target === undefined ? [] : [target])] },
    apply() {
      forget(rec);
      apply();
    },
  });
  const index = indexOf(args.low(1), args.high(1));
  switch (fid) {
    case 0x8400_0000:
      return result(0x1_0001);
    case 0x8400_0001:
    case 0xc400_0001:
      return exit(() => {});
    case 0x8400_0002:
      return exit(() => {
        rec.runnable = false;
      });
    case 0x8400_0003:
    case 0xc400_0003:
      if (args.number(2) >= realm.protectedSize) return result(-9);
      if (index >= realm.recIndex) return result(-2);
      if (index === rec.index) return result(-4);
      return exit(() => {
        rec.psci = { on: true, target: index, entry: args.big(2), context: args.big(3) };
      }, args.big(1));
    case 0x8400_0004:
    case 0xc400_0004:
      if (args.low(2) !== 0 || index >= realm.recIndex) return result(-2);
      if (index === rec.index) return result(0);
      return exit(() => {
        rec.psci = { on: false, target: index, entry: 0n, context: 0n };
      }, args.big(1));
    case 0x8400_0008:
    case 0x8400_0009:
      return {
        kind: "exit",
        exit: { reason: Reason.PSCI, gprs: [BigInt(fid)] },
        rd: true,
        apply() {
          forget(rec);
          realm.state = RealmState.SYSTEM_OFF;
        },
      };
    case 0x8400_000a:
      return result(SUPPORTED.has(args.low(1)) ? 0 : -1);
  }
  return result(-1);
}

const MASK = { EMULATABLE: 0xfdc0_9e7fn, DATA: 0xfc00_1e3fn, INSTRUCTION: 0xfc00_1a3fn } as const;
const EC_INSTRUCTION_ABORT = 0x20;

export interface Syndrome {
  readonly esr: bigint;
  readonly far: bigint;
  readonly hpfar: bigint;
}

/** A Data or Instruction Abort of the realm at stage 2. DEN0137, "Realm access to memory", "REC exit due to Data Abort". */
export function judgeAbort({ rec, args }: RealmInput, { esr, far, hpfar }: Syndrome): RealmVerdict {
  const status = Number(esr & 0x3fn);
  // External aborts and granule protection faults: the machine's affair.
  if (status === 0x10 || (status >= 0x13 && status <= 0x17) || status >= 0x23) return { kind: "any" };
  const isFetch = Number((esr >> 26n) & 0x3fn) === EC_INSTRUCTION_ABORT;
  const ipa = Number((hpfar >> 4n) & 0xff_ffff_ffffn) * PAGE;
  const { realm } = rec;
  if (ipa >= realm.ipaSize) return { kind: "inject", status: 0 };
  if (ipa < realm.protectedSize) {
    const { table, index } = realm.walk(ipa, 3);
    if (table.ripas[index] === Ripas.EMPTY) return { kind: "inject", status: 0x10 };
    if (table.kind[index] === Kind.ASSIGNED && table.ripas[index] === Ripas.RAM) return { kind: "retry" };
    const exit = { reason: Reason.SYNC, esr: esr & (isFetch ? MASK.INSTRUCTION : MASK.DATA), hpfar };
    return { kind: "exit", exit, apply: () => forget(rec) };
  }
  if (isFetch) return { kind: "inject", status: 0x10 };
  if ((esr & (1n << 24n)) === 0n) {
    const apply = () => {
      rec.lastExit = LastExit.UNPROTECTED;
    };
    return { kind: "exit", exit: { reason: Reason.SYNC, esr: esr & MASK.DATA, hpfar }, apply };
  }
  const register = Number((esr >> 16n) & 0x1fn);
  const width = 8 << Number((esr >> 22n) & 3n);
  const isWrite = (esr & 0x40n) !== 0n;
  const gprs = isWrite ? [register === 31 ? 0n : BigInt.asUintN(width, args.big(register))] : [];
  const apply = () => {
    rec.lastExit = LastExit.EMULATABLE;
    rec.lastEsr = esr;
  };
  return {
    kind: "exit",
    exit: { reason: Reason.SYNC, esr: esr & MASK.EMULATABLE, far: far & 0xfffn, hpfar, gprs },
    apply,
  };
}
