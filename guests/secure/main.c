/*
 * A small payload of the Secure world at S-EL1, for tests: an SPMC of FF-A 1.0 (DEN0077A) that answers direct requests. The
 * request is in X3 to X7, the answer likewise.
 *
 *   X3 = 1 echo         X4 to X7 come back inverted
 *   X3 = 2 read         X4 address, X5 1: Non-secure      -> X4 value, X5 ESR_EL1 or 0, X6 FAR_EL1
 *   X3 = 3 write        X4 address, X5 1: Non-secure, X6 value -> X5 ESR_EL1 or 0, X6 FAR_EL1
 *   X3 = 4 counter      -> X4 CNTPCT_EL0, X5 CNTFRQ_EL0
 *   X3 = 5 registers    X4 pattern: fills registers with it -> X4 how many do not hold what they were last filled with
 *   X3 = 6 timer        X4 ticks until the Secure physical timer's interrupt
 *   X3 = 7 interrupts   -> X4 how many this PE has handled, X5 INTID of the last
 *   X3 = 8 who          -> X4 linear index, X5 MPIDR_EL1
 */
#include <stdbool.h>
#include <stdint.h>

#include "../lib/arch.h"
#include "../lib/psci.h"
#include "layout.h"

enum { UART1 = 0x1c0a0000, UARTDR = 0x00, UARTFR = 0x18, UARTCR = 0x30, FR_TXFF = 1 << 5, CR_TX_ENABLED = 0x101 };

/* DEN0077A, "Function identifiers". */
#define FFA_ERROR 0x84000060
#define FFA_INTERRUPT 0x84000062
#define FFA_MSG_WAIT 0x8400006b
#define FFA_MSG_SEND_DIRECT_REQ_64 0xc400006f
#define FFA_MSG_SEND_DIRECT_RESP_64 0xc4000070
#define FFA_NORMAL_WORLD_RESUME 0x8400007c
#define FFA_NOT_SUPPORTED 0xffffffff

enum { ECHO = 1, READ, WRITE, COUNTER, REGISTERS, TIMER, INTERRUPTS, WHO };
enum { INTID_SECURE_TIMER = 29, INTID_NONE = 1020 };

/* boot.S */
bool probe(uint64_t *value, uint64_t va, uint64_t is_write);
void enable_mmu(const void *table);
void fill_registers(uint64_t pattern);
uint64_t differing_registers(uint64_t pattern);
_Noreturn void secure_main(uint64_t index);
_Noreturn void unexpected_exception(uint64_t esr, uint64_t elr, uint64_t far);

struct pe {
  uint64_t index;
  uint64_t pattern;
  uint64_t interrupts, last_intid;
};

static struct pe pes[PES_MAX];
uint8_t stacks[PES_MAX][STACK_SIZE] __attribute__((aligned(16)));

/* Stage 1 descriptors. DDI 0487, "VMSAv8-64 translation table format descriptors". */
enum { TABLE = 3, BLOCK = 1, AF = 1 << 10, INNER_SHAREABLE = 3 << 8, NS = 1 << 5, NORMAL = 1 << 2 };
#define XN (3ull << 53) /* UXN, PXN */

static uint64_t level1[512] __attribute__((aligned(4096)));
static uint64_t level2[512] __attribute__((aligned(4096)));

static void put(char c) {
  while ((mmio_read32(UART1 + UARTFR) & FR_TXFF) != 0) {
  }
  mmio_write32(UART1 + UARTDR, (uint8_t)c);
}

static void print(const char *text) {
  for (; *text != 0; text++) put(*text);
}

static void print_hex(const char *label, uint64_t value) {
  print(label);
  for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[(value >> shift) & 15]);
}

void unexpected_exception(uint64_t esr, uint64_t elr, uint64_t far) {
  print_hex("secure: unexpected exception, ESR 0x", esr);
  print_hex(" ELR 0x", elr);
  print_hex(" FAR 0x", far);
  print("\n");
  for (;;) wfi();
}

/* Devices below 2 GiB but for the trusted DRAM, memory above. Entries of 1 GiB; the first GiB in 2 MiB, for the trusted DRAM. */
static void make_tables(void) {
  const uint64_t normal = BLOCK | AF | INNER_SHAREABLE | NORMAL;
  const uint64_t device = BLOCK | AF | XN;
  for (uint64_t i = 0; i < 512; i++) {
    const uint64_t at = i << 21;
    const bool is_trusted_dram = at >= 0x06000000 && at < 0x08000000;
    level2[i] = at | (is_trusted_dram ? normal : device);
  }
  level1[0] = (uint64_t)level2 | TABLE;
  for (uint64_t i = 1; i < 64; i++) level1[i] = (i << 30) | (i < 2 ? device : normal | XN);
  for (uint64_t i = 0; i < 64; i++)
    level1[i + (NS_WINDOW >> 30)] = (i << 30) | NS | (i < 2 ? device : normal | XN);
}

static void start_timer(uint64_t ticks) {
  write_sysreg(s3_7_c14_c2_0, ticks); /* CNTPS_TVAL_EL1 */
  write_sysreg(s3_7_c14_c2_1, 1);     /* CNTPS_CTL_EL1 */
  isb();
}

static void serve(struct pe *pe, uint64_t *x) {
  const uint64_t command = x[3];
  const uint64_t va = x[5] == 1 ? x[4] + NS_WINDOW : x[4];
  switch (command) {
    case ECHO:
      for (int n = 4; n < 8; n++) x[n] = ~x[n];
      return;
    case READ:
    case WRITE: {
      uint64_t value = x[6];
      const bool is_done = probe(&value, va, command == WRITE);
      x[4] = value;
      x[5] = is_done ? 0 : read_sysreg(esr_el1);
      x[6] = is_done ? 0 : read_sysreg(far_el1);
      return;
    }
    case COUNTER:
      x[4] = read_sysreg(cntpct_el0);
      x[5] = read_sysreg(cntfrq_el0);
      return;
    case REGISTERS: {
      const uint64_t pattern = x[4];
      x[4] = differing_registers(pe->pattern);
      pe->pattern = pattern;
      fill_registers(pattern);
      return;
    }
    case TIMER:
      start_timer(x[4]);
      return;
    case INTERRUPTS:
      x[4] = pe->interrupts;
      x[5] = pe->last_intid;
      return;
    case WHO:
      x[4] = pe->index;
      x[5] = read_sysreg(mpidr_el1);
      return;
    default:
      x[3] = 0;
  }
}

static void handle_interrupts(struct pe *pe) {
  for (;;) {
    const uint64_t intid = read_sysreg(s3_0_c12_c12_0) & 0xffffff; /* ICC_IAR1_EL1 */
    if (intid >= INTID_NONE) return;
    if (intid == INTID_SECURE_TIMER) {
      write_sysreg(s3_7_c14_c2_1, 0);
      isb();
    }
    pe->interrupts++;
    pe->last_intid = intid;
    write_sysreg(s3_0_c12_c12_1, intid); /* ICC_EOIR1_EL1 */
    print("secure: interrupt\n");
  }
}

void secure_main(uint64_t index) {
  struct pe *pe = &pes[index];
  *pe = (struct pe){.index = index}; /* A PE that was off may start again. */
  if (index == 0) {
    make_tables();
    dsb_sy();
  }
  enable_mmu(level1);
  write_sysreg(cpacr_el1, 3 << 20); /* FP/SIMD */
  isb();
  fill_registers(0);

  write_sysreg(s3_0_c4_c6_0, 0xff);  /* ICC_PMR_EL1 */
  write_sysreg(s3_0_c12_c12_7, 1);   /* ICC_IGRPEN1_EL1 */
  isb();
  mmio_write32(UART1 + UARTCR, CR_TX_ENABLED);
  print_hex("secure: S-EL1 on PE 0x", index);
  print("\n");

  struct smccc_registers call = {.x = {FFA_MSG_WAIT}};
  for (;;) {
    /* What the Normal world must not see: our own values in all registers that carry nothing. */
    for (int n = 8; n < 31; n++) call.x[n] = 0x5ec0000000000000 + (uint64_t)n;
    smc_call(&call);
    uint64_t *x = call.x;
    switch (x[0]) {
      case FFA_MSG_SEND_DIRECT_REQ_64:
        handle_interrupts(pe); /* Masked here: what came meanwhile, and did not preempt the Normal world. */
        serve(pe, x);
        x[0] = FFA_MSG_SEND_DIRECT_RESP_64;
        x[1] = (x[1] & 0xffff) << 16 | (x[1] >> 16 & 0xffff);
        x[2] = 0;
        break;
      case FFA_INTERRUPT:
        handle_interrupts(pe);
        for (int n = 1; n < 8; n++) x[n] = 0;
        x[0] = FFA_NORMAL_WORLD_RESUME;
        break;
      default:
        for (int n = 1; n < 8; n++) x[n] = 0;
        x[0] = FFA_ERROR;
        x[2] = FFA_NOT_SUPPORTED;
    }
  }
}
