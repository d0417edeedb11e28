/** Snapshots at many places of a run; see suite.ts. */
import { describe } from "vitest";
import { type Job, snapshotSuite } from "./suite.js";

describe.each<readonly [string, Job]>([
  ["rsi-check as a realm", { image: "rsi-check", cpus: 1, realm: true }],
  ["smp as a realm with 4 vCPUs", { image: "smp", cpus: 4, realm: true }],
])("%s", (_, job) => snapshotSuite(job, 12));
