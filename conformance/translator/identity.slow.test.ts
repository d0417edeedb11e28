/** Whole runs with the translator off and on: all built-in guests, both ways. */
import type { VmConfig } from "realmbox";
import { describe, test } from "vitest";
import { hostile, small } from "../support/box.js";
import { expectOneRun } from "./identity.js";
import type { Jit } from "./machine.js";

const GUESTS: readonly { readonly name: string; readonly config: VmConfig; readonly interleave?: bigint }[] = [
  { name: "hello", config: small("hello") },
  { name: "rsi-check", config: small("rsi-check") },
  { name: "smp with 4 vCPUs", config: small("smp", 4) },
  { name: "smp with 4 vCPUs that interleave", config: small("smp", 4), interleave: 7n },
  { name: "hostile case=fuzz", config: hostile("fuzz", { calls: 500, seed: 4 }) },
];
const THRESHOLDS: readonly Jit[] = [0, 3, 200, "on"];

describe.each(GUESTS)("$name", ({ config, interleave }) => {
  test.each([
    ["as a realm", true],
    ["as a normal VM", false],
  ])("%s", (_as, realm) => expectOneRun({ ...config, realm }, THRESHOLDS, interleave));
});
