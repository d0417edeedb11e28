/* GICv3 as seen from Non-secure EL2: distributor, redistributors, the physical CPU interface. IHI 0069. */
#ifndef EL2_GIC_H
#define EL2_GIC_H

#include <stdbool.h>
#include <stdint.h>

enum { GIC_PRIVATE = 32, GIC_INTIDS = 1020, GIC_PRIORITY = 0xa0 };

/* Called between acknowledge and end of interrupt, on the PE that took it. */
typedef void (*irq_handler)(uint32_t intid);

void gic_init(void);
/* Redistributor and CPU interface of this PE; nothing is enabled. */
void gic_init_pe(void);
uint32_t gic_count_redistributors(void);

/* SGI, PPI: of this PE. SPI: for all, routed to PE `pe`. */
void gic_enable(uint32_t intid);
void gic_disable(uint32_t intid);
void gic_route(uint32_t intid, uint32_t pe);
void gic_set_priority(uint32_t intid, uint8_t priority);
void gic_set_edge(uint32_t intid, bool edge);
void gic_set_pending(uint32_t intid);
void gic_clear_pending(uint32_t intid);
bool gic_is_pending(uint32_t intid);
bool gic_is_active(uint32_t intid);

void gic_send(uint32_t intid, uint32_t pe);
void gic_send_others(uint32_t intid);

/* Handler of an INTID below 64; 0: count only (pe->irqs for private ones, gic_taken for the others). */
void gic_set_handler(uint32_t intid, irq_handler handler);
uint32_t gic_taken(uint32_t intid);
void gic_forget(void);

/* From the IRQ vector. */
void gic_handle_irq(void);

/* Takes IRQs until `count` of `intid` have been counted, at most so long; then masks them again. */
bool gic_wait(uint32_t intid, uint32_t count, uint64_t microseconds);

#endif
