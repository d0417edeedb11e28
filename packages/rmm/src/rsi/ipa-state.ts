/** RSI_IPA_STATE_GET and RSI_IPA_STATE_SET: the RIPAS of a Realm's own addresses. */
import { isGranuleAligned, RmiRecExitReason, RmiRipas, RSI_RIPAS_CHANGE_FLAGS, rttEntrySize } from "@realmbox/abi";
import { beginExit } from "../rec/exit.js";
import { rtteRipas, rtteState } from "../rtt/entry.js";
import { RTT_ENTRIES, RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { alignDown, walk } from "../rtt/walk.js";
import { rsiCommand, success } from "./command.js";

/**
 * RSI_IPA_STATE_GET, FID 0xC4000198: the RIPAS at `base`, and how far, within one table, it stays the same.
 * @spec DEN0137 1.0-rel0, "RSI_IPA_STATE_GET command": complete
 */
export const ipaStateGet = rsiCommand({
  name: "RSI_IPA_STATE_GET",
  in: ["base", "top"],
  out: ["out_top", "ripas"],
  conditions: ["base_align", "base_bound", "end_align", "end_bound", "size_valid"],
  run({ rmm, rd, args: { base, top } }, fail) {
    if (!isGranuleAligned(base)) return fail("base_align", "RSI_ERROR_INPUT");
    if (!rd.isProtected(base)) return fail("base_bound", "RSI_ERROR_INPUT");
    if (!isGranuleAligned(top)) return fail("end_align", "RSI_ERROR_INPUT");
    if (top > rd.protectedSize) return fail("end_bound", "RSI_ERROR_INPUT");
    if (base >= top) return fail("size_valid", "RSI_ERROR_INPUT");

    const { level, table, index, entry } = walk(rmm, rd, base, RTT_LEVEL_PAGE);
    const entries = table.u64;
    const ripas = rtteRipas(entry);
    const size = rttEntrySize(level);
    let end = alignDown(base, level) + size;
    for (let i = index + 1; i < RTT_ENTRIES && end < top; i++, end += size) {
      const state = rtteState(entries[i]!, level);
      if ((state !== "UNASSIGNED" && state !== "ASSIGNED") || rtteRipas(entries[i]!) !== ripas) break;
    }
    if (end > top) end = top; // a block may reach beyond
    return success({ out_top: end, ripas: BigInt(ripas) });
  },
});

/**
 * RSI_IPA_STATE_SET, FID 0xC4000197: asks the Host to change the RIPAS of a range; its answer comes with the next REC
 * entry, in X0 to X2.
 * @spec DEN0137 1.0-rel0, "RSI_IPA_STATE_SET command": complete
 */
export const ipaStateSet = rsiCommand({
  name: "RSI_IPA_STATE_SET",
  in: ["base", "top", "ripas", "flags"],
  out: ["new_base", "response"],
  conditions: ["ripas_valid", "base_align", "top_align", "size_valid", "rgn_bound"],
  run({ rmm, rec, rd, args: { base, top, ripas: ripasArg, flags } }, fail) {
    const ripas = Number(ripasArg & 0xffn);
    if (ripas > RmiRipas.RAM) return fail("ripas_valid", "RSI_ERROR_INPUT");
    if (!isGranuleAligned(base)) return fail("base_align", "RSI_ERROR_INPUT");
    if (!isGranuleAligned(top)) return fail("top_align", "RSI_ERROR_INPUT");
    if (top <= base) return fail("size_valid", "RSI_ERROR_INPUT");
    if (top > rd.protectedSize) return fail("rgn_bound", "RSI_ERROR_INPUT");

    rec.ripas_pending = 1;
    rec.ripas_addr = base;
    rec.ripas_top = top;
    rec.ripas_value = ripas;
    rec.ripas_destroyed = Number(RSI_RIPAS_CHANGE_FLAGS.DESTROYED.get(flags));
    rec.forgetExit();
    beginExit(rmm, RmiRecExitReason.RMI_EXIT_RIPAS_CHANGE);
    rmm.exit.ripas_base = base;
    rmm.exit.ripas_top = top;
    rmm.exit.ripas_value = ripas;
    return { kind: "exit", status: "RSI_SUCCESS" };
  },
});
