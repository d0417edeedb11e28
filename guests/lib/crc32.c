/* See crc32.h. Uses the CRC32 instructions where ID_AA64ISAR0_EL1 says that they exist. */
#include "crc32.h"

#include <stdbool.h>

#include "arch.h"

static uint32_t by_instruction(uint32_t crc, const uint8_t *data, uint64_t size) {
  for (; size > 0 && ((uint64_t)data & 7) != 0; data++, size--)
    __asm__(".arch_extension crc\n\tcrc32b %w0, %w0, %w1" : "+r"(crc) : "r"(*data));
  for (; size >= 8; data += 8, size -= 8)
    __asm__(".arch_extension crc\n\tcrc32x %w0, %w0, %1" : "+r"(crc) : "r"(*(const uint64_t *)(const void *)data));
  for (; size > 0; data++, size--)
    __asm__(".arch_extension crc\n\tcrc32b %w0, %w0, %w1" : "+r"(crc) : "r"(*data));
  return crc;
}

static uint32_t by_bits(uint32_t crc, const uint8_t *data, uint64_t size) {
  for (; size > 0; data++, size--) {
    crc ^= *data;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
  }
  return crc;
}

uint32_t crc32(const void *data, uint64_t size) {
  bool has_crc32 = (read_sysreg(id_aa64isar0_el1) >> 16 & 0xf) != 0;
  return ~(has_crc32 ? by_instruction(~0u, data, size) : by_bits(~0u, data, size));
}
