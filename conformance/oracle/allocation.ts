/**
 * Which words of the FP and SIMD encoding space are instructions, by qemu-aarch64: a program executes each of them and
 * catches the signals. SIGILL says unallocated; anything else, a memory fault included, says that there is an instruction.
 *
 * QEMU's Cortex-A57 has what realmbox advertises and nothing more: Armv8.0 with AES, PMULL, SHA-1 and SHA-256.
 *
 *   0x0040_0000  set-up, the handler
 *   0x0050_0000  the words, one after another
 *   0x2000_0000  a byte per word: the signal that it raised, or 0; this is written out
 *   0x3000_0000  the handler's stack; structures of the system calls
 */
import { expect } from "vitest";
import { disassemble, rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { encode, rowNamed } from "../../packages/machine/src/cpu/encode.js";
import { addImmediate, branch, ldrX, loadConstant, strX, svc } from "./assemble.js";
import { OUTPUT, type Program } from "./image.js";
import { Random } from "./random.js";
import { runQemu } from "./run-qemu.js";

const SETUP = 0x0040_0000;
const WORDS = 0x0050_0000;
const STACK = 0x3000_0000;
const STACK_SIZE = 0x1_0000;
/** struct sigaction and struct stack_t behind the stack. */
const SIGACTION = STACK + STACK_SIZE;
const STACK_T = SIGACTION + 32;

const SIGILL = 4;
const SIGNALS = [SIGILL, 5, 7, 8, 11];
const SYSCALL = { write: 64n, exitGroup: 94n, sigaltstack: 132n, rtSigaction: 134n };
const SA_SIGINFO_ONSTACK_NODEFER = 0x4800_0004n;
/** Offset of PC in ucontext_t: flags, link, stack, a mask of 128 bytes, fault address, X0 to X30, SP. */
const UCONTEXT_PC = 440;

const call = (number: bigint, ...args: readonly bigint[]): number[] => [
  ...args.flatMap((value, i) => loadConstant(i, value)),
  ...loadConstant(8, number),
  svc({ i: 0 }),
];

const subtract = (d: number, n: number, m: number): number =>
  encode(rowNamed("ADD, ADDS, SUB, SUBS (shifted register), 64-bit"), { o: 1, d, n, m });
const storeByte = (t: number, n: number, m: number): number => encode(rowNamed("STRB (register)"), { t, n, m, e: 3 });
const shiftRight2 = (d: number, n: number): number =>
  encode(rowNamed("SBFM, BFM, UBFM, 64-bit"), { o: 2, r: 2, s: 63, n, d });

/** X0 is the signal, X2 the context: notes the signal of the word at PC, and goes on after it. */
const handler = (): number[] => [
  ldrX({ i: UCONTEXT_PC / 8, n: 2, t: 3 }),
  ...loadConstant(4, BigInt(WORDS)),
  subtract(4, 3, 4),
  shiftRight2(4, 4),
  ...loadConstant(5, BigInt(OUTPUT)),
  storeByte(0, 5, 4),
  addImmediate({ f: 1, o: 0, s: 0, h: 0, i: 4, n: 3, d: 3 }),
  strX({ i: UCONTEXT_PC / 8, n: 2, t: 3 }),
  encode(rowNamed("RET"), { n: 30 }),
];

function allocationProgram(words: readonly number[]): Program {
  const handlerAt = SETUP + 4;
  const setUp = [branch({ i: handler().length + 1 }), ...handler()];
  setUp.push(...call(SYSCALL.sigaltstack, BigInt(STACK_T), 0n));
  for (const signal of SIGNALS) setUp.push(...call(SYSCALL.rtSigaction, BigInt(signal), BigInt(SIGACTION), 0n, 8n));
  // Addresses that no access succeeds at; a post-index form then changes none.
  for (let register = 0; register < 31; register++) setUp.push(...loadConstant(register, 1n));
  setUp.push(addImmediate({ f: 1, o: 0, s: 0, h: 0, i: 0, n: 0, d: 31 }));
  setUp.push(branch({ i: (WORDS - (SETUP + setUp.length * 4)) / 4 }));

  const end = [...call(SYSCALL.write, 1n, BigInt(OUTPUT), BigInt(words.length)), ...call(SYSCALL.exitGroup, 0n)];
  const data = new BigUint64Array((STACK_SIZE + 64) / 8);
  data.set([BigInt(handlerAt), SA_SIGINFO_ONSTACK_NODEFER, 0n, 0n], STACK_SIZE / 8);
  data.set([BigInt(STACK), 0n, BigInt(STACK_SIZE)], STACK_SIZE / 8 + 4);
  const bytes = (list: readonly number[]) => new Uint8Array(Uint32Array.from(list).buffer);
  return {
    entry: SETUP,
    segments: [
      { address: SETUP, bytes: bytes(setUp), executable: true },
      { address: WORDS, bytes: bytes([...words, ...end]), executable: true },
      { address: OUTPUT, bytes: new Uint8Array(words.length), executable: false },
      { address: STACK, bytes: new Uint8Array(data.buffer), executable: false },
    ],
  };
}

/** Fails the test where a word is an instruction here and none in QEMU, or the other way round. */
export function compareAllocation(space: keyof typeof SPACES, share: number): void {
  const words = [...wordsOf(new Random(1), SPACES[space], share)];
  const signals = runQemu(allocationProgram(words), "cortex-a57");
  expect(signals.length).toBe(words.length);
  const different = words.flatMap((word, i) => {
    const theirs = signals[i] !== SIGILL;
    const ours = rowOf(word) !== undefined;
    if (ours === theirs) return [];
    return [`${word.toString(16)}: ${disassemble(word)}, expected ${theirs ? "an instruction" : "none"}`];
  });
  const allocated = signals.filter((signal) => signal !== SIGILL).length;
  console.log(`${space}: ${words.length} words, ${allocated} of them instructions, ${different.length} differences`);
  expect(allocated).toBeGreaterThan(words.length / 20);
  expect(different.slice(0, 60)).toEqual([]);
}

/** Bits of the two parts of the space that are fixed: loads and stores of V registers, and data processing. */
export const SPACES = {
  "loads and stores": { mask: 0x0e00_0000, value: 0x0c00_0000 },
  "data processing": { mask: 0x0e00_0000, value: 0x0e00_0000 },
} as const;

/** Every combination of bits 31:28 and 24:10 of a space, with random operands; `share` of them, by chance. */
function* wordsOf(random: Random, { mask, value }: { mask: number; value: number }, share: number) {
  for (let high = 0; high < 16; high++) {
    for (let middle = 0; middle < 0x8000; middle++) {
      const word = ((high << 28) | value | (middle << 10)) >>> 0;
      if ((word & mask) >>> 0 !== value) continue;
      if (random.u32() / 2 ** 32 >= share) continue;
      // Zero operands are common: parts of the space have opcodes there.
      const operands = random.oneIn(2) ? 0 : random.below(1024);
      yield (word | operands) >>> 0;
    }
  }
}
