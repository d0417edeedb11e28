/**
 * The profile strings (claim 265) that select a claim set, and where each keeps the binding between the two halves of
 * a token. draft-ffm-rats-cca-token, issues -00 to -04.
 */

import type { Generation } from "./claims.js";

/** What the specification of RMM 1.0 goes with. */
export const PLATFORM_PROFILE_1_0_0 = "tag:arm.com,2023:cca_platform#1.0.0";
export const REALM_PROFILE_1_0_0 = "tag:arm.com,2023:realm#1.0.0";

/** The profile's claim set; "unsupported" for the profiles whose realm claims are not signed by a RAK. */
export const PLATFORM_PROFILES: Readonly<Record<string, Generation | "unsupported">> = {
  "http://arm.com/CCA-SSD/1.0.0": "legacy",
  [PLATFORM_PROFILE_1_0_0]: "1.0.0",
  // Named in -04 without a claim table of its own.
  "tag:arm.com,2024:cca_platform#1.1.0": "1.0.0",
  "tag:arm.com,2024:cca_platform#2.0.0": "2024",
  "tag:arm.com,2024:cca_platform#2.0.0;direct": "unsupported",
  // 2.1.0 adds the extension claim, which is optional in the table anyway.
  ...Object.fromEntries(
    ["2.0.0", "2.1.0"].flatMap((version) => {
      const profile = `tag:arm.com,2026:cca_platform#${version}`;
      return [
        [profile, "2026"],
        [`${profile};delegated`, "2026"],
        [`${profile};direct`, "unsupported"],
        [`${profile};HESRAK`, "unsupported"],
      ] as const;
    }),
  ),
};

export const REALM_PROFILES: Readonly<Record<string, Generation>> = {
  [REALM_PROFILE_1_0_0]: "1.0.0",
  "tag:arm.com,2024:realm#2.0.0": "2024",
  "tag:arm.com,2026:realm#2.0.0": "2026",
};

/** A table's own entry: a token must not reach `constructor` and its like by naming them. */
export const lookUp = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;
