/** The RMI interface as one table. DEN0137 1.0-rel0, "RMI commands". */
import type { RmiCommandRow } from "./command.js";
import { dataCreate, dataCreateUnknown, dataDestroy } from "./data.js";
import { granuleDelegate, granuleUndelegate } from "./granule.js";
import { psciComplete } from "./psci-complete.js";
import { realmActivate, realmCreate, realmDestroy } from "./realm.js";
import { recAuxCount, recCreate, recDestroy } from "./rec.js";
import { recEnter } from "./rec-enter.js";
import { rttInitRipas, rttSetRipas } from "./ripas.js";
import { rttCreate, rttDestroy, rttFold, rttReadEntry } from "./rtt.js";
import { rttMapUnprotected, rttUnmapUnprotected } from "./unprotected.js";
import { features, version } from "./version.js";

/** Every command, in the order of function ids. */
export const RMI_COMMANDS: readonly RmiCommandRow[] = [
  version,
  granuleDelegate,
  granuleUndelegate,
  dataCreate,
  dataCreateUnknown,
  dataDestroy,
  realmActivate,
  realmCreate,
  realmDestroy,
  recCreate,
  recDestroy,
  recEnter,
  rttCreate,
  rttDestroy,
  rttMapUnprotected,
  rttReadEntry,
  rttUnmapUnprotected,
  psciComplete,
  features,
  rttFold,
  recAuxCount,
  rttInitRipas,
  rttSetRipas,
];
