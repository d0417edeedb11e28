/**
 * PSCI for normal VMs, in the kernel as KVM does it: version 1.1, over HVC and SMC. DEN0022 1.1; Linux
 * `arch/arm64/kvm/psci.c` for what KVM answers. A realm's PSCI is the RMM's; its requests end in RMI_PSCI_COMPLETE.
 *
 * @spec DEN0022 1.1, "functions, as KVM has them": partial: no PSCI_SYSTEM_SUSPEND (off in KVM unless a VMM asks for
 *   it)
 */
import { KVM_SYSTEM_EVENT, PSCI_AFFINITY, PSCI_FID, PSCI_VERSION_1_1, psciCode, SMCCC_VERSION } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import type { Kernel } from "../kernel.js";
import { Outcome } from "./outcome.js";
import type { VcpuCore } from "./vcpu.js";

/** PSCI 1.1, "SYSTEM_RESET2". */
const PSCI_SYSTEM_RESET2 = 0x8400_0012n;
const PSCI_SYSTEM_RESET2_64 = 0xc400_0012n;
const RESET2_VENDOR = 1n << 31n;
/** MIGRATE_INFO_TYPE: no Trusted OS that needs migration. */
const TOS_NOT_PRESENT = 2n;
const MPIDR_AFFINITY = 0xff_00ff_ffffn;
const SCTLR_EE = 1n << 25n;

const SUPPORTED: ReadonlySet<bigint> = new Set([
  PSCI_FID.PSCI_VERSION,
  PSCI_FID.PSCI_CPU_SUSPEND,
  PSCI_FID.PSCI_CPU_SUSPEND_64,
  PSCI_FID.PSCI_CPU_OFF,
  PSCI_FID.PSCI_CPU_ON,
  PSCI_FID.PSCI_CPU_ON_64,
  PSCI_FID.PSCI_AFFINITY_INFO,
  PSCI_FID.PSCI_AFFINITY_INFO_64,
  PSCI_FID.PSCI_MIGRATE_INFO_TYPE,
  PSCI_FID.PSCI_SYSTEM_OFF,
  PSCI_FID.PSCI_SYSTEM_RESET,
  PSCI_FID.PSCI_FEATURES,
  PSCI_SYSTEM_RESET2,
  PSCI_SYSTEM_RESET2_64,
  SMCCC_VERSION,
]);

/**
 * Answers a PSCI call: arguments in `args` (X1 to X3, already cut to 32 bits for an SMC32 call). Gives X0, or the outcome
 * of a call that does not return to the caller now.
 */
export function psciCall(
  kernel: Kernel,
  vcpu: VcpuCore,
  fid: bigint,
  args: readonly [bigint, bigint, bigint],
): { readonly x0: bigint; readonly outcome: Outcome } {
  const answer = (x0: bigint, outcome: Outcome = Outcome.RESUME) => ({ x0, outcome });
  switch (fid) {
    case PSCI_FID.PSCI_VERSION:
      return answer(PSCI_VERSION_1_1);
    case PSCI_FID.PSCI_CPU_SUSPEND:
    case PSCI_FID.PSCI_CPU_SUSPEND_64:
      // Every power state is retention: like WFI.
      return answer(psciCode("PSCI_SUCCESS"), Outcome.WAIT);
    case PSCI_FID.PSCI_CPU_OFF:
      return answer(psciCode("PSCI_SUCCESS"), Outcome.POWER_OFF);
    case PSCI_FID.PSCI_CPU_ON:
    case PSCI_FID.PSCI_CPU_ON_64:
      return answer(cpuOn(kernel, vcpu, ...args));
    case PSCI_FID.PSCI_AFFINITY_INFO:
    case PSCI_FID.PSCI_AFFINITY_INFO_64:
      return answer(affinityInfo(vcpu, args[0], args[1]));
    case PSCI_FID.PSCI_MIGRATE_INFO_TYPE:
      return answer(TOS_NOT_PRESENT);
    case PSCI_FID.PSCI_SYSTEM_OFF:
      return answer(psciCode("PSCI_INTERNAL_FAILURE"), systemEvent(kernel, vcpu, KVM_SYSTEM_EVENT.SHUTDOWN, 0n));
    case PSCI_FID.PSCI_SYSTEM_RESET:
      return answer(psciCode("PSCI_INTERNAL_FAILURE"), systemEvent(kernel, vcpu, KVM_SYSTEM_EVENT.RESET, 0n));
    case PSCI_SYSTEM_RESET2:
    case PSCI_SYSTEM_RESET2_64:
      if (args[0] !== 0n && args[0] < RESET2_VENDOR) return answer(psciCode("PSCI_INVALID_PARAMETERS"));
      return answer(psciCode("PSCI_INTERNAL_FAILURE"), systemEvent(kernel, vcpu, KVM_SYSTEM_EVENT.RESET, 1n));
    case PSCI_FID.PSCI_FEATURES:
      return answer(SUPPORTED.has(args[0]) ? psciCode("PSCI_SUCCESS") : psciCode("PSCI_NOT_SUPPORTED"));
  }
  return answer(psciCode("PSCI_NOT_SUPPORTED"));
}

function cpuOn(kernel: Kernel, caller: VcpuCore, mpidr: bigint, entry: bigint, context: bigint): bigint {
  const target = caller.vm.vcpuByMpidr(mpidr);
  if (!target || (mpidr & ~MPIDR_AFFINITY) !== 0n) return psciCode("PSCI_INVALID_PARAMETERS");
  if (target.powered) return psciCode("PSCI_ALREADY_ON");
  target.reset();
  target.gprs[0] = context;
  target.pc = entry;
  if ((caller.readEl1(R.SCTLR_EL1) & SCTLR_EE) !== 0n) {
    target.writeEl1(R.SCTLR_EL1, target.readEl1(R.SCTLR_EL1) | SCTLR_EE);
  }
  kernel.powerOn(target);
  return psciCode("PSCI_SUCCESS");
}

/** ON when any vCPU of the affinity instance is on. */
function affinityInfo(caller: VcpuCore, target: bigint, level: bigint): bigint {
  if (level > 3n) return psciCode("PSCI_INVALID_PARAMETERS");
  const mask = [MPIDR_AFFINITY, 0xff_00ff_ff00n, 0xff_00ff_0000n, 0xff_0000_0000n][Number(level)]!;
  const matching = caller.vm.vcpus.filter((vcpu) => (vcpu.mpidr & mask) === (target & mask));
  if (matching.length === 0) return psciCode("PSCI_INVALID_PARAMETERS");
  return matching.some((vcpu) => vcpu.powered) ? PSCI_AFFINITY.ON : PSCI_AFFINITY.OFF;
}

/** The VM stops: no vCPU runs on, and this one's KVM_RUN returns the event. */
function systemEvent(kernel: Kernel, vcpu: VcpuCore, type: number, data: bigint): Outcome {
  kernel.stopAll(vcpu.vm);
  vcpu.run.systemEvent(type, [data]);
  return Outcome.EXIT;
}
