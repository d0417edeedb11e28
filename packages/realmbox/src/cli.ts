/**
 * The `realmbox` command: kvmtool's option names, exit codes 0 to 123 the guest's own, 124 timeout, 125 realmbox's
 * failure, 126 the guest crashed, 128 and a signal's number.
 */
import "./engine-flags.js";
import { TRACE_CATEGORIES } from "@realmbox/abi";
import { Command, CommanderError, Option } from "commander";
import pc from "picocolors";
import { VERSION } from "./build-info.js";
import { benchCommand } from "./cli/bench.js";
import { type ConformFlags, conformCommand } from "./cli/conform.js";
import { type DiffRmmFlags, diffRmmCommand } from "./cli/diff-rmm.js";
import { refuseForeignOptions } from "./cli/foreign-options.js";
import { type FuzzFlags, fuzzCommand } from "./cli/fuzz.js";
import { type FvpFlags, fvpCommand } from "./cli/fvp.js";
import { imagesCommand } from "./cli/images-command.js";
import { chooseJit } from "./cli/jit-option.js";
import { measureCommand, type RunFlags, runCommand, type TokenFlags, tokenCommand, writeAll } from "./cli/run.js";
import { EXIT, UsageError } from "./cli/usage.js";
import { type CommandOutput, showTokenCommand, verifyCommand } from "./cli/verify.js";
import { KEYS_HELP } from "./terminal/escape-keys.js";

let exitCode: number = EXIT.OK;

/** Options that decide what the guest's machine contains, and so its measurement. */
function machineOptions(command: Command): Command {
  return command
    .argument("[image]", "a file (arm64 Image, ELF or flat binary) or the name of a built-in image")
    .option("-k, --kernel <file>", "the image, as an option, as kvmtool has it")
    .addOption(new Option("-c, --cpus <n>", "virtual CPUs (vCPUs), 1 to 8").default("1", "1"))
    .option("-m, --mem <size>", "RAM: size[BKMGTP][@address], in MiB without a unit (default: 64 MiB × (vCPUs + 3))")
    .option("-i, --initrd <file>", "initial RAM disk")
    .option(
      "-p, --params <string>",
      "kernel parameters, put behind kvmtool's: console=ttyS0 (hvc0 with --console virtio) root=/dev/vda rw",
    )
    .option(
      "-d, --disk <image[,ro]>",
      "a raw image file as a virtio disk, ,ro for read-only; repeatable, up to 4",
      collect,
    )
    .option("--rng", "a virtio entropy device, whose bytes follow from --seed")
    .option("--console <kind>", "the console that has the input: serial or virtio (default: serial)")
    .option("--virtio-transport <kind>", "virtio version 2 or 1: mmio or mmio-legacy (default: mmio)")
    .option("--nodefaults", "no kernel parameters but those of -p")
    .option("--kaslr-seed <n>", "the seed that the device tree gives the kernel, 64 bits (default: 0)")
    .option("--pmu", "a PMU (PMUv3)")
    .option("--pmu-counters <n>", "event counters of a realm's PMU (default: all that the RMM offers)")
    .option("--measurement-algo <name>", "hash of the realm's measurements: sha256 or sha512 (default: sha256)")
    .option("--realm-pv <string>", "realm personalization value (RPV), a text of at most 64 bytes (default: zeros)");
}

function runOptions(command: Command, { quiet }: { quiet: string }): Command {
  return machineOptions(command)
    .option("--pes <n>", "the machine's physical CPUs (PEs), 1 to 8 (default: one for each vCPU)")
    .addOption(
      new Option("--seed <n>", "what all keys and random numbers follow from: equal seeds, equal runs").default(
        "0",
        "0",
      ),
    )
    .option(
      "--interleave <n>",
      "the seed by which physical CPUs interleave, at instruction boundaries (default: 0, turns of 10,000 instructions)",
    )
    .option("--rmm <file>", "an RMM's binary, which is booted at R-EL2 in place of realmbox's own")
    .option(
      "--challenge <hex>",
      "the verifier's nonce for the guest's token, 1 to 64 bytes, or 'random' (default: zeros)",
    )
    .addOption(jitOption())
    .option(
      "--clock <kind>",
      "what time follows: virtual (equal runs) or host (for people who type) (default: virtual)",
    )
    .option("--timeout <seconds>", "end the run after this time, with exit code 124")
    .option(
      "--max-instructions <n>",
      "end the run after this many instructions, with exit code 124; an exception counts as one",
    )
    .addOption(
      new Option(
        "--trace [categories]",
        `decoded events on stderr: all of them, or --trace=a,b out of ${TRACE_CATEGORIES.join(", ")}`,
      ),
    )
    .option("--trace-out <file>", "write what --trace asks for to a file instead")
    .option("--cpak-out <file>", "write the platform's public key (CPAK) to a file, as PEM: what verify --trust takes")
    .option("--dump-dtb <file>", "write the guest's device tree (DTB) to a file")
    .option("--json", "print the report as one JSON document on stdout; the guest's console goes to stderr")
    .option("-q, --quiet", quiet);
}

/** Of the commands that run one program. */
const checkOption = () =>
  new Option(
    "--check-translator <n>",
    "run by interpreter and translator at once, compare every n instructions; exit code 1 if they differ",
  );

/** Of every command that runs a machine. */
const jitOption = () =>
  new Option("--jit <mode>", "translate hot code: on, off, or what has run n times (default: on)");

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** Examples at the end of a command's help; cli/cli.test.ts runs each. */
const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  realmbox ${line}`).join("\n")}`;

function print({ exitCode: code, stdout, stderr }: CommandOutput): number {
  if (stdout !== "") writeAll(1, Buffer.from(stdout));
  if (stderr !== "") writeAll(2, Buffer.from(stderr));
  return code;
}

function program(): Command {
  const root = new Command("realmbox")
    .description("The Arm Confidential Compute Architecture software stack that runs anywhere.")
    .version(VERSION, "-V, --version")
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .hook("preAction", (_, command) => chooseJit(command.opts<{ jit?: string }>().jit))
    .addHelpText(
      "after",
      `${examples("run --realm hello", "images ls")}

Exit codes: 0 to 123 the guest's own, 124 timeout, 125 wrong option or file, 126 the guest crashed, 128 and the number of the
signal that ended the run.
'realmbox help run' tells the options of run.`,
    );

  runOptions(
    root
      .command("run")
      .description("run an image as a normal VM, or with --realm as a realm")
      .option("--realm", "run the image as a realm")
      .addOption(checkOption())
      .option("--profile <file>", "write where the guest spends its instructions: text, or for speedscope if .json")
      .option("--symbols <file>", "names for --profile: an ELF file, a System.map; repeatable", collect),
    { quiet: "print nothing but the guest's console" },
  )
    .addHelpText(
      "after",
      examples(
        "run --realm hello",
        "run --realm -c 2 -m 128 -i initrd.cpio -p exit=7 ./kernel.bin",
        "run --realm -d disk.img --rng virtio",
        "run --realm --trace=rmi,rec --trace-out trace.txt hello",
        "run --realm --check-translator 1000 hello",
        "run --profile profile.txt hello",
      ),
    )
    .addHelpText(
      "after",
      `
Standard input is the guest's console. On a terminal each key goes to the guest; Ctrl-a is realmbox's own:
${KEYS_HELP.map((line) => `  ${line}`).join("\n")}
A file or a pipe is read when the guest waits for input; at its end the guest gets Ctrl-d.`,
    )
    .action(async (image: string | undefined, flags: RunFlags) => {
      exitCode = await runCommand(image, flags);
    });

  runOptions(
    root
      .command("token")
      .description("run an image as a realm and write its attestation token; or print one with --show")
      .option("--out <file>", "where to write the token")
      .option("--show <file>", "print what a token contains; nothing is run or verified"),
    { quiet: "print nothing but errors, and the report that --json asks for" },
  )
    .addHelpText("after", examples("token --out t.cbor --cpak-out cpak.pem hello", "token --show t.cbor"))
    .action(async (image: string | undefined, flags: Partial<TokenFlags> & { show?: string }) => {
      if (flags.show !== undefined) {
        exitCode = print(showTokenCommand({ token: flags.show, json: flags.json }));
        return;
      }
      if (flags.out === undefined)
        throw new UsageError("option '--out <file>' is missing", "realmbox token --out t.cbor hello");
      exitCode = await tokenCommand(image, { ...flags, out: flags.out });
    });

  machineOptions(
    root
      .command("measure")
      .description("print the Realm Initial Measurement (RIM) that 'run --realm' with these options would have"),
  )
    .option("--realm", "does nothing: a measurement is always a realm's")
    .option("--json", "print image, algorithm and RIM as a JSON document")
    .addHelpText("after", examples("measure hello", "measure -c 2 -m 128 --measurement-algo sha512 ./kernel.bin"))
    .action((image: string | undefined, flags: RunFlags) => {
      exitCode = measureCommand(image, flags);
    });

  root
    .command("verify")
    .description("verify an attestation token: exit code 0 accepted, 1 not acceptable, 125 unreadable")
    .argument("<token>", "file with the token; - is standard input")
    .option("--trust <file>", "a platform key (CPAK) to trust, PEM or JWK; needed, repeatable", collect)
    .option("--challenge <hex>", "the challenge that the token must carry, filled up with zeros to 64 bytes")
    .option("--rim <hex>", "the expected Realm Initial Measurement: what measure prints")
    .option("--rem <n=hex>", "an expected Realm Extensible Measurement, n from 0 to 3; repeatable", collect)
    .option("--realm-pv <string>", "the expected realm personalization value, a text")
    .option(
      "--reference <file>",
      "expected firmware and realms in JSON, as rust-ccatoken's reference value store has it",
    )
    .option("--json", "print accepted, stage, claims and problems as one JSON document")
    .addHelpText(
      "after",
      examples("verify t.cbor --trust cpak.pem", "verify t.cbor --trust cpak.pem --challenge 00 --json"),
    )
    .action((token: string, flags) => {
      exitCode = print(verifyCommand({ token, ...flags, trust: flags.trust ?? [] }));
    });

  root
    .command("fvp")
    .description(
      "run an image built for NS-EL2 of Arm's FVP Base platform, such as a test suite, and report its results",
    )
    .option("--ns <image[@address]>", "the image at NS-EL2, a file or 'el2', realmbox's own tests; at 0x88000000")
    .option("--rmm <file>", "an RMM for R-EL2 in place of realmbox's own")
    .option("--secure <image[@address]>", "an image of the Secure world, at 0x06000000")
    .option("--secure-el <n>", "where the Secure image is entered: 1 (S-EL1) or 2 (S-EL2) (default: 1)")
    .option("--hw-config <file>", "a device tree for the image, at 0x82000000")
    .option("--flash0 <file>", "contents of the NOR flash at 0x08000000")
    .option("--flash1 <file>", "contents of the NOR flash at 0x0c000000")
    .option("--report <file>", "write the report to a file, as a JSON document")
    .option("--junit <file>", "write the results to a file, as JUnit XML")
    .option("--json", "print the report as one JSON document on stdout; the console goes to stderr")
    .option("--suite <kind>", "whose console to read: acs (RMM ACS), tftf (TF-A-Tests), none (default: find out)")
    .option("--uart <n=file>", "write what UART n, 0 to 3, sends to a file; - is the console; repeatable", collect)
    .option("--pes <n>", "CPUs (PEs), 1 to 8 (default: 8)")
    .option("--dram2", "the second bank of DRAM, 2 GiB at 0x880000000")
    .addOption(
      new Option("--seed <n>", "what all keys and random numbers follow from: equal seeds, equal runs").default(
        "0",
        "0",
      ),
    )
    .option(
      "--interleave <n>",
      "the seed by which CPUs interleave, at instruction boundaries (default: 0, turns of 10,000 instructions)",
    )
    .addOption(jitOption())
    .addOption(checkOption())
    .option("--timeout <seconds>", "end the run after this time, with exit code 124")
    .option(
      "--max-instructions <n>",
      "end the run after this many instructions, with exit code 124; an exception counts as one",
    )
    .option("--max-resets <n>", "resets in a row without a finished test until the run ends (default: 3)")
    .addOption(new Option("--trace [categories]", "decoded events on stderr, as with run"))
    .option("--trace-out <file>", "write what --trace asks for to a file instead")
    .option("-q, --quiet", "print nothing but the console")
    .addHelpText(
      "after",
      examples("fvp --ns el2", "fvp --ns el2 --report report.json --junit report.xml --timeout 600"),
    )
    .addHelpText(
      "after",
      `
Exit codes: 0 all tests passed or were skipped, 1 some did not, 124 time or instruction limit, 125 wrong option or file, 126 the
image ended or hung before its suite did.`,
    )
    .action(async (flags: FvpFlags) => {
      exitCode = await fvpCommand(flags);
    });

  const images = imagesCommand((code) => {
    exitCode = code;
  }, examples);
  root.addCommand(images);

  root
    .command("conform")
    .description("check the RMM against its specification: exit code 0 all cases passed, 1 some failed")
    .option(
      "--filter <text>",
      "only cases whose id contains the text, such as RMI_DATA_CREATE/order; repeatable",
      collect,
    )
    .option("--coverage", "tell of each failure condition which cases exercise it, and whether deleting it is noticed")
    .option("--rmm <file>", "an RMM for R-EL2 in place of realmbox's own; conditions are then judged by status alone")
    .addOption(jitOption())
    .option("--junit <file>", "write the results to a file, as JUnit XML")
    .option("--json", "print the results as one JSON document")
    .addHelpText("after", examples("conform --filter RMI_VERSION", "conform --filter RMI_GRANULE --coverage --json"))
    .action((flags: ConformFlags) => {
      exitCode = conformCommand(flags);
    });

  root
    .command("diff-rmm")
    .description("make the same calls to realmbox's RMM and to another: exit code 0 a rule decides each difference")
    .argument("<image>", "the other RMM's binary, which is booted at R-EL2")
    .addOption(new Option("--random <n>", "random scripts beside the conformance cases").default("50", "50"))
    .addOption(new Option("--seed <n>", "the seed of the first random script").default("1", "1"))
    .option("--filter <text>", "only cases whose id contains the text")
    .addOption(jitOption())
    .option("--json", "print the table as one JSON document")
    .addHelpText("after", examples("diff-rmm rmm.img", "diff-rmm --filter RMI_RTT --random 0 --json rmm.img"))
    .action((image: string, flags: DiffRmmFlags) => {
      exitCode = diffRmmCommand(image, flags);
    });

  root
    .command("fuzz")
    .description("hostile software against the RMM: exit code 0 nothing found, 1 an invariant is broken")
    .argument("<side>", "who is hostile: host, realm, or both together")
    .option("--calls <n>", "calls to make (default: 100000; without limit with --time)", "")
    .addOption(new Option("--seed <n>", "what all calls follow from: equal seeds, equal runs").default("0", "0"))
    .addOption(
      new Option("--pes <n>", "the machine's CPUs (PEs), 1 to 4, which interleave by the seed").default("2", "2"),
    )
    .option("--time <seconds>", "make no more calls after this time")
    .option("--out <file>", "where the script of a failure goes (default: fuzz-SIDE-SEED.script)")
    .option("--script <file>", "replay a script instead, and look at everything after each call")
    .addOption(jitOption())
    .option("--json", "print the report as one JSON document")
    .addHelpText("after", examples("fuzz host --calls 1000000 --seed 7", "fuzz both --script fuzz-both-7.script"))
    .action((side: string, flags: FuzzFlags) => {
      exitCode = fuzzCommand(side, flags);
    });

  root
    .command("bench")
    .description("measure realmbox beside qemu-system-aarch64; 'bench --help' tells the tables and options")
    .argument("[args...]")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText("after", examples("bench classes --only calls --rounds 1 --scale 0.01 --no-qemu"))
    .action(async (args: readonly string[]) => {
      exitCode = await benchCommand(args);
    });

  root
    .command("version")
    .description("print the versions of realmbox and of the interfaces that it implements")
    .option("--json", "print them as a JSON document")
    .action((flags: { json?: boolean }) => {
      const versions = {
        realmbox: VERSION,
        rmi: "1.0",
        rsi: "1.0",
        psci: "1.1",
        smccc: "1.5",
        rmmEl3: "0.8",
        node: process.versions.node,
      };
      const text = flags.json
        ? `${JSON.stringify({ schemaVersion: 1, ...versions })}\n`
        : Object.entries(versions)
            .map(([name, version]) => `${name.padEnd(9)} ${version}\n`)
            .join("");
      writeAll(1, Buffer.from(text));
    });

  for (const command of [root, ...root.commands, ...images.commands]) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return root;
}

/** `--trace` without a value means all categories; commander would take the image's name for the value. */
const traceValue = (argv: readonly string[]): string[] =>
  argv.map((arg) => (arg === "--trace" ? "--trace=all" : arg === "--restricted_mem" ? "--restricted-mem" : arg));

async function main(argv: readonly string[]): Promise<number> {
  const root = program();
  try {
    const command = root.commands.find((candidate) => candidate.name() === argv[0]);
    const known = new Set((command?.options ?? []).flatMap(({ short, long }) => [short, long]));
    refuseForeignOptions(argv, (option) => known.has(option));
    if (argv.length === 0) {
      root.outputHelp({ error: true });
      return EXIT.USAGE;
    }
    await root.parseAsync(traceValue(argv), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.OK; // --help, --version
      if (error.code === "commander.help") return EXIT.USAGE; // a command of commands, alone: its help is on stderr
      const message = error.message.replace(/^error: /, "");
      return complain(message);
    }
    if (error instanceof UsageError) return complain(error.message, error.hint);
    return complain(
      `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      "this is a defect of realmbox; please report it",
    );
  }
}

function complain(message: string, hint?: string): number {
  writeAll(2, Buffer.from(`${pc.red("realmbox:")} ${message}\n${hint === undefined ? "" : `  ${hint}\n`}`));
  return EXIT.USAGE;
}

process.exitCode = await main(process.argv.slice(2));
