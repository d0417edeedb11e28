import { Pas, SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { machineAt, type PeAt } from "../test-support/pe-at.js";
import { R } from "./cpu/state.js";
import type { Fault } from "./fault.js";
import { accessSyndrome, takeAbort } from "./syndrome.js";

const RW = 1n << 31n;
const TGE = 1n << 27n;
const TEA = 1n << 37n;
const HCR_GPF = 1n << 48n;
const SCR_EA = 1n << 3n;
const SCR_GPF = 1n << 48n;

describe("instruction syndrome of data aborts (ISV, SAS, SSE, SRT, SF, AR)", () => {
  const iss = (sas: number, sse: number, srt: number, sf: number, ar = 0) =>
    (1 << 24) | (sas << 22) | (sse << 21) | (srt << 16) | (sf << 15) | (ar << 14);
  // Words from the GNU assembler.
  test.each([
    { text: "ldr x7, [x0]", insn: 0xf9400007, expected: iss(3, 0, 7, 1) },
    { text: "ldr w7, [x0, #8]", insn: 0xb9400807, expected: iss(2, 0, 7, 0) },
    { text: "ldrb w3, [x0, x1]", insn: 0x38616803, expected: iss(0, 0, 3, 0) },
    { text: "ldrsb x3, [x0]", insn: 0x39800003, expected: iss(0, 1, 3, 1) },
    { text: "ldrsb w3, [x0]", insn: 0x39c00003, expected: iss(0, 1, 3, 0) },
    { text: "ldrsh x4, [x0]", insn: 0x79800004, expected: iss(1, 1, 4, 1) },
    { text: "ldrsw x4, [x0, w1, uxtw #2]", insn: 0xb8a15804, expected: iss(2, 1, 4, 1) },
    { text: "ldursw x4, [x0, #-3]", insn: 0xb89fd004, expected: iss(2, 1, 4, 1) },
    { text: "strh wzr, [x0]", insn: 0x7900001f, expected: iss(1, 0, 31, 0) },
    { text: "stur x2, [x0, #1]", insn: 0xf8001002, expected: iss(3, 0, 2, 1) },
    { text: "ldtrh w5, [x0]", insn: 0x78400805, expected: iss(1, 0, 5, 0) },
    { text: "sttr x5, [x0]", insn: 0xf8000805, expected: iss(3, 0, 5, 1) },
    { text: "ldar w6, [x0]", insn: 0x88dffc06, expected: iss(2, 0, 6, 0, 1) },
    { text: "stlrb w6, [x0]", insn: 0x089ffc06, expected: iss(0, 0, 6, 0, 1) },
    { text: "ldr x9, <literal>", insn: 0x58000009, expected: iss(3, 0, 9, 1) },
    { text: "ldr w9, <literal>", insn: 0x18000009, expected: iss(2, 0, 9, 0) },
    { text: "ldrsw x9, <literal>", insn: 0x98000009, expected: iss(2, 1, 9, 1) },
    { text: "ldr x7, [x0], #8", insn: 0xf8408407, expected: 0 },
    { text: "str x7, [x0, #8]!", insn: 0xf8008c07, expected: 0 },
    { text: "ldp x1, x2, [x0]", insn: 0xa9400801, expected: 0 },
    { text: "ldxr x1, [x0]", insn: 0xc85f7c01, expected: 0 },
    { text: "stlxr w3, x1, [x0]", insn: 0xc803fc01, expected: 0 },
    { text: "cas x1, x2, [x0]", insn: 0xc8a17c02, expected: 0 },
    { text: "ldadd x1, x2, [x0]", insn: 0xf8210002, expected: 0 },
    { text: "swp w1, w2, [x0]", insn: 0xb8218002, expected: 0 },
    { text: "ldr d1, [x0]", insn: 0xfd400001, expected: 0 },
    { text: "dc zva, x0", insn: 0xd50b7420, expected: 0 },
  ])("$text", ({ insn, expected }) => {
    expect(accessSyndrome(insn >>> 0)).toBe(expected);
  });
});

/** What the abort of a load (or fetch) leaves: target, ESR, and the registers beside it. */
function abort(
  fault: Fault,
  at: PeAt & { scr?: bigint },
  info: { fetch?: boolean; write?: boolean; insn?: number } = {},
) {
  const { pe } = machineAt(at);
  pe.r[R.SCR_EL3] |= at.scr ?? 0n;
  takeAbort(pe, fault, {
    lo: 0x1234,
    hi: 0x5_0000 | 0,
    fetch: info.fetch ?? false,
    write: info.write ?? false,
    insn: info.insn ?? 0xf9400007,
    flags: 0,
  });
  const esr = [0n, pe.r[R.ESR_EL1], pe.r[R.ESR_EL2], pe.r[R.ESR_EL3]][pe.el]!;
  const far = [0n, pe.r[R.FAR_EL1], pe.r[R.FAR_EL2], pe.r[R.FAR_EL3]][pe.el]!;
  return { to: pe.el, esr: Number(esr), far, hpfar: pe.r[R.HPFAR_EL2]!, mfar: pe.r[R.MFAR_EL3]! };
}

const FAR = 0x5_0000_0000_1234n;
const stage = (fault: Fault["fault"], n: 0 | 1 | 2, level: number, more: Partial<Fault> = {}): Fault => ({
  fault,
  stage: n,
  level,
  onWalk: false,
  s1ptw: false,
  ...more,
});
const registers = { HCR_EL2: RW };

describe("target and class", () => {
  test.each([
    { name: "stage 1 from EL0", fault: stage("translation", 1, 3), at: { el: 0, registers }, to: 1, esr: 0x9200_0007 },
    { name: "stage 1 from EL1", fault: stage("permission", 1, 2), at: { el: 1, registers }, to: 1, esr: 0x9600_000e },
    {
      name: "stage 1 from EL0, TGE",
      fault: stage("access-flag", 1, 1),
      at: { el: 0, registers: { HCR_EL2: RW | TGE } },
      to: 2,
      esr: 0x9200_0009,
    },
    {
      name: "stage 2",
      fault: stage("translation", 2, 3, { ipa: 0x12_3456_7000n }),
      at: { el: 1, registers },
      to: 2,
      esr: 0x93c7_8007,
    },
    {
      name: "stage 2 of a walk",
      fault: stage("permission", 2, 1, { ipa: 0x12_3456_7000n, s1ptw: true }),
      at: { el: 1, registers },
      to: 2,
      esr: 0x9200_008d,
    },
    { name: "external", fault: stage("external", 0, 0), at: { el: 1, registers }, to: 1, esr: 0x9600_0010 },
    {
      name: "external, TEA",
      fault: stage("external", 0, 0),
      at: { el: 1, registers: { HCR_EL2: RW | TEA } },
      to: 2,
      esr: 0x9200_0010,
    },
    {
      name: "external, SCR_EL3.EA",
      fault: stage("external", 0, 0),
      at: { el: 2, registers, scr: SCR_EA },
      to: 3,
      esr: 0x9200_0010,
    },
    {
      name: "external on a stage-1 walk",
      fault: stage("external", 1, 2, { onWalk: true }),
      at: { el: 1, registers },
      to: 1,
      esr: 0x9600_0016,
    },
    {
      name: "external on a stage-2 walk",
      fault: stage("external", 2, 1, { onWalk: true, ipa: 0n }),
      at: { el: 1, registers },
      to: 2,
      esr: 0x9200_0015,
    },
    { name: "alignment at EL2", fault: stage("alignment", 1, 0), at: { el: 2, registers }, to: 2, esr: 0x9600_0021 },
    { name: "at EL3", fault: stage("translation", 1, 0), at: { el: 3, registers }, to: 3, esr: 0x9600_0004 },
  ] as const)("$name", ({ fault, at, to, esr }) => {
    const found = abort(fault, at as PeAt);
    expect({ to: found.to, esr: found.esr }).toEqual({ to, esr });
    expect(found.far).toBe(FAR);
    if (fault.stage === 2 && fault.ipa) expect(found.hpfar).toBe((fault.ipa >> 12n) << 4n);
  });

  test("an instruction abort has no syndrome and no WnR", () => {
    const found = abort(
      stage("translation", 2, 3, { ipa: 0x1000n }),
      { el: 1, registers },
      { fetch: true, write: true },
    );
    expect(found).toMatchObject({ to: 2, esr: 0x8200_0007, hpfar: 0x10n });
  });

  test("HPFAR_EL2.NS: only for Non-secure IPAs of Secure state", () => {
    const fault = stage("translation", 2, 3, { ipa: 0x1000n, pas: Pas.NS });
    expect(abort(fault, { el: 1, state: SecurityState.SECURE, registers }).hpfar).toBe(0x8000_0000_0000_0010n);
    expect(abort(fault, { el: 1, state: SecurityState.NON_SECURE, registers }).hpfar).toBe(0x10n);
  });
});

describe("granule protection", () => {
  const gpf = (more: Partial<Fault> = {}): Fault =>
    stage("granule-protection", 0, 0, { gptLevel: 1, pa: 0x8123_4008n, pas: Pas.REALM, ...more });
  test.each([
    { name: "GPF from EL1", fault: gpf(), at: { el: 1, registers }, to: 1, esr: 0x9600_0028 },
    { name: "GPF from EL0", fault: gpf(), at: { el: 0, registers }, to: 1, esr: 0x9200_0028 },
    {
      name: "GPF from EL1, HCR_EL2.GPF",
      fault: gpf(),
      at: { el: 1, registers: { HCR_EL2: RW | HCR_GPF } },
      to: 2,
      esr: 0x9200_0028,
    },
    {
      name: "GPF from EL0, TGE",
      fault: gpf(),
      at: { el: 0, registers: { HCR_EL2: RW | TGE } },
      to: 2,
      esr: 0x9200_0028,
    },
    { name: "GPF from EL2", fault: gpf(), at: { el: 2, registers }, to: 2, esr: 0x9600_0028 },
    { name: "GPF from EL3", fault: gpf(), at: { el: 3, registers, scr: SCR_GPF }, to: 3, esr: 0x9600_0028 },
    {
      name: "GPF on a stage-1 walk",
      fault: gpf({ stage: 1, level: 2, onWalk: true }),
      at: { el: 1, registers },
      to: 1,
      esr: 0x9600_0026,
    },
    {
      name: "GPF on a stage-2 walk",
      fault: gpf({ stage: 2, level: 3, onWalk: true, ipa: 0x5000n }),
      at: { el: 1, registers },
      to: 2,
      esr: 0x9200_0027,
    },
    // With SCR_EL3.GPF all become GPC exceptions: GPCSC 0x0D, here.
    {
      name: "GPF from EL1, SCR_EL3.GPF",
      fault: gpf(),
      at: { el: 1, registers, scr: SCR_GPF },
      to: 3,
      esr: 0x7a03_4028,
    },
    {
      name: "GPF on a stage-2 walk of a walk, SCR_EL3.GPF",
      fault: gpf({ stage: 2, level: 2, onWalk: true, s1ptw: true, ipa: 0x5000n }),
      at: { el: 1, registers, scr: SCR_GPF },
      to: 3,
      esr: 0x7a23_40a6,
    },
    {
      name: "GPT walk fault, always EL3",
      fault: gpf({ fault: "gpt-walk", gptLevel: 0 }),
      at: { el: 2, registers },
      to: 3,
      esr: 0x7a01_0028,
    },
    {
      name: "GPT address size fault",
      fault: gpf({ fault: "gpt-address-size", gptLevel: 0 }),
      at: { el: 1, registers },
      to: 3,
      esr: 0x7a00_0028,
    },
    {
      name: "external abort on a GPT fetch",
      fault: gpf({ fault: "gpt-external", gptLevel: 1 }),
      at: { el: 1, registers },
      to: 3,
      esr: 0x7a05_4028,
    },
  ] as const)("$name", ({ fault, at, to, esr }) => {
    const found = abort(fault, at as PeAt);
    expect({ to: found.to, esr: found.esr }).toEqual({ to, esr });
    if (to === 3 && esr >>> 26 === 0x1e) {
      // PA of the granule, {NSE, NS} = Realm.
      expect(found.mfar).toBe(0xc000_0000_8123_4000n);
    }
    if (fault.stage === 2) expect(found.hpfar).toBe(0x50n);
  });

  test("InD and WnR of a GPC exception", () => {
    const at = { el: 1, registers, scr: SCR_GPF } as const;
    expect(abort(gpf(), at, { fetch: true }).esr).toBe(0x7a13_4028);
    expect(abort(gpf(), at, { write: true }).esr).toBe(0x7a03_4068);
  });
});
