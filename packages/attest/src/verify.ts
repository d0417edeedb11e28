/**
 * The verifier: from a token's bytes to "accepted" or to the first step that refuses it. The steps follow
 * draft-ffm-rats-cca-token, "Verification", in the order in which veraison/ccatoken reports them:
 *
 *   decode              collection, both COSE_Sign1, CBOR, the platform profile that selects the claim set
 *   claims              every claim of both sets, the RAK's form and point
 *   trust-anchor        a key for this implementation and instance
 *   platform-signature  by that key (CPAK)
 *   realm-signature     by the RAK that the Realm token carries
 *   binding             hash of the RAK claim = the platform token's binding claim
 *   challenge           the caller's nonce, if given
 *   appraise            lifecycle; reference values, as far as given
 *
 * A later step runs only when all earlier ones passed. Claims of a token that fails before `binding` has passed are
 * whatever its author liked; they are returned for diagnosis only.
 *
 * @spec draft-ffm-rats-cca-token-04, "Verification": partial: no certified CPAKs (x5chain), no results in EAR form
 */

import { type Crypto, type HashAlgorithm, invariant } from "@realmbox/abi";
import {
  type CcaToken,
  decodeCcaToken,
  type EcPublicKey,
  equalBytes,
  HASH_NAMES,
  type Json,
  lifecycleState,
  type PlatformClaims,
  type RealmClaims,
  toHex,
  tokenToJson,
  verifySign1,
} from "@realmbox/token";
import { anchorFits, keyText, type TrustAnchor } from "./keys.js";
import { bestFit, comparePlatform, compareRealm, type Difference, type ReferenceValues } from "./reference.js";

export const STAGES = [
  "decode",
  "claims",
  "trust-anchor",
  "platform-signature",
  "realm-signature",
  "binding",
  "challenge",
  "appraise",
  "accepted",
] as const;
export type Stage = (typeof STAGES)[number];

export interface VerificationProblem {
  readonly stage: Exclude<Stage, "accepted">;
  /** Stable, for programs. */
  readonly code: string;
  /** One sentence for people. */
  readonly message: string;
  readonly claim?: string;
}

export interface VerificationOptions {
  readonly crypto: Crypto;
  readonly trustAnchors: readonly TrustAnchor[];
  /** The nonce that the token must be fresh for, 1 to 64 bytes; shorter ones are padded with zeros, as Linux does. */
  readonly challenge?: Uint8Array;
  readonly reference?: ReferenceValues;
}

/** What the caller gave nothing to check against. */
export type Unchecked = "challenge" | "platform-reference" | "realm-reference";

export interface VerificationResult {
  readonly accepted: boolean;
  /** The first stage that failed, or "accepted". */
  readonly stage: Stage;
  /** Both claim sets in veraison/ccatoken's JSON form; null when the structure is not that of a token. */
  readonly claims: Json;
  /** All problems of that stage. */
  readonly problems: readonly VerificationProblem[];
  readonly unchecked: readonly Unchecked[];
  /** The decoded token, when its structure is right. */
  readonly token?: CcaToken;
}

/** CHALLENGE_SIZE of the realm claim. */
const CHALLENGE_SIZE = 64;
/** Far above any token (a Realm gives at most 64 KiB of it); keeps a foolish file from costing time and memory. */
export const TOKEN_SIZE_MAX = 1 << 20;

/**
 * Verifies a token. Never throws for anything that the token contains.
 * @throws RangeError when the expected challenge has not 1 to 64 bytes
 */
export function verifyToken(data: Uint8Array, options: VerificationOptions): VerificationResult {
  const { challenge, reference } = options;
  if (challenge && (challenge.length < 1 || challenge.length > CHALLENGE_SIZE))
    throw new RangeError(`a challenge has 1 to ${CHALLENGE_SIZE} bytes, not ${challenge.length}`);
  const unchecked: Unchecked[] = [];
  if (!challenge) unchecked.push("challenge");
  if (!reference?.platform) unchecked.push("platform-reference");
  if (!reference?.realm) unchecked.push("realm-reference");

  const decoded: ReturnType<typeof decodeCcaToken> =
    data.length > TOKEN_SIZE_MAX
      ? { problems: [{ stage: "decode", code: "token-size", message: `more than ${TOKEN_SIZE_MAX} bytes` }] }
      : decodeCcaToken(data);
  const { token } = decoded;
  const problems: readonly VerificationProblem[] =
    decoded.problems.length > 0 || !token ? decoded.problems : check(token, options);
  // Stages are in order, so that the first problem's is the first that failed.
  const accepted = problems.length === 0;
  const stage: Stage = accepted ? "accepted" : problems[0]!.stage;
  return {
    accepted,
    stage,
    claims: token ? tokenToJson(token) : null,
    problems: problems.filter((problem) => problem.stage === stage),
    unchecked,
    ...(token && { token }),
  };
}

/** The steps after decoding: the problems of the first that fails. */
function check(token: CcaToken, options: VerificationOptions): readonly VerificationProblem[] {
  const { crypto, trustAnchors, challenge, reference } = options;
  const { platform, realm, rak } = token;
  invariant(
    platform.claims !== undefined && realm.claims !== undefined && rak !== undefined,
    "a token without problems has all claims",
  );
  const fail = (stage: VerificationProblem["stage"], code: string, message: string) => [{ stage, code, message }];

  const keys = candidateKeys(platform.claims, trustAnchors);
  if (typeof keys === "string") return fail("trust-anchor", "trust-anchor", keys);

  const attempts = keys.map((key) => verifySign1(crypto, platform.sign1, key));
  const refusal = attempts.includes(undefined) ? undefined : attempts[0];
  if (refusal) return fail("platform-signature", refusal.code, `platform token: ${refusal.message}`);

  const realmRefusal = verifySign1(crypto, realm.sign1, rak);
  if (realmRefusal) return fail("realm-signature", realmRefusal.code, `realm token: ${realmRefusal.message}`);

  const unbound = checkBinding(crypto, platform.claims, realm.claims);
  if (unbound) return [unbound];

  if (challenge) {
    const expected = new Uint8Array(CHALLENGE_SIZE);
    expected.set(challenge);
    if (!equalBytes(realm.claims.challenge, expected))
      return fail(
        "challenge",
        "challenge",
        `the token is not fresh: its challenge is ${toHex(realm.claims.challenge)}, expected ${toHex(expected)}`,
      );
  }
  return appraise(platform.claims, realm.claims, reference ?? {});
}

/**
 * The keys that may have signed the platform token: the one trusted for exactly this platform, else all that are
 * trusted for any. A sentence when there is none.
 */
function candidateKeys(platform: PlatformClaims, anchors: readonly TrustAnchor[]): readonly EcPublicKey[] | string {
  const fitting = anchors.filter((anchor) => anchorFits(anchor, platform));
  const bound = fitting.filter((anchor) => anchor.instanceId !== undefined);
  const distinct = new Map((bound.length > 0 ? bound : fitting).map(({ key }) => [keyText(key), key]));
  const id = `implementation ${toHex(platform.implementationId)}, instance ${toHex(platform.instanceId)}`;
  if (distinct.size === 0) return `no trusted key for ${id}`;
  if (bound.length > 0 && distinct.size > 1) return `more than one trusted key for ${id}`;
  return [...distinct.values()];
}

function checkBinding(crypto: Crypto, platform: PlatformClaims, realm: RealmClaims): VerificationProblem | undefined {
  const algorithm = HASH_NAMES.find((name): name is HashAlgorithm => name === realm.publicKeyHashAlgorithm);
  if (!algorithm)
    return {
      stage: "binding",
      code: "binding-algorithm",
      claim: "cca-realm-public-key-hash-algo-id",
      message: `the RAK's hash algorithm ${JSON.stringify(realm.publicKeyHashAlgorithm)} is unknown`,
    };
  const carried = platform.workloadBinding ?? platform.challenge;
  invariant(carried !== undefined, "every supported profile has a binding claim");
  const computed = crypto.hash(algorithm, realm.publicKey);
  if (equalBytes(carried, computed)) return undefined;
  return {
    stage: "binding",
    code: "binding",
    claim: platform.workloadBinding ? "cca-platform-workload-binding" : "cca-platform-challenge",
    message: `the platform token is bound to another RAK: it carries ${toHex(carried)}, the RAK's ${algorithm} is ${toHex(computed)}`,
  };
}

function appraise(platform: PlatformClaims, realm: RealmClaims, reference: ReferenceValues): VerificationProblem[] {
  const problems: VerificationProblem[] = [];
  const add = (differences: readonly Difference[]) =>
    problems.push(
      ...differences.map(({ claim, ...rest }) => ({ stage: "appraise", ...rest, ...(claim && { claim }) }) as const),
    );
  const state = lifecycleState(platform.lifecycle);
  // Realm management debug leaves the platform's root of trust intact; every other state but secured does not.
  if (state !== "secured" && state !== "non-cca-platform-rot-debug")
    problems.push({
      stage: "appraise",
      code: "lifecycle",
      claim: "cca-platform-lifecycle",
      message: `the platform's lifecycle state is ${state} (0x${platform.lifecycle.toString(16).padStart(4, "0")})`,
    });
  if (reference.platform) add(bestFit(reference.platform, (entry) => comparePlatform(platform, entry)));
  if (reference.realm) add(bestFit(reference.realm, (entry) => compareRealm(realm, entry)));
  return problems;
}
