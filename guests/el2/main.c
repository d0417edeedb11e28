/*
 * A test program for Non-secure EL2 of Arm's FVP Base platform: what hypervisors and test suites touch there. It prints on
 * UART2 in the form of Arm's compliance suites. HW_CONFIG may be a text instead of a device tree, which then chooses tests
 * (test.h).
 */
#include "../lib/string.h"
#include "console.h"
#include "gic.h"
#include "mmu.h"
#include "pe.h"
#include "test.h"

#define CONFIG_SIZE 256

void boot_primary(const char *hw_config);
void boot_primary(const char *hw_config) {
  static char config[CONFIG_SIZE];
  if (hw_config != 0 && strncmp(hw_config, "el2 ", 4) == 0)
    for (uint32_t i = 4; i < CONFIG_SIZE && hw_config[i] != 0 && hw_config[i] != '\n'; i++) config[i - 4] = hw_config[i];
  console_init();
  pe_init();
  mmu_boot();
  gic_init();
  run_tests(config);
}
