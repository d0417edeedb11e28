/**
 * What cold boot found out, decoded from the globals once and kept: memory stays the one that counts, and is compared with
 * what was decoded at each step, because a snapshot may have been restored meanwhile.
 */
import { GRANULE_SIZE } from "@realmbox/abi";
import { Globals, GlobalsLayout } from "./memory-map.js";
import { listRegisterCount } from "./rec/interrupts.js";
import type { Page } from "./views.js";

/** One of the manifest's DRAM banks; its ends as frame numbers. */
export interface Bank {
  readonly base: number;
  readonly end: number;
  /** Index of its first granule in the granule table. */
  readonly first: number;
}

/** 32-bit words of the globals that are decoded: all that are used. */
const WORDS = (GlobalsLayout.fields.platform_token_size.offset + 4) / 4;

export class Facts {
  readonly banks: readonly Bank[];
  readonly ichVtr: bigint;
  readonly listRegisters: number;
  private readonly words: Int32Array;

  constructor(globals: Page) {
    const { bank_count, bank_base, bank_size, ich_vtr } = globals.as(Globals);
    let first = 0;
    this.banks = Array.from({ length: bank_count }, (_, i) => {
      const base = Number(bank_base[i]!) / GRANULE_SIZE;
      const bank = { base, end: base + Number(bank_size[i]!) / GRANULE_SIZE, first };
      first += bank.end - bank.base;
      return bank;
    });
    this.ichVtr = ich_vtr;
    this.listRegisters = listRegisterCount(ich_vtr);
    this.words = globals.i32.slice(0, WORDS);
  }

  /** Whether the globals still say so. */
  holdFor({ i32 }: Page): boolean {
    for (let i = 0; i < WORDS; i++) if (i32[i] !== this.words[i]) return false;
    return true;
  }
}
