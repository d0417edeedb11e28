/** A mebibyte through the FIFO of the console, from a pipe, into a realm and into a normal VM. */
import { crc32 } from "node:zlib";
import { LiveInput } from "realmbox";
import { expect, test } from "vitest";
import { image, MiB, makeBox, makeGuest } from "../support/box.js";

const bytes = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 167 + (i >> 8)) & 0xff);

test.each([
  ["a realm", true],
  ["a normal VM", false],
])(
  "%s reads it without loss",
  async (_, realm) => {
    const source = new LiveInput({ interactive: false });
    source.push(bytes);
    const params = `quiet=1 count=${bytes.length}`;
    const guest = makeGuest(makeBox(), { kernel: image("echo"), params, memory: 32n * MiB, realm });
    expect(await guest.runAsync({ source })).toEqual({ kind: "exit", status: 0 });
    expect(guest.console).toContain(
      `echo: ${bytes.length} bytes, CRC-32 ${crc32(bytes).toString(16).padStart(8, "0")}`,
    );
  },
  300_000,
);
