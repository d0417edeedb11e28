/* The C side of the vectors: interrupts go to the GIC driver, a fault under a probe ends the probe, the rest is fatal. */
#include "exception.h"

#include <stdarg.h>

#include "../lib/arch.h"
#include "console.h"
#include "gic.h"
#include "pe.h"

extern const char probe_landing[];

void exception_taken(uint64_t kind, struct exception_frame *frame);
void exception_taken(uint64_t kind, struct exception_frame *frame) {
  struct pe *pe = pe_current();
  if (kind == 5) { /* EL2 with SP_EL2: IRQ */
    gic_handle_irq();
    return;
  }
  if (kind == 4 && pe->probe_sp != 0) {
    pe->fault = (struct fault){frame->esr, frame->far, frame->elr, read_sysreg(hpfar_el2)};
    frame->x[0] = pe->probe_sp;
    frame->elr = (uint64_t)probe_landing;
    frame->spsr = 0x3c9; /* EL2h, DAIF masked */
    return;
  }
  panic("PE %u: exception %lu, ESR 0x%lx FAR 0x%lx ELR 0x%lx SPSR 0x%lx X30 0x%lx", pe->index, kind, frame->esr,
        frame->far, frame->elr, frame->spsr, frame->x[30]);
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

bool probe_read(uint64_t address, uint64_t *value) { return probe_call(read64, address, 0, value); }
bool probe_write(uint64_t address, uint64_t value) { return probe_call(write64, address, value, &value); }
bool probe_execute(uint64_t address) {
  uint64_t unused;
  return probe_call(execute, address, 0, &unused);
}

void panic(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("\tpanic: ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  for (;;) {
  }
}
