/**
 * The `realmbox` command: kvmtool's option names, exit codes 0 to 123 the guest's own, 124 timeout, 125 realmbox's
 * failure, 126 the guest crashed.
 */
import { Command, CommanderError, Option } from "commander";
import pc from "picocolors";
import { VERSION } from "./build-info.js";
import { refuseForeignOptions } from "./cli/foreign-options.js";
import { builtInImages } from "./cli/images.js";
import { measureCommand, type RunFlags, runCommand, type TokenFlags, tokenCommand, writeAll } from "./cli/run.js";
import { closest } from "./cli/suggest.js";
import { EXIT, UsageError } from "./cli/usage.js";
import { type CommandOutput, showTokenCommand, verifyCommand } from "./cli/verify.js";

let exitCode: number = EXIT.OK;

/** Options that decide what the guest's machine contains, and so its measurement. */
function machineOptions(command: Command): Command {
  return command
    .argument("[image]", "a file (arm64 Image, ELF or flat binary) or a built-in image")
    .option("-k, --kernel <file>", "the image, in kvmtool's spelling")
    .option("-c, --cpus <n>", "vCPUs, 1 to 8", "1")
    .option("-m, --mem <size>", "RAM: size[BKMGTP][@address], default unit MiB (default: 64 MiB × (vCPUs + 3))")
    .option("-i, --initrd <file>", "initial RAM disk")
    .option("-p, --params <string>", "kernel parameters")
    .option("--nodefaults", "the kernel parameters are exactly those of -p")
    .option("--kaslr-seed <n>", "/chosen/kaslr-seed of the device tree")
    .option("--measurement-algo <name>", "sha256 or sha512: hash of the realm's measurements")
    .option("--realm-pv <string>", "realm personalization value, at most 64 bytes");
}

function runOptions(command: Command): Command {
  return machineOptions(command)
    .option("--pes <n>", "physical PEs (default: one for each vCPU)")
    .option("--seed <n>", "from which keys and random numbers follow", "0")
    .option("--challenge <hex>", "what the guest's token must carry, 1 to 64 bytes, or 'random'")
    .option("--timeout <seconds>", "end the run with exit code 124 after this time")
    .option("--max-instructions <n>", "end the run with exit code 124 after this many instructions")
    .addOption(
      new Option(
        "--trace <categories>",
        "decoded events on stderr: --trace, or --trace=smc,rmi,rsi,psci,rec,fault,mmio,irq,granule",
      ),
    )
    .option("--trace-out <file>", "write the trace to a file")
    .option("--dump-dtb <file>", "write the guest's device tree to a file")
    .option("--json", "the report as one JSON document on stdout")
    .option("-q, --quiet", "nothing but the guest's console");
}

function print({ exitCode: code, stdout, stderr }: CommandOutput): number {
  if (stdout !== "") writeAll(1, Buffer.from(stdout));
  if (stderr !== "") writeAll(2, Buffer.from(stderr));
  return code;
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

function program(): Command {
  const root = new Command("realmbox")
    .description("The Arm Confidential Compute Architecture software stack that runs anywhere.")
    .version(VERSION, "-V, --version")
    .enablePositionalOptions()
    .showSuggestionAfterError(true);

  runOptions(root.command("run").description("run an image as a normal VM, or with --realm as a realm"))
    .option("--realm", "run the image as a realm")
    .action((image: string | undefined, flags: RunFlags) => {
      exitCode = runCommand(image, flags);
    });

  runOptions(
    root.command("token").description("run an image as a realm and write its attestation token, or --show one"),
  )
    .option("--out <file>", "where the token goes")
    .option("--cpak-out <file>", "where the platform's public key goes, as PEM")
    .option("--show <file>", "print a token's content; nothing is run or verified")
    .action((image: string | undefined, flags: Partial<TokenFlags> & { show?: string }) => {
      if (flags.show !== undefined) {
        exitCode = print(showTokenCommand({ token: flags.show, json: flags.json }));
        return;
      }
      if (flags.out === undefined)
        throw new UsageError("option '--out <file>' is missing", "realmbox token --out t.cbor hello");
      exitCode = tokenCommand(image, { ...flags, out: flags.out });
    });

  machineOptions(root.command("measure").description("print the Realm Initial Measurement that an image would have"))
    .option("--realm", "accepted, so that run's options can be repeated")
    .option("--json", "as a JSON document")
    .action((image: string | undefined, flags: RunFlags) => {
      exitCode = measureCommand(image, flags);
    });

  root
    .command("verify")
    .description("verify an attestation token: exit code 0 accepted, 1 not acceptable, 125 unreadable")
    .argument("<token>", "file with the token; - is standard input")
    .option("--trust <file>", "a platform key to trust (CPAK), PEM or JWK; repeatable", collect, [])
    .option("--challenge <hex>", "the challenge that the token must carry")
    .option("--rim <hex>", "the expected Realm Initial Measurement")
    .option("--rem <n=hex>", "an expected extensible measurement; repeatable", collect)
    .option("--realm-pv <string>", "the expected personalization value")
    .option("--reference <file>", "reference values in JSON")
    .option("--json", "accepted, stage, claims and problems as one JSON document")
    .action((token: string, flags) => {
      exitCode = print(verifyCommand({ token, ...flags }));
    });

  const images = root.command("images").description("images that can be run by name");
  images
    .command("ls")
    .description("list them")
    .option("--json", "as a JSON document")
    .action((flags: { json?: boolean }) => {
      const list = builtInImages();
      const text = flags.json
        ? `${JSON.stringify({ schemaVersion: 1, images: list.map((image) => ({ ...image, source: "built-in" })) }, null, 2)}\n`
        : [
            "NAME          SIZE  SOURCE",
            ...list.map(({ name, size }) => `${name.padEnd(12)} ${String(size).padStart(5)}  built-in`),
          ]
            .join("\n")
            .concat("\n");
      writeAll(1, Buffer.from(text));
    });

  root
    .command("version")
    .description("versions of realmbox and of the interfaces it implements")
    .option("--json", "as a JSON document")
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

function main(argv: readonly string[]): number {
  const root = program();
  try {
    const command = root.commands.find((candidate) => candidate.name() === argv[0]);
    const known = new Set((command?.options ?? []).flatMap(({ short, long }) => [short, long]));
    refuseForeignOptions(argv, (option) => known.has(option));
    if (argv.length === 0) {
      writeAll(2, Buffer.from(root.helpInformation()));
      return EXIT.USAGE;
    }
    root.parse(traceValue(argv), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.OK; // --help, --version
      const message = error.message.replace(/^error: /, "");
      return complain(message, unknownCommandHint(root, argv, error));
    }
    if (error instanceof UsageError) return complain(error.message, error.hint);
    return complain(
      `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      "this is a defect of realmbox; please report it",
    );
  }
}

function unknownCommandHint(root: Command, argv: readonly string[], error: CommanderError): string | undefined {
  if (error.code !== "commander.unknownCommand") return undefined;
  const near = closest(
    argv[0] ?? "",
    root.commands.map((command) => command.name()),
  );
  return near === undefined ? undefined : `did you mean '${near}'?`;
}

function complain(message: string, hint?: string): number {
  writeAll(2, Buffer.from(`${pc.red("realmbox:")} ${message}\n${hint === undefined ? "" : `  ${hint}\n`}`));
  return EXIT.USAGE;
}

process.exitCode = main(process.argv.slice(2));
