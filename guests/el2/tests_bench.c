/*
 * Calls to the RMM, many in a row, to be timed from outside: each prints a line before and one after. They run only when they
 * are asked for; `n=` says how many.
 */
#include "realm/commands.h"
#include "rmi.h"
#include "test.h"

static uint64_t count;

static bool ready(void) {
  pool_reset();
  count = option_number("n", 10000);
  if (rmi_is_there()) return true;
  skip("no RMM that speaks RMI 1.0");
  return false;
}

static void begin(const char *name) { message("begin %s %lu", name, count); }
static void end(const char *name) { message("end %s", name); }

static void bench_version(void) {
  uint64_t failures = 0;
  if (!ready()) return;
  begin("version");
  for (uint64_t left = count; left > 0; left--) failures += rmi(RMI_VERSION, RMI_VERSION_1_0, 0, 0) != RMI_SUCCESS;
  end("version");
  check_equal("calls that fail", failures, 0);
}

/* Each granule there and back before the next; 256 in turn. */
static void bench_delegate(void) {
  uint64_t failures = 0;
  if (!ready()) return;
  uint64_t granules = pool_take(256);
  begin("delegate");
  for (uint64_t i = 0; i < count; i++) {
    uint64_t granule = granules + (i & 255) * PAGE_SIZE;
    failures += rmi(RMI_GRANULE_DELEGATE, granule, 0, 0) != RMI_SUCCESS;
    failures += rmi(RMI_GRANULE_UNDELEGATE, granule, 0, 0) != RMI_SUCCESS;
  }
  end("delegate");
  check_equal("calls that fail", failures, 0);
}

/* Entries of a REC whose program makes one host call for each. */
static void bench_rec(void) {
  static struct realm realm;
  struct rec *rec = &realm.recs[0];
  uint64_t failures = 0;
  if (!ready() || !check("a realm is made", realm_make(&realm, 1, 1))) return;
  failures += rec_enter(rec) != RMI_SUCCESS; /* its first question */
  begin("rec");
  for (uint64_t i = 0; i < count; i++) {
    rec->run->gprs[0] = REALM_ECHO;
    rec->run->gprs[1] = i;
    failures += rec_enter(rec) != RMI_SUCCESS || rec->run->exit_gprs[0] != i + 1;
  }
  end("rec");
  check_equal("entries that fail", failures, 0);
  check("the realm is destroyed", realm_destroy(&realm));
}

const struct test bench_tests[] = {
    {"bench", "bench_version", bench_version},
    {"bench", "bench_delegate", bench_delegate},
    {"bench", "bench_rec", bench_rec},
    {0, 0, 0},
};
