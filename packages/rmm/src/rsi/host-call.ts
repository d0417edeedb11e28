/** RSI_HOST_CALL: a call from the Realm to the Host, all registers in a structure in Protected memory. */
import { RmiRecExitReason, RsiHostCall } from "@realmbox/abi";
import { beginExit } from "../rec/exit.js";
import { takeWords } from "../views.js";
import { isPage, realmBuffer } from "./buffer.js";
import { rsiCommand } from "./command.js";

/** Size and alignment of the structure: a power of two. */
const SIZE = BigInt(RsiHostCall.size);

/**
 * RSI_HOST_CALL, FID 0xC4000199: REC exit with the structure's registers; the answer comes with the next REC entry, into
 * the structure. The structure is 256-byte aligned, so it lies in one page.
 * @spec DEN0137 1.0-rel0, "RSI_HOST_CALL command": complete
 */
export const hostCall = rsiCommand({
  name: "RSI_HOST_CALL",
  in: ["addr"],
  out: [],
  conditions: ["addr_align", "addr_bound", "ripas"],
  run({ rmm, rec, rd, args: { addr } }, fail) {
    if ((addr & (SIZE - 1n)) !== 0n) return fail("addr_align", "RSI_ERROR_INPUT");
    if (!rd.isProtected(addr)) return fail("addr_bound", "RSI_ERROR_INPUT");
    const page = realmBuffer(rmm, rd, addr, fail);
    if (!isPage(page)) return page;

    const { imm, gprs } = RsiHostCall.fields;
    const at = Number(addr & 0xfffn);
    rec.host_call_pending = 1;
    rec.host_call_ipa = addr;
    rec.forgetExit();
    beginExit(rmm, RmiRecExitReason.RMI_EXIT_HOST_CALL);
    rmm.exit.imm = imm.read(page.data, at);
    takeWords(rmm.exit.gprWords, page.u64, (at + gprs.offset) / 8);
    return { kind: "exit" };
  },
});
