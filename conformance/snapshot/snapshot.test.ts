/** Snapshots of realms and normal VMs; see suite.ts. */
import { describe } from "vitest";
import { type Job, snapshotSuite } from "./suite.js";

describe.each<readonly [string, Job]>([
  ["hello as a realm", { image: "hello", cpus: 1, realm: true }],
  ["hello as a normal VM", { image: "hello", cpus: 1, realm: false }],
  ["smp as a realm with 4 vCPUs", { image: "smp", cpus: 4, realm: true }],
  ["smp as a normal VM with 4 vCPUs", { image: "smp", cpus: 4, realm: false }],
  ["RIPAS changes of a realm", { image: "hostile", cpus: 1, realm: true, params: "case=ripas n=10" }],
])("%s", (_, job) => snapshotSuite(job, 2));
