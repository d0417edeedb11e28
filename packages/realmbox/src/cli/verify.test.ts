import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flippedTokens, toJwk, tokenVariants, toPem } from "@realmbox/attest";
import { decodeCcaToken, toBase64, toHex } from "@realmbox/token";
import { afterAll, describe, expect, test } from "vitest";
import { cpak, otherKey, recipe } from "../../../attest/src/recipe.oracle.js";
import { TOKEN_BEGIN, TOKEN_END } from "../images/guest-scripts.js";
import { showTokenCommand, type VerifyOptions, verifyCommand } from "./verify.js";

const folder = mkdtempSync(join(tmpdir(), "realmbox-verify-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const variants = tokenVariants(recipe);
const good = variants.find(({ name }) => name === "unchanged")!.bytes;
const token = file("t.cbor", good);
const pem = file("cpak.pem", toPem(cpak.key));
const verify = (options: Partial<VerifyOptions> = {}) => verifyCommand({ token, trust: [pem], ...options });

test("accepted: exit 0, with PEM and with JWK; what was not checked is said", () => {
  for (const trust of [pem, file("cpak.jwk", JSON.stringify(toJwk(cpak.key)))]) {
    const { exitCode, stdout, stderr } = verify({ trust: [trust] });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^platform-signature +ok$/m);
    expect(stdout).toMatch(/^challenge +-\n {2}freshness was not checked/m);
    expect(stdout.endsWith("token accepted\n")).toBe(true);
  }
});

test("--json: accepted, stage, claims, problems", () => {
  const { exitCode, stdout } = verify({ json: true, challenge: toHex(recipe.realm.challenge) });
  expect(exitCode).toBe(0);
  const json = JSON.parse(stdout);
  expect(json).toMatchObject({ schemaVersion: 1, accepted: true, stage: "accepted", problems: [] });
  expect(json.unchecked).toEqual(["platform-reference", "realm-reference"]);
  expect(json.claims["cca-realm-delegated-token"]["cca-realm-initial-measurement"]).toBe(
    toBase64(recipe.realm.initialMeasurement),
  );
});

test.each(variants.filter(({ stage }) => stage !== "accepted"))("$name: exit 1, $stage named", ({ bytes, stage }) => {
  const path = file("bad.cbor", bytes);
  const { exitCode, stdout } = verify({ token: path });
  expect(exitCode).toBe(1);
  expect(stdout.endsWith(`token refused: ${stage}\n`)).toBe(true);
  expect(JSON.parse(verify({ token: path, json: true }).stdout)).toMatchObject({ accepted: false, stage });
});

describe("a token as text", () => {
  const base64 = Buffer.from(good).toString("base64").replace(/.{76}/g, "$&\n");
  const block = `${TOKEN_BEGIN}\n${base64}\n${TOKEN_END}\n`;
  const broken = block.replace(base64.slice(0, 8), "********");
  test.each<[string, string, RegExp?]>([
    ["alone", block],
    [
      "in a console log with carriage returns",
      `[    0.1] Booting\n# attest\n${block}# poweroff\n`.replaceAll("\n", "\r\n"),
    ],
    ["with a kernel message in it", block.replace("\n", "\n[   12.345678] random: crng init done\n")],
    ["with a terminal's escape sequences", `\x1b[6n# attest\n${block.replaceAll("\n", "\x1b[K\n")}`],
    ["behind a damaged one", broken + block, /the last of its 2 tokens/],
    ["behind a script that names the marker", `echo "${TOKEN_BEGIN}"\n${block}`],
  ])("%s", (name, text, note = /^$/) => {
    const path = file(`${name}.txt`, text);
    const { exitCode, stdout, stderr } = verify({ token: path });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/token accepted\n$/);
    expect(stderr).toMatch(note);
    expect(showTokenCommand({ token: path }).stdout).toBe(showTokenCommand({ token }).stdout);
  });
  test.each([
    ["cut", block.slice(0, 500), /damaged: the text ends before '-----END/],
    ["not base64", broken, /damaged: what stands between the markers is not base64/],
    ["empty", `${TOKEN_BEGIN}\n${TOKEN_END}\n`, /is not base64/],
  ])("%s: exit 1, stage decode, and the reason", (name, text, reason) => {
    const path = file(`${name}.txt`, text);
    const { exitCode, stdout, stderr } = verify({ token: path });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/token refused: decode\n$/);
    expect(stderr).toMatch(reason);
    expect(showTokenCommand({ token: path }).exitCode).toBe(1);
  });
  test("markers inside a token in bytes are content", () => {
    const text = file("bytes.cbor", Buffer.concat([Buffer.from(good), Buffer.from(`\n${block}`)]));
    expect(verify({ token: text }).exitCode).toBe(1);
  });
});

test("one byte of a signed region changed: exit 1 and a stage", () => {
  for (const { bytes } of flippedTokens(decodeCcaToken(good).token!)) {
    const { exitCode, stdout } = verify({ token: file("flipped.cbor", bytes) });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/token refused: (decode|claims|platform-signature|realm-signature|binding)\n$/);
  }
});

test.each<[string, Partial<VerifyOptions>, string]>([
  ["another key", { trust: [file("other.pem", toPem(otherKey.key))] }, "platform-signature"],
  ["another challenge", { challenge: "0x01" }, "challenge"],
  ["another RIM", { rim: "00".repeat(32) }, "appraise"],
  ["another REM", { rem: [`3=${"00".repeat(32)}`] }, "appraise"],
  ["another RPV", { realmPv: "me" }, "appraise"],
  ["another platform", { reference: file("rv.json", '{"platform":[{"implementation-id":"00"}]}') }, "appraise"],
])("%s: exit 1", (_what, options, stage) => {
  expect(verify(options)).toMatchObject({ exitCode: 1, stdout: expect.stringContaining(`token refused: ${stage}`) });
});

test("expected values that fit", () => {
  const { realm } = recipe;
  const rem = realm.extensibleMeasurements.map((value, i) => `${i}=${toHex(value)}`);
  const realmPv = "\b".repeat(64); // the recipe's value is 64 times 0x08
  expect(verify({ rim: toHex(realm.initialMeasurement).toUpperCase(), rem, realmPv }).exitCode).toBe(0);
});

describe("125, with a sentence on standard error", () => {
  test.each<[string, Partial<VerifyOptions>, RegExp]>([
    ["no such token", { token: join(folder, "none.cbor") }, /cannot read '.*none.cbor': no such file/],
    ["a folder", { token: folder }, /is a directory/],
    ["no such key", { trust: [join(folder, "none.pem")] }, /none.pem': no such file/],
    ["no key", { trust: [] }, /no key to trust\n.*--trust cpak.pem/],
    ["a key file that is none", { trust: [token] }, /--trust: '.*': neither PEM nor JSON/],
    ["challenge not hexadecimal", { challenge: "xyz" }, /--challenge: 'xyz' is not 1 to 64 bytes/],
    ["challenge of 65 bytes", { challenge: "00".repeat(65) }, /--challenge/],
    ["challenge of no bytes", { challenge: "" }, /--challenge/],
    ["RIM not hexadecimal", { rim: "0" }, /--rim/],
    ["REM without its index", { rem: ["00"] }, /--rem: '00' is not N=HEX/],
    ["REM 4", { rem: ["4=00"] }, /--rem/],
    ["RPV too long", { realmPv: "x".repeat(65) }, /--realm-pv: 65 bytes/],
    ["reference values that are none", { reference: pem }, /--reference: '.*': not JSON/],
    ["a misspelt reference value", { reference: file("r.json", '{"relam":[]}') }, /unknown member "relam"/],
    ["reference values and --rim", { reference: file("e.json", "{}"), rim: "00" }, /--reference already says/],
  ])("%s", (_what, options, message) => {
    const { exitCode, stdout, stderr } = verify(options);
    expect({ exitCode, stdout }).toEqual({ exitCode: 125, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

test.each([
  ["an empty file", file("empty", "")],
  ["text", file("text", "hello\n")],
  ["two megabytes", file("large", new Uint8Array(2 << 20))],
  ["an endless device", "/dev/zero"],
])("%s is evidence that cannot be decoded: exit 1", (_what, path) => {
  const { exitCode, stdout } = verify({ token: path });
  expect(exitCode).toBe(1);
  expect(stdout).toContain("token refused: decode");
});

describe("token --show", () => {
  test("the tree, as text and as JSON", () => {
    const { exitCode, stdout } = showTokenCommand({ token });
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`cca-realm-initial-measurement (44238): ${toHex(recipe.realm.initialMeasurement)}\n`);
    const json = JSON.parse(showTokenCommand({ token, json: true }).stdout);
    expect(json.children.map(({ label }: { label: string }) => label)).toEqual(["platform token", "realm token"]);
  });
  test("what is no token: exit 1; what cannot be read: 125", () => {
    expect(showTokenCommand({ token: file("text", "hello") })).toMatchObject({ exitCode: 1 });
    expect(showTokenCommand({ token: join(folder, "none") })).toMatchObject({ exitCode: 125 });
  });
});

test("characters of a token that steer a terminal are escaped", () => {
  const hostile = tokenVariants({
    ...recipe,
    platform: { ...recipe.platform, profile: "tag:\u001b[2J\u009b\u202e" },
  }).find(({ name }) => name === "unchanged")!.bytes;
  const path = file("hostile.cbor", hostile);
  for (const { stdout } of [verify({ token: path }), showTokenCommand({ token: path })]) {
    expect(stdout).toContain("\\u009b\\u202e");
    expect([...stdout].every((c) => c === "\n" || (c >= " " && !(c >= "\u007f" && c < "\u00a0")))).toBe(true);
  }
});
