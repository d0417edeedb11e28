/**
 * Where kernel, device tree and initrd go, as kvmtool places them ("kvm__arch_load_kernel_image", arm/kvm.c):
 *
 *   RAM base + offset   kernel, with its BSS
 *   ...                 initrd: ends a few bytes below the device tree, aligned to 4
 *   2 MiB aligned       device tree, 64 KiB, in the last 2 to 4 MiB of RAM's first 256 MiB
 *
 * In a realm the kernel's end is rounded up to a Granule, so that no two images share one.
 */
import { GRANULE_SIZE } from "@realmbox/abi";
import { failure, type LoadError, type Result, success, type VmmError } from "../error.js";
import { alignUp, FDT_ALIGN, FDT_SIZE_MAX, hex, INITRD_ALIGN, KiB, LOW_MEMORY_MAX, MiB } from "../memory-map.js";
import { type GuestImage, imageEnd } from "./image.js";

export interface Placement {
  readonly kernel: GuestImage;
  /** IPA of the device tree's 64 KiB. */
  readonly fdt: bigint;
  readonly initrd?: { readonly start: bigint; readonly bytes: Uint8Array };
}

export interface MemoryRange {
  readonly base: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/** Places the images; refuses what does not fit or would overlap. */
export function placeImages(options: {
  readonly ram: MemoryRange;
  readonly kernel: GuestImage;
  readonly initrd?: Uint8Array;
  readonly realm: boolean;
}): Result<Placement, VmmError<LoadError["kind"] | "too-little-memory">> {
  const { ram, kernel, initrd, realm } = options;
  const ramTop = ram.base + ram.size;
  for (const { address } of kernel.segments) {
    if (address >= ram.base && address < ramTop) continue;
    return failure(
      "outside-ram",
      `the image wants memory at ${hex(address)}, but the guest's RAM is ${hex(ram.base)} to ${hex(ramTop)}`,
      "link it for the machine, or give the guest more memory (-m)",
    );
  }
  const end = realm ? alignUp(imageEnd(kernel), BigInt(GRANULE_SIZE)) : imageEnd(kernel);
  const enough = alignUp(end - ram.base, FDT_ALIGN) + FDT_ALIGN;
  const more =
    enough <= LOW_MEMORY_MAX
      ? `give the guest at least ${enough / MiB} MiB (-m)`
      : kernel.format === "flat binary"
        ? "objcopy fills the gap between a low note and the program: link with -Wl,--build-id=none"
        : "the image has to fit into the first 254 MiB of RAM";
  if (end > ramTop) {
    return failure("oversized-image", `the image needs memory up to ${hex(end)}, but RAM ends at ${hex(ramTop)}`, more);
  }

  let lowTop = ram.base + LOW_MEMORY_MAX;
  if (ramTop < lowTop) lowTop = ramTop;
  const fdt = alignUp(lowTop - 1n - BigInt(FDT_SIZE_MAX) - FDT_ALIGN, FDT_ALIGN);
  if (fdt < end) {
    return ram.size < enough
      ? failure(
          "too-little-memory",
          `${ram.size / KiB} KiB of RAM have no room for the image and the device tree`,
          more,
        )
      : failure("overlapping-image", `the image ends at ${hex(end)}, but the device tree goes to ${hex(fdt)}`, more);
  }
  if (initrd === undefined || initrd.length === 0) return success({ kernel, fdt });

  const start = alignUp(fdt - BigInt(initrd.length) - INITRD_ALIGN, INITRD_ALIGN);
  if (start < end) {
    return failure(
      "oversized-image",
      `an initrd of ${initrd.length} bytes does not fit between the image's end (${hex(end)}) and the device tree (${hex(fdt)})`,
      "give the guest more memory (-m; the first 256 MiB count), or use a smaller initrd",
    );
  }
  return success({ kernel, fdt, initrd: { start, bytes: initrd } });
}
