/**
 * When devices do something by themselves. The machine looks at `next` only: between two deadlines devices cost nothing.
 */
import type { Device } from "./device.js";

export class Schedule {
  /** Clock of the earliest deadline. */
  next = Number.POSITIVE_INFINITY;
  readonly #devices: ReadonlyMap<string, Device>;

  /** The map may still grow. */
  constructor(devices: ReadonlyMap<string, Device>) {
    this.#devices = devices;
  }

  /** Finds `next` again: some deadline has changed. */
  update(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const { deadline } of this.#devices.values()) if (deadline !== undefined && deadline < next) next = deadline;
    this.next = next;
  }

  /** Everything that is due at `now`, in the order of the deadlines; of equal ones in the order of the board's rows. */
  run(now: number): void {
    while (this.next <= now) {
      const at = this.next;
      for (const device of this.#devices.values()) {
        if (device.deadline !== undefined && device.deadline <= at) device.expire!(at);
      }
      this.update();
    }
  }
}
