/**
 * The register model of a GICv3 distributor and its redistributors: SGIs, PPIs and SPIs with affinity routing. IHI 0069H
 * (GICv3 and GICv4 architecture), "The Distributor register map", "The Redistributor register map". The physical GIC
 * (two Security states) and the software GIC of each virtual machine (one) are both instances of it.
 *
 * It knows interrupts and registers, not the machine: who asks gets the highest priority pending interrupt of a PE;
 * acknowledge and deactivate come from a CPU interface, or from whoever fills list registers.
 *
 * Left out, and reported as absent in GICD_TYPER: LPIs and the ITS, extended SPI and PPI ranges, message-based SPIs,
 * 1 of N routing (No1N = 1), legacy operation (ARE_S and ARE_NS are RAO/WI).
 *
 * Invariants
 * - A word of 32 interrupts is the unit: word c < PEs holds SGIs and PPIs of PE c, word PEs + n holds SPIs 32n to 32n+31.
 * - `best[pe]` is valid while `stale[pe]` is 0; everything that can change it goes through `#touch` or `#touchAll`.
 * - Priorities are stored as the Secure view has them, with PRIORITY_MASK applied.
 */
import { invariant } from "@realmbox/abi";

/** Five priority bits are implemented: ICC_CTLR_EL1.PRIbits = 4. */
export const PRIORITY_MASK = 0xf8;

/** Interrupt groups, in the order of GICD_CTLR's enable bits. A GIC with one Security state uses G0 and G1NS. */
export const Group = { G0: 0, G1NS: 1, G1S: 2 } as const;
export type Group = (typeof Group)[keyof typeof Group];

/** Special INTIDs. IHI 0069, "Special INTIDs". */
export const INTID_SECURE = 1020;
export const INTID_NONSECURE = 1021;
export const INTID_SPURIOUS = 1023;

export const SGI_COUNT = 16;
/** SGIs and PPIs: the INTIDs that each PE has of its own. */
export const PRIVATE_COUNT = 32;
/** SPIs supported at most: whole words below INTID 1020. */
const SPI_COUNT_MAX = 960;

const GICD_SIZE = 0x1_0000;
/** RD_base and SGI_base of one redistributor. */
export const GICR_FRAME_SIZE = 0x2_0000;
export { GICD_SIZE };

/** GICD_CTLR, as a Secure access sees it with two Security states. */
const CTLR = { ENABLE_G0: 1 << 0, ENABLE_G1NS: 1 << 1, ENABLE_G1S: 1 << 2, ARE_S: 1 << 4, ARE_NS: 1 << 5, DS: 1 << 6 };
/** The same as a Non-secure access sees it, and as everybody does with one Security state. */
const CTLR_NS = { ENABLE_G1A: 1 << 1, ARE_NS: 1 << 4 };

/** What differs between the GICs that this model stands for. */
export interface GicProfile {
  /** 2: GICD_CTLR.DS resets to 0 and can be set. 1: DS is RAO/WI, there is no Secure group. */
  readonly securityStates: 1 | 2;
  /** GICD_IIDR and GICR_IIDR. */
  readonly iidr: number;
  /** Every interrupt starts in Group 1 (the register's reset value is not architected with one Security state). */
  readonly resetGroup1: boolean;
  /** Redistributors start with GICR_WAKER.ProcessorSleep clear. */
  readonly resetAwake: boolean;
  /** SGIs start enabled (IMPLEMENTATION DEFINED). */
  readonly resetSgiEnabled: boolean;
}

/** The machine's own GIC: two Security states, everything Secure Group 0 and asleep until EL3 configures it. */
export const PHYSICAL_GIC: GicProfile = {
  securityStates: 2,
  iidr: 0x0000_043b, // implementer: Arm, as the PIDR registers say
  resetGroup1: false,
  resetAwake: false,
  resetSgiEnabled: false,
};

/** A virtual machine's GIC as KVM's in-kernel model presents it. */
export const KVM_VGIC: GicProfile = {
  securityStates: 1,
  iidr: 0x4b00_343b, // product 'K', revision 3
  resetGroup1: true,
  resetAwake: true,
  resetSgiEnabled: true,
};

export interface DistributorOptions {
  readonly profile: GicProfile;
  /** MPIDR_EL1 of each PE, in the order of their redistributor frames. */
  readonly mpidrs: readonly bigint[];
  /** Number of SPIs, a multiple of 32, up to 960. */
  readonly spiCount: number;
  /** Called whenever what a PE could be sent may have changed. */
  readonly onChange?: (pe: number) => void;
}

/** The state as plain data. */
export interface DistributorState {
  readonly ctlr: number;
  readonly group: readonly number[];
  readonly groupModifier: readonly number[];
  readonly enabled: readonly number[];
  readonly latch: readonly number[];
  readonly line: readonly number[];
  readonly active: readonly number[];
  readonly edge: readonly number[];
  readonly priority: readonly number[];
  readonly nsacr: readonly number[];
  readonly route: readonly number[];
  readonly sleep: readonly number[];
}

/** The highest priority pending interrupt, packed: INTID 15:0, priority 23:16, Group 25:24; -1 when there is none. */
export type Hppi = number;
export const NO_HPPI = -1;
export const hppiIntid = (hppi: Hppi): number => hppi & 0xffff;
export const hppiPriority = (hppi: Hppi): number => (hppi >> 16) & 0xff;
export const hppiGroup = (hppi: Hppi): Group => (hppi >> 24) as Group;

/** MPIDR_EL1's affinity fields packed as GICR_TYPER[63:32] has them: Aff3.Aff2.Aff1.Aff0. */
export const packAffinity = (mpidr: bigint): number =>
  Number((mpidr & 0xff_ffffn) | (((mpidr >> 32n) & 0xffn) << 24n)) >>> 0;

export class Distributor {
  readonly profile: GicProfile;
  readonly peCount: number;
  /** INTIDs below this exist. */
  readonly intidLimit: number;

  readonly #affinity: readonly number[];
  readonly #onChange: (pe: number) => void;
  readonly #words: number;
  readonly #spiWords: number;

  #ctlr = 0;
  readonly #group: Uint32Array;
  readonly #groupModifier: Uint32Array;
  readonly #enabled: Uint32Array;
  /** Pending by an edge, or by a write to ISPENDR. */
  readonly #latch: Uint32Array;
  /** The input's level. */
  readonly #line: Uint32Array;
  readonly #active: Uint32Array;
  readonly #edge: Uint32Array;
  readonly #priority: Uint8Array;
  readonly #nsacr: Uint8Array;
  /** IROUTER of each SPI as a packed affinity. */
  readonly #route: Uint32Array;
  readonly #sleep: Uint8Array;
  /** Which groups a PE's CPU interface has enabled: bit n is Group n. All of them when nobody says otherwise. */
  readonly #cpuGroups: Uint8Array;

  /** Derived: which SPIs of a word go to a PE, [pe * spiWords + word]. */
  readonly #routed: Uint32Array;
  readonly #best: Int32Array;
  readonly #stale: Uint8Array;

  constructor(options: DistributorOptions) {
    const { spiCount } = options;
    invariant(spiCount % 32 === 0 && spiCount >= 32 && spiCount <= SPI_COUNT_MAX, "number of SPIs", spiCount);
    this.profile = options.profile;
    this.#affinity = options.mpidrs.map(packAffinity);
    this.peCount = options.mpidrs.length;
    this.intidLimit = PRIVATE_COUNT + spiCount;
    this.#onChange = options.onChange ?? (() => {});
    this.#spiWords = spiCount / 32;
    this.#words = this.peCount + this.#spiWords;
    const words = () => new Uint32Array(this.#words);
    this.#group = words();
    this.#groupModifier = words();
    this.#enabled = words();
    this.#latch = words();
    this.#line = words();
    this.#active = words();
    this.#edge = words();
    this.#priority = new Uint8Array(this.#words * 32);
    this.#nsacr = new Uint8Array(this.#words * 32);
    this.#route = new Uint32Array(spiCount);
    this.#sleep = new Uint8Array(this.peCount);
    this.#cpuGroups = new Uint8Array(this.peCount).fill(7);
    this.#routed = new Uint32Array(this.peCount * this.#spiWords);
    this.#best = new Int32Array(this.peCount);
    this.#stale = new Uint8Array(this.peCount);
    this.reset();
  }

  /** The state after a reset of the GIC; inputs keep their levels. */
  reset(): void {
    const { profile } = this;
    this.#ctlr = CTLR.ARE_S | CTLR.ARE_NS | (profile.securityStates === 1 ? CTLR.DS : 0);
    this.#group.fill(profile.resetGroup1 ? 0xffff_ffff : 0);
    this.#groupModifier.fill(0);
    this.#enabled.fill(0);
    if (profile.resetSgiEnabled) this.#enabled.fill(0xffff, 0, this.peCount);
    this.#latch.fill(0);
    this.#active.fill(0);
    this.#edge.fill(0);
    this.#edge.fill(0xffff, 0, this.peCount); // SGIs are always edge-triggered
    this.#priority.fill(0);
    this.#nsacr.fill(0);
    this.#route.fill(0);
    this.#sleep.fill(profile.resetAwake ? 0 : 1);
    this.#deriveRoutes();
    this.#touchAll();
  }

  /** One Security state: GICD_CTLR.DS is 1, and nothing is hidden from a Non-secure access. */
  get singleSecurityState(): boolean {
    return (this.#ctlr & CTLR.DS) !== 0;
  }

  // Inputs and the CPU interface's side

  /** Sets the levels of several of a PE's PPI inputs: those in `mask`, to the bits of `levels`; bit n is INTID n. */
  setPpis(pe: number, mask: number, levels: number): void {
    let changed = (this.#line[pe]! ^ levels) & mask;
    while (changed !== 0) {
      const bit = 31 - Math.clz32(changed & -changed);
      changed &= changed - 1;
      this.#setLine(pe, bit, ((levels >>> bit) & 1) !== 0);
    }
  }

  /** Sets the level of an SPI's input. */
  setSpi(intid: number, level: boolean): void {
    invariant(intid >= PRIVATE_COUNT && intid < this.intidLimit, "SPI", intid);
    this.#setLine(this.peCount + (intid >> 5) - 1, intid & 31, level);
  }

  /** Sets the level of a PPI's input at one PE. */
  setPpi(pe: number, intid: number, level: boolean): void {
    invariant(intid >= SGI_COUNT && intid < PRIVATE_COUNT, "PPI", intid);
    this.#setLine(pe, intid, level);
  }

  #setLine(word: number, bit: number, level: boolean): void {
    const mask = 1 << bit;
    if (((this.#line[word]! & mask) !== 0) === level) return;
    if (level) {
      this.#line[word]! |= mask;
      if (this.#edge[word]! & mask) this.#latch[word]! |= mask;
    } else {
      this.#line[word]! &= ~mask;
    }
    this.#touchWord(word);
  }

  /** Which groups the CPU interface of a PE has enabled (ICC_IGRPENn): bit n is Group n. */
  setCpuGroups(pe: number, groups: number): void {
    if (this.#cpuGroups[pe] === groups) return;
    this.#cpuGroups[pe] = groups;
    this.#touch(pe);
  }

  /** What the redistributor forwards to a PE's CPU interface: enabled, pending, not active, group enabled. */
  hppi(pe: number): Hppi {
    if (this.#stale[pe]) {
      this.#best[pe] = this.#findBest(pe);
      this.#stale[pe] = 0;
    }
    return this.#best[pe]!;
  }

  #findBest(pe: number): Hppi {
    if (this.#sleep[pe]) return NO_HPPI;
    let best: Hppi = NO_HPPI;
    let bestPriority = 0x100;
    for (let n = -1; n < this.#spiWords; n++) {
      const word = n < 0 ? pe : this.peCount + n;
      let candidates = this.#deliverable(word, this.#ctlr & this.#cpuGroups[pe]!);
      if (n >= 0) candidates &= this.#routed[pe * this.#spiWords + n]!;
      while (candidates !== 0) {
        const bit = 31 - Math.clz32(candidates & -candidates);
        candidates &= candidates - 1;
        const priority = this.#priority[word * 32 + bit]!;
        if (priority < bestPriority) {
          bestPriority = priority;
          best = (n < 0 ? bit : PRIVATE_COUNT + n * 32 + bit) | (priority << 16) | (this.#groupAt(word, bit) << 24);
        }
      }
    }
    return best;
  }

  #pendingBits(word: number): number {
    return this.#latch[word]! | (this.#line[word]! & ~this.#edge[word]!);
  }

  #deliverable(word: number, groups: number): number {
    const pending = this.#pendingBits(word) & this.#enabled[word]! & ~this.#active[word]!;
    return pending === 0 ? 0 : pending & this.#inGroups(word, groups);
  }

  /** Which interrupts of a word are in one of `groups`: bit n is Group n, as GICD_CTLR's enable bits are. */
  #inGroups(word: number, groups: number): number {
    const group = this.#group[word]!;
    const modifier = this.singleSecurityState ? 0 : this.#groupModifier[word]!;
    let mask = 0;
    if (groups & CTLR.ENABLE_G0) mask |= ~group & ~modifier;
    if (groups & CTLR.ENABLE_G1NS) mask |= group;
    if (groups & CTLR.ENABLE_G1S) mask |= ~group & modifier;
    return mask;
  }

  #groupAt(word: number, bit: number): Group {
    if ((this.#group[word]! >>> bit) & 1) return Group.G1NS;
    if (this.singleSecurityState) return Group.G0;
    return (this.#groupModifier[word]! >>> bit) & 1 ? Group.G1S : Group.G0;
  }

  /** The word of an INTID as a PE sees it, or -1 for one that does not exist. */
  #wordOf(pe: number, intid: number): number {
    if (intid < 0 || intid >= this.intidLimit) return -1;
    return intid < PRIVATE_COUNT ? pe : this.peCount + (intid >> 5) - 1;
  }

  /** Pending becomes active. A level-sensitive input that is still asserted stays pending as well. */
  acknowledge(pe: number, intid: number): void {
    const word = this.#wordOf(pe, intid);
    invariant(word >= 0, "acknowledged INTID", intid);
    const mask = 1 << (intid & 31);
    this.#latch[word]! &= ~mask;
    this.#active[word]! |= mask;
    this.#touchWord(word);
  }

  /** Active becomes inactive; unknown INTIDs are ignored. */
  deactivate(pe: number, intid: number): void {
    this.setActive(pe, intid, false);
  }

  setActive(pe: number, intid: number, active: boolean): void {
    const word = this.#wordOf(pe, intid);
    if (word < 0) return;
    const mask = 1 << (intid & 31);
    if (active) this.#active[word]! |= mask;
    else this.#active[word]! &= ~mask;
    this.#touchWord(word);
  }

  /** Sets or clears the pending latch, as an edge or ISPENDR and ICPENDR do. */
  setPending(pe: number, intid: number, pending: boolean): void {
    const word = this.#wordOf(pe, intid);
    if (word < 0) return;
    const mask = 1 << (intid & 31);
    if (pending) this.#latch[word]! |= mask;
    else this.#latch[word]! &= ~mask;
    this.#touchWord(word);
  }

  #bit(words: Uint32Array, pe: number, intid: number): boolean {
    const word = this.#wordOf(pe, intid);
    return word >= 0 && ((words[word]! >>> (intid & 31)) & 1) !== 0;
  }

  isEnabled(pe: number, intid: number): boolean {
    return this.#bit(this.#enabled, pe, intid);
  }
  isActive(pe: number, intid: number): boolean {
    return this.#bit(this.#active, pe, intid);
  }
  /** Edge-triggered, else level-sensitive. */
  isEdge(pe: number, intid: number): boolean {
    return this.#bit(this.#edge, pe, intid);
  }
  isPending(pe: number, intid: number): boolean {
    const word = this.#wordOf(pe, intid);
    return word >= 0 && ((this.#pendingBits(word) >>> (intid & 31)) & 1) !== 0;
  }
  /** The latch alone, without the level of the input. */
  isLatched(pe: number, intid: number): boolean {
    return this.#bit(this.#latch, pe, intid);
  }
  /** The level of the input. */
  lineLevel(pe: number, intid: number): boolean {
    return this.#bit(this.#line, pe, intid);
  }
  groupOf(pe: number, intid: number): Group {
    const word = this.#wordOf(pe, intid);
    return word < 0 ? Group.G0 : this.#groupAt(word, intid & 31);
  }
  /** 0 (highest) to 0xF8, as the Secure view has it. */
  priorityOf(pe: number, intid: number): number {
    const word = this.#wordOf(pe, intid);
    return word < 0 ? 0xff : this.#priority[word * 32 + (intid & 31)]!;
  }
  /** The PE that an SPI is routed to, or -1 when its route names no PE. */
  targetOf(intid: number): number {
    return intid >= PRIVATE_COUNT && intid < this.intidLimit
      ? this.#affinity.indexOf(this.#route[intid - PRIVATE_COUNT]!)
      : -1;
  }

  /**
   * Every INTID that concerns a PE, for whoever fills list registers: active ones, and pending ones that are enabled in a
   * group that is enabled. By priority, then INTID.
   */
  candidates(pe: number): number[] {
    const found: number[] = [];
    if (this.#sleep[pe]) return found;
    for (let n = -1; n < this.#spiWords; n++) {
      const word = n < 0 ? pe : this.peCount + n;
      let bits =
        this.#active[word]! | (this.#pendingBits(word) & this.#enabled[word]! & this.#inGroups(word, this.#ctlr));
      if (n >= 0) bits &= this.#routed[pe * this.#spiWords + n]!;
      while (bits !== 0) {
        found.push((n < 0 ? 0 : PRIVATE_COUNT + n * 32) + 31 - Math.clz32(bits & -bits));
        bits &= bits - 1;
      }
    }
    return found.sort((a, b) => this.priorityOf(pe, a) - this.priorityOf(pe, b) || a - b);
  }

  /** Whether a PE has something pending and enabled that is not active. */
  hasPending(pe: number): boolean {
    return this.hppi(pe) !== NO_HPPI;
  }

  /**
   * Generates SGIs as a write of ICC_SGI1R_EL1, ICC_ASGI1R_EL1 or ICC_SGI0R_EL1 asks. `group` is the group that the
   * register and the writer's Security state stand for. IHI 0069, "Forwarding an SGI to a target PE".
   */
  sendSgi(from: number, value: bigint, group: Group, secure: boolean): void {
    const intid = Number((value >> 24n) & 0xfn);
    const toAllOthers = ((value >> 40n) & 1n) === 1n; // IRM
    const list = Number(value & 0xffffn);
    const rangeBase = Number((value >> 44n) & 0xfn) * 16; // RS
    const cluster =
      (Number((value >> 48n) & 0xffn) * 0x100_0000 +
        Number((value >> 32n) & 0xffn) * 0x1_0000 +
        Number((value >> 16n) & 0xffn) * 0x100) >>>
      0;
    for (let pe = 0; pe < this.peCount; pe++) {
      const affinity = this.#affinity[pe]!;
      const aff0 = affinity & 0xff;
      const named = toAllOthers
        ? pe !== from
        : (affinity & 0xffff_ff00) >>> 0 === cluster &&
          aff0 >= rangeBase &&
          aff0 < rangeBase + 16 &&
          ((list >> (aff0 - rangeBase)) & 1) === 1;
      if (!named) continue;
      const configured = this.#groupAt(pe, intid);
      // A request for Secure Group 1 also reaches an SGI that is configured as Group 0.
      const asked = group === Group.G1S && configured === Group.G0 ? Group.G0 : group;
      if (asked !== configured) continue;
      if (!secure && !this.singleSecurityState && configured !== Group.G1NS) {
        const granted = this.#nsacr[pe * 32 + intid]!;
        if (granted < (configured === Group.G0 ? 1 : 2)) continue;
      }
      this.setPending(pe, intid, true);
    }
  }

  // Change tracking

  #touch(pe: number): void {
    this.#stale[pe] = 1;
    this.#onChange(pe);
  }

  #touchAll(): void {
    for (let pe = 0; pe < this.peCount; pe++) this.#touch(pe);
  }

  #touchWord(word: number): void {
    if (word < this.peCount) {
      this.#touch(word);
      return;
    }
    for (let pe = 0; pe < this.peCount; pe++) {
      if (this.#routed[pe * this.#spiWords + word - this.peCount] !== 0) this.#touch(pe);
    }
  }

  #deriveRoutes(): void {
    this.#routed.fill(0);
    for (let spi = 0; spi < this.#route.length; spi++) {
      const pe = this.#affinity.indexOf(this.#route[spi]!);
      if (pe >= 0) this.#routed[pe * this.#spiWords + (spi >> 5)]! |= 1 << (spi & 31);
    }
  }

  // Register accesses. `secure`: the access is to the Secure or Root PAS.

  /** A read of the Distributor's frame. What does not exist, or not in this size, reads zero. */
  readDistributor(offset: number, size: number, secure: boolean): bigint {
    if (offset >= 0x6100 && offset < 0x8000) return this.#readRouter(offset, size, secure);
    if (size === 4 && (offset & 3) === 0) {
      switch (offset) {
        case 0x0000:
          return BigInt(this.#readCtlr(secure));
        case 0x0004:
          return BigInt(this.#typer());
        case 0x0008:
          return BigInt(this.profile.iidr);
      }
      if (offset >= 0xffd0) return BigInt(idRegister(offset, 0x92));
    }
    const word = wordIndexOf(offset);
    return word <= 0 || word > this.#spiWords
      ? 0n // INTIDs 0 to 31 are in the redistributors
      : BigInt(this.#readBank(this.peCount + word - 1, offset, size, secure));
  }

  /** A write of the Distributor's frame. What does not exist, or not in this size, is ignored. */
  writeDistributor(offset: number, size: number, value: bigint, secure: boolean): void {
    const word = wordIndexOf(offset);
    if (offset >= 0x6100 && offset < 0x8000) this.#writeRouter(offset, size, value, secure);
    else if (size === 4 && offset === 0x0000) this.#writeCtlr(Number(value & 0xffff_ffffn), secure);
    else if (word > 0 && word <= this.#spiWords)
      this.#writeBank(this.peCount + word - 1, offset, size, Number(value & 0xffff_ffffn), secure);
  }

  /** A read of a PE's redistributor, RD_base at offset 0 and SGI_base at 0x10000. */
  readRedistributor(pe: number, offset: number, size: number, secure: boolean): bigint {
    if (offset >= 0x1_0000) {
      const within = offset - 0x1_0000;
      if (size === 4 && within >= 0xffd0) return BigInt(idRegister(within, 0x93));
      return wordIndexOf(within) === 0 ? BigInt(this.#readBank(pe, within, size, secure)) : 0n;
    }
    if (offset === 0x8 && size === 8) return this.#redistributorTyper(pe);
    if (size !== 4 || (offset & 3) !== 0) return 0n;
    switch (offset) {
      case 0x0004:
        return BigInt(this.profile.iidr);
      case 0x0008:
        return this.#redistributorTyper(pe) & 0xffff_ffffn;
      case 0x000c:
        return this.#redistributorTyper(pe) >> 32n;
      case 0x0014: // GICR_WAKER: ProcessorSleep 1, ChildrenAsleep 2 follows it at once
        return this.#mayWake(secure) && this.#sleep[pe] ? 0x6n : 0n;
    }
    return offset >= 0xffd0 ? BigInt(idRegister(offset, 0x93)) : 0n;
  }

  writeRedistributor(pe: number, offset: number, size: number, value: bigint, secure: boolean): void {
    const low = Number(value & 0xffff_ffffn);
    if (offset >= 0x1_0000) {
      const within = offset - 0x1_0000;
      if (wordIndexOf(within) === 0) this.#writeBank(pe, within, size, low, secure);
      return;
    }
    if (offset === 0x0014 && size === 4 && this.#mayWake(secure)) {
      this.#sleep[pe] = (low >> 1) & 1;
      this.#touch(pe);
    }
  }

  /** GICR_WAKER is for Secure accesses while there are two Security states. */
  #mayWake(secure: boolean): boolean {
    return secure || this.singleSecurityState;
  }

  #readCtlr(secure: boolean): number {
    if (this.singleSecurityState) {
      return (this.#ctlr & (CTLR.ENABLE_G0 | CTLR.ENABLE_G1NS)) | CTLR_NS.ARE_NS | CTLR.DS;
    }
    if (secure) return this.#ctlr;
    return (this.#ctlr & CTLR.ENABLE_G1NS ? CTLR_NS.ENABLE_G1A : 0) | CTLR_NS.ARE_NS;
  }

  #writeCtlr(value: number, secure: boolean): void {
    let writable: number;
    if (this.singleSecurityState) writable = CTLR.ENABLE_G0 | CTLR.ENABLE_G1NS;
    else if (secure) writable = CTLR.ENABLE_G0 | CTLR.ENABLE_G1NS | CTLR.ENABLE_G1S;
    else writable = CTLR.ENABLE_G1NS; // EnableGrp1A is at the same bit; EnableGrp1 is RES0 with ARE_NS
    this.#ctlr = (this.#ctlr & ~writable) | (value & writable);
    // DS can be set once, until the next reset; the Secure group's enable is meaningless from then on.
    if (secure && value & CTLR.DS) this.#ctlr = (this.#ctlr | CTLR.DS) & ~CTLR.ENABLE_G1S;
    this.#touchAll();
  }

  #typer(): number {
    const itLines = this.#spiWords; // ITLinesNumber = (32 + SPIs) / 32 - 1
    const securityExtn = this.singleSecurityState ? 0 : 1 << 10;
    return (itLines | securityExtn | (9 << 19) | (1 << 25)) >>> 0; // IDbits: 10; No1N
  }

  #redistributorTyper(pe: number): bigint {
    const last = pe === this.peCount - 1 ? 1n << 4n : 0n;
    return (BigInt(this.#affinity[pe]!) << 32n) | (BigInt(pe) << 8n) | last;
  }

  #readRouter(offset: number, size: number, secure: boolean): bigint {
    const intid = (offset - 0x6000) >> 3;
    if (intid >= this.intidLimit || (size !== 8 && size !== 4) || offset % size !== 0) return 0n;
    if (!this.#routerAccessible(intid, secure)) return 0n;
    const packed = BigInt(this.#route[intid - PRIVATE_COUNT]!);
    const router = ((packed >> 24n) << 32n) | (packed & 0xff_ffffn);
    if (size === 8) return router;
    return offset & 4 ? router >> 32n : router & 0xffff_ffffn;
  }

  #writeRouter(offset: number, size: number, value: bigint, secure: boolean): void {
    const intid = (offset - 0x6000) >> 3;
    if (intid >= this.intidLimit || (size !== 8 && size !== 4) || offset % size !== 0) return;
    if (!this.#routerAccessible(intid, secure)) return;
    const spi = intid - PRIVATE_COUNT;
    let packed = this.#route[spi]!;
    if (size === 8) packed = packAffinity(value);
    else if (offset & 4) packed = (packed & 0xff_ffff) | (Number(value & 0xffn) << 24);
    else packed = (packed & 0xff00_0000) | Number(value & 0xff_ffffn);
    this.#route[spi] = packed;
    this.#deriveRoutes();
    this.#touchAll();
  }

  #routerAccessible(intid: number, secure: boolean): boolean {
    return ((this.#visible(this.#wordOf(0, intid), secure, 3) >>> (intid & 31)) & 1) !== 0;
  }

  /**
   * Which interrupts of a word an access may see: all of them, or from Non-secure those in Non-secure Group 1 and those
   * for which GICD_NSACR or GICR_NSACR grants at least `granted` (4: no grant helps).
   */
  #visible(word: number, secure: boolean, granted: number): number {
    if (secure || this.singleSecurityState) return 0xffff_ffff;
    let mask = this.#group[word]!;
    if (granted <= 3) {
      for (let bit = 0; bit < 32; bit++) if (this.#nsacr[word * 32 + bit]! >= granted) mask |= 1 << bit;
    }
    return mask >>> 0;
  }

  /** Reads a register that exists once per word of interrupts; `offset` as in GICD and SGI_base. */
  #readBank(word: number, offset: number, size: number, secure: boolean): number {
    if (offset >= 0x400 && offset < 0x800) {
      if ((size !== 1 && size !== 4) || offset % size !== 0) return 0;
      const visible = this.#visible(word, secure, 4);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) {
        value = (value * 0x100 + this.#readPriority(word, (offset & 31) + i, visible, secure)) >>> 0;
      }
      return value;
    }
    if (size !== 4 || (offset & 3) !== 0) return 0;
    const secureOnly = secure && !this.singleSecurityState;
    switch (offset >> 7) {
      case 1: // IGROUPR: Secure, or one Security state
        return secure || this.singleSecurityState ? this.#group[word]! : 0;
      case 2: // ISENABLER
      case 3: // ICENABLER
        return (this.#enabled[word]! & this.#visible(word, secure, 4)) >>> 0;
      case 4: // ISPENDR
        return (this.#pendingBits(word) & this.#visible(word, secure, 1)) >>> 0;
      case 5: // ICPENDR
        return (this.#pendingBits(word) & this.#visible(word, secure, 2)) >>> 0;
      case 6: // ISACTIVER
      case 7: // ICACTIVER
        return (this.#active[word]! & this.#visible(word, secure, 2)) >>> 0;
      case 0x18: // ICFGR, 16 interrupts each
      case 0x19: {
        const first = offset & 4 ? 16 : 0;
        return spread((this.#edge[word]! & this.#visible(word, secure, 4)) >>> first) * 2;
      }
      case 0x1a: // IGRPMODR
        return secureOnly ? this.#groupModifier[word]! : 0;
      case 0x1c: // NSACR, 16 interrupts each
      case 0x1d: {
        if (!secureOnly) return 0;
        const first = offset & 4 ? 16 : 0;
        let value = 0;
        for (let i = 15; i >= 0; i--) value = value * 4 + this.#nsacr[word * 32 + first + i]!;
        return value;
      }
    }
    return 0;
  }

  #readPriority(word: number, bit: number, visible: number, secure: boolean): number {
    if (!((visible >>> bit) & 1)) return 0;
    const priority = this.#priority[word * 32 + bit]!;
    return secure || this.singleSecurityState ? priority : (priority << 1) & 0xff;
  }

  #writeBank(word: number, offset: number, size: number, value: number, secure: boolean): void {
    if (offset >= 0x400 && offset < 0x800) {
      if ((size !== 1 && size !== 4) || offset % size !== 0) return;
      const visible = this.#visible(word, secure, 4);
      for (let i = 0; i < size; i++) {
        const bit = (offset & 31) + i;
        if (!((visible >>> bit) & 1)) continue;
        const byte = (value >>> (8 * i)) & 0xff;
        const priority = secure || this.singleSecurityState ? byte : 0x80 | (byte >> 1);
        this.#priority[word * 32 + bit] = priority & PRIORITY_MASK;
      }
      this.#touchWord(word);
      return;
    }
    if (size !== 4 || (offset & 3) !== 0) return;
    const secureOnly = secure && !this.singleSecurityState;
    switch (offset >> 7) {
      case 1:
        if (secure || this.singleSecurityState) this.#group[word] = value;
        break;
      case 2:
        this.#enabled[word]! |= value & this.#visible(word, secure, 4);
        break;
      case 3:
        this.#enabled[word]! &= ~(value & this.#visible(word, secure, 4));
        break;
      case 4:
        this.#latch[word]! |= value & this.#visible(word, secure, 1);
        break;
      case 5:
        this.#latch[word]! &= ~(value & this.#visible(word, secure, 2));
        break;
      case 6:
        this.#active[word]! |= value & this.#visible(word, secure, 4);
        break;
      case 7:
        this.#active[word]! &= ~(value & this.#visible(word, secure, 4));
        break;
      case 0x18:
      case 0x19: {
        const first = offset & 4 ? 16 : 0;
        if (word < this.peCount && first === 0) return; // SGIs
        const mask = (this.#visible(word, secure, 4) & (0xffff << first)) >>> 0;
        this.#edge[word] = (this.#edge[word]! & ~mask) | ((gather(value >>> 1) << first) & mask);
        break;
      }
      case 0x1a:
        if (secureOnly) this.#groupModifier[word] = value;
        break;
      case 0x1c:
      case 0x1d: {
        if (!secureOnly) return;
        const first = offset & 4 ? 16 : 0;
        for (let i = 0; i < 16; i++) this.#nsacr[word * 32 + first + i] = (value >>> (2 * i)) & 3;
        break;
      }
      default:
        return;
    }
    this.#touchWord(word);
  }

  // Snapshot

  save(): DistributorState {
    return {
      ctlr: this.#ctlr,
      group: [...this.#group],
      groupModifier: [...this.#groupModifier],
      enabled: [...this.#enabled],
      latch: [...this.#latch],
      line: [...this.#line],
      active: [...this.#active],
      edge: [...this.#edge],
      priority: [...this.#priority],
      nsacr: [...this.#nsacr],
      route: [...this.#route],
      sleep: [...this.#sleep],
    };
  }

  /** Takes over a state that `save` of a distributor with the same options made. */
  restore(state: DistributorState): void {
    this.#ctlr = state.ctlr;
    const parts: readonly (readonly [Uint32Array | Uint8Array, readonly number[]])[] = [
      [this.#group, state.group],
      [this.#groupModifier, state.groupModifier],
      [this.#enabled, state.enabled],
      [this.#latch, state.latch],
      [this.#line, state.line],
      [this.#active, state.active],
      [this.#edge, state.edge],
      [this.#priority, state.priority],
      [this.#nsacr, state.nsacr],
      [this.#route, state.route],
      [this.#sleep, state.sleep],
    ];
    for (const [into, from] of parts) {
      invariant(into.length === from.length, "snapshot of a distributor of the same size");
      into.set(from);
    }
    this.#deriveRoutes();
    this.#touchAll();
  }
}

/** Which word of 32 interrupts a register of GICD or SGI_base belongs to; -1: none. */
function wordIndexOf(offset: number): number {
  if (offset >= 0x80 && offset < 0x400) return (offset & 0x7f) >> 2;
  if (offset >= 0x400 && offset < 0x800) return (offset - 0x400) >> 5;
  if (offset >= 0xc00 && offset < 0xd00) return (offset - 0xc00) >> 3;
  if (offset >= 0xd00 && offset < 0xd80) return (offset - 0xd00) >> 2;
  if (offset >= 0xe00 && offset < 0xf00) return (offset - 0xe00) >> 3;
  return -1;
}

/** Bit i of the low half to bit 2i. */
function spread(half: number): number {
  let value = 0;
  for (let i = 15; i >= 0; i--) value = value * 4 + ((half >>> i) & 1);
  return value;
}

/** Bit 2i to bit i. */
function gather(value: number): number {
  let half = 0;
  for (let i = 0; i < 16; i++) half |= ((value >>> (2 * i)) & 1) << i;
  return half;
}

/** PIDR4..7, PIDR0..3, CIDR0..3 from 0xFFD0: an Arm part (JEP106 0x3B, bank 5), GICv3 in PIDR2[7:4]. */
function idRegister(offset: number, part: number): number {
  const values = [0x44, 0, 0, 0, part, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
  return values[(offset - 0xffd0) >> 2] ?? 0;
}
