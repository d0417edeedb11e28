import { Gpi, Pas, RMM_BOOT_STATUS, RmmDramBank, RmmManifest, rmmManifestChecksum, SecurityState } from "@realmbox/abi";
import { baseBoard, OFF, type Pe, R } from "@realmbox/machine";
import { toHex } from "@realmbox/token";
import { describe, expect, test } from "vitest";
import {
  answering,
  bootingRmm,
  crypto,
  DRAM,
  MONITOR_IMAGE,
  RMM_IMAGE,
  run,
  type Script,
  smc,
  systemOff,
  UNKNOWN,
} from "./harness.oracle.js";
import { imageProblem } from "./images.js";

const SHARED_PAGE = 0x4400_0000n - 0x1000n;
const RMI_VERSION = 0xc400_0150n;
const CPU_ON = 0xc400_0003n;
const AFFINITY_INFO = 0xc400_0004n;
const ENTRY = DRAM.base + 0x1000n;

const sha256 = (data: Uint8Array) => toHex(crypto.hash("sha-256", data));
/** Where a PE starts in a world: what software can see of it. */
const startOf = (pe: Pe) => ({
  state: pe.state,
  pstate: pe.pstate,
  pc: pe.r[R.PC]!,
  x: Array.from({ length: 5 }, (_, n) => pe.r[R.X0 + n]!),
  others: Array.from({ length: 26 }, (_, n) => pe.r[R.X0 + 5 + n]!).every((value) => value === 0n),
  sctlr: pe.r[R.SCTLR_EL2]!,
  hcr: pe.r[R.HCR_EL2]!,
  vmpidr: pe.r[R.VMPIDR_EL2]!,
});

describe("cold boot", () => {
  const seen: Record<string, ReturnType<typeof startOf>> = {};
  let manifest = new Uint8Array(0x1000);
  const { machine, end, events } = run({
    peCount: 2,
    rmm: function* (pe) {
      seen.rmm = startOf(pe);
      manifest = new Uint8Array(0x1000);
      pe.port(Pas.REALM).copyIn(SHARED_PAGE, manifest);
      return yield* answering(() => [0n])(pe);
    },
    host: function* (pe) {
      seen.host = startOf(pe);
      return yield* systemOff(pe);
    },
  });

  test("what happens, in order, with the measurements", () => {
    expect(events).toEqual([
      `measured type=AP_BL31 sha-256=${sha256(MONITOR_IMAGE)}`,
      `measured type=RMM sha-256=${sha256(RMM_IMAGE)}`,
      "GPT l0=0x100000 pps=32",
      "RMM cold boot pe=0",
      "RMM boot complete pe=0 status=E_RMM_BOOT_SUCCESS",
      "Non-secure world pe=0 entry=0x80000000 x0=0x0",
      "PSCI_SYSTEM_OFF from=Host x1=0x0 x2=0x0 x3=0x0 status=off",
    ]);
    expect(end).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
  });

  test("the RMM starts at R-EL2 with CPU index, interface version, CPU count and shared page", () => {
    expect(seen.rmm).toEqual({
      state: SecurityState.REALM,
      pstate: 0x3c9n,
      pc: 0x4000_0000n,
      x: [0n, 0x8n, 2n, SHARED_PAGE, 0n],
      others: true,
      sctlr: 0x30c5_0830n,
      hcr: 0n,
      vmpidr: 0x8000_0000n,
    });
  });

  test("the Host starts at NS-EL2 at its entry", () => {
    expect(seen.host).toEqual({
      state: SecurityState.NON_SECURE,
      pstate: 0x3c9n,
      pc: 0x8000_0000n,
      x: [0n, 0n, 0n, 0n, 0n],
      others: true,
      sctlr: 0x30c5_0830n,
      hcr: 0n,
      vmpidr: 0x8000_0000n,
    });
  });

  test("boot manifest 0.3: NS DRAM, right checksums, pointers inside the page, no console", () => {
    const fields = RmmManifest.decode(manifest);
    expect(fields).toMatchObject({ version: 3, dram_num_banks: 1n, console_num_consoles: 0n, console_checksum: 0n });
    const offset = Number(fields.dram_banks - SHARED_PAGE);
    expect(RmmDramBank.decode(manifest, offset)).toEqual(DRAM);
    const banks = manifest.subarray(offset, offset + RmmDramBank.size);
    expect(fields.dram_checksum).toBe(rmmManifestChecksum(1n, fields.dram_banks, banks));
  });

  test.each([
    { what: "Root carve-out", pa: 0x0, gpi: Gpi.ROOT },
    { what: "its end", pa: 0x3ff_f000, gpi: Gpi.ROOT },
    { what: "after it", pa: 0x400_0000, gpi: Gpi.ANY },
    { what: "UART", pa: 0x1c09_0000, gpi: Gpi.ANY },
    { what: "GICD", pa: 0x2f00_0000, gpi: Gpi.ANY },
    { what: "Realm carve-out", pa: 0x4000_0000, gpi: Gpi.REALM },
    { what: "shared page", pa: Number(SHARED_PAGE), gpi: Gpi.REALM },
    { what: "after it", pa: 0x4400_0000, gpi: Gpi.ANY },
    { what: "DRAM", pa: 0x8000_0000, gpi: Gpi.NS },
    { what: "its end", pa: 0x83ff_f000, gpi: Gpi.NS },
    { what: "after it", pa: 0x8400_0000, gpi: Gpi.ANY },
    { what: "a GiB of level 0", pa: 0xc000_0000, gpi: Gpi.ANY },
  ])("GPI of $what", ({ pa, gpi }) => {
    expect(machine.pes[0]!.protection.gpi(pa)).toBe(gpi);
  });

  test("the GPC is on, and EL3 takes no interrupt and no GPF", () => {
    const { r } = machine.pes[0]!;
    expect(r[R.GPCCR_EL3]! & (1n << 16n)).not.toBe(0n);
    expect(r[R.SCR_EL3]! & ((1n << 48n) | 0xen)).toBe(0n);
  });
});

describe("the Host's view of the GIC after boot", () => {
  test("ARE_NS is set, interrupts are its own, priorities are not shifted by SCR_EL3.FIQ", () => {
    const read: bigint[] = [];
    run({
      host: function* (pe) {
        const at = (pa: bigint) => {
          const data = new Uint8Array(4);
          expect(pe.port(Pas.NS).copyIn(pa, data)).toBeUndefined();
          return BigInt(new DataView(data.buffer).getUint32(0, true));
        };
        pe.port(Pas.NS).copyOut(0x2f00_0104n, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
        pe.port(Pas.NS).copyOut(0x2f11_0100n, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
        read.push(at(0x2f00_0000n), at(0x2f00_0104n), at(0x2f11_0100n), at(0x2f10_0014n));
        pe.msr("ICC_PMR_EL1", 0x08n);
        read.push(pe.mrs("ICC_PMR_EL1"), pe.mrs("ICC_SRE_EL2"));
        return yield* systemOff(pe);
      },
    });
    expect(read).toEqual([0x12n, 0xffff_ffffn, 0xffff_ffffn, 0n, 0x08n, 0xfn]);
  });
});

describe("configuration blobs", () => {
  test("are measured in order, copied to DRAM, and their address is the Host's X1", () => {
    const data = Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed);
    const copy = new Uint8Array(4);
    let x1 = 0n;
    const { events } = run({
      options: {
        configs: [
          { name: "FW_CONFIG", data: Uint8Array.of(1) },
          { name: "HW_CONFIG", data, loadAt: 0x8200_0000n },
        ],
      },
      host: function* (pe) {
        x1 = pe.r[R.X0 + 1]!;
        pe.port(Pas.NS).copyIn(x1, copy);
        return yield* systemOff(pe);
      },
    });
    expect([x1, copy]).toEqual([0x8200_0000n, data]);
    expect(events.slice(0, 3)).toEqual([
      `measured type=AP_BL31 sha-256=${sha256(MONITOR_IMAGE)}`,
      `measured type=FW_CONFIG sha-256=${sha256(Uint8Array.of(1))}`,
      `measured type=HW_CONFIG sha-256=${sha256(data)}`,
    ]);
  });
});

test("binary images are put where they run, and entered there", () => {
  const rmm = Uint8Array.from({ length: 5000 }, (_, n) => n & 0xff);
  const image = Uint8Array.from({ length: 9000 }, (_, n) => (n * 7) & 0xff);
  const copies = [new Uint8Array(rmm.length), new Uint8Array(image.length)] as const;
  const entries: bigint[] = [];
  const { events } = run({
    options: { rmm: { kind: "binary", image: rmm }, host: { kind: "binary", image, loadAt: 0x8080_0000n } },
    rmm: function* (pe) {
      entries.push(pe.r[R.PC]!);
      pe.port(Pas.REALM).copyIn(0x4000_0000n, copies[0]);
      return yield* answering(() => [0n])(pe);
    },
    host: function* (pe) {
      entries.push(pe.r[R.PC]!);
      pe.port(Pas.NS).copyIn(0x8080_0000n, copies[1]);
      return yield* systemOff(pe);
    },
  });
  expect(copies).toEqual([rmm, image]);
  expect(entries).toEqual([0x4000_0000n, 0x8080_0000n]);
  expect(events[1]).toBe(`measured type=RMM sha-256=${sha256(rmm)}`);
});

describe("images that do not fit", () => {
  const board = baseBoard({ dramSize: DRAM.size });
  const data = new Uint8Array(0x2000);
  const end = DRAM.base + DRAM.size;
  test.each([
    { what: "nothing", images: { host: { kind: "native" } }, problem: undefined },
    {
      what: "an RMM larger than the Realm carve-out",
      images: { host: { kind: "native" }, rmm: { kind: "binary", image: { length: 64 << 20 } as Uint8Array } },
      problem: "rmm-too-large",
    },
    {
      what: "a Host image that ends past DRAM",
      images: { host: { kind: "binary", image: data, loadAt: end - 0x1000n } },
      problem: "not-in-dram",
    },
    {
      what: "a configuration below DRAM",
      images: { host: { kind: "native" }, configs: [{ name: "HW_CONFIG", data, loadAt: 0x1000n }] },
      problem: "not-in-dram",
    },
    {
      what: "seven configurations",
      images: { host: { kind: "native" }, configs: new Array(7).fill({ name: "FW_CONFIG", data }) },
      problem: "too-many-configs",
    },
  ] as const)("$what", ({ images, problem }) => {
    expect(imageProblem(board, images)?.kind).toBe(problem);
  });
});

describe("without a working RMM the Host boots, and RMI calls are unknown", () => {
  const host = (results: bigint[]): Script =>
    function* (pe) {
      results.push((yield* smc(pe, RMI_VERSION))[0]!);
      return yield* systemOff(pe);
    };
  test("no RMM", () => {
    const results: bigint[] = [];
    expect(run({ host: host(results) }).end.kind).toBe("stopped");
    expect(results).toEqual([UNKNOWN]);
  });
  test.each(Object.entries(RMM_BOOT_STATUS).filter(([, status]) => status !== 0n))(
    "cold boot ends with %s",
    (name, status) => {
      const results: bigint[] = [];
      const { events } = run({
        host: host(results),
        rmm: bootingRmm(
          answering(() => [0n]),
          status,
        ),
      });
      expect(results).toEqual([UNKNOWN]);
      expect(events).toContain(`RMM boot complete pe=0 status=${name}`);
    },
  );
  test("a failed boot of one PE ends the RMM on all of them", () => {
    const results: bigint[] = [];
    run({
      peCount: 2,
      rmm: function* (pe) {
        return yield* pe.index === 0
          ? answering(() => [0n])(pe)
          : bootingRmm(
              answering(() => [0n]),
              RMM_BOOT_STATUS.E_RMM_BOOT_ERR_UNKNOWN,
            )(pe);
      },
      host: function* (pe) {
        if (pe.index === 1) {
          results.push((yield* smc(pe, RMI_VERSION))[0]!);
          return OFF;
        }
        results.push((yield* smc(pe, RMI_VERSION))[0]!);
        yield* smc(pe, CPU_ON, 1n, ENTRY, 0n);
        while ((yield* smc(pe, AFFINITY_INFO, 1n, 0n))[0] !== 0n);
        results.push((yield* smc(pe, RMI_VERSION))[0]!);
        return yield* systemOff(pe);
      },
    });
    expect([results[0], ...results.slice(1).sort()]).toEqual([0n, UNKNOWN, UNKNOWN]);
  });
});

describe("secondary PEs", () => {
  test("PSCI_CPU_ON: RMM warm boot, then the Host at its entry with its context id; again after CPU_OFF", () => {
    const rmmStarts: bigint[][] = [];
    const hostStarts: unknown[] = [];
    const { end, events } = run({
      peCount: 2,
      rmm: function* (pe) {
        rmmStarts.push([BigInt(pe.index), ...startOf(pe).x.slice(0, 4)]);
        return yield* answering(() => [0n])(pe);
      },
      host: function* (pe) {
        if (pe.index === 1) {
          const { state, pstate, pc, x, vmpidr } = startOf(pe);
          hostStarts.push({ state, pstate, pc, x, vmpidr });
          pe.r[R.HCR_EL2] = 0x1234n;
          yield* smc(pe, 0x8400_0002n);
          throw new Error("CPU_OFF does not return");
        }
        for (const contextId of [0x55n, 0x66n]) {
          expect((yield* smc(pe, CPU_ON, 1n, ENTRY, contextId))[0]).toBe(0n);
          while ((yield* smc(pe, AFFINITY_INFO, 1n, 0n))[0] !== 1n);
        }
        return yield* systemOff(pe);
      },
    });
    expect(end).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
    expect(rmmStarts).toEqual([
      [0n, 0n, 8n, 2n, SHARED_PAGE],
      [1n, 1n, 0n, 0n, 0n],
      [1n, 1n, 0n, 0n, 0n],
    ]);
    const start = { state: SecurityState.NON_SECURE, pstate: 0x3c9n, pc: ENTRY, vmpidr: 0x8000_0001n };
    expect(hostStarts).toEqual([
      { ...start, x: [0x55n, 0n, 0n, 0n, 0n] },
      { ...start, x: [0x66n, 0n, 0n, 0n, 0n] },
    ]);
    expect(events.filter((event) => event === "RMM warm boot pe=1")).toHaveLength(2);
  });

  test("a reset of the machine is a cold boot again", () => {
    const setup = run({ host: systemOff, rmm: answering(() => [0n]) });
    const before = setup.events.length;
    setup.machine.reset();
    expect(setup.machine.run({ instructions: 100_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
    expect(setup.events.slice(before)).toEqual(setup.events.slice(0, before));
  });
});
