/*
 * smp: brings up every CPU of the device tree and makes them work together: PSCI CPU_ON, CPU_OFF and AFFINITY_INFO;
 * SGIs in a ring and to all; the virtual timer of each CPU; a counter under a lock of exclusives, and with LSE
 * atomics where they exist. Prints a line per part. Exit status 0, or 1 after the reason.
 */
#include <stdarg.h>

#include "lib/attestation.h"
#include "lib/console.h"
#include "lib/gic.h"
#include "lib/platform.h"
#include "lib/psci.h"
#include "lib/smp.h"
#include "lib/spinlock.h"
#include "lib/start.h"
#include "lib/timer.h"

enum { SGI_RING = 1, SGI_ALL = 2, SGI_WAKE = 3 };
enum { RING_ROUNDS = 16, BROADCASTS = 8, TICKS = 16, TICK_US = 500, INCREMENTS = 5000 };
enum { TIMEOUT_US = 5000000 };

static uint32_t cpu_count;
static uint32_t failures;

static struct {
  uint32_t ready, ring, all, ticks, early;
  bool ticking;
} seen[NR_CPUS];

static struct spinlock counter_lock;
static volatile uint64_t counter; /* not atomic: only the lock keeps it right */
static uint64_t atomic_counter, lse_counter;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("smp: FAILED: ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

/* Everybody waits for everybody, in WFE; the last one's SEV wakes the others. */
static void barrier(void) {
  static uint32_t arrived, generation;
  uint32_t mine = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == cpu_count) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&generation, mine + 1, __ATOMIC_RELEASE);
    sev();
  } else {
    while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == mine) wfe();
  }
}

struct expected_count {
  const uint32_t *count;
  uint32_t value;
};
static bool reached(void *context) {
  const struct expected_count *expected = context;
  return __atomic_load_n(expected->count, __ATOMIC_ACQUIRE) >= expected->value;
}
static bool wait_count(const uint32_t *count, uint32_t value) {
  struct expected_count expected = {count, value};
  return timer_wait(reached, &expected, TIMEOUT_US);
}

/* --- interrupts --- */

static void pass_on(uint32_t index) { gic_send(SGI_RING, cpus[(index + 1) % cpu_count].mpidr); }

static void on_ring(uint32_t intid) {
  (void)intid;
  uint32_t index = cpu_current()->index;
  uint32_t count = __atomic_add_fetch(&seen[index].ring, 1, __ATOMIC_ACQ_REL);
  if (index != 0 || count < RING_ROUNDS) pass_on(index); /* the ring ends where it began */
}

static void on_all(uint32_t intid) {
  (void)intid;
  __atomic_add_fetch(&seen[cpu_current()->index].all, 1, __ATOMIC_ACQ_REL);
}

static void on_wake(uint32_t intid) { (void)intid; }

static void on_timer(uint32_t intid) {
  uint32_t index = cpu_current()->index;
  if (!seen[index].ticking) {
    timer_irq(intid);
    return;
  }
  uint64_t deadline = read_sysreg(cntv_cval_el0);
  if (timer_now() < deadline) seen[index].early++;
  if (++seen[index].ticks < TICKS)
    timer_arm(deadline + timer_ticks(TICK_US));
  else
    timer_stop();
}

static bool prepare_cpu(void) {
  if (!gic_init_cpu()) return false;
  gic_enable(SGI_RING);
  gic_enable(SGI_ALL);
  gic_enable(SGI_WAKE);
  gic_enable(platform.timer_intid);
  irq_unmask();
  return true;
}

/* --- what every CPU does, in step --- */

static void broadcast(struct cpu *self) {
  for (uint32_t round = 0; round < BROADCASTS; round++) {
    for (uint32_t sender = 0; sender < cpu_count; sender++) {
      barrier();
      if (self->index == sender) gic_send_others(SGI_ALL);
      /* Two pending SGIs of one INTID are one: nobody sends before all have seen the last. */
      uint32_t own = self->index <= sender ? 1 : 0; /* which does not reach me */
      uint32_t expected = round * (cpu_count - 1) + sender + 1 - own;
      if (!wait_count(&seen[self->index].all, expected))
        fail("CPU %u saw %u of %u broadcasts", self->index, seen[self->index].all, expected);
    }
  }
  barrier();
}

static void tick(struct cpu *self) {
  seen[self->index].ticking = true;
  uint64_t start = timer_now();
  timer_arm(start + timer_ticks(TICK_US));
  while (__atomic_load_n(&seen[self->index].ticks, __ATOMIC_ACQUIRE) < TICKS) {
    irq_mask();
    if (seen[self->index].ticks < TICKS) wfi(); /* only the timer can end this wait */
    irq_unmask();
    isb();
  }
  seen[self->index].ticking = false;
  if (timer_now() - start < TICKS * timer_ticks(TICK_US)) fail("CPU %u: timer ran fast", self->index);
  barrier();
}

static bool has_lse(void) { return (read_sysreg(id_aa64isar0_el1) >> 20 & 0xf) >= 2; }

static void count(void) {
  bool lse = has_lse();
  for (uint32_t i = 0; i < INCREMENTS; i++) {
    spin_lock(&counter_lock);
    counter = counter + 1;
    spin_unlock(&counter_lock);
    __atomic_fetch_add(&atomic_counter, 1, __ATOMIC_RELAXED);
    if (lse)
      __asm__ volatile(".arch_extension lse\n\tstadd %1, %0" : "+Q"(lse_counter) : "r"((uint64_t)1));
  }
  barrier();
}

static void together(struct cpu *self) {
  barrier();
  broadcast(self);
  tick(self);
  count();
}

/* SGI_WAKE ends the boot CPU's WFI. */
static void tell_boot_cpu(uint32_t *flag) {
  if (!prepare_cpu()) fail("CPU %u: no redistributor", cpu_current()->index);
  __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
  gic_send(SGI_WAKE, cpus[0].mpidr);
}

static void worker(struct cpu *self) {
  tell_boot_cpu(&seen[self->index].ready);
  barrier(); /* all are up */
  barrier(); /* the ring is over */
  together(self);
  /* The last CPU leaves, the others sleep until the guest ends. */
  if (self->index == cpu_count - 1) return;
  for (;;) wfi();
}

static uint32_t second_life;
static void reborn(struct cpu *self) {
  (void)self;
  tell_boot_cpu(&second_life);
}

/* --- the boot CPU --- */

static bool is_off(void *context) {
  const struct cpu *cpu = context;
  return psci_affinity_info(cpu->mpidr, 0) == AFFINITY_OFF;
}

/* AFFINITY_INFO until the CPU is off: nothing wakes us when it is, so this polls. */
static bool wait_off(struct cpu *cpu) {
  uint64_t deadline = timer_now() + timer_ticks(TIMEOUT_US);
  while (!is_off(cpu))
    if (timer_now() > deadline) return false;
  return true;
}

static bool start_all(void) {
  for (uint32_t i = 1; i < cpu_count; i++) {
    int64_t before = psci_affinity_info(cpus[i].mpidr, 0);
    if (before != AFFINITY_OFF) fail("CPU %u: AFFINITY_INFO %ld before CPU_ON", i, before);
    int64_t status = smp_start(i, worker);
    if (status != PSCI_SUCCESS) {
      fail("CPU %u, MPIDR 0x%lx: CPU_ON %ld", i, cpus[i].mpidr, status);
      return false;
    }
    if (!wait_count(&seen[i].ready, 1)) {
      fail("CPU %u did not come up", i);
      return false;
    }
    int64_t after = psci_affinity_info(cpus[i].mpidr, 0), again = psci_cpu_on(cpus[i].mpidr, image_base(), 0);
    if (after != AFFINITY_ON) fail("CPU %u: AFFINITY_INFO %ld after CPU_ON", i, after);
    if (again != PSCI_ALREADY_ON) fail("CPU %u: second CPU_ON %ld", i, again);
  }
  barrier();
  printf("smp: %u CPUs up\n", cpu_count);
  return true;
}

static void ring(void) {
  pass_on(0);
  if (!wait_count(&seen[0].ring, RING_ROUNDS)) fail("the ring broke in round %u", seen[0].ring);
  for (uint32_t i = 0; i < cpu_count; i++)
    if (seen[i].ring != RING_ROUNDS) fail("CPU %u: %u of %u SGIs of the ring", i, seen[i].ring, (unsigned)RING_ROUNDS);
  printf("smp: ring of %u SGIs\n", RING_ROUNDS * cpu_count);
}

static void check_counts(void) {
  uint64_t expected = (uint64_t)INCREMENTS * cpu_count;
  for (uint32_t i = 0; i < cpu_count; i++) {
    uint32_t all = BROADCASTS * (cpu_count - 1);
    if (seen[i].all != all) fail("CPU %u: %u of %u broadcasts", i, seen[i].all, all);
    if (seen[i].ticks != TICKS) fail("CPU %u: %u of %u ticks", i, seen[i].ticks, (unsigned)TICKS);
    if (seen[i].early != 0) fail("CPU %u: %u timer interrupts before their time", i, seen[i].early);
  }
  if (counter != expected) fail("locked counter is %lu, not %lu", counter, expected);
  if (atomic_counter != expected) fail("exclusive counter is %lu, not %lu", atomic_counter, expected);
  if (has_lse() && lse_counter != expected) fail("LSE counter is %lu, not %lu", lse_counter, expected);
  printf("smp: %u broadcasts and %u timer interrupts on each CPU\n", BROADCASTS * (cpu_count - 1), (unsigned)TICKS);
  printf("smp: locked counter %lu, exclusive counter %lu, LSE counter ", counter, atomic_counter);
  has_lse() ? printf("%lu\n", lse_counter) : printf("not there\n");
}

static void off_and_on(void) {
  struct cpu *last = &cpus[cpu_count - 1];
  if (!wait_off(last)) {
    fail("CPU %u is still on after CPU_OFF", last->index);
    return;
  }
  int64_t status = smp_start(last->index, reborn);
  if (status != PSCI_SUCCESS) fail("CPU %u: CPU_ON after CPU_OFF %ld", last->index, status);
  if (!wait_count(&second_life, 1)) fail("CPU %u did not come up again", last->index);
  if (!wait_off(last)) fail("CPU %u is still on after its second CPU_OFF", last->index);
  printf("smp: CPU %u off, on, off\n", last->index);
}

int main(void) {
  cpu_count = platform.cpu_count < NR_CPUS ? platform.cpu_count : NR_CPUS;
  gic_set_handler(SGI_RING, on_ring);
  gic_set_handler(SGI_ALL, on_all);
  gic_set_handler(SGI_WAKE, on_wake);
  if (platform.timer_intid < GIC_PRIVATE) gic_set_handler(platform.timer_intid, on_timer);
  if (cpu_count == 0 || platform.timer_intid >= GIC_PRIVATE || !gic_init() || !prepare_cpu()) {
    fail("no CPUs, timer or GICv3 in the device tree");
    return STATUS_FAILED;
  }
  if (!start_all()) return STATUS_FAILED;
  ring();
  barrier();
  together(&cpus[0]);
  check_counts();
  if (cpu_count > 1) off_and_on();
  if (gic_unexpected() != 0) fail("%u interrupts without a handler", gic_unexpected());
  if (!attestation_report(false)) fail("no attestation token");
  printf("smp: %s\n", failures == 0 ? "ok" : "failed");
  return failures == 0 ? STATUS_OK : STATUS_FAILED;
}
