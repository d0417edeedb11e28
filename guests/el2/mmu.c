/* See mmu.h. Input addresses have 39 bits: tables begin at level 1. */
#include "mmu.h"

#include "../lib/arch.h"
#include "../lib/spinlock.h"
#include "../lib/string.h"
#include "devices.h"
#include "exception.h"
#include "pe.h"

enum { TABLES = 256, ENTRIES = 512 };

/* MAIR: attribute 0 normal memory, write-back; 1 device nGnRnE. */
#define MAIR 0x00ffull
#define ATTR_DEVICE (1ull << 2)

#define DESC_VALID (1ull << 0)
#define DESC_TABLE (1ull << 1) /* at levels 1 and 2: table, else block; at level 3 always set: page */
#define DESC_EL1 (1ull << 6)   /* EL2: RES1; EL2&0: AP[1], EL0 may access */
#define DESC_RO (1ull << 7)
#define DESC_S2_READ (1ull << 6)
#define DESC_S2_WRITE (1ull << 7)
#define DESC_INNER_SHAREABLE (3ull << 8)
#define DESC_AF (1ull << 10)
#define DESC_PXN (1ull << 53)
#define DESC_XN (1ull << 54) /* EL2, stage 2: XN; EL2&0: UXN */
#define DESC_S2_NORMAL (0xfull << 2)
#define DESC_S2_DEVICE (0x0ull << 2)
#define DESC_ADDRESS 0x0000fffffffff000ull

#define TCR_39_BITS (25ull | 1 << 8 | 1 << 10 | 3 << 12) /* T0SZ; write-back walks; inner shareable; 4 KiB */
#define TCR_PS(range) ((range) << 16)
#define TCR_EL2_RES1 (1ull << 31 | 1ull << 23)
#define TCR_IPS(range) ((range) << 32)
#define TCR_T1_39_BITS (25ull << 16 | 1ull << 24 | 1ull << 26 | 3ull << 28 | 2ull << 30)
#define SCTLR_RES1 0x30c50830ull
#define SCTLR_MMU_ON (1 << 0 | 1 << 2 | 1 << 12)

static uint64_t tables[TABLES][ENTRIES] __attribute__((section(".noinit"), aligned(4096)));
static uint32_t tables_used, tables_kept;
static struct spinlock lock;

struct regime host_regime, vhe_regime;
struct space host_space, vhe_space;

static uint64_t leaf_bits(enum mmu_form form, uint32_t access) {
  if (access == MMU_NONE) return 0;
  uint64_t bits = DESC_VALID | DESC_AF;
  if (form == STAGE2) {
    bits |= (access & MMU_DEVICE) != 0 ? DESC_S2_DEVICE : DESC_S2_NORMAL | DESC_INNER_SHAREABLE;
    if ((access & MMU_READ) != 0) bits |= DESC_S2_READ;
    if ((access & MMU_WRITE) != 0) bits |= DESC_S2_WRITE;
    return (access & MMU_EXECUTE) != 0 ? bits : bits | DESC_XN;
  }
  bits |= (access & MMU_DEVICE) != 0 ? ATTR_DEVICE : DESC_INNER_SHAREABLE;
  if ((access & MMU_WRITE) == 0) bits |= DESC_RO;
  if (form == STAGE1_EL2) return bits | DESC_EL1 | ((access & MMU_EXECUTE) != 0 ? 0 : DESC_XN);
  /* Writable at EL0 is never executable at the higher level. */
  if ((access & MMU_USER) != 0) return bits | DESC_EL1 | DESC_PXN | ((access & MMU_EXECUTE) != 0 ? 0 : DESC_XN);
  return bits | DESC_XN | ((access & MMU_EXECUTE) != 0 ? 0 : DESC_PXN);
}

static uint64_t *new_table(void) {
  spin_lock(&lock);
  if (tables_used == TABLES) panic("no more translation tables");
  uint64_t *table = tables[tables_used++];
  spin_unlock(&lock);
  memset(table, 0, sizeof tables[0]);
  return table;
}

void spaces_reset(void) { tables_used = tables_kept; }

struct space space_new(enum mmu_form form) { return (struct space){new_table(), form}; }

/* Bytes that one entry of a table at `level` maps. */
static uint64_t entry_size(int level) { return 1ull << (12 + 9 * (3 - level)); }

static void map_at(uint64_t *table, int level, uint64_t va, uint64_t pa, uint64_t size, uint64_t bits) {
  uint64_t step = entry_size(level);
  while (size > 0) {
    uint64_t *entry = &table[va / step % ENTRIES];
    uint64_t part = step - va % step < size ? step - va % step : size;
    bool is_table = level < 3 && (*entry & (DESC_VALID | DESC_TABLE)) == (DESC_VALID | DESC_TABLE);
    if (part == step && pa % step == 0 && (!is_table || bits == 0)) {
      *(volatile uint64_t *)entry = bits == 0 ? 0 : pa | bits | (level == 3 ? DESC_TABLE : 0);
    } else {
      if (!is_table) {
        uint64_t *below = new_table();
        if ((*entry & DESC_VALID) != 0) /* a block: split it */
          for (uint64_t i = 0; i < ENTRIES; i++)
            below[i] = (*entry + i * entry_size(level + 1)) | (level + 1 == 3 ? DESC_TABLE : 0);
        dsb_ish();
        *(volatile uint64_t *)entry = (uint64_t)below | DESC_VALID | DESC_TABLE;
      }
      map_at((uint64_t *)(*entry & DESC_ADDRESS), level + 1, va, pa, part, bits);
    }
    va += part;
    pa += part;
    size -= part;
  }
}

void space_map(struct space *space, uint64_t va, uint64_t pa, uint64_t size, uint32_t access) {
  map_at(space->root, 1, va, pa, size, leaf_bits(space->form, access));
  dsb_ish();
}

void host_map(uint64_t va, uint64_t pa, uint64_t size, uint32_t access) {
  space_map(&host_space, va, pa, size, MMU_NONE);
  for (uint64_t at = 0; at < size; at += PAGE_SIZE)
    __asm__ volatile("tlbi vae2is, %0" ::"r"((va + at) >> 12) : "memory");
  dsb_ish();
  if (access != MMU_NONE) space_map(&host_space, va, pa, size, access);
  isb();
}

extern const char __image_start[], __text_end[], __rodata_end[], __data_start[], __image_end[];

static void map_host(struct space *space) {
  uint64_t image = (uint64_t)__image_start, end = (uint64_t)__image_end;
  space_map(space, DEVICES_BASE, DEVICES_BASE, DEVICES_END - DEVICES_BASE, MMU_READ | MMU_WRITE | MMU_DEVICE);
  space_map(space, DRAM_BASE, DRAM_BASE, image - DRAM_BASE, MMU_READ | MMU_WRITE);
  space_map(space, image, image, (uint64_t)__text_end - image, MMU_READ | MMU_EXECUTE);
  space_map(space, (uint64_t)__text_end, (uint64_t)__text_end, (uint64_t)(__rodata_end - __text_end), MMU_READ);
  space_map(space, (uint64_t)__data_start, (uint64_t)__data_start, end - (uint64_t)__data_start, MMU_READ | MMU_WRITE);
  /* To the end of 4 GiB: what there belongs to the other worlds must refuse by itself. */
  space_map(space, end, end, 0x100000000ull - end, MMU_READ | MMU_WRITE);
  /* The tables of the tests' window are there for good. */
  space_map(space, WINDOW, 0, PAGE_SIZE, MMU_READ);
  space_map(space, WINDOW, 0, PAGE_SIZE, MMU_NONE);
}

void mmu_boot(void) {
  uint64_t range = read_sysreg(id_aa64mmfr0_el1) & 0xf;
  if (range > 5) range = 5; /* 48 bits: more needs 52-bit descriptors */
  host_space = space_new(STAGE1_EL2);
  map_host(&host_space);
  vhe_space = space_new(STAGE1_EL20);
  map_host(&vhe_space);
  host_regime = (struct regime){
      .hcr = HCR_RW | HCR_TGE,
      .mair = MAIR,
      .tcr = TCR_EL2_RES1 | TCR_39_BITS | TCR_PS(range),
      .ttbr0 = (uint64_t)host_space.root,
      .sctlr = SCTLR_RES1 | SCTLR_MMU_ON,
  };
  vhe_regime = (struct regime){
      .hcr = HCR_RW | HCR_TGE | HCR_E2H,
      .mair = MAIR,
      .tcr = TCR_39_BITS | TCR_T1_39_BITS | TCR_IPS(range),
      .ttbr0 = (uint64_t)vhe_space.root,
      .ttbr1 = (uint64_t)vhe_space.root,
      .sctlr = SCTLR_RES1 | SCTLR_MMU_ON | 1 << 23, /* SPAN */
  };
  dcache_clean_invalidate(tables, tables[tables_used]);
  tables_kept = tables_used;
  regime_enter(&host_regime);
}
