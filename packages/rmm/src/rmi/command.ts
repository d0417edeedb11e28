/**
 * What an RMI command is: its name, inputs, outputs, failure conditions and handler in one declaration. The FID, trace
 * output, the dispatcher and the condition coverage all read it.
 */
import { RMI_FID, type RmiCommand, type RmiError } from "@realmbox/abi";
import type { Rmm } from "../rmm.js";

export interface RmiSuccess<Out extends string> {
  readonly status: "RMI_SUCCESS";
  readonly out: Readonly<Record<Out, bigint>>;
}

export interface RmiFailure<Out extends string = string> {
  readonly status: RmiError;
  readonly index: number;
  /** Id of the condition that refused, as the document prints it. */
  readonly condition: string;
  /** Outputs that are defined although the command failed; the others are zero. */
  readonly out?: Readonly<Partial<Record<Out, bigint>>>;
}

export type RmiResult<Out extends string = never> = RmiSuccess<Out> | RmiFailure<Out>;

/** RMI_REC_ENTER has put a REC into the PE: the command goes on until the REC exit. */
export const ENTERED = { status: "ENTERED" } as const;
/** RMI_REC_ENTER has ended as a REC exit without running the REC; RmiRecExit is written on the way out. */
export const EXITED = { status: "EXITED" } as const;

/** Refuses a command; `condition` must be one of its declared conditions. `index` is 0 unless the status has one. */
export type Fail<Condition extends string, Out extends string> = (
  condition: Condition,
  status: RmiError,
  index?: number,
  out?: Readonly<Partial<Record<Out, bigint>>>,
) => RmiFailure<Out>;

export interface RmiDefinition<In extends string, Out extends string, Condition extends string> {
  readonly name: RmiCommand;
  /** Inputs in X1, X2, ... */
  readonly in: readonly In[];
  /** Outputs in X1, X2, ... besides the status in X0. */
  readonly out: readonly Out[];
  /** Ids of the failure conditions, in the order in which they are checked. */
  readonly conditions: readonly Condition[];
  run(
    rmm: Rmm,
    args: Readonly<Record<NoInfer<In>, bigint>>,
    fail: Fail<NoInfer<Condition>, NoInfer<Out>>,
  ): RmiResult<NoInfer<Out>> | typeof ENTERED | typeof EXITED;
}

/** A command as the table holds it. */
export interface RmiCommandRow extends RmiDefinition<string, string, string> {
  readonly fid: bigint;
  /** What its handler reads its inputs from. */
  readonly args: Inputs;
}

/**
 * A command's inputs by name. They are read from the registers when the handler asks for one, so those that it does not ask
 * for cost nothing: hot handlers take addresses as `rmm.frame(n)`. A handler asks before it makes an SMC of its own.
 */
export interface Inputs extends Record<string, unknown> {
  rmm: Rmm | undefined;
}

/** The inputs of one command: a class of its own, so that its handler sees one shape. */
export function inputs(names: readonly string[]): Inputs {
  class CommandInputs {
    rmm: Rmm | undefined = undefined;
  }
  names.forEach((name, i) => {
    Object.defineProperty(CommandInputs.prototype, name, {
      get(this: Inputs) {
        return this.rmm!.x(i + 1);
      },
    });
  });
  return new CommandInputs() as unknown as Inputs;
}

/** The inputs of a command as a trace event has them: before the handler runs. */
export function namedInputs(rmm: Rmm, names: readonly string[]): Record<string, bigint> {
  const named: Record<string, bigint> = {};
  names.forEach((name, i) => {
    named[name] = rmm.x(i + 1);
  });
  return named;
}

export function rmiCommand<const In extends string, const Out extends string, const Condition extends string>(
  definition: RmiDefinition<In, Out, Condition>,
): RmiCommandRow {
  return { ...definition, fid: RMI_FID[definition.name], args: inputs(definition.in) } as unknown as RmiCommandRow;
}

/** Success of a command without outputs. */
export const ok: RmiSuccess<never> = { status: "RMI_SUCCESS", out: {} };
export const success = <Out extends string>(out: Readonly<Record<Out, bigint>>): RmiSuccess<Out> => ({
  status: "RMI_SUCCESS",
  out,
});

export const fail: Fail<string, string> = (condition, status, index = 0, out) =>
  out === undefined ? { status, index, condition } : { status, index, condition, out };
