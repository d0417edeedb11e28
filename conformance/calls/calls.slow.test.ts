/** Several hundred thousand random calls; see suite.ts. */
import { callSuite } from "./suite.js";

callSuite({ rmm: 25_000, realm: 70_000, vm: 5_000, seeds: [11, 12, 13, 14] });
