/* See mmu.h. Descriptor formats: DDI 0487, "VMSAv8-64 descriptor formats, 4KB granule". */
#include "mmu.h"

#include "arch.h"
#include "dtb.h"
#include "string.h"

/*
 * Enough for the image, RAM in blocks, the devices of kvmtool's map and their shared aliases, and a few test
 * mappings.
 */
enum { TABLES = 40, ENTRIES = 512 };

enum {
  MAIR_NORMAL = 0xff, /* attribute 0: write-back, read and write allocate */
  MAIR_DEVICE = 0x00, /* attribute 1: nGnRnE */
};

#define DESC_VALID (1ull << 0)
#define DESC_TABLE (1ull << 1) /* at levels 0 to 2: table, else block; at level 3 always set: page */
#define DESC_ATTR(n) ((uint64_t)(n) << 2)
#define DESC_RO (1ull << 7)
#define DESC_INNER_SHAREABLE (3ull << 8)
#define DESC_AF (1ull << 10)
#define DESC_PXN (1ull << 53)
#define DESC_UXN (1ull << 54)
#define DESC_ADDRESS 0x0000fffffffff000ull

struct mmu_registers mmu_registers;
static uint64_t tables[TABLES][ENTRIES] __attribute__((section(".noinit"), aligned(4096)));
static uint32_t tables_used;

static uint64_t leaf_bits(enum mmu_attributes attributes) {
  const uint64_t normal = DESC_VALID | DESC_AF | DESC_ATTR(0) | DESC_INNER_SHAREABLE | DESC_UXN;
  switch (attributes) {
    case MMU_CODE:
      return normal | DESC_RO;
    case MMU_RODATA:
      return normal | DESC_RO | DESC_PXN;
    case MMU_DATA:
      return normal | DESC_PXN;
    case MMU_DEVICE:
      return DESC_VALID | DESC_AF | DESC_ATTR(1) | DESC_UXN | DESC_PXN;
    default:
      return 0;
  }
}

static uint64_t *new_table(void) {
  if (tables_used == TABLES) return 0;
  uint64_t *table = tables[tables_used++];
  memset(table, 0, sizeof tables[0]);
  return table;
}

/* Before the MMU is on nothing is cached in the TLB, and the maintenance instructions do no harm. */
static void set_entry(uint64_t *entry, uint64_t value, uint64_t va) {
  uint64_t old = *entry;
  if (old == value) return;
  if ((old & DESC_VALID) != 0) {
    *(volatile uint64_t *)entry = 0;
    dsb_ish();
    __asm__ volatile("tlbi vaae1is, %0" ::"r"(va >> 12) : "memory");
    dsb_ish();
  }
  *(volatile uint64_t *)entry = value;
  dsb_ish();
  isb();
}

/* Bytes that one entry of a table at `level` maps. */
static uint64_t entry_size(int level) { return 1ull << (12 + 9 * (3 - level)); }

static bool map_at(uint64_t *table, int level, uint64_t va, uint64_t pa, uint64_t size, uint64_t bits) {
  uint64_t step = entry_size(level);
  while (size > 0) {
    uint64_t *entry = &table[va / step % ENTRIES];
    uint64_t part = step - va % step < size ? step - va % step : size;
    bool is_table = level < 3 && (*entry & (DESC_VALID | DESC_TABLE)) == (DESC_VALID | DESC_TABLE);
    if (part == step && pa % step == 0 && level > 0 && !is_table) {
      set_entry(entry, bits == 0 ? 0 : pa | bits | (level == 3 ? DESC_TABLE : 0), va);
    } else {
      if (!is_table) {
        uint64_t *below = new_table();
        if (below == 0) return false;
        if ((*entry & DESC_VALID) != 0) /* a block: split it */
          for (uint64_t i = 0; i < ENTRIES; i++)
            below[i] = (*entry + i * entry_size(level + 1)) | (level + 1 == 3 ? DESC_TABLE : 0);
        dsb_ish();
        set_entry(entry, (uint64_t)below | DESC_VALID | DESC_TABLE, va);
      }
      if (!map_at((uint64_t *)(*entry & DESC_ADDRESS), level + 1, va, pa, part, bits)) return false;
    }
    va += part;
    pa += part;
    size -= part;
  }
  return true;
}

bool mmu_map(uint64_t va, uint64_t pa, uint64_t size, enum mmu_attributes attributes) {
  return map_at(tables[0], 0, va, pa, size, leaf_bits(attributes));
}

extern const char __image_start[], __text_end[], __rodata_end[], __data_start[], __image_end[];

static void map_section(const char *start, const char *end, enum mmu_attributes attributes) {
  mmu_map_identity((uint64_t)start, (uint64_t)(end - start), attributes);
}

void mmu_boot(uint64_t dtb) {
  new_table(); /* tables[0], the root */
  map_section(__image_start, __text_end, MMU_CODE);
  map_section(__text_end, __rodata_end, MMU_RODATA);
  map_section(__data_start, __image_end, MMU_DATA);
  uint64_t size = dtb_size((const void *)dtb);
  if (size != 0) {
    uint64_t start = dtb & ~(PAGE_SIZE - 1), end = (dtb + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    mmu_map_identity(start, end - start, MMU_RODATA);
  }
  dcache_clean_invalidate(tables, tables[tables_used]);

  uint64_t pa_range = read_sysreg(id_aa64mmfr0_el1) & 0xf;
  if (pa_range > 5) pa_range = 5; /* 48 bits: more needs 52-bit descriptors */
  mmu_registers.mair = MAIR_NORMAL | MAIR_DEVICE << 8;
  mmu_registers.tcr = 16                 /* T0SZ: 48-bit VA */
                      | 1 << 8 | 1 << 10 /* IRGN0, ORGN0: write-back walks */
                      | 3 << 12          /* SH0: inner shareable; TG0 = 0: 4 KiB */
                      | 1 << 23          /* EPD1: no TTBR1 */
                      | pa_range << 32;  /* IPS */
  mmu_registers.ttbr0 = (uint64_t)tables[0];
  mmu_registers.sctlr = 0x30d00800                               /* bits that are 1 without later features */
                        | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12     /* M, C, SA, I */
                        | 1 << 16 | 1 << 18;                     /* nTWI, nTWE: no EL0 here to trap */
  mmu_enable(&mmu_registers);
}
