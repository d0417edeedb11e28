/** RSI_REALM_CONFIG: what a Realm is told about itself. */
import { isGranuleAligned, RsiRealmConfig } from "@realmbox/abi";
import { isPage, realmBuffer } from "./buffer.js";
import { ok, rsiCommand } from "./command.js";

/**
 * RSI_REALM_CONFIG, FID 0xC4000196: writes RsiRealmConfig, a whole granule, to Protected memory.
 * @spec DEN0137 1.0-rel0, "RSI_REALM_CONFIG command": complete
 */
export const realmConfig = rsiCommand({
  name: "RSI_REALM_CONFIG",
  in: ["addr"],
  out: [],
  conditions: ["addr_align", "addr_bound", "ripas"],
  run({ rmm, rd, args: { addr } }, fail) {
    if (!isGranuleAligned(addr)) return fail("addr_align", "RSI_ERROR_INPUT");
    if (!rd.isProtected(addr)) return fail("addr_bound", "RSI_ERROR_INPUT");
    const page = realmBuffer(rmm, rd, Number(addr >> 12n), fail);
    if (!isPage(page)) return page;

    page.bytes.set(RsiRealmConfig.encode({ ipa_width: BigInt(rd.ipa_width), hash_algo: rd.hash_algo, rpv: rd.rpv }));
    return ok;
  },
});
