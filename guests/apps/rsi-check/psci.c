/*
 * PSCI as the RMM serves it: DEN0137 1.0-rel0, "Power State Control Interface". SYSTEM_OFF and _RESET end the realm:
 * not here.
 */
#include "lib/psci.h"

#include "lib/arch.h"
#include "lib/gic.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/start.h"
#include "lib/timer.h"
#include "table.h"

/* Affinity of a CPU that no realm here has. */
#define NOBODY 0xff00ull
enum { SUSPEND_US = 2000, TIMEOUT_US = 2000000 };

static int64_t features(uint32_t function) { return psci_call(PSCI_FEATURES, function, 0, 0); }

/* PSCI defines its results as signed 32-bit or 64-bit; the RMM returns them sign-extended. */
static uint64_t psci64(uint64_t fid, uint64_t x1, uint64_t x2, uint64_t x3) {
  struct smccc_registers r = {{fid, x1, x2, x3}};
  smc_call(&r);
  return r.x[0];
}

static bool keeps_registers(void) {
  struct smccc_registers r = {{PSCI_VERSION, 1, 2, 3}};
  for (uint32_t i = 4; i <= 30; i++) r.x[i] = 0x5a5a0000 + i;
  smc_call(&r);
  bool kept = r.x[1] == 0 && r.x[2] == 0 && r.x[3] == 0;
  for (uint32_t i = 4; i <= 30; i++) kept = kept && r.x[i] == 0x5a5a0000 + i;
  return kept;
}

static void check_features(void) {
  check(ROW_PSCI_AT_LEAST_1_1, psci_call(PSCI_VERSION, 0, 0, 0) >= 0x10001);
  check(ROW_PSCI_HAS_SUSPEND, (uint64_t)features(PSCI_CPU_SUSPEND));
  check(ROW_PSCI_HAS_OFF, (uint64_t)features(PSCI_CPU_OFF));
  check(ROW_PSCI_HAS_ON, (uint64_t)features(PSCI_CPU_ON));
  check(ROW_PSCI_HAS_AFFINITY, (uint64_t)features(PSCI_AFFINITY_INFO));
  check(ROW_PSCI_HAS_SYSTEM_OFF, (uint64_t)features(PSCI_SYSTEM_OFF));
  check(ROW_PSCI_HAS_SYSTEM_RESET, (uint64_t)features(PSCI_SYSTEM_RESET));
  check(ROW_PSCI_HAS_FEATURES, (uint64_t)features(PSCI_FEATURES));
  check(ROW_PSCI_HAS_SMCCC, (uint64_t)features(SMCCC_VERSION));
  check(ROW_PSCI_HAS_MIGRATE, (uint64_t)features(0xc4000005));
  check(ROW_PSCI_HAS_RSI, (uint64_t)features(RSI_FID_VERSION));
  check(ROW_PSCI_MIGRATE, psci64(0xc4000005, 0, 0, 0));
  check(ROW_PSCI_FREEZE, psci64(0x8400000b, 0, 0, 0));
  check(ROW_PSCI_SYSTEM_SUSPEND, psci64(0xc400000e, image_base(), 0, 0));
  check(ROW_PSCI_SYSTEM_RESET2, psci64(0xc4000012, 0, 0, 0));
  check(ROW_PSCI_KEEPS, keeps_registers());
}

/* Entered by CPU_ON with the MMU off: stores what X0 to X30 hold at `context`, cleans that, and turns itself off. */
extern const char raw_entry[];
__asm__(
    ".text\n.balign 4\n.global raw_entry\nraw_entry:\n"
    "  stp x0, x1, [x0]\n  stp x2, x3, [x0, #16]\n  stp x4, x5, [x0, #32]\n  stp x6, x7, [x0, #48]\n"
    "  stp x8, x9, [x0, #64]\n  stp x10, x11, [x0, #80]\n  stp x12, x13, [x0, #96]\n  stp x14, x15, [x0, #112]\n"
    "  stp x16, x17, [x0, #128]\n  stp x18, x19, [x0, #144]\n  stp x20, x21, [x0, #160]\n  stp x22, x23, [x0, #176]\n"
    "  stp x24, x25, [x0, #192]\n  stp x26, x27, [x0, #208]\n  stp x28, x29, [x0, #224]\n  str x30, [x0, #240]\n"
    "  dsb sy\n  mov x1, #1\n  str x1, [x0, #248]\n  dsb sy\n"
    "  mov w0, #0x84000000\n  orr w0, w0, #2\n"
    "  .inst 0xd4000003\n  b .\n"); /* smc #0, whose mnemonic some assemblers only take from later architectures */

static uint64_t raw_state[32] __attribute__((aligned(256)));

static bool wait_until(uint64_t *flag, uint64_t value) {
  uint64_t deadline = timer_now() + timer_ticks(TIMEOUT_US);
  do {
    dcache_clean_invalidate(raw_state, raw_state + 32); /* written with the MMU off */
    if (*(volatile uint64_t *)flag == value) return true;
  } while (timer_now() < deadline);
  return false;
}

static bool wait_affinity(uint64_t mpidr, int64_t value) {
  uint64_t deadline = timer_now() + timer_ticks(TIMEOUT_US);
  do {
    if (psci_affinity_info(mpidr, 0) == value) return true;
  } while (timer_now() < deadline);
  return false;
}

static struct {
  uint64_t init_done, status, stop;
} other;

/* Runs on CPU 1: a token operation that CPU 0 began is not its own. */
static void continue_elsewhere(struct cpu *self) {
  (void)self;
  static uint8_t page[4096] __attribute__((aligned(4096)));
  uint64_t written;
  other.status = rsi_attestation_token_continue((uint64_t)page, 0, sizeof page, &written);
  __atomic_store_n(&other.init_done, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&other.stop, __ATOMIC_ACQUIRE) == 0) __asm__ volatile("yield");
}

static void check_second_cpu(void) {
  uint64_t mpidr = cpus[1].mpidr;
  check(ROW_PSCI_INFO_BEFORE, (uint64_t)psci_affinity_info(mpidr, 0));
  dcache_clean_invalidate(raw_state, raw_state + 32);
  check(ROW_PSCI_ON, (uint64_t)psci_cpu_on(mpidr, (uint64_t)raw_entry, (uint64_t)raw_state));
  bool zero = wait_until(&raw_state[31], 1) && raw_state[0] == (uint64_t)raw_state;
  for (uint32_t i = 1; i <= 30; i++) zero = zero && raw_state[i] == 0;
  check(ROW_PSCI_ON_CONTEXT, zero);
  bool off = wait_affinity(mpidr, AFFINITY_OFF);

  const uint8_t challenge[RSI_CHALLENGE_SIZE] = {0};
  uint64_t size_max;
  rsi_attestation_token_init(challenge, &size_max);
  smp_start(1, continue_elsewhere);
  uint64_t deadline = timer_now() + timer_ticks(TIMEOUT_US);
  while (__atomic_load_n(&other.init_done, __ATOMIC_ACQUIRE) == 0 && timer_now() < deadline) {
  }
  check(ROW_TOKEN_OTHER_REC, other.init_done != 0 ? other.status : UINT64_MAX);
  check(ROW_PSCI_ON_AGAIN, (uint64_t)psci_cpu_on(mpidr, (uint64_t)raw_entry, 0));
  check(ROW_PSCI_INFO_ON, (uint64_t)psci_affinity_info(mpidr, 0));
  __atomic_store_n(&other.stop, 1, __ATOMIC_RELEASE);
  check(ROW_PSCI_INFO_AFTER, off && wait_affinity(mpidr, AFFINITY_OFF) ? AFFINITY_OFF : AFFINITY_ON);
}

static uint32_t timer_interrupts;
static void on_timer(uint32_t intid) {
  timer_irq(intid);
  timer_interrupts++;
}

/* Interrupts stay masked in PSTATE: the Host must resume the REC for a pending one all the same. */
static void check_suspend(void) {
  if (!gic_init() || !gic_init_cpu() || platform.timer_intid >= GIC_PRIVATE) {
    skip(ROW_PSCI_SUSPEND, "no GICv3");
    skip(ROW_PSCI_SUSPEND_TIME, "no GICv3");
    skip(ROW_PSCI_SUSPEND_IRQ, "no GICv3");
    return;
  }
  gic_set_handler(platform.timer_intid, on_timer);
  gic_enable(platform.timer_intid);
  uint64_t deadline = timer_now() + timer_ticks(SUSPEND_US);
  timer_arm(deadline);
  check(ROW_PSCI_SUSPEND, psci64(PSCI_CPU_SUSPEND, 0, 0, 0));
  check(ROW_PSCI_SUSPEND_TIME, timer_now() >= deadline);
  irq_unmask();
  isb();
  irq_mask();
  check(ROW_PSCI_SUSPEND_IRQ, timer_interrupts == 1);
}

void check_psci(void) {
  uint64_t self = cpus[0].mpidr, entry = (uint64_t)raw_entry;
  check_features();
  check(ROW_PSCI_ON_SELF, (uint64_t)psci_cpu_on(self, entry, 0));
  check(ROW_PSCI_ON_NOBODY, (uint64_t)psci_cpu_on(NOBODY, entry, 0));
  uint64_t target = platform.cpu_count > 1 ? cpus[1].mpidr : self; /* the entry point is looked at first */
  check(ROW_PSCI_ON_UNPROTECTED, (uint64_t)psci_cpu_on(target, entry | realm.shared, 0));
  check(ROW_PSCI_ON_BEYOND, (uint64_t)psci_cpu_on(target, beyond_ipa(), 0));
  check(ROW_PSCI_INFO_SELF, (uint64_t)psci_affinity_info(self, 0));
  check(ROW_PSCI_INFO_NOBODY, (uint64_t)psci_affinity_info(NOBODY, 0));
  check(ROW_PSCI_INFO_LEVEL, (uint64_t)psci_affinity_info(self, 1));
  if (platform.cpu_count > 1) {
    check_second_cpu();
  } else {
    const enum row_id rows[] = {ROW_PSCI_INFO_BEFORE, ROW_PSCI_ON,      ROW_PSCI_ON_CONTEXT, ROW_TOKEN_OTHER_REC,
                                ROW_PSCI_ON_AGAIN,    ROW_PSCI_INFO_ON, ROW_PSCI_INFO_AFTER};
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) skip(rows[i], "one CPU");
  }
  check_suspend();
}
