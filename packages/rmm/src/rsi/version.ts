/** RSI_VERSION and RSI_FEATURES. */
import { RSI_ABI_VERSION_1_0 } from "@realmbox/abi";
import { negotiate } from "../version.js";
import { rsiCommand, success } from "./command.js";

/** Revisions of the RSI ABI, ascending. */
const RSI_VERSIONS = [RSI_ABI_VERSION_1_0];

/**
 * RSI_VERSION, FID 0xC4000190: whether the RMM has the requested revision, and which others.
 * @spec DEN0137 1.0-rel0, "RSI_VERSION command": complete
 */
export const version = rsiCommand({
  name: "RSI_VERSION",
  in: ["req"],
  out: ["lower", "higher"],
  conditions: ["incompat_lower"],
  run({ args: { req } }, fail) {
    const { compatible, lower, higher } = negotiate(RSI_VERSIONS, req);
    return compatible
      ? success({ lower, higher })
      : { ...fail("incompat_lower", "RSI_ERROR_INPUT"), out: { lower, higher } };
  },
});

/**
 * RSI_FEATURES, FID 0xC4000191: feature registers; RSI 1.0 has none that is not zero.
 * @spec DEN0137 1.0-rel0, "RSI_FEATURES command": complete
 */
export const features = rsiCommand({
  name: "RSI_FEATURES",
  in: ["index"],
  out: ["value"],
  conditions: [],
  run: () => success({ value: 0n }),
});
