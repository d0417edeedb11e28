/* The physical GIC: SGIs on one and all PEs, SPIs by software, routing, priorities, masks. IHI 0069. */
#include "../lib/arch.h"
#include "devices.h"
#include "gic.h"
#include "pe.h"
#include "test.h"
#include "timer.h"

enum { SGI = 3, SPI = 50 };

static void gic_sgi_self(void) {
  gic_enable(SGI);
  gic_send(SGI, 0);
  check("pending before it is taken", gic_is_pending(SGI));
  check("taken", gic_wait(SGI, 1, 1000));
  check("not pending after it", !gic_is_pending(SGI));
  check("not active after it", !gic_is_active(SGI));
  check_equal("taken once", gic_taken(SGI), 1);
  gic_disable(SGI);
  gic_send(SGI, 0);
  check("not taken while it is disabled", !gic_wait(SGI, 2, 10));
  gic_clear_pending(SGI);
}

/* Each secondary PE waits for one SGI to all others, and answers PE 0 by one of its own. */
static uint64_t wait_for_sgi(struct pe *pe, uint64_t unused) {
  (void)unused;
  gic_enable(SGI);
  gic_send(SGI, 0);
  if (!gic_wait(SGI, 1, 500000)) return 1;
  return pe->irqs[SGI] == 1 ? 0 : 2;
}
static void gic_sgi_all(void) {
  if (pe_count < 2) return skip("one PE only");
  gic_enable(SGI);
  for (uint32_t i = 1; i < pe_count; i++) {
    check_equal("CPU_ON", (uint64_t)pe_start(i, wait_for_sgi, 0), 0);
    check("its SGI", gic_wait(SGI, i, 500000));
  }
  gic_send_others(SGI);
  for (uint32_t i = 1; i < pe_count; i++) {
    uint64_t result = ~0ull;
    if (check("the PE ends", pe_join(i, &result))) check_equal("its result", result, 0);
  }
  check_equal("none for the sender", gic_taken(SGI), pe_count - 1);
  gic_disable(SGI);
}

static void gic_spi_pending(void) {
  gic_set_edge(SPI, true);
  gic_route(SPI, 0);
  gic_enable(SPI);
  gic_set_pending(SPI);
  check("taken", gic_wait(SPI, 1, 1000));
  check("not pending after it", !gic_is_pending(SPI));
  gic_disable(SPI);
}

static uint64_t wait_for_spi(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  return gic_wait(SPI, 1, 500000) ? 0 : 1;
}
static uint32_t taken_by;
static void note_pe(uint32_t intid) {
  (void)intid;
  taken_by = pe_current()->index;
}
static void gic_spi_routing(void) {
  if (pe_count < 2) return skip("one PE only");
  uint32_t last = pe_count - 1;
  gic_set_handler(SPI, note_pe);
  gic_set_edge(SPI, true);
  gic_route(SPI, last);
  gic_enable(SPI);
  check_equal("CPU_ON", (uint64_t)pe_start(last, wait_for_spi, 0), 0);
  gic_set_pending(SPI);
  irq_unmask(); /* this PE would take it as well */
  uint64_t result = ~0ull;
  if (check("the PE ends", pe_join(last, &result))) check_equal("its result", result, 0);
  irq_mask();
  check_equal("who took it", taken_by, last);
  gic_route(SPI, 0);
  gic_disable(SPI);
}

/* The more urgent one of two comes first, and PMR masks by priority. */
static uint32_t order[4], taken_count;
static void note_order(uint32_t intid) {
  if (taken_count < 4) order[taken_count++] = intid;
}
static void gic_priorities(void) {
  taken_count = 0;
  gic_set_handler(SGI, note_order);
  gic_set_handler(SGI + 1, note_order);
  gic_enable(SGI);
  gic_enable(SGI + 1);
  gic_set_priority(SGI, 0xa0);
  gic_set_priority(SGI + 1, 0x60);
  gic_send(SGI, 0);
  gic_send(SGI + 1, 0);
  check("both are taken", gic_wait(SGI, 1, 1000));
  check_equal("the urgent one first", order[0], SGI + 1);
  check_equal("then the other", order[1], SGI);
  write_sysreg(icc_pmr_el1, 0x80);
  isb();
  gic_send(SGI, 0);
  check("not taken below the mask", !gic_wait(SGI, 2, 10));
  check_equal("ICC_HPPIR1_EL1, which does not know of masks", read_sysreg(icc_hppir1_el1), SGI);
  check_equal("ICC_IAR1_EL1, which does", read_sysreg(icc_iar1_el1), 1023);
  write_sysreg(icc_pmr_el1, 0xf0);
  isb();
  check("taken when the mask is lifted", gic_wait(SGI, 2, 1000));
  gic_set_priority(SGI + 1, GIC_PRIORITY);
  gic_disable(SGI);
  gic_disable(SGI + 1);
}

/* A handler that lets a more urgent interrupt in. */
static uint32_t nested;
static void preempted(uint32_t intid) {
  (void)intid;
  gic_send(SGI + 1, 0);
  irq_unmask();
  isb();
  for (uint32_t i = 0; i < 1000 && pe_current()->irqs[SGI + 1] == 0; i++) {
  }
  irq_mask();
  nested = pe_current()->irqs[SGI + 1];
}
static void gic_preemption(void) {
  nested = 0;
  gic_set_handler(SGI, preempted);
  gic_enable(SGI);
  gic_enable(SGI + 1);
  gic_set_priority(SGI + 1, 0x40);
  gic_send(SGI, 0);
  check("taken", gic_wait(SGI, 1, 10000));
  check_equal("the urgent one within it", nested, 1);
  check_equal("the running priority is idle again", read_sysreg(icc_rpr_el1), 0xff);
  gic_set_priority(SGI + 1, GIC_PRIORITY);
  gic_disable(SGI);
  gic_disable(SGI + 1);
}

const struct test gic_tests[] = {
    {"gic", "gic_sgi_self", gic_sgi_self},
    {"gic", "gic_sgi_all", gic_sgi_all},
    {"gic", "gic_spi_pending", gic_spi_pending},
    {"gic", "gic_spi_routing", gic_spi_routing},
    {"gic", "gic_priorities", gic_priorities},
    {"gic", "gic_preemption", gic_preemption},
    {0, 0, 0},
};
