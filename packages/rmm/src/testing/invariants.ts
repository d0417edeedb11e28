/**
 * What must hold of all objects after any sequence of calls: recomputed from memory alone, so that a wrong reference
 * count, a lost granule or a page that two Realms share shows at once.
 */
import { Gpi, RmiRipas } from "@realmbox/abi";
import type { GranuleState } from "../index.js";
import { RdLayout } from "../realm/rd.js";
import { RecLayout } from "../rec/rec.js";
import { rtteAddr, rtteRipas, rtteState } from "../rtt/entry.js";

/** The memory to check: the stand-in's, or a real machine's. */
export interface InspectedMemory {
  /** Base of the RMM's memory. */
  readonly carveOut: bigint;
  /** The delegable granules that somebody may have used; all others are UNDELEGATED. */
  granules(): readonly bigint[];
  /** As the RMM's table has them. */
  granuleState(pa: bigint): GranuleState;
  refcount(pa: bigint): number;
  /** As the GPT has it. */
  gpiOf(pa: bigint): number;
  page(pa: bigint): Uint8Array;
}

/** Sentences about what is wrong; empty when all is well. */
export function problems(machine: InspectedMemory): string[] {
  const wrong: string[] = [];
  const say = (what: string, pa: bigint) => wrong.push(`${what} at 0x${pa.toString(16)}`);
  const claimed = new Map<bigint, string>();
  const claim = (pa: bigint, state: GranuleState, by: string) => {
    if (machine.granuleState(pa) !== state) say(`${by} names a granule in state ${machine.granuleState(pa)}`, pa);
    if (claimed.has(pa)) say(`${by} and ${claimed.get(pa)} both use the granule`, pa);
    claimed.set(pa, by);
  };
  const granules = machine.granules();

  for (const pa of granules) {
    const state = machine.granuleState(pa);
    if ((state === "UNDELEGATED") !== (machine.gpiOf(pa) !== Gpi.REALM))
      say(`${state} with GPI ${machine.gpiOf(pa)}`, pa);
    if (state === "DELEGATED" && machine.page(pa).some((byte) => byte !== 0)) say("DELEGATED and not zero", pa);
    if (state === "DATA" && machine.refcount(pa) !== 0) say("DATA with a reference count", pa);
  }
  const vmids = new Set<number>();
  for (const rdAddr of granules.filter((pa) => machine.granuleState(pa) === "RD")) {
    const rd = RdLayout.decode(machine.page(rdAddr));
    claim(rdAddr, "RD", "a Realm");
    vmids.add(rd.vmid);
    const visit = (rtt: bigint, level: number, base: bigint) => {
      claim(rtt, "RTT", "a table");
      const bytes = machine.page(rtt);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const size = 1n << BigInt(12 + 9 * (3 - level));
      let live = 0;
      for (let i = 0; i < 512; i++) {
        const entry = view.getBigUint64(8 * i, true);
        const state = rtteState(entry, level);
        const ipa = base + BigInt(i) * size;
        if (ipa >= 1n << BigInt(rd.ipa_width)) continue;
        const isProtected = ipa < 1n << BigInt(rd.ipa_width - 1);
        if (state === "TABLE") {
          live++;
          visit(rtteAddr(entry), level + 1, ipa);
        } else if (state === "ASSIGNED") {
          live++;
          if (!isProtected) say("ASSIGNED in the Unprotected half", rtt);
          if (rtteRipas(entry) > RmiRipas.DESTROYED) say("unknown RIPAS", rtt);
          for (let pa = rtteAddr(entry); pa < rtteAddr(entry) + size; pa += 4096n) claim(pa, "DATA", "a mapping");
        } else if (state !== "UNASSIGNED" && isProtected) {
          say(`${state} in the Protected half`, rtt);
        } else if (state === "UNASSIGNED" && !isProtected) {
          say("UNASSIGNED in the Unprotected half", rtt);
        }
      }
      if (machine.refcount(rtt) !== live) say(`reference count ${machine.refcount(rtt)}, live entries ${live}`, rtt);
    };
    const start = rd.rtt_level_start;
    const covers = 1n << BigInt(12 + 9 * (4 - start));
    for (let i = 0; i < rd.rtt_num_start; i++) visit(rd.rtt_base + BigInt(i) * 4096n, start, BigInt(i) * covers);
    const recs = granules.filter(
      (pa) => machine.granuleState(pa) === "REC" && RecLayout.decode(machine.page(pa)).owner === rdAddr,
    );
    if (machine.refcount(rdAddr) !== recs.length) say(`${recs.length} RECs, count ${machine.refcount(rdAddr)}`, rdAddr);
    for (const rec of recs) {
      claim(rec, "REC", "a Realm");
      const { aux, num_aux } = RecLayout.decode(machine.page(rec));
      for (const pa of aux.slice(0, num_aux)) claim(pa, "REC_AUX", "a REC");
    }
  }
  for (const pa of granules) {
    const state = machine.granuleState(pa);
    if (state !== "UNDELEGATED" && state !== "DELEGATED" && !claimed.has(pa)) say(`${state} that nothing uses`, pa);
  }
  const bitmap = [0n, 0x1000n].flatMap((offset) => [...machine.page(machine.carveOut + 0x10_1000n + offset)]);
  const used = bitmap.flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => 8 * i + bit),
  );
  if (used.join() !== [...vmids].sort((a, b) => a - b).join())
    wrong.push(`VMIDs in use ${used}, Realms have ${[...vmids]}`);
  return wrong;
}
