/*
 * rsi-check: every RSI command and every PSCI function, with success and each refusal that a realm can provoke,
 * against a table of expectations (rows.h). Prints the table. Exit status 0 when all rows hold, else 1. Without RSI
 * (a normal VM) it says so and exits with 0. With -c 2 or more it also tries what needs a second CPU.
 */
#include "lib/attestation.h"
#include "lib/console.h"
#include "lib/realm.h"
#include "lib/start.h"
#include "table.h"

int main(void) {
  if (!realm.present) {
    printf("rsi-check: no RSI here, this is a normal VM: nothing to check\n");
    return STATUS_OK;
  }
  uint64_t version = realm.rsi_version;
  printf("rsi-check: RSI %lu.%lu, %lu IPA bits\n", version >> 16, version & 0xffff, realm.ipa_width);
  printf("%-54s %8s %8s\n", "name", "expected", "got");
  check_dispatch();
  check_version_and_features();
  check_config();
  check_measurements();
  check_host_call();
  check_ipa_state_get();
  check_ipa_state_set();
  check_token();
  check_psci();
  uint32_t failures = table_end();
  if (!attestation_report(false)) failures++;
  return failures == 0 ? STATUS_OK : STATUS_FAILED;
}
