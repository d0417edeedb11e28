/** RECs that run on another PE while the case goes on. */
import { AGENT_PATTERN, a64, type Host, type Rec, type RecExit, type Script } from "../driver/index.js";

export interface Spinning {
  readonly pe: number;
  /** Interrupts the REC and waits until its PE is off: the exit. */
  stop(): Script<RecExit>;
}

/**
 * Enters an agent's REC on PE `pe`, where it runs an endless loop; returns when it does. `begun`: the agent has made its
 * first report already.
 */
export function* spinning(
  host: Host,
  rec: Rec,
  {
    pe = 1,
    begun = false,
    word = a64.SPIN,
  }: { readonly pe?: number; readonly begun?: boolean; readonly word?: number } = {},
): Script<Spinning> {
  let entering = false;
  host.setUpInterrupts();
  const task = yield* host.start(pe, function* (other) {
    other.setUpInterrupts();
    if (!begun) yield* rec.enter(other);
    entering = true;
    const exit = yield* rec.enter(other, { gprs: [BigInt(word >>> 0) | (BigInt(a64.NOP) << 32n), ...AGENT_PATTERN] });
    other.takeInterrupts();
    return exit;
  });
  const { pes } = host.bench.machine;
  yield* host.until(() => task.done || (entering && pes[pe]!.el === 1));
  return {
    pe,
    *stop() {
      host.kick(pe);
      return yield* host.join(task);
    },
  };
}
