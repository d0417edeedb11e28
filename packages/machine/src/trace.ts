/** The machine's trace bus: stamps events with clock and PE and hands them to whoever subscribed to their category. */
import type { StampedTraceEvent, Trace, TraceCategory, TraceEvent } from "@realmbox/abi";

export type TraceListener = (event: StampedTraceEvent) => void;

export class TraceBus implements Trace {
  private readonly listeners = new Map<TraceCategory, TraceListener[]>();
  private readonly stamp: () => { at: number; pe: number };

  constructor(stamp: () => { at: number; pe: number }) {
    this.stamp = stamp;
  }

  /** Calls `listener` for every event of the categories; returns the function that ends it. */
  subscribe(categories: readonly TraceCategory[], listener: TraceListener): () => void {
    for (const category of categories) {
      this.listeners.set(category, [...(this.listeners.get(category) ?? []), listener]);
    }
    return () => {
      for (const category of categories) {
        const left = this.listeners.get(category)!.filter((other) => other !== listener);
        if (left.length > 0) this.listeners.set(category, left);
        else this.listeners.delete(category);
      }
    };
  }

  wants(category: TraceCategory): boolean {
    return this.listeners.size !== 0 && this.listeners.has(category);
  }

  emit(event: TraceEvent): void {
    const listeners = this.listeners.get(event.category);
    if (!listeners) return;
    const { category, name, fields } = event;
    const { at, pe } = this.stamp();
    const stamped = { category, name, fields, at, pe };
    for (const listener of listeners) listener(stamped);
  }
}
