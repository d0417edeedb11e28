/**
 * SMCCC calls that reach the Host: HVC and SMC of a normal VM, RSI_HOST_CALL of a realm. A VMM may take ranges of them
 * (KVM_ARM_VM_SMCCC_FILTER); the rest is PSCI and the architecture's own calls. DEN0028 1.5; Linux
 * `arch/arm64/kvm/hypercalls.c`.
 *
 * @spec DEN0028 1.5, "functions, as KVM has them": partial: no TRNG, no paravirtualised time, no vendor calls; there is
 *   SMCCC_VERSION, SMCCC_ARCH_FEATURES, PSCI
 */
import {
  KVM_ARM_VCPU,
  KVM_EXIT,
  KVM_HYPERCALL_EXIT_SMC,
  KVM_SMCCC_FILTER_DENY,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  PSCI_FID_FIRST,
  PSCI_FID_FIRST_64,
  PSCI_FID_LAST,
  PSCI_FID_LAST_64,
  SMCCC_ARCH_FEATURES,
  SMCCC_NOT_SUPPORTED,
  SMCCC_VERSION,
} from "@realmbox/abi";
import type { Kernel } from "../kernel.js";
import { Outcome } from "./outcome.js";
import { psciCall } from "./psci.js";
import type { VcpuCore } from "./vcpu.js";

export type Conduit = "hvc" | "smc" | "host-call";

/** SMCCC_VERSION as KVM answers it: 1.1. */
const SMCCC_VERSION_1_1 = 0x0001_0001n;
const SMC64 = 1n << 30n;

/** Handles the call in `vcpu.gprs`; `imm` is the immediate of HVC or RSI_HOST_CALL. */
export function smcccCall(kernel: Kernel, vcpu: VcpuCore, conduit: Conduit, imm: number): Outcome {
  const { gprs, run } = vcpu;
  const fid = gprs[0]! & 0xffff_ffffn;
  const action = vcpu.vm.smcccAction(Number(fid));
  if (action === KVM_SMCCC_FILTER_FWD_TO_USER) {
    run.hypercall.nr = fid;
    run.hypercall.flags = conduit === "smc" ? KVM_HYPERCALL_EXIT_SMC : 0n;
    run.hypercall.imm = imm;
    run.exit(KVM_EXIT.HYPERCALL);
    return Outcome.EXIT;
  }
  let x0 = SMCCC_NOT_SUPPORTED;
  let outcome: Outcome = Outcome.RESUME;
  if (action !== KVM_SMCCC_FILTER_DENY && imm === 0) {
    const isPsci =
      (fid >= PSCI_FID_FIRST && fid <= PSCI_FID_LAST) || (fid >= PSCI_FID_FIRST_64 && fid <= PSCI_FID_LAST_64);
    if (isPsci && conduit !== "host-call" && vcpu.hasFeature(KVM_ARM_VCPU.PSCI_0_2)) {
      const argument = (n: number) => ((fid & SMC64) !== 0n ? gprs[n]! : gprs[n]! & 0xffff_ffffn);
      const call = psciCall(kernel, vcpu, fid, [argument(1), argument(2), argument(3)]);
      ({ x0, outcome } = call);
      kernel.events.psci(vcpu, fid, argument(1), x0);
    } else if (fid === SMCCC_VERSION) {
      x0 = SMCCC_VERSION_1_1;
    } else if (fid === SMCCC_ARCH_FEATURES) {
      const asked = gprs[1]! & 0xffff_ffffn;
      if (asked === SMCCC_VERSION || asked === SMCCC_ARCH_FEATURES) x0 = 0n;
    }
  }
  gprs[0] = x0;
  gprs[1] = 0n;
  gprs[2] = 0n;
  gprs[3] = 0n;
  return outcome;
}
