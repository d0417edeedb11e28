/**
 * Regions that are compiled together: a module costs 100 µs by itself, a further function 10. Their functions come out on
 * the stage, a small table from which the interpreter's module copies them to their slots.
 */
import { REGION_PARAMETERS } from "../interpreter/dispatcher.js";
import { HELPER_SLOTS } from "../interpreter/slots.js";
import { ModuleWriter } from "../wasm/module.js";
import { emitRegion } from "./emit.js";
import type { Region } from "./region.js";

/** Slots of the stage: functions of one module. */
export const STAGE_SLOTS = 16;

export class Batch {
  private readonly module = new ModuleWriter();
  private readonly stage: number;
  private readonly functions: number[] = [];

  constructor() {
    this.module.importMemory("realmbox", "memory", 1);
    this.module.importTable("realmbox", "helpers", HELPER_SLOTS);
    this.stage = this.module.importTable("realmbox", "stage", STAGE_SLOTS);
  }

  get count(): number {
    return this.functions.length;
  }

  /** Adds a region's function; the bytes that it has. Its place on the stage is `count` before. */
  add(region: Region, mode: number, slot: number): number {
    const index = this.module.declare({ params: [...REGION_PARAMETERS], results: ["i32"] });
    this.functions.push(index);
    return this.module.define(index, emitRegion({ module: this.module, region, mode, slot }));
  }

  /** The module's bytes. */
  build(): Uint8Array {
    this.module.fillTable(this.stage, this.functions);
    return this.module.build();
  }
}
