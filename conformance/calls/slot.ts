/**
 * Native test firmware: a script that holds a slot and makes SMCs with whatever registers it likes. A script is a
 * generator for one PE: what it yields is the slot's exit, what it gets back is the event that follows.
 */
import { type Firmware, type Pe, R, type SlotEvent, type SlotExit, SMC } from "@realmbox/machine";

export type Script<Result = SlotExit> = Generator<SlotExit, Result, SlotEvent>;

/** Firmware that plays `script` on each PE, from its beginning at each `start`. */
export function scripted(name: string, script: (pe: Pe) => Script): Firmware {
  const running = new Map<number, Script>();
  return {
    name,
    image: new Uint8Array([1]),
    step(pe, event) {
      if (event.kind === "start") running.set(pe.index, script(pe));
      return running.get(pe.index)!.next(event).value;
    },
  };
}

/** Registers of an SMC that must come back as they were: X8 to X30. SMCCC 1.2, "Register use in SMC64/HVC64 calls". */
const PRESERVED = { first: R.X0 + 8, count: 23 } as const;

/** An SMC with X0.. = `values`, all other registers arbitrary. X0 to X4; throws when a preserved register has changed. */
export function* smc(pe: Pe, values: readonly bigint[]): Script<readonly bigint[]> {
  const { r } = pe;
  for (let n = 0; n < 8; n++) r[R.X0 + n] = values[n] ?? 0n;
  for (let n = 0; n < PRESERVED.count; n++) r[PRESERVED.first + n] = 0x5a5a_0000_0000_0000n + BigInt(n);
  const event = yield SMC;
  if (event.kind !== "return") throw new Error(`the SMC 0x${values[0]!.toString(16)} ended with ${event.kind}`);
  for (let n = 0; n < PRESERVED.count; n++) {
    const value = r[PRESERVED.first + n]!;
    if (value !== 0x5a5a_0000_0000_0000n + BigInt(n)) {
      throw new Error(`the SMC ${values.map((x) => x.toString(16))} changed X${8 + n} to ${value.toString(16)}`);
    }
  }
  return [r[R.X0]!, r[R.X0 + 1]!, r[R.X0 + 2]!, r[R.X0 + 3]!, r[R.X0 + 4]!];
}
