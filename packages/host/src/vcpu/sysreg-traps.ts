/**
 * System register accesses of a normal VM that trap to the Host (ESR_EL2.EC 0x18), answered as KVM does: ID registers,
 * GIC SGI and DIR writes, debug registers, RAZ/WI, or UNDEFINED for features that the VM does not have.
 * DDI 0487, "ISS encoding for an exception from MSR, MRS, or System instruction execution".
 */
import { ISS_SYSREG, ISS_SYSREG_ID_MASK, sysregIss } from "@realmbox/abi";
import { debugSlot, debugValue, GROUPS, Group, R } from "@realmbox/machine";
import { guestIdRegister } from "./id-registers.js";
import type { VcpuCore } from "./vcpu.js";

const field = (iss: number, { hi, lo }: { hi: number; lo: number }): number => (iss >> lo) & ((1 << (hi - lo + 1)) - 1);

const ICC_DIR_EL1 = sysregIss(3, 0, 12, 11, 1);
const ICC_SGI1R_EL1 = sysregIss(3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1 = sysregIss(3, 0, 12, 11, 6);
const ICC_SGI0R_EL1 = sysregIss(3, 0, 12, 11, 7);
const ACTLR_EL1 = sysregIss(3, 0, 1, 0, 1);
const REVIDR_EL1 = sysregIss(3, 0, 0, 0, 6);
const AIDR_EL1 = sysregIss(3, 1, 0, 0, 7);
const MDSCR_EL1 = sysregIss(2, 0, 0, 2, 2);
const OSLSR_EL1 = sysregIss(2, 0, 1, 1, 4);
/** OSLM = 0b10: the OS lock exists; it is not locked. */
const OSLSR_VALUE = 0x8n;

/** Debug registers that read zero and ignore writes: the DCC, the locks, claim tags. */
const RAZ_WI: ReadonlySet<number> = new Set([
  sysregIss(2, 0, 0, 0, 2), // OSDTRRX_EL1
  sysregIss(2, 0, 0, 2, 0), // MDCCINT_EL1
  sysregIss(2, 0, 0, 3, 2), // OSDTRTX_EL1
  sysregIss(2, 0, 0, 6, 2), // OSECCR_EL1
  sysregIss(2, 0, 1, 0, 0), // MDRAR_EL1
  sysregIss(2, 0, 1, 0, 4), // OSLAR_EL1
  sysregIss(2, 0, 1, 3, 4), // OSDLR_EL1
  sysregIss(2, 0, 1, 4, 4), // DBGPRCR_EL1
  sysregIss(2, 0, 7, 8, 6), // DBGCLAIMSET_EL1
  sysregIss(2, 0, 7, 9, 6), // DBGCLAIMCLR_EL1
  sysregIss(2, 0, 7, 14, 6), // DBGAUTHSTATUS_EL1
  sysregIss(2, 3, 0, 1, 0), // MDCCSR_EL0
  sysregIss(2, 3, 0, 4, 0), // DBGDTR_EL0
  sysregIss(2, 3, 0, 5, 0), // DBGDTRRX_EL0, DBGDTRTX_EL0
]);

/**
 * A write of ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1 or ICC_DIR_EL1, by a vCPU of either kind of VM. False when the
 * register is none of them.
 */
export function writeGicRegister(vcpu: VcpuCore, iss: number, value: bigint): boolean {
  const distributor = vcpu.vm.vgic?.distributor;
  const register = iss & ISS_SYSREG_ID_MASK;
  if ((iss & 1) !== 0 || !distributor) return false;
  switch (register) {
    case ICC_SGI1R_EL1:
      distributor.sendSgi(vcpu.index, value, Group.G1NS, false);
      return true;
    case ICC_ASGI1R_EL1:
    case ICC_SGI0R_EL1:
      // One Security state: the alias stands for Group 0 as well.
      distributor.sendSgi(vcpu.index, value, Group.G0, false);
      return true;
    case ICC_DIR_EL1:
      distributor.deactivate(vcpu.index, Number(value & 0xff_ffffn));
      return true;
  }
  return false;
}

/**
 * Emulates the access; general registers are in `vcpu.gprs`, EL1 registers in the PE. False: it is UNDEFINED in this VM.
 * The caller moves the PC.
 */
export function emulateSysreg(vcpu: VcpuCore, iss: number): boolean {
  const register = iss & ISS_SYSREG_ID_MASK;
  const rt = field(iss, ISS_SYSREG.RT);
  if ((iss & 1) === 0) return writeSysreg(vcpu, iss, register, rt === 31 ? 0n : vcpu.gprs[rt]!);
  const value = readSysreg(vcpu, register);
  if (value === undefined) return false;
  if (rt !== 31) vcpu.gprs[rt] = value;
  return true;
}

function readSysreg(vcpu: VcpuCore, register: number): bigint | undefined {
  if (isIdRegister(register)) return guestIdRegister(register, vcpu.hasPmu);
  const watch = watchSlot(register);
  if (watch !== undefined) return vcpu.debug[watch - GROUPS.DEBUG.first]!;
  if (RAZ_WI.has(register)) return 0n;
  switch (register) {
    case REVIDR_EL1:
    case AIDR_EL1:
      return 0n;
    case ACTLR_EL1:
      return vcpu.readEl1(R.ACTLR_EL1);
    case MDSCR_EL1:
      return vcpu.readEl1(R.MDSCR_EL1);
    case OSLSR_EL1:
      return OSLSR_VALUE;
  }
  return undefined;
}

function writeSysreg(vcpu: VcpuCore, iss: number, register: number, value: bigint): boolean {
  if (writeGicRegister(vcpu, iss, value)) return true;
  const watch = watchSlot(register);
  if (watch !== undefined) {
    vcpu.debug[watch - GROUPS.DEBUG.first] = debugValue(watch, value);
    vcpu.showDebug();
    return true;
  }
  if (RAZ_WI.has(register) || register === ACTLR_EL1 || isSetWay(register)) return true;
  if (register === MDSCR_EL1) {
    vcpu.writeEl1(R.MDSCR_EL1, value);
    return true;
  }
  return false;
}

/** The group of HCR_EL2.TID3: op0 3, op1 0, CRn 0, CRm 1 to 7. */
function isIdRegister(register: number): boolean {
  const crm = field(register, ISS_SYSREG.CRM);
  return (
    field(register, ISS_SYSREG.OP0) === 3 &&
    field(register, ISS_SYSREG.OP1) === 0 &&
    field(register, ISS_SYSREG.CRN) === 0 &&
    crm >= 1 &&
    crm <= 7
  );
}

/** The slot of a breakpoint's or watchpoint's register, or undefined. */
const watchSlot = (register: number): number | undefined =>
  debugSlot({
    op0: field(register, ISS_SYSREG.OP0),
    op1: field(register, ISS_SYSREG.OP1),
    crn: field(register, ISS_SYSREG.CRN),
    crm: field(register, ISS_SYSREG.CRM),
    op2: field(register, ISS_SYSREG.OP2),
  });

/** DC ISW, CSW, CISW: nothing to do, memory is coherent. */
function isSetWay(register: number): boolean {
  return (
    field(register, ISS_SYSREG.OP0) === 1 &&
    field(register, ISS_SYSREG.CRN) === 7 &&
    field(register, ISS_SYSREG.OP2) === 2
  );
}
