/*
 * The Secure world as the other two see it, by FF-A (DEN0077A) with the payload guests/secure: messages, memory, and its
 * interrupts, which preempt this world and a realm.
 */
#include "../lib/arch.h"
#include "../lib/psci.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "realm/commands.h"
#include "rmi.h"
#include "test.h"
#include "timer.h"

#define FFA_VERSION 0x84000063u
#define FFA_VERSION_1_0 0x10000u
#define FFA_MSG_SEND_DIRECT_REQ_64 0xc400006full
#define FFA_MSG_SEND_DIRECT_RESP_64 0xc4000070ull
/* From this world's endpoint, 0, to the payload's. */
#define ENDPOINTS 0x8001ull

/* What the payload does: X3 of a request. */
enum { ECHO = 1, READ, WRITE, COUNTER, REGISTERS, TIMER, INTERRUPTS, WHO };
enum { FROM_NS = 1 };

static struct smccc_registers ask(uint64_t what, uint64_t x4, uint64_t x5, uint64_t x6) {
  struct smccc_registers registers = {{FFA_MSG_SEND_DIRECT_REQ_64, ENDPOINTS, 0, what, x4, x5, x6}};
  smc_call(&registers);
  return registers;
}

/* Whether the payload is there: it inverts what it echoes. */
static bool is_there(void) {
  if (psci(FFA_VERSION, FFA_VERSION_1_0, 0, 0) == PSCI_NOT_SUPPORTED) {
    skip("no Secure world that speaks FF-A");
    return false;
  }
  struct smccc_registers answer = ask(ECHO, 1, 2, 3);
  if (answer.x[0] == FFA_MSG_SEND_DIRECT_RESP_64 && answer.x[4] == ~1ull) return true;
  skip("a Secure world with another payload");
  return false;
}

static void secure_messages(void) {
  if (!is_there()) return;
  check_equal("FFA_VERSION", (uint64_t)psci(FFA_VERSION, FFA_VERSION_1_0, 0, 0), FFA_VERSION_1_0);
  struct smccc_registers answer = ask(ECHO, 0x1111, 0x2222, 0x3333);
  check_equal("the answer's function", answer.x[0], FFA_MSG_SEND_DIRECT_RESP_64);
  check_equal("its endpoints", answer.x[1], 0x80010000);
  check_equal("its X5", answer.x[5], ~0x2222ull);
  answer = ask(WHO, 0, 0, 0);
  check_equal("it runs on this PE", answer.x[5] & 0xff00ffffff, pe_current()->mpidr);
  uint64_t before = timer_now();
  answer = ask(COUNTER, 0, 0, 0);
  check("its counter is this one", answer.x[4] >= before && answer.x[4] <= timer_now());
  ask(REGISTERS, 0x5e5e5e5e, 0, 0);
  /* EL1's registers here are not those there. */
  uint64_t vbar = read_sysreg(vbar_el1);
  write_sysreg(vbar_el1, 0x1000);
  write_sysreg(tpidr_el1, 0x77);
  answer = ask(REGISTERS, 0xa1a1a1a1, 0, 0);
  check_equal("registers of its own that have changed", answer.x[4], 0);
  check_equal("VBAR_EL1 afterwards", read_sysreg(vbar_el1), 0x1000);
  check_equal("TPIDR_EL1 afterwards", read_sysreg(tpidr_el1), 0x77);
  write_sysreg(vbar_el1, vbar);
}

static void secure_memory(void) {
  if (!is_there()) return;
  pool_reset();
  uint64_t page = pool_take(1);
  mmio_write64(page, 0x12345);
  struct smccc_registers answer = ask(READ, page, FROM_NS, 0);
  check_equal("it reads this world's memory", answer.x[4], 0x12345);
  ask(WRITE, page + 8, FROM_NS, 0x6789);
  check_equal("it writes this world's memory", mmio_read64(page + 8), 0x6789);
  uint64_t value;
  check_fault("this world reads its memory", probe_read(SECURE_MEMORY, &value), EC_DATA_ABORT, FSC_GPF);
  if (!rmi_is_there()) return;
  check_equal("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, page, 0, 0), RMI_SUCCESS);
  answer = ask(READ, page, FROM_NS, 0);
  check_equal("it reads a delegated granule: status", esr_status(answer.x[5]), FSC_GPF);
  answer = ask(READ, page, 0, 0);
  check_equal("by a Secure address: status", esr_status(answer.x[5]), FSC_GPF);
  check_equal("RMI_GRANULE_DELEGATE of its memory", rmi(RMI_GRANULE_DELEGATE, SECURE_MEMORY, 0, 0), RMI_ERROR_INPUT);
  check("the granule comes back", granule_undelegate(page, 1));
}

/* Its timer's interrupt comes while this world computes: the Secure world handles it, and this one notices nothing. */
static void secure_interrupt(void) {
  if (!is_there()) return;
  uint64_t before = ask(INTERRUPTS, 0, 0, 0).x[4];
  ask(TIMER, timer_ticks(100), 0, 0);
  uint64_t sum = 0, until = timer_now() + timer_ticks(500);
  while (timer_now() < until) sum++;
  check("this world went on", sum > 100);
  check_equal("interrupts that it handled", ask(INTERRUPTS, 0, 0, 0).x[4], before + 1);
}

/* The same while a realm runs: the REC comes out by FIQ or goes on, and the realm notices nothing. */
static struct realm realm;
static void secure_interrupt_in_realm(void) {
  if (!is_there()) return;
  if (!rmi_is_there()) return skip("no RMM that speaks RMI 1.0");
  pool_reset();
  if (!check("a realm is made", realm_make(&realm, 1, 1))) return;
  struct rec *rec = &realm.recs[0];
  check_equal("its first entry", rec_enter(rec), RMI_SUCCESS);
  uint64_t page = pool_take(1), before = ask(INTERRUPTS, 0, 0, 0).x[4], fiqs = 0;
  const uint64_t ipa = REALM_SHARED | 0x6000;
  mmio_write64(page, 0);
  uint64_t status = rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, ipa, 3, page | RMI_SHARED_ATTRIBUTES, 0).x[0];
  check_equal("RMI_RTT_MAP_UNPROTECTED", status, RMI_SUCCESS);
  ask(TIMER, timer_ticks(100), 0, 0);
  gic_enable(INTID_CNTHP);
  write_sysreg(cnthp_cval_el2, timer_now() + timer_ticks(500));
  write_sysreg(cnthp_ctl_el2, 1);
  rec->run->gprs[0] = REALM_SPIN;
  rec->run->gprs[1] = ipa;
  rec->run->gprs[2] = 1;
  check_equal("the realm spins", rec_enter(rec), RMI_SUCCESS);
  while (rec->run->exit_reason == REC_FIQ && fiqs++ < 3) check_equal("it goes on", rec_enter(rec), RMI_SUCCESS);
  check_equal("it comes out by this world's timer", rec->run->exit_reason, REC_IRQ);
  write_sysreg(cnthp_ctl_el2, 0);
  isb();
  gic_disable(INTID_CNTHP);
  check_equal("interrupts that the Secure world handled", ask(INTERRUPTS, 0, 0, 0).x[4], before + 1);
  message("exits by FIQ: %lu", fiqs);
  mmio_write64(page, 1);
  check_equal("the realm goes on", rec_enter(rec), RMI_SUCCESS);
  check_equal("to its next call", rec->run->exit_reason, REC_HOST_CALL);
  check_equal("RMI_RTT_UNMAP_UNPROTECTED", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, ipa, 3), RMI_SUCCESS);
  check("the realm is destroyed", realm_destroy(&realm));
}

/* On every PE at once. */
static uint64_t echo_many(struct pe *pe, uint64_t index) {
  for (uint64_t i = 0; i < 20; i++) {
    struct smccc_registers answer = ask(ECHO, index << 8 | i, 0, 0);
    if (answer.x[0] != FFA_MSG_SEND_DIRECT_RESP_64 || answer.x[4] != ~(index << 8 | i)) return 1;
  }
  return (ask(WHO, 0, 0, 0).x[5] & 0xff00ffffff) == pe->mpidr ? 0 : 2;
}
static void secure_on_all_pes(void) {
  if (!is_there()) return;
  if (pe_count < 2) return skip("one PE only");
  check("all PEs have their answers", pe_all(echo_many));
}

const struct test secure_tests[] = {
    {"secure", "secure_messages", secure_messages},
    {"secure", "secure_memory", secure_memory},
    {"secure", "secure_interrupt", secure_interrupt},
    {"secure", "secure_interrupt_in_realm", secure_interrupt_in_realm},
    {"secure", "secure_on_all_pes", secure_on_all_pes},
    {0, 0, 0},
};
