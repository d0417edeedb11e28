/* RSI_IPA_STATE_GET and _SET, and what accesses do in each state. */
#include "lib/arch.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/string.h"
#include "table.h"

#define PATTERN 0x6d6c61657220656aull
enum { RET = 0xd65f03c0 }; /* the instruction */

static uint64_t get(uint64_t base, uint64_t top) {
  uint64_t out_top, ripas;
  return rsi_ipa_state_get(base, top, &out_top, &ripas);
}
static uint64_t ripas_of(uint64_t page) {
  uint64_t out_top, ripas = UINT64_MAX;
  rsi_ipa_state_get(page, page + PAGE_SIZE, &out_top, &ripas);
  return ripas;
}
static uint64_t set(uint64_t base, uint64_t top, uint64_t ripas) {
  uint64_t next, response;
  return rsi_ipa_state_set(base, top, ripas, RSI_NO_CHANGE_DESTROYED, &next, &response);
}

void check_ipa_state_get(void) {
  uint64_t page = memory_pages(4), top = page + 4 * PAGE_SIZE, end = 0, ripas = UINT64_MAX;
  uint64_t uart = platform.uart_base & ~(PAGE_SIZE - 1);
  check(ROW_GET_RAM, rsi_ipa_state_get(page, top, &end, &ripas));
  check(ROW_GET_RAM_RIPAS, ripas);
  check(ROW_GET_RAM_TOP, end > page && end <= top && end % PAGE_SIZE == 0);
  check(ROW_GET_DEVICE, get(uart, uart + PAGE_SIZE));
  check(ROW_GET_DEVICE_RIPAS, ripas_of(uart));
  check(ROW_GET_BASE_ALIGN, get(page + 8, top));
  check(ROW_GET_TOP_ALIGN, get(page, top + 8));
  check(ROW_GET_EQUAL, get(page, page));
  check(ROW_GET_BELOW, get(top, page));
  check(ROW_GET_BASE_UNPROTECTED, get(page | realm.shared, top | realm.shared));
  check(ROW_GET_CROSSING, get(realm.shared - PAGE_SIZE, realm.shared + PAGE_SIZE));
  check(ROW_GET_UP_TO_HALF, get(realm.shared - PAGE_SIZE, realm.shared));
  check(ROW_GET_BEYOND, get(beyond_ipa(), beyond_ipa() + PAGE_SIZE));
}

static void check_refusals(void) {
  uint64_t page = memory_pages(4), top = page + 4 * PAGE_SIZE;
  uint64_t *words = (uint64_t *)page;
  words[0] = PATTERN;
  check(ROW_SET_BASE_ALIGN, set(page + 8, top, RSI_EMPTY));
  check(ROW_SET_TOP_ALIGN, set(page, top + 8, RSI_EMPTY));
  check(ROW_SET_EQUAL, set(page, page, RSI_EMPTY));
  check(ROW_SET_BELOW, set(top, page, RSI_EMPTY));
  check(ROW_SET_UNPROTECTED, set(page | realm.shared, top | realm.shared, RSI_EMPTY));
  check(ROW_SET_CROSSING, set(realm.shared - PAGE_SIZE, realm.shared + PAGE_SIZE, RSI_EMPTY));
  check(ROW_SET_BEYOND, set(beyond_ipa(), beyond_ipa() + PAGE_SIZE, RSI_EMPTY));
  check(ROW_SET_DESTROYED, set(page, top, RSI_DESTROYED));
  check(ROW_SET_RIPAS_3, set(page, top, 3));
  check(ROW_SET_REFUSED, words[0] == PATTERN);

  uint64_t next = 0, response = UINT64_MAX;
  check(ROW_SET_RAM_RAM, rsi_ipa_state_set(page, top, RSI_RAM, RSI_NO_CHANGE_DESTROYED, &next, &response));
  check(ROW_SET_RAM_RAM_BASE, next > page && next <= top && next % PAGE_SIZE == 0);
  check(ROW_SET_RAM_RAM_RESPONSE, response);
  check(ROW_SET_RAM_RAM_CONTENT, words[0] == PATTERN);
}

/* The stage 1 mapping must not be what refuses the fetch: an executable one of the same page, elsewhere. */
static bool execute_at(uint64_t ipa) {
  mmu_map(MMU_WINDOW, ipa, PAGE_SIZE, MMU_CODE);
  bool finished = probe_execute(MMU_WINDOW);
  mmu_map(MMU_WINDOW, ipa, PAGE_SIZE, MMU_NONE);
  return finished;
}

static bool read_at(uint64_t ipa, enum mmu_attributes attributes) {
  uint64_t unused;
  mmu_map(MMU_WINDOW, ipa & ~(PAGE_SIZE - 1), PAGE_SIZE, attributes);
  bool finished = probe_read64(MMU_WINDOW + ipa % PAGE_SIZE, &unused);
  mmu_map(MMU_WINDOW, ipa, PAGE_SIZE, MMU_NONE);
  return finished;
}

/* The middle page of three goes EMPTY, is shared with the Host, and becomes RAM again. */
static void check_one_page(void) {
  uint64_t before = memory_pages(1), page = memory_pages(1), after = memory_pages(1), value = 0;
  const struct fault *fault = &cpu_current()->fault;
  memset((void *)before, 0x11, PAGE_SIZE);
  memset((void *)page, 0x22, PAGE_SIZE);
  memset((void *)after, 0x33, PAGE_SIZE);

  check(ROW_SET_EMPTY, rsi_ipa_state_set_range(page, page + PAGE_SIZE, RSI_EMPTY, RSI_NO_CHANGE_DESTROYED));
  check(ROW_SET_EMPTY_RIPAS, ripas_of(page));
  check(ROW_SET_EMPTY_NEIGHBOURS, ripas_of(before) == RSI_RAM && ripas_of(after) == RSI_RAM &&
                                      *(uint64_t *)before == 0x1111111111111111 &&
                                      *(uint64_t *)after == 0x3333333333333333);
  check(ROW_EMPTY_READ, fault_value(probe_read64(page + 0x128, &value)));
  check(ROW_EMPTY_READ_FAR, fault->far == page + 0x128);
  check(ROW_EMPTY_WRITE, fault_value(probe_write64(page, PATTERN)));
  check(ROW_EMPTY_WRITE_WNR, fault->esr >> 6 & 1);
  check(ROW_EMPTY_EXECUTE, fault_value(execute_at(page)));

  uint64_t alias = page | realm.shared;
  mmu_map_identity(alias, PAGE_SIZE, MMU_DATA);
  check(ROW_SHARED_WRITE, fault_value(probe_write64(alias + 8, PATTERN)));
  check(ROW_SHARED_READ, probe_read64(alias + 8, &value) && value == PATTERN);
  probe_write64(alias, RET);
  check(ROW_SHARED_EXECUTE, fault_value(execute_at(alias)));
  mmu_map_identity(alias, PAGE_SIZE, MMU_NONE);

  check(ROW_SET_RAM, rsi_ipa_state_set_range(page, page + PAGE_SIZE, RSI_RAM, RSI_NO_CHANGE_DESTROYED));
  check(ROW_SET_RAM_RIPAS, ripas_of(page));
  check(ROW_SET_RAM_READ, fault_value(probe_read64(page, &value)));
  bool gone = true;
  for (uint64_t i = 0; i < PAGE_SIZE; i += 8)
    gone = gone && probe_read64(page + i, &value) && value != 0x2222222222222222 && value != PATTERN && value != RET;
  check(ROW_SET_RAM_ZERO, gone);
}

/* A range that covers whole level 2 entries: the RMM may fold and unfold tables on the way. */
static void check_large_range(void) {
  uint64_t size = 2 * MMU_BLOCK_SIZE, value;
  if (memory_left() < 2 * size) {
    skip(ROW_SET_LARGE, "too little RAM");
    skip(ROW_SET_LARGE_ZERO, "too little RAM");
    return;
  }
  uint64_t base = memory_pages(size / PAGE_SIZE);
  for (uint64_t page = base; page < base + size; page += 16 * PAGE_SIZE) *(volatile uint64_t *)page = PATTERN;
  uint64_t status = rsi_ipa_state_set_range(base, base + size, RSI_EMPTY, RSI_CHANGE_DESTROYED);
  if (status == RSI_SUCCESS && ripas_of(base + size - PAGE_SIZE) != RSI_EMPTY) status = RSI_ERROR_UNKNOWN;
  if (status == RSI_SUCCESS) status = rsi_ipa_state_set_range(base, base + size, RSI_RAM, RSI_CHANGE_DESTROYED);
  check(ROW_SET_LARGE, status);
  bool usable = true;
  for (uint64_t page = base; page < base + size; page += 16 * PAGE_SIZE)
    usable = usable && probe_read64(page, &value) && value != PATTERN && probe_write64(page, page) &&
             probe_read64(page, &value) && value == page;
  check(ROW_SET_LARGE_ZERO, usable);
}

/*
 * An address in kvmtool's memory map below the virtio devices where only a flash device would answer, and there is none
 * without a flash image.
 */
#define NOBODY 0x02ff0000ull

void check_ipa_state_set(void) {
  check_refusals();
  check_one_page();
  check_large_range();
  check(ROW_DEVICE_PROTECTED, fault_value(read_at(platform.uart_base & ~7ull, MMU_DEVICE)));
  check(ROW_DEVICE_NOBODY, fault_value(read_at(NOBODY | realm.shared, MMU_DEVICE)));
  bool finished = read_at(beyond_ipa() | platform.ram_base, MMU_DATA);
  const struct fault *fault = &cpu_current()->fault;
  check(ROW_BEYOND_READ, !finished && fault_class(fault) == EC_DATA_ABORT && fault_status(fault) <= 3);
}
