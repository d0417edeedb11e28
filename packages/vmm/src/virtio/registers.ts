/**
 * Numbers of virtio: OASIS virtio 1.2 ("virtio"), and 0.9.5 for the legacy transport. Vendor id and sizes are kvmtool's
 * (virtio/mmio.c).
 */

/** Register offsets of virtio over MMIO. virtio 1.2, "MMIO Device Register Layout" and "Legacy interface". */
export const MMIO = {
  MAGIC: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SEL: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SEL: 0x024,
  GUEST_PAGE_SIZE: 0x028, // legacy
  QUEUE_SEL: 0x030,
  QUEUE_NUM_MAX: 0x034,
  QUEUE_NUM: 0x038,
  QUEUE_ALIGN: 0x03c, // legacy
  QUEUE_PFN: 0x040, // legacy
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESC_LOW: 0x080,
  QUEUE_DESC_HIGH: 0x084,
  QUEUE_DRIVER_LOW: 0x090,
  QUEUE_DRIVER_HIGH: 0x094,
  QUEUE_DEVICE_LOW: 0x0a0,
  QUEUE_DEVICE_HIGH: 0x0a4,
  SHM_LEN_LOW: 0x0b0,
  SHM_LEN_HIGH: 0x0b4,
  SHM_BASE_LOW: 0x0b8,
  SHM_BASE_HIGH: 0x0bc,
  CONFIG_GENERATION: 0x0fc,
  /** The device's configuration begins here. */
  CONFIG: 0x100,
} as const;

/** "virt". */
export const MMIO_MAGIC = 0x7472_6976;
/** "LKVM": kvmtool's vendor id. */
export const MMIO_VENDOR = 0x4d56_4b4c;
export const MMIO_VERSION = { LEGACY: 1, MODERN: 2 } as const;

/** virtio 1.2, "Device Status Field". */
export const STATUS = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  DEVICE_NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const;

/** InterruptStatus. */
export const INTERRUPT = { USED_BUFFER: 1, CONFIG_CHANGE: 2 } as const;

/** virtio 1.2, "Device Types". */
export const DEVICE_ID = { BLOCK: 2, CONSOLE: 3, ENTROPY: 4 } as const;

const feature = (bit: number): bigint => 1n << BigInt(bit);

/** Feature bits of ring and transport. virtio 1.2, "Reserved Feature Bits". */
export const FEATURE = {
  ANY_LAYOUT: feature(27), // legacy
  INDIRECT_DESC: feature(28),
  EVENT_IDX: feature(29),
  VERSION_1: feature(32),
  ACCESS_PLATFORM: feature(33),
} as const;
/** virtio 1.2, "Console Device", "Feature bits". */
export const CONSOLE_FEATURE = { SIZE: feature(0) } as const;
/** virtio 1.2, "Block Device", "Feature bits". */
export const BLOCK_FEATURE = { SEG_MAX: feature(2), RO: feature(5), FLUSH: feature(9) } as const;

/** virtio 1.2, "Block Device", "Device Operation". */
export const BLOCK_REQUEST = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const;
export const BLOCK_STATUS = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
export const SECTOR_SIZE = 512;

/** virtio 1.2, "The Virtqueue Descriptor Table". */
export const DESCRIPTOR = { NEXT: 1, WRITE: 2, INDIRECT: 4, SIZE: 16 } as const;
/** avail.flags: the driver wants no interrupt. used.flags: the device wants no notification. */
export const RING_FLAG = { NO_INTERRUPT: 1, NO_NOTIFY: 1 } as const;
