/** Random calls, a short run; see suite.ts. */
import { callSuite } from "./suite.js";

callSuite({ rmm: 4_000, realm: 5_000, vm: 1_000, seeds: [1] });
