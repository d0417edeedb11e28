/**
 * Test vectors made with other people's program: the RIM measurer that islet-project built from kvmtool's CCA branch
 * (3rd-kvmtool, branch kvmtool-rim-measurer/eac5, 2024-10), run by hand with
 *
 *   run --realm --irqchip=gicv3 --console serial -n mode=none --virtio-transport mmio --disable-sve -m .. -c .. -k ..
 *       [-i ..] [-p ..] [--nodefaults] [--kaslr-seed ..] --dump-dtb ..
 *
 * and libfdt 1.8.1. `deviceTreeSha256` is over its --dump-dtb file (64 KiB), `populated` what it says it populates, `rim`
 * what it prints. Its order is that of kvmtool's eac5 branch: no INIT_RIPAS but over an Image's BSS, by 4 KiB; it has
 * numBps = numWps = 2 and s2sz = 33, and measures RECs that are not runnable too.
 */
import type { VmConfig } from "../config.js";
import { arm64Image } from "../loader/test-images.oracle.js";
import { MiB } from "../memory-map.js";

/** Bytes that differ from page to page, with an arm64 Image header when `header` is given. */
export function patternImage(
  size: number,
  header?: { readonly textOffset: bigint; readonly imageSize: bigint },
): Uint8Array {
  const file = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
  if (header === undefined) return file;
  file.set(arm64Image({ ...header, size: 64, flags: 0n }));
  file.fill(0, 0, 8);
  return file;
}

export interface Vector {
  readonly name: string;
  readonly config: VmConfig;
  readonly fdt: bigint;
  readonly initrdStart: bigint | undefined;
  readonly deviceTreeSha256: string;
  readonly populated: readonly (readonly [bigint, bigint])[];
  readonly rim: string;
}

const FDT_256 = [0x8fe0_0000n, 0x8fe1_0000n] as const;

export const VECTORS: readonly Vector[] = [
  {
    name: "flat kernel, parameters alone",
    config: { realm: true, cpus: 1, memory: 256n * MiB, kernel: patternImage(5000), nodefaults: true, params: "hello" },
    fdt: 0x8fe0_0000n,
    initrdStart: undefined,
    deviceTreeSha256: "a1a909b2e55a327c005f8c4d803fbb8af437f57a08a631776d7cd07ed769f9f9",
    populated: [[0x8008_0000n, 0x8008_2000n], FDT_256],
    rim: "c2d2b64fe4ce2202414613220c1d90624c087b5c855e4bcbc8d87e177bbacea6",
  },
  {
    name: "flat kernel, no command line",
    config: { realm: true, cpus: 1, memory: 256n * MiB, kernel: patternImage(5000), nodefaults: true },
    fdt: 0x8fe0_0000n,
    initrdStart: undefined,
    deviceTreeSha256: "8e482b76b56e7b3a08ecc961dc4d91b2027b15220aa004495c678be004cd7926",
    populated: [[0x8008_0000n, 0x8008_2000n], FDT_256],
    rim: "286bfef22d099196d13e441cae41c295f0b53a627200dd88a91639334e20c50a",
  },
  {
    name: "Image with BSS, four vCPUs, 128 MiB",
    config: {
      realm: true,
      cpus: 4,
      memory: 128n * MiB,
      kernel: patternImage(70_000, { textOffset: 0n, imageSize: 0x4_0000n }),
      nodefaults: true,
    },
    fdt: 0x87e0_0000n,
    initrdStart: undefined,
    deviceTreeSha256: "4c1decedd7c2dccfd14539b0e40d9c997a6e2abde63a72190cb5b256942e81f7",
    populated: [
      [0x8000_0000n, 0x8001_2000n],
      [0x87e0_0000n, 0x87e1_0000n],
    ],
    rim: "b07902800b54d8a23873c40f9796b27fb45b849e1edafe2797f6d274a4684e1d",
  },
  {
    name: "Image at an odd offset, initrd, default command line, eight vCPUs, 512 MiB",
    config: {
      realm: true,
      cpus: 8,
      memory: 512n * MiB,
      kernel: patternImage(70_000, { textOffset: 0xf_ffc0n, imageSize: 0x20_0000n }),
      initrd: patternImage(1_000_000),
      params: "earlycon root=/dev/ram0",
    },
    fdt: 0x8fe0_0000n,
    initrdStart: 0x8fd0_bdbcn,
    deviceTreeSha256: "53765644ddee00f8a1caa270255d22fb7d100a2d24576586e5e43d7b6c78fb19",
    populated: [[0x800f_f000n, 0x8011_2000n], [0x8fd0_b000n, 0x8fe0_0000n], FDT_256],
    rim: "9322b2e3766b454dc9242e3e3fb22a257870477e878bcd765ab48c612233177b",
  },
  {
    name: "initrd over two Granules, kaslr-seed, two vCPUs, 64 MiB",
    config: {
      realm: true,
      cpus: 2,
      memory: 64n * MiB,
      kernel: patternImage(4096, { textOffset: 0n, imageSize: 0x1000n }),
      initrd: patternImage(4097),
      params: "a=b",
      kaslrSeed: 12345n,
    },
    fdt: 0x83e0_0000n,
    initrdStart: 0x83df_effcn,
    deviceTreeSha256: "c5512d65b7b338c8625f4724e08f394d5b917512efbfd83eaa02b2932185b8f6",
    populated: [
      [0x8000_0000n, 0x8000_1000n],
      [0x83df_e000n, 0x83e0_0000n],
      [0x83e0_0000n, 0x83e1_0000n],
    ],
    rim: "c00c02b323074537ee1f0b34e531ae19899ecc00e85134ff0fe0b81df9cfa667",
  },
  {
    name: "3 GiB",
    config: {
      realm: true,
      cpus: 1,
      memory: 3072n * MiB,
      kernel: patternImage(4096, { textOffset: 0n, imageSize: 0x1000n }),
      initrd: patternImage(10),
    },
    fdt: 0x8fe0_0000n,
    initrdStart: 0x8fdf_fff4n,
    deviceTreeSha256: "d3bb61ede6eadc8aa5af85f70785ae5b9295f77e01eb3180371519d7582d4cd2",
    populated: [[0x8000_0000n, 0x8000_1000n], [0x8fdf_f000n, 0x8fe0_0000n], FDT_256],
    rim: "86d5b1a2517425ef3082504d536dd6d099dc33beefaff7a770d734a54176a867",
  },
];
