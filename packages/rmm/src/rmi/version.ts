/** RMI_VERSION and RMI_FEATURES: what this RMM speaks and offers. */
import { RMI_ABI_VERSION_1_0 } from "@realmbox/abi";
import { negotiate } from "../version.js";
import { rmiCommand, success } from "./command.js";

/** Revisions of the RMI ABI, ascending. */
const RMI_VERSIONS = [RMI_ABI_VERSION_1_0];

/**
 * RMI_VERSION, FID 0xC4000150: whether the RMM has the requested revision, and which others. Selects nothing.
 * @spec DEN0137 1.0-rel0, "RMI_VERSION command": complete
 */
export const version = rmiCommand({
  name: "RMI_VERSION",
  in: ["req"],
  out: ["lower", "higher"],
  conditions: ["incompat_lower"],
  run(_rmm, { req }, fail) {
    const { compatible, lower, higher } = negotiate(RMI_VERSIONS, req);
    if (!compatible) return fail("incompat_lower", "RMI_ERROR_INPUT", 0, { lower, higher });
    return success({ lower, higher });
  },
});

/**
 * RMI_FEATURES, FID 0xC4000165: a feature register; all but register 0 are zero.
 * @spec DEN0137 1.0-rel0, "RMI_FEATURES command": complete
 */
export const features = rmiCommand({
  name: "RMI_FEATURES",
  in: ["index"],
  out: ["value"],
  conditions: [],
  run(rmm, { index }) {
    return success({ value: index === 0n ? rmm.globals().feature_register_0 : 0n });
  },
});
