/** The test image `el2` on the board `fvp`, for these suites. */
import { readFileSync } from "node:fs";
import { generateInterpreter } from "@realmbox/machine";
import { Fvp, type FvpEnd, type FvpOptions, type FvpReport, type FvpRunOptions, nodeCrypto } from "realmbox";

const engine = generateInterpreter();

const prebuilt = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../guests/prebuilt-fvp/${name}.bin`, import.meta.url)));
/** guests/el2 and guests/secure, as committed. */
export const el2 = prebuilt("el2");
export const secure = prebuilt("secure");

/** HW_CONFIG as the image reads it: which tests to run (guests/el2/test.h). */
export const choice = (text: string): NonNullable<FvpOptions["hwConfig"]> => ({
  name: "choice",
  bytes: new TextEncoder().encode(`el2 ${text}`),
});

export interface FvpRun {
  readonly end: FvpEnd;
  readonly report: FvpReport;
  /** What came out of UART 2. */
  readonly console: string;
}

/** Runs the image, or another one, to its end. */
export function run(
  options: Partial<FvpOptions> & { readonly tests?: string } = {},
  limits: FvpRunOptions = {},
): FvpRun {
  const { tests, ...rest } = options;
  let console = "";
  const fvp = new Fvp({
    crypto: nodeCrypto,
    engine,
    ns: { name: "el2", bytes: el2 },
    ...(tests === undefined ? {} : { hwConfig: choice(tests) }),
    onUart: (uart, byte) => {
      if (uart === 2 && console.length < 1_000_000) console += String.fromCharCode(byte);
    },
    ...rest,
  });
  const end = fvp.run(limits);
  return { end, report: fvp.report(end), console };
}

/** What a report says about each test that did not pass: its status and the reason. */
export const notPassed = ({ tests }: FvpReport): Record<string, string> =>
  Object.fromEntries(
    tests.filter(({ status }) => status !== "passed").map((test) => [test.name, `${test.status}: ${test.reason}`]),
  );
