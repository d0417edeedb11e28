/* RMI without a running realm: version, features, granules, making and destroying, what is refused, several PEs at once. */
#include "rmi.h"

#include "../lib/arch.h"
#include "../lib/string.h"
#include "devices.h"
#include "pe.h"
#include "test.h"

static bool ready(void) {
  pool_reset();
  if (rmi_is_there()) return true;
  skip("no RMM that speaks RMI 1.0");
  return false;
}

static void rmi_version(void) {
  if (!ready()) return;
  struct rmi_result result = rmi_full(RMI_VERSION, RMI_VERSION_1_0, 0, 0, 0, 0);
  check_equal("RMI_VERSION 1.0", result.x[0], RMI_SUCCESS);
  check_equal("its lower version", result.x[1], RMI_VERSION_1_0);
  message("the RMM speaks up to %lu.%lu", result.x[2] >> 16, result.x[2] & 0xffff);
  result = rmi_full(RMI_VERSION, 0x7f0000, 0, 0, 0, 0);
  check_equal("RMI_VERSION 127.0", result.x[0], RMI_ERROR_INPUT);
  result = rmi_full(RMI_FEATURES, 0, 0, 0, 0, 0);
  check_equal("RMI_FEATURES 0", result.x[0], RMI_SUCCESS);
  check("its S2SZ holds the tests' realms", (result.x[1] & 0xff) >= REALM_IPA_BITS);
  result = rmi_full(RMI_FEATURES, 1, 0, 0, 0, 0);
  check_equal("RMI_FEATURES 1", result.x[0] | result.x[1], 0);
  check_equal("a command that is none", rmi(0xc4000156, 0, 0, 0), ~0ull);
}

static void rmi_granules(void) {
  if (!ready()) return;
  uint64_t granule = pool_take(1);
  check_equal("UNDELEGATE before", rmi(RMI_GRANULE_UNDELEGATE, granule, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE", rmi(RMI_GRANULE_DELEGATE, granule, 0, 0), RMI_SUCCESS);
  check_equal("DELEGATE again", rmi(RMI_GRANULE_DELEGATE, granule, 0, 0), RMI_ERROR_INPUT);
  check_equal("UNDELEGATE", rmi(RMI_GRANULE_UNDELEGATE, granule, 0, 0), RMI_SUCCESS);
  check_equal("DELEGATE, not aligned", rmi(RMI_GRANULE_DELEGATE, granule + 1, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE of Root memory", rmi(RMI_GRANULE_DELEGATE, ROOT_MEMORY, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE of the RMM's memory", rmi(RMI_GRANULE_DELEGATE, REALM_MEMORY, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE of Secure memory", rmi(RMI_GRANULE_DELEGATE, SECURE_MEMORY, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE of a device", rmi(RMI_GRANULE_DELEGATE, UART2, 0, 0), RMI_ERROR_INPUT);
  check_equal("DELEGATE beyond all memory", rmi(RMI_GRANULE_DELEGATE, 1ull << 47, 0, 0), RMI_ERROR_INPUT);
}

static void rmi_realm_lifecycle(void) {
  static struct realm realm;
  if (!ready()) return;
  if (!check("a realm is made", realm_make(&realm, 2, 1))) return;
  check_equal("ACTIVATE again", rmi(RMI_REALM_ACTIVATE, realm.rd, 0, 0), RMI_REALM(0));
  check_equal("REALM_DESTROY of a live realm", rmi(RMI_REALM_DESTROY, realm.rd, 0, 0), RMI_REALM(0));
  check_equal("UNDELEGATE of an RD", rmi(RMI_GRANULE_UNDELEGATE, realm.rd, 0, 0), RMI_ERROR_INPUT);
  check_equal("UNDELEGATE of an RTT", rmi(RMI_GRANULE_UNDELEGATE, realm.root, 0, 0), RMI_ERROR_INPUT);
  check_equal("UNDELEGATE of a REC", rmi(RMI_GRANULE_UNDELEGATE, realm.recs[0].rec, 0, 0), RMI_ERROR_INPUT);
  check_equal("INIT_RIPAS of an active realm", rmi(RMI_RTT_INIT_RIPAS, realm.rd, 0, 0x1000), RMI_REALM(0));
  check("the realm is destroyed", realm_destroy(&realm));
}

static void rmi_create_errors(void) {
  if (!ready()) return;
  struct realm_params *params = (struct realm_params *)pool_take(1);
  uint64_t rd = granule_delegated(1), root = granule_delegated(1);
  memset(params, 0, sizeof *params);
  params->s2sz = REALM_IPA_BITS;
  params->num_bps = params->num_wps = 1;
  params->rtt_base = root;
  params->rtt_level_start = 1;
  params->rtt_num_start = 1;
  check_equal("parameters not aligned", rmi(RMI_REALM_CREATE, rd, (uint64_t)params + 8, 0), RMI_ERROR_INPUT);
  check_equal("parameters in the RMM's memory", rmi(RMI_REALM_CREATE, rd, REALM_MEMORY, 0), RMI_ERROR_INPUT);
  check_equal("an RD that is not delegated", rmi(RMI_REALM_CREATE, (uint64_t)params, (uint64_t)params, 0), RMI_ERROR_INPUT);
  check_equal("an RD that is the table", rmi(RMI_REALM_CREATE, root, (uint64_t)params, 0), RMI_ERROR_INPUT);
  params->s2sz = 20;
  check_equal("an IPA width of 20", rmi(RMI_REALM_CREATE, rd, (uint64_t)params, 0), RMI_ERROR_INPUT);
  params->s2sz = REALM_IPA_BITS;
  params->hash_algo = 9;
  check_equal("a hash algorithm 9", rmi(RMI_REALM_CREATE, rd, (uint64_t)params, 0), RMI_ERROR_INPUT);
  params->hash_algo = 0;
  params->rtt_level_start = 2;
  check_equal("a start level that does not fit", rmi(RMI_REALM_CREATE, rd, (uint64_t)params, 0), RMI_ERROR_INPUT);
  params->rtt_level_start = 1;
  params->rtt_num_start = 2;
  check_equal("too many start tables", rmi(RMI_REALM_CREATE, rd, (uint64_t)params, 0), RMI_ERROR_INPUT);
  params->rtt_num_start = 1;
  check_equal("and rightly", rmi(RMI_REALM_CREATE, rd, (uint64_t)params, 0), RMI_SUCCESS);
  uint64_t other_rd = granule_delegated(1), other_root = granule_delegated(1);
  params->rtt_base = other_root;
  check_equal("the same VMID", rmi(RMI_REALM_CREATE, other_rd, (uint64_t)params, 0), RMI_ERROR_INPUT);
  check_equal("REALM_DESTROY", rmi(RMI_REALM_DESTROY, rd, 0, 0), RMI_SUCCESS);
  check_equal("REALM_DESTROY again", rmi(RMI_REALM_DESTROY, rd, 0, 0), RMI_ERROR_INPUT);
  check("all granules come back", granule_undelegate(rd, 1) && granule_undelegate(root, 1) &&
                                      granule_undelegate(other_rd, 1) && granule_undelegate(other_root, 1));
}

static void rmi_tables(void) {
  static struct realm realm;
  if (!ready()) return;
  if (!check("a realm is made", realm_make(&realm, 1, 1))) return;
  uint64_t rtt = granule_delegated(1), data = granule_delegated(1);
  const uint64_t ipa = 0x600000; /* no table of level 3 */
  struct rmi_result entry = rmi_full(RMI_RTT_READ_ENTRY, realm.rd, REALM_PROGRAM, 3, 0, 0);
  check_equal("READ_ENTRY of data: status", entry.x[0], RMI_SUCCESS);
  check_equal("READ_ENTRY of data: level", entry.x[1], 3);
  check_equal("READ_ENTRY of data: ASSIGNED", entry.x[2], 1);
  check_equal("READ_ENTRY of data: RAM", entry.x[4], RIPAS_RAM);
  check_equal("CREATE of a table that is there", rmi_full(RMI_RTT_CREATE, realm.rd, rtt, REALM_PROGRAM, 3, 0).x[0], RMI_RTT(2));
  check_equal("CREATE where its parent is not", rmi_full(RMI_RTT_CREATE, realm.rd, rtt, 1ull << 31, 3, 0).x[0], RMI_RTT(1));
  check_equal("CREATE at level 4", rmi_full(RMI_RTT_CREATE, realm.rd, rtt, ipa, 4, 0).x[0], RMI_ERROR_INPUT);
  check_equal("CREATE not aligned", rmi_full(RMI_RTT_CREATE, realm.rd, rtt, ipa + 0x1000, 3, 0).x[0], RMI_ERROR_INPUT);
  check_equal("DATA_CREATE_UNKNOWN without a table", rmi(RMI_DATA_CREATE_UNKNOWN, realm.rd, data, ipa), RMI_RTT(2));
  check_equal("DESTROY of a live table", rmi(RMI_RTT_DESTROY, realm.rd, REALM_PROGRAM, 3), RMI_RTT(3));
  check_equal("DATA_DESTROY where there is none", rmi(RMI_DATA_DESTROY, realm.rd, REALM_EMPTY, 0), RMI_RTT(3));
  check("a table more", realm_rtt(&realm, ipa, 3));
  struct rmi_result fold = rmi_full(RMI_RTT_FOLD, realm.rd, ipa, 3, 0, 0);
  check_equal("FOLD of it", fold.x[0], RMI_SUCCESS);
  check_equal("the granule it gives back", fold.x[1], realm.rtts[--realm.rtt_count]);
  check("it comes back", granule_undelegate(fold.x[1], 1));
  uint64_t desc = pool_take(1) | RMI_SHARED_ATTRIBUTES;
  const uint64_t shared = REALM_SHARED | 0x2000;
  check_equal("MAP_UNPROTECTED", rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, shared, 3, desc, 0).x[0], RMI_SUCCESS);
  check_equal("and again", rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, shared, 3, desc, 0).x[0], RMI_RTT(3));
  check_equal("of a protected IPA", rmi_full(RMI_RTT_MAP_UNPROTECTED, realm.rd, ipa, 3, desc, 0).x[0], RMI_ERROR_INPUT);
  check_equal("UNMAP_UNPROTECTED", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, shared, 3), RMI_SUCCESS);
  check_equal("and again", rmi(RMI_RTT_UNMAP_UNPROTECTED, realm.rd, shared, 3), RMI_RTT(3));
  check("all comes back", realm_destroy(&realm) && granule_undelegate(rtt, 1) && granule_undelegate(data, 1));
}

/* Each PE delegates and undelegates granules of its own, and makes and destroys realms; all at once. */
static uint64_t delegate_many(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  for (uint32_t round = 0; round < 20; round++) {
    uint64_t granules = granule_delegated(4);
    if (granules == 0) return 1;
    if (rmi(RMI_GRANULE_DELEGATE, granules, 0, 0) != RMI_ERROR_INPUT) return 2;
    if (!granule_undelegate(granules, 4)) return 3;
  }
  return 0;
}
static struct realm realms[NR_PES];
static uint64_t make_realms(struct pe *pe, uint64_t index) {
  for (uint32_t round = 0; round < 2; round++) {
    if (!realm_make(&realms[pe->index], 1, (uint16_t)index)) return 1;
    if (!realm_destroy(&realms[pe->index])) return 2;
  }
  return 0;
}
/* All PEs want the same granule: one gets it. */
static uint64_t contested;
static uint32_t winners;
static uint64_t contend(struct pe *pe, uint64_t unused) {
  (void)pe, (void)unused;
  uint64_t status = rmi(RMI_GRANULE_DELEGATE, contested, 0, 0);
  if (status == RMI_SUCCESS) __atomic_add_fetch(&winners, 1, __ATOMIC_ACQ_REL);
  return status == RMI_SUCCESS || status == RMI_ERROR_INPUT ? 0 : status;
}
static void rmi_parallel(void) {
  if (!ready()) return;
  if (pe_count < 2) return skip("one PE only");
  check("granules on all PEs", pe_all(delegate_many));
  check("realms on all PEs", pe_all(make_realms));
  contested = pool_take(1);
  winners = 0;
  check("one granule wanted by all", pe_all(contend));
  check_equal("how many got it", winners, 1);
  check("it comes back", granule_undelegate(contested, 1));
}

const struct test rmi_tests[] = {
    {"rmi", "rmi_version", rmi_version},
    {"rmi", "rmi_granules", rmi_granules},
    {"rmi", "rmi_realm_lifecycle", rmi_realm_lifecycle},
    {"rmi", "rmi_create_errors", rmi_create_errors},
    {"rmi", "rmi_tables", rmi_tables},
    {"rmi", "rmi_parallel", rmi_parallel},
    {0, 0, 0},
};
