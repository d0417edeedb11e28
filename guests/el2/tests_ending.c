/* Ways to end badly, or never: for those who run such programs. They run only when they are asked for, with also=NAME. */
#include "../lib/arch.h"
#include "console.h"
#include "devices.h"
#include "pe.h"
#include "test.h"

#define WDOG_LOCK 0xc00
#define WDOG_CONTROL 0x008
static void no_watchdog(void) {
  mmio_write32(SP805_BASE + WDOG_LOCK, 0x1acce551);
  mmio_write32(SP805_BASE + WDOG_CONTROL, 0);
}

static void ending_off(void) { psci(PSCI_SYSTEM_OFF, 0, 0, 0); }

/* V2M system registers: CFGCTRL starts the function 8, shutdown. */
static void ending_shutdown(void) { mmio_write32(V2M_SYSREGS + 0xa4, 1u << 31 | 1u << 30 | 8u << 20); }

static void ending_hang(void) {
  for (;;) __asm__ volatile("nop");
}
static void ending_spin(void) {
  no_watchdog();
  ending_hang();
}
static void ending_deadlock(void) {
  no_watchdog();
  for (;;) wfi();
}
static void ending_exceptions(void) {
  no_watchdog();
  write_sysreg(vbar_el2, 0x90000000ull); /* zeros there: undefined, again and again */
  isb();
  __asm__ volatile("udf #0");
}
static void ending_flood(void) {
  no_watchdog();
  for (;;) printf("\x1b[2J%c%c<&\"'>", 0, 7);
}
/* Resets without end: the test begins again each time. */
static void ending_resets(void) {
  volatile uint32_t *words = (volatile uint32_t *)NVM_BASE;
  words[2] = 0; /* as if no test had begun */
  words[1] -= 1;
  psci(PSCI_SYSTEM_RESET, 0, 0, 0);
}

const struct test ending_tests[] = {
    {"ending", "ending_hang", ending_hang},
    {"ending", "ending_off", ending_off},
    {"ending", "ending_shutdown", ending_shutdown},
    {"ending", "ending_spin", ending_spin},
    {"ending", "ending_deadlock", ending_deadlock},
    {"ending", "ending_exceptions", ending_exceptions},
    {"ending", "ending_flood", ending_flood},
    {"ending", "ending_resets", ending_resets},
    {0, 0, 0},
};
