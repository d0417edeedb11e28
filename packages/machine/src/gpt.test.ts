import { Gpi, Pas } from "@realmbox/abi";
import { beforeEach, describe, expect, test } from "vitest";
import { poke, writeGpt } from "../test-support/tables.js";
import { baseBoard } from "./board/base.js";
import { GPC_OK, GPCCR, GPCSC, GranuleProtection, gpcFault, gpiPermits, ppsFor } from "./gpt.js";
import { Machine } from "./machine.js";

const board = baseBoard({ dramSize: 16n << 20n, frameBytes: 16 << 20 });
const L0 = 0x10_0000n;
const L1 = L0 + 0x20000n;
const DRAM = 0x8000_0000n;
const GPCCR_4K_1TB = GPCCR.PPS.of(ppsFor(40)) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);

let machine: Machine;
beforeEach(() => {
  machine = new Machine({ board });
  writeGpt(machine, { at: L0, rest: Gpi.ANY, ranges: [{ base: DRAM, size: 0x10_0000n, gpi: Gpi.NS }] });
});

const protectionOf = (gpccr = GPCCR_4K_1TB, gptbr = L0 >> 12n): GranuleProtection =>
  new GranuleProtection(machine.memory, { gpccr, gptbr, paBits: board.paBits });

/** Kind and GPT level of the refusal, or "ok". */
function check(protection: GranuleProtection, pa: bigint, pas: Pas = Pas.NS): string {
  const refusal = protection.check(Number(pa), pas);
  if (refusal === GPC_OK) return "ok";
  const fault = gpcFault(refusal, Number(pa), pas);
  return `${fault.fault} ${fault.gptLevel}`;
}

describe("GPI values", () => {
  test.each([
    { gpi: Gpi.NO_ACCESS, allowed: [] },
    { gpi: Gpi.SECURE, allowed: [Pas.SECURE] },
    { gpi: Gpi.NS, allowed: [Pas.NS] },
    { gpi: Gpi.ROOT, allowed: [Pas.ROOT] },
    { gpi: Gpi.REALM, allowed: [Pas.REALM] },
    { gpi: Gpi.ANY, allowed: [Pas.SECURE, Pas.NS, Pas.ROOT, Pas.REALM] },
  ])("$gpi permits $allowed", ({ gpi, allowed }) => {
    const all = [Pas.SECURE, Pas.NS, Pas.ROOT, Pas.REALM];
    expect(all.filter((pas) => gpiPermits(gpi, pas))).toEqual(allowed);
    poke(machine, L1, 0x9999_9999_9999_9990n | BigInt(gpi));
    expect(all.filter((pas) => check(protectionOf(), DRAM, pas) === "ok")).toEqual(allowed);
  });
});

describe("GPCCR_EL3 (step 1: GPT walk fault, level 0)", () => {
  test.each([
    { name: "PPS 7", gpccr: GPCCR.PPS.set(GPCCR_4K_1TB, 7n) },
    { name: "PPS beyond the machine's physical addresses", gpccr: GPCCR.PPS.set(GPCCR_4K_1TB, 6n) },
    { name: "PGS 64 KB", gpccr: GPCCR.PGS.set(GPCCR_4K_1TB, 1n) },
    { name: "PGS 16 KB", gpccr: GPCCR.PGS.set(GPCCR_4K_1TB, 2n) },
    { name: "PGS reserved", gpccr: GPCCR.PGS.set(GPCCR_4K_1TB, 3n) },
    { name: "SH reserved", gpccr: GPCCR.SH.set(GPCCR_4K_1TB, 1n) },
    {
      name: "Non-cacheable walks that are not outer shareable",
      gpccr: GPCCR.IRGN.set(GPCCR.ORGN.set(GPCCR_4K_1TB, 0n), 0n),
    },
  ])("$name", ({ gpccr }) => {
    expect(check(protectionOf(gpccr), DRAM)).toBe("gpt-walk 0");
  });

  test("Non-cacheable, outer shareable walks are valid", () => {
    const gpccr = GPCCR.SH.set(GPCCR.IRGN.set(GPCCR.ORGN.set(GPCCR_4K_1TB, 0n), 0n), 2n);
    expect(check(protectionOf(gpccr), DRAM)).toBe("ok");
  });

  test("without GPC nothing is checked", () => {
    expect(check(protectionOf(GPCCR.PPS.of(7)), DRAM, Pas.ROOT)).toBe("ok");
  });
});

describe("steps 3 to 11", () => {
  test("beyond the protected size: Non-secure passes, others fault at level 0", () => {
    const beyond = 1n << 40n;
    expect(check(protectionOf(), beyond, Pas.NS)).toBe("ok");
    expect(check(protectionOf(), beyond, Pas.REALM)).toBe("granule-protection 0");
  });

  test("L0 base beyond the protected size", () => {
    const gpccr = GPCCR.PPS.set(GPCCR_4K_1TB, 0n);
    expect(check(protectionOf(gpccr, 1n << 20n), DRAM)).toBe("gpt-address-size 0");
  });

  test("L0 where no memory is", () => {
    expect(check(protectionOf(undefined, 0x1000_0000n >> 12n), DRAM)).toBe("gpt-external 0");
  });

  test.each([
    { name: "zero", l0: 0n },
    { name: "type 2", l0: 2n },
    { name: "Block with a reserved GPI", l0: 0x21n },
    { name: "Block with a RES0 bit (8)", l0: 0x1f1n },
    { name: "Block with a RES0 bit (63)", l0: (1n << 63n) | 0xf1n },
    { name: "Table with a RES0 bit (4)", l0: L1 | 0x13n },
    { name: "Table that is not aligned to 128 KB", l0: (L1 + 0x1000n) | 3n },
    { name: "Table with a RES0 bit (52)", l0: L1 | 3n | (1n << 52n) },
  ])("L0 entry: $name", ({ l0 }) => {
    poke(machine, L0 + 16n, l0);
    expect(check(protectionOf(), DRAM)).toBe("gpt-walk 0");
  });

  test("L0 Table address beyond the protected size", () => {
    poke(machine, L0 + 16n, (1n << 40n) | 3n);
    expect(check(protectionOf(), DRAM)).toBe("gpt-address-size 0");
  });

  test("L0 Block whose GPI forbids", () => {
    poke(machine, L0 + 16n, (BigInt(Gpi.ROOT) << 4n) | 1n);
    expect(check(protectionOf(), DRAM)).toBe("granule-protection 0");
  });

  test("L1 where no memory is", () => {
    poke(machine, L0 + 16n, 0x1000_0000n | 3n);
    expect(check(protectionOf(), DRAM)).toBe("gpt-external 1");
  });

  test.each([
    { name: "one of the sixteen GPIs reserved, not the one looked up", l1: 0x2999_9999_9999_9999n },
    { name: "Contiguous with Contig 0", l1: 0x91n },
    { name: "Contiguous with a RES0 bit", l1: 0x591n },
    { name: "Contiguous with a reserved GPI", l1: 0x121n },
    { name: "Contiguous with high bits", l1: (1n << 40n) | 0x191n },
  ])("L1 entry: $name", ({ l1 }) => {
    poke(machine, L1, l1);
    expect(check(protectionOf(), DRAM)).toBe("gpt-walk 1");
  });

  test.each([1n, 2n, 3n])("L1 Contiguous with Contig %s", (contig) => {
    poke(machine, L1, (contig << 8n) | (BigInt(Gpi.REALM) << 4n) | 1n);
    expect(check(protectionOf(), DRAM + 0xf000n, Pas.REALM)).toBe("ok");
    expect(check(protectionOf(), DRAM, Pas.NS)).toBe("granule-protection 1");
  });

  test("the GPI index is PA[15:12]", () => {
    poke(machine, L1, 0xfb9a_8099_9999_9990n);
    const found = Array.from({ length: 16 }, (_, i) => protectionOf().gpi(Number(DRAM) + i * 4096));
    expect(found).toEqual([0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 8, 0xa, 9, 0xb, 0xf]);
  });
});

test("what was looked up is remembered until it is invalidated", () => {
  const protection = protectionOf();
  expect(check(protection, DRAM)).toBe("ok");
  poke(machine, L1, 0x9999_9999_9999_999bn);
  expect(check(protection, DRAM)).toBe("ok");
  protection.invalidate(Number(DRAM), 4096);
  expect(check(protection, DRAM)).toBe("granule-protection 1");
});

test("a refusal's GPCSC is the architecture's", () => {
  expect(GPCSC).toEqual({ ADDRESS_SIZE: 0, WALK: 4, GPF: 0xc, EXTERNAL: 0x14 });
  expect(protectionOf().check(Number(DRAM), Pas.REALM) & 0x3f).toBe(0x0d);
});
