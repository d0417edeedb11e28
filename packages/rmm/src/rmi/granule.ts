/** RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE. */
import { isFault } from "@realmbox/machine";
import { ok, rmiCommand } from "./command.js";

/**
 * RMI_GRANULE_DELEGATE, FID 0xC4000151: moves one granule from the Host's use to the Realm PAS, and wipes it.
 * @spec DEN0137 1.0-rel0, "RMI_GRANULE_DELEGATE command": complete
 */
export const granuleDelegate = rmiCommand({
  name: "RMI_GRANULE_DELEGATE",
  in: ["addr"],
  out: [],
  conditions: ["gran_align", "gran_bound", "gran_state", "gran_gpt"],
  run(rmm, _addr, fail) {
    const frame = rmm.frame(1);
    const granule = rmm.granuleIn(frame, "UNDELEGATED");
    if (typeof granule === "string") return fail(`gran_${granule}`, "RMI_ERROR_INPUT");
    // Nothing answers at the address: the machine's own memory is used up. From here on every granule can be written.
    const content = rmm.hostMemory.page(frame);
    if (isFault(content) && content.fault === "external") return fail("gran_bound", "RMI_ERROR_INPUT");
    // Only the root of trust sees the GPT: one call both checks gran_gpt and makes the change.
    if (!rmm.isolation.protect(rmm.pe, frame)) return fail("gran_gpt", "RMI_ERROR_INPUT");

    granule.become("DELEGATED");
    rmm.wipe(frame);
    return ok;
  },
});

/**
 * RMI_GRANULE_UNDELEGATE, FID 0xC4000152: gives one granule back to the Host. Its content is zero: every use that ended
 * has wiped it.
 * @spec DEN0137 1.0-rel0, "RMI_GRANULE_UNDELEGATE command": complete
 */
export const granuleUndelegate = rmiCommand({
  name: "RMI_GRANULE_UNDELEGATE",
  in: ["addr"],
  out: [],
  conditions: ["gran_align", "gran_bound", "gran_state"],
  run(rmm, _addr, fail) {
    const frame = rmm.frame(1);
    const granule = rmm.granuleIn(frame, "DELEGATED");
    if (typeof granule === "string") return fail(`gran_${granule}`, "RMI_ERROR_INPUT");

    rmm.isolation.unprotect(rmm.pe, frame);
    granule.become("UNDELEGATED");
    return ok;
  },
});
