/* A guest of this program's own: functions of the image at EL1, stage 1 off, under a stage 2 that maps what it is given. */
#ifndef EL2_GUEST_H
#define EL2_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "mmu.h"

struct guest {
  uint64_t x[31];
  uint64_t elr;   /* GUEST_ELR */
  uint64_t spsr;  /* GUEST_SPSR */
  uint64_t esr;   /* GUEST_ESR: of the exit */
  uint64_t far;   /* GUEST_FAR */
  uint64_t hpfar; /* GUEST_HPFAR */
  uint64_t hcr;   /* while it runs */
  struct space stage2;
  uint64_t kind; /* of the last exit: the vector */
};

_Static_assert(offsetof(struct guest, elr) == GUEST_ELR, "vectors.S");
_Static_assert(offsetof(struct guest, spsr) == GUEST_SPSR, "vectors.S");
_Static_assert(offsetof(struct guest, esr) == GUEST_ESR, "vectors.S");
_Static_assert(offsetof(struct guest, far) == GUEST_FAR, "vectors.S");
_Static_assert(offsetof(struct guest, hpfar) == GUEST_HPFAR, "vectors.S");

enum { EXIT_SYNC = 8, EXIT_IRQ = 9, EXIT_FIQ = 10, EXIT_SERROR = 11 };

/* vectors.S. */
uint64_t guest_enter(struct guest *guest);

/* What EL1 counts and keeps; guest_el1.S. */
struct guest_el1 {
  uint64_t irqs;    /* taken */
  uint64_t intid;   /* of the last one: ICC_IAR1_EL1 */
  uint64_t serrors; /* taken */
};
extern struct guest_el1 guest_el1;

/*
 * A guest about to call function(argument) at EL1 with interrupts masked; its stage 2 maps the image's code, and data that it
 * may write. When the function returns, the exit is an HVC of HVC_DONE with the result in X0. A synchronous exception at EL1
 * is an HVC of HVC_FAULT, X0 = ESR_EL1, X1 = FAR_EL1, X2 = ELR_EL1.
 */
void guest_make(struct guest *guest, uint64_t (*function)(uint64_t), uint64_t argument);

/* Runs until the next exit; returns its kind. IRQs that are for EL2 are exits. */
uint64_t guest_run(struct guest *guest);
/* Goes on behind the instruction that trapped. */
void guest_skip(struct guest *guest);
/* Whether the last exit was guest_make's HVC_DONE; its result is X0. */
bool guest_is_done(const struct guest *guest);
/* The IPA of a stage 2 fault. */
uint64_t guest_ipa(const struct guest *guest);

#endif
