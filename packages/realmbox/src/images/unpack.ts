/**
 * Decompression by what the bytes themselves say: gzip by Node, xz by xz-decompress, zstd by fzstd. Sizes are bounded,
 * because a small file may unpack to any size.
 */
import { gunzipSync } from "node:zlib";
import { Decompress as ZstdDecompress } from "fzstd";
import { ImagesError } from "./error.js";

export type Compression = "gzip" | "xz" | "zstd";

const MAGICS: readonly (readonly [Compression, ...number[]])[] = [
  ["gzip", 0x1f, 0x8b],
  ["xz", 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  ["zstd", 0x28, 0xb5, 0x2f, 0xfd],
];

/** How the bytes are compressed; undefined: not, or in no known way. */
export const compressionOf = (bytes: Uint8Array): Compression | undefined =>
  MAGICS.find(([, ...magic]) => magic.every((byte, i) => bytes[i] === byte))?.[0];

export interface UnpackLimits {
  /** What it is called in messages. */
  readonly what: string;
  /** Bytes that may come out. */
  readonly sizeMax: number;
}

/** Decompresses gzip or zstd at once; bytes behind the compressed part are ignored. */
export function unpackSync(
  bytes: Uint8Array,
  compression: "gzip" | "zstd",
  { what, sizeMax }: UnpackLimits,
): Uint8Array {
  try {
    if (compression === "gzip") {
      const plain = gunzipSync(bytes, { maxOutputLength: sizeMax });
      return new Uint8Array(plain.buffer, plain.byteOffset, plain.byteLength);
    }
    const chunks = new Chunks(sizeMax);
    const stream = new ZstdDecompress((chunk) => chunks.add(chunk));
    stream.push(bytes, true);
    return chunks.joined();
  } catch (error) {
    throw damaged(what, error);
  }
}

/** Decompresses as a stream: xz, zstd or gzip; other bytes pass as they are. */
export async function* unpackStream(bytes: Uint8Array, limits: UnpackLimits): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(bytes);
  if (compression === undefined) {
    yield bytes;
    return;
  }
  if (compression !== "xz") {
    yield unpackSync(bytes, compression, limits);
    return;
  }
  const { default: xz } = await import("xz-decompress"); // 7 ms that most commands need not spend
  let size = 0;
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const reader = new xz.XzReadableStream(source as never).getReader();
  for (;;) {
    let step: { done: boolean; value?: Uint8Array | undefined };
    try {
      step = await reader.read();
    } catch (error) {
      throw damaged(limits.what, error);
    }
    if (step.done) return;
    size += step.value!.length;
    if (size > limits.sizeMax) throw damaged(limits.what, new Error(`more than ${limits.sizeMax} bytes`));
    yield step.value!;
  }
}

/** Decompresses the whole. */
export async function unpack(bytes: Uint8Array, limits: UnpackLimits): Promise<Uint8Array> {
  const chunks = new Chunks(limits.sizeMax);
  for await (const chunk of unpackStream(bytes, limits)) chunks.add(chunk);
  return chunks.joined();
}

class Chunks {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  readonly #sizeMax: number;
  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }
  add(chunk: Uint8Array): void {
    this.#size += chunk.length;
    if (this.#size > this.#sizeMax) throw new Error(`more than ${this.#sizeMax} bytes`);
    this.#chunks.push(chunk);
  }
  joined(): Uint8Array {
    if (this.#chunks.length === 1) return this.#chunks[0]!;
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }
}

const damaged = (what: string, error: unknown) =>
  new ImagesError(
    "bad-content",
    `${what} cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`,
  );
