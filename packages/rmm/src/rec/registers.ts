/**
 * The registers of a PE that a REC has for itself, as runs of words: views that are made once for each PE; and what a REC
 * entry and exit move, as block moves between the PE, the REC and the PE's context, where the Host's EL1 state is meanwhile.
 */
import { type BlockMove, GROUPS, type MemoryPort, type Move, type Pe, R } from "@realmbox/machine";
import type { Isolation } from "../isolation/isolation.js";
import { PeContextLayout } from "../memory-map.js";
import { RecLayout } from "./rec.js";

const PE = 0;
const REC = 1;
const CONTEXT = 2;
const inPe = (slot: number) => ({ base: PE, offset: 8 * slot }) as const;
const inRec = ({ offset }: { readonly offset: number }) => ({ base: REC, offset }) as const;
const { fields } = RecLayout;
const HOST_EL1 = { base: CONTEXT, offset: PeContextLayout.fields.host_el1.offset } as const;

const ENTER: readonly Move[] = [
  { from: inPe(GROUPS.EL1.first), to: HOST_EL1, size: fields.el1.size },
  { from: inRec(fields.gprs), to: inPe(R.X0), size: fields.gprs.size },
  { from: inRec(fields.el1), to: inPe(GROUPS.EL1.first), size: fields.el1.size },
  { from: inRec(fields.ich), to: inPe(GROUPS.ICH.first), size: fields.ich.size },
  { from: inRec(fields.pc), to: inPe(R.ELR_EL2), size: 8 },
  { from: inRec(fields.pstate), to: inPe(R.SPSR_EL2), size: 8 },
  { from: inRec(fields.vmpidr), to: inPe(R.VMPIDR_EL2), size: 8 },
  { from: inRec(fields.vtcr), to: inPe(R.VTCR_EL2), size: 8 },
  { from: inRec(fields.vttbr), to: inPe(R.VTTBR_EL2), size: 8 },
];
const LEAVE: readonly Move[] = [
  { from: inPe(R.X0), to: inRec(fields.gprs), size: fields.gprs.size },
  { from: inPe(GROUPS.EL1.first), to: inRec(fields.el1), size: fields.el1.size },
  { from: inPe(GROUPS.ICH.first), to: inRec(fields.ich), size: fields.ich.size },
  { from: inPe(R.ELR_EL2), to: inRec(fields.pc), size: 8 },
  { from: inPe(R.SPSR_EL2), to: inRec(fields.pstate), size: 8 },
  { from: HOST_EL1, to: inPe(GROUPS.EL1.first), size: fields.el1.size },
];

const GPRS: readonly Move[] = [{ from: { base: 1, offset: 0 }, to: { base: 0, offset: 0 }, size: fields.gprs.size }];

export class PeRegisters {
  /** The whole state as 32-bit words: the register of slot s in words 2s and 2s + 1. */
  readonly words: Int32Array;
  readonly debug: BigUint64Array;
  readonly pmu: BigUint64Array;
  readonly fp: BigUint64Array;
  /** Where the state is, for the two moves: of PE, REC and PE context. */
  readonly at: number;
  readonly enter: BlockMove;
  readonly leave: BlockMove;
  /** Copies 31 general registers: of two addresses. */
  readonly copyGprs: BlockMove;
  /** The ports through which the RMM on this PE reaches Realm and Host memory. */
  readonly realmMemory: MemoryPort;
  readonly hostMemory: MemoryPort;

  constructor(pe: Pe, { protectedMemory, hostMemory }: Pick<Isolation, "protectedMemory" | "hostMemory">) {
    const run = (first: number, count: number) => pe.r.subarray(first, first + count);
    this.words = pe.w;
    this.debug = run(GROUPS.DEBUG.first, GROUPS.DEBUG.count);
    this.pmu = run(GROUPS.PMU.first, GROUPS.PMU.count);
    this.fp = run(GROUPS.FP.first, GROUPS.FP.count);
    this.at = pe.bytes.byteOffset;
    this.enter = pe.blockMove(ENTER);
    this.leave = pe.blockMove(LEAVE);
    this.copyGprs = pe.blockMove(GPRS);
    this.realmMemory = protectedMemory(pe);
    this.hostMemory = hostMemory(pe);
  }
}
