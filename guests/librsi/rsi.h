/*
 * librsi: the Realm Services Interface 1.0 (DEN0137 1.0-rel0, "Realm Services Interface"), for programs at EL1 of a
 * realm. Freestanding C, no other part of the guests needed. Guide and example: README.md.
 *
 * Every function returns the command's X0: RSI_SUCCESS or another enum rsi_status, or RSI_NOT_SUPPORTED. Output
 * arguments are written only as the command defines them for that status; functions marked "always" write them in
 * every case. Addresses are IPAs. A buffer that the RMM writes must lie in the protected half (below 1 << (ipa_width
 * - 1)) and have RIPAS RAM.
 */
#ifndef LIBRSI_RSI_H
#define LIBRSI_RSI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RSI_FID_VERSION 0xc4000190u
#define RSI_FID_FEATURES 0xc4000191u
#define RSI_FID_MEASUREMENT_READ 0xc4000192u
#define RSI_FID_MEASUREMENT_EXTEND 0xc4000193u
#define RSI_FID_ATTESTATION_TOKEN_INIT 0xc4000194u
#define RSI_FID_ATTESTATION_TOKEN_CONTINUE 0xc4000195u
#define RSI_FID_REALM_CONFIG 0xc4000196u
#define RSI_FID_IPA_STATE_SET 0xc4000197u
#define RSI_FID_IPA_STATE_GET 0xc4000198u
#define RSI_FID_HOST_CALL 0xc4000199u

/* RsiInterfaceVersion: minor in bits 15:0, major in bits 30:16. */
#define RSI_ABI_VERSION_1_0 0x10000u

#define RSI_GRANULE_SIZE 4096u

/* RsiCommandReturnCode. */
enum rsi_status {
  RSI_SUCCESS = 0,
  RSI_ERROR_INPUT = 1,
  RSI_ERROR_STATE = 2,
  RSI_INCOMPLETE = 3,
  RSI_ERROR_UNKNOWN = 4,
};
/* SMCCC: no such function. */
#define RSI_NOT_SUPPORTED UINT64_MAX

/* RsiRipas. */
enum rsi_ripas { RSI_EMPTY = 0, RSI_RAM = 1, RSI_DESTROYED = 2 };
/* RsiResponse. */
enum rsi_response { RSI_ACCEPT = 0, RSI_REJECT = 1 };
/* RsiRipasChangeFlags, bit 0. */
enum { RSI_NO_CHANGE_DESTROYED = 0, RSI_CHANGE_DESTROYED = 1 };
/* RsiHashAlgorithm. */
enum rsi_hash_algorithm { RSI_HASH_SHA_256 = 0, RSI_HASH_SHA_512 = 1 };

enum {
  RSI_MEASUREMENT_SIZE = 64, /* bytes of a measurement's slot: SHA-256 uses the first 32, the rest is zero */
  RSI_MEASUREMENT_RIM = 0,   /* index of the initial measurement; 1 to 4 are the extensible ones */
  RSI_MEASUREMENT_REMS = 4,
  RSI_CHALLENGE_SIZE = 64,
};

/* RsiRealmConfig: one granule. */
struct rsi_realm_config {
  uint64_t ipa_width; /* bits, the shared bit included */
  uint8_t hash_algo;  /* enum rsi_hash_algorithm */
  uint8_t reserved0[0x200 - 0x9];
  uint8_t rpv[64]; /* Realm Personalization Value */
  uint8_t reserved1[0x1000 - 0x240];
} __attribute__((aligned(4096)));

/* RsiHostCall: what the Host sees of the realm's registers, and writes back. */
struct rsi_host_call {
  uint16_t imm; /* read by the Host, never written back */
  uint8_t reserved[6];
  uint64_t gprs[31];
} __attribute__((aligned(256)));

_Static_assert(sizeof(struct rsi_realm_config) == 0x1000, "RsiRealmConfig");
_Static_assert(sizeof(struct rsi_host_call) == 0x100, "RsiHostCall");

/* X0 to X17 of one SMC, in and out: for calls that have no function here. */
struct rsi_registers {
  uint64_t x[18];
};
void rsi_smc(struct rsi_registers *registers);

/* "RSI_ERROR_INPUT" and so on; never null. */
const char *rsi_status_name(uint64_t status);

/* RSI_VERSION. Always writes both outputs: the range of versions that the RMM offers for the one requested. */
uint64_t rsi_version(uint64_t requested, uint64_t *lower, uint64_t *higher);

/* RSI_FEATURES: feature register `index`. All zero in RSI 1.0. */
uint64_t rsi_features(uint64_t index, uint64_t *value);

/*
 * RSI_REALM_CONFIG. `config` is the IPA of a struct rsi_realm_config. RSI_ERROR_INPUT: not aligned to 4 KiB, not
 * protected, or RIPAS EMPTY.
 */
uint64_t rsi_realm_config(uint64_t config);

/*
 * RSI_MEASUREMENT_READ: index 0 = RIM, 1 to 4 = REM. RSI_ERROR_INPUT: index above 4; `value` is then not written.
 */
uint64_t rsi_measurement_read(uint64_t index, uint8_t value[RSI_MEASUREMENT_SIZE]);

/*
 * RSI_MEASUREMENT_EXTEND: REM := H(REM, first `size` bytes of data). RSI_ERROR_INPUT: index not 1 to 4, or size above
 * 64. `data` is read only up to 64 bytes.
 */
uint64_t rsi_measurement_extend(uint64_t index, const void *data, uint64_t size);

/*
 * RSI_ATTESTATION_TOKEN_INIT. `size_max`: upper bound of the token's size in bytes. Drops a token under way on this
 * CPU.
 */
uint64_t rsi_attestation_token_init(const uint8_t challenge[RSI_CHALLENGE_SIZE], uint64_t *size_max);

/*
 * RSI_ATTESTATION_TOKEN_CONTINUE, on the CPU that called INIT: writes up to `size` bytes at `granule` + `offset`.
 * Always writes `written`. RSI_INCOMPLETE: call again. RSI_ERROR_STATE: no INIT before. RSI_ERROR_INPUT: granule not
 * aligned to 4 KiB, not protected or EMPTY; offset at or above 4096; offset + size above 4096.
 */
uint64_t rsi_attestation_token_continue(uint64_t granule, uint64_t offset, uint64_t size, uint64_t *written);

/*
 * The whole token into `buffer`, 4 KiB aligned and `capacity` bytes large (a multiple of 4096), at its IPA.
 * RSI_ERROR_INPUT when it does not fit.
 */
uint64_t rsi_attestation_token(const uint8_t challenge[RSI_CHALLENGE_SIZE], uint8_t *buffer, uint64_t capacity,
                               uint64_t *size);

/*
 * RSI_IPA_STATE_GET: RIPAS at `base`, and the end of the uniform range from there, at most `top`. RSI_ERROR_INPUT: an
 * address not aligned to 4 KiB, base >= top, or not wholly protected.
 */
uint64_t rsi_ipa_state_get(uint64_t base, uint64_t top, uint64_t *out_top, uint64_t *ripas);

/*
 * RSI_IPA_STATE_SET, one step: `new_base` is how far the Host went, `response` whether it refused the rest (only a
 * change to RAM can be refused). RSI_ERROR_INPUT: as for GET, or RIPAS neither EMPTY nor RAM.
 */
uint64_t rsi_ipa_state_set(uint64_t base, uint64_t top, uint64_t ripas, uint64_t flags, uint64_t *new_base,
                           uint64_t *response);

/*
 * RSI_IPA_STATE_SET over all of [base, top), step by step. RSI_ERROR_STATE: the Host refused, or made no progress in
 * 1024 steps in a row.
 */
uint64_t rsi_ipa_state_set_range(uint64_t base, uint64_t top, uint64_t ripas, uint64_t flags);

/*
 * RSI_HOST_CALL. `call` is the IPA of a struct rsi_host_call. RSI_ERROR_INPUT: not aligned to 256 bytes, not
 * protected, or RIPAS EMPTY.
 */
uint64_t rsi_host_call(uint64_t call);

#ifdef __cplusplus
}
#endif

#endif
