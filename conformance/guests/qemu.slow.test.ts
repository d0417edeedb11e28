/**
 * The guests on a machine that is not ours, as normal VMs on QEMU's virt board, and the build that makes them. QEMU is the oracle
 * for everything but the realm: boot protocol, MMU, GICv3, timers, PSCI.
 */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BENCH_SUMS } from "./bench-sums.js";

const guests = fileURLToPath(new URL("../../guests/", import.meta.url));
const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
const cross = "aarch64-linux-gnu-gcc";

interface QemuOptions {
  readonly image: string;
  readonly cpu?: string;
  readonly cpus?: number;
  readonly bootargs?: string;
  readonly initrd?: string;
}

/** The console of a run; the guest ends it by PSCI SYSTEM_OFF. */
function qemu({ image, cpu = "cortex-a57", cpus = 1, bootargs, initrd }: QemuOptions): Promise<string> {
  const options = [
    "-M",
    "virt,gic-version=3",
    "-cpu",
    cpu,
    "-smp",
    `${cpus}`,
    "-nographic",
    "-nic",
    "none",
    "-kernel",
    image,
  ];
  if (bootargs !== undefined) options.push("-append", bootargs);
  if (initrd !== undefined) options.push("-initrd", initrd);
  return new Promise((resolve, reject) =>
    execFile("qemu-system-aarch64", options, { timeout: 60_000 }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}`)),
    ),
  );
}

function suite(folder: () => string) {
  const image = (name: string) => join(folder(), `${name}.bin`);

  test("hello says what it sees", async () => {
    const initrd = join(guests, "../LICENSE");
    const console = await qemu({ image: image("hello"), cpus: 2, bootargs: "exit=5 other", initrd });
    expect(console).toContain("world:          normal VM\n");
    expect(console).toContain("CPUs:           2,");
    expect(console).toContain("RAM:            128 MiB at 0x40000000\n");
    expect(console).toContain("bootargs:       exit=5 other\n");
    const bytes = readFileSync(initrd);
    const crc = crc32(bytes).toString(16).padStart(8, "0");
    expect(console).toMatch(new RegExp(`initrd: +${bytes.length} bytes at 0x[0-9a-f]+, CRC-32 ${crc}\\n`));
    expect(console).toContain("exit status 5\n");
  });

  test.each([
    { cpus: 1, cpu: "cortex-a57" },
    { cpus: 4, cpu: "cortex-a57" },
    { cpus: 8, cpu: "max" },
  ])("smp with $cpus CPUs of type $cpu", async ({ cpus, cpu }) => {
    const console = await qemu({ image: image("smp"), cpus, cpu });
    expect(console).toContain(`smp: ${cpus} CPUs up\n`);
    expect(console).toContain("smp: ok\nexit status 0\n");
  });

  test("rsi-check finds no RSI", async () => {
    const console = await qemu({ image: image("rsi-check") });
    expect(console).toContain("no RSI here");
    expect(console).toContain("exit status 0\n");
  });

  test.each([
    "memory n=500",
    "devices",
    "sysregs",
    "fuzz calls=5000 seed=3",
    "exits n=100",
    "mmio n=100",
    "ticks n=50",
    "pages n=100",
    "mix n=5",
  ])("hostile case=%s", async (bootargs) => {
    const console = await qemu({ image: image("hostile"), bootargs: `case=${bootargs}` });
    expect(console).toContain("exit status 0\n");
  });

  test.each(BENCH_SUMS)("bench class=%s n=%i", async (name, count, sum) => {
    const console = await qemu({ image: image("bench"), bootargs: `class=${name} n=${count}` });
    expect(console).toContain(`bench: end ${name} ${sum}\n`);
    expect(console).toContain("exit status 0\n");
  });

  test.each(["undefined", "jump"])("hostile case=%s ends in the register dump", async (name) => {
    const console = await qemu({ image: image("hostile"), bootargs: `case=${name}` });
    expect(console).toContain("unexpected synchronous exception, CPU 0, vector 4\n");
    expect(console).toContain("exit status 120\n");
  });
}

describe.skipIf(!has("qemu-system-aarch64"))("prebuilt images on QEMU", () => suite(() => join(guests, "prebuilt")));

describe.skipIf(!has("qemu-system-aarch64") || !has(cross))("images built with gcc on QEMU", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "realmbox-gcc-"));
    execFileSync("node", [join(guests, "build.mjs"), "--compiler", "gcc", "--out", folder], { stdio: "inherit" });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  suite(() => folder);
});

test("the prebuilt images are what the pinned compiler makes of the sources", () => {
  const check = spawnSync("node", [join(guests, "build.mjs"), "--check"], { encoding: "utf8" });
  expect(check.stderr + check.stdout).toContain("prebuilt images are what the sources give");
  expect(check.status).toBe(0);
});

test.skipIf(!has("aarch64-linux-gnu-objdump"))("no image has an FP or SIMD instruction", () => {
  for (const name of ["hello", "smp", "rsi-check", "hostile"]) {
    const text = execFileSync("aarch64-linux-gnu-objdump", ["-d", join(guests, `prebuilt/${name}.elf`)], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    const operands = text.split("\n").map((line) => line.split("\t").slice(2).join(" ").split("//")[0] ?? "");
    expect(
      operands.filter((operand) => /[ ,{[][bhsdqv]\d+(?![0-9a-fx])/.test(operand) && !/^(msr|mrs)/.test(operand)),
    ).toEqual([]);
  }
});
