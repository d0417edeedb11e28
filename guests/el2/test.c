/*
 * See test.h. Before each test the SP805 watchdog is started; when a test hangs, it resets the machine, and the program begins
 * anew. Words in memory that survives tell it where it was: the test that was under way counts as an error, or as passed if it
 * had said that it would reset the machine, and the run goes on with the next.
 */
#include "test.h"

#include <stdarg.h>

#include "../lib/arch.h"
#include "../lib/string.h"
#include "console.h"
#include "devices.h"
#include "gic.h"
#include "mmu.h"
#include "pe.h"

/* Words at NVM_BASE. */
struct nvm {
  uint32_t magic; /* NVM_MAGIC: a run is under way */
  uint32_t current;
  uint32_t progress;
  uint32_t passed, failed, skipped, errors;
  uint32_t word;
};
#define NVM ((volatile struct nvm *)NVM_BASE)
#define NVM_MAGIC 0x454c3221u
enum progress { BETWEEN = 0, RUNNING = 1, RESETTING = 2 };

/* SP805 (DDI 0270); its clock has 24 to 36 MHz. */
enum { WDOG_LOAD = 0x00, WDOG_CONTROL = 0x08, WDOG_INTCLR = 0x0c, WDOG_LOCK = 0xc00 };
enum { WDOG_UNLOCK = 0x1acce551, WDOG_ENABLE = 3, WDOG_TICKS = 48000000 };

static const struct test *const lists[] = {mmu_tests, exception_tests, guest_tests, gic_tests, timer_tests, watchdog_tests,
                                           pe_tests, gpf_tests, rmi_tests, rec_tests, feature_tests, secure_tests,
                                           ending_tests, bench_tests};

static uint32_t error_code, checks;
static bool skipped;
static const char *options;

void message(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("\t");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

void skip(const char *reason) {
  message("%s", reason);
  skipped = true;
}

bool check(const char *what, bool holds) {
  checks++;
  if (holds) return true;
  message("%s", what);
  if (error_code == 0) error_code = checks;
  return false;
}

bool check_equal(const char *what, uint64_t actual, uint64_t expected) {
  if (check(what, actual == expected)) return true;
  message("  0x%lx instead of 0x%lx", actual, expected);
  return false;
}

bool check_fault(const char *what, bool survived, uint32_t ec, uint32_t status) {
  if (!check(what, !survived)) {
    message("  no exception");
    return false;
  }
  uint64_t esr = pe_current()->fault.esr;
  if (esr_class(esr) == ec && esr_status(esr) == status) return true;
  check(what, false);
  message("  ESR 0x%lx, expected class 0x%x and status 0x%x", esr, ec, status);
  return false;
}

void expect_reset(void) { NVM->progress = RESETTING; }
uint32_t test_word(void) { return NVM->word; }
void set_test_word(uint32_t value) {
  NVM->word = value;
  dcache_clean_invalidate((const void *)NVM_BASE, (const void *)(NVM_BASE + sizeof(struct nvm)));
}

static void watchdog(bool on) {
  mmio_write32(SP805_BASE + WDOG_LOCK, WDOG_UNLOCK);
  mmio_write32(SP805_BASE + WDOG_LOAD, WDOG_TICKS);
  mmio_write32(SP805_BASE + WDOG_INTCLR, 1);
  mmio_write32(SP805_BASE + WDOG_CONTROL, on ? WDOG_ENABLE : 0);
  mmio_write32(SP805_BASE + WDOG_LOCK, 0);
}

/* The value of `key=` in the options, or its default. Values end at a space. */
static const char *option(const char *key, const char *otherwise) {
  size_t length = strlen(key);
  for (const char *at = options; *at != 0; at++)
    if ((at == options || at[-1] == ' ') && strncmp(at, key, length) == 0 && at[length] == '=') return at + length + 1;
  return otherwise;
}

uint64_t option_number(const char *key, uint64_t otherwise) {
  const char *value = option(key, "");
  uint64_t number = 0;
  if (*value < '0' || *value > '9') return otherwise;
  for (; *value >= '0' && *value <= '9'; value++) number = number * 10 + (uint64_t)(*value - '0');
  return number;
}

static bool begins_with(const char *text, const char *value) {
  for (; *value != 0 && *value != ' ' && *value != '\n'; value++, text++)
    if (*text != *value) return false;
  return true;
}

/* Tests of the suite "ending" end the run in ways of their own, those of "bench" are long: they run only when they are asked for. */
static bool is_wanted(const struct test *test) {
  bool special = strcmp(test->suite, "ending") == 0 || strcmp(test->suite, "bench") == 0;
  if (begins_with(test->name, option("also", "-"))) return true;
  return !special && begins_with(test->name, option("only", ""));
}

static void report(volatile uint32_t *count, const char *result, const char *code_name, uint32_t code) {
  *count += 1;
  if (code_name == 0)
    printf("Result => %s\n", result);
  else
    printf("Result => %s (%s code=%u)\n", result, code_name, code);
  printf("\n***********************************\n");
}

static void run_test(const struct test *test) {
  error_code = checks = 0;
  skipped = false;
  gic_forget();
  spaces_reset();
  printf("\nSuite=%s : %s\n", test->suite, test->name);
  watchdog(true);
  test->run();
  watchdog(false);
  NVM->progress = BETWEEN;
  if (error_code != 0)
    report(&NVM->failed, "Failed", "Error", error_code);
  else if (skipped)
    report(&NVM->skipped, "Skipped", "Skip", 4);
  else
    report(&NVM->passed, "Passed", 0, 0);
}

static void begin(void) {
  if (NVM->magic == NVM_MAGIC) {
    watchdog(false);
    if (NVM->progress == RESETTING) report(&NVM->passed, "Passed", 0, 0);
    if (NVM->progress == RUNNING) report(&NVM->errors, "Error", "Error", 1);
    NVM->current += 1;
    return;
  }
  printf("\n********* realmbox EL2 ACS form 1 **********\n");
  NVM->current = NVM->passed = NVM->failed = NVM->skipped = NVM->errors = 0;
  NVM->magic = NVM_MAGIC;
}

void run_tests(const char *config) {
  options = config;
  begin();
  uint32_t number = 0;
  for (uint32_t list = 0; list < sizeof lists / sizeof lists[0]; list++)
    for (const struct test *test = lists[list]; test->run != 0; test++, number++) {
      if (number < NVM->current || !is_wanted(test)) continue;
      NVM->current = number;
      NVM->word = 0xffffffff;
      NVM->progress = RUNNING;
      run_test(test);
    }
  uint32_t total = NVM->passed + NVM->failed + NVM->skipped + NVM->errors;
  NVM->magic = 0xffffffff;
  printf("\n\nREGRESSION REPORT: \n==================\n");
  printf("   TOTAL TESTS     : %u\n", total);
  printf("   TOTAL PASSED    : %u\n", NVM->passed);
  printf("   TOTAL FAILED    : %u\n", NVM->failed);
  printf("   TOTAL SKIPPED   : %u\n", NVM->skipped);
  printf("   TOTAL SIM ERROR : %u\n\n", NVM->errors);
  printf("******* END OF ACS *******\n");
  for (;;) wfi();
}
