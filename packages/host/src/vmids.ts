/** VMIDs of one space, lowest free first. 0 stays unused: it is what EL2 leaves in VTTBR_EL2 without a VM. */

const VMID_MAX = 0xffff;

export class VmidPool {
  readonly #used = new Set<number>();

  alloc(): number | undefined {
    for (let vmid = 1; vmid <= VMID_MAX; vmid++) {
      if (this.#used.has(vmid)) continue;
      this.#used.add(vmid);
      return vmid;
    }
    return undefined;
  }

  free(vmid: number): void {
    this.#used.delete(vmid);
  }

  save(): number[] {
    return [...this.#used];
  }

  restore(used: readonly number[]): void {
    this.#used.clear();
    for (const vmid of used) this.#used.add(vmid);
  }
}
