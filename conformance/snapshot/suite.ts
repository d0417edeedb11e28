/**
 * The snapshot suite: a run that is saved at some instruction and restored in another process goes on as if nothing had happened: the rest of
 * the trace, the console, the token and all counters are those of a run that was never stopped.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SecurityState } from "@realmbox/abi";
import { beforeAll, expect, test } from "vitest";
import { prebuilt } from "../support/box.js";
import { library, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder("snapshot");
const worker = fileURLToPath(new URL("worker.mjs", import.meta.url));

export interface Job {
  readonly image: string;
  readonly cpus: number;
  readonly realm: boolean;
  readonly params?: string;
}
interface Outcome {
  readonly end: { readonly kind: string };
  readonly begun: number;
  readonly now: number;
  readonly console: string;
  readonly token?: string;
  readonly pes: readonly { readonly el: number; readonly state: number }[];
  readonly counters: unknown;
  readonly host: unknown;
  readonly trace: string;
}

let files = 0;
const file = (): string => join(folder, `${files++}`);

async function work(job: Job, part: { stopAt?: number; saveTo?: string; restoreFrom?: string } = {}): Promise<Outcome> {
  const image = fileURLToPath(new URL(`${job.image}.bin`, prebuilt));
  const traceTo = file();
  const argument = JSON.stringify({ ...job, ...part, library, image, traceTo });
  const { stdout } = await promisify(execFile)(process.execPath, [worker, argument], { maxBuffer: 1 << 26 });
  return { ...JSON.parse(stdout), trace: readFileSync(traceTo, "latin1") };
}

/** Saves and restores at `points` places of a run, evenly spread over its events. */
export function snapshotSuite(job: Job, points: number): void {
  let whole: Outcome;
  let inGuest = 0;
  /** Clocks of the events after the guest's construction. */
  let clocks: number[];
  beforeAll(async () => {
    whole = await work(job);
    clocks = whole.trace
      .split("\n")
      .map((line) => Number.parseInt(line, 10))
      .filter((at) => at > whole.begun);
  });

  test("a whole run ends well", () => {
    expect(whole.end).toEqual({ kind: "exit", status: 0 });
    expect(clocks.length).toBeGreaterThan(points);
  });

  test.each(Array.from({ length: points }, (_, i) => i + 1))(`saved at place %i of ${points}`, async (place) => {
    const snapshot = file();
    // Some instructions after an event: within the code that the event led to.
    const stopAt = clocks[Math.floor((clocks.length * place) / (points + 1))]! + 7;
    const before = await work(job, { stopAt, saveTo: snapshot });
    expect(before.end).toEqual({ kind: "limit" });
    expect(before.now).toBeGreaterThanOrEqual(stopAt);
    expect(before.now - stopAt).toBeLessThan(10_000); // an operation of the Host was under way
    const state = job.realm ? SecurityState.REALM : SecurityState.NON_SECURE;
    if (before.pes.some((pe) => pe.el <= 1 && pe.state === state)) inGuest++;

    const after = await work(job, { restoreFrom: snapshot });
    expect(after.begun).toBe(before.now);
    expect(before.trace + after.trace).toBe(whole.trace);
    expect(before.console + after.console).toBe(whole.console);
    expect({ ...after, trace: "", console: "", begun: 0 }).toEqual({ ...whole, trace: "", console: "", begun: 0 });
  });

  test("some of the places were in the middle of the guest's code", () => {
    expect(inGuest).toBeGreaterThan(0);
  });
}
