/**
 * Names of addresses, out of what a kernel's build or a running kernel tells: an ELF file's symbol table (System V ABI,
 * "Symbol Table"), or lines `address type name` as System.map and /proc/kallsyms have them.
 */

export interface Symbol {
  readonly address: bigint;
  readonly name: string;
}

/** An address is a symbol's up to the next one, but no further than this. */
const REACH = 1n << 20n;
const SHT_SYMTAB = 2;
const SYMBOL_SIZE = 24;
const STT_FUNC = 2;
const STT_NOTYPE = 0;

export class SymbolTable {
  private readonly sorted: readonly Symbol[];

  constructor(symbols: readonly Symbol[]) {
    this.sorted = [...symbols].sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  }

  get size(): number {
    return this.sorted.length;
  }

  /** The symbol that an address belongs to. */
  find(address: bigint): Symbol | undefined {
    const { sorted } = this;
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    const found = sorted[low - 1];
    return found !== undefined && address - found.address < REACH ? found : undefined;
  }
}

/** The symbols of a file; undefined: it is neither of the two forms. */
export function readSymbols(bytes: Uint8Array): Symbol[] | undefined {
  if (bytes.length > 64 && [0x7f, 0x45, 0x4c, 0x46, 2, 1].every((byte, i) => bytes[i] === byte))
    return elfSymbols(bytes);
  const symbols: Symbol[] = [];
  for (const line of new TextDecoder("latin1").decode(bytes).split("\n")) {
    const match = /^([0-9a-f]{8,16}) ([A-Za-z]) (\S+)/.exec(line);
    if (match === null) {
      if (line.trim() !== "") return undefined;
    } else if (/[tw]/i.test(match[2]!) && !match[3]!.startsWith("$")) {
      symbols.push({ address: BigInt(`0x${match[1]}`), name: match[3]! });
    }
  }
  return symbols.length > 0 ? symbols : undefined;
}

function elfSymbols(bytes: Uint8Array): Symbol[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fits = (at: number, size: number) => at >= 0 && size >= 0 && at + size <= bytes.length;
  const sections = Number(view.getBigUint64(40, true));
  const [entrySize, count] = [view.getUint16(58, true), view.getUint16(60, true)];
  const section = (index: number) => {
    const at = sections + index * entrySize;
    if (index >= count || !fits(at, 64)) return undefined;
    const [offset, size] = [Number(view.getBigUint64(at + 24, true)), Number(view.getBigUint64(at + 32, true))];
    if (!fits(offset, size)) return undefined;
    return { type: view.getUint32(at + 4, true), link: view.getUint32(at + 40, true), offset, size };
  };
  const symbols: Symbol[] = [];
  for (let i = 0; i < count; i++) {
    const table = section(i);
    if (table?.type !== SHT_SYMTAB) continue;
    const strings = section(table.link);
    if (strings === undefined) return undefined;
    for (let at = table.offset; at + SYMBOL_SIZE <= table.offset + table.size; at += SYMBOL_SIZE) {
      const type = view.getUint8(at + 4) & 0xf;
      const name = nameAt(bytes, strings.offset + view.getUint32(at, true), strings.offset + strings.size);
      if ((type !== STT_FUNC && type !== STT_NOTYPE) || name === "" || name.startsWith("$")) continue;
      if (view.getUint16(at + 6, true) === 0) continue; // of another file
      symbols.push({ address: view.getBigUint64(at + 8, true), name });
    }
  }
  return symbols.length > 0 ? symbols : undefined;
}

function nameAt(bytes: Uint8Array, at: number, end: number): string {
  let text = "";
  for (let i = at; i < end && i < bytes.length && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
