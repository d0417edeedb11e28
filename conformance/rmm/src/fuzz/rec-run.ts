/** RmiRecRun in the Host's memory, decoded here anew: what an exit says and what an entry gives. */
import type { ExitFields } from "./realm-verdict.js";

/** Reasons of a REC exit by number. DEN0137 1.0-rel0, "RmiRecExitReason type". */
export const REASONS = ["SYNC", "IRQ", "FIQ", "PSCI", "RIPAS_CHANGE", "HOST_CALL", "SERROR"];

/** Offsets of RmiRecExit whose content the hardware decides: list registers and their control, timers, PMU overflow. */
export const isOfHardware = (offset: number): boolean =>
  (offset >= 0x300 && offset < 0x398) || (offset >= 0x400 && offset < 0x420) || offset === 0x700;

/** The 64-bit word of RmiRecExit at an offset; undefined: zero. DEN0137 1.0-rel0, "RmiRecExit type". */
export function exitWord(exit: ExitFields, offset: number): bigint | undefined {
  if (offset >= 0x200 && offset < 0x2f8) return exit.gprs?.[(offset - 0x200) / 8];
  switch (offset) {
    case 0x0:
      return BigInt(exit.reason);
    case 0x100:
      return exit.esr;
    case 0x108:
      return exit.far;
    case 0x110:
      return exit.hpfar;
    case 0x500:
      return exit.ripas?.base;
    case 0x508:
      return exit.ripas?.top;
    case 0x510:
      return exit.ripas && BigInt(exit.ripas.value);
    case 0x600:
      return exit.imm === undefined ? undefined : BigInt(exit.imm);
  }
  return undefined;
}

/** The register that an emulated load of `value` gives. DEN0137, "REC entry", emulated accesses. */
export function loaded(esr: bigint, value: bigint): bigint {
  const width = 8 << Number((esr >> 22n) & 3n);
  const cut = BigInt.asUintN(width, value);
  if ((esr & (1n << 21n)) === 0n) return cut;
  return BigInt.asUintN((esr & (1n << 15n)) === 0n ? 32 : 64, BigInt.asIntN(width, cut));
}
