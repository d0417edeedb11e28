/**
 * The Versatile Express system registers as the FVP Base has them: identification, LEDs, switches, flags, free-running
 * counters, and the configuration bus by which software switches the system off or reboots it. DUI 0447 (Motherboard
 * Express µATX), "Register summary"; the FVP's values as TF-A v2.12 expects them.
 *
 * @spec DUI 0447, "Register summary": partial: of the configuration bus's functions only shutdown and reboot; what drives
 *   board hardware that is not there is storage
 */
import { type DeviceSystem, RegisterDevice } from "./device.js";
import { Rate } from "./rate.js";

const SYS = {
  ID: 0x00,
  SW: 0x04,
  LED: 0x08,
  COUNTER_100HZ: 0x24,
  FLAGS: 0x30,
  FLAGSCLR: 0x34,
  NVFLAGS: 0x38,
  NVFLAGSCLR: 0x3c,
  FLASH: 0x4c,
  CFGSW: 0x58,
  COUNTER_24MHZ: 0x5c,
  MISC: 0x60,
  CFGDATA: 0xa0,
  CFGCTRL: 0xa4,
  CFGSTAT: 0xa8,
} as const;

/** REV 2 (RevC), HBI 0x020, build 1 (GICv3 memory map), architecture 1 (a model). */
const ID = 0x2020_1100;

/** CFGCTRL. */
const CFG = { START: 2 ** 31, WRITE: 1 << 30, FUNCTION_SHIFT: 20, FUNCTION_MASK: 0x3f };
const FUNCTION = { SHUTDOWN: 8, REBOOT: 9 };
/** CFGSTAT. */
const STATUS = { COMPLETE: 1 << 0, ERROR: 1 << 1 };

/** Registers that hold what is written. */
const STORED: ReadonlySet<number> = new Set([SYS.SW, SYS.LED, SYS.FLASH, SYS.CFGSW, SYS.MISC, SYS.CFGDATA]);

export const V2M_SYSREG_SIZE = 0x1_0000;

interface State {
  stored: Record<string, number>;
  flags: number;
  /** Only a power-on clears them. */
  nvFlags: number;
  control: number;
  status: number;
}

export class V2mSysreg extends RegisterDevice {
  readonly #hundred: Rate;
  readonly #mega: Rate;
  #state: State = { stored: {}, flags: 0, nvFlags: 0, control: 0, status: 0 };

  constructor(name: string, system: DeviceSystem) {
    super(name, system);
    this.#hundred = new Rate(100, system.countsPerSecond);
    this.#mega = new Rate(24_000_000, system.countsPerSecond);
  }

  reset(): void {
    this.#state = { stored: {}, flags: 0, nvFlags: this.#state.nvFlags, control: 0, status: 0 };
  }

  protected readRegister(offset: number): number {
    const { stored, flags, nvFlags, control, status } = this.#state;
    switch (offset) {
      case SYS.ID:
        return ID;
      case SYS.COUNTER_100HZ:
        return this.#hundred.ticks(this.system.now) % 2 ** 32;
      case SYS.COUNTER_24MHZ:
        return this.#mega.ticks(this.system.now) % 2 ** 32;
      case SYS.FLAGS:
        return flags;
      case SYS.NVFLAGS:
        return nvFlags;
      case SYS.CFGCTRL:
        return control;
      case SYS.CFGSTAT:
        return status;
    }
    return stored[offset] ?? 0;
  }

  protected writeRegister(offset: number, value: number): void {
    const state = this.#state;
    switch (offset) {
      case SYS.FLAGS:
        state.flags |= value;
        break;
      case SYS.FLAGSCLR:
        state.flags &= ~value;
        break;
      case SYS.NVFLAGS:
        state.nvFlags |= value;
        break;
      case SYS.NVFLAGSCLR:
        state.nvFlags &= ~value;
        break;
      case SYS.CFGSTAT:
        state.status = value & (STATUS.COMPLETE | STATUS.ERROR);
        break;
      case SYS.CFGCTRL:
        this.#configure(value);
        break;
      default:
        if (STORED.has(offset)) state.stored[offset] = value;
    }
  }

  save(): unknown {
    return this.#state;
  }

  restore(data: unknown): void {
    const state = data as State;
    this.#state = { ...state, stored: { ...state.stored } };
  }

  /** A transaction on the configuration bus: done at once. */
  #configure(value: number): void {
    const state = this.#state;
    // START reads as zero when the transaction is complete.
    state.control = value % CFG.START;
    if (value < CFG.START) return;
    state.status = STATUS.COMPLETE;
    const selected = (value >>> CFG.FUNCTION_SHIFT) & CFG.FUNCTION_MASK;
    const isWrite = (value & CFG.WRITE) !== 0;
    if (isWrite && selected === FUNCTION.SHUTDOWN) this.system.powerOff("V2M shutdown");
    else if (isWrite && selected === FUNCTION.REBOOT) this.system.reset("V2M reboot");
    else state.status |= STATUS.ERROR;
  }
}
