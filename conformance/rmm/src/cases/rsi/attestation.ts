/** RSI_ATTESTATION_TOKEN_INIT, RSI_ATTESTATION_TOKEN_CONTINUE. What a token says is the verifier's suite's business. */
import { RSI_FID } from "@realmbox/abi";
import { AGENT_PATTERN, type Agent, type Host, type Script } from "../../driver/index.js";
import { type ConformanceCase, DEN0137, effects } from "../case.js";
import { check, equal, equalAll, fail } from "../check.js";
import { BUFFER, EMPTY_PAGE, othersKept, peek, poke, rsiFailures, rsiOk, runningRealm } from "../realm-calls.js";
import { bufferFault } from "./calls.js";

const INPUT = "RSI_ERROR_INPUT";
const CHALLENGE = Array.from({ length: 8 }, (_, i) => 0x0101_0101_0101_0101n * BigInt(i + 1));
const INCOMPLETE = 3n;
const STATE = 2n;
const MAX = (1n << 64n) - 1n;

const begin = function* (host: Host, { agent }: { readonly agent: Agent }): Script {
  yield* rsiOk(host, agent, "RSI_ATTESTATION_TOKEN_INIT", ...CHALLENGE);
};

/**
 * A call that asks for bytes, made again while none is there: signing may take several calls, as the document allows.
 * A size of zero is asked for once.
 */
function* next(
  host: Host,
  agent: Agent,
  ...args: readonly [addr: bigint, offset: bigint, size: bigint]
): Script<readonly bigint[]> {
  for (let n = 0; n < 100_000; n++) {
    const x = yield* agent.smc(host, RSI_FID.RSI_ATTESTATION_TOKEN_CONTINUE, ...args);
    if (x[0] !== INCOMPLETE || x[1] !== 0n || args[2] === 0n) return x;
  }
  fail("the token is not signed after 100,000 calls");
}

/** Begins a token and takes its first bytes: it is signed. */
const beginSigned = function* (host: Host, { agent }: { readonly agent: Agent }): Script {
  yield* begin(host, { agent });
  equal((yield* next(host, agent, BUFFER, 0n, 8n))[1], 8n, "X1 of the first call");
};

/** The whole token, `piece` bytes at a time, into BUFFER: its length, and its first words. */
function* takeToken(host: Host, agent: Agent, piece: bigint): Script<{ size: bigint; head: readonly bigint[] }> {
  let size = 0n;
  const head: bigint[] = [];
  while (true) {
    const [x0, x1] = yield* next(host, agent, BUFFER, 0n, piece);
    if (head.length === 0) for (const at of [0n, 8n]) head.push(yield* peek(host, agent, BUFFER + at));
    size += x1!;
    if (x0 === 0n) return { size, head };
    equal(x0, INCOMPLETE, "X0 while bytes remain");
    equal(x1, piece, "X1 while bytes remain");
    check(size <= 0x1_0000n, "the token ends");
  }
}

const failures = rsiFailures("RSI_ATTESTATION_TOKEN_CONTINUE", [
  {
    condition: "addr_align",
    status: INPUT,
    precondition: "addr is not aligned to 4 KiB",
    before: begin,
    args: [BUFFER + 8n, 0n, 64n],
  },
  {
    condition: "offset_bound",
    status: INPUT,
    precondition: "offset is 4096",
    before: begin,
    args: [BUFFER, 0x1000n, 0n],
  },
  {
    condition: "offset_bound",
    variant: "wild",
    status: INPUT,
    precondition: "offset is 2^63",
    before: begin,
    args: [BUFFER, 1n << 63n, 0n],
  },
  { condition: "size_bound", status: INPUT, precondition: "size is 4097", before: begin, args: [BUFFER, 0n, 0x1001n] },
  {
    condition: "size_bound",
    variant: "with_offset",
    status: INPUT,
    precondition: "offset and size reach beyond the granule",
    before: begin,
    args: [BUFFER, 0xff0n, 0x11n],
  },
  {
    condition: "size_overflow",
    status: INPUT,
    precondition: "offset + size wraps",
    before: begin,
    args: [BUFFER, 0x100n, MAX],
  },
  {
    condition: "addr_bound",
    status: INPUT,
    precondition: "addr is Unprotected",
    before: begin,
    args: ({ realm }) => [realm.unprotected, 0n, 64n],
  },
  {
    condition: "addr_bound",
    variant: "wild",
    status: INPUT,
    precondition: "addr is 2^63",
    before: begin,
    args: [1n << 63n, 0n, 64n],
  },
  { condition: "state", status: "RSI_ERROR_STATE", precondition: "No token is under way", args: [BUFFER, 0n, 64n] },
  {
    condition: "state",
    variant: "done",
    status: "RSI_ERROR_STATE",
    precondition: "The token is complete",
    *before(host, state) {
      yield* begin(host, state);
      yield* takeToken(host, state.agent, 0x1000n);
    },
    args: [BUFFER, 0n, 64n],
  },
  {
    condition: "ripas",
    status: INPUT,
    precondition: "RIPAS of addr is EMPTY",
    before: beginSigned,
    args: [EMPTY_PAGE, 0n, 64n],
  },
]);

/** The machine's platform token leaves no room for a Realm's. */
const unavailable: ConformanceCase = {
  id: "RSI_ATTESTATION_TOKEN_INIT/attestation_unavailable",
  command: "RSI_ATTESTATION_TOKEN_INIT",
  kind: "failure",
  citation: `${DEN0137}, "RSI_ATTESTATION_TOKEN_INIT command", RSI_ERROR_UNKNOWN (TF-RMM's rule)`,
  preconditions: "Boot has brought no platform token of a size that fits",
  conditions: ["RSI_ATTESTATION_TOKEN_INIT/attestation_unavailable"],
  machine: "large-platform-token",
  *run(host) {
    const { agent } = yield* runningRealm(host);
    const x = yield* agent.smc(host, RSI_FID.RSI_ATTESTATION_TOKEN_INIT, ...CHALLENGE);
    equalAll(x.slice(0, 4), [4n, 0n, 0n, 0n], "X0 to X3");
    equal(
      (yield* agent.smc(host, RSI_FID.RSI_ATTESTATION_TOKEN_CONTINUE, BUFFER, 0n, 64n))[0],
      STATE,
      "X0 of CONTINUE",
    );
  },
};

const cases: readonly ConformanceCase[] = [
  ...failures,
  ...effects("RSI_ATTESTATION_TOKEN_INIT", "RSI_ATTESTATION_TOKEN_INIT command", {
    size: [
      "X1 is an upper bound of the token's size; the challenge and all other registers are as they were",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const x = yield* rsiOk(host, agent, "RSI_ATTESTATION_TOKEN_INIT", ...CHALLENGE);
        const { size } = yield* takeToken(host, agent, 0x1000n);
        check(size > 0n && size <= x[1]!, `the token has ${size} bytes, the bound is ${x[1]}`);
        othersKept(
          x,
          3,
          AGENT_PATTERN.map((value, n) => (n >= 1 && n <= 8 ? CHALLENGE[n - 1]! : value)),
        );
      },
    ],
    again: [
      "A second INIT drops the token that is under way",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* begin(host, { agent });
        const whole = yield* takeToken(host, agent, 0x1000n);
        yield* begin(host, { agent });
        yield* next(host, agent, BUFFER, 0n, 64n);
        yield* begin(host, { agent });
        equal((yield* takeToken(host, agent, 0x1000n)).size, whole.size, "size of the token that was begun again");
      },
    ],
    per_rec: [
      "A token is its REC's: another REC has none under way",
      function* (host) {
        const { agents } = yield* runningRealm(host, {}, { recs: 2 });
        yield* agents[1]!.begin(host);
        yield* begin(host, { agent: agents[0]! });
        equal((yield* next(host, agents[1]!, BUFFER, 0n, 64n))[0], STATE, "X0 on the other REC");
        equal((yield* next(host, agents[0]!, BUFFER, 0n, 64n))[0], INCOMPLETE, "X0 on the REC itself");
      },
    ],
  }),
  ...effects("RSI_ATTESTATION_TOKEN_CONTINUE", "RSI_ATTESTATION_TOKEN_CONTINUE command", {
    pieces: [
      "The token in pieces is the token at once: COSE in CBOR tag 399",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* begin(host, { agent });
        const whole = yield* takeToken(host, agent, 0x1000n);
        equal(whole.head[0]! & 0xff_ffffn, 0x8f01d9n, "the first bytes: tag 399");
        for (const piece of [1000n]) {
          yield* begin(host, { agent });
          const pieces = yield* takeToken(host, agent, piece);
          equal(pieces.size, whole.size, `size in pieces of ${piece}`);
          equalAll(pieces.head, whole.head, `first words in pieces of ${piece}`);
        }
      },
    ],
    offset: [
      "Bytes are written at addr + offset, and nowhere else",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* begin(host, { agent });
        const { head } = yield* takeToken(host, agent, 0x1000n);
        for (const at of [0x6f8n, 0x710n]) yield* poke(host, agent, BUFFER + at, MAX);
        yield* begin(host, { agent });
        equalAll((yield* next(host, agent, BUFFER, 0x700n, 16n)).slice(0, 2), [INCOMPLETE, 16n], "X0 and X1");
        const found: bigint[] = [];
        for (const at of [0x6f8n, 0x700n, 0x708n, 0x710n]) found.push(yield* peek(host, agent, BUFFER + at));
        equalAll(found, [MAX, ...head, MAX], "words around");
      },
    ],
    size_zero: [
      "A size of zero: INCOMPLETE, no bytes, and the token goes on where it was",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* beginSigned(host, { agent });
        equalAll((yield* next(host, agent, BUFFER, 0n, 0n)).slice(0, 4), [INCOMPLETE, 0n, 0n, 0n], "X0 to X3");
        equal((yield* next(host, agent, BUFFER, 0xff8n, 8n))[1], 8n, "X1 of the next call");
      },
    ],
    no_page: [
      "RIPAS of addr is RAM, and there is no page: a Data Abort exit; with a page, the same call succeeds",
      function* (host) {
        // The call is made again by itself, so that the token must have been begun before: INIT comes first.
        yield* bufferFault(host, (ipa) => [RSI_FID.RSI_ATTESTATION_TOKEN_CONTINUE, ipa, 0n, 0x1000n], beginSigned);
      },
    ],
    refusal_keeps_token: [
      "A refused call writes no bytes and loses none",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        yield* begin(host, { agent });
        const whole = yield* takeToken(host, agent, 0x1000n);
        yield* begin(host, { agent });
        equal((yield* next(host, agent, BUFFER + 8n, 0n, 64n))[0], 1n, "X0 of the refused call");
        equal((yield* takeToken(host, agent, 0x1000n)).size, whole.size, "size of the token");
      },
    ],
  }),
];

/** Signing takes its time: in short turns it would take thousands of calls. */
export const attestationCases: readonly ConformanceCase[] = [
  ...cases.map((one): ConformanceCase => ({ ...one, machine: "long-turns" })),
  unavailable,
];
