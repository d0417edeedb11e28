/** Longer campaigns: every RMI command succeeds, nearly every condition refuses, and nothing is found. */
import { RMI_FID } from "@realmbox/abi";
import { generateInterpreter } from "@realmbox/machine";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";
import { fuzz } from "./src/fuzz/index.js";

test.each([
  { side: "host", seed: 21, pes: 1, calls: 150_000 },
  { side: "both", seed: 22, pes: 2, calls: 150_000 },
  { side: "realm", seed: 23, pes: 3, calls: 60_000 },
] as const)("$calls calls, hostile $side, seed $seed, $pes PEs", (options) => {
  const engine = generateInterpreter();
  const report = fuzz({ ...options, crypto: nodeCrypto, engine, now: () => performance.now() });
  expect(report.failure).toBeUndefined();
  for (const command of Object.keys(RMI_FID)) {
    if (options.side !== "realm") expect(report.outcomes[`${command} RMI_SUCCESS`], command).toBeGreaterThan(0);
  }
  for (const reason of ["SYNC", "IRQ", "PSCI", "RIPAS_CHANGE", "HOST_CALL"])
    expect(report.outcomes[`exit ${reason}`], reason).toBeGreaterThan(0);
  const { declared, reached } = report.conditions;
  if (options.side !== "realm") expect(Object.keys(reached).length).toBeGreaterThan(0.9 * declared);
});
