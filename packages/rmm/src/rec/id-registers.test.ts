/** The ID registers that depend on what the RMM was made with. */
import type { Pe } from "@realmbox/machine";
import { expect, test } from "vitest";
import type { Rd } from "../realm/rd.js";
import { idRegister } from "./id-registers.js";

/** API, GPI and SB, beside DPB and LRCPC. */
const ISAR1 = 0x10_1010_0102n | (1n << 28n);
const pe = { mrs: (name: string) => (name === "ID_AA64ISAR1_EL1" ? ISAR1 : 0n) } as Pe;
const isar1 = (pauth: boolean) => idRegister(pe, { rd: { pmu: 0 } as Rd, pauth }, { crm: 6, op2: 1 });

test("Realms have pointer authentication only when they are to", () => {
  expect(isar1(false)).toBe(0x10_0010_0002n & ~(0xfn << 36n));
  expect(isar1(true)).toBe(ISAR1 & ~(0xfn << 36n));
});
