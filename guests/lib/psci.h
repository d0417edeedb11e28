/* PSCI (DEN0022) through the conduit that the device tree names, and plain SMCCC calls. */
#ifndef GUEST_PSCI_H
#define GUEST_PSCI_H

#include <stdint.h>

#define SMCCC_VERSION 0x80000000u
#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_SUSPEND 0xc4000001u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_FEATURES 0x8400000au

enum {
  PSCI_SUCCESS = 0,
  PSCI_NOT_SUPPORTED = -1,
  PSCI_INVALID_PARAMETERS = -2,
  PSCI_DENIED = -3,
  PSCI_ALREADY_ON = -4,
  PSCI_ON_PENDING = -5,
  PSCI_INVALID_ADDRESS = -9,
};
enum { AFFINITY_ON = 0, AFFINITY_OFF = 1 };

/* X0 to X30, in and out. smccc.S. */
struct smccc_registers {
  uint64_t x[31];
};
void smc_call(struct smccc_registers *registers);
void hvc_call(struct smccc_registers *registers);

/* Calls by the conduit of the /psci node. X0 as a signed number; NOT_SUPPORTED when there is no conduit. */
int64_t psci_call(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3);

int64_t psci_cpu_on(uint64_t mpidr, uint64_t entry, uint64_t context);
int64_t psci_cpu_off(void);
int64_t psci_affinity_info(uint64_t mpidr, uint64_t level);

#endif
