/**
 * A script: what hostile software does, as data that replays bit for bit. Text with one JSON array or object per line:
 *
 *   {"realmbox-fuzz":1,"seed":7,"pes":2,"interleave":0,"note":"..."}
 *   [pe, [x0, x1, ...], {page: {offset: value}}, time]           an SMC of the Host on a PE
 *   [pe, "read", pa]     [pe, "write", pa, value]                an access of the Host to memory
 *
 * Numbers of 64 bits are hexadecimal strings. Before the SMC each `page` of the Host's memory is zeroed and its 64-bit words
 * at `offset` are set, as far as the Host may write it. `time`: counts of the machine's counter after which the Host's timer
 * interrupts what the call runs. What a realm does comes from the general registers that the Host gives at REC entry
 * (`agent.ts`), so it is in the script as well.
 */

/** Words of a page of the Host's memory, by offset; all others become zero. */
export type PageWords = Readonly<Record<number, bigint>>;

export type Operation =
  | {
      readonly kind: "smc";
      readonly pe: number;
      /** X0, X1, ...; the rest is zero. */
      readonly x: readonly bigint[];
      /** Pages written before, by physical address. */
      readonly pages?: ReadonlyMap<bigint, PageWords>;
      readonly time: number;
    }
  | { readonly kind: "read"; readonly pe: number; readonly pa: bigint }
  | { readonly kind: "write"; readonly pe: number; readonly pa: bigint; readonly value: bigint };

export interface Script {
  readonly seed: number;
  readonly pes: number;
  /** Seed of the machine's interleaving of PEs; 0: slices of equal length. */
  readonly interleave: number;
  /** What was found, as a sentence. */
  readonly note?: string;
  readonly operations: readonly Operation[];
}

const VERSION = 1;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

export function formatScript({ seed, pes, interleave, note, operations }: Script): string {
  const head = { "realmbox-fuzz": VERSION, seed, pes, interleave, ...(note === undefined ? {} : { note }) };
  return `${[head, ...operations.map(lineOf)].map((line) => JSON.stringify(line)).join("\n")}\n`;
}

function lineOf(operation: Operation): unknown {
  const { kind, pe } = operation;
  switch (kind) {
    case "smc": {
      const pages = [...(operation.pages ?? [])].map(([pa, words]) => [
        hex(pa),
        Object.fromEntries(Object.entries(words).map(([offset, value]) => [offset, hex(value)])),
      ]);
      return [pe, operation.x.map(hex), Object.fromEntries(pages), operation.time];
    }
    case "read":
      return [pe, kind, hex(operation.pa)];
    case "write":
      return [pe, kind, hex(operation.pa), hex(operation.value)];
  }
}

/** Reads a script; throws an Error that names the line. */
export function parseScript(text: string): Script {
  const lines = text.split("\n").flatMap((line, n) => (line.trim() === "" ? [] : [{ line, n: n + 1 }]));
  const [head, ...rest] = lines;
  if (head === undefined) throw new Error("the script is empty");
  const { seed, pes, interleave, note } = reading(head, (value) => {
    const fields = value as Record<string, unknown>;
    if (fields["realmbox-fuzz"] !== VERSION) throw new Error(`no head with "realmbox-fuzz": ${VERSION}`);
    return {
      seed: integer(fields.seed),
      pes: integer(fields.pes, 1, 8),
      interleave: integer(fields.interleave ?? 0),
      note: fields.note === undefined ? undefined : String(fields.note),
    };
  });
  const operations = rest.map((line) => reading(line, (value) => operationOf(value, pes)));
  return { seed, pes, interleave, ...(note === undefined ? {} : { note }), operations };
}

function reading<T>({ line, n }: { readonly line: string; readonly n: number }, read: (value: unknown) => T): T {
  try {
    return read(JSON.parse(line));
  } catch (error) {
    throw new Error(`line ${n}: ${(error as Error).message}`);
  }
}

function operationOf(value: unknown, pes: number): Operation {
  if (!Array.isArray(value)) throw new Error("no array");
  const [peValue, what, third, fourth] = value as unknown[];
  const pe = integer(peValue, 0, pes - 1);
  if (what === "read") return { kind: "read", pe, pa: word(third) };
  if (what === "write") return { kind: "write", pe, pa: word(third), value: word(fourth) };
  if (!Array.isArray(what) || what.length > 18) throw new Error('neither registers nor "read" nor "write"');
  const pages = new Map<bigint, PageWords>();
  for (const [pa, words] of Object.entries((third ?? {}) as Record<string, Record<string, unknown>>)) {
    const offsets = Object.entries(words).map(([offset, v]) => [integer(Number(offset), 0, 4088), word(v)] as const);
    pages.set(word(pa), Object.fromEntries(offsets));
  }
  const call = { kind: "smc", pe, x: what.map(word), time: integer(fourth, 0, 1e9) } as const;
  return pages.size > 0 ? { ...call, pages } : call;
}

function integer(value: unknown, min = 0, max = 2 ** 32): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
    throw new Error(`${JSON.stringify(value)} is no number from ${min} to ${max}`);
  return value as number;
}

function word(value: unknown): bigint {
  if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value))
    throw new Error(`${JSON.stringify(value)} is no hexadecimal number of 64 bits`);
  return BigInt(value);
}
