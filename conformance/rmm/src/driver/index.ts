/**
 * A Host at NS-EL2 and code at R-EL1 as scripts, for any RMM behind the SMC interface.
 *
 * `new Bench({ crypto, rmm })` is the machine; `bench.play(function* (host) { … })` plays a script on PE 0 of it, each time
 * as after boot. `host.rmi(…)`, `host.ok(…)` make calls, `Realm.create`, `realm.rec`, `Agent.create` build Realms, and
 * `agent.run(host, word, registers)` carries out an instruction at R-EL1. `host.start(pe, script)` uses further PEs.
 */
export * from "./agent.js";
export { AGENT_IMM, AGENT_PAGE } from "./agent-code.js";
export * from "./bench.js";
export * from "./host.js";
export * as a64 from "./instructions.js";
export * from "./realm.js";
export * from "./rec.js";
export { HostError, type Script, type Task } from "./script.js";
