/** Memory shared with the Host: RMI_RTT_MAP_UNPROTECTED, _UNMAP_UNPROTECTED. DEN0137 1.0-rel0, "Unprotected IPA". */
import { RMI_NS_DESC, rttEntrySize } from "@realmbox/abi";
import type { Rd } from "../realm/rd.js";
import { assignedNs, rtteState, UNASSIGNED_NS } from "../rtt/entry.js";
import { RTT_LEVEL_BLOCK_MIN, RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { isAligned, setEntry, skipNonLive, walk } from "../rtt/walk.js";
import { frameOf } from "../views.js";
import { ok, rmiCommand, success } from "./command.js";

/** MemAttr[2:0] = 0b100 is reserved with FEAT_S2FWB. */
const MEM_ATTR_RESERVED = 4n;
/** Output addresses from here on need LPA2, which is not offered. */
const PA_48_51 = 0x000f_0000_0000_0000n;

/** Whether leaf entries exist at a level. */
const isLeafLevel = (level: bigint): boolean => level >= BigInt(RTT_LEVEL_BLOCK_MIN) && level <= BigInt(RTT_LEVEL_PAGE);

/** What is wrong with the address of a mapping. */
function ipaProblem(rd: Rd, ipa: bigint, level: number): "ipa_bound" | "ipa_align" | undefined {
  if (ipa >= rd.ipaSize || rd.isProtected(ipa)) return "ipa_bound";
  if (!isAligned(ipa, level)) return "ipa_align";
  return undefined;
}

/**
 * RMI_RTT_MAP_UNPROTECTED, FID 0xC400015F: shows Host memory to the Realm. Whether the memory is the Host's is not asked
 * here: the granule protection check says so at each access.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_MAP_UNPROTECTED command": complete
 */
export const rttMapUnprotected = rmiCommand({
  name: "RMI_RTT_MAP_UNPROTECTED",
  in: ["rd", "ipa", "level", "desc"],
  out: [],
  conditions: [
    "level_bound",
    "rd_align",
    "rd_bound",
    "rd_state",
    "attr_valid",
    "addr_align",
    "addr_bound",
    "ipa_bound",
    "ipa_align",
    "rtt_walk",
    "rtte_state",
  ],
  run(rmm, { rd: rdAddr, ipa, level: levelArg, desc }, fail) {
    if (!isLeafLevel(levelArg)) return fail("level_bound", "RMI_ERROR_INPUT");
    const level = Number(levelArg);
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (level < rd.rtt_level_start) return fail("level_bound", "RMI_ERROR_INPUT");
    const hostBits = RMI_NS_DESC.MEM_ATTR.mask | RMI_NS_DESC.S2AP.mask | RMI_NS_DESC.ADDR.mask | PA_48_51;
    if (desc & ~hostBits || RMI_NS_DESC.MEM_ATTR.get(desc) === MEM_ATTR_RESERVED)
      return fail("attr_valid", "RMI_ERROR_INPUT");
    if (!isAligned(desc & (RMI_NS_DESC.ADDR.mask | PA_48_51), level)) return fail("addr_align", "RMI_ERROR_INPUT");
    if (desc & PA_48_51) return fail("addr_bound", "RMI_ERROR_INPUT");
    const problem = ipaProblem(rd, ipa, level);
    if (problem) return fail(problem, "RMI_ERROR_INPUT");
    const at = walk(rmm, rd, ipa, level);
    if (at.level !== level) return fail("rtt_walk", "RMI_ERROR_RTT", at.level);
    if (rtteState(at.entry, level) !== "UNASSIGNED_NS") return fail("rtte_state", "RMI_ERROR_RTT", level);

    setEntry(at, assignedNs(desc, level));
    return ok;
  },
});

/**
 * RMI_RTT_UNMAP_UNPROTECTED, FID 0xC4000162: ends a mapping of Host memory.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_UNMAP_UNPROTECTED command": complete
 */
export const rttUnmapUnprotected = rmiCommand({
  name: "RMI_RTT_UNMAP_UNPROTECTED",
  in: ["rd", "ipa", "level"],
  out: ["top"],
  conditions: ["level_bound", "rd_align", "rd_bound", "rd_state", "ipa_bound", "ipa_align", "rtt_walk", "rtte_state"],
  run(rmm, { rd: rdAddr, ipa, level: levelArg }, fail) {
    if (!isLeafLevel(levelArg)) return fail("level_bound", "RMI_ERROR_INPUT");
    const level = Number(levelArg);
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (level < rd.rtt_level_start) return fail("level_bound", "RMI_ERROR_INPUT");
    const problem = ipaProblem(rd, ipa, level);
    if (problem) return fail(problem, "RMI_ERROR_INPUT");
    const at = walk(rmm, rd, ipa, level);
    const refuse = (condition: "rtt_walk" | "rtte_state") =>
      fail(condition, "RMI_ERROR_RTT", at.level, { top: skipNonLive(at, ipa) });
    if (at.level !== level) return refuse("rtt_walk");
    if (rtteState(at.entry, level) !== "ASSIGNED_NS") return refuse("rtte_state");

    setEntry(at, UNASSIGNED_NS);
    rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa, size: rttEntrySize(level) });
    return success({ top: skipNonLive(at, ipa) });
  },
});
