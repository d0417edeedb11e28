/* Translation tables of 4 KiB granules: stage 1 of EL2 in both its forms, stage 2. DDI 0487, "VMSAv8-64". */
#ifndef EL2_MMU_H
#define EL2_MMU_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 4096ull

/* 2 MiB of addresses for tests to map, and one where there is not even a table. */
#define WINDOW 0x2000000000ull
#define NOWHERE 0x3000000000ull

#define HCR_VM (1ull << 0)
#define HCR_FMO (1ull << 3)
#define HCR_IMO (1ull << 4)
#define HCR_AMO (1ull << 5)
#define HCR_VF (1ull << 6)
#define HCR_VI (1ull << 7)
#define HCR_VSE (1ull << 8)
#define HCR_DC (1ull << 12)
#define HCR_TWI (1ull << 13)
#define HCR_TWE (1ull << 14)
#define HCR_TID3 (1ull << 18)
#define HCR_TSC (1ull << 19)
#define HCR_TACR (1ull << 21)
#define HCR_TVM (1ull << 26)
#define HCR_TGE (1ull << 27)
#define HCR_HCD (1ull << 29)
#define HCR_TRVM (1ull << 30)
#define HCR_RW (1ull << 31)
#define HCR_E2H (1ull << 34)
#define HCR_GPF (1ull << 48)

/* What boot.S loads to enter a translation regime of EL2; HCR_EL2 first. */
struct regime {
  uint64_t hcr, mair, tcr, ttbr0, ttbr1, sctlr;
};
/* EL2 alone (E2H = 0), with TGE as other test programs have it, and EL2&0 (E2H = 1, TGE = 1). */
extern struct regime host_regime, vhe_regime;
void regime_enter(const struct regime *regime);

enum mmu_form { STAGE1_EL2, STAGE1_EL20, STAGE2 };
enum mmu_access {
  MMU_NONE = 0, /* an invalid entry */
  MMU_READ = 1,
  MMU_WRITE = 2,
  MMU_EXECUTE = 4,
  MMU_DEVICE = 8,
  MMU_USER = 16, /* EL2&0: for EL0 */
};

/* A tree of tables. Its first table covers the whole input address range, 39 bits. */
struct space {
  uint64_t *root;
  enum mmu_form form;
};

/*
 * Maps [va, va + size) to pa on, in blocks where it can; access 0 unmaps, and drops tables that are then empty. No TLB
 * maintenance.
 */
void space_map(struct space *space, uint64_t va, uint64_t pa, uint64_t size, uint32_t access);
/* Reuses all tables that were taken since the host's own were made. */
void spaces_reset(void);
struct space space_new(enum mmu_form form);

/* The host's own space, and a mapping in it with the maintenance that it takes. */
extern struct space host_space, vhe_space;
void host_map(uint64_t va, uint64_t pa, uint64_t size, uint32_t access);

/* Makes both regimes of the host and enters EL2's. */
void mmu_boot(void);

#endif
