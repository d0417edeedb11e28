/**
 * Images that a stock compiler makes and the project does not know: Debian's aarch64-linux-gnu-gcc, an ELF executable and
 * the same as a flat binary, booted by the command.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../support/cli.js";

const cross = "aarch64-linux-gnu-";
const missing = spawnSync(`${cross}gcc`, ["--version"]).error !== undefined;
const folder = temporaryFolder("stock");
const source = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describe.skipIf(missing)(`compiled by gcc${missing ? " (skipped: no aarch64-linux-gnu-gcc)" : ""}`, () => {
  const elf = join(folder, "stock.elf");
  const flat = join(folder, "stock.bin");
  beforeAll(() => {
    const flags = [
      "-O2",
      "-ffreestanding",
      "-fno-builtin",
      "-nostdlib",
      "-static",
      "-mgeneral-regs-only",
      "-mstrict-align",
    ];
    // Where a flat binary goes: the ELF file is linked for the same place, so that one can be made of the other.
    const place = [
      "-Wl,--section-start=.text=0x80080000",
      "-Wl,--build-id=none",
      "-Wl,-z,max-page-size=4096",
      "-Wl,-e,_start",
    ];
    execFileSync(`${cross}gcc`, [...flags, ...place, source("stock.S"), source("stock.c"), "-o", elf], {
      stdio: "pipe",
    });
    execFileSync(`${cross}objcopy`, ["-O", "binary", elf, flat]);
  });

  test.each([
    ["ELF", () => elf],
    ["flat binary", () => flat],
  ])("%s", async (_, image) => {
    const { code, stdout, stderr } = await realmbox(["run", "--realm", image()]);
    expect(stdout).toBe("stock compiler: in a realm of 33 bits, with a device tree\n");
    expect(stderr).toContain("exit 42");
    expect(code).toBe(42);
    const json = JSON.parse((await realmbox(["run", "--realm", "--json", image()])).stdout);
    const measured = await realmbox(["measure", image()]);
    expect(json.rim.expected).toBe(measured.stdout.trim());
  });

  test("with any number of vCPUs and any memory", async () => {
    for (const options of [
      ["-c", "8"],
      ["-m", "16"],
      ["-m", "1G"],
    ]) {
      expect((await realmbox(["run", "--realm", "-q", ...options, flat])).code, options.join(" ")).toBe(42);
    }
  });
});
