/**
 * Boot of the RMM on a PE. "RMM-EL3 Communication Specification", "RMM Boot Interface", versions 0.3 to 0.x. The first PE
 * boots cold: X0 its linear index, X1 the interface version, X2 the number of PEs, X3 the shared page with the manifest.
 * The others boot warm: X0 their index, X3 zero.
 */
import {
  bits,
  GRANULE_SIZE,
  isGranuleAligned,
  RMI_FEATURE_REGISTER_0,
  RMM_MANIFEST_BANKS_MAX,
  RMM_MANIFEST_VERSION_0_3,
  type RmmBootStatus,
  RmmDramBank,
  RmmManifest,
  rmmBootCode,
  rmmManifestChecksum,
} from "@realmbox/abi";
import { isFault, type SlotExit } from "@realmbox/machine";
import { initAttestation } from "./attestation/token.js";
import { GLOBALS_MAGIC, type Globals, GRANULE_ENTRY_SIZE, RMM_PES_MAX } from "./memory-map.js";
import { listRegisterCount } from "./rec/interrupts.js";
import type { Rmm } from "./rmm.js";

/** EL3's interface must have this major version and at least this minor one: chunked platform tokens. */
const EL3_VERSION = { major: 0n, minor: 3n };
const VERSION = { MAJOR: bits(30, 16), MINOR: bits(15, 0) };

/** RECs of one Realm: at most 2^order - 1. */
const MAX_RECS_ORDER = 10n;
/** Largest IPA width offered: without LPA2, 48 bits. */
const S2SZ_MAX = 48;

const ID_AA64MMFR0_EL1 = { PARANGE: bits(3, 0) };
const ID_AA64MMFR1_EL1 = { VMID_BITS: bits(7, 4) };
const ID_AA64DFR0_EL1 = { PMUVER: bits(11, 8), BRPS: bits(15, 12), WRPS: bits(23, 20) };
const PMCR_EL0 = { N: bits(15, 11) };
/** ID_AA64DFR0_EL1.PMUVer: what FEAT_RME requires of a PMU, which is the least that a Realm gets. */
const PMUV3P7 = 7n;
/** PA size in bits by ID_AA64MMFR0_EL1.PARange. */
const PA_BITS = [32, 36, 40, 42, 44, 48, 52] as const;

interface Bank {
  readonly base: bigint;
  readonly size: bigint;
}

export function boot(rmm: Rmm): SlotExit {
  const x3 = rmm.x(3);
  const arguments_ = { pe: rmm.x(0), version: rmm.x(1), peCount: rmm.x(2), sharedPage: x3 };
  const status = x3 !== 0n ? coldBoot(rmm, arguments_) : warmBoot(rmm, arguments_.pe);
  if (rmm.trace?.wants("boot")) {
    const name = x3 !== 0n ? "RMM cold boot" : "RMM warm boot";
    rmm.emit("boot", name, { pe: arguments_.pe, status, ...bootFields(rmm, status) });
  }
  return rmm.isolation.bootComplete(rmm.pe, rmmBootCode(status));
}

function bootFields(rmm: Rmm, status: RmmBootStatus) {
  if (status !== "E_RMM_BOOT_SUCCESS") return {};
  const { feature_register_0, attestation } = rmm.globals();
  return { features: feature_register_0, attestation: attestation === 1 };
}

/** What EL3 passes in X0 to X3. */
interface BootArguments {
  readonly pe: bigint;
  readonly version: bigint;
  readonly peCount: bigint;
  readonly sharedPage: bigint;
}

function coldBoot(rmm: Rmm, { pe, version, peCount, sharedPage }: BootArguments): RmmBootStatus {
  if (VERSION.MAJOR.get(version) !== EL3_VERSION.major || VERSION.MINOR.get(version) < EL3_VERSION.minor)
    return "E_RMM_BOOT_VERSION_NOT_VALID";
  if (peCount === 0n || peCount > BigInt(RMM_PES_MAX)) return "E_RMM_BOOT_CPUS_OUT_OF_RANGE";
  if (pe >= peCount) return "E_RMM_BOOT_CPU_ID_OUT_OF_RANGE";
  if (!isGranuleAligned(sharedPage)) return "E_RMM_BOOT_INVALID_SHARED_BUFFER";
  const page = new Uint8Array(GRANULE_SIZE);
  if (isFault(rmm.realmMemory.copyIn(sharedPage, page))) return "E_RMM_BOOT_INVALID_SHARED_BUFFER";
  const manifest = parseManifest(rmm, page, sharedPage);
  if (typeof manifest === "string") return manifest;
  const used = memoryUsed(rmm, manifest);
  if (used === undefined) return "E_RMM_BOOT_MANIFEST_DATA_ERROR";
  if (sharedPage + BigInt(GRANULE_SIZE) > rmm.map.globals && sharedPage < used)
    return "E_RMM_BOOT_INVALID_SHARED_BUFFER";

  for (let pa = rmm.map.globals; pa < used; pa += BigInt(GRANULE_SIZE)) {
    const own = rmm.realmMemory.granule(pa);
    if (isFault(own)) return "E_RMM_BOOT_ERR_UNKNOWN"; // not in the Realm PAS, or no memory
    own.fill(0);
  }
  Object.assign(rmm.globals(), {
    pe_count: Number(peCount),
    bank_count: manifest.length,
    bank_base: manifest.map(({ base }) => base),
    bank_size: manifest.map(({ size }) => size),
    shared_page: sharedPage,
    ...machineProperties(rmm),
  } satisfies Partial<Globals>);
  initAttestation(rmm);
  rmm.isolation.prepare(rmm.pe);
  rmm.globals().magic = GLOBALS_MAGIC;
  return "E_RMM_BOOT_SUCCESS";
}

function warmBoot(rmm: Rmm, pe: bigint): RmmBootStatus {
  if (!rmm.isBooted()) return "E_RMM_BOOT_ERR_UNKNOWN";
  if (pe >= BigInt(rmm.globals().pe_count)) return "E_RMM_BOOT_CPU_ID_OUT_OF_RANGE";
  rmm.isolation.prepare(rmm.pe);
  return "E_RMM_BOOT_SUCCESS";
}

/** The DRAM banks of the manifest in the shared page. */
function parseManifest(rmm: Rmm, page: Uint8Array, sharedPage: bigint): readonly Bank[] | RmmBootStatus {
  const { version, dram_num_banks, dram_banks, dram_checksum } = RmmManifest.decode(page);
  const supported = BigInt(RMM_MANIFEST_VERSION_0_3);
  if (
    VERSION.MAJOR.get(BigInt(version)) !== VERSION.MAJOR.get(supported) ||
    VERSION.MINOR.get(BigInt(version)) < VERSION.MINOR.get(supported)
  )
    return "E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED";
  const count = Number(dram_num_banks);
  const start = Number(dram_banks - sharedPage);
  const size = count * RmmDramBank.size;
  if (count < 1 || count > RMM_MANIFEST_BANKS_MAX || !(start >= RmmManifest.size && start + size <= GRANULE_SIZE))
    return "E_RMM_BOOT_MANIFEST_DATA_ERROR";
  const array = page.subarray(start, start + size);
  if (rmmManifestChecksum(dram_num_banks, dram_banks, array) !== dram_checksum) return "E_RMM_BOOT_MANIFEST_DATA_ERROR";
  const banks = Array.from({ length: count }, (_, i) => RmmDramBank.decode(array, i * RmmDramBank.size));
  return banksAreValid(rmm, banks) ? banks : "E_RMM_BOOT_MANIFEST_DATA_ERROR";
}

/** Not empty, aligned, ascending, apart, inside the PA space, and not the RMM's own memory. */
function banksAreValid(rmm: Rmm, banks: readonly Bank[]): boolean {
  const { carveOut } = rmm.map;
  const paSize = 1n << BigInt(PA_BITS[paRange(rmm)]!);
  let end = 0n;
  for (const { base, size } of banks) {
    if (base === 0n || size === 0n || !isGranuleAligned(base) || !isGranuleAligned(size)) return false;
    if (base < end || base + size > paSize) return false;
    if (base < carveOut.base + carveOut.size && base + size > carveOut.base) return false;
    end = base + size;
  }
  return true;
}

/** The end of the memory that the RMM needs for these banks; undefined when the carve-out is too small. */
function memoryUsed({ map }: Rmm, banks: readonly Bank[]): bigint | undefined {
  const granules = banks.reduce((sum, { size }) => sum + size / BigInt(GRANULE_SIZE), 0n);
  const table = granules * BigInt(GRANULE_ENTRY_SIZE);
  const end = (map.granuleTable + table + 0xfffn) & ~0xfffn;
  return end <= map.carveOut.base + map.carveOut.size ? end : undefined;
}

const paRange = ({ pe }: Rmm): number => Number(ID_AA64MMFR0_EL1.PARANGE.get(pe.mrs("ID_AA64MMFR0_EL1")));

/** What the RMM offers follows from what the machine has; no LPA2 or SVE. */
function machineProperties(rmm: Rmm) {
  const { pe } = rmm;
  const F = RMI_FEATURE_REGISTER_0;
  const dfr0 = pe.mrs("ID_AA64DFR0_EL1");
  const ich_vtr = pe.mrs("ICH_VTR_EL2");
  const pmuVersion = ID_AA64DFR0_EL1.PMUVER.get(dfr0);
  const hasPmu = pmuVersion >= PMUV3P7 && pmuVersion !== 0xfn; // 0xf: no PMUv3
  const pa_range = paRange(rmm);
  return {
    feature_register_0:
      F.S2SZ.of(Math.min(PA_BITS[pa_range]!, S2SZ_MAX)) |
      F.NUM_BPS.of(ID_AA64DFR0_EL1.BRPS.get(dfr0)) |
      F.NUM_WPS.of(ID_AA64DFR0_EL1.WRPS.get(dfr0)) |
      F.PMU_EN.of(hasPmu ? 1 : 0) |
      F.PMU_NUM_CTRS.of(hasPmu ? PMCR_EL0.N.get(pe.mrs("PMCR_EL0")) : 0) |
      F.HASH_SHA_256.of(1) |
      F.HASH_SHA_512.of(1) |
      F.GICV3_NUM_LRS.of(listRegisterCount(ich_vtr) - 1) |
      F.MAX_RECS_ORDER.of(MAX_RECS_ORDER),
    ich_vtr,
    pa_range,
    vmid_bits: ID_AA64MMFR1_EL1.VMID_BITS.get(pe.mrs("ID_AA64MMFR1_EL1")) === 2n ? 16 : 8,
  };
}
