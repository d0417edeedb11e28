import { describe, expect, test } from "vitest";
import {
  assigned,
  assignedNs,
  isLiveLow,
  nsHostDesc,
  rtteRipas,
  rtteState,
  table,
  UNASSIGNED_NS,
  unassigned,
} from "./entry.js";
import { startTables } from "./geometry.js";

const PA = 0x1234_5678_9000n;

// Values of the encoding in TF-RMM at its 1.0-rel0 tag, LPA2 off.
test.each([
  ["UNASSIGNED, EMPTY", unassigned(0), 0x0n, 3, "UNASSIGNED", 0],
  ["UNASSIGNED, RAM", unassigned(1), 0x20n, 3, "UNASSIGNED", 1],
  ["UNASSIGNED, DESTROYED", unassigned(2), 0x40n, 3, "UNASSIGNED", 2],
  ["UNASSIGNED_NS", UNASSIGNED_NS, 0x0080_0000_0000_0000n, 3, "UNASSIGNED_NS", 0],
  ["ASSIGNED, EMPTY", assigned(PA, 0, 3), PA + 0x4n, 3, "ASSIGNED", 0],
  ["ASSIGNED, DESTROYED", assigned(PA, 2, 3), PA + 0x44n, 3, "ASSIGNED", 2],
  ["ASSIGNED, RAM, page", assigned(PA, 1, 3), PA + 0x7dbn, 3, "ASSIGNED", 1],
  ["ASSIGNED, RAM, block", assigned(0x20_0000n, 1, 2), 0x20_07d9n, 2, "ASSIGNED", 1],
  [
    "ASSIGNED_NS, page",
    assignedNs(PA | (6n << 2n) | (3n << 6n), 3),
    0x00c0_0000_0000_0703n + PA + 0xd8n,
    3,
    "ASSIGNED_NS",
    1,
  ],
  ["ASSIGNED_NS, block", assignedNs(6n << 2n, 2), 0x00c0_0000_0000_0701n + 0x18n, 2, "ASSIGNED_NS", 1],
  // Outer Shareable for what is not cacheable, as DEN0137 has it.
  ["ASSIGNED_NS, device", assignedNs(PA, 3), 0x00c0_0000_0000_0603n + PA, 3, "ASSIGNED_NS", 1],
  ["TABLE", table(PA), PA + 0x3n, 2, "TABLE", 1],
] as const)("%s", (_, entry, value, level, state, ripas) => {
  expect(entry).toBe(value);
  expect(rtteState(entry, level)).toBe(state);
  if (state === "ASSIGNED" || state === "UNASSIGNED") expect(rtteRipas(entry)).toBe(ripas);
  expect(isLiveLow(Number(entry & 0xffff_ffffn))).toBe(state !== "UNASSIGNED" && state !== "UNASSIGNED_NS");
});

test("the Host reads back what it gave", () => {
  for (let attr = 0n; attr < 8n; attr++) {
    const desc = PA | (attr << 2n) | (2n << 6n);
    expect(nsHostDesc(assignedNs(desc, 3))).toBe(desc);
  }
});

describe("start tables", () => {
  // DEN0137 and DDI 0487: the whole table, LPA2 off.
  const valid: Record<number, Record<number, number>> = {
    2: { 32: 4, 33: 8, 34: 16 },
    1: { 32: 1, 33: 1, 34: 1, 35: 1, 36: 1, 37: 1, 38: 1, 39: 1, 40: 2, 41: 4, 42: 8, 43: 16 },
    0: { 40: 1, 41: 1, 42: 1, 43: 1, 44: 1, 45: 1, 46: 1, 47: 1, 48: 1 },
  };
  test.each([-1, 0, 1, 2, 3])("level %i", (level) => {
    for (let width = 32; width <= 48; width++) {
      expect(startTables(width, level), `width ${width}`).toBe(valid[level]?.[width]);
    }
  });
});
