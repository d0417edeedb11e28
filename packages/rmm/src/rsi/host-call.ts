/** RSI_HOST_CALL: a call from the Realm to the Host, all registers in a structure in Protected memory. */
import { RmiRecExit, RmiRecExitReason, RsiHostCall } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { beginExit } from "../rec/exit.js";
import { RecLayout } from "../rec/rec.js";
import { pageOfWords } from "../views.js";
import { isPage, realmBuffer } from "./buffer.js";
import { type RsiResult, rsiCommand } from "./command.js";

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
  run({ rmm, rec, rd }, fail) {
    const low = rmm.words[ADDR]!;
    const high = rmm.words[ADDR + 1]!;
    if ((low & (RsiHostCall.size - 1)) !== 0) return fail("addr_align", "RSI_ERROR_INPUT");
    const ipaPage = pageOfWords(low, high);
    if (!rd.isProtectedPage(ipaPage)) return fail("addr_bound", "RSI_ERROR_INPUT");
    const page = realmBuffer(rmm, rd, ipaPage, fail);
    if (!isPage(page)) return page;

    const at = low & 0xfff;
    rec.host_call_pending = 1;
    rec.words[HOST_CALL_IPA] = low;
    rec.words[HOST_CALL_IPA + 1] = high;
    rec.forgetExit();
    beginExit(rmm, RmiRecExitReason.RMI_EXIT_HOST_CALL);
    rmm.exit.words[EXIT_IMM] = page.i32[(at + RsiHostCall.fields.imm.offset) / 4]! & 0xffff;
    rmm.copyGprs(rmm.exit.page, RmiRecExit.fields.gprs.offset, page, at + RsiHostCall.fields.gprs.offset);
    return EXIT;
  },
});
const ADDR = 2 * (R.X0 + 1);
const HOST_CALL_IPA = RecLayout.fields.host_call_ipa.offset / 4;
/** A halfword of its own word. */
const EXIT_IMM = RmiRecExit.fields.imm.offset / 4;
const EXIT: RsiResult<never> = { kind: "exit" };
