/** All conformance cases, in the order of the document: RMI, then what a Realm sees. */
import type { ConformanceCase } from "./case.js";
import { exitCases } from "./exits.js";
import { psciCases } from "./psci.js";
import { dataCases } from "./rmi/data.js";
import { granuleCases } from "./rmi/granule.js";
import { psciCompleteCases } from "./rmi/psci-complete.js";
import { realmCases } from "./rmi/realm.js";
import { recCases } from "./rmi/rec.js";
import { recEnterCases } from "./rmi/rec-enter.js";
import { ripasCases } from "./rmi/ripas.js";
import { rttCases } from "./rmi/rtt.js";
import { unprotectedCases } from "./rmi/unprotected.js";
import { versionCases } from "./rmi/version.js";
import { attestationCases } from "./rsi/attestation.js";
import { rsiCallCases } from "./rsi/calls.js";
import { hostCallCases } from "./rsi/host-call.js";
import { ipaStateCases } from "./rsi/ipa-state.js";

export { CASE_KINDS, type CaseKind, type ConformanceCase } from "./case.js";
export {
  type Caught,
  CONDITIONS,
  type ConditionCoverage,
  type ConformanceCoverage,
  coverageOf,
  type Proof,
  UNREACHABLE_CONDITIONS,
  type UnreachableCondition,
} from "./coverage.js";
export { PROOF } from "./proof.js";
export { Benches, type CaseResult, type RunOptions, runCase } from "./run.js";

export const CASES: readonly ConformanceCase[] = [
  ...versionCases,
  ...granuleCases,
  ...realmCases,
  ...recCases,
  ...recEnterCases,
  ...dataCases,
  ...rttCases,
  ...unprotectedCases,
  ...ripasCases,
  ...psciCompleteCases,
  ...exitCases,
  ...rsiCallCases,
  ...ipaStateCases,
  ...attestationCases,
  ...hostCallCases,
  ...psciCases,
];
