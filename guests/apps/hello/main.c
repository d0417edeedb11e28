/*
 * hello: says where it runs and, in a realm, proves it with an attestation token for the VMM's challenge.
 * Bootargs: exit=N gives the exit status (0 to 123).
 */
#include <stdbool.h>

#include "lib/attestation.h"
#include "lib/channel.h"
#include "lib/console.h"
#include "lib/crc32.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/start.h"
#include "librsi/rsi.h"

static void print_measurements(void) {
  uint32_t size = realm.hash_algorithm == RSI_HASH_SHA_512 ? 64 : 32;
  for (uint32_t index = 0; index <= RSI_MEASUREMENT_REMS; index++) {
    uint8_t value[RSI_MEASUREMENT_SIZE];
    uint64_t status = rsi_measurement_read(index, value);
    if (index == RSI_MEASUREMENT_RIM)
      printf("RIM:            ");
    else
      printf("REM %u:          ", index);
    if (status == RSI_SUCCESS)
      print_hex(value, size);
    else
      printf("%s", rsi_status_name(status));
    printf("\n");
  }
}

static void print_realm(void) {
  printf("world:          realm\n");
  printf("RSI version:    %lu.%lu\n", realm.rsi_version >> 16, realm.rsi_version & 0xffff);
  printf("IPA width:      %lu bits, shared memory from 0x%lx\n", realm.ipa_width, realm.shared);
  printf("hash algorithm: %s\n", realm.hash_algorithm == RSI_HASH_SHA_256   ? "SHA-256"
                                 : realm.hash_algorithm == RSI_HASH_SHA_512 ? "SHA-512"
                                                                            : "unknown");
  printf("RPV:            ");
  print_hex(realm.rpv, sizeof realm.rpv);
  printf("\n");
  print_measurements();
}

static void print_machine(void) {
  printf("CPUs:           %u, this one has MPIDR 0x%lx\n", platform.cpu_count, cpus[0].mpidr);
  printf("RAM:            %lu MiB at 0x%lx\n", platform.ram_size >> 20, platform.ram_base);
  printf("image at:       0x%lx\n", image_base());
  printf("bootargs:       %s\n", platform.bootargs[0] != 0 ? platform.bootargs : "none");
  uint64_t size = platform.initrd_end - platform.initrd_start;
  uint64_t ram_end = platform.ram_base + platform.ram_size;
  if (platform.initrd_end == 0)
    printf("initrd:         none\n");
  else if (platform.initrd_start < platform.ram_base || platform.initrd_end > ram_end || size > platform.ram_size)
    printf("initrd:         outside RAM: 0x%lx to 0x%lx\n", platform.initrd_start, platform.initrd_end);
  else
    printf("initrd:         %lu bytes at 0x%lx, CRC-32 %08x\n", size, platform.initrd_start,
           crc32((const void *)platform.initrd_start, size));
}

int main(void) {
  printf("Hello from a realmbox guest\n");
  if (realm.present)
    print_realm();
  else
    printf("world:          normal VM\n");
  print_machine();
  bool reported = attestation_report(true);
  uint64_t status = bootarg_number("exit", STATUS_OK);
  if (status > 123) {
    printf("exit status %lu is not in 0 to 123\n", status);
    return STATUS_USAGE;
  }
  return reported ? (int)status : STATUS_FAILED;
}
