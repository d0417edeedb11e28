import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RTC_BASE, UART_BASE } from "../memory-map.js";
import { MmioBus, type MmioDevice } from "./bus.js";
import { InputQueue } from "./console.js";
import { Mc146818 } from "./mc146818.js";
import { Ns16550 } from "./ns16550.js";

const uartWith = (text = "") => {
  const input = new InputQueue();
  input.push(new TextEncoder().encode(text));
  const sent: number[] = [];
  const lines: boolean[] = [];
  const uart = new Ns16550({
    name: "uart0",
    base: UART_BASE,
    transmit: (byte) => sent.push(byte),
    input,
    setLine: (level) => lines.push(level),
  });
  const read = (offset: number, size = 1) => {
    const data = new Uint8Array(size);
    uart.read(offset, data);
    return data[0]!;
  };
  const write = (offset: number, ...data: number[]) => uart.write(offset, Uint8Array.from(data));
  return { uart, input, sent, lines, read, write };
};

describe("ns16550A", () => {
  test("reset values", () => {
    const { read } = uartWith();
    expect([1, 2, 3, 4, 5, 6, 7].map((offset) => read(offset))).toEqual([0, 0xc1, 0, 0x08, 0x60, 0xb0, 0]);
  });
  test("a byte written is sent at once; the transmitter stays empty", () => {
    const { sent, read, write } = uartWith();
    for (const byte of [0x68, 0x69]) write(0, byte);
    expect(sent).toEqual([0x68, 0x69]);
    expect(read(5)).toBe(0x60);
  });
  test("of a wide write the lowest byte counts", () => {
    const { sent, write } = uartWith();
    write(0, 0x41, 0x42, 0x43, 0x44);
    expect(sent).toEqual([0x41]);
  });
  test("DLAB banks offsets 0 and 1; nothing is sent", () => {
    const { sent, read, write } = uartWith("x");
    write(3, 0x83);
    write(0, 0x0c);
    write(1, 0x01);
    expect([read(0), read(1), read(3)]).toEqual([0x0c, 0x01, 0x83]);
    write(3, 0x03);
    expect(read(1)).toBe(0); // IER
    expect(read(0)).toBe(0x78);
    expect(sent).toEqual([]);
    expect(read(3)).toBe(3); // LCR is kept, unlike in kvmtool
  });
  test("polled input: bytes stay in the source until they are read", () => {
    const { input, read } = uartWith("ab");
    expect(read(5)).toBe(0x61);
    expect(input.pending).toHaveLength(2);
    expect([read(0), read(5), read(0), read(5), read(0)]).toEqual([0x61, 0x61, 0x62, 0x60, 0]);
  });
  test("a receiver reset loses nothing that was not demanded", () => {
    const { read, write } = uartWith("a");
    read(5);
    write(2, 0x07);
    expect(read(0)).toBe(0x61);
  });
  test("receive interrupt: rises when enabled, falls with the last byte, rises for new input", () => {
    const { uart, input, lines, read, write } = uartWith("a");
    expect(lines).toEqual([]);
    write(1, 0x01);
    expect(lines).toEqual([true]);
    expect(read(2)).toBe(0xc4);
    read(0);
    expect(lines).toEqual([true, false]);
    expect(read(2)).toBe(0xc1);
    input.push(Uint8Array.of(0x62));
    uart.inputArrived();
    expect(lines).toEqual([true, false, true]);
  });
  test("the guest wants input once its receive interrupt is enabled and it has read everything", () => {
    const { uart, input, read, write } = uartWith("a");
    expect([uart.receiving, uart.wantsInput]).toEqual([false, false]);
    write(1, 0x01);
    expect([uart.receiving, uart.wantsInput]).toEqual([true, false]);
    read(0);
    expect([uart.receiving, uart.wantsInput]).toEqual([true, true]);
    input.push(Uint8Array.of(0x62));
    expect([uart.receiving, uart.wantsInput]).toEqual([true, false]);
    write(4, 0x10); // loopback
    expect(uart.receiving).toBe(false);
  });
  test("or while it polls; looks of a driver that sends are not counted", () => {
    const { uart, input, read, write } = uartWith();
    let told = 0;
    input.onPolled = () => told++;
    for (let i = 0; i < 200; i++) {
      read(5);
      write(0, 0x41);
    }
    expect([told, uart.wantsInput]).toEqual([0, false]);
    for (let i = 0; i < 63; i++) read(5);
    expect([told, uart.wantsInput]).toEqual([0, false]);
    read(5);
    expect([told, uart.wantsInput]).toEqual([1, true]);
    input.push(Uint8Array.of(0x62));
    read(5);
    expect(uart.wantsInput).toBe(false);
    for (let i = 0; i < 64; i++) read(5);
    expect(told).toBe(1);
  });
  test("RTS withdrawn holds the input; never set, it says nothing", () => {
    const { uart, write } = uartWith();
    write(1, 0x01);
    expect(uart.wantsInput).toBe(true);
    write(4, 0x03);
    expect(uart.wantsInput).toBe(true);
    write(4, 0x01);
    expect(uart.wantsInput).toBe(false);
    const { uart: other } = uartWith();
    other.state = uart.state;
    expect([other.wantsInput, other.state]).toEqual([false, uart.state]);
    write(4, 0x03);
    expect(uart.wantsInput).toBe(true);
  });
  test("transmit interrupt is a level while enabled; the receiver has priority", () => {
    const { lines, read, write } = uartWith("a");
    write(1, 0xf2);
    expect(read(1)).toBe(0x02); // bits 3:0 only
    expect(read(2)).toBe(0xc2);
    write(1, 0x03);
    expect(read(2)).toBe(0xc4);
    read(0);
    expect(read(2)).toBe(0xc2);
    write(1, 0);
    expect(lines).toEqual([true, false]);
  });
  test("loopback: nothing leaves, modem outputs come back (the test that Linux makes)", () => {
    const { sent, read, write } = uartWith("x");
    write(4, 0x1a);
    expect(read(6)).toBe(0x90);
    write(0, 0x55);
    expect([read(5), read(0), read(5)]).toEqual([0x61, 0x55, 0x60]);
    write(0, 0x56);
    write(2, 0x02);
    expect(read(5)).toBe(0x60);
    expect(sent).toEqual([]);
  });
  test("read-only registers and the scratch register", () => {
    const { read, write } = uartWith();
    for (const offset of [5, 6, 7]) write(offset, 0xa5);
    expect([read(5), read(6), read(7)]).toEqual([0x60, 0xb0, 0xa5]);
  });
  test("state goes into another instance", () => {
    const first = uartWith();
    first.write(1, 0x02);
    first.write(4, 0x10);
    first.write(0, 0x33);
    const second = uartWith();
    second.uart.state = structuredClone(first.uart.state);
    expect(second.uart.state).toEqual(first.uart.state);
    expect(second.lines).toEqual([]);
    expect(second.read(0)).toBe(0x33);
  });
  test("any sequence of accesses: values are bytes, the line follows IIR", () => {
    const op = fc.tuple(fc.boolean(), fc.nat(7), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(op, { maxLength: 200 }), fc.string({ maxLength: 8 }), (ops, text) => {
        const { uart, lines, read } = uartWith(text);
        for (const [isWrite, offset, data] of ops) {
          if (isWrite) uart.write(offset, data);
          else uart.read(offset, data);
          const iir = read(2);
          expect([0xc1, 0xc2, 0xc4]).toContain(iir);
          expect(lines.at(-1) ?? false).toBe(iir !== 0xc1);
        }
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});

describe("MC146818", () => {
  const at = (iso: string) => {
    const rtc = new Mc146818(() => Date.parse(iso));
    return (index: number) => {
      rtc.write(0, Uint8Array.of(index));
      const data = Uint8Array.of(0);
      rtc.read(1, data);
      return data[0]!;
    };
  };
  test("UTC in BCD; Sunday is 1", () => {
    const read = at("2026-03-01T23:59:58Z");
    expect([0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32].map(read)).toEqual([
      0x58, 0x59, 0x23, 0x01, 0x01, 0x03, 0x26, 0x20,
    ]);
  });
  test("register D says that time is valid; C and D keep their values; others store", () => {
    const rtc = new Mc146818(() => 0);
    const poke = (index: number, value: number) => {
      rtc.write(0, Uint8Array.of(index | 0x80)); // bit 7 is the NMI mask, no part of the index
      rtc.write(1, Uint8Array.of(value));
      const data = Uint8Array.of(0);
      rtc.read(1, data);
      return data[0];
    };
    expect(poke(0x0d, 0)).toBe(0x80);
    expect(poke(0x0c, 0xff)).toBe(0);
    expect(poke(0x0b, 0x42)).toBe(0x42);
    expect(poke(0x7f, 0x11)).toBe(0x11);
    expect(poke(0x00, 0x33)).toBe(0); // the time is not set
  });
  test("the index register reads as nothing", () => {
    const rtc = new Mc146818(() => 0);
    const data = Uint8Array.of(0);
    rtc.read(0, data);
    expect(data[0]).toBe(0);
  });
});

describe("bus", () => {
  const device = (base: bigint, size: bigint) => {
    const log: string[] = [];
    const made: MmioDevice = {
      name: `dev@${base}`,
      base,
      size,
      read: (offset, data) => {
        log.push(`r${offset}/${data.length}`);
        data[0] = 0x5a;
      },
      write: (offset, data) => void log.push(`w${offset}=${[...data]}`),
    };
    return { made, log };
  };
  const busWith = (...devices: { made: MmioDevice }[]) => {
    const bus = new MmioBus();
    for (const { made } of devices) bus.add(made);
    return bus;
  };

  test("gives an access to the device that holds all of it", () => {
    const a = device(0x1000n, 8n);
    const b = device(0x1008n, 2n);
    const bus = busWith(b, a);
    expect(bus.access({ address: 0x1004n, data: Uint8Array.of(1, 2, 3, 4), isWrite: true })).toBe(a.made);
    expect(bus.access({ address: 0x1006n, data: new Uint8Array(4), isWrite: true })).toBeUndefined();
    const data = Uint8Array.of(9, 9);
    expect(bus.access({ address: 0x1008n, data, isWrite: false })).toBe(b.made);
    expect([...data]).toEqual([0x5a, 0]);
    expect([a.log, b.log]).toEqual([["w4=1,2,3,4"], ["r0/2"]]);
  });
  test("an unclaimed read is zero", () => {
    const data = Uint8Array.of(1, 2, 3);
    expect(busWith().access({ address: 0n, data, isWrite: false })).toBeUndefined();
    expect([...data]).toEqual([0, 0, 0]);
  });
  test("devices may not overlap", () => {
    expect(() => busWith(device(0x1000n, 8n), device(0x1007n, 1n))).toThrow("overlap");
  });
  test("any access to the machine's devices is answered", () => {
    const { uart } = uartWith("abc");
    const bus = busWith({ made: uart }, { made: new Mc146818(() => 0) });
    const address = fc.oneof(
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      fc.bigInt({ min: UART_BASE - 8n, max: UART_BASE + 16n }),
      fc.bigInt({ min: RTC_BASE - 8n, max: RTC_BASE + 16n }),
    );
    const size = fc.constantFrom(1, 2, 4, 8);
    fc.assert(
      fc.property(fc.array(fc.tuple(address, size, fc.boolean(), fc.nat(255)), { maxLength: 50 }), (accesses) => {
        for (const [at, length, isWrite, value] of accesses) {
          bus.access({ address: at, data: new Uint8Array(length).fill(value), isWrite });
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

test("an input queue gives its bytes in order, across chunks", () => {
  const queue = new InputQueue();
  expect([queue.ready, queue.take()]).toEqual([false, undefined]);
  for (const chunk of [[1, 2], [], [3]]) queue.push(Uint8Array.from(chunk));
  expect([...queue.pending]).toEqual([1, 2, 3]);
  expect([queue.take(), queue.take(), queue.ready, queue.take(), queue.take()]).toEqual([1, 2, true, 3, undefined]);
});
