/*
 * echo: gives back what it reads from the console, until Ctrl-D (0x04); then its count and CRC-32. Interrupt-driven: the CPU
 * sleeps until the UART has something. Bootargs:
 *
 *   exit=N     exit status (0 to 123)
 *   count=N    end after N bytes, whatever they are, instead of Ctrl-D
 *   quiet=1    give nothing back
 *   poll=1     look at the UART over and over instead of sleeping
 *   busy=1     compute all the time, and look for an interrupt in between
 *   slow=N     after each interrupt's bytes, work on something else for N microseconds
 *   ticks=N    at first sleep N times for a tenth of a second, and say so each time
 *   date=1     at first print the real-time clock
 */
#include <stdbool.h>

#include "lib/arch.h"
#include "lib/console.h"
#include "lib/dtb.h"
#include "lib/gic.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/start.h"
#include "lib/string.h"
#include "lib/timer.h"

enum { RBR = 0, IER = 1, LSR = 5, IER_RDI = 1, LSR_DR = 1, END_OF_FILE = 4 };
enum { GICD_ISENABLER = 0x100, BLOCK = 256, TICK_US = 100000 };
#define RTC_BASE 0x01010000ull

static uint64_t uart;
static uint32_t uart_intid; /* 0: not found */

static uint64_t uart_register(uint32_t index) { return uart + ((uint64_t)index << platform.uart_shift); }

/* The interrupt of the console's UART: <0 SPI flags>. */
static void visit(const struct dtb_node *node, void *context) {
  (void)context;
  uint64_t base, size;
  if (!dtb_reg(node, 0, &base, &size) || base != platform.uart_base) return;
  struct dtb_property interrupts = dtb_property(node, "interrupts");
  if (interrupts.data != 0 && interrupts.size >= 12) uart_intid = GIC_PRIVATE + dtb_u32(interrupts, 1);
}

static bool open_uart(void) {
  if (platform.uart != UART_NS16550) return false;
  uart = device_map(platform.uart_base, PAGE_SIZE);
  dtb_walk((const void *)platform.dtb, visit, 0);
  uint64_t distributor = device_map(platform.gicd_base, platform.gicd_size);
  if (uart == 0 || distributor == 0 || uart_intid == 0) return false;
  mmio_write32(distributor + GICD_ISENABLER + uart_intid / 32 * 4, 1u << uart_intid % 32);
  return true;
}

static uint32_t received(uint8_t bytes[BLOCK]) {
  uint32_t count = 0;
  while (count < BLOCK && (mmio_read8(uart_register(LSR)) & LSR_DR) != 0) bytes[count++] = mmio_read8(uart_register(RBR));
  return count;
}

/* Interrupts stay masked: WFI and ISR_EL1 see them all the same, and nothing is lost in between. */
static bool interrupt_pending(void) { return (read_sysreg(isr_el1) & 1 << 7) != 0; }

static bool never(void *context) {
  (void)context;
  return false;
}

static void print_date(void) {
  uint64_t rtc = device_map(RTC_BASE, PAGE_SIZE);
  static const uint8_t fields[] = {0x32, 9, 8, 7, 4, 2, 0}; /* century, year, month, day, hours, minutes, seconds: BCD */
  printf("date:");
  for (uint32_t i = 0; i < sizeof fields; i++) {
    mmio_write8(rtc, fields[i]);
    printf(" %02x", mmio_read8(rtc + 1));
  }
  printf("\n");
}

int main(void) {
  if (!gic_init() || !gic_init_cpu() || !open_uart()) {
    printf("echo: no GICv3 or no ns16550A with an interrupt\n");
    return STATUS_FAILED;
  }
  uint64_t limit = bootarg_number("count", 0), slow = bootarg_number("slow", 0);
  bool quiet = bootarg_number("quiet", 0) != 0, poll = bootarg_number("poll", 0) != 0;
  bool busy = bootarg_number("busy", 0) != 0;
  gic_set_handler(platform.timer_intid, timer_irq);
  gic_enable(platform.timer_intid);
  if (bootarg_number("date", 0) != 0) print_date();
  for (uint64_t tick = 1; tick <= bootarg_number("ticks", 0); tick++) {
    timer_wait(never, 0, TICK_US);
    printf("tick %lu\n", tick);
  }

  printf("echo: ready\n");
  if (!poll) mmio_write8(uart_register(IER), IER_RDI);
  uint64_t total = 0;
  uint32_t crc = 0xffffffff;
  for (bool open = true; open;) {
    static uint8_t bytes[BLOCK];
    uint32_t count = received(bytes);
    for (uint32_t i = 0; i < count && open; i++) {
      if (limit == 0 && bytes[i] == END_OF_FILE) {
        open = false;
        break;
      }
      crc ^= bytes[i];
      for (uint32_t bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
      if (!quiet) console_write((const char *)&bytes[i], 1);
      if (++total == limit) open = false;
    }
    if (count > 0 && slow > 0)
      for (uint64_t until = timer_now() + timer_ticks(slow); timer_now() < until;) {
      }
    if (count > 0 || poll) continue;
    if (!busy) wfi();
    if (!interrupt_pending()) continue;
    uint32_t intid = (uint32_t)read_sysreg(icc_iar1_el1) & 0xffffff;
    if (intid < GIC_SPURIOUS) write_sysreg(icc_eoir1_el1, intid); /* a level: it stays until the bytes are read */
  }
  printf("\necho: %lu bytes, CRC-32 %08x\n", total, ~crc);
  return (int)bootarg_number("exit", STATUS_OK);
}
