/* Watchdogs: the generic one (BSA, "Generic Watchdog"), the SP805, and life after a reset. */
#include "../lib/arch.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

enum { WCS = 0x000, WOR = 0x008, WCS_ENABLE = 1, WCS_WS0 = 2 };
static void generic_quiet(uint32_t intid) {
  (void)intid;
  mmio_write32(GENERIC_WDOG_BASE + WCS, 0);
}
static void watchdog_generic(void) {
  gic_set_handler(INTID_GENERIC_WDOG, generic_quiet);
  gic_set_edge(INTID_GENERIC_WDOG, false);
  gic_route(INTID_GENERIC_WDOG, 0);
  gic_enable(INTID_GENERIC_WDOG);
  uint64_t ticks = timer_ticks(500), from = timer_now();
  mmio_write32(GENERIC_WDOG_BASE + WOR, (uint32_t)ticks);
  mmio_write32(GENERIC_WDOG_BASE + WCS, WCS_ENABLE);
  check_equal("no signal at its start", mmio_read32(GENERIC_WDOG_BASE + WCS) & WCS_WS0, 0);
  check("its first signal is an interrupt", gic_wait(INTID_GENERIC_WDOG, 1, 100000));
  check("not before its time", timer_now() - from >= ticks);
  check("and not late", timer_now() - from < 2 * ticks);
  delay(2000);
  check_equal("once", gic_taken(INTID_GENERIC_WDOG), 1);
  gic_disable(INTID_GENERIC_WDOG);
}

enum { LOAD = 0x00, VALUE = 0x04, CONTROL = 0x08, INTCLR = 0x0c, RIS = 0x10, MIS = 0x14, LOCK = 0xc00 };
enum { UNLOCK = 0x1acce551, INTEN = 1, RESEN = 2 };
static void sp805_start(uint32_t ticks, uint32_t control) {
  mmio_write32(SP805_BASE + LOCK, UNLOCK);
  mmio_write32(SP805_BASE + CONTROL, 0);
  mmio_write32(SP805_BASE + INTCLR, 1);
  mmio_write32(SP805_BASE + LOAD, ticks);
  mmio_write32(SP805_BASE + CONTROL, control);
}
static void sp805_quiet(uint32_t intid) {
  (void)intid;
  mmio_write32(SP805_BASE + CONTROL, 0);
  mmio_write32(SP805_BASE + INTCLR, 1);
}
static void watchdog_sp805(void) {
  gic_set_handler(INTID_SP805, sp805_quiet);
  gic_set_edge(INTID_SP805, false);
  gic_route(INTID_SP805, 0);
  gic_enable(INTID_SP805);
  sp805_start(5000, INTEN);
  uint32_t value = mmio_read32(SP805_BASE + VALUE);
  delay(2);
  check("it counts down", mmio_read32(SP805_BASE + VALUE) < value);
  check("its first time is an interrupt", gic_wait(INTID_SP805, 1, 100000));
  check_equal("RIS when it is cleared", mmio_read32(SP805_BASE + RIS), 0);
  mmio_write32(SP805_BASE + LOCK, 0);
  mmio_write32(SP805_BASE + LOAD, 7);
  check_equal("what is locked is not written", mmio_read32(SP805_BASE + LOAD), 5000);
  check_equal("LOCK says so", mmio_read32(SP805_BASE + LOCK), 1);
  mmio_write32(SP805_BASE + LOCK, UNLOCK);
  gic_disable(INTID_SP805);
}

/* Its second time resets the machine. Memory stays, and the program finds out where it was. */
static void watchdog_reset(void) {
  set_test_word(0x600d);
  expect_reset();
  sp805_start(5000, INTEN | RESEN);
  delay(1000000);
  check("the machine was reset", false);
}

/* A reset that takes the other PEs along: they are off after it, as the next test with them would find. */
static uint64_t spin(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  for (;;) __asm__ volatile("nop");
  return 0;
}
static void watchdog_reset_all(void) {
  if (pe_count < 2) return skip("one PE only");
  for (uint32_t i = 1; i < pe_count; i++) check_equal("CPU_ON", (uint64_t)pe_start(i, spin, 0), 0);
  expect_reset();
  sp805_start(5000, INTEN | RESEN);
  delay(1000000);
  check("the machine was reset", false);
}
static void watchdog_after_reset(void) {
  for (uint32_t i = 1; i < pe_count; i++)
    check_equal("AFFINITY_INFO after the reset", (uint64_t)psci(PSCI_AFFINITY_INFO, pes[i].mpidr, 0, 0), AFFINITY_OFF);
  check_equal("a test's word is new", test_word(), 0xffffffff);
}

static void psci_system_reset(void) {
  expect_reset();
  int64_t status = psci(PSCI_SYSTEM_RESET, 0, 0, 0);
  check_equal("SYSTEM_RESET returned", (uint64_t)status, 0);
}

const struct test watchdog_tests[] = {
    {"watchdog", "watchdog_generic", watchdog_generic},
    {"watchdog", "watchdog_sp805", watchdog_sp805},
    {"watchdog", "watchdog_reset", watchdog_reset},
    {"watchdog", "watchdog_reset_all", watchdog_reset_all},
    {"watchdog", "watchdog_after_reset", watchdog_after_reset},
    {"watchdog", "psci_system_reset", psci_system_reset},
    {0, 0, 0},
};
