/**
 * What the machine keeps about the levels of a PE while native firmware runs above them: it must be what it would find
 * anew, whatever the firmware has changed. The list of registers that decide this (INPUTS) is held against all registers.
 */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { GROUPS, LEVEL_SLOTS, R } from "../cpu/state.js";
import type { Processor } from "../processor.js";
import type { Firmware } from "../slot.js";
import { PSTATE, PSTATE_LO } from "../words.js";

const EL0T = 0;
const EL1H = 5;
const EL2H = 9;
const EL1H_PAN = EL1H | PSTATE.PAN;
const EL2H_PAN = EL2H | PSTATE.PAN;
const EL3H = 13;

const RW = 1n << 31n;
const VM = 1n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const SCR_NS = 0x0000_0050_1207_0531n;
const SCR_REALM = SCR_NS | (1n << 62n);

/** Where the firmware of these tests is: it never runs, the machine only finds it. */
const firmware: Firmware = { name: "firmware", image: new Uint8Array(0), step: () => ({ kind: "off" }) };

/** The LEVEL slots, but for KNOWN, which is a record's. */
const engineWords = ({ w }: Processor): number[] => [...w.slice(R.TLB_READ * 2, (R.TLB_READ + LEVEL_SLOTS - 1) * 2)];

/** The contexts of the present level, and the engine's words once they are known. */
function found(pe: Processor) {
  const { mmu } = pe.machine;
  const contexts = [mmu.current(pe), mmu.unprivileged(pe)];
  return { contexts, words: engineWords(pe) };
}

function goTo(pe: Processor, pstate: number): void {
  pe.w[PSTATE_LO] = pstate;
  pe.levelChanged();
}

/** Every bit of these groups that firmware could change and the levels stay what they are. */
function* bits(): Generator<{ slot: number; bit: bigint }> {
  for (const group of ["EL1", "EL2", "EL3"] as const) {
    const { first, count } = GROUPS[group];
    for (let slot = first; slot < first + count; slot++) {
      // SCR_EL3.NS and NSE choose the state, and with it whose firmware is native; GPCCR_EL3 and GPTBR_EL3 the GPT.
      if (slot === R.GPCCR_EL3 || slot === R.GPTBR_EL3) continue;
      for (let n = 0n; n < 64n; n++) {
        if (slot === R.SCR_EL3 && (n === 0n || n === 62n)) continue;
        yield { slot, bit: 1n << n };
      }
    }
  }
}

describe.each([
  { what: "a Realm under an RMM", scr: SCR_REALM, hcr: RW | VM | E2H, levels: [EL0T, EL1H, EL1H_PAN], above: EL2H },
  { what: "a guest under a Host", scr: SCR_NS, hcr: RW | VM | E2H, levels: [EL0T, EL1H, EL1H_PAN], above: EL2H },
  { what: "a Host with its processes", scr: SCR_NS, hcr: RW | E2H | TGE, levels: [EL0T, EL2H, EL2H_PAN], above: EL3H },
  { what: "a Host at EL2 alone", scr: SCR_NS, hcr: RW, levels: [EL2H, EL2H_PAN], above: EL3H },
])("$what", ({ scr, hcr, levels, above }) => {
  test("whichever register firmware changes, the levels are as if found anew", () => {
    const { machine, pe } = machineAt({ el: 3, state: SecurityState.ROOT });
    if (above === EL2H) {
      machine.install("ns-el2", firmware);
      machine.install("realm-el2", firmware);
    }
    machine.install("root-el3", firmware);
    const { r } = pe;
    r[R.SCR_EL3] = scr;
    r[R.HCR_EL2] = hcr;
    r[R.SCTLR_EL1] = 0x30d0_199dn;
    r[R.SCTLR_EL2] = 0x30c5_183dn;
    r[R.TCR_EL1] = r[R.TCR_EL2] = 0x5_b510_3510n;
    r[R.TTBR0_EL1] = r[R.TTBR0_EL2] = DRAM + 0x10_0000n;
    r[R.VTCR_EL2] = 0x8005_3558n;
    r[R.VTTBR_EL2] = DRAM + 0x20_0000n;
    r[R.CPACR_EL1] = 0x30_0000n;

    const problems: string[] = [];
    for (const level of levels) {
      for (const { slot, bit } of bits()) {
        const before = r[slot]!;
        goTo(pe, level);
        found(pe);
        goTo(pe, above);
        r[slot] = before ^ bit;
        goTo(pe, level);
        const kept = found(pe);
        machine.mmu.forgetLevels(pe);
        const anew = found(pe);
        const same = kept.contexts.every((context, i) => context === anew.contexts[i]);
        if (!same || kept.words.some((word, i) => word !== anew.words[i]))
          problems.push(`mode ${level}, slot ${slot}, bit ${bit.toString(16)}`);
        goTo(pe, above);
        r[slot] = before;
      }
    }
    expect(problems).toEqual([]);
  });

  test("nothing changed: the contexts are the same objects, and the engine's words are back", () => {
    const { machine, pe } = machineAt({ el: 3, state: SecurityState.ROOT });
    if (above === EL2H) {
      machine.install("ns-el2", firmware);
      machine.install("realm-el2", firmware);
    }
    machine.install("root-el3", firmware);
    pe.r[R.SCR_EL3] = scr;
    pe.r[R.HCR_EL2] = hcr;
    const known = levels.map((level) => {
      goTo(pe, level);
      return found(pe);
    });
    goTo(pe, above);
    levels.forEach((level, i) => {
      goTo(pe, level);
      expect(engineWords(pe)).toEqual(known[i]!.words);
      expect(found(pe).contexts).toEqual(known[i]!.contexts);
    });
  });
});
