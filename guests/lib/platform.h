/* What the device tree says about this machine. */
#ifndef GUEST_PLATFORM_H
#define GUEST_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

#define BOOTARGS_MAX 2048

enum conduit { CONDUIT_NONE, CONDUIT_HVC, CONDUIT_SMC };
enum uart_kind { UART_NONE, UART_NS16550, UART_PL011 };

struct platform {
  uint64_t dtb, dtb_size;
  uint64_t ram_base, ram_size;
  uint64_t initrd_start, initrd_end; /* end exclusive; both 0: none */
  enum conduit psci;
  enum uart_kind uart;
  uint64_t uart_base;
  uint32_t uart_shift; /* log2 of the distance of two ns16550 registers */
  bool gicv3;
  uint64_t gicd_base, gicd_size, gicr_base, gicr_size;
  uint32_t timer_intid; /* EL1 virtual timer */
  uint32_t cpu_count;   /* as listed, may exceed NR_CPUS */
  uint64_t cpu_mpidr[NR_CPUS];
  char bootargs[BOOTARGS_MAX];
};

extern struct platform platform;

/* Fills `platform` from the DTB. False when the DTB is missing or damaged, or describes no memory. */
bool platform_init(uint64_t dtb);

/* "name=value" in the bootargs: copies the value and returns true. */
bool bootarg(const char *name, char *value, uint64_t size);
/* The same for a decimal or 0x number. */
uint64_t bootarg_number(const char *name, uint64_t otherwise);

#endif
