/**
 * The ID registers that a Realm reads: the machine's, without what a Realm does not have. DEN0137 1.0-rel0, "Realm feature
 * discovery"; DDI 0487 for the fields. Reads trap by HCR_EL2.TID3 (op0 3, op1 0, CRn 0, CRm 1 to 7); MIDR, REVIDR, AIDR,
 * CTR, DCZID and the cache registers are the machine's own.
 */
import { type Bits, bits } from "@realmbox/abi";
import type { Pe } from "@realmbox/machine";
import type { Rd } from "../realm/rd.js";

interface IdRegister {
  readonly name: string;
  /** Fields that read as zero. */
  readonly hidden?: readonly Bits[];
  /** Fields that read as zero in a Realm without PMU. */
  readonly pmu?: readonly Bits[];
  /** Fields that read as zero unless Realms have pointer authentication. */
  readonly pauth?: readonly Bits[];
  /** Fields that the Realm's parameters decide. */
  readonly realm?: readonly { readonly field: Bits; readonly value: (rd: Rd) => number }[];
}

const row = (name: string, rest: Omit<IdRegister, "name"> = {}): IdRegister => ({ name, ...rest });

const DFR0_HPMN0 = bits(63, 60);
/** Whether MDCR_EL2.HPMN may be 0: FEAT_HPMN0. */
export const hasHpmn0 = (pe: Pe): boolean => DFR0_HPMN0.get(pe.mrs("ID_AA64DFR0_EL1")) !== 0n;

/** By 8 * CRm + op2. All others, AArch32's among them, read as zero. */
const ID_REGISTERS: ReadonlyMap<number, IdRegister> = new Map([
  [
    8 * 4 + 0,
    row("ID_AA64PFR0_EL1", { hidden: [/* SVE */ bits(35, 32), /* MPAM */ bits(43, 40), /* AMU */ bits(47, 44)] }),
  ],
  [
    8 * 4 + 1,
    row("ID_AA64PFR1_EL1", { hidden: [/* MTE */ bits(11, 8), /* MPAM_frac */ bits(19, 16), /* SME */ bits(27, 24)] }),
  ],
  [
    8 * 5 + 0,
    row("ID_AA64DFR0_EL1", {
      hidden: [
        bits(7, 4), // TraceVer
        bits(19, 16), // PMSS
        bits(27, 24), // SEBEP
        bits(31, 28), // CTX_CMPs
        bits(35, 32), // PMSVer
        bits(43, 40), // TraceFilt
        bits(47, 44), // TraceBuffer
        bits(55, 52), // BRBE
        bits(59, 56), // ExtTrcBuff
      ],
      pmu: [/* PMUVer */ bits(11, 8), DFR0_HPMN0],
      realm: [
        { field: bits(15, 12), value: (rd) => rd.num_bps }, // BRPs
        { field: bits(23, 20), value: (rd) => rd.num_wps }, // WRPs
      ],
    }),
  ],
  [8 * 5 + 1, row("ID_AA64DFR1_EL1", { hidden: [/* ICNTR */ bits(39, 36), /* EBEP */ bits(51, 48)] })],
  [8 * 6 + 0, row("ID_AA64ISAR0_EL1")],
  [
    8 * 6 + 1,
    row("ID_AA64ISAR1_EL1", {
      hidden: [/* SB */ bits(39, 36)],
      pauth: [/* API */ bits(11, 8), /* GPI */ bits(31, 28)],
    }),
  ],
  [8 * 7 + 0, row("ID_AA64MMFR0_EL1")],
  [8 * 7 + 1, row("ID_AA64MMFR1_EL1")],
  [8 * 7 + 2, row("ID_AA64MMFR2_EL1")],
]);

/** What a Realm reads from the ID register of this encoding. */
export function idRegister(
  pe: Pe,
  { rd, pauth }: { rd: Rd; pauth: boolean },
  { crm, op2 }: { crm: number; op2: number },
): bigint {
  const register = ID_REGISTERS.get(8 * crm + op2);
  if (register === undefined) return 0n;
  let value = pe.mrs(register.name);
  for (const field of register.hidden ?? []) value &= ~field.mask;
  if (!pauth) for (const field of register.pauth ?? []) value &= ~field.mask;
  if (!rd.pmu) for (const field of register.pmu ?? []) value &= ~field.mask;
  for (const { field, value: of } of register.realm ?? []) value = field.set(value, BigInt(of(rd)));
  return value;
}
