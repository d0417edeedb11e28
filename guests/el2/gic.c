/* See gic.h. */
#include "gic.h"

#include "../lib/arch.h"
#include "devices.h"
#include "pe.h"
#include "timer.h"

enum {
  GICD_CTLR = 0x0000,
  GIC_IGROUPR = 0x0080,
  GIC_ISENABLER = 0x0100,
  GIC_ICENABLER = 0x0180,
  GIC_ISPENDR = 0x0200,
  GIC_ICPENDR = 0x0280,
  GIC_ISACTIVER = 0x0300,
  GIC_IPRIORITYR = 0x0400,
  GIC_ICFGR = 0x0c00,
  GICD_IROUTER = 0x6000,
  GICR_TYPER = 0x0008,
  GICR_WAKER = 0x0014,
  GICR_SGI_BASE = 0x10000,
  GICR_FRAMES = 0x20000,
};
/* Non-secure view. */
enum { CTLR_ENABLE_GRP1A = 1 << 1, CTLR_ARE_NS = 1 << 4, TYPER_LAST = 1 << 4, WAKER_SLEEP = 1 << 1, WAKER_ASLEEP = 1 << 2 };
enum { HANDLERS = 64, PRIORITY_MASK = 0xf0 };

static irq_handler handlers[HANDLERS];
static uint32_t taken[HANDLERS];

void gic_init(void) {
  mmio_write32(GICD_BASE + GICD_CTLR, CTLR_ENABLE_GRP1A | CTLR_ARE_NS);
  gic_init_pe();
}

uint32_t gic_count_redistributors(void) {
  for (uint32_t i = 0; i < NR_PES; i++)
    if ((mmio_read64(GICR_BASE + i * GICR_FRAMES + GICR_TYPER) & TYPER_LAST) != 0) return i + 1;
  return NR_PES;
}

/* The redistributor whose GICR_TYPER affinity is ours. */
static uint64_t find_redistributor(uint64_t mpidr) {
  for (uint64_t frame = GICR_BASE; frame < GICR_BASE + NR_PES * GICR_FRAMES; frame += GICR_FRAMES) {
    uint64_t typer = mmio_read64(frame + GICR_TYPER);
    if (typer >> 32 == (mpidr & 0xffffff)) return frame;
    if ((typer & TYPER_LAST) != 0) break;
  }
  panic("no redistributor for MPIDR 0x%lx", mpidr);
}

void gic_init_pe(void) {
  struct pe *pe = pe_current();
  pe->gicr = find_redistributor(pe->mpidr);
  mmio_write32(pe->gicr + GICR_WAKER, mmio_read32(pe->gicr + GICR_WAKER) & ~(uint32_t)WAKER_SLEEP);
  while ((mmio_read32(pe->gicr + GICR_WAKER) & WAKER_ASLEEP) != 0) {
  }
  uint64_t sgi = pe->gicr + GICR_SGI_BASE;
  mmio_write32(sgi + GIC_ICENABLER, 0xffffffff);
  mmio_write32(sgi + GIC_ICPENDR, 0xffffffff);
  for (uint32_t i = 0; i < GIC_PRIVATE; i += 4) mmio_write32(sgi + GIC_IPRIORITYR + i, GIC_PRIORITY * 0x01010101u);
  write_sysreg(icc_sre_el2, 0xf);
  isb();
  write_sysreg(icc_pmr_el1, PRIORITY_MASK);
  write_sysreg(icc_bpr1_el1, 0);
  write_sysreg(icc_ctlr_el1, 0); /* EOImode 0: EOIR also deactivates */
  write_sysreg(icc_igrpen1_el1, 1);
  isb();
}

/* The frame that has the registers of an interrupt. */
static uint64_t frame_of(uint32_t intid) { return intid < GIC_PRIVATE ? pe_current()->gicr + GICR_SGI_BASE : GICD_BASE; }

static void write_bit(uint32_t registers, uint32_t intid) {
  mmio_write32(frame_of(intid) + registers + intid / 32 * 4, 1u << intid % 32);
}
static bool read_bit(uint32_t registers, uint32_t intid) {
  return (mmio_read32(frame_of(intid) + registers + intid / 32 * 4) >> intid % 32 & 1) != 0;
}

void gic_enable(uint32_t intid) {
  if (intid >= GIC_PRIVATE) gic_set_priority(intid, GIC_PRIORITY);
  write_bit(GIC_ISENABLER, intid);
}
void gic_disable(uint32_t intid) {
  write_bit(GIC_ICENABLER, intid);
  gic_clear_pending(intid);
}
void gic_route(uint32_t intid, uint32_t pe) { mmio_write64(GICD_BASE + GICD_IROUTER + 8 * intid, pes[pe].mpidr); }
void gic_set_priority(uint32_t intid, uint8_t priority) {
  mmio_write8(frame_of(intid) + GIC_IPRIORITYR + intid, priority);
}
void gic_set_edge(uint32_t intid, bool edge) {
  uint64_t address = frame_of(intid) + GIC_ICFGR + intid / 16 * 4;
  uint32_t bit = 2u << intid % 16 * 2, old = mmio_read32(address);
  mmio_write32(address, edge ? old | bit : old & ~bit);
}
void gic_set_pending(uint32_t intid) { write_bit(GIC_ISPENDR, intid); }
void gic_clear_pending(uint32_t intid) { write_bit(GIC_ICPENDR, intid); }
bool gic_is_pending(uint32_t intid) { return read_bit(GIC_ISPENDR, intid); }
bool gic_is_active(uint32_t intid) { return read_bit(GIC_ISACTIVER, intid); }

/* ICC_SGI1R_EL1: Aff3 55:48, RS 47:44, IRM 40, Aff2 39:32, INTID 27:24, Aff1 23:16, TargetList 15:0. */
static void send(uint64_t value) {
  dsb_ish(); /* what the handler is to see comes first */
  write_sysreg(icc_sgi1r_el1, value);
  isb();
}

void gic_send(uint32_t intid, uint32_t pe) {
  uint64_t mpidr = pes[pe].mpidr;
  send((mpidr >> 16 & 0xff) << 32 | (uint64_t)intid << 24 | (mpidr >> 8 & 0xff) << 16 | 1ull << (mpidr & 0xf));
}

void gic_send_others(uint32_t intid) { send(1ull << 40 | (uint64_t)intid << 24); }

void gic_set_handler(uint32_t intid, irq_handler handler) { handlers[intid] = handler; }

uint32_t gic_taken(uint32_t intid) {
  return intid < GIC_PRIVATE ? __atomic_load_n(&pe_current()->irqs[intid], __ATOMIC_ACQUIRE)
                             : __atomic_load_n(&taken[intid % HANDLERS], __ATOMIC_ACQUIRE);
}

void gic_forget(void) {
  for (uint32_t i = 0; i < HANDLERS; i++) {
    handlers[i] = 0;
    taken[i] = 0;
  }
  for (uint32_t pe = 0; pe < NR_PES; pe++)
    for (uint32_t i = 0; i < GIC_PRIVATE; i++) pes[pe].irqs[i] = 0;
}

void gic_handle_irq(void) {
  for (;;) {
    uint32_t intid = (uint32_t)read_sysreg(icc_iar1_el1) & 0xffffff;
    if (intid >= GIC_INTIDS) return;
    dsb_sy();
    if (intid < HANDLERS && handlers[intid] != 0) handlers[intid](intid);
    if (intid < GIC_PRIVATE)
      __atomic_fetch_add(&pe_current()->irqs[intid], 1, __ATOMIC_RELEASE);
    else
      __atomic_fetch_add(&taken[intid % HANDLERS], 1, __ATOMIC_RELEASE);
    write_sysreg(icc_eoir1_el1, intid);
    isb();
  }
}

bool gic_wait(uint32_t intid, uint32_t count, uint64_t microseconds) {
  uint64_t deadline = timer_now() + timer_ticks(microseconds);
  irq_unmask();
  while (gic_taken(intid) < count && timer_now() < deadline) {
  }
  irq_mask();
  isb();
  return gic_taken(intid) >= count;
}
