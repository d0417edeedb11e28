/**
 * The syndrome of every load and store at a stage-2 fault: ISV, SAS, SSE, SRT, SF, AR, WnR, and that nothing else has
 * changed. DDI 0487, "ISS encoding for an exception from a Data Abort".
 */
import { disassemble } from "../../../packages/machine/src/cpu/disassemble.js";
import { encode } from "../../../packages/machine/src/cpu/encode.js";
import { ROWS } from "../../../packages/machine/src/cpu/rows/index.js";
import { fieldsOf, type Row } from "../../../packages/machine/src/cpu/rows/row.js";
import { Random } from "../../oracle/random.js";
import { type Bench, type Case, DEFAULTS, HCR, mapRunner, NORMAL, SCTLR, tcr, vtcr } from "../case.js";
import { smc, svc } from "../encoding.js";
import { CODE, DATA } from "../layout.js";
import type { Cpu } from "../run-qemu.js";
import { mapRunner2 } from "./stage2.js";

const VA = 0x12_3456_7000n;
const IPA = 0x7_2345_6000n;
const VARIANTS = 3;

const isAccess = ({ group, name }: Row): boolean =>
  ["load-store", "simd-load-store", "exclusive", "atomic"].includes(group) && !name.startsWith("PRF");

/** A word of a row whose address is `base` + `offset`, and the general registers that make it so. */
export interface Access {
  readonly word: number;
  readonly registers: Readonly<Record<number, bigint>>;
}

/** log2 of the bytes that a register offset or an unsigned one is scaled by. */
const sizeOf = (row: Row, word: number): number =>
  row.fp ? "BHSDQ".indexOf(row.name.split(", ")[1]?.[0] ?? "B") : (word >>> 30) & 3;

/** Random operands of a row; its address is `va`. The base is never a register that is transferred. */
export function accessOf(row: Row, va: bigint, pc: number, random: Random): Access {
  for (;;) {
    const fields: Record<string, number> = {};
    for (const [name, { width, signed }] of Object.entries(row.fields))
      fields[name] = signed ? random.field(width) - (random.oneIn(2) ? 2 ** (width - 1) : 0) : random.field(width);
    if ("n" in fields) fields.n = random.below(31);
    for (const name of row.fp ? ["m"] : ["t", "u", "s", "m"])
      if (fields[name] !== undefined && fields[name] === fields.n) fields[name] = 31;
    if (/^CASP/.test(row.name)) {
      fields.s &= 30;
      fields.t &= 30;
      if (fields.s === (fields.n & 30) || fields.t === (fields.n & 30)) continue;
    }
    if (/literal/.test(row.name)) fields.i = Number(va - BigInt(pc)) / 4;
    for (const [name, { width, signed }] of Object.entries(row.fields))
      if (signed) fields[name] = ((fields[name] << (32 - width)) >> (32 - width)) | 0;
    if (row.allocated && !row.allocated(fields)) continue;
    if (row.unpredictable?.(fields)) continue;
    const word = encode(row, fields);
    const again = fieldsOf(row, word);
    const registers: Record<number, bigint> = {};
    let base = va;
    const size = sizeOf(row, word);
    if (/unsigned offset/.test(row.name)) base -= BigInt(again.i) << BigInt(size);
    else if (
      /unscaled|unprivileged|LDUR, |STUR, /.test(row.name) ||
      (/pre-index/.test(row.name) && !/P, /.test(row.name) && !/LDPSW/.test(row.name))
    )
      base -= BigInt(again.i);
    else if (
      /signed offset|non-temporal|LDNP, |STNP, /.test(row.name) ||
      (/pre-index/.test(row.name) && /(P, |LDPSW)/.test(row.name))
    )
      base -= BigInt(again.i) << BigInt(row.fp ? size : /, X/.test(row.name) && !/LDPSW/.test(row.name) ? 3 : 2);
    else if (/\(register\)/.test(row.name)) {
      const index = again.m === 31 ? 0n : random.oneIn(2) ? BigInt(random.below(0x1000)) : random.u64();
      if (again.m !== 31) registers[again.m] = index;
      const extended = [
        BigInt.asUintN(32, index),
        BigInt.asUintN(64, index),
        BigInt.asIntN(32, index),
        BigInt.asUintN(64, index),
      ][again.e & 3];
      base -= extended << BigInt(again.s ? size : 0);
    }
    if (again.n !== undefined) registers[again.n] = BigInt.asUintN(64, base);
    return { word, registers };
  }
}

const worlds = {
  /** The page is not mapped at stage 2. */
  "stage-2 translation": (b: Bench) => twoStages(b, undefined),
  "stage-2 permission, read-only": (b: Bench) => twoStages(b, 1),
  "stage-2 permission, none": (b: Bench) => twoStages(b, 0),
  "stage-1 translation": (b: Bench) => oneStage(b, undefined),
  "stage-1 permission, read-only": (b: Bench) => oneStage(b, 3),
} as const;

function twoStages(b: Bench, s2ap: number | undefined): void {
  const first = b.tree(48);
  mapRunner(first);
  first.map(VA, IPA, { attr: NORMAL, ap: 1 });
  first.map(BigInt(DATA), IPA, { attr: NORMAL, ap: 1 });
  const second = b.tree(40, 1);
  mapRunner2(second);
  if (s2ap !== undefined) second.map2(IPA, DATA, { s2ap });
  b.install(first, second);
  b.set({
    HCR_EL2: HCR.RW | HCR.VM,
    VTCR_EL2: vtcr(),
    VTTBR_EL2: BigInt(second.root),
    TTBR0_EL1: BigInt(first.root),
    TCR_EL1: tcr(),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M,
  });
}

function oneStage(b: Bench, ap: number | undefined): void {
  const first = b.tree(48);
  mapRunner(first);
  if (ap !== undefined) for (const va of [VA, BigInt(DATA)]) first.map(va, DATA, { attr: NORMAL, ap });
  b.install(first);
  b.set({ TTBR0_EL1: BigInt(first.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M });
}

const random = new Random(20);

/** Loads with authentication; its keys are not enabled, so that each is a load. */
const isAuthenticated = ({ name }: Row): boolean => name.startsWith("LDRA");

const casesOf = (cpu: Cpu, rows: readonly Row[]): Case[] =>
  Object.entries(worlds).flatMap(([world, build]) =>
    (["EL0", "EL1"] as const).map((level): Case => {
      const accesses = rows.flatMap((row) =>
        Array.from({ length: VARIANTS }, (_, i) => {
          const at = CODE + 0x400 + i * 16;
          // Aligned to what the widest access needs, so that exclusives and atomics get as far as the fault.
          const va = /literal/.test(row.name) ? BigInt(DATA) + 0x20n : VA + BigInt(random.below(0xff) * 16);
          return { at, ...accessOf(row, va, at, random) };
        }),
      );
      return {
        name: `${world} at ${level}`,
        cpu,
        run: (b) => {
          build(b);
          if (cpu === "max") {
            const vm = world.startsWith("stage-2") ? HCR.VM : 0n;
            b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | (1n << 17n), HCR_EL2: HCR.RW | vm | (1n << 41n) }); // API in both
          }
          b.allow({
            field: /^STXR|STLXR|STXP|STLXP|stxr|stlxr|stxp|stlxp/,
            why: "DDI 0487, AArch64.ExclusiveMonitorsPass: with an open monitor it is IMPLEMENTATION DEFINED whether a store-exclusive detects the abort",
          });
          for (const { at, word, registers } of accesses) {
            const { program } = b;
            program.clear();
            program.code([word, level === "EL0" ? svc(0x50) : smc(0)], at);
            b.x(registers);
            program.step(disassemble(word, BigInt(at)));
            b.enter(level, { pc: at, registers: 31 });
            program.step("");
          }
        },
      };
    }),
  );

const all = ROWS.filter(isAccess);
export const syndromeCases: readonly Case[] = [
  ...casesOf(
    "neoverse-n1",
    all.filter((row) => !isAuthenticated(row)),
  ),
  ...casesOf("max", all.filter(isAuthenticated)),
];
