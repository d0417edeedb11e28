/** SMCs as the Host's kernel makes them, one at a time, with any registers: the Host that obeys no rule. */
import { parseRmiReturnCode, RMI_FID, type RmiCommand } from "@realmbox/abi";
import { isKvmError, type Op } from "@realmbox/host";
import type { Box } from "realmbox";

/** One SMC with X0.. = `values`, on PE 0 between whatever else runs there. X0 to X7 of its return. */
export function smc(box: Box, ...values: readonly bigint[]): readonly bigint[] {
  const result = trySmc(box, ...values);
  if (result === undefined) throw new Error(`the SMC 0x${values[0]!.toString(16)} does not return`);
  return result;
}

/** The same; undefined when the machine's run ended before the SMC returned: the SMC is still under way. */
export function trySmc(box: Box, ...values: readonly bigint[]): readonly bigint[] | undefined {
  const result = box.host.call(
    (function* (): Op<readonly bigint[]> {
      const registers = new BigUint64Array(8);
      registers.set(values);
      return [...(yield registers)];
    })(),
  );
  return isKvmError(result) ? undefined : result;
}

export interface RmiAnswer {
  readonly status: string;
  readonly index: number;
  /** X1 to X4. */
  readonly out: readonly bigint[];
}

/** An RMI command. */
export function rmi(box: Box, command: RmiCommand, ...args: readonly bigint[]): RmiAnswer {
  const [x0, ...out] = smc(box, RMI_FID[command], ...args);
  const { status, index } = parseRmiReturnCode(x0!) ?? { status: `X0 0x${x0!.toString(16)}`, index: 0 };
  return { status, index, out: out.slice(0, 4) };
}

/** An RMI command that must succeed: X1 to X4. */
export function rmiOk(box: Box, command: RmiCommand, ...args: readonly bigint[]): readonly bigint[] {
  const { status, index, out } = rmi(box, command, ...args);
  if (status !== "RMI_SUCCESS") {
    throw new Error(`${command}(${args.map((arg) => `0x${arg.toString(16)}`).join(", ")}): ${status} ${index}`);
  }
  return out;
}
