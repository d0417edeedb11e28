/** Words of system instructions by the names that the machine's own tables use; QEMU decodes them independently. */
import { encode, rowNamed } from "../../packages/machine/src/cpu/encode.js";
import { GIC_REGISTERS } from "../../packages/machine/src/gic/index.js";
import { SYS_ROWS } from "../../packages/machine/src/sys-instructions.js";
import { EL1_ROWS } from "../../packages/machine/src/sysreg/el1.js";
import { EL2_EL3_ROWS } from "../../packages/machine/src/sysreg/el2-el3.js";
import { PMU_ROWS } from "../../packages/machine/src/sysreg/pmu-rows.js";
import type { Encoding } from "../../packages/machine/src/sysreg/row.js";
import { TIMER_ROWS } from "../../packages/machine/src/sysreg/timer-rows.js";

/** Every system register that the machine has, by name. */
export const SYSTEM_REGISTERS: ReadonlyMap<string, Encoding> = new Map<string, Encoding>([
  ...[...EL1_ROWS, ...EL2_EL3_ROWS, ...TIMER_ROWS, ...PMU_ROWS].map(({ name, encoding }) => [name, encoding] as const),
  ...[...GIC_REGISTERS.values()].map(({ name, encoding }) => [name, encoding] as const),
]);

const SYS = new Map(SYS_ROWS.map(({ name, at }) => [name, at]));

/** op0, op1, CRn, CRm, op2 of a register's name; "S3_4_C1_C1_0" names an encoding. */
function encodingOf(name: string): Encoding {
  const known = SYSTEM_REGISTERS.get(name);
  if (known) return known;
  const generic = /^S([23])_(\d)_C(\d+)_C(\d+)_(\d)$/.exec(name);
  if (!generic) throw new Error(`no system register ${name}`);
  const [op0, op1, crn, crm, op2] = generic.slice(1).map(Number);
  return [op0, op1, crn, crm, op2];
}

const fieldsOf = (name: string, t: number): Record<string, number> => {
  const [op0, k, n, m, p] = encodingOf(name);
  return { o: op0 - 2, k, n, m, p, t };
};

/** MRS X`t`, `name`. */
export const mrs = (t: number, name: string): number => encode(rowNamed("MRS"), fieldsOf(name, t));
/** MSR `name`, X`t`. */
export const msr = (name: string, t: number): number => encode(rowNamed("MSR (register)"), fieldsOf(name, t));

const PSTATE_FIELDS = { PAN: [0, 4], SPSel: [0, 5], DAIFSet: [3, 6], DAIFClr: [3, 7] } as const;
/** MSR `field`, #`value`. */
export function msrImmediate(field: keyof typeof PSTATE_FIELDS, value: number): number {
  const [k, p] = PSTATE_FIELDS[field];
  return encode(rowNamed("MSR (immediate)"), { k, m: value, p });
}

/** A SYS instruction by its alias ("AT S1E1R", "TLBI ALLE1", "DC ZVA") or as "SYS op1,CRn,CRm,op2". */
export function sys(name: string, t = 31): number {
  const at =
    SYS.get(name) ??
    name
      .match(/^SYS (\d),(\d+),(\d+),(\d)$/)
      ?.slice(1)
      .map(Number);
  if (!at) throw new Error(`no instruction ${name}`);
  const [k, n, m, p] = at;
  return encode(rowNamed("SYS"), { k, n, m, p, t });
}

/** An instruction of the rows by its name there. */
export const op = (name: string, fields: Readonly<Record<string, number>> = {}): number =>
  encode(rowNamed(name), fields);

export const svc = (i: number): number => op("SVC", { i });
export const hvc = (i: number): number => op("HVC", { i });
export const smc = (i: number): number => op("SMC", { i });
export const nop = op("HINT");
export const eret = op("ERET");
export const dsb = op("DSB", { m: 15 });
export const isb = op("ISB", { m: 15 });
export const ret = op("RET", { n: 30 });
/** X`d` = X`n`; 31 is SP. */
export const mov = (d: number, n: number): number => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n, d });
