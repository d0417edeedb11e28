/** The tables of a Realm: RMI_RTT_CREATE, _DESTROY, _FOLD, _READ_ENTRY. DEN0137 1.0-rel0, "Realm Translation Table". */
import { RmiRipas, RmiRttEntryState, rttEntrySize } from "@realmbox/abi";
import type { Rd } from "../realm/rd.js";
import {
  isValidEntry,
  nsHostDesc,
  rtteAddr,
  rtteRipas,
  rtteState,
  table,
  UNASSIGNED_NS,
  unassigned,
} from "../rtt/entry.js";
import { PA_SIZE, RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { foldedEntry, isAligned, setEntry, skipNonLive, unfold, walk } from "../rtt/walk.js";
import { frameOf } from "../views.js";
import { ok, rmiCommand, success } from "./command.js";

/** What is wrong with the (ipa, level) of a command that makes or removes the table at `level`. */
function tableProblem(rd: Rd, ipa: bigint, level: bigint): "level_bound" | "ipa_bound" | "ipa_align" | undefined {
  const signed = BigInt.asIntN(64, level);
  if (signed <= BigInt(rd.rtt_level_start) || signed > BigInt(RTT_LEVEL_PAGE)) return "level_bound";
  if (ipa >= rd.ipaSize) return "ipa_bound";
  if (!isAligned(ipa, Number(signed) - 1)) return "ipa_align";
  return undefined;
}

/**
 * RMI_RTT_CREATE, FID 0xC400015D: puts a table under an entry, with the entry's meaning in each of its own (unfolding).
 * @spec DEN0137 1.0-rel0, "RMI_RTT_CREATE command": complete
 */
export const rttCreate = rmiCommand({
  name: "RMI_RTT_CREATE",
  in: ["rd", "rtt", "ipa", "level"],
  out: [],
  conditions: [
    "rtt_align",
    "rtt_bound",
    "rtt_state",
    "rd_align",
    "rd_bound",
    "rd_state",
    "level_bound",
    "ipa_bound",
    "ipa_align",
    "rtt_bound2",
    "rtt_walk",
    "rtte_state",
  ],
  run(rmm, { rd: rdAddr, rtt, ipa, level: levelArg }, fail) {
    const granule = rmm.granuleIn(frameOf(rtt), "DELEGATED");
    if (typeof granule === "string") return fail(`rtt_${granule}`, "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    const problem = tableProblem(rd, ipa, levelArg);
    if (problem) return fail(problem, "RMI_ERROR_INPUT");
    if (rtt >= PA_SIZE) return fail("rtt_bound2", "RMI_ERROR_INPUT");
    const level = Number(levelArg);
    const at = walk(rmm, rd, ipa, level - 1);
    if (at.level !== level - 1) return fail("rtt_walk", "RMI_ERROR_RTT", at.level);
    const state = rtteState(at.entry, at.level);
    if (state === "TABLE") return fail("rtte_state", "RMI_ERROR_RTT", at.level);

    granule.become("RTT");
    if (isValidEntry(at.entry)) {
      setEntry(at, state === "ASSIGNED_NS" ? UNASSIGNED_NS : unassigned(RmiRipas.RAM));
      rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa, size: rttEntrySize(at.level) });
    }
    granule.refcount = unfold(rmm, granule.frame, at.entry, level);
    setEntry(at, table(rtt));
    if (state !== "ASSIGNED") rmm.granules.get(at.table.frame, "RTT").refcount++; // an ASSIGNED entry counted already
    return ok;
  },
});

/**
 * RMI_RTT_DESTROY, FID 0xC400015E: removes a table that maps no page of the Realm. Protected addresses under it become
 * DESTROYED, unprotected ones unmapped.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_DESTROY command": complete
 */
export const rttDestroy = rmiCommand({
  name: "RMI_RTT_DESTROY",
  in: ["rd", "ipa", "level"],
  out: ["rtt", "top"],
  conditions: [
    "rd_align",
    "rd_bound",
    "rd_state",
    "level_bound",
    "ipa_bound",
    "ipa_align",
    "rtt_walk",
    "rtte_state",
    "rtt_live",
  ],
  run(rmm, { rd: rdAddr, ipa, level: levelArg }, fail) {
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    const problem = tableProblem(rd, ipa, levelArg);
    if (problem) return fail(problem, "RMI_ERROR_INPUT");
    const level = Number(levelArg);
    const at = walk(rmm, rd, ipa, level - 1);
    const refuse = (condition: "rtt_walk" | "rtte_state") =>
      fail(condition, "RMI_ERROR_RTT", at.level, { top: skipNonLive(at, ipa) });
    if (at.level !== level - 1) return refuse("rtt_walk");
    if (rtteState(at.entry, at.level) !== "TABLE") return refuse("rtte_state");
    const rtt = rtteAddr(at.entry);
    const granule = rmm.granules.get(frameOf(rtt), "RTT");
    if (granule.refcount !== 0) return fail("rtt_live", "RMI_ERROR_RTT", level, { top: ipa });

    setEntry(at, rd.isProtected(ipa) ? unassigned(RmiRipas.DESTROYED) : UNASSIGNED_NS);
    rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa, size: rttEntrySize(at.level) });
    rmm.granules.get(at.table.frame, "RTT").refcount--;
    granule.reclaim();
    return success({ rtt, top: skipNonLive(at, ipa) });
  },
});

/**
 * RMI_RTT_FOLD, FID 0xC4000166: replaces a homogeneous table by the one entry that says the same.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_FOLD command": complete
 */
export const rttFold = rmiCommand({
  name: "RMI_RTT_FOLD",
  in: ["rd", "ipa", "level"],
  out: ["rtt"],
  conditions: [
    "rd_align",
    "rd_bound",
    "rd_state",
    "level_bound",
    "ipa_bound",
    "ipa_align",
    "rtt_walk",
    "rtte_state",
    "rtt_homo",
  ],
  run(rmm, { rd: rdAddr, ipa, level: levelArg }, fail) {
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    const problem = tableProblem(rd, ipa, levelArg);
    if (problem) return fail(problem, "RMI_ERROR_INPUT");
    const level = Number(levelArg);
    const at = walk(rmm, rd, ipa, level - 1);
    if (at.level !== level - 1) return fail("rtt_walk", "RMI_ERROR_RTT", at.level);
    if (rtteState(at.entry, at.level) !== "TABLE") return fail("rtte_state", "RMI_ERROR_RTT", at.level);
    const rtt = rtteAddr(at.entry);
    const folded = foldedEntry(rmm, frameOf(rtt), level);
    if (folded === undefined) return fail("rtt_homo", "RMI_ERROR_RTT", level);

    setEntry(at, rd.isProtected(ipa) ? unassigned(RmiRipas.DESTROYED) : UNASSIGNED_NS);
    rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa, size: rttEntrySize(at.level) });
    setEntry(at, folded);
    if (rtteState(folded, at.level) !== "ASSIGNED") rmm.granules.get(at.table.frame, "RTT").refcount--;
    rmm.granules.get(frameOf(rtt), "RTT").reclaim();
    return success({ rtt });
  },
});

/**
 * RMI_RTT_READ_ENTRY, FID 0xC4000161: what the Host may know of the entry that a walk ends in.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_READ_ENTRY command": complete
 */
export const rttReadEntry = rmiCommand({
  name: "RMI_RTT_READ_ENTRY",
  in: ["rd", "ipa", "level"],
  out: ["walk_level", "state", "desc", "ripas"],
  conditions: ["rd_align", "rd_bound", "rd_state", "level_bound", "ipa_bound", "ipa_align"],
  run(rmm, { rd: rdAddr, ipa, level }, fail) {
    const refuse = (condition: "level_bound" | "ipa_bound" | "ipa_align") => fail(condition, "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    const signed = BigInt.asIntN(64, level);
    if (signed < BigInt(rd.rtt_level_start) || signed > BigInt(RTT_LEVEL_PAGE)) return refuse("level_bound");
    if (ipa >= rd.ipaSize) return refuse("ipa_bound");
    if (!isAligned(ipa, Number(signed))) return refuse("ipa_align");

    const at = walk(rmm, rd, ipa, Number(signed));
    const state = rtteState(at.entry, at.level);
    const walk_level = BigInt(at.level);
    const { UNASSIGNED, ASSIGNED, TABLE } = RmiRttEntryState;
    switch (state) {
      case "UNASSIGNED":
        return success({ walk_level, state: BigInt(UNASSIGNED), desc: 0n, ripas: BigInt(rtteRipas(at.entry)) });
      case "ASSIGNED": {
        const desc = rtteAddr(at.entry);
        return success({ walk_level, state: BigInt(ASSIGNED), desc, ripas: BigInt(rtteRipas(at.entry)) });
      }
      case "TABLE":
        return success({ walk_level, state: BigInt(TABLE), desc: rtteAddr(at.entry), ripas: 0n });
      case "UNASSIGNED_NS":
        return success({ walk_level, state: BigInt(UNASSIGNED), desc: 0n, ripas: 0n });
      case "ASSIGNED_NS":
        return success({ walk_level, state: BigInt(ASSIGNED), desc: nsHostDesc(at.entry), ripas: 0n });
    }
  },
});
