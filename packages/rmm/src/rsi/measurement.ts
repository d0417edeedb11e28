/** RSI_MEASUREMENT_READ and RSI_MEASUREMENT_EXTEND. */
import { MEASUREMENT_COUNT, MEASUREMENT_SIZE } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { extendRem } from "../measurement/measurement.js";
import { ok, rsiCommand, success, words } from "./command.js";

const SLOT_WORDS = MEASUREMENT_SIZE / 8;
const LAST = BigInt(MEASUREMENT_COUNT - 1);

/**
 * RSI_MEASUREMENT_READ, FID 0xC4000192: the RIM (index 0) or a REM (1 to 4) in X1 to X8, padded with zeros.
 * @spec DEN0137 1.0-rel0, "RSI_MEASUREMENT_READ command": complete
 */
export const measurementRead = rsiCommand({
  name: "RSI_MEASUREMENT_READ",
  in: ["index"],
  out: words("value", SLOT_WORDS),
  conditions: ["index_bound"],
  run({ rd, args: { index } }, fail) {
    if (index > LAST) return fail("index_bound", "RSI_ERROR_INPUT");

    const slot = rd.measurement(Number(index));
    const view = new DataView(slot.buffer, slot.byteOffset, slot.length);
    return success(
      Object.fromEntries(words("value", SLOT_WORDS).map((name, i) => [name, view.getBigUint64(8 * i, true)])),
    );
  },
});

/**
 * RSI_MEASUREMENT_EXTEND, FID 0xC4000193: extends a REM with the first `size` bytes of X3 to X10. The text pads the value
 * to 64 bytes; TF-RMM, and so every verifier, hashes exactly `size`.
 * @spec DEN0137 1.0-rel0, "RSI_MEASUREMENT_EXTEND command": complete
 */
export const measurementExtend = rsiCommand({
  name: "RSI_MEASUREMENT_EXTEND",
  in: ["index", "size", ...words("value", SLOT_WORDS)],
  out: [],
  conditions: ["index_bound", "size_bound"],
  run({ rmm, rd, args: { index, size } }, fail) {
    if (index === 0n || index > LAST) return fail("index_bound", "RSI_ERROR_INPUT");
    if (size > BigInt(MEASUREMENT_SIZE)) return fail("size_bound", "RSI_ERROR_INPUT");

    const first = (R.X0 + 3) * 8; // general registers are contiguous and little-endian, as the value is
    extendRem(rmm.crypto, rd, Number(index), rmm.pe.bytes.slice(first, first + Number(size)));
    return ok;
  },
});
