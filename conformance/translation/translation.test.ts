/**
 * Translation, faults and syndromes at EL0, EL1 and EL2 against QEMU: every descriptor of a set, under several register
 * settings, by every kind of access. QEMU gives the expectation; where it deviates from the architecture on purpose, the
 * case is left out, and the reason is beside it.
 */
import { expect, test } from "vitest";
import { D } from "../../packages/machine/test-support/tables.js";
import {
  type Access,
  CASE_REGISTERS,
  CASE_WORDS,
  CASES,
  type CaseRegister,
  CODE,
  PATTERN,
  program,
  RECORD_FIELDS,
  RECORD_WORDS,
} from "./image.js";
import { qemuVersion, runMachine, runQemu } from "./run.js";

interface Case {
  readonly name: string;
  readonly va: bigint;
  readonly access: Access;
  readonly spsr: bigint;
  readonly registers: Readonly<Partial<Record<CaseRegister, bigint>>>;
}

const EL0 = 0x3c0n;
const EL1 = 0x3c5n;
const EL2 = 0x3c9n;
const PAN = 1n << 22n;

/** Memory of the image beyond its code: tables from here, then pages that are accessed. */
const TABLES = 0x4030_0000n;
const END = 0x4080_0000n;
const TARGETS = 0x4060_0000n;

/** An image under construction: 64-bit words by physical address. */
class ImageBuilder {
  readonly bytes = new Uint8Array(Number(END - CODE));
  private readonly view = new DataView(this.bytes.buffer);
  private table = TABLES;
  private target = TARGETS;

  poke(pa: bigint, value: bigint): void {
    this.view.setBigUint64(Number(pa - CODE), BigInt.asUintN(64, value), true);
  }

  peek(pa: bigint): bigint {
    return this.view.getBigUint64(Number(pa - CODE), true);
  }

  newTable(pages = 1n): bigint {
    const at = (this.table + 0x1000n * pages - 1n) & ~(0x1000n * pages - 1n);
    this.table = at + 0x1000n * pages;
    return at;
  }

  /** A page that holds the pattern. */
  newTarget(): bigint {
    const at = this.target;
    this.target += 0x1000n;
    for (let i = 0n; i < 512n; i++) this.poke(at + i * 8n, PATTERN);
    return at;
  }

  /** Maps an address in tables rooted at `root`, whose first level is `start`. */
  map(
    root: bigint,
    start: number,
    address: bigint,
    leaf: bigint,
    options: { level?: number; tableBits?: bigint } = {},
  ): void {
    const { level = 3, tableBits = 0n } = options;
    let table = root;
    for (let at = start; at < level; at++) {
      const entry = table + index(address, at, at === start) * 8n;
      if (this.peek(entry) === 0n) this.poke(entry, this.newTable() | D.TABLE | tableBits);
      table = this.peek(entry) & 0xffff_ffff_f000n;
    }
    this.poke(table + index(address, level, level === start) * 8n, leaf);
  }
}

function index(address: bigint, level: number, first: boolean): bigint {
  const bits = BigInt(39 - 9 * level);
  const width = first ? 12n : 9n;
  return ((address & 0xffff_ffff_ffffn) >> bits) & ((1n << width) - 1n);
}

const RW_EL0 = D.AF | D.AP_EL0 | D.PAGE | D.ATTR(0);
/** Read-only for all: the one page attribute that EL0, EL1 and EL2 can all execute. */
const CODE_PAGE = D.AF | D.AP_EL0 | D.AP_RO | D.ATTR(0);
const MAIR = 0x00_44_04_ffn; // 0 Write-Back, 1 Device-nGnRE, 2 Non-cacheable, 3 Device-nGnRnE
const TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n); // T0SZ, T1SZ = 16; TG1 4 KiB; IPS 48 bits
const SCTLR = 0x30d0_0801n | (1n << 26n) | (1n << 15n) | (1n << 14n); // M, UCI, UCT, DZE
const HCR_RW = 1n << 31n;
const HCR_VM = HCR_RW | 1n;
const VTCR = 24n | (1n << 6n) | (1n << 31n) | (5n << 16n) | (3n << 12n); // 40-bit IPA from level 1, two root tables

/** Stage-1 descriptors at level 3, each at a page of its own. */
const PAGES: Readonly<Record<string, (pa: bigint) => bigint>> = {
  "EL0 RW": (pa) => pa | RW_EL0,
  "EL0 RO": (pa) => pa | RW_EL0 | D.AP_RO,
  "EL1 RW": (pa) => pa | D.AF | D.PAGE,
  "EL1 RO": (pa) => pa | D.AF | D.PAGE | D.AP_RO,
  "EL0 RW UXN": (pa) => pa | RW_EL0 | D.UXN,
  "EL0 RO UXN": (pa) => pa | RW_EL0 | D.AP_RO | D.UXN,
  "EL0 RO PXN": (pa) => pa | RW_EL0 | D.AP_RO | D.PXN,
  "EL1 RO UXN PXN": (pa) => pa | D.AF | D.PAGE | D.AP_RO | D.UXN | D.PXN,
  "no AF": (pa) => (pa | RW_EL0) & ~D.AF,
  invalid: () => 0n,
  "reserved type": (pa) => (pa | RW_EL0) & ~2n,
  "output too big": () => 0x8000_0000_0000n | RW_EL0,
};

/** Hierarchical bits of the tables above a page that allows everything EL0 RO can. */
const TABLE_BITS: Readonly<Record<string, bigint>> = {
  "APTable no EL0": D.AP_TABLE_NO_EL0,
  "APTable read-only": D.AP_TABLE_RO,
  PXNTable: D.PXN_TABLE,
  UXNTable: D.UXN_TABLE,
};

/** Stage-2 descriptors of the IPA that an EL0 RW page of stage 1 maps to. */
const IPA_PAGES: Readonly<Record<string, (pa: bigint) => bigint>> = {
  "S2 RW": (pa) => pa | D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE,
  "S2 RO": (pa) => pa | D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ,
  "S2 WO": (pa) => pa | D.AF | D.PAGE | D.S2_NORMAL | D.S2_WRITE,
  "S2 none": (pa) => pa | D.AF | D.PAGE | D.S2_NORMAL,
  "S2 XN": (pa) => pa | D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE | D.S2_XN,
  "S2 no AF": (pa) => pa | D.PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE,
  "S2 invalid": () => 0n,
  "S2 reserved type": (pa) => pa | D.AF | 1n,
  "S2 output too big": () => 0x8000_0000_0000n | D.AF | D.PAGE | D.S2_NORMAL | D.S2_READ | D.S2_WRITE,
};

const DATA: readonly Access[] = ["ldr", "str", "fetch"];
const LOADS_AND_STORES: readonly Access[] = [
  ...(["ldr", "str", "ldrb", "ldrshX", "ldrsbW", "ldrsw", "ldrW", "strhW", "strzr", "ldur", "ldrRegister"] as const),
  ...(["ldrPost", "ldrPre", "ldp", "stp", "ldxr", "ldar", "ldarb", "stlr", "ldtr", "sttr"] as const),
];
// QEMU translates nothing for DC CVAC and DC IVAC: their faults are in mmu.test.ts, from the architecture.
const MAINTENANCE: readonly Access[] = ["zva"];

function build(): { image: Uint8Array; cases: readonly Case[] } {
  const image = new ImageBuilder();
  const cases: Case[] = [];
  const ttbr0 = image.newTable();
  const ttbr1 = image.newTable();
  const vttbr = image.newTable(2n);
  const base = { SCTLR_EL1: SCTLR, TCR_EL1: TCR, TTBR0_EL1: ttbr0, TTBR1_EL1: ttbr1, MAIR_EL1: MAIR, HCR_EL2: HCR_RW };
  const both = { ...base, HCR_EL2: HCR_VM, VTCR_EL2: VTCR, VTTBR_EL2: vttbr };

  // The code at its own address; stage 2 maps the image's memory likewise.
  image.map(ttbr0, 0, CODE, CODE | CODE_PAGE | D.PAGE);
  for (let at = 0x1000n; at < 0x8000n; at += 0x1000n) image.map(ttbr0, 0, CODE + at, (CODE + at) | CODE_PAGE | D.PAGE);
  const s2Leaf = D.AF | D.S2_NORMAL | D.S2_READ | D.S2_WRITE;
  for (let pa = 0x4000_0000n; pa < 0x4100_0000n; pa += 0x20_0000n) {
    image.map(vttbr, 1, pa, pa | s2Leaf | D.BLOCK, { level: 2 });
  }

  let page = 0n;
  const add = (
    name: string,
    va: bigint,
    accesses: readonly Access[],
    registers: Case["registers"],
    els = [EL0, EL1],
  ) => {
    for (const access of accesses) {
      for (const spsr of els)
        cases.push({ name: `${name}, ${access} from 0x${spsr.toString(16)}`, va, access, spsr, registers });
    }
  };
  const nextVa = () => 0x5_0000_0000n + 0x1000n * page++;

  // Stage 1, level 3, in both ranges.
  for (const [name, leaf] of Object.entries(PAGES)) {
    const va = nextVa();
    const high = 0xffff_8000_0000_0000n + 0x1000n * page;
    const pa = image.newTarget();
    image.map(ttbr0, 0, va, leaf(pa));
    image.map(ttbr1, 0, high, leaf(pa));
    add(name, va, DATA, base);
    add(`${name}, high`, high, DATA, base);
    add(`${name}, WXN`, va, DATA, { ...base, SCTLR_EL1: SCTLR | (1n << 19n) });
    add(`${name}, PAN`, va, ["ldr", "str", "fetch", "ldtr", "sttr"], base, [EL1 | PAN]);
    add(name, va, ["ldtr", "sttr", "ldar", "ldxr", ...MAINTENANCE], base, [EL1]);
    add(name, va, ["ldtr", "zva"], base, [EL0]);
    add(name, va, ["atS1E1R", "atS1E1W", "atS1E0R"], base, [EL1]);
  }
  // Hierarchical permissions, honoured and disabled (HPD0).
  for (const [name, tableBits] of Object.entries(TABLE_BITS)) {
    const va = 0x10_0000_0000n + 0x4000_0000n * page++;
    for (const [n, leaf] of [RW_EL0, RW_EL0 | D.AP_RO].entries()) {
      const at = va + BigInt(n) * 0x1000n;
      image.map(ttbr0, 0, at, image.newTarget() | leaf, { tableBits });
      add(`${name} ${n}`, at, DATA, base);
      add(`${name} ${n}, HPD`, at, DATA, { ...base, TCR_EL1: TCR | (1n << 41n) });
    }
  }
  // Blocks and tables at each level; what is reserved there.
  const levels: [string, number, bigint][] = [
    ["2 MiB block", 2, 0x4060_0000n | (RW_EL0 & ~2n)],
    ["1 GiB block", 1, 0x4000_0000n | (RW_EL0 & ~2n)],
    // No block at level 0: QEMU 7.2 does not check that the type is reserved there.
    ["invalid at level 2", 2, 0n],
    ["invalid at level 1", 1, 0n],
    ["invalid at level 0", 0, 0n],
    ["table address too big at level 2", 2, 0x8000_0000_0000n | D.TABLE],
    ["table address too big at level 1", 1, 0x8000_0000_0000n | D.TABLE],
    ["table address too big at level 0", 0, 0x8000_0000_0000n | D.TABLE],
    ["block without AF", 2, (0x4060_0000n | RW_EL0) & ~2n & ~D.AF],
    ["read-only block", 2, (0x4060_0000n | RW_EL0 | D.AP_RO) & ~2n],
  ];
  for (const [n, [name, level, leaf]] of levels.entries()) {
    const va = 0x1000_0000_0000n + BigInt(n) * 0x80_0000_0000n + 0x60_0000n;
    image.map(ttbr0, 0, va, leaf, { level });
    add(name, va, DATA, { ...base, TCR_EL1: (TCR & ~(7n << 32n)) | (4n << 32n) });
    add(`${name}, stage 2`, va, ["ldr"], { ...both, TCR_EL1: (TCR & ~(7n << 32n)) | (4n << 32n) });
  }
  // Ranges: outside of both, EPD, smaller sizes, tags, E0PD-free.
  const mapped = nextVa();
  image.map(ttbr0, 0, mapped, image.newTarget() | RW_EL0);
  add("tagged", mapped | (0xa5n << 56n), DATA, base);
  add("tagged, TBI0", mapped | (0xa5n << 56n), ["ldr", "str"], { ...base, TCR_EL1: TCR | (1n << 37n) });
  add("tagged fault, TBI0", (mapped + 0x10_0000_0000n) | (0xa5n << 56n), ["ldr"], {
    ...base,
    TCR_EL1: TCR | (1n << 37n),
  });
  add("between the ranges", 0x0001_0000_0000_0000n, DATA, base);
  add("between the ranges, high", 0xfffe_0000_0000_0000n, DATA, base);
  add("EPD1", 0xffff_8000_0000_0000n, ["ldr"], { ...base, TCR_EL1: TCR | (1n << 23n) });
  add("IPS 32 bits, table within", mapped, ["ldr"], { ...base, TCR_EL1: TCR & ~(7n << 32n) });
  for (const tsz of [25n, 28n, 34n, 39n]) {
    // A root of its own for each size: the first level and its entries follow from it.
    const start = Number(4n - (64n - tsz - 12n + 8n) / 9n);
    const root = image.newTable();
    const va = 0x5000n;
    image.map(root, start, va, image.newTarget() | RW_EL0);
    for (let at = 0n; at < 0x8000n; at += 0x1000n) {
      if (64n - tsz > 31n) image.map(root, start, CODE + at, (CODE + at) | CODE_PAGE | D.PAGE);
    }
    if (64n - tsz <= 31n) continue; // the code would not be mapped
    const registers = { ...base, TTBR0_EL1: root, TCR_EL1: (TCR & ~0x3fn) | tsz };
    add(`T0SZ ${tsz}`, va, DATA, registers);
    add(`T0SZ ${tsz}, just outside`, 1n << (64n - tsz), ["ldr"], registers);
  }
  // Stage 1 off.
  add("stage 1 off", 0x4060_0000n, DATA, { ...base, SCTLR_EL1: SCTLR & ~1n });
  // QEMU's `max` has 52-bit physical addresses.
  add("stage 1 off, too big", 1n << 52n, DATA, { ...base, SCTLR_EL1: SCTLR & ~1n });

  // Stage 2 of the access, by every kind of load and store: the syndrome.
  const ipaBase = 0x80_0000_0000n;
  let ipa = ipaBase;
  for (const [name, leaf] of Object.entries(IPA_PAGES)) {
    const va = nextVa();
    image.map(ttbr0, 0, va, ipa | RW_EL0);
    image.map(vttbr, 1, ipa, leaf(image.newTarget()));
    const readOnly = nextVa();
    image.map(ttbr0, 0, readOnly, ipa | RW_EL0 | D.AP_RO);
    add(name, va, [...LOADS_AND_STORES, "fetch"], both);
    add(`${name}, EL1 exec`, readOnly, DATA, both);
    add(name, va, MAINTENANCE, both, [EL1]);
    add(name, va, ["atS12E1R", "atS12E0W", "atS1E1R"], { ...both, SCTLR_EL2: 0x30c5_0830n }, [EL2]);
    add(`${name}, stage 1 off`, ipa, ["ldr", "str"], { ...both, SCTLR_EL1: SCTLR & ~1n });
    ipa += 0x1000n;
  }
  // Stage 2 at other levels, and outside of its range.
  for (const [n, [name, level, leaf]] of (
    [
      ["S2 2 MiB block RO", 2, 0x4060_0000n | D.AF | D.S2_NORMAL | D.S2_READ | D.BLOCK],
      ["S2 invalid at level 2", 2, 0n],
      ["S2 invalid at level 1", 1, 0n],
      ["S2 block without AF at level 2", 2, 0x4060_0000n | D.S2_NORMAL | D.S2_READ | D.BLOCK],
    ] as const
  ).entries()) {
    const at = 0x90_0000_0000n + BigInt(n) * 0x4000_0000n;
    const va = nextVa();
    image.map(ttbr0, 0, va, at | RW_EL0);
    image.map(vttbr, 1, at, leaf, { level });
    add(name, va, ["ldr", "strhW", "fetch"], both);
  }
  const outside = nextVa();
  image.map(ttbr0, 0, outside, (1n << 40n) | RW_EL0);
  add("IPA outside of the stage-2 range", outside, DATA, both);

  // Stage 2 on the walk: a level-3 table whose IPA is refused, or mapped as Device with HCR_EL2.PTW.
  for (const [name, leaf] of Object.entries(IPA_PAGES)) {
    const va = 0x20_0000_0000n + 0x20_0000n * page++;
    const target = image.newTarget();
    image.map(ttbr0, 0, va, target | RW_EL0);
    // The level-2 entry points at an IPA that stage 2 maps to the table just made.
    let table = ttbr0;
    for (let level = 0; level < 2; level++)
      table = image.peek(table + index(va, level, false) * 8n) & 0xffff_ffff_f000n;
    const entry = table + index(va, 2, false) * 8n;
    const real = image.peek(entry) & 0xffff_ffff_f000n;
    image.poke(entry, ipa | D.TABLE);
    image.map(vttbr, 1, ipa, leaf(real));
    add(`walk, ${name}`, va, ["ldr", "str", "ldp", "fetch"], both);
    ipa += 0x1000n;
    if (name !== "S2 RW") continue;
    image.poke(entry, ipa | D.TABLE);
    image.map(vttbr, 1, ipa, real | D.AF | D.PAGE | D.S2_DEVICE | D.S2_READ | D.S2_WRITE);
    add("walk in Device memory", va, ["ldr"], both);
    add("walk in Device memory, PTW", va, ["ldr", "str", "fetch"], { ...both, HCR_EL2: HCR_VM | 4n });
    ipa += 0x1000n;
  }

  // EL2: its own regime, and EL2&0 with E2H.
  const ttbrEl2 = image.newTable();
  for (let at = 0n; at < 0x200_0000n; at += 0x20_0000n) {
    const block = (0x4000_0000n + at) | D.AF | D.ATTR(0) | D.BLOCK | D.AP_EL0;
    image.map(ttbrEl2, 0, 0x4000_0000n + at, block | (at === 0n ? D.AP_RO : 0n) | (at === 0x20_0000n ? D.AP_RO : 0n), {
      level: 2,
    });
  }
  // Records are written by EL2 code while its MMU is on.
  image.map(ttbrEl2, 0, 0x4020_0000n, 0x4020_0000n | D.AF | D.ATTR(0) | D.BLOCK, { level: 2 });
  const el2 = {
    ...base,
    SCTLR_EL2: 0x30c5_0831n,
    TCR_EL2: 16n | (5n << 16n) | (1n << 31n) | (1n << 23n),
    TTBR0_EL2: ttbrEl2,
    MAIR_EL2: MAIR,
  };
  // EL2&0: TTBR0_EL2 alone, EPD1.
  const e2h = { ...el2, HCR_EL2: HCR_RW | (1n << 34n), TCR_EL2: TCR | (1n << 23n) };
  const host = { ...e2h, HCR_EL2: HCR_RW | (1n << 34n) | (1n << 27n) };
  for (const [name, leaf] of Object.entries(PAGES)) {
    const va = 0x6_0000_0000n + 0x1000n * page++;
    image.map(ttbrEl2, 0, va, leaf(image.newTarget()));
    add(`EL2, ${name}`, va, [...DATA, "zva"], el2, [EL2]);
    add(`EL2 with E2H, ${name}`, va, [...DATA, "ldtr", "zva"], e2h, [EL2]);
    add(`EL2 with E2H and PAN, ${name}`, va, [...DATA, "ldtr", "sttr"], e2h, [EL2 | PAN]);
    add(`EL2 as host, ${name}`, va, [...DATA, "ldtr", "sttr", "ldar"], host, [EL2, EL2 | PAN, EL0]);
  }
  return { image: finish(image, cases), cases };
}

function finish(image: ImageBuilder, cases: readonly Case[]): Uint8Array {
  const code = program(cases.length);
  image.bytes.set(code.bytes);
  const stage1Off = {
    SCTLR_EL2: 0x30c5_0830n,
    TCR_EL2: 0n,
    TTBR0_EL2: 0n,
    MAIR_EL2: 0n,
    VTCR_EL2: VTCR,
    VTTBR_EL2: 0n,
  };
  cases.forEach(({ va, access, spsr, registers }, n) => {
    const at = CASES + BigInt(n * CASE_WORDS * 8);
    const values: Partial<Record<CaseRegister, bigint>> = { ...stage1Off, ...registers };
    [va, code.routines[access], spsr, ...CASE_REGISTERS.map((name) => values[name] ?? 0n)].forEach((value, i) => {
      image.poke(at + BigInt(i * 8), value);
    });
  });
  return image.bytes;
}

type Record_ = Readonly<Record<string, string>>;

/** A record's fields; of a successful PAR_EL1 what the machine promises (F, PA), without memory attributes. */
function decode(bytes: Uint8Array, n: number, access: Access): Record_ {
  const view = new DataView(bytes.buffer, bytes.byteOffset + n * RECORD_WORDS * 8, RECORD_WORDS * 8);
  return Object.fromEntries(
    RECORD_FIELDS.map((field, i) => {
      let value = view.getBigUint64(i * 8, true);
      // BTYPE: `max` has BTI, and a fetch case is an indirect branch.
      if (field.startsWith("SPSR")) value &= ~0xc00n;
      // ISV is for stage-2 aborts; QEMU sets it also for EL2's own, which have EC 0x25.
      if (field.startsWith("ESR") && value >> 26n === 0x25n) value &= ~0x1ffc000n;
      if (field === "x2" && access.startsWith("at") && (value & 1n) === 0n) value &= 0xffff_ffff_f001n;
      return [field, `0x${value.toString(16)}`];
    }),
  );
}

test.skipIf(qemuVersion === undefined)(
  `translation and syndromes: the machine against ${qemuVersion ?? "qemu-system-aarch64, which is not installed"}`,
  () => {
    const { image, cases } = build();
    const expected = runQemu(image, "max");
    const actual = runMachine(image);
    expect(expected.length).toBe(cases.length * RECORD_WORDS * 8);
    const differences = cases.flatMap(({ name, access }, n) => {
      const qemu = decode(expected, n, access);
      const machine = decode(actual, n, access);
      const fields = RECORD_FIELDS.filter((field) => qemu[field] !== machine[field]);
      return fields.length === 0
        ? []
        : [`${name}: ${fields.map((f) => `${f} ${qemu[f]} here ${machine[f]}`).join(", ")}`];
    });
    console.log(`${cases.length} cases, ${differences.length} differences`);
    expect(differences).toEqual([]);
  },
);
