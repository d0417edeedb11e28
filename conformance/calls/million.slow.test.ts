/** One million random calls; see suite.ts. */
import { callSuite } from "./suite.js";

callSuite({ host: 150_000, rmm: 25_000, realm: 70_000, vm: 5_000, seeds: [11, 12, 13, 14], everyCommand: true });
