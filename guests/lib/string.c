/* memcpy and its family. Eight bytes at a time where both sides are aligned; code runs with the MMU off too, where an
 * unaligned access would be an alignment fault. */
#include "string.h"

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  uint8_t *d = to;
  const uint8_t *s = from;
  if ((((uintptr_t)d | (uintptr_t)s) & 7) == 0)
    for (; size >= 8; size -= 8, d += 8, s += 8) *(uint64_t *)(void *)d = *(const uint64_t *)(const void *)s;
  for (; size > 0; size--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t size) {
  uint8_t *d = to;
  const uint8_t *s = from;
  if (d <= s || d >= s + size) return memcpy(to, from, size);
  while (size-- > 0) d[size] = s[size];
  return to;
}

void *memset(void *to, int byte, size_t size) {
  uint8_t *d = to;
  uint64_t word = (uint8_t)byte * 0x0101010101010101u;
  for (; size > 0 && ((uintptr_t)d & 7) != 0; size--) *d++ = (uint8_t)byte;
  for (; size >= 8; size -= 8, d += 8) *(uint64_t *)(void *)d = word;
  for (; size > 0; size--) *d++ = (uint8_t)byte;
  return to;
}

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *x = a, *y = b;
  for (; size > 0; size--, x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t size) {
  for (; size > 0; size--, a++, b++) {
    if (*a != *b) return (uint8_t)*a - (uint8_t)*b;
    if (*a == 0) break;
  }
  return 0;
}
