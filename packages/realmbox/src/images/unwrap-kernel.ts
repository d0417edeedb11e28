/**
 * The Image inside a compressed kernel file: gzip (`Image.gz`), zstd, or a self-decompressing EFI kernel. kvmtool takes
 * Images only, and what it measures is the Image; some distributions ship the others.
 */
import { ImagesError } from "./error.js";
import { efiZboot } from "./kernel-image.js";
import { compressionOf, unpackSync } from "./unpack.js";

/** What a kernel may unpack to. */
const KERNEL_SIZE_MAX = 512 << 20;

export interface UnwrappedKernel {
  readonly bytes: Uint8Array;
  /** What was done, for the user; undefined when the file is used as it is. */
  readonly how: string | undefined;
}

/** Decompresses a kernel where it must be; `ImagesError` when that fails. */
export function unwrapKernel(file: Uint8Array, name: string): UnwrappedKernel {
  const zboot = efiZboot(file);
  if (zboot !== undefined) {
    const { compression, payload } = zboot;
    if (payload === undefined) throw new ImagesError("bad-content", `${name}: this EFI kernel is cut`, "copy it again");
    if (compression !== "gzip" && !compression.startsWith("zstd")) {
      throw new ImagesError(
        "bad-content",
        `${name}: this self-decompressing EFI kernel uses ${compression}, which is not supported`,
        "boot the Image inside it",
      );
    }
    const bytes = unpackSync(payload, compression === "gzip" ? "gzip" : "zstd", limits(name));
    return { bytes, how: `${name}: decompressed the Image inside this EFI kernel (${compression})` };
  }
  const compression = compressionOf(file);
  if (compression !== "gzip" && compression !== "zstd") return { bytes: file, how: undefined };
  return { bytes: unpackSync(file, compression, limits(name)), how: `${name}: decompressed (${compression})` };
}

const limits = (name: string) => ({ what: name, sizeMax: KERNEL_SIZE_MAX });
