/* What any SMC of a realm does, and the commands that need no second look: VERSION, FEATURES, REALM_CONFIG. */
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/string.h"
#include "table.h"

static uint64_t smc(uint64_t x0) {
  struct rsi_registers r = {{x0}};
  rsi_smc(&r);
  return r.x[0];
}

/* One call with a pattern in X4 to X30; true when they come back unchanged. */
static bool keeps_registers(uint64_t fid, uint64_t x1) {
  struct smccc_registers r = {{fid, x1}};
  for (uint32_t i = 4; i <= 30; i++) r.x[i] = 0x5a5a0000 + i;
  smc_call(&r);
  for (uint32_t i = 4; i <= 30; i++)
    if (r.x[i] != 0x5a5a0000 + i) return false;
  return true;
}

extern const char hvc_instruction[];
__attribute__((noinline)) static uint64_t hvc(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  __asm__ volatile(".global hvc_instruction\nhvc_instruction:\n\thvc #0" ::: "x0", "x1", "x2", "x3", "memory");
  return 0;
}

void check_dispatch(void) {
  uint64_t unused;
  check(ROW_SMCCC_AT_LEAST_1_2, psci_call(SMCCC_VERSION, 0, 0, 0) >= 0x10002);
  check(ROW_FID_BELOW, smc(0xc400018f));
  check(ROW_FID_LAST, smc(0xc40001af));
  check(ROW_FID_SMC32, smc(0x84000190));
  check(ROW_FID_RMI_VERSION, smc(0xc4000150));
  check(ROW_FID_RMI_REC_ENTER, smc(0xc400015c));
  check(ROW_FID_TRNG, smc(0x84000050));
  check(ROW_FID_CHANNEL, smc(0xc6000f01));
  struct rsi_registers r = {{0xffffffff00000000ull | RSI_FID_VERSION, RSI_ABI_VERSION_1_0}};
  rsi_smc(&r);
  check(ROW_FID_UPPER_HALF, r.x[0]);
  r = (struct rsi_registers){{RSI_FID_VERSION | 1u << 16, RSI_ABI_VERSION_1_0}};
  rsi_smc(&r);
  check(ROW_FID_HINT, r.x[0]);
  check(ROW_UNKNOWN_KEEPS, keeps_registers(0xc400018f, 0));
  check(ROW_KNOWN_KEEPS, keeps_registers(RSI_FID_VERSION, RSI_ABI_VERSION_1_0));
  bool finished = probe_call(hvc, 0, 0, &unused);
  check(ROW_HVC_FAULT, finished ? NO_FAULT : FAULT(fault_class(&cpu_current()->fault), 0));
  check(ROW_HVC_ELR, !finished && cpu_current()->fault.elr == (uint64_t)hvc_instruction);
}

void check_version_and_features(void) {
  uint64_t lower, higher, value;
  check(ROW_VERSION_1_0, rsi_version(RSI_ABI_VERSION_1_0, &lower, &higher));
  check(ROW_VERSION_1_0_LOWER, lower);
  check(ROW_VERSION_1_0_HIGHER, higher >= lower && higher >> 31 == 0);
  check(ROW_VERSION_0_0, rsi_version(0, &lower, &higher));
  check(ROW_VERSION_0_0_SAME, lower == higher && lower >> 31 == 0);
  check(ROW_VERSION_MAX, rsi_version(0x7fffffff, &lower, &higher));
  check(ROW_VERSION_MAX_BELOW, lower < 0x7fffffff && lower <= higher && higher >> 31 == 0);
  check(ROW_FEATURES_0, rsi_features(0, &value));
  check(ROW_FEATURES_0_VALUE, value);
  check(ROW_FEATURES_MAX, rsi_features(UINT64_MAX, &value));
  check(ROW_FEATURES_MAX_VALUE, value);
}

void check_config(void) {
  uint64_t page = memory_pages(1), empty = empty_page();
  struct rsi_realm_config *config = (struct rsi_realm_config *)page;
  memset(config, 0xa5, sizeof *config);
  check(ROW_CONFIG, rsi_realm_config(page));
  check(ROW_CONFIG_WIDTH, config->ipa_width >= 32 && config->ipa_width <= 52);
  check(ROW_CONFIG_HASH, config->hash_algo == RSI_HASH_SHA_256 || config->hash_algo == RSI_HASH_SHA_512);
  bool zero = true;
  for (uint32_t i = 0; i < sizeof config->reserved0; i++) zero = zero && config->reserved0[i] == 0;
  for (uint32_t i = 0; i < sizeof config->reserved1; i++) zero = zero && config->reserved1[i] == 0;
  check(ROW_CONFIG_ZERO, zero);
  check(ROW_CONFIG_ALIGN, rsi_realm_config(page + 0x800));
  check(ROW_CONFIG_UNPROTECTED, rsi_realm_config(page | realm.shared));
  check(ROW_CONFIG_BEYOND, rsi_realm_config(beyond_ipa()));
  check(ROW_CONFIG_EMPTY, rsi_realm_config(empty));
  check(ROW_CONFIG_UNTOUCHED, rsi_realm_config(untouched_page()));
}

static uint64_t host_call(struct rsi_host_call *call, uint64_t gpr0) {
  call->gprs[0] = gpr0;
  return rsi_host_call((uint64_t)call);
}

void check_host_call(void) {
  uint64_t page = memory_pages(1), empty = empty_page();
  struct rsi_host_call *call = (struct rsi_host_call *)page;
  memset(call, 0, PAGE_SIZE);
  check(ROW_HOST_UNKNOWN, host_call(call, 0xc6000fff));
  check(ROW_HOST_UNKNOWN_X0, call->gprs[0]);

  struct rsi_registers r = {{RSI_FID_HOST_CALL, page}};
  for (uint32_t i = 2; i < 18; i++) r.x[i] = 0x5a5a0000 + i;
  call->imm = 0xfffe;
  call->gprs[0] = SMCCC_VERSION;
  rsi_smc(&r);
  bool kept = r.x[1] == page;
  for (uint32_t i = 2; i < 18; i++) kept = kept && r.x[i] == 0x5a5a0000 + i;
  check(ROW_HOST_KEEPS, kept);
  check(ROW_HOST_IMM, call->imm == 0xfffe);
  call->imm = 0;

  host_call(call, SMCCC_VERSION);
  check(ROW_HOST_SMCCC, call->gprs[0] >= 0x10001 && call->gprs[0] < 0x7fffffff);
  check(ROW_HOST_INSIDE, host_call((struct rsi_host_call *)(page + 0xf00), SMCCC_VERSION));
  check(ROW_HOST_ALIGN, rsi_host_call(page + 0x80));
  check(ROW_HOST_UNPROTECTED, rsi_host_call(page | realm.shared));
  check(ROW_HOST_BEYOND, rsi_host_call(beyond_ipa()));
  check(ROW_HOST_EMPTY, rsi_host_call(empty));
  check(ROW_HOST_UNTOUCHED, rsi_host_call(untouched_page()));
}
