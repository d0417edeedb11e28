/**
 * Debian's kernel as the Host at NS-EL2 of board `fvp`, with KVM and a guest of KVM's: EL2 as emulated code, its virtual
 * machine's stage 2, virtual GIC and timers, in VHE (the kernel at EL2), nVHE and protected mode (the kernel at EL1), with one
 * interleaving of PEs and another.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../packages/realmbox/src/crypto/node.js";
import { Fvp } from "../../packages/realmbox/src/fvp/fvp.js";
import { cpioArchive } from "../../packages/realmbox/src/images/cpio.js";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { LINUX_HANG_MS, temporaryFolder } from "../support/cli.js";
import { complaints, DEBIAN, missing } from "./debian.js";

const folder = temporaryFolder("linux-kvm");
const source = (name: string) => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

/** Runs a tool on sources; the reason why it cannot be had or fails, or undefined. */
function make(tool: string, ...args: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync(tool, args);
  if (error) return `no ${tool}`;
  return status === 0 ? undefined : `${tool}: ${stderr.toString().split("\n")[0]}`;
}

const why =
  (await missing(DEBIAN)) ??
  make("aarch64-linux-gnu-gcc", "-O2", "-static", "-o", join(folder, "kvm"), source("kvm.c"), source("kvm-guest.S"));

const INITRD = { address: 0x9000_0000n, size: 0x40_0000 } as const;
const KERNEL_OFFSET = 0x20_0000;
const CONSOLE = "console=ttyAMA0 nokaslr panic=-1 cryptomgr.notests=1";

/** An image that is entered at its first byte with the device tree in X1, as Linux wants it: in X0, the others zero. */
function withEntry(kernel: Uint8Array): Uint8Array {
  const image = new Uint8Array(KERNEL_OFFSET + kernel.length);
  const movX0X1 = 0xaa01_03e0;
  const clear = [1, 2, 3].map((n) => 0xaa1f_03e0 | n);
  const branch = 0x1400_0000 | ((KERNEL_OFFSET - 16) / 4);
  image.set(new Uint8Array(Uint32Array.of(movX0X1, ...clear, branch).buffer));
  image.set(kernel, KERNEL_OFFSET);
  return image;
}

/** What the guest's accesses are, in order. */
const EXPECTED = [
  "write 9000000 7a314", // 1 + 2 + … + 1000
  "read 9000008 1122334455667788",
  "write 9000010 1122334455667788",
  "read 9000018 1122334455667788",
  "write 9000020 ffffffffffffff88",
  "write 9000028 80000000",
  /^write 9000030 1000[0-9a-f]$/, // PSCI 1.x
  "write 9000040 100", // SGI 0
  "write 9000048 11b", // the virtual timer, 27
  "write 9000050 1",
  "write 9000058 4008000000000000", // 3.0
  "write 9000ff8 0",
] as const;

describe("KVM at NS-EL2", () => {
  test.skipIf(why !== undefined).each([
    { mode: "VHE", parameters: "", says: "VHE mode initialized successfully", interleave: 0n },
    { mode: "VHE, PEs interleaved", parameters: "", says: "VHE mode initialized successfully", interleave: 3n },
    {
      mode: "nVHE",
      parameters: " kvm-arm.mode=nvhe",
      says: "Hyp nVHE mode initialized successfully",
      interleave: 0n,
    },
    {
      // E2H without TGE; the Host's kernel at EL1 has a stage 2 of its own.
      mode: "protected, hVHE",
      parameters: " kvm-arm.mode=protected",
      says: "Protected hVHE mode initialized successfully",
      interleave: 0n,
    },
  ])(
    `$mode${why === undefined ? "" : ` (skipped: ${why})`}`,
    ({ parameters, says, interleave }) => {
      const store = new ImageStore();
      const kernel = readFileSync(store.path(store.find(DEBIAN.name)!.kernel));
      const dtb = join(folder, "host.dtb");
      const bootargs = `/ { chosen { bootargs = "${CONSOLE}${parameters} ignore_loglevel"; }; };`;
      const tree = spawnSync("dtc", ["-q", "-O", "dtb", "-o", dtb], {
        input: `${readFileSync(source("host.dts"))}\n${bootargs}`,
      });
      expect(tree.status, "dtc").toBe(0);
      let output = "";
      const fvp = new Fvp({
        crypto: nodeCrypto,
        ns: { name: "linux", bytes: withEntry(kernel) },
        hwConfig: { name: "host.dtb", bytes: readFileSync(dtb) },
        pes: 2,
        suite: "none",
        interleave,
        onUart: (uart, byte) => {
          if (uart === 0) output += String.fromCharCode(byte);
        },
      });
      const bytes = readFileSync(join(folder, "kvm"));
      const initrd = new Uint8Array(INITRD.size);
      initrd.set(
        cpioArchive(
          new Map([
            ["init", { kind: "file", mode: 0o755, bytes }],
            ["dev/console", { kind: "character-device", mode: 0o600, major: 5, minor: 1 }],
          ]),
        ),
      );
      fvp.machine.load(INITRD.address, initrd);
      const end = fvp.run({ instructions: 3e9 });
      const log = output.replaceAll("\r", "");
      expect(end, log.slice(-2000)).toMatchObject({ kind: "off" });
      expect(log).toContain("CPU: All CPU(s) started at EL2");
      expect(log).toContain(says);
      const told = [...log.matchAll(/^kvm: ((?:read|write) .*)$/gm)].map(([, line]) => line);
      const wanted = told.filter((line) => !line.startsWith("write 9000038"));
      expect(wanted.length, log.slice(-2000)).toBe(EXPECTED.length);
      EXPECTED.forEach((line, i) => {
        if (typeof line === "string") expect(wanted[i]).toBe(line);
        else expect(wanted[i]).toMatch(line);
      });
      expect(complaints(log)).toEqual([]);
    },
    LINUX_HANG_MS,
  );
});
