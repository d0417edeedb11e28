/* The timers that EL2 has, the memory-mapped frame and the SP804s of the FVP. DDI 0487, "The Generic Timer"; DDI 0271. */
#include "../lib/arch.h"
#include "devices.h"
#include "gic.h"
#include "mmu.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

/* Each timer as accessors, since register names are part of instructions. */
#define TIMER(name, ctl, cval)                              \
  static void name##_arm(uint64_t at, uint64_t control) {   \
    write_sysreg(cval, at);                                 \
    write_sysreg(ctl, control);                             \
    isb();                                                  \
  }                                                         \
  static uint64_t name##_control(void) { return read_sysreg(ctl); } \
  static void name##_quiet(uint32_t intid) {                \
    (void)intid;                                            \
    write_sysreg(ctl, 0);                                   \
    isb();                                                  \
  }
TIMER(cnthp, cnthp_ctl_el2, cnthp_cval_el2)
TIMER(cntp, cntp_ctl_el0, cntp_cval_el0)
TIMER(cntv, cntv_ctl_el0, cntv_cval_el0)
TIMER(cnthv, s3_4_c14_c3_1, s3_4_c14_c3_2)

static void fires(uint32_t intid, void (*arm)(uint64_t, uint64_t), uint64_t (*control)(void), irq_handler quiet) {
  gic_set_handler(intid, quiet);
  gic_enable(intid);
  uint64_t from = timer_now(), ticks = timer_ticks(200);
  arm(from + ticks, 1);
  check_equal("ISTATUS before its time", control() & 4, 0);
  check("the interrupt comes", gic_wait(intid, 1, 100000));
  uint64_t passed = timer_now() - from;
  check("not before its time", passed >= ticks);
  check("and not late", passed < 2 * ticks);
  check_equal("once", gic_taken(intid), 1);
  arm(from, 3); /* masked, and due */
  check_equal("ISTATUS of a masked one", control() & 7, 7);
  check("whose interrupt does not come", !gic_wait(intid, 2, 10));
  check("nor is it pending", !gic_is_pending(intid));
  /* WFI ends by it. */
  arm(timer_now() + ticks, 1);
  from = timer_now();
  wfi();
  check("WFI lasts until it is due", timer_now() - from >= ticks - timer_ticks(10));
  quiet(intid);
  gic_disable(intid);
}

static void timer_cnthp(void) { fires(INTID_CNTHP, cnthp_arm, cnthp_control, cnthp_quiet); }
static void timer_cntp(void) { fires(INTID_CNTP, cntp_arm, cntp_control, cntp_quiet); }
static void timer_cntv(void) {
  write_sysreg(cntvoff_el2, 0);
  fires(INTID_CNTV, cntv_arm, cntv_control, cntv_quiet);
}
static void timer_cnthv(void) {
  if ((read_sysreg(id_aa64mmfr1_el1) >> 8 & 0xf) == 0) return skip("no VHE");
  fires(INTID_CNTHV, cnthv_arm, cnthv_control, cnthv_quiet);
}

/* TVAL is what is left, 32 bits signed. */
static void timer_values(void) {
  write_sysreg(cnthp_tval_el2, 0x1000);
  uint64_t cval = read_sysreg(cnthp_cval_el2), now = timer_now();
  check("CVAL follows TVAL", cval > now && cval <= now + 0x1000);
  write_sysreg(cnthp_cval_el2, timer_now() - 0x100000);
  uint64_t left = read_sysreg(cnthp_tval_el2);
  check("TVAL of the past is negative", (int32_t)left < 0 && left >> 32 == 0);
  write_sysreg(cntvoff_el2, 1000);
  uint64_t physical = timer_now(), virtual = read_sysreg(cntvct_el0);
  check("the virtual count is behind by the offset", virtual >= physical - 1000 && virtual < physical + timer_ticks(10));
  write_sysreg(cntvoff_el2, 0);
  check_equal("CNTFRQ_EL0", read_sysreg(cntfrq_el0), 100000000);
}

/* The frame of the system counter. Its count is CNTPCT_EL0. */
enum { CNTPCT_LO = 0x00, CNTPCT_HI = 0x04, CNTFRQ = 0x10, CNTP_CVAL_LO = 0x20, CNTP_TVAL = 0x28, CNTP_CTL = 0x2c };
static void frame_quiet(uint32_t intid) {
  (void)intid;
  mmio_write32(TIMER_FRAME_BASE + CNTP_CTL, 0);
}
static void timer_frame(void) {
  check_equal("its frequency", mmio_read32(TIMER_FRAME_BASE + CNTFRQ), read_sysreg(cntfrq_el0));
  uint64_t before = timer_now(), count = mmio_read64(TIMER_FRAME_BASE + CNTPCT_LO), after = timer_now();
  check("its count", before <= count && count <= after);
  gic_set_handler(INTID_TIMER_FRAME, frame_quiet);
  gic_set_edge(INTID_TIMER_FRAME, false);
  gic_route(INTID_TIMER_FRAME, 0);
  gic_enable(INTID_TIMER_FRAME);
  uint64_t ticks = timer_ticks(200), from = timer_now();
  mmio_write64(TIMER_FRAME_BASE + CNTP_CVAL_LO, from + ticks);
  mmio_write32(TIMER_FRAME_BASE + CNTP_CTL, 1);
  check("its interrupt comes", gic_wait(INTID_TIMER_FRAME, 1, 100000));
  check("not before its time", timer_now() - from >= ticks);
  check("and not late", timer_now() - from < 2 * ticks);
  mmio_write32(TIMER_FRAME_BASE + CNTP_TVAL, (uint32_t)ticks);
  mmio_write32(TIMER_FRAME_BASE + CNTP_CTL, 3);
  delay(300);
  check_equal("ISTATUS of a masked one", mmio_read32(TIMER_FRAME_BASE + CNTP_CTL), 7);
  check_equal("whose interrupt does not come", gic_taken(INTID_TIMER_FRAME), 1);
  frame_quiet(0);
  gic_disable(INTID_TIMER_FRAME);
}

/* SP804: a counter that counts down, once or periodically; at 32 kHz, or faster when somebody has said so (SP810). */
enum { SP804_LOAD = 0x00, SP804_VALUE = 0x04, SP804_CONTROL = 0x08, SP804_INTCLR = 0x0c, SP804_RIS = 0x10, SP804_MIS = 0x14 };
enum { SP804_ONE_SHOT = 1, SP804_32_BITS = 2, SP804_INTERRUPT = 0x20, SP804_PERIODIC = 0x40, SP804_ENABLE = 0x80 };
static void sp804_quiet(uint32_t intid) {
  (void)intid;
  mmio_write32(SP804_BASE + SP804_INTCLR, 1);
}
static void timer_sp804(void) {
  gic_set_handler(INTID_SP804, sp804_quiet);
  gic_set_edge(INTID_SP804, false);
  gic_route(INTID_SP804, 0);
  gic_enable(INTID_SP804);
  mmio_write32(SP804_BASE + SP804_CONTROL, 0);
  mmio_write32(SP804_BASE + SP804_LOAD, 30);
  mmio_write32(SP804_BASE + SP804_CONTROL, SP804_ENABLE | SP804_ONE_SHOT | SP804_32_BITS | SP804_INTERRUPT);
  uint32_t value = mmio_read32(SP804_BASE + SP804_VALUE);
  delay(100);
  check("it counts down", mmio_read32(SP804_BASE + SP804_VALUE) < value);
  check("its interrupt comes", gic_wait(INTID_SP804, 1, 100000));
  check_equal("once", gic_taken(INTID_SP804), 1);
  check_equal("RIS when it is cleared", mmio_read32(SP804_BASE + SP804_RIS), 0);
  mmio_write32(SP804_BASE + SP804_CONTROL, 0);
  mmio_write32(SP804_BASE + SP804_LOAD, 30);
  mmio_write32(SP804_BASE + SP804_CONTROL, SP804_ENABLE | SP804_PERIODIC | SP804_32_BITS | SP804_INTERRUPT);
  check("periodically it comes again", gic_wait(INTID_SP804, 4, 100000));
  mmio_write32(SP804_BASE + SP804_CONTROL, 0);
  sp804_quiet(0);
  gic_disable(INTID_SP804);
}

const struct test timer_tests[] = {
    {"timer", "timer_cnthp", timer_cnthp},
    {"timer", "timer_cntp", timer_cntp},
    {"timer", "timer_cntv", timer_cntv},
    {"timer", "timer_cnthv", timer_cnthv},
    {"timer", "timer_values", timer_values},
    {"timer", "timer_frame", timer_frame},
    {"timer", "timer_sp804", timer_sp804},
    {0, 0, 0},
};
