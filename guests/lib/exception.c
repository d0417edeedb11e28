/*
 * The C side of the vectors: interrupts go to the GIC driver, a fault under a probe ends the probe, the rest is
 * fatal.
 */
#include "exception.h"

#include <stdarg.h>

#include "arch.h"
#include "console.h"
#include "gic.h"
#include "smp.h"
#include "start.h"

extern const char probe_landing[];

static const char *const kinds[] = {"synchronous", "IRQ", "FIQ", "SError"};

static const char *class_name(uint32_t ec) {
  switch (ec) {
    case EC_UNKNOWN:
      return "undefined instruction";
    case EC_INSTRUCTION_ABORT:
      return "instruction abort";
    case EC_PC_ALIGNMENT:
      return "PC alignment";
    case EC_DATA_ABORT:
      return "data abort";
    default:
      return "other";
  }
}

/* A fault while the dump is printed (no console, broken stack) must not start another one. */
static void dump(uint64_t kind, const struct exception_frame *frame) {
  static bool dumping;
  if (__atomic_exchange_n(&dumping, true, __ATOMIC_RELAXED)) guest_exit(STATUS_PANIC);
  uint32_t ec = (uint32_t)(frame->esr >> 26) & 0x3f;
  printf("\nunexpected %s exception, CPU %u, vector %u\n", kinds[kind & 3], cpu_current()->index, (unsigned)kind);
  printf("ESR %016lx (EC 0x%02x %s, ISS 0x%07x) FAR %016lx\n", frame->esr, ec, class_name(ec),
         (unsigned)frame->esr & 0x1ffffff, frame->far);
  printf("ELR %016lx (image + 0x%lx) SPSR %08lx SP %016lx\n", frame->elr, frame->elr - image_base(), frame->spsr,
         frame->sp);
  for (uint32_t i = 0; i < 31; i++) printf("x%-2u %016lx%s", i, frame->x[i], i % 4 == 3 || i == 30 ? "\n" : "  ");
}

void exception_taken(uint64_t kind, struct exception_frame *frame);
void exception_taken(uint64_t kind, struct exception_frame *frame) {
  struct cpu *cpu = cpu_current();
  if (kind == 5) { /* current EL with SP_ELx: IRQ */
    gic_handle_irq();
    return;
  }
  if (kind == 4 && cpu->probe_sp != 0) {
    cpu->fault = (struct fault){frame->esr, frame->far, frame->elr};
    frame->x[0] = cpu->probe_sp;
    frame->elr = (uint64_t)probe_landing;
    return;
  }
  dump(kind, frame);
  guest_exit(STATUS_PANIC);
}

static uint64_t read64(uint64_t address, uint64_t unused) {
  (void)unused;
  return mmio_read64(address);
}
static uint64_t write64(uint64_t address, uint64_t value) {
  mmio_write64(address, value);
  dsb_sy(); /* an asynchronous report would come here, inside the probe */
  return 0;
}
static uint64_t execute(uint64_t address, uint64_t unused) {
  (void)unused;
  ((void (*)(void))address)();
  return 0;
}

bool probe_read64(uint64_t address, uint64_t *value) { return probe_call(read64, address, 0, value); }
bool probe_write64(uint64_t address, uint64_t value) { return probe_call(write64, address, value, &value); }
bool probe_execute(uint64_t address) {
  uint64_t unused;
  return probe_call(execute, address, 0, &unused);
}

void panic(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("panic: ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  guest_exit(STATUS_PANIC);
}
