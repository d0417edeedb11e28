/**
 * The list registers of one vCPU: what the software GIC gives to the virtual CPU interface before an entry, and takes
 * back after the exit. The same for a normal VM (ICH_LR<n>_EL2 of the PE) and for a realm (RmiRecEnter and RmiRecExit):
 * the caller moves the words. No HW bit: RMM 1.0 refuses it, and normal VMs go the same way. IHI 0069, "List register
 * usage resulting in maintenance interrupts".
 *
 * Level-sensitive interrupts are never pending and active at once in a list register, and ask for a maintenance
 * interrupt at their EOI: the exit lets the software GIC look at the line again.
 *
 * Invariant: between `fill` and `fold` the pending latch of an edge-triggered interrupt that is in a list register lives
 * there and not in the distributor.
 */
import { ICH_HCR_EL2 } from "@realmbox/abi";
import { type Distributor, Group } from "@realmbox/machine";

/** Bits of the high word of ICH_LR<n>_EL2. */
const LR_HI = { EOI: 1 << 9, PRIORITY_SHIFT: 16, GROUP1: 1 << 28, PENDING: 1 << 30, ACTIVE: 1 << 31 } as const;
const HCR = {
  UIE: Number(ICH_HCR_EL2.UIE.mask),
  LRENPIE: Number(ICH_HCR_EL2.LRENPIE.mask),
  TDIR: Number(ICH_HCR_EL2.TDIR.mask),
} as const;

export const LIST_REGISTERS_MAX = 16;

export class ListRegisters {
  /** Low and high word of each list register. */
  readonly words = new Uint32Array(2 * LIST_REGISTERS_MAX);
  /** How many are in use, from 0 on; the others are 0. */
  used = 0;
  /** ICH_HCR_EL2 bits that the next entry needs: within what RMI_REC_ENTER lets the Host set. */
  hcr = 0;
  /** Active interrupts that found no list register, highest priority first. */
  #spilled: number[] = [];

  /** Fills `limit` list registers with what concerns the vCPU. */
  fill(distributor: Distributor, cpu: number, limit: number): void {
    this.hcr = 0;
    if (this.used > 0) this.words.fill(0);
    this.used = 0;
    if (this.#spilled.length > 0) this.#spilled = [];
    let candidates = distributor.candidates(cpu);
    if (candidates.length === 0) return;
    if (candidates.length > limit) candidates = this.#select(distributor, cpu, candidates, limit);
    for (const intid of candidates) this.#put(distributor, cpu, intid);
  }

  /** What is pending comes first, in order of priority; active ones take what is left over. */
  #select(distributor: Distributor, cpu: number, candidates: readonly number[], limit: number): number[] {
    const waiting = candidates.filter((intid) => !distributor.isActive(cpu, intid));
    const active = candidates.filter((intid) => distributor.isActive(cpu, intid));
    const chosen = [...waiting.slice(0, limit), ...active.slice(0, Math.max(0, limit - waiting.length))];
    this.#spilled = active.filter((intid) => !chosen.includes(intid));
    if (waiting.length > limit) this.hcr |= HCR.UIE; // come back when the list registers run empty
    if (this.#spilled.length > 0) this.hcr |= HCR.LRENPIE | HCR.TDIR;
    return chosen;
  }

  #put(distributor: Distributor, cpu: number, intid: number): void {
    const active = distributor.isActive(cpu, intid);
    const edge = distributor.isEdge(cpu, intid);
    let high = distributor.priorityOf(cpu, intid) << LR_HI.PRIORITY_SHIFT;
    if (distributor.groupOf(cpu, intid) === Group.G1NS) high |= LR_HI.GROUP1;
    if (active) high |= LR_HI.ACTIVE;
    if (!edge) high |= LR_HI.EOI;
    if (distributor.isPending(cpu, intid) && distributor.isEnabled(cpu, intid) && (edge || !active)) {
      high |= LR_HI.PENDING;
      if (edge) distributor.setPending(cpu, intid, false);
    }
    this.words[2 * this.used] = intid;
    this.words[2 * this.used + 1] = high;
    this.used++;
  }

  /** Takes the list registers back after the vCPU has run. `eoiCount`: ICH_HCR_EL2.EOIcount. */
  fold(distributor: Distributor, cpu: number, eoiCount: number): void {
    for (let n = 0; n < this.used; n++) {
      const intid = this.words[2 * n]!;
      const high = this.words[2 * n + 1]!;
      const pending = (high & LR_HI.PENDING) !== 0;
      const active = (high & LR_HI.ACTIVE) !== 0;
      if (distributor.isActive(cpu, intid) !== active) distributor.setActive(cpu, intid, active);
      if (distributor.isEdge(cpu, intid)) {
        if (pending) distributor.setPending(cpu, intid, true);
      } else if (!pending && distributor.isLatched(cpu, intid)) {
        distributor.setPending(cpu, intid, false); // a soft-set pending state has been taken
      }
    }
    if (this.used > 0) {
      this.words.fill(0);
      this.used = 0;
    }
    // Interrupts that were active without a list register and have been ended: the highest priority ones.
    for (const intid of this.#spilled.splice(0, eoiCount)) distributor.setActive(cpu, intid, false);
  }

  /** As plain data: what is in use, the words, what found no register. */
  save(): number[] {
    return [this.used, this.hcr, ...this.words, ...this.#spilled];
  }

  restore(data: readonly number[]): void {
    const [used, hcr, ...rest] = data;
    this.used = used!;
    this.hcr = hcr!;
    this.words.set(rest.slice(0, this.words.length));
    this.#spilled = rest.slice(this.words.length);
  }
}
