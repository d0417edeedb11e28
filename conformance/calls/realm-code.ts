/** Random code for the RECs of a hostile Host: what it runs decides how it leaves the realm, and it always does. */
import { PSCI_FID, RSI_FID } from "@realmbox/abi";
import type { Random } from "../oracle/random.js";

const movz = (rd: number, imm: number, shift: number) => 0xd280_0000 | ((shift / 16) << 21) | (imm << 5) | rd;
const movk = (rd: number, imm: number, shift: number) => 0xf280_0000 | ((shift / 16) << 21) | (imm << 5) | rd;
const SMC = 0xd400_0003;
const WFI = 0xd503_207f;
const WFE = 0xd503_205f;
const load = (rt: number, rn: number) => 0xf940_0000 | (rn << 5) | rt;
const store = (rt: number, rn: number) => 0xf900_0000 | (rn << 5) | rt;
const branch = (rn: number) => 0xd61f_0000 | (rn << 5);
/** MSR VBAR_EL1, Xt. */
const msrVbar = (rt: number) => 0xd518_c000 | rt;
/** MRS Xt, of any system register. */
const mrs = (rt: number, register: number) => 0xd530_0000 | (register << 5) | rt;

const RSI = Object.values(RSI_FID);
/** A realm that is off is off for good: those calls are rare. */
const PSCI = Object.values(PSCI_FID).filter(
  (fid) => fid !== PSCI_FID.PSCI_SYSTEM_OFF && fid !== PSCI_FID.PSCI_SYSTEM_RESET,
);

/** A page of code. `ipas`: addresses that mean something to the realms. */
export function realmCode(random: Random, ipas: readonly bigint[]): Uint8Array {
  const words = new Uint32Array(1024);
  let at = 0;
  const put = (word: number) => {
    if (at < words.length) words[at++] = word;
  };
  const set = (rd: number, value: bigint) => {
    put(movz(rd, Number(value & 0xffffn), 0));
    for (let shift = 16; shift < 64; shift += 16) {
      const part = Number((value >> BigInt(shift)) & 0xffffn);
      if (part !== 0) put(movk(rd, part, shift));
    }
  };
  const address = () => random.pick(ipas) + (random.oneIn(4) ? BigInt(random.below(4096)) : 0n);
  const callWith = (...values: bigint[]) => {
    for (const [n, value] of values.entries()) set(n, value);
    put(SMC);
  };
  const anyValue = () => random.pick([address(), address(), BigInt(random.below(6)), random.value()]);
  const anyCall = () => {
    const fid = random.oneIn(50) ? PSCI_FID.PSCI_SYSTEM_OFF : random.pick(random.oneIn(3) ? PSCI : RSI);
    callWith(fid, anyValue(), anyValue(), anyValue(), anyValue());
  };
  const page = () => random.pick(ipas) & ~0xfffn;
  const cpu = () => BigInt(random.below(4));
  /** Calls that the RMM can grant. */
  const goodCalls = [
    () => callWith(RSI_FID.RSI_HOST_CALL, page() + BigInt(random.below(16)) * 0x100n),
    () => callWith(RSI_FID.RSI_IPA_STATE_SET, ...range(), BigInt(random.below(2)), BigInt(random.below(2))),
    () => callWith(RSI_FID.RSI_IPA_STATE_GET, page()),
    () => callWith(PSCI_FID.PSCI_CPU_ON_64, cpu(), page(), 0n),
    () => callWith(PSCI_FID.PSCI_AFFINITY_INFO_64, cpu(), 0n),
    () => callWith(PSCI_FID.PSCI_CPU_SUSPEND_64, 0n, page(), 0n),
    () => callWith(RSI_FID.RSI_REALM_CONFIG, page()),
    () => callWith(RSI_FID.RSI_MEASUREMENT_EXTEND, 1n + cpu(), BigInt(random.below(65)), random.value()),
  ];
  const range = () => {
    const base = page();
    return [base, base + random.pick([0x1000n, 0x2000n, 0x20_0000n])] as const;
  };
  const access = () => {
    set(6, address());
    put(random.oneIn(2) ? load(7, 6) : store(7, 6));
  };
  const jump = () => {
    set(6, address() & ~3n);
    put(branch(6));
  };
  const vectors = () => {
    set(6, address() & ~0x7ffn);
    put(msrVbar(6));
  };
  const rare = [vectors, jump, () => put(mrs(8, random.below(1 << 15))), () => put(random.u32())];
  const kinds = [
    anyCall,
    ...goodCalls,
    () => put(WFI),
    () => put(WFE),
    access,
    () => (random.oneIn(4) ? random.pick(rare)() : anyCall()),
  ];
  while (at < words.length) random.pick(kinds)();
  return new Uint8Array(words.buffer);
}
