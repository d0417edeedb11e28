/** One RMM beside another: the same calls to both, and which rule decides where they differ. */
export { type Difference, differences, type FieldDifference } from "./compare.js";
export { randomScript } from "./random.js";
export { type Call, type Recording, record } from "./recording.js";
export { comparisonText, differenceText, type RuleRow, ruleRows } from "./report.js";
export { type Right, RULES, type Rule, ruleFor } from "./rules.js";
export {
  type Comparison,
  caseScripts,
  compareRmms,
  type Decided,
  type NamedScript,
  type Pair,
  randomScripts,
  rmmPair,
} from "./run.js";
