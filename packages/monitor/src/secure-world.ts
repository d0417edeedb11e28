/**
 * The Secure world's place at EL3: the third context of each PE beside the Non-secure and the Realm one, and the switch
 * between it and the Non-secure world. Its software is an image at S-EL2, or at S-EL1 when Secure EL2 is not enabled.
 * TF-A v2.12, services/std_svc/spmd.
 *
 * More is swapped than at a switch to the Realm world, where the RMM does its part: beside what world.ts has, EL1's and
 * EL0's registers with CNTP and CNTV, breakpoints and watchpoints, list registers, FP/SIMD, the performance monitors and the
 * priority mask, which has no Secure copy. So no register of one world is seen in the other, whatever its software does.
 *
 * Context of a PE: two granules. In the first a world context, this state, and at BELOW the Secure world's other registers;
 * in the second, at its start, the Non-secure world's while the Secure one runs.
 */
import { GRANULE_SIZE, invariant, layout, Pas, SPSR_EL1H_MASKED, SPSR_EL2H_MASKED, u32, u64 } from "@realmbox/abi";
import { GROUPS, isFault, type Pe, R } from "@realmbox/machine";
import type { SecureImage } from "./images.js";
import { type MonitorMap, SECURE_CONTEXT_SIZE, WorldLayout } from "./memory-map.js";
import {
  load,
  type Registers,
  registersOf,
  SCR_SECURE_EL1,
  SCR_SECURE_EL2,
  save,
  type World,
  type Worlds,
  worldAt,
} from "./world.js";

/** What the Secure world is on a PE. */
export const SecureState = {
  /** Its boot on this PE failed, or has not begun. */
  NONE: 0,
  /** It runs since the start of the PE and has not yet said that it is ready. */
  BOOTING: 1,
  /** It serves the Non-secure world's calls. */
  READY: 2,
  /** It handles an interrupt that came while the Non-secure world ran, and calls nobody until that goes on. */
  PREEMPTING: 3,
} as const;
export type SecureState = (typeof SecureState)[keyof typeof SecureState];

const StateLayout = layout("Secure world on a PE", 0x100, {
  state: u32(0x0),
  /** 1: the boot under way is the machine's, not that of a PE that PSCI_CPU_ON has started. */
  cold: u32(0x4),
  /** Of PE 0: where other PEs begin; 0: at the image's start. */
  secondary_entry: u64(0x8),
});
const STATE = WorldLayout.size;
const BELOW = 0x800;
const NS_BELOW = GRANULE_SIZE;

const { EL1, DEBUG, ICH, FP, PMU } = GROUPS;
/** Runs of slots that are swapped beside a world context's. */
const BELOW_RUNS = [EL1, DEBUG, ICH, FP, PMU, { first: R.ICC_PMR_EL1, count: 1 }];
const BELOW_SIZE = BELOW_RUNS.reduce((sum, { count }) => sum + 8 * count, 0);
invariant(BELOW + BELOW_SIZE <= GRANULE_SIZE, "a granule holds the Secure world's registers of a PE", BELOW_SIZE);

/** SCTLR_EL1 with nothing but its RES1 bits: MMU and caches off. */
const SCTLR_EL1_INITIAL = 0x30d0_0800n;
/** OSLM = 0b10, OSLK = 1. */
const OSLSR_EL1_RESET = 0xan;

/** The registers that an SMC carries. */
const ARGUMENTS = 8;

/** Views of a PE's state and context, made once. */
interface Views {
  readonly bytes: Uint8Array;
  readonly second: Uint8Array;
  readonly pe: Registers;
  readonly world: World;
  /** One for each run: the PE's registers, the Secure world's, the Non-secure world's. */
  readonly below: readonly (readonly [pe: BigUint64Array, secure: BigUint64Array, ns: BigUint64Array])[];
}

export class SecureWorld {
  readonly image: SecureImage;
  readonly #map: MonitorMap;
  readonly #worlds: Worlds;
  readonly #views: Views[] = [];

  constructor(map: MonitorMap, worlds: Worlds, image: SecureImage) {
    this.#map = map;
    this.#worlds = worlds;
    this.image = image;
  }

  /** Once for each reset of the machine: no PE has a Secure world yet. */
  clear(pe: Pe, peCount: number): void {
    const fault = pe.port(Pas.ROOT).zero(this.#map.secureContext(0), peCount * SECURE_CONTEXT_SIZE);
    invariant(fault === undefined, "Secure contexts are in Root memory", fault?.fault);
  }

  state(pe: Pe): SecureState {
    return StateLayout.fields.state.read(this.#stateView(pe), 0) as SecureState;
  }

  setState(pe: Pe, state: SecureState): void {
    StateLayout.fields.state.write(this.#stateView(pe), 0, state);
  }

  /** Whether the boot under way is the machine's. */
  bootsCold(pe: Pe): boolean {
    return StateLayout.fields.cold.read(this.#stateView(pe), 0) !== 0;
  }

  /** Where the PEs that PSCI_CPU_ON starts begin. */
  setSecondaryEntry(pe: Pe, entry: bigint): void {
    StateLayout.fields.secondary_entry.write(this.#stateView(pe, 0), 0, entry);
  }

  /**
   * Enters the Secure world for its boot on this PE, whose EL2 registers are as a new world's: X4 is the PE's index, all other
   * general registers are zero, everything is masked.
   */
  boot(pe: Pe, { cold }: { cold: boolean }): void {
    const views = this.#viewsOf(pe);
    const { r } = pe;
    views.world.words.fill(0n);
    views.world.el2.set(views.pe.el2);
    for (const [, secure] of views.below) secure.fill(0n);
    const [el1] = views.below[0]!.slice(1);
    el1![R.SCTLR_EL1 - EL1.first] = SCTLR_EL1_INITIAL;
    el1![R.OSLSR_EL1 - EL1.first] = OSLSR_EL1_RESET;
    views.below.at(-1)![1][0] = r[R.ICC_PMR_EL1]!;
    const view = this.#stateView(pe);
    StateLayout.fields.state.write(view, 0, SecureState.BOOTING);
    StateLayout.fields.cold.write(view, 0, cold ? 1 : 0);

    const registered = StateLayout.fields.secondary_entry.read(this.#stateView(pe, 0), 0);
    this.#load(pe, views);
    views.pe.gpr.fill(0n);
    r[R.X0 + 4] = BigInt(pe.index);
    r[R.ELR_EL3] = cold || registered === 0n ? this.image.loadAt : registered;
    r[R.SPSR_EL3] = this.image.el === 2 ? SPSR_EL2H_MASKED : SPSR_EL1H_MASKED;
  }

  /** Keeps the Secure world at the SMC that ends its boot. The Non-secure world has yet to be entered. */
  leaveBoot(pe: Pe, state: SecureState): void {
    this.#save(pe, this.#viewsOf(pe));
    this.setState(pe, state);
  }

  /** From the Non-secure world, which calls or is interrupted: the Secure one goes on after its last SMC, X0 to X7 given. */
  enter(pe: Pe, values: readonly bigint[], state: SecureState = SecureState.READY): void {
    const views = this.#viewsOf(pe);
    this.#worlds.saveHost(pe);
    this.#load(pe, views);
    views.pe.gpr.set(views.world.gpr);
    setArguments(pe, values);
    this.setState(pe, state);
  }

  /** From the Secure world's SMC back to the Non-secure one: after its call, with X0 to X7, or as it was interrupted. */
  leave(pe: Pe, values?: readonly bigint[]): void {
    this.#save(pe, this.#viewsOf(pe));
    this.#worlds.loadHost(pe);
    if (values) setArguments(pe, values);
    this.setState(pe, SecureState.READY);
  }

  #load(pe: Pe, { pe: into, world, below }: Views): void {
    load(pe, into, world);
    for (const [registers, secure, ns] of below) {
      ns.set(registers);
      registers.set(secure);
    }
    pe.r[R.SCR_EL3] = this.image.el === 2 ? SCR_SECURE_EL2 : SCR_SECURE_EL1;
  }

  #save(pe: Pe, { pe: from, world, below }: Views): void {
    save(pe, from, world);
    for (const [registers, secure, ns] of below) {
      secure.set(registers);
      registers.set(ns);
    }
  }

  #granule(pe: Pe, at: bigint): Uint8Array {
    const granule = pe.port(Pas.ROOT).granule(at);
    invariant(!isFault(granule), "Secure contexts are in Root memory", at);
    return granule;
  }

  #stateView(pe: Pe, index = pe.index): DataView {
    const granule = this.#granule(pe, this.#map.secureContext(index));
    return new DataView(granule.buffer, granule.byteOffset + STATE, StateLayout.size);
  }

  #viewsOf(pe: Pe): Views {
    const at = this.#map.secureContext(pe.index);
    const bytes = this.#granule(pe, at);
    const second = this.#granule(pe, at + BigInt(NS_BELOW));
    const known = this.#views[pe.index];
    if (known?.bytes === bytes && known.second === second) return known;
    let offset = 0;
    const below = BELOW_RUNS.map(({ first, count }) => {
      const start = offset;
      offset += 8 * count;
      return [
        pe.r.subarray(first, first + count),
        new BigUint64Array(bytes.buffer, bytes.byteOffset + BELOW + start, count),
        new BigUint64Array(second.buffer, second.byteOffset + start, count),
      ] as const;
    });
    return (this.#views[pe.index] = { bytes, second, pe: registersOf(pe), world: worldAt(bytes, 0), below });
  }
}

function setArguments({ r }: Pe, values: readonly bigint[]): void {
  for (let n = 0; n < ARGUMENTS; n++) r[R.X0 + n] = values[n] ?? 0n;
}
