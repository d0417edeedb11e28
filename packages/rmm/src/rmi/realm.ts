/** Life cycle of a Realm: RMI_REALM_CREATE, _ACTIVATE, _DESTROY. DEN0137 1.0-rel0, "Realm lifecycle". */
import {
  GRANULE_SIZE,
  RMI_FEATURE_REGISTER_0,
  RMI_REALM_FLAGS,
  RmiHashAlgorithm,
  RmiRealmParams,
  rttEntryShift,
} from "@realmbox/abi";
import type { Granule } from "../granule/granule.js";
import { initRim } from "../measurement/measurement.js";
import { type Rd, RealmState } from "../realm/rd.js";
import { freeVmid, takeVmid, vmidIsFree } from "../realm/vmid.js";
import { hasHpmn0 } from "../rec/id-registers.js";
import type { Rmm } from "../rmm.js";
import { UNASSIGNED_NS } from "../rtt/entry.js";
import { IPA_WIDTH_MIN, RTT_ENTRIES, startTables } from "../rtt/geometry.js";
import { entriesOf } from "../rtt/walk.js";
import { frameOf } from "../views.js";
import { ok, rmiCommand } from "./command.js";

type RealmParams = ReturnType<typeof RmiRealmParams.decode>;

/** Encodings that DEN0137 reserves. */
const hasReservedValue = ({ hash_algo, num_bps, num_wps }: RealmParams): boolean =>
  (hash_algo !== RmiHashAlgorithm.SHA_256 && hash_algo !== RmiHashAlgorithm.SHA_512) || num_bps === 0 || num_wps === 0;

/** Whether RmiFeatureRegister0 offers what the parameters ask for. */
function isSupported(rmm: Rmm, params: RealmParams): boolean {
  const { feature_register_0, pa_range } = rmm.globals();
  const offered = (field: keyof typeof RMI_FEATURE_REGISTER_0) =>
    Number(RMI_FEATURE_REGISTER_0[field].get(feature_register_0));
  const asked = (field: keyof typeof RMI_REALM_FLAGS) => Number(RMI_REALM_FLAGS[field].get(params.flags));
  const { SHA_256 } = RmiHashAlgorithm;
  return (
    asked("LPA2") <= offered("LPA2") &&
    params.s2sz >= IPA_WIDTH_MIN &&
    params.s2sz <= offered("S2SZ") &&
    params.num_bps <= offered("NUM_BPS") &&
    params.num_wps <= offered("NUM_WPS") &&
    (!asked("SVE") || (offered("SVE_EN") === 1 && params.sve_vl <= offered("SVE_VL"))) &&
    (!asked("PMU") ||
      (offered("PMU_EN") === 1 &&
        params.pmu_num_ctrs <= offered("PMU_NUM_CTRS") &&
        // As TF-RMM: MDCR_EL2.HPMN cannot be 0 without FEAT_HPMN0.
        (params.pmu_num_ctrs > 0 || hasHpmn0(rmm.pe)))) &&
    offered(params.hash_algo === SHA_256 ? "HASH_SHA_256" : "HASH_SHA_512") === 1 &&
    // Level 0 exists from 44 bits of PA on. DDI 0487, "The VMSAv8-64 translation table levels".
    (params.rtt_level_start !== 0n || pa_range >= 4)
  );
}

/**
 * RMI_REALM_CREATE, FID 0xC4000158: makes a Realm in state NEW out of an RD granule and its start-level tables.
 * @spec DEN0137 1.0-rel0, "RMI_REALM_CREATE command": complete
 */
export const realmCreate = rmiCommand({
  name: "RMI_REALM_CREATE",
  in: ["rd", "params_ptr"],
  out: [],
  conditions: [
    "params_align",
    "params_bound",
    "params_pas",
    "params_valid",
    "params_supp",
    "rtt_num_level",
    "vmid_valid",
    "alias",
    "rd_align",
    "rd_bound",
    "rd_state",
    "rtt_align",
    "rtt_state",
  ],
  run(rmm, { rd: rdAddr, params_ptr }, fail) {
    const page = rmm.hostGranule(frameOf(params_ptr));
    if (typeof page === "string") return fail(`params_${page}`, "RMI_ERROR_INPUT");
    const params = RmiRealmParams.decode(page); // once: the Host may change its memory at any time
    if (hasReservedValue(params)) return fail("params_valid", "RMI_ERROR_INPUT");
    if (!isSupported(rmm, params)) return fail("params_supp", "RMI_ERROR_INPUT");
    const { rtt_base, rtt_num_start, s2sz, vmid } = params;
    const level = Number(params.rtt_level_start);
    if (startTables(s2sz, level) !== rtt_num_start) return fail("rtt_num_level", "RMI_ERROR_INPUT");
    if (!vmidIsFree(rmm, vmid)) return fail("vmid_valid", "RMI_ERROR_INPUT");
    const rttSize = BigInt(rtt_num_start * GRANULE_SIZE);
    if (rdAddr >= rtt_base && rdAddr < rtt_base + rttSize) return fail("alias", "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "DELEGATED");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    if (rtt_base % rttSize !== 0n) return fail("rtt_align", "RMI_ERROR_INPUT");
    const rtts: Granule[] = [];
    for (let i = 0; i < rtt_num_start; i++) {
      const rtt = rmm.granuleIn(frameOf(rtt_base + BigInt(i * GRANULE_SIZE)), "DELEGATED");
      if (typeof rtt === "string") return fail("rtt_state", "RMI_ERROR_INPUT");
      rtts.push(rtt);
    }

    rdGranule.become("RD");
    for (const rtt of rtts) rtt.become("RTT");
    takeVmid(rmm, vmid);
    const rd = rmm.rd(rdGranule.frame);
    const { pa_range, vmid_bits } = rmm.globals();
    const { vtcr, vttbr } = rmm.isolation.stage2Registers({
      ipaWidth: s2sz,
      rttBase: rtt_base,
      rttLevelStart: level,
      vmid,
      paRange: pa_range,
      vmidBits: vmid_bits,
    });
    Object.assign(rd, {
      state: RealmState.NEW,
      hash_algo: params.hash_algo,
      ipa_width: s2sz,
      num_bps: params.num_bps,
      num_wps: params.num_wps,
      pmu: Number(RMI_REALM_FLAGS.PMU.get(params.flags)),
      pmu_num_ctrs: params.pmu_num_ctrs,
      rtt_base,
      rtt_level_start: level,
      rtt_num_start,
      vmid,
      vtcr,
      vttbr,
      rpv: params.rpv,
    } satisfies Partial<Rd>);
    initStartTables(rmm, rd);
    initRim(rmm.crypto, rd, params);
    return ok;
  },
});

/** Protected half: UNASSIGNED with RIPAS EMPTY, which is zero and already there; Unprotected half: UNASSIGNED_NS. */
function initStartTables(rmm: Rmm, rd: Rd): void {
  const entrySize = 2 ** rttEntryShift(rd.rtt_level_start);
  const end = 2 ** rd.ipa_width / entrySize;
  for (let i = end / 2; i < end; ) {
    const entries = entriesOf(rmm, rd.rttFrame + Math.floor(i / RTT_ENTRIES));
    const stop = Math.min(end - i + (i % RTT_ENTRIES), RTT_ENTRIES);
    entries.fill(UNASSIGNED_NS, i % RTT_ENTRIES, stop);
    i += stop - (i % RTT_ENTRIES);
  }
}

/**
 * RMI_REALM_ACTIVATE, FID 0xC4000157: the RIM is final, and RECs may run.
 * @spec DEN0137 1.0-rel0, "RMI_REALM_ACTIVATE command": complete
 */
export const realmActivate = rmiCommand({
  name: "RMI_REALM_ACTIVATE",
  in: ["rd"],
  out: [],
  conditions: ["rd_align", "rd_bound", "rd_state", "realm_state"],
  run(rmm, { rd: rdAddr }, fail) {
    const granule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof granule === "string") return fail(`rd_${granule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(granule.frame);
    if (rd.state !== RealmState.NEW) return fail("realm_state", "RMI_ERROR_REALM");

    rd.state = RealmState.ACTIVE;
    return ok;
  },
});

/**
 * RMI_REALM_DESTROY, FID 0xC4000159: in any state, once the Realm has neither RECs nor live tables.
 * @spec DEN0137 1.0-rel0, "RMI_REALM_DESTROY command": complete
 */
export const realmDestroy = rmiCommand({
  name: "RMI_REALM_DESTROY",
  in: ["rd"],
  out: [],
  conditions: ["rd_align", "rd_bound", "rd_state", "realm_live"],
  run(rmm, { rd: rdAddr }, fail) {
    const granule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof granule === "string") return fail(`rd_${granule}`, "RMI_ERROR_INPUT");
    const { rttFrame, rtt_num_start, vmid } = rmm.rd(granule.frame);
    const rtts = Array.from({ length: rtt_num_start }, (_, i) => rmm.granules.get(rttFrame + i, "RTT"));
    if (granule.refcount !== 0 || rtts.some((rtt) => rtt.refcount !== 0)) return fail("realm_live", "RMI_ERROR_REALM");

    // Start tables may still hold ASSIGNED_NS blocks: nothing of this VMID may outlive it.
    rmm.isolation.invalidateVmid(rmm.pe, vmid);
    for (const rtt of rtts) rtt.reclaim();
    granule.reclaim();
    freeVmid(rmm, vmid);
    return ok;
  },
});
