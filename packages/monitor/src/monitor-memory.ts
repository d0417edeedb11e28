/** The monitor's own granules, through the Root port, and its side of the RMM-EL3 shared page. */
import { GRANULE_SIZE, invariant, Pas } from "@realmbox/abi";
import { type Fault, isFault, type Pe } from "@realmbox/machine";
import { GLOBALS_MAGIC, GlobalsLayout, MEASUREMENT_SIZE, type MonitorMap, type RmmState } from "./memory-map.js";

export interface Globals {
  readonly rak: Uint8Array;
  readonly cpak: Uint8Array;
  readonly measurements: readonly Uint8Array[];
}

export class MonitorMemory {
  readonly #map: MonitorMap;

  constructor(map: MonitorMap) {
    this.#map = map;
  }

  #view(pe: Pe): DataView {
    const granule = own(pe.port(Pas.ROOT).granule(this.#map.globals));
    return new DataView(granule.buffer, granule.byteOffset, GRANULE_SIZE);
  }

  /** Whether the cold boot of this reset has happened. */
  isBooted(pe: Pe): boolean {
    return GlobalsLayout.fields.magic.read(this.#view(pe), 0) === GLOBALS_MAGIC;
  }

  /** Fills the globals at the cold boot. */
  initialise(pe: Pe, globals: Globals, rmmState: number): void {
    const measurements = new Uint8Array(globals.measurements.length * MEASUREMENT_SIZE);
    globals.measurements.forEach((measurement, n) => {
      measurements.set(measurement, n * MEASUREMENT_SIZE);
    });
    const data = GlobalsLayout.encode({
      magic: GLOBALS_MAGIC,
      rmm_state: rmmState,
      component_count: globals.measurements.length,
      cpak: globals.cpak,
      rak: globals.rak,
      measurements,
    });
    mine(pe.port(Pas.ROOT).copyOut(this.#map.globals, data));
  }

  globals(pe: Pe): Globals {
    const view = this.#view(pe);
    const { cpak, rak, measurements, component_count } = GlobalsLayout.fields;
    const all = measurements.read(view, 0);
    return {
      cpak: cpak.read(view, 0),
      rak: rak.read(view, 0),
      measurements: Array.from({ length: component_count.read(view, 0) }, (_, n) =>
        all.slice(n * MEASUREMENT_SIZE, (n + 1) * MEASUREMENT_SIZE),
      ),
    };
  }

  rmmState(pe: Pe): (typeof RmmState)[keyof typeof RmmState] {
    return GlobalsLayout.fields.rmm_state.read(this.#view(pe), 0) as (typeof RmmState)[keyof typeof RmmState];
  }

  setRmmState(pe: Pe, state: number): void {
    GlobalsLayout.fields.rmm_state.write(this.#view(pe), 0, state);
  }

  /** Keeps a platform token for `nextTokenChunk`, from its start. */
  startToken(pe: Pe, token: Uint8Array): void {
    mine(pe.port(Pas.ROOT).copyOut(this.#map.token, token));
    const view = this.#view(pe);
    GlobalsLayout.fields.token_size.write(view, 0, token.length);
    GlobalsLayout.fields.token_offset.write(view, 0, 0);
  }

  /** The next piece of the platform token, up to `size` bytes; undefined when no token is under way. */
  nextTokenChunk(pe: Pe, size: number): { bytes: Uint8Array; remaining: number } | undefined {
    const view = this.#view(pe);
    const { token_size, token_offset } = GlobalsLayout.fields;
    const [total, offset] = [token_size.read(view, 0), token_offset.read(view, 0)];
    if (total === 0) return undefined;
    const bytes = new Uint8Array(Math.min(size, total - offset));
    mine(pe.port(Pas.ROOT).copyIn(this.#map.token + BigInt(offset), bytes));
    const remaining = total - offset - bytes.length;
    token_offset.write(view, 0, remaining === 0 ? 0 : offset + bytes.length);
    if (remaining === 0) token_size.write(view, 0, 0);
    return { bytes, remaining };
  }

  /** Copies to the Realm PAS: the RMM-EL3 shared page, and at boot the RMM's image. */
  copyToRealm(pe: Pe, pa: bigint, data: Uint8Array): void {
    mine(pe.port(Pas.REALM).copyOut(pa, data));
  }

  copyFromRealm(pe: Pe, pa: bigint, size: number): Uint8Array {
    const data = new Uint8Array(size);
    mine(pe.port(Pas.REALM).copyIn(pa, data));
    return data;
  }
}

/** The monitor's own memory and the Realm carve-out never fault: the GPT that says so is the monitor's. */
function mine(fault: Fault | undefined): void {
  invariant(fault === undefined, "the monitor reaches its own memory", fault?.fault);
}

function own(granule: Uint8Array | Fault): Uint8Array {
  invariant(!isFault(granule), "the monitor reaches its own memory");
  return granule;
}
