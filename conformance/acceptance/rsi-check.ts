/** The expectation table inside the image `rsi-check`; format: guests/README.md. */
const MARK = "RSI-CHECK TABLE\0";
const ROW = 64;
const NAME = 56;

function tableOf(image: Uint8Array): { readonly at: number; readonly count: number } {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.length);
  const mark = bytes.indexOf(MARK);
  if (mark < 0) throw new Error("the image has no table of expectations");
  return { at: mark + 32, count: Number(bytes.readBigUInt64LE(mark + 16)) };
}

export function rowNames(image: Uint8Array): readonly string[] {
  const { at, count } = tableOf(image);
  const text = Buffer.from(image.buffer, image.byteOffset, image.length);
  return Array.from({ length: count }, (_, row) =>
    text.toString("latin1", at + ROW * row, at + ROW * row + NAME).replace(/\0+$/, ""),
  );
}

/** A copy of the image whose expectation in one row is wrong. */
export function plantedWrong(image: Uint8Array, row: number): Uint8Array {
  const copy = image.slice();
  copy[tableOf(copy).at + ROW * row + NAME]! ^= 0x40;
  return copy;
}
