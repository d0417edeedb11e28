/**
 * The program that a Realm runs for a test: it carries out one instruction after another for the Host. One page of
 * position-independent code and data, which runs with stage 1 off; each REC has its own copy.
 *
 *   0x000  code: the first report (X0 to X29 as they were at entry), then for ever:
 *          RSI_HOST_CALL with the structure at 0x400; the answer's two instruction words are written to the slot,
 *          X0 to X29 are loaded, the slot is run, X0 to X29 are stored
 *   0x400  RsiHostCall: imm AGENT_IMM, gprs[0] the words in, gprs[0] the syndrome out, gprs[1 + n] Xn
 *   0x800  vectors: each exception ends the instruction; its vector and ESR_EL1 are the syndrome
 *
 * X30 is the agent's own: the address of its structure.
 */
import { GRANULE_SIZE, invariant, RSI_FID, RsiHostCall } from "@realmbox/abi";
import { DSB, ISB, loadPair, mrs, msr, NOP, op, SMC, storePair } from "./instructions.js";

/** RsiHostCall.imm of the agent's reports; a host call of the tested code has another. */
export const AGENT_IMM = 0xa6e7;
/** Offset of the structure in the page. */
export const AGENT_CALL = 0x400;
const VECTORS = 0x800;
const VECTOR_SIZE = 0x80;
const VECTOR_COUNT = 16;
/** gprs[0] of a report after an exception: this bit, the vector in bits 59:56, ESR_EL1[55:0]. */
export const AGENT_EXCEPTION = 1n << 63n;
/** The registers that a report carries: X0 to X29. */
export const AGENT_REGISTERS = 30;

const BASE = 30; // X30: the structure

/** Code whose branches may go forward. */
class Assembler {
  readonly words: number[] = [];
  readonly #fixups: { readonly at: number; readonly label: string; readonly make: (words: number) => number }[] = [];
  readonly #labels = new Map<string, number>();

  put(...words: readonly number[]): void {
    this.words.push(...words);
  }

  label(name: string): void {
    this.#labels.set(name, this.words.length);
  }

  /** An instruction that has the way to a label, in words, in it. */
  to(label: string, make: (words: number) => number): void {
    this.#fixups.push({ at: this.words.length, label, make });
    this.words.push(0);
  }

  /** The words, and where each label is, in words. */
  finish(): { readonly words: readonly number[]; readonly labels: ReadonlyMap<string, number> } {
    for (const { at, label, make } of this.#fixups) this.words[at] = make(this.#labels.get(label)! - at);
    return { words: this.words, labels: this.#labels };
  }
}

/** ADR X`d`, a number of bytes away. */
const adr = (d: number, bytes: number): number => op("ADR", { l: bytes & 3, h: bytes >> 2, d });
const b = (words: number): number => op("B", { i: words });
const cbnz = (t: number) => (words: number) => op("CBNZ", { f: 1, t, i: words });
const movz = (d: number, imm: number, shift = 0): number => op("MOVZ", { f: 1, h: shift / 16, i: imm, d });
const movk = (d: number, imm: number, shift: number): number => op("MOVK", { f: 1, h: shift / 16, i: imm, d });
const str = (t: number, n: number, index: number): number => op("STR, X (unsigned offset)", { t, n, i: index });
const ldr = (t: number, n: number, index: number): number => op("LDR, X (unsigned offset)", { t, n, i: index });
/** MOV X`d`, X`n`. */
const mov = (d: number, n: number): number => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n, d });
/** ORR X`d`, X`n`, X`m`. */
const orr = (d: number, n: number, m: number): number =>
  op("AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS (shifted register), 64-bit", { o: 1, m, n, d });
/** BFI X`d`, X`n`, #`lsb`, #`width`. */
const bfi = (d: number, n: number, lsb: number, width: number): number =>
  op("SBFM, BFM, UBFM, 64-bit", { o: 1, r: 64 - lsb, s: width - 1, n, d });

/** Where the structure has the word or syndrome, and Xn, in units of 8 bytes. */
const WORD = RsiHostCall.fields.gprs.offset / 8;
const placeOf = (n: number): number => WORD + 1 + n;
const pairs = Array.from({ length: AGENT_REGISTERS / 2 }, (_, i) => 2 * i);
const saveAll = pairs.map((n) => storePair(n, n + 1, BASE, placeOf(n)));
const loadAll = pairs.map((n) => loadPair(n, n + 1, BASE, placeOf(n)));

function assemble(): Uint8Array {
  const a = new Assembler();
  a.put(adr(BASE, AGENT_CALL), ...saveAll);
  a.put(adr(0, VECTORS - 4 * a.words.length), msr("VBAR_EL1", 0), ISB);
  a.put(str(31, BASE, WORD));

  a.label("report");
  const fid = Number(RSI_FID.RSI_HOST_CALL);
  a.put(movz(0, fid & 0xffff), movk(0, fid >>> 16, 16), mov(1, BASE), SMC);
  a.to("report", cbnz(0)); // refused: again, until the Host has put that right
  a.put(ldr(2, BASE, WORD));
  a.to("slot", (words) => adr(1, 4 * words));
  a.put(str(2, 1, 0));
  // Data becomes code. DDI 0487, "Synchronization and coherency issues between data and instruction accesses".
  a.put(op("SYS", { k: 3, n: 7, m: 11, p: 1, t: 1 }), DSB); // DC CVAU, X1
  a.put(op("SYS", { k: 3, n: 7, m: 5, p: 1, t: 1 }), DSB, ISB); // IC IVAU, X1
  a.put(...loadAll);
  if (a.words.length % 2 !== 0) a.put(NOP); // the slot is written by one 64-bit store
  a.label("slot");
  a.put(NOP, NOP);
  a.put(...saveAll, str(31, BASE, WORD));
  a.to("report", b);

  a.label("exception"); // X0 is the vector's number; its own value is stored
  a.put(str(1, BASE, placeOf(1)), ...saveAll.slice(1));
  a.put(mrs(1, "ESR_EL1"), bfi(1, 0, 56, 4), movz(0, 0x8000, 48), orr(1, 1, 0), str(1, BASE, WORD));
  a.to("report", b);

  const { words, labels } = a.finish();
  invariant(words.length * 4 <= AGENT_CALL, "the agent's code ends before its structure", words.length);
  const page = new Uint8Array(GRANULE_SIZE);
  const view = new DataView(page.buffer);
  const putAt = (offset: number, code: readonly number[]) => {
    for (const [i, word] of code.entries()) view.setUint32(offset + 4 * i, word, true);
  };
  putAt(0, words);
  RsiHostCall.fields.imm.write(view, AGENT_CALL, AGENT_IMM);
  for (let vector = 0; vector < VECTOR_COUNT; vector++) {
    const at = VECTORS + vector * VECTOR_SIZE;
    putAt(at, [str(0, BASE, placeOf(0)), movz(0, vector), b(labels.get("exception")! - (at + 8) / 4)]);
  }
  return page;
}

/** The page; the REC starts at its first byte. */
export const AGENT_PAGE: Uint8Array = assemble();
