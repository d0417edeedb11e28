/*
 * RSI_ATTESTATION_TOKEN_INIT and _CONTINUE, and a look into the token: DEN0137 1.0-rel0, "Realm token" and "Platform
 * token". Signatures are not verified here: the verifier outside does that.
 */
#include "cbor.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/realm.h"
#include "lib/sha2.h"
#include "lib/string.h"
#include "table.h"

enum { TOKEN_PAGES = 16, PIECE = 100, CANARY = 0xc3 };

/* Labels of the collection and of claims. */
enum { TAG_COLLECTION = 399, TAG_COSE_SIGN1 = 18, PLATFORM_TOKEN = 44234, REALM_TOKEN = 44241 };
enum { CHALLENGE = 10, RPV = 44235, HASH_ALGORITHM, PUBLIC_KEY, RIM, REMS, KEY_HASH };

static void make_challenge(uint8_t challenge[RSI_CHALLENGE_SIZE], uint8_t first) {
  for (uint32_t i = 0; i < RSI_CHALLENGE_SIZE; i++) challenge[i] = (uint8_t)(first + i);
}

static uint64_t init(uint8_t first) {
  uint8_t challenge[RSI_CHALLENGE_SIZE];
  uint64_t size_max = 0;
  make_challenge(challenge, first);
  uint64_t status = rsi_attestation_token_init(challenge, &size_max);
  return status == RSI_SUCCESS ? size_max : 0;
}

static uint64_t next(uint64_t granule, uint64_t offset, uint64_t size) {
  uint64_t status, written;
  /* RSI_INCOMPLETE without a byte says that the signature takes longer, unless no byte was asked for. */
  do status = rsi_attestation_token_continue(granule, offset, size, &written);
  while (status == RSI_INCOMPLETE && written == 0 && size != 0);
  return status;
}

/* X1 of the bare call, whatever the status. */
static uint64_t next_x1(uint64_t granule, uint64_t offset, uint64_t size) {
  struct rsi_registers r = {{RSI_FID_ATTESTATION_TOKEN_CONTINUE, granule, offset, size}};
  rsi_smc(&r);
  return r.x[1];
}

/* An operation begins with challenge 1..64; refused calls must not harm it. */
static void check_refusals(uint64_t page) {
  check(ROW_TOKEN_NO_INIT, next(page, 0, PAGE_SIZE));
  check(ROW_TOKEN_INIT, init(1) != 0 ? RSI_SUCCESS : RSI_ERROR_UNKNOWN);
  check(ROW_TOKEN_ALIGN, next(page + 0x800, 0, 16));
  check(ROW_TOKEN_UNPROTECTED, next(page | realm.shared, 0, 16));
  check(ROW_TOKEN_BEYOND, next(beyond_ipa(), 0, 16));
  check(ROW_TOKEN_EMPTY, next(empty_page(), 0, 16));
  check(ROW_TOKEN_OFFSET, next(page, PAGE_SIZE, 0));
  check(ROW_TOKEN_SIZE, next(page, 1, PAGE_SIZE));
  check(ROW_TOKEN_WRAP, next(page, 1, UINT64_MAX));
  check(ROW_TOKEN_REFUSED_X1, next_x1(page + 0x800, 0, 16));
  check(ROW_TOKEN_SIZE_0, next(page, 0, 0));
  check(ROW_TOKEN_SIZE_0_X1, next_x1(page, 0, 0));
}

/* Continues the operation of this CPU in pieces at changing offsets of `page`. */
static uint64_t pieces(uint64_t page, uint64_t *total, bool *canary) {
  uint64_t status, written, offset = 0;
  *total = 0;
  *canary = true;
  do {
    uint8_t *bytes = (uint8_t *)page;
    memset(bytes, CANARY, PAGE_SIZE);
    status = rsi_attestation_token_continue(page, offset, PIECE, &written);
    for (uint64_t i = 0; i < PAGE_SIZE; i++)
      if ((i < offset || i >= offset + written) && bytes[i] != CANARY) *canary = false;
    *total += written;
    offset = (offset + PIECE) % (PAGE_SIZE - PIECE);
  } while (status == RSI_INCOMPLETE && *total < TOKEN_PAGES * PAGE_SIZE);
  return status;
}

/* The payload of a COSE_Sign1 with tag; `token` is the content of the collection's byte string. */
static bool sign1_payload(struct cbor token, struct cbor *payload) {
  struct cbor protected_header, signature;
  uint64_t entries;
  if (!cbor_exactly(&token, CBOR_TAG, TAG_COSE_SIGN1) || !cbor_exactly(&token, CBOR_ARRAY, 4)) return false;
  if (!cbor_string(&token, CBOR_BYTES, &protected_header)) return false;
  struct cbor unprotected = token;
  if (!cbor_is(&unprotected, CBOR_MAP, &entries) || !cbor_skip(&token)) return false;
  if (!cbor_string(&token, CBOR_BYTES, payload) || !cbor_string(&token, CBOR_BYTES, &signature)) return false;
  return cbor_size(&token) == 0 && cbor_size(&signature) >= 64 && cbor_is(&protected_header, CBOR_MAP, &entries);
}

/* The claim is exactly these bytes. */
static bool claim_is(struct cbor claims, uint64_t label, enum cbor_major major, const void *bytes, uint64_t size) {
  struct cbor value, content;
  return cbor_find(claims, label, &value) && cbor_string(&value, major, &content) && cbor_size(&content) == size &&
         memcmp(content.at, bytes, size) == 0;
}

static bool rems_match(struct cbor claims, uint32_t digest) {
  struct cbor rems, content;
  uint8_t value[RSI_MEASUREMENT_SIZE];
  if (!cbor_find(claims, REMS, &rems) || !cbor_exactly(&rems, CBOR_ARRAY, RSI_MEASUREMENT_REMS)) return false;
  for (uint32_t index = 1; index <= RSI_MEASUREMENT_REMS; index++) {
    if (rsi_measurement_read(index, value) != RSI_SUCCESS || !cbor_string(&rems, CBOR_BYTES, &content)) return false;
    if (cbor_size(&content) != digest || memcmp(content.at, value, digest) != 0) return false;
  }
  return true;
}

static bool text_is(const struct cbor *text, const char *expected) {
  return cbor_size(text) == strlen(expected) && memcmp(text->at, expected, strlen(expected)) == 0;
}

/* The realm's public key (a COSE_Key), and that the platform token's challenge is its hash. */
static void check_key(struct cbor platform, struct cbor claims) {
  struct cbor value, key = {0, 0}, algorithm = {0, 0}, inside;
  uint64_t entries;
  bool found = cbor_find(claims, PUBLIC_KEY, &value) && cbor_string(&value, CBOR_BYTES, &key) &&
               cbor_find(claims, KEY_HASH, &value) && cbor_string(&value, CBOR_TEXT, &algorithm);
  inside = key;
  check(ROW_TOKEN_RAK, found && cbor_is(&inside, CBOR_MAP, &entries) && cbor_find(key, 1, &value));
  uint8_t digest[SHA512_SIZE];
  uint32_t size = text_is(&algorithm, "sha-512") ? SHA512_SIZE : text_is(&algorithm, "sha-256") ? SHA256_SIZE : 0;
  if (size != 0) (size == SHA512_SIZE ? sha512 : sha256)(key.at, cbor_size(&key), digest);
  check(ROW_TOKEN_BINDING, found && size != 0 && claim_is(platform, CHALLENGE, CBOR_BYTES, digest, size));
}

static void check_content(const uint8_t *token, uint64_t size) {
  struct cbor collection = {token, token + size}, tokens, value, platform = {0, 0}, claims = {0, 0}, content;
  bool tagged = cbor_exactly(&collection, CBOR_TAG, TAG_COLLECTION);
  tokens = collection;
  check(ROW_TOKEN_COLLECTION, tagged && cbor_skip(&collection) && cbor_size(&collection) == 0 &&
                                  cbor_find(tokens, PLATFORM_TOKEN, &value) && cbor_find(tokens, REALM_TOKEN, &value));
  check(ROW_TOKEN_PLATFORM_COSE, cbor_find(tokens, PLATFORM_TOKEN, &value) &&
                                     cbor_string(&value, CBOR_BYTES, &content) && sign1_payload(content, &platform));
  check(ROW_TOKEN_REALM_COSE, cbor_find(tokens, REALM_TOKEN, &value) && cbor_string(&value, CBOR_BYTES, &content) &&
                                  sign1_payload(content, &claims));

  bool wide = realm.hash_algorithm == RSI_HASH_SHA_512;
  uint32_t digest = wide ? SHA512_SIZE : SHA256_SIZE;
  uint8_t challenge[RSI_CHALLENGE_SIZE], rim[RSI_MEASUREMENT_SIZE] = {0};
  make_challenge(challenge, 2);
  rsi_measurement_read(RSI_MEASUREMENT_RIM, rim);
  check(ROW_TOKEN_CHALLENGE, claim_is(claims, CHALLENGE, CBOR_BYTES, challenge, sizeof challenge));
  check(ROW_TOKEN_RIM, claim_is(claims, RIM, CBOR_BYTES, rim, digest));
  check(ROW_TOKEN_REMS, rems_match(claims, digest));
  check(ROW_TOKEN_RPV, claim_is(claims, RPV, CBOR_BYTES, realm.rpv, sizeof realm.rpv));
  check(ROW_TOKEN_HASH, claim_is(claims, HASH_ALGORITHM, CBOR_TEXT, wide ? "sha-512" : "sha-256", 7));
  check_key(platform, claims);
}

void check_token(void) {
  uint64_t page = memory_pages(1), size = 0, size_max, total;
  uint8_t *token = (uint8_t *)memory_pages(TOKEN_PAGES), challenge[RSI_CHALLENGE_SIZE];
  bool canary;
  memset((void *)page, 0, PAGE_SIZE);
  check_refusals(page);

  /* rsi_attestation_token begins anew: its challenge wins over that of the operation under way. */
  make_challenge(challenge, 2);
  check(ROW_TOKEN_WHOLE, rsi_attestation_token(challenge, token, TOKEN_PAGES * PAGE_SIZE, &size));
  size_max = init(3);
  check(ROW_TOKEN_BOUND, size > 0 && size <= size_max);
  check(ROW_TOKEN_PIECES, pieces(page, &total, &canary));
  check(ROW_TOKEN_PIECES_SIZE, total == size);
  check(ROW_TOKEN_PIECES_CANARY, canary);
  check(ROW_TOKEN_AFTER, next(page, 0, PAGE_SIZE));
  init(4);
  uint64_t fresh = untouched_page(), status = next(fresh, 0, PAGE_SIZE);
  for (uint32_t i = 1; status == RSI_INCOMPLETE && i < TOKEN_PAGES; i++) status = next(fresh, 0, PAGE_SIZE);
  check(ROW_TOKEN_UNTOUCHED, status);
  check_content(token, size);
}
