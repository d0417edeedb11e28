/** The RSI interface as one table. DEN0137 1.0-rel0, "RSI commands". */
import { attestationTokenContinue, attestationTokenInit } from "./attestation.js";
import type { RsiCommandRow } from "./command.js";
import { realmConfig } from "./config.js";
import { hostCall } from "./host-call.js";
import { ipaStateGet, ipaStateSet } from "./ipa-state.js";
import { measurementExtend, measurementRead } from "./measurement.js";
import { features, version } from "./version.js";

/** Every command, in the order of function ids. */
export const RSI_COMMANDS: readonly RsiCommandRow[] = [
  version,
  features,
  measurementRead,
  measurementExtend,
  attestationTokenInit,
  attestationTokenContinue,
  realmConfig,
  ipaStateSet,
  ipaStateGet,
  hostCall,
];
