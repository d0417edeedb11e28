/** Buffers in Realm memory that RSI commands read and write. */
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import { Page } from "../views.js";
import type { RsiFail, RsiResult } from "./command.js";

/**
 * The Realm page at a Protected IPA, by its number, in place; or how the command ends: RSI_ERROR_INPUT when RIPAS is EMPTY, a
 * Data Abort for the Host to resolve when there is no page.
 */
export function realmBuffer(rmm: Rmm, rd: Rd, ipaPage: number, fail: RsiFail<"ripas">): Page | RsiResult<never> {
  const page = realmPage(rmm, rd, ipaPage);
  if (page instanceof Page) return page;
  if (page.kind === "empty") return fail("ripas", "RSI_ERROR_INPUT");
  return { kind: "buffer-fault", fault: { ipa: BigInt(ipaPage) << 12n, level: page.level } };
}

export const isPage = (value: Page | RsiResult<never>): value is Page => value instanceof Page;
