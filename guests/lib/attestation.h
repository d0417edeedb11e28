/* A token for the VMM's challenge, handed over through the guest channel. */
#ifndef GUEST_ATTESTATION_H
#define GUEST_ATTESTATION_H

#include <stdbool.h>

/*
 * In a realm: asks the VMM for a challenge, gets the attestation token from the RMM, hands it to the VMM. Prints what
 * it does when `verbose`. False when the RMM gave no token or the VMM did not take it; true when the VMM has no
 * challenge (it does not know the channel) or outside a realm.
 */
bool attestation_report(bool verbose);

#endif
