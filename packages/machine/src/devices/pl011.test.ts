import { expect, test } from "vitest";
import { Pl011 } from "./pl011.js";

const make = () => {
  const sent: number[] = [];
  const levels: boolean[] = [];
  const uart = new Pl011({ name: "uart0", onOutput: (byte) => sent.push(byte), onInterrupt: (l) => levels.push(l) });
  return { uart, sent, levels };
};

test("DR sends; FR never says full", () => {
  const { uart, sent } = make();
  for (const byte of Buffer.from("hi")) uart.write(0, 1, BigInt(byte));
  expect(sent).toEqual([0x68, 0x69]);
  expect(uart.read(0x18, 4)).toBe(0x90n); // TXFE, RXFE
});

test("the initialisation of Arm's ACS reads CR back", () => {
  const { uart } = make();
  expect(uart.read(0x30, 4)).toBe(0x300n);
  uart.write(0x2c, 4, 0x70n);
  uart.write(0x30, 4, 0x101n);
  expect([uart.read(0x30, 4), uart.read(0x2c, 4)]).toEqual([0x101n, 0x70n]);
});

test("input is read in order, raises the receive interrupt and drops it when empty", () => {
  const { uart, levels } = make();
  uart.write(0x38, 4, 0x10n);
  uart.receive(new Uint8Array([1, 2]));
  expect([uart.read(0x18, 4), uart.read(0x3c, 4), uart.read(0x40, 4)]).toEqual([0xc0n, 0x50n, 0x10n]);
  expect([uart.read(0, 1), uart.read(0, 1), uart.read(0, 1)]).toEqual([1n, 2n, 0n]);
  expect(levels).toEqual([true, false]);
});

test("RXFF by FIFO depth", () => {
  const { uart } = make();
  uart.write(0x2c, 4, 0x10n);
  uart.receive(new Uint8Array(31));
  expect(uart.read(0x18, 4) & 0x40n).toBe(0n);
  uart.receive(new Uint8Array(1));
  expect(uart.read(0x18, 4) & 0x40n).toBe(0x40n);
});

test("the transmit interrupt is latched until ICR", () => {
  const { uart, levels } = make();
  uart.write(0x38, 4, 0x20n);
  uart.write(0, 1, 0x41n);
  uart.write(0x44, 4, 0x20n);
  expect(levels).toEqual([true, false]);
});

test.each([
  [0xfe0, 0x11n],
  [0xfe4, 0x10n],
  [0xff4, 0xf0n],
])("identification at 0x%s", (offset, value) => {
  expect(make().uart.read(offset, 4)).toBe(value);
});

test("every offset answers, and what is reserved stays zero", () => {
  const { uart } = make();
  for (let offset = 0; offset < 0x1000; offset++) {
    uart.write(offset, 1, 0xffn);
    expect(uart.read(offset, 1) >= 0n).toBe(true);
  }
  expect(uart.read(0x4c, 4)).toBe(0n);
});

test("save and restore through JSON", () => {
  const { uart } = make();
  uart.write(0x30, 4, 0x101n);
  uart.receive(new Uint8Array([7]));
  const other = make().uart;
  other.restore(JSON.parse(JSON.stringify(uart.save())));
  expect([other.read(0x30, 4), other.read(0, 1)]).toEqual([0x101n, 7n]);
});
