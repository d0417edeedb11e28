/*
 * Integer work as CoreMark has it, in code of our own: a linked list that is searched, reversed and merge-sorted, matrices of
 * 16-bit numbers, a state machine that reads numbers in text, and a CRC-16 over all results.
 */
#include "classes.h"
#include "lib/string.h"

enum { NODES = 256, SIZE = 16, TEXT = 512 };

struct node {
  struct node *next;
  int16_t key, order;
};
static struct node nodes[NODES];
static struct node *head;

static int16_t left[SIZE][SIZE], right[SIZE][SIZE];
static int32_t product[SIZE][SIZE];
static char text[TEXT];

/* CRC-16 with polynomial 0xA001 (reflected), bit by bit. */
static uint16_t crc16(uint16_t crc, uint32_t value, uint32_t bits) {
  for (; bits > 0; bits--, value >>= 1) {
    uint32_t carry = (crc ^ value) & 1;
    crc >>= 1;
    if (carry) crc ^= 0xa001;
  }
  return crc;
}

/* --- list --- */

static struct node *find(struct node *list, int16_t key) {
  while (list != 0 && list->key != key) list = list->next;
  return list;
}

static struct node *reverse(struct node *list) {
  struct node *result = 0;
  while (list != 0) {
    struct node *next = list->next;
    list->next = result;
    result = list;
    list = next;
  }
  return result;
}

typedef int compare(const struct node *a, const struct node *b);
static int by_key(const struct node *a, const struct node *b) { return a->key - b->key; }
static int by_order(const struct node *a, const struct node *b) { return a->order - b->order; }

/* Merge sort from the bottom up: runs of 1, 2, 4, … nodes. The comparison is called through a pointer. */
static struct node *sort(struct node *list, compare *order) {
  for (uint32_t width = 1;; width *= 2) {
    struct node *rest = list, *tail = 0;
    uint32_t merges = 0;
    list = 0;
    while (rest != 0) {
      struct node *a = rest, *b = rest;
      uint32_t in_a = 0, in_b = width;
      merges++;
      while (in_a < width && b != 0) {
        in_a++;
        b = b->next;
      }
      while (in_a > 0 || (in_b > 0 && b != 0)) {
        struct node *first;
        if (in_a > 0 && (in_b == 0 || b == 0 || order(a, b) <= 0)) {
          first = a;
          a = a->next;
          in_a--;
        } else {
          first = b;
          b = b->next;
          in_b--;
        }
        if (tail != 0) tail->next = first;
        else list = first;
        tail = first;
      }
      rest = b;
    }
    if (tail != 0) tail->next = 0;
    if (merges <= 1) return list;
  }
}

static uint16_t list_round(uint16_t crc, uint64_t round) {
  static compare *const volatile orders[] = {by_key, by_order}; /* volatile: the calls stay indirect */
  uint32_t found = 0;
  for (int16_t i = 0; i < 32; i++) {
    struct node *node = find(head, (int16_t)((round * 7 + (uint64_t)i * 37) & 0x1ff));
    if (node != 0) found += (uint32_t)node->order + 1;
    if ((i & 7) == 0) head = reverse(head);
  }
  crc = crc16(crc, found, 16);
  for (uint32_t i = 0; i < 2; i++) {
    head = sort(head, orders[i]);
    crc = crc16(crc, (uint16_t)head->key, 16);
  }
  for (struct node *node = head; node != 0; node = node->next) crc = crc16(crc, (uint16_t)node->key, 8);
  return crc;
}

/* --- matrices --- */

static uint16_t matrix_round(uint16_t crc, int16_t value) {
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) left[i][j] = (int16_t)(left[i][j] + value);
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) {
      int32_t sum = 0;
      for (uint32_t k = 0; k < SIZE; k++) sum += left[i][k] * right[k][j];
      product[i][j] = sum;
    }
  int32_t sum = 0, last = 0;
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) {
      int32_t field = (product[i][j] >> 5) & 0x7f;
      if (field > last) sum += 10;
      else sum += field > 64 ? 1 : 0;
      last = field;
    }
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) left[i][j] = (int16_t)(left[i][j] - value);
  return crc16(crc, (uint32_t)sum, 16);
}

/* --- state machine --- */

enum state { START, SIGN, DIGITS, POINT, EXPONENT, SCALE, WRONG, STATES };

static enum state step(enum state state, char c) {
  int digit = c >= '0' && c <= '9';
  switch (state) {
    case START:
      if (digit) return DIGITS;
      if (c == '+' || c == '-') return SIGN;
      return c == '.' ? POINT : WRONG;
    case SIGN:
      if (digit) return DIGITS;
      return c == '.' ? POINT : WRONG;
    case DIGITS:
      if (digit) return DIGITS;
      return c == '.' ? POINT : WRONG;
    case POINT:
      if (digit) return POINT;
      return c == 'e' || c == 'E' ? EXPONENT : WRONG;
    case EXPONENT:
      return c == '+' || c == '-' || digit ? SCALE : WRONG;
    case SCALE:
      return digit ? SCALE : WRONG;
    default:
      return WRONG;
  }
}

static uint16_t text_round(uint16_t crc, uint64_t round) {
  uint32_t ends[STATES] = {0}, visits[STATES] = {0};
  text[round % (TEXT - 1)] ^= 1; /* other text each round, and back later */
  enum state state = START;
  for (uint32_t i = 0; i < TEXT; i++) {
    if (text[i] == ',') {
      ends[state]++;
      state = START;
    } else {
      state = step(state, text[i]);
      visits[state]++;
    }
  }
  for (uint32_t i = 0; i < STATES; i++) crc = crc16(crc, ends[i] << 8 ^ visits[i], 16);
  return crc;
}

void prepare_integer(void) {
  static const char *const words[] = {"5012", "-874", "+122", "35.54400", "-.1234500", "5.500e+3", "-.123e-2", "T0.3e-1F", "1e4"};
  uint64_t random = 1;
  head = 0;
  for (uint32_t i = 0; i < NODES; i++) {
    nodes[i] = (struct node){head, (int16_t)(next_random(&random) >> 55), (int16_t)i};
    head = &nodes[i];
  }
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) {
      left[i][j] = (int16_t)(next_random(&random) >> 52);
      right[i][j] = (int16_t)(next_random(&random) >> 52);
    }
  memset(text, ',', sizeof text);
  for (uint32_t at = 0;;) {
    const char *word = words[(next_random(&random) >> 40) % (sizeof words / sizeof words[0])];
    uint32_t length = (uint32_t)strlen(word);
    if (at + length + 1 >= TEXT) break;
    memcpy(text + at, word, length);
    at += length + 1;
  }
}

uint64_t run_integer(uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) {
    uint16_t crc = list_round((uint16_t)round, round);
    crc = matrix_round(crc, (int16_t)(crc & 0xff));
    crc = text_round(crc, round);
    sum = mix(sum, crc);
  }
  return sum;
}
