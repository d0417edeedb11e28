/**
 * The tree of power domains that PSCI manages: PEs (level 0), clusters (level 1), the system (level 2). What each PE asks
 * for its clusters and the system, what they are in, and how often and how long they were off. DEN0022, "Power domain
 * topologies", "Power state coordination"; "PSCI_STAT_RESIDENCY/COUNT"; algorithms as TF-A v2.12's PSCI library has them.
 *
 * All of it is in Root memory: a record for each PE. A cluster's own numbers are in the record of its first PE, the
 * system's in that of PE 0.
 *
 * A domain is in the shallowest state that any PE below it asks for: it is off when all PEs want it off.
 */
import { invariant, layout, Pas, u32, u64 } from "@realmbox/abi";
import { isFault, type Pe } from "@realmbox/machine";
import { DOMAIN_RECORD_SIZE, type MonitorMap } from "../memory-map.js";

/** Local power states, shallow to deep. */
export const Local = { RUN: 0, RETENTION: 1, OFF: 2 } as const;
export type Local = (typeof Local)[keyof typeof Local];

export const CPU_LEVEL = 0;
export const CLUSTER_LEVEL = 1;
export const SYSTEM_LEVEL = 2;
export type Level = typeof CPU_LEVEL | DomainLevel;
type DomainLevel = typeof CLUSTER_LEVEL | typeof SYSTEM_LEVEL;
const DOMAIN_LEVELS: readonly DomainLevel[] = [CLUSTER_LEVEL, SYSTEM_LEVEL];

/** A state for each level. */
export type States = readonly [cpu: Local, cluster: Local, system: Local];

const RecordLayout = layout("power domain record", DOMAIN_RECORD_SIZE, {
  entered: u64(0x00), // count when the PE stopped running
  os_initiated: u32(0x08), // PSCI_SET_SUSPEND_MODE; in the record of PE 0
  local_0: u32(0x0c), // what the PE is in,
  request_1: u32(0x10), // what it asks for its cluster,
  request_2: u32(0x14), // and for the system
  // Of the cluster whose first PE it is, and of the system:
  local_1: u32(0x18),
  local_2: u32(0x1c),
  last_1: u32(0x20), // the PE that let it go off, plus one; 0: it is on, or was never on
  last_2: u32(0x24),
  // How often and how long the PE was in retention, and the PE, cluster and system were off.
  retention_count: u64(0x28),
  retention_us: u64(0x30),
  off_count_0: u64(0x40),
  off_us_0: u64(0x48),
  off_count_1: u64(0x50),
  off_us_1: u64(0x58),
  off_count_2: u64(0x60),
  off_us_2: u64(0x68),
});
const FIELDS = RecordLayout.fields;
type StateField = `local_${Level}` | `request_${DomainLevel}` | `last_${DomainLevel}` | "os_initiated";
type CountField = "entered" | "retention_count" | "retention_us" | `off_count_${Level}` | `off_us_${Level}`;

/** Why a request in OS-initiated mode is refused. */
export type CoordinationError = "PSCI_DENIED" | "PSCI_INVALID_PARAMETERS";

export class PowerDomains {
  readonly #map: MonitorMap;
  /** Per PE: the first PE of its cluster. */
  readonly #clusters: readonly number[];
  readonly #ticksPerUs: bigint;

  constructor(map: MonitorMap, options: { readonly pes: readonly Pick<Pe, "mpidr">[]; readonly counterHz: number }) {
    this.#map = map;
    const clusters = options.pes.map(({ mpidr }) => clusterOf(mpidr));
    this.#clusters = clusters.map((cluster) => clusters.indexOf(cluster));
    this.#ticksPerUs = BigInt(Math.max(1, Math.floor(options.counterHz / 1_000_000)));
  }

  /** After a reset: everything is off but PE 0 and what it is in. */
  initialise(pe: Pe): void {
    for (let index = 0; index < this.#clusters.length; index++) {
      new Uint8Array(this.#record(pe, index).buffer, this.#record(pe, index).byteOffset, DOMAIN_RECORD_SIZE).fill(0);
      for (const field of ["local_0", "request_1", "request_2", "local_1", "local_2"] as const) {
        this.#setState(pe, index, field, Local.OFF);
      }
    }
    this.#run(pe);
  }

  /** Whether two PEs are in one cluster. */
  sameCluster(one: number, other: number): boolean {
    return this.#clusters[one] === this.#clusters[other];
  }

  isOsInitiated(pe: Pe): boolean {
    return this.#state(pe, 0, "os_initiated") === 1;
  }

  setOsInitiated(pe: Pe, isOsInitiated: boolean): void {
    this.#setState(pe, 0, "os_initiated", isOsInitiated ? 1 : 0);
  }

  /**
   * The calling PE stops running and asks for `wanted`. In OS-initiated mode, which only suspends know, a request must be
   * what the other PEs' requests allow; otherwise it is made as shallow as they need.
   */
  leave(pe: Pe, wanted: States, options: { readonly mayRefuse: boolean }): CoordinationError | undefined {
    const { index } = pe;
    const before = DOMAIN_LEVELS.map((level) => this.#state(pe, index, `request_${level}`));
    const strict = options.mayRefuse && this.isOsInitiated(pe);
    const states: number[] = [...wanted];
    let stays = false;
    let asked: Local = wanted[CPU_LEVEL];
    for (const level of DOMAIN_LEVELS) {
      if (wanted[level] === Local.RUN) {
        // In OS-initiated mode who says nothing about a domain leaves it to the last one.
        if (strict) this.#setState(pe, index, `request_${level}`, asked);
        continue;
      }
      asked = wanted[level];
      this.#setState(pe, index, `request_${level}`, wanted[level]);
      const possible: number = stays ? Local.RUN : this.#shallowest(pe, level);
      if (strict && possible !== wanted[level]) {
        DOMAIN_LEVELS.forEach((each, n) => {
          this.#setState(pe, index, `request_${each}`, before[n]!);
        });
        return possible === Local.RUN ? "PSCI_DENIED" : "PSCI_INVALID_PARAMETERS";
      }
      stays ||= possible === Local.RUN;
      states[level] = possible;
    }
    this.#setState(pe, index, "local_0", wanted[CPU_LEVEL]);
    this.#setCount(pe, index, "entered", counter(pe));
    for (const level of DOMAIN_LEVELS) {
      if (states[level] === Local.RUN) break;
      this.#setState(pe, this.#node(index, level), `local_${level}`, states[level]!);
      this.#setState(pe, this.#node(index, level), `last_${level}`, index + 1);
    }
    return undefined;
  }

  /** The calling PE runs again: counts what it and the domains above it were in. */
  enter(pe: Pe): void {
    const { index } = pe;
    const now = counter(pe);
    const since = (by: number) => (now - this.#count(pe, by, "entered")) / this.#ticksPerUs;
    const retained = this.#state(pe, index, "local_0") === Local.RETENTION;
    this.#add(pe, index, retained ? "retention_us" : "off_us_0", since(index));
    this.#add(pe, index, retained ? "retention_count" : "off_count_0", 1n);
    for (const level of DOMAIN_LEVELS) {
      const node = this.#node(index, level);
      const by = this.#state(pe, node, `last_${level}`);
      if (by === 0) break;
      this.#add(pe, node, `off_us_${level}`, since(by - 1));
      this.#add(pe, node, `off_count_${level}`, 1n);
      this.#setState(pe, node, `last_${level}`, 0);
    }
    this.#run(pe);
  }

  /** How often a PE, or the domain of it at `level`, was in a state, and for how many microseconds in all. */
  statistics(pe: Pe, index: number, { level, state }: { level: Level; state: Local }): { count: bigint; us: bigint } {
    const node = this.#node(index, level);
    if (state === Local.OFF) {
      return { count: this.#count(pe, node, `off_count_${level}`), us: this.#count(pe, node, `off_us_${level}`) };
    }
    if (level !== CPU_LEVEL) return { count: 0n, us: 0n };
    return { count: this.#count(pe, index, "retention_count"), us: this.#count(pe, index, "retention_us") };
  }

  /** The PE and the domains above it are on. */
  #run(pe: Pe): void {
    this.#setState(pe, pe.index, "local_0", Local.RUN);
    for (const level of DOMAIN_LEVELS) {
      this.#setState(pe, pe.index, `request_${level}`, Local.RUN);
      this.#setState(pe, this.#node(pe.index, level), `local_${level}`, Local.RUN);
    }
  }

  /** What all PEs of the calling PE's domain at a level allow it. */
  #shallowest(pe: Pe, level: DomainLevel): number {
    const node = this.#node(pe.index, level);
    const requests = this.#clusters.map((_, index) =>
      this.#node(index, level) === node ? this.#state(pe, index, `request_${level}`) : Local.OFF,
    );
    return Math.min(...requests);
  }

  /** The PE whose record has the numbers of a PE's domain. */
  #node(index: number, level: Level): number {
    if (level === CPU_LEVEL) return index;
    return level === CLUSTER_LEVEL ? this.#clusters[index]! : 0;
  }

  #record(pe: Pe, index: number): DataView {
    const at = this.#map.powerDomains + BigInt(index * DOMAIN_RECORD_SIZE);
    const offset = at & 0xfffn;
    const granule = pe.port(Pas.ROOT).granule(at - offset);
    invariant(!isFault(granule), "power domain records are in Root memory", index);
    return new DataView(granule.buffer, granule.byteOffset + Number(offset), DOMAIN_RECORD_SIZE);
  }

  #state(pe: Pe, index: number, field: StateField): number {
    return FIELDS[field].read(this.#record(pe, index), 0);
  }

  #setState(pe: Pe, index: number, field: StateField, value: number): void {
    FIELDS[field].write(this.#record(pe, index), 0, value);
  }

  #count(pe: Pe, index: number, field: CountField): bigint {
    return FIELDS[field].read(this.#record(pe, index), 0);
  }

  #setCount(pe: Pe, index: number, field: CountField, value: bigint): void {
    FIELDS[field].write(this.#record(pe, index), 0, value);
  }

  #add(pe: Pe, index: number, field: CountField, value: bigint): void {
    this.#setCount(pe, index, field, this.#count(pe, index, field) + value);
  }
}

/** With MPIDR_EL1.MT a PE is one of Aff1 in Aff2, else one of Aff0 in Aff1. */
const clusterOf = (mpidr: bigint): bigint =>
  (mpidr & (1n << 24n)) !== 0n ? (mpidr & 0xff_ffffn) >> 16n : (mpidr & 0xff_ffffn) >> 8n;

const counter = (pe: Pe): bigint => pe.mrs("CNTPCT_EL0");
