/* The program in a realm: asks the Host what to do, does it, and tells the result with its next question. See commands.h. */
#include <stdint.h>

#include "../../lib/arch.h"
#include "commands.h"

#define RSI_REALM_CONFIG 0xc4000196ull
#define RSI_IPA_STATE_SET 0xc4000197ull
#define RSI_IPA_STATE_GET 0xc4000198ull
#define RSI_HOST_CALL 0xc4000199ull
#define PSCI_CPU_ON 0xc4000003ull
enum { RECS = 4 };

struct host_call {
  uint16_t imm;
  uint64_t gprs[31];
} __attribute__((aligned(256)));

/* Shared with start.S. Hidden, or they would be reached through a table outside of the program. */
#define SHARED __attribute__((visibility("hidden")))
SHARED extern struct {
  uint64_t esr, far;
} realm_fault;
SHARED extern struct {
  uint64_t count, intid;
} realm_irqs;

static struct host_call calls[RECS];
static uint64_t config[512] __attribute__((aligned(4096)));

uint64_t realm_smc(uint64_t x[4]);
void realm_hvc(void);
void realm_call(uint64_t address);
SHARED extern const char realm_start[];
void realm_main(uint64_t context);

static uint64_t smc(uint64_t x0, uint64_t x1, uint64_t x2, uint64_t x3) {
  uint64_t x[4] = {x0, x1, x2, x3};
  return realm_smc(x);
}

static volatile uint64_t *irq_count(void) { return &realm_irqs.count; }

static uint64_t take_irqs(uint64_t count) {
  realm_irqs.count = 0;
  write_sysreg(s3_0_c4_c6_0, 0xf0); /* ICC_PMR_EL1 */
  write_sysreg(s3_0_c12_c12_7, 1);  /* ICC_IGRPEN1_EL1 */
  isb();
  irq_unmask();
  while (*irq_count() < count) {
  }
  irq_mask();
  return realm_irqs.intid;
}

static uint64_t obey(const uint64_t *x) {
  uint64_t out[4];
  switch (x[0]) {
    case REALM_ECHO:
      return x[1] + 1;
    case REALM_LOAD:
      return mmio_read64(x[1]);
    case REALM_STORE:
      mmio_write32(x[1], (uint32_t)x[2]);
      return 0;
    case REALM_EXECUTE:
      realm_call(x[1]);
      return 0;
    case REALM_WFI:
      wfi();
      return 0;
    case REALM_WFE:
      __asm__ volatile("sevl\n\twfe\n\twfe");
      return 0;
    case REALM_SPIN:
      while (mmio_read64(x[1]) != x[2]) {
      }
      return 0;
    case REALM_SMC:
      return smc(x[1], x[2], x[3], 0);
    case REALM_HVC:
      realm_hvc();
      return 0;
    case REALM_SET_RIPAS:
      /* Until the whole range is done, or refused. */
      out[1] = x[1];
      do {
        out[0] = RSI_IPA_STATE_SET;
        out[2] = x[2];
        out[3] = x[3];
        if (realm_smc(out) != 0) return out[0] | 0x100;
        if (out[2] != 0) return 0x200; /* RSI_REJECT */
      } while (out[1] < x[2]);
      return 0;
    case REALM_GET_RIPAS:
      out[0] = RSI_IPA_STATE_GET;
      out[1] = x[1];
      out[2] = x[1] + 0x1000;
      realm_smc(out);
      return out[0] == 0 ? out[2] : out[0] | 0x100;
    case REALM_CPU_ON:
      return smc(PSCI_CPU_ON, x[1], (uint64_t)realm_start, x[2]);
    case REALM_TAKE_IRQS:
      return take_irqs(x[1]);
    case REALM_VTIMER:
      write_sysreg(cntv_cval_el0, read_sysreg(cntvct_el0) + x[1]);
      write_sysreg(cntv_ctl_el0, 1);
      isb();
      return take_irqs(1);
    case REALM_IPA_WIDTH:
      return smc(RSI_REALM_CONFIG, (uint64_t)config, 0, 0) == 0 ? config[0] : 0;
    case REALM_MPIDR:
      return read_sysreg(mpidr_el1);
    default:
      return ~0ull;
  }
}

void realm_main(uint64_t context) {
  struct host_call *call = &calls[read_sysreg(mpidr_el1) & 3];
  uint64_t result = context;
  for (;;) {
    call->imm = REALM_HOST_CALL_IMM;
    call->gprs[0] = result;
    call->gprs[1] = realm_fault.esr;
    call->gprs[2] = realm_fault.far;
    realm_fault.esr = realm_fault.far = 0;
    smc(RSI_HOST_CALL, (uint64_t)call, 0, 0);
    result = obey(call->gprs);
  }
}
