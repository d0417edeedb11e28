/**
 * The contract between the instruction engines (the generated interpreter, later the translator) and the machine
 * around them. Everything that is hot lives in WebAssembly; everything cold or complicated is a call through
 * `EngineHost`: table walks, devices, system registers, exceptions.
 *
 * Memory: one WebAssembly memory, allocated by the machine, never grown. Addresses in it are "host addresses" (i32). Its
 * first ENGINE_TABLES_SIZE bytes belong to the engine (decode table, bitmask immediates, CRC tables): the interpreter's
 * module fills them when it is instantiated. So host address 0 is never data, and 0 can mean "exception taken".
 * Physical pages lie on host addresses that are multiples of 4 KiB.
 *
 * Software TLB: per translation context and access kind (read, write, fetch) an array of TLB_ENTRIES entries of 16 bytes:
 *   +0  i64  tag: virtual address of the page (bits 11:0 zero), or TLB_INVALID
 *   +8  i32  addend: host address of the page minus the low 32 bits of the virtual page
 *   +12 i32  spare
 * Index = (va >> 12) & (TLB_ENTRIES - 1). The current context's arrays are TLB_READ, TLB_WRITE and TLB_FETCH of the PE
 * state; LDTR and STTR (Access.UNPRIVILEGED) look in TLB_READ_U and TLB_WRITE_U instead, by the same rules. Check of an n-byte access: ((va + n - 1) & ~0xfff) == tag, so an access that crosses a page misses. An entry
 * exists only when the access needs no further look (permissions, GPT, Normal memory); everything else misses for ever
 * and goes to the host. Tags hold the address after TBI removal, sign-extended from bit 55; with a tagged address the
 * compare misses and the host resolves it.
 */

/** Bytes at the start of the memory that belong to the engine; the machine allocates from here on. */
export const ENGINE_TABLES_SIZE = 0xb0000;

/** Entries of the jump cache (translator/jump-cache.ts), 32 bytes each, and its host address. */
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE = 0x60000;
/** How often places were reached by branches back, calls and indirect branches, u16 by a hash of the host address. */
export const REACH_COUNTS = 0x80000;
export const REACH_COUNT_ENTRIES = 0x10000;
/** i32: a place that was reached more often than this is translated. */
export const REACH_THRESHOLD = 0xa0000;
/** How often the dispatcher enters a region before it says so. */
export const PROMOTE_AT = 20_000;
/** i64: instructions that translated code has executed. */
export const TRANSLATED_COUNT = 0xa0008;
/** i64: how often translated code was entered. */
export const REGION_ENTRIES = 0xa0010;

/**
 * Pages of 32 MiB: a random walk over as much takes 5 ns an access where 1,024 entries miss and take 150. Most of an array stays
 * untouched; what fills and flushes cost goes by the entries that are used (mmu/tlb.ts).
 */
export const TLB_ENTRIES = 8192;
export const TLB_ENTRY_SIZE = 16;
export const TLB_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;
export const TLB_INVALID = 0xffff_ffff_ffff_ffffn;

/** Why `Engine.run` returned. */
export const EngineExit = {
  /** BUDGET is spent or ATTENTION is set; PC is the next instruction. */
  BUDGET: 0,
  /**
   * A host call asked to leave. The host has already put PC and PSTATE where execution goes on: at a vector, after an
   * ERET, in native firmware. BUDGET counts the instruction only if it retired.
   */
  LEAVE: 1,
} as const;

/** What a region's function returns; PC and everything else are in the state. */
export const RegionExit = {
  /** Go on at PC. */
  NEXT: 0,
  /** The interpreter executes the instruction at PC. */
  STEP: 1,
  /** BUDGET does not cover the next block: the interpreter goes on until it is spent. */
  FINISH: 2,
  /** As NEXT, and the mode may be another (translator/mode.ts). */
  CHANGED: 3,
} as const;

/** What a host call answers to the engine. */
export const HostReply = {
  /** Go on with the next instruction in sequence; PC in the state is still that of the instruction just done. */
  NEXT: 0,
  /** PC in the state has been changed (exception entry, ERET); go on there without leaving. */
  JUMP: 1,
  /** Leave `run` now (EngineExit.LEAVE). */
  LEAVE: 2,
} as const;

/** Bytes that DC ZVA zeroes. */
export const DC_ZVA_BYTES = 64;

/** Flags of a data access, for the host's slow path. */
export const Access = {
  READ: 0,
  WRITE: 1,
  /** An atomic read-modify-write (LSE, CAS, SWP): a fault reports WnR by the rule for atomics; needs natural alignment. */
  ATOMIC: 2,
  /** LDTR/STTR: the access is made with EL0's permissions. */
  UNPRIVILEGED: 4,
  /** Exclusive or acquire/release: needs natural alignment (fault 0x21 otherwise). */
  ORDERED: 8,
  /** DC ZVA and cache maintenance: reported as the architecture says for them. */
  MAINTENANCE: 16,
  /** One of a pair, an exclusive, SIMD, or with write-back: ESR.ISV is 0. */
  NO_SYNDROME: 32,
  /**
   * The address is not a multiple of the element's size (of the whole access for ORDERED and ATOMIC; of one register
   * for a pair). It is an alignment fault if ORDERED or ATOMIC is set, if ALIGN_CHECK is set, or if the memory turns out
   * to be Device; otherwise the access is an ordinary one. The host need not look at the address for this.
   */
  UNALIGNED: 64,
} as const;

/**
 * Implemented by the machine; called by the engine for one PE, `base` being the host address of that PE's state. Before
 * each of these calls the engine has stored PC (of the instruction itself), the general registers, the flags and BUDGET, so
 * that the state is the architectural state at the instruction's start. 64-bit values pass as two halves. All
 * arguments are unsigned numbers.
 *
 * The clock: the BUDGET stored before a call does not yet count the instruction at PC. The engine counts it (BUDGET - 1)
 * when it completes: after NEXT, or when fetch, load, store and modify did not take an exception. After JUMP and LEAVE,
 * and after an exception, the host has counted what there is to count (an exception costs 1 too). So the engine reloads
 * BUDGET after every call, as it reloads PC, SP, flags and the TLB pointers; BUDGET may then be zero or negative, which
 * means: leave before the next instruction.
 */
export interface EngineHost {
  /**
   * A fetch that missed. Returns the host address of the instruction at PC (valid to the end of its page), or 0 when an
   * exception has been taken instead: the engine goes on at the new PC, or leaves if ATTENTION is set. PC is a multiple
   * of 4. The host may rewrite PC itself (a tagged address after a branch, which the architecture canonicalises).
   */
  fetch(base: number): number;
  /**
   * A data read of `size` bytes (1 to 64) that missed. Returns the host address that holds the value (the page itself,
   * or SCRATCH0), or 0 when an exception has been taken. `insn` is the instruction word, for the syndrome.
   */
  load(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number;
  /**
   * A data write that missed. The data, up to 64 bytes, are in SCRATCH0 and the slots after it. Performs the whole store and
   * returns 1, or 0 when an exception has been taken (and nothing was stored).
   */
  store(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number;
  /**
   * For read-modify-write: a host address at which both a read and a write of `size` bytes are allowed and which is
   * plain memory, or 0 when an exception has been taken (atomics to Device memory fault). Store-exclusives call it too,
   * with WRITE and without ATOMIC: there the write permission is enough, and a fault is that of a write.
   */
  modify(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number;
  /**
   * A data access of translated code that missed. When it is one that the software TLB may hold: fills it in and returns the
   * address of its entry; else, and when the access would fault, 0, and nothing was done but what a walk does. Only the PE's
   * PSTATE and system registers are in the state. `access` as for `load` and `store`.
   */
  fill(base: number, vaLo: number, vaHi: number, size: number, access: number): number;
  /**
   * The place at PC has been reached often; with `entered` 1, its translated code. The engine looks for translated code again
   * after 1; after 0 there is none.
   */
  translate(base: number, entered: number): number;
  /**
   * Any instruction that the engine does not do itself: system registers, SYS, exception generation, ERET, WFI/WFE,
   * barriers with an effect, undefined words, unimplemented features. Returns a HostReply.
   */
  system(base: number, insn: number): number;
  /**
   * SP or PC misaligned where the architecture checks it: takes the exception. `kind` 0 = PC, 1 = SP. The engine goes on
   * at the new PC, or leaves if ATTENTION is set, as after a failed `fetch`.
   */
  misaligned(base: number, kind: number): void;
}

/** An engine: shared by all PEs. */
export interface Engine {
  /** Runs the PE whose state is at `base` until an EngineExit, by the interpreter alone. */
  run(base: number): number;
  /** The same with translated code where there is some. */
  runTranslated(base: number): number;
}
