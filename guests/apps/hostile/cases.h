/*
 * The cases of `hostile`. Each returns the exit status: STATUS_OK when the machine kept to the architecture,
 * STATUS_FAILED after the reason when it did not. A case that cannot return says so.
 */
#ifndef HOSTILE_CASES_H
#define HOSTILE_CASES_H

#include <stdint.h>

/* endings.c: guests that never end, or end badly. None returns. */
int case_loop(void);
int case_wfi(void);
int case_undefined(void);
int case_jump(void);
int case_vectors(void);
int case_stack(void);
int case_vanish(void);
int case_scribble(void);

/* access.c: memory and registers that are not ours. */
int case_memory(void);
int case_touch(void);
int case_execute(void);
int case_destroyed(void);
int case_devices(void);
int case_sysregs(void);

/* fuzz.c */
int case_fuzz(void);

/* bench.c: work to be timed from outside. */
int case_exits(void);
int case_mmio(void);
int case_ticks(void);
int case_pages(void);
int case_ripas(void);
int case_mix(void);

#endif
