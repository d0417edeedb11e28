/** Values of exception registers as text, for reports. */

const CLASSES: Readonly<Record<number, string>> = {
  0: "unknown",
  1: "WFx",
  7: "FP access",
  14: "illegal state",
  21: "SVC",
  22: "HVC",
  23: "SMC",
  24: "MSR, MRS or SYS",
  32: "instruction abort, lower EL",
  33: "instruction abort",
  34: "PC alignment",
  36: "data abort, lower EL",
  37: "data abort",
  38: "SP alignment",
  47: "SError",
  60: "BRK",
};

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const FAULTS = ["address size", "translation", "access flag", "permission"] as const;

/** A fault status code. */
function status(code: number): string {
  if (code < 0x10) return `${FAULTS[code >> 2]} fault, level ${code & 3}`;
  if (code === 0x10) return "external abort";
  if (code >= 0x14 && code < 0x18) return `external abort on walk, level ${code & 3}`;
  return code === 0x21 ? "alignment fault" : `fault 0x${code.toString(16)}`;
}

/** A value by the name of its field, which may have its step before it. */
export function explain(field: string, value: bigint): string {
  const name = field.slice(field.lastIndexOf(": ") + 1).trim();
  if (/^(AT|PAR)/.test(name) && value >> 26n === 0x25n) return `${hex(value)} (exception)`;
  if (/^(AT|PAR)/.test(name)) {
    const flags = `${value & 0x100n ? ", on stage-2 walk" : ""}${value & 0x200n ? ", stage 2" : ""}`;
    return (value & 1n) !== 0n ? `${hex(value)} (${status(Number((value >> 1n) & 0x3fn))}${flags})` : hex(value);
  }
  if (!/^ESR/.test(name)) return hex(value);
  const ec = Number((value >> 26n) & 0x3fn);
  const text = CLASSES[ec] ?? `class 0x${ec.toString(16)}`;
  const abort = [0x20, 0x21, 0x24, 0x25].includes(ec);
  return `${hex(value)} (${text}${abort ? `, ${status(Number(value & 0x3fn))}` : ""})`;
}
