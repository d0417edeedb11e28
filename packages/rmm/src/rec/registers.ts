/** The registers of a PE that a REC has for itself, as runs of words: views that are made once for each PE. */
import { GROUPS, type Pe, R } from "@realmbox/machine";
import { RecLayout } from "./rec.js";

export class PeRegisters {
  /** The whole state as 32-bit words: the register of slot s in words 2s and 2s + 1. */
  readonly words: Int32Array;
  /** X0 to X30. */
  readonly gprs: BigUint64Array;
  readonly el1: BigUint64Array;
  readonly ich: BigUint64Array;
  readonly debug: BigUint64Array;
  readonly pmu: BigUint64Array;
  readonly fp: BigUint64Array;

  constructor({ r, w }: Pe) {
    const run = (first: number, count: number) => r.subarray(first, first + count);
    this.words = w;
    this.gprs = run(R.X0, RecLayout.fields.gprs.size / 8);
    this.el1 = run(GROUPS.EL1.first, GROUPS.EL1.count);
    this.ich = run(GROUPS.ICH.first, GROUPS.ICH.count);
    this.debug = run(GROUPS.DEBUG.first, GROUPS.DEBUG.count);
    this.pmu = run(GROUPS.PMU.first, GROUPS.PMU.count);
    this.fp = run(GROUPS.FP.first, GROUPS.FP.count);
  }
}
