/* CPUs: per-CPU data and bring-up through PSCI. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exception.h"
#include "layout.h"

/* TPIDR_EL1 of each CPU points at its own. */
struct cpu {
  uint64_t stack_top; /* CPU_STACK_TOP */
  uint64_t probe_sp;  /* CPU_PROBE: stack pointer of the armed probe, or 0 */
  uint32_t index;     /* position in the DTB */
  uint64_t mpidr;     /* affinity fields only */
  uint64_t gicr;      /* its redistributor, 0 before gic_init_cpu */
  struct fault fault; /* of the last probe that failed */
  uint32_t online;    /* atomic: set by the CPU itself, cleared before CPU_OFF */
  void (*entry)(struct cpu *);
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "boot.S");
_Static_assert(offsetof(struct cpu, probe_sp) == CPU_PROBE, "vectors.S");
_Static_assert(sizeof(struct exception_frame) == FRAME_SIZE, "vectors.S");

extern struct cpu cpus[NR_CPUS];

static inline struct cpu *cpu_current(void) {
  struct cpu *cpu;
  __asm__ volatile("mrs %0, tpidr_el1" : "=r"(cpu));
  return cpu;
}

/* Fills cpus[] from the device tree. The boot CPU is the entry that its own MPIDR names. */
void smp_init(void);

/*
 * Starts CPU `index` at `entry`, MMU on, interrupts masked; when `entry` returns, the CPU turns itself off. Returns the
 * status of PSCI CPU_ON; does not wait.
 */
int64_t smp_start(uint32_t index, void (*entry)(struct cpu *));

/* Marks the current CPU offline and calls PSCI CPU_OFF. */
__attribute__((noreturn)) void smp_stop_self(void);

#endif
