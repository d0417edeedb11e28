/* See rsi.h. Register use of each command: DEN0137 1.0-rel0, "RSI commands". */
#include "rsi.h"

enum { NO_PROGRESS_MAX = 1024 };

uint64_t rsi_measurement_read(uint64_t index, uint8_t value[RSI_MEASUREMENT_SIZE]) {
  struct rsi_registers r = {{RSI_FID_MEASUREMENT_READ, index}};
  rsi_smc(&r);
  if (r.x[0] == RSI_SUCCESS)
    for (uint32_t i = 0; i < RSI_MEASUREMENT_SIZE; i++) value[i] = (uint8_t)(r.x[1 + i / 8] >> i % 8 * 8);
  return r.x[0];
}

/* Bytes into registers, little-endian, eight each. */
static void pack(uint64_t *registers, const uint8_t *bytes, uint64_t size) {
  for (uint64_t i = 0; i < size; i++) registers[i / 8] |= (uint64_t)bytes[i] << i % 8 * 8;
}

uint64_t rsi_measurement_extend(uint64_t index, const void *data, uint64_t size) {
  struct rsi_registers r = {{RSI_FID_MEASUREMENT_EXTEND, index, size}};
  pack(&r.x[3], data, size < RSI_MEASUREMENT_SIZE ? size : RSI_MEASUREMENT_SIZE);
  rsi_smc(&r);
  return r.x[0];
}

uint64_t rsi_version(uint64_t requested, uint64_t *lower, uint64_t *higher) {
  struct rsi_registers r = {{RSI_FID_VERSION, requested}};
  rsi_smc(&r);
  *lower = r.x[1];
  *higher = r.x[2];
  return r.x[0];
}

uint64_t rsi_features(uint64_t index, uint64_t *value) {
  struct rsi_registers r = {{RSI_FID_FEATURES, index}};
  rsi_smc(&r);
  *value = r.x[1];
  return r.x[0];
}

uint64_t rsi_realm_config(uint64_t config) {
  struct rsi_registers r = {{RSI_FID_REALM_CONFIG, config}};
  rsi_smc(&r);
  return r.x[0];
}

uint64_t rsi_attestation_token_init(const uint8_t challenge[RSI_CHALLENGE_SIZE], uint64_t *size_max) {
  struct rsi_registers r = {{RSI_FID_ATTESTATION_TOKEN_INIT}};
  pack(&r.x[1], challenge, RSI_CHALLENGE_SIZE);
  rsi_smc(&r);
  if (r.x[0] == RSI_SUCCESS) *size_max = r.x[1];
  return r.x[0];
}

uint64_t rsi_attestation_token_continue(uint64_t granule, uint64_t offset, uint64_t size, uint64_t *written) {
  struct rsi_registers r = {{RSI_FID_ATTESTATION_TOKEN_CONTINUE, granule, offset, size}};
  rsi_smc(&r);
  *written = r.x[0] == RSI_SUCCESS || r.x[0] == RSI_INCOMPLETE ? r.x[1] : 0;
  return r.x[0];
}

uint64_t rsi_attestation_token(const uint8_t challenge[RSI_CHALLENGE_SIZE], uint8_t *buffer, uint64_t capacity,
                               uint64_t *size) {
  uint64_t size_max, total = 0, written;
  uint64_t status = rsi_attestation_token_init(challenge, &size_max);
  if (status != RSI_SUCCESS) return status;
  do {
    if (total >= capacity) return RSI_ERROR_INPUT;
    uint64_t offset = total % RSI_GRANULE_SIZE;
    uint64_t granule = (uint64_t)buffer + total - offset;
    status = rsi_attestation_token_continue(granule, offset, RSI_GRANULE_SIZE - offset, &written);
    total += written;
  } while (status == RSI_INCOMPLETE);
  *size = total;
  return status;
}

uint64_t rsi_ipa_state_get(uint64_t base, uint64_t top, uint64_t *out_top, uint64_t *ripas) {
  struct rsi_registers r = {{RSI_FID_IPA_STATE_GET, base, top}};
  rsi_smc(&r);
  if (r.x[0] == RSI_SUCCESS) {
    *out_top = r.x[1];
    *ripas = r.x[2];
  }
  return r.x[0];
}

uint64_t rsi_ipa_state_set(uint64_t base, uint64_t top, uint64_t ripas, uint64_t flags, uint64_t *new_base,
                           uint64_t *response) {
  struct rsi_registers r = {{RSI_FID_IPA_STATE_SET, base, top, ripas, flags}};
  rsi_smc(&r);
  if (r.x[0] == RSI_SUCCESS) {
    *new_base = r.x[1];
    *response = r.x[2];
  }
  return r.x[0];
}

uint64_t rsi_ipa_state_set_range(uint64_t base, uint64_t top, uint64_t ripas, uint64_t flags) {
  uint32_t stalled = 0;
  while (base < top) {
    uint64_t next, response;
    uint64_t status = rsi_ipa_state_set(base, top, ripas, flags, &next, &response);
    if (status != RSI_SUCCESS) return status;
    /*
     * The Host is not trusted, the RMM keeps next within [base, top]; a Host that accepts and does nothing would hold
     * us for ever.
     */
    stalled = next == base ? stalled + 1 : 0;
    if (response == RSI_REJECT || next < base || next > top || stalled == NO_PROGRESS_MAX) return RSI_ERROR_STATE;
    base = next;
  }
  return RSI_SUCCESS;
}

uint64_t rsi_host_call(uint64_t call) {
  /* The RMM and the Host read and write the structure behind the compiler's back: rsi_smc is opaque to it. */
  struct rsi_registers r = {{RSI_FID_HOST_CALL, call}};
  rsi_smc(&r);
  return r.x[0];
}

const char *rsi_status_name(uint64_t status) {
  switch (status) {
    case RSI_SUCCESS:
      return "RSI_SUCCESS";
    case RSI_ERROR_INPUT:
      return "RSI_ERROR_INPUT";
    case RSI_ERROR_STATE:
      return "RSI_ERROR_STATE";
    case RSI_INCOMPLETE:
      return "RSI_INCOMPLETE";
    case RSI_ERROR_UNKNOWN:
      return "RSI_ERROR_UNKNOWN";
    case RSI_NOT_SUPPORTED:
      return "NOT_SUPPORTED";
    default:
      return "unknown status";
  }
}
