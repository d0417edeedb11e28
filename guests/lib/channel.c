/* See channel.h. */
#include "channel.h"

#include "../librsi/rsi.h"
#include "platform.h"
#include "realm.h"
#include "string.h"

bool channel_call(struct smccc_registers *registers) {
  if (realm.present) {
    struct rsi_host_call call = {.imm = GUEST_CHANNEL_IMM};
    memcpy(call.gprs, registers->x, sizeof call.gprs);
    if (rsi_host_call((uint64_t)&call) != RSI_SUCCESS) return false;
    memcpy(registers->x, call.gprs, sizeof call.gprs);
    return true;
  }
  if (platform.psci != CONDUIT_HVC) return false;
  hvc_call(registers);
  return true;
}

bool channel_challenge(uint8_t challenge[CHALLENGE_SIZE]) {
  struct smccc_registers call = {{GUEST_CHALLENGE}};
  if (!channel_call(&call) || call.x[0] != 0) return false;
  memcpy(challenge, &call.x[1], CHALLENGE_SIZE);
  return true;
}

bool channel_token(const uint8_t *token, uint64_t size) {
  for (uint64_t offset = 0; offset < size; offset += GUEST_TOKEN_CHUNK) {
    struct smccc_registers call = {{GUEST_TOKEN, size, offset}};
    memcpy(&call.x[3], token + offset, size - offset < GUEST_TOKEN_CHUNK ? size - offset : GUEST_TOKEN_CHUNK);
    if (!channel_call(&call) || call.x[0] != 0) return false;
  }
  return true;
}

void channel_exit(uint64_t status) {
  struct smccc_registers call = {{GUEST_EXIT, status}};
  channel_call(&call);
}
