/** Buffers in Realm memory that RSI commands read and write. */
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import { Page } from "../views.js";
import type { RsiFail, RsiResult } from "./command.js";

/**
 * The Realm page at a Protected IPA, in place; or how the command ends: RSI_ERROR_INPUT when RIPAS is EMPTY, a
 * Data Abort for the Host to resolve when there is no page.
 */
export function realmBuffer(rmm: Rmm, rd: Rd, ipa: bigint, fail: RsiFail<"ripas">): Page | RsiResult<never> {
  const page = realmPage(rmm, rd, ipa);
  if (page.kind === "empty") return fail("ripas", "RSI_ERROR_INPUT");
  if (page.kind === "fault") return { kind: "buffer-fault", fault: { ipa, level: page.level } };
  return rmm.page(page.pa);
}

export const isPage = (value: Page | RsiResult<never>): value is Page => value instanceof Page;
