/* Synchronous exceptions from EL2 to EL2, and what EL2's own registers hold. DDI 0487, "ESR_EL2". */
#include "../lib/arch.h"
#include "pe.h"
#include "test.h"

static uint64_t undefined(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  __asm__ volatile("udf #5");
  return 0;
}
static uint64_t supervisor_call(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  __asm__ volatile("svc #0x1234");
  return 0;
}
static uint64_t hypervisor_call(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  __asm__ volatile("hvc #0x4321");
  return 0;
}
static uint64_t breakpoint(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  __asm__ volatile("brk #0x99");
  return 0;
}
static uint64_t jump(uint64_t a, uint64_t b) {
  (void)b;
  ((void (*)(void))a)();
  return 0;
}
/* EL3's registers do not exist below it. */
static uint64_t read_scr_el3(uint64_t a, uint64_t b) {
  (void)a, (void)b;
  return read_sysreg(scr_el3);
}

static void exception_classes(void) {
  uint64_t value;
  check("an undefined instruction", !probe_call(undefined, 0, 0, &value));
  check_equal("  its ESR", pe_current()->fault.esr, 1ull << 25);
  check_equal("  its ELR", pe_current()->fault.elr & 3, 0);
  check("SVC", !probe_call(supervisor_call, 0, 0, &value));
  check_equal("  its ESR", pe_current()->fault.esr, (uint64_t)EC_SVC << 26 | 1ull << 25 | 0x1234);
  check("HVC", !probe_call(hypervisor_call, 0, 0, &value));
  check_equal("  its ESR", pe_current()->fault.esr, (uint64_t)EC_HVC << 26 | 1ull << 25 | 0x4321);
  check("BRK", !probe_call(breakpoint, 0, 0, &value));
  check_equal("  its ESR", pe_current()->fault.esr, (uint64_t)EC_BRK << 26 | 1ull << 25 | 0x99);
  check("a register of EL3", !probe_call(read_scr_el3, 0, 0, &value));
  check_equal("  its ESR", pe_current()->fault.esr, 1ull << 25);
}

static void exception_alignment(void) {
  uint64_t value;
  check("a misaligned PC", !probe_call(jump, (uint64_t)exception_alignment + 2, 0, &value));
  check_equal("  its class", esr_class(pe_current()->fault.esr), EC_PC_ALIGNMENT);
  check_equal("  its FAR", pe_current()->fault.far, (uint64_t)exception_alignment + 2);
  uint64_t sctlr = read_sysreg(sctlr_el2);
  write_sysreg(sctlr_el2, sctlr | 1 << 1); /* A */
  isb();
  static uint64_t words[2];
  bool survived = probe_read((uint64_t)words + 4, &value);
  write_sysreg(sctlr_el2, sctlr);
  isb();
  check_fault("a misaligned address with SCTLR_EL2.A", survived, EC_DATA_ABORT, FSC_ALIGNMENT);
  check_equal("  its FAR", pe_current()->fault.far, (uint64_t)words + 4);
}

/* Where nothing answers on the FVP. */
static void exception_external_abort(void) {
  uint64_t value;
  check_fault("a read from where no device is", probe_read(0x1f000000, &value), EC_DATA_ABORT, FSC_EXTERNAL_ABORT);
  check_equal("  its FAR", pe_current()->fault.far, 0x1f000000);
}

#define KEEPS(name, mask)                                            \
  do {                                                               \
    uint64_t old_ = read_sysreg(name);                               \
    write_sysreg(name, 0x5a5a5a5a5a5a5a5a & (mask));                 \
    isb();                                                           \
    check_equal(#name, read_sysreg(name), 0x5a5a5a5a5a5a5a5a & (mask)); \
    write_sysreg(name, old_);                                        \
    isb();                                                           \
  } while (0)

static void exception_registers(void) {
  check_equal("CurrentEL", read_sysreg(CurrentEL), 2 << 2);
  check_equal("MPIDR_EL1", read_sysreg(mpidr_el1) & 0xff00ffffff, pe_current()->mpidr);
  KEEPS(elr_el1, ~0ull);
  KEEPS(sp_el1, ~0ull);
  KEEPS(sp_el0, ~0ull);
  KEEPS(tpidr_el0, ~0ull);
  KEEPS(tpidr_el1, ~0ull);
  KEEPS(far_el1, ~0ull);
  KEEPS(far_el2, ~0ull);
  KEEPS(mair_el1, ~0ull);
  KEEPS(vmpidr_el2, ~0ull);
  KEEPS(vpidr_el2, 0xffffffff);
  KEEPS(cntvoff_el2, ~0ull);
  KEEPS(contextidr_el1, 0xffffffff);
  KEEPS(csselr_el1, 0xe);
  KEEPS(par_el1, 0x0000fffffffff000);
}

const struct test exception_tests[] = {
    {"exception", "exception_classes", exception_classes},
    {"exception", "exception_alignment", exception_alignment},
    {"exception", "exception_external_abort", exception_external_abort},
    {"exception", "exception_registers", exception_registers},
    {0, 0, 0},
};
