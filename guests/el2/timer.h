/* The counter. DDI 0487, "The Generic Timer". */
#ifndef EL2_TIMER_H
#define EL2_TIMER_H

#include <stdint.h>

#include "../lib/arch.h"

/* CNTPCT_EL0, in ticks; not speculated above what comes before. */
static inline uint64_t timer_now(void) {
  isb();
  return read_sysreg(cntpct_el0);
}
static inline uint64_t timer_ticks(uint64_t microseconds) { return microseconds * read_sysreg(cntfrq_el0) / 1000000; }

static inline void delay(uint64_t microseconds) {
  uint64_t until = timer_now() + timer_ticks(microseconds);
  while (timer_now() < until) {
  }
}

#endif
