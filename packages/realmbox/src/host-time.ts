/**
 * Host time for runs that share a thread with others: what the time is, letting others run, waiting. Works in Node and in
 * a page; tests put their own in its place.
 */

export interface HostTime {
  /** Monotonic, in milliseconds. */
  now(): number;
  /** Lets whatever else has come up on this thread run: input, signals, timers. */
  pause(): Promise<void>;
  /** Calls back after `ms` milliseconds; the result cancels that. */
  after(ms: number, callback: () => void): () => void;
}

/** A timer of the host holds no more. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** A page's timers wait at least 4 ms when nested: a message comes at once. */
function pauseByMessage(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    (port1 as unknown as { onmessage: () => void }).onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

export const hostTime: HostTime = {
  now: () => performance.now(),
  pause:
    typeof setImmediate === "function" ? () => new Promise<void>((resolve) => setImmediate(resolve)) : pauseByMessage,
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(ms, TIMER_MAX_MS));
    return () => clearTimeout(timer);
  },
};
