/** One thread of mutate.mjs: runs the cases that claim a condition while one of its checks is off. */
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import { nodeCrypto } from "../../../packages/realmbox/dist/crypto/node.js";
import { CASES } from "../dist/cases/index.js";
import { Benches, runCase } from "../dist/cases/run.js";

const { createRmm, mutation } = await import(pathToFileURL(workerData.outfile));
const benchesOf = (namesConditions) =>
  new Benches({ crypto: nodeCrypto, rmm: { kind: "native", create: createRmm, namesConditions } });
/** Without ids, the RMM is judged by what it does; with them, also by what it says. */
const passes = [
  ["behaviour", benchesOf(false)],
  ["id", benchesOf(true)],
];

function attempt({ condition, key }) {
  const cases = CASES.filter(({ conditions }) => conditions.includes(condition));
  let crash;
  for (const [how, benches] of passes) {
    for (const one of cases) {
      mutation.active = undefined;
      benches.get(one.machine ?? "default"); // boots without the mutation
      mutation.active = key;
      const { result, message, crashed } = runCase(benches, one);
      mutation.active = undefined;
      if (result !== "failed") continue;
      if (!crashed) return { how, by: one.id, message };
      crash ??= { how: "crash", by: one.id, message };
    }
    if (crash) return crash;
  }
  return { how: undefined };
}

parentPort.on("message", (mutant) => parentPort.postMessage(attempt(mutant)));
parentPort.postMessage("ready");
