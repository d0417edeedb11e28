/* SHA-256 and SHA-512 (FIPS 180-4) of a message in memory. */
#ifndef GUEST_SHA2_H
#define GUEST_SHA2_H

#include <stdint.h>

enum { SHA256_SIZE = 32, SHA512_SIZE = 64 };

void sha256(const void *message, uint64_t size, uint8_t digest[SHA256_SIZE]);
void sha512(const void *message, uint64_t size, uint8_t digest[SHA512_SIZE]);

#endif
