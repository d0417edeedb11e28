/** Trace events as text: one decoded line each, the same bytes for the same run. */
import { type StampedTraceEvent, TRACE_CATEGORIES, type TraceCategory, type TraceValue } from "@realmbox/abi";

const text = (value: TraceValue): string => {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (typeof value === "string") return /^[\x21-\x7e]+$/.test(value) ? value : JSON.stringify(value);
  return String(value);
};

/** `clock pe category name key=value …`; bigint in hexadecimal, strings with blanks or controls quoted. */
export function traceLine(event: StampedTraceEvent): string {
  const fields = Object.entries(event.fields).map(([key, value]) => ` ${key}=${text(value)}`);
  return `${String(event.at).padStart(10)} pe${event.pe} ${event.category.padEnd(7)} ${event.name}${fields.join("")}`;
}

/** The categories that `--trace[=a,b]` names; "all" or nothing: all of them. An unknown name is returned as such. */
export function parseCategories(
  list: string,
): { readonly categories: readonly TraceCategory[] } | { readonly unknown: string } {
  if (list === "" || list === "all") return { categories: TRACE_CATEGORIES };
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !TRACE_CATEGORIES.includes(name as TraceCategory));
  return unknown === undefined ? { categories: names as TraceCategory[] } : { unknown };
}
