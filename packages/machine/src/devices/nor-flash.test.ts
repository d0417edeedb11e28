import { describe, expect, test } from "vitest";
import { FLASH_BLOCK_SIZE, NorFlash } from "./nor-flash.js";
import { registersOf, restored } from "./system.oracle.js";

const SIZE = 64 << 20;
/** A command to both chips. */
const both = (command: number): number => ((command << 16) | command) >>> 0;
const READ_ARRAY = both(0xff);
const READY = both(0x80);

function flash() {
  const device = new NorFlash("flash", SIZE);
  return { device, ...registersOf(device) };
}

test("what was never written is ones; contents go in and come out", () => {
  const { device, read } = flash();
  expect(read(0x1234)).toBe(0xffff_ffff);
  const image = Uint8Array.from({ length: 600_000 }, (_, i) => i % 251);
  device.load(image, FLASH_BLOCK_SIZE - 3);
  expect(device.contents(FLASH_BLOCK_SIZE - 3, image.length)).toEqual(image);
  expect(device.read(FLASH_BLOCK_SIZE - 3, 1)).toBe(0n);
  expect(device.read(FLASH_BLOCK_SIZE, 2)).toBe(0x0403n);
  expect(device.read(FLASH_BLOCK_SIZE, 8)).toBe(0x0a09_0807_0605_0403n);
});

describe("programming", () => {
  test("a word: status, then the array", () => {
    const { read, write } = flash();
    write(0x100, both(0x40));
    write(0x100, 0x1234_5678);
    expect(read(0x100)).toBe(READY);
    write(0x100, READ_ARRAY);
    expect(read(0x100)).toBe(0x1234_5678);
  });

  test("it only clears bits", () => {
    const { read, write } = flash();
    for (const value of [0xf0f0_ffff, 0xffff_0f0f]) {
      write(0x100, both(0x40));
      write(0x100, value);
    }
    write(0, READ_ARRAY);
    expect(read(0x100)).toBe(0xf0f0_0f0f);
  });

  test("a buffer", () => {
    const { device, read, write } = flash();
    write(0x200, both(0xe8));
    expect(read(0x200)).toBe(READY);
    write(0x200, both(3));
    for (let n = 0; n < 4; n++) write(0x200 + 4 * n, 0x1111_1111 * (n + 1));
    write(0x200, both(0xd0));
    expect(read(0x200)).toBe(READY);
    expect(device.contents(0x200, 20)).toEqual(
      Uint8Array.from([1, 2, 3, 4, 15].flatMap((n) => new Array<number>(4).fill(n * 0x11))),
    );
  });

  test("a buffer that is not confirmed, or too large, is a sequence error", () => {
    const { device, read, write } = flash();
    write(0x200, both(0xe8));
    write(0x200, both(0));
    write(0x200, 0);
    write(0x200, both(0xff));
    expect(read(0x200)).toBe(both(0xb0));
    write(0, both(0x50));
    write(0x200, both(0xe8));
    write(0x200, both(16));
    expect(read(0x200)).toBe(both(0xb0));
    expect(device.contents(0x200, 4)).toEqual(new Uint8Array(4).fill(0xff));
  });
});

test("an erased block is ones, the next one untouched", () => {
  const { device, read, write } = flash();
  device.load(new Uint8Array(2 * FLASH_BLOCK_SIZE), 0);
  write(0x80, both(0x20));
  write(0x80, both(0xd0));
  expect(read(0x80)).toBe(READY);
  write(0, READ_ARRAY);
  expect([read(0), read(FLASH_BLOCK_SIZE - 4), read(FLASH_BLOCK_SIZE)]).toEqual([0xffff_ffff, 0xffff_ffff, 0]);
});

test("an erase without its confirmation is a sequence error, and erases nothing", () => {
  const { device, read, write } = flash();
  device.load(new Uint8Array(16), 0);
  write(0, both(0x20));
  write(0, both(0x40));
  expect(read(0)).toBe(both(0xb0));
  write(0, both(0x50));
  write(0, both(0x70));
  expect(read(0)).toBe(READY);
  expect(device.contents(0, 16)).toEqual(new Uint8Array(16));
});

test("a locked block refuses to be programmed and erased, until it is unlocked", () => {
  const { device, read, write } = flash();
  const lock = (command: number) => {
    write(0, both(0x60));
    write(0, both(command));
  };
  lock(0x01);
  write(0, both(0x40));
  write(0, 0);
  expect(read(0)).toBe(both(0x92));
  write(0, both(0x50));
  write(0, both(0x20));
  write(0, both(0xd0));
  expect(read(0)).toBe(both(0xa2));
  write(0, both(0x90));
  expect([read(0), read(4), read(8)]).toEqual([both(0x89), both(0x18), both(1)]);
  lock(0xd0);
  write(0, both(0x40));
  write(0, 0);
  expect(device.contents(0, 4)).toEqual(new Uint8Array(4));
});

test("the query says what each chip is", () => {
  const { read, write } = flash();
  write(0x55 * 4, both(0x98));
  const query = (word: number) => read(word * 4) & 0xff;
  expect([0x10, 0x11, 0x12].map((word) => String.fromCharCode(query(word))).join("")).toBe("QRY");
  expect(query(0x13) | (query(0x14) << 8)).toBe(1); // Intel's command set
  const sizeOfChip = 2 ** query(0x27);
  const blocks = (query(0x2d) | (query(0x2e) << 8)) + 1;
  const sizeOfBlock = (query(0x2f) | (query(0x30) << 8)) * 256;
  expect([2 * sizeOfChip, blocks * sizeOfBlock, 2 * sizeOfBlock]).toEqual([SIZE, sizeOfChip, FLASH_BLOCK_SIZE]);
});

test("a reset leaves contents and locks, a snapshot holds them", () => {
  const { device, read, write } = flash();
  device.load(Uint8Array.of(1, 2, 3, 4), 0x300);
  write(0, both(0x60));
  write(0, both(0x01));
  write(0, both(0x98));
  device.reset();
  expect(read(0x300)).toBe(0x0403_0201);
  const other = restored(device, new NorFlash("flash", SIZE));
  expect(other.contents(0x300, 8)).toEqual(Uint8Array.of(1, 2, 3, 4, 255, 255, 255, 255));
  registersOf(other).write(0, both(0x90));
  expect(registersOf(other).read(8)).toBe(both(1));
});
