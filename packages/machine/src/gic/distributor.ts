/**
 * The registers of a GICv3 distributor and its redistributors over the interrupts of `interrupts.ts`. IHI 0069H (GICv3 and
 * GICv4 architecture), "The Distributor register map", "The Redistributor register map". The physical GIC (two Security
 * states) and the software GIC of each virtual machine (one) are both instances of it.
 *
 * What is left out is reported as absent in GICD_TYPER (No1N = 1); ARE_S and ARE_NS are RAO/WI.
 *
 * @spec IHI 0069H, "Distributor and Redistributor registers": partial: no LPIs and ITS, extended SPI and PPI ranges,
 *   message-based SPIs, 1 of N routing, legacy operation
 */
import { GICD_CTLR, Interrupts, PRIORITY_MASK, PRIVATE_COUNT, packAffinity } from "./interrupts.js";

/** Size of the GICD frame. */
export const GICD_SIZE = 0x1_0000;
/** RD_base and SGI_base of one redistributor. */
export const GICR_FRAME_SIZE = 0x2_0000;

/** The same as a Non-secure access sees it, and as everybody does with one Security state. */
const GICD_CTLR_NS = { ENABLE_G1A: 1 << 1, ARE_NS: 1 << 4 };

export class Distributor extends Interrupts {
  // Register accesses. `secure`: the access is to the Secure or Root PAS.

  /** A read of the Distributor's frame. What does not exist, or not in this size, reads zero. */
  readDistributor(offset: number, size: number, secure: boolean): bigint {
    if (offset >= 0x6100 && offset < 0x8000) return this.readRouter(offset, size, secure);
    if (size === 4 && (offset & 3) === 0) {
      switch (offset) {
        case 0x0000:
          return BigInt(this.readCtlr(secure));
        case 0x0004:
          return BigInt(this.typer());
        case 0x0008:
          return BigInt(this.profile.iidr);
      }
      if (offset >= 0xffd0) return BigInt(idRegister(offset, 0x92));
    }
    const word = wordIndexOf(offset);
    return word <= 0 || word > this.spiWords
      ? 0n // INTIDs 0 to 31 are in the redistributors
      : BigInt(this.readBank(this.peCount + word - 1, offset, size, secure));
  }

  /** A write of the Distributor's frame. What does not exist, or not in this size, is ignored. */
  writeDistributor(offset: number, size: number, value: bigint, secure: boolean): void {
    const word = wordIndexOf(offset);
    if (offset >= 0x6100 && offset < 0x8000) this.writeRouter(offset, size, value, secure);
    else if (size === 4 && offset === 0x0000) this.writeCtlr(Number(value & 0xffff_ffffn), secure);
    else if (word > 0 && word <= this.spiWords)
      this.writeBank(this.peCount + word - 1, offset, size, Number(value & 0xffff_ffffn), secure);
  }

  /** A read of a PE's redistributor, RD_base at offset 0 and SGI_base at 0x10000. */
  readRedistributor(pe: number, offset: number, size: number, secure: boolean): bigint {
    if (offset >= 0x1_0000) {
      const within = offset - 0x1_0000;
      if (size === 4 && within >= 0xffd0) return BigInt(idRegister(within, 0x93));
      return wordIndexOf(within) === 0 ? BigInt(this.readBank(pe, within, size, secure)) : 0n;
    }
    if (offset === 0x8 && size === 8) return this.redistributorTyper(pe);
    if (size !== 4 || (offset & 3) !== 0) return 0n;
    switch (offset) {
      case 0x0004:
        return BigInt(this.profile.iidr);
      case 0x0008:
        return this.redistributorTyper(pe) & 0xffff_ffffn;
      case 0x000c:
        return this.redistributorTyper(pe) >> 32n;
      case 0x0014: // GICR_WAKER: ProcessorSleep 1, ChildrenAsleep 2 follows it at once
        return this.mayWake(secure) && this.sleep[pe] ? 0x6n : 0n;
    }
    return offset >= 0xffd0 ? BigInt(idRegister(offset, 0x93)) : 0n;
  }

  writeRedistributor(pe: number, offset: number, size: number, value: bigint, secure: boolean): void {
    const low = Number(value & 0xffff_ffffn);
    if (offset >= 0x1_0000) {
      const within = offset - 0x1_0000;
      if (wordIndexOf(within) === 0) this.writeBank(pe, within, size, low, secure);
      return;
    }
    if (offset === 0x0014 && size === 4 && this.mayWake(secure)) {
      this.sleep[pe] = (low >> 1) & 1;
      this.touch(pe);
    }
  }

  /** GICR_WAKER is for Secure accesses while there are two Security states. */
  private mayWake(secure: boolean): boolean {
    return secure || this.singleSecurityState;
  }

  private readCtlr(secure: boolean): number {
    if (this.singleSecurityState) {
      return (this.ctlr & (GICD_CTLR.ENABLE_G0 | GICD_CTLR.ENABLE_G1NS)) | GICD_CTLR_NS.ARE_NS | GICD_CTLR.DS;
    }
    if (secure) return this.ctlr;
    return (this.ctlr & GICD_CTLR.ENABLE_G1NS ? GICD_CTLR_NS.ENABLE_G1A : 0) | GICD_CTLR_NS.ARE_NS;
  }

  private writeCtlr(value: number, secure: boolean): void {
    let writable: number;
    if (this.singleSecurityState) writable = GICD_CTLR.ENABLE_G0 | GICD_CTLR.ENABLE_G1NS;
    else if (secure) writable = GICD_CTLR.ENABLE_G0 | GICD_CTLR.ENABLE_G1NS | GICD_CTLR.ENABLE_G1S;
    else writable = GICD_CTLR.ENABLE_G1NS; // EnableGrp1A is at the same bit; EnableGrp1 is RES0 with ARE_NS
    this.ctlr = (this.ctlr & ~writable) | (value & writable);
    // DS can be set once, until the next reset; the Secure group's enable is meaningless from then on.
    if (secure && value & GICD_CTLR.DS) this.ctlr = (this.ctlr | GICD_CTLR.DS) & ~GICD_CTLR.ENABLE_G1S;
    this.touchAll();
  }

  private typer(): number {
    const itLines = this.spiWords; // ITLinesNumber = (32 + SPIs) / 32 - 1
    const securityExtn = this.singleSecurityState ? 0 : 1 << 10;
    return (itLines | securityExtn | (9 << 19) | (1 << 25)) >>> 0; // IDbits: 10; No1N
  }

  private redistributorTyper(pe: number): bigint {
    const last = pe === this.peCount - 1 ? 1n << 4n : 0n;
    return (BigInt(this.affinity[pe]!) << 32n) | (BigInt(pe) << 8n) | last;
  }

  private readRouter(offset: number, size: number, secure: boolean): bigint {
    const intid = (offset - 0x6000) >> 3;
    if (intid >= this.intidLimit || (size !== 8 && size !== 4) || offset % size !== 0) return 0n;
    if (!this.routerAccessible(intid, secure)) return 0n;
    const packed = BigInt(this.route[intid - PRIVATE_COUNT]!);
    const router = ((packed >> 24n) << 32n) | (packed & 0xff_ffffn);
    if (size === 8) return router;
    return offset & 4 ? router >> 32n : router & 0xffff_ffffn;
  }

  private writeRouter(offset: number, size: number, value: bigint, secure: boolean): void {
    const intid = (offset - 0x6000) >> 3;
    if (intid >= this.intidLimit || (size !== 8 && size !== 4) || offset % size !== 0) return;
    if (!this.routerAccessible(intid, secure)) return;
    const spi = intid - PRIVATE_COUNT;
    let packed = this.route[spi]!;
    if (size === 8) packed = packAffinity(value);
    else if (offset & 4) packed = (packed & 0xff_ffff) | (Number(value & 0xffn) << 24);
    else packed = (packed & 0xff00_0000) | Number(value & 0xff_ffffn);
    this.route[spi] = packed;
    this.deriveRoutes();
    this.touchAll();
  }

  private routerAccessible(intid: number, secure: boolean): boolean {
    return ((this.visible(this.wordOf(0, intid), secure, 3) >>> (intid & 31)) & 1) !== 0;
  }

  /**
   * Which interrupts of a word an access may see: all of them, or from Non-secure those in Non-secure Group 1 and those
   * for which GICD_NSACR or GICR_NSACR grants at least `granted` (4: no grant helps).
   */
  private visible(word: number, secure: boolean, granted: number): number {
    if (secure || this.singleSecurityState) return 0xffff_ffff;
    let mask = this.group[word]!;
    if (granted <= 3) {
      for (let bit = 0; bit < 32; bit++) if (this.nsacr[word * 32 + bit]! >= granted) mask |= 1 << bit;
    }
    return mask >>> 0;
  }

  /** Reads a register that exists once per word of interrupts; `offset` as in GICD and SGI_base. */
  private readBank(word: number, offset: number, size: number, secure: boolean): number {
    if (offset >= 0x400 && offset < 0x800) {
      if ((size !== 1 && size !== 4) || offset % size !== 0) return 0;
      const visible = this.visible(word, secure, 4);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) {
        value = (value * 0x100 + this.readPriority(word, (offset & 31) + i, visible, secure)) >>> 0;
      }
      return value;
    }
    if (size !== 4 || (offset & 3) !== 0) return 0;
    const secureOnly = secure && !this.singleSecurityState;
    switch (offset >> 7) {
      case 1: // IGROUPR: Secure, or one Security state
        return secure || this.singleSecurityState ? this.group[word]! : 0;
      case 2: // ISENABLER
      case 3: // ICENABLER
        return (this.enabled[word]! & this.visible(word, secure, 4)) >>> 0;
      case 4: // ISPENDR
        return (this.pendingBits(word) & this.visible(word, secure, 1)) >>> 0;
      case 5: // ICPENDR
        return (this.pendingBits(word) & this.visible(word, secure, 2)) >>> 0;
      case 6: // ISACTIVER
      case 7: // ICACTIVER
        return (this.active[word]! & this.visible(word, secure, 2)) >>> 0;
      case 0x18: // ICFGR, 16 interrupts each
      case 0x19: {
        const first = offset & 4 ? 16 : 0;
        return spread((this.edge[word]! & this.visible(word, secure, 4)) >>> first) * 2;
      }
      case 0x1a: // IGRPMODR
        return secureOnly ? this.groupModifier[word]! : 0;
      case 0x1c: // NSACR, 16 interrupts each
      case 0x1d: {
        if (!secureOnly) return 0;
        const first = offset & 4 ? 16 : 0;
        let value = 0;
        for (let i = 15; i >= 0; i--) value = value * 4 + this.nsacr[word * 32 + first + i]!;
        return value;
      }
    }
    return 0;
  }

  private readPriority(word: number, bit: number, visible: number, secure: boolean): number {
    if (!((visible >>> bit) & 1)) return 0;
    const priority = this.priority[word * 32 + bit]!;
    return secure || this.singleSecurityState ? priority : (priority << 1) & 0xff;
  }

  private writeBank(word: number, offset: number, size: number, value: number, secure: boolean): void {
    if (offset >= 0x400 && offset < 0x800) {
      if ((size !== 1 && size !== 4) || offset % size !== 0) return;
      const visible = this.visible(word, secure, 4);
      for (let i = 0; i < size; i++) {
        const bit = (offset & 31) + i;
        if (!((visible >>> bit) & 1)) continue;
        const byte = (value >>> (8 * i)) & 0xff;
        const priority = secure || this.singleSecurityState ? byte : 0x80 | (byte >> 1);
        this.priority[word * 32 + bit] = priority & PRIORITY_MASK;
      }
      this.touchWord(word);
      return;
    }
    if (size !== 4 || (offset & 3) !== 0) return;
    const secureOnly = secure && !this.singleSecurityState;
    switch (offset >> 7) {
      case 1:
        if (secure || this.singleSecurityState) this.group[word] = value;
        break;
      case 2:
        this.enabled[word]! |= value & this.visible(word, secure, 4);
        break;
      case 3:
        this.enabled[word]! &= ~(value & this.visible(word, secure, 4));
        break;
      case 4:
        this.latch[word]! |= value & this.visible(word, secure, 1);
        break;
      case 5:
        this.latch[word]! &= ~(value & this.visible(word, secure, 2));
        break;
      case 6:
        this.active[word]! |= value & this.visible(word, secure, 4);
        break;
      case 7:
        this.active[word]! &= ~(value & this.visible(word, secure, 4));
        break;
      case 0x18:
      case 0x19: {
        const first = offset & 4 ? 16 : 0;
        if (word < this.peCount && first === 0) return; // SGIs
        const mask = (this.visible(word, secure, 4) & (0xffff << first)) >>> 0;
        this.edge[word] = (this.edge[word]! & ~mask) | ((gather(value >>> 1) << first) & mask);
        break;
      }
      case 0x1a:
        if (secureOnly) this.groupModifier[word] = value;
        break;
      case 0x1c:
      case 0x1d: {
        if (!secureOnly) return;
        const first = offset & 4 ? 16 : 0;
        for (let i = 0; i < 16; i++) this.nsacr[word * 32 + first + i] = (value >>> (2 * i)) & 3;
        break;
      }
      default:
        return;
    }
    this.touchWord(word);
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
