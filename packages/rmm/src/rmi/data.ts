/** Pages of a Realm: RMI_DATA_CREATE, _CREATE_UNKNOWN, _DESTROY. DEN0137 1.0-rel0, "Realm memory management". */
import { RMI_DATA_FLAGS, RmiRipas, rttEntrySize } from "@realmbox/abi";
import { extendRimData } from "../measurement/measurement.js";
import { RealmState } from "../realm/rd.js";
import { assignedPage, rtteFrame, rtteRipasOf, rtteStateOf, unassigned } from "../rtt/entry.js";
import { PA_SIZE, RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { isAligned, setEntry, skipNonLive, walk } from "../rtt/walk.js";
import { addressOf } from "../views.js";
import { ok, rmiCommand, success } from "./command.js";

/** Frames below PA_SIZE. */
const FRAMES = Number(PA_SIZE >> 12n);

/**
 * RMI_DATA_CREATE, FID 0xC4000153: fills a page of a NEW Realm from the Host's memory, and measures that.
 * @spec DEN0137 1.0-rel0, "RMI_DATA_CREATE command": complete
 */
export const dataCreate = rmiCommand({
  name: "RMI_DATA_CREATE",
  in: ["rd", "data", "ipa", "src", "flags"],
  out: [],
  conditions: [
    "flags_valid",
    "src_align",
    "src_bound",
    "src_pas",
    "data_align",
    "data_bound",
    "data_state",
    "rd_align",
    "rd_bound",
    "rd_state",
    "realm_state",
    "ipa_bound",
    "ipa_align",
    "data_bound2",
    "rtt_walk",
    "rtte_state",
  ],
  run(rmm, { ipa, flags }, fail) {
    if (flags & RMI_DATA_FLAGS.SBZ.mask) return fail("flags_valid", "RMI_ERROR_INPUT");
    const source = rmm.hostGranule(rmm.frame(4));
    if (typeof source === "string") return fail(`src_${source}`, "RMI_ERROR_INPUT");
    const granule = rmm.granuleIn(rmm.frame(2), "DELEGATED");
    if (typeof granule === "string") return fail(`data_${granule}`, "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(rmm.frame(1), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (rd.state !== RealmState.NEW) return fail("realm_state", "RMI_ERROR_REALM");
    if (!rd.isProtected(ipa)) return fail("ipa_bound", "RMI_ERROR_INPUT");
    if (!isAligned(ipa, RTT_LEVEL_PAGE)) return fail("ipa_align", "RMI_ERROR_INPUT");
    if (granule.frame >= FRAMES) return fail("data_bound2", "RMI_ERROR_INPUT");
    const at = walk(rmm, rd, ipa, RTT_LEVEL_PAGE);
    if (at.level !== RTT_LEVEL_PAGE) return fail("rtt_walk", "RMI_ERROR_RTT", at.level);
    if (rtteStateOf(at.low, at.high, at.level) !== "UNASSIGNED") return fail("rtte_state", "RMI_ERROR_RTT", at.level);

    granule.become("DATA");
    const content = rmm.pageAt(granule.frame).bytes;
    content.set(source);
    setEntry(at, assignedPage(granule.frame, RmiRipas.RAM));
    rmm.granules.get(at.table.frame, "RTT").refcount++;
    extendRimData(rmm.crypto, rd, { ipa, flags, content: flags & RMI_DATA_FLAGS.MEASURE.mask ? content : undefined });
    return ok;
  },
});

/**
 * RMI_DATA_CREATE_UNKNOWN, FID 0xC4000154: gives a Realm in any state a page whose content the Host does not choose.
 * @spec DEN0137 1.0-rel0, "RMI_DATA_CREATE_UNKNOWN command": complete
 */
export const dataCreateUnknown = rmiCommand({
  name: "RMI_DATA_CREATE_UNKNOWN",
  in: ["rd", "data", "ipa"],
  out: [],
  conditions: [
    "data_align",
    "data_bound",
    "data_state",
    "rd_align",
    "rd_bound",
    "rd_state",
    "ipa_bound",
    "ipa_align",
    "data_bound2",
    "rtt_walk",
    "rtte_state",
  ],
  run(rmm, { ipa }, fail) {
    const granule = rmm.granuleIn(rmm.frame(2), "DELEGATED");
    if (typeof granule === "string") return fail(`data_${granule}`, "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(rmm.frame(1), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (!rd.isProtected(ipa)) return fail("ipa_bound", "RMI_ERROR_INPUT");
    if (!isAligned(ipa, RTT_LEVEL_PAGE)) return fail("ipa_align", "RMI_ERROR_INPUT");
    if (granule.frame >= FRAMES) return fail("data_bound2", "RMI_ERROR_INPUT");
    const at = walk(rmm, rd, ipa, RTT_LEVEL_PAGE);
    if (at.level !== RTT_LEVEL_PAGE) return fail("rtt_walk", "RMI_ERROR_RTT", at.level);
    if (rtteStateOf(at.low, at.high, at.level) !== "UNASSIGNED") return fail("rtte_state", "RMI_ERROR_RTT", at.level);

    granule.become("DATA"); // its content is zero since it became DELEGATED
    // RIPAS stays: only RAM becomes a mapping that the hardware uses.
    setEntry(at, assignedPage(granule.frame, rtteRipasOf(at.low)));
    rmm.granules.get(at.table.frame, "RTT").refcount++;
    return ok;
  },
});

/**
 * RMI_DATA_DESTROY, FID 0xC4000155: takes a page back, whatever the Realm's state. RIPAS RAM becomes DESTROYED.
 * @spec DEN0137 1.0-rel0, "RMI_DATA_DESTROY command": complete
 */
export const dataDestroy = rmiCommand({
  name: "RMI_DATA_DESTROY",
  in: ["rd", "ipa"],
  out: ["data", "top"],
  conditions: ["rd_align", "rd_bound", "rd_state", "ipa_bound", "ipa_align", "rtt_walk", "rtte_state"],
  run(rmm, { ipa }, fail) {
    const rdGranule = rmm.granuleIn(rmm.frame(1), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (!rd.isProtected(ipa)) return fail("ipa_bound", "RMI_ERROR_INPUT");
    if (!isAligned(ipa, RTT_LEVEL_PAGE)) return fail("ipa_align", "RMI_ERROR_INPUT");
    const at = walk(rmm, rd, ipa, RTT_LEVEL_PAGE);
    const refuse = (condition: "rtt_walk" | "rtte_state") =>
      fail(condition, "RMI_ERROR_RTT", at.level, { top: skipNonLive(at, ipa) });
    if (at.level !== RTT_LEVEL_PAGE) return refuse("rtt_walk");
    if (rtteStateOf(at.low, at.high, at.level) !== "ASSIGNED") return refuse("rtte_state");

    const data = rtteFrame(at.low, at.high);
    const ripas = rtteRipasOf(at.low);
    setEntry(at, unassigned(ripas === RmiRipas.RAM ? RmiRipas.DESTROYED : ripas));
    // The page is wiped only after its translation is gone from all TLBs.
    if (ripas === RmiRipas.RAM) rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa, size: rttEntrySize(RTT_LEVEL_PAGE) });
    rmm.granules.get(at.table.frame, "RTT").refcount--;
    rmm.granules.get(data, "DATA").reclaim();
    return success({ data: addressOf(data), top: skipNonLive(at, ipa) });
  },
});
