/**
 * What an RSI command is: name, inputs, outputs, failure conditions and handler in one declaration. DEN0137 gives no order
 * between the failure conditions of one RSI command; the order here is TF-RMM's.
 */
import { RSI_FID, type RsiCommand, type RsiStatus } from "@realmbox/abi";
import type { Rd } from "../realm/rd.js";
import type { BufferFault } from "../rec/exit.js";
import type { Rec } from "../rec/rec.js";
import { type Inputs, inputs } from "../rmi/command.js";
import type { Rmm } from "../rmm.js";

export type RsiResult<Out extends string = string> =
  /** Back to the Realm, after the SMC: status in X0, outputs in X1 and up. */
  | {
      readonly kind: "return";
      readonly status: RsiStatus;
      readonly out?: Readonly<Partial<Record<Out, bigint>>>;
      readonly condition?: string;
    }
  /** REC exit, begun and filled by the handler. `status`, when there is one, is in X0 as the Realm goes on. */
  | { readonly kind: "exit"; readonly status?: RsiStatus }
  /** The Realm's buffer is not mapped: REC exit with a Data Abort; the Realm makes the call again. */
  | { readonly kind: "buffer-fault"; readonly fault: BufferFault };

/** Refuses a command; `condition` must be one of its declared conditions. */
export type RsiFail<Condition extends string> = (condition: Condition, status: RsiStatus) => RsiResult<never>;

export interface RsiCall<In extends string> {
  readonly rmm: Rmm;
  readonly rec: Rec;
  readonly rd: Rd;
  readonly args: Readonly<Record<In, bigint>>;
}

export interface RsiDefinition<In extends string, Out extends string, Condition extends string> {
  readonly name: RsiCommand;
  /** Inputs in X1, X2, ... */
  readonly in: readonly In[];
  /** Outputs in X1, X2, ... besides the status in X0. Up to X3 are zero when absent. */
  readonly out: readonly Out[];
  /** Ids of the failure conditions, in the order in which they are checked. */
  readonly conditions: readonly Condition[];
  run(call: RsiCall<NoInfer<In>>, fail: RsiFail<NoInfer<Condition>>): RsiResult<NoInfer<Out>>;
}

export interface RsiCommandRow extends RsiDefinition<string, string, string> {
  readonly fid: bigint;
  /** What its handler reads its inputs from. */
  readonly args: Inputs;
}

export function rsiCommand<const In extends string, const Out extends string, const Condition extends string>(
  definition: RsiDefinition<In, Out, Condition>,
): RsiCommandRow {
  return { ...definition, fid: RSI_FID[definition.name], args: inputs(definition.in) } as unknown as RsiCommandRow;
}

export const success = <Out extends string>(out: Readonly<Record<Out, bigint>>): RsiResult<Out> => ({
  kind: "return",
  status: "RSI_SUCCESS",
  out,
});
export const ok: RsiResult<never> = { kind: "return", status: "RSI_SUCCESS" };

export const fail: RsiFail<string> = (condition, status) => ({ kind: "return", status, condition });

/** Names of `count` consecutive registers that hold one value, 8 bytes each. */
export const words = <const Name extends string>(name: Name, count: number): `${Name}_${number}`[] =>
  Array.from({ length: count }, (_, i) => `${name}_${i}` as const);
