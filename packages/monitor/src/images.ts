/**
 * What the monitor boots: the RMM, the Host's first program, configuration blobs. Native firmware has no loadable image:
 * the bytes that identify its code are measured in its place. Order of the components as in TF-A's boot measurements.
 */
import { type Crypto, GRANULE_SIZE } from "@realmbox/abi";
import type { Board, FixedMemory } from "@realmbox/machine";
import { COMPONENTS_MAX } from "./memory-map.js";
import type { Component } from "./platform-token.js";

/** The RMM. */
export type RmmImage =
  /** Fills the slot realm-el2; `image` identifies its code. */
  | { readonly kind: "native"; readonly image: Uint8Array }
  /** A position-independent binary, put at the start of the Realm carve-out and entered there. */
  | { readonly kind: "binary"; readonly image: Uint8Array };

/** Where the Non-secure world starts. */
export type HostImage =
  /** Fills the slot ns-el2. */
  | { readonly kind: "native" }
  /** Put at `loadAt`, in Host DRAM, and entered at its first byte. */
  | { readonly kind: "binary"; readonly image: Uint8Array; readonly loadAt: bigint };

/** The software of the Secure world. */
export interface SecureImage {
  readonly image: Uint8Array;
  /** Where it goes and is entered, in memory that is the Secure world's for good. */
  readonly loadAt: bigint;
  /** 2: it is entered at S-EL2. 1: at S-EL1, and Secure EL2 is not enabled. */
  readonly el: 1 | 2;
}

/** A measured configuration, such as a device tree. */
export interface ConfigBlob {
  /** HW_CONFIG, FW_CONFIG, TB_FW_CONFIG, SOC_FW_CONFIG. */
  readonly name: string;
  readonly data: Uint8Array;
  /** Where in Host DRAM a copy goes; the address of the first such copy is the Host's X1. */
  readonly loadAt?: bigint;
}

/** The images that a platform token attests, and what stands for the monitor itself. */
export interface MeasuredImages {
  readonly monitor: Uint8Array;
  readonly secure?: SecureImage;
  readonly rmm?: RmmImage;
  readonly configs: readonly ConfigBlob[];
}

/** Why images cannot be booted: what the user gave does not fit. */
export type ImageProblem =
  | { readonly kind: "rmm-too-large"; readonly size: number; readonly sizeMax: bigint }
  | { readonly kind: "not-in-dram"; readonly name: string; readonly loadAt: bigint; readonly size: number }
  | { readonly kind: "not-in-secure-memory"; readonly loadAt: bigint; readonly size: number }
  | { readonly kind: "too-many-configs"; readonly countMax: number };

/** The first reason why these images do not fit the board, if any. */
export function imageProblem(
  board: Board,
  {
    rmm,
    host,
    secure,
    configs = [],
  }: { rmm?: RmmImage; host: HostImage; secure?: SecureImage; configs?: readonly ConfigBlob[] },
): ImageProblem | undefined {
  // The last granule of the Realm carve-out is the RMM-EL3 shared page.
  const sizeMax = board.realm.size - BigInt(GRANULE_SIZE);
  if (rmm?.kind === "binary" && BigInt(rmm.image.length) > sizeMax) {
    return { kind: "rmm-too-large", size: rmm.image.length, sizeMax };
  }
  const placed = configs.flatMap(({ name, data, loadAt }) => (loadAt === undefined ? [] : [{ name, data, loadAt }]));
  if (host.kind === "binary") placed.unshift({ name: "Host image", data: host.image, loadAt: host.loadAt });
  for (const { name, data, loadAt } of placed) {
    const end = loadAt + BigInt(data.length);
    if (!board.dram.some(({ base, size }) => loadAt >= base && end <= base + size)) {
      return { kind: "not-in-dram", name, loadAt, size: data.length };
    }
  }
  if (secure) {
    const { loadAt, image } = secure;
    const isIn = ({ base, size, pas }: FixedMemory) =>
      pas === "secure" && loadAt >= base && loadAt + BigInt(image.length) <= base + size;
    if (!board.fixed?.some(isIn)) return { kind: "not-in-secure-memory", loadAt, size: image.length };
  }
  const countMax = COMPONENTS_MAX - (secure ? 3 : 2); // the monitor, the Secure world's image, the RMM
  return configs.length > countMax ? { kind: "too-many-configs", countMax } : undefined;
}

/** What is measured, in boot order: the monitor, the Secure world, the RMM, configurations. */
export function measuredComponents({
  monitor,
  secure,
  rmm,
  configs,
}: MeasuredImages): { readonly type: string; readonly data: Uint8Array }[] {
  return [
    { type: "AP_BL31", data: monitor },
    ...(secure ? [{ type: "AP_BL32", data: secure.image }] : []),
    ...(rmm ? [{ type: "RMM", data: rmm.image }] : []),
    ...configs.map(({ name, data }) => ({ type: name, data })),
  ];
}

/** Their measurements: SHA-256 over each image's bytes. */
export const measure = (crypto: Crypto, images: MeasuredImages): Component[] =>
  measuredComponents(images).map(({ type, data }) => ({ type, measurement: crypto.hash("sha-256", data) }));
