/**
 * What a Host sees while it plays a script: each RMI call with its arguments, what came back in X0 to X4, and for an entry
 * that ran the exit record. Two RMMs that follow the specification give the same, but for what it leaves open.
 */
import {
  parseRmiReturnCode,
  REC_EXIT_OFFSET,
  REC_EXIT_REASON_NAMES,
  RMI_FID,
  type RmiCommand,
  RmiRecExit,
  type RmiStatus,
} from "@realmbox/abi";
import { type Bench, Host, type Registers, type Script } from "../driver/index.js";

/** One RMI call and its results. */
export interface Call {
  readonly command: RmiCommand;
  readonly args: readonly bigint[];
  /** What X0 says; undefined when it is no RmiCommandReturnCode. */
  readonly status: RmiStatus | undefined;
  readonly index: number;
  /** X1 to X4. */
  readonly out: Registers;
  /** Of an RMI_REC_ENTER that succeeded: RmiRecExit by field, `gprs` and `gicv3_lrs` as `gprs[n]`. */
  readonly exit?: Readonly<Record<string, bigint>>;
}

/** A play's calls on PE 0, and how it ended: by itself, or with what it threw. */
export interface Recording {
  readonly calls: readonly Call[];
  readonly error: string | undefined;
}

const COMMANDS: ReadonlyMap<bigint, RmiCommand> = new Map(
  Object.entries(RMI_FID).map(([name, fid]) => [fid, name as RmiCommand]),
);
/** Arguments of a command are at most X1 to X6. */
const ARGUMENTS_MAX = 6;
const OUTPUTS = 4;

/**
 * Auxiliary granules come from the end of DRAM, downwards: how many a REC has is the RMM's choice, and must not move what the
 * script takes after them.
 */
class RecordingHost extends Host {
  readonly calls: Call[];
  private auxLeft = 0n;
  private auxNext: bigint;

  constructor(host: Host, calls: Call[]) {
    super(host.shared, host.pe);
    this.calls = calls;
    const { base, size } = host.bench.board.dram[0]!;
    this.auxNext = base + size;
  }

  override *smc(...values: readonly bigint[]): Script<Registers> {
    const x = yield* super.smc(...values);
    const command = COMMANDS.get(values[0]!);
    if (command === undefined) return x;
    const { status, index } = parseRmiReturnCode(x[0]!) ?? { status: undefined, index: 0 };
    const args = values.slice(1, 1 + ARGUMENTS_MAX);
    const out = x.slice(1, 1 + OUTPUTS);
    const entered = command === "RMI_REC_ENTER" && status === "RMI_SUCCESS";
    this.auxLeft = command === "RMI_REC_AUX_COUNT" && status === "RMI_SUCCESS" ? out[0]! : 0n;
    this.calls.push({
      command,
      args,
      status,
      index,
      out,
      ...(entered && { exit: exitFields(this.read(args[1]!).subarray(REC_EXIT_OFFSET)) }),
    });
    return x;
  }

  override *delegated(count = 1, align = 1): Script<bigint> {
    if (this.auxLeft === 0n || count !== 1) return yield* super.delegated(count, align);
    const left = this.auxLeft - 1n;
    this.auxNext -= 0x1000n;
    // Not recorded: it is not the script's.
    const [x0] = yield* super.smc(RMI_FID.RMI_GRANULE_DELEGATE, this.auxNext);
    if (x0 !== 0n) throw new Error("an auxiliary granule cannot be delegated");
    this.auxLeft = left;
    return this.auxNext;
  }
}

function exitFields(raw: Uint8Array): Record<string, bigint> {
  const fields: Record<string, bigint> = {};
  for (const [name, value] of Object.entries(RmiRecExit.decode(raw))) {
    const list = typeof value === "object" && !(value instanceof Uint8Array) ? [...value] : undefined;
    if (list)
      list.forEach((one, n) => {
        fields[`${name}[${n}]`] = BigInt(one);
      });
    else fields[name] = BigInt(value as bigint | number);
  }
  return fields;
}

/** The exit's reason in the document's word. */
export const reasonOf = ({ exit }: Call): string | undefined =>
  exit && (REC_EXIT_REASON_NAMES[Number(exit.exit_reason)] ?? `reason ${exit.exit_reason}`);

/** Plays a script on a machine that has just booted. */
export function record(bench: Bench, script: (host: Host) => Script<unknown>): Recording {
  const calls: Call[] = [];
  try {
    bench.play((host) => script(new RecordingHost(host, calls)));
    return { calls, error: undefined };
  } catch (error) {
    return { calls, error: error instanceof Error ? error.message : String(error) };
  }
}
