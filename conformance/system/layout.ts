/**
 * Where things lie, in physical addresses. The same on both machines: ours is a board with QEMU's virt addresses.
 *
 *   0x4000_0000  runner: code at EL3, its vectors, its stubs
 *   0x4001_0000  runner's save area and the general registers of the next entry
 *   0x4010_0000  vectors of EL1, +0x1000 those of EL2: each slot is an SMC that says which
 *   0x4011_0000  code of the case
 *   0x4020_0000  data pages of the case: each word holds its own address
 *   0x4080_0000  translation tables of the case
 *   0x4200_0000  script
 *   0x5800_0000  output
 */
export const RAM = 0x4000_0000;
export const RAM_SIZE = 0x2000_0000;
export const RUNNER = RAM;
export const SAVE = 0x4001_0000;
/** X0 to X30 that the next entry starts with. */
export const CONTEXT = 0x4001_0800;
export const CONTEXT_DEFAULT = 0x4001_1000;
export const VECTORS_EL1 = 0x4010_0000;
export const VECTORS_EL2 = 0x4010_1000;
export const CODE = 0x4011_0000;
export const DATA = 0x4020_0000;
export const DATA_SIZE = 0x1_0000;
export const TABLES = 0x4080_0000;
export const SCRIPT = 0x4200_0000;
export const OUTPUT = 0x5800_0000;

/** QEMU virt's devices. DTB of `-M virt,gic-version=3`. */
export const GICD = 0x0800_0000;
export const GICR = 0x080a_0000;
/** Frame of SGIs and PPIs of the first redistributor. */
export const SGI_FRAME = GICR + 0x1_0000;
export const UART = 0x0900_0000;

/** A device of our board alone: a write ends the run. */
export const END = 0x0a80_0000;

/** Physical addresses where nothing answers: beyond RAM, below the PCI windows of virt. */
export const NOTHING = 0x2_0000_0000;

/** What a data word holds: its address, marked. */
export const dataWord = (pa: number): bigint => 0xd000_0000_0000_0000n | BigInt(pa);
