/* AArch64 system registers, barriers and MMIO accesses. Names as in DDI 0487. */
#ifndef GUEST_ARCH_H
#define GUEST_ARCH_H

#include <stdint.h>

#define read_sysreg(name)                                        \
  ({                                                             \
    uint64_t value_;                                             \
    __asm__ volatile("mrs %0, " #name : "=r"(value_)::"memory"); \
    value_;                                                      \
  })
#define write_sysreg(name, value) __asm__ volatile("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

static inline void isb(void) { __asm__ volatile("isb" ::: "memory"); }
static inline void dsb_sy(void) { __asm__ volatile("dsb sy" ::: "memory"); }
static inline void dsb_ish(void) { __asm__ volatile("dsb ish" ::: "memory"); }
static inline void wfi(void) { __asm__ volatile("dsb sy\n\twfi" ::: "memory"); }
static inline void wfe(void) { __asm__ volatile("wfe" ::: "memory"); }
static inline void sev(void) { __asm__ volatile("dsb ish\n\tsev" ::: "memory"); }
static inline void irq_unmask(void) { __asm__ volatile("msr daifclr, #2" ::: "memory"); }
static inline void irq_mask(void) { __asm__ volatile("msr daifset, #2" ::: "memory"); }

/*
 * Device accesses are single loads and stores of one general register without write-back: only for those does a stage 2
 * abort carry a valid syndrome (ESR_EL2.ISS.ISV, DDI 0487), which a hypervisor needs to emulate the access.
 */
static inline uint8_t mmio_read8(uint64_t address) {
  uint32_t value;
  __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
  return (uint8_t)value;
}
static inline uint32_t mmio_read32(uint64_t address) {
  uint32_t value;
  __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
  return value;
}
static inline uint64_t mmio_read64(uint64_t address) {
  uint64_t value;
  __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(address) : "memory");
  return value;
}
static inline void mmio_write8(uint64_t address, uint8_t value) {
  __asm__ volatile("strb %w0, [%1]" ::"r"((uint32_t)value), "r"(address) : "memory");
}
static inline void mmio_write32(uint64_t address, uint32_t value) {
  __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}
static inline void mmio_write64(uint64_t address, uint64_t value) {
  __asm__ volatile("str %0, [%1]" ::"r"(value), "r"(address) : "memory");
}

/* boot.S: cleans and invalidates [start, end) to the point of coherency. */
void dcache_clean_invalidate(const void *start, const void *end);

#endif
