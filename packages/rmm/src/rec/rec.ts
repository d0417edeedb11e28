/**
 * Realm Execution Context: one granule that holds a vCPU's state while it does not run, and what the RMM remembers of its
 * last exit. DEN0137 1.0-rel0, "Realm Execution Context". Auxiliary granule 0 holds the SIMD state, 1 the attestation token.
 */
import { bytes, GRANULE_SIZE, layout, REC_AUX_MAX, RmiRecEnter, RmiRecExit, u8, u32, u64, u64s } from "@realmbox/abi";
import { GROUPS } from "@realmbox/machine";
import { structClass } from "../struct.js";
import { frameOfWords } from "../views.js";

/** Auxiliary granules of each REC: what RMI_REC_AUX_COUNT answers. */
export const REC_AUX_COUNT = 2;
/** Indices in `aux`. */
export const REC_AUX = { SIMD: 0, ATTESTATION: 1 } as const;

/** What of the last REC exit the next REC entry may refer to. */
export const LastExit = {
  /** Nothing: not a synchronous exit, or already used. */
  NONE: 0,
  /** Data Abort at an Unprotected IPA whose access the Host can emulate. */
  EMULATABLE_ABORT: 1,
  /** Another Data Abort at an Unprotected IPA: only inject_sea applies. */
  UNPROTECTED_ABORT: 2,
  /** Trapped read of a GIC system register: the value comes with the next entry. */
  SYSREG_READ: 3,
} as const;

export const RecLayout = layout("REC", GRANULE_SIZE, {
  owner: u64(0x0), // PA of the RD
  index: u32(0x8), // in order of creation
  runnable: u8(0xc),
  psci_pending: u8(0xd), // waits for RMI_PSCI_COMPLETE
  host_call_pending: u8(0xe),
  ripas_pending: u8(0xf), // an RSI_IPA_STATE_SET has not been answered
  ripas_addr: u64(0x10),
  ripas_top: u64(0x18),
  ripas_value: u8(0x20),
  ripas_destroyed: u8(0x21), // 1: pages with RIPAS DESTROYED may change too
  last_exit: u8(0x22), // LastExit
  timers_asserted: u8(0x23), // at the last exit: bit 0 virtual, bit 1 physical
  attest_in_progress: u8(0x24), // from RSI_ATTESTATION_TOKEN_INIT to the last byte of _CONTINUE
  vserror_pending: u8(0x25),
  pmu: u8(0x26), // 1: the Realm has a PMU
  pmu_num_ctrs: u8(0x27), // its event counters
  last_esr: u64(0x28), // of the last exit, with all fields
  last_far: u64(0x30),
  host_call_ipa: u64(0x38),
  token_size: u32(0x40),
  token_offset: u32(0x44), // bytes that the Realm has got
  vsesr: u64(0x48),
  pc: u64(0x50),
  pstate: u64(0x58),
  vmpidr: u64(0x60),
  vtcr: u64(0x68), // of the Realm, for the Realm's whole life
  vttbr: u64(0x70),
  num_aux: u32(0x78),
  token_work: u32(0x7c), // clock counts that the signature of the token still takes
  aux: u64s(0x80, REC_AUX_MAX),
  gprs: u64s(0x100, 31),
  el1: bytes(0x200, GROUPS.EL1.count * 8), // the PE's EL1 group as a block
  pmu_registers: bytes(0x400, GROUPS.PMU.count * 8), // the PE's PMU group as a block, when the Realm has one
  ich: bytes(0x800, GROUPS.ICH.count * 8), // the PE's ICH group as a block
  debug: bytes(0x900, GROUPS.DEBUG.count * 8), // the DEBUG group: what the Realm has written
});

const OWNER = RecLayout.fields.owner.offset / 4;
const LAST_ESR = RecLayout.fields.last_esr.offset / 4;
const AUX = RecLayout.fields.aux.offset / 4;

export class Rec extends structClass(RecLayout) {
  /** What moves between REC and PE as a whole when the Realm uses it, as words; see registers.ts for the rest. */
  readonly blocks = {
    debug: this.page.wordsOf(RecLayout.fields.debug),
    pmu: this.page.wordsOf(RecLayout.fields.pmu_registers),
  };

  /** Frame number of the RD. */
  get ownerFrame(): number {
    return frameOfWords(this.words[OWNER]!, this.words[OWNER + 1]!);
  }

  /** Frame number of one auxiliary granule. */
  auxAt(index: number): number {
    return frameOfWords(this.words[AUX + 2 * index]!, this.words[AUX + 2 * index + 1]!);
  }

  getGpr(n: number): bigint {
    return this.get64(RecLayout.fields.gprs.offset + 8 * n);
  }

  setGpr(n: number, value: bigint): void {
    this.set64(RecLayout.fields.gprs.offset + 8 * n, value);
  }

  /** Forgets the last exit: every entry that runs, and every exit but the synchronous ones, does. */
  forgetExit(): void {
    this.last_exit = LastExit.NONE;
    for (let i = LAST_ESR; i < LAST_ESR + 4; i++) this.words[i] = 0; // last_esr and last_far
  }
}

/** RmiRecEnter in the Host's memory, in place: for the step that reads it. */
export class RecEnter extends structClass(RmiRecEnter) {
  getGpr(n: number): bigint {
    return this.get64(RmiRecEnter.fields.gprs.offset + 8 * n);
  }
}

/** RmiRecExit as it is put together, before it goes to the Host's memory. */
export class RecExit extends structClass(RmiRecExit) {
  getGpr(n: number): bigint {
    return this.get64(RmiRecExit.fields.gprs.offset + 8 * n);
  }

  setGpr(n: number, value: bigint): void {
    this.set64(RmiRecExit.fields.gprs.offset + 8 * n, value);
  }

  setListRegister(n: number, value: bigint): void {
    this.set64(RmiRecExit.fields.gicv3_lrs.offset + 8 * n, value);
  }
}
