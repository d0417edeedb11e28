/*
 * The expectations lie in the image as plain data that a test can find and change: a header of 32 bytes (the magic
 * text "RSI-CHECK TABLE", padded with zeros to 16 bytes; u64 row count; u64 row size), then rows of 64 bytes: the
 * name, padded with zeros to 56 bytes, and the expected value, u64 little-endian. Its place is what symbol
 * `expectations` says, or the magic.
 */
#include "table.h"

#include "lib/console.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/realm.h"
#include "lib/smp.h"

struct row {
  char name[56];
  uint64_t expected;
};

struct table {
  char magic[16];
  uint64_t count, row_size;
  struct row rows[ROW_COUNT];
};
_Static_assert(sizeof(struct row) == 64, "row");

/* volatile: the compiler must not fold a value that a test may have changed. */
extern const volatile struct table expectations;
const volatile struct table expectations __attribute__((section(".expect"), used)) = {
    "RSI-CHECK TABLE",
    ROW_COUNT,
    sizeof(struct row),
    {
#define ROW_INIT(id, name, expected) {name, (uint64_t)(expected)},
        ROWS(ROW_INIT)
#undef ROW_INIT
    },
};

enum outcome { NOT_TRIED, OK, DIFFERENT, SKIPPED };
static uint8_t outcomes[ROW_COUNT];

/* Small and negative numbers in decimal, others in hexadecimal. */
static void value_text(char *text, uint32_t size, uint64_t value) {
  int64_t number = (int64_t)value;
  number > -4096 && number < 4096 ? snprintf(text, size, "%ld", number) : snprintf(text, size, "0x%lx", value);
}

static const char *row_name(enum row_id row) { return (const char *)expectations.rows[row].name; }

void check(enum row_id row, uint64_t got) {
  uint64_t expected = expectations.rows[row].expected;
  char expected_text[24], got_text[24];
  value_text(expected_text, sizeof expected_text, expected);
  value_text(got_text, sizeof got_text, got);
  bool first = outcomes[row] == NOT_TRIED;
  outcomes[row] = expected == got && first ? OK : DIFFERENT;
  printf("%-54s %8s %8s %s\n", row_name(row), expected_text, got_text,
         !first ? "CHECKED TWICE" : expected == got ? "ok" : "DIFFERENT");
}

void skip(enum row_id row, const char *reason) {
  outcomes[row] = SKIPPED;
  printf("%-54s %8s %8s skipped: %s\n", row_name(row), "", "", reason);
}

uint32_t table_end(void) {
  uint32_t counts[4] = {0};
  for (uint32_t row = 0; row < ROW_COUNT; row++) {
    counts[outcomes[row]]++;
    if (outcomes[row] == NOT_TRIED) printf("%-54s was not tried\n", row_name((enum row_id)row));
  }
  printf("rsi-check: %u ok, %u different, %u skipped, %u not tried\n", counts[OK], counts[DIFFERENT], counts[SKIPPED],
         counts[NOT_TRIED]);
  return counts[DIFFERENT] + counts[NOT_TRIED];
}

uint64_t fault_value(bool finished) {
  const struct fault *fault = &cpu_current()->fault;
  return finished ? NO_FAULT : FAULT(fault_class(fault), fault_status(fault));
}

uint64_t empty_page(void) {
  uint64_t page = memory_pages(1);
  uint64_t status = rsi_ipa_state_set_range(page, page + PAGE_SIZE, RSI_EMPTY, RSI_NO_CHANGE_DESTROYED);
  if (status == RSI_SUCCESS) return page;
  printf("no EMPTY page: RSI_IPA_STATE_SET: %s\n", rsi_status_name(status));
  return 0;
}

uint64_t untouched_page(void) { return memory_pages(1); }

uint64_t beyond_ipa(void) { return 1ull << realm.ipa_width; }
