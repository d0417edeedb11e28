/* See memory.h. Pages are handed out upwards and never taken back. */
#include "memory.h"

#include "exception.h"
#include "mmu.h"
#include "platform.h"
#include "realm.h"

extern const char __image_start[], __text_end[], __rodata_end[], __data_start[], __image_end[];

static uint64_t next;

static uint64_t page_up(uint64_t address) { return (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); }

/* Maps [from, to) as data; nothing when it is empty. */
static void map_data(uint64_t from, uint64_t to) {
  if (from < to && !mmu_map_identity(from, to - from, MMU_DATA)) panic("out of translation tables");
}

void memory_init(void) {
  uint64_t base = platform.ram_base, top = base + (platform.ram_size & ~(PAGE_SIZE - 1));
  uint64_t image = (uint64_t)__image_start, end = (uint64_t)__image_end;
  if (realm.present) realm_claim(base, top);
  /* The image keeps the permissions that mmu_boot gave it. */
  map_data(base, image);
  map_data(end, top);
  next = end;
}

static uint64_t overlap_end(uint64_t from, uint64_t to, uint64_t start, uint64_t end) {
  return from < end && start < to ? page_up(end) : 0;
}

uint64_t memory_pages(uint64_t count) {
  uint64_t size = count * PAGE_SIZE, align = (count & (count - 1)) == 0 ? size : PAGE_SIZE;
  for (;;) {
    uint64_t start = (next + align - 1) & ~(align - 1);
    uint64_t taken = overlap_end(start, start + size, platform.dtb, platform.dtb + platform.dtb_size);
    if (taken == 0) taken = overlap_end(start, start + size, platform.initrd_start, platform.initrd_end);
    if (start + size > platform.ram_base + platform.ram_size) panic("out of memory");
    next = taken != 0 ? taken : start + size;
    if (taken == 0) return start;
  }
}

uint64_t memory_left(void) { return platform.ram_base + platform.ram_size - next; }
