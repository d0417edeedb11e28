/** `token` and `verify`: a token from a run is accepted; with any byte of a signed region changed it is refused by stage. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flippedTokens, parseTrustAnchors, STAGES, type TrustAnchor, toJwk, verifyToken } from "@realmbox/attest";
import { decodeCcaToken } from "@realmbox/token";
import { nodeCrypto } from "realmbox";
import { beforeAll, describe, expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder("token");
const path = (name: string) => join(folder, name);
const token = path("t.cbor");
const cpak = path("cpak.pem");

function anchors(): readonly TrustAnchor[] {
  const parsed = parseTrustAnchors(readFileSync(cpak, "utf8"));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed));
  return parsed.value;
}

beforeAll(async () => {
  const result = await realmbox(["token", "--out", token, "--cpak-out", cpak, "hello"]);
  expect(result).toMatchObject({ code: 0, stdout: "" });
});

test("verify accepts it, with the key as PEM and as JWK", async () => {
  const result = await realmbox(["verify", token, "--trust", cpak]);
  expect(result.code).toBe(0);
  expect(result.stdout).toContain("token accepted");
  writeFileSync(path("cpak.jwk"), JSON.stringify(toJwk(anchors()[0]!.key)));
  const json = await realmbox(["verify", token, "--trust", path("cpak.jwk"), "--json"]);
  expect(json).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(json.stdout)).toMatchObject({ accepted: true, stage: "accepted", problems: [] });
  expect(Object.keys(JSON.parse(json.stdout).claims)).toEqual(["cca-platform-token", "cca-realm-delegated-token"]);
});

test("expectations are checked: challenge, RIM, personalization value", async () => {
  const rim = (await realmbox(["measure", "hello"])).stdout.trim();
  const good = ["--challenge", "00".repeat(64), "--rim", rim, "--realm-pv", ""];
  expect((await realmbox(["verify", token, "--trust", cpak, ...good])).code).toBe(0);
  for (const [option, value, stage] of [
    ["--challenge", "01", "challenge"],
    ["--rim", rim.replace(/^./, (digit) => (digit === "0" ? "1" : "0")), "appraise"],
    ["--realm-pv", "other", "appraise"],
  ] as const) {
    const { code, stdout } = await realmbox(["verify", token, "--trust", cpak, option, value]);
    expect(code).toBe(1);
    expect(stdout).toContain(`token refused: ${stage}`);
  }
});

test("another platform's key is not trusted", async () => {
  const other = path("other.pem");
  await realmbox(["token", "--out", path("other.cbor"), "--cpak-out", other, "--seed", "99", "hello"]);
  const { code, stdout } = await realmbox(["verify", token, "--trust", other]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/token refused: (trust-anchor|platform-signature)/);
});

test("files that cannot be read: 125", async () => {
  for (const args of [
    ["verify", path("none"), "--trust", cpak],
    ["verify", folder, "--trust", cpak],
    ["verify", token, "--trust", path("none")],
    ["verify", token, "--trust", token],
    ["verify", token],
  ]) {
    expect(await realmbox(args)).toMatchObject({ code: 125, stdout: "" });
  }
});

test("what is no token: 1, decode", async () => {
  for (const [name, bytes] of [
    ["empty", Buffer.alloc(0)],
    ["text", Buffer.from("not a token")],
    ["half", readFileSync(token).subarray(0, 500)],
    ["zeros", Buffer.alloc(1000)],
  ] as const) {
    writeFileSync(path(name), bytes);
    const { code, stdout } = await realmbox(["verify", path(name), "--trust", cpak]);
    expect({ name, code }).toEqual({ name, code: 1 });
    expect(stdout).toContain("token refused: decode");
  }
});

describe("a byte of a signed region changed", () => {
  const refusing = STAGES.filter((stage) => stage !== "accepted");

  test("by the command, at a dozen places", async () => {
    const all = [...flippedTokens(decodeCcaToken(new Uint8Array(readFileSync(token))).token!)];
    expect(all.length).toBeGreaterThan(700);
    for (let n = 0; n < 12; n++) {
      writeFileSync(path("flipped"), all[Math.floor((all.length * n) / 12)]!.bytes);
      const { code, stdout } = await realmbox(["verify", path("flipped"), "--trust", cpak]);
      expect(code).toBe(1);
      expect(refusing).toContain(/token refused: ([a-z-]+)\n$/.exec(stdout)?.[1]);
    }
  });

  test("every one of them, by the verifier", () => {
    const trustAnchors = anchors();
    const accepted: number[] = [];
    let n = 0;
    for (const { bytes } of flippedTokens(decodeCcaToken(new Uint8Array(readFileSync(token))).token!)) {
      const { accepted: isAccepted, stage, problems } = verifyToken(bytes, { crypto: nodeCrypto, trustAnchors });
      if (isAccepted || !refusing.includes(stage as never) || problems.length === 0) accepted.push(n);
      n++;
    }
    expect(accepted).toEqual([]);
  });

  test("any bit of the whole file: refused, or the same claims", () => {
    // Outside of the signed regions are the outer structure and the signatures: nothing there can change a claim.
    const original = new Uint8Array(readFileSync(token));
    const trustAnchors = anchors();
    const good = verifyToken(original, { crypto: nodeCrypto, trustAnchors });
    for (let at = 0; at < original.length; at++) {
      const bytes = original.slice();
      bytes[at]! ^= 1 << (at % 8);
      const result = verifyToken(bytes, { crypto: nodeCrypto, trustAnchors });
      if (result.accepted) expect(result.claims, `byte ${at}`).toEqual(good.claims);
    }
  });
});
