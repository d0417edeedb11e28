/** Rounds of the agent: what a hostile realm does next, as the general registers that the Host gives at REC entry. */
import { PSCI_FID, RSI_FID } from "@realmbox/abi";
import {
  AREA_SIZE,
  AREAS,
  AREAS_IPA,
  INSTRUCTION,
  MSR_CNTP_CTL,
  MSR_CNTV_CTL,
  MSR_CNTV_CVAL,
  ROUND_GPR,
  ROUND_REGISTERS,
  ROUND_WORDS,
  readRegister,
  SECRET_IPA,
  writeRegister,
} from "./agent.js";
import type { Side } from "./generator.js";
import { PAGE } from "./layout.js";
import type { Realm, Rec } from "./ledger.js";
import type { Random } from "./random.js";

const LOW = [
  0, 0x1000, 0x3000, 0x4000, 0x5000, 0x8000, 0x9000, 0x1f_f000, 0x20_0000, 0x20_1000, 0x40_0000, 0x4000_0000,
];
const cache = new WeakMap<Realm, readonly number[]>();

/** Page addresses that a realm's tables, pages and accesses are about: both halves of its IPA space. */
export function addressesOf(realm: Realm | undefined): readonly number[] {
  if (!realm) return LOW;
  let list = cache.get(realm);
  if (!list) {
    const { protectedSize } = realm;
    const half = [...LOW, ...LOW.slice(0, 6), protectedSize - PAGE].filter((ipa) => ipa < protectedSize);
    list = [...half, ...half.filter((_, n) => n % 3 !== 2).map((ipa) => ipa + protectedSize)];
    cache.set(realm, list);
  }
  return list;
}

const RSI = Object.values(RSI_FID).filter((fid) => fid !== RSI_FID.RSI_ATTESTATION_TOKEN_INIT);
/** A realm that is off is off for good: those come rarely. */
const PSCI = Object.values(PSCI_FID).filter(
  (fid) => fid !== PSCI_FID.PSCI_SYSTEM_OFF && fid !== PSCI_FID.PSCI_SYSTEM_RESET && fid !== PSCI_FID.PSCI_CPU_OFF,
);
const { SMC, BACK, WFE } = INSTRUCTION;

/** gprs[0..18] of RmiRecEnter. */
export function round(random: Random, rec: Rec, side: Side): bigint[] {
  const x = Array.from({ length: ROUND_REGISTERS }, () => random.value());
  const { realm } = rec;
  const page = () => BigInt(random.pick(addressesOf(realm)));
  const inHalf = () => BigInt(random.pick(addressesOf(realm).filter((ipa) => ipa < realm.protectedSize)));
  const address = () => page() + (random.oneIn(6) ? BigInt(random.below(PAGE)) : BigInt(8 * random.below(512)));
  const words: number[] = [];
  const call = (fid: bigint, ...args: bigint[]) => {
    [fid, ...args].forEach((value, n) => {
      x[n] = value;
    });
    words.push(SMC);
  };
  const range = (): [bigint, bigint] => {
    const base = inHalf();
    return [base, base + random.pick([0x1000n, 0x2000n, 0x20_0000n, 0x4000_0000n])];
  };
  const cpu = () => BigInt(random.below(5));
  const buffer = () => (random.oneIn(8) ? address() : inHalf());
  const rsi = [
    () => call(RSI_FID.RSI_VERSION, random.oneIn(2) ? 0x1_0000n : random.value()),
    () => call(RSI_FID.RSI_FEATURES, random.value()),
    () => call(RSI_FID.RSI_MEASUREMENT_READ, BigInt(random.below(7))),
    () =>
      call(
        RSI_FID.RSI_MEASUREMENT_EXTEND,
        BigInt(random.below(6)),
        BigInt(random.below(68)),
        random.u64(),
        random.u64(),
      ),
    () =>
      call(
        RSI_FID.RSI_ATTESTATION_TOKEN_CONTINUE,
        buffer(),
        BigInt(random.below(random.oneIn(4) ? 5000 : 64)),
        BigInt(random.below(4200)),
      ),
    () => call(RSI_FID.RSI_REALM_CONFIG, configPage()),
    () =>
      call(
        RSI_FID.RSI_IPA_STATE_SET,
        ...range(),
        BigInt(random.below(random.oneIn(10) ? 4 : 2)),
        BigInt(random.below(2)),
      ),
    () => call(RSI_FID.RSI_IPA_STATE_SET, ...range(), BigInt(random.below(2)), BigInt(random.below(2))),
    () => call(RSI_FID.RSI_IPA_STATE_GET, ...range()),
    () => call(RSI_FID.RSI_HOST_CALL, hostCallArea()),
  ];
  // The agent's own pages stay in one piece, mostly: a realm that runs no more is no danger.
  const configPage = () =>
    random.oneIn(12) ? buffer() : random.pick([0x3000n, 0x4000n, 0x5000n, 0x8000n, 0x20_0000n]);
  const hostCallArea = () =>
    random.oneIn(6) ? buffer() : random.pick([0x3000n, 0x4000n, 0x5000n]) + BigInt(0x100 * random.below(16));
  const psci = [
    () =>
      call(
        PSCI_FID.PSCI_CPU_ON_64,
        cpu(),
        random.oneIn(3) ? 0n : page(),
        BigInt(AREAS_IPA + random.below(AREAS) * AREA_SIZE),
      ),
    () => call(PSCI_FID.PSCI_CPU_ON_64, cpu(), 0n, BigInt(AREAS_IPA + random.below(AREAS) * AREA_SIZE)),
    () => call(PSCI_FID.PSCI_AFFINITY_INFO_64, cpu(), BigInt(random.below(random.oneIn(6) ? 3 : 1))),
    () => call(PSCI_FID.PSCI_CPU_SUSPEND_64, 0n, page(), 0n),
    () =>
      call(
        PSCI_FID.PSCI_FEATURES,
        random.oneIn(2) ? random.pick(Object.values(PSCI_FID)) : random.pick([0x8000_0000n, random.value()]),
      ),
    () => call(random.pick(PSCI), cpu(), page(), random.value()),
    () => call(random.oneIn(6) ? PSCI_FID.PSCI_CPU_OFF : PSCI_FID.PSCI_VERSION),
  ];
  /** Another address, size or width, at times. */
  const spoil = () => {
    if (!random.oneIn(5)) return;
    const n = 1 + random.below(4);
    const other = random.pick([
      x[n]! + BigInt(1 + random.below(PAGE)),
      x[n]! + BigInt(realm.protectedSize),
      x[n]! - BigInt(PAGE),
      -BigInt(1 + random.below(PAGE)),
      x[1]!,
      random.value(),
    ]);
    x[n] = BigInt.asUintN(64, other);
    if (random.oneIn(4) && (x[0]! & 0xbfff_ffffn) < 0x8400_0005n) x[0] = x[0]! ^ 0x4000_0000n;
  };
  const spoilt = () => {
    const fid = random.pick([
      ...RSI,
      ...RSI,
      ...PSCI,
      BigInt(random.u32()),
      0xc400_0150n + BigInt(random.below(0x60)),
      0x8000_0000n,
    ]);
    call(
      random.oneIn(16) ? fid | 0x1_0000n : fid,
      ...Array.from({ length: 4 }, () => random.pick([address, random.value.bind(random), cpu])()),
    );
  };
  const access = () => {
    x[1] = address();
    // Most stores leave the agent's code and areas alone.
    const kind = random.below(10);
    const isStore = kind < 4;
    if (isStore && x[1] < 0x3000n && !random.oneIn(40)) x[1] += 0x3000n;
    if (x[1] >= BigInt(SECRET_IPA) && x[1] < BigInt(SECRET_IPA + PAGE)) x[1] += BigInt(PAGE);
    const { LOAD, STORE, LOAD_BYTE, STORE_HALF, LOAD_SIGNED, LOAD_PAIR, LOAD_EXCLUSIVE, ZERO } = INSTRUCTION;
    words.push([STORE, STORE, STORE_HALF, ZERO, LOAD, LOAD, LOAD_BYTE, LOAD_SIGNED, LOAD_PAIR, LOAD_EXCLUSIVE][kind]!);
    if ((words[0] === LOAD || words[0] === STORE) && random.below(4) > 0) x[1] -= x[1] % 8n;
  };
  const encoding = () =>
    // op0 is 2 or 3.
    0x8000 | random.below(0x8000);
  const rare = [
    () => words.push(INSTRUCTION.HVC),
    () => words.push(INSTRUCTION.WFI),
    () => words.push(WFE),
    () => words.push(INSTRUCTION.WFI, WFE, SMC),
    () => words.push(readRegister(encoding())),
    () => words.push(readRegister(0xc000 | (random.below(8) << 3) | random.below(8))),
    () => random.oneIn(4) && words.push(writeRegister(encoding())),
    () => {
      // A timer that fires at once, or soon.
      x[2] = 1n;
      x[3] = random.oneIn(2) ? 0n : BigInt(random.below(1 << 20));
      words.push(MSR_CNTV_CVAL, random.oneIn(2) ? MSR_CNTV_CTL : MSR_CNTP_CTL);
    },
    () => {
      // No loads and stores: those are `access`'s, so that the realm does not give its secrets away by chance.
      const word = random.u32();
      if (((word >>> 25) & 5) !== 4 && random.oneIn(3)) words.push(word);
    },
    () => {
      if (!random.oneIn(8)) return;
      x[1] = page();
      words.push(random.oneIn(2) ? INSTRUCTION.JUMP : INSTRUCTION.VECTORS);
    },
    () => random.oneIn(20) && words.push(INSTRUCTION.ERET),
    () => random.oneIn(25) && call(random.oneIn(2) ? PSCI_FID.PSCI_SYSTEM_OFF : PSCI_FID.PSCI_SYSTEM_RESET),
    () => random.oneIn(40) && call(RSI_FID.RSI_ATTESTATION_TOKEN_INIT),
  ];
  // Another PE gets its turn in the middle.
  if (random.oneIn(6)) words.push(WFE);
  const kind = random.below(100);
  if (rec.attesting && random.oneIn(4)) {
    rsi[5]!();
    spoil();
  } else if (kind < 40) {
    random.pick(rsi)();
    spoil();
  } else if (kind < 52) {
    random.pick(psci)();
    spoil();
  } else if (kind < (side === "host" ? 54 : 62)) spoilt();
  else if (kind < 88) access();
  else random.pick(rare)();
  const round = new Uint32Array(ROUND_WORDS).fill(BACK >>> 0);
  words.slice(0, ROUND_WORDS - 1).forEach((word, n) => {
    round[n] = word >>> 0;
  });
  const pairs = new BigUint64Array(round.buffer);
  const gprs = [...x, ...pairs];
  return gprs.slice(0, ROUND_GPR + ROUND_WORDS / 2);
}
