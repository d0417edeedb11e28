/*
 * GICv3 (IHI 0069): distributor and redistributors by MMIO, CPU interface by system registers. Group 1 only, no LPIs.
 */
#ifndef GUEST_GIC_H
#define GUEST_GIC_H

#include <stdbool.h>
#include <stdint.h>

enum { GIC_SGIS = 16, GIC_PRIVATE = 32, GIC_SPURIOUS = 1020 };

typedef void (*irq_handler)(uint32_t intid);

/* Boot CPU: maps and enables the distributor. False: no GICv3 in the device tree, or it does not answer as one. */
bool gic_init(void);
/* Each CPU: its redistributor and CPU interface. False: no redistributor has this CPU's affinity. */
bool gic_init_cpu(void);

/* Handler for an SGI or PPI (all CPUs share it). An interrupt without one is counted as unexpected. */
void gic_set_handler(uint32_t intid, irq_handler handler);
/* Enables an SGI or PPI on the current CPU. */
void gic_enable(uint32_t intid);

/* Sends SGI `intid` to one CPU, or to all but the current one. */
void gic_send(uint32_t intid, uint64_t mpidr);
void gic_send_others(uint32_t intid);

/* Called by the vectors. */
void gic_handle_irq(void);
/* Interrupts that came without a handler, all CPUs. */
uint32_t gic_unexpected(void);

#endif
