/**
 * Runs a program of image.ts in the realmbox interpreter with the smallest machine around it: one address space whose
 * pages are the program's segments, NZCV, FPCR and FPSR, and exit at the second SVC.
 */
import {
  Access,
  createEngine,
  ENGINE_TABLES_SIZE,
  type EngineHost,
  HostReply,
  PE_STATE_SIZE,
  packNzcv,
  R,
  setNzcv,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_INVALID,
  TLB_SIZE,
  Translator,
  WASM_PAGE_SIZE,
  Wasm,
} from "../../packages/machine/src/cpu/index.js";
import "../../packages/realmbox/src/engine-flags.js";
import { OUTPUT, type Program } from "./image.js";

const PAGE = 0x1000;

export interface EngineMode {
  readonly name: string;
  /** Whether pages enter the TLB; if not, every access takes the slow path. */
  readonly tlb: boolean;
  /** Instructions per call of `run`. */
  readonly slice: number;
  /** By translated code wherever a branch leads. */
  readonly translated?: boolean;
}

/** The bytes at OUTPUT after the program's end. Throws what the program should not have done. */
export function runEngine(
  module: Uint8Array,
  program: Program,
  mode: EngineMode,
): { output: Uint8Array; instructions: number; translated: number } {
  const base = ENGINE_TABLES_SIZE;
  const tlb = base + PE_STATE_SIZE;
  const pages = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;
  let next = tlb + 3 * TLB_SIZE;
  const placed = program.segments.map((segment) => {
    const host = next;
    next += pages(segment.bytes.length);
    return { ...segment, host };
  });
  const memory = new Wasm.Memory({ initial: Math.ceil(next / WASM_PAGE_SIZE) });
  const bytes = new Uint8Array(memory.buffer);
  for (const { host, bytes: content } of placed) bytes.set(content, host);
  const r = new BigUint64Array(memory.buffer, base, PE_STATE_SIZE / 8);
  const view = new DataView(memory.buffer);

  const hostOf = (lo: number, hi: number): number => {
    const segment = placed.find(({ address, bytes }) => lo >= address && lo < address + pages(bytes.length));
    if (hi !== 0 || !segment)
      throw new Error(`access outside the program: ${hi.toString(16)}:${lo.toString(16)}, PC ${r[R.PC].toString(16)}`);
    return segment.host + lo - segment.address;
  };
  const fill = (array: number, lo: number) => {
    if (!mode.tlb) return;
    const entry = array + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    const page = (lo & ~0xfff) >>> 0;
    view.setBigUint64(entry, BigInt(page), true);
    view.setInt32(entry + 8, hostOf(page, 0) - page, true);
  };
  const [tlbRead, tlbWrite, tlbFetch] = [tlb, tlb + TLB_SIZE, tlb + 2 * TLB_SIZE];
  for (let entry = tlb; entry < tlb + 3 * TLB_SIZE; entry += TLB_ENTRY_SIZE)
    view.setBigUint64(entry, TLB_INVALID, true);

  let exits = 0;
  const scratch = base + R.SCRATCH0 * 8;
  const mustBeAligned = (access: number) => {
    const ordered = access & (Access.ORDERED | Access.ATOMIC);
    if (ordered && access & Access.UNALIGNED) throw new Error(`misaligned at PC ${r[R.PC].toString(16)}`);
  };
  const host: EngineHost = {
    fetch: () => {
      const pc = Number(r[R.PC]);
      fill(tlbFetch, pc);
      return hostOf(pc, 0);
    },
    load: (_base, lo, hi, size, access) => {
      mustBeAligned(access);
      const at = hostOf(lo, hi);
      if ((lo & 0xfff) + size <= PAGE) fill(tlbRead, lo);
      bytes.copyWithin(scratch, at, at + size);
      // Exclusives are known by the address of the data themselves.
      return access & Access.ORDERED ? at : scratch;
    },
    store: (_base, lo, hi, size, access) => {
      mustBeAligned(access);
      const at = hostOf(lo, hi);
      if ((lo & 0xfff) + size <= PAGE) fill(tlbWrite, lo);
      bytes.copyWithin(at, scratch, scratch + size);
      return 1;
    },
    modify: (_base, lo, hi, _size, access) => {
      mustBeAligned(access);
      fill(tlbWrite, lo);
      return hostOf(lo, hi);
    },
    system: (_base, insn) => {
      const t = R.X0 + (insn & 31);
      switch ((insn & ~31) >>> 0) {
        case 0xd51b4200:
          setNzcv(r, r[t]);
          return HostReply.NEXT;
        case 0xd53b4200:
          r[t] = packNzcv(r);
          return HostReply.NEXT;
        case 0xd51b4400:
          r[R.FPCR] = r[t];
          return HostReply.NEXT;
        case 0xd51b4420:
          r[R.FPSR] = r[t];
          return HostReply.NEXT;
        case 0xd53b4420:
          r[t] = r[R.FPSR];
          return HostReply.NEXT;
        // Cache maintenance by address, where no TLB entry says that it does nothing: IC IVAU, DC CVAC, CVAU, CIVAC.
        case 0xd50b7520:
        case 0xd50b7a20:
        case 0xd50b7b20:
        case 0xd50b7e20:
          return HostReply.NEXT;
        case 0xd4000000:
          if (++exits === 2) return HostReply.LEAVE;
          return HostReply.NEXT;
        default:
          throw new Error(`left to the machine: ${insn.toString(16)} at PC ${r[R.PC].toString(16)}`);
      }
    },
    fill: (_base, lo, hi, size, access) => {
      if (hi !== 0 || (lo & 0xfff) + size > PAGE) return 0;
      const array = access & Access.WRITE ? tlbWrite : tlbRead;
      fill(array, lo);
      return array + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    },
    translate: (at, entered) => (translator?.translate(at, entered !== 0) ? 1 : 0),
    misaligned: () => {
      throw new Error(`SP or PC misaligned at ${r[R.PC].toString(16)}`);
    },
  };
  const translator = mode.translated
    ? new Translator({ memory, threshold: 0, host: { protectPage: () => {}, releasePage: () => {} } })
    : undefined;
  const engine = createEngine({ memory, host, module, ...(translator ? { translator } : {}) });
  r[R.TLB_READ] = BigInt(tlbRead);
  r[R.TLB_WRITE] = BigInt(tlbWrite);
  r[R.TLB_READ_U] = BigInt(tlbRead);
  r[R.TLB_WRITE_U] = BigInt(tlbWrite);
  r[R.TLB_FETCH] = BigInt(tlbFetch);
  r[R.SP_CHECK] = 1n;
  r[R.PC] = BigInt(program.entry);
  let instructions = 0;
  while (exits < 2) {
    r[R.BUDGET] = BigInt(mode.slice);
    if (translator) engine.runTranslated(base);
    else engine.run(base);
    instructions += mode.slice - Number(BigInt.asIntN(32, r[R.BUDGET]));
  }
  const output = placed.find(({ address }) => address === OUTPUT);
  if (!output) throw new Error("the program has no output");
  return {
    output: bytes.slice(output.host, output.host + output.bytes.length),
    instructions,
    translated: translator?.translatedInstructions ?? 0,
  };
}
