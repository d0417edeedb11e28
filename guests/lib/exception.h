/* What the vectors save, and the probe: a call that survives a synchronous exception. */
#ifndef GUEST_EXCEPTION_H
#define GUEST_EXCEPTION_H

#include <stdbool.h>
#include <stdint.h>

struct exception_frame {
  uint64_t x[31];
  uint64_t elr, spsr, esr, far, sp;
};

/* The exception that ended a probe. */
struct fault {
  uint64_t esr, far, elr;
};

/* ESR_EL1.EC, exception class. DDI 0487, "ESR_EL1". */
enum {
  EC_UNKNOWN = 0x00,
  EC_INSTRUCTION_ABORT = 0x21, /* taken without a change of EL */
  EC_PC_ALIGNMENT = 0x22,
  EC_DATA_ABORT = 0x25,
};
static inline uint32_t fault_class(const struct fault *fault) { return (uint32_t)(fault->esr >> 26) & 0x3f; }
/* DFSC or IFSC. */
enum { FSC_EXTERNAL_ABORT = 0x10, FSC_GRANULE_PROTECTION = 0x28 };
static inline uint32_t fault_status(const struct fault *fault) { return (uint32_t)fault->esr & 0x3f; }

/*
 * Calls fn(a, b). True: it returned and *result is its value. False: a synchronous exception ended it;
 * cpu_current()->fault describes it. Probes may nest.
 */
bool probe_call(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b, uint64_t *result);

/* Probed accesses of one word. False: fault, see above. */
bool probe_read64(uint64_t address, uint64_t *value);
bool probe_write64(uint64_t address, uint64_t value);
/* Calls the code at `address` as a function. */
bool probe_execute(uint64_t address);

/* Prints the message and ends the guest with STATUS_PANIC (start.h). */
__attribute__((noreturn, format(printf, 1, 2))) void panic(const char *format, ...);

#endif
