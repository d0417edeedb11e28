/* Several PEs: PSCI, locks, exclusives, atomics, messages. DEN0022; DDI 0487, "Synchronization and semaphores". */
#include "../lib/arch.h"
#include "../lib/spinlock.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

enum { ROUNDS = 500 };

static uint64_t own_index(struct pe *pe, uint64_t argument) {
  if ((read_sysreg(mpidr_el1) & 0xff00ffffff) != pe->mpidr) return 1;
  if (read_sysreg(CurrentEL) != 2 << 2) return 2;
  return argument == pe->index ? 0 : 3;
}
static void pe_cpu_on(void) {
  if (pe_count < 2) return skip("one PE only");
  for (uint32_t i = 1; i < pe_count; i++)
    check_equal("AFFINITY_INFO before", (uint64_t)psci(PSCI_AFFINITY_INFO, pes[i].mpidr, 0, 0), AFFINITY_OFF);
  check("all PEs come and go", pe_all(own_index));
  check("and once more", pe_all(own_index));
}

static struct spinlock lock;
static volatile uint64_t shared;
static uint64_t add_locked(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    spin_lock(&lock);
    shared = shared + 1;
    spin_unlock(&lock);
  }
  return 0;
}
static void pe_spinlock(void) {
  if (pe_count < 2) return skip("one PE only");
  shared = 0;
  check("all PEs end", pe_all(add_locked));
  check_equal("additions under a lock", shared, (pe_count - 1) * ROUNDS);
}

static uint64_t counter;
static uint64_t add_exclusive(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    uint64_t value;
    uint32_t failed;
    do __asm__ volatile("ldxr %0, [%2]\n\tadd %0, %0, #1\n\tstxr %w1, %0, [%2]" : "=&r"(value), "=&r"(failed) : "r"(&counter) : "memory");
    while (failed != 0);
  }
  return 0;
}
static void pe_exclusives(void) {
  if (pe_count < 2) return skip("one PE only");
  counter = 0;
  check("all PEs end", pe_all(add_exclusive));
  check_equal("additions by exclusives", counter, (pe_count - 1) * ROUNDS);
}

static uint64_t add_atomic(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  for (uint32_t i = 0; i < ROUNDS; i++)
    __asm__ volatile(".arch_extension lse\n\tstadd %0, [%1]" ::"r"(1ull), "r"(&counter) : "memory");
  return 0;
}
static void pe_atomics(void) {
  if (pe_count < 2) return skip("one PE only");
  if ((read_sysreg(id_aa64isar0_el1) >> 20 & 0xf) < 2) return skip("no LSE");
  counter = 0;
  check("all PEs end", pe_all(add_atomic));
  check_equal("additions by LSE", counter, (pe_count - 1) * ROUNDS);
}

/* A ring of events: each PE waits in WFE for its turn, and passes it on by SEV. */
static uint32_t turn;
static uint64_t take_turns(struct pe *pe, uint64_t unused) {
  (void)unused;
  for (uint32_t round = 0; round < 20; round++) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) % (pe_count - 1) + 1 != pe->index) wfe();
    __atomic_add_fetch(&turn, 1, __ATOMIC_ACQ_REL);
    sev();
  }
  return 0;
}
static void pe_events(void) {
  if (pe_count < 3) return skip("fewer than three PEs");
  turn = 0;
  check("all PEs end", pe_all(take_turns));
  check_equal("turns", turn, 20 * (pe_count - 1));
}

static uint32_t hold;
static uint64_t hold_on(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  while (__atomic_load_n(&hold, __ATOMIC_ACQUIRE) != 0) {
  }
  return 0;
}
static void psci_errors(void) {
  extern const char secondary_entry[];
  const uint64_t entry = (uint64_t)secondary_entry;
  check("PSCI_VERSION is 1.0 or later", (uint64_t)psci(PSCI_VERSION, 0, 0, 0) >= 0x10000);
  check_equal("FEATURES of CPU_ON", (uint64_t)psci(PSCI_FEATURES, PSCI_CPU_ON, 0, 0), 0);
  check_equal("FEATURES of nothing", (uint64_t)psci(PSCI_FEATURES, 0x84001234, 0, 0), (uint64_t)PSCI_NOT_SUPPORTED);
  check_equal("CPU_ON of this PE", (uint64_t)psci(PSCI_CPU_ON, pes[0].mpidr, entry, 0), (uint64_t)PSCI_ALREADY_ON);
  check_equal("CPU_ON of no PE", (uint64_t)psci(PSCI_CPU_ON, 0x90000, entry, 0), (uint64_t)PSCI_INVALID_PARAMETERS);
  check_equal("AFFINITY_INFO of no PE", (uint64_t)psci(PSCI_AFFINITY_INFO, 0x90000, 0, 0), (uint64_t)PSCI_INVALID_PARAMETERS);
  check_equal("AFFINITY_INFO of this PE", (uint64_t)psci(PSCI_AFFINITY_INFO, pes[0].mpidr, 0, 0), AFFINITY_ON);
  if (pe_count < 2) return;
  check_equal("CPU_ON at an entry in Root memory", (uint64_t)psci(PSCI_CPU_ON, pes[1].mpidr, ROOT_MEMORY, 0),
              (uint64_t)PSCI_INVALID_ADDRESS);
  __atomic_store_n(&hold, 1, __ATOMIC_RELEASE);
  check_equal("CPU_ON", (uint64_t)pe_start(1, hold_on, 0), 0);
  int64_t again = psci(PSCI_CPU_ON, pes[1].mpidr, entry, 0);
  check("CPU_ON again", again == PSCI_ALREADY_ON || again == PSCI_ON_PENDING);
  __atomic_store_n(&hold, 0, __ATOMIC_RELEASE);
  uint64_t result;
  check("the PE ends", pe_join(1, &result));
}

/* CPU_SUSPEND: standby comes back by an interrupt, powerdown begins anew at the entry point with its context. */
extern const char resume_entry[];
uint64_t resumed_with;
static void wake_later(void) {
  gic_enable(INTID_CNTHP);
  write_sysreg(cnthp_cval_el2, timer_now() + timer_ticks(200));
  write_sysreg(cnthp_ctl_el2, 1);
  isb();
}
static void no_more_wake(void) {
  write_sysreg(cnthp_ctl_el2, 0);
  isb();
  gic_disable(INTID_CNTHP);
}
static void psci_standby(void) {
  wake_later();
  uint64_t from = timer_now();
  check_equal("CPU_SUSPEND", (uint64_t)psci(PSCI_CPU_SUSPEND, 0, 0, 0), 0);
  check("it lasted until the timer", timer_now() - from >= timer_ticks(150));
  no_more_wake();
  check_equal("CPU_SUSPEND with reserved bits", (uint64_t)psci(PSCI_CPU_SUSPEND, 1ull << 31, 0, 0),
              (uint64_t)PSCI_INVALID_PARAMETERS);
}
/* resume.S: keeps what has to survive on the stack and calls CPU_SUSPEND; true: it came back by resume_entry. */
bool suspend_powerdown(uint64_t power_state);
static void psci_powerdown(void) {
  wake_later();
  uint64_t from = timer_now();
  check("it came back at its entry", suspend_powerdown(1ull << 16));
  check_equal("with its context", resumed_with, 0xc0de);
  check("it lasted until the timer", timer_now() - from >= timer_ticks(150));
  gic_init_pe();
  no_more_wake();
}

const struct test pe_tests[] = {
    {"pe", "pe_cpu_on", pe_cpu_on},
    {"pe", "pe_spinlock", pe_spinlock},
    {"pe", "pe_exclusives", pe_exclusives},
    {"pe", "pe_atomics", pe_atomics},
    {"pe", "pe_events", pe_events},
    {"pe", "psci_errors", psci_errors},
    {"pe", "psci_standby", psci_standby},
    {"pe", "psci_powerdown", psci_powerdown},
    {0, 0, 0},
};
