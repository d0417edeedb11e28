/** Every committed guest image on our own machine, as a realm and as a normal VM, to its documented end (guests/README.md). */
import type { VmConfig } from "@realmbox/vmm";
import { describe, expect, test } from "vitest";
import { hostile, image, makeBox, makeGuest, runToEnd, small } from "../support/box.js";

const worlds = [
  ["a realm", true],
  ["a normal VM", false],
] as const;

/** Boots, runs to the end, and gives what became of it. */
function run(config: VmConfig, challenge?: Uint8Array) {
  const box = makeBox({ pes: config.cpus ?? 1 });
  const guest = makeGuest(box, config, challenge ? { challenge } : {});
  const end = runToEnd(guest);
  return { end, console: guest.console, token: guest.vm.token };
}

/** The console line of that row: expected, got, verdict. */
const rows = (console: string) => [...console.matchAll(/^(.{54}) +(\S+) +(\S+) (ok|DIFFERENT)$/gm)];

describe.each(worlds)("as %s", (_world, realm) => {
  test("hello", () => {
    const challenge = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
    const { end, console, token } = run(
      { ...small("hello"), realm, params: "exit=7", initrd: image("smp") },
      challenge,
    );
    expect(end).toEqual({ kind: "exit", status: 7 });
    expect(console).toContain(`world:          ${realm ? "realm" : "normal VM"}\n`);
    expect(console).toMatch(/initrd: +\d+ bytes at 0x8[0-9a-f]+, CRC-32 [0-9a-f]{8}\n/);
    expect(console.includes(Buffer.from(challenge).toString("hex"))).toBe(realm);
    expect(token !== undefined).toBe(realm);
  });

  test.each([1, 2, 4, 8])("smp with %i vCPUs", (cpus) => {
    const { end, console } = run({ ...small("smp", cpus), realm });
    expect(console).toContain("smp: ok\n");
    expect(end).toEqual({ kind: "exit", status: 0 });
  });

  test.each(["devices", "sysregs", "mmio", "ticks", "pages"])("hostile case=%s goes on to its end", (name) => {
    const { end, console } = run({ ...hostile(name, { n: 100, seed: 1 }), realm });
    expect(console).toMatch(new RegExp(`hostile: (${name} ends with 0|end after)`));
    expect(end).toEqual({ kind: "exit", status: 0 });
  });

  test("hostile case=mix finds its results right", () => {
    expect(run({ ...hostile("mix", { n: 3 }), realm }).end).toEqual({ kind: "exit", status: 0 });
  });

  test.each(["undefined", "jump"])("hostile case=%s is a register dump and status 120", (name) => {
    const { end, console } = run({ ...hostile(name), realm });
    expect(console).toContain("unexpected synchronous exception");
    expect(end).toEqual({ kind: "exit", status: 120 });
  });

  test.each(["vectors", "stack", "wfi"])("hostile case=%s is stuck", (name) => {
    expect(run({ ...hostile(name), realm }).end).toMatchObject({ kind: "stuck" });
  });

  test("hostile case=loop ends with the instructions that it may have", () => {
    const guest = makeGuest(makeBox(), { ...hostile("loop"), realm });
    expect(guest.run({ instructions: 400_000 })).toEqual({ kind: "limit" });
  });
});

test("a realm that makes its own code EMPTY is stuck", () => {
  expect(run({ ...hostile("vanish"), realm: true }).end).toMatchObject({ kind: "stuck" });
});

describe("rsi-check", () => {
  test.each([
    { cpus: 1, measurementAlgorithm: "sha256" },
    { cpus: 2, measurementAlgorithm: "sha512" },
  ] as const)("with $cpus vCPUs and $measurementAlgorithm: every row holds", (config) => {
    const { end, console } = run({ ...small("rsi-check", config.cpus), ...config, realm: true });
    const differ = rows(console).filter(([, , , , verdict]) => verdict !== "ok");
    expect(differ.map(([line]) => line)).toEqual([]);
    expect(rows(console).length).toBeGreaterThan(160);
    expect(console.includes("skipped: one CPU")).toBe(config.cpus === 1);
    expect(console).toContain(" 0 different,");
    expect(end).toEqual({ kind: "exit", status: 0 });
  });

  test.each([3, 60, 170])("a wrong expectation in row %i is found", (row) => {
    const kernel = image("rsi-check");
    const at = Buffer.from(kernel.buffer).indexOf("RSI-CHECK TABLE\0") + 32 + 64 * row;
    kernel[at + 56]! ^= 2;
    const name = Buffer.from(kernel.subarray(at, at + 56))
      .toString()
      .replace(/\0+$/, "");
    const { end, console } = run({ ...small("rsi-check", 2), kernel, realm: true });
    expect(
      rows(console)
        .filter((match) => match[4] === "DIFFERENT")
        .map((match) => match[1]!.trim()),
    ).toEqual([name]);
    expect(end).toEqual({ kind: "exit", status: 1 });
  });

  test("without RSI it has nothing to check", () => {
    const { end, console } = run(small("rsi-check"));
    expect(console).toContain("no RSI here");
    expect(end).toEqual({ kind: "exit", status: 0 });
  });
});
