/** A realm that takes itself for a plain VM is told apart from one that knows. */
import { describe, expect, it } from "vitest";
import { Box } from "./box.js";
import { nodeCrypto } from "./crypto/node.js";

/** Sets its vectors to a loop, then reads the UART where a plain VM has it. */
const readsUart = [
  0x1000_4001, // adr x1, .+0x800
  0xd518_c001, // msr vbar_el1, x1
  0xd503_3fdf, // isb
  0xd2a0_2000, // mov x0, #0x1000000
  0x3940_0002, // ldrb w2, [x0]
  0x1400_0000, // b .
];
/** The same, and then RSI_VERSION from the vector. */
const asksLater = [
  0xd280_3200, // mov x0, #0x190
  0xf2b8_8000, // movk x0, #0xc400, lsl #16
  0xd2a0_0021, // mov x1, #0x10000
  0xd400_0003, // smc #0
  0x1400_0000, // b .
];

function image(vector: readonly number[]): Uint8Array {
  const words = new Uint32Array(0x400);
  words.set(readsUart);
  words.set(vector, 0xa00 / 4); // from the current level with SP_ELx: 0x200 behind the base
  return new Uint8Array(words.buffer);
}

function run(vector: readonly number[], realm: boolean) {
  const box = new Box({ crypto: nodeCrypto, dramSize: 256n << 20n });
  const guest = box.createGuest({ kernel: image(vector), realm, memory: 64n << 20n, nodefaults: true });
  if (!guest.ok) throw new Error(guest.error.message);
  return guest.value.run({ instructions: 40_000_000 });
}

describe("a guest without realm support", () => {
  it("ends as a crash that names the address and the way out", () => {
    const end = run([0x1400_0000], true);
    expect(end.kind).toBe("crash");
    expect("why" in end && end.why).toMatch(/no realm support.*IPA 0x1000000.*without --realm/);
  });

  it("may still ask after the abort", () => {
    expect(run(asksLater, true).kind).toBe("limit");
  });

  it("runs as a normal VM", () => {
    expect(run([0x1400_0000], false).kind).toBe("limit");
  });
});
