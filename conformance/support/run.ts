/** Whole runs with their traces as text: what determinism and snapshots are about. */
import {
  type Box,
  type BoxOptions,
  type Guest,
  type GuestEnd,
  type GuestOptions,
  type RunUntil,
  type StampedTraceEvent,
  TRACE_CATEGORIES,
  traceLine,
  type VmConfig,
} from "realmbox";
import { makeBox, makeGuest, runToEnd } from "./box.js";

export interface TracedRun {
  readonly box: Box;
  readonly guest: Guest;
  readonly end: GuestEnd;
  /** All events of all categories, boot and construction included. */
  readonly lines: readonly string[];
}

export function tracedRun(
  config: VmConfig,
  options: Partial<BoxOptions> = {},
  guestOptions: GuestOptions = {},
  until: RunUntil = {},
): TracedRun {
  const lines: string[] = [];
  const listener = (event: StampedTraceEvent) => void lines.push(traceLine(event));
  const box = makeBox({ ...options, trace: { categories: TRACE_CATEGORIES, listener } });
  const guest = makeGuest(box, config, guestOptions);
  const end = runToEnd(guest, until);
  return { box, guest, end, lines };
}
