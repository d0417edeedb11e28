/** RIPAS of ranges: RMI_RTT_INIT_RIPAS of a NEW Realm, RMI_RTT_SET_RIPAS on a Realm's request. DEN0137 1.0-rel0, "RIPAS". */
import { GRANULE_SIZE, isGranuleAligned, RmiRipas, rttEntrySize } from "@realmbox/abi";
import { extendRimRipas } from "../measurement/measurement.js";
import { RealmState } from "../realm/rd.js";
import { assigned, isValidEntry, rtteAddr, rtteRipas, rtteState, unassigned } from "../rtt/entry.js";
import { RTT_ENTRIES, RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { isAligned, setEntry, walk } from "../rtt/walk.js";
import { frameOf } from "../views.js";
import { rmiCommand, success } from "./command.js";

/**
 * RMI_RTT_INIT_RIPAS, FID 0xC4000168: makes addresses of a NEW Realm RAM, entry by entry within one table, and measures
 * each. Stops at an entry that is not UNASSIGNED with RIPAS EMPTY or RAM.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_INIT_RIPAS command": complete
 */
export const rttInitRipas = rmiCommand({
  name: "RMI_RTT_INIT_RIPAS",
  in: ["rd", "base", "top"],
  out: ["out_top"],
  conditions: [
    "size_valid",
    "rd_align",
    "rd_bound",
    "rd_state",
    "top_gran_align",
    "top_bound",
    "base_bound", // own rule, as TF-RMM's: base is a Protected granule
    "realm_state",
    "base_align",
    "rtte_state",
    "no_progress",
  ],
  run(rmm, { rd: rdAddr, base, top }, fail) {
    if (top <= base) return fail("size_valid", "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    if (!isGranuleAligned(top)) return fail("top_gran_align", "RMI_ERROR_INPUT");
    if (!rd.isProtected(top - BigInt(GRANULE_SIZE))) return fail("top_bound", "RMI_ERROR_INPUT");
    if (!isGranuleAligned(base)) return fail("base_bound", "RMI_ERROR_INPUT");
    if (rd.state !== RealmState.NEW) return fail("realm_state", "RMI_ERROR_REALM");
    const { level, table, index, entry } = walk(rmm, rd, base, RTT_LEVEL_PAGE);
    if (!isAligned(base, level)) return fail("base_align", "RMI_ERROR_RTT", level);
    if (rtteState(entry, level) !== "UNASSIGNED") return fail("rtte_state", "RMI_ERROR_RTT", level);
    const entries = table.u64;
    const size = rttEntrySize(level);
    const EMPTY = unassigned(RmiRipas.EMPTY);
    const RAM = unassigned(RmiRipas.RAM);
    let addr = base;
    for (let i = index; i < RTT_ENTRIES && addr + size <= top; i++) {
      if (entries[i] !== EMPTY && entries[i] !== RAM) break;
      entries[i] = RAM;
      extendRimRipas(rmm.crypto, rd, { base: addr, top: addr + size });
      addr += size;
    }
    if (addr === base) return fail("no_progress", "RMI_ERROR_RTT", level);
    return success({ out_top: addr });
  },
});

/**
 * RMI_RTT_SET_RIPAS, FID 0xC4000169: carries out, within one table, what a REC asked for with RSI_IPA_STATE_SET.
 * @spec DEN0137 1.0-rel0, "RMI_RTT_SET_RIPAS command": complete
 */
export const rttSetRipas = rmiCommand({
  name: "RMI_RTT_SET_RIPAS",
  in: ["rd", "rec", "base", "top"],
  out: ["out_top"],
  conditions: [
    "size_valid",
    "top_gran_align",
    "rd_align",
    "rd_bound",
    "rd_state",
    "rec_align",
    "rec_bound",
    "rec_gran_state",
    "rec_state",
    "rec_owner",
    "base_bound",
    "top_bound",
    "base_align",
    "no_progress",
  ],
  run(rmm, { rd: rdAddr, rec: recAddr, base, top }, fail) {
    if (top <= base) return fail("size_valid", "RMI_ERROR_INPUT");
    if (!isGranuleAligned(top)) return fail("top_gran_align", "RMI_ERROR_INPUT");
    const rdGranule = rmm.granuleIn(frameOf(rdAddr), "RD");
    if (typeof rdGranule === "string") return fail(`rd_${rdGranule}`, "RMI_ERROR_INPUT");
    const recGranule = rmm.granuleIn(frameOf(recAddr), "REC");
    if (typeof recGranule === "string")
      return fail(recGranule === "state" ? "rec_gran_state" : `rec_${recGranule}`, "RMI_ERROR_INPUT");
    const rec = rmm.rec(recGranule.frame);
    if (recGranule.refcount !== 0) return fail("rec_state", "RMI_ERROR_REC");
    if (rec.owner !== rdAddr) return fail("rec_owner", "RMI_ERROR_REC");
    if (base !== rec.ripas_addr) return fail("base_bound", "RMI_ERROR_INPUT");
    if (top > rec.ripas_top) return fail("top_bound", "RMI_ERROR_INPUT");
    const rd = rmm.rd(rdGranule.frame);
    const { level, table, index } = walk(rmm, rd, base, RTT_LEVEL_PAGE);
    if (!isAligned(base, level)) return fail("base_align", "RMI_ERROR_RTT", level);
    const entries = table.u64;
    const size = rttEntrySize(level);
    const ripas = rec.ripas_value as RmiRipas;
    let addr = base;
    for (let i = index; i < RTT_ENTRIES && addr + size <= top; i++) {
      const entry = entries[i]!;
      const state = rtteState(entry, level);
      if (state !== "UNASSIGNED" && state !== "ASSIGNED") break;
      const old = rtteRipas(entry);
      if (old === RmiRipas.DESTROYED && !rec.ripas_destroyed) break;
      if (old !== ripas) {
        const to = state === "ASSIGNED" ? assigned(rtteAddr(entry), ripas, level) : unassigned(ripas);
        setEntry({ table, index: i }, to);
        if (isValidEntry(entry)) rmm.isolation.invalidate(rmm.pe, rd.vmid, { ipa: addr, size });
      }
      addr += size;
    }
    if (addr === base) return fail("no_progress", "RMI_ERROR_RTT", level);

    rec.ripas_addr = addr;
    return success({ out_top: addr });
  },
});
