/* The table of expectations and what came out. */
#ifndef RSI_CHECK_TABLE_H
#define RSI_CHECK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/exception.h"
#include "lib/psci.h"
#include "librsi/rsi.h"
#include "rows.h"

/* Compares with the row's expectation and prints a line. Each row once. */
void check(enum row_id row, uint64_t got);
/* The row cannot be tried here. */
void skip(enum row_id row, const char *reason);
/* Prints the totals, and each row that was neither checked nor skipped: a failure too. Number of failures. */
uint32_t table_end(void);

/* The fault of the last probe as a row's value. */
uint64_t fault_value(bool finished);

/* A page whose RIPAS was just made EMPTY; 0 after a message when the RMM or the Host refuses. */
uint64_t empty_page(void);
/* A page of RAM that nobody has touched: the Host has to supply it. */
uint64_t untouched_page(void);
/* First IPA above the realm's IPA space. */
uint64_t beyond_ipa(void);

/* The groups of rows, in the table's order. */
void check_dispatch(void);
void check_version_and_features(void);
void check_config(void);
void check_measurements(void);
void check_host_call(void);
void check_ipa_state_get(void);
void check_ipa_state_set(void);
void check_token(void);
void check_psci(void);

#endif
