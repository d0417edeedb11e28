/**
 * Downloads over HTTP what is known by size and hash: into a file beside, resumed where an earlier attempt stopped (RFC
 * 9110, "Range"), and given its name only when the hash is right.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ImagesError, interrupted } from "./error.js";
import { type Progress, sizeText } from "./progress.js";

export interface Expected {
  /** What it is called in messages. */
  readonly what: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface TransferOptions {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Without a byte for this long a connection counts as cut. */
  readonly stallMs?: number;
  /** How long to wait before the first new attempt; doubles. */
  readonly retryMs?: number;
}

const ATTEMPTS = 5;
const STALL_MS = 30_000;
const RETRY_MS = 500;

/** Downloads to `file`; nothing is done when it is there and right. */
export async function download(url: URL, file: string, expected: Expected, options: TransferOptions): Promise<void> {
  if (existsSync(file) && (await sha256Of(file)) === expected.sha256) return;
  const part = `${file}.part`;
  const resumed = sizeOf(part) > 0;
  await transfer(url, part, expected, options);
  if ((await sha256Of(part)) !== expected.sha256) {
    // What an earlier attempt left may have been the fault.
    rmSync(part, { force: true });
    if (resumed) await transfer(url, part, expected, options);
    const actual = resumed ? await sha256Of(part) : undefined;
    if (actual !== expected.sha256) {
      rmSync(part, { force: true });
      throw new ImagesError(
        "not-trusted",
        `${expected.what} is not what the archive's index says: its SHA-256 is another one`,
        "try again later, or another mirror",
      );
    }
  }
  renameSync(part, file);
}

/** Brings the part to its full size, in as many attempts as make progress. */
async function transfer(url: URL, part: string, expected: Expected, options: TransferOptions): Promise<void> {
  let wait = options.retryMs ?? RETRY_MS;
  for (let attempt = 1; ; attempt++) {
    const before = sizeOf(part);
    if (before > expected.size) rmSync(part);
    if (before === expected.size) return;
    try {
      await attemptTransfer(url, part, expected, options);
      if (sizeOf(part) === expected.size) return;
      throw cut(url, part, expected);
    } catch (error) {
      if (options.signal.aborted) throw interrupted();
      const failure = error instanceof ImagesError ? error : unreachable(url, error);
      const worthwhile = failure.problem === "unreachable" && attempt < ATTEMPTS;
      if (!worthwhile) throw failure;
      await sleep(wait, undefined, { signal: options.signal }).catch(() => {
        throw interrupted();
      });
      wait *= 2;
    }
  }
}

async function attemptTransfer(
  url: URL,
  part: string,
  { what, size }: Expected,
  { progress, signal, stallMs = STALL_MS }: TransferOptions,
): Promise<void> {
  const from = sizeOf(part);
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), stallMs);
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, stalled.signal]),
      headers: { "accept-encoding": "identity", ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
    });
    if (response.status === 416) {
      rmSync(part, { force: true });
      throw new ImagesError("unreachable", `${url} does not continue an interrupted download`);
    }
    const continues = response.status === 206 && startsAt(response.headers.get("content-range"), from);
    if (!continues && response.status !== 200) throw statusError(url, response);
    const file = await open(part, continues ? "a" : "w");
    try {
      let at = continues ? from : 0;
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(() => stalled.abort(), stallMs);
        const bytes = chunk as Uint8Array;
        at += bytes.length;
        if (at > size) {
          await file.truncate(0);
          throw new ImagesError("not-trusted", `${what} is not what the archive's index says: it is larger`);
        }
        await file.write(bytes);
        progress.amount(`${what}: ${sizeText(at)} of ${sizeText(size)}`);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    if (stalled.signal.aborted) throw new ImagesError("unreachable", `${url.host} sends no more`);
    throw error;
  } finally {
    clearTimeout(timer);
    progress.clear();
  }
}

/** Fetches a small file whole. */
export async function fetchSmall(
  url: URL,
  { sizeMax, signal, stallMs = STALL_MS }: { readonly sizeMax: number } & Pick<TransferOptions, "signal" | "stallMs">,
): Promise<Uint8Array> {
  const limit = AbortSignal.timeout(stallMs);
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, limit]),
      headers: { "accept-encoding": "identity", "cache-control": "no-cache" },
    });
    if (response.status !== 200) throw statusError(url, response);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += (chunk as Uint8Array).length;
      if (size > sizeMax) throw new ImagesError("bad-content", `${url} has more than ${sizeMax} bytes`);
      chunks.push(chunk as Uint8Array);
    }
    return new Uint8Array(Buffer.concat(chunks));
  } catch (error) {
    if (signal.aborted) throw interrupted();
    throw error instanceof ImagesError ? error : unreachable(url, error);
  }
}

const startsAt = (contentRange: string | null, from: number): boolean =>
  contentRange?.startsWith(`bytes ${from}-`) ?? false;

function statusError(url: URL, { status }: Response): ImagesError {
  if (status === 404)
    return new ImagesError(
      "not-found",
      `${url}: not found (404)`,
      "is this a Debian mirror, and is there such a suite?",
    );
  const problem = status >= 500 || status === 429 ? "unreachable" : "not-found";
  return new ImagesError(problem, `${url}: the server answers ${status}`, "try again later, or another mirror");
}

const cut = (url: URL, part: string, { what, size }: Expected) =>
  new ImagesError(
    "unreachable",
    `${url.host} cut the connection: ${sizeText(sizeOf(part))} of ${sizeText(size)} of ${what} are here`,
    "the same command goes on where this one stopped",
  );

/** Why a connection failed, in words. */
function unreachable(url: URL, error: unknown): ImagesError {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const code = cause?.code ?? (error as NodeJS.ErrnoException).code ?? "";
  const fileProblem = {
    ENOSPC: "no space is left",
    EACCES: "permission denied",
    EROFS: "the file system is read-only",
  }[code];
  if (fileProblem !== undefined) return new ImagesError("environment", `cannot write the download: ${fileProblem}`);
  const words: Readonly<Record<string, string>> = {
    ENOTFOUND: "there is no such host, or no network",
    EAI_AGAIN: "its name cannot be resolved: no network?",
    ECONNREFUSED: "it refuses connections",
    ECONNRESET: "it cut the connection",
    UND_ERR_SOCKET: "it cut the connection",
    ENETUNREACH: "the network is unreachable",
    EHOSTUNREACH: "it is unreachable",
    ETIMEDOUT: "it does not answer",
    UND_ERR_CONNECT_TIMEOUT: "it does not answer",
  };
  const timeout = (error as Error).name === "TimeoutError" ? "it does not answer" : undefined;
  const why = words[code] ?? timeout ?? cause?.message ?? (error instanceof Error ? error.message : String(error));
  return new ImagesError(
    "unreachable",
    `cannot fetch from ${url.host}: ${why}`,
    "is this machine online? images that were fetched before still run",
  );
}

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

/** SHA-256 of a file, in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
