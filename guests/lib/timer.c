/* See timer.h. */
#include "timer.h"

bool timer_wait(bool (*condition)(void *), void *context, uint64_t microseconds) {
  uint64_t daif = read_sysreg(daif), deadline = timer_now() + timer_ticks(microseconds);
  bool holds;
  for (;;) {
    /* An interrupt between the look and the WFI must not be lost: masked, it stays pending and WFI returns at once. */
    irq_mask();
    holds = condition(context);
    if (holds || timer_now() >= deadline) break;
    timer_arm(deadline);
    wfi();
    irq_unmask();
    isb();
  }
  timer_stop();
  write_sysreg(daif, daif);
  return holds;
}

void timer_irq(uint32_t intid) {
  (void)intid;
  timer_stop();
}
