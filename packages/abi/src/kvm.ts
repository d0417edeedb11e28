/**
 * The KVM userspace interface of arm64: ioctls, capabilities, exit reasons, structures, register ids.
 * Linux UAPI headers `include/uapi/linux/kvm.h` and `arch/arm64/include/uapi/asm/kvm.h` (Linux 6.10), and the additions
 * of the Arm CCA host series (v9, 2025-06: the explicit model of KVM_ENABLE_CAP sub-commands).
 *
 * What is realmbox's own, because no public source gives numbers: everything whose name starts with RME_ (the calls of
 * /dev/rme) and KVM_DEV_TYPE_ARM_REALM with its attribute groups KVM_DEV_ARM_REALM_*.
 */
import { bits, bytes, layout, u8, u16, u32, u64, u64s } from "./layout.js";

/** KVM_GET_API_VERSION's answer. */
export const KVM_API_VERSION = 12;

const NONE = 0;
const WRITE = 1; // user to kernel
const READ = 2; // kernel to user
/** ioctl code: direction 31:30, size of the argument 29:16, type 15:8, number 7:0. */
const ioctl = (dir: number, type: number, nr: number, size: number): number =>
  ((dir << 30) | (size << 16) | (type << 8) | nr) >>> 0;
const kvm = (dir: number, nr: number, size: number): number => ioctl(dir, 0xae, nr, size);

/** ioctl codes by name. */
export const KVM_IOCTL = {
  // System: on /dev/kvm.
  KVM_GET_API_VERSION: kvm(NONE, 0x00, 0),
  KVM_CREATE_VM: kvm(NONE, 0x01, 0),
  KVM_CHECK_EXTENSION: kvm(NONE, 0x03, 0), // on a VM, too
  KVM_GET_VCPU_MMAP_SIZE: kvm(NONE, 0x04, 0),
  // On a VM.
  KVM_CREATE_VCPU: kvm(NONE, 0x41, 0),
  KVM_SET_USER_MEMORY_REGION: kvm(WRITE, 0x46, 32),
  KVM_SET_USER_MEMORY_REGION2: kvm(WRITE, 0x49, 160),
  KVM_IRQ_LINE: kvm(WRITE, 0x61, 8),
  KVM_ENABLE_CAP: kvm(WRITE, 0xa3, 104),
  KVM_ARM_PREFERRED_TARGET: kvm(READ, 0xaf, 32),
  KVM_SET_MEMORY_ATTRIBUTES: kvm(WRITE, 0xd2, 32),
  KVM_CREATE_GUEST_MEMFD: kvm(WRITE | READ, 0xd4, 64),
  KVM_CREATE_DEVICE: kvm(WRITE | READ, 0xe0, 12),
  // On a device, a VM or a vCPU.
  KVM_SET_DEVICE_ATTR: kvm(WRITE, 0xe1, 24),
  KVM_GET_DEVICE_ATTR: kvm(WRITE, 0xe2, 24),
  KVM_HAS_DEVICE_ATTR: kvm(WRITE, 0xe3, 24),
  // On a vCPU.
  KVM_RUN: kvm(NONE, 0x80, 0),
  KVM_GET_MP_STATE: kvm(READ, 0x98, 4),
  KVM_SET_MP_STATE: kvm(WRITE, 0x99, 4),
  KVM_GET_VCPU_EVENTS: kvm(READ, 0x9f, 64),
  KVM_SET_VCPU_EVENTS: kvm(WRITE, 0xa0, 64),
  KVM_GET_ONE_REG: kvm(WRITE, 0xab, 16),
  KVM_SET_ONE_REG: kvm(WRITE, 0xac, 16),
  KVM_ARM_VCPU_INIT: kvm(WRITE, 0xae, 32),
  KVM_ARM_VCPU_FINALIZE: kvm(WRITE, 0xc2, 4),
  KVM_ARM_VCPU_RMM_PSCI_COMPLETE: kvm(WRITE, 0xd6, 24), // CCA v8 to v13
} as const;

/** realmbox's own: ioctl codes of /dev/rme (type 0xAF). */
export const RME_IOCTL = {
  RME_GET_API_VERSION: ioctl(NONE, 0xaf, 0x00, 0),
  RME_GET_FEATURES: ioctl(WRITE | READ, 0xaf, 0x01, 16),
  RME_CREATE_SPACE: ioctl(WRITE | READ, 0xaf, 0x02, 32),
  RME_DESTROY_SPACE: ioctl(WRITE, 0xaf, 0x03, 8),
} as const;

/** realmbox's own: RME_GET_API_VERSION's answer. */
export const RME_API_VERSION = 1;

/** Capability numbers (KVM_CHECK_EXTENSION, KVM_ENABLE_CAP). */
export const KVM_CAP = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  MP_STATE: 14,
  SYNC_MMU: 16,
  VCPU_EVENTS: 41,
  MAX_VCPUS: 66,
  ONE_REG: 70,
  READONLY_MEM: 81,
  ARM_PSCI: 87,
  DEVICE_CTRL: 89,
  ENABLE_CAP_VM: 98,
  ARM_PSCI_0_2: 102,
  CHECK_EXTENSION_VM: 105,
  IMMEDIATE_EXIT: 136,
  VCPU_ATTRIBUTES: 127,
  MAX_VCPU_ID: 128,
  ARM_VM_IPA_SIZE: 165,
  ARM_PMU_V3: 126,
  ARM_NISV_TO_USER: 177,
  ARM_INJECT_EXT_DABT: 178,
  ARM_SYSTEM_SUSPEND: 216,
  USER_MEMORY2: 231,
  MEMORY_FAULT_INFO: 232,
  MEMORY_ATTRIBUTES: 233,
  GUEST_MEMFD: 234,
  VM_TYPES: 235,
  /** The CCA capability of series v9. */
  ARM_RME: 243,
  /** Series v10. */
  ARM_RME_V10: 244,
  /** Series v1 to v7: the populate structure has no flags word, and every populated page is measured. */
  ARM_RME_V1: 300,
} as const;

/** KVM_CREATE_VM's type argument. */
export const KVM_VM_TYPE = {
  IPA_SIZE: bits(7, 0), // 0: 40 bits
  MACHINE: bits(11, 8), // 0 normal, 1 realm
} as const;
export const KVM_VM_TYPE_ARM_NORMAL = 0n;
export const KVM_VM_TYPE_ARM_REALM = 1n;

/** Sub-commands of KVM_ENABLE_CAP(KVM_CAP_ARM_RME): args[0]; args[1] is the structure. CCA v7 to v10. */
export const KVM_CAP_ARM_RME_SUB = {
  CONFIG_REALM: 0,
  CREATE_REALM: 1,
  INIT_RIPAS_REALM: 2,
  POPULATE_REALM: 3,
  ACTIVATE_REALM: 4,
} as const;

/** CONFIG_REALM: which item. */
export const ARM_RME_CONFIG_RPV = 0;
export const ARM_RME_CONFIG_HASH_ALGO = 1;
/** Of the first series (2023): the number of event counters; without it the realm has no PMU. */
export const ARM_RME_CONFIG_PMU = 4;
export const ARM_RME_HASH_ALGO_SHA256 = 0;
export const ARM_RME_HASH_ALGO_SHA512 = 1;
export const ARM_RME_POPULATE_FLAGS_MEASURE = 1;

/** struct arm_rme_config, 260 bytes: RPV and hash algorithm share the bytes from 4 on. */
export const ArmRmeConfigRpv = layout("arm_rme_config (RPV)", 260, { cfg: u32(0), rpv: bytes(4, 64) });
export const ArmRmeConfigHash = layout("arm_rme_config (hash)", 260, { cfg: u32(0), hash_algo: u32(4) });
export const ArmRmeConfigPmu = layout("arm_rme_config (PMU)", 260, { cfg: u32(0), num_pmu_cntrs: u32(4) });
/** struct arm_rme_init_ripas. */
export const ArmRmeInitRipas = layout("arm_rme_init_ripas", 32, { base: u64(0), size: u64(8), reserved: u64s(16, 2) });
/** struct arm_rme_populate_realm. */
export const ArmRmePopulateRealm = layout("arm_rme_populate_realm", 32, {
  base: u64(0),
  size: u64(8),
  flags: u32(16),
  reserved: bytes(20, 12),
});
/** struct kvm_arm_rmm_psci_complete. */
export const ArmRmmPsciComplete = layout("kvm_arm_rmm_psci_complete", 24, {
  target_mpidr: u64(0),
  psci_status: u32(8),
  padding: bytes(12, 12),
});

/** struct kvm_userspace_memory_region2; the first 32 bytes are kvm_userspace_memory_region. */
export const KvmUserspaceMemoryRegion2 = layout("kvm_userspace_memory_region2", 160, {
  slot: u32(0),
  flags: u32(4),
  guest_phys_addr: u64(8),
  memory_size: u64(16), // 0: delete the slot
  userspace_addr: u64(24),
  guest_memfd_offset: u64(32),
  guest_memfd: u32(40),
});
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;
export const KVM_MEM_GUEST_MEMFD = 4;

/** struct kvm_memory_attributes. */
export const KvmMemoryAttributes = layout("kvm_memory_attributes", 32, {
  address: u64(0),
  size: u64(8),
  attributes: u64(16),
  flags: u64(24),
});
export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 8n;

/** struct kvm_create_guest_memfd. */
export const KvmCreateGuestMemfd = layout("kvm_create_guest_memfd", 64, { size: u64(0), flags: u64(8) });

/** struct kvm_vcpu_init. */
export const KvmVcpuInit = layout("kvm_vcpu_init", 32, { target: u32(0), features: bytes(4, 28) });
export const KVM_ARM_TARGET_GENERIC_V8 = 5;
/** Bit numbers in kvm_vcpu_init.features[0]. */
export const KVM_ARM_VCPU = {
  POWER_OFF: 0,
  EL1_32BIT: 1,
  PSCI_0_2: 2,
  PMU_V3: 3,
  SVE: 4,
  PTRAUTH_ADDRESS: 5,
  PTRAUTH_GENERIC: 6,
  HAS_EL2: 7,
  /** CCA v8 to v10. */
  REC: 9,
} as const;

/** KVM_IRQ_LINE's irq field. */
export const KVM_IRQ_LINE_FIELD = {
  VCPU2: bits(31, 28), // vCPU index, times 256
  TYPE: bits(27, 24),
  VCPU: bits(23, 16),
  NUMBER: bits(15, 0), // INTID
} as const;
export const KVM_ARM_IRQ_TYPE_CPU = 0;
export const KVM_ARM_IRQ_TYPE_SPI = 1;
export const KVM_ARM_IRQ_TYPE_PPI = 2;

/** KVM_CREATE_DEVICE types. */
export const KVM_DEV_TYPE_ARM_VGIC_V3 = 7;
/** realmbox's own: the device that controls a realm (guide of 2021; no public number). */
export const KVM_DEV_TYPE_ARM_REALM = 0x524d;
export const KVM_CREATE_DEVICE_TEST = 1;

/** Attribute groups of the VGICv3 device. */
export const KVM_DEV_ARM_VGIC_GRP = {
  ADDR: 0,
  DIST_REGS: 1,
  CPU_REGS: 2,
  NR_IRQS: 3, // u32: 64 to 1024, a multiple of 32; counts SGIs and PPIs
  CTRL: 4,
  REDIST_REGS: 5,
  CPU_SYSREGS: 6,
  LEVEL_INFO: 7,
} as const;
export const KVM_VGIC_V3_ADDR_TYPE_DIST = 2n;
export const KVM_VGIC_V3_ADDR_TYPE_REDIST = 3n;
/** Region of redistributors: base | count << 52 | index; flags 15:12 zero. */
export const KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION = 5n;
export const KVM_DEV_ARM_VGIC_CTRL_INIT = 0n;

/** realmbox's own: attribute groups of KVM_DEV_TYPE_ARM_REALM; the value is the structure of the same sub-command. */
export const KVM_DEV_ARM_REALM_GRP = {
  CONFIG: 0,
  CREATE: 1,
  INIT_RIPAS: 2,
  POPULATE: 3,
  ACTIVATE: 4,
  STATE: 5,
} as const;

/** VM attributes. */
export const KVM_ARM_VM_SMCCC_CTRL = 0;
export const KVM_ARM_VM_SMCCC_FILTER = 0n;
/** struct kvm_smccc_filter. */
export const KvmSmcccFilter = layout("kvm_smccc_filter", 24, {
  base: u32(0),
  nr_functions: u32(4),
  action: u8(8),
  pad: bytes(9, 15),
});
export const KVM_SMCCC_FILTER_HANDLE = 0;
export const KVM_SMCCC_FILTER_DENY = 1;
export const KVM_SMCCC_FILTER_FWD_TO_USER = 2;

/** vCPU attributes: PPI numbers of the timers (u32). */
export const KVM_ARM_VCPU_PMU_V3_CTRL = 0;
export const KVM_ARM_VCPU_PMU_V3_IRQ = 0n;
export const KVM_ARM_VCPU_PMU_V3_INIT = 1n;
export const KVM_ARM_VCPU_TIMER_CTRL = 1;
export const KVM_ARM_VCPU_TIMER_IRQ_VTIMER = 0n;
export const KVM_ARM_VCPU_TIMER_IRQ_PTIMER = 1n;

/** KVM_GET_MP_STATE. */
export const KVM_MP_STATE = { RUNNABLE: 0, STOPPED: 5, SUSPENDED: 10 } as const;

/** struct kvm_vcpu_events. */
export const KvmVcpuEvents = layout("kvm_vcpu_events", 64, {
  serror_pending: u8(0),
  serror_has_esr: u8(1),
  ext_dabt_pending: u8(2),
  serror_esr: u64(8),
});

/** kvm_run.exit_reason. */
export const KVM_EXIT = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  ARM_NISV: 28,
  DIRTY_RING_FULL: 31,
  MEMORY_FAULT: 39,
} as const;
export const KVM_EXIT_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(KVM_EXIT).map(([name, value]) => [value, name]),
);

/** kvm_run.system_event.type. */
export const KVM_SYSTEM_EVENT = { SHUTDOWN: 1, RESET: 2, CRASH: 3, WAKEUP: 4, SUSPEND: 5 } as const;

/** kvm_run.hypercall.flags. */
export const KVM_HYPERCALL_EXIT_SMC = 1n;
export const KVM_HYPERCALL_EXIT_16BIT = 2n;

/** kvm_run.memory_fault.flags: the access needs or wants private memory. */
export const KVM_MEMORY_EXIT_FLAG_PRIVATE = 8n;

/** kvm_run.internal.suberror. */
export const KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;

/** struct kvm_run without the exit union: the page that a VMM maps. */
export const KvmRunHead = layout("kvm_run", 2352, {
  immediate_exit: u8(1),
  exit_reason: u32(8),
  flags: u16(14),
  union: bytes(32, 256),
});
/** The members of kvm_run's exit union, by offset in kvm_run. */
export const KvmRunMmio = layout("kvm_run.mmio", 2352, {
  phys_addr: u64(32),
  data: bytes(40, 8),
  len: u32(48),
  is_write: u8(52),
});
export const KvmRunHypercall = layout("kvm_run.hypercall", 2352, {
  nr: u64(32),
  args: u64s(40, 6),
  ret: u64(88),
  flags: u64(96),
});
export const KvmRunSystemEvent = layout("kvm_run.system_event", 2352, {
  type: u32(32),
  ndata: u32(36),
  data: u64s(40, 16),
});
export const KvmRunMemoryFault = layout("kvm_run.memory_fault", 2352, { flags: u64(32), gpa: u64(40), size: u64(48) });
export const KvmRunArmNisv = layout("kvm_run.arm_nisv", 2352, { esr_iss: u64(32), fault_ipa: u64(40) });
export const KvmRunFailEntry = layout("kvm_run.fail_entry", 2352, {
  hardware_entry_failure_reason: u64(32),
  cpu: u32(40),
});
export const KvmRunInternal = layout("kvm_run.internal", 2352, {
  suberror: u32(32),
  ndata: u32(36),
  data: u64s(40, 16),
});

/** KVM_GET_ONE_REG: id = arch 63:60 (6) | size 55:52 (log2 of bytes) | class 27:16 | index 15:0. */
const REG_ARM64 = 0x6000_0000_0000_0000n;
const REG_U64 = 0x0030_0000_0000_0000n;
const REG_CORE = 0x0010_0000n;
const REG_SYSREG = 0x0013_0000n;
/** Core registers: offset in struct kvm_regs, in 32-bit words. */
const core = (offset: number): bigint => REG_ARM64 | REG_U64 | REG_CORE | BigInt(offset / 4);
export const KVM_REG = {
  /** Xn, n from 0 to 30. */
  x: (n: number): bigint => core(8 * n),
  SP_EL0: core(248),
  PC: core(256),
  PSTATE: core(264),
  SP_EL1: core(272),
  ELR_EL1: core(280),
  SPSR_EL1: core(288),
  /** A system register by encoding. */
  sysreg: (op0: number, op1: number, crn: number, crm: number, op2: number): bigint =>
    REG_ARM64 | REG_U64 | REG_SYSREG | BigInt((op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2),
} as const;
export const KVM_REG_FIELD = {
  CLASS: bits(27, 16),
  SIZE: bits(55, 52),
  ARCH: bits(63, 60),
  INDEX: bits(15, 0),
} as const;
export const KVM_REG_CLASS_CORE = 0x10n;
export const KVM_REG_CLASS_SYSREG = 0x13n;
