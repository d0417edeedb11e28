/**
 * The interface between the RMM and EL3: boot arguments, boot manifest, run-time services. "RMM-EL3 Communication
 * Specification" of Trusted Firmware-A, interface versions 0.1 to 0.8 (the 0.x line), manifest 0.3.
 */
import { GRANULE_SIZE } from "./granule.js";
import { bytes, layout, u32, u64 } from "./layout.js";

/** Function identifiers; SMC64, callable from Realm state only. */
export const RMM_EL3_FID = {
  /** Ends an RMI command: X1..X5 become the Host's X0..X4. Its id is the last of the RMI range. */
  RMI_REQ_COMPLETE: 0xc400_018fn,
  RMM_GTSI_DELEGATE: 0xc400_01b0n, // X1 PA: Non-secure to Realm
  RMM_GTSI_UNDELEGATE: 0xc400_01b1n, // X1 PA: Realm to Non-secure
  RMM_ATTEST_GET_REALM_KEY: 0xc400_01b2n, // X1 buffer PA, X2 size, X3 curve; X1 out: bytes
  RMM_ATTEST_GET_PLAT_TOKEN: 0xc400_01b3n, // X1 buffer PA, X2 size, X3 challenge size or 0; X1, X2 out: bytes, remaining
  RMM_EL3_FEATURES: 0xc400_01b4n, // X1 index; X1 out
  RMM_EL3_TOKEN_SIGN: 0xc400_01b5n,
  RMM_MEC_REFRESH: 0xc400_01b6n,
  RMM_IDE_KEY_PROG: 0xc400_01b7n,
  RMM_IDE_KEY_SET_GO: 0xc400_01b8n,
  RMM_IDE_KEY_SET_STOP: 0xc400_01b9n,
  RMM_IDE_KM_PULL_RESPONSE: 0xc400_01ban,
  RMM_RESERVE_MEMORY: 0xc400_01bbn,
  RMM_BOOT_COMPLETE: 0xc400_01cfn, // X1 status; does not return
} as const;
export type RmmEl3Function = keyof typeof RMM_EL3_FID;

/** The range of RMM-EL3 services, RMI_REQ_COMPLETE apart. */
export const RMM_EL3_FID_FIRST = 0xc400_01b0n;
export const RMM_EL3_FID_LAST = 0xc400_01cfn;

/** Interface version: 15:0 minor, 30:16 major. The RMM accepts its own major with EL3's minor at least its own. */
export const RMM_EL3_VERSION_0_8 = 0x0000_0008n;

/** Return codes of run-time services, signed; X0 holds them sign-extended (`rmmEl3Code`). */
export const RMM_EL3_STATUS = {
  E_RMM_OK: 0n,
  E_RMM_UNK: -1n,
  E_RMM_BAD_ADDR: -2n,
  E_RMM_BAD_PAS: -3n,
  E_RMM_NOMEM: -4n,
  E_RMM_INVAL: -5n,
  E_RMM_AGAIN: -6n,
  E_RMM_FAULT: -7n,
  E_RMM_IN_PROGRESS: -8n,
} as const;
export type RmmEl3Status = keyof typeof RMM_EL3_STATUS;
export const rmmEl3Code = (status: RmmEl3Status): bigint => BigInt.asUintN(64, RMM_EL3_STATUS[status]);

/** Status of RMM_BOOT_COMPLETE, X1, signed. */
export const RMM_BOOT_STATUS = {
  E_RMM_BOOT_SUCCESS: 0n,
  E_RMM_BOOT_ERR_UNKNOWN: -1n,
  E_RMM_BOOT_VERSION_NOT_VALID: -2n,
  E_RMM_BOOT_CPUS_OUT_OF_RANGE: -3n,
  E_RMM_BOOT_CPU_ID_OUT_OF_RANGE: -4n,
  E_RMM_BOOT_INVALID_SHARED_BUFFER: -5n,
  E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED: -6n,
  E_RMM_BOOT_MANIFEST_DATA_ERROR: -7n,
} as const;
export type RmmBootStatus = keyof typeof RMM_BOOT_STATUS;
export const rmmBootCode = (status: RmmBootStatus): bigint => BigInt.asUintN(64, RMM_BOOT_STATUS[status]);

/** Curve ids of RMM_ATTEST_GET_REALM_KEY; the key is the raw private scalar, big-endian, 48 bytes. */
export const RMM_ATTEST_CURVE = { ECC_SECP384R1: 0n } as const;

/** Manifest version word: 15:0 minor, 30:16 major. */
export const RMM_MANIFEST_VERSION_0_3 = 0x0000_0003;

/** Boot manifest 0.3, at the start of the shared page. Pointers are physical addresses inside that page. */
export const RmmManifest = layout("RmmManifest", 64, {
  version: u32(0x0),
  padding: u32(0x4),
  plat_data: u64(0x8),
  dram_num_banks: u64(0x10),
  dram_banks: u64(0x18), // array of RmmDramBank
  dram_checksum: u64(0x20),
  console_num_consoles: u64(0x28),
  console_consoles: u64(0x30), // array of RmmConsole
  console_checksum: u64(0x38),
});

export const RmmDramBank = layout("RmmDramBank", 16, { base: u64(0x0), size: u64(0x8) });

export const RmmConsole = layout("RmmConsole", 48, {
  base: u64(0x0),
  map_pages: u64(0x8),
  name: bytes(0x10, 8),
  clk_in_hz: u64(0x18),
  baud_rate: u64(0x20),
  flags: u64(0x28),
});

/** DRAM banks that an RMM of the 0.x line accepts. */
export const RMM_MANIFEST_BANKS_MAX = 2;

/**
 * The checksum of one list of the manifest: the two's complement of the wrapping sum of count, pointer and every 64-bit
 * word of the array, so that the sum of all with the checksum is zero. An empty list has count, pointer and checksum 0.
 */
export function rmmManifestChecksum(count: bigint, pointer: bigint, array: Uint8Array): bigint {
  const view = new DataView(array.buffer, array.byteOffset, array.byteLength);
  let sum = count + pointer;
  for (let at = 0; at + 8 <= array.length; at += 8) sum += view.getBigUint64(at, true);
  return BigInt.asUintN(64, -sum);
}

/** "pl011", zero-terminated, as a little-endian word. */
const PL011_NAME = 0x0000_0031_3130_6c70n;
const PL011_CLOCK_HZ = 14_745_600n;
const PL011_BAUD = 115_200n;

/**
 * The UART that an RMM may print on. RMMs of the 0.3 interface sum the console list in two ways: all words of an entry
 * (TF-RMM from v0.6.0), or all but the name and the flags (TF-RMM at rmm-spec-v1.0-rel0). Flags, which nobody reads yet, of
 * minus the name make both sums the same.
 */
function consoleEntry(uart: bigint): Uint8Array {
  const name = new Uint8Array(8);
  new DataView(name.buffer).setBigUint64(0, PL011_NAME, true);
  const flags = BigInt.asUintN(64, -PL011_NAME);
  return RmmConsole.encode({
    base: uart,
    map_pages: 1n,
    name,
    clk_in_hz: PL011_CLOCK_HZ,
    baud_rate: PL011_BAUD,
    flags,
  });
}

/** The shared page's content at boot: a manifest 0.3 with these NS DRAM banks and, if given, one console (a PL011). */
export function rmmManifest(
  sharedPage: bigint,
  banks: readonly { readonly base: bigint; readonly size: bigint }[],
  uart?: bigint,
): Uint8Array {
  const page = new Uint8Array(GRANULE_SIZE);
  const array = new Uint8Array(banks.length * RmmDramBank.size);
  banks.forEach((bank, i) => {
    array.set(RmmDramBank.encode(bank), i * RmmDramBank.size);
  });
  const pointer = sharedPage + BigInt(RmmManifest.size);
  const consoles = uart === undefined ? undefined : consoleEntry(uart);
  const consolesAt = pointer + BigInt(array.length);
  page.set(
    RmmManifest.encode({
      version: RMM_MANIFEST_VERSION_0_3,
      dram_num_banks: BigInt(banks.length),
      dram_banks: pointer,
      dram_checksum: rmmManifestChecksum(BigInt(banks.length), pointer, array),
      ...(consoles && {
        console_num_consoles: 1n,
        console_consoles: consolesAt,
        console_checksum: rmmManifestChecksum(1n, consolesAt, consoles),
      }),
    }),
  );
  page.set(array, RmmManifest.size);
  if (consoles) page.set(consoles, RmmManifest.size + array.length);
  return page;
}
