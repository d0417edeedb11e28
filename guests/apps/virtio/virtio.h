/*
 * A driver of virtio over MMIO for one request at a time, interrupt-driven. OASIS virtio 1.2, "Virtio Over MMIO" and "Split
 * Virtqueues"; versions 2 and 1. Rings and buffers lie in memory that a realm has shared with the Host: what the device
 * is to see is copied there (bounce buffers).
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

enum { VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4 };
enum { VIRTIO_SLOTS = 32, VIRTIO_QUEUES = 2, VIRTIO_QUEUE_SIZE = 16 };

/* Feature bits. */
#define F_INDIRECT_DESC (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_ACCESS_PLATFORM (1ull << 33)

/* Device status. */
enum { S_ACKNOWLEDGE = 1, S_DRIVER = 2, S_DRIVER_OK = 4, S_FEATURES_OK = 8, S_NEEDS_RESET = 0x40 };
/* InterruptStatus. */
enum { INTERRUPT_USED = 1, INTERRUPT_CONFIG = 2 };

struct virtio_desc {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_INDIRECT = 4 };

struct virtio_queue {
  uint32_t index;
  uint64_t memory; /* shared; the three parts as the legacy layout has them */
  volatile struct virtio_desc *desc;
  volatile uint16_t *avail, *used; /* used: flags, idx, then the elements */
  uint16_t next, seen;
};

struct virtio_device {
  uint64_t registers; /* mapped */
  uint32_t slot, intid, id, version;
  uint64_t offered, features;
  struct virtio_queue queues[VIRTIO_QUEUES];
  uint32_t interrupts; /* taken so far */
};

/* A buffer of a request; `address` is an IPA, with or without the shared bit. */
struct virtio_buffer {
  uint64_t address;
  uint32_t length;
  bool write; /* the device writes it */
};

/* The devices of the device tree, by slot; slots of another kind have id 0. */
extern struct virtio_device virtio_devices[VIRTIO_SLOTS];
extern uint32_t virtio_count;

/* Finds the devices, makes the memory for the rings. False: no GICv3, or a slot is not what it should be. */
bool virtio_init(void);

/* The first device of a kind, or null. */
struct virtio_device *virtio_find(uint32_t id, uint32_t nth);

/*
 * Memory that Host and guest see: `count` pages, zeroed, mapped at the address returned. In a realm that is the shared
 * alias; the RMM makes the pages RIPAS EMPTY first.
 */
uint64_t virtio_share(uint64_t count);
/* The IPA that the device is told for such an address: plain, or with the shared bit when bootargs say alias=1. */
uint64_t virtio_ipa(uint64_t address);

/* Resets the device, accepts `features` as far as they are offered, sets up its first `queues` queues. */
bool virtio_start(struct virtio_device *device, uint64_t features, uint32_t queues);
/* The same with the rings of queue 0 at `memory`, of which the device cannot see anything. */
bool virtio_start_at(struct virtio_device *device, uint64_t features, uint64_t memory);

uint32_t virtio_status(const struct virtio_device *device);
uint32_t virtio_config32(const struct virtio_device *device, uint32_t offset);

/* Puts a chain into queue `q` and notifies; with indirect=1 and the feature through an indirect table. */
void virtio_submit(struct virtio_device *device, uint32_t q, const struct virtio_buffer *buffers, uint32_t count);
/*
 * Sleeps until the device has returned a chain: its length, or -1 when the device needs a reset. Interrupts are taken
 * by looking (ICC_IAR1_EL1), with PSTATE.I set all the time.
 */
int64_t virtio_wait(struct virtio_device *device, uint32_t q);
/* Whether a chain was returned. */
bool virtio_returned(struct virtio_device *device, uint32_t q);
/* Sleeps until any interrupt; takes it. */
void virtio_sleep(struct virtio_device *device);

#endif
