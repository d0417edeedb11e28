/**
 * The in-kernel GICv3 of a VM: KVM_DEV_TYPE_ARM_VGIC_V3. Distributor and redistributors are the machine's register model
 * (one Security state, as KVM presents it); this file gives it its addresses, its vCPUs and its attributes.
 * Linux `Documentation/virt/kvm/devices/arm-vgic-v3.rst`.
 *
 * @spec Linux KVM API, "ARM Virtual Generic Interrupt Controller v3 and later (VGICv3)": partial: no ITS and LPIs, one
 *   redistributor region, no access to the registers for migration (DIST_REGS, REDIST_REGS, CPU_SYSREGS, LEVEL_INFO)
 */
import {
  KVM_ARM_IRQ_TYPE_PPI,
  KVM_ARM_IRQ_TYPE_SPI,
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
} from "@realmbox/abi";
import { Distributor, type DistributorState, GICD_SIZE, GICR_FRAME_SIZE, KVM_VGIC } from "@realmbox/machine";
import { type KvmResult, kvmError } from "../kvm/errno.js";

const NR_IRQS_MIN = 64;
const NR_IRQS_MAX = 1024;
const NR_IRQS_DEFAULT = 256;
/** SPIs of the register model at most. */
const SPI_MAX = 960;
const FRAME_ALIGN = 0xffffn;

/** INTIDs of the timers' interrupts in a VM, as KVM_ARM_VCPU_TIMER_CTRL may change them. */
export interface TimerIntids {
  virtual: number;
  physical: number;
}

export interface VgicState {
  readonly dist: string;
  readonly redist: string;
  readonly redistCount: number;
  readonly nrIrqs: number;
  readonly mpidrs: readonly string[];
  readonly distributor: DistributorState | null;
}

export class Vgic {
  #dist: bigint | undefined;
  #redist: bigint | undefined;
  /** Frames in the region; 0: as many as there are vCPUs. */
  #redistCount = 0;
  #nrIrqs = 0;
  #mpidrs: readonly bigint[] = [];
  #distributor: Distributor | undefined;
  readonly #ipaBits: number;
  /** Called when what vCPU `cpu` could be sent may have changed. */
  readonly #changed: (cpu: number) => void;

  constructor(ipaBits: number, changed: (cpu: number) => void) {
    this.#ipaBits = ipaBits;
    this.#changed = changed;
  }

  /** Undefined until KVM_DEV_ARM_VGIC_CTRL_INIT. */
  get distributor(): Distributor | undefined {
    return this.#distributor;
  }

  /** KVM_SET_DEVICE_ATTR. `mpidrs` gives the vCPUs of the VM, for the initialisation. */
  setAttr(group: number, attr: bigint, value: Uint8Array | undefined, mpidrs: () => readonly bigint[]): KvmResult {
    switch (group) {
      case KVM_DEV_ARM_VGIC_GRP.ADDR:
        return value?.length === 8
          ? this.#setAddress(attr, new DataView(value.buffer, value.byteOffset).getBigUint64(0, true))
          : kvmError("EFAULT", "the address is 8 bytes");
      case KVM_DEV_ARM_VGIC_GRP.NR_IRQS: {
        if (value?.length !== 4) return kvmError("EFAULT", "the number of interrupts is 4 bytes");
        const count = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
        if (count < NR_IRQS_MIN || count > NR_IRQS_MAX || count % 32 !== 0) {
          return kvmError("EINVAL", `${count} is not a number of interrupts`);
        }
        if (this.#nrIrqs !== 0 || this.#distributor) return kvmError("EBUSY", "the number of interrupts is set");
        this.#nrIrqs = count;
        return undefined;
      }
      case KVM_DEV_ARM_VGIC_GRP.CTRL:
        return attr === KVM_DEV_ARM_VGIC_CTRL_INIT ? this.#init(mpidrs()) : kvmError("ENXIO", "unknown control");
    }
    return kvmError("ENXIO", `unknown attribute group ${group}`);
  }

  getAttr(group: number, attr: bigint, into: Uint8Array): KvmResult {
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    if (group === KVM_DEV_ARM_VGIC_GRP.NR_IRQS) {
      if (into.length !== 4) return kvmError("EFAULT", "the number of interrupts is 4 bytes");
      view.setUint32(0, this.#nrIrqs, true);
      return undefined;
    }
    if (group === KVM_DEV_ARM_VGIC_GRP.ADDR) {
      if (into.length !== 8) return kvmError("EFAULT", "the address is 8 bytes");
      const address = this.#addressOf(attr);
      if (address === null) return kvmError("ENODEV", "unknown address type");
      view.setBigUint64(0, address ?? 0xffff_ffff_ffff_ffffn, true);
      return undefined;
    }
    return kvmError("ENXIO", `unknown attribute group ${group}`);
  }

  hasAttr(group: number, attr: bigint): KvmResult {
    const known =
      (group === KVM_DEV_ARM_VGIC_GRP.ADDR &&
        (this.#addressOf(attr) !== null || attr === KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION)) ||
      group === KVM_DEV_ARM_VGIC_GRP.NR_IRQS ||
      (group === KVM_DEV_ARM_VGIC_GRP.CTRL && attr === KVM_DEV_ARM_VGIC_CTRL_INIT);
    return known ? undefined : kvmError("ENXIO", "unknown attribute");
  }

  /** Null: no such address. */
  #addressOf(attr: bigint): bigint | undefined | null {
    if (attr === KVM_VGIC_V3_ADDR_TYPE_DIST) return this.#dist;
    if (attr === KVM_VGIC_V3_ADDR_TYPE_REDIST) return this.#redist;
    return null;
  }

  #setAddress(attr: bigint, value: bigint): KvmResult {
    let base = value;
    let count = 0;
    if (attr === KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION) {
      count = Number(value >> 52n);
      base = value & 0x000f_ffff_ffff_0000n;
      if ((value & 0xffffn) !== 0n || count === 0) return kvmError("EINVAL", "one region, flags zero");
    } else if (this.#addressOf(attr) === null) return kvmError("ENODEV", "unknown address type");
    if ((base & FRAME_ALIGN) !== 0n) return kvmError("EINVAL", "not aligned to 64 KiB");
    if (base >> BigInt(this.#ipaBits) !== 0n) return kvmError("E2BIG", "beyond the IPA space");
    const isDist = attr === KVM_VGIC_V3_ADDR_TYPE_DIST;
    if ((isDist ? this.#dist : this.#redist) !== undefined) return kvmError("EEXIST", "the address is set");
    if (isDist) this.#dist = base;
    else {
      this.#redist = base;
      this.#redistCount = count;
    }
    return undefined;
  }

  #init(mpidrs: readonly bigint[]): KvmResult {
    if (this.#distributor) return undefined;
    if (mpidrs.length === 0) return kvmError("ENODEV", "no vCPU");
    this.#mpidrs = mpidrs;
    this.#nrIrqs ||= NR_IRQS_DEFAULT;
    this.#distributor = new Distributor({
      profile: KVM_VGIC,
      mpidrs: [...mpidrs],
      spiCount: Math.min(this.#nrIrqs - 32, SPI_MAX),
      onChange: this.#changed,
    });
    return undefined;
  }

  /** What KVM_RUN demands of a VM that has a VGIC. */
  readyToRun(): KvmResult {
    if (!this.#distributor) return kvmError("EBUSY", "the VGIC is not initialised");
    const { peCount } = this.#distributor;
    if (this.#dist === undefined || this.#redist === undefined) return kvmError("ENXIO", "the VGIC has no addresses");
    if (this.#redistCount !== 0 && this.#redistCount < peCount) return kvmError("EINVAL", "too few redistributors");
    const end = this.#redist + BigInt(GICR_FRAME_SIZE * peCount);
    if (end > 1n << BigInt(this.#ipaBits)) return kvmError("E2BIG", "redistributors beyond the IPA space");
    if (this.#dist < end && this.#redist < this.#dist + BigInt(GICD_SIZE)) {
      return kvmError("EINVAL", "distributor and redistributors overlap");
    }
    return undefined;
  }

  /** The level of an interrupt from the VMM: KVM_IRQ_LINE. */
  irqLine(type: number, cpu: number, intid: number, level: boolean): KvmResult {
    const distributor = this.#distributor;
    if (!distributor) return kvmError("ENXIO", "the VGIC is not initialised");
    if (type === KVM_ARM_IRQ_TYPE_PPI) {
      if (cpu >= distributor.peCount) return kvmError("EINVAL", "no such vCPU");
      if (intid < 16 || intid > 31) return kvmError("EINVAL", `${intid} is not a PPI`);
      distributor.setPpi(cpu, intid, level);
      return undefined;
    }
    if (type === KVM_ARM_IRQ_TYPE_SPI) {
      if (intid < 32 || intid >= distributor.intidLimit) return kvmError("EINVAL", `${intid} is not an SPI`);
      distributor.setSpi(intid, level);
      return undefined;
    }
    return kvmError("EINVAL", `interrupt type ${type}`);
  }

  /** A guest's read of GICD or GICR; undefined when the address is neither. */
  read(gpa: bigint, size: number): bigint | undefined {
    const distributor = this.#distributor!;
    const dist = this.#offsetIn(this.#dist!, GICD_SIZE, gpa);
    if (dist >= 0) return distributor.readDistributor(dist, size, false);
    const redist = this.#offsetIn(this.#redist!, GICR_FRAME_SIZE * distributor.peCount, gpa);
    if (redist < 0) return undefined;
    return distributor.readRedistributor(Math.floor(redist / GICR_FRAME_SIZE), redist % GICR_FRAME_SIZE, size, false);
  }

  /** A guest's write; false when the address is neither. */
  write(gpa: bigint, size: number, value: bigint): boolean {
    const distributor = this.#distributor!;
    const dist = this.#offsetIn(this.#dist!, GICD_SIZE, gpa);
    if (dist >= 0) {
      distributor.writeDistributor(dist, size, value, false);
      return true;
    }
    const redist = this.#offsetIn(this.#redist!, GICR_FRAME_SIZE * distributor.peCount, gpa);
    if (redist < 0) return false;
    distributor.writeRedistributor(Math.floor(redist / GICR_FRAME_SIZE), redist % GICR_FRAME_SIZE, size, value, false);
    return true;
  }

  #offsetIn(base: bigint, size: number, gpa: bigint): number {
    const offset = Number(gpa - base);
    return offset >= 0 && offset < size ? offset : -1;
  }

  save(): VgicState {
    return {
      dist: (this.#dist ?? -1n).toString(),
      redist: (this.#redist ?? -1n).toString(),
      redistCount: this.#redistCount,
      nrIrqs: this.#nrIrqs,
      mpidrs: this.#mpidrs.map(String),
      distributor: this.#distributor?.save() ?? null,
    };
  }

  restore(state: VgicState): void {
    const address = (text: string) => (text === "-1" ? undefined : BigInt(text));
    this.#dist = address(state.dist);
    this.#redist = address(state.redist);
    this.#redistCount = state.redistCount;
    this.#nrIrqs = state.nrIrqs;
    this.#distributor = undefined;
    if (state.distributor) {
      this.#init(state.mpidrs.map(BigInt));
      this.#distributor!.restore(state.distributor);
    }
  }
}
