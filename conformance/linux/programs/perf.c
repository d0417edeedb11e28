/* The PMU of a guest as user space sees it: exact counts of a loop, and samples at the overflows of a counter. */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 1000000UL
#define PERIOD 50000UL
#define PAGE 4096UL
#define DATA_PAGES 16UL

static int open_event(uint64_t config, uint64_t period) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_HARDWARE;
  attr.config = config;
  attr.disabled = 1;
  attr.exclude_kernel = 1;
  attr.exclude_hv = 1;
  attr.sample_period = period;
  attr.sample_type = PERF_SAMPLE_IP;
  return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

/* Two instructions a round. */
static void loop(unsigned long rounds) {
  __asm__ volatile("1: subs %0, %0, #1\n b.ne 1b" : "+r"(rounds) : : "cc");
}

static uint64_t count(int fd, unsigned long rounds) {
  uint64_t value = 0;
  ioctl(fd, PERF_EVENT_IOC_RESET, 0);
  ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
  loop(rounds);
  ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
  if (read(fd, &value, sizeof value) != sizeof value) return 0;
  return value;
}

static long samples(int fd, unsigned long rounds) {
  struct perf_event_mmap_page *page = mmap(0, (1 + DATA_PAGES) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return -1;
  count(fd, rounds);
  const unsigned char *data = (const unsigned char *)page + PAGE;
  long found = 0;
  for (uint64_t at = 0; at < page->data_head;) {
    const struct perf_event_header *record = (const void *)(data + at % (DATA_PAGES * PAGE));
    if (record->type == PERF_RECORD_SAMPLE) found++;
    at += record->size;
  }
  return found;
}

int main(void) {
  int fd = open_event(PERF_COUNT_HW_INSTRUCTIONS, 0);
  if (fd < 0) {
    perror("perf_event_open");
    return 1;
  }
  uint64_t one = count(fd, ROUNDS), two = count(fd, 2 * ROUNDS);
  printf("difference %lu\n", (unsigned long)(two - one));
  close(fd);
  fd = open_event(PERF_COUNT_HW_CPU_CYCLES, 0);
  one = count(fd, ROUNDS);
  printf("cycles %s\n", one >= 2 * ROUNDS && one < 2 * ROUNDS + 20000 ? "pass" : "fail");
  close(fd);
  fd = open_event(PERF_COUNT_HW_INSTRUCTIONS, PERIOD);
  printf("samples %ld\n", samples(fd, 10 * ROUNDS));
  close(fd);
  return 0;
}
