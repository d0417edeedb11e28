/**
 * `--check-translator N`: the run that the other options ask for, twice at once, by the interpreter and by the translator,
 * compared every N counts of the clock. Inputs come from files alone, and nothing outside is changed: standard input is
 * read when it is a file, disks are written in memory.
 *
 * The result is on stdout, progress on stderr. Exit codes: 0 equal to the end or a limit, 1 different, 125 a wrong option.
 */
import { fstatSync, readFileSync } from "node:fs";
import { type LockstepOptions, lockstep, lockstepText, usualJit } from "@realmbox/machine";
import { machineContent } from "@realmbox/vmm";
import { nodeCrypto } from "../crypto/node.js";
import { FileDisk, parseDisk } from "../disk.js";
import { Fvp, type FvpOptions } from "../fvp/index.js";
import { OverlayDisk } from "../overlay-disk.js";
import type { Image } from "./images.js";
import { print, printJson } from "./output.js";
import { bootBox, boxOptionsOf, challengeOf, configOf, parseSeconds, type RunFlags, refused, writeAll } from "./run.js";
import { parseCount } from "./size.js";
import { EXIT, UsageError } from "./usage.js";

/** Interpreter and translator differ. */
const DIFFERENT = 1;
/** A line of progress at most so often, in milliseconds. */
const PROGRESS_EVERY = 10_000;

/** Options that say how far a check goes and how it is told. */
export interface CheckFlags {
  readonly checkTranslator?: string;
  readonly jit?: string;
  readonly maxInstructions?: string;
  readonly timeout?: string;
  readonly clock?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `run --check-translator N`. */
export function checkRun(image: Image, flags: RunFlags & CheckFlags): number {
  const below = (flags.disk ?? []).map((argument) => {
    const { path, readOnly } = parseDisk(argument);
    return { readOnly, disk: FileDisk.open({ path, readOnly: true }, { warn: (line) => say(line) }) };
  });
  const input = fileInput();
  const challenge = challengeOf(flags);
  try {
    return check(flags, (jit) => {
      const disks = below.map(({ disk, readOnly }) => new OverlayDisk(disk, { readOnly }));
      const config = configOf(image, flags, disks);
      const content = machineContent(config);
      if (!content.ok) throw refused(image, content.error);
      const box = bootBox({ ...boxOptionsOf(content.value, flags), jit });
      const created = box.createGuest(config, { challenge, ...(input === undefined ? {} : { input }) });
      if (!created.ok) throw refused(image, created.error);
      const [{ machine }, guest] = [box, created.value];
      return {
        machine,
        run: (clock) => {
          if (machine.now >= clock) return undefined;
          const end = guest.run({ instructions: clock - machine.now, checkEvery: Number.POSITIVE_INFINITY });
          return end.kind === "limit" ? undefined : JSON.stringify(end);
        },
        output: () => guest.console,
        isSettled: () => !box.host.busy,
      };
    });
  } finally {
    for (const { disk } of below) disk.close();
  }
}

/** `fvp --check-translator N`. */
export function checkFvp(options: Omit<FvpOptions, "crypto" | "jit">, flags: CheckFlags): number {
  return check(flags, (jit) => {
    const bytes: number[] = [];
    let text = "";
    const fvp = new Fvp({
      ...options,
      crypto: nodeCrypto,
      jit,
      // Time stands still, so that a run is never cut by it.
      time: { now: () => 0, pause: () => Promise.resolve(), after: () => () => {} },
      onUart: (uart, byte) => bytes.push(uart, byte),
    });
    const { machine } = fvp;
    return {
      machine,
      run: (clock) => {
        if (machine.now >= clock) return undefined;
        const end = fvp.run({ instructions: clock - machine.now });
        return end.kind === "limit" ? undefined : JSON.stringify(end);
      },
      output: () => {
        text += String.fromCharCode(...bytes.splice(0));
        return text;
      },
    };
  });
}

/** Standard input, when it is a file that ends. */
function fileInput(): Uint8Array | undefined {
  try {
    return fstatSync(0).isFile() ? new Uint8Array(readFileSync(0)) : undefined;
  } catch {
    return undefined; // closed
  }
}

function check(flags: CheckFlags, create: LockstepOptions["create"]): number {
  if (flags.clock === "host") throw new UsageError("--check-translator compares equal runs: not with --clock host");
  const step = parseCount("--check-translator", flags.checkTranslator ?? "", { min: 1, max: Number.MAX_SAFE_INTEGER });
  const counts =
    flags.maxInstructions === undefined
      ? undefined
      : parseCount("--max-instructions", flags.maxInstructions, { min: 1, max: Number.MAX_SAFE_INTEGER });
  const last = performance.now() + parseSeconds(flags.timeout);
  let told = performance.now();
  if (flags.jit === "off")
    throw new UsageError("--check-translator with --jit off compares nothing", "--jit 0 is usual");
  const result = lockstep({
    create,
    ...(flags.jit === undefined ? {} : { jit: usualJit() }),
    step,
    ...(counts === undefined ? {} : { counts }),
    isOver: () => performance.now() >= last,
    onProgress: (clock) => {
      if (flags.quiet || performance.now() - told < PROGRESS_EVERY) return;
      told = performance.now();
      say(`equal up to count ${clock.toLocaleString("en-US")}`);
    },
  });
  if (flags.json) {
    printJson({
      equal: result.difference === undefined,
      clock: result.clock,
      comparisons: result.comparisons,
      end: result.end ?? null,
      difference: result.difference
        ? {
            clock: result.difference.clock,
            equalAt: result.difference.equalAt,
            differences: result.difference.differences,
            executed: result.difference.executed.map(({ pc, ...one }) => ({ ...one, pc: `0x${pc.toString(16)}` })),
          }
        : null,
    });
  } else {
    print(lockstepText(result, `realmbox ${process.argv.slice(2).join(" ")}`));
  }
  return result.difference === undefined ? EXIT.OK : DIFFERENT;
}

const say = (line: string): void => writeAll(2, Buffer.from(`realmbox: ${line}\n`));
