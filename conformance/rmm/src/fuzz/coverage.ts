/** What a campaign has reached: the RMM's conditions, by the ids of its trace, and the states of objects. */
import type { StampedTraceEvent } from "@realmbox/abi";
import { PSCI_FUNCTIONS, RMI_COMMANDS, RSI_COMMANDS } from "@realmbox/rmm";
import { KIND_NAMES } from "./descriptors.js";
import { type Ledger, STATE_NAMES } from "./ledger.js";

/**
 * Conditions that no sequence of calls on this machine meets, with the reason. They are in the specification, and cost
 * nothing to check.
 */
export const UNREACHABLE: Readonly<Record<string, string>> = {
  "RMI_DATA_CREATE data_bound2": "no delegable memory lies at 2^48 or above",
  "RMI_DATA_CREATE_UNKNOWN data_bound2": "no delegable memory lies at 2^48 or above",
  "RMI_RTT_CREATE rtt_bound2": "no delegable memory lies at 2^48 or above",
  "RMI_REC_CREATE num_recs": "1,023 RECs need more than 512 granules",
  "RSI_ATTESTATION_TOKEN_INIT attestation_unavailable": "the boot has brought key and platform token",
};

export class Coverage {
  /** How often an object was seen in a state. */
  readonly states = new Map<string, number>();
  private readonly byName = new Map<string, Map<unknown, number>>();

  readonly onTrace = ({ name, fields }: StampedTraceEvent): void => {
    const { condition } = fields;
    if (condition === undefined) return;
    let counts = this.byName.get(name);
    if (!counts) this.byName.set(name, (counts = new Map()));
    counts.set(condition, (counts.get(condition) ?? 0) + 1);
  };

  /** Every condition that the RMM declares. */
  static declared(): string[] {
    const rows = [...RMI_COMMANDS, ...RSI_COMMANDS].map(({ name, conditions }) => ({
      name: name as string,
      conditions,
    }));
    const psci = PSCI_FUNCTIONS.flatMap(({ fids, conditions }) =>
      fids.map((name) => ({ name: name as string, conditions })),
    );
    return [...rows, ...psci].flatMap(({ name, conditions }) => conditions.map((id) => `${name} ${id}`));
  }

  /** Counts so far, by condition. */
  reached(): Record<string, number> {
    const reached: Record<string, number> = {};
    for (const [name, counts] of this.byName) for (const [id, n] of counts) reached[`${name} ${id}`] = n;
    return reached;
  }

  missing(): string[] {
    const reached = this.reached();
    return Coverage.declared().filter((id) => !(id in reached));
  }

  /** Notes the states that objects are in now. */
  sample(ledger: Ledger): void {
    const see = (state: string) => void this.states.set(state, (this.states.get(state) ?? 0) + 1);
    for (const state of new Set(ledger.state)) see(`granule ${STATE_NAMES[state]}`);
    for (const realm of ledger.realms) {
      const { ipaWidth, startLevel, startTables, hash } = realm.params;
      see(`realm ${["NEW", "ACTIVE", "SYSTEM_OFF"][realm.state]}`);
      see(`realm of ${ipaWidth} bits, level ${startLevel}, ${startTables} start tables, hash ${hash}`);
      see(`realm with ${realm.recs.size} RECs`);
      for (const rec of realm.recs) {
        see(`REC ${rec.pe >= 0 ? "running" : rec.psci ? "PSCI pending" : rec.runnable ? "ready" : "not runnable"}`);
        if (rec.ripas) see("REC with RIPAS request");
        if (rec.hostCall >= 0) see("REC with host call");
        if (rec.lastExit !== 0)
          see(`REC after exit ${["", "emulatable abort", "unprotected abort", "register read"][rec.lastExit]}`);
      }
      for (const table of realm.tables()) {
        const seen = new Set<number>();
        for (let i = 0; i < table.used; i++) seen.add(table.kind[i]! * 4 + table.ripas[i]!);
        for (const key of seen) {
          const ripas = key >> 2 < 2 ? ` ${["EMPTY", "RAM", "DESTROYED"][key & 3]}` : "";
          see(`entry of level ${table.level}: ${KIND_NAMES[key >> 2]}${ripas}`);
        }
      }
    }
  }
}
