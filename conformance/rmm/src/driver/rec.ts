/** A REC as the Host sees it: RmiRecRun in and out, exit after exit. */
import {
  GRANULE_SIZE,
  REC_EXIT_REASON_NAMES as REASONS,
  REC_EXIT_OFFSET,
  type REC_EXIT_REASON_NAMES,
  RmiRecEnter,
  RmiRecExit,
} from "@realmbox/abi";
import type { Host, RmiAnswer } from "./host.js";
import { CallRefused } from "./host.js";
import type { Realm } from "./realm.js";
import { HostError, type Script } from "./script.js";

export type RecEnter = Parameters<typeof RmiRecEnter.encode>[0];
export type ExitReason = (typeof REC_EXIT_REASON_NAMES)[number];

export type RecExit = Omit<ReturnType<typeof RmiRecExit.decode>, "exit_reason"> & {
  readonly reason: ExitReason;
  /** The exit half as it lies in memory. */
  readonly raw: Uint8Array;
};

/** Offsets of the exit half that belong to no field: the RMM writes zeros there. */
const GAPS: readonly boolean[] = (() => {
  const gaps = new Array<boolean>(RmiRecExit.size).fill(true);
  for (const { offset, size } of Object.values(RmiRecExit.fields)) gaps.fill(false, offset, offset + size);
  return gaps;
})();
/** What the Host leaves in the exit half before an entry, so that what the RMM does not write shows. */
const STALE = 0xa5;

export class Rec {
  readonly realm: Realm;
  readonly addr: bigint;
  readonly aux: readonly bigint[];
  readonly index: number;
  /** The Host's page for RmiRecRun. */
  readonly run: bigint;

  constructor(
    realm: Realm,
    { addr, aux, index, run }: { addr: bigint; aux: readonly bigint[]; index: number; run: bigint },
  ) {
    this.realm = realm;
    this.addr = addr;
    this.aux = aux;
    this.index = index;
    this.run = run;
  }

  /** RMI_REC_ENTER with RmiRecEnter, whatever comes of it. */
  *tryEnter(host: Host, enter: RecEnter = {}): Script<RmiAnswer> {
    const page = new Uint8Array(GRANULE_SIZE).fill(STALE, REC_EXIT_OFFSET);
    page.set(RmiRecEnter.encode(enter));
    host.write(this.run, page);
    return yield* host.rmi("RMI_REC_ENTER", this.addr, this.run);
  }

  /** Enters the REC, which must run or exit: the exit. Throws CallRefused. */
  *enter(host: Host, enter: RecEnter = {}): Script<RecExit> {
    const answer = yield* this.tryEnter(host, enter);
    if (answer.status !== "RMI_SUCCESS") throw new CallRefused("RMI_REC_ENTER", [this.addr, this.run], answer);
    return this.readExit(host, RmiRecEnter.encode(enter));
  }

  /** Whether the RMM has written the exit half since the last entry. */
  exitWasWritten(host: Host): boolean {
    return host
      .read(this.run)
      .subarray(REC_EXIT_OFFSET)
      .some((byte) => byte !== STALE);
  }

  /** RmiRecExit in the run page. Throws when a byte that is no field is not zero, or the enter half has changed. */
  readExit(host: Host, entered: Uint8Array): RecExit {
    const page = host.read(this.run);
    const changed = entered.findIndex((byte, i) => page[i] !== byte);
    if (changed >= 0) throw new HostError(`RmiRecEnter has changed at 0x${changed.toString(16)}`);
    const raw = page.subarray(REC_EXIT_OFFSET);
    const stale = GAPS.findIndex((gap, i) => gap && raw[i] !== 0);
    if (stale >= 0)
      throw new HostError(`RmiRecExit has 0x${raw[stale]!.toString(16)} at 0x${stale.toString(16)}, which MBZ`);
    const { exit_reason, ...fields } = RmiRecExit.decode(raw);
    const reason = REASONS[exit_reason];
    if (reason === undefined) throw new HostError(`RmiRecExit.exit_reason ${exit_reason}`);
    return { ...fields, reason, raw };
  }
}
