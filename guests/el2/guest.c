/* See guest.h. */
#include "guest.h"

#include "../lib/arch.h"
#include "../lib/string.h"
#include "exception.h"
#include "pe.h"

extern const char __image_start[], __rodata_end[], __data_start[], __image_end[];
extern const char el1_vectors[], el1_return[];
static uint8_t el1_stack[STACK_SIZE] __attribute__((section(".noinit"), aligned(4096)));

/* VTCR_EL2: 39-bit IPA from level 1, write-back walks, inner shareable, 4 KiB, 40-bit PA, RES1. */
#define VTCR (25ull | 1ull << 6 | 1ull << 8 | 1ull << 10 | 3ull << 12 | 2ull << 16 | 1ull << 31)
#define VMID (9ull << 48)
#define SCTLR_EL1_OFF 0x30d00980ull /* RES1 bits, nTWI and nTWE clear of no use: stage 1 off */

void guest_make(struct guest *guest, uint64_t (*function)(uint64_t), uint64_t argument) {
  memset(guest, 0, sizeof *guest);
  memset(&guest_el1, 0, sizeof guest_el1);
  guest->stage2 = space_new(STAGE2);
  uint64_t start = (uint64_t)__image_start, data = (uint64_t)__data_start, end = (uint64_t)__image_end;
  space_map(&guest->stage2, start, start, (uint64_t)__rodata_end - start, MMU_READ | MMU_EXECUTE);
  space_map(&guest->stage2, data, data, end - data, MMU_READ | MMU_WRITE);
  guest->x[0] = argument;
  guest->x[30] = (uint64_t)el1_return;
  guest->elr = (uint64_t)function;
  guest->spsr = 0x3c5; /* EL1h, DAIF masked */
  guest->hcr = HCR_RW | HCR_VM | HCR_IMO | HCR_FMO | HCR_AMO;

  write_sysreg(sctlr_el1, SCTLR_EL1_OFF | 1 << 16 | 1 << 18);
  write_sysreg(vbar_el1, (uint64_t)el1_vectors);
  write_sysreg(sp_el1, (uint64_t)el1_stack + STACK_SIZE);
  write_sysreg(cpacr_el1, 3 << 20);
  write_sysreg(cntvoff_el2, 0);
  write_sysreg(cnthctl_el2, 3); /* EL1 may use the physical counter and timer */
  write_sysreg(vmpidr_el2, read_sysreg(mpidr_el1));
  write_sysreg(vpidr_el2, read_sysreg(midr_el1));
}

uint64_t guest_run(struct guest *guest) {
  write_sysreg(s3_4_c2_c1_0, (uint64_t)guest->stage2.root | VMID); /* VTTBR_EL2 */
  write_sysreg(vtcr_el2, VTCR);
  write_sysreg(hcr_el2, guest->hcr);
  isb();
  __asm__ volatile("tlbi vmalls12e1\n\tdsb nsh\n\tisb" ::: "memory");
  guest->kind = guest_enter(guest);
  write_sysreg(hcr_el2, host_regime.hcr);
  isb();
  return guest->kind;
}

void guest_skip(struct guest *guest) { guest->elr += 4; }

bool guest_is_done(const struct guest *guest) {
  return guest->kind == EXIT_SYNC && esr_class(guest->esr) == EC_HVC && (guest->esr & 0xffff) == HVC_DONE;
}

uint64_t guest_ipa(const struct guest *guest) { return (guest->hpfar & 0xffffffffff0) << 8 | (guest->far & 0xfff); }
