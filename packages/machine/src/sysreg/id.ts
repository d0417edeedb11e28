/**
 * What the machine says it is. ID registers are constants that list exactly what is implemented: RME, EL2, EL3, Secure
 * EL2, VHE, LSE, CRC32, RNDR, FP, Advanced SIMD, AES and SHA, PAuth; PMU; no SVE. What a realm or a virtual machine
 * sees of it is the business of the RMM and the Host, through HCR_EL2.TID3. DDI 0487, "ID_AA64PFR0_EL1" and the others.
 */

/** MIDR_EL1: an implementer and part that firmware has in its CPU tables. */
export const MIDR = 0x410f_d0f0n;

const fields = (...list: readonly (readonly [lo: number, value: number])[]): bigint =>
  list.reduce((sum, [lo, value]) => sum | (BigInt(value) << BigInt(lo)), 0n);

/** By name; every other encoding of the ID space (op0 3, op1 0, CRn 0, CRm 1 to 7) reads zero. */
export const ID_REGISTERS: Readonly<
  Record<string, { readonly crm: number; readonly op2: number; readonly value: bigint }>
> = {
  ID_AA64PFR0_EL1: {
    crm: 4,
    op2: 0,
    value: fields(
      [0, 1], // EL0 to EL3: AArch64 only
      [4, 1],
      [8, 1],
      [12, 1],
      [16, 0], // FP, without half-precision arithmetic
      [20, 0], // AdvSIMD, likewise
      [24, 1], // GIC system registers
      [28, 1], // RAS
      [36, 1], // Secure EL2
      [48, 1], // DIT
      [52, 1], // RME
      [56, 3], // CSV2
      [60, 1], // CSV3
    ),
  },
  ID_AA64PFR1_EL1: { crm: 4, op2: 1, value: 0n },
  ID_AA64DFR0_EL1: {
    crm: 5,
    op2: 0,
    value: fields(
      [0, 7], // Armv8.1 debug: VHE requires it
      [8, 7], // PMUv3p7
      [12, 1], // two breakpoints
      [20, 1], // two watchpoints
      [60, 1], // MDCR_EL2.HPMN may be 0
    ),
  },
  ID_AA64DFR1_EL1: { crm: 5, op2: 1, value: 0n },
  ID_AA64ISAR0_EL1: {
    crm: 6,
    op2: 0,
    value: fields(
      [4, 2], // AES and PMULL
      [8, 1], // SHA-1
      [12, 1], // SHA-256
      [16, 1], // CRC32
      [20, 2], // LSE atomics
      [60, 1], // RNDR
    ),
  },
  ID_AA64ISAR1_EL1: {
    crm: 6,
    op2: 1,
    value: fields(
      [8, 1], // API: pointer authentication, IMPLEMENTATION DEFINED algorithm
      [28, 1], // GPI: generic codes, likewise
      [36, 1], // SB
    ),
  },
  ID_AA64ISAR2_EL1: { crm: 6, op2: 2, value: 0n },
  ID_AA64MMFR0_EL1: {
    crm: 7,
    op2: 0,
    value: fields(
      [0, 5], // 48-bit physical addresses
      [4, 2], // 16-bit ASIDs
      [12, 1], // Secure memory is separate
      [24, 0xf], // no 64 KiB granule; no 16 KiB granule (0); 4 KiB
      [32, 1], // stage 2: no 16 KiB
      [36, 1], // stage 2: no 64 KiB
      [40, 2], // stage 2: 4 KiB
      [60, 2], // ECV with CNTPOFF_EL2
    ),
  },
  ID_AA64MMFR1_EL1: {
    crm: 7,
    op2: 1,
    value: fields(
      [0, 2], // hardware updates of the Access flag and of dirty state
      [4, 2], // 16-bit VMIDs
      [8, 1], // VHE
      [12, 1], // HPDS
      [20, 1], // PAN
      [40, 1], // HCRX_EL2
    ),
  },
  ID_AA64MMFR2_EL1: {
    crm: 7,
    op2: 2,
    value: fields(
      [28, 1], // small translation tables (FEAT_TTST)
      [40, 1], // stage-2 forced write-back
      [60, 1], // E0PD
    ),
  },
  ID_AA64MMFR3_EL1: { crm: 7, op2: 3, value: 0n },
  ID_AA64MMFR4_EL1: { crm: 7, op2: 4, value: 0n },
};
