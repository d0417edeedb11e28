/* See realm.h. DEN0137 1.0-rel0: RSI_VERSION, RSI_REALM_CONFIG, RSI_IPA_STATE_GET, RSI_IPA_STATE_SET. */
#include "realm.h"

#include "../librsi/rsi.h"
#include "console.h"
#include "exception.h"
#include "mmu.h"
#include "platform.h"
#include "psci.h"
#include "string.h"

struct realm realm;

/* In the image's data, hence measured or claimed memory from the start. */
static struct rsi_realm_config config;

static bool rsi_answers(void) {
  uint64_t lower, higher;
  if (platform.psci != CONDUIT_SMC) return false;
  if (psci_call(PSCI_VERSION, 0, 0, 0) < 0x10000) return false;
  if (psci_call(PSCI_FEATURES, SMCCC_VERSION, 0, 0) < 0) return false;
  if (psci_call(SMCCC_VERSION, 0, 0, 0) < 0x10001) return false;
  if (rsi_version(RSI_ABI_VERSION_1_0, &lower, &higher) != RSI_SUCCESS) return false;
  realm.rsi_version = lower;
  return true;
}

void realm_init(void) {
  if (!rsi_answers()) return;
  if (rsi_realm_config((uint64_t)&config) != RSI_SUCCESS) panic("RSI_REALM_CONFIG failed");
  realm.present = true;
  realm.ipa_width = config.ipa_width;
  realm.shared = 1ull << (config.ipa_width - 1);
  realm.hash_algorithm = config.hash_algo;
  memcpy(realm.rpv, config.rpv, sizeof realm.rpv);
}

void realm_claim(uint64_t base, uint64_t top) {
  while (base < top) {
    uint64_t end, ripas;
    if (rsi_ipa_state_get(base, top, &end, &ripas) != RSI_SUCCESS || end <= base)
      panic("RSI_IPA_STATE_GET failed at 0x%lx", base);
    if (ripas == RSI_EMPTY && rsi_ipa_state_set_range(base, end, RSI_RAM, 0) != RSI_SUCCESS)
      panic("RSI_IPA_STATE_SET failed at 0x%lx", base);
    if (ripas == RSI_DESTROYED) panic("RAM at 0x%lx is DESTROYED", base);
    base = end;
  }
}

uint64_t device_map(uint64_t base, uint64_t size) {
  uint64_t start = (base & ~(PAGE_SIZE - 1)) | realm.shared;
  uint64_t length = (base % PAGE_SIZE + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  return mmu_map_identity(start, length, MMU_DEVICE) ? base | realm.shared : 0;
}
