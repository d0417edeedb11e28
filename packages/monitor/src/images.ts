/**
 * What the monitor boots: the RMM, the Host's first program, configuration blobs. Native firmware has no loadable image:
 * the bytes that identify its code are measured in its place. Order of the components as in TF-A's boot measurements.
 */
import type { Crypto } from "@realmbox/abi";
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
  readonly rmm?: RmmImage;
  readonly configs: readonly ConfigBlob[];
}

/** The measurements in boot order: the monitor, the RMM, configurations. SHA-256 over each image's bytes. */
export function measure(crypto: Crypto, { monitor, rmm, configs }: MeasuredImages): Component[] {
  const component = (type: string, data: Uint8Array): Component => ({
    type,
    measurement: crypto.hash("sha-256", data),
  });
  return [
    component("AP_BL31", monitor),
    ...(rmm ? [component("RMM", rmm.image)] : []),
    ...configs.map(({ name, data }) => component(name, data)),
  ];
}
