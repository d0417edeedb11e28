/* See rmi.h. */
#include "rmi.h"

#include "../lib/arch.h"
#include "../lib/psci.h"
#include "../lib/string.h"
#include "devices.h"
#include "test.h"

static uint64_t pool_next = POOL_BASE;

struct rmi_result rmi_full(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3, uint64_t x4, uint64_t x5) {
  struct smccc_registers registers = {{function, x1, x2, x3, x4, x5}};
  smc_call(&registers);
  const uint64_t *x = registers.x;
  return (struct rmi_result){{x[0], x[1], x[2], x[3], x[4]}};
}
uint64_t rmi(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3) {
  return rmi_full(function, x1, x2, x3, 0, 0).x[0];
}

bool rmi_is_there(void) { return rmi(RMI_VERSION, RMI_VERSION_1_0, 0, 0) == RMI_SUCCESS; }

void pool_reset(void) { __atomic_store_n(&pool_next, POOL_BASE, __ATOMIC_RELEASE); }
uint64_t pool_take(uint64_t count) { return __atomic_fetch_add(&pool_next, count * PAGE_SIZE, __ATOMIC_ACQ_REL); }

static bool told(const char *what, uint64_t status) {
  if (status == RMI_SUCCESS) return true;
  message("%s returned 0x%lx", what, status);
  return false;
}

uint64_t granule_delegated(uint64_t count) {
  uint64_t pa = pool_take(count);
  for (uint64_t i = 0; i < count; i++)
    if (!told("RMI_GRANULE_DELEGATE", rmi(RMI_GRANULE_DELEGATE, pa + i * PAGE_SIZE, 0, 0))) return 0;
  return pa;
}
bool granule_undelegate(uint64_t pa, uint64_t count) {
  bool ok = true;
  for (uint64_t i = 0; i < count; i++)
    ok &= told("RMI_GRANULE_UNDELEGATE", rmi(RMI_GRANULE_UNDELEGATE, pa + i * PAGE_SIZE, 0, 0));
  return ok;
}

bool realm_rtt(struct realm *realm, uint64_t ipa, int level) {
  uint64_t rtt = granule_delegated(1);
  if (rtt == 0 || realm->rtt_count == RTTS_MAX) return false;
  if (!told("RMI_RTT_CREATE", rmi_full(RMI_RTT_CREATE, realm->rd, rtt, ipa, (uint64_t)level, 0).x[0])) return false;
  realm->rtt_at[realm->rtt_count].ipa = ipa;
  realm->rtt_at[realm->rtt_count].level = level;
  realm->rtts[realm->rtt_count++] = rtt;
  return true;
}

extern const char __realm_start[], __realm_end[];

static bool make_memory(struct realm *realm) {
  uint64_t size = (uint64_t)(__realm_end - __realm_start);
  if (!realm_rtt(realm, 0, 2) || !realm_rtt(realm, REALM_PROGRAM, 3)) return false;
  if (!realm_rtt(realm, REALM_SHARED, 2) || !realm_rtt(realm, REALM_SHARED, 3)) return false;
  struct rmi_result ripas = rmi_full(RMI_RTT_INIT_RIPAS, realm->rd, REALM_PROGRAM, REALM_PROGRAM + size, 0, 0);
  if (!told("RMI_RTT_INIT_RIPAS", ripas.x[0])) return false;
  ripas = rmi_full(RMI_RTT_INIT_RIPAS, realm->rd, REALM_UNUSED_RAM, REALM_UNUSED_RAM + 0x10000, 0, 0);
  if (!told("RMI_RTT_INIT_RIPAS", ripas.x[0])) return false;
  for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
    uint64_t data = granule_delegated(1), source = (uint64_t)__realm_start + at;
    if (data == 0) return false;
    uint64_t status = rmi_full(RMI_DATA_CREATE, realm->rd, data, REALM_PROGRAM + at, source, 1).x[0];
    if (!told("RMI_DATA_CREATE", status)) return false;
    realm->data_count++;
  }
  return true;
}

static bool make_rec(struct realm *realm, uint32_t index) {
  struct rec *rec = &realm->recs[index];
  struct rec_params *params = (struct rec_params *)pool_take(1);
  struct rmi_result aux = rmi_full(RMI_REC_AUX_COUNT, realm->rd, 0, 0, 0, 0);
  if (!told("RMI_REC_AUX_COUNT", aux.x[0]) || aux.x[1] > 16) return false;
  memset(params, 0, sizeof *params);
  params->flags = index == 0;
  params->mpidr = index;
  params->pc = REALM_PROGRAM;
  params->num_aux = rec->aux_count = aux.x[1];
  for (uint64_t i = 0; i < rec->aux_count; i++)
    if ((params->aux[i] = rec->aux[i] = granule_delegated(1)) == 0) return false;
  rec->run = (struct rec_run *)pool_take(1);
  memset(rec->run, 0, sizeof *rec->run);
  if ((rec->rec = granule_delegated(1)) == 0) return false;
  realm->rec_count++;
  return told("RMI_REC_CREATE", rmi(RMI_REC_CREATE, realm->rd, rec->rec, (uint64_t)params));
}

bool realm_make(struct realm *realm, uint32_t recs, uint16_t vmid) {
  struct realm_params *params = (struct realm_params *)pool_take(1);
  memset(realm, 0, sizeof *realm);
  memset(params, 0, sizeof *params);
  realm->rd = granule_delegated(1);
  realm->root = granule_delegated(1);
  if (realm->rd == 0 || realm->root == 0) return false;
  params->s2sz = REALM_IPA_BITS;
  params->num_bps = params->num_wps = 1;
  params->vmid = vmid;
  params->rtt_base = realm->root;
  params->rtt_level_start = 1;
  params->rtt_num_start = 1;
  if (!told("RMI_REALM_CREATE", rmi(RMI_REALM_CREATE, realm->rd, (uint64_t)params, 0))) return false;
  if (!make_memory(realm)) return false;
  for (uint32_t i = 0; i < recs; i++)
    if (!make_rec(realm, i)) return false;
  realm->active = told("RMI_REALM_ACTIVATE", rmi(RMI_REALM_ACTIVATE, realm->rd, 0, 0));
  return realm->active;
}

bool realm_destroy(struct realm *realm) {
  bool ok = true;
  for (uint32_t i = 0; i < realm->rec_count; i++) {
    struct rec *rec = &realm->recs[i];
    ok &= told("RMI_REC_DESTROY", rmi(RMI_REC_DESTROY, rec->rec, 0, 0)) && granule_undelegate(rec->rec, 1);
    for (uint64_t k = 0; k < rec->aux_count; k++) ok &= granule_undelegate(rec->aux[k], 1);
  }
  for (uint64_t i = 0; i < realm->data_count; i++) {
    struct rmi_result data = rmi_full(RMI_DATA_DESTROY, realm->rd, REALM_PROGRAM + i * PAGE_SIZE, 0, 0, 0);
    ok &= told("RMI_DATA_DESTROY", data.x[0]) && granule_undelegate(data.x[1], 1);
  }
  while (realm->rtt_count > 0) {
    uint64_t i = --realm->rtt_count;
    struct rmi_result rtt = rmi_full(RMI_RTT_DESTROY, realm->rd, realm->rtt_at[i].ipa, (uint64_t)realm->rtt_at[i].level, 0, 0);
    ok &= told("RMI_RTT_DESTROY", rtt.x[0]) && rtt.x[1] == realm->rtts[i] && granule_undelegate(rtt.x[1], 1);
  }
  ok &= told("RMI_REALM_DESTROY", rmi(RMI_REALM_DESTROY, realm->rd, 0, 0));
  return ok && granule_undelegate(realm->rd, 1) && granule_undelegate(realm->root, 1);
}

uint64_t rec_enter(struct rec *rec) {
  uint64_t status = rmi(RMI_REC_ENTER, rec->rec, (uint64_t)rec->run, 0);
  memset(rec->run, 0, __builtin_offsetof(struct rec_run, exit_reason));
  return status;
}
