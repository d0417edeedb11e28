/* The Realm Management Interface 1.0 (DEN0137 1.0-rel0, "Realm Management Interface"), and realms made by it. */
#ifndef EL2_RMI_H
#define EL2_RMI_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"

#define RMI_VERSION 0xc4000150u
#define RMI_GRANULE_DELEGATE 0xc4000151u
#define RMI_GRANULE_UNDELEGATE 0xc4000152u
#define RMI_DATA_CREATE 0xc4000153u
#define RMI_DATA_CREATE_UNKNOWN 0xc4000154u
#define RMI_DATA_DESTROY 0xc4000155u
#define RMI_REALM_ACTIVATE 0xc4000157u
#define RMI_REALM_CREATE 0xc4000158u
#define RMI_REALM_DESTROY 0xc4000159u
#define RMI_REC_CREATE 0xc400015au
#define RMI_REC_DESTROY 0xc400015bu
#define RMI_REC_ENTER 0xc400015cu
#define RMI_RTT_CREATE 0xc400015du
#define RMI_RTT_DESTROY 0xc400015eu
#define RMI_RTT_MAP_UNPROTECTED 0xc400015fu
#define RMI_RTT_READ_ENTRY 0xc4000161u
#define RMI_RTT_UNMAP_UNPROTECTED 0xc4000162u
#define RMI_PSCI_COMPLETE 0xc4000164u
#define RMI_FEATURES 0xc4000165u
#define RMI_RTT_FOLD 0xc4000166u
#define RMI_REC_AUX_COUNT 0xc4000167u
#define RMI_RTT_INIT_RIPAS 0xc4000168u
#define RMI_RTT_SET_RIPAS 0xc4000169u

#define RMI_VERSION_1_0 0x10000ull

/* RmiStatusCode; the index is in bits 15:8. */
enum { RMI_SUCCESS = 0, RMI_ERROR_INPUT = 1, RMI_ERROR_REALM = 2, RMI_ERROR_REC = 3, RMI_ERROR_RTT = 4 };
#define RMI_RTT(level) (RMI_ERROR_RTT | (uint64_t)(level) << 8)
#define RMI_REALM(index) (RMI_ERROR_REALM | (uint64_t)(index) << 8)

/* RmiRecExitReason. */
enum { REC_SYNC, REC_IRQ, REC_FIQ, REC_PSCI, REC_RIPAS_CHANGE, REC_HOST_CALL, REC_SERROR };
enum { RIPAS_EMPTY, RIPAS_RAM, RIPAS_DESTROYED };

/* RmiRealmParams: one granule. */
struct realm_params {
  uint64_t flags;
  uint8_t s2sz, pad0[7];
  uint8_t sve_vl, pad1[7];
  uint8_t num_bps, pad2[7];
  uint8_t num_wps, pad3[7];
  uint8_t pmu_num_ctrs, pad4[7];
  uint8_t hash_algo, pad5[0x400 - 0x31];
  uint8_t rpv[64], pad6[0x800 - 0x440];
  uint16_t vmid, pad7[3];
  uint64_t rtt_base;
  int64_t rtt_level_start;
  uint32_t rtt_num_start;
  uint8_t pad8[0x1000 - 0x81c];
};
/* RmiRecParams: one granule. */
struct rec_params {
  uint64_t flags;
  uint8_t pad0[0x100 - 8];
  uint64_t mpidr;
  uint8_t pad1[0x200 - 0x108];
  uint64_t pc;
  uint8_t pad2[0x300 - 0x208];
  uint64_t gprs[8];
  uint8_t pad3[0x800 - 0x340];
  uint64_t num_aux, aux[16];
  uint8_t pad4[0x1000 - 0x888];
};
/* RmiRecRun: one granule, RmiRecEnter and RmiRecExit. */
struct rec_run {
  uint64_t flags;
  uint8_t pad0[0x200 - 8];
  uint64_t gprs[31], pad1;
  uint64_t gicv3_hcr, gicv3_lrs[16];
  uint8_t pad2[0x800 - 0x388];
  uint8_t exit_reason, pad3[0xff];
  uint64_t esr, far, hpfar;
  uint8_t pad4[0x200 - 0x118];
  uint64_t exit_gprs[31], pad5;
  uint64_t exit_hcr, exit_lrs[16], exit_misr, exit_vmcr;
  uint8_t pad6[0x400 - 0x398];
  uint64_t cntp_ctl, cntp_cval, cntv_ctl, cntv_cval;
  uint8_t pad7[0x500 - 0x420];
  uint64_t ripas_base, ripas_top;
  uint8_t ripas_value, pad8[0x600 - 0x511];
  uint16_t imm;
  uint8_t pad9[0x700 - 0x602];
  uint8_t pmu_ovf_status, pad10[0xff];
};
_Static_assert(sizeof(struct realm_params) == 0x1000, "RmiRealmParams");
_Static_assert(sizeof(struct rec_params) == 0x1000, "RmiRecParams");
_Static_assert(sizeof(struct rec_run) == 0x1000, "RmiRecRun");
_Static_assert(__builtin_offsetof(struct rec_run, exit_vmcr) == 0xb90, "RmiRecExit");
_Static_assert(__builtin_offsetof(struct rec_run, imm) == 0xe00, "RmiRecExit");

/* RMI_RTT_MAP_UNPROTECTED: normal memory, write-back (FEAT_S2FWB); read and write. */
#define RMI_SHARED_ATTRIBUTES (6ull << 2 | 3ull << 6)

enum { ENTER_EMUL_MMIO = 1, ENTER_INJECT_SEA = 2, ENTER_TRAP_WFI = 4, ENTER_TRAP_WFE = 8, ENTER_REJECT_RIPAS = 16 };

/* A command with up to five arguments; X0. */
uint64_t rmi(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3);
struct rmi_result {
  uint64_t x[5];
};
struct rmi_result rmi_full(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3, uint64_t x4, uint64_t x5);

/* Whether an RMM answers with version 1.0. */
bool rmi_is_there(void);

/* Granules for one test: PEs take from a part each, so that nothing is shared. */
uint64_t pool_take(uint64_t count);
/* Takes and delegates; 0 with a message when the RMM refuses. */
uint64_t granule_delegated(uint64_t count);
bool granule_undelegate(uint64_t pa, uint64_t count);
void pool_reset(void);

/* IPAs of a realm: its program, its shared half, and where nothing is mapped. */
#define REALM_IPA_BITS 39
#define REALM_SHARED (1ull << (REALM_IPA_BITS - 1))
#define REALM_PROGRAM 0x400000ull
#define REALM_DEVICE (REALM_SHARED | 0x1000000ull)
#define REALM_UNUSED_RAM 0x500000ull /* RIPAS RAM, no data */
#define REALM_EMPTY 0x540000ull      /* RIPAS EMPTY */

enum { RECS_MAX = 4, RTTS_MAX = 8, DATA_MAX = 16 };
struct rec {
  uint64_t rec, aux[16], aux_count;
  struct rec_run *run;
};
struct realm {
  uint64_t rd, root;
  uint64_t rtts[RTTS_MAX], rtt_count; /* made by realm_rtt, in this order */
  struct {
    uint64_t ipa;
    int level;
  } rtt_at[RTTS_MAX];
  uint64_t data_count;
  struct rec recs[RECS_MAX];
  uint32_t rec_count;
  bool active;
};

/* A realm with the program of realm/ in it, `recs` RECs (the first runs, the others wait for CPU_ON), active. */
bool realm_make(struct realm *realm, uint32_t recs, uint16_t vmid);
/* Everything back to the Host. */
bool realm_destroy(struct realm *realm);
/* A table for `ipa` at `level`. */
bool realm_rtt(struct realm *realm, uint64_t ipa, int level);

/* RMI_REC_ENTER; the enter half is as the caller left it, and is cleared afterwards. X0. */
uint64_t rec_enter(struct rec *rec);

#endif
