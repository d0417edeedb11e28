/** A boot of Debian to its shell and off again as one number: the hash over every event of the trace. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type StampedTraceEvent, TRACE_CATEGORIES, traceLine } from "realmbox";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { assertHostBlind, MiB, makeBox, makeGuest } from "../support/box.js";
import { DEBIAN } from "./debian.js";

export interface BootDigest {
  readonly trace: string;
  readonly console: string;
  readonly clock: number;
  readonly events: number;
}

const MORE_THAN_A_BOOT = 4_000_000_000;

/** Boots the realm with 2 vCPUs, lets it run a few commands, and switches it off. Throws when it does not get there. */
export function bootDigest(): BootDigest {
  const store = new ImageStore();
  const record = store.find(DEBIAN.name);
  if (record === undefined) throw new Error("the image is gone");
  const read = (file: { readonly sha256: string; readonly size: number }) =>
    new Uint8Array(readFileSync(store.path(file)));

  const trace = createHash("sha256");
  let events = 0;
  const listener = (event: StampedTraceEvent) => {
    trace.update(`${traceLine(event)}\n`);
    events++;
  };
  const box = makeBox({ pes: 2, dramSize: 1408n * MiB, trace: { categories: TRACE_CATEGORIES, listener } });
  const params = `${record.params} realmbox.run="dmesg | tail -n 3; ls -l /sys/devices/system/cpu; head -c 64 /dev/urandom | sha256sum"`;
  const guest = makeGuest(box, {
    kernel: read(record.kernel),
    initrd: read(record.initramfs),
    params,
    realm: true,
    cpus: 2,
    memory: 512n * MiB,
  });
  const end = guest.run({ instructions: MORE_THAN_A_BOOT });
  if (end.kind !== "shutdown") throw new Error(`${end.kind}: ${guest.console.slice(-2000)}`);
  assertHostBlind(box);
  const console = createHash("sha256").update(guest.console, "latin1").digest("hex");
  return { trace: trace.digest("hex"), console, clock: box.machine.now, events };
}
