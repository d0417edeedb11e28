/*
 * Random SMCs (in a normal VM HVCs too), reproducible by their seed. What would only end this program is left out:
 * functions that end or stop the caller, and RIPAS changes and outputs that hit its own image.
 */
#include "cases.h"
#include "lib/console.h"
#include "lib/crc32.h"
#include "lib/exception.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/psci.h"
#include "lib/random.h"
#include "lib/realm.h"
#include "lib/start.h"
#include "librsi/rsi.h"

enum { SCRATCH_PAGES = 64 };

static struct random generator;
static uint64_t scratch; /* the only RAM that calls may change; this program never reads it */

static uint64_t below(uint64_t limit) { return random_below(&generator, limit); }

/* Ranges of function ids that mean something to somebody, each with its neighbours. */
static const struct {
  uint32_t first, count;
} ranges[] = {
    {RSI_FID_VERSION, 10}, {RSI_FID_VERSION, 10},     {RSI_FID_VERSION, 10},  /* what is served, more often */
    {RSI_FID_VERSION, 10}, {RSI_FID_VERSION - 2, 36}, {0xc4000150 - 2, 64},   /* RSI, RMI */
    {0xc40001b0, 32},      {0x84000000, 24},          {0xc4000000, 24},       /* RMM-EL3, PSCI */
    {0x80000000, 4},       {0x84000050, 4},           {0xc5000020, 2},        /* SMCCC, TRNG, PV time */
    {0x8600ff00, 4},                                                          /* vendor hypervisor */
};

static uint64_t function_id(void) {
  uint64_t kind = below(16);
  if (kind == 0) return random_next(&generator);
  if (kind == 1) return (uint32_t)random_next(&generator);
  uint64_t i = below(sizeof ranges / sizeof ranges[0]);
  uint64_t fid = ranges[i].first + below(ranges[i].count);
  if (below(64) == 0) fid |= random_next(&generator) << 32;
  if (below(64) == 0) fid |= 1 << 16;
  return fid;
}

static uint64_t argument(void) {
  uint64_t page = scratch + PAGE_SIZE * below(SCRATCH_PAGES);
  switch (below(12)) {
    case 0:
      return random_next(&generator);
    case 1:
      return random_next(&generator) >> below(64);
    case 2:
      return below(6);
    case 3:
      return below(5000);
    case 4:
      return page + below(PAGE_SIZE);
    case 5:
      return page | realm.shared;
    case 6:
      return realm.shared - PAGE_SIZE + below(3) * PAGE_SIZE;
    case 7:
      return (realm.shared << 1) - PAGE_SIZE + below(3) * PAGE_SIZE;
    case 8:
      return 0 - below(9000);
    default:
      return page;
  }
}

/* Arguments that the command may well accept: random ones alone hardly get beyond the first check. */
static void make_plausible(uint64_t x[31]) {
  uint64_t first = below(SCRATCH_PAGES), count = 1 + below(SCRATCH_PAGES - first);
  uint64_t page = scratch + first * PAGE_SIZE, top = page + count * PAGE_SIZE, offset = below(PAGE_SIZE);
  switch ((uint32_t)x[0]) {
    case RSI_FID_MEASUREMENT_READ:
      x[1] = below(6);
      break;
    case RSI_FID_MEASUREMENT_EXTEND:
      x[1] = below(6);
      x[2] = below(66);
      break;
    case RSI_FID_ATTESTATION_TOKEN_CONTINUE:
      x[1] = page;
      x[2] = offset;
      x[3] = below(PAGE_SIZE - offset + 1);
      break;
    case RSI_FID_HOST_CALL:
      x[1] = page + (offset & ~255ull);
      break;
    case RSI_FID_REALM_CONFIG:
      x[1] = page;
      break;
    case RSI_FID_IPA_STATE_GET:
    case RSI_FID_IPA_STATE_SET:
      x[1] = page;
      x[2] = top;
      x[3] = below(3);
      x[4] = below(2);
      break;
    case PSCI_AFFINITY_INFO:
      x[1] = below(10);
      x[2] = below(2);
      break;
  }
}

/* Memory that a call may not be pointed at: this program's, and all RAM but the scratch pages. */
static bool is_own(uint64_t base, uint64_t top) {
  uint64_t ram_end = platform.ram_base + platform.ram_size, scratch_end = scratch + SCRATCH_PAGES * PAGE_SIZE;
  return (base < scratch && top > platform.ram_base) || (base < ram_end && top > scratch_end);
}

static bool is_fatal(const struct smccc_registers *call) {
  uint32_t fid = (uint32_t)call->x[0] & ~(1u << 16);
  switch (fid) {
    case PSCI_CPU_OFF:
    case PSCI_SYSTEM_OFF:
    case PSCI_SYSTEM_RESET:
    case PSCI_CPU_SUSPEND:
    case PSCI_CPU_SUSPEND & ~0x40000000u:
    case PSCI_CPU_ON: /* a CPU that runs wild in our memory */
    case PSCI_CPU_ON & ~0x40000000u:
    case 0x8400000e: /* SYSTEM_SUSPEND */
    case 0xc400000e:
    case 0x84000012: /* SYSTEM_RESET2 */
    case 0xc4000012:
      return true;
    case RSI_FID_IPA_STATE_SET:
      return call->x[1] < call->x[2] && is_own(call->x[1], call->x[2]);
    case RSI_FID_REALM_CONFIG:
    case RSI_FID_HOST_CALL:
    case RSI_FID_ATTESTATION_TOKEN_CONTINUE:
      return is_own(call->x[1], call->x[1] + 1);
    case RSI_FID_ATTESTATION_TOKEN_INIT: /* signing takes long: seldom */
      return below(16) != 0;
    default:
      return (fid & 0xffff0000) == 0xc6000000; /* the guest channel: it ends the guest */
  }
}

static uint64_t issue(uint64_t call, uint64_t by_hvc) {
  by_hvc != 0 ? hvc_call((struct smccc_registers *)call) : smc_call((struct smccc_registers *)call);
  return 0;
}

int case_fuzz(void) {
  generator.state = bootarg_number("seed", 0);
  uint64_t calls = bootarg_number("calls", 10000), faults = 0, unused, results[8] = {0};
  scratch = memory_pages(SCRATCH_PAGES);
  uint32_t digest = 0;
  for (uint64_t i = 0; i < calls; i++) {
    struct smccc_registers call;
    call.x[0] = function_id();
    for (uint32_t n = 1; n < 11; n++) call.x[n] = argument();
    for (uint32_t n = 11; n < 31; n++) call.x[n] = call.x[n - 10] + n; /* nobody looks at them */
    if (below(2) == 0) make_plausible(call.x);
    uint64_t by_hvc = !realm.present && below(2);
    if (is_fatal(&call)) continue;
    if (!probe_call(issue, (uint64_t)&call, by_hvc, &unused)) {
      faults++;
      continue;
    }
    results[call.x[0] < 6 ? call.x[0] : call.x[0] == UINT64_MAX ? 6 : 7]++;
    digest = digest << 1 ^ digest >> 31 ^ crc32(call.x, 4 * sizeof call.x[0]);
  }
  printf("hostile: %lu calls: X0 was", calls);
  for (uint32_t i = 0; i < 6; i++) printf(" %u: %lu,", i, results[i]);
  printf(" not supported: %lu, other: %lu; %lu faults\n", results[6], results[7], faults);
  printf("hostile: digest of results %08x\n", digest);
  return STATUS_OK;
}
