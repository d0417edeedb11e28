/**
 * `realmbox verify` and `realmbox token --show`: tokens from files. Plain functions from options to what is printed, so
 * that they can be tested and embedded; the command line only parses and prints.
 *
 * Exit codes of `verify`: 0 accepted; 1 evidence that was read but is not acceptable, undecodable included, with the
 * stage named; 125 when a file cannot be read or an option is wrong.
 */

import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import {
  explainToken,
  parseReferenceValues,
  parseTrustAnchors,
  type RealmReference,
  type ReferenceValues,
  renderTree,
  STAGES,
  TOKEN_SIZE_MAX,
  type TrustAnchor,
  type Unchecked,
  type VerificationResult,
  verifyToken,
} from "@realmbox/attest";
import { fromHex } from "@realmbox/token";
import { nodeCrypto } from "../crypto/node.js";
import { findArmour } from "./armour.js";
import { EXIT, UsageError } from "./usage.js";

export interface CommandOutput {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface VerifyOptions {
  /** Path of the token, as bytes or as text in a console log; "-" is standard input. */
  readonly token: string;
  /** `--trust FILE`, repeatable: platform keys (CPAK) as PEM or JSON. */
  readonly trust: readonly string[];
  /** `--challenge HEX`: 1 to 64 bytes, padded with zeros. */
  readonly challenge?: string | undefined;
  /** `--rim HEX`. */
  readonly rim?: string | undefined;
  /** `--rem N=HEX`, repeatable, N from 0 to 3. */
  readonly rem?: readonly string[] | undefined;
  /** `--realm-pv STRING`: the string's own bytes, padded with zeros, as for `run`. */
  readonly realmPv?: string | undefined;
  /** `--reference FILE`: reference values in JSON. */
  readonly reference?: string | undefined;
  /** `--json`: one JSON document on standard output. */
  readonly json?: boolean | undefined;
}

/** `realmbox verify TOKEN --trust FILE …` */
export function verifyCommand(options: VerifyOptions): CommandOutput {
  return reportingUsage(() => {
    if (options.trust.length === 0)
      throw new UsageError("there is no key to trust", "give the platform's key: --trust cpak.pem");
    const challenge = bytesOption("--challenge", options.challenge, 64);
    const reference = referenceOf(options);
    const { bytes, note } = readToken(options.token);
    const result = verifyToken(bytes, {
      crypto: nodeCrypto,
      trustAnchors: options.trust.flatMap(readTrust),
      ...(challenge && { challenge }),
      ...(reference && { reference }),
    });
    return {
      exitCode: result.accepted ? EXIT.OK : EXIT.REFUSED,
      stdout: options.json ? verificationJson(result) : verificationText(result),
      stderr: note,
    };
  });
}

/** `realmbox token --show TOKEN`: the token's content. Exits with 1 when it cannot be decoded; checks nothing else. */
export function showTokenCommand(options: {
  readonly token: string;
  readonly json?: boolean | undefined;
}): CommandOutput {
  return reportingUsage(() => {
    const { bytes, note } = readToken(options.token);
    const tree = explainToken(bytes);
    return {
      exitCode: tree.children ? EXIT.OK : EXIT.REFUSED,
      stdout: options.json
        ? `${JSON.stringify({ schemaVersion: 1, ...tree }, null, 2)}\n`
        : printable(renderTree(tree)),
      stderr: note,
    };
  });
}

/** The result as the JSON document that `verify --json` prints. */
export function verificationJson({ accepted, stage, claims, problems, unchecked }: VerificationResult): string {
  return `${JSON.stringify({ schemaVersion: 1, accepted, stage, claims, problems, unchecked }, null, 2)}\n`;
}

/** What would have been checked with which option, by the stage that does it. */
const UNCHECKED: Readonly<Record<Unchecked, { readonly stage: string; readonly hint: string }>> = {
  challenge: { stage: "challenge", hint: "freshness was not checked: give --challenge" },
  "platform-reference": { stage: "appraise", hint: "the platform's firmware was not compared: give --reference" },
  "realm-reference": {
    stage: "appraise",
    hint: "the Realm's measurements were not compared: give --rim or --reference",
  },
};

/** The result as lines: one for each stage that ran, then the verdict. */
export function verificationText(result: VerificationResult): string {
  const lines: string[] = [];
  const width = Math.max(...STAGES.map((stage) => stage.length));
  for (const stage of STAGES) {
    if (stage === "accepted") break;
    const failed = stage === result.stage;
    const skipped = result.unchecked.filter((what) => UNCHECKED[what].stage === stage);
    // Without a nonce there is nothing that this stage did; the appraisal always looks at the lifecycle.
    const outcome = failed ? "FAILED" : stage === "challenge" && skipped.length > 0 ? "-" : "ok";
    lines.push(`${stage.padEnd(width)}  ${outcome}`);
    if (failed) {
      lines.push(...result.problems.map(({ message }) => `  ${message}`));
      break;
    }
    lines.push(...skipped.map((what) => `  ${UNCHECKED[what].hint}`));
  }
  lines.push(result.accepted ? "token accepted" : `token refused: ${result.stage}`);
  return printable(`${lines.join("\n")}\n`);
}

function referenceOf(options: VerifyOptions): ReferenceValues | undefined {
  const initialMeasurement = bytesOption("--rim", options.rim, 64);
  const rems = (options.rem ?? []).map((text) => {
    const [, index, value] = /^([0-3])=(.+)$/.exec(text) ?? [];
    if (value === undefined) throw new UsageError(`--rem: '${text}' is not N=HEX with N from 0 to 3`);
    return { index: Number(index), value: bytesOption("--rem", value, 64)! };
  });
  const personalizationValue = options.realmPv === undefined ? undefined : paddedText(options.realmPv);
  const realm: RealmReference = {
    ...(initialMeasurement && { initialMeasurement }),
    ...(rems.length > 0 && {
      extensibleMeasurements: [0, 1, 2, 3].map((i) => rems.find(({ index }) => index === i)?.value),
    }),
    ...(personalizationValue && { personalizationValue }),
  };
  const given = Object.keys(realm).length > 0 ? [realm] : undefined;
  if (options.reference === undefined) return given && { realm: given };
  if (given)
    throw new UsageError(
      "--reference already says what the Realm must be",
      "use it alone, or --rim, --rem and --realm-pv",
    );
  const parsed = parseReferenceValues(Buffer.from(readBounded(options.reference)).toString("utf8"));
  if (!parsed.ok) throw new UsageError(`--reference: '${options.reference}': ${parsed.problem}`);
  return parsed.value;
}

function readTrust(path: string): readonly TrustAnchor[] {
  const parsed = parseTrustAnchors(Buffer.from(readBounded(path)).toString("utf8"));
  if (!parsed.ok) throw new UsageError(`--trust: '${path}': ${parsed.problem}`);
  return parsed.value;
}

function bytesOption(option: string, text: string | undefined, sizeMax: number): Uint8Array | undefined {
  if (text === undefined) return undefined;
  const value = fromHex(text.replace(/^0x/i, ""));
  if (!value || value.length < 1 || value.length > sizeMax)
    throw new UsageError(`${option}: '${text}' is not 1 to ${sizeMax} bytes in hexadecimal`);
  return value;
}

/** A personalization value from its text: 64 bytes. */
function paddedText(text: string): Uint8Array {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length > 64) throw new UsageError(`--realm-pv: ${bytes.length} bytes, more than 64`);
  const padded = new Uint8Array(64);
  padded.set(bytes);
  return padded;
}

/** How much of a console log is read to find a token in it. */
const LOG_SIZE_MAX = 16 << 20;

/**
 * A token's bytes: the file's own, or those of the last token in a text. Damaged text gives no bytes, which the verifier's
 * first stage refuses, and a note that says why.
 */
function readToken(path: string): { readonly bytes: Uint8Array; readonly note: string } {
  const file = readBounded(path, LOG_SIZE_MAX);
  const armour = findArmour(file);
  switch (armour.kind) {
    case "none":
      return { bytes: file.subarray(0, TOKEN_SIZE_MAX + 1), note: "" };
    case "token": {
      const which = `'${path}': the last of its ${armour.count} tokens`;
      return { bytes: armour.bytes, note: armour.count > 1 ? `realmbox: ${which}\n` : "" };
    }
    case "damaged":
      return {
        bytes: new Uint8Array(),
        note: `realmbox: '${path}': the token in this text is damaged: ${armour.why}\n`,
      };
  }
}

/**
 * A file's content, as far as a token may reach (or another limit) and one byte beyond: enough for the verifier to say
 * that it is too large, and no endless reading of a device.
 */
function readBounded(path: string, sizeMax = TOKEN_SIZE_MAX): Uint8Array {
  const content = Buffer.alloc(sizeMax + 1);
  let size = 0;
  try {
    const file = path === "-" ? 0 : openSync(path, "r");
    try {
      for (let read = -1; read !== 0 && size < content.length; size += read)
        read = readSync(file, content, size, content.length - size, null);
    } finally {
      if (file !== 0) closeSync(file);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why: Readonly<Record<string, string>> = {
      ENOENT: "no such file",
      EISDIR: "is a directory",
      EACCES: "permission denied",
    };
    throw new UsageError(`cannot read '${path}': ${why[code ?? ""] ?? code ?? String(error)}`);
  }
  return new Uint8Array(content.buffer, content.byteOffset, size);
}

function reportingUsage(command: () => CommandOutput): CommandOutput {
  try {
    return command();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const hint = error.hint === undefined ? "" : `  ${error.hint}\n`;
    return { exitCode: EXIT.USAGE, stdout: "", stderr: `realmbox: ${error.message}\n${hint}` };
  }
}

/** Text from a token may hold characters that steer a terminal; these are written as escapes. */
function printable(text: string): string {
  return Array.from(text, (character) => {
    const code = character.codePointAt(0)!;
    const steers =
      (code < 0x20 && character !== "\n") ||
      (code >= 0x7f && code < 0xa0) ||
      (code >= 0x202a && code <= 0x202e) ||
      (code >= 0x2066 && code <= 0x2069);
    return steers ? `\\u${code.toString(16).padStart(4, "0")}` : character;
  }).join("");
}
