/* PEs: what each has of its own, and bringing them up and down by PSCI (DEN0022). */
#ifndef EL2_PE_H
#define EL2_PE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/psci.h"
#include "exception.h"
#include "layout.h"

enum { AFFINITY_ON_PENDING = 2 };

struct guest;
struct pe;
/* What a secondary PE runs; its result is the PE's. */
typedef uint64_t (*pe_function)(struct pe *pe, uint64_t argument);

/* TPIDR_EL2 of each PE points at its own. */
struct pe {
  uint64_t stack_top;  /* PE_STACK_TOP */
  uint64_t probe_sp;   /* PE_PROBE: stack pointer of the armed probe, or 0 */
  struct guest *guest; /* PE_GUEST: who runs below */
  uint64_t host_sp;    /* PE_HOST_SP */
  uint32_t index;      /* 0: the PE that boots */
  uint64_t mpidr;      /* affinity fields only */
  uint64_t gicr;       /* its redistributor, 0 before gic_init_pe */
  struct fault fault;  /* of the last probe that failed */
  pe_function function;
  uint64_t argument, result;
  uint32_t done;       /* atomic: function has returned */
  uint32_t irqs[32];   /* SGIs and PPIs taken, by INTID */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct pe, stack_top) == PE_STACK_TOP, "boot.S");
_Static_assert(offsetof(struct pe, probe_sp) == PE_PROBE, "vectors.S");
_Static_assert(offsetof(struct pe, guest) == PE_GUEST, "vectors.S");
_Static_assert(offsetof(struct pe, host_sp) == PE_HOST_SP, "vectors.S");
_Static_assert(sizeof(struct exception_frame) == FRAME_SIZE, "vectors.S");

extern struct pe pes[NR_PES];
/* PEs that the machine has: those whose redistributor there is. */
extern uint32_t pe_count;

static inline struct pe *pe_current(void) {
  struct pe *pe;
  __asm__ volatile("mrs %0, tpidr_el2" : "=r"(pe));
  return pe;
}

/* MPIDRs of the FVP's PEs: Aff2 is the cluster, Aff1 the PE in it. */
void pe_init(void);

/* An SMC with X0 to X3; X0 of the answer. */
int64_t psci(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3);

/* Starts PE `index` at `function`; PSCI's status. The PE turns itself off when `function` returns. */
int64_t pe_start(uint32_t index, pe_function function, uint64_t argument);
/* Waits until the PE has turned itself off. False: it did not within about a second. */
bool pe_join(uint32_t index, uint64_t *result);
/* Runs `function` on all secondary PEs at once, argument = index; false, with a message, unless all return 0. */
bool pe_all(pe_function function);

#endif
