/**
 * realmbox is killed while a guest writes with flushes: what the guest has told to be flushed is in the image. The moments
 * are random, from the seed in the name, in the host's time.
 */
import { spawn } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { command, realmbox, temporaryFolder } from "../support/cli.js";
import { LOG_BLOCK, lastFlushed, lostBlocks } from "./log-image.js";

const cwd = temporaryFolder("kill");
const PLACES = 64;

function newImage(name: string): string {
  const path = join(cwd, name);
  writeFileSync(path, "");
  truncateSync(path, PLACES * LOG_BLOCK);
  return path;
}

/** Runs the guest and kills the process some time after its first flush; the console until then. */
function killedRun(args: readonly string[], delayMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [command, "run", "-q", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    let console = "";
    let killer: NodeJS.Timeout | undefined;
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      console += text;
      if (killer === undefined && console.includes("flushed")) {
        killer = setTimeout(() => child.kill("SIGKILL"), delayMs);
      }
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL") resolve(console);
      else reject(new Error(`the guest ended by itself, ${code}: ${console.slice(-500)}`));
    });
  });
}

describe.each([
  ["a realm", ["--realm"]],
  ["a normal VM", []],
])("killed, %s", (_, world) => {
  test.each(Array.from({ length: 12 }, (_, i) => i + 1))("seed %i", async (seed) => {
    const image = newImage(`${world.length}-${seed}.img`);
    // Multiplicative hashing spreads the seeds over half a second.
    const delay = (Math.imul(seed, 0x9e37_79b1) >>> 0) % 500;
    const console = await killedRun([...world, "-p", "case=log", "-d", image, "virtio"], delay);
    const flushed = lastFlushed(console);
    expect(flushed).toBeGreaterThan(0);
    expect(lostBlocks(readFileSync(image), flushed)).toEqual([]);
  });
});

test("the check sees a block that is lost, old, damaged or elsewhere", async () => {
  const image = newImage("whole.img");
  const { code, stdout } = await realmbox(["run", "-q", "-p", "case=log n=150", "-d", image, "virtio"]);
  expect(code).toBe(0);
  const flushed = lastFlushed(stdout);
  expect(flushed).toBe(149);
  const whole = readFileSync(image);
  expect(lostBlocks(whole, flushed)).toEqual([]);
  const planted = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(whole);
    change(bytes);
    return lostBlocks(bytes, flushed);
  };
  const at = (place: number) => place * LOG_BLOCK;
  expect(planted((bytes) => bytes.fill(0, at(5), at(6)))).toEqual(["place 5: no whole block, 133 was flushed"]);
  expect(planted((bytes) => bytes.writeUInt8(bytes[at(5) + 99]! ^ 1, at(5) + 99))).toHaveLength(1);
  expect(planted((bytes) => bytes.copy(bytes, at(5), at(6), at(7)))).toEqual(["place 5: block 134"]);
  // A run that ended earlier has older blocks.
  const older = newImage("older.img");
  await realmbox(["run", "-q", "-p", "case=log n=147", "-d", older, "virtio"]);
  expect(lostBlocks(readFileSync(older), flushed)).toHaveLength(3);
});
