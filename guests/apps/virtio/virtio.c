/* See virtio.h. */
#include "virtio.h"

#include "lib/arch.h"
#include "lib/console.h"
#include "lib/dtb.h"
#include "lib/exception.h"
#include "lib/gic.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/string.h"
#include "librsi/rsi.h"

enum {
  MAGIC = 0x000,
  VERSION = 0x004,
  DEVICE_ID = 0x008,
  DEVICE_FEATURES = 0x010,
  DEVICE_FEATURES_SEL = 0x014,
  DRIVER_FEATURES = 0x020,
  DRIVER_FEATURES_SEL = 0x024,
  GUEST_PAGE_SIZE = 0x028,
  QUEUE_SEL = 0x030,
  QUEUE_NUM_MAX = 0x034,
  QUEUE_NUM = 0x038,
  QUEUE_ALIGN = 0x03c,
  QUEUE_PFN = 0x040,
  QUEUE_READY = 0x044,
  QUEUE_NOTIFY = 0x050,
  INTERRUPT_STATUS = 0x060,
  INTERRUPT_ACK = 0x064,
  STATUS = 0x070,
  QUEUE_DESC = 0x080,
  QUEUE_DRIVER = 0x090,
  QUEUE_DEVICE = 0x0a0,
  CONFIG = 0x100,
};
enum { MAGIC_VALUE = 0x74726976, AVAIL_F_NO_INTERRUPT = 1, USED_F_NO_NOTIFY = 1 };
enum { GICD_ISENABLER = 0x100, GICD_ICFGR = 0xc00, GICD_IROUTER = 0x6000 };
/* Descriptors and available ring in the first page, the used ring in the second, an indirect table in the third. */
enum { QUEUE_PAGES = 3 };

struct virtio_device virtio_devices[VIRTIO_SLOTS];
uint32_t virtio_count;
static uint64_t distributor;

static uint32_t get(const struct virtio_device *device, uint32_t offset) {
  return mmio_read32(device->registers + offset);
}
static void set(const struct virtio_device *device, uint32_t offset, uint32_t value) {
  mmio_write32(device->registers + offset, value);
}
static void set64(const struct virtio_device *device, uint32_t offset, uint64_t value) {
  set(device, offset, (uint32_t)value);
  set(device, offset + 4, (uint32_t)(value >> 32));
}

static void visit(const struct dtb_node *node, void *context) {
  (void)context;
  uint64_t base, size;
  struct dtb_property interrupts = dtb_property(node, "interrupts");
  if (!dtb_has_string(node, "compatible", "virtio,mmio") || !dtb_reg(node, 0, &base, &size)) return;
  if (virtio_count == VIRTIO_SLOTS || interrupts.size < 12) return;
  struct virtio_device *device = &virtio_devices[virtio_count];
  device->slot = virtio_count++;
  device->registers = base;
  device->intid = GIC_PRIVATE + dtb_u32(interrupts, 1);
}

/* Edge-triggered, to this CPU, enabled. */
static void enable_interrupt(uint32_t intid) {
  uint64_t config = distributor + GICD_ICFGR + intid / 16 * 4;
  mmio_write32(config, mmio_read32(config) | 2u << intid % 16 * 2);
  mmio_write64(distributor + GICD_IROUTER + 8 * intid, cpu_current()->mpidr & 0xff00ffffff);
  mmio_write32(distributor + GICD_ISENABLER + intid / 32 * 4, 1u << intid % 32);
}

bool virtio_init(void) {
  if (!gic_init() || !gic_init_cpu()) return false;
  distributor = device_map(platform.gicd_base, platform.gicd_size);
  if (distributor == 0) return false;
  dtb_walk((const void *)platform.dtb, visit, 0);
  uint64_t mapped = 0; /* eight slots share a page */
  for (uint32_t i = 0; i < virtio_count; i++) {
    struct virtio_device *device = &virtio_devices[i];
    uint64_t page = device->registers & ~(PAGE_SIZE - 1);
    if (page != mapped && device_map(page, PAGE_SIZE) == 0) return false;
    mapped = page;
    device->registers |= realm.shared;
    if (get(device, MAGIC) != MAGIC_VALUE) return false;
    device->version = get(device, VERSION);
    device->id = get(device, DEVICE_ID);
    if (device->id == 0) continue; /* nothing in the slot */
    for (uint32_t q = 0; q < VIRTIO_QUEUES; q++) device->queues[q].memory = virtio_share(QUEUE_PAGES);
    enable_interrupt(device->intid);
  }
  return true;
}

struct virtio_device *virtio_find(uint32_t id, uint32_t nth) {
  for (uint32_t i = 0; i < virtio_count; i++)
    if (virtio_devices[i].id == id && nth-- == 0) return &virtio_devices[i];
  return 0;
}

uint64_t virtio_share(uint64_t count) {
  uint64_t pages = memory_pages(count), size = count * PAGE_SIZE;
  if (realm.present) {
    if (!mmu_map(pages, pages, size, MMU_NONE)) panic("no table to unmap pages");
    if (rsi_ipa_state_set_range(pages, pages + size, RSI_EMPTY, 0) != RSI_SUCCESS) panic("RSI_IPA_STATE_SET");
    pages |= realm.shared;
    if (!mmu_map_identity(pages, size, MMU_DATA)) panic("no table for shared pages");
  }
  memset((void *)pages, 0, size);
  return pages;
}

uint64_t virtio_ipa(uint64_t address) {
  return bootarg_number("alias", 0) != 0 ? address : address & ~realm.shared;
}

/* --- set-up --- */

static void negotiate(struct virtio_device *device, uint64_t features) {
  set(device, STATUS, 0);
  set(device, STATUS, S_ACKNOWLEDGE);
  set(device, STATUS, S_ACKNOWLEDGE | S_DRIVER);
  set(device, DEVICE_FEATURES_SEL, 0);
  device->offered = get(device, DEVICE_FEATURES);
  set(device, DEVICE_FEATURES_SEL, 1);
  device->offered |= (uint64_t)get(device, DEVICE_FEATURES) << 32;
  device->features = device->offered & features;
  for (uint32_t half = 0; half < 2; half++) {
    set(device, DRIVER_FEATURES_SEL, half);
    set(device, DRIVER_FEATURES, (uint32_t)(device->features >> 32 * half));
  }
  if (device->version == 1)
    set(device, GUEST_PAGE_SIZE, PAGE_SIZE);
  else
    set(device, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
}

static bool enable_queue(struct virtio_device *device, struct virtio_queue *queue, uint64_t ipa) {
  set(device, QUEUE_SEL, queue->index);
  if (get(device, QUEUE_NUM_MAX) < VIRTIO_QUEUE_SIZE) return false;
  set(device, QUEUE_NUM, VIRTIO_QUEUE_SIZE);
  if (device->version == 1) {
    set(device, QUEUE_ALIGN, PAGE_SIZE);
    set(device, QUEUE_PFN, (uint32_t)(ipa / PAGE_SIZE));
    return get(device, QUEUE_PFN) == (uint32_t)(ipa / PAGE_SIZE);
  }
  set64(device, QUEUE_DESC, ipa);
  set64(device, QUEUE_DRIVER, ipa + sizeof(struct virtio_desc) * VIRTIO_QUEUE_SIZE);
  set64(device, QUEUE_DEVICE, ipa + PAGE_SIZE);
  set(device, QUEUE_READY, 1);
  return get(device, QUEUE_READY) == 1;
}

static bool start(struct virtio_device *device, uint64_t features, uint32_t queues, uint64_t elsewhere) {
  negotiate(device, features);
  uint32_t status = S_ACKNOWLEDGE | S_DRIVER | (device->version == 1 ? 0 : S_FEATURES_OK);
  if (get(device, STATUS) != status) return false;
  for (uint32_t q = 0; q < queues; q++) {
    struct virtio_queue *queue = &device->queues[q];
    uint64_t memory = queue->memory;
    memset((void *)memory, 0, QUEUE_PAGES * PAGE_SIZE);
    *queue = (struct virtio_queue){.index = q, .memory = memory};
    queue->desc = (volatile struct virtio_desc *)memory;
    queue->avail = (volatile uint16_t *)(memory + sizeof(struct virtio_desc) * VIRTIO_QUEUE_SIZE);
    queue->used = (volatile uint16_t *)(memory + PAGE_SIZE);
    if (!enable_queue(device, queue, elsewhere != 0 ? elsewhere : virtio_ipa(memory))) return false;
  }
  set(device, STATUS, status | S_DRIVER_OK);
  return true;
}

bool virtio_start(struct virtio_device *device, uint64_t features, uint32_t queues) {
  return start(device, features, queues, 0) && virtio_status(device) < S_NEEDS_RESET;
}

bool virtio_start_at(struct virtio_device *device, uint64_t features, uint64_t memory) {
  return start(device, features, 1, memory);
}

uint32_t virtio_status(const struct virtio_device *device) { return get(device, STATUS); }

uint32_t virtio_config32(const struct virtio_device *device, uint32_t offset) { return get(device, CONFIG + offset); }

/* --- requests --- */

static void write_desc(volatile struct virtio_desc *desc, const struct virtio_buffer *buffer, bool last, uint32_t next) {
  desc->address = buffer->address;
  desc->length = buffer->length;
  desc->flags = (uint16_t)((buffer->write ? DESC_F_WRITE : 0) | (last ? 0 : DESC_F_NEXT));
  desc->next = (uint16_t)next;
}

static bool wants_notification(const struct virtio_device *device, const struct virtio_queue *queue) {
  if ((device->features & F_EVENT_IDX) == 0) return (queue->used[0] & USED_F_NO_NOTIFY) == 0;
  uint16_t event = queue->used[2 + 4 * VIRTIO_QUEUE_SIZE]; /* avail_event */
  return (uint16_t)(queue->next - event - 1) < 1;
}

void virtio_submit(struct virtio_device *device, uint32_t q, const struct virtio_buffer *buffers, uint32_t count) {
  struct virtio_queue *queue = &device->queues[q];
  bool indirect = (device->features & F_INDIRECT_DESC) != 0 && bootarg_number("indirect", 0) != 0;
  /* One request at a time: the table is free. */
  uint64_t table = queue->memory + 2 * PAGE_SIZE;
  volatile struct virtio_desc *desc = indirect ? (volatile struct virtio_desc *)table : queue->desc;
  for (uint32_t i = 0; i < count; i++) write_desc(&desc[i], &buffers[i], i == count - 1, i + 1);
  if (indirect) {
    queue->desc[0].address = virtio_ipa(table);
    queue->desc[0].length = (uint32_t)sizeof(struct virtio_desc) * count;
    queue->desc[0].flags = DESC_F_INDIRECT;
  }
  queue->avail[2 + queue->next % VIRTIO_QUEUE_SIZE] = 0;
  if ((device->features & F_EVENT_IDX) != 0) queue->avail[2 + VIRTIO_QUEUE_SIZE] = queue->seen; /* used_event */
  dsb_sy(); /* the chain is there before the index says so */
  queue->avail[1] = ++queue->next;
  dsb_sy();
  if (wants_notification(device, queue)) set(device, QUEUE_NOTIFY, q);
}

bool virtio_returned(struct virtio_device *device, uint32_t q) {
  return device->queues[q].used[1] != device->queues[q].seen;
}

/* Acknowledges what is pending; WFI has returned for it. */
static void take_interrupts(struct virtio_device *device) {
  for (;;) {
    uint32_t intid = (uint32_t)read_sysreg(icc_iar1_el1) & 0xffffff;
    if (intid >= GIC_SPURIOUS) return;
    if (intid == device->intid) {
      device->interrupts++;
      set(device, INTERRUPT_ACK, get(device, INTERRUPT_STATUS));
    } else if (intid == platform.timer_intid) {
      write_sysreg(cntv_ctl_el0, 0);
    }
    write_sysreg(icc_eoir1_el1, intid);
    isb();
  }
}

void virtio_sleep(struct virtio_device *device) {
  wfi();
  take_interrupts(device);
}

int64_t virtio_wait(struct virtio_device *device, uint32_t q) {
  struct virtio_queue *queue = &device->queues[q];
  while (!virtio_returned(device, q)) {
    if ((virtio_status(device) & S_NEEDS_RESET) != 0) {
      take_interrupts(device);
      return -1;
    }
    virtio_sleep(device);
  }
  take_interrupts(device);
  dsb_sy();
  uint32_t element = queue->seen % VIRTIO_QUEUE_SIZE;
  uint32_t length = queue->used[2 + 4 * element + 2] | (uint32_t)queue->used[2 + 4 * element + 3] << 16;
  queue->seen++;
  return length;
}
