/* See psci.h. */
#include "psci.h"

#include "platform.h"

int64_t psci_call(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3) {
  struct smccc_registers call = {{function, x1, x2, x3}};
  if (platform.psci == CONDUIT_SMC)
    smc_call(&call);
  else if (platform.psci == CONDUIT_HVC)
    hvc_call(&call);
  else
    return PSCI_NOT_SUPPORTED;
  /* A 32-bit function returns a 32-bit status; bits 63:32 of X0 are then not defined by every version of SMCCC. */
  return (function & 0x40000000) != 0 ? (int64_t)call.x[0] : (int32_t)call.x[0];
}

int64_t psci_cpu_on(uint64_t mpidr, uint64_t entry, uint64_t context) {
  return psci_call(PSCI_CPU_ON, mpidr, entry, context);
}

int64_t psci_cpu_off(void) { return psci_call(PSCI_CPU_OFF, 0, 0, 0); }

int64_t psci_affinity_info(uint64_t mpidr, uint64_t level) { return psci_call(PSCI_AFFINITY_INFO, mpidr, level, 0); }
