/**
 * PSCI's memory protection: whether the Host's memory is overwritten at the next boot, a word in NOR flash, and the ranges
 * that it is about. DEN0022, "MEM_PROTECT"; commands of the flash as JESD68.01's basic command set on two 16-bit chips.
 */
import { invariant, Pas } from "@realmbox/abi";
import type { MemoryRange, MemProtect, Pe } from "@realmbox/machine";

/** Each command goes to both chips. */
const FLASH = {
  READ_ARRAY: 0x00ff_00ff,
  UNLOCK_SETUP: 0x0060_0060,
  ERASE_SETUP: 0x0020_0020,
  PROGRAM_SETUP: 0x0040_0040,
  CONFIRM: 0x00d0_00d0,
};

export function isProtected(pe: Pe, { word }: MemProtect): boolean {
  const data = new Uint8Array(4);
  const fault = pe.port(Pas.ROOT).copyIn(word, data);
  invariant(fault === undefined, "the board's flash answers", word);
  return new DataView(data.buffer).getUint32(0, true) === 1;
}

/** An erased word is all ones; programming it with 1 or 0 needs no erase, going back from 0 to 1 does. */
export function setProtected(pe: Pe, { word }: MemProtect, on: boolean): void {
  const { UNLOCK_SETUP, ERASE_SETUP, PROGRAM_SETUP, CONFIRM, READ_ARRAY } = FLASH;
  const commands = [UNLOCK_SETUP, CONFIRM];
  if (on) commands.push(ERASE_SETUP, CONFIRM);
  commands.push(PROGRAM_SETUP, on ? 1 : 0, READ_ARRAY);
  const port = pe.port(Pas.ROOT);
  for (const command of commands) {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, command, true);
    const fault = port.copyOut(word, data);
    invariant(fault === undefined, "the board's flash answers", word);
  }
}

/** Whether all of a range, which is not empty, is in memory that MEM_PROTECT overwrites. */
export const isProtectable = ({ ranges }: MemProtect, { base, size }: MemoryRange): boolean =>
  size > 0n && ranges.some((range) => base >= range.base && base + size <= range.base + range.size);

/** Overwrites the protected ranges. The granule protection check is off, or they are Non-secure. */
export function overwriteProtected(pe: Pe, { ranges }: MemProtect): void {
  for (const { base, size } of ranges) {
    const fault = pe.port(Pas.NS).zero(base, Number(size));
    invariant(fault === undefined, "the protected ranges are memory", base);
  }
}
