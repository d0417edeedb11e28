/**
 * The GIC's system registers as a table: encodings, who may access them, what an access does. DDI 0487 and IHI 0069H,
 * each under the register's name. Group 0, Group 1 and common registers trap, or become their virtual counterparts, by
 * different bits; `CpuInterface.access` has the rules.
 */
import { R } from "../cpu/state.js";
import type { CpuInterface } from "./cpu-interface.js";
import { ICH_VTR, LIST_REGISTERS } from "./virtual-interface.js";

/** Which rules an access follows. */
type Class = "group0" | "group1" | "common" | "sgi" | "sre" | "el2" | "el3";

interface Row {
  /** op0, op1, CRn, CRm, op2. */
  readonly encoding: readonly [number, number, number, number, number];
  readonly class: Class;
  readonly read?: (c: CpuInterface) => bigint;
  readonly write?: (c: CpuInterface, value: bigint) => void;
  /** The virtual register that takes its place at EL1. */
  readonly virtual?: Pick<Row, "read" | "write">;
}

/** One register as the system register layer lists it. */
export interface GicRegister extends Row {
  readonly name: string;
}

const none = (): void => {};
const listRegister = (n: number): readonly [string, Row] => [
  `ICH_LR${n}_EL2`,
  {
    encoding: [3, 4, 12, 12 + (n >> 3), n & 7],
    class: "el2",
    read: (c) => c.readSlot(R.ICH_LR0 + n),
    write: (c, v) => c.writeSlot(R.ICH_LR0 + n, v),
  },
];

// biome-ignore format: a table
const ROWS: readonly (readonly [string, Row])[] = [
  ["ICC_PMR_EL1", { encoding: [3, 0, 4, 6, 0], class: "common", read: (c) => c.physical.readPmr(), write: (c, v) => c.physical.writePmr(v), virtual: { read: (c) => c.virtual.readPmr(), write: (c, v) => c.virtual.writePmr(v) } }],
  ["ICC_IAR0_EL1", { encoding: [3, 0, 12, 8, 0], class: "group0", read: (c) => c.physical.readIar(false), virtual: { read: (c) => c.virtual.readIar(false) } }],
  ["ICC_EOIR0_EL1", { encoding: [3, 0, 12, 8, 1], class: "group0", write: (c, v) => c.physical.writeEoir(v, false), virtual: { write: (c, v) => c.virtual.writeEoir(v, false) } }],
  ["ICC_HPPIR0_EL1", { encoding: [3, 0, 12, 8, 2], class: "group0", read: (c) => c.physical.readHppir(false), virtual: { read: (c) => c.virtual.readHppir(false) } }],
  ["ICC_BPR0_EL1", { encoding: [3, 0, 12, 8, 3], class: "group0", read: (c) => c.physical.readBpr0(), write: (c, v) => c.physical.writeBpr0(v), virtual: { read: (c) => c.virtual.readBpr0(), write: (c, v) => c.virtual.writeBpr0(v) } }],
  ["ICC_AP0R0_EL1", { encoding: [3, 0, 12, 8, 4], class: "group0", read: (c) => c.physical.readApr(false), write: (c, v) => c.physical.writeApr(v, false), virtual: { read: (c) => c.readSlot(R.ICH_AP0R0_EL2), write: (c, v) => c.writeSlot(R.ICH_AP0R0_EL2, v & 0xffff_ffffn) } }],
  ["ICC_AP1R0_EL1", { encoding: [3, 0, 12, 9, 0], class: "group1", read: (c) => c.physical.readApr(true), write: (c, v) => c.physical.writeApr(v, true), virtual: { read: (c) => c.readSlot(R.ICH_AP1R0_EL2), write: (c, v) => c.writeSlot(R.ICH_AP1R0_EL2, v & 0xffff_ffffn) } }],
  ["ICC_DIR_EL1", { encoding: [3, 0, 12, 11, 1], class: "common", write: (c, v) => c.physical.writeDir(v), virtual: { write: (c, v) => c.virtual.writeDir(v) } }],
  ["ICC_RPR_EL1", { encoding: [3, 0, 12, 11, 3], class: "common", read: (c) => c.physical.readRpr(), virtual: { read: (c) => c.virtual.readRpr() } }],
  ["ICC_SGI1R_EL1", { encoding: [3, 0, 12, 11, 5], class: "sgi", write: (c, v) => c.physical.writeSgi(v, "SGI1R") }],
  ["ICC_ASGI1R_EL1", { encoding: [3, 0, 12, 11, 6], class: "sgi", write: (c, v) => c.physical.writeSgi(v, "ASGI1R") }],
  ["ICC_SGI0R_EL1", { encoding: [3, 0, 12, 11, 7], class: "sgi", write: (c, v) => c.physical.writeSgi(v, "SGI0R") }],
  ["ICC_IAR1_EL1", { encoding: [3, 0, 12, 12, 0], class: "group1", read: (c) => c.physical.readIar(true), virtual: { read: (c) => c.virtual.readIar(true) } }],
  ["ICC_EOIR1_EL1", { encoding: [3, 0, 12, 12, 1], class: "group1", write: (c, v) => c.physical.writeEoir(v, true), virtual: { write: (c, v) => c.virtual.writeEoir(v, true) } }],
  ["ICC_HPPIR1_EL1", { encoding: [3, 0, 12, 12, 2], class: "group1", read: (c) => c.physical.readHppir(true), virtual: { read: (c) => c.virtual.readHppir(true) } }],
  ["ICC_BPR1_EL1", { encoding: [3, 0, 12, 12, 3], class: "group1", read: (c) => c.physical.readBpr1(), write: (c, v) => c.physical.writeBpr1(v), virtual: { read: (c) => c.virtual.readBpr1(), write: (c, v) => c.virtual.writeBpr1(v) } }],
  ["ICC_CTLR_EL1", { encoding: [3, 0, 12, 12, 4], class: "common", read: (c) => c.physical.readCtlrEl1(), write: (c, v) => c.physical.writeCtlrEl1(v), virtual: { read: (c) => c.virtual.readCtlr(), write: (c, v) => c.virtual.writeCtlr(v) } }],
  ["ICC_SRE_EL1", { encoding: [3, 0, 12, 12, 5], class: "sre", read: () => 0x7n, write: none }],
  ["ICC_IGRPEN0_EL1", { encoding: [3, 0, 12, 12, 6], class: "group0", read: (c) => c.physical.readIgrpen(false), write: (c, v) => c.physical.writeIgrpen(v, false), virtual: { read: (c) => c.virtual.readIgrpen(false), write: (c, v) => c.virtual.writeIgrpen(v, false) } }],
  ["ICC_IGRPEN1_EL1", { encoding: [3, 0, 12, 12, 7], class: "group1", read: (c) => c.physical.readIgrpen(true), write: (c, v) => c.physical.writeIgrpen(v, true), virtual: { read: (c) => c.virtual.readIgrpen(true), write: (c, v) => c.virtual.writeIgrpen(v, true) } }],
  ["ICC_SRE_EL2", { encoding: [3, 4, 12, 9, 5], class: "el2", read: () => 0xfn, write: none }],
  ["ICH_AP0R0_EL2", { encoding: [3, 4, 12, 8, 0], class: "el2", read: (c) => c.readSlot(R.ICH_AP0R0_EL2), write: (c, v) => c.writeSlot(R.ICH_AP0R0_EL2, v & 0xffff_ffffn) }],
  ["ICH_AP1R0_EL2", { encoding: [3, 4, 12, 9, 0], class: "el2", read: (c) => c.readSlot(R.ICH_AP1R0_EL2), write: (c, v) => c.writeSlot(R.ICH_AP1R0_EL2, v & 0xffff_ffffn) }],
  ["ICH_HCR_EL2", { encoding: [3, 4, 12, 11, 0], class: "el2", read: (c) => c.virtual.readIchHcr(), write: (c, v) => c.virtual.writeIchHcr(v) }],
  ["ICH_VTR_EL2", { encoding: [3, 4, 12, 11, 1], class: "el2", read: () => ICH_VTR }],
  ["ICH_MISR_EL2", { encoding: [3, 4, 12, 11, 2], class: "el2", read: (c) => c.virtual.readIchMisr() }],
  ["ICH_EISR_EL2", { encoding: [3, 4, 12, 11, 3], class: "el2", read: (c) => c.virtual.readIchEisr() }],
  ["ICH_ELRSR_EL2", { encoding: [3, 4, 12, 11, 5], class: "el2", read: (c) => c.virtual.readIchElrsr() }],
  ["ICH_VMCR_EL2", { encoding: [3, 4, 12, 11, 7], class: "el2", read: (c) => c.virtual.readIchVmcr(), write: (c, v) => c.virtual.writeIchVmcr(v) }],
  ...Array.from({ length: LIST_REGISTERS }, (_, n) => listRegister(n)),
  ["ICC_CTLR_EL3", { encoding: [3, 6, 12, 12, 4], class: "el3", read: (c) => c.physical.readCtlrEl3(), write: (c, v) => c.physical.writeCtlrEl3(v) }],
  ["ICC_SRE_EL3", { encoding: [3, 6, 12, 12, 5], class: "el3", read: () => 0xfn, write: none }],
  ["ICC_IGRPEN1_EL3", { encoding: [3, 6, 12, 12, 7], class: "el3", read: (c) => c.physical.readIgrpen1El3(), write: (c, v) => c.physical.writeIgrpen1El3(v) }],
];

/** Every ICC_* and ICH_* register by name: its encoding and who may access it. Others of the space are UNDEFINED. */
export const GIC_REGISTERS: ReadonlyMap<string, GicRegister> = new Map(
  ROWS.map(([name, row]) => [name, { ...row, name }] as const),
);

/** The name of the virtual register at the same encoding: ICV_IAR1_EL1 for ICC_IAR1_EL1. */
export const virtualName = (name: string): string => `ICV_${name.slice(4)}`;

/** What reads and writes do, by name, ICV_* included. */
export const GIC_READS = new Map<string, NonNullable<Row["read"]>>();
export const GIC_WRITES = new Map<string, NonNullable<Row["write"]>>();
for (const [name, row] of ROWS) {
  if (row.read) GIC_READS.set(name, row.read);
  if (row.write) GIC_WRITES.set(name, row.write);
  if (row.virtual?.read) GIC_READS.set(virtualName(name), row.virtual.read);
  if (row.virtual?.write) GIC_WRITES.set(virtualName(name), row.virtual.write);
}
