/**
 * A lock between operations. Operations on several PEs interleave at every SMC; what changes one realm's tables or pages
 * runs under the VM's lock. An operation that waits gives its PE to others; the Host resumes it after a release.
 */
import { invariant } from "@realmbox/abi";
import type { Op } from "../kvm/api.js";

export class OpLock {
  #held = false;
  readonly #released: () => void;

  /** `released` is called at each release: somebody may wait. */
  constructor(released: () => void) {
    this.#released = released;
  }

  get held(): boolean {
    return this.#held;
  }

  /** Runs `body` with the lock held. */
  *with<T>(body: Op<T>): Op<T> {
    while (this.#held) yield "wait";
    this.#held = true;
    try {
      return yield* body;
    } finally {
      invariant(this.#held, "lock held at its release");
      this.#held = false;
      this.#released();
    }
  }
}
