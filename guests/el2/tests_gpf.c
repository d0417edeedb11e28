/* Granule protection: what belongs to the other worlds refuses reads, writes, fetches and table walks. DEN0129. */
#include "../lib/arch.h"
#include "../lib/string.h"
#include "devices.h"
#include "mmu.h"
#include "pe.h"
#include "rmi.h"
#include "test.h"

/* Fetches go through a mapping that allows them. */
static void refused(const char *what, uint64_t pa) {
  uint64_t value;
  message("%s, 0x%lx", what, pa);
  check_fault("a read", probe_read(pa, &value), EC_DATA_ABORT, FSC_GPF);
  check_equal("its FAR", pe_current()->fault.far, pa);
  check_fault("a write", probe_write(pa, 0), EC_DATA_ABORT, FSC_GPF);
  check_equal("its WnR", pe_current()->fault.esr & ESR_WNR, ESR_WNR);
  host_map(WINDOW, pa, PAGE_SIZE, MMU_READ | MMU_EXECUTE);
  check_fault("a fetch", probe_execute(WINDOW), EC_INSTRUCTION_ABORT, FSC_GPF);
  host_map(WINDOW, pa, PAGE_SIZE, MMU_NONE);
}

static void gpf_worlds(void) {
  refused("Root memory", ROOT_MEMORY);
  refused("the RMM's memory", REALM_MEMORY);
  refused("Secure memory", SECURE_MEMORY);
}

/* A granule of this program's own goes to the RMM and comes back, and is zero then. */
static void gpf_delegated(void) {
  uint64_t value = 0;
  mmio_write64(POOL_BASE, 0x5ec7e7);
  check_equal("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
  refused("a delegated granule", POOL_BASE);
  check_equal("RMI_GRANULE_UNDELEGATE", rmi(RMI_GRANULE_UNDELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
  check("an undelegated granule can be read", probe_read(POOL_BASE, &value));
  check("it shows nothing of what was there", value != 0x5ec7e7);
}

/* A table that becomes a Realm's granule: the walk is refused, and says at which level. */
static void gpf_walk(void) {
  static struct space space;
  uint64_t par;
  space = space_new(STAGE1_EL2);
  uint64_t *table = (uint64_t *)POOL_BASE;
  memset(table, 0, PAGE_SIZE);
  space.root[NOWHERE >> 30] = POOL_BASE | 3; /* a level 2 table */
  dsb_ish();
  check_equal("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
  uint64_t old = host_space.root[NOWHERE >> 30];
  host_space.root[NOWHERE >> 30] = space.root[NOWHERE >> 30];
  dsb_ish();
  isb();
  check_fault("a read through it", probe_read(NOWHERE, &par), EC_DATA_ABORT, FSC_GPF_WALK + 2);
  host_space.root[NOWHERE >> 30] = old;
  dsb_ish();
  __asm__ volatile("tlbi alle2is\n\tdsb ish\n\tisb" ::: "memory");
  check_equal("RMI_GRANULE_UNDELEGATE", rmi(RMI_GRANULE_UNDELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
}

/* Another PE has the granule in its TLB when it is delegated. */
static uint32_t stage;
static uint64_t keeps_reading(struct pe *pe, uint64_t unused) {
  (void)unused;
  uint64_t value;
  if (!probe_read(POOL_BASE, &value)) return 1;
  __atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) != 2) {
  }
  if (probe_read(POOL_BASE, &value)) return 2;
  return esr_status(pe->fault.esr) == FSC_GPF ? 0 : 3;
}
static void gpf_other_pe(void) {
  if (pe_count < 2) return skip("one PE only");
  stage = 0;
  check_equal("CPU_ON", (uint64_t)pe_start(1, keeps_reading, 0), 0);
  while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) == 0) {
  }
  check_equal("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
  __atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
  uint64_t result = ~0ull;
  if (check("the PE ends", pe_join(1, &result))) check_equal("what it saw", result, 0);
  check_equal("RMI_GRANULE_UNDELEGATE", rmi(RMI_GRANULE_UNDELEGATE, POOL_BASE, 0, 0), RMI_SUCCESS);
}

const struct test gpf_tests[] = {
    {"gpf", "gpf_worlds", gpf_worlds},
    {"gpf", "gpf_delegated", gpf_delegated},
    {"gpf", "gpf_walk", gpf_walk},
    {"gpf", "gpf_other_pe", gpf_other_pe},
    {0, 0, 0},
};
