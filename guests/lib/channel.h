/*
 * The guest's channel to its VMM (packages/abi/src/guest-channel.ts): RSI_HOST_CALL in a realm, HVC #0 in a normal VM.
 * The function ids are realmbox's own; another VMM refuses them.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "psci.h"

#define GUEST_EXIT 0xc6000f00u
#define GUEST_CHALLENGE 0xc6000f01u
#define GUEST_TOKEN 0xc6000f02u
enum { GUEST_CHANNEL_IMM = 0, GUEST_TOKEN_CHUNK = 224, GUEST_TOKEN_SIZE_MAX = 65536, CHALLENGE_SIZE = 64 };

/* One call. False: there is no channel here. The VMM's refusal is X0 = all ones. */
bool channel_call(struct smccc_registers *registers);

/* False: refused. */
bool channel_challenge(uint8_t challenge[CHALLENGE_SIZE]);
bool channel_token(const uint8_t *token, uint64_t size);
/* Returns when the VMM refuses. */
void channel_exit(uint64_t status);

#endif
