/**
 * Pointer authentication outside of the engine: what the engine is told about the current EL, where the instructions
 * trap, and what they do in plain TypeScript: for the seldom ones (XPACI, ERETAA), and to compare the engine's with.
 * DDI 0487, "Pointer authentication"; shared pseudocode "AddPAC", "Auth", "Strip", "EffectiveTBI", "CalculateBottomPACBit".
 *
 * @spec DDI 0487, "Pointer authentication": partial: FEAT_PAuth with an IMPLEMENTATION DEFINED algorithm; not FEAT_EPAC,
 *   FEAT_PAuth2, FEAT_FPAC, FEAT_PAuth_LR
 */
import { EC } from "@realmbox/abi";
import { PAUTH, PAUTH_BOTTOM, PAUTH_ENABLES, PAUTH_KEYS, PAUTH_TBI, type PauthKey, XXHASH64 } from "./cpu/pauth.js";
import { R, type RegName } from "./cpu/state.js";
import { makeEsr, takeSync } from "./exceptions.js";
import { el2Enabled } from "./lower-state.js";
import { Regime, regimeOf, sctlrOf, TCR_LO, topByteIgnored } from "./mmu/context.js";
import type { Processor } from "./processor.js";
import { HCR, HCR_H, HCR_HI, HCR_LO, PSTATE_LO, SCR, SCR_LO } from "./words.js";

/** With FEAT_TTST, without FEAT_LVA. */
const TSZ_MIN = 16;
const TSZ_MAX = 48;

const isHostMode = (w: Int32Array): boolean => (w[HCR_LO]! & HCR.TGE) !== 0 && (w[HCR_HI]! & HCR_H.E2H) !== 0;

/** Where an enabled pointer authentication instruction traps, or 0: HCR_EL2.API, SCR_EL3.API. */
export function pauthTrap(w: Int32Array, el: number): 0 | 2 | 3 {
  if (el < 2 && (w[HCR_HI]! & HCR_H.API) === 0 && el2Enabled(w) && !(el === 0 && isHostMode(w))) return 2;
  return el < 3 && (w[SCR_LO]! & SCR.API) === 0 ? 3 : 0;
}

/** PAUTH of the PE's state. Cheap while no key is enabled. */
export function pauthWord(w: Int32Array, el: number, regime: Regime): number {
  const enables = sctlrOf(w, regime) & PAUTH_ENABLES;
  const trap = pauthTrap(w, el) === 0 ? 0 : PAUTH.TRAP;
  return enables | trap | layoutOf(w, regime);
}

const bottomOf = (tsz: number): number => 64 - Math.min(Math.max(tsz, TSZ_MIN), TSZ_MAX);

/** Where the code of a pointer lies in this regime. */
function layoutOf(w: Int32Array, regime: Regime): number {
  const lo = w[TCR_LO[regime]]!;
  const twoRanges = regime === Regime.EL10 || regime === Regime.EL20;
  const { data, fetch } = topByteIgnored(lo, w[TCR_LO[regime] + 1]!, twoRanges);
  const upper = twoRanges ? (lo >> 16) & 0x3f : lo & 0x3f;
  return (
    (bottomOf(lo & 0x3f) << PAUTH_BOTTOM[0]) |
    (bottomOf(upper) << PAUTH_BOTTOM[1]) |
    (data << PAUTH_TBI.DATA) |
    (fetch << PAUTH_TBI.INSTRUCTION)
  );
}

/** Takes the trap of a pointer authentication instruction, if it is one and traps. */
export function takePauthTrap(pe: Processor): boolean {
  const target = pauthTrap(pe.w, pe.el);
  if (target === 0) return false;
  takeSync(pe, target, makeEsr(EC.PAUTH, 0));
  return true;
}

const MASK = (1n << 64n) - 1n;
const BIT_55 = 1n << 55n;
const u64 = (value: bigint): bigint => value & MASK;
const rotl = (value: bigint, by: bigint): bigint => u64((value << by) | (value >> (64n - by)));
const { P1, P2, P3, P4, SEED, MERGE } = XXHASH64;
const round = (lane: bigint, input: bigint): bigint => u64(rotl(u64(lane + u64(input * P2)), 31n) * P1);

/** The IMPLEMENTATION DEFINED algorithm: a pointer's code, of which the instructions use some bits. */
export function pauthMix(pointer: bigint, modifier: bigint, key: readonly [lo: bigint, hi: bigint]): bigint {
  const inputs = [pointer, modifier, ...key];
  const lanes = [SEED + P1 + P2, SEED + P2, SEED, SEED - P1].map((start, i) => round(u64(start), inputs[i]!));
  let hash = lanes.reduce((sum, lane, i) => u64(sum + rotl(lane, MERGE[i]!)), 0n);
  for (const lane of lanes) hash = u64((hash ^ round(0n, lane)) * P1 + P4);
  hash = u64((hash ^ (hash >> 33n)) * P2);
  hash = u64((hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}

/** One of the five keys. */
export const pauthKey = ({ r }: Pick<Processor, "r">, name: PauthKey["name"] | "GA"): [lo: bigint, hi: bigint] => [
  r[R[`AP${name}KeyLo_EL1` satisfies RegName]]!,
  r[R[`AP${name}KeyHi_EL1` satisfies RegName]]!,
];

/** Which bits of a pointer are its address's extension, and whether its top byte is ignored. */
function fieldsOf(layout: number, { upper, top, data }: { upper: number; top: number; data: boolean }) {
  const bottom = BigInt((layout >>> PAUTH_BOTTOM[upper as 0 | 1]) & 0x3f);
  const tbi = ((layout >>> ((data ? PAUTH_TBI.DATA : PAUTH_TBI.INSTRUCTION) + top)) & 1) !== 0;
  const extension = (tbi ? (1n << 56n) - 1n : MASK) & ~((1n << bottom) - 1n);
  return { tbi, extension };
}

const halfOf = (pointer: bigint): 0 | 1 => Number((pointer >> 55n) & 1n) as 0 | 1;
const extend = (pointer: bigint, extension: bigint, upper: number): bigint =>
  (pointer & ~extension) | (upper ? extension : 0n);

/** The layout of pointers at the PE's EL, whether or not a key is enabled. */
const currentLayout = ({ w }: Processor): number => layoutOf(w, regimeOf(w, (w[PSTATE_LO]! >> 2) & 3));

/** PAC…: the pointer with its code. The key's enable and traps are the caller's. */
export function addPac(pe: Processor, key: PauthKey, { pointer, modifier }: { pointer: bigint; modifier: bigint }) {
  const layout = currentLayout(pe);
  const anyTbi = ((layout >>> (key.data ? PAUTH_TBI.DATA : PAUTH_TBI.INSTRUCTION)) & 3) !== 0;
  const upper = anyTbi ? halfOf(pointer) : Number(pointer >> 63n);
  const { tbi, extension } = fieldsOf(layout, { upper, top: halfOf(pointer), data: key.data });
  let code = pauthMix(extend(pointer, extension, upper), modifier, pauthKey(pe, key.name));
  const found = pointer & extension;
  if (found !== 0n && found !== extension) code ^= 1n << (tbi ? 54n : 62n);
  const place = extension & ~BIT_55;
  return (pointer & ~extension) | (code & place) | (upper ? BIT_55 : 0n);
}

/** AUT…: the address, spoilt when the code is wrong. */
export function authenticate(
  pe: Processor,
  key: PauthKey,
  { pointer, modifier }: { pointer: bigint; modifier: bigint },
) {
  const upper = halfOf(pointer);
  const { tbi, extension } = fieldsOf(currentLayout(pe), { upper, top: upper, data: key.data });
  const address = extend(pointer, extension, upper);
  const code = pauthMix(address, modifier, pauthKey(pe, key.name));
  if (((code ^ pointer) & extension & ~BIT_55) === 0n) return address;
  const at = tbi ? 53n : 61n;
  return (address & ~(3n << at)) | (BigInt(key.errorCode) << at);
}

/** ERETAA, ERETAB: makes ELR of the current EL what it authenticates to, with SP as the modifier; false when it trapped. */
export function authenticateReturn(pe: Processor, b: boolean): boolean {
  const key = PAUTH_KEYS[b ? 1 : 0];
  const { w, r, el } = pe;
  if ((sctlrOf(w, regimeOf(w, el)) & key.enable) === 0) return true;
  if (takePauthTrap(pe)) return false;
  const elr = [R.ELR_EL1, R.ELR_EL1, R.ELR_EL2, R.ELR_EL3][el]!;
  r[elr] = authenticate(pe, key, { pointer: r[elr]!, modifier: r[R.SP]! });
  return true;
}
