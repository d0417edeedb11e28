/** The guest `bench`: each class of work gives what it gives on QEMU, as a realm and as a normal VM. */
import { describe, expect, test } from "vitest";
import { image, MiB, makeBox, makeGuest, runToEnd } from "../support/box.js";
import { BENCH_SUMS } from "./bench-sums.js";

describe.each([
  ["a realm", true],
  ["a normal VM", false],
])("as %s", (_world, realm) => {
  test.each(BENCH_SUMS)("class=%s n=%i", (name, count, sum) => {
    const params = `class=${name} n=${count}`;
    const guest = makeGuest(makeBox(), { kernel: image("bench"), params, realm, memory: 64n * MiB });
    const end = runToEnd(guest, { instructions: 200_000_000 });
    expect(guest.console).toContain(`bench: end ${name} ${sum}\n`);
    expect(end).toEqual({ kind: "exit", status: 0 });
  });

  test.each(["rsi", "host-call", "touch"])("class=%s n=100", (name) => {
    const guest = makeGuest(makeBox(), {
      kernel: image("bench"),
      params: `class=${name} n=100`,
      realm,
      memory: 16n * MiB,
    });
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expect(guest.console).toContain(`bench: end ${name} `);
  });

  test("without a class it lists them", () => {
    const guest = makeGuest(makeBox(), { kernel: image("bench"), realm, memory: 16n * MiB });
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 2 });
    for (const [name] of BENCH_SUMS) expect(guest.console).toContain(`\n  ${name} `);
  });
});
