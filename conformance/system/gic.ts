/** The GIC as cases set it up: registers by offset (IHI 0069H, "The GIC memory-mapped register interface"), a known state. */
import type { Bench } from "./case.js";
import { GICD, GICR, SGI_FRAME } from "./layout.js";

const GICR_WAKER = GICR + 0x14;
/** Offsets that the distributor and the redistributor's frame of SGIs and PPIs share; INTIDs 32 to 63 are the next word. */
const GROUP = 0x080;
const SET_ENABLE = 0x100;
const CLEAR_ENABLE = 0x180;
const SET_PENDING = 0x200;
const CLEAR_PENDING = 0x280;
const SET_ACTIVE = 0x300;
const CLEAR_ACTIVE = 0x380;
const PRIORITY = 0x400;
const MODIFIER = 0xd00;

/** EnableGrp0, EnableGrp1NS, EnableGrp1S, ARE_S, ARE_NS. */
const CTLR = 0x37;

/** An SPI that no device of either machine asserts: QEMU's first PCIe line is 35, its last virtio 79. */
export const SPI = 96 + 20;
const SPI_WORD = SPI >> 5;

export type Group = "group 0" | "group 1, Secure" | "group 1";

/** Address of the register of `offset` for an interrupt, and its bit there. */
function bitOf(intid: number, offset: number): { readonly address: number; readonly bit: number } {
  const address = intid < 32 ? SGI_FRAME + offset : GICD + offset + (intid >> 5) * 4;
  return { address, bit: (1 << (intid & 31)) >>> 0 };
}

/** Everything disabled, inactive, Non-secure group 1, priority 0xa0; all groups enabled, nothing masked by priority. */
export function resetGic(b: Bench): void {
  const { program } = b;
  program.write32(GICD, CTLR);
  program.write32(GICR_WAKER, 0);
  for (const frame of [SGI_FRAME, GICD + SPI_WORD * 4]) {
    for (const offset of [CLEAR_ENABLE, CLEAR_PENDING, CLEAR_ACTIVE, GROUP])
      program.write32(frame + offset, 0xffff_ffff);
    program.write32(frame + MODIFIER, 0);
  }
  for (let i = 0; i < 32; i += 4) {
    program.write32(SGI_FRAME + PRIORITY + i, 0xa0a0_a0a0);
    program.write32(GICD + PRIORITY + SPI_WORD * 32 + i, 0xa0a0_a0a0);
  }
  for (const ns of [0n, 1n]) {
    program.msr("SCR_EL3", 0x530n | ns);
    for (const name of ["ICC_AP1R0_EL1", "ICC_BPR1_EL1", "ICC_CTLR_EL1"]) program.msr(name, 0);
  }
  for (const name of ["ICC_AP0R0_EL1", "ICC_BPR0_EL1", "ICC_CTLR_EL3"]) program.msr(name, 0);
  program.msr("ICC_IGRPEN0_EL1", 1);
  program.msr("ICC_IGRPEN1_EL3", 3);
  program.msr("ICC_PMR_EL1", 0xff);
  for (const timer of ["CNTP_CTL_EL0", "CNTV_CTL_EL0", "CNTHP_CTL_EL2", "CNTHV_CTL_EL2", "CNTPS_CTL_EL1"])
    program.msr(timer, 0);
  for (const name of ["ICH_HCR_EL2", "ICH_AP0R0_EL2", "ICH_AP1R0_EL2", "ICH_VMCR_EL2"]) program.msr(name, 0);
  for (let i = 0; i < 4; i++) program.msr(`ICH_LR${i}_EL2`, 0);
}

/** Puts an interrupt into a group, all others of its word into group 1; sets its priority; enables it. */
export function configure(
  b: Bench,
  intid: number,
  options: { group?: Group; priority?: number; enabled?: boolean },
): void {
  const { program } = b;
  const { group = "group 1", priority, enabled = true } = options;
  const all = 0xffff_ffff;
  const { address, bit } = bitOf(intid, GROUP);
  if (group !== "group 1") program.write32(address, (all & ~bit) >>> 0);
  if (group === "group 1, Secure") program.write32(bitOf(intid, MODIFIER).address, bit);
  if (priority !== undefined) program.write8(bitOf(intid, PRIORITY).address - (intid >> 5) * 4 + intid, priority);
  if (enabled) program.write32(bitOf(intid, SET_ENABLE).address, bit);
}

/** Everything that this file resets becomes group 0. */
export function allGroup0(b: Bench): void {
  for (const frame of [SGI_FRAME, GICD + SPI_WORD * 4]) b.program.write32(frame + GROUP, 0);
}

/** Makes an interrupt active, as an acknowledgement would. */
export function activate(b: Bench, intid: number): void {
  const { address, bit } = bitOf(intid, SET_ACTIVE);
  b.program.write32(address, bit);
}

export function pend(b: Bench, intid: number): void {
  const { address, bit } = bitOf(intid, SET_PENDING);
  b.program.write32(address, bit);
}

/** Notes pending and active state of SGIs and PPIs, and of the word of SPI. */
export function noteState(b: Bench): void {
  for (const [frame, what] of [
    [SGI_FRAME, "private"],
    [GICD + SPI_WORD * 4, "SPI"],
  ] as const) {
    b.program.read32(frame + SET_PENDING, `pending, ${what}`);
    b.program.read32(frame + SET_ACTIVE, `active, ${what}`);
  }
}
