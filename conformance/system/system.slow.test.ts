/**
 * The machine above EL0 against QEMU's virt board, table by table. Needs qemu-system-aarch64 7.2 (Debian 12's), whose
 * deviations from the architecture the tables name; what QEMU cannot express is in architecture.test.ts.
 *
 * SYSTEM_SEED repeats or varies the random worlds and programs (default 1), SYSTEM_WORLDS says how many (default 3000).
 */
import { describe, expect, test } from "vitest";
import type { Case } from "./case.js";
import { debugCases } from "./cases/debug.js";
import { el2Cases } from "./cases/el2.js";
import { exceptionCases } from "./cases/exceptions.js";
import { instructionCases } from "./cases/instructions.js";
import { interruptCases } from "./cases/interrupts.js";
import { memoryCases } from "./cases/memory.js";
import { pauthCases } from "./cases/pauth.js";
import { countingCases, pmuCases } from "./cases/pmu.js";
import { programCases } from "./cases/programs.js";
import { randomCases } from "./cases/random.js";
import { registerCases } from "./cases/registers.js";
import { secureCases } from "./cases/secure.js";
import { simdMemoryCases } from "./cases/simd-memory.js";
import { stage1Cases } from "./cases/stage1.js";
import { stage2Cases } from "./cases/stage2.js";
import { syndromeCases } from "./cases/syndromes.js";
import { tlbCases } from "./cases/tlb.js";
import { tlbHistoryCases } from "./cases/tlb-histories.js";
import { translateCases } from "./cases/translate.js";
import { CPUS, type Cpu, qemuVersion } from "./run-qemu.js";
import { report, runSuite } from "./suite.js";

const SEED = Number(process.env.SYSTEM_SEED ?? 1);
const WORLDS = Number(process.env.SYSTEM_WORLDS ?? 3000);

const TABLES: Readonly<Record<string, readonly Case[]>> = {
  "stage 1": stage1Cases,
  "stage 2": stage2Cases,
  "EL2 regimes": el2Cases,
  "Secure state": secureCases,
  "address translation instructions": translateCases,
  exceptions: exceptionCases,
  "self-hosted debug": debugCases,
  syndromes: syndromeCases,
  "system registers": registerCases,
  "system instructions": instructionCases,
  memory: memoryCases,
  "memory and V registers": simdMemoryCases,
  "pointer authentication": pauthCases,
  "TLB maintenance": tlbCases,
  "performance monitors": pmuCases,
  "instructions counted": countingCases,
  interrupts: interruptCases,
  [`random translation, seed ${SEED}`]: randomCases(SEED, WORLDS),
  [`random programs, seed ${SEED}`]: programCases(SEED, WORLDS),
  [`random histories of tables, seed ${SEED}`]: tlbHistoryCases(SEED, Math.ceil(WORLDS / 10)),
};

test("QEMU is installed", () => {
  expect(qemuVersion()).toMatch(/^QEMU emulator version/);
});

describe.each(Object.entries(TABLES))("%s", (_, table) => {
  const cpus = (Object.keys(CPUS) as Cpu[]).filter((cpu) => table.some((one) => (one.cpu ?? "neoverse-n1") === cpu));
  test.each(cpus)("as QEMU's %s", async (cpu) => {
    const outcome = await runSuite(
      table.filter((one) => (one.cpu ?? "neoverse-n1") === cpu),
      cpu,
    );
    console.log(`${outcome.cases} cases, ${outcome.fields} words compared`);
    expect(outcome.differences.length, report(outcome)).toBe(0);
  });
});
