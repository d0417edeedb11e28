/**
 * The state of one PE: a block of 8-byte slots in the machine's WebAssembly memory, shared by the interpreter, the
 * translator and TypeScript. The block's base is a parameter of all of them, so that any number of PEs share the code.
 *
 * Groups are contiguous on purpose: a world switch moves EL2, a REC moves EL1, GPR, ICH and FP, each as one block of
 * bytes (`groupBytes`). A register belongs to the group of the software that switches it, not to the level in its name.
 *
 * Register names are the Arm ARM's (DDI 0487). Slots of one PE as `pe.r[R.HCR_EL2]`, a BigUint64Array.
 */

const range = <P extends string>(prefix: P, count: number): `${P}${number}`[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}` as const);

/** X0..X30, then the slot that always reads zero, then the SP of the current EL and SPSel, and PC. */
const GPR = [...range("X", 31), "XZR", "SP", "PC"] as const;

/** What the engine uses of the current level: the arrays of its translation context, and what it checks there. */
const LEVEL = [
  "TLB_READ", // i32: host address of the current context's data-read entries
  "TLB_WRITE", // i32: ... data-write entries
  "TLB_FETCH", // i32: ... instruction entries
  "TLB_READ_U", // i32: as TLB_READ, of the context in which LDTR reads
  "TLB_WRITE_U", // i32: as TLB_WRITE, of the context in which STTR writes
  "ALIGN_CHECK", // i32: 1 when SCTLR_ELx.A of the current regime is set
  "SP_CHECK", // i32: 1 when SP alignment is checked at the current EL (SCTLR_ELx.SA, SA0)
  "FP_TRAP", // i32: non-zero when FP and SIMD instructions trap at the current EL: they go to the host
  "ZVA_TRAP", // i32: non-zero when DC ZVA at the current EL is more than a store of zeros: it goes to the host
  "PAUTH", // i32: pointer authentication at the current EL, as cpu/pauth.ts lays it out
  "SYS_INLINE", // i32: which system registers the engine may access itself at the current EL: bits of cpu/inline.ts
  "KNOWN", // i32: of a record, whether the rest of it holds; else nothing
] as const;

/**
 * Levels of which the state has a record of the LEVEL slots, so that the engine itself can go from one to another. The
 * machine keeps a record as long as it is true: until a register changes that it depends on.
 */
export const LEVELS = ["EL0", "EL1", "EL1_PAN"] as const;

/**
 * What the engine alone uses. NZCV is lazy. NZCV_KIND 0: packed in NZCV_A bits 31:28; otherwise the operands of the last
 * flag-setting operation: 1 = subtraction A - B, 2 = addition A + B, 3 = logical result A. Operands of 32-bit operations
 * are shifted left by 32, which gives the same flags. `packNzcv` (cpu/flags.ts) packs it; whoever writes NZCV sets kind 0.
 * PSTATE holds every other PSTATE field in SPSR_ELx format (M[3:0], DAIF, IL, SS, PAN, ...), NZCV bits zero.
 */
const ENGINE = [
  "NZCV_A",
  "NZCV_B",
  "NZCV_KIND",
  "PSTATE",
  "BUDGET", // i32: instructions that may still retire before `run` must return; the engine counts down
  "EXCL_HOST", // i32: host address that the exclusive monitor holds, 0 when it is open
  "EXCL_SIZE", // i32: bytes, 1 to 16
  ...LEVEL,
  ...range("SCRATCH", 8), // 64 bytes through which slow-path accesses pass their data
  "EVENT", // i32: the event register (WFE, SEV)
  "ATTENTION", // i32: non-zero asks the engine to leave at the next instruction boundary
  "BUDGET_HELD", // i32: the engine's own, 0 outside `run`
  // Exceptions that the engine takes itself (interpreter/exception-helpers.ts), and what it needs to know for them.
  ...LEVELS.flatMap((level) => LEVEL.map((name) => `${level}_${name}` as const)),
  "LINES", // i32: non-zero when an interrupt may become due by an unmasking; `Processor.lines` says when it is true
  "MARK", // i32: BUDGET when instructions were last attributed to a level
  "DONE_EL0", // i32: instructions that the engine has attributed and the machine has not counted
  "DONE_EL1",
  "SVCS", // i32: exceptions that the engine has taken and the machine has not counted
  "ERETS",
  "LAST_EVENT", // i32: the last of these: 0 none, 1 SVC, 2 ERET
  "SYNC_DONE", // i32: DONE_EL0 + DONE_EL1 at the last of SVCS
  "SYNC_PC0", // where the last synchronous exception was taken
  "SYNC_PC1", // ... and the last but one, unless both are one
  "CLOCK", // i64: the machine's clock plus BUDGET
  "COUNTS_PER_TICK", // i32: counts of the clock in one of the counter
] as const;

/** EL0 and EL1 registers: a REC, and a vCPU of a normal VM, owns all of them while it runs. */
const EL1 = [
  "SP_EL0",
  "SP_EL1",
  "ELR_EL1",
  "SPSR_EL1",
  "SCTLR_EL1",
  "ACTLR_EL1",
  "CPACR_EL1",
  "TTBR0_EL1",
  "TTBR1_EL1",
  "TCR_EL1",
  "ESR_EL1",
  "AFSR0_EL1",
  "AFSR1_EL1",
  "FAR_EL1",
  "MAIR_EL1",
  "AMAIR_EL1",
  "VBAR_EL1",
  "CONTEXTIDR_EL1",
  "CNTKCTL_EL1",
  "PAR_EL1",
  "MDSCR_EL1",
  "MDCCINT_EL1",
  "DISR_EL1",
  "CSSELR_EL1",
  "TPIDR_EL1",
  "TPIDR_EL0",
  "TPIDRRO_EL0",
  "SCXTNUM_EL1",
  "SCXTNUM_EL0",
  "OSLSR_EL1",
  "OSDLR_EL1",
  // CTL holds ENABLE and IMASK only; ISTATUS is computed at a read (`Pe.mrs`, `Pe.timerCtl`).
  "CNTP_CTL_EL0",
  "CNTP_CVAL_EL0",
  "CNTV_CTL_EL0",
  "CNTV_CVAL_EL0",
  "APIAKeyLo_EL1",
  "APIAKeyHi_EL1",
  "APIBKeyLo_EL1",
  "APIBKeyHi_EL1",
  "APDAKeyLo_EL1",
  "APDAKeyHi_EL1",
  "APDBKeyLo_EL1",
  "APDBKeyHi_EL1",
  "APGAKeyLo_EL1",
  "APGAKeyHi_EL1",
  "EL1_SPARE0",
  "EL1_SPARE1",
  "EL1_SPARE2",
  "EL1_SPARE3",
] as const;

/** Breakpoints and watchpoints: whoever runs guests with MDSCR_EL1.MDE set switches them as a block. */
const DEBUG = [...range("DBGBVR", 2), ...range("DBGBCR", 2), ...range("DBGWVR", 2), ...range("DBGWCR", 2)] as const;

/** EL2 registers: the monitor swaps them at a world switch (root-monitor digest, "World switch"). */
const EL2 = [
  "SP_EL2",
  "ELR_EL2",
  "SPSR_EL2",
  "SCTLR_EL2",
  "ACTLR_EL2",
  "AFSR0_EL2",
  "AFSR1_EL2",
  "AMAIR_EL2",
  "CNTHCTL_EL2",
  "CNTVOFF_EL2",
  "CNTPOFF_EL2",
  "CPTR_EL2",
  "ESR_EL2",
  "FAR_EL2",
  "HACR_EL2",
  "HCR_EL2",
  "HPFAR_EL2",
  "HSTR_EL2",
  "MAIR_EL2",
  "MDCR_EL2",
  "TCR_EL2",
  "TPIDR_EL2",
  "TTBR0_EL2",
  "TTBR1_EL2",
  "CONTEXTIDR_EL2",
  "VBAR_EL2",
  "VMPIDR_EL2",
  "VPIDR_EL2",
  "VTCR_EL2",
  "VTTBR_EL2",
  "VSTCR_EL2",
  "VSTTBR_EL2",
  "VDISR_EL2",
  "VSESR_EL2",
  "HCRX_EL2",
  "HFGRTR_EL2",
  "HFGWTR_EL2",
  "HFGITR_EL2",
  "HDFGRTR_EL2",
  "HDFGWTR_EL2",
  "SCXTNUM_EL2",
  "ICC_SRE_EL2",
  "EL2_SPARE0",
  "EL2_SPARE1",
  "EL2_SPARE2",
  "EL2_SPARE3",
] as const;

/** EL2 timers: not swapped by the monitor; NS-EL2's fire while a realm runs. */
const EL2_TIMER = [
  "CNTHP_CTL_EL2",
  "CNTHP_CVAL_EL2",
  "CNTHV_CTL_EL2",
  "CNTHV_CVAL_EL2",
  "CNTHPS_CTL_EL2",
  "CNTHPS_CVAL_EL2",
  "CNTHVS_CTL_EL2",
  "CNTHVS_CVAL_EL2",
  "CNTPS_CTL_EL1",
  "CNTPS_CVAL_EL1",
] as const;

const EL3 = [
  "SP_EL3",
  "ELR_EL3",
  "SPSR_EL3",
  "SCTLR_EL3",
  "SCR_EL3",
  "ACTLR_EL3",
  "AFSR0_EL3",
  "AFSR1_EL3",
  "AMAIR_EL3",
  "CPTR_EL3",
  "MDCR_EL3",
  "ESR_EL3",
  "FAR_EL3",
  "MFAR_EL3",
  "GPCCR_EL3",
  "GPTBR_EL3",
  "TTBR0_EL3",
  "TCR_EL3",
  "MAIR_EL3",
  "VBAR_EL3",
  "TPIDR_EL3",
  "SCXTNUM_EL3",
  "EL3_SPARE0",
  "EL3_SPARE1",
] as const;

/** The virtualisation interface: list registers and their control, swapped with the vCPU. */
const ICH = ["ICH_HCR_EL2", "ICH_VMCR_EL2", "ICH_AP0R0_EL2", "ICH_AP1R0_EL2", ...range("ICH_LR", 16)] as const;

/** The physical CPU interface. Both copies of ICC_CTLR_EL1 are views of ICC_CTLR_EL3. */
const ICC = [
  "ICC_PMR_EL1",
  "ICC_BPR1_EL1_S",
  "ICC_CTLR_EL3",
  "ICC_BPR0_EL1",
  "ICC_BPR1_EL1", // the Non-secure copy
  "ICC_IGRPEN0_EL1",
  "ICC_IGRPEN1_EL1", // the Non-secure copy
  "ICC_IGRPEN1_EL1_S",
  "ICC_AP0R0_EL1",
  "ICC_AP1R0_EL1", // the Non-secure copy
  "ICC_AP1R0_EL1_S",
  "ICC_SPARE0",
] as const;

/** FPCR, FPSR, then V0..V31, two slots each (low half first). */
const FP = ["FPCR", "FPSR", ...range("V", 64)] as const;

/** The performance monitors: whoever gives them to a guest switches them as a block. Up to date outside emulated code. */
const PMU = [
  "PMCR_EL0", // E, DP, LP and FZO
  "PMSELR_EL0",
  "PMUSERENR_EL0",
  "PMCNTENSET_EL0",
  "PMINTENSET_EL1",
  "PMOVSSET_EL0",
  "PMCCNTR_EL0",
  "PMCCFILTR_EL0",
  ...range("PMEVCNTR", 6),
  ...range("PMEVTYPER", 6),
] as const;

const GROUP_NAMES = { GPR, ENGINE, EL1, DEBUG, EL2, EL2_TIMER, EL3, ICH, ICC, FP, PMU };
export type GroupName = keyof typeof GROUP_NAMES;
type NamesOf<G extends GroupName> = (typeof GROUP_NAMES)[G][number];
export type RegName = { [G in GroupName]: NamesOf<G> }[GroupName];

const slots: Record<string, number> = {};
const groups: Record<string, { readonly first: number; readonly count: number }> = {};
let next = 0;
for (const [group, names] of Object.entries(GROUP_NAMES)) {
  groups[group] = { first: next, count: names.length };
  for (const name of names) slots[name] = next++;
}

/** Slot index of each register in `Pe.r`. `R.X0 + n` is Xn for n up to 30; `R.V0 + 2 * n` is the low half of Vn. */
export const R = slots as Readonly<Record<RegName, number>>;

/** First slot and slot count of each group. */
export const GROUPS = groups as Readonly<Record<GroupName, { readonly first: number; readonly count: number }>>;

/** Slots and bytes of one PE's state, padded to a multiple of 4 KiB. */
export const PE_STATE_SLOTS = Math.ceil(next / 512) * 512;
export const PE_STATE_SIZE = PE_STATE_SLOTS * 8;

/** Values of LAST_EVENT. */
export const LastEvent = { NONE: 0, SVC: 1, ERET: 2 } as const;

/** Slots of the current level's part of the state, and of each of its records: KNOWN is the last. */
export const LEVEL_SLOTS = LEVEL.length;

/** Byte offset of a register from the PE's base, for generated code. */
export const offsetOf = (name: RegName): number => R[name] * 8;
