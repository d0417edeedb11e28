/**
 * A hostile RMM: native test firmware in slot realm-el2 that makes random SMCs of the RMM-EL3 interface, its neighbours and
 * other worlds' functions. The Root Monitor and the GPT are the real ones. Granule transitions are compared with a model;
 * at the end every granule is given back.
 */
import {
  isGranuleAligned,
  PSCI_FID,
  RMI_FID,
  RMM_BOOT_STATUS,
  RMM_EL3_FID,
  RSI_FID,
  rmmEl3Code,
  SMCCC_NOT_SUPPORTED,
} from "@realmbox/abi";
import { baseBoard, generateInterpreter, Machine, OFF, type Pe } from "@realmbox/machine";
import { createMonitor } from "@realmbox/monitor";
import { nodeCrypto } from "realmbox";
import { monitorMap } from "../../packages/monitor/src/memory-map.js";
import { Random } from "../oracle/random.js";
import { contentOf } from "../support/memory.js";
import { type Script, scripted, smc } from "./slot.js";

const DRAM = 0x8000_0000n;
const DRAM_SIZE = 16n << 20n;
const PAGE = 4096n;

export interface RmmFuzzResult {
  /** Results of X0, as signed numbers, and how often. */
  readonly counts: Readonly<Record<string, number>>;
  /** The GPT's memory before the first call and after the last granule was given back. */
  readonly gptBefore: ReadonlyMap<number, string>;
  readonly gptAfter: ReadonlyMap<number, string>;
}

export function fuzzRmm({ seed, calls }: { readonly seed: number; readonly calls: number }): RmmFuzzResult {
  const board = baseBoard({ dramSize: DRAM_SIZE, frameBytes: 32 << 20 });
  const machine = new Machine({ board, engine: generateInterpreter() });
  const random = new Random(seed);
  const counts: Record<string, number> = {};
  const { l0, end } = monitorMap(board);
  const gpt = () => contentOf(machine, [{ base: l0, size: end - l0 }]);
  let gptBefore: ReadonlyMap<number, string> = new Map();
  const delegated = new Set<bigint>();

  const granule = () => DRAM + BigInt(random.below(256)) * PAGE;
  const sharedPage = board.realm.base;
  const argument = () =>
    random.pick([
      granule,
      granule,
      () => granule() + BigInt(random.below(4096)),
      () => sharedPage + BigInt(random.below(4096)),
      () => board.root.base + BigInt(random.below(1 << 14)) * PAGE,
      () => board.realm.base + BigInt(random.below(1 << 14)) * PAGE,
      () => DRAM + DRAM_SIZE - PAGE + BigInt(random.below(3)) * PAGE,
      () => BigInt(random.below(4097)),
      () => random.pick([0n, 32n, 48n, 64n, 4096n]),
      () => random.value(),
    ])();
  const { RMI_REQ_COMPLETE, RMM_ATTEST_GET_PLAT_TOKEN, RMM_GTSI_DELEGATE, RMM_GTSI_UNDELEGATE } = RMM_EL3_FID;

  function* one(pe: Pe): Script<void> {
    const fid = random.pick<() => bigint>([
      () => RMM_GTSI_DELEGATE,
      () => RMM_GTSI_UNDELEGATE,
      () => random.pick(Object.values(RMM_EL3_FID)),
      () => 0xc400_01b0n - 2n + BigInt(random.below(0x24)),
      () => random.pick([...Object.values(RMI_FID), ...Object.values(RSI_FID), ...Object.values(PSCI_FID)]),
      () => BigInt(random.u32()),
    ])();
    // This one ends the RMM's turn; a token is signed each time, which takes long.
    if (fid === RMI_REQ_COMPLETE || (fid === RMM_ATTEST_GET_PLAT_TOKEN && !random.oneIn(16))) return;
    const args = Array.from({ length: 7 }, argument);
    if (fid === RMM_ATTEST_GET_PLAT_TOKEN && random.oneIn(2)) args.splice(0, 3, sharedPage, 4096n, 64n);
    const [x0] = yield* smc(pe, [fid, ...args]);
    const pa = args[0]!;
    const inDram = isGranuleAligned(pa) && pa >= DRAM && pa < DRAM + DRAM_SIZE;
    if (fid === RMM_GTSI_DELEGATE || fid === RMM_GTSI_UNDELEGATE) {
      const isDelegation = fid === RMM_GTSI_DELEGATE;
      const expected = inDram && delegated.has(pa) !== isDelegation;
      if ((x0 === 0n) !== expected) throw new Error(`${isDelegation ? "" : "un"}delegate ${pa.toString(16)}: ${x0}`);
      if (expected && isDelegation) delegated.add(pa);
      else if (expected) delegated.delete(pa);
    }
    const code = BigInt.asIntN(64, x0!);
    const isRmmEl3 = fid >= 0xc400_01b0n && fid <= 0xc400_01cfn;
    const isKnown = isRmmEl3 ? code <= 0n && code >= -8n : x0 === SMCCC_NOT_SUPPORTED || fid >> 24n === 0x80n;
    if (!isKnown) throw new Error(`SMC 0x${fid.toString(16)} gave 0x${x0!.toString(16)}`);
    const what = `${isRmmEl3 ? "RMM-EL3" : "other"} ${code}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }

  function* rmm(pe: Pe): Script {
    yield* smc(pe, [RMM_EL3_FID.RMM_BOOT_COMPLETE, RMM_BOOT_STATUS.E_RMM_BOOT_SUCCESS]);
    // The Host's first call has come.
    gptBefore = gpt();
    for (let n = 0; n < calls; n++) yield* one(pe);
    for (const pa of delegated) {
      const [x0] = yield* smc(pe, [RMM_GTSI_UNDELEGATE, pa]);
      if (x0 !== rmmEl3Code("E_RMM_OK")) throw new Error(`granule ${pa.toString(16)} is lost: ${x0}`);
    }
    machine.stop("done");
    return OFF;
  }
  function* host(pe: Pe): Script {
    yield* smc(pe, [RMI_FID.RMI_VERSION, 0x1_0000n]);
    throw new Error("the RMM answers nobody here");
  }

  machine.install(
    "root-el3",
    createMonitor({
      machine,
      crypto: nodeCrypto,
      seed: Uint8Array.of(seed),
      image: Uint8Array.of(1),
      rmm: { kind: "native", image: Uint8Array.of(2) },
      host: { kind: "native" },
    }),
  );
  machine.install("realm-el2", scripted("hostile RMM", rmm));
  machine.install("ns-el2", scripted("Host", host));
  machine.reset();
  const ended = machine.run({ instructions: calls * 1000 + 1_000_000 });
  if (ended.kind !== "stopped") throw new Error(`the run ends: ${JSON.stringify(ended)}`);
  return { counts, gptBefore, gptAfter: gpt() };
}
