/* See gic.h. */
#include "gic.h"

#include "arch.h"
#include "mmu.h"
#include "platform.h"
#include "realm.h"
#include "smp.h"

/* Distributor. */
enum { GICD_CTLR = 0x0000, GICD_TYPER = 0x0004, GICD_IGROUPR = 0x0080, GICD_ICENABLER = 0x0180 };
enum { CTLR_ENABLE_GRP1 = 1 << 1, CTLR_ARE = 1 << 4 };
#define CTLR_RWP (1u << 31)
/* Redistributor, RD_base frame and, 64 KiB above it, SGI_base frame. */
enum { GICR_TYPER = 0x0008, GICR_WAKER = 0x0014 };
enum { GICR_IGROUPR0 = 0x10080, GICR_ISENABLER0 = 0x10100, GICR_ICENABLER0 = 0x10180, GICR_IPRIORITYR = 0x10400 };
enum { TYPER_LAST = 1 << 4, WAKER_PROCESSOR_SLEEP = 1 << 1, WAKER_CHILDREN_ASLEEP = 1 << 2, GICR_FRAMES = 0x20000 };

enum { PRIORITY = 0xa0, PRIORITY_MASK = 0xf0, SPINS = 1000000 };

static irq_handler handlers[GIC_PRIVATE];
static uint64_t gicd, gicr;
static uint32_t unexpected;

static bool wait_clear(uint64_t address, uint32_t bit) {
  for (uint32_t i = 0; i < SPINS; i++)
    if ((mmio_read32(address) & bit) == 0) return true;
  return false;
}

bool gic_init(void) {
  if (!platform.gicv3) return false;
  gicd = device_map(platform.gicd_base, platform.gicd_size);
  gicr = device_map(platform.gicr_base, platform.gicr_size);
  if (gicd == 0 || gicr == 0) return false;
  mmio_write32(gicd + GICD_CTLR, 0);
  if (!wait_clear(gicd + GICD_CTLR, CTLR_RWP)) return false;
  uint32_t lines = 32 * ((mmio_read32(gicd + GICD_TYPER) & 0x1f) + 1);
  for (uint32_t intid = 32; intid < lines; intid += 32) {
    mmio_write32(gicd + GICD_ICENABLER + intid / 8, 0xffffffff);
    mmio_write32(gicd + GICD_IGROUPR + intid / 8, 0xffffffff);
  }
  mmio_write32(gicd + GICD_CTLR, CTLR_ARE);
  mmio_write32(gicd + GICD_CTLR, CTLR_ARE | CTLR_ENABLE_GRP1);
  return wait_clear(gicd + GICD_CTLR, CTLR_RWP);
}

/* The redistributor whose GICR_TYPER affinity is ours. */
static uint64_t find_redistributor(uint64_t mpidr) {
  uint64_t affinity = (mpidr & 0xffffff) | (mpidr >> 32 & 0xff) << 24;
  for (uint64_t frame = 0; frame + GICR_FRAMES <= platform.gicr_size; frame += GICR_FRAMES) {
    uint64_t typer = mmio_read64(gicr + frame + GICR_TYPER);
    if (typer >> 32 == affinity) return gicr + frame;
    if ((typer & TYPER_LAST) != 0) break;
  }
  return 0;
}

bool gic_init_cpu(void) {
  struct cpu *cpu = cpu_current();
  uint64_t frame = find_redistributor(cpu->mpidr);
  if (frame == 0) return false;
  cpu->gicr = frame;
  mmio_write32(frame + GICR_WAKER, mmio_read32(frame + GICR_WAKER) & ~(uint32_t)WAKER_PROCESSOR_SLEEP);
  if (!wait_clear(frame + GICR_WAKER, WAKER_CHILDREN_ASLEEP)) return false;
  mmio_write32(frame + GICR_ICENABLER0, 0xffffffff);
  mmio_write32(frame + GICR_IGROUPR0, 0xffffffff);
  for (uint32_t i = 0; i < GIC_PRIVATE; i += 4) mmio_write32(frame + GICR_IPRIORITYR + i, PRIORITY * 0x01010101u);

  write_sysreg(icc_sre_el1, read_sysreg(icc_sre_el1) | 1);
  isb();
  if ((read_sysreg(icc_sre_el1) & 1) == 0) return false;
  write_sysreg(icc_pmr_el1, PRIORITY_MASK);
  write_sysreg(icc_bpr1_el1, 0);
  write_sysreg(icc_ctlr_el1, 0); /* EOImode 0: EOIR also deactivates */
  write_sysreg(icc_igrpen1_el1, 1);
  isb();
  return true;
}

void gic_set_handler(uint32_t intid, irq_handler handler) { handlers[intid] = handler; }

void gic_enable(uint32_t intid) { mmio_write32(cpu_current()->gicr + GICR_ISENABLER0, 1u << intid); }

/* ICC_SGI1R_EL1: Aff3 55:48, RS 47:44, IRM 40, Aff2 39:32, INTID 27:24, Aff1 23:16, TargetList 15:0. */
static void send(uint64_t value) {
  dsb_ish(); /* what the handler is to see comes first */
  write_sysreg(icc_sgi1r_el1, value);
  isb();
}

void gic_send(uint32_t intid, uint64_t mpidr) {
  uint64_t aff0 = mpidr & 0xff, aff1 = mpidr >> 8 & 0xff, aff2 = mpidr >> 16 & 0xff, aff3 = mpidr >> 32 & 0xff;
  send(aff3 << 48 | aff0 / 16 << 44 | aff2 << 32 | (uint64_t)intid << 24 | aff1 << 16 | 1ull << aff0 % 16);
}

void gic_send_others(uint32_t intid) { send(1ull << 40 | (uint64_t)intid << 24); }

void gic_handle_irq(void) {
  for (;;) {
    uint32_t intid = (uint32_t)read_sysreg(icc_iar1_el1) & 0xffffff;
    if (intid >= GIC_SPURIOUS && intid < 1024) return;
    dsb_sy();
    if (intid < GIC_PRIVATE && handlers[intid] != 0)
      handlers[intid](intid);
    else
      __atomic_fetch_add(&unexpected, 1, __ATOMIC_RELAXED);
    write_sysreg(icc_eoir1_el1, intid);
    isb();
  }
}

uint32_t gic_unexpected(void) { return __atomic_load_n(&unexpected, __ATOMIC_RELAXED); }
