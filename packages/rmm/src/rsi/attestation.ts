/**
 * RSI_ATTESTATION_TOKEN_INIT and _CONTINUE. The state is the REC's; the token lies in its attestation granule. It is built
 * in the one step of _INIT. The signature then takes time, as on a real machine: _CONTINUE computes until it is done or
 * until something else is due, such as an interrupt, which the Realm must not keep waiting: that is RSI_INCOMPLETE with no
 * byte written. So is a token larger than the buffer, with the bytes that fit.
 */
import { CHALLENGE_SIZE, GRANULE_SIZE, isGranuleAligned } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { attestationReady, TOKEN_SIZE_MAX, token } from "../attestation/token.js";
import { REC_AUX } from "../rec/rec.js";
import { isPage, realmBuffer } from "./buffer.js";
import { rsiCommand, success, words } from "./command.js";

/** Clock counts of a signature: the order of an ECDSA P-384 signature in portable C. */
export const SIGNING_COUNTS = 4_000_000;

/**
 * RSI_ATTESTATION_TOKEN_INIT, FID 0xC4000194: begins a token over the challenge in X1 to X8. The measurements are those of
 * now. A token that was under way on this REC is dropped.
 * @spec DEN0137 1.0-rel0, "RSI_ATTESTATION_TOKEN_INIT command": complete
 */
export const attestationTokenInit = rsiCommand({
  name: "RSI_ATTESTATION_TOKEN_INIT",
  in: words("challenge", CHALLENGE_SIZE / 8),
  out: ["max_size"],
  conditions: ["attestation_unavailable"], // own rule, as TF-RMM's: boot has brought no key or no platform token
  run({ rmm, rec, rd }, fail) {
    rec.attest_in_progress = 0;
    if (!attestationReady(rmm)) return fail("attestation_unavailable", "RSI_ERROR_UNKNOWN");

    const first = (R.X0 + 1) * 8; // general registers are contiguous and little-endian, as the challenge is
    const data = token(rmm, rd, rmm.pe.bytes.slice(first, first + CHALLENGE_SIZE));
    rmm.pageAt(rec.auxAt(REC_AUX.ATTESTATION)).bytes.set(data);
    rec.token_size = data.length;
    rec.token_offset = 0;
    rec.token_work = SIGNING_COUNTS;
    rec.attest_in_progress = 1;
    return success({ max_size: BigInt(TOKEN_SIZE_MAX) });
  },
});

/**
 * RSI_ATTESTATION_TOKEN_CONTINUE, FID 0xC4000195: the next bytes of the token, into a page of Protected memory.
 * @spec DEN0137 1.0-rel0, "RSI_ATTESTATION_TOKEN_CONTINUE command": complete
 */
export const attestationTokenContinue = rsiCommand({
  name: "RSI_ATTESTATION_TOKEN_CONTINUE",
  in: ["addr", "offset", "size"],
  out: ["len"],
  conditions: ["addr_align", "offset_bound", "size_bound", "size_overflow", "addr_bound", "state", "ripas"],
  run({ rmm, rec, rd, args: { addr, offset, size } }, fail) {
    const page = BigInt(GRANULE_SIZE);
    if (!isGranuleAligned(addr)) return fail("addr_align", "RSI_ERROR_INPUT");
    if (offset >= page) return fail("offset_bound", "RSI_ERROR_INPUT");
    if (BigInt.asUintN(64, offset + size) < size) return fail("size_overflow", "RSI_ERROR_INPUT");
    if (offset + size > page) return fail("size_bound", "RSI_ERROR_INPUT");
    if (!rd.isProtected(addr)) return fail("addr_bound", "RSI_ERROR_INPUT");
    if (!rec.attest_in_progress) return fail("state", "RSI_ERROR_STATE");
    const buffer = realmBuffer(rmm, rd, Number(addr >> 12n), fail);
    if (!isPage(buffer)) return buffer;

    if (rec.token_work > 0) {
      rec.token_work -= rmm.pe.compute(rec.token_work);
      if (rec.token_work > 0) return { kind: "return", status: "RSI_INCOMPLETE", out: { len: 0n } };
    }
    const source = rmm.pageAt(rec.auxAt(REC_AUX.ATTESTATION)).bytes;
    const from = rec.token_offset;
    const length = Math.min(Number(size), rec.token_size - from);
    buffer.bytes.set(source.subarray(from, from + length), Number(offset));
    rec.token_offset = from + length;
    if (rec.token_offset < rec.token_size)
      return { kind: "return", status: "RSI_INCOMPLETE", out: { len: BigInt(length) } };
    rec.attest_in_progress = 0;
    return success({ len: BigInt(length) });
  },
});
