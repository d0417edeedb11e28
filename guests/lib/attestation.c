/* See attestation.h. */
#include "attestation.h"

#include "../librsi/rsi.h"
#include "channel.h"
#include "console.h"
#include "memory.h"
#include "mmu.h"
#include "realm.h"

bool attestation_report(bool verbose) {
  uint8_t challenge[CHALLENGE_SIZE];
  if (!realm.present) return true;
  if (!channel_challenge(challenge)) {
    if (verbose) printf("challenge:      the VMM has none\n");
    return true;
  }
  if (verbose) {
    printf("challenge:      ");
    print_hex(challenge, sizeof challenge);
    printf("\n");
  }
  uint64_t pages = GUEST_TOKEN_SIZE_MAX / PAGE_SIZE, size;
  uint8_t *token = (uint8_t *)memory_pages(pages);
  uint64_t status = rsi_attestation_token(challenge, token, GUEST_TOKEN_SIZE_MAX, &size);
  if (status != RSI_SUCCESS) {
    printf("token:          refused, %s\n", rsi_status_name(status));
    return false;
  }
  bool taken = channel_token(token, size);
  if (verbose || !taken)
    printf("token:          %lu bytes, %s\n", size, taken ? "handed over" : "not taken by the VMM");
  return taken;
}
