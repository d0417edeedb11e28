/**
 * SP810 system controller, as the FVP Base uses it: it chooses the clock enables of the SP804 timers. DDI 0254 (System
 * Controller), "System control register"; the override bits make a timer count the raw clock.
 *
 * @spec DDI 0254, "Programmer's model": partial: of SCCTRL only the timer enables have an effect; no system mode control,
 *   crystal and PLL control, interrupt mode
 */
import { type DeviceSystem, primeCellId, RegisterDevice } from "./device.js";
import { SP804_HZ } from "./sp804.js";

const SCCTRL = 0x00;
/** Select and override of timer n's enable. */
const selectOf = (timer: number): number => 1 << (15 + 2 * timer);
const overrideOf = (timer: number): number => 1 << (16 + 2 * timer);

export const SP810_SIZE = 0x1000;
const TIMERS = 4;

export interface Sp810Options {
  /** Tells timer 0 to 3 the rate of its clock enable. */
  readonly setClock: (timer: number, hz: number) => void;
}

export class Sp810 extends RegisterDevice {
  readonly #setClock: (timer: number, hz: number) => void;
  #control = 0;

  constructor(name: string, system: DeviceSystem, { setClock }: Sp810Options) {
    super(name, system);
    this.#setClock = setClock;
  }

  reset(): void {
    this.#control = 0;
    this.#apply();
  }

  protected readRegister(offset: number): number {
    return offset === SCCTRL ? this.#control : (primeCellId(offset, 0x810) ?? 0);
  }

  protected writeRegister(offset: number, value: number): void {
    if (offset !== SCCTRL) return;
    this.#control = value & 0x00ff_ffff;
    this.#apply();
  }

  save(): unknown {
    return this.#control;
  }

  /** The timers hold their rates themselves. */
  restore(data: unknown): void {
    this.#control = data as number;
  }

  #apply(): void {
    for (let timer = 0; timer < TIMERS; timer++) {
      const isRaw = (this.#control & overrideOf(timer)) !== 0;
      const isFast = (this.#control & selectOf(timer)) !== 0;
      this.#setClock(timer, isRaw ? SP804_HZ.RAW : isFast ? SP804_HZ.TIMCLK : SP804_HZ.REFCLK);
    }
  }
}
