/**
 * Before each test file: with REALMBOX_JIT set to `off`, `on` or a threshold, the machines of all suites translate guest code
 * as it says. `REALMBOX_JIT=0 npm test` runs them with the translator alone, `off` with the interpreter alone.
 */
const text = process.env.REALMBOX_JIT;
if (text !== undefined) {
  const { parseJit, setUsualJit } = await import("@realmbox/machine");
  const jit = parseJit(text);
  if (jit === undefined) throw new Error(`REALMBOX_JIT: '${text}' is neither on nor off nor a number`);
  setUsualJit(jit);
}

export {};
