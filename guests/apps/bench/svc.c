/* System calls: a program at EL0, a handler at EL1. */
#include "classes.h"
#include "lib/arch.h"
#include "lib/exception.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/string.h"

void svc_enter(uint64_t entry, uint64_t count);
extern const char svc_program[], svc_program_end[];

static uint64_t program; /* where EL0 executes */
static uint64_t calls, result;

uint64_t svc_handle(struct exception_frame *frame);
uint64_t svc_handle(struct exception_frame *frame) {
  if (frame->x[8] != 0) {
    result = frame->x[0];
    return 1;
  }
  frame->x[0] = ++calls ^ frame->x[0];
  return 0;
}

__attribute__((noreturn)) void svc_fatal(uint64_t esr, uint64_t elr);
void svc_fatal(uint64_t esr, uint64_t elr) { panic("unexpected exception from EL0: ESR %lx ELR %lx", esr, elr); }

/* The leaf that maps a page; nobody else here needs EL0, so the library's maps have no such attribute. */
static uint64_t *leaf(uint64_t va) {
  uint64_t *table = (uint64_t *)(read_sysreg(ttbr0_el1) & 0x0000fffffffff000ull);
  for (uint32_t shift = 39; shift > 12; shift -= 9) {
    uint64_t entry = table[va >> shift & 0x1ff];
    if ((entry & 3) != 3) panic("no page at %lx", va);
    table = (uint64_t *)(entry & 0x0000fffffffff000ull);
  }
  return &table[va >> 12 & 0x1ff];
}

/* DDI 0487, "VMSAv8-64 descriptor formats": AP[1] gives EL0 access, UXN forbids it to execute. */
#define DESC_EL0 (1ull << 6)
#define DESC_UXN (1ull << 54)

void prepare_svc(void) {
  program = memory_pages(1);
  memcpy((void *)program, svc_program, (size_t)(svc_program_end - svc_program));
  dcache_clean_invalidate((void *)program, (void *)(program + PAGE_SIZE));
  __asm__ volatile("ic iallu" ::: "memory");
  dsb_sy();
  isb();
  uint64_t va = MMU_WINDOW;
  if (!mmu_map(va, program, PAGE_SIZE, MMU_RODATA)) panic("no table for the EL0 page");
  uint64_t *entry = leaf(va);
  *(volatile uint64_t *)entry = (*entry | DESC_EL0) & ~DESC_UXN;
  dsb_sy();
  __asm__ volatile("tlbi vmalle1" ::: "memory");
  dsb_sy();
  isb();
  program = va;
}

uint64_t run_svc(uint64_t count) {
  if (count == 0) return 0;
  svc_enter(program, count);
  return mix(result, calls);
}
