/** The board `fvp`: emulated code at NS-EL2 over the monitor and the project's own RMM. */
import { Gpi, RMI_FID } from "@realmbox/abi";
import { expect, test } from "vitest";
import { call, type Fvp, fvpWith, keep, print, UART } from "./fvp.oracle.js";

const RESULTS = 0x8000_0000n;
const PSCI = { CPU_ON: 0xc400_0003, SYSTEM_OFF: 0x8400_0008 };
const SUCCESS = 0n;
/** MPIDR_EL1.MT, which TF-A-Tests leaves in a target. */
const MT = 1 << 24;

const runToOff = ({ machine }: Fvp): void => {
  expect(machine.run({ instructions: 2_000_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
};

test("an image at NS-EL2 finds TF-A's entry state, prints by its UART and calls the RMM", () => {
  const fvp = fvpWith(
    (a) => {
      a.mov(8, RESULTS);
      keep(a, 0, 1, 2, 3);
      for (const name of ["CurrentEL", "MPIDR_EL1", "CNTFRQ_EL0", "SCTLR_EL2", "ICC_SRE_EL2"]) {
        a.mrs(4, name);
        keep(a, 4);
      }
      print(a, UART[2], "hello");
      print(a, UART[0], "0");
      call(a, RMI_FID.RMI_VERSION, 0x1_0000);
      keep(a, 0, 1, 2);
      call(a, RMI_FID.RMI_GRANULE_DELEGATE, 0x9000_0000n);
      keep(a, 0);
      call(a, RMI_FID.RMI_GRANULE_DELEGATE, 0xfbff_f000n);
      keep(a, 0);
      call(a, PSCI.SYSTEM_OFF);
    },
    { hwConfig: Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed) },
  );
  runToOff(fvp);
  expect(fvp.output("uart2")).toBe("hello");
  expect(fvp.output("uart0")).toBe("0");
  expect(fvp.words(RESULTS, 9)).toEqual([0n, 0x8200_0000n, 0n, 0n, 8n, 0x8100_0000n, 100_000_000n, 0x30c5_0830n, 0xfn]);
  expect(fvp.words(RESULTS + 72n, 5)).toEqual([SUCCESS, 0x1_0000n, 0x1_0000n, SUCCESS, SUCCESS]);
  expect(fvp.words(0x8200_0000n, 1)).toEqual([0xedfe_0dd0n]);
});

test("PSCI_CPU_ON finds each PE by its MPIDR, and the GIC its redistributor", () => {
  const others = [0x100, 0x200, 0x300, 0x1_0000, 0x1_0100, 0x1_0200, 0x1_0300];
  const fvp = fvpWith((a) => {
    a.mov(8, RESULTS);
    // A PE that is not there: Aff0 is always 0.
    call(a, PSCI.CPU_ON, 1, 0x8800_0800n);
    keep(a, 0);
    for (const [n, mpidr] of others.entries()) {
      call(a, PSCI.CPU_ON, n % 2 === 0 ? mpidr : mpidr | MT, 0x8800_0800n, n + 1);
      keep(a, 0);
    }
    // Until the last PE has written its word.
    a.mov(9, RESULTS + 0x100n + 7n * 16n)
      .label("wait")
      .ldr(10, 9)
      .cbnz(10, "all")
      .b("wait")
      .label("all");
    for (let n = 0; n < 8; n++) {
      a.mov(9, 0x2f10_0008n + BigInt(n) * 0x2_0000n).ldr(10, 9);
      keep(a, 10);
    }
    call(a, PSCI.SYSTEM_OFF);
    a.org(0x800);
    // X0 is the context id n: MPIDR to RESULTS + 0x100 + 16n + 8, then n to the word before it.
    a.mov(9, RESULTS + 0x100n)
      .word(0x8b00_1129)
      .mrs(10, "MPIDR_EL1")
      .str(10, 9, 8)
      .str(0, 9)
      .loop(); // add x9, x9, x0, lsl #4
  });
  runToOff(fvp);
  const [missing, ...started] = fvp.words(RESULTS, 8);
  expect(missing).toBe(BigInt.asUintN(64, -2n));
  expect(started).toEqual(others.map(() => SUCCESS));
  others.forEach((mpidr, n) => {
    expect(fvp.words(RESULTS + 0x110n + BigInt(n) * 16n, 2)).toEqual([BigInt(n + 1), 0x8100_0000n | BigInt(mpidr)]);
  });
  expect(fvp.words(RESULTS + 64n, 8)).toEqual(
    [0, ...others].map((mpidr, n) => (BigInt(mpidr) << 32n) | (BigInt(n) << 8n) | (n === 7 ? 0x10n : 0n)),
  );
});

test("the GPT at boot", () => {
  const fvp = fvpWith((a) => call(a, PSCI.SYSTEM_OFF), { secondBank: true });
  runToOff(fvp);
  const { protection } = fvp.machine.pes[0]!;
  for (const [pa, gpi] of [
    [0x0000_0000, Gpi.ANY],
    [0x0400_0000, Gpi.ROOT],
    [0x0403_f000, Gpi.ROOT],
    [0x0600_0000, Gpi.SECURE],
    [0x07ff_f000, Gpi.SECURE],
    [0x1c09_0000, Gpi.ANY],
    [0x2e00_0000, Gpi.ANY],
    [0x7fff_f000, Gpi.ANY],
    [0x8000_0000, Gpi.NS],
    [0xfbff_f000, Gpi.NS],
    [0xfc00_0000, Gpi.SECURE],
    [0xfdbf_f000, Gpi.SECURE],
    [0xfdc0_0000, Gpi.REALM],
    [0xffbf_f000, Gpi.REALM],
    [0xffc0_0000, Gpi.ROOT],
    [0xffff_f000, Gpi.ROOT],
    [0x1_0000_0000, Gpi.ANY],
    [0x8_8000_0000, Gpi.NS],
    [0x8_ffff_f000, Gpi.NS],
  ] as const) {
    expect([pa.toString(16), protection.gpi(pa)]).toEqual([pa.toString(16), gpi]);
  }
});
