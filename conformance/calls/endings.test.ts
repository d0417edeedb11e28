/** Calls that do not return: they end the machine, a PE or the guest, and nothing else. */
import { PSCI_FID } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { hostile, makeBox, makeGuest } from "../support/box.js";
import { delegatedGranules } from "../support/memory.js";
import { trySmc } from "../support/smc.js";

describe("of a Host", () => {
  test.each([
    ["PSCI_SYSTEM_OFF", PSCI_FID.PSCI_SYSTEM_OFF],
    ["PSCI_SYSTEM_RESET", PSCI_FID.PSCI_SYSTEM_RESET],
    ["PSCI_SYSTEM_RESET2", 0x8400_0012n],
  ])("%s ends the run", (name, fid) => {
    const box = makeBox();
    const reasons: string[] = [];
    const { machine } = box;
    const stop = machine.stop.bind(machine);
    machine.stop = (reason) => {
      reasons.push(reason);
      stop(reason);
    };
    machine.onReset = ({ reason }) => {
      reasons.push(reason);
      return false;
    };
    expect(trySmc(box, fid, 0n)).toBeUndefined();
    expect(reasons).toEqual([name === "PSCI_SYSTEM_OFF" ? "PSCI_SYSTEM_OFF" : "PSCI_SYSTEM_RESET"]);
  });

  test("PSCI_CPU_OFF of the only PE leaves nothing that could run", () => {
    const box = makeBox();
    expect(trySmc(box, PSCI_FID.PSCI_CPU_OFF)).toBeUndefined();
    expect(box.machine.run({ instructions: 1000 }).kind).toBe("deadlock");
  });
});

test("a realm that waits for nobody can be taken down in its sleep", () => {
  const box = makeBox();
  const guest = makeGuest(box, { ...hostile("wfi"), realm: true });
  expect(guest.run({ instructions: 50_000_000 })).toMatchObject({ kind: "stuck" });
  expect(guest.close().ok).toBe(true);
  for (const [state, list] of delegatedGranules(box.machine)) expect(list, state).toEqual([]);
});
