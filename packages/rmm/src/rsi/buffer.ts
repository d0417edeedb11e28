/** Buffers in Realm memory that RSI commands read and write. */
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import type { RsiResult } from "./command.js";

/**
 * The bytes of a Realm page at a Protected IPA, in place; or how the command ends: RSI_ERROR_INPUT when RIPAS is EMPTY, a
 * Data Abort for the Host to resolve when there is no page.
 */
export function realmBuffer(rmm: Rmm, rd: Rd, ipa: bigint): Uint8Array | RsiResult<never> {
  const page = realmPage(rmm, rd, ipa);
  switch (page.kind) {
    case "mapped":
      return rmm.bytesAt(page.pa);
    case "empty":
      return { kind: "return", status: "RSI_ERROR_INPUT", condition: "ripas" };
    case "fault":
      return { kind: "buffer-fault", fault: { ipa, level: page.level } };
  }
}

export const isBytes = (value: Uint8Array | RsiResult<never>): value is Uint8Array => value instanceof Uint8Array;
