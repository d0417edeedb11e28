/* Stage 1 of EL2, alone (E2H = 0) and with EL0 (E2H = 1). DDI 0487, "The AArch64 Virtual Memory System Architecture". */
#include "../lib/arch.h"
#include "../lib/string.h"
#include "devices.h"
#include "guest.h"
#include "mmu.h"
#include "pe.h"
#include "test.h"

#define FRAME POOL_BASE

static void mmu_mapping(void) {
  uint64_t value = 0;
  memset((void *)FRAME, 0, 2 * PAGE_SIZE);
  check_fault("read of an unmapped address", probe_read(NOWHERE, &value), EC_DATA_ABORT, FSC_TRANSLATION + 1);
  check_equal("FAR of the read", pe_current()->fault.far, NOWHERE);
  check_equal("WnR of the read", pe_current()->fault.esr & ESR_WNR, 0);
  check_fault("write to an unmapped address", probe_write(WINDOW + 8, 1), EC_DATA_ABORT, FSC_TRANSLATION + 3);
  check_equal("FAR of the write", pe_current()->fault.far, WINDOW + 8);
  check_equal("WnR of the write", pe_current()->fault.esr & ESR_WNR, ESR_WNR);

  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_READ | MMU_WRITE);
  check("a mapped page can be written", probe_write(WINDOW + 16, 0x1122334455667788));
  check_equal("what its other address reads", mmio_read64(FRAME + 16), 0x1122334455667788);
  check_fault("the page behind it", probe_read(WINDOW + PAGE_SIZE, &value), EC_DATA_ABORT, FSC_TRANSLATION + 3);

  host_map(WINDOW, FRAME + PAGE_SIZE, PAGE_SIZE, MMU_READ | MMU_WRITE);
  check("a remapped page can be read", probe_read(WINDOW + 16, &value));
  check_equal("which is the new one", value, 0);
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_NONE);
  check_fault("an unmapped page", probe_read(WINDOW, &value), EC_DATA_ABORT, FSC_TRANSLATION + 3);
}

static void mmu_permissions(void) {
  uint64_t value = 0;
  uint32_t *code = (uint32_t *)FRAME;
  code[0] = 0xd65f03c0; /* ret */
  dcache_clean_invalidate(code, code + 1);
  __asm__ volatile("ic ialluis\n\tdsb ish\n\tisb" ::: "memory");

  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_READ);
  check("a read-only page can be read", probe_read(WINDOW, &value));
  check_fault("but not written", probe_write(WINDOW, 0), EC_DATA_ABORT, FSC_PERMISSION + 3);
  check_fault("nor executed", probe_execute(WINDOW), EC_INSTRUCTION_ABORT, FSC_PERMISSION + 3);
  check_equal("FAR of the fetch", pe_current()->fault.far, WINDOW);
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_READ | MMU_EXECUTE);
  check("an executable page can be executed", probe_execute(WINDOW));
  check_fault("a fetch from an unmapped page", probe_execute(WINDOW + PAGE_SIZE), EC_INSTRUCTION_ABORT,
              FSC_TRANSLATION + 3);
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_NONE);
}

static uint64_t translate(uint64_t va) {
  __asm__ volatile("at s1e2r, %0" ::"r"(va) : "memory");
  isb();
  return read_sysreg(par_el1);
}

static void mmu_address_translation(void) {
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_READ | MMU_WRITE);
  uint64_t par = translate(WINDOW + 0x123);
  check_equal("PAR of a mapped page: F", par & 1, 0);
  check_equal("PAR of a mapped page: PA", par & 0x0000fffffffff000, FRAME);
  check_equal("PAR of a mapped page: attributes", par >> 56, 0xff);
  par = translate(WINDOW + PAGE_SIZE);
  check_equal("PAR of an unmapped page: F", par & 1, 1);
  check_equal("PAR of an unmapped page: FST", par >> 1 & 0x3f, FSC_TRANSLATION + 3);
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_NONE);
}

static void mmu_blocks(void) {
  const uint64_t size = 0x200000, block = WINDOW + size;
  host_map(block, FRAME, size, MMU_READ | MMU_WRITE);
  mmio_write64(block + 0x1ff008, 42);
  check_equal("a block reaches its last page", mmio_read64(FRAME + 0x1ff008), 42);
  uint64_t value;
  /* Splits the block; the rest of it stays as it is. */
  host_map(block + 0x1000, FRAME, PAGE_SIZE, MMU_NONE);
  check_fault("a hole in it", probe_read(block + 0x1000, &value), EC_DATA_ABORT, FSC_TRANSLATION + 3);
  check("its neighbour", probe_read(block + 0x2000, &value));
  host_map(block, FRAME, size, MMU_NONE);
  check_fault("the block when it is gone", probe_read(block, &value), EC_DATA_ABORT, FSC_TRANSLATION + 2);
}

/* Another PE's mapping goes when this one invalidates it: TLBI by Inner Shareable. */
static uint32_t stage;
static uint64_t read_twice(struct pe *pe, uint64_t unused) {
  (void)unused;
  uint64_t value;
  if (!probe_read(WINDOW, &value)) return 1;
  __atomic_add_fetch(&stage, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) < 100) {
  }
  if (probe_read(WINDOW, &value)) return 2;
  return esr_status(pe->fault.esr) == FSC_TRANSLATION + 3 ? 0 : 3;
}

static void mmu_broadcast(void) {
  if (pe_count < 2) return skip("one PE only");
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_READ | MMU_WRITE);
  stage = 0;
  check_equal("CPU_ON", (uint64_t)pe_start(1, read_twice, 0), 0);
  while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) == 0) {
  }
  host_map(WINDOW, FRAME, PAGE_SIZE, MMU_NONE);
  __atomic_store_n(&stage, 100, __ATOMIC_RELEASE);
  uint64_t result = ~0ull;
  if (check("the other PE ends", pe_join(1, &result))) check_equal("what it saw", result, 0);
}

/* EL0 under EL2: reads a word, calls, and stores where it may not. `el0_code` is in guest_el1.S. */
extern const char el0_code[], el0_code_end[];
#define EL0_TEXT WINDOW
#define EL0_DATA (WINDOW + 0x10000)

static bool has_vhe(void) { return (read_sysreg(id_aa64mmfr1_el1) >> 8 & 0xf) != 0; }

static void mmu_vhe(void) {
  if (!has_vhe()) return skip("no VHE");
  uint64_t value = 0;
  regime_enter(&vhe_regime);
  bool survived = probe_read(NOWHERE, &value);
  struct fault lower = pe_current()->fault;
  bool survived_upper = probe_read(~0ull << 39 | NOWHERE, &value);
  struct fault upper = pe_current()->fault;
  /* TTBR1 has the same tables: the upper half shows the same memory. */
  bool is_aliased = probe_read(~0ull << 39 | POOL_BASE, &value);
  bool gap = probe_read(1ull << 39 | POOL_BASE, &value);
  struct fault gap_fault = pe_current()->fault;
  /* With E2H the names of EL1 reach EL2's registers, and _EL12 EL1's. */
  uint64_t by_el1_name = read_sysreg(ttbr0_el1), own = read_sysreg(s3_4_c2_c0_0); /* TTBR0_EL2 */
  uint64_t redirected = read_sysreg(vbar_el1), vbar = read_sysreg(vbar_el2);
  write_sysreg(s3_5_c12_c0_0, 0x12345000); /* VBAR_EL12 */
  isb();
  regime_enter(&host_regime);
  uint64_t el1_vbar = read_sysreg(vbar_el1);

  pe_current()->fault = lower;
  check_fault("an unmapped address of TTBR0", survived, EC_DATA_ABORT, FSC_TRANSLATION + 1);
  pe_current()->fault = upper;
  check_fault("an unmapped address of TTBR1", survived_upper, EC_DATA_ABORT, FSC_TRANSLATION + 1);
  check("memory through TTBR1", is_aliased);
  pe_current()->fault = gap_fault;
  check_fault("an address of neither", gap, EC_DATA_ABORT, FSC_TRANSLATION + 0);
  check_equal("TTBR0_EL1 by E2H", by_el1_name, own);
  check_equal("VBAR_EL1 by E2H", redirected, vbar);
  check_equal("VBAR_EL12", el1_vbar, 0x12345000);
}

/* A program at EL0 in the EL2&0 regime: its SVC comes to EL2, and so do its faults. */
static void mmu_vhe_el0(void) {
  if (!has_vhe()) return skip("no VHE");
  static struct guest user;
  memcpy((void *)FRAME, el0_code, (size_t)(el0_code_end - el0_code));
  memset((void *)(FRAME + PAGE_SIZE), 0, PAGE_SIZE);
  dcache_clean_invalidate((void *)FRAME, (void *)(FRAME + PAGE_SIZE));
  __asm__ volatile("ic ialluis\n\tdsb ish\n\tisb" ::: "memory");
  space_map(&vhe_space, EL0_TEXT, FRAME, PAGE_SIZE, MMU_READ | MMU_EXECUTE | MMU_USER);
  space_map(&vhe_space, EL0_DATA, FRAME + PAGE_SIZE, PAGE_SIZE, MMU_READ | MMU_WRITE | MMU_USER);
  memset(&user, 0, sizeof user);
  user.x[0] = EL0_DATA;
  user.x[1] = (uint64_t)mmu_vhe_el0; /* code of EL2's own: EL0 may not touch it */
  user.elr = EL0_TEXT;
  user.spsr = 0x3c0; /* EL0t */
  regime_enter(&vhe_regime);
  uint64_t call = guest_enter(&user);
  uint64_t call_esr = user.esr;
  uint64_t fault = guest_enter(&user);
  regime_enter(&host_regime);
  check_equal("vector of the SVC", call, 8);
  check_equal("class of the SVC", esr_class(call_esr), EC_SVC);
  check_equal("immediate of the SVC", call_esr & 0xffff, 7);
  check_equal("what EL0 stored", mmio_read64(FRAME + PAGE_SIZE), 0xe10);
  check_equal("vector of the fault", fault, 8);
  check_equal("class of the fault", esr_class(user.esr), EC_DATA_ABORT_LOWER);
  check_equal("FAR of the fault", user.far, (uint64_t)mmu_vhe_el0);
  check_equal("status of the fault", esr_status(user.esr) & ~3u, FSC_PERMISSION);
}

const struct test mmu_tests[] = {
    {"mmu", "mmu_mapping", mmu_mapping},
    {"mmu", "mmu_permissions", mmu_permissions},
    {"mmu", "mmu_address_translation", mmu_address_translation},
    {"mmu", "mmu_blocks", mmu_blocks},
    {"mmu", "mmu_broadcast", mmu_broadcast},
    {"mmu", "mmu_vhe", mmu_vhe},
    {"mmu", "mmu_vhe_el0", mmu_vhe_el0},
    {0, 0, 0},
};
