/**
 * What Node leaves off and translated code is faster with: Relaxed SIMD (fused multiply-add; on without a flag from Node
 * 22) and hints which branches are seldom taken. Set before the first module is compiled. V8 complains on stderr of names
 * that it does not know, so each is set only in the versions that have it; elsewhere the translator does without.
 */
import { setFlagsFromString } from "node:v8";

/** First and last major version of Node with a flag. */
const FEATURES = [
  { name: "relaxed-simd", from: 20, to: 21 },
  { name: "branch-hinting", from: 20, to: 24 },
] as const;

const major = Number.parseInt(process.versions.node, 10);
for (const { name, from, to } of FEATURES) {
  if (major >= from && major <= to) setFlagsFromString(`--experimental-wasm-${name}`);
}

/**
 * How much code runs, in bytes, before V8 compiles it again with its optimizing compiler. That takes 30 µs and more for an
 * instruction of the guest, on cores that the machine would run on: by V8's own figure, 1,800,000, a boot of Linux spends
 * three times as long there as in the guest.
 */
const TIERING_BUDGET = 100_000_000;
if (major >= 20 && major <= 24) setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`);
