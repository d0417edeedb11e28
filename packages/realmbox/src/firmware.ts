/** What both kinds of machine, `Box` and `Fvp`, give their native firmware. */
import { SOURCE_DIGESTS, VERSION } from "./build-info.js";

/** What identifies a native firmware: its room, version and sources, as text. */
export const identityOf = (room: keyof typeof SOURCE_DIGESTS): Uint8Array =>
  Uint8Array.from(`realmbox ${room} ${VERSION} ${SOURCE_DIGESTS[room]}`, (c) => c.charCodeAt(0));

/** A 64-bit seed as the 8 bytes that keys are derived from. */
export const seedBytes = (seed: bigint): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, seed), true);
  return bytes;
};
