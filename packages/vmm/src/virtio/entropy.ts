/**
 * The entropy device (`--rng`). virtio 1.2, "Entropy Device". Its bytes come from the machine's seed, so that runs can be
 * repeated; a realm must not rely on them anyway, for they come from the Host.
 *
 * @spec virtio 1.2, "Entropy Device": complete
 */
import type { VirtioDevice } from "./device.js";
import type { Virtqueue } from "./queue.js";
import { DEVICE_ID } from "./registers.js";

const QUEUE_SIZE = 128;
/** Bytes given for one request; the document lets a device use less than the buffer. */
const REQUEST_BYTES_MAX = 64 << 10;

export class VirtioEntropy implements VirtioDevice {
  readonly name = "rng";
  readonly id = DEVICE_ID.ENTROPY;
  readonly queueSizes = [QUEUE_SIZE];
  readonly features = 0n;
  readonly config = new Uint8Array(0);
  readonly latencyUs = 0;
  readonly #random: (into: Uint8Array) => void;

  /** `random` fills an array. */
  constructor(random: (into: Uint8Array) => void) {
    this.#random = random;
  }

  serve(queue: Virtqueue): boolean {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = new Uint8Array(Math.min(chain.writableSize, REQUEST_BYTES_MAX));
      this.#random(bytes);
      if (!queue.writeTo(chain, 0, bytes)) break;
      queue.push(chain, bytes.length);
    }
    return false;
  }
}
