/**
 * Images that are broken in every way: headers with flipped bytes, files cut short, noise. Each is refused with a reason
 * or boots into whatever it is; nothing throws, hangs, or leaves a granule behind.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Random } from "../oracle/random.js";
import { image, MiB, makeBox, prebuilt } from "../support/box.js";
import { delegatedGranules } from "../support/memory.js";

const arm64Image = image("hello");
const elf = new Uint8Array(readFileSync(new URL("hello.elf", prebuilt)));

/** How a file can be broken. */
const breakages: Readonly<Record<string, (random: Random) => Uint8Array>> = {
  "Image header": (random) => flip(arm64Image, random, 64, 1 + random.below(4)),
  "Image anywhere": (random) => flip(arm64Image, random, arm64Image.length, 1 + random.below(64)),
  "Image cut short": (random) => arm64Image.slice(0, random.below(arm64Image.length)),
  "ELF header": (random) => flip(elf, random, 64 + 56 * 4, 1 + random.below(4)),
  "ELF cut short": (random) => elf.slice(0, random.below(elf.length)),
  noise: (random) => Uint8Array.from({ length: 1 + random.below(20_000) }, () => random.below(256)),
};

function flip(file: Uint8Array, random: Random, within: number, count: number): Uint8Array {
  const bytes = file.slice();
  for (let n = 0; n < count; n++) bytes[random.below(within)]! ^= 1 << random.below(8);
  return bytes;
}

describe.each(Object.keys(breakages))("%s", (kind) => {
  test.each(["realm", "normal VM"])("as a %s", (world) => {
    const random = new Random(kind.length * 7 + world.length);
    const box = makeBox({ dramSize: 128n * MiB });
    const free = box.host.pages.free;
    let ran = 0;
    for (let n = 0; n < 6; n++) {
      const kernel = breakages[kind]!(random);
      const config = { kernel, realm: world === "realm", memory: 16n * MiB };
      const guest = box.createGuest(config, { name: `${kind} ${n}` });
      if (!guest.ok) {
        expect(guest.error.message.length).toBeGreaterThan(10);
        // What was begun is undone by the end of the VMM's process.
        const process = box.host.findProcess(`${kind} ${n}`);
        if (process) box.host.call(process.exitOp());
      } else {
        ran++;
        const end = guest.value.run({ instructions: 500_000, checkEvery: 100_000 });
        expect(["exit", "shutdown", "reset", "crash", "stuck", "limit", "idle"]).toContain(end.kind);
        expect(guest.value.close()).toMatchObject({ ok: true });
      }
      expect(box.host.pages.free, `image ${n}`).toBe(free);
      for (const [state, list] of delegatedGranules(box.machine)) expect(list, state).toEqual([]);
    }
    if (kind === "Image anywhere" || kind === "noise") expect(ran).toBeGreaterThan(0);
  });
});
