/* What a machine may have or not: found out by its ID registers and calls, skipped with the reason when it is not there. */
#include "../lib/arch.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

/* PMUv3: the cycle counter and an event, instructions retired, at EL2; the overflow's interrupt. DDI 0487, "PMU". */
enum { PMCR_E = 1, PMCR_P = 2, PMCR_C = 4, PMCR_LC = 1 << 6, EVENT_INST_RETIRED = 0x08 };
#define PM_CYCLES (1ull << 31)
#define PM_NSH (1ull << 27) /* counts at EL2 */
static bool has_pmu(void) {
  uint64_t version = read_sysreg(id_aa64dfr0_el1) >> 8 & 0xf;
  return version != 0 && version != 0xf;
}
static void quiet_pmu(uint32_t intid) {
  (void)intid;
  write_sysreg(pmintenclr_el1, ~0ull >> 32);
  write_sysreg(pmovsclr_el0, ~0ull >> 32);
  isb();
}
static void pmu_off(void) {
  write_sysreg(pmcntenclr_el0, ~0ull >> 32);
  write_sysreg(pmcr_el0, PMCR_LC);
  quiet_pmu(0);
}
static void feature_pmu(void) {
  if (!has_pmu()) return skip("no PMUv3");
  const uint64_t counters = read_sysreg(pmcr_el0) >> 11 & 31;
  write_sysreg(mdcr_el2, counters);
  message("%lu event counters", counters);
  if (!check("there is one", counters > 0)) return;
  write_sysreg(pmccfiltr_el0, PM_NSH);
  write_sysreg(pmevtyper0_el0, PM_NSH | EVENT_INST_RETIRED);
  write_sysreg(pmcntenset_el0, PM_CYCLES | 1);
  write_sysreg(pmcr_el0, PMCR_E | PMCR_P | PMCR_C | PMCR_LC);
  isb();
  for (uint32_t i = 0; i < 1000; i++) __asm__ volatile("nop");
  write_sysreg(pmcr_el0, PMCR_LC);
  isb();
  uint64_t instructions = read_sysreg(pmevcntr0_el0), cycles = read_sysreg(pmccntr_el0);
  check("instructions of the loop", instructions >= 2000 && instructions < 10000);
  check("cycles of the loop", cycles > 0);
  uint64_t before = read_sysreg(pmevcntr0_el0);
  for (uint32_t i = 0; i < 100; i++) __asm__ volatile("nop");
  check_equal("a disabled counter", read_sysreg(pmevcntr0_el0), before);
  pmu_off();
}
static void feature_pmu_overflow(void) {
  if (!has_pmu()) return skip("no PMUv3");
  pmu_off();
  write_sysreg(mdcr_el2, read_sysreg(pmcr_el0) >> 11 & 31);
  gic_set_handler(INTID_PMU, quiet_pmu);
  gic_enable(INTID_PMU);
  write_sysreg(pmevtyper0_el0, PM_NSH | EVENT_INST_RETIRED);
  write_sysreg(pmevcntr0_el0, 0xffffffff - 500);
  write_sysreg(pmintenset_el1, 1);
  write_sysreg(pmcntenset_el0, 1);
  write_sysreg(pmcr_el0, PMCR_E | PMCR_LC);
  isb();
  check("its interrupt comes", gic_wait(INTID_PMU, 1, 10000));
  check_equal("once", gic_taken(INTID_PMU), 1);
  check_equal("PMOVSCLR_EL0 when it is cleared", read_sysreg(pmovsclr_el0) & 1, 0);
  pmu_off();
  gic_disable(INTID_PMU);
}

/* SMCCC: what answers, what does not. */
static void feature_smccc(void) {
  check("SMCCC_VERSION is 1.1 or later", (uint64_t)psci(SMCCC_VERSION, 0, 0, 0) >= 0x10001);
  check_equal("a function that nobody has", (uint64_t)psci(0x8f001234, 0, 0, 0), ~0ull);
  struct smccc_registers registers = {{PSCI_VERSION, 1, 2, 3}};
  for (uint64_t i = 4; i < 31; i++) registers.x[i] = 0x1000 + i;
  smc_call(&registers);
  for (uint64_t i = 18; i < 31; i++) check_equal("a preserved register", registers.x[i], 0x1000 + i);
}

const struct test feature_tests[] = {
    {"feature", "feature_smccc", feature_smccc},
    {"feature", "feature_pmu", feature_pmu},
    {"feature", "feature_pmu_overflow", feature_pmu_overflow},
    {0, 0, 0},
};
