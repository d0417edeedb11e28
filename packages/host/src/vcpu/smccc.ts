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
const SMCCC_VERSION_1_1 = 0x0001_0001;
const SMC64 = 1 << 30;
// Function ids and results as words: a host call makes no 64-bit values.
const VERSION = Number(SMCCC_VERSION);
const ARCH_FEATURES = Number(SMCCC_ARCH_FEATURES);
const PSCI_FIRST = Number(PSCI_FID_FIRST);
const PSCI_LAST = Number(PSCI_FID_LAST);
const PSCI_FIRST_64 = Number(PSCI_FID_FIRST_64);
const PSCI_LAST_64 = Number(PSCI_FID_LAST_64);

/** Handles the call in `vcpu.gprs`; `imm` is the immediate of HVC or RSI_HOST_CALL. */
export function smcccCall(kernel: Kernel, vcpu: VcpuCore, conduit: Conduit, imm: number): Outcome {
  const { gprs, gprWords, run } = vcpu;
  const fid = gprWords[0]!;
  const action = vcpu.vm.smcccAction(fid);
  if (action === KVM_SMCCC_FILTER_FWD_TO_USER) {
    run.hypercall.nr = BigInt(fid);
    run.hypercall.flags = conduit === "smc" ? KVM_HYPERCALL_EXIT_SMC : 0n;
    run.hypercall.imm = imm;
    run.exit(KVM_EXIT.HYPERCALL);
    return Outcome.EXIT;
  }
  let known = -1;
  if (action !== KVM_SMCCC_FILTER_DENY && imm === 0) {
    const isPsci = (fid >= PSCI_FIRST && fid <= PSCI_LAST) || (fid >= PSCI_FIRST_64 && fid <= PSCI_LAST_64);
    if (isPsci && conduit !== "host-call" && vcpu.hasFeature(KVM_ARM_VCPU.PSCI_0_2)) {
      return psci(kernel, vcpu, fid);
    }
    if (fid === VERSION) known = SMCCC_VERSION_1_1;
    else if (fid === ARCH_FEATURES && (gprWords[2] === VERSION || gprWords[2] === ARCH_FEATURES)) known = 0;
  }
  if (known < 0) gprs[0] = SMCCC_NOT_SUPPORTED;
  else {
    gprWords[0] = known;
    gprWords[1] = 0;
  }
  clearX1ToX3(gprWords);
  return Outcome.RESUME;
}

function psci(kernel: Kernel, vcpu: VcpuCore, fid: number): Outcome {
  const { gprs } = vcpu;
  const argument = (n: number) => ((fid & SMC64) !== 0 ? gprs[n]! : gprs[n]! & 0xffff_ffffn);
  const x1 = argument(1);
  const { x0, outcome } = psciCall(kernel, vcpu, BigInt(fid), [x1, argument(2), argument(3)]);
  kernel.events.psci(vcpu, BigInt(fid), x1, x0);
  gprs[0] = x0;
  clearX1ToX3(vcpu.gprWords);
  return outcome;
}

function clearX1ToX3(gprWords: Uint32Array): void {
  for (let i = 2; i < 8; i++) gprWords[i] = 0;
}
