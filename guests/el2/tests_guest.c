/*
 * A guest at EL1 under this program: stage 2, traps of HCR_EL2, virtual interrupts through list registers, the virtual timer.
 * DDI 0487, "Traps to EL2"; IHI 0069, "Virtual interrupt handling".
 */
#include "../lib/arch.h"
#include "devices.h"
#include "gic.h"
#include "guest.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

#define ICH_HCR_EL2 s3_4_c12_c11_0
#define ICH_VTR_EL2 s3_4_c12_c11_1
#define ICH_MISR_EL2 s3_4_c12_c11_2
#define ICH_EISR_EL2 s3_4_c12_c11_3
#define ICH_ELRSR_EL2 s3_4_c12_c11_5
#define ICH_VMCR_EL2 s3_4_c12_c11_7
#define ICH_LR0_EL2 s3_4_c12_c12_0
#define ICH_LR1_EL2 s3_4_c12_c12_1
#define read_ich(name) read_named(name)
#define read_named(name) read_sysreg(name)
#define write_ich(name, value) write_named(name, value)
#define write_named(name, value) write_sysreg(name, value)

#define ICH_HCR_EN (1ull << 0)
#define ICH_HCR_UIE (1ull << 1)
#define LR_PENDING (1ull << 62)
#define LR_STATE (3ull << 62)
#define LR_GROUP1 (1ull << 60)
#define LR_EOI (1ull << 41)
#define LR_PRIORITY (0xa0ull << 48)
#define VMCR_ENABLED (0xf0ull << 24 | 1ull << 1) /* VPMR, VENG1 */

/* Where no memory of the guest is: its device. */
#define DEVICE_IPA 0x40000000ull

static struct guest guest;

/* Runs on; the exit must be synchronous and of this class. */
static bool exit_of(const char *what, uint32_t ec) {
  uint64_t kind = guest_run(&guest);
  if (check(what, kind == EXIT_SYNC && esr_class(guest.esr) == ec)) return true;
  message("  exit %lu, ESR 0x%lx, FAR 0x%lx, X0 0x%lx X1 0x%lx", kind, guest.esr, guest.far, guest.x[0], guest.x[1]);
  return false;
}
static void done(const char *what, uint64_t result) {
  guest_run(&guest);
  if (check(what, guest_is_done(&guest))) check_equal("its result", guest.x[0], result);
  else message("  exit %lu, ESR 0x%lx, X0 0x%lx X1 0x%lx", guest.kind, guest.esr, guest.x[0], guest.x[1]);
}

static uint64_t sum(uint64_t n) {
  uint64_t total = 0;
  for (uint64_t i = 1; i <= n; i++) total += i;
  return total;
}
static void guest_runs(void) {
  guest_make(&guest, sum, 1000);
  done("the guest returns", 500500);
}

static uint64_t load_and_store(uint64_t address) {
  uint64_t value = mmio_read32(address);
  mmio_write8(address + 5, 0x7e);
  return value;
}
static void guest_mmio(void) {
  guest_make(&guest, load_and_store, DEVICE_IPA + 8);
  if (!exit_of("a load from no memory", EC_DATA_ABORT_LOWER)) return;
  check_equal("its status", esr_status(guest.esr) & ~3u, FSC_TRANSLATION);
  check_equal("its IPA", guest_ipa(&guest), DEVICE_IPA + 8);
  check("it has a valid syndrome", (guest.esr & ESR_ISV) != 0);
  check_equal("its size", guest.esr >> 22 & 3, 2);
  check_equal("its direction", guest.esr & ESR_WNR, 0);
  guest.x[guest.esr >> 16 & 31] = 0xcafe;
  guest_skip(&guest);
  if (!exit_of("a store to no memory", EC_DATA_ABORT_LOWER)) return;
  check_equal("its IPA", guest_ipa(&guest), DEVICE_IPA + 13);
  check_equal("its size", guest.esr >> 22 & 3, 0);
  check_equal("its direction", guest.esr & ESR_WNR, ESR_WNR);
  check_equal("its value", guest.x[guest.esr >> 16 & 31], 0x7e);
  guest_skip(&guest);
  done("the guest goes on", 0xcafe);
}

static uint64_t store_word(uint64_t address) {
  mmio_write64(address, 0x99);
  return mmio_read64(address);
}
static void guest_permissions(void) {
  guest_make(&guest, store_word, DEVICE_IPA);
  mmio_write64(POOL_BASE, 0x11);
  space_map(&guest.stage2, DEVICE_IPA, POOL_BASE, PAGE_SIZE, MMU_READ);
  if (!exit_of("a store to a read-only page", EC_DATA_ABORT_LOWER)) return;
  check_equal("its status", esr_status(guest.esr), FSC_PERMISSION + 3);
  check_equal("its FAR", guest.far, DEVICE_IPA);
  space_map(&guest.stage2, DEVICE_IPA, POOL_BASE, PAGE_SIZE, MMU_READ | MMU_WRITE);
  done("the guest goes on", 0x99);
  check_equal("what it stored", mmio_read64(POOL_BASE), 0x99);

  guest_make(&guest, (uint64_t(*)(uint64_t))DEVICE_IPA, 0);
  space_map(&guest.stage2, DEVICE_IPA, POOL_BASE, PAGE_SIZE, MMU_READ);
  if (!exit_of("a fetch from a page for data", EC_INSTRUCTION_ABORT_LOWER)) return;
  check_equal("its status", esr_status(guest.esr), FSC_PERMISSION + 3);
}

/* A granule of another world in the stage 2 of the guest: its store is refused, and EL1 is told, or EL2 with HCR_EL2.GPF. */
static void guest_granule_protection(void) {
  guest_make(&guest, store_word, DEVICE_IPA);
  space_map(&guest.stage2, DEVICE_IPA, REALM_MEMORY, PAGE_SIZE, MMU_READ | MMU_WRITE);
  if (exit_of("the handler of EL1", EC_HVC)) {
    check_equal("class at EL1", esr_class(guest.x[0]), EC_DATA_ABORT);
    check_equal("status at EL1", esr_status(guest.x[0]), FSC_GPF);
  }
  guest_make(&guest, store_word, DEVICE_IPA);
  space_map(&guest.stage2, DEVICE_IPA, REALM_MEMORY, PAGE_SIZE, MMU_READ | MMU_WRITE);
  guest.hcr |= HCR_GPF;
  if (exit_of("an exit with HCR_EL2.GPF", EC_DATA_ABORT_LOWER)) check_equal("its status", esr_status(guest.esr), FSC_GPF);
}

static uint64_t waits(uint64_t unused) {
  (void)unused;
  __asm__ volatile("sevl\n\twfe\n\twfe\n\twfi");
  return 3;
}
static uint64_t smc(uint64_t function) {
  register uint64_t x0 __asm__("x0") = function;
  __asm__ volatile(".inst 0xd4000ee3 // smc #0x77" : "+r"(x0)::"memory");
  return x0;
}
static uint64_t vm_registers(uint64_t value) {
  write_sysreg(ttbr0_el1, value);
  isb();
  return read_sysreg(ttbr0_el1);
}
static uint64_t id_register(uint64_t unused) {
  (void)unused;
  return read_sysreg(id_aa64pfr0_el1);
}
static uint64_t auxiliary(uint64_t unused) {
  (void)unused;
  return read_sysreg(actlr_el1);
}

static void trap_waits(void) {
  guest_make(&guest, waits, 0);
  guest.hcr |= HCR_TWI | HCR_TWE;
  if (!exit_of("WFE", EC_WFX)) return;
  check_equal("its TI", guest.esr & 3, 1);
  guest_skip(&guest);
  if (!exit_of("WFI", EC_WFX)) return;
  check_equal("its TI", guest.esr & 3, 0);
  guest_skip(&guest);
  done("the guest goes on", 3);
}
static void trap_smc(void) {
  guest_make(&guest, smc, 0x12345678);
  guest.hcr |= HCR_TSC;
  if (!exit_of("SMC", EC_SMC)) return;
  check_equal("its immediate", guest.esr & 0xffff, 0x77);
  check_equal("its X0", guest.x[0], 0x12345678);
  guest.x[0] = 4;
  guest_skip(&guest); /* a trapped SMC has not been executed */
  done("the guest goes on", 4);
}
/* MSR and MRS: ISS has the direction in bit 0, Rt in 9:5. */
static void trap_vm_registers(void) {
  guest_make(&guest, vm_registers, 0x5000);
  guest.hcr |= HCR_TVM | HCR_TRVM;
  if (!exit_of("MSR TTBR0_EL1", EC_SYSREG)) return;
  check_equal("its direction", guest.esr & 1, 0);
  check_equal("its value", guest.x[guest.esr >> 5 & 31], 0x5000);
  guest_skip(&guest);
  if (!exit_of("MRS TTBR0_EL1", EC_SYSREG)) return;
  check_equal("its direction", guest.esr & 1, 1);
  guest.x[guest.esr >> 5 & 31] = 0x6000;
  guest_skip(&guest);
  done("the guest goes on", 0x6000);
}
static void trap_id_registers(void) {
  guest_make(&guest, id_register, 0);
  done("an ID register without a trap", read_sysreg(id_aa64pfr0_el1));
  guest_make(&guest, id_register, 0);
  guest.hcr |= HCR_TID3;
  if (!exit_of("MRS ID_AA64PFR0_EL1", EC_SYSREG)) return;
  guest.x[guest.esr >> 5 & 31] = 0x7000;
  guest_skip(&guest);
  done("the guest goes on", 0x7000);
}
static void trap_auxiliary(void) {
  guest_make(&guest, auxiliary, 0);
  guest.hcr |= HCR_TACR;
  if (!exit_of("MRS ACTLR_EL1", EC_SYSREG)) return;
  guest.x[guest.esr >> 5 & 31] = 0x8000;
  guest_skip(&guest);
  done("the guest goes on", 0x8000);
}
static uint64_t hvc(uint64_t unused) {
  (void)unused;
  __asm__ volatile("hvc #0x55" ::: "memory");
  return 6;
}
static void trap_hvc(void) {
  guest_make(&guest, hvc, 0);
  if (!exit_of("HVC", EC_HVC)) return;
  check_equal("its immediate", guest.esr & 0xffff, 0x55);
  done("the guest goes on behind it", 6);
}

/* EL1 handles by itself what is not for EL2: an undefined instruction, an aborted access of stage 1. */
static uint64_t undefined(uint64_t unused) {
  (void)unused;
  __asm__ volatile("udf #1");
  return 0;
}
static uint64_t misaligned_stack(uint64_t unused) {
  (void)unused;
  uint64_t sctlr = read_sysreg(sctlr_el1), value;
  write_sysreg(sctlr_el1, sctlr | 1 << 3); /* SA */
  isb();
  __asm__ volatile("sub sp, sp, #8\n\tldr %0, [sp]" : "=r"(value)::"memory");
  return value;
}
static void guest_own_exceptions(void) {
  guest_make(&guest, undefined, 0);
  if (exit_of("the handler of EL1", EC_HVC)) {
    check_equal("it is its HVC", guest.esr & 0xffff, HVC_FAULT);
    check_equal("ESR_EL1", guest.x[0], 1ull << 25);
  }
  guest_make(&guest, misaligned_stack, 0);
  if (exit_of("the handler of EL1", EC_HVC)) check_equal("class of a misaligned SP", esr_class(guest.x[0]), EC_SP_ALIGNMENT);
}

/* Waits with interrupts on until `count` have been taken. */
static uint64_t take_irqs(uint64_t count) {
  write_sysreg(s3_0_c4_c6_0, 0xf0); /* ICC_PMR_EL1 */
  write_sysreg(s3_0_c12_c12_7, 1);  /* ICC_IGRPEN1_EL1 */
  isb();
  __asm__ volatile("msr daifclr, #2");
  for (uint32_t i = 0; i < 100000 && *(volatile uint64_t *)&guest_el1.irqs < count; i++) {
  }
  __asm__ volatile("msr daifset, #2");
  return *(volatile uint64_t *)&guest_el1.irqs << 32 | *(volatile uint64_t *)&guest_el1.intid;
}

static void vgic_off(void) {
  write_ich(ICH_HCR_EL2, 0);
  write_ich(ICH_LR0_EL2, 0);
  write_ich(ICH_LR1_EL2, 0);
  isb();
}

static void virq_list_register(void) {
  guest_make(&guest, take_irqs, 2);
  write_ich(ICH_VMCR_EL2, VMCR_ENABLED);
  write_ich(ICH_HCR_EL2, ICH_HCR_EN);
  write_ich(ICH_LR0_EL2, LR_PENDING | LR_GROUP1 | LR_PRIORITY | 77);
  write_ich(ICH_LR1_EL2, LR_PENDING | LR_GROUP1 | (0x80ull << 48) | 27); /* the more urgent one */
  isb();
  done("the guest takes both", 2ull << 32 | 77);
  check_equal("LR0 is empty", read_ich(ICH_LR0_EL2) & LR_STATE, 0);
  check_equal("LR1 is empty", read_ich(ICH_LR1_EL2) & LR_STATE, 0);
  check_equal("so says ICH_ELRSR_EL2", read_ich(ICH_ELRSR_EL2) & 3, 3);
  vgic_off();
}

static void quiet_underflow(uint32_t intid) {
  (void)intid;
  write_ich(ICH_HCR_EL2, 0);
  isb();
}

/* The maintenance interrupt: an LR that asks for it at its end of interrupt, and underflow. */
static void virq_maintenance(void) {
  guest_make(&guest, take_irqs, 1);
  gic_enable(INTID_MAINTENANCE);
  write_ich(ICH_VMCR_EL2, VMCR_ENABLED);
  write_ich(ICH_LR0_EL2, LR_PENDING | LR_GROUP1 | LR_EOI | LR_PRIORITY | 77);
  write_ich(ICH_HCR_EL2, ICH_HCR_EN);
  isb();
  uint64_t kind = guest_run(&guest);
  check_equal("the end of the interrupt is an IRQ exit", kind, EXIT_IRQ);
  check_equal("ICH_MISR_EL2.EOI", read_ich(ICH_MISR_EL2) & 1, 1);
  check_equal("ICH_EISR_EL2", read_ich(ICH_EISR_EL2), 1);
  write_ich(ICH_LR0_EL2, 0);
  isb();
  check_equal("ICH_MISR_EL2 when the LR is empty", read_ich(ICH_MISR_EL2), 0);
  check("its interrupt is not taken then", !gic_wait(INTID_MAINTENANCE, 1, 10));
  done("the guest goes on", 1ull << 32 | 77);
  gic_set_handler(INTID_MAINTENANCE, quiet_underflow);
  write_ich(ICH_HCR_EL2, ICH_HCR_EN | ICH_HCR_UIE);
  isb();
  check_equal("ICH_MISR_EL2.U", read_ich(ICH_MISR_EL2) & 2, 2);
  check("it is taken at EL2", gic_wait(INTID_MAINTENANCE, 1, 1000));
  check_equal("once", gic_taken(INTID_MAINTENANCE), 1);
  vgic_off();
  gic_disable(INTID_MAINTENANCE);
}

/* HCR_EL2.VSE: an SError of the guest's own. */
static uint64_t take_serror(uint64_t unused) {
  (void)unused;
  __asm__ volatile("msr daifclr, #4\n\tisb\n\tdsb sy\n\tmsr daifset, #4");
  return *(volatile uint64_t *)&guest_el1.serrors;
}
static void virq_serror(void) {
  guest_make(&guest, take_serror, 0);
  done("none without VSE", 0);
  guest_make(&guest, take_serror, 0);
  guest.hcr |= HCR_VSE;
  done("one with VSE", 1);
}

/* A physical interrupt while the guest runs is EL2's, whatever EL1 has masked. */
static uint64_t spin(uint64_t unused) {
  (void)unused;
  for (;;) __asm__ volatile("nop");
  return 0;
}
static void virq_physical(void) {
  guest_make(&guest, spin, 0);
  gic_enable(INTID_CNTHP);
  write_sysreg(cnthp_cval_el2, timer_now() + timer_ticks(100));
  write_sysreg(cnthp_ctl_el2, 1);
  check_equal("an IRQ exit", guest_run(&guest), EXIT_IRQ);
  check("it is the timer's", gic_is_pending(INTID_CNTHP));
  write_sysreg(cnthp_ctl_el2, 0);
  gic_disable(INTID_CNTHP);
}

/* The guest's virtual timer, whose count has an offset: EL2 takes its interrupt and hands it on by a list register. */
static uint64_t arm_vtimer(uint64_t ticks) {
  uint64_t from = read_sysreg(cntvct_el0);
  write_sysreg(cntv_cval_el0, from + ticks);
  write_sysreg(cntv_ctl_el0, 1);
  isb();
  take_irqs(1);
  write_sysreg(cntv_ctl_el0, 0);
  isb();
  return from;
}
static void virq_timer(void) {
  const uint64_t offset = 1ull << 40;
  guest_make(&guest, arm_vtimer, timer_ticks(100));
  write_sysreg(cntvoff_el2, timer_now() - offset);
  gic_enable(INTID_CNTV);
  write_ich(ICH_VMCR_EL2, VMCR_ENABLED);
  write_ich(ICH_HCR_EL2, ICH_HCR_EN);
  isb();
  check_equal("an IRQ exit", guest_run(&guest), EXIT_IRQ);
  check("it is the virtual timer's", gic_is_pending(INTID_CNTV));
  check("CNTV_CTL_EL0.ISTATUS", (read_sysreg(cntv_ctl_el0) & 4) != 0);
  gic_disable(INTID_CNTV);
  write_ich(ICH_LR0_EL2, LR_PENDING | LR_GROUP1 | LR_PRIORITY | INTID_CNTV);
  isb();
  guest_run(&guest);
  if (check("the guest goes on", guest_is_done(&guest))) {
    check("its count began at the offset", guest.x[0] >= offset && guest.x[0] < offset + timer_ticks(1000));
    check_equal("it took its interrupt", guest_el1.intid, INTID_CNTV);
  }
  write_sysreg(cntvoff_el2, 0);
  vgic_off();
}

const struct test guest_tests[] = {
    {"guest", "guest_runs", guest_runs},
    {"guest", "guest_mmio", guest_mmio},
    {"guest", "guest_permissions", guest_permissions},
    {"guest", "guest_granule_protection", guest_granule_protection},
    {"guest", "guest_own_exceptions", guest_own_exceptions},
    {"guest", "trap_waits", trap_waits},
    {"guest", "trap_smc", trap_smc},
    {"guest", "trap_hvc", trap_hvc},
    {"guest", "trap_vm_registers", trap_vm_registers},
    {"guest", "trap_id_registers", trap_id_registers},
    {"guest", "trap_auxiliary", trap_auxiliary},
    {"guest", "virq_list_register", virq_list_register},
    {"guest", "virq_maintenance", virq_maintenance},
    {"guest", "virq_serror", virq_serror},
    {"guest", "virq_physical", virq_physical},
    {"guest", "virq_timer", virq_timer},
    {0, 0, 0},
};
