/** Buffers in Realm memory that RSI commands read and write. */
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import { Page } from "../views.js";
import type { RsiResult } from "./command.js";

/**
 * The Realm page at a Protected IPA, in place; or how the command ends: RSI_ERROR_INPUT when RIPAS is EMPTY, a
 * Data Abort for the Host to resolve when there is no page.
 */
export function realmBuffer(rmm: Rmm, rd: Rd, ipa: bigint): Page | RsiResult<never> {
  const page = realmPage(rmm, rd, ipa);
  switch (page.kind) {
    case "mapped":
      return rmm.page(page.pa);
    case "empty":
      return { kind: "return", status: "RSI_ERROR_INPUT", condition: "ripas" };
    case "fault":
      return { kind: "buffer-fault", fault: { ipa, level: page.level } };
  }
}

export const isPage = (value: Page | RsiResult<never>): value is Page => value instanceof Page;
