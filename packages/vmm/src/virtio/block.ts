/**
 * The block device: a disk in sectors of 512 bytes. virtio 1.2, "Block Device"; features and sizes as kvmtool has them
 * (virtio/blk.c).
 *
 * Crash safety: a write is with the disk before its request completes, a FLUSH completes after the disk's own flush. A
 * driver that does not accept the FLUSH feature has no way to ask, so each of its writes is flushed. Requests complete in
 * order, a fixed virtual time after the notification.
 *
 * @spec virtio 1.2, "Block Device": partial: IN, OUT, FLUSH, GET_ID; no geometry, topology, discard, write zeroes, secure
 *   erase, zones, several queues, lifetime
 */
import { layout, u32, u64 } from "@realmbox/abi";
import type { DriverFeatures, VirtioDevice } from "./device.js";
import type { Disk, DiskError } from "./disk.js";
import type { Chain, Virtqueue } from "./queue.js";
import { BLOCK_FEATURE, BLOCK_REQUEST, BLOCK_STATUS, DEVICE_ID, FEATURE, SECTOR_SIZE } from "./registers.js";

/** virtio 1.2, "Block Device", "Device configuration layout": up to seg_max. kvmtool shows the whole structure, the rest zero. */
const VirtioBlkConfig = layout("virtio_blk_config", 60, { capacity: u64(0), size_max: u32(8), seg_max: u32(12) });
/** virtio 1.2, "Block Device", "Device Operation": struct virtio_blk_req. */
const VirtioBlkReq = layout("virtio_blk_req", 16, { type: u32(0), sector: u64(8) });

const QUEUE_SIZE = 256;
/** Header and status take a descriptor each. */
const SEG_MAX = QUEUE_SIZE - 2;
const ID_SIZE = 20;
/** From notification to completion: a quick solid-state disk's time. */
export const BLOCK_LATENCY_US = 20;
/** A request with more is answered with IOERR: nobody asks for so much but to keep the Host busy. */
const REQUEST_BYTES_MAX = 32 << 20;
/** Bytes after which the device lets the guest go on. */
const TURN_BYTES_MAX = 4 << 20;
const CHUNK = 64 << 10;

export class VirtioBlock implements VirtioDevice {
  readonly name: string;
  readonly id = DEVICE_ID.BLOCK;
  readonly queueSizes = [QUEUE_SIZE];
  readonly features: bigint;
  readonly config: Uint8Array;
  readonly latencyUs = BLOCK_LATENCY_US;
  readonly #disk: Disk;
  readonly #serial: Uint8Array;
  readonly #sectors: number;
  readonly #chunk = new Uint8Array(CHUNK);

  /** `index`: which disk it is, from 0: /dev/vda. */
  constructor(disk: Disk, index: number) {
    this.name = `blk${index}`;
    this.#disk = disk;
    this.#sectors = Math.floor(disk.size / SECTOR_SIZE);
    this.#serial = Uint8Array.from(`realmbox-disk${index}`.padEnd(ID_SIZE, "\0"), (char) => char.charCodeAt(0));
    this.features =
      BLOCK_FEATURE.SEG_MAX |
      BLOCK_FEATURE.FLUSH |
      FEATURE.EVENT_IDX |
      FEATURE.INDIRECT_DESC |
      (disk.readOnly ? BLOCK_FEATURE.RO : 0n);
    this.config = VirtioBlkConfig.encode({ capacity: BigInt(this.#sectors), seg_max: SEG_MAX });
  }

  serve(queue: Virtqueue, driver: DriverFeatures): boolean {
    let spent = 0;
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        this.#request(queue, chain, driver);
        spent += chain.readableSize + chain.writableSize;
        if (spent >= TURN_BYTES_MAX) return true;
      }
      // The driver may have added one before it saw that it has to notify again.
      queue.setNotify(true);
    } while (queue.available > 0);
    return false;
  }

  #request(queue: Virtqueue, chain: Chain, driver: DriverFeatures): void {
    if (chain.readableSize < VirtioBlkReq.size || chain.writableSize < 1) {
      queue.fail(chain, "block request without header or status");
      return;
    }
    const header = new Uint8Array(VirtioBlkReq.size);
    if (!queue.readFrom(chain, 0, header)) return;
    const { type, sector } = VirtioBlkReq.decode(header);
    const { status, written } = this.#perform(queue, chain, { type, sector, driver });
    if (!queue.writeTo(chain, chain.writableSize - 1, Uint8Array.of(status))) return;
    queue.push(chain, written + 1);
  }

  #perform(
    queue: Virtqueue,
    chain: Chain,
    { type, sector, driver }: { readonly type: number; readonly sector: bigint; readonly driver: DriverFeatures },
  ): { readonly status: number; readonly written: number } {
    const toDisk = chain.readableSize - VirtioBlkReq.size;
    const fromDisk = chain.writableSize - 1;
    switch (type) {
      case BLOCK_REQUEST.IN: {
        const at = this.#place(sector, fromDisk);
        if (at === undefined) return FAILED;
        return this.#read(queue, chain, { at, size: fromDisk });
      }
      case BLOCK_REQUEST.OUT: {
        const at = this.#place(sector, toDisk);
        if (at === undefined || this.#disk.readOnly) return FAILED;
        const error = this.#write(queue, chain, { at, size: toDisk });
        if (error !== undefined) return FAILED;
        return driver.has(BLOCK_FEATURE.FLUSH) ? DONE : resultOf(this.#disk.flush());
      }
      case BLOCK_REQUEST.FLUSH:
        return resultOf(this.#disk.flush());
      case BLOCK_REQUEST.GET_ID: {
        const id = this.#serial.subarray(0, fromDisk);
        queue.writeTo(chain, 0, id);
        return { status: BLOCK_STATUS.OK, written: id.length };
      }
      default:
        return { status: BLOCK_STATUS.UNSUPP, written: 0 };
    }
  }

  /** Offset of a request on the disk; undefined when it is not whole sectors of the disk. */
  #place(sector: bigint, size: number): number | undefined {
    if (size % SECTOR_SIZE !== 0 || size > REQUEST_BYTES_MAX) return undefined;
    if (sector + BigInt(size / SECTOR_SIZE) > BigInt(this.#sectors)) return undefined;
    return Number(sector) * SECTOR_SIZE;
  }

  #read(queue: Virtqueue, chain: Chain, { at, size }: { readonly at: number; readonly size: number }) {
    for (let done = 0; done < size; done += CHUNK) {
      const part = this.#chunk.subarray(0, Math.min(CHUNK, size - done));
      if (this.#disk.read(at + done, part) !== undefined) return { status: BLOCK_STATUS.IOERR, written: done };
      queue.writeTo(chain, done, part);
    }
    return { status: BLOCK_STATUS.OK, written: size };
  }

  #write(queue: Virtqueue, chain: Chain, { at, size }: { readonly at: number; readonly size: number }): DiskError {
    for (let done = 0; done < size; done += CHUNK) {
      const part = this.#chunk.subarray(0, Math.min(CHUNK, size - done));
      if (!queue.readFrom(chain, VirtioBlkReq.size + done, part)) return "EFAULT";
      const error = this.#disk.write(at + done, part);
      if (error !== undefined) return error;
    }
    return undefined;
  }
}

const DONE = { status: BLOCK_STATUS.OK, written: 0 } as const;
const FAILED = { status: BLOCK_STATUS.IOERR, written: 0 } as const;
const resultOf = (error: DiskError) => (error === undefined ? DONE : FAILED);
