/* Are we in a realm, and what follows from it: shared aliases of devices, RAM claimed from the RMM. */
#ifndef GUEST_REALM_H
#define GUEST_REALM_H

#include <stdbool.h>
#include <stdint.h>

struct realm {
  bool present;
  uint64_t rsi_version;
  uint64_t ipa_width;
  uint64_t shared; /* the IPA bit that selects the unprotected half; 0 in a normal VM */
  uint8_t hash_algorithm;
  uint8_t rpv[64];
};
extern struct realm realm;

/*
 * Decides as Linux does: PSCI's conduit is SMC, PSCI_FEATURES knows SMCCC_VERSION, SMCCC is 1.1 or later, RSI_VERSION
 * answers. In a normal VM with the HVC conduit no SMC is executed: it could be UNDEFINED.
 */
void realm_init(void);

/* Gives RAM that is still RIPAS EMPTY the RIPAS RAM. */
void realm_claim(uint64_t base, uint64_t top);

/* Maps a device, in a realm at its shared alias. The address to use, or 0 when it cannot be mapped. */
uint64_t device_map(uint64_t base, uint64_t size);

#endif
