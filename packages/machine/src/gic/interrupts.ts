/**
 * The interrupts of a GICv3 as the distributor and the redistributors hold them: SGIs and PPIs of each PE, SPIs with
 * affinity routing; what is pending, active and enabled, in which group and with which priority; and which of them a PE is
 * sent. IHI 0069H (GICv3 and GICv4 architecture), "Interrupt handling", "Interrupt grouping". The registers over this
 * state are in `distributor.ts`.
 *
 * It knows interrupts, not the machine: who asks gets the highest priority pending interrupt of a PE; acknowledge and
 * deactivate come from a CPU interface, or from whoever fills list registers.
 *
 * Invariants
 * - A word of 32 interrupts is the unit: word c < PEs holds SGIs and PPIs of PE c, word PEs + n holds SPIs 32n to 32n+31.
 * - `best[pe]` is valid while `stale[pe]` is 0; everything that can change it goes through `touch` or `touchAll`.
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

/** GICD_CTLR, as a Secure access sees it with two Security states. */
export const GICD_CTLR = {
  ENABLE_G0: 1 << 0,
  ENABLE_G1NS: 1 << 1,
  ENABLE_G1S: 1 << 2,
  ARE_S: 1 << 4,
  ARE_NS: 1 << 5,
  DS: 1 << 6,
};

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

export class Interrupts {
  readonly profile: GicProfile;
  readonly peCount: number;
  /** INTIDs below this exist. */
  readonly intidLimit: number;

  protected readonly affinity: readonly number[];
  protected readonly onChange: (pe: number) => void;
  protected readonly words: number;
  protected readonly spiWords: number;

  protected ctlr = 0;
  protected readonly group: Uint32Array;
  protected readonly groupModifier: Uint32Array;
  protected readonly enabled: Uint32Array;
  /** Pending by an edge, or by a write to ISPENDR. */
  protected readonly latch: Uint32Array;
  /** The input's level. */
  protected readonly line: Uint32Array;
  protected readonly active: Uint32Array;
  protected readonly edge: Uint32Array;
  protected readonly priority: Uint8Array;
  protected readonly nsacr: Uint8Array;
  /** IROUTER of each SPI as a packed affinity. */
  protected readonly route: Uint32Array;
  protected readonly sleep: Uint8Array;
  /** Which groups a PE's CPU interface has enabled: bit n is Group n. All of them when nobody says otherwise. */
  protected readonly cpuGroups: Uint8Array;

  /** Derived: which SPIs of a word go to a PE, [pe * spiWords + word]. */
  protected readonly routed: Uint32Array;
  protected readonly best: Int32Array;
  protected readonly stale: Uint8Array;

  constructor(options: DistributorOptions) {
    const { spiCount } = options;
    invariant(spiCount % 32 === 0 && spiCount >= 32 && spiCount <= SPI_COUNT_MAX, "number of SPIs", spiCount);
    this.profile = options.profile;
    this.affinity = options.mpidrs.map(packAffinity);
    this.peCount = options.mpidrs.length;
    this.intidLimit = PRIVATE_COUNT + spiCount;
    this.onChange = options.onChange ?? (() => {});
    this.spiWords = spiCount / 32;
    this.words = this.peCount + this.spiWords;
    const words = () => new Uint32Array(this.words);
    this.group = words();
    this.groupModifier = words();
    this.enabled = words();
    this.latch = words();
    this.line = words();
    this.active = words();
    this.edge = words();
    this.priority = new Uint8Array(this.words * 32);
    this.nsacr = new Uint8Array(this.words * 32);
    this.route = new Uint32Array(spiCount);
    this.sleep = new Uint8Array(this.peCount);
    this.cpuGroups = new Uint8Array(this.peCount).fill(7);
    this.routed = new Uint32Array(this.peCount * this.spiWords);
    this.best = new Int32Array(this.peCount);
    this.stale = new Uint8Array(this.peCount);
    this.reset();
  }

  /** The state after a reset of the GIC; inputs keep their levels. */
  reset(): void {
    const { profile } = this;
    this.ctlr = GICD_CTLR.ARE_S | GICD_CTLR.ARE_NS | (profile.securityStates === 1 ? GICD_CTLR.DS : 0);
    this.group.fill(profile.resetGroup1 ? 0xffff_ffff : 0);
    this.groupModifier.fill(0);
    this.enabled.fill(0);
    if (profile.resetSgiEnabled) this.enabled.fill(0xffff, 0, this.peCount);
    this.latch.fill(0);
    this.active.fill(0);
    this.edge.fill(0);
    this.edge.fill(0xffff, 0, this.peCount); // SGIs are always edge-triggered
    this.priority.fill(0);
    this.nsacr.fill(0);
    this.route.fill(0);
    this.sleep.fill(profile.resetAwake ? 0 : 1);
    this.deriveRoutes();
    this.touchAll();
  }

  /** One Security state: GICD_CTLR.DS is 1, and nothing is hidden from a Non-secure access. */
  get singleSecurityState(): boolean {
    return (this.ctlr & GICD_CTLR.DS) !== 0;
  }

  // Inputs and the CPU interface's side

  /** Sets the levels of several of a PE's PPI inputs: those in `mask`, to the bits of `levels`; bit n is INTID n. */
  setPpis(pe: number, mask: number, levels: number): void {
    let changed = (this.line[pe]! ^ levels) & mask;
    while (changed !== 0) {
      const bit = 31 - Math.clz32(changed & -changed);
      changed &= changed - 1;
      this.setLine(pe, bit, ((levels >>> bit) & 1) !== 0);
    }
  }

  /** Sets the level of an SPI's input. */
  setSpi(intid: number, level: boolean): void {
    invariant(intid >= PRIVATE_COUNT && intid < this.intidLimit, "SPI", intid);
    this.setLine(this.peCount + (intid >> 5) - 1, intid & 31, level);
  }

  /** Sets the level of a PPI's input at one PE. */
  setPpi(pe: number, intid: number, level: boolean): void {
    invariant(intid >= SGI_COUNT && intid < PRIVATE_COUNT, "PPI", intid);
    this.setLine(pe, intid, level);
  }

  protected setLine(word: number, bit: number, level: boolean): void {
    const mask = 1 << bit;
    if (((this.line[word]! & mask) !== 0) === level) return;
    if (level) {
      this.line[word]! |= mask;
      if (this.edge[word]! & mask) this.latch[word]! |= mask;
    } else {
      this.line[word]! &= ~mask;
    }
    this.touchWord(word);
  }

  /** Which groups the CPU interface of a PE has enabled (ICC_IGRPENn): bit n is Group n. */
  setCpuGroups(pe: number, groups: number): void {
    if (this.cpuGroups[pe] === groups) return;
    this.cpuGroups[pe] = groups;
    this.touch(pe);
  }

  /** What the redistributor forwards to a PE's CPU interface: enabled, pending, not active, group enabled. */
  hppi(pe: number): Hppi {
    if (this.stale[pe]) {
      this.best[pe] = this.findBest(pe);
      this.stale[pe] = 0;
    }
    return this.best[pe]!;
  }

  protected findBest(pe: number): Hppi {
    if (this.sleep[pe]) return NO_HPPI;
    let best: Hppi = NO_HPPI;
    let bestPriority = 0x100;
    for (let n = -1; n < this.spiWords; n++) {
      const word = n < 0 ? pe : this.peCount + n;
      let candidates = this.deliverable(word, this.ctlr & this.cpuGroups[pe]!);
      if (n >= 0) candidates &= this.routed[pe * this.spiWords + n]!;
      while (candidates !== 0) {
        const bit = 31 - Math.clz32(candidates & -candidates);
        candidates &= candidates - 1;
        const priority = this.priority[word * 32 + bit]!;
        if (priority < bestPriority) {
          bestPriority = priority;
          best = (n < 0 ? bit : PRIVATE_COUNT + n * 32 + bit) | (priority << 16) | (this.groupAt(word, bit) << 24);
        }
      }
    }
    return best;
  }

  protected pendingBits(word: number): number {
    return this.latch[word]! | (this.line[word]! & ~this.edge[word]!);
  }

  protected deliverable(word: number, groups: number): number {
    const pending = this.pendingBits(word) & this.enabled[word]! & ~this.active[word]!;
    return pending === 0 ? 0 : pending & this.inGroups(word, groups);
  }

  /** Which interrupts of a word are in one of `groups`: bit n is Group n, as GICD_CTLR's enable bits are. */
  protected inGroups(word: number, groups: number): number {
    const group = this.group[word]!;
    const modifier = this.singleSecurityState ? 0 : this.groupModifier[word]!;
    let mask = 0;
    if (groups & GICD_CTLR.ENABLE_G0) mask |= ~group & ~modifier;
    if (groups & GICD_CTLR.ENABLE_G1NS) mask |= group;
    if (groups & GICD_CTLR.ENABLE_G1S) mask |= ~group & modifier;
    return mask;
  }

  protected groupAt(word: number, bit: number): Group {
    if ((this.group[word]! >>> bit) & 1) return Group.G1NS;
    if (this.singleSecurityState) return Group.G0;
    return (this.groupModifier[word]! >>> bit) & 1 ? Group.G1S : Group.G0;
  }

  /** The word of an INTID as a PE sees it, or -1 for one that does not exist. */
  protected wordOf(pe: number, intid: number): number {
    if (intid < 0 || intid >= this.intidLimit) return -1;
    return intid < PRIVATE_COUNT ? pe : this.peCount + (intid >> 5) - 1;
  }

  /** Pending becomes active. A level-sensitive input that is still asserted stays pending as well. */
  acknowledge(pe: number, intid: number): void {
    const word = this.wordOf(pe, intid);
    invariant(word >= 0, "acknowledged INTID", intid);
    const mask = 1 << (intid & 31);
    this.latch[word]! &= ~mask;
    this.active[word]! |= mask;
    this.touchWord(word);
  }

  /** Active becomes inactive; unknown INTIDs are ignored. */
  deactivate(pe: number, intid: number): void {
    this.setActive(pe, intid, false);
  }

  setActive(pe: number, intid: number, active: boolean): void {
    const word = this.wordOf(pe, intid);
    if (word < 0) return;
    const mask = 1 << (intid & 31);
    if (active) this.active[word]! |= mask;
    else this.active[word]! &= ~mask;
    this.touchWord(word);
  }

  /** Sets or clears the pending latch, as an edge or ISPENDR and ICPENDR do. */
  setPending(pe: number, intid: number, pending: boolean): void {
    const word = this.wordOf(pe, intid);
    if (word < 0) return;
    const mask = 1 << (intid & 31);
    if (pending) this.latch[word]! |= mask;
    else this.latch[word]! &= ~mask;
    this.touchWord(word);
  }

  protected bit(words: Uint32Array, pe: number, intid: number): boolean {
    const word = this.wordOf(pe, intid);
    return word >= 0 && ((words[word]! >>> (intid & 31)) & 1) !== 0;
  }

  isEnabled(pe: number, intid: number): boolean {
    return this.bit(this.enabled, pe, intid);
  }
  isActive(pe: number, intid: number): boolean {
    return this.bit(this.active, pe, intid);
  }
  /** Edge-triggered, else level-sensitive. */
  isEdge(pe: number, intid: number): boolean {
    return this.bit(this.edge, pe, intid);
  }
  isPending(pe: number, intid: number): boolean {
    const word = this.wordOf(pe, intid);
    return word >= 0 && ((this.pendingBits(word) >>> (intid & 31)) & 1) !== 0;
  }
  /** The latch alone, without the level of the input. */
  isLatched(pe: number, intid: number): boolean {
    return this.bit(this.latch, pe, intid);
  }
  /** The level of the input. */
  lineLevel(pe: number, intid: number): boolean {
    return this.bit(this.line, pe, intid);
  }
  groupOf(pe: number, intid: number): Group {
    const word = this.wordOf(pe, intid);
    return word < 0 ? Group.G0 : this.groupAt(word, intid & 31);
  }
  /** 0 (highest) to 0xF8, as the Secure view has it. */
  priorityOf(pe: number, intid: number): number {
    const word = this.wordOf(pe, intid);
    return word < 0 ? 0xff : this.priority[word * 32 + (intid & 31)]!;
  }
  /** The PE that an SPI is routed to, or -1 when its route names no PE. */
  targetOf(intid: number): number {
    return intid >= PRIVATE_COUNT && intid < this.intidLimit
      ? this.affinity.indexOf(this.route[intid - PRIVATE_COUNT]!)
      : -1;
  }

  /**
   * Every INTID that concerns a PE, for whoever fills list registers: active ones, and pending ones that are enabled in a
   * group that is enabled. By priority, then INTID.
   */
  candidates(pe: number): number[] {
    const found: number[] = [];
    if (this.sleep[pe]) return found;
    for (let n = -1; n < this.spiWords; n++) {
      const word = n < 0 ? pe : this.peCount + n;
      let bits = this.active[word]! | (this.pendingBits(word) & this.enabled[word]! & this.inGroups(word, this.ctlr));
      if (n >= 0) bits &= this.routed[pe * this.spiWords + n]!;
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
      const affinity = this.affinity[pe]!;
      const aff0 = affinity & 0xff;
      const named = toAllOthers
        ? pe !== from
        : (affinity & 0xffff_ff00) >>> 0 === cluster &&
          aff0 >= rangeBase &&
          aff0 < rangeBase + 16 &&
          ((list >> (aff0 - rangeBase)) & 1) === 1;
      if (!named) continue;
      const configured = this.groupAt(pe, intid);
      // A request for Secure Group 1 also reaches an SGI that is configured as Group 0.
      const asked = group === Group.G1S && configured === Group.G0 ? Group.G0 : group;
      if (asked !== configured) continue;
      if (!secure && !this.singleSecurityState && configured !== Group.G1NS) {
        const granted = this.nsacr[pe * 32 + intid]!;
        if (granted < (configured === Group.G0 ? 1 : 2)) continue;
      }
      this.setPending(pe, intid, true);
    }
  }

  // Change tracking

  protected touch(pe: number): void {
    this.stale[pe] = 1;
    this.onChange(pe);
  }

  protected touchAll(): void {
    for (let pe = 0; pe < this.peCount; pe++) this.touch(pe);
  }

  protected touchWord(word: number): void {
    if (word < this.peCount) {
      this.touch(word);
      return;
    }
    for (let pe = 0; pe < this.peCount; pe++) {
      if (this.routed[pe * this.spiWords + word - this.peCount] !== 0) this.touch(pe);
    }
  }

  protected deriveRoutes(): void {
    this.routed.fill(0);
    for (let spi = 0; spi < this.route.length; spi++) {
      const pe = this.affinity.indexOf(this.route[spi]!);
      if (pe >= 0) this.routed[pe * this.spiWords + (spi >> 5)]! |= 1 << (spi & 31);
    }
  }

  // Snapshot

  save(): DistributorState {
    return {
      ctlr: this.ctlr,
      group: [...this.group],
      groupModifier: [...this.groupModifier],
      enabled: [...this.enabled],
      latch: [...this.latch],
      line: [...this.line],
      active: [...this.active],
      edge: [...this.edge],
      priority: [...this.priority],
      nsacr: [...this.nsacr],
      route: [...this.route],
      sleep: [...this.sleep],
    };
  }

  /** Takes over a state that `save` of a distributor with the same options made. */
  restore(state: DistributorState): void {
    this.ctlr = state.ctlr;
    const parts: readonly (readonly [Uint32Array | Uint8Array, readonly number[]])[] = [
      [this.group, state.group],
      [this.groupModifier, state.groupModifier],
      [this.enabled, state.enabled],
      [this.latch, state.latch],
      [this.line, state.line],
      [this.active, state.active],
      [this.edge, state.edge],
      [this.priority, state.priority],
      [this.nsacr, state.nsacr],
      [this.route, state.route],
      [this.sleep, state.sleep],
    ];
    for (const [into, from] of parts) {
      invariant(into.length === from.length, "snapshot of a distributor of the same size");
      into.set(from);
    }
    this.deriveRoutes();
    this.touchAll();
  }
}
