/* Stage 1 translation of EL1: 4 KiB granule, 48-bit VA in TTBR0, identity map unless the caller wants otherwise. */
#ifndef GUEST_MMU_H
#define GUEST_MMU_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 0x1000ull
#define MMU_BLOCK_SIZE 0x200000ull

enum mmu_attributes {
  MMU_NONE,   /* not mapped */
  MMU_CODE,   /* normal write-back, read and execute */
  MMU_RODATA, /* normal write-back, read */
  MMU_DATA,   /* normal write-back, read and write */
  MMU_DEVICE, /* device nGnRnE, read and write */
};

/*
 * VA range that no IPA of this machine uses for an identity map: for tests that need a second mapping of a page. RAM
 * and the shared alias of any realm with up to 48 IPA bits lie elsewhere.
 */
#define MMU_WINDOW 0x600000000000ull

/*
 * Maps [va, va + size) to pa onwards; both addresses and the size are multiples of 4 KiB. What was mapped there is
 * replaced (break before make). False when the table pool is used up.
 */
bool mmu_map(uint64_t va, uint64_t pa, uint64_t size, enum mmu_attributes attributes);
static inline bool mmu_map_identity(uint64_t address, uint64_t size, enum mmu_attributes attributes) {
  return mmu_map(address, address, size, attributes);
}

/* With the MMU off: maps the image and the DTB, and turns the MMU and the caches on. */
void mmu_boot(uint64_t dtb);

/* Loaded by mmu_enable in boot.S, in this order; secondary CPUs use the values of the first. */
struct mmu_registers {
  uint64_t mair, tcr, ttbr0, sctlr;
};
extern struct mmu_registers mmu_registers;
void mmu_enable(const struct mmu_registers *registers);

#endif
