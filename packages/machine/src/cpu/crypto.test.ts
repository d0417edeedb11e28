/** The crypto instructions against the worked examples of FIPS 197 (AES-128) and FIPS 180-4 (SHA-1, SHA-256). */
import { expect, test } from "vitest";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { encode, rowNamed } from "./encode.js";
import { R } from "./state.js";

const { machine, pe } = machineAt({ el: 3, registers: {} });

/** Executes one instruction; registers are vectors of 128 bits. The result is Vd. */
function execute(name: string, { d, n = 0n, m = 0n }: { d: bigint; n?: bigint; m?: bigint }): bigint {
  for (const [i, value] of [d, n, m].entries()) {
    pe.r[R.V0 + 2 * i] = BigInt.asUintN(64, value);
    pe.r[R.V0 + 2 * i + 1] = value >> 64n;
  }
  const row = rowNamed(name);
  const word = encode(row, { d: 0, n: 1, ...("m" in row.fields && { m: 2 }) });
  machine.load(DRAM, new Uint8Array(Uint32Array.of(word).buffer));
  pe.r[R.PC] = DRAM;
  machine.run({ instructions: 1 });
  expect(pe.r[R.PC]).toBe(DRAM + 4n);
  return pe.r[R.V0]! | (pe.r[R.V0 + 1]! << 64n);
}

/** Bytes in the order of memory, as hexadecimal digits, to a register and back. */
const register = (hex: string): bigint => BigInt(`0x${(hex.match(/../g) ?? []).reverse().join("")}`);
const bytesOf = (value: bigint): string => (value.toString(16).padStart(32, "0").match(/../g) ?? []).reverse().join("");
const word = (value: bigint, i: number): bigint => (value >> BigInt(32 * i)) & 0xffff_ffffn;
const vector = (words: readonly bigint[]): bigint =>
  words.reduce((sum, w, i) => sum | (BigInt.asUintN(32, w) << BigInt(32 * i)), 0n);

/** FIPS 197, section 5.2: the eleven round keys; SubWord by AESE of four equal columns, which ShiftRows does not change. */
function roundKeys(key: bigint): bigint[] {
  const words = [0, 1, 2, 3].map((i) => word(key, i));
  const subWord = (w: bigint) => word(execute("AESE", { d: vector([w, w, w, w]) }), 0);
  for (let i = 4, constant = 1n; i < 44; i++) {
    let last = words[i - 1]!;
    if (i % 4 === 0) {
      last = subWord((last >> 8n) | ((last & 0xffn) << 24n)) ^ constant;
      constant = constant & 0x80n ? (constant << 1n) ^ 0x11bn : constant << 1n;
    }
    words.push(words[i - 4]! ^ last);
  }
  return Array.from({ length: 11 }, (_, round) => vector(words.slice(4 * round, 4 * round + 4)));
}

test("AES-128: the cipher example of FIPS 197, appendix B, and back", () => {
  const keys = roundKeys(register("2b7e151628aed2a6abf7158809cf4f3c"));
  expect(bytesOf(keys[10]!)).toBe("d014f9a8c9ee2589e13f0cc8b6630ca6");
  let state = register("3243f6a8885a308d313198a2e0370734");
  for (let round = 0; round < 9; round++)
    state = execute("AESMC", { d: 0n, n: execute("AESE", { d: state, n: keys[round]! }) });
  state = execute("AESE", { d: state, n: keys[9]! }) ^ keys[10]!;
  expect(bytesOf(state)).toBe("3925841d02dc09fbdc118597196a0b32");

  for (let round = 10; round > 1; round--) {
    const key = round === 10 ? keys[10]! : execute("AESIMC", { d: 0n, n: keys[round]! });
    state = execute("AESIMC", { d: 0n, n: execute("AESD", { d: state, n: key }) });
  }
  state = execute("AESD", { d: state, n: execute("AESIMC", { d: 0n, n: keys[1]! }) }) ^ keys[0]!;
  expect(bytesOf(state)).toBe("3243f6a8885a308d313198a2e0370734");
});

/** The one block of "abc", as four vectors of big-endian words: bit 1 behind the text, its length at the end. */
const ABC = [vector([0x6162_6380n, 0n, 0n, 0n]), 0n, 0n, vector([0n, 0n, 0n, 24n])];

const hex = (words: readonly bigint[]): string => words.map((w) => w.toString(16).padStart(8, "0")).join("");
const sumOfWords = (a: bigint, b: bigint): bigint => vector([0, 1, 2, 3].map((i) => word(a, i) + word(b, i)));

test("SHA-1 of abc: FIPS 180-4's example", () => {
  const initial = vector([0x6745_2301n, 0xefcd_ab89n, 0x98ba_dcfen, 0x1032_5476n]);
  const initialE = 0xc3d2_e1f0n;
  const schedule = [...ABC];
  for (let i = 4; i < 20; i++) {
    const part = execute("SHA1SU0", { d: schedule[i - 4]!, n: schedule[i - 3]!, m: schedule[i - 2]! });
    schedule.push(execute("SHA1SU1", { d: part, n: schedule[i - 1]! }));
  }
  let hash = initial;
  let e = initialE;
  for (let i = 0; i < 20; i++) {
    const constant = [0x5a82_7999n, 0x6ed9_eba1n, 0x8f1b_bcdcn, 0xca62_c1d6n][Math.floor(i / 5)]!;
    const name = ["SHA1C", "SHA1P", "SHA1M", "SHA1P"][Math.floor(i / 5)]!;
    const next = execute("SHA1H", { d: 0n, n: word(hash, 0) });
    hash = execute(name, {
      d: hash,
      n: e,
      m: sumOfWords(schedule[i]!, vector([constant, constant, constant, constant])),
    });
    e = next;
  }
  const digest = sumOfWords(hash, initial);
  expect(hex([0, 1, 2, 3].map((i) => word(digest, i))) + hex([BigInt.asUintN(32, e + initialE)])).toBe(
    "a9993e364706816aba3e25717850c26c9cd0d89d",
  );
});

/** The first 32 bits of the fractional parts of the roots of the first primes. FIPS 180-4, sections 4.2.2 and 5.3.3. */
function rootsOfPrimes(count: number, degree: 2 | 3): bigint[] {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < count; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  return primes.map((p) => {
    const scaled = p << BigInt(32 * degree);
    let root = 0n;
    for (let bit = 1n << 40n; bit > 0n; bit >>= 1n) if ((root + bit) ** BigInt(degree) <= scaled) root += bit;
    return root & 0xffff_ffffn;
  });
}

test("SHA-256 of abc: FIPS 180-4's example", () => {
  const start = rootsOfPrimes(8, 2);
  const constants = rootsOfPrimes(64, 3);
  const schedule = [...ABC];
  for (let i = 4; i < 16; i++) {
    const part = execute("SHA256SU0", { d: schedule[i - 4]!, n: schedule[i - 3]! });
    schedule.push(execute("SHA256SU1", { d: part, n: schedule[i - 2]!, m: schedule[i - 1]! }));
  }
  const initial = [vector(start.slice(0, 4)), vector(start.slice(4))] as const;
  let [abcd, efgh] = initial as readonly [bigint, bigint];
  for (let i = 0; i < 16; i++) {
    const m = sumOfWords(schedule[i]!, vector(constants.slice(4 * i, 4 * i + 4)));
    [abcd, efgh] = [execute("SHA256H", { d: abcd, n: efgh, m }), execute("SHA256H2", { d: efgh, n: abcd, m })];
  }
  const digest = [sumOfWords(abcd, initial[0]), sumOfWords(efgh, initial[1])];
  expect(hex(digest.flatMap((half) => [0, 1, 2, 3].map((i) => word(half, i))))).toBe(
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});
