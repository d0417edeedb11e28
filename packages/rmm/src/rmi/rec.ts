/** Life cycle of a REC: RMI_REC_AUX_COUNT, _CREATE, _DESTROY. DEN0137 1.0-rel0, "Realm Execution Context". */
import {
  isGranuleAligned,
  mpidrOfIndex,
  REC_AUX_MAX,
  RMI_FEATURE_REGISTER_0,
  RMI_REC_CREATE_FLAGS,
  RmiRecParams,
  recMpidrOfIndex,
} from "@realmbox/abi";
import type { Granule } from "../granule/granule.js";
import { extendRimRec } from "../measurement/measurement.js";
import { RealmState } from "../realm/rd.js";
import { REC_AUX_COUNT, type Rec } from "../rec/rec.js";
import { resetRec } from "../rec/reset.js";
import { frameOf } from "../views.js";
import { ok, rmiCommand, success } from "./command.js";

/**
 * RMI_REC_AUX_COUNT, FID 0xC4000167: auxiliary granules that each REC of a Realm needs.
 * @spec DEN0137 1.0-rel0, "RMI_REC_AUX_COUNT command": complete
 */
export const recAuxCount = rmiCommand({
  name: "RMI_REC_AUX_COUNT",
  in: ["rd"],
  out: ["aux_count"],
  conditions: ["rd_align", "rd_bound", "rd_state"],
  run(rmm, { rd }, fail) {
    const granule = rmm.granuleIn(frameOf(rd), "RD");
    if (typeof granule === "string") return fail(`rd_${granule}`, "RMI_ERROR_INPUT");
    return success({ aux_count: BigInt(REC_AUX_COUNT) });
  },
});

/**
 * RMI_REC_CREATE, FID 0xC400015A: makes a vCPU of a NEW Realm. A runnable one is measured.
 * @spec DEN0137 1.0-rel0, "RMI_REC_CREATE command": complete
 */
export const recCreate = rmiCommand({
  name: "RMI_REC_CREATE",
  in: ["rd", "rec", "params_ptr"],
  out: [],
  conditions: [
    "params_align",
    "params_bound",
    "params_pas",
    "rec_align",
    "rec_bound",
    "rec_state",
    "rd_align",
    "rd_bound",
    "rd_state",
    "realm_state",
    "num_recs",
    "mpidr_index",
    "num_aux",
    "aux_align",
    "aux_alias",
    "aux_state",
  ],
  run(rmm, { rd: rdAddr, rec: recAddr, params_ptr }, fail) {
    const page = rmm.hostGranule(frameOf(params_ptr));
    if (typeof page === "string") return fail(`params_${page}`, "RMI_ERROR_INPUT");
    const params = RmiRecParams.decode(page); // once: the Host may change its memory at any time
    const recGranule = rmm.granuleIn(frameOf(recAddr), "DELEGATED");
    if (typeof recGranule === "string") return fail(`rec_${recGranule}`, "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (rd.state !== RealmState.NEW) return fail("realm_state", "RMI_ERROR_REALM");
    const order = Number(RMI_FEATURE_REGISTER_0.MAX_RECS_ORDER.get(rmm.globals().feature_register_0));
    if (rdGranule.refcount === 2 ** order - 1) return fail("num_recs", "RMI_ERROR_REALM");
    const index = rd.rec_index;
    if (params.mpidr !== recMpidrOfIndex(index)) return fail("mpidr_index", "RMI_ERROR_INPUT");
    if (params.num_aux !== BigInt(REC_AUX_COUNT)) return fail("num_aux", "RMI_ERROR_INPUT");
    const aux = params.aux.slice(0, REC_AUX_COUNT);
    if (!aux.every(isGranuleAligned)) return fail("aux_align", "RMI_ERROR_INPUT");
    if (new Set([recAddr, ...aux]).size !== aux.length + 1) return fail("aux_alias", "RMI_ERROR_INPUT");
    const auxGranules: Granule[] = [];
    for (const addr of aux) {
      const granule = rmm.granuleIn(frameOf(addr), "DELEGATED");
      if (typeof granule === "string") return fail("aux_state", "RMI_ERROR_INPUT");
      auxGranules.push(granule);
    }

    recGranule.become("REC");
    for (const granule of auxGranules) granule.become("REC_AUX");
    rdGranule.refcount++;
    rd.rec_index = index + 1;
    const runnable = RMI_REC_CREATE_FLAGS.RUNNABLE.get(params.flags) === 1n;
    const rec = rmm.rec(recGranule.frame);
    Object.assign(rec, {
      owner: rdAddr,
      index,
      runnable: runnable ? 1 : 0,
      vmpidr: mpidrOfIndex(index),
      vtcr: rd.vtcr,
      vttbr: rd.vttbr,
      pmu: rd.pmu,
      pmu_num_ctrs: rd.pmu_num_ctrs,
      num_aux: aux.length,
      aux: [...aux, ...Array<bigint>(REC_AUX_MAX - aux.length).fill(0n)],
      gprs: params.gprs,
    } satisfies Partial<Rec>);
    resetRec(rec, params.pc);
    if (runnable) extendRimRec(rmm.crypto, rd, params);
    return ok;
  },
});

/**
 * RMI_REC_DESTROY, FID 0xC400015B: in any state of the Realm, while the REC does not run.
 * @spec DEN0137 1.0-rel0, "RMI_REC_DESTROY command": complete
 */
export const recDestroy = rmiCommand({
  name: "RMI_REC_DESTROY",
  in: ["rec"],
  out: [],
  conditions: ["rec_align", "rec_bound", "rec_gran_state", "rec_state"],
  run(rmm, { rec: recAddr }, fail) {
    const granule = rmm.granuleIn(frameOf(recAddr), "REC");
    if (typeof granule === "string")
      return fail(granule === "state" ? "rec_gran_state" : `rec_${granule}`, "RMI_ERROR_INPUT");
    if (granule.refcount !== 0) return fail("rec_state", "RMI_ERROR_REC");

    const rec = rmm.rec(granule.frame);
    const { ownerFrame, num_aux } = rec;
    for (let i = 0; i < num_aux; i++) rmm.granules.get(rec.auxAt(i), "REC_AUX").reclaim();
    granule.reclaim();
    rmm.granules.get(ownerFrame, "RD").refcount--;
    return ok;
  },
});
