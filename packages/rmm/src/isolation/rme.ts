/**
 * Isolation by the Realm Management Extension: the RMM at R-EL2, granule transitions by the Root Monitor, Realms at
 * R-EL1 under stage 2 in the Realm PAS, return to the Host by SMC.
 *
 * Register values are those of TF-RMM at its 1.0-rel0 tag, which Realm guests are tested with; DDI 0487 (Arm ARM) for
 * their meaning, with HCR_EL2.E2H = 1 throughout.
 */
import {
  GRANULE_SIZE,
  HCR_EL2,
  ICH_HCR_EL2,
  invariant,
  Pas,
  REC_GIC_HCR_HOST_MASK,
  RMM_ATTEST_CURVE,
  RMM_EL3_FID,
  RmiRecEnter,
  rmmEl3Code,
  VTCR_EL2,
  VTTBR_EL2,
} from "@realmbox/abi";
import { ERET, GROUPS, isFault, MDSCR_MDE, type Pe, R, SMC } from "@realmbox/machine";
import type { PeContext } from "../memory-map.js";
import { type Rec, RecLayout } from "../rec/rec.js";
import type { PeRegisters } from "../rec/registers.js";
import { highOf, lowOf } from "../views.js";
import type { EntryControls, Isolation, Stage2, Stage2Registers } from "./isolation.js";

/** HCR_EL2 while a Realm runs; TWI, TWE and VSE are added per entry. TIDCP: IMPLEMENTATION DEFINED registers trap. */
const HCR_REALM =
  HCR_EL2.FWB.mask |
  HCR_EL2.API.mask |
  HCR_EL2.APK.mask |
  HCR_EL2.TEA.mask |
  HCR_EL2.E2H.mask |
  HCR_EL2.RW.mask |
  HCR_EL2.TIDCP.mask |
  HCR_EL2.TSC.mask |
  HCR_EL2.TID3.mask |
  HCR_EL2.BSU.of(1) | // Inner Shareable
  HCR_EL2.AMO.mask |
  HCR_EL2.IMO.mask |
  HCR_EL2.FMO.mask |
  HCR_EL2.PTW.mask |
  HCR_EL2.SWIO.mask |
  HCR_EL2.VM.mask;
/** HCR_EL2 while the RMM itself runs. */
const HCR_RMM = HCR_EL2.TGE.mask | HCR_EL2.E2H.mask | HCR_EL2.TEA.mask;

/** CPTR_EL2: activity monitors (TAM) and trace (TTA) trap; FPEN, ZEN and SMEN are 0, so that SIMD traps as well. */
const CPTR_REALM = 0x5000_0000n;
/** CPTR_EL2.FPEN: SIMD does not trap. */
const CPTR_FPEN = 0x30_0000n;
/**
 * MDCR_EL2: MTPME, HCCD, HPMD; debug registers (TDA) trap. In a Realm with a PMU HPMN is the number of its event counters,
 * the others stand still (HPME 0).
 */
const MDCR_PMU = 0x1082_0200n;
/** In one without, the PMU traps (TPM, TPMCR), and with HPMN 0 none of the Host's event counters counts what it does. */
const MDCR_REALM = MDCR_PMU | 0x60n;
/** CNTHCTL_EL2: EL1 counter and timer accesses do not trap; the masks are added before each entry (`rec/timers.ts`). */
const CNTHCTL_REALM = 0xc00n;
const CNTHCTL_RMM = 0x3n;
/** ICH_HCR_EL2: on; SGIs do not count as EOIs; no direct injection of LPIs. The Host's bits are added per entry. */
export const ICH_HCR_REALM = ICH_HCR_EL2.EN.mask | ICH_HCR_EL2.VSGIEOICOUNT.mask | ICH_HCR_EL2.DVIM.mask;

/** VTCR_EL2: 4 KiB granule, tables Inner Shareable, Write-Back; PS, VS, SL0 and T0SZ per Realm. */
const VTCR_BASE =
  VTCR_EL2.RES1.mask | VTCR_EL2.NSA.mask | VTCR_EL2.SH0.of(3) | VTCR_EL2.ORGN0.of(1) | VTCR_EL2.IRGN0.of(1);
/** VTCR_EL2.SL0 by start level, 4 KiB granule. */
const SL0 = [2, 1, 0, 3] as const;

/** VSESR_EL2: IDS and ISS of the virtual SError. */
const VSESR_MASK = 0x1ff_ffffn;

const OK = rmmEl3Code("E_RMM_OK");

// The hot path moves registers as words. Of a register: the index of its low word in the PE's state.
const X0 = 2 * R.X0;
const HCR = 2 * R.HCR_EL2;
const VSESR = 2 * R.VSESR_EL2;
const CPTR = 2 * R.CPTR_EL2;
const MDCR = 2 * R.MDCR_EL2;
const CNTHCTL = 2 * R.CNTHCTL_EL2;
const ICH_HCR_LOW = 2 * R.ICH_HCR_EL2;
/** In the REC: its words, and those of ICH_LR0_EL2 and ICH_HCR_EL2 in its ICH group. */
const REC = {
  VSESR: RecLayout.fields.vsesr.offset / 4,
  ICH_HCR: RecLayout.fields.ich.offset / 4 + 2 * (R.ICH_HCR_EL2 - GROUPS.ICH.first),
  LR0: RecLayout.fields.ich.offset / 4 + 2 * (R.ICH_LR0 - GROUPS.ICH.first),
} as const;
/** In RmiRecEnter. */
const ENTER = { HCR: RmiRecEnter.fields.gicv3_hcr.offset / 4, LRS: RmiRecEnter.fields.gicv3_lrs.offset / 4 } as const;

const HCR_REALM_LOW = lowOf(HCR_REALM);
const HCR_REALM_HIGH = highOf(HCR_REALM);
const HCR_RMM_LOW = lowOf(HCR_RMM);
const HCR_RMM_HIGH = highOf(HCR_RMM);
const TWI = lowOf(HCR_EL2.TWI.mask);
const TWE = lowOf(HCR_EL2.TWE.mask);
const VSE = lowOf(HCR_EL2.VSE.mask);
const CPTR_REALM_LOW = lowOf(CPTR_REALM);
const MDCR_PMU_LOW = lowOf(MDCR_PMU);
const MDCR_REALM_LOW = lowOf(MDCR_REALM);
const CNTHCTL_REALM_LOW = lowOf(CNTHCTL_REALM);
const CNTHCTL_RMM_LOW = lowOf(CNTHCTL_RMM);
const ICH_EN = lowOf(ICH_HCR_EL2.EN.mask);
const ICH_HCR_REALM_LOW = lowOf(ICH_HCR_REALM);
const EOICOUNT_LOW = lowOf(ICH_HCR_EL2.EOICOUNT.mask);
const GIC_HCR_HOST_LOW = lowOf(REC_GIC_HCR_HOST_MASK);
const DELEGATE_LOW = lowOf(RMM_EL3_FID.RMM_GTSI_DELEGATE);
const UNDELEGATE_LOW = lowOf(RMM_EL3_FID.RMM_GTSI_UNDELEGATE);
const REQ_COMPLETE_LOW = lowOf(RMM_EL3_FID.RMI_REQ_COMPLETE);
const OK_LOW = lowOf(OK);

/** Sets both words of a register. */
function put(w: Int32Array, at: number, low: number, high: number): void {
  w[at] = low;
  w[at + 1] = high;
}

/** Copies a 64-bit word. */
function copy(to: Int32Array, at: number, from: Int32Array, of: number): void {
  to[at] = from[of]!;
  to[at + 1] = from[of + 1]!;
}

/** A granule transition by EL3; whether it was made. */
function transition(pe: Pe, fid: number, frame: number): boolean {
  const { w } = pe;
  put(w, X0, fid, 0);
  put(w, X0 + 2, frame << 12, frame >>> 20);
  put(w, X0 + 4, 0, 0);
  put(w, X0 + 6, 0, 0);
  pe.smcNow();
  return w[X0] === OK_LOW && w[X0 + 1] === 0;
}

/** Where the SIMD state lies in its auxiliary granule. */
const AUX_SIMD_WORDS = GROUPS.FP.count;

/** An RMM-EL3 service: X0 = status; outputs stay in X1 and X2. */
function el3Call(pe: Pe, fid: bigint, x1: bigint, x2 = 0n, x3 = 0n): bigint {
  pe.r[R.X0] = fid;
  pe.r[R.X0 + 1] = x1;
  pe.r[R.X0 + 2] = x2;
  pe.r[R.X0 + 3] = x3;
  pe.smcNow();
  return pe.r[R.X0]!;
}

/** Whether the REC that is loaded uses breakpoints or watchpoints: then, and only then, they are in the PE. */
const isWatching = ({ words }: PeRegisters): boolean => (words[2 * R.MDSCR_EL1]! & MDE) !== 0;
const MDE = Number(MDSCR_MDE);

export const rme: Isolation = {
  name: "RME",

  protectedMemory: (pe) => pe.port(Pas.REALM),
  hostMemory: (pe) => pe.port(Pas.NS),

  protect: (pe, frame) => transition(pe, DELEGATE_LOW, frame),

  unprotect(pe, frame) {
    invariant(transition(pe, UNDELEGATE_LOW, frame), "EL3 takes a Realm granule back", frame);
  },

  stage2Registers({ ipaWidth, rttBase, rttLevelStart, vmid, paRange, vmidBits }: Stage2): Stage2Registers {
    return {
      vtcr:
        VTCR_BASE |
        VTCR_EL2.PS.of(paRange) |
        VTCR_EL2.VS.of(vmidBits === 16 ? 1 : 0) |
        VTCR_EL2.SL0.of(SL0[rttLevelStart]!) |
        VTCR_EL2.T0SZ.of(64 - ipaWidth),
      vttbr: rttBase | VTTBR_EL2.VMID.of(vmid),
    };
  },

  invalidate(pe, vmid, { ipa, size }) {
    pe.tlbi({ kind: "ipas2e1", vmid, ipa, size });
  },

  invalidateVmid(pe, vmid) {
    pe.tlbi({ kind: "vmalls12e1", vmid });
  },

  load(pe, rec: Rec, context: PeContext, controls: EntryControls) {
    const { registers } = context;
    registers.enter(registers.at, rec.page.at, context.page.at);
    if (isWatching(registers)) rme.loadDebug(rec, context);

    const { w } = pe;
    let hcr = HCR_REALM_LOW;
    if (controls.trapWfi) hcr |= TWI;
    if (controls.trapWfe) hcr |= TWE;
    if (controls.vserror) {
      hcr |= VSE;
      copy(w, VSESR, rec.words, REC.VSESR);
    }
    put(w, HCR, hcr, HCR_REALM_HIGH);
    put(w, CPTR, CPTR_REALM_LOW, 0);
    if (rec.pmu) {
      context.blocks.pmu.set(registers.pmu);
      registers.pmu.set(rec.blocks.pmu);
      put(w, MDCR, MDCR_PMU_LOW | rec.pmu_num_ctrs, 0);
    } else put(w, MDCR, MDCR_REALM_LOW, 0);
    put(w, CNTHCTL, CNTHCTL_REALM_LOW, 0);
  },

  save(pe, rec: Rec, context: PeContext) {
    const { w } = pe;
    const { registers } = context;
    if (isWatching(registers)) rme.unloadDebug(context);
    registers.leave(registers.at, rec.page.at, context.page.at);
    if (rec.pmu) {
      rec.blocks.pmu.set(registers.pmu);
      registers.pmu.set(context.blocks.pmu);
    }
    // DEN0137, "REC exit": ICH_HCR_EL2.En is 0 on return; the rest of the interface is the Host's to reload.
    w[ICH_HCR_LOW] = w[ICH_HCR_LOW]! & ~ICH_EN;
    put(w, HCR, HCR_RMM_LOW, HCR_RMM_HIGH);
    put(w, CNTHCTL, CNTHCTL_RMM_LOW, 0);
    put(w, CPTR, CPTR_REALM_LOW, 0);
  },

  requestVserror(pe, rec, esr) {
    pe.r[R.HCR_EL2]! |= HCR_EL2.VSE.mask;
    rec.vsesr = esr & VSESR_MASK;
  },

  vserrorPending: ({ w }) => (w[HCR]! & VSE) !== 0,

  loadDebug(rec, { blocks, registers }) {
    blocks.debug.set(registers.debug);
    registers.debug.set(rec.blocks.debug);
  },

  unloadDebug({ blocks, registers }) {
    registers.debug.set(blocks.debug);
  },

  loadSimd(pe, simd, context) {
    context.blocks.fp.set(context.registers.fp);
    context.registers.fp.set(simd.u64.subarray(0, AUX_SIMD_WORDS));
    pe.r[R.CPTR_EL2]! |= CPTR_FPEN;
  },

  saveSimd(_pe, simd, context) {
    simd.u64.set(context.registers.fp);
    context.registers.fp.set(context.blocks.fp);
  },

  resume: () => ERET,

  interrupts: {
    give({ words }, enter, listRegisters) {
      // EOIcount stays the REC's own from exit to entry.
      const kept = words[REC.ICH_HCR]! & EOICOUNT_LOW;
      put(words, REC.ICH_HCR, ICH_HCR_REALM_LOW | kept | (enter.words[ENTER.HCR]! & GIC_HCR_HOST_LOW), 0);
      for (let n = 0; n < 2 * listRegisters; n++) words[REC.LR0 + n] = enter.words[ENTER.LRS + n]!;
    },
    misr: (pe) => pe.mrs("ICH_MISR_EL2"),
  },

  returnToHost({ w }, results) {
    put(w, X0, REQ_COMPLETE_LOW, 0);
    for (let i = 0; i < results.length; i++) w[X0 + 2 + i] = results[i]!;
    return SMC;
  },

  prepare(pe) {
    const { r } = pe;
    r[R.HCR_EL2] = HCR_RMM;
    r[R.CPTR_EL2] = CPTR_REALM;
    r[R.CNTHCTL_EL2] = CNTHCTL_RMM;
    r[R.CNTVOFF_EL2] = 0n; // Realms see the physical counter as their virtual one
    r[R.CNTPOFF_EL2] = 0n;
    r[R.VPIDR_EL2] = pe.mrs("MIDR_EL1");
  },

  bootComplete(pe, status) {
    pe.r[R.X0] = RMM_EL3_FID.RMM_BOOT_COMPLETE;
    pe.r[R.X0 + 1] = status;
    pe.r[R.X0 + 2] = 0n;
    return SMC;
  },

  realmAttestationKey(pe, sharedPage) {
    const { RMM_ATTEST_GET_REALM_KEY } = RMM_EL3_FID;
    if (el3Call(pe, RMM_ATTEST_GET_REALM_KEY, sharedPage, BigInt(GRANULE_SIZE), RMM_ATTEST_CURVE.ECC_SECP384R1) !== OK)
      return undefined;
    const size = Number(pe.r[R.X0 + 1]);
    return size === 48 ? readShared(pe, sharedPage, size) : undefined;
  },

  platformToken(pe, sharedPage, challenge, sizeMax) {
    const shared = pe.port(Pas.REALM);
    if (shared.copyOut(sharedPage, challenge)) return undefined;
    const chunks: number[] = [];
    // The first call carries the challenge, the following ones fetch what is left of the token.
    for (let challengeSize = challenge.length; ; challengeSize = 0) {
      const { RMM_ATTEST_GET_PLAT_TOKEN } = RMM_EL3_FID;
      if (el3Call(pe, RMM_ATTEST_GET_PLAT_TOKEN, sharedPage, BigInt(GRANULE_SIZE), BigInt(challengeSize)) !== OK)
        return undefined;
      const size = Number(pe.r[R.X0 + 1]);
      const remaining = pe.r[R.X0 + 2]!;
      if (size === 0 || size > GRANULE_SIZE || chunks.length + size > sizeMax) return undefined;
      const chunk = readShared(pe, sharedPage, size);
      if (!chunk) return undefined;
      chunks.push(...chunk);
      if (remaining === 0n) return Uint8Array.from(chunks);
    }
  },
};

function readShared(pe: Pe, sharedPage: bigint, size: number): Uint8Array | undefined {
  const data = new Uint8Array(size);
  return isFault(pe.port(Pas.REALM).copyIn(sharedPage, data)) ? undefined : data;
}
