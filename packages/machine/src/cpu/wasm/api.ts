/**
 * The part of the WebAssembly JavaScript interface that the machine uses. The core's TypeScript knows neither Node's
 * nor the DOM's declarations, and every host has this object.
 */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

/** A table of functions. */
export interface WasmTable {
  readonly length: number;
  get(index: number): object | null;
  set(index: number, value: object | null): void;
}

export type WasmModule = object;

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

interface WebAssemblyApi {
  /** Sizes in pages of 64 KiB. */
  readonly Memory: new (size: {
    initial: number;
    maximum?: number;
  }) => WasmMemory;
  readonly Table: new (type: { element: "anyfunc"; initial: number; maximum?: number }) => WasmTable;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: Readonly<Record<string, object>>) => WasmInstance;
  validate(bytes: Uint8Array): boolean;
}

export const Wasm = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;

export const WASM_PAGE_SIZE = 0x10000;
