/** What a virtio device is to its transport, and the transport to the device. */
import type { Virtqueue } from "./queue.js";

/** A device type: its features and configuration, and what it does with the buffers of its queues. */
export interface VirtioDevice {
  /** Name in traces, such as `blk0`. */
  readonly name: string;
  /** virtio 1.2, "Device Types". */
  readonly id: number;
  /** QueueNumMax of each queue. */
  readonly queueSizes: readonly number[];
  /** Features beside those that the transport adds. */
  readonly features: bigint;
  /** Configuration space as it is now. */
  readonly config: Uint8Array;
  /** Virtual time from a notification to `serve`, in microseconds: 0 serves at once. */
  readonly latencyUs: number;
  /**
   * Serves what the driver made available. Returns true when it stops before the end, its share of work being done: it
   * is called again soon.
   */
  serve(queue: Virtqueue, driver: DriverFeatures): boolean;
  /** The driver has reset the device. */
  reset?(): void;
}

/** The features that the driver accepted. */
export interface DriverFeatures {
  has(feature: bigint): boolean;
}

/** How a device reaches its driver without being asked. */
export interface VirtioLink {
  /** The configuration has changed: the generation counts up, and the driver gets an interrupt. */
  configChanged(): void;
  /** Something outside has come for a queue: `serve` is called if the driver is there. */
  serveNow(queue: number): void;
  /** Chains that wait in a queue of a driver that is there; 0 otherwise. */
  available(queue: number): number;
}
