/**
 * Accesses that must fault: when the agent is about to load or store where the ledger says that nothing is mapped, and says
 * with its next host call that it has got through without an exception, a TLB has kept what it had to forget. Only while the
 * agent is as it was written and stage 1 is off, and nothing has changed the realm's mappings meanwhile.
 */
import { GROUPS, R } from "@realmbox/machine";
import { AGENT_IPA, AREA_SIZE, AREAS_IPA, agentCode, INSTRUCTION, ROUND_GPR } from "./agent.js";
import { entryBits, Kind } from "./descriptors.js";
import { type Inspection, Violation } from "./inspection.js";
import { DRAM, GRANULES, PAGE, paOf } from "./layout.js";
import { GPI_NS, type Ledger, type Rec, Ripas } from "./ledger.js";
import { bufferAt } from "./realm-verdict.js";

interface Probe {
  readonly mappings: number;
  /** Exceptions that the agent had taken before. */
  readonly faults: bigint;
  readonly ipa: number;
  /** The instructions of the round. */
  readonly code: readonly bigint[];
}

const AGENT = agentCode();
const { first } = GROUPS.EL1;
const SCTLR = R.SCTLR_EL1 - first;
const VBAR = R.VBAR_EL1 - first;
const AGENT_VECTORS = 0x800n;
const [LOAD, STORE, BACK] = [INSTRUCTION.LOAD >>> 0, INSTRUCTION.STORE >>> 0, INSTRUCTION.BACK >>> 0];

export class Probes {
  private readonly ledger: Ledger;
  private readonly inspection: Inspection;
  private readonly planned = new Map<Rec, Probe>();
  private readonly faults = new Map<Rec, bigint>();

  constructor(ledger: Ledger, inspection: Inspection) {
    this.ledger = ledger;
    this.inspection = inspection;
  }

  /** The agent gets a round: `view` is RmiRecEnter. */
  plan(rec: Rec, view: DataView): void {
    this.planned.delete(rec);
    const area = (rec.hostCall - AREAS_IPA) / AREA_SIZE;
    const word = (n: number) => view.getUint32(0x200 + 8 * ROUND_GPR + 4 * n, true);
    if (!Number.isInteger(area) || (word(0) !== LOAD && word(0) !== STORE) || word(1) !== BACK) return;
    const ipa = Number(view.getBigUint64(0x208, true));
    if (ipa % 8 !== 0 || ipa >= rec.realm.ipaSize || this.isAccessible(rec, ipa)) return;
    const code = Array.from({ length: 8 }, (_, n) => view.getBigUint64(0x200 + 8 * (ROUND_GPR + n), true));
    this.planned.set(rec, { mappings: rec.realm.mappings, faults: this.faults.get(rec) ?? 0n, ipa, code });
  }

  private isAccessible({ realm }: Rec, ipa: number): boolean {
    const { table, index, level } = realm.walk(ipa, 3);
    const kind = table.kind[index];
    const out = table.out[index]!;
    if (kind === Kind.ASSIGNED) return table.ripas[index] === Ripas.RAM;
    if (kind !== Kind.ASSIGNED_NS) return false;
    const granule = Math.floor((out - (out % PAGE) + (ipa % 2 ** entryBits(level)) - DRAM) / PAGE);
    // The GPI of shared memory changes without the realm's doing: only what S2AP refuses altogether is certain.
    return granule < 0 || granule >= GRANULES || (out & 0xc0) !== 0 || this.ledger.gpi[granule] === GPI_NS;
  }

  /** The access has left for the Host, who may emulate it. */
  forget(rec: Rec): void {
    this.planned.delete(rec);
  }

  /** The agent makes a host call: `gprs` are its, `el1` the REC's EL1 registers. Throws when an access went through. */
  check(rec: Rec, gprs: readonly bigint[], el1: BigUint64Array): void {
    const probe = this.planned.get(rec);
    this.planned.delete(rec);
    this.faults.set(rec, gprs[5]!);
    if (!probe || probe.mappings !== rec.realm.mappings || probe.faults !== gprs[5]) return;
    // RECs that started with the same X0 share an area: only X1 says whose round this was.
    if (gprs[1] !== BigInt(probe.ipa)) return;
    if ((el1[SCTLR]! & 1n) !== 0n || el1[VBAR] !== AGENT_VECTORS || rec.hostCall < 0) return;
    const buffer = bufferAt({ rec }, rec.hostCall);
    const code = bufferAt({ rec }, AGENT_IPA);
    if (buffer.kind !== "mapped" || code.kind !== "mapped") return;
    const area = this.inspection.page(buffer.granule);
    const view = new DataView(area.buffer, area.byteOffset + (rec.hostCall % PAGE) + 0x100, 64);
    if (!probe.code.every((word, n) => view.getBigUint64(8 * n, true) === word)) return;
    const page = this.inspection.page(code.granule);
    if (!AGENT.every((byte, i) => page[i] === byte)) return;
    throw new Violation(
      "no stale translation",
      `the REC 0x${paOf(rec.granule).toString(16)} has accessed IPA 0x${probe.ipa.toString(16)}, where nothing is mapped`,
    );
  }
}
