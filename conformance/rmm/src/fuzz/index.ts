/** Fuzzing with an oracle of invariants: a hostile Host, hostile realms, or both, against the RMM of a machine. */
export { type CampaignOptions, type CampaignReport, type Failure, fuzz } from "./campaign.js";
export { Coverage, UNREACHABLE } from "./coverage.js";
export type { Side } from "./generator.js";
export type { RunOutcome } from "./runner.js";
export { formatScript, type Operation, parseScript, type Script as FuzzScript } from "./script.js";
export { type ReplayOptions, replay, shrink } from "./shrink.js";
