/** Random calls, a short run; see suite.ts. */
import { callSuite } from "./suite.js";

callSuite({ host: 10_000, rmm: 4_000, realm: 5_000, vm: 1_000, seeds: [1], everyCommand: false });
