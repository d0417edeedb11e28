/* Addresses and interrupts of Arm's FVP Base platform (TF-A, plat/arm/board/fvp), and of what this program keeps in DRAM. */
#ifndef EL2_DEVICES_H
#define EL2_DEVICES_H

#define UART2 0x1c0b0000ull
#define V2M_SYSREGS 0x1c010000ull
#define SP805_BASE 0x1c0f0000ull
#define PWRC_BASE 0x1c100000ull
#define SP804_BASE 0x1c110000ull
#define SYS_COUNTER_BASE 0x2a430000ull
#define GENERIC_WDOG_BASE 0x2a440000ull
#define COUNTER_READ_BASE 0x2a800000ull
#define TIMER_FRAME_BASE 0x2a830000ull
#define GICD_BASE 0x2f000000ull
#define GICR_BASE 0x2f100000ull
#define DEVICES_BASE 0x1c000000ull
#define DEVICES_END 0x30000000ull

enum {
  INTID_MAINTENANCE = 25,
  INTID_CNTHP = 26,
  INTID_CNTV = 27,
  INTID_CNTHV = 28,
  INTID_CNTP = 30,
  INTID_PMU = 23,
  INTID_SP805 = 32,
  INTID_SP804 = 34,
  INTID_TIMER_FRAME = 58,
  INTID_GENERIC_WDOG = 59,
};

/* Memory outside of the Non-secure world (Root Monitor, RMM, Secure world). */
#define ROOT_MEMORY 0xffe00000ull
#define REALM_MEMORY 0xfdc00000ull
#define SECURE_MEMORY 0xfd000000ull

#define DRAM_BASE 0x80000000ull
#define DRAM_END 0xfc000000ull
/* The bytes that are all ones after power-on and survive a watchdog's reset. */
#define NVM_BASE 0x82800000ull
/* Granules for the RMM; the image lies elsewhere. */
#define POOL_BASE 0x90000000ull
#define POOL_SIZE 0x1000000ull

#endif
