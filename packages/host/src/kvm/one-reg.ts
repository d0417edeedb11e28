/**
 * KVM_GET_ONE_REG and KVM_SET_ONE_REG: core registers and the EL1 system registers that a vCPU owns. Linux
 * `Documentation/virt/kvm/api.rst`, "KVM_SET_ONE_REG".
 *
 * @spec Linux KVM API, "KVM_SET_ONE_REG": partial: no FP/SIMD (128-bit ids), no firmware and ID registers
 *
 * Of a realm the Host has only what the REC exits show: general registers, and the PC that the VMM gave.
 */
import { KVM_REG, KVM_REG_CLASS_CORE, KVM_REG_CLASS_SYSREG, KVM_REG_FIELD } from "@realmbox/abi";
import { R, type RegName } from "@realmbox/machine";
import type { VcpuCore } from "../vcpu/vcpu.js";
import { type KvmError, type KvmResult, kvmError } from "./errno.js";

const MPIDR_EL1 = KVM_REG.sysreg(3, 0, 0, 0, 5);
const CNTVCT_EL0 = KVM_REG.sysreg(3, 3, 14, 3, 2); // id and encoding of CNTVCT and CNTV_CVAL are exchanged
const CNTPCT_EL0 = KVM_REG.sysreg(3, 3, 14, 0, 1);
const XS = 31n;

/** System registers that are storage of the EL1 group. */
const STORED: ReadonlyMap<bigint, RegName> = new Map<bigint, RegName>([
  [KVM_REG.SP_EL0, "SP_EL0"],
  [KVM_REG.SP_EL1, "SP_EL1"],
  [KVM_REG.ELR_EL1, "ELR_EL1"],
  [KVM_REG.SPSR_EL1, "SPSR_EL1"],
  [KVM_REG.sysreg(3, 0, 1, 0, 0), "SCTLR_EL1"],
  [KVM_REG.sysreg(3, 0, 1, 0, 1), "ACTLR_EL1"],
  [KVM_REG.sysreg(3, 0, 1, 0, 2), "CPACR_EL1"],
  [KVM_REG.sysreg(3, 0, 2, 0, 0), "TTBR0_EL1"],
  [KVM_REG.sysreg(3, 0, 2, 0, 1), "TTBR1_EL1"],
  [KVM_REG.sysreg(3, 0, 2, 0, 2), "TCR_EL1"],
  [KVM_REG.sysreg(3, 0, 5, 1, 0), "AFSR0_EL1"],
  [KVM_REG.sysreg(3, 0, 5, 1, 1), "AFSR1_EL1"],
  [KVM_REG.sysreg(3, 0, 5, 2, 0), "ESR_EL1"],
  [KVM_REG.sysreg(3, 0, 6, 0, 0), "FAR_EL1"],
  [KVM_REG.sysreg(3, 0, 7, 4, 0), "PAR_EL1"],
  [KVM_REG.sysreg(3, 0, 10, 2, 0), "MAIR_EL1"],
  [KVM_REG.sysreg(3, 0, 10, 3, 0), "AMAIR_EL1"],
  [KVM_REG.sysreg(3, 0, 12, 0, 0), "VBAR_EL1"],
  [KVM_REG.sysreg(3, 0, 13, 0, 1), "CONTEXTIDR_EL1"],
  [KVM_REG.sysreg(3, 0, 13, 0, 4), "TPIDR_EL1"],
  [KVM_REG.sysreg(3, 3, 13, 0, 2), "TPIDR_EL0"],
  [KVM_REG.sysreg(3, 3, 13, 0, 3), "TPIDRRO_EL0"],
  [KVM_REG.sysreg(3, 0, 14, 1, 0), "CNTKCTL_EL1"],
  [KVM_REG.sysreg(2, 0, 0, 2, 2), "MDSCR_EL1"],
  [KVM_REG.sysreg(3, 2, 0, 0, 0), "CSSELR_EL1"],
  [KVM_REG.sysreg(3, 3, 14, 3, 1), "CNTV_CTL_EL0"],
  [KVM_REG.sysreg(3, 3, 14, 0, 2), "CNTV_CVAL_EL0"], // see CNTVCT_EL0
  [KVM_REG.sysreg(3, 3, 14, 2, 1), "CNTP_CTL_EL0"],
  [KVM_REG.sysreg(3, 3, 14, 2, 2), "CNTP_CVAL_EL0"],
]);

/** 0 to 30 for an Xn id, or -1. */
function xIndex(id: bigint): number {
  if (KVM_REG_FIELD.CLASS.get(id) !== KVM_REG_CLASS_CORE) return -1;
  const index = KVM_REG_FIELD.INDEX.get(id) / 2n;
  return index < XS && id === KVM_REG.x(Number(index)) ? Number(index) : -1;
}

const known = (id: bigint): boolean =>
  id === KVM_REG.PC || id === KVM_REG.PSTATE || id === MPIDR_EL1 || id === CNTVCT_EL0 || id === CNTPCT_EL0;

function refuse(id: bigint): KvmError {
  const kind = KVM_REG_FIELD.CLASS.get(id);
  const isClass = kind === KVM_REG_CLASS_CORE || kind === KVM_REG_CLASS_SYSREG;
  return kvmError(isClass ? "ENOENT" : "EINVAL", `no register 0x${id.toString(16)}`);
}

export function getOneReg(vcpu: VcpuCore, id: bigint): KvmResult<bigint> {
  if (vcpu.features === undefined) return kvmError("ENOEXEC", "the vCPU is not initialised");
  const x = xIndex(id);
  if (x >= 0) return vcpu.gprs[x]!;
  if (id === KVM_REG.PC) return vcpu.getPc();
  if (id === MPIDR_EL1) return vcpu.mpidr;
  if (vcpu.vm.realm) {
    return STORED.has(id) || known(id) ? kvmError("EPERM", "a realm's register is its own") : refuse(id);
  }
  if (id === KVM_REG.PSTATE) return vcpu.getPstate();
  if (id === CNTVCT_EL0) return BigInt(vcpu.vm.kernel.count - vcpu.vm.counterOffset);
  if (id === CNTPCT_EL0) return BigInt(vcpu.vm.kernel.count);
  const name = STORED.get(id);
  return name ? vcpu.readEl1(R[name]) : refuse(id);
}

export function setOneReg(vcpu: VcpuCore, id: bigint, value: bigint): KvmResult {
  if (vcpu.features === undefined) return kvmError("ENOEXEC", "the vCPU is not initialised");
  const x = xIndex(id);
  if (x >= 0) {
    vcpu.gprs[x] = value;
    return undefined;
  }
  if (vcpu.vm.realm) {
    if (id === KVM_REG.PC && !vcpu.rec) {
      vcpu.pc = value;
      return undefined;
    }
    return STORED.has(id) || known(id) ? kvmError("EPERM", "a realm's register is its own") : refuse(id);
  }
  if (id === KVM_REG.PC) {
    vcpu.setPc(value);
    return undefined;
  }
  if (id === KVM_REG.PSTATE) {
    const mode = value & 0x1fn;
    if (mode !== 0n && mode !== 4n && mode !== 5n) return kvmError("EINVAL", "not a mode of EL0 or EL1");
    vcpu.setPstate(value);
    return undefined;
  }
  if (known(id)) return kvmError("EINVAL", "the register is read-only");
  const name = STORED.get(id);
  if (!name) return refuse(id);
  vcpu.writeEl1(R[name], value);
  return undefined;
}
