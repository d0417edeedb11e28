/**
 * The Root Monitor: native firmware of slot root-el3. It boots the machine, routes SMCs by function identifier and
 * caller, switches between the Non-secure, the Realm and the Secure world, changes granules on behalf of the RMM, attests
 * the platform, serves PSCI to the Host, and dispatches FF-A calls. DEN0028 (SMCCC), DEN0022 (PSCI), TF-A's "RMM-EL3 Communication Specification"
 * (profile v0, reported as 0.8).
 *
 * The object holds no state beyond a step: that is in Root memory (memory-map.ts).
 *
 * @spec RMM-EL3 Communication Specification 0.8, "RMM Boot Interface": partial: no activation token, no RAS; one boot stage in place of BL1 and BL2
 */
import {
  type Crypto,
  EC,
  ESR,
  GRANULE_SIZE,
  invariant,
  Pas,
  RMI_FID,
  RMI_FID_FIRST,
  RMM_BOOT_STATUS,
  RMM_EL3_FID,
  RMM_EL3_FID_FIRST,
  RMM_EL3_FID_LAST,
  RMM_EL3_VERSION_0_8,
  RMM_MANIFEST_BANKS_MAX,
  rmmManifest,
  SecurityState,
  type Trace,
} from "@realmbox/abi";
import {
  type Board,
  type Counters,
  ERET,
  type Firmware,
  OFF,
  type Pe,
  R,
  type SlotEvent,
  type SlotExit,
} from "@realmbox/machine";
import { toHex } from "@realmbox/token";
import {
  claimSecureInterrupts,
  claimSecurePpis,
  disableSecureGroups,
  isDistributorSetUp,
  setUpCpuInterface,
  setUpDistributor,
  setUpEl3,
  setUpTimers,
} from "./boot.js";
import { GranuleTables } from "./gpt.js";
import {
  type ConfigBlob,
  type HostImage,
  imageProblem,
  type MeasuredImages,
  measure,
  measuredComponents,
  type RmmImage,
  type SecureImage,
} from "./images.js";
import { deriveCpak, deriveRak, platformIdentity } from "./keys.js";
import { isProtected, overwriteProtected } from "./mem-protect.js";
import {
  CONTEXT_NS,
  CONTEXT_REALM,
  type MonitorMap,
  monitorMap,
  PES_MAX,
  Power,
  RmmOnPe,
  RmmState,
} from "./memory-map.js";
import { MonitorMemory } from "./monitor-memory.js";
import { platformToken } from "./platform-token.js";
import { SecureState, SecureWorld } from "./secure-world.js";
import { archService, standardQueries } from "./services/arch.js";
import { FFA_CALL_COUNT, ffaService, preemptHost } from "./services/ff-a.js";
import { PowerDomains } from "./services/power-domains.js";
import { psciCallCount, psciService, wakeUp } from "./services/psci.js";
import { RMM_EL3_CALL_COUNT, rmmEl3Service } from "./services/rmm-el3.js";
import { fidNumber, namesOf, returnUnknown, type Service, type SmcCall, type TraceFields } from "./services/service.js";
import { injectUndefined } from "./undefined.js";
import { Worlds } from "./world.js";

/** What the monitor needs of the machine; `Machine` is one. */
export interface MonitorMachine {
  readonly board: Board;
  readonly pes: readonly Pick<Pe, "index" | "mpidr">[];
  readonly trace: Trace;
  readonly counters: Pick<Counters, "granuleTransitions">;
  /** Starts a PE that is off, at EL3. */
  startPe(index: number): void;
  /** Ends the run. */
  stop(reason: string): void;
  /** Resets the machine when this step is done. */
  requestReset(reason: string): void;
}

export interface MonitorOptions {
  readonly machine: MonitorMachine;
  readonly crypto: Crypto;
  /** Bytes that identify the monitor's code: measured as AP_BL31. Name and version when absent. */
  readonly image?: Uint8Array;
  /** Absent: RMI calls return "unknown function" and the Host boots alone. */
  readonly rmm?: RmmImage;
  readonly host: HostImage;
  /** Absent: FF-A calls return "unknown function", and all interrupts are the Non-secure world's. */
  readonly secure?: SecureImage;
  readonly configs?: readonly ConfigBlob[];
  /** From which the platform's keys follow: any bytes. */
  readonly seed: Uint8Array;
}

/** RMI function identifiers, RMI_REQ_COMPLETE (the last) included. */
const RMI_FIRST = fidNumber(RMI_FID_FIRST);
const RMI_REQ_COMPLETE = fidNumber(RMM_EL3_FID.RMI_REQ_COMPLETE);
const RMM_EL3_FIRST = fidNumber(RMM_EL3_FID_FIRST);
const RMM_EL3_LAST = fidNumber(RMM_EL3_FID_LAST);

const RMI_NAMES = namesOf({ ...RMI_FID, RMI_REQ_COMPLETE: RMM_EL3_FID.RMI_REQ_COMPLETE });

const X0_LO = R.X0 * 2;
const ESR_LO = R.ESR_EL3 * 2;
const EC_SHIFT = ESR.EC.lo;
const SPSR_LO = R.SPSR_EL3 * 2;
const SCR_LO = R.SCR_EL3 * 2;
const SCR_NSE_HI = 1 << 30;
const SVE_HINT = 1 << 16;
const MBZ = 0x00fe_0000;
const SMC64 = 1 << 30;

const BOOT_STATUS_NAMES = new Map(
  Object.entries(RMM_BOOT_STATUS).map(([name, status]) => [BigInt.asUintN(64, status), name] as const),
);

const STATE_NAMES = ["Secure", "Non-secure", "Root", "Realm"] as const;

/** The Security state of EL2 and below, from SCR_EL3. */
const stateBelow = (w: Int32Array): SecurityState =>
  ((w[SCR_LO]! & 1) | ((w[SCR_LO + 1]! & SCR_NSE_HI) !== 0 ? 2 : 0)) as SecurityState;

const unnamed = (fid: number): string => `SMC 0x${fid.toString(16)}`;

/** Creates the firmware of slot root-el3. One object serves all PEs. */
export function createMonitor(options: MonitorOptions): Firmware {
  const monitor = new Monitor(options);
  return { name: "Root Monitor", image: monitor.image, step: (pe, event) => monitor.step(pe, event) };
}

/** The RMM-EL3 shared page: the last granule of the Realm carve-out. */
export const sharedPageOf = (board: Board): bigint => board.realm.base + board.realm.size - BigInt(GRANULE_SIZE);

class Monitor {
  readonly image: Uint8Array;

  readonly #machine: MonitorMachine;
  readonly #crypto: Crypto;
  readonly #options: MonitorOptions;
  readonly #map: MonitorMap;
  readonly #tables: GranuleTables;
  readonly #worlds: Worlds;
  readonly #secure: SecureWorld | undefined;
  readonly #domains: PowerDomains;
  readonly #memory: MonitorMemory;
  readonly #services: readonly Service[];
  readonly #rmmServices: Service;
  readonly #sharedPage: bigint;

  constructor(options: MonitorOptions) {
    const { machine, crypto } = options;
    invariant(machine.pes.length <= PES_MAX, "PE contexts suffice", machine.pes.length);
    const problem = imageProblem(machine.board, options);
    invariant(problem === undefined, "images that do not fit are refused before", problem?.kind);
    this.image = options.image ?? Uint8Array.from("realmbox Root Monitor", (c) => c.charCodeAt(0));
    this.#machine = machine;
    this.#crypto = crypto;
    this.#options = options;
    this.#map = monitorMap(machine.board);
    this.#tables = new GranuleTables(machine.board, this.#map);
    this.#worlds = new Worlds(this.#map, { secure: options.secure !== undefined });
    this.#secure = options.secure && new SecureWorld(this.#map, this.#worlds, options.secure);
    this.#domains = new PowerDomains(this.#map, { pes: machine.pes, counterHz: machine.board.counterHz });
    this.#memory = new MonitorMemory(this.#map);
    this.#sharedPage = sharedPageOf(machine.board);
    this.#rmmServices = rmmEl3Service({
      trace: machine.trace,
      counters: machine.counters,
      tables: this.#tables,
      memory: this.#memory,
      sharedPage: this.#sharedPage,
      platformToken: (pe, challenge) => this.#platformToken(pe, challenge),
      bootComplete: (pe, status) => this.#rmmBootComplete(pe, status),
      isBooting: (pe) => this.#worlds.rmm(pe) === RmmOnPe.BOOTING,
    });
    this.#services = [
      archService(machine.board),
      psciService({ power: machine, worlds: this.#worlds, domains: this.#domains }),
      this.#rmmServices,
      ...(this.#secure
        ? [ffaService({ secure: this.#secure, bootComplete: (pe, ok) => this.#secureBootComplete(pe, ok) })]
        : []),
      standardQueries(psciCallCount(machine.board) + RMM_EL3_CALL_COUNT + (this.#secure ? FFA_CALL_COUNT : 0)),
    ];
  }

  step(pe: Pe, event: SlotEvent): SlotExit {
    switch (event.kind) {
      case "exception":
        if (event.vector === "sync" && event.lower) return this.#synchronous(pe);
        if (event.vector === "fiq" && this.#secure?.state(pe) === SecureState.READY) {
          preemptHost(pe, this.#secure);
          this.#trace("FFA_INTERRUPT", { to: STATE_NAMES[SecurityState.SECURE] });
          return ERET;
        }
        break;
      case "start":
        return this.#start(pe);
      case "wake":
        return wakeUp(pe, { worlds: this.#worlds, domains: this.#domains }, () => {
          this.#worlds.initialise(pe, [CONTEXT_NS]);
          this.#enterHost(pe);
        });
    }
    // Only a Secure world's interrupts are routed to EL3, and the monitor itself makes no SMC and no access that can fault.
    return this.#panic(pe, `unexpected ${event.kind === "exception" ? event.vector : event.kind}`);
  }

  // Synchronous exceptions

  #synchronous(pe: Pe): SlotExit {
    const esr = pe.w[ESR_LO]!;
    switch (esr >>> EC_SHIFT) {
      case EC.SMC64:
        // Only SMC #0 is a call. DEN0028, "SMC and HVC immediate value".
        return (esr & 0xffff) === 0 ? this.#smc(pe) : returnUnknown(pe);
      case EC.GPC:
        // Every entry of the tables is valid, so a PE can only meet this when they were overwritten.
        return this.#panic(pe, `GPC exception at 0x${pe.r[R.MFAR_EL3]!.toString(16)}`);
    }
    injectUndefined(pe);
    return ERET;
  }

  #smc(pe: Pe): SlotExit {
    const { w } = pe;
    const w0 = w[X0_LO]!;
    const fid = (w0 & ~SVE_HINT) >>> 0;
    const caller = stateBelow(w);

    // The two hot calls first: an RMI command, and its completion.
    if (fid >= RMI_FIRST && fid <= RMI_REQ_COMPLETE) {
      if (caller === SecurityState.NON_SECURE) return this.#rmi(pe, fid);
      if (fid === RMI_REQ_COMPLETE && caller === SecurityState.REALM) return this.#rmiComplete(pe);
      return this.#refuse(pe, fid, caller);
    }
    const service = this.#serviceFor(fid);
    if (service === undefined || !service.callers.includes(caller)) return this.#refuse(pe, fid, caller);
    // The RMM-EL3 interface is R-EL2's: a Realm that the RMM lets through to EL3 gets nothing.
    if (fid >= RMM_EL3_FIRST && fid <= RMM_EL3_LAST && !(this.#fromEl2(pe) && this.#rmmRuns(pe))) {
      return this.#refuse(pe, fid, caller);
    }
    const narrow = (fid & SMC64) === 0;
    const call: SmcCall = {
      pe,
      fid,
      caller,
      argument: (n) => (narrow ? BigInt.asUintN(32, pe.r[R.X0 + n]!) : pe.r[R.X0 + n]!),
    };
    if (!this.#machine.trace.wants("smc")) return service.handle(call);
    const fields = { from: STATE_NAMES[caller], x1: call.argument(1), x2: call.argument(2), x3: call.argument(3) };
    const exit = service.handle(call);
    this.#trace(
      service.nameOf(fid) ?? unnamed(fid),
      exit === ERET && stateBelow(w) === caller ? { ...fields, x0: pe.r[R.X0]! } : fields,
    );
    return exit;
  }

  /** The service that a fast call's identifier belongs to. Yielding calls and bits that must be zero belong to none. */
  #serviceFor(fid: number): Service | undefined {
    if (fid < 0x8000_0000 || (fid & MBZ) !== 0) return undefined;
    // What the RMM calls for each granule comes first.
    if (fid >= RMM_EL3_FIRST && fid <= RMM_EL3_LAST) return this.#rmmServices;
    return this.#services.find(({ ranges }) => ranges.some(([first, last]) => fid >= first && fid <= last));
  }

  #refuse(pe: Pe, fid: number, caller: SecurityState): SlotExit {
    const exit = returnUnknown(pe);
    if (this.#machine.trace.wants("smc")) {
      this.#trace(RMI_NAMES.get(fid) ?? unnamed(fid), { from: STATE_NAMES[caller], x0: pe.r[R.X0]! });
    }
    return exit;
  }

  #trace(name: string, fields: TraceFields): void {
    this.#machine.trace.emit({ category: "smc", name, fields });
  }

  // RMI

  #rmi(pe: Pe, fid: number): SlotExit {
    // RMI_REQ_COMPLETE is no command; from the Host it is forwarded like the rest of the range.
    if (!this.#worlds.toRealm(pe)) return this.#refuse(pe, fid, SecurityState.NON_SECURE);
    if (this.#machine.trace.wants("smc")) {
      const { r } = pe;
      const fields = {
        from: STATE_NAMES[SecurityState.NON_SECURE],
        x1: r[R.X0 + 1]!,
        x2: r[R.X0 + 2]!,
        x3: r[R.X0 + 3]!,
      };
      this.#trace(RMI_NAMES.get(fid) ?? unnamed(fid), fields);
    }
    return ERET;
  }

  #rmiComplete(pe: Pe): SlotExit {
    const caller = SecurityState.REALM;
    if (!this.#fromEl2(pe) || !this.#worlds.toHost(pe)) return this.#refuse(pe, RMI_REQ_COMPLETE, caller);
    if (this.#machine.trace.wants("smc")) {
      // What the Host finds.
      const { r } = pe;
      this.#trace("RMI_REQ_COMPLETE", { from: STATE_NAMES[caller], x0: r[R.X0]!, x1: r[R.X0 + 1]!, x2: r[R.X0 + 2]! });
    }
    return ERET;
  }

  #fromEl2(pe: Pe): boolean {
    return ((pe.w[SPSR_LO]! >> 2) & 3) === 2;
  }

  #rmmRuns(pe: Pe): boolean {
    return this.#worlds.rmm(pe) !== RmmOnPe.NONE;
  }

  // Boot

  #start(pe: Pe): SlotExit {
    const { board } = this.#machine;
    const cold = pe.index === 0 && !isDistributorSetUp(pe, board);
    if (cold) this.#coldBoot(pe);
    else this.#domains.enter(pe);
    invariant(this.#worlds.power(pe) === Power.ON_PENDING, "a PE starts by reset or PSCI_CPU_ON", pe.index);
    setUpEl3(pe, { vectors: this.#map.vectors, tables: this.#tables });
    setUpCpuInterface(pe, board);
    this.#worlds.initialise(pe, [CONTEXT_NS, CONTEXT_REALM]);
    if (this.#secure === undefined) return this.#startRmm(pe, cold);
    claimSecurePpis(pe, board);
    this.#secure.boot(pe, { cold });
    this.#boot("Secure world", { pe: pe.index });
    return ERET;
  }

  /** The Secure world of this PE is ready, or there will be none until the PE starts anew. */
  #secureBootComplete(pe: Pe, succeeded: boolean): SlotExit {
    const secure = this.#secure!;
    const cold = secure.bootsCold(pe);
    secure.leaveBoot(pe, succeeded ? SecureState.READY : SecureState.NONE);
    if (!succeeded) disableSecureGroups(pe);
    this.#boot("Secure boot complete", { pe: pe.index, ready: succeeded ? 1 : 0 });
    return this.#startRmm(pe, cold);
  }

  #startRmm(pe: Pe, cold: boolean): SlotExit {
    const { board } = this.#machine;
    if (this.#memory.rmmState(pe) !== RmmState.ALIVE) return this.#hostStart(pe);
    this.#worlds.setRmm(pe, RmmOnPe.BOOTING);
    const index = BigInt(pe.index);
    this.#worlds.enterRmmBoot(pe, {
      entry: board.realm.base,
      arguments_: cold ? [index, RMM_EL3_VERSION_0_8, BigInt(board.peCount), this.#sharedPage] : [index],
    });
    this.#boot(cold ? "RMM cold boot" : "RMM warm boot", { pe: pe.index });
    return ERET;
  }

  /** Once for each reset of the machine: measurements, keys, granule protection tables, images, boot manifest. */
  #coldBoot(pe: Pe): void {
    const { board, pes } = this.#machine;
    const { rmm, host, secure, configs = [], seed } = this.#options;
    const crypto = this.#crypto;
    const components = measure(crypto, this.#images);
    for (const { type, measurement } of components) this.#boot("measured", { type, "sha-256": toHex(measurement) });

    setUpDistributor(pe, board);
    setUpTimers(pe, board);
    if (secure) claimSecureInterrupts(pe, board);
    const root = pe.port(Pas.ROOT);
    if (this.#memory.isBooted(pe)) {
      // Not the first boot: nothing of what was Realm memory is seen again.
      this.#tables.scrubRealm({ root, realm: pe.port(Pas.REALM) });
      if (board.memProtect && isProtected(pe, board.memProtect)) overwriteProtected(pe, board.memProtect);
    }
    this.#tables.build(root);
    const contexts = root.zero(this.#map.context(0), pes.length * GRANULE_SIZE);
    invariant(contexts === undefined, "PE contexts are in Root memory");
    this.#domains.initialise(pe);
    const measurements = components.map(({ measurement }) => measurement);
    this.#memory.initialise(
      pe,
      { cpak: deriveCpak({ crypto, seed }), rak: deriveRak({ crypto, seed }, measurements), measurements },
      rmm ? RmmState.ALIVE : RmmState.ABSENT,
    );
    this.#boot("GPT", { l0: this.#map.l0, pps: this.#tables.ppsBits });

    if (rmm) {
      if (rmm.kind === "binary") this.#memory.copyToRealm(pe, board.realm.base, rmm.image);
      this.#memory.copyToRealm(
        pe,
        this.#sharedPage,
        rmmManifest(
          this.#sharedPage,
          board.dram.slice(0, RMM_MANIFEST_BANKS_MAX),
          rmm.kind === "binary" ? (board.rmmUart ?? board.uart) : undefined,
        ),
      );
    }
    if (secure) {
      this.#secure!.clear(pe, pes.length);
      const fault = pe.port(Pas.SECURE).copyOut(secure.loadAt, secure.image);
      invariant(fault === undefined, "the Secure world's image is in its memory", fault?.fault);
    }
    const hostPort = pe.port(Pas.NS);
    const entry = host.kind === "binary" ? host.loadAt : board.dram[0]!.base;
    if (host.kind === "binary")
      invariant(hostPort.copyOut(host.loadAt, host.image) === undefined, "the Host's image is in DRAM");
    for (const { data, loadAt } of configs) {
      if (loadAt !== undefined) invariant(hostPort.copyOut(loadAt, data) === undefined, "configurations are in DRAM");
    }
    // X0 is MPIDR & 0xFFFF, as TF-A gives it to BL33.
    this.#worlds.setEntry(pe, { index: 0, entry, contextId: pe.mpidr & 0xffffn });
    this.#worlds.setPower(pe, Power.ON_PENDING, 0);
  }

  /** RMM_BOOT_COMPLETE. A failure on any PE ends the RMM for the whole machine; the Host boots all the same. */
  #rmmBootComplete(pe: Pe, status: bigint): SlotExit {
    this.#worlds.leaveRmmBoot(pe);
    if (status === RMM_BOOT_STATUS.E_RMM_BOOT_SUCCESS) {
      this.#worlds.setRmm(pe, RmmOnPe.READY);
    } else {
      this.#memory.setRmmState(pe, RmmState.FAILED);
      for (const { index } of this.#machine.pes) this.#worlds.setRmm(pe, RmmOnPe.NONE, index);
    }
    this.#boot("RMM boot complete", { pe: pe.index, status: BOOT_STATUS_NAMES.get(status) ?? status });
    return this.#hostStart(pe);
  }

  #hostStart(pe: Pe): SlotExit {
    this.#worlds.setPower(pe, Power.ON);
    this.#enterHost(pe);
    return ERET;
  }

  #enterHost(pe: Pe): void {
    const { entry, contextId } = this.#worlds.entry(pe);
    const config = this.#options.configs?.find(({ loadAt }) => loadAt !== undefined);
    this.#worlds.enterHost(pe, {
      entry,
      arguments_: pe.index === 0 && config ? [contextId, config.loadAt!] : [contextId],
    });
    this.#boot("Non-secure world", { pe: pe.index, entry, x0: contextId });
  }

  #boot(name: string, fields: Readonly<Record<string, string | number | bigint>>): void {
    const { trace } = this.#machine;
    if (trace.wants("boot")) trace.emit({ category: "boot", name, fields });
  }

  // Attestation

  get #images(): MeasuredImages {
    const { rmm, secure, configs = [] } = this.#options;
    return { monitor: this.image, configs, ...(secure ? { secure } : {}), ...(rmm ? { rmm } : {}) };
  }

  #platformToken(pe: Pe, challenge: Uint8Array): Uint8Array {
    const { cpak, measurements } = this.#memory.globals(pe);
    const { seed } = this.#options;
    const images = measuredComponents(this.#images);
    invariant(images.length === measurements.length, "every component was measured at boot");
    return platformToken({
      crypto: this.#crypto,
      cpak,
      identity: platformIdentity({ crypto: this.#crypto, seed }, this.#machine.board.name),
      components: measurements.map((measurement, n) => ({ type: images[n]!.type, measurement })),
      challenge,
    });
  }

  /** What no software below can cause ends the machine, with the reason. */
  #panic(pe: Pe, reason: string): SlotExit {
    this.#machine.stop(`Root Monitor panic on PE ${pe.index}: ${reason}`);
    return OFF;
  }
}
