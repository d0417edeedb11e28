/**
 * The FVP Base's power controller. Software finds out by it which PEs exist and which are on. Here PEs are switched by the
 * Root Monitor itself, so requests to switch them have no effect. Fast Models Reference Guide, "Base_PowerController";
 * register use as in TF-A v2.12, plat/arm/board/fvp/fvp_pm.c.
 *
 * @spec Fast Models, "Base_PowerController": partial: PPOFFR, PPONR and PCOFFR do nothing; no wake reasons
 */
import { RegisterDevice } from "./device.js";

const PWKUPR = 0x0c;
const PSYSR = 0x10;

const WEN = 2 ** 31;
/** PSYSR: the PE itself, its core and its cluster are on; wake-up is enabled. */
const STATUS = { L2: 2 ** 31, L1: 1 << 30, L0: 1 << 29, WEN: 1 << 28 };
/** What PSYSR reads for an MPIDR that no PE has. */
const INVALID = 0xffff_ffff;
const MPIDR_MASK = 0xff_ffff;

export const POWER_CONTROLLER_SIZE = 0x1_0000;

interface State {
  /** The MPIDR that PSYSR answers for. */
  mpidr: number;
  /** Affinities of the PEs whose wake-up is enabled. */
  readonly wakeable: number[];
}

export class PowerController extends RegisterDevice {
  #state: State = { mpidr: 0, wakeable: [] };

  reset(): void {
    this.#state = { mpidr: 0, wakeable: [] };
  }

  protected readRegister(offset: number): number {
    if (offset !== PSYSR) return 0;
    const { mpidr, wakeable } = this.#state;
    const isOn = this.system.isPeOn(mpidr);
    if (isOn === undefined) return INVALID;
    // With MT the lowest level is a thread, the next a core, and the cluster is on while any of its PEs is.
    const isClusterOn = this.system.affinities.some(
      (affinity) => affinity >>> 16 === mpidr >>> 16 && this.system.isPeOn(affinity),
    );
    return (
      (isClusterOn ? STATUS.L2 : 0) + (isOn ? STATUS.L1 | STATUS.L0 : 0) + (wakeable.includes(mpidr) ? STATUS.WEN : 0)
    );
  }

  protected writeRegister(offset: number, value: number): void {
    const mpidr = value & MPIDR_MASK;
    const { wakeable } = this.#state;
    if (offset === PSYSR) {
      this.#state.mpidr = mpidr;
    } else if (offset === PWKUPR && this.system.isPeOn(mpidr) !== undefined) {
      const others = wakeable.filter((other) => other !== mpidr);
      wakeable.splice(0, wakeable.length, ...others, ...(value >= WEN ? [mpidr] : []));
    }
  }

  save(): unknown {
    return this.#state;
  }

  restore(data: unknown): void {
    const { mpidr, wakeable } = data as State;
    this.#state = { mpidr, wakeable: [...wakeable] };
  }
}
