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
}

export function rmiCommand<const In extends string, const Out extends string, const Condition extends string>(
  definition: RmiDefinition<In, Out, Condition>,
): RmiCommandRow {
  return { ...definition, fid: RMI_FID[definition.name] } as unknown as RmiCommandRow;
}

/** Success of a command without outputs. */
export const ok: RmiSuccess<never> = { status: "RMI_SUCCESS", out: {} };
export const success = <Out extends string>(out: Readonly<Record<Out, bigint>>): RmiSuccess<Out> => ({
  status: "RMI_SUCCESS",
  out,
});

export const fail: Fail<string, string> = (condition, status, index = 0, out) =>
  out === undefined ? { status, index, condition } : { status, index, condition, out };
