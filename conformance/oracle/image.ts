/**
 * A static AArch64 Linux program out of tests: it runs them all, writes results and windows to standard output and
 * exits. The same bytes run in qemu-aarch64 and in the engine.
 *
 *   0x0040_0000  code: per test set-up, body, store of the results, literal pool; at the end write and exit_group
 *   0x1000_0000  per test a block of initial registers
 *   0x2000_0000  per test a block of final registers, then the windows: what is written out
 *
 * A block: X0 to X30, SP, NZCV, FPCR (initial) or FPSR (final), V0 to V31, FPSR (initial), nothing. Programs of integer
 * tests leave what belongs to V registers zero.
 */
import {
  addImmediate,
  branch,
  clrex,
  ldpQ,
  ldpX,
  ldrX,
  loadConstant,
  moveSp,
  mrsFpsr,
  mrsNzcv,
  mrsTpidr,
  msrFpcr,
  msrFpsr,
  msrNzcv,
  msrTpidr,
  stpQ,
  stpX,
  strX,
  svc,
} from "./assemble.js";
import { POOL_SIZE, poolBytes, type Test, WINDOW_SIZE } from "./generate.js";
import type { Random } from "./random.js";

export const CODE = 0x0040_0000;
const INPUT = 0x1000_0000;
export const OUTPUT = 0x2000_0000;
/** 64-bit words of a block, and where V0 lies in it. */
export const REGISTERS = 100;
const FP_CONTROL = 33;
const V0 = 34;
const FPSR = V0 + 64;
const BLOCK = REGISTERS * 8;

export const outputSize = (tests: number): number => tests * BLOCK + windowOffset(tests) + WINDOW_SIZE;
/** Off the alignment of pages, so that some windows lie across two. */
const windowOffset = (test: number): number => test * WINDOW_SIZE + 72;
/** Address of a test's window in a program of `tests` tests. */
export const windowAt = (tests: number, test: number): number => OUTPUT + tests * BLOCK + windowOffset(test);

export interface Segment {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly executable: boolean;
}

export interface Program {
  readonly entry: number;
  readonly segments: readonly Segment[];
}

const SP = 31;

function setUpVectors(input: number): number[] {
  const words = [...loadConstant(30, BigInt(input)), ldrX({ i: FP_CONTROL, n: 30, t: 0 }), msrFpcr(0)];
  words.push(ldrX({ i: FPSR, n: 30, t: 0 }), msrFpsr(0));
  words.push(addImmediate({ f: 1, o: 0, s: 0, h: 0, i: V0 * 8, n: 30, d: 30 }));
  for (let t = 0; t < 32; t += 2) words.push(ldpQ({ i: t, u: t + 1, n: 30, t }));
  return words;
}

function setUp(input: number): number[] {
  const words = [...loadConstant(30, BigInt(input)), clrex({ m: 15 })];
  words.push(ldrX({ i: 32, n: 30, t: 0 }), msrNzcv(0), ldrX({ i: 31, n: 30, t: 0 }), moveSp(SP, 0));
  for (let t = 0; t < 30; t += 2) words.push(ldpX({ i: t, u: t + 1, n: 30, t }));
  return [...words, ldrX({ i: 30, n: 30, t: 30 })];
}

function store(output: number): number[] {
  const words = [msrTpidr(30), ...loadConstant(30, BigInt(output))];
  for (let t = 0; t < 30; t += 2) words.push(stpX({ i: t, u: t + 1, n: 30, t }));
  words.push(moveSp(0, SP), strX({ i: 31, n: 30, t: 0 }), mrsNzcv(0), strX({ i: 32, n: 30, t: 0 }));
  return [...words, mrsTpidr(0), strX({ i: 30, n: 30, t: 0 })];
}

/** After `store`. */
function storeVectors(output: number): number[] {
  const words = [...loadConstant(30, BigInt(output)), mrsFpsr(0), strX({ i: FP_CONTROL, n: 30, t: 0 })];
  words.push(addImmediate({ f: 1, o: 0, s: 0, h: 0, i: V0 * 8, n: 30, d: 30 }));
  for (let t = 0; t < 32; t += 2) words.push(stpQ({ i: t, u: t + 1, n: 30, t }));
  return words;
}

const LINUX = { write: 64n, exitGroup: 94n };

/** The program of these tests. A test with an empty body takes its place in the data and has no code. */
export function buildProgram(tests: readonly Test[], random: Random): Program {
  const code: number[] = [];
  const input = new BigUint64Array(tests.length * REGISTERS);
  const output = new Uint8Array(outputSize(tests.length));
  for (const [i, test] of tests.entries()) {
    const { vectors } = test;
    input.set(test.registers, i * REGISTERS);
    if (vectors) {
      input[i * REGISTERS + FP_CONTROL] = vectors.fpcr;
      input[i * REGISTERS + FPSR] = vectors.fpsr;
      input.set(vectors.v, i * REGISTERS + V0);
    }
    output.set(test.window, windowAt(tests.length, i) - OUTPUT);
    if (test.body.length === 0) continue;
    if (vectors) code.push(...setUpVectors(INPUT + i * BLOCK));
    // A branch to the body: there the translator begins anew, for the FPCR and FPSR of this test.
    code.push(...setUp(INPUT + i * BLOCK), branch({ i: 1 }));
    const after = [...store(OUTPUT + i * BLOCK), ...(vectors ? storeVectors(OUTPUT + i * BLOCK) : [])];
    const bodyAt = CODE + code.length * 4;
    const poolAt = (bodyAt + (test.body.length + after.length + 1) * 4 + 7) & ~7;
    for (const [at, { word }] of test.body.entries()) code.push(word(bodyAt + at * 4, poolAt));
    code.push(...after, branch({ i: (poolAt + POOL_SIZE - (CODE + (code.length + after.length) * 4)) / 4 }));
    while (CODE + code.length * 4 < poolAt) code.push(0);
    code.push(...new Uint32Array((vectors?.pool ?? poolBytes(random)).buffer));
  }
  code.push(...loadConstant(0, 1n), ...loadConstant(1, BigInt(OUTPUT)), ...loadConstant(2, BigInt(output.length)));
  code.push(...loadConstant(8, LINUX.write), svc({ i: 0 }));
  code.push(...loadConstant(0, 0n), ...loadConstant(8, LINUX.exitGroup), svc({ i: 0 }));
  return {
    entry: CODE,
    segments: [
      { address: CODE, bytes: new Uint8Array(Uint32Array.from(code).buffer), executable: true },
      { address: INPUT, bytes: new Uint8Array(input.buffer), executable: false },
      { address: OUTPUT, bytes: output, executable: false },
    ],
  };
}

const PAGE = 0x1000;
const EM_AARCH64 = 183;

/** The program as an ELF file: header, program headers, then each segment at a page. System V ABI, "Object Files". */
export function elfFile({ entry, segments }: Program): Uint8Array {
  const pages = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;
  const size = segments.reduce((sum, { bytes }) => sum + pages(bytes.length), PAGE);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, EM_AARCH64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, 64n, true); // program headers follow
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  let offset = PAGE;
  for (const [i, { address, bytes, executable }] of segments.entries()) {
    const at = 64 + i * 56;
    view.setUint32(at, 1, true); // PT_LOAD
    view.setUint32(at + 4, executable ? 5 : 6, true);
    for (const [field, value] of [
      [8, offset],
      [16, address],
      [24, address],
      [32, bytes.length],
      [40, bytes.length],
      [48, PAGE],
    ])
      view.setBigUint64(at + field, BigInt(value), true);
    file.set(bytes, offset);
    offset += pages(bytes.length);
  }
  return file;
}
