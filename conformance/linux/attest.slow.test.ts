/**
 * Attestation the way programs on Linux do it: configfs's TSM report inside the realm, the caller's nonce in it, and the
 * verifier outside. The RIM in the token is the one that `measure` gives for the same arguments.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../support/cli.js";
import { DEBIAN, hostSawNothing, missing, session, withImages } from "./debian.js";

const why = await missing(DEBIAN);
const note = why === undefined ? "" : ` (skipped: ${why})`;
const folder = temporaryFolder("linux-attest");

const NONCE = "5eed".repeat(32);

test.skipIf(why !== undefined).each([
  ["sha256", 1],
  ["sha512", 4],
])(`attest, %s, %i vCPUs${note}`, async (algorithm, cpus) => {
  const args = ["-c", `${cpus}`, "-m", "512", "--measurement-algo", algorithm, DEBIAN.name];
  const run = await session(["--realm", ...args], [`attest -n ${NONCE}`, "poweroff -f"]);
  expect(run.code, run.console.slice(-2000)).toBe(0);
  expect(hostSawNothing(run)).toBe(true);
  const log = join(folder, `${algorithm}.log`);
  writeFileSync(log, run.stderr, "latin1");

  const cpak = join(folder, "cpak.pem");
  const issued = await realmbox(["token", "--quiet", "--out", join(folder, "own.cbor"), "--cpak-out", cpak, "hello"]);
  expect(issued.code, issued.stderr).toBe(0);
  const rim = (await withImages(["measure", ...args])).stdout.trim();
  expect(rim).toBe(run.report.rim!.expected);
  const verify = (challenge: string) =>
    realmbox(["verify", log, "--trust", cpak, "--challenge", challenge, "--rim", rim, "--json"]);

  const accepted = await verify(NONCE);
  expect(accepted.code, accepted.stdout + accepted.stderr).toBe(0);
  expect(JSON.parse(accepted.stdout)).toMatchObject({ accepted: true });
  expect((await verify("00".repeat(64))).code).toBe(1);
});

test.skipIf(why !== undefined)(`attest in a normal VM says why there is no token${note}`, async () => {
  const run = await session(["-m", "512", DEBIAN.name], ["attest; echo status=$?", "poweroff -f"]);
  expect(run.code).toBe(0);
  expect(run.console).toMatch(/status=[1-9]/);
});
