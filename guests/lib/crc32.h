/* CRC-32 as in gzip and zlib (polynomial 0xEDB88320, reflected), so that a user can compare with ordinary tools. */
#ifndef GUEST_CRC32_H
#define GUEST_CRC32_H

#include <stdint.h>

uint32_t crc32(const void *data, uint64_t size);

#endif
