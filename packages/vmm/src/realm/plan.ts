/**
 * How a realm is built: the calls, in order, as plain data. The order decides the Realm Initial Measurement, so the plan
 * is at once what the VMM does and what an offline measurement computes from.
 *
 * The order is that of kvmtool's CCA series since guest_memfd (from v2, 2024; arm/aarch64/realm.c, "kvm_arm_realm_
 * finalize"), which the public calculator veraison/cca-realm-measurements assumes as well:
 *
 *   1. REALM_CREATE with hash algorithm and personalization value
 *   2. INIT_RIPAS (RAM) over the whole of RAM
 *   3. POPULATE, measured, in ascending IPA: kernel, initrd, device tree (all 64 KiB of it). Each image is rounded out
 *      to Granules, the rest of which is zero. An Image's BSS is not populated; an ELF file's is, because the guest may
 *      expect zeros there and pages that come later hold nothing defined.
 *   4. one REC for each vCPU in ascending MPIDR; only the first is runnable, and so measured
 *   5. REALM_ACTIVATE
 *
 * kvmtool v1 and its eac5 branch declared RIPAS image by image; their RIMs differ for the same files.
 */
import { GRANULE_SIZE, type HashAlgorithm, RMI_FEATURE_REGISTER_0, RMI_REALM_FLAGS, rttEntrySize } from "@realmbox/abi";
import type { MachineContent } from "../config.js";
import { mpidrOfCpu } from "../fdt/machine-tree.js";
import { alignDown, alignUp } from "../memory-map.js";

/** What the platform gives to every realm, and what its measurement contains. */
export interface RealmPlatform {
  /** Breakpoints and watchpoints, minus one. The Host gives a realm all that the RMM offers. */
  readonly numBps: number;
  readonly numWps: number;
  /** Event counters of the PMU, if it has one. */
  readonly pmuCounters?: number;
}

/** The platform of an RMM whose RMI feature register 0 is known. */
export const realmPlatform = (features0: bigint): RealmPlatform => ({
  numBps: Number(RMI_FEATURE_REGISTER_0.NUM_BPS.get(features0)),
  numWps: Number(RMI_FEATURE_REGISTER_0.NUM_WPS.get(features0)),
  pmuCounters: Number(RMI_FEATURE_REGISTER_0.PMU_NUM_CTRS.get(features0)),
});

/** The measured parameters of REALM_CREATE. */
export interface RealmParameters extends Omit<RealmPlatform, "pmuCounters"> {
  readonly hashAlgorithm: HashAlgorithm;
  /** RmiRealmFlags. */
  readonly flags: bigint;
  /** IPA width in bits. */
  readonly s2sz: number;
  readonly sveVl: number;
  readonly pmuNumCtrs: number;
}

/** An image to populate: whole Granules. */
export interface PopulateStep {
  readonly base: bigint;
  readonly top: bigint;
  /** What is there, put together at each look: only who measures without a machine needs it. */
  readonly content: Uint8Array;
  readonly what: string;
}

export interface RecStep {
  readonly mpidr: bigint;
  readonly pc: bigint;
  /** X0 to X7. */
  readonly gprs: readonly bigint[];
  readonly runnable: boolean;
}

export interface RealmPlan {
  readonly parameters: RealmParameters;
  /** Realm personalization value, 64 bytes; not measured. */
  readonly rpv: Uint8Array;
  /** INIT_RIPAS over [base, top). */
  readonly ripas: { readonly base: bigint; readonly top: bigint };
  readonly populate: readonly PopulateStep[];
  readonly recs: readonly RecStep[];
}

export function planRealm(content: MachineContent, platform: RealmPlatform): RealmPlan {
  const { ram, placement, cpus, entry } = content;
  return {
    parameters: {
      hashAlgorithm: content.measurementAlgorithm === "sha512" ? "sha-512" : "sha-256",
      flags: content.pmu ? RMI_REALM_FLAGS.PMU.of(1) : 0n, // no LPA2, no SVE
      s2sz: content.ipaBits,
      sveVl: 0,
      numBps: platform.numBps,
      numWps: platform.numWps,
      pmuNumCtrs: content.pmu ? (content.pmuCounters ?? platform.pmuCounters ?? 0) : 0,
    },
    rpv: content.personalizationValue,
    ripas: { base: ram.base, top: ram.base + ram.size },
    populate: populateSteps(content),
    recs: Array.from({ length: cpus }, (_, index) => ({
      mpidr: mpidrOfCpu(index),
      pc: index === 0 ? entry : 0n,
      gprs: [index === 0 ? placement.fdt : 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
      runnable: index === 0,
    })),
  };
}

/** The images as runs of Granules in ascending order; parts that share a Granule (of an ELF file) become one run. */
function populateSteps({ placement, deviceTree }: MachineContent): readonly PopulateStep[] {
  const parts = placement.kernel.segments.map(({ address, bytes, memorySize, zeroFill }) => ({
    what: "kernel",
    address,
    bytes,
    size: zeroFill ? memorySize : BigInt(bytes.length),
  }));
  const add = (what: string, address: bigint, bytes: Uint8Array) =>
    parts.push({ what, address, bytes, size: BigInt(bytes.length) });
  if (placement.initrd !== undefined) add("initrd", placement.initrd.start, placement.initrd.bytes);
  add("device tree", placement.fdt, deviceTree);

  const runs: { what: string; base: bigint; top: bigint; parts: typeof parts }[] = [];
  for (const part of parts.filter(({ size }) => size > 0n)) {
    const base = alignDown(part.address, BigInt(GRANULE_SIZE));
    const top = alignUp(part.address + part.size, BigInt(GRANULE_SIZE));
    const last = runs.at(-1);
    if (last !== undefined && base < last.top) {
      if (top > last.top) last.top = top;
      last.parts.push(part);
    } else {
      runs.push({ what: part.what, base, top, parts: [part] });
    }
  }
  return runs.map(({ what, base, top, parts }) => ({
    what,
    base,
    top,
    get content() {
      const content = new Uint8Array(Number(top - base));
      for (const { address, bytes } of parts) content.set(bytes, Number(address - base));
      return content;
    },
  }));
}

/** RmiDataFlags: measure the content. RmiRecCreateFlags: runnable. */
const MEASURE = 1n;
const RUNNABLE = 1n;

/** What extends the RIM. DEN0137 1.0-rel0, "Realm Initial Measurement". */
export type RimEvent =
  | { readonly kind: "realm-create"; readonly parameters: RealmParameters }
  /** One RTT entry that RMI_RTT_INIT_RIPAS sets. */
  | { readonly kind: "init-ripas"; readonly base: bigint; readonly top: bigint }
  /** One Granule of RMI_DATA_CREATE; flags bit 0: its content is measured. */
  | { readonly kind: "data-create"; readonly ipa: bigint; readonly flags: bigint; readonly content: Uint8Array }
  /** A runnable REC. */
  | { readonly kind: "rec-create"; readonly flags: bigint; readonly pc: bigint; readonly gprs: readonly bigint[] };

/** What the RMM measures when a Host carries the plan out, in the order of the calls. */
export function* rimEvents(plan: RealmPlan): Generator<RimEvent, void, undefined> {
  yield { kind: "realm-create", parameters: plan.parameters };
  for (const entry of ripasEntries(plan.ripas, plan.parameters.s2sz)) yield { kind: "init-ripas", ...entry };
  for (const { base, content } of plan.populate) {
    for (let offset = 0; offset < content.length; offset += GRANULE_SIZE) {
      const granule = content.subarray(offset, offset + GRANULE_SIZE);
      yield { kind: "data-create", ipa: base + BigInt(offset), flags: MEASURE, content: granule };
    }
  }
  for (const { pc, gprs, runnable } of plan.recs) {
    if (runnable) yield { kind: "rec-create", flags: RUNNABLE, pc, gprs };
  }
}

/**
 * Level of a realm's starting tables: as few levels as up to 16 concatenated tables allow. Linux, KVM's stage 2
 * ("stage2_pgtable_levels": concatenation removes a level when its table would have at most 16 entries).
 */
export const rttLevelStart = (s2sz: number): number => 4 - Math.floor((s2sz - 8) / 9);

/**
 * The RTT entries that INIT_RIPAS over a range sets, in order, in a realm that has no tables but its starting ones. The
 * Host makes a table only where an entry does not fit, one level at a time, so each entry is the largest that is aligned
 * and ends within the range; starting-level entries are the largest there are.
 */
export function* ripasEntries(
  range: { readonly base: bigint; readonly top: bigint },
  s2sz: number,
): Generator<{ readonly base: bigint; readonly top: bigint }, void, undefined> {
  let base = range.base;
  while (base < range.top) {
    let level = rttLevelStart(s2sz);
    while (level < 3 && (base % rttEntrySize(level) !== 0n || base + rttEntrySize(level) > range.top)) level++;
    const top = base + rttEntrySize(level);
    yield { base, top };
    base = top;
  }
}
