/*
 * The frame of the tests: what one is, how it tells its result, and how a run survives a test that hangs. Results are printed
 * in the form of Arm's compliance suites, so that what reads theirs reads ours.
 */
#ifndef EL2_TEST_H
#define EL2_TEST_H

#include <stdbool.h>
#include <stdint.h>

struct test {
  const char *suite, *name;
  void (*run)(void);
};

/* The lists, one for each source file with tests; a row without `run` is the end. */
extern const struct test mmu_tests[], exception_tests[], guest_tests[], gic_tests[], timer_tests[], watchdog_tests[],
    pe_tests[], gpf_tests[], rmi_tests[], rec_tests[], feature_tests[], secure_tests[], ending_tests[], bench_tests[];

/* A line of this test's output. */
__attribute__((format(printf, 1, 2))) void message(const char *format, ...);

/* The test needs what is not there, and ends. `if (!x) return skip("no x")`. */
void skip(const char *reason);

/* The first check that does not hold is the test's error code; all are told. False: it does not hold. */
bool check_equal(const char *what, uint64_t actual, uint64_t expected);
bool check(const char *what, bool holds);

/* A probe's outcome: an exception of this class and status, level included. */
bool check_fault(const char *what, bool survived, uint32_t ec, uint32_t status);

/* The decimal number `key=` of the options, or its default. */
uint64_t option_number(const char *key, uint64_t otherwise);

/* The machine will be reset by this test on purpose, which passes with that. */
void expect_reset(void);

/* A word of this test's own that survives the reset; 0xffffffff after power-on. */
uint32_t test_word(void);
void set_test_word(uint32_t value);

/*
 * Runs the tests that the options ask for, and waits for ever: "only=PREFIX" those whose names begin so, "also=PREFIX" those
 * of the suites "ending" and "bench", too. Never returns.
 */
void run_tests(const char *config);

#endif
