/*
 * hostile: a guest that misbehaves, or works hard, as the bootargs say: case=NAME and the case's own numbers. Unknown
 * or no case: prints the list, exit status 2.
 */
#include "cases.h"
#include "lib/console.h"
#include "lib/platform.h"
#include "lib/start.h"
#include "lib/string.h"

static const struct {
  const char *name;
  int (*run)(void);
  const char *what;
} cases[] = {
    {"loop", case_loop, "loops for ever"},
    {"wfi", case_wfi, "waits for an interrupt that nobody can send"},
    {"undefined", case_undefined, "executes an undefined instruction; exit status 120"},
    {"jump", case_jump, "jumps into nothing; exit status 120"},
    {"vectors", case_vectors, "faults with its vectors in unmapped memory"},
    {"stack", case_stack, "faults inside its fault handler"},
    {"vanish", case_vanish, "realm: makes its own code RIPAS EMPTY"},
    {"scribble", case_scribble, "overwrites all of its RAM; seed="},
    {"memory", case_memory, "reads and writes all over the IPA space; seed= n="},
    {"touch", case_touch, "one access; at= op=0 read, 1 write, 2 execute"},
    {"execute", case_execute, "realm: executes from shared memory"},
    {"destroyed", case_destroyed, "realm: uses a page while the Host takes it away; n="},
    {"devices", case_devices, "writes garbage to every device register; seed= n= pairs=1"},
    {"sysregs", case_sysregs, "reads every system register, writes garbage to most; seed="},
    {"fuzz", case_fuzz, "random SMCs and HVCs; seed= calls="},
    {"exits", case_exits, "host calls; n= fid="},
    {"mmio", case_mmio, "reads of a device register; n="},
    {"ticks", case_ticks, "timer interrupts; n= us="},
    {"pages", case_pages, "first touch of pages of RAM; n="},
    {"ripas", case_ripas, "realm: RIPAS changes there and back; n= pages="},
    {"mix", case_mix, "integer work that checks its results; n="},
};
enum { CASES = sizeof cases / sizeof cases[0] };

int main(void) {
  char name[32] = "";
  bootarg("case", name, sizeof name);
  for (uint32_t i = 0; i < CASES; i++) {
    if (strcmp(cases[i].name, name) != 0) continue;
    printf("hostile: %s\n", name);
    int status = cases[i].run();
    printf("hostile: %s ends with %d\n", name, status);
    return status;
  }
  printf("hostile: no case \"%s\"; bootargs case= takes\n", name);
  for (uint32_t i = 0; i < CASES; i++) printf("  %-10s %s\n", cases[i].name, cases[i].what);
  return STATUS_USAGE;
}
