/**
 * What users get wrong: exit code 125, one clear sentence with the option or file in it, a hint where there is one, and
 * nothing on stdout. The guest's machine is never started.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { image, prebuilt } from "../support/box.js";
import { realmbox, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder("bad-input");
const file = (name: string, bytes: Uint8Array | string): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

/** An ELF header of some machine; everything behind it is missing. */
function elf({ machine = 183, bits = 2, order = 1, type = 2 }): Uint8Array {
  const bytes = Buffer.alloc(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits, order, 1]);
  const write16 = (at: number, value: number) =>
    order === 1 ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at);
  write16(16, type);
  write16(18, machine);
  return bytes;
}

const hello = image("hello");
const paths = {
  empty: file("empty", ""),
  gzip: file("Image.gz", gzipSync(hello).subarray(0, 200)),
  xz: file("Image.xz", Buffer.from("fd377a585a00", "hex")),
  x86: file("x86.elf", elf({ machine: 62 })),
  riscv: file("riscv.elf", elf({ machine: 243 })),
  arm: file("arm.elf", elf({ machine: 40, bits: 1 })),
  bigEndian: file("be.elf", elf({ order: 2 })),
  object: file("object.o", elf({ type: 1 })),
  truncatedElf: file("cut.elf", readFileSync(new URL("hello.elf", prebuilt)).subarray(0, 20_000)),
  large: file("large", new Uint8Array(40 << 20)),
  initrd: file("initrd", new Uint8Array(40 << 20)),
  script: file("script", "#!/bin/sh\necho hello\n"),
  bzImage: file("bzImage", Buffer.concat([Buffer.alloc(0x202), Buffer.from("HdrS"), Buffer.alloc(4096)])),
};

type Case = readonly [args: readonly string[], stderr: RegExp];

describe.each<readonly [string, readonly Case[]]>([
  [
    "images",
    [
      [["run", "--realm", "./nope"], /image: cannot read '\.\/nope': no such file/],
      [["run", folder], /cannot read '.*': is a directory/],
      [["run", "helo"], /no file and no built-in or fetched image 'helo'\n\s+did you mean hello\?/],
      [["run", "--kernel", "nope"], /'-k, --kernel'.*'nope'/],
      [["run", paths.empty], /the file is empty/],
      [["run", paths.gzip], /Image\.gz cannot be unpacked: unexpected end of file/],
      [["run", paths.xz], /compressed with xz\n\s+unpack it first: unxz/],
      [["run", paths.truncatedElf], /the ELF file ends inside segment/],
      [["run", paths.x86], /x86-64, not for AArch64/],
      [["run", paths.riscv], /RISC-V, not for AArch64/],
      [["run", paths.arm], /(32-bit|Arm|AArch32)/i],
      [["run", paths.bigEndian], /big-endian/i],
      [["run", paths.object], /(relocatable|object|not an executable)/i],
      [["run", paths.bzImage], /x86/],
      [["run", paths.script], /script/],
      [["run", "-m", "32", paths.large], /needs memory up to .* RAM ends at/],
      [["run", "-m", "32", "-i", paths.initrd, "hello"], /(room|memory|RAM)/],
      [["run", "-i", "./nope", "hello"], /'-i, --initrd'.*no such file/],
      [["run"], /no image given/],
      [["run", "hello", "smp"], /too many arguments/],
      [["run", "--kernel", "hello", "hello"], /both an image .* and --kernel/],
      [["measure", "helo"], /did you mean hello/],
      [["token", "--out", join(folder, "t.cbor"), "helo"], /did you mean hello/],
    ],
  ],
  [
    "memory",
    [
      [["run", "-m", "2", "hello"], /no room for .*\n\s+give the guest at least \d+ MiB \(-m\)/],
      [["run", "-m", "0", "hello"], /not a positive multiple of 4 KiB/],
      [["run", "-m", "4097B", "hello"], /not a positive multiple of 4 KiB/],
      [["run", "-m", "1.5G", "hello"], /'1\.5G' is not a size/],
      [["run", "-m", "much", "hello"], /'much' is not a size/],
      [["run", "-m", "99999P", "hello"], /(more than|IPA)/],
      [["run", "-m", "64@0x1000", "hello"], /RAM cannot start at 0x1000/],
    ],
  ],
  [
    "options",
    [
      [["run", "--relm", "hello"], /unknown option '--relm'\n\s*\(Did you mean --realm\?\)/],
      [["run", "--cpu", "2", "hello"], /Did you mean --cpus\?/],
      [["rnu", "hello"], /unknown command 'rnu'[\s\S]*did you mean '?run/i],
      [["run", "-c", "0", "hello"], /'-c, --cpus': '0' is not a whole number from 1 to 8/],
      [["run", "-c", "9", "hello"], /from 1 to 8/],
      [["run", "-c", "four", "hello"], /from 1 to 8/],
      [["run", "--pes", "0", "hello"], /'--pes'/],
      [["run", "--timeout", "-1", "hello"], /'--timeout': '-1'/],
      [["run", "--timeout", "soon", "hello"], /'--timeout': 'soon'/],
      [["run", "--max-instructions", "1e6", "hello"], /'--max-instructions'/],
      [["run", "--challenge", "zz", "--realm", "hello"], /'--challenge': not 1 to 64 bytes/],
      [["run", "--challenge", "00".repeat(65), "--realm", "hello"], /'--challenge': not 1 to 64 bytes/],
      [["run", "--seed", "x", "hello"], /'--seed'/],
      [["run", "--jit", "x", "hello"], /'--jit'.*neither on nor off/],
      [["run", "--check-translator", "0", "hello"], /'--check-translator'/],
      [["run", "--check-translator", "5", "--jit", "off", "hello"], /compares nothing/],
      [["run", "--check-translator", "5", "--clock", "host", "hello"], /--clock host/],
      [["conform", "--jit", "-1", "--filter", "RMI_VERSION"], /'--jit'/],
      [["run", "--interleave", "-1", "hello"], /'--interleave'/],
      [["run", "--kaslr-seed", "0x1ffffffffffffffff", "hello"], /'--kaslr-seed'/],
      [["run", "--realm", "--measurement-algo", "md5", "hello"], /'md5' is neither sha256 nor sha512/],
      [["run", "--realm", "--realm-pv", "a".repeat(65), "hello"], /65 bytes; 64 is the most/],
      [["run", "--realm-pv", "a", "hello"], /add --realm/],
      [["run", "--measurement-algo", "sha512", "hello"], /add --realm/],
      [["run", "-p", "x".repeat(3000), "hello"], /kernel command line has \d+ bytes/],
      [["run", "--trace=foo", "hello"], /no category 'foo'/],
      [["run", "--trace-out", join(folder, "t"), "hello"], /--trace-out without --trace/],
      [["run", "--trace", "--trace-out", join(folder, "no/such/folder"), "hello"], /'--trace-out': cannot write/],
      [["run", "--dump-dtb", join(folder, "no/such/folder"), "hello"], /'--dump-dtb': cannot write/],
      [["token", "hello"], /'--out <file>' is missing/],
      [["verify"], /missing required argument/],
    ],
  ],
  [
    "QEMU's options",
    [
      [["run", "-kernel", "hello"], /'-kernel' is QEMU's option\n\s+use --kernel/],
      [["run", "-append", "x", "hello"], /--params/],
      [["run", "-smp", "4", "hello"], /--cpus/],
      [["run", "-initrd", "x", "hello"], /--initrd/],
      [["run", "-nographic", "hello"], /QEMU's option/],
      [["run", "-machine", "virt", "hello"], /QEMU's option/],
      [["run", "-M", "virt", "hello"], /QEMU's option/],
      [["run", "-cpu", "max", "hello"], /QEMU's option/],
      [["run", "-realm", "hello"], /did you mean --realm\?/],
    ],
  ],
])("%s", (_, cases) => {
  test.each(cases)("%j", async (args, stderr) => {
    const result = await realmbox(args[0] === "run" ? [...args, "--json"] : args);
    expect(result.stderr).toMatch(stderr);
    expect(result.stderr).not.toContain("internal error");
    expect(result.stderr.split("\n").length).toBeLessThan(6);
    expect(result).toMatchObject({ code: 125, stdout: "" });
  });
});

test("--help and --version go to stdout with exit code 0", async () => {
  for (const args of [["--help"], ["run", "--help"], ["--version"]]) {
    const result = await realmbox(args);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout.length).toBeGreaterThan(4);
  }
});
