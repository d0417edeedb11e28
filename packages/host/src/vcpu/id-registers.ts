/**
 * The ID registers of a normal VM: what HCR_EL2.TID3 traps and the Host answers. The fewest features that guests need:
 * EL0 and EL1, no EL2 or EL3, a PMU if it was asked for, no pointer authentication, no SVE; everything that is not listed reads zero.
 * DDI 0487, under each register's name.
 */
import { sysregIss } from "@realmbox/abi";

const id = (crm: number, op2: number): number => sysregIss(3, 0, 0, crm, op2);

/** Values by ISS encoding of the register. */
const GUEST_ID_REGISTERS: ReadonlyMap<number, bigint> = new Map([
  // ID_AA64PFR0_EL1: CSV3 1, CSV2 3 (no firmware mitigation calls), GIC 1, FP and AdvSIMD, EL1 and EL0 AArch64 only
  [id(4, 0), 0x1300_0000_0100_0011n],
  // ID_AA64DFR0_EL1: Armv8 debug with two breakpoints and two watchpoints, no PMU, no trace
  [id(5, 0), 0x0000_0000_0010_1006n],
  // ID_AA64ISAR0_EL1: RNDR 1, Atomic 2 (LSE), CRC32 1, SHA2 1, SHA1 1, AES 2 (with PMULL)
  [id(6, 0), 0x1000_0000_0021_1120n],
  // ID_AA64MMFR0_EL1: PARange 48 bits, ASID 16 bits, 4 KiB granule only
  [id(7, 0), 0x0000_0000_0f00_0025n],
  // ID_AA64MMFR2_EL1: E0PD 1
  [id(7, 2), 0x1000_0000_0000_0000n],
]);

const ID_AA64DFR0_EL1 = id(5, 0);
/** PMUVer: PMUv3p7. */
const PMUVER = 7n << 8n;

/** What a vCPU reads from an ID register. */
export const guestIdRegister = (register: number, hasPmu: boolean): bigint =>
  (GUEST_ID_REGISTERS.get(register) ?? 0n) | (register === ID_AA64DFR0_EL1 && hasPmu ? PMUVER : 0n);
