/** Operand texts in the manner of GNU objdump. */

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A general register, 31 = zero. */
export const reg = (sf: number, n: number): string => `${sf ? "x" : "w"}${n === 31 ? "zr" : n}`;
/** A general register, 31 = stack pointer. */
export const regSP = (sf: number, n: number): string => (n === 31 ? (sf ? "sp" : "wsp") : `${sf ? "x" : "w"}${n}`);

/** For rows that are drawn once per width. */
export const widthName = (sf: number): string => (sf ? "64-bit" : "32-bit");

export const imm = (value: number | bigint): string => `#${hex(value)}`;
/** An address: `pc` + `offset`, 64 bits. */
export const target = (pc: bigint, offset: number | bigint): string => hex(BigInt.asUintN(64, pc + BigInt(offset)));

export const CONDITIONS = "eq ne cs cc mi pl vs vc hi ls ge lt gt le al nv".split(" ");
export const SHIFTS = ["lsl", "lsr", "asr", "ror"];
export const EXTENDS = ["uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx"];

/** ", lsl #3", or nothing for LSL #0. */
export const shiftText = (type: number, amount: number): string =>
  type === 0 && amount === 0 ? "" : `, ${SHIFTS[type]} #${amount}`;

/** The value of a logical immediate. DDI 0487, "DecodeBitMasks". `undefined` when the encoding is reserved. */
export function bitmaskImmediate(n: number, immr: number, imms: number): bigint | undefined {
  const pattern = (n << 6) | (~imms & 0x3f);
  const length = 31 - Math.clz32(pattern);
  if (length < 1) return undefined;
  const size = 1 << length;
  const ones = (imms & (size - 1)) + 1;
  const rotation = immr & (size - 1);
  if (ones === size) return undefined;
  const mask = (1n << BigInt(size)) - 1n;
  const run = (1n << BigInt(ones)) - 1n;
  const element = ((run >> BigInt(rotation)) | (run << BigInt(size - rotation))) & mask;
  let result = 0n;
  for (let at = 0; at < 64; at += size) result |= element << BigInt(at);
  return result;
}

/** Letters of the scalar views of a vector register, by log2 of their bytes; Q is 4. */
export const SCALARS = ["b", "h", "s", "d", "q"];
/** A scalar view: `d5`. */
export const scalarReg = (size: number, n: number): string => `${SCALARS[size]}${n}`;
/** The arrangement of lanes of `size` in 64 (`q` 0) or 128 bits: `8b`. */
export const arrangement = (size: number, q: number): string => `${(q ? 16 : 8) >> size}${SCALARS[size]}`;
/** A vector register as lanes: `v5.16b`. */
export const vectorReg = (size: number, q: number, n: number): string => `v${n}.${arrangement(size, q)}`;
/** One lane: `v5.s[1]`. */
export const laneReg = (size: number, n: number, index: number): string => `v${n}.${SCALARS[size]}[${index}]`;

/** Names of V registers, where they are counted modulo 32: `{v31.8b, v0.8b}`. */
export function vectorList(first: number, count: number, suffix: string): string {
  const names = Array.from({ length: count }, (_, i) => `v${(first + i) % 32}.${suffix}`);
  return count > 2 && first + count <= 32 ? `{${names[0]}-${names[count - 1]}}` : `{${names.join(", ")}}`;
}
