/**
 * A hostile Host: native test firmware in slot ns-el2 that makes random SMCs on all PEs, of every function identifier
 * of RMI, RSI, PSCI and the RMM-EL3 interface, their neighbours and others, with arguments that are mostly almost right.
 * The machine, the Root Monitor and the RMM are the real ones; the RECs that it creates and enters run random code.
 *
 * After each call: X0 is a result that the called interface knows, and no register that a call preserves has changed. Now
 * and then, and at the end: the invariants of all RMM objects, recomputed from memory. At the end the Host takes every
 * granule back with the architecture's own commands.
 */
import {
  Pas,
  PSCI_FID,
  PSCI_FID_FIRST,
  PSCI_VERSION_1_1,
  parseRmiReturnCode,
  REC_EXIT_OFFSET,
  REC_EXIT_REASON_NAMES,
  RMI_FID,
  RMM_EL3_FID,
  type RmiCommand,
  RmiRealmParams,
  RmiRecEnter,
  RmiRecExit,
  RmiRecParams,
  RSI_FID,
  recMpidrOfIndex,
  SMCCC_ARCH_FEATURES,
  SMCCC_NOT_SUPPORTED,
  SMCCC_VERSION,
  SMCCC_VERSION_1_5,
} from "@realmbox/abi";
import { baseBoard, generateInterpreter, Machine, type MemoryPort, OFF, type Pe, R } from "@realmbox/machine";
import { createMonitor } from "@realmbox/monitor";
import { createRmm } from "@realmbox/rmm";
import { nodeCrypto } from "realmbox";
import { stage2Geometry } from "../../packages/host/src/memory/stage2.js";
import { setUpCpu, setUpDistributor } from "../../packages/host/src/physical-gic.js";
import { GRANULE_STATES, type GranuleState } from "../../packages/rmm/src/granule/granule.js";
import { memoryMap } from "../../packages/rmm/src/memory-map.js";
import { RdLayout } from "../../packages/rmm/src/realm/rd.js";
import { RecLayout } from "../../packages/rmm/src/rec/rec.js";
import { problems } from "../../packages/rmm/src/testing/invariants.js";
import { Random } from "../oracle/random.js";
import { inspect, pageAt } from "../support/memory.js";
import { realmCode } from "./realm-code.js";
import { type Script, scripted, smc } from "./slot.js";

const PAGE = 4096n;
const DRAM = 0x8000_0000n;
const DRAM_SIZE = 16n << 20n;
/** What the calls play with; the Host's own pages come after it. */
const PLAYGROUND = 512;
const GRANULES: readonly bigint[] = Array.from({ length: PLAYGROUND }, (_, n) => DRAM + BigInt(n) * PAGE);
const SOURCES = 32;
const SOURCE_BASE = DRAM + 0x80_0000n;
const PARAMS_BASE = DRAM + 0xc0_0000n;
const UNPROTECTED = 1n << 32n;
/** Addresses that the realms use, in the Protected half of a 33-bit IPA space. */
const IPAS = [0n, 0x1000n, 0x2000n, 0x3000n, 0x20_0000n, 0x20_1000n, 0x40_0000n, 0x4000_0000n, 0x4000_1000n] as const;
const SHARED_IPAS = [0n, 0x1000n, 0x20_0000n, 0x4000_0000n].map((ipa) => ipa | UNPROTECTED);

/** So many calls after one realm that is made to run, the next one comes. */
const REALM_EVERY = 200;
/** Realms at a time, beside those that random calls make. */
const REALMS = 4;

export interface FuzzOptions {
  readonly seed: number;
  /** Calls in all, over all PEs. */
  readonly calls: number;
  readonly pes?: number;
  /** Calls between two looks at all invariants. */
  readonly checkEvery: number;
}

export interface FuzzResult {
  /** How often what came out: "RMI_RTT_CREATE RMI_SUCCESS", "PSCI", "unknown" … */
  readonly counts: Readonly<Record<string, number>>;
  /** What is wrong with the RMM's objects after everything was taken back. */
  readonly problems: readonly string[];
  readonly machine: Machine;
}

/** Function identifiers that would end the machine, or the PE that has the others' fate in hand. */
const ENDINGS: ReadonlySet<bigint> = new Set([
  PSCI_FID.PSCI_CPU_OFF,
  PSCI_FID.PSCI_SYSTEM_OFF,
  PSCI_FID.PSCI_SYSTEM_RESET,
  0x8400_0012n, // SYSTEM_RESET2
  0xc400_0012n,
]);

export function fuzzHost({ seed, calls, pes = 2, checkEvery }: FuzzOptions): FuzzResult {
  const board = baseBoard({ peCount: pes, dramSize: DRAM_SIZE, frameBytes: 64 << 20 });
  const machine = new Machine({ board, engine: generateInterpreter() });
  const rmm = createRmm({ crypto: nodeCrypto, board, trace: machine.trace });
  const native = { kind: "native" } as const;
  const monitor = createMonitor({
    machine,
    crypto: nodeCrypto,
    seed: Uint8Array.of(seed),
    image: Uint8Array.of(1),
    rmm: { ...native, image: rmm.image },
    host: native,
  });
  const fuzz = new HostFuzz(machine, { seed, calls, checkEvery });
  machine.install("root-el3", monitor);
  machine.install("realm-el2", rmm);
  machine.install(
    "ns-el2",
    scripted("hostile Host", (pe) => fuzz.play(pe)),
  );
  machine.reset();
  run(machine, calls);
  return { counts: fuzz.counts, problems: problems(inspect(machine)), machine };
}

/** Runs to the end; a realm that takes nothing but exceptions is interrupted, as a Host's timer tick would. */
function run(machine: Machine, calls: number): void {
  // A call costs the clock a few hundred counts, or 2,000 when a REC runs until its timer.
  for (let left = calls * 50 + 100_000; left > 0; left--) {
    const end = machine.run({ instructions: 100_000 });
    if (end.kind === "stopped") return;
    if (end.kind === "limit") continue;
    if (end.kind !== "exception-loop") throw new Error(`the run ends: ${JSON.stringify(end)}`);
    for (const pe of machine.pes) if (pe.el < 2) pe.r[R.CNTHP_CVAL_EL2] = 0n;
  }
  throw new Error("the run does not end");
}

class HostFuzz {
  readonly counts: Record<string, number> = {};
  readonly #machine: Machine;
  readonly #random: Random;
  readonly #checkEvery: number;
  #left: number;
  #lists: ReadonlyMap<GranuleState, readonly bigint[]> = new Map();
  #listsAge = 0;
  /** The last REC that has exited, its realm, and the range whose RIPAS it wants changed. */
  #asked: { readonly rec: bigint; readonly rd: bigint; readonly base: bigint; readonly top: bigint } | undefined;

  constructor(machine: Machine, { seed, calls, checkEvery }: FuzzOptions) {
    this.#machine = machine;
    this.#random = new Random(seed);
    this.#left = calls;
    this.#checkEvery = checkEvery;
  }

  *play(pe: Pe): Script {
    const { board } = this.#machine;
    const port = pe.port(Pas.NS);
    if (pe.index === 0) setUpDistributor(board, pe, port);
    setUpCpu(board, pe, port);
    if (pe.index === 0) {
      this.#prepare(port);
      for (const other of this.#machine.pes.slice(1)) {
        yield* smc(pe, [PSCI_FID.PSCI_CPU_ON_64, other.mpidr & 0xff_00ff_ffffn, DRAM, 0n]);
      }
    }
    while (this.#left > 0) {
      this.#left--;
      if (this.#left % this.#checkEvery === 0) this.#check();
      if (this.#left % REALM_EVERY === 0) yield* this.#makeRealm(pe, port);
      yield* this.#one(pe, port);
    }
    if (pe.index !== 0) {
      yield* smc(pe, [PSCI_FID.PSCI_CPU_OFF]);
      throw new Error("CPU_OFF returned");
    }
    for (const other of this.#machine.pes.slice(1)) {
      const affinity = other.mpidr & 0xff_00ff_ffffn;
      // 1: OFF. Each call takes its share of the clock, so the other PEs go on.
      while ((yield* smc(pe, [PSCI_FID.PSCI_AFFINITY_INFO_64, affinity, 0n]))[0] !== 1n);
    }
    this.#check();
    yield* this.#takeEverythingBack(pe);
    this.#machine.stop("everything is taken back");
    return OFF;
  }

  /** Code for realms in the Host's own pages. */
  #prepare(port: MemoryPort): void {
    for (let n = 0; n < SOURCES; n++) {
      port.copyOut(SOURCE_BASE + BigInt(n) * PAGE, realmCode(this.#random, [...IPAS, ...IPAS, ...SHARED_IPAS]));
    }
  }

  #check(): void {
    const wrong = problems(inspect(this.#machine));
    if (wrong.length > 0) throw new Error(`with ${this.#left} calls left: ${wrong.slice(0, 10).join("; ")}`);
  }

  // Arguments

  #granule(): bigint {
    return DRAM + BigInt(this.#random.below(PLAYGROUND)) * PAGE;
  }

  /** A granule in a state, as far as there is one. */
  #of(state: GranuleState): bigint {
    if (this.#listsAge-- <= 0) {
      this.#lists = this.#granulesByState();
      this.#listsAge = 40;
    }
    const list = this.#lists.get(state);
    return list === undefined || this.#random.oneIn(30) ? this.#granule() : this.#random.pick(list);
  }

  #granulesByState(): ReadonlyMap<GranuleState, readonly bigint[]> {
    // The entries of the playground are the first of the RMM's table: 2 bytes each, the state in bits 15:12.
    const table = pageAt(this.#machine, memoryMap(this.#machine.board.realm).granuleTable);
    const lists = GRANULE_STATES.map((): bigint[] => []);
    for (let n = 0; n < PLAYGROUND; n++) lists[table[2 * n + 1]! >> 4]!.push(GRANULES[n]!);
    return new Map(GRANULE_STATES.map((state, i) => [state, lists[i]!] as const).filter(([, list]) => list.length > 0));
  }

  #wild(): bigint {
    const random = this.#random;
    const { root, realm, gicd } = this.#machine.board;
    return random.pick([
      () => random.value(),
      () => this.#granule() + BigInt(random.below(4096)),
      () => DRAM + DRAM_SIZE - PAGE + BigInt(random.below(3)) * PAGE,
      () => root.base + BigInt(random.below(1 << 20)) * 8n,
      () => realm.base + BigInt(random.below(1 << 20)) * 8n,
      () => gicd,
      () => (1n << BigInt(30 + random.below(34))) - PAGE,
      () => BigInt.asUintN(64, -BigInt(random.below(9000))),
    ])();
  }

  #ipa(): bigint {
    return this.#random.pick(this.#random.oneIn(4) ? SHARED_IPAS : IPAS);
  }

  #blockIpa(): bigint {
    return this.#ipa() & ~0x1f_ffffn;
  }

  /** A page of the Host with `bytes`, at times one that it cannot write. */
  #page(port: MemoryPort, bytes: Uint8Array): bigint {
    const random = this.#random;
    const pa = random.oneIn(20) ? this.#granule() : PARAMS_BASE + BigInt(random.below(16)) * PAGE;
    port.copyOut(pa, bytes);
    return pa;
  }

  #realmParams(port: MemoryPort): bigint {
    const random = this.#random;
    const s2sz = random.oneIn(20) ? random.below(256) : random.pick([33, 33, 33, 34, 36, 40, 48]);
    const geometry = stage2Geometry(s2sz < 32 || s2sz > 48 ? 33 : s2sz);
    // One table at level 1 does for up to 39 bits, and is found more easily than several in a row.
    const { startLevel, tables } = s2sz <= 39 && !random.oneIn(4) ? { startLevel: 1, tables: 1 } : geometry;
    const first = this.#of("DELEGATED");
    return this.#page(
      port,
      RmiRealmParams.encode({
        s2sz,
        num_bps: random.oneIn(20) ? random.below(64) : 1,
        num_wps: random.oneIn(20) ? random.below(64) : 1,
        hash_algo: random.oneIn(20) ? random.below(256) : random.below(2),
        rtt_level_start: random.oneIn(20) ? random.value() : BigInt(startLevel),
        rtt_num_start: random.oneIn(20) ? random.below(20) : tables,
        rtt_base: random.oneIn(10) ? first : first & ~(BigInt(tables) * PAGE - 1n),
        vmid: random.oneIn(20) ? random.below(65536) : random.below(6),
        flags: random.oneIn(20) ? random.value() : 0n,
        rpv: new Uint8Array(64),
      }),
    );
  }

  #recParams(port: MemoryPort, rd: bigint): bigint {
    const random = this.#random;
    const next = RdLayout.decode(pageAt(this.#machine, rd & ~(PAGE - 1n))).rec_index & 0xff;
    return this.#page(
      port,
      RmiRecParams.encode({
        flags: random.oneIn(20) ? random.value() : BigInt(random.below(4) > 0 ? 1 : 0),
        mpidr: random.oneIn(20) ? random.value() : recMpidrOfIndex(next),
        num_aux: random.oneIn(20) ? random.value() : 2n,
        aux: [this.#of("DELEGATED"), this.#of("DELEGATED")],
        pc: random.oneIn(20) ? random.value() : random.pick(IPAS),
        gprs: Array.from({ length: 8 }, () => random.value()),
      }),
    );
  }

  #run(port: MemoryPort): bigint {
    const random = this.#random;
    return this.#page(
      port,
      RmiRecEnter.encode({
        flags: random.oneIn(20) ? random.value() : random.pick([0n, 4n, 8n, 12n, 16n, BigInt(random.below(32))]),
        gprs: Array.from({ length: 31 }, () => random.pick([0n, 1n, random.value()])),
        gicv3_hcr: random.oneIn(10) ? random.value() : 0n,
        gicv3_lrs: random.oneIn(4)
          ? [random.oneIn(2) ? random.value() : (0x50a0_0000n << 32n) | BigInt(random.below(40))]
          : [],
      }),
    );
  }

  #arguments(command: RmiCommand, port: MemoryPort): bigint[] {
    const random = this.#random;
    const level = () => BigInt(1 + random.below(3));
    switch (command) {
      case "RMI_VERSION":
        return [random.pick([0x1_0000n, random.value()])];
      case "RMI_FEATURES":
        return [BigInt(random.below(4))];
      case "RMI_GRANULE_DELEGATE":
        return [this.#of("UNDELEGATED")];
      case "RMI_GRANULE_UNDELEGATE":
        return [this.#of("DELEGATED")];
      case "RMI_DATA_CREATE":
        return [
          this.#of("RD"),
          this.#of("DELEGATED"),
          random.pick(IPAS),
          SOURCE_BASE + BigInt(random.below(SOURCES)) * PAGE,
          BigInt(random.below(2)),
        ];
      case "RMI_DATA_CREATE_UNKNOWN":
        return [this.#of("RD"), this.#of("DELEGATED"), this.#ipa()];
      case "RMI_DATA_DESTROY":
        return [this.#of("RD"), this.#ipa()];
      case "RMI_REALM_ACTIVATE":
      case "RMI_REALM_DESTROY":
      case "RMI_REC_AUX_COUNT":
        return [this.#of("RD")];
      case "RMI_REALM_CREATE":
        return [this.#of("DELEGATED"), this.#realmParams(port)];
      case "RMI_REC_CREATE": {
        const rd = this.#of("RD");
        return [rd, this.#of("DELEGATED"), this.#recParams(port, rd)];
      }
      case "RMI_REC_DESTROY":
        return [this.#of("REC")];
      case "RMI_REC_ENTER":
        return [this.#of("REC"), this.#run(port)];
      case "RMI_RTT_CREATE":
        return [this.#of("RD"), this.#of("DELEGATED"), this.#blockIpa(), level()];
      case "RMI_RTT_DESTROY":
      case "RMI_RTT_FOLD":
        return [this.#of("RD"), this.#blockIpa(), level()];
      case "RMI_RTT_MAP_UNPROTECTED":
        return [this.#of("RD"), random.pick(SHARED_IPAS), 3n, (this.#granule() & ~0xfffn) | (6n << 2n) | (3n << 6n)];
      case "RMI_RTT_UNMAP_UNPROTECTED":
        return [this.#of("RD"), random.pick(SHARED_IPAS), 3n];
      case "RMI_RTT_READ_ENTRY":
        return [this.#of("RD"), this.#ipa(), level()];
      case "RMI_PSCI_COMPLETE":
        // What a REC has asked for last, and often its siblings.
        if (this.#asked && !random.oneIn(3))
          return [this.#asked.rec, this.#sibling(this.#asked.rec), random.pick([0n, DENIED])];
        return [this.#of("REC"), this.#of("REC"), random.pick([0n, DENIED, random.value()])];
      case "RMI_RTT_INIT_RIPAS": {
        const base = this.#ipa();
        return [this.#of("RD"), base, base + random.pick([0x1000n, 0x2000n, 0x20_0000n, 0x4000_0000n])];
      }
      case "RMI_RTT_SET_RIPAS": {
        if (this.#asked && !random.oneIn(3))
          return [this.#asked.rd, this.#asked.rec, this.#asked.base, this.#asked.top];
        const base = this.#ipa();
        return [this.#of("RD"), this.#of("REC"), base, base + random.pick([0x1000n, 0x2000n, 0x20_0000n])];
      }
    }
  }

  /**
   * A realm that can run, made as an orderly Host makes it; when there are several, one of them goes first. What the
   * other PEs do meanwhile may refuse any of its steps.
   */
  *#makeRealm(pe: Pe, port: MemoryPort): Script<void> {
    const random = this.#random;
    const realms = this.#granulesByState().get("RD") ?? [];
    if (realms.length >= REALMS) yield* this.#destroyRealm(pe, random.pick(realms), false);
    const free: bigint[] = [];
    for (let tries = 0; free.length < 18 && tries < 200; tries++) {
      const pa = this.#granule();
      const [x0] = yield* smc(pe, [RMI_FID.RMI_GRANULE_DELEGATE, pa]);
      if (x0 === 0n) free.push(pa);
    }
    const granule = () => free.pop() ?? this.#granule();
    const rd = granule();
    const params = {
      s2sz: 33,
      num_bps: 1,
      num_wps: 1,
      hash_algo: random.below(2),
      rtt_base: granule(),
      rtt_num_start: 1,
    };
    const page = PARAMS_BASE + BigInt(random.below(16)) * PAGE;
    port.copyOut(page, RmiRealmParams.encode({ ...params, rtt_level_start: 1n, vmid: random.below(6) }));
    yield* smc(pe, [RMI_FID.RMI_REALM_CREATE, rd, page]);
    yield* smc(pe, [RMI_FID.RMI_RTT_CREATE, rd, granule(), 0n, 2n]);
    yield* smc(pe, [RMI_FID.RMI_RTT_CREATE, rd, granule(), 0n, 3n]);
    yield* smc(pe, [RMI_FID.RMI_RTT_CREATE, rd, granule(), UNPROTECTED, 2n]);
    yield* smc(pe, [RMI_FID.RMI_RTT_CREATE, rd, granule(), UNPROTECTED, 3n]);
    yield* smc(pe, [RMI_FID.RMI_RTT_INIT_RIPAS, rd, 0n, 0x20_0000n]);
    for (const ipa of IPAS.slice(0, 3)) {
      const source = SOURCE_BASE + BigInt(random.below(SOURCES)) * PAGE;
      yield* smc(pe, [RMI_FID.RMI_DATA_CREATE, rd, granule(), ipa, source, BigInt(random.below(2))]);
    }
    for (let n = 0; n < 3; n++) {
      const aux = [granule(), granule()];
      const rec = {
        flags: 1n,
        mpidr: recMpidrOfIndex(n),
        num_aux: 2n,
        aux,
        pc: random.pick(IPAS.slice(0, 3)),
        gprs: [],
      };
      port.copyOut(page, RmiRecParams.encode(rec));
      yield* smc(pe, [RMI_FID.RMI_REC_CREATE, rd, granule(), page]);
    }
    yield* smc(pe, [RMI_FID.RMI_REALM_ACTIVATE, rd]);
    this.#listsAge = 0;
  }

  // Calls

  /** What unmakes objects, and what only looks, comes less often than what makes them. */
  #command(): RmiCommand {
    for (;;) {
      const name = this.#random.pick(COMMANDS);
      const keep = RARE.get(name) ?? 1;
      if (keep === 1 || this.#random.oneIn(keep)) return name;
    }
  }

  *#one(pe: Pe, port: MemoryPort): Script<void> {
    const random = this.#random;
    const values: bigint[] = [];
    let expected: (x: readonly bigint[]) => string | undefined;
    const kind = random.below(100);
    if (kind < 80) {
      const command = this.#command();
      const hint = random.oneIn(64) ? 1n << 16n : 0n;
      values.push(RMI_FID[command] | hint | (random.oneIn(64) ? random.u64() & ~0xffff_ffffn : 0n));
      for (const argument of this.#arguments(command, port)) {
        values.push(random.oneIn(25) ? this.#wild() : argument);
      }
      expected = ([x0, x1]) => this.#rmiResult(command, x0!, x1!);
    } else {
      const fid = this.#otherFid();
      values.push(fid);
      for (let n = 1; n < 8; n++) values.push(random.pick([this.#wild(), this.#granule(), random.value()]));
      expected = ([x0]) => this.#otherResult(fid & 0xffff_ffffn & ~(1n << 16n), x0!);
    }
    for (let n = values.length; n < 8; n++) values.push(random.value());

    // A REC that never leaves by itself, and a PE that suspends, are woken by this timer: after 2,000 instructions.
    pe.r[R.CNTHP_CVAL_EL2] = this.#machine.counter() + 200n;
    pe.r[R.CNTHP_CTL_EL2] = 1n;
    const results = yield* smc(pe, values);
    pe.r[R.CNTHP_CTL_EL2] = 0n;
    acknowledge(pe);
    const what = expected(results);
    if (what === undefined) {
      const hex = (list: readonly bigint[]) => list.map((value) => `0x${value.toString(16)}`).join(" ");
      throw new Error(`SMC ${hex(values)} gave ${hex(results)}`);
    }
    if (what.endsWith("RMI_SUCCESS")) this.#listsAge = 0;
    if (what === "RMI_REC_ENTER RMI_SUCCESS") this.#remember(values[1]!, values[2]!);
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** The REC's exit record: what it asks the Host for. */
  #remember(rec: bigint, run: bigint): void {
    const exit = pageAt(this.#machine, run & ~(PAGE - 1n)).subarray(REC_EXIT_OFFSET);
    const { exit_reason, ripas_base, ripas_top } = RmiRecExit.decode(exit);
    const name = `exit ${REC_EXIT_REASON_NAMES[exit_reason]}`;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    const { owner } = RecLayout.decode(pageAt(this.#machine, rec));
    this.#asked = { rec, rd: owner, base: ripas_base, top: ripas_top };
  }

  /** Another REC of the same realm, when there is one. */
  #sibling(rec: bigint): bigint {
    const ownerOf = (pa: bigint) => RecLayout.decode(pageAt(this.#machine, pa)).owner;
    const others = (this.#lists.get("REC") ?? []).filter((pa) => pa !== rec && ownerOf(pa) === ownerOf(rec));
    return others.length > 0 ? this.#random.pick(others) : this.#granule();
  }

  #rmiResult(command: RmiCommand, x0: bigint, x1: bigint): string | undefined {
    const result = parseRmiReturnCode(x0);
    if (!result) return undefined;
    const { status, index } = result;
    if (status === "RMI_ERROR_RTT" ? index > 3 : status === "RMI_ERROR_REALM" ? index > 1 : index !== 0)
      return undefined;
    if (status === "RMI_SUCCESS" && (command === "RMI_RTT_DESTROY" || command === "RMI_RTT_FOLD") && x1 % PAGE !== 0n) {
      return undefined;
    }
    return `${command} ${status}`;
  }

  /** A function identifier that is no RMI command, and does not end the run. */
  #otherFid(): bigint {
    const random = this.#random;
    for (;;) {
      let fid = random.pick<() => bigint>([
        () => 0xc400_0150n - 4n + BigInt(random.below(0x48)), // RMI and its neighbours, unallocated ids included
        () => 0xc400_0190n - 2n + BigInt(random.below(0x24)), // RSI: a realm's
        () => random.pick(Object.values(RSI_FID)),
        () => 0xc400_01b0n - 2n + BigInt(random.below(0x24)), // RMM-EL3: the RMM's
        () => random.pick(Object.values(RMM_EL3_FID)),
        () => random.pick(Object.values(PSCI_FID)),
        () => 0x8400_0000n + BigInt(random.below(0x24)) + (random.oneIn(2) ? 0x4000_0000n : 0n),
        () => random.pick([SMCCC_VERSION, SMCCC_ARCH_FEATURES]),
        () => 0x8000_0000n + BigInt(random.below(0x10)),
        () => BigInt(random.u32()),
        () => random.u64(),
      ])();
      if (random.oneIn(64)) fid |= 1n << 16n;
      if (random.oneIn(64)) fid ^= 0x4000_0000n; // the other calling convention
      const known = fid & 0xffff_ffffn & ~(1n << 16n); // bit 16: the hint about live SVE state
      if (!RMI_COMMAND_FIDS.has(known) && !ENDINGS.has(known)) return fid;
    }
  }

  #otherResult(fid: bigint, x0: bigint): string | undefined {
    if (x0 === SMCCC_NOT_SUPPORTED) return "not supported";
    const value = BigInt.asIntN(64, x0);
    // PSCI, in both conventions: a status from -9 to 0, a state 0 to 2, features, a version.
    if ((fid & ~0x4000_001fn) === PSCI_FID_FIRST) return value >= -9n && value <= PSCI_VERSION_1_1 ? "PSCI" : undefined;
    // SMCCC architecture calls: a version, 0, or a status from -4 on.
    if (fid >> 24n === 0x80n) return value >= -4n && value <= SMCCC_VERSION_1_5 ? "SMCCC" : undefined;
    return undefined;
  }

  // The end

  *#takeEverythingBack(pe: Pe): Script<void> {
    const view = inspect(this.#machine);
    const all = (state: GranuleState) => view.granules().filter((pa) => view.granuleState(pa) === state);
    for (const rec of all("REC")) yield* this.#expect(pe, true, "RMI_REC_DESTROY", rec);
    for (const rd of all("RD")) yield* this.#destroyRealm(pe, rd, true);
    for (const pa of all("DELEGATED")) yield* this.#expect(pe, true, "RMI_GRANULE_UNDELEGATE", pa);
  }

  /** `strict`: nobody interferes, so every step must succeed. */
  *#destroyRealm(pe: Pe, rd: bigint, strict: boolean): Script<void> {
    const { ipa_width, rtt_level_start } = RdLayout.decode(pageAt(this.#machine, rd));
    for (const rec of this.#granulesByState().get("REC") ?? []) {
      if (RecLayout.decode(pageAt(this.#machine, rec)).owner === rd)
        yield* this.#expect(pe, strict, "RMI_REC_DESTROY", rec);
    }
    if (!(yield* this.#destroyData(pe, rd, 1n << BigInt(ipa_width - 1), strict))) return;
    yield* this.#destroyTables(pe, { rd, level: rtt_level_start + 1, base: 0n, end: 1n << BigInt(ipa_width), strict });
    yield* this.#expect(pe, strict, "RMI_REALM_DESTROY", rd);
  }

  *#expect(pe: Pe, strict: boolean, command: RmiCommand, ...args: bigint[]): Script<void> {
    const [x0] = yield* smc(pe, [RMI_FID[command], ...args]);
    if (!strict || x0 === 0n) return;
    const result = parseRmiReturnCode(x0!);
    throw new Error(`${command}(${args.map((arg) => arg.toString(16))}): ${result?.status} ${result?.index}`);
  }

  /** False: somebody has interfered. */
  *#destroyData(pe: Pe, rd: bigint, end: bigint, strict: boolean): Script<boolean> {
    for (let ipa = 0n; ipa < end; ) {
      const [x0, , top] = yield* smc(pe, [RMI_FID.RMI_DATA_DESTROY, rd, ipa]);
      const { status, index } = parseRmiReturnCode(x0!)!;
      if (status !== "RMI_SUCCESS" && status !== "RMI_ERROR_RTT") {
        if (strict) throw new Error(`DATA_DESTROY: ${status}`);
        return false;
      }
      if (top! > ipa) {
        ipa = top!;
        continue;
      }
      // A block: a table under it makes pages of it.
      const size = 1n << BigInt(12 + 9 * (3 - index));
      const view = inspect(this.#machine);
      const granule = view.granules().find((pa) => view.granuleState(pa) === "UNDELEGATED")!;
      yield* this.#expect(pe, strict, "RMI_GRANULE_DELEGATE", granule);
      yield* this.#expect(pe, strict, "RMI_RTT_CREATE", rd, granule, ipa & -size, BigInt(index + 1));
      if (!strict) return false;
    }
    return true;
  }

  *#destroyTables(
    pe: Pe,
    where: { rd: bigint; level: number; base: bigint; end: bigint; strict: boolean },
  ): Script<boolean> {
    const { rd, level, base, end, strict } = where;
    for (let ipa = base; ipa < end; ) {
      const [x0, , top] = yield* smc(pe, [RMI_FID.RMI_RTT_DESTROY, rd, ipa, BigInt(level)]);
      const { status, index } = parseRmiReturnCode(x0!)!;
      if (status === "RMI_ERROR_RTT" && index === level && level < 3) {
        const below = { rd, level: level + 1, base: ipa, end: ipa + (1n << BigInt(12 + 9 * (4 - level))), strict };
        if (!(yield* this.#destroyTables(pe, below))) return false;
        continue;
      }
      const absent = status === "RMI_ERROR_RTT" && index < level;
      if ((status !== "RMI_SUCCESS" && !absent) || top! <= ipa) {
        if (strict) throw new Error(`RTT_DESTROY at 0x${ipa.toString(16)}, level ${level}: ${status} ${index}`);
        return false;
      }
      ipa = top!;
    }
    return true;
  }
}

/** PSCI_DENIED. */
const DENIED = BigInt.asUintN(64, -3n);
const COMMANDS = Object.keys(RMI_FID) as RmiCommand[];
const RMI_COMMAND_FIDS: ReadonlySet<bigint> = new Set(Object.values(RMI_FID));
/** One in so many draws is taken. */
const RARE = new Map<RmiCommand, number>([
  ["RMI_VERSION", 10],
  ["RMI_FEATURES", 10],
  ["RMI_REC_AUX_COUNT", 10],
  ["RMI_RTT_READ_ENTRY", 5],
  ["RMI_REALM_CREATE", 3],
  ["RMI_REALM_DESTROY", 2],
  ["RMI_REALM_ACTIVATE", 5],
  ["RMI_REC_CREATE", 3],
  ["RMI_DATA_CREATE", 3],
  ["RMI_DATA_CREATE_UNKNOWN", 2],
  ["RMI_RTT_INIT_RIPAS", 4],
  ["RMI_RTT_FOLD", 2],
  ["RMI_REC_DESTROY", 12],
  ["RMI_RTT_DESTROY", 4],
  ["RMI_DATA_DESTROY", 4],
  ["RMI_GRANULE_UNDELEGATE", 2],
]);

/** Takes the physical interrupts that are pending. */
function acknowledge(pe: Pe): void {
  for (let n = 0; n < 8; n++) {
    const intid = pe.mrs("ICC_IAR1_EL1") & 0xff_ffffn;
    if (intid >= 1020n) return;
    pe.msr("ICC_EOIR1_EL1", intid);
  }
}
