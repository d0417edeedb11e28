/* As much of CBOR (RFC 8949) as looking at a token needs: definite lengths only. The input is not trusted. */
#ifndef RSI_CHECK_CBOR_H
#define RSI_CHECK_CBOR_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes from `at` up to `end`. */
struct cbor {
  const uint8_t *at, *end;
};

enum cbor_major { CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_TAG, CBOR_SIMPLE };

/* The next item's head; false at the end, for indefinite lengths and reserved values. */
bool cbor_head(struct cbor *in, enum cbor_major *major, uint64_t *value);
/* A head of this major type. */
bool cbor_is(struct cbor *in, enum cbor_major major, uint64_t *value);
/* A head of this major type and value. */
bool cbor_exactly(struct cbor *in, enum cbor_major major, uint64_t value);
/* A byte or text string; its content. */
bool cbor_string(struct cbor *in, enum cbor_major major, struct cbor *content);
/* Leaps over one item with all that it contains. */
bool cbor_skip(struct cbor *in);
/* In a map (its head included) with unsigned keys: the value of `key`. */
bool cbor_find(struct cbor map, uint64_t key, struct cbor *value);

static inline uint64_t cbor_size(const struct cbor *in) { return (uint64_t)(in->end - in->at); }

#endif
