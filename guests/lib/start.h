/* Life of a guest. */
#ifndef GUEST_START_H
#define GUEST_START_H

#include <stdint.h>

/* Exit statuses (0 to 123) besides those of an application. */
enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_PANIC = 120 };

/* The application. Its result is the exit status. */
int main(void);

/* Ends the guest: exit status to the VMM, or PSCI SYSTEM_OFF where the guest channel is refused. */
__attribute__((noreturn)) void guest_exit(uint64_t status);

/* Where the image runs. */
uint64_t image_base(void);

#endif
