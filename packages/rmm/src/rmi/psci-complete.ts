/** RMI_PSCI_COMPLETE: the Host's answer to a PSCI call that names another REC. DEN0137 1.0-rel0, "PSCI". */
import { indexOfMpidr, PSCI_AFFINITY, PSCI_FID, psciCode } from "@realmbox/abi";
import { turnOnRec } from "../rec/reset.js";
import { frameOf } from "../views.js";
import { ok, rmiCommand } from "./command.js";

/** Function id in the low half of a REC's X0, as PSCI reads it. */
const fidOf = (x0: bigint): bigint => x0 & 0xffff_ffffn;
const isCpuOn = (fid: bigint): boolean => fid === PSCI_FID.PSCI_CPU_ON || fid === PSCI_FID.PSCI_CPU_ON_64;

/**
 * RMI_PSCI_COMPLETE, FID 0xC4000164: completes a pending PSCI_CPU_ON or PSCI_AFFINITY_INFO with the target that it named.
 * @spec DEN0137 1.0-rel0, "RMI_PSCI_COMPLETE command": complete
 */
export const psciComplete = rmiCommand({
  name: "RMI_PSCI_COMPLETE",
  in: ["calling_rec", "target_rec", "status"],
  out: [],
  conditions: [
    "calling_align",
    "target_align",
    "alias",
    "calling_bound",
    "calling_state",
    "target_bound",
    "target_state",
    "calling_running", // as TF-RMM's: a REC whose call is pending does not run, but this one may have none pending
    "pending",
    "owner",
    "target",
    "status",
  ],
  run(rmm, { calling_rec, target_rec, status }, fail) {
    const callingGranule = rmm.granuleIn(frameOf(calling_rec), "REC");
    if (callingGranule === "align") return fail("calling_align", "RMI_ERROR_INPUT");
    const targetGranule = rmm.granuleIn(frameOf(target_rec), "REC");
    if (targetGranule === "align") return fail("target_align", "RMI_ERROR_INPUT");
    if (calling_rec === target_rec) return fail("alias", "RMI_ERROR_INPUT");
    if (typeof callingGranule === "string") return fail(`calling_${callingGranule}`, "RMI_ERROR_INPUT");
    if (typeof targetGranule === "string") return fail(`target_${targetGranule}`, "RMI_ERROR_INPUT");
    if (callingGranule.refcount !== 0) return fail("calling_running", "RMI_ERROR_INPUT");
    const calling = rmm.rec(callingGranule.frame);
    const target = rmm.rec(targetGranule.frame);
    if (!calling.psci_pending) return fail("pending", "RMI_ERROR_INPUT");
    if (calling.owner !== target.owner) return fail("owner", "RMI_ERROR_INPUT");
    if (indexOfMpidr(calling.getGpr(1)) !== target.index) return fail("target", "RMI_ERROR_INPUT");
    const cpuOn = isCpuOn(fidOf(calling.getGpr(0)));
    const denied = status === psciCode("PSCI_DENIED");
    const permitted = status === psciCode("PSCI_SUCCESS") || (denied && cpuOn && !target.runnable);
    // A failure has no effects: the request stays pending, and the calling REC cannot be entered. TF-RMM completes it with
    // ALREADY_ON although it fails DENIED for a runnable target, which TF-A-Tests' "multi rec psci denied" goes on to expect.
    if (!permitted) return fail("status", "RMI_ERROR_INPUT");

    // A REC that has turned itself off, but has not left its PE yet, still counts as on.
    const on = target.runnable !== 0 || targetGranule.refcount !== 0;
    let result: bigint;
    if (denied) result = psciCode("PSCI_DENIED");
    else if (!cpuOn) result = on ? PSCI_AFFINITY.ON : PSCI_AFFINITY.OFF;
    else if (on) result = psciCode("PSCI_ALREADY_ON");
    else {
      turnOnRec(target, calling, { entry: calling.getGpr(2), contextId: calling.getGpr(3) });
      result = psciCode("PSCI_SUCCESS");
    }
    calling.setGpr(0, result);
    for (let n = 1; n <= 3; n++) calling.setGpr(n, 0n);
    calling.psci_pending = 0;
    return ok;
  },
});
