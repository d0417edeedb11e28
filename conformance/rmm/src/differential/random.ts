/**
 * Random call scripts from a seed: a Realm is built as it should be, then commands follow whose arguments come out of small
 * pools of addresses, mostly fitting, sometimes not at all. What comes back steers nothing, so both RMMs get the same calls.
 */
import { RMI_FID, type RmiCommand, RmiRecEnter } from "@realmbox/abi";
import { Agent, a64, type Host, Realm, type Script } from "../driver/index.js";
import { Random } from "../fuzz/random.js";

const PAGE = 0x1000n;
const BLOCK = 0x20_0000n;
const UNPROTECTED = 1n << 32n;
const GRANULES = 10;
/** Plain SMC of the agent, and calls that a Realm makes. */
const REALM_CALLS = [0xc400_0190n, 0xc400_0192n, 0xc400_0198n, 0x8400_0000n, 0xc400_0003n, 0xc400_0004n];

type Arguments = (random: Random, pools: Pools) => readonly bigint[];

interface Pools {
  readonly rds: readonly bigint[];
  readonly recs: readonly bigint[];
  /** Granules of any state. */
  readonly granules: readonly bigint[];
  /** Pages of the Host with content. */
  readonly pages: readonly bigint[];
  readonly run: bigint;
}

const ipa = (random: Random): bigint => {
  const half = random.oneIn(3) ? UNPROTECTED : 0n;
  return half + BigInt(random.below(3)) * BLOCK + BigInt(random.below(4)) * PAGE;
};
const level = (random: Random): bigint => BigInt(random.oneIn(8) ? random.below(6) : 2 + random.below(2));
const granule = (random: Random, { granules }: Pools): bigint => random.pick(granules);
const rd = (random: Random, { rds }: Pools): bigint => random.pick(rds);
const rec = (random: Random, { recs }: Pools): bigint => random.pick(recs);
const page = (random: Random, { pages }: Pools): bigint => random.pick(pages);

/** How often each command comes, and what it is given. */
const COMMANDS: readonly (readonly [RmiCommand, number, Arguments])[] = [
  ["RMI_VERSION", 1, (r) => [r.pick([0x1_0000n, 0x1_0001n, 0x2_0000n])]],
  ["RMI_GRANULE_DELEGATE", 8, (r, p) => [granule(r, p)]],
  ["RMI_GRANULE_UNDELEGATE", 4, (r, p) => [granule(r, p)]],
  ["RMI_RTT_CREATE", 8, (r, p) => [rd(r, p), granule(r, p), ipa(r) & ~(BLOCK - 1n), level(r)]],
  ["RMI_RTT_DESTROY", 3, (r, p) => [rd(r, p), ipa(r) & ~(BLOCK - 1n), level(r)]],
  ["RMI_RTT_FOLD", 2, (r, p) => [rd(r, p), ipa(r) & ~(BLOCK - 1n), level(r)]],
  ["RMI_RTT_READ_ENTRY", 8, (r, p) => [rd(r, p), ipa(r), level(r)]],
  ["RMI_DATA_CREATE", 6, (r, p) => [rd(r, p), granule(r, p), ipa(r), page(r, p), BigInt(r.below(2))]],
  ["RMI_DATA_CREATE_UNKNOWN", 6, (r, p) => [rd(r, p), granule(r, p), ipa(r)]],
  ["RMI_DATA_DESTROY", 4, (r, p) => [rd(r, p), ipa(r)]],
  ["RMI_RTT_INIT_RIPAS", 4, (r, p) => [rd(r, p), ipa(r), ipa(r)]],
  ["RMI_RTT_SET_RIPAS", 3, (r, p) => [rd(r, p), rec(r, p), ipa(r), ipa(r)]],
  ["RMI_RTT_MAP_UNPROTECTED", 5, (r, p) => [rd(r, p), ipa(r) | UNPROTECTED, level(r), page(r, p) | 0xd8n]],
  ["RMI_RTT_UNMAP_UNPROTECTED", 3, (r, p) => [rd(r, p), ipa(r) | UNPROTECTED, level(r)]],
  ["RMI_REALM_ACTIVATE", 1, (r, p) => [rd(r, p)]],
  ["RMI_REALM_DESTROY", 1, (r, p) => [rd(r, p)]],
  ["RMI_REC_DESTROY", 1, (r, p) => [rec(r, p)]],
  ["RMI_REC_ENTER", 10, (r, p) => [rec(r, p), p.run]],
  ["RMI_PSCI_COMPLETE", 2, (r, p) => [rec(r, p), rec(r, p), r.oneIn(2) ? 0n : 0xffff_ffff_ffff_fffdn]],
];
const WEIGHT = COMMANDS.reduce((sum, [, weight]) => sum + weight, 0);

function pickCommand(random: Random): (typeof COMMANDS)[number] {
  let at = random.below(WEIGHT);
  return COMMANDS.find(([, weight]) => (at -= weight) < 0)!;
}

/** An argument that fits nowhere, in place of one that may. */
const spoil = (random: Random, value: bigint): bigint =>
  random.pick([value + 1n, value + 0x800n, value | (1n << 55n), 0n, 0xffff_ffff_ffff_f000n]);

/** What the Host gives a REC at its entry: a call of the Realm, or an access, and flags. */
function enterOf(random: Random): Uint8Array {
  const isCall = random.oneIn(2);
  const word = isCall ? a64.SMC : 0xf940_0020; // SMC #0, or LDR X0, [X1]
  const x0 = random.pick(REALM_CALLS);
  const registers = isCall ? [x0, ipa(random), ipa(random) + PAGE] : [0n, ipa(random)];
  const flags = random.oneIn(4) ? BigInt(random.below(32)) : 0n;
  return RmiRecEnter.encode({ flags, gprs: [BigInt(word >>> 0) | (0xd503_201fn << 32n), ...registers] });
}

/** The script of a seed, with so many calls after the Realm is built. */
export const randomScript = (seed: number, calls = 150) =>
  function* (host: Host): Script {
    const random = new Random(seed);
    const realm = yield* Realm.create(host);
    const agent = yield* Agent.create(host, realm, PAGE);
    const second = yield* realm.rec(host, { runnable: false });
    yield* realm.ram(host, 2n * PAGE, BLOCK);
    const active = !random.oneIn(4);
    if (active) {
      yield* realm.activate(host);
      yield* agent.begin(host);
    }
    const granules = Array.from({ length: GRANULES }, () => host.page());
    const pools: Pools = {
      rds: [realm.rd, realm.rd, realm.rd, realm.rd, granules[0]!],
      recs: [agent.rec.addr, agent.rec.addr, agent.rec.addr, second.addr, granules[1]!],
      granules: [...granules, ...granules, realm.rd, agent.rec.addr],
      pages: [host.page(Uint8Array.of(1, 2, 3)), host.page(), granules[2]!],
      run: host.page(),
    };
    for (let n = 0; n < calls; n++) {
      const [command, , argumentsOf] = pickCommand(random);
      const args = [...argumentsOf(random, pools)];
      if (random.oneIn(12)) {
        const at = random.below(args.length);
        args[at] = spoil(random, args[at]!);
      }
      if (command === "RMI_REC_ENTER") host.write(pools.run, enterOf(random));
      yield* host.smc(RMI_FID[command], ...args);
    }
  };
