/* Running realms: every reason for which a REC comes out, what goes in, several RECs and several PEs. DEN0137, "REC exit". */
#include "../lib/arch.h"
#include "../lib/string.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "realm/commands.h"
#include "rmi.h"
#include "test.h"
#include "timer.h"

static struct realm realm;
static struct rec *const rec = &realm.recs[0];

#define PSCI_FID_CPU_ON 0xc4000003ull
#define LR_PENDING (1ull << 62)
#define LR_STATE (3ull << 62)
#define LR_GROUP1 (1ull << 60)
#define LR_PRIORITY (0xa0ull << 48)

/* A realm whose first REC waits for its first command. */
static bool start(uint32_t recs) {
  pool_reset();
  if (!rmi_is_there()) {
    skip("no RMM that speaks RMI 1.0");
    return false;
  }
  if (!check("a realm is made", realm_make(&realm, recs, 1))) return false;
  check_equal("the first entry", rec_enter(rec), RMI_SUCCESS);
  return check_equal("comes out by a host call", rec->run->exit_reason, REC_HOST_CALL) &&
         check_equal("with its immediate", rec->run->imm, REALM_HOST_CALL_IMM);
}
static void finish(void) { check("the realm is destroyed", realm_destroy(&realm)); }

/* Gives a command to a REC that waits for one, and enters it. */
static uint64_t command(struct rec *to, uint64_t x0, uint64_t x1, uint64_t x2, uint64_t x3) {
  to->run->gprs[0] = x0;
  to->run->gprs[1] = x1;
  to->run->gprs[2] = x2;
  to->run->gprs[3] = x3;
  return rec_enter(to);
}
/* The REC must have come out for this reason. */
static bool came_out(const char *what, const struct rec *from, uint64_t status, uint8_t reason) {
  if (!check_equal(what, status, RMI_SUCCESS)) return false;
  if (check_equal("  its exit reason", from->run->exit_reason, reason)) return true;
  message("  ESR 0x%lx HPFAR 0x%lx", from->run->esr, from->run->hpfar);
  return false;
}
/* The REC must have told a command's result by its next host call. */
static bool told(const char *what, const struct rec *from, uint64_t status, uint64_t result) {
  return came_out(what, from, status, REC_HOST_CALL) && check_equal("  its result", from->run->exit_gprs[0], result);
}
static uint64_t exit_ipa(const struct rec *from) { return (from->run->hpfar & 0xffffffffff0) << 8; }

static void exit_host_call(void) {
  if (!start(1)) return;
  told("echo", rec, command(rec, REALM_ECHO, 41, 0, 0), 42);
  told("its IPA width", rec, command(rec, REALM_IPA_WIDTH, 0, 0, 0), REALM_IPA_BITS);
  told("its MPIDR", rec, command(rec, REALM_MPIDR, 0, 0, 0), 1ull << 31);
  finish();
}

static void exit_wait(void) {
  if (!start(1)) return;
  rec->run->flags = ENTER_TRAP_WFI;
  if (came_out("WFI, trapped", rec, command(rec, REALM_WFI, 0, 0, 0), REC_SYNC)) {
    check_equal("  its class", esr_class(rec->run->esr), EC_WFX);
    check_equal("  its TI", rec->run->esr & 1, 0);
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  rec->run->flags = ENTER_TRAP_WFE;
  uint64_t status = command(rec, REALM_WFE, 0, 0, 0);
  if (came_out("WFE, trapped", rec, status, REC_SYNC)) {
    check_equal("  its class", esr_class(rec->run->esr), EC_WFX);
    check_equal("  its TI", rec->run->esr & 1, 1);
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  finish();
}

/* A device of the Host: loads and stores in the shared half, where nothing is mapped. */
static void exit_mmio(void) {
  if (!start(1)) return;
  if (came_out("a load", rec, command(rec, REALM_LOAD, REALM_DEVICE + 8, 0, 0), REC_SYNC)) {
    check_equal("  its class", esr_class(rec->run->esr), EC_DATA_ABORT_LOWER);
    check("  it can be emulated", (rec->run->esr & ESR_ISV) != 0);
    check_equal("  its size", rec->run->esr >> 22 & 3, 3);
    check_equal("  its IPA", exit_ipa(rec) | (rec->run->far & 0xfff), REALM_DEVICE + 8);
    rec->run->flags = ENTER_EMUL_MMIO;
    rec->run->gprs[0] = 0x1234567890;
    told("the realm has it", rec, rec_enter(rec), 0x1234567890);
  }
  if (came_out("a store", rec, command(rec, REALM_STORE, REALM_DEVICE + 16, 0xbeef, 0), REC_SYNC)) {
    check_equal("  its WnR", rec->run->esr & ESR_WNR, ESR_WNR);
    check_equal("  its size", rec->run->esr >> 22 & 3, 2);
    check_equal("  its value", rec->run->exit_gprs[0], 0xbeef);
    rec->run->flags = ENTER_EMUL_MMIO;
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  if (came_out("a load that the Host refuses", rec, command(rec, REALM_LOAD, REALM_DEVICE, 0, 0), REC_SYNC)) {
    rec->run->flags = ENTER_INJECT_SEA;
    if (came_out("the realm has an abort", rec, rec_enter(rec), REC_HOST_CALL)) {
      check_equal("  its class", esr_class(rec->run->exit_gprs[1]), EC_DATA_ABORT);
      check_equal("  its status", esr_status(rec->run->exit_gprs[1]), FSC_EXTERNAL_ABORT);
    }
  }
  rec->run->flags = ENTER_EMUL_MMIO;
  check_equal("emulation of what was none", rec_enter(rec), RMI_ERROR_REC);
  finish();
}

/* Memory of the Host in the shared half. */
static void exit_shared_memory(void) {
  if (!start(1)) return;
  const uint64_t page = pool_take(1), ipa = REALM_SHARED | 0x3000;
  mmio_write64(page, 0xabcdef);
  uint64_t status = rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, ipa, 3, page | RMI_SHARED_ATTRIBUTES, 0).x[0];
  check_equal("RMI_RTT_MAP_UNPROTECTED", status, RMI_SUCCESS);
  told("a load", rec, command(rec, REALM_LOAD, ipa, 0, 0), 0xabcdef);
  told("a store", rec, command(rec, REALM_STORE, ipa + 8, 0x77, 0), 0);
  check_equal("what the Host finds", mmio_read32(page + 8), 0x77);
  /* A granule that is delegated under the realm: its access is refused, and either the Host or the realm is told. */
  check_equal("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, page, 0, 0), RMI_SUCCESS);
  check_equal("a load of what became the RMM's", command(rec, REALM_LOAD, ipa, 0, 0), RMI_SUCCESS);
  if (rec->run->exit_reason == REC_SYNC) {
    check_equal("  its class", esr_class(rec->run->esr), EC_DATA_ABORT_LOWER);
    rec->run->flags = ENTER_INJECT_SEA;
    check_equal("the realm goes on", rec_enter(rec), RMI_SUCCESS);
  }
  check_equal("  its exit reason", rec->run->exit_reason, REC_HOST_CALL);
  check_equal("  its class at EL1", esr_class(rec->run->exit_gprs[1]), EC_DATA_ABORT);
  check("  what it loaded", rec->run->exit_gprs[0] != 0xabcdef);
  check("it comes back", granule_undelegate(page, 1));
  check_equal("RMI_RTT_UNMAP_UNPROTECTED", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, ipa, 3), RMI_SUCCESS);
  finish();
}

/* Private memory that is not there: the Host has to bring it. */
static void exit_missing_memory(void) {
  if (!start(1)) return;
  if (came_out("a load from RAM without data", rec, command(rec, REALM_LOAD, REALM_UNUSED_RAM, 0, 0), REC_SYNC)) {
    check_equal("  its class", esr_class(rec->run->esr), EC_DATA_ABORT_LOWER);
    check("  it cannot be emulated", (rec->run->esr & ESR_ISV) == 0);
    check_equal("  its IPA", exit_ipa(rec), REALM_UNUSED_RAM);
    uint64_t data = granule_delegated(1);
    check_equal("DATA_CREATE_UNKNOWN", rmi(RMI_DATA_CREATE_UNKNOWN, realm.rd, data, REALM_UNUSED_RAM), RMI_SUCCESS);
    came_out("the realm goes on", rec, rec_enter(rec), REC_HOST_CALL);
    struct rmi_result destroyed = rmi_full(RMI_DATA_DESTROY, realm.rd, REALM_UNUSED_RAM, 0, 0, 0);
    check_equal("DATA_DESTROY", destroyed.x[0], RMI_SUCCESS);
    check_equal("  its granule", destroyed.x[1], data);
    check("it comes back", granule_undelegate(data, 1));
  }
  if (came_out("a load from what was destroyed", rec, command(rec, REALM_LOAD, REALM_UNUSED_RAM, 0, 0), REC_SYNC))
    check_equal("  its IPA", exit_ipa(rec), REALM_UNUSED_RAM);
  finish();
}

/* What is the realm's own business comes to the realm. */
static void exit_none(void) {
  if (!start(1)) return;
  if (came_out("a load from an EMPTY page", rec, command(rec, REALM_LOAD, REALM_EMPTY, 0, 0), REC_HOST_CALL)) {
    check_equal("  its class", esr_class(rec->run->exit_gprs[1]), EC_DATA_ABORT);
    check_equal("  its status", esr_status(rec->run->exit_gprs[1]), FSC_EXTERNAL_ABORT);
    check_equal("  its FAR", rec->run->exit_gprs[2], REALM_EMPTY);
  }
  if (came_out("a fetch from the shared half", rec, command(rec, REALM_EXECUTE, REALM_DEVICE, 0, 0), REC_HOST_CALL))
    check_equal("  its class", esr_class(rec->run->exit_gprs[1]), EC_INSTRUCTION_ABORT);
  if (came_out("HVC", rec, command(rec, REALM_HVC, 0, 0, 0), REC_HOST_CALL))
    check_equal("  its class", esr_class(rec->run->exit_gprs[1]), EC_UNKNOWN);
  told("an SMC that nobody knows", rec, command(rec, REALM_SMC, 0x84001234, 0, 0), ~0ull);
  told("an RMI command", rec, command(rec, REALM_SMC, RMI_VERSION, 0, 0), ~0ull);
  finish();
}

static void exit_ripas_change(void) {
  if (!start(1)) return;
  const uint64_t base = REALM_EMPTY, top = REALM_EMPTY + 0x3000;
  told("RIPAS before", rec, command(rec, REALM_GET_RIPAS, base, 0, 0), RIPAS_EMPTY);
  if (came_out("IPA_STATE_SET", rec, command(rec, REALM_SET_RIPAS, base, top, RIPAS_RAM), REC_RIPAS_CHANGE)) {
    check_equal("  its base", rec->run->ripas_base, base);
    check_equal("  its top", rec->run->ripas_top, top);
    check_equal("  its value", rec->run->ripas_value, RIPAS_RAM);
    check_equal("SET_RIPAS beyond it", rmi_full(RMI_RTT_SET_RIPAS, realm.rd, rec->rec, base, top + 0x1000, 0).x[0],
                RMI_ERROR_INPUT);
    struct rmi_result set = rmi_full(RMI_RTT_SET_RIPAS, realm.rd, rec->rec, base, base + 0x1000, 0);
    check_equal("SET_RIPAS of a part", set.x[0], RMI_SUCCESS);
    check_equal("  its top", set.x[1], base + 0x1000);
    if (came_out("the rest is asked for again", rec, rec_enter(rec), REC_RIPAS_CHANGE)) {
      check_equal("  its base", rec->run->ripas_base, base + 0x1000);
      set = rmi_full(RMI_RTT_SET_RIPAS, realm.rd, rec->rec, base + 0x1000, top, 0);
      check_equal("SET_RIPAS of the rest", set.x[0], RMI_SUCCESS);
      told("the realm is content", rec, rec_enter(rec), 0);
    }
  }
  told("RIPAS after", rec, command(rec, REALM_GET_RIPAS, base, 0, 0), RIPAS_RAM);
  if (came_out("back to EMPTY", rec, command(rec, REALM_SET_RIPAS, base, top, RIPAS_EMPTY), REC_RIPAS_CHANGE)) {
    struct rmi_result set = rmi_full(RMI_RTT_SET_RIPAS, realm.rd, rec->rec, base, top, 0);
    check_equal("SET_RIPAS", set.x[0], RMI_SUCCESS);
    told("the realm is content", rec, rec_enter(rec), 0);
  }
  if (came_out("once more to RAM", rec, command(rec, REALM_SET_RIPAS, base, top, RIPAS_RAM), REC_RIPAS_CHANGE)) {
    rec->run->flags = ENTER_REJECT_RIPAS;
    told("the Host rejects it", rec, rec_enter(rec), 0x200);
  }
  finish();
}

static void exit_psci(void) {
  if (!start(2)) return;
  struct rec *second = &realm.recs[1];
  check_equal("a REC that is not runnable", rec_enter(second), RMI_ERROR_REC);
  if (came_out("CPU_ON", rec, command(rec, REALM_CPU_ON, 1, 0x77, 0), REC_PSCI)) {
    check_equal("  its function", rec->run->exit_gprs[0], PSCI_FID_CPU_ON);
    check_equal("  its target", rec->run->exit_gprs[1], 1);
    check_equal("an entry meanwhile", rec_enter(rec), RMI_ERROR_REC);
    check_equal("PSCI_COMPLETE for itself", rmi(RMI_PSCI_COMPLETE, rec->rec, rec->rec, 0), RMI_ERROR_INPUT);
    check_equal("PSCI_COMPLETE", rmi(RMI_PSCI_COMPLETE, rec->rec, second->rec, 0), RMI_SUCCESS);
    check_equal("and again", rmi(RMI_PSCI_COMPLETE, rec->rec, second->rec, 0), RMI_ERROR_INPUT);
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  told("the second REC with its context", second, rec_enter(second), 0x77);
  told("its MPIDR", second, command(second, REALM_MPIDR, 0, 0, 0), 1ull << 31 | 1);
  if (came_out("CPU_ON of what is on", rec, command(rec, REALM_CPU_ON, 1, 0, 0), REC_PSCI)) {
    check_equal("PSCI_COMPLETE", rmi(RMI_PSCI_COMPLETE, rec->rec, second->rec, 0), RMI_SUCCESS);
    told("ALREADY_ON", rec, rec_enter(rec), (uint64_t)-4);
  }
  if (came_out("CPU_OFF", second, command(second, REALM_SMC, PSCI_CPU_OFF, 0, 0), REC_PSCI)) {
    check_equal("  its function", second->run->exit_gprs[0], PSCI_CPU_OFF);
    check_equal("an entry after it", rec_enter(second), RMI_ERROR_REC);
  }
  if (came_out("SYSTEM_OFF", rec, command(rec, REALM_SMC, PSCI_SYSTEM_OFF, 0, 0), REC_PSCI)) {
    check_equal("  its function", rec->run->exit_gprs[0], PSCI_SYSTEM_OFF);
    check_equal("an entry after it", rec_enter(rec), RMI_REALM(1));
  }
  finish();
}

/* A physical interrupt while the realm runs; it waits for a word in shared memory meanwhile. */
static void exit_irq(void) {
  if (!start(1)) return;
  const uint64_t page = pool_take(1), ipa = REALM_SHARED | 0x4000;
  mmio_write64(page, 0);
  uint64_t status = rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, ipa, 3, page | RMI_SHARED_ATTRIBUTES, 0).x[0];
  check_equal("RMI_RTT_MAP_UNPROTECTED", status, RMI_SUCCESS);
  gic_enable(INTID_CNTHP);
  write_sysreg(cnthp_cval_el2, timer_now() + timer_ticks(200));
  write_sysreg(cnthp_ctl_el2, 1);
  if (came_out("a spinning realm", rec, command(rec, REALM_SPIN, ipa, 5, 0), REC_IRQ)) {
    check("the timer is due", gic_is_pending(INTID_CNTHP));
    write_sysreg(cnthp_ctl_el2, 0);
    isb();
    mmio_write64(page, 5);
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  write_sysreg(cnthp_ctl_el2, 0);
  isb();
  gic_disable(INTID_CNTHP);
  check_equal("RMI_RTT_UNMAP_UNPROTECTED", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, ipa, 3), RMI_SUCCESS);
  finish();
}

/* Virtual interrupts by list registers, and the realm's own timer, which the Host injects. */
static void enter_virtual_interrupts(void) {
  if (!start(1)) return;
  rec->run->gicv3_lrs[0] = LR_PENDING | LR_GROUP1 | LR_PRIORITY | 55;
  told("a virtual interrupt", rec, command(rec, REALM_TAKE_IRQS, 1, 0, 0), 55);
  check_equal("its LR afterwards", rec->run->exit_lrs[0] & LR_STATE, 0);
  rec->run->gicv3_lrs[0] = LR_PENDING | 1ull << 61; /* HW */
  check_equal("an LR that the Host may not write", rec_enter(rec), RMI_ERROR_REC);
  gic_enable(INTID_CNTV);
  if (came_out("the realm's timer", rec, command(rec, REALM_VTIMER, timer_ticks(200), 0, 0), REC_IRQ)) {
    check_equal("  ENABLE and ISTATUS of its CNTV_CTL", rec->run->cntv_ctl & 5, 5);
    rec->run->gicv3_lrs[0] = LR_PENDING | LR_GROUP1 | LR_PRIORITY | INTID_CNTV;
    told("the realm takes it", rec, rec_enter(rec), INTID_CNTV);
  }
  gic_disable(INTID_CNTV);
  finish();
}

/* A REC that runs on another PE cannot be entered or destroyed; its realm stays. */
static uint64_t shared_page;
static uint64_t run_first_rec(struct pe *pe, uint64_t ipa) {
  (void)pe;
  uint64_t status = command(rec, REALM_SPIN, ipa, 9, 0);
  /* Interrupts of this PE may bring it out. */
  while (status == RMI_SUCCESS && rec->run->exit_reason == REC_IRQ) status = rec_enter(rec);
  if (status != RMI_SUCCESS) return status;
  return rec->run->exit_reason == REC_HOST_CALL ? 0 : 0x1000u + rec->run->exit_reason;
}
static void rec_on_two_pes(void) {
  if (pe_count < 2) return skip("one PE only");
  if (!start(1)) return;
  const uint64_t ipa = REALM_SHARED | 0x5000;
  shared_page = pool_take(1);
  mmio_write64(shared_page, 0);
  uint64_t status = rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, ipa, 3, shared_page | RMI_SHARED_ATTRIBUTES, 0).x[0];
  check_equal("RMI_RTT_MAP_UNPROTECTED", status, RMI_SUCCESS);
  check_equal("CPU_ON", (uint64_t)pe_start(1, run_first_rec, ipa), 0);
  delay(500);
  struct rec_run *other_run = (struct rec_run *)pool_take(1);
  memset(other_run, 0, sizeof *other_run);
  check_equal("REC_ENTER of a running REC", rmi(RMI_REC_ENTER, rec->rec, (uint64_t)other_run, 0), RMI_ERROR_REC);
  check_equal("REC_DESTROY of a running REC", rmi(RMI_REC_DESTROY, rec->rec, 0, 0), RMI_ERROR_REC);
  check_equal("REALM_DESTROY meanwhile", rmi(RMI_REALM_DESTROY, realm.rd, 0, 0), RMI_REALM(0));
  mmio_write64(shared_page, 9);
  uint64_t result = ~0ull;
  if (check("the PE ends", pe_join(1, &result))) check_equal("its result", result, 0);
  check_equal("RMI_RTT_UNMAP_UNPROTECTED", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, ipa, 3), RMI_SUCCESS);
  finish();
}

/* A realm of its own on every PE, all at once; and RECs of one realm on several PEs. */
static struct realm own[NR_PES];
static uint64_t run_own_realm(struct pe *pe, uint64_t index) {
  struct realm *mine = &own[pe->index];
  if (!realm_make(mine, 1, (uint16_t)(index + 1))) return 1;
  struct rec *first = &mine->recs[0];
  if (rec_enter(first) != RMI_SUCCESS) return 2;
  for (uint64_t i = 0; i < 10; i++) {
    if (command(first, REALM_ECHO, index * 100 + i, 0, 0) != RMI_SUCCESS) return 3;
    if (first->run->exit_reason != REC_HOST_CALL || first->run->exit_gprs[0] != index * 100 + i + 1) return 4;
  }
  return realm_destroy(mine) ? 0 : 5;
}
static uint64_t run_own_rec(struct pe *pe, uint64_t index) {
  (void)pe;
  if (index >= RECS_MAX) return 0;
  struct rec *mine = &realm.recs[index];
  if (rec_enter(mine) != RMI_SUCCESS || mine->run->exit_gprs[0] != 0x100 + index) return 1;
  for (uint64_t i = 0; i < 10; i++) {
    if (command(mine, REALM_MPIDR, 0, 0, 0) != RMI_SUCCESS) return 2;
    if (mine->run->exit_reason != REC_HOST_CALL || mine->run->exit_gprs[0] != (1ull << 31 | index)) return 3;
  }
  return 0;
}
static void rec_realms_on_all_pes(void) {
  pool_reset();
  if (pe_count < 2) return skip("one PE only");
  if (!rmi_is_there()) return skip("no RMM that speaks RMI 1.0");
  check("realms run on all PEs", pe_all(run_own_realm));
}
static void rec_recs_on_all_pes(void) {
  if (pe_count < RECS_MAX) return skip("too few PEs");
  if (!start(RECS_MAX)) return;
  for (uint64_t i = 1; i < RECS_MAX; i++) {
    if (!came_out("CPU_ON", rec, command(rec, REALM_CPU_ON, i, 0x100 + i, 0), REC_PSCI)) return;
    check_equal("PSCI_COMPLETE", rmi(RMI_PSCI_COMPLETE, rec->rec, realm.recs[i].rec, 0), RMI_SUCCESS);
    told("the realm goes on", rec, rec_enter(rec), 0);
  }
  check("RECs of one realm run on several PEs", pe_all(run_own_rec));
  finish();
}

static void enter_errors(void) {
  if (!start(1)) return;
  check_equal("a run page not aligned", rmi(RMI_REC_ENTER, rec->rec, (uint64_t)rec->run + 8, 0), RMI_ERROR_INPUT);
  check_equal("a run page of the RMM's", rmi(RMI_REC_ENTER, rec->rec, REALM_MEMORY, 0), RMI_ERROR_INPUT);
  check_equal("a REC that is none", rmi(RMI_REC_ENTER, realm.rd, (uint64_t)rec->run, 0), RMI_ERROR_INPUT);
  rec->run->gicv3_hcr = 1ull << 20;
  check_equal("an ICH_HCR_EL2 that is not allowed", rec_enter(rec), RMI_ERROR_REC);
  finish();
  pool_reset();
  if (!check("a realm is made", realm_make(&realm, 1, 1))) return;
  check_equal("REC_DESTROY", rmi(RMI_REC_DESTROY, rec->rec, 0, 0), RMI_SUCCESS);
  check_equal("REC_ENTER of what was destroyed", rec_enter(rec), RMI_ERROR_INPUT);
  realm.rec_count = 0;
  check("its granules come back", granule_undelegate(rec->rec, 1));
  for (uint64_t i = 0; i < rec->aux_count; i++) check("and its auxiliary ones", granule_undelegate(rec->aux[i], 1));
  finish();
}

const struct test rec_tests[] = {
    {"rec", "exit_host_call", exit_host_call},
    {"rec", "exit_wait", exit_wait},
    {"rec", "exit_mmio", exit_mmio},
    {"rec", "exit_shared_memory", exit_shared_memory},
    {"rec", "exit_missing_memory", exit_missing_memory},
    {"rec", "exit_none", exit_none},
    {"rec", "exit_ripas_change", exit_ripas_change},
    {"rec", "exit_psci", exit_psci},
    {"rec", "exit_irq", exit_irq},
    {"rec", "enter_virtual_interrupts", enter_virtual_interrupts},
    {"rec", "enter_errors", enter_errors},
    {"rec", "rec_on_two_pes", rec_on_two_pes},
    {"rec", "rec_realms_on_all_pes", rec_realms_on_all_pes},
    {"rec", "rec_recs_on_all_pes", rec_recs_on_all_pes},
    {0, 0, 0},
};
