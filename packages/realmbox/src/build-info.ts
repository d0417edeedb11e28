/**
 * What the build knows and the sources do not. The bundler replaces this module (scripts/bundle.mjs); run from the
 * sources, the engine is generated at start and firmware is identified by its name alone.
 */

/** The interpreter's WebAssembly bytes, generated at build time; undefined: generate them at start. */
export const ENGINE: Uint8Array | undefined = undefined;

/** Package version. */
export const VERSION = "0.1.0";

/** SHA-256 over the sources of each firmware room, hexadecimal: what the Root Monitor measures as its image. */
export const SOURCE_DIGESTS: Readonly<Record<"monitor" | "rmm" | "host", string>> = {
  monitor: "sources",
  rmm: "sources",
  host: "sources",
};
