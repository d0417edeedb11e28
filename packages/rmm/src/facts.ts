/**
 * What cold boot found out, decoded from the globals once and kept: memory stays the one that counts, and is compared with
 * what was decoded at each step, because a snapshot may have been restored meanwhile.
 */
import { GRANULE_SIZE } from "@realmbox/abi";
import { Globals, GlobalsLayout } from "./memory-map.js";
import { listRegisterCount } from "./rec/interrupts.js";
import type { Page } from "./views.js";

/** One of the manifest's DRAM banks; addresses as numbers. */
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
  private readonly words: Uint32Array;

  constructor(globals: Page) {
    const { bank_count, bank_base, bank_size, ich_vtr } = new Globals(0n, globals);
    let first = 0;
    this.banks = Array.from({ length: bank_count }, (_, i) => {
      const bank = { base: Number(bank_base[i]), end: Number(bank_base[i]! + bank_size[i]!), first };
      first += (bank.end - bank.base) / GRANULE_SIZE;
      return bank;
    });
    this.ichVtr = ich_vtr;
    this.listRegisters = listRegisterCount(ich_vtr);
    this.words = globals.u32.slice(0, WORDS);
  }

  /** Whether the globals still say so. */
  holdFor({ u32 }: Page): boolean {
    for (let i = 0; i < WORDS; i++) if (u32[i] !== this.words[i]) return false;
    return true;
  }
}
