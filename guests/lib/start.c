/*
 * From the assembly entry to main, and the end. The order matters: nothing prints before the UART's address is known.
 */
#include "start.h"

#include "arch.h"
#include "channel.h"
#include "console.h"
#include "memory.h"
#include "mmu.h"
#include "platform.h"
#include "psci.h"
#include "realm.h"
#include "smp.h"

extern const char __image_start[];

uint64_t image_base(void) { return (uint64_t)__image_start; }

void boot_primary(uint64_t dtb);
void boot_primary(uint64_t dtb) {
  mmu_boot(dtb);
  bool described = platform_init(dtb);
  realm_init();
  console_init();
  if (!described) panic("no usable device tree at 0x%lx", dtb);
  memory_init();
  smp_init();
  guest_exit((uint64_t)main());
}

void guest_exit(uint64_t status) {
  channel_exit(status);
  printf("exit status %lu\n", status); /* refused: the console is the only place left for it */
  psci_call(PSCI_SYSTEM_OFF, 0, 0, 0);
  for (;;) wfi();
}
