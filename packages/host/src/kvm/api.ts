/**
 * The KVM userspace interface as typed calls: one method per ioctl, named after it, with its structure as an object.
 * Linux `Documentation/virt/kvm/api.rst`; the CCA calls follow series v9 (explicit model). A VMM programs against this
 * file alone.
 *
 * Owners: every object is reached through the process that opened it. A file descriptor that reached another process
 * (`as`) names the same object, but its ioctls are refused with EIO, as KVM does when the caller's address space is not
 * the creator's.
 *
 * Calls that need SMCs are operations (`…Op`): generators that a VMM runs with `yield*` inside another operation, that
 * it returns from its `OnExit`, or that `Host.call` drives from outside the run loop.
 */
import type { Firmware, Snapshotable } from "@realmbox/machine";
import type { KvmError, KvmResult } from "./errno.js";

/** What an operation yields: the registers of an SMC, or a wait for another operation. Only the Host looks at it. */
export type OpStep = BigUint64Array | "wait";
/** Work of several SMCs. Resumed with X0..X7 of the finished SMC, in the same array. */
export type Op<T> = Generator<OpStep, T, BigUint64Array>;

export interface Host extends Firmware, Snapshotable {
  /** A new process of the Host's user space: the owner of what it opens. */
  process(name: string): Process;
  /**
   * Runs an operation from outside the run loop: hands it to PE 0 and runs the machine until it is done. EINTR when the
   * machine ended first (limit, deadlock); the operation is then abandoned.
   */
  call<T>(op: Op<T>): T | KvmError;
  /** Runs the machine until all PEs have booted. EINTR as `call`. */
  boot(): KvmError | undefined;
  /**
   * Memory pressure: takes private pages of a realm back with RMI_DATA_DESTROY, without asking its VMM. The content is
   * gone; the realm's next access makes KVM_RUN return EHWPOISON. Gives how many pages came free.
   */
  reclaimOp(vm: Vm, gpa: bigint, size: bigint): Op<number>;
  /** The RMM that answered at boot; undefined without one. */
  readonly rmm: RmmInfo | undefined;
  /** Pages by use. After everything is closed all are zero but `reserved` and `leaked`. */
  readonly pages: PageUse;
  /** Events counted since boot, for all VMs. */
  readonly counters: HostCounters;
  /** Operations are under way: a snapshot cannot be taken now. */
  readonly busy: boolean;
  /** The VMs that are open, for whoever restores a snapshot: by `Vm.id`. */
  vms(owner: Process): readonly Vm[];
  /** The process of a name, for whoever restores a snapshot. */
  findProcess(name: string): Process | undefined;
}

export interface RmmInfo {
  /** RMI_VERSION: major << 16 | minor of the highest revision that Host and RMM share. */
  readonly version: bigint;
  /** RMI_FEATURES index 0. */
  readonly features0: bigint;
}

/** Numbers of 4 KiB pages by use. */
export interface PageUse {
  readonly free: number;
  /** Taken at boot for the Host itself. */
  readonly reserved: number;
  /** Anonymous memory of processes. */
  readonly user: number;
  /** Private memory of realms (guest_memfd), delegated. */
  readonly guestMemfd: number;
  /** RD, REC, REC_AUX, RTT granules, delegated. */
  readonly realm: number;
  /** Stage-2 tables of normal VMs. */
  readonly stage2: number;
  /** REC run pages and parameter pages. */
  readonly shared: number;
  /** Lost: the RMM refused to undelegate them. */
  readonly leaked: number;
}

export interface HostCounters {
  /** RMI_REC_ENTER calls that entered, and their exits by RmiRecExitReason. */
  recEntries: number;
  readonly recExits: number[];
  /** Entries of normal VMs, and their exits by ESR_EL2.EC. */
  guestEntries: number;
  readonly guestExits: number[];
  /** Physical interrupts that ended a guest's run. */
  irqExits: number;
  /** KVM_RUN returns by KVM_EXIT reason. */
  readonly kvmExits: number[];
  /** Pages mapped because of a fault: private to a realm, shared with it, in a normal VM. */
  faultsPrivate: number;
  faultsShared: number;
  faultsNormal: number;
  /** RMI commands that the Host issued, REC_ENTER included. */
  rmiCalls: number;
  /** Granule protection faults on the Host's own accesses. */
  granuleFaults: number;
  /** Inter-processor interrupts to make a PE look at a vCPU. */
  kicks: number;
}

/** A process of the Host's user space: an address space, and the owner of file descriptors. */
export interface Process {
  readonly name: string;
  /** open("/dev/kvm"). */
  openKvm(): KvmResult<Kvm>;
  /** open("/dev/rme"): ENODEV without an RMM. */
  openRme(): KvmResult<Rme>;
  /**
   * Anonymous memory of `size` bytes (rounded up to pages), zero until written; physical pages on first touch. Gives
   * its address, 2 MiB aligned. ENOMEM, EINVAL.
   */
  mmap(size: bigint): KvmResult<bigint>;
  /** Gives memory back; it must not back a memory slot (EBUSY). */
  munmap(address: bigint): KvmResult;
  /** Reads this process's memory. EFAULT: nothing there, or a granule protection fault (a page that was delegated). */
  read(address: bigint, into: Uint8Array): KvmResult;
  write(address: bigint, from: Uint8Array): KvmResult;
  /**
   * madvise(MADV_DONTNEED) of whole pages: they go back to the Host, and what is read there next is zero. EBUSY, and nothing
   * is given back, when a VM has mapped one of them.
   */
  dontNeed(address: bigint, size: bigint): KvmResult;
  /** CLOCK_MONOTONIC: the physical count. */
  readonly now: number;
  /** Counts a second. */
  readonly clockHz: number;
  /**
   * Arms the process's one timer (timerfd): its handler runs once, in a step of the Host, as soon as `now` has reached
   * `at`; undefined disarms it.
   */
  setTimer(at: number | undefined): void;
  /** Who is called when the timer expires. A snapshot holds the time, not the handler: whoever restores one sets it again. */
  onTimer(handler: () => void): void;
  /** Ends the process: closes everything that it opened. */
  exitOp(): Op<KvmResult>;
}

/** /dev/kvm. */
export interface Kvm {
  getApiVersion(): KvmResult<number>;
  /** Capability by KVM_CAP: 0 when absent. */
  checkExtension(cap: number): KvmResult<number>;
  getVcpuMmapSize(): KvmResult<number>;
  /**
   * `type`: KVM_VM_TYPE fields. EPERM: a realm without a usable RMM. EINVAL: unknown type; IPA size below 32 or above
   * what the machine or the RMM has.
   */
  createVm(type: bigint): KvmResult<Vm>;
  /** The same descriptor in another process. */
  as(other: Process): Kvm;
}

/**
 * /dev/rme, realmbox's own interface: the device that manages the realm address space which a VMM uses: memory that the
 * VMM sees (what is loaded before population, the shared half afterwards) with the private half behind it.
 */
export interface Rme {
  getApiVersion(): KvmResult<number>;
  /** RMI feature register `index`, as the RMM gave it at boot. */
  getFeatures(index: number): KvmResult<bigint>;
  /** Address and guest_memfd for one memory slot of `size` bytes. */
  createSpace(size: bigint): KvmResult<RmeSpace>;
  /** Gives a space back once its slot is deleted or its VM closed. */
  destroySpaceOp(space: RmeSpace): Op<KvmResult>;
  as(other: Process): Rme;
}

export interface RmeSpace {
  readonly userspace_addr: bigint;
  readonly guest_memfd: GuestMemfd;
  readonly size: bigint;
}

/** A file of private pages of one realm. */
export interface GuestMemfd {
  readonly size: bigint;
  /** fallocate(PUNCH_HOLE): takes the pages back from the realm, wiped. */
  punchHoleOp(offset: bigint, size: bigint): Op<KvmResult>;
  /**
   * What an access through a mapping of the file does: a delegated page gives a granule protection fault, which the
   * process sees as EFAULT (SIGBUS); a page that is not there likewise.
   */
  read(offset: bigint, into: Uint8Array): KvmResult;
  /** Closes the file; EBUSY while a slot uses it. */
  closeOp(): Op<KvmResult>;
}

export interface UserMemoryRegion {
  readonly slot: number;
  /** KVM_MEM_*. */
  readonly flags?: number;
  readonly guest_phys_addr: bigint;
  readonly memory_size: bigint;
  readonly userspace_addr: bigint;
  readonly guest_memfd?: GuestMemfd;
  readonly guest_memfd_offset?: bigint;
}

export interface ArmRmeConfig {
  /** ARM_RME_CONFIG_RPV with `rpv`, _HASH_ALGO with `hash_algo`, _PMU with `num_pmu_cntrs`. */
  readonly cfg: number;
  readonly num_pmu_cntrs?: number;
  readonly rpv?: Uint8Array;
  readonly hash_algo?: number;
}

export type RealmState = "none" | "new" | "active" | "off";

/** A VM file descriptor. */
export interface Vm {
  readonly id: number;
  readonly isRealm: boolean;
  readonly ipaBits: number;
  readonly realmState: RealmState;
  /** For a realm: the physical address of its RD, for traces and tests. */
  readonly rd: bigint | undefined;
  readonly vcpus: readonly Vcpu[];

  checkExtension(cap: number): KvmResult<number>;
  /** EEXIST; EINVAL: id above KVM_CAP_MAX_VCPU_ID; EBUSY: VGIC initialised, or realm active. */
  createVcpu(id: number): KvmResult<Vcpu>;
  /** Adds a memory slot. EINVAL: alignment, beyond the IPA space, bad flags; EEXIST: overlap. A slot is removed by its Op. */
  setUserMemoryRegion(region: UserMemoryRegion): KvmResult;
  /** Removes a memory slot (memory_size 0 in the ioctl). */
  deleteUserMemoryRegionOp(slot: number): Op<KvmResult>;
  createGuestMemfd(size: bigint, flags?: bigint): KvmResult<GuestMemfd>;
  /** KVM_MEMORY_ATTRIBUTE_PRIVATE or 0 for a range: the stale half of each page is unmapped from the realm. */
  setMemoryAttributesOp(range: {
    readonly address: bigint;
    readonly size: bigint;
    readonly attributes: bigint;
  }): Op<KvmResult>;
  /** `irq`: KVM_IRQ_LINE_FIELD. EINVAL: no such interrupt; ENXIO: no VGIC. May be called at any time. */
  irqLine(irq: number, level: boolean): KvmResult;
  /** ENODEV: unknown type; EEXIST: the VM has one. With KVM_CREATE_DEVICE_TEST nothing is created. */
  createDevice(type: number, flags?: number): KvmResult<Device>;
  preferredTarget(): KvmResult<{ readonly target: number; readonly features: readonly number[] }>;
  /** VM attributes: KVM_ARM_VM_SMCCC_FILTER. */
  setDeviceAttr(group: number, attr: bigint, value: Uint8Array): KvmResult;
  hasDeviceAttr(group: number, attr: bigint): KvmResult;
  /**
   * KVM_ENABLE_CAP. KVM_CAP_ARM_RME and its aliases: args[0] is the sub-command, `data` what args[1] points to. The
   * methods below are the same with typed arguments. KVM_CAP_ARM_NISV_TO_USER without arguments.
   */
  enableCapOp(cap: number, args?: readonly bigint[], data?: Uint8Array): Op<KvmResult>;

  /** CONFIG_REALM. EPERM: after CREATE_REALM. */
  configRealm(config: ArmRmeConfig): KvmResult;
  /** CREATE_REALM. EEXIST: twice; ENXIO: the RMM refused. */
  createRealmOp(): Op<KvmResult>;
  /** INIT_RIPAS_REALM: RIPAS RAM for a range. EPERM: realm not in state new. */
  initRipasRealmOp(range: { readonly base: bigint; readonly size: bigint }): Op<KvmResult>;
  /** POPULATE_REALM: content from the slot's userspace memory at the same IPA. EPERM: state, or a slot without guest_memfd. */
  populateRealmOp(range: { readonly base: bigint; readonly size: bigint; readonly flags?: number }): Op<KvmResult>;
  /** ACTIVATE_REALM. EPERM: state. */
  activateRealmOp(): Op<KvmResult>;

  /** Closes the VM: stops its vCPUs, destroys the realm, gives every page back. */
  closeOp(): Op<KvmResult>;
  as(other: Process): Vm;
}

/** A device of a VM: KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_REALM. Values are bytes, little-endian. */
export interface Device {
  readonly type: number;
  setDeviceAttr(group: number, attr: bigint, value?: Uint8Array): KvmResult;
  /** Attributes that need SMCs (the realm device's); the others work, too. */
  setDeviceAttrOp(group: number, attr: bigint, value?: Uint8Array): Op<KvmResult>;
  getDeviceAttr(group: number, attr: bigint, into: Uint8Array): KvmResult;
  hasDeviceAttr(group: number, attr: bigint): KvmResult;
  as(other: Process): Device;
}

/**
 * What the VMM's thread does when KVM_RUN returns: call it again, end, or first do work that needs SMCs. It has read
 * `run` and answered in it (MMIO data, hypercall registers by setOneReg) before it returns "run".
 */
export type OnExit = (vcpu: Vcpu, run: KvmRun) => "run" | "stop" | Op<"run" | "stop">;

/** A vCPU file descriptor, and the VMM's thread that serves it. */
export interface Vcpu {
  readonly id: number;
  readonly vm: Vm;
  readonly run: KvmRun;

  /** EINVAL: target, features; ENOENT. `features`: the words of kvm_vcpu_init. */
  armVcpuInit(init: { readonly target: number; readonly features: readonly number[] }): KvmResult;
  /** KVM_ARM_VCPU_FINALIZE; with KVM_ARM_VCPU.REC it creates the REC. */
  armVcpuFinalizeOp(feature: number): Op<KvmResult>;
  /** ENOENT: unknown register; EPERM: not accessible (realm). */
  getOneReg(id: bigint): KvmResult<bigint>;
  setOneReg(id: bigint, value: bigint): KvmResult;
  getMpState(): KvmResult<number>;
  setMpState(state: number): KvmResult;
  /** Only ext_dabt_pending and serror_pending; a realm: only ext_dabt_pending after an MMIO exit. */
  setVcpuEvents(events: { readonly ext_dabt_pending?: boolean; readonly serror_pending?: boolean }): KvmResult;
  /** KVM_ARM_VCPU_TIMER_CTRL. */
  setDeviceAttr(group: number, attr: bigint, value: Uint8Array): KvmResult;
  /**
   * KVM_ARM_VCPU_RMM_PSCI_COMPLETE: answers a realm's CPU_ON or AFFINITY_INFO in place of the kernel (`Vm.enableCapOp`
   * is not needed: the kernel answers by itself in the next KVM_RUN when the VMM did not).
   */
  rmmPsciCompleteOp(args: { readonly target_mpidr: bigint; readonly psci_status: number }): Op<KvmResult>;

  /**
   * Starts the VMM's thread: KVM_RUN in a loop, `onExit` at each return. EBUSY: it runs already; ENOEXEC-like states
   * (not initialised, realm not active) are EINVAL and EPERM as KVM_RUN gives them. A thread that a snapshot brought back
   * is `started` without an `onExit`: start gives it one, and it goes on where it was.
   */
  start(onExit: OnExit): KvmResult;
  /** A signal to the thread: KVM_RUN returns EINTR with KVM_EXIT_INTR as soon as possible. */
  interrupt(): KvmResult;
  /** Whether the thread has been started and has not ended. */
  readonly started: boolean;
  as(other: Process): Vcpu;
}

/** struct kvm_run: one object per vCPU, filled again at each return of KVM_RUN. */
export interface KvmRun {
  /** 1: KVM_RUN completes pending I/O and returns EINTR. */
  immediate_exit: boolean;
  /** What KVM_RUN returned: undefined for 0. With EFAULT and EHWPOISON and KVM_EXIT.MEMORY_FAULT the exit is valid. */
  error: KvmError | undefined;
  /** KVM_EXIT. */
  exit_reason: number;
  /** KVM_EXIT.MMIO: `data` little-endian, the first `len` bytes; for a read the VMM fills it. */
  readonly mmio: { phys_addr: bigint; readonly data: Uint8Array; len: number; is_write: boolean };
  /**
   * KVM_EXIT.HYPERCALL: `nr` is the function id (W0). All registers by getOneReg and setOneReg, the result included.
   * `imm`: the immediate of RSI_HOST_CALL or HVC (not in Linux's structure).
   */
  readonly hypercall: { nr: bigint; flags: bigint; imm: number };
  /** KVM_EXIT.SYSTEM_EVENT. */
  readonly system_event: { type: number; ndata: number; readonly data: BigUint64Array };
  /** KVM_EXIT.MEMORY_FAULT. */
  readonly memory_fault: { flags: bigint; gpa: bigint; size: bigint };
  /** KVM_EXIT.ARM_NISV. */
  readonly arm_nisv: { esr_iss: bigint; fault_ipa: bigint };
  /** KVM_EXIT.FAIL_ENTRY: for a realm the RMI return code. */
  readonly fail_entry: { hardware_entry_failure_reason: bigint; cpu: number };
  /** KVM_EXIT.INTERNAL_ERROR. */
  readonly internal: { suberror: number; readonly data: BigUint64Array };
}
