/**
 * A hostile Host and a hostile Realm: random calls from a seed, with arguments that are mostly almost right. Nothing
 * throws, every result is one that DEN0137 knows, and the objects stay consistent throughout.
 */
import {
  EC,
  ESR,
  Gpi,
  ISS_ABORT,
  PSCI_FID,
  parseRmiReturnCode,
  RMI_FID,
  RmiRealmParams,
  RmiRecEnter,
  RmiRecParams,
  RSI_FID,
  recMpidrOfIndex,
} from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { expect, test } from "vitest";
import { RdLayout } from "../realm/rd.js";
import { problems } from "../testing/invariants.js";
import { Host } from "../testing/realm.js";
import { DRAM, DRAM_END, type StandInPe } from "../testing/stand-in.js";

/** xorshift32: the run is the seed's. */
function random(seed: number) {
  let state = seed * 0x9e37_79b9;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    below: (n: number) => next() % n,
    of: <T>(list: readonly T[]): T => list[next() % list.length]!,
    chance: (percent: number) => next() % 100 < percent,
    u64: () => (BigInt(next()) << 32n) | BigInt(next()),
  };
}

const GRANULES = 256;
const UNPROTECTED = 1n << 32n;

function fuzz(seed: number, calls: number): Record<string, number> {
  const r = random(seed);
  const host = new Host();
  const { machine } = host;
  for (let n = 0; n < 5; n++) {
    const realm = host.realm({ vmid: 10 + n });
    realm.data(0x1000n);
    realm.ram(0x2000n);
    realm.tables(UNPROTECTED);
    for (let i = 0; i < 4; i++) realm.rec({ runnable: i < 3 });
    if (n > 0) realm.activate();
  }
  const counts: Record<string, number> = {};
  const granule = () => DRAM + BigInt(r.below(GRANULES)) * 4096n;
  const all = Array.from({ length: GRANULES }, (_, i) => DRAM + BigInt(i) * 4096n);
  const of = (state: string) => r.of([...all.filter((pa) => machine.granuleState(pa) === state), granule()]);
  const ipa = () =>
    (r.chance(30) ? UNPROTECTED : 0n) + r.of([0n, 0x1000n, 0x2000n, 0x20_0000n, 0x20_1000n, 0x4000_0000n]);
  const wild = () =>
    r.of([0n, 1n, 0xfffn, DRAM_END, DRAM - 4096n, 1n << 63n, (1n << 64n) - 1n, r.u64(), granule() + 8n]);
  const maybe = (value: () => bigint) => (r.chance(6) ? wild() : value());

  /** A page of the Host with parameters that are often good. */
  const params = (kind: "realm" | "rec", realm = 0n) => {
    const pa = of("UNDELEGATED");
    if (machine.gpiOf(pa) !== Gpi.NS) return pa;
    const page = machine.page(pa);
    page.fill(0);
    if (kind === "realm") {
      const level = r.chance(80) ? 1n : BigInt(r.below(4));
      page.set(
        RmiRealmParams.encode({
          s2sz: r.chance(90) ? 33 : r.below(256),
          num_bps: r.chance(95) ? 1 : r.below(4),
          num_wps: 1,
          hash_algo: r.chance(95) ? r.below(2) : 2,
          rtt_level_start: level,
          rtt_num_start: r.chance(90) ? 1 : r.below(17),
          rtt_base: of("DELEGATED"),
          vmid: r.below(5),
          flags: r.chance(95) ? 0n : r.u64(),
        }),
      );
    } else {
      page.set(
        RmiRecParams.encode({
          flags: BigInt(r.below(2)),
          mpidr: r.chance(90) ? recMpidrOfIndex(RdLayout.decode(machine.page(realm)).rec_index) : r.u64(),
          num_aux: r.chance(90) ? 2n : r.u64(),
          aux: [of("DELEGATED"), of("DELEGATED")],
          pc: ipa(),
        }),
      );
    }
    return pa;
  };
  const run = () => {
    const pa = of("UNDELEGATED");
    if (machine.gpiOf(pa) !== Gpi.NS) return pa;
    const page = machine.page(pa);
    if (r.chance(5)) for (let i = 0; i < 4096; i += 1 + r.below(8)) page[i] = r.below(256);
    else
      page.set(
        RmiRecEnter.encode({
          flags: r.chance(70) ? 0n : BigInt(r.below(32)),
          gprs: [r.u64()],
          gicv3_lrs: r.chance(90) ? [] : [r.u64()],
        }),
      );
    return pa;
  };
  const rd = () => of("RD");
  const rec = () => of("REC");
  const level = () => BigInt(1 + r.below(3));
  const desc = () => (r.chance(80) ? granule() | (6n << 2n) | (3n << 6n) : r.u64());
  const arguments_: Record<keyof typeof RMI_FID, () => bigint[]> = {
    RMI_VERSION: () => [r.u64()],
    RMI_FEATURES: () => [BigInt(r.below(3))],
    RMI_GRANULE_DELEGATE: () => [of("UNDELEGATED")],
    RMI_GRANULE_UNDELEGATE: () => [of("DELEGATED")],
    RMI_DATA_CREATE: () => [rd(), of("DELEGATED"), ipa(), of("UNDELEGATED"), BigInt(r.below(2))],
    RMI_DATA_CREATE_UNKNOWN: () => [rd(), of("DELEGATED"), ipa()],
    RMI_DATA_DESTROY: () => [rd(), ipa()],
    RMI_REALM_ACTIVATE: () => [rd()],
    RMI_REALM_CREATE: () => [of("DELEGATED"), params("realm")],
    RMI_REALM_DESTROY: () => [rd()],
    RMI_REC_CREATE: () => {
      const realm = rd();
      return [realm, of("DELEGATED"), params("rec", realm)];
    },
    RMI_REC_DESTROY: () => [rec()],
    RMI_REC_ENTER: () => [rec(), run()],
    RMI_RTT_CREATE: () => [rd(), of("DELEGATED"), ipa() & ~0x1f_ffffn, level()],
    RMI_RTT_DESTROY: () => [rd(), ipa() & ~0x1f_ffffn, level()],
    RMI_RTT_MAP_UNPROTECTED: () => [rd(), ipa(), level(), desc()],
    RMI_RTT_READ_ENTRY: () => [rd(), ipa(), level()],
    RMI_RTT_UNMAP_UNPROTECTED: () => [rd(), ipa(), level()],
    RMI_PSCI_COMPLETE: () => [rec(), rec(), r.chance(70) ? 0n : 0xffff_ffff_ffff_fffdn],
    RMI_RTT_FOLD: () => [rd(), ipa() & ~0x1f_ffffn, level()],
    RMI_REC_AUX_COUNT: () => [rd()],
    RMI_RTT_INIT_RIPAS: () => [rd(), ipa(), ipa()],
    RMI_RTT_SET_RIPAS: () => [rd(), rec(), ipa(), ipa()],
  };
  const names = Object.keys(RMI_FID) as (keyof typeof RMI_FID)[];
  /** How often a command is taken when it is drawn, in percent: what unmakes objects less than what makes them. */
  const percent = (name: keyof typeof RMI_FID): number => {
    if (/VERSION|FEATURES|AUX_COUNT|READ_ENTRY|REC_DESTROY/.test(name)) return 10;
    if (/REALM_CREATE|REALM_ACTIVATE|REALM_DESTROY/.test(name)) return 20;
    return /DESTROY|UNDELEGATE|FOLD/.test(name) ? 50 : 100;
  };
  const pick = () => {
    for (;;) {
      const name = r.of(names);
      if (r.chance(percent(name))) return name;
    }
  };
  const running = new Set<StandInPe>();

  const rsi = Object.values(RSI_FID);
  // A Realm that is off is off for good: that ends few of them.
  const psci = Object.values(PSCI_FID).filter(
    (fid) => fid !== PSCI_FID.PSCI_SYSTEM_OFF && fid !== PSCI_FID.PSCI_SYSTEM_RESET,
  );
  const realmEvent = (pe: StandInPe) => {
    const trap = (esr: bigint) => {
      pe.r[R.ESR_EL2] = esr;
      pe.r[R.FAR_EL2] = r.u64();
      pe.r[R.HPFAR_EL2] = r.chance(90) ? ipa() >> 8n : r.u64() & 0xfff_ffff_fff0n;
      return machine.rmm.step(pe, { kind: "exception", vector: "sync", lower: true });
    };
    const smc = () => {
      pe.r[R.X0] = r.chance(1) ? PSCI_FID.PSCI_SYSTEM_OFF : r.of([...rsi, ...rsi, ...rsi, ...psci, r.u64()]);
      const inputs = [() => ipa(), () => BigInt(r.below(6)), () => granule(), wild];
      for (let n = 1; n < 11; n++) pe.r[R.X0 + n] = r.of(inputs)();
      return trap(ESR.EC.of(EC.SMC64) | ESR.IL.mask);
    };
    const abort = () =>
      trap(
        ESR.EC.of(r.of([EC.DATA_ABORT_LOWER, EC.INSTRUCTION_ABORT_LOWER])) |
          ESR.IL.mask |
          (r.u64() & 0x1ff_ffc0n & ~ISS_ABORT.S1PTW.mask) |
          r.of([4n, 5n, 6n, 7n, 0xfn, 0x10n, BigInt(r.below(64))]),
      );
    const kind = r.below(10);
    if (kind < 5) return smc();
    if (kind < 7) return abort();
    if (kind < 8) return trap(ESR.EC.of(EC.SYSREG64) | (r.u64() & 0x1ff_ffffn));
    if (kind < 9) return trap(r.u64() & 0xffff_ffffn);
    return machine.rmm.step(pe, { kind: "exception", vector: r.of(["irq", "fiq", "serror"] as const), lower: true });
  };

  for (let i = 0; i < calls; i++) {
    const pe = r.of(machine.pes);
    const wasRunning = running.has(pe);
    let exit: ReturnType<typeof realmEvent>;
    if (wasRunning) {
      exit = realmEvent(pe);
    } else {
      const name = pick();
      const args = arguments_[name]().map((value) => maybe(() => value));
      pe.r[R.X0] = r.chance(99) ? RMI_FID[name] : r.of([0xc400_0150n + BigInt(r.below(64)), r.u64()]);
      for (let n = 0; n < 7; n++) pe.r[R.X0 + 1 + n] = args[n] ?? r.u64();
      exit = machine.rmm.step(pe, { kind: "return" });
    }
    if (exit.kind === "eret") {
      running.add(pe);
      counts.realm = (counts.realm ?? 0) + 1;
    } else {
      running.delete(pe);
      const x0 = pe.r[R.X0 + 1]!;
      const result = parseRmiReturnCode(x0);
      if (!result && x0 !== 0xffff_ffff_ffff_ffffn) throw new Error(`X0 is ${x0.toString(16)}`);
      const what = result?.status ?? "unknown";
      counts[what] = (counts[what] ?? 0) + 1;
      const { name, fields } = machine.events.findLast((event) => event.category === "rmi")!;
      if (fields.status === "RMI_SUCCESS") counts[name] = (counts[name] ?? 0) + 1;
    }
    machine.events.length = 0;
    // The Host uses memory of its own as it likes; sometimes a granule is Secure for a while.
    if (r.chance(2)) {
      const pa = of("UNDELEGATED");
      if (machine.gpiOf(pa) !== Gpi.REALM && machine.granuleState(pa) === "UNDELEGATED")
        machine.gpi.set(pa, r.chance(70) ? Gpi.NS : Gpi.SECURE);
    }
    if (i % 250 === 0) expect(problems(machine), `seed ${seed}, call ${i}`).toEqual([]);
  }
  expect(problems(machine)).toEqual([]);
  return counts;
}

test.each([1, 2, 3, 4, 5, 6])("seed %i", (seed) => {
  const counts = fuzz(seed, 5000);
  // The run reaches what it is for: commands succeed, Realms run.
  expect(counts.RMI_SUCCESS).toBeGreaterThan(400);
  expect(counts.realm).toBeGreaterThan(80);
});
