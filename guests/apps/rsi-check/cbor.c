/* See cbor.h. */
#include "cbor.h"

enum { DEPTH_MAX = 16 };

bool cbor_head(struct cbor *in, enum cbor_major *major, uint64_t *value) {
  if (in->at == in->end) return false;
  uint8_t first = *in->at++, info = first & 31;
  *major = (enum cbor_major)(first >> 5);
  *value = info;
  if (info < 24) return true;
  if (info > 27) return false;
  uint64_t size = 1ull << (info - 24);
  if (cbor_size(in) < size) return false;
  *value = 0;
  while (size-- > 0) *value = *value << 8 | *in->at++;
  return true;
}

bool cbor_is(struct cbor *in, enum cbor_major major, uint64_t *value) {
  enum cbor_major found;
  return cbor_head(in, &found, value) && found == major;
}

bool cbor_exactly(struct cbor *in, enum cbor_major major, uint64_t value) {
  uint64_t found;
  return cbor_is(in, major, &found) && found == value;
}

bool cbor_string(struct cbor *in, enum cbor_major major, struct cbor *content) {
  uint64_t size;
  if (!cbor_is(in, major, &size) || size > cbor_size(in)) return false;
  content->at = in->at;
  content->end = in->at += size;
  return true;
}

static bool skip_nested(struct cbor *in, uint32_t depth) {
  enum cbor_major major;
  uint64_t value;
  if (depth == DEPTH_MAX || !cbor_head(in, &major, &value)) return false;
  if (major == CBOR_BYTES || major == CBOR_TEXT) {
    if (value > cbor_size(in)) return false;
    in->at += value;
    return true;
  }
  /* An item has one byte at least. */
  if (value > cbor_size(in) && (major == CBOR_ARRAY || major == CBOR_MAP)) return false;
  uint64_t items = major == CBOR_ARRAY ? value : major == CBOR_MAP ? 2 * value : major == CBOR_TAG ? 1 : 0;
  while (items-- > 0)
    if (!skip_nested(in, depth + 1)) return false;
  return true;
}

bool cbor_skip(struct cbor *in) { return skip_nested(in, 0); }

bool cbor_find(struct cbor map, uint64_t key, struct cbor *value) {
  uint64_t entries;
  if (!cbor_is(&map, CBOR_MAP, &entries)) return false;
  while (entries-- > 0) {
    struct cbor at_key = map;
    bool here = cbor_exactly(&at_key, CBOR_UINT, key);
    if (!cbor_skip(&map)) return false;
    struct cbor start = map;
    if (!cbor_skip(&map)) return false;
    if (here) {
      *value = start;
      value->end = map.at;
      return true;
    }
  }
  return false;
}
