/*
 * virtio: a driver for the block, entropy and console devices of virtio over MMIO, in a realm with bounce buffers. Bootargs:
 *
 *   case=all       (default) every device found: write, flush, read back; random bytes; a line on the console
 *   case=hostile   buffers and rings that the device must not touch: private pages of a realm, addresses that are not RAM.
 *                  Each must end in DEVICE_NEEDS_RESET with a configuration interrupt, and a reset must heal it
 *   case=log       writes numbered blocks, with a flush and a line after each few, until the end of time (or of n=N)
 *   case=echo      gives back each line of the virtio console; ends with "quit"
 *   alias=1        addresses in queues carry a realm's shared bit
 *   indirect=1     chains go through indirect tables
 *   features=0     accept none of the optional features
 *
 * Exit status 0, or 1 after the reason.
 */
#include <stdarg.h>

#include "lib/arch.h"
#include "lib/console.h"
#include "lib/crc32.h"
#include "lib/gic.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/start.h"
#include "lib/string.h"
#include "lib/timer.h"
#include "virtio.h"

enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8 };
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, SECTOR = 512, ID_SIZE = 20 };
enum { BOUNCE_PAGES = 16 };
#define BLK_F_RO (1ull << 5)
#define BLK_F_FLUSH (1ull << 9)

static uint32_t failures;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("virtio: FAILED: ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  failures++;
}

static uint64_t features(void) {
  return bootarg_number("features", 1) != 0 ? ~0ull : F_VERSION_1 | F_ACCESS_PLATFORM;
}

/* --- block --- */

struct block_header {
  uint32_t type, reserved;
  uint64_t sector;
};

/* In shared memory: header, status, and behind them the data. */
static struct block_header *header;
static volatile uint8_t *status;
static uint8_t *bounce;

static void block_init(void) {
  if (bounce != 0) return;
  uint64_t memory = virtio_share(1 + BOUNCE_PAGES);
  header = (struct block_header *)memory;
  status = (volatile uint8_t *)(memory + 64);
  bounce = (uint8_t *)(memory + PAGE_SIZE);
}

/* A request with its data in `parts` pieces of the bounce buffer: the status, or -1 when the device needs a reset. */
static int32_t block_request(struct virtio_device *device, uint32_t type, uint64_t sector, uint32_t size, uint32_t parts) {
  struct virtio_buffer buffers[8];
  uint32_t count = 0, done = 0;
  *header = (struct block_header){type, 0, sector};
  *status = 0xff;
  buffers[count++] = (struct virtio_buffer){virtio_ipa((uint64_t)header), sizeof *header, false};
  for (uint32_t i = 0; i < parts && size > 0; i++) {
    uint32_t length = i == parts - 1 ? size - done : size / parts;
    buffers[count++] = (struct virtio_buffer){virtio_ipa((uint64_t)bounce + done), length, type != BLK_OUT};
    done += length;
  }
  buffers[count++] = (struct virtio_buffer){virtio_ipa((uint64_t)status), 1, true};
  virtio_submit(device, 0, buffers, count);
  int64_t written = virtio_wait(device, 0);
  if (written < 0) return -1;
  /* Of a request that failed, what of the data was written is the device's affair. */
  uint32_t most = type != BLK_OUT ? size + 1 : 1, least = *status == BLK_OK ? most : 1;
  if (written < least || written > most)
    fail("block request %u returned length %ld, not %u to %u", type, written, least, most);
  return *status;
}

static void expect_block(struct virtio_device *device, uint32_t type, uint64_t sector, uint32_t size, uint32_t parts,
                         int32_t expected) {
  int32_t result = block_request(device, type, sector, size, parts);
  if (result != expected)
    fail("block request %u of %u bytes at sector %lu: status %d, not %d", type, size, sector, result, expected);
}

static void fill(uint8_t *bytes, uint32_t size, uint32_t seed) {
  for (uint32_t i = 0; i < size; i++) {
    seed = seed * 1664525 + 1013904223;
    bytes[i] = (uint8_t)(seed >> 24);
  }
}

static void check_block(struct virtio_device *device, uint32_t index) {
  block_init();
  if (!virtio_start(device, features(), 1)) {
    fail("block device %u does not start, status 0x%x", index, virtio_status(device));
    return;
  }
  uint64_t sectors = virtio_config32(device, 0) | (uint64_t)virtio_config32(device, 4) << 32;
  expect_block(device, BLK_GET_ID, 0, ID_SIZE, 1, BLK_OK);
  char id[ID_SIZE + 1] = {0};
  memcpy(id, bounce, ID_SIZE);
  printf("virtio: block device %u: %lu sectors, '%s', features 0x%lx\n", index, sectors, id, device->features);

  bool read_only = (device->offered & BLK_F_RO) != 0;
  int32_t write_status = read_only ? BLK_IOERR : BLK_OK;
  for (uint32_t i = 0; i < 4 && 8 + 32 * (i + 1) <= sectors; i++) {
    uint32_t size = SECTOR << i;
    fill(bounce, size, index << 8 | i);
    uint32_t sum = crc32(bounce, size);
    expect_block(device, BLK_OUT, 8 + 32 * i, size, 1 + i, write_status);
    expect_block(device, BLK_FLUSH, 0, 0, 0, BLK_OK);
    memset(bounce, 0, size);
    expect_block(device, BLK_IN, 8 + 32 * i, size, 4 - i, BLK_OK);
    if (!read_only && crc32(bounce, size) != sum) fail("block device %u: %u bytes do not read back", index, size);
  }
  expect_block(device, BLK_IN, sectors, SECTOR, 1, BLK_IOERR);
  expect_block(device, BLK_IN, 0, SECTOR / 2, 1, BLK_IOERR);
  expect_block(device, 99, 0, SECTOR, 1, BLK_UNSUPP);
  if (device->interrupts == 0) fail("block device %u: no interrupt came", index);
  printf("virtio: block device %u done\n", index);
}

/* --- entropy --- */

static void check_rng(struct virtio_device *device) {
  block_init();
  if (!virtio_start(device, features(), 1)) {
    fail("the entropy device does not start");
    return;
  }
  uint8_t bytes[2][32];
  for (uint32_t i = 0; i < 2; i++) {
    memset(bounce, 0, sizeof bytes[0] + 1);
    struct virtio_buffer buffer = {virtio_ipa((uint64_t)bounce), sizeof bytes[0], true};
    virtio_submit(device, 0, &buffer, 1);
    int64_t length = virtio_wait(device, 0);
    if (length != sizeof bytes[0]) fail("the entropy device returned %ld bytes", length);
    if (bounce[sizeof bytes[0]] != 0) fail("the entropy device wrote too much");
    memcpy(bytes[i], bounce, sizeof bytes[0]);
  }
  if (memcmp(bytes[0], bytes[1], sizeof bytes[0]) == 0) fail("the entropy device repeats itself");
  printf("virtio: random bytes ");
  print_hex(bytes[0], sizeof bytes[0]);
  printf("\n");
}

/* --- console --- */

enum { RECEIVE = 0, TRANSMIT = 1, LINE = 256 };

static void console_send(struct virtio_device *device, const char *text, uint32_t length) {
  memcpy(bounce, text, length);
  struct virtio_buffer buffer = {virtio_ipa((uint64_t)bounce), length, false};
  virtio_submit(device, TRANSMIT, &buffer, 1);
  if (virtio_wait(device, TRANSMIT) != 0) fail("the console did not send");
}

static void check_console(struct virtio_device *device) {
  block_init();
  if (!virtio_start(device, features(), 2)) {
    fail("the console does not start");
    return;
  }
  uint32_t size = virtio_config32(device, 0);
  printf("virtio: console of %u columns and %u rows\n", size & 0xffff, size >> 16);
  static const char line[] = "this line went through the virtio console\n";
  console_send(device, line, sizeof line - 1);
}

/* Gives back line by line; true at "quit". A change of size is told. */
static bool echo_line(struct virtio_device *device, uint32_t *size) {
  char line[LINE];
  uint32_t length = 0;
  uint8_t *input = bounce + PAGE_SIZE;
  while (length == 0 || line[length - 1] != '\n') {
    struct virtio_buffer buffer = {virtio_ipa((uint64_t)input), LINE - length, true};
    virtio_submit(device, RECEIVE, &buffer, 1);
    while (!virtio_returned(device, RECEIVE)) {
      uint32_t now = virtio_config32(device, 0);
      if (now != *size) printf("virtio: console of %u columns and %u rows\n", now & 0xffff, now >> 16);
      *size = now;
      virtio_sleep(device);
    }
    int64_t count = virtio_wait(device, RECEIVE);
    if (count < 0 || count > LINE - length) {
      fail("the console returned %ld bytes", count);
      return true;
    }
    memcpy(line + length, input, (uint64_t)count);
    length += (uint32_t)count;
    if (length == LINE) line[LINE - 1] = '\n';
  }
  console_send(device, line, length);
  return length == 5 && memcmp(line, "quit\n", 5) == 0;
}

static void run_echo(void) {
  struct virtio_device *device = virtio_find(VIRTIO_CONSOLE, 0);
  if (device == 0) {
    fail("there is no virtio console");
    return;
  }
  check_console(device);
  uint32_t size = virtio_config32(device, 0);
  while (!echo_line(device, &size)) {
  }
}

/* --- what must not work --- */

#define SECRET 0x5ec2e7da7a0f7435ull
enum { TIMEOUT_US = 10000 };

/* Waits for DEVICE_NEEDS_RESET and its interrupt. */
static void expect_needs_reset(struct virtio_device *device, const char *what) {
  uint64_t deadline = timer_now() + timer_ticks(TIMEOUT_US);
  uint32_t before = device->interrupts;
  timer_arm(deadline);
  while (device->interrupts == before && timer_now() < deadline) virtio_sleep(device);
  timer_stop();
  if ((virtio_status(device) & S_NEEDS_RESET) == 0) fail("%s: status 0x%x", what, virtio_status(device));
  if (device->interrupts == before) fail("%s: no interrupt", what);
  /* Dead until it is reset. */
  block_init();
  struct virtio_buffer good = {virtio_ipa((uint64_t)bounce), 16, true};
  uint16_t used = device->queues[0].used[1];
  virtio_submit(device, 0, &good, 1);
  if (device->queues[0].used[1] != used) fail("%s: the device still works", what);
  printf("virtio: %s: needs reset\n", what);
}

static void refuse_buffer(struct virtio_device *device, const char *what, uint64_t address, bool write) {
  block_init();
  if (!virtio_start(device, features(), 1)) {
    fail("%s: the device does not start", what);
    return;
  }
  *header = (struct block_header){write ? BLK_IN : BLK_OUT, 0, 0};
  struct virtio_buffer buffers[] = {
      {virtio_ipa((uint64_t)header), sizeof *header, false},
      {address, SECTOR, write},
      {virtio_ipa((uint64_t)status), 1, true},
  };
  bool block = device->id == VIRTIO_BLOCK;
  virtio_submit(device, 0, block ? buffers : buffers + 1, block ? 3 : 1);
  expect_needs_reset(device, what);
}

static void heal(struct virtio_device *device) {
  if (device->id != VIRTIO_BLOCK) {
    check_rng(device);
    return;
  }
  if (!virtio_start(device, features(), 1)) fail("no start after a reset");
  expect_block(device, BLK_GET_ID, 0, ID_SIZE, 1, BLK_OK);
}

static void check_hostile(struct virtio_device *device) {
  uint64_t secret = memory_pages(1), other = memory_pages(1), end = platform.ram_base + platform.ram_size;
  uint64_t *words = (uint64_t *)secret;
  for (uint32_t i = 0; i < PAGE_SIZE / 8; i++) words[i] = SECRET;
  memset((void *)other, 0x11, PAGE_SIZE);
  printf("virtio: device %u: private page 0x%lx\n", device->id, secret);
  if (realm.present) {
    refuse_buffer(device, "a private page", secret, true);
    refuse_buffer(device, "a private page by its alias", secret | realm.shared, true);
    if (device->id == VIRTIO_BLOCK) {
      refuse_buffer(device, "a private page to be read", secret, false);
      refuse_buffer(device, "a private page to be read by its alias", secret | realm.shared, false);
    }
    if (!virtio_start_at(device, features(), other)) fail("rings in a private page are refused too early");
    expect_needs_reset(device, "rings in private pages");
  } else {
    refuse_buffer(device, "an address above a realm's shared bit", secret | 1ull << 32, true);
  }
  refuse_buffer(device, "the end of RAM", end - SECTOR / 2, true);
  refuse_buffer(device, "a device's address", 0x01000000, true);
  refuse_buffer(device, "an address that overflows", 0xffffffffffffff00ull, true);
  heal(device);
  for (uint32_t i = 0; i < PAGE_SIZE / 8; i++)
    if (words[i] != SECRET) fail("word %u of the private page changed", i);
}

/* --- a log on disk --- */

enum { LOG_BLOCK = 4096, LOG_WRITES = 3 };
#define LOG_MAGIC 0x676f6c2d78626d72ull /* "rmbx-log" */

struct log_block {
  uint64_t magic, number;
  uint8_t fill[LOG_BLOCK - 24];
  uint32_t zero, crc; /* CRC-32 of all before it */
};

/* Block `number` of the log goes to place number % places; every LOG_WRITES blocks are flushed and told. */
static void run_log(void) {
  struct virtio_device *device = virtio_find(VIRTIO_BLOCK, 0);
  block_init();
  if (device == 0 || !virtio_start(device, features(), 1)) {
    fail("there is no block device that starts");
    return;
  }
  uint64_t places = virtio_config32(device, 0) / (LOG_BLOCK / SECTOR), limit = bootarg_number("n", ~0ull);
  struct log_block *block = (struct log_block *)bounce;
  for (uint64_t number = 0; number < limit && failures == 0; number++) {
    fill(block->fill, sizeof block->fill, (uint32_t)number);
    block->magic = LOG_MAGIC;
    block->number = number;
    block->zero = 0;
    block->crc = crc32(block, sizeof *block - 4);
    expect_block(device, BLK_OUT, number % places * (LOG_BLOCK / SECTOR), LOG_BLOCK, 1, BLK_OK);
    if (number % LOG_WRITES != LOG_WRITES - 1) continue;
    expect_block(device, BLK_FLUSH, 0, 0, 0, BLK_OK);
    if (failures == 0) printf("flushed %lu\n", number);
  }
}

static void run_all(void (*block)(struct virtio_device *, uint32_t)) {
  struct virtio_device *device;
  for (uint32_t n = 0; (device = virtio_find(VIRTIO_BLOCK, n)) != 0; n++) block(device, n);
  if ((device = virtio_find(VIRTIO_RNG, 0)) != 0) check_rng(device);
  if ((device = virtio_find(VIRTIO_CONSOLE, 0)) != 0) check_console(device);
}

static void run_hostile(void) {
  struct virtio_device *device;
  if ((device = virtio_find(VIRTIO_BLOCK, 0)) != 0) check_hostile(device);
  if ((device = virtio_find(VIRTIO_RNG, 0)) != 0) check_hostile(device);
}

int main(void) {
  char name[16] = "all";
  bootarg("case", name, sizeof name);
  if (!virtio_init()) {
    printf("virtio: no GICv3, or a slot that is no virtio device\n");
    return STATUS_FAILED;
  }
  gic_enable(platform.timer_intid);
  printf("virtio: %u slots in a %s\n", virtio_count, realm.present ? "realm" : "normal VM");
  for (uint32_t i = 0; i < virtio_count; i++) {
    const struct virtio_device *device = &virtio_devices[i];
    if (device->id != 0)
      printf("virtio: slot %u: device %u, version %u, INTID %u\n", i, device->id, device->version, device->intid);
  }
  if (strcmp(name, "all") == 0)
    run_all(check_block);
  else if (strcmp(name, "hostile") == 0)
    run_hostile();
  else if (strcmp(name, "log") == 0)
    run_log();
  else if (strcmp(name, "echo") == 0)
    run_echo();
  else
    return STATUS_USAGE;
  if (failures == 0) printf("virtio: all is well\n");
  return failures == 0 ? STATUS_OK : STATUS_FAILED;
}
