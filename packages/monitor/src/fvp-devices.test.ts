/** The memory map of the board `fvp` as emulated code at NS-EL2 finds it: devices, their interrupts, and what is not there. */
import { describe, expect, test } from "vitest";
import type { Assembler } from "../../machine/test-support/assembler.js";
import { call, type Fvp, fvpWith, keep } from "./fvp.oracle.js";

const RESULTS = 0x8000_0000n;
const SYSTEM_OFF = 0x8400_0008;
const GICD = 0x2f00_0000n;
const TIMER_FRAME = 0x2a83_0000n;

const run = (fvp: Fvp): void => {
  expect(fvp.machine.run({ instructions: 20_000_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
};

/** ESR_EL2 of an abort, without the class: what the data fault status code is. */
const DFSC = { EXTERNAL: 0x10n, GPF: 0x28n };

/** Reads a word at each address; keeps ESR_EL2 of the abort, or the word itself with bit 63. */
function probe(addresses: readonly bigint[]): (a: Assembler) => void {
  return (a) => {
    a.mov(8, RESULTS).mov(9, 0x8800_1000n).msr("VBAR_EL2", 9);
    for (const [n, address] of addresses.entries()) {
      a.mov(5, address).mov(7, 0).ldrw(6, 5);
      a.cbnz(7, `next${n}`);
      a.mov(7, 1n << 63n).word(0xaa07_00c6); // orr x6, x6, x7
      a.label(`next${n}`);
      keep(a, 6);
    }
    call(a, SYSTEM_OFF);
    // Vectors: X6 = ESR_EL2, X7 = 1, and past the load.
    a.org(0x1200).mrs(6, "ESR_EL2").mrs(7, "ELR_EL2").add(7, 7, 4).msr("ELR_EL2", 7).mov(7, 1).eret();
  };
}

const isRead = (result: bigint): boolean => result >> 63n === 1n;

describe("what answers a Non-secure read", () => {
  const cases: readonly (readonly [name: string, at: bigint, expected: "external" | "gpf" | number])[] = [
    ["trusted ROM", 0x0000_0000n, "external"],
    ["trusted SRAM", 0x0400_0000n, "gpf"],
    ["level 0 GPT", 0x0403_e000n, "gpf"],
    ["trusted DRAM", 0x0600_0000n, "gpf"],
    ["NOR flash 0", 0x0800_0000n, 0xffff_ffff],
    ["NOR flash 1", 0x0fff_fffcn, 0xffff_ffff],
    ["PSRAM", 0x1400_0000n, "external"],
    ["SYS_ID", 0x1c01_0000n, 0x2020_1100],
    ["UART0 FR", 0x1c09_0018n, 0x90],
    ["UART3 PeriphID0", 0x1c0c_0fe0n, 0x11],
    ["SP804 0/1 PeriphID0", 0x1c11_0fe0n, 0x04],
    ["SP804 2/3 PeriphID0", 0x1c12_0fe0n, 0x04],
    ["SP805 PeriphID0", 0x1c0f_0fe0n, 0x05],
    ["SP810 PeriphID0", 0x1c02_0fe0n, 0x10],
    ["CNTControl", 0x2a43_0000n, "external"],
    ["generic watchdog W_IIDR", 0x2a44_0fccn, 0x0001_043b],
    ["trusted watchdog", 0x2a49_0fe0n, "external"],
    ["CNTTIDR", 0x2a81_0008n, 0x11],
    ["frame 0 CNTFRQ, which is Secure", 0x2a82_0010n, 0],
    ["frame 1 CNTFRQ", 0x2a83_0010n, 100_000_000],
    ["SMMUv3", 0x2b40_0000n, "external"],
    ["GICC", 0x2c00_0000n, "external"],
    ["NS SRAM", 0x2e00_0000n, 0],
    ["past NS SRAM", 0x2e01_0000n, "external"],
    ["GICD_PIDR2", 0x2f00_ffe8n, 0x3b],
    ["GICR of the 8th PE, TYPER", 0x2f1e_0008n, 0x710],
    ["past the last GICR", 0x2f20_0000n, "external"],
    ["PCIe ECAM", 0x4000_0000n, 0xffff_ffff],
    ["PCIe ECAM, last function", 0x4fff_f000n, 0xffff_ffff],
    ["PCIe memory", 0x5000_0000n, "external"],
    ["trusted NV counters", 0x7fe7_0000n, "external"],
    ["NVM", 0x8280_fffcn, 0xffff_ffff],
    ["DRAM", 0x8281_0000n, 0],
    ["Secure DRAM", 0xfd00_0000n, "gpf"],
    ["RMM", 0xfdc0_0000n, "gpf"],
    ["EL3 DRAM", 0xffe0_0000n, "gpf"],
    ["past the first bank", 0x1_0000_0000n, "external"],
    ["the second bank, which is not there", 0x8_8000_0000n, "external"],
  ];
  const fvp = fvpWith(probe(cases.map(([, at]) => at)));
  run(fvp);
  const results = fvp.words(RESULTS, cases.length);

  test.each(cases.map(([name, , expected], n) => ({ name, expected, result: results[n]! })))(
    "$name",
    ({ expected, result }) => {
      if (typeof expected === "number")
        expect([isRead(result), Number(result & 0xffff_ffffn)]).toEqual([true, expected]);
      else expect(result & 0x3fn).toBe(expected === "gpf" ? DFSC.GPF : DFSC.EXTERNAL);
    },
  );
});

/** Enables an SPI for this PE, at a priority that is not masked. */
function enableSpi(a: Assembler, intid: number): void {
  const store = (at: bigint, value: number) => a.mov(9, at).mov(10, value).strw(10, 9);
  a.mov(9, GICD + 0x6000n + 8n * BigInt(intid)).str(31, 9); // GICD_IROUTER: PE 0
  store(GICD + 0x100n + BigInt(4 * (intid >> 5)), 2 ** (intid & 31));
  a.set("ICC_PMR_EL1", 0xf8).set("ICC_IGRPEN1_EL1", 1);
}

describe("interrupts that wake a PE from WFI", () => {
  test("the timer frame, at its exact count", () => {
    const fvp = fvpWith((a) => {
      enableSpi(a, 58);
      a.mov(9, TIMER_FRAME).mov(10, 1_000_000).str(10, 9, 0x20).mov(10, 1).strw(10, 9, 0x2c);
      a.wfi().mrs(4, "CNTPCT_EL0").mrs(5, "ICC_IAR1_EL1").mov(8, RESULTS);
      keep(a, 4, 5);
      call(a, SYSTEM_OFF);
    });
    run(fvp);
    expect(fvp.words(RESULTS, 2)).toEqual([1_000_000n, 58n]);
  });

  test.each([
    [
      "SP804",
      34,
      0x1c11_0000n,
      [
        [0x00, 999],
        [0x08, 0xe2],
      ],
    ],
    [
      "SP805",
      32,
      0x1c0f_0000n,
      [
        [0x00, 24_000],
        [0x08, 1],
      ],
    ],
    [
      "generic watchdog",
      59,
      0x2a44_0000n,
      [
        [0x08, 100_000],
        [0x00, 1],
      ],
    ],
    [
      "UART transmit",
      37,
      0x1c09_0000n,
      [
        [0x38, 0x20],
        [0x00, 0x41],
      ],
    ],
  ] as const)("%s", (_, intid, base, stores) => {
    const fvp = fvpWith((a) => {
      enableSpi(a, intid);
      a.mov(9, base);
      for (const [offset, value] of stores) a.mov(10, value).strw(10, 9, offset);
      a.wfi().mrs(5, "ICC_IAR1_EL1").mov(8, RESULTS);
      keep(a, 5);
      call(a, SYSTEM_OFF);
    });
    run(fvp);
    expect(fvp.words(RESULTS, 1)).toEqual([BigInt(intid)]);
  });
});

test("the system counter runs at 100 MHz, one instruction a tick, also while PEs are off", () => {
  const fvp = fvpWith((a) => {
    a.mrs(4, "CNTPCT_EL0").mrs(5, "CNTPCT_EL0").mov(9, 0x2a80_0000n).ldr(6, 9).mov(8, RESULTS);
    keep(a, 4, 5, 6);
    call(a, SYSTEM_OFF);
  });
  run(fvp);
  const [first, second, frame] = fvp.words(RESULTS, 3);
  expect([second! - first!, frame! - second!]).toEqual([1n, 3n]);
});
