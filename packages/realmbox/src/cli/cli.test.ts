/**
 * Every option of the built command at work, and every example of its help. What users get wrong is in
 * conformance/bad-input.
 */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toHex } from "@realmbox/token";
import { describe, expect, test } from "vitest";
import { type CliResult, realmbox, temporaryFolder } from "../../../../conformance/support/cli.js";

const cwd = temporaryFolder("cli");
const path = (name: string) => join(cwd, name);
const textOf = (name: string) => readFileSync(path(name), "utf8");
copyFileSync(fileURLToPath(new URL("../../../../guests/prebuilt/hello.bin", import.meta.url)), path("kernel.bin"));
copyFileSync(
  fileURLToPath(new URL("../../../../guests/prebuilt-fvp/rmm-probe.bin", import.meta.url)),
  path("probe.bin"),
);
copyFileSync(fileURLToPath(new URL("../../../../guests/prebuilt/hello.elf", import.meta.url)), path("hello.elf"));
writeFileSync(path("initrd.cpio"), "any bytes do");
/** As `truncate -s 1M` makes them. */
for (const name of ["disk.img", "data.img", "other.img"]) writeFileSync(path(name), new Uint8Array(1 << 20));

/** Runs `realmbox LINE`. */
const run = (line: string) => realmbox(line.split(" "), { cwd });
async function output(line: string): Promise<string> {
  const { code, stdout, stderr } = await run(line);
  expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout;
}

type Check = (result: CliResult) => void;
const field = ({ stdout }: CliResult, name: string) => new RegExp(`^${name}: *(.*?) *$`, "m").exec(stdout)?.[1];
/** A line of the table that the guest `hello` prints. */
const says =
  (name: string, value: string): Check =>
  (result) =>
    expect(field(result, name)).toBe(value);
const tells =
  (what: RegExp): Check =>
  ({ stderr }) =>
    expect(stderr).toMatch(what);
/** The categories of trace lines, as `--trace=` takes them. */
const traced = (text: string) =>
  [...new Set([...text.matchAll(/^ *\d+ pe\d (\w+) /gm)].map(([, category]) => category))].sort().join();

const RUN: readonly (readonly [line: string, exitCode: number, ...checks: readonly Check[]])[] = [
  ["run -q hello", 0, says("world", "normal VM"), ({ stderr }) => expect(stderr).toBe("")],
  [
    "run --quiet --realm --measurement-algo sha512 --realm-pv me --challenge 0011 --seed 5 hello",
    0,
    ...[says("world", "realm"), says("hash algorithm", "SHA-512")],
    ...[says("RPV", "6d65".padEnd(128, "0")), says("challenge", "0011".padEnd(128, "0"))],
  ],
  [
    "run -q -k ./kernel.bin -c 2 -m 96",
    0,
    says("CPUs", "2, this one has MPIDR 0x0"),
    says("RAM", "96 MiB at 0x80000000"),
  ],
  ["run -q --kernel hello --mem 131072K@0x90000000", 0, says("RAM", "128 MiB at 0x90000000")],
  ["run -q -i initrd.cpio hello", 0, (result) => expect(field(result, "initrd")).toMatch(/^12 bytes at 0x/)],
  ["run -q --initrd initrd.cpio --nodefaults -p exit=8 hello", 8, says("bootargs", "exit=8")],
  [
    "run -q -d disk.img --disk data.img,ro --rng --console virtio virtio",
    0,
    ({ stdout }) => expect(stdout).toMatch(/^virtio: slot 0: device 3, version 2, INTID 36$/m),
    ({ stdout }) => expect(stdout).toMatch(/^this line went through the virtio console$/m),
  ],
  [
    "run -q --virtio-transport mmio-legacy --rng virtio",
    0,
    ({ stdout }) => expect(stdout).toMatch(/^virtio: slot 0: device 4, version 1, INTID 36$/m),
  ],
  ["run -q --params exit=7 hello", 7, says("bootargs", "console=ttyS0 root=/dev/vda rw  exit=7")],
  [
    "run -q --kaslr-seed 0x5eed5eed01020304 --dump-dtb m.dtb hello",
    0,
    () => expect(toHex(readFileSync(path("m.dtb")))).toMatch(/^d00dfeed.*5eed5eed01020304/),
  ],
  [
    "run --cpus 1 --pes 2 hello",
    0,
    says("CPUs", "1, this one has MPIDR 0x0"),
    tells(/^boot: RMM boot complete pe 1 /m),
  ],
  [
    "run -q --realm --cpak-out run.pem hello",
    0,
    () => expect(textOf("run.pem")).toMatch(/^-----BEGIN PUBLIC KEY-----\n/),
  ],
  ["run -q --realm -c 2 --interleave 7 hello", 0, says("CPUs", "2, this one has MPIDR 0x0")],
  ["run -q --pmu hello", 0, says("world", "normal VM")],
  ["run -q --realm --pmu --pmu-counters 2 hello", 0, says("world", "realm")],
  ["run -q --rmm probe.bin hello", 0, says("world", "normal VM")], // an RMM that answers, and makes no realms
  ["run -q --clock host hello", 0, says("world", "normal VM")],
  ["run -q --jit 0 hello", 0, says("world", "normal VM")],
  [
    "run -q --realm --profile p.txt --symbols hello.elf hello",
    0,
    () => expect(textOf("p.txt")).toMatch(/^ *\d+\.\d\d% +[\d,]+ {2}realm EL1$/m),
    () => expect(textOf("p.txt")).toMatch(/^ *\d+\.\d\d% +[\d,]+ {2}realm EL1 +\w+$/m),
  ],
  [
    "run -q --profile p.json hello",
    0,
    () => expect(JSON.parse(textOf("p.json"))).toMatchObject({ exporter: "realmbox", profiles: [{ type: "sampled" }] }),
  ],
  ["run -q --jit off --realm hello", 0, says("world", "realm")],
  [
    "run -q --check-translator 5000 --rng -d other.img virtio",
    0,
    ({ stdout }) =>
      expect(stdout).toMatch(/^interpreter and translator are equal up to count [\d,]+ .*\d+ comparisons\n$/),
    // What the guest writes to the disk stays in memory.
    () => expect(readFileSync(path("other.img")).some((byte) => byte !== 0)).toBe(false),
  ],
  [
    "run --realm --check-translator 999 --jit 3 --max-instructions 100000 --json hello",
    0,
    ({ stdout }) =>
      expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, equal: true, end: null, difference: null }),
  ],
  ["run -q --timeout 0.5 -p case=loop hostile", 124, tells(/^realmbox: .*time/)],
  ["run -q --max-instructions 1000 hello", 124, tells(/^realmbox: .*instruction/)],
  [
    "run -q --realm --trace=rmi,rec --challenge random hello",
    0,
    ({ stderr }) => expect(traced(stderr)).toBe("rec,rmi"),
    (result) => expect(field(result, "challenge")).not.toMatch(/0{32}/),
  ],
  [
    "run --realm --trace --trace-out all.txt hello",
    0,
    ({ stderr }) => expect(traced(stderr)).toBe(""),
    () => expect(traced(textOf("all.txt"))).toBe("boot,fault,granule,mmio,psci,rec,rmi,rsi,smc"),
  ],
  [
    "run --json hello",
    0,
    ({ stdout }) => expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, kind: "normal VM", exit: 0 }),
    ({ stdout }) => {
      const { counts, translator } = JSON.parse(stdout);
      if (process.env.REALMBOX_JIT === "off") expect(translator).toBeNull();
      else {
        const { interpreted, translated } = translator.instructions;
        expect(interpreted).toBeGreaterThan(0);
        expect(translated).toBeLessThan(counts.instructions.total);
      }
    },
    tells(/^Hello from a realmbox guest$/m),
  ],
];

describe("run", () => {
  for (const [line, exitCode, ...checks] of RUN)
    test.concurrent(line, async () => {
      const result = await run(line);
      for (const check of checks) check(result);
      expect(result.code).toBe(exitCode);
    });
});

/** Options of `measure` that give another RIM than the image alone, and those that do not. */
const RIM_OTHER = [
  ...["-c 2", "-m 128", "-i initrd.cpio", "-p exit=7", "--nodefaults", "--kaslr-seed 5", "--measurement-algo sha512"],
  ...["--cpus 3", "--mem 96", "--initrd kernel.bin", "--params exit=8"],
  ...["-d disk.img", "-d disk.img --rng", "--disk disk.img --disk data.img,ro --rng", "--console virtio"],
  ...["--pmu", "--pmu --pmu-counters 2"],
];
const RIM_SAME = [
  "hello --realm",
  "--kernel hello",
  "-k ./kernel.bin",
  "hello --realm-pv me",
  "hello --virtio-transport mmio-legacy",
];

describe("measure", () => {
  const rim = async (options: string) => {
    const text = await output(`measure ${options}`);
    expect(text).toMatch(options.includes("sha512") ? /^[0-9a-f]{128}\n$/ : /^[0-9a-f]{64}\n$/);
    return text.trim();
  };
  test("what is measured changes the RIM, and nothing else does", async () => {
    const plain = await rim("hello");
    const others = await Promise.all(RIM_OTHER.map((option) => rim(`${option} hello`)));
    expect(new Set([plain, ...others]).size).toBe(1 + RIM_OTHER.length);
    expect(await Promise.all(RIM_SAME.map(rim))).toEqual(RIM_SAME.map(() => plain));
    expect(JSON.parse(await output("measure --json hello"))).toEqual({
      ...{ schemaVersion: 1, image: "hello", algorithm: "sha256", rim: plain },
    });
  });
  test("is what a run with the same options attests", async () => {
    const options =
      "-c 2 -m 128 -i initrd.cpio -p exit=0 --nodefaults --kaslr-seed 5 --measurement-algo sha512 --realm-pv me";
    const report = JSON.parse((await run(`run --json --realm ${options} ./kernel.bin`)).stdout);
    expect(report.rim).toEqual({
      expected: report.rim.token,
      token: await rim(`${options} ./kernel.bin`),
      match: true,
    });
  });
});

test("token, and verify with each option", async () => {
  expect(await output("token -q --seed 5 --realm-pv me --challenge 0011 --out t.cbor --cpak-out cpak.pem hello")).toBe(
    "",
  );
  expect(await output("token -q --out 0.cbor --cpak-out 0.pem hello")).toBe("");
  expect(textOf("cpak.pem")).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
  expect(await output("token --show t.cbor")).toMatch(/cca-realm-challenge \(10\): 00110{124}$/m);
  expect(JSON.parse(await output("token --show t.cbor --json"))).toMatchObject({ schemaVersion: 1 });

  const rim = (await output("measure hello")).trim();
  const rem = "00".repeat(32);
  writeFileSync(path("reference.json"), JSON.stringify({ realm: [{ "initial-measurement": rim }] }));
  for (const options of VERIFY.map((line) => line.replace("RIM", rim).replaceAll("REM", rem)))
    expect(await output(`verify t.cbor --trust cpak.pem ${options}`)).toMatch(/^token accepted$/m);
  const json = JSON.parse(await output("verify t.cbor --trust 0.pem --trust cpak.pem --json"));
  expect(json).toMatchObject({ accepted: true, stage: "accepted" });
  for (const [options, stage] of REFUSED) {
    const { code, stdout } = await run(`verify t.cbor --trust ${options}`);
    expect({ options, code, stdout }).toEqual({
      ...{ options, code: 1, stdout: expect.stringMatching(`token refused: ${stage}\n$`) },
    });
  }
});
const VERIFY = [
  "--challenge 0011",
  "--rim RIM",
  "--rem 0=REM --rem 3=REM",
  "--realm-pv me",
  "--reference reference.json",
];
const REFUSED = [
  ["0.pem", "(trust-anchor|platform-signature)"],
  ["cpak.pem --challenge 0012", "challenge"],
  [`cpak.pem --rim ${"00".repeat(32)}`, "appraise"],
  [`cpak.pem --rem 1=${"11".repeat(32)}`, "appraise"],
  ["cpak.pem --realm-pv you", "appraise"],
] as const;

test("version", async () => {
  const { realmbox: version, ...interfaces } = JSON.parse(await output("version --json"));
  expect(interfaces).toMatchObject({ rmi: "1.0", rsi: "1.0" });
  expect(await output("version")).toContain(`realmbox  ${version}\n`);
  for (const option of ["-V", "--version"]) expect(await output(option)).toBe(`${version}\n`);
});

describe("help", () => {
  test("every option of it is run here", async () => {
    const options = async (command: string) =>
      [...(await output(`${command} --help`)).matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)/gm)]
        .flatMap(([, short, long]) => [short, long!])
        .filter((option) => option !== undefined && option !== "-h" && option !== "--help");
    const given = (lines: readonly string[]) => new Set(lines.flatMap((line) => line.split(/[ =]/)));
    const runs = await options("run");
    expect(runs.filter((option) => !given(RUN.map(([line]) => line)).has(option))).toEqual([]);
    const measures = given([...RIM_OTHER, ...RIM_SAME, "--json"]);
    expect((await options("measure")).filter((option) => !measures.has(option))).toEqual([]);
    const verifies = given([...VERIFY, "--trust", "--json"]);
    expect((await options("verify")).filter((option) => !verifies.has(option))).toEqual([]);
    const own = (await options("token")).filter((option) => !runs.includes(option));
    expect(own).toEqual(["--out", "--show"]);
  });

  test("its examples run", async () => {
    const commands = ["", "run ", "token ", "measure ", "verify ", "fvp ", "conform "];
    const helps = await Promise.all(commands.map((command) => output(`${command}--help`)));
    const examples = [...new Set(helps.flatMap((text) => text.match(/(?<=^ {2}realmbox ).*$/gm) ?? []))];
    expect(examples.length).toBeGreaterThan(7);
    for (const line of examples) expect({ line, ...(await run(line)) }).toMatchObject({ line, code: EXIT_OF(line) });
    expect(traced(textOf("trace.txt"))).toBe("rec,rmi");
  }, 180_000);
  const EXIT_OF = (line: string) => Number(/exit=(\d+)/.exec(line)?.[1] ?? 0);
});
