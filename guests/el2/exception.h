/* What the vectors save, and the probe: a call that survives a synchronous exception. */
#ifndef EL2_EXCEPTION_H
#define EL2_EXCEPTION_H

#include <stdbool.h>
#include <stdint.h>

struct exception_frame {
  uint64_t x[31];
  uint64_t elr, spsr, esr, far, sp;
};

/* The exception that ended a probe. */
struct fault {
  uint64_t esr, far, elr, hpfar;
};

/* ESR_EL2.EC, exception class. DDI 0487, "ESR_EL2". */
enum {
  EC_UNKNOWN = 0x00,
  EC_WFX = 0x01,
  EC_FP = 0x07,
  EC_SVC = 0x15,
  EC_HVC = 0x16,
  EC_SMC = 0x17,
  EC_SYSREG = 0x18,
  EC_INSTRUCTION_ABORT_LOWER = 0x20,
  EC_INSTRUCTION_ABORT = 0x21,
  EC_PC_ALIGNMENT = 0x22,
  EC_DATA_ABORT_LOWER = 0x24,
  EC_DATA_ABORT = 0x25,
  EC_SP_ALIGNMENT = 0x26,
  EC_BRK = 0x3c,
};
/* DFSC and IFSC; the level is added where there is one. */
enum {
  FSC_ADDRESS_SIZE = 0x00,
  FSC_TRANSLATION = 0x04,
  FSC_ACCESS_FLAG = 0x08,
  FSC_PERMISSION = 0x0c,
  FSC_EXTERNAL_ABORT = 0x10,
  FSC_ALIGNMENT = 0x21,
  FSC_GPF_WALK = 0x24,
  FSC_GPF = 0x28,
};
#define ESR_WNR (1ull << 6)
#define ESR_ISV (1ull << 24)

static inline uint32_t esr_class(uint64_t esr) { return (uint32_t)(esr >> 26) & 0x3f; }
static inline uint32_t esr_status(uint64_t esr) { return (uint32_t)esr & 0x3f; }

/* Calls fn(a, b). True: it returned and *result is its value. False: a synchronous exception ended it. */
bool probe_call(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b, uint64_t *result);

/* Probed accesses of one word. False: fault, see pe_current()->fault. */
bool probe_read(uint64_t address, uint64_t *value);
bool probe_write(uint64_t address, uint64_t value);
/* Calls the code at `address` as a function. */
bool probe_execute(uint64_t address);

/* Prints the message and a line that says so, and waits for the watchdog. */
__attribute__((noreturn, format(printf, 1, 2))) void panic(const char *format, ...);

#endif
