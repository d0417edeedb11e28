/** The machine's sources as the suites of the translator use them: one place for all imports across rooms. */
export { SecurityState } from "@realmbox/abi";
export {
  compareMachines,
  type Jit,
  type LockstepOptions,
  type LockstepSubject,
  lockstep,
  lockstepText,
  Machine,
  parseJit,
  R,
  type RegName,
  type TranslatorLimits,
} from "../../packages/machine/src/index.js";
