/* The EL1 virtual timer and its counter (DDI 0487, "The Generic Timer"). */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "arch.h"

static inline uint64_t timer_frequency(void) { return read_sysreg(cntfrq_el0); }
/* CNTVCT_EL0, in ticks; not speculated above what comes before. */
static inline uint64_t timer_now(void) {
  isb();
  return read_sysreg(cntvct_el0);
}
static inline uint64_t timer_ticks(uint64_t microseconds) { return microseconds * timer_frequency() / 1000000; }

/* Interrupts this CPU when the counter reaches `deadline`, until timer_stop. */
static inline void timer_arm(uint64_t deadline) {
  write_sysreg(cntv_cval_el0, deadline);
  write_sysreg(cntv_ctl_el0, 1);
  isb();
}
static inline void timer_stop(void) {
  write_sysreg(cntv_ctl_el0, 0);
  isb();
}

/*
 * Waits in WFI until condition(context) holds, with the timer as the way out. Needs the GIC initialised on this CPU
 * and the timer's interrupt enabled in it; uses the timer, leaves it stopped. False: timed out.
 */
bool timer_wait(bool (*condition)(void *), void *context, uint64_t microseconds);

/* Handler for the timer's interrupt that only silences it: WFI has ended, the waiter looks again. */
void timer_irq(uint32_t intid);

#endif
