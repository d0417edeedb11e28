/** REC exits by reason: what RmiRecExit says, and how the REC goes on. DEN0137 1.0-rel0, "REC exit". */
import { PSCI_FID, RMI_REALM_FLAGS } from "@realmbox/abi";
import {
  AGENT_PATTERN,
  type Agent,
  a64,
  enterFlags,
  features,
  type Host,
  Realm,
  type RecExit,
  type Script,
} from "../driver/index.js";
import { type ConformanceCase, type EffectOptions, effects } from "./case.js";
import { check, equal, equalAll, refused } from "./check.js";
import { runningRealm } from "./realm-calls.js";
import { makeRam } from "./rmi/rec-enter.js";
import { running } from "./rmi/violations.js";
import { spinning } from "./running.js";

const EC_WFX = 0x01n;
const EC_SYSTEM = 0x18n;
const EC_INSTRUCTION_ABORT = 0x20n;
const EC_DATA_ABORT = 0x24n;
const ISV = 1n << 24n;
const WNR = 1n << 6n;
const SF = 1n << 15n;
/** Translation fault, level 1: the Realm's tables begin there, and there are none below over the Unprotected half. */
const TRANSLATION_1 = 5n;
const UNPROTECTED = 1n << 32n;
const EMULATED = { flags: enterFlags("EMUL_MMIO") };
const SEA = { flags: enterFlags("INJECT_SEA") };

const ec = (esr: bigint): bigint => esr >> 26n;

/** An exit SYNC with this syndrome; far, hpfar and gprs[0] as said, all else of the exit's own fields zero. */
function syncIs(exit: RecExit, esr: bigint, { far = 0n, hpfar = 0n, gpr0 = 0n } = {}): void {
  equal(exit.reason, "RMI_EXIT_SYNC", "the exit");
  equal(exit.esr, esr, "esr");
  equal(exit.far, far, "far");
  equal(exit.hpfar, hpfar, "hpfar");
  equalAll(exit.gprs, [gpr0, ...Array<bigint>(30).fill(0n)], "gprs");
  equalAll(
    [exit.ripas_base, exit.ripas_top, BigInt(exit.ripas_value), BigInt(exit.imm)],
    [0n, 0n, 0n, 0n],
    "ripas_*, imm",
  );
}

/** An exit that tells no more than its reason. */
function plain(exit: RecExit, reason: RecExit["reason"]): void {
  equal(exit.reason, reason, "the exit");
  equalAll([exit.esr, exit.far, exit.hpfar], [0n, 0n, 0n], "esr, far, hpfar");
  equalAll(exit.gprs, Array<bigint>(31).fill(0n), "gprs");
}

const emulatable = (esr: bigint): bigint => (EC_DATA_ABORT << 26n) | ISV | TRANSLATION_1 | esr;
const SIZES = [1, 2, 4, 8] as const;
const DATA = 0x8877_6655_4433_22f1n;

const aborts = effects("REC exit", "REC exit due to Data Abort", {
  emulatable_load: [
    "Loads of each size at an Unprotected IPA: the syndrome without register and sign, far's page offset, hpfar; emulated, the value truncated",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      for (const [sas, size] of SIZES.entries()) {
        const address = realm.unprotected + 0x3_0128n;
        const exit = yield* agent.exit(host, a64.load(3, 1, size), { 1: address });
        const esr = emulatable((BigInt(sas) << 22n) | (size === 8 ? SF : 0n));
        syncIs(exit, esr, { far: 0x128n, hpfar: (address >> 12n) << 4n });
        const { x } = yield* agent.finish(host, { ...EMULATED, gprs: [DATA] });
        equal(x[3], DATA & ((1n << BigInt(8 * size)) - 1n), `X3 after a load of ${size} bytes`);
        equalAll([x[2], x[4]], [AGENT_PATTERN[2], AGENT_PATTERN[4]], "X2 and X4");
      }
    },
  ],
  emulatable_signed: [
    "Loads with sign extension to 64 and 32 bits: the RMM extends what the Host gives",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      for (const [word, expected] of [
        [a64.loadSigned(3, 1, 1), BigInt.asUintN(64, -15n)],
        [a64.loadSigned(3, 1, 1, true), 0xffff_fff1n],
        [a64.loadSigned(3, 1, 2), 0x22f1n],
        [a64.loadSigned(3, 1, 4), 0x4433_22f1n],
      ] as const) {
        const exit = yield* agent.exit(host, word, { 1: realm.unprotected });
        check((exit.esr & (1n << 21n)) === 0n, "the exit does not tell the sign extension");
        equal(
          (yield* agent.finish(host, { ...EMULATED, gprs: [DATA] })).x[3],
          expected,
          `X3 after ${word.toString(16)}`,
        );
      }
    },
  ],
  emulatable_store: [
    "Stores of each size: gprs[0] is the value, truncated; emulated, the REC goes on behind the store",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      for (const [sas, size] of SIZES.entries()) {
        const exit = yield* agent.exit(host, a64.store(3, 1, size), { 1: realm.unprotected + 0x40n, 3: DATA });
        const esr = emulatable((BigInt(sas) << 22n) | (size === 8 ? SF : 0n) | WNR);
        syncIs(exit, esr, { far: 0x40n, hpfar: UNPROTECTED >> 8n, gpr0: DATA & ((1n << BigInt(8 * size)) - 1n) });
        const { x } = yield* agent.finish(host, { ...EMULATED, gprs: [0x99n] });
        equal(x[3], DATA, "X3 after the store");
      }
    },
  ],
  xzr: [
    "A store of XZR tells zero; a load to XZR changes no register",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      equal((yield* agent.exit(host, a64.store(31, 1), { 1: realm.unprotected })).gprs[0], 0n, "gprs[0]");
      yield* agent.finish(host, EMULATED);
      yield* agent.exit(host, a64.load(31, 1), { 1: realm.unprotected });
      const { x } = yield* agent.finish(host, { ...EMULATED, gprs: [DATA] });
      equalAll(x, [AGENT_PATTERN[0], realm.unprotected, ...AGENT_PATTERN.slice(2)], "X0 to X29");
    },
  ],
  retried: [
    "Without emul_mmio the access is made again: with a page shown there meanwhile, it succeeds",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      const address = realm.unprotected + 0x10n;
      yield* agent.exit(host, a64.load(3, 1), { 1: address });
      const again = yield* agent.resume(host);
      check(again.kind === "exit", "the access exits again");
      const pa = yield* realm.share(host, 0n);
      host.write(pa + 0x10n, Uint8Array.of(0xaa, 0xbb));
      equal((yield* agent.finish(host)).x[3], 0xbbaan, "X3");
    },
  ],
  no_syndrome: [
    "An access without a syndrome at an Unprotected IPA: no ISV, no far; the Host cannot emulate it",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      const words = [a64.loadExclusive(3, 1), a64.loadPair(3, 4, 1)];
      for (const word of words) {
        const exit = yield* agent.exit(host, word, { 1: realm.unprotected + 0x10n });
        syncIs(exit, (EC_DATA_ABORT << 26n) | TRANSLATION_1, { hpfar: UNPROTECTED >> 8n });
        const tried = yield* agent.rec.tryEnter(host, EMULATED);
        refused(host, tried, { status: "RMI_ERROR_REC", condition: "rec_mmio" });
        yield* realm.share(host, 0n);
        yield* agent.finish(host);
        yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, realm.unprotected, 3n);
        yield* host.ok("RMI_RTT_DESTROY", realm.rd, realm.unprotected, 3n);
        yield* host.ok("RMI_RTT_DESTROY", realm.rd, realm.unprotected, 2n);
      }
    },
    { conditions: ["RMI_REC_ENTER/rec_mmio"] },
  ],
  protected_ram: [
    "An access to RAM without a page: no syndrome of the access, hpfar; with a page it succeeds",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      yield* makeRam(host, realm, agent, 0x5_0000n);
      for (const word of [a64.load(3, 1), a64.store(3, 1)]) {
        const exit = yield* agent.exit(host, word, { 1: 0x5_0010n });
        syncIs(exit, (EC_DATA_ABORT << 26n) | 7n, { hpfar: 0x500n });
      }
      yield* realm.unknownData(host, 0x5_0000n);
      yield* agent.finish(host);
    },
  ],
  protected_destroyed: [
    "An access to a DESTROYED page exits, again and again, page or not",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x8000n);
      syncIs(yield* agent.exit(host, a64.load(3, 1), { 1: 0x8000n }), (EC_DATA_ABORT << 26n) | 7n, { hpfar: 0x80n });
      yield* realm.unknownData(host, 0x8000n);
      const again = yield* agent.resume(host);
      equal(again.kind === "exit" ? again.exit.hpfar : 0n, 0x80n, "hpfar of the exit with a page");
    },
  ],
  protected_level: [
    "An access to RAM where a table is missing: DFSC tells the level",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.table(host, 0n, 2);
      yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x20_0000n, 0x40_0000n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      syncIs(yield* agent!.exit(host, a64.load(3, 1), { 1: 0x20_5000n }), (EC_DATA_ABORT << 26n) | 6n, {
        hpfar: 0x2050n,
      });
    },
  ],
  protected_empty: [
    "An access to an EMPTY address: an abort in the Realm, no exit",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const { exception } = yield* agent.run(host, a64.load(3, 1), { 1: 0xa010n });
      equal(exception?.vector, 0x200, "the vector");
      equal(exception!.esr & 0xfc00_023fn, (0x25n << 26n) | (1n << 9n) | 0x10n, "ESR_EL1: EC, EA, DFSC");
      equal(yield* agent.mrs(host, "FAR_EL1"), 0xa010n, "FAR_EL1");
    },
    { citation: "Realm access to EMPTY; Synchronous External Abort" },
  ],
  beyond_ipa: [
    "An access beyond the IPA space: an address size fault in the Realm, no exit",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      const { exception } = yield* agent.run(host, a64.load(3, 1), { 1: realm.ipaSize + 0x1000n });
      equal(exception === undefined ? 0n : ec(exception.esr), 0x25n, "EC");
      equal(exception!.esr & 0x3cn, 0n, "DFSC: address size fault");
    },
    { citation: "Realm access outside the IPA space" },
  ],
  injected: [
    "inject_sea after an emulatable abort and after one without a syndrome: an abort at the access, with its address",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      const address = realm.unprotected + 0x20n;
      for (const word of [a64.load(3, 1), a64.store(3, 1), a64.loadExclusive(3, 1)]) {
        yield* agent.exit(host, word, { 1: address });
        const { exception, x } = yield* agent.finish(host, SEA);
        equal(exception?.vector, 0x200, "the vector");
        equal(exception!.esr & 0xfdc0_023fn, (0x25n << 26n) | (1n << 9n) | 0x10n, "ESR_EL1: EC, no ISV, EA, DFSC");
        equal(x[3], AGENT_PATTERN[3], "X3");
        equal(yield* agent.mrs(host, "FAR_EL1"), address, "FAR_EL1");
      }
    },
    { citation: "RmiRecEnterFlags type, inject_sea" },
  ],
  inject_wins: [
    "inject_sea and emul_mmio together: the abort",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      yield* agent.exit(host, a64.load(3, 1), { 1: realm.unprotected });
      const { exception } = yield* agent.finish(host, { flags: SEA.flags | EMULATED.flags, gprs: [DATA] });
      check(exception !== undefined, "the Realm takes the abort");
    },
    { citation: "RmiRecEnterFlags type, inject_sea" },
  ],
});

const instructions = effects("REC exit", "REC exit due to Instruction Abort", {
  fetch_ram: [
    "A fetch from RAM without a page: an exit with EC 0x20; with a page the Realm goes on there",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      yield* makeRam(host, realm, agent, 0x5_0000n);
      const exit = yield* agent.exit(host, a64.br(1), { 1: 0x5_0000n });
      syncIs(exit, (EC_INSTRUCTION_ABORT << 26n) | 7n, { hpfar: 0x500n });
      yield* realm.unknownData(host, 0x5_0000n); // zeros: UDF
      equal((yield* agent.finish(host)).exception?.vector, 0x200, "the vector of what is there");
    },
  ],
  fetch_destroyed: [
    "A fetch from a DESTROYED page exits",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x8000n);
      const exit = yield* agent.exit(host, a64.br(1), { 1: 0x8000n });
      syncIs(exit, (EC_INSTRUCTION_ABORT << 26n) | 7n, { hpfar: 0x80n });
    },
  ],
  fetch_empty: [
    "A fetch from an EMPTY address: an abort in the Realm",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const { exception } = yield* agent.run(host, a64.br(1), { 1: 0xa000n });
      equal(exception?.vector, 0x200, "the vector");
      equal(exception!.esr & 0xfc00_023fn, (0x21n << 26n) | (1n << 9n) | 0x10n, "ESR_EL1: EC, EA, IFSC");
    },
  ],
  fetch_unprotected: [
    "A fetch from an Unprotected address, shown or not: an abort in the Realm",
    function* (host) {
      const { agent, realm } = yield* runningRealm(host);
      for (const share of [false, true]) {
        if (share) yield* realm.share(host, 0n);
        const { exception } = yield* agent.run(host, a64.br(1), { 1: realm.unprotected });
        equal(exception === undefined ? 0n : ec(exception.esr), 0x21n, `EC, ${share ? "shown" : "not shown"}`);
      }
    },
  ],
});

const traps = effects("REC exit", "REC exit due to WFI or WFE", {
  wfi: [
    "WFI with trap_wfi: an exit with EC and TI 0; the REC goes on behind it",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      syncIs(yield* agent.exit(host, a64.WFI, {}, { flags: enterFlags("TRAP_WFI") }), EC_WFX << 26n);
      equalAll((yield* agent.finish(host)).x, AGENT_PATTERN, "X0 to X29");
    },
  ],
  wfe: [
    "WFE with trap_wfe: an exit with EC and TI 1",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      // The exception return that entered the REC has set the event register: the first WFE takes that, the second waits.
      const exit = yield* agent.exit(host, a64.WFE, {}, { second: a64.WFE, flags: enterFlags("TRAP_WFE") });
      syncIs(exit, (EC_WFX << 26n) | 1n);
      yield* agent.finish(host);
    },
  ],
  wfi_untrapped: [
    "WFI without trap_wfi: no exit until there is an interrupt, then IRQ",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      host.timer(2000n);
      plain(yield* agent.exit(host, a64.WFI), "RMI_EXIT_IRQ");
      host.timer(undefined);
      host.takeInterrupts();
      const again = yield* agent.resume(host, { flags: enterFlags("TRAP_WFI") });
      check(again.kind === "report" || again.exit.reason === "RMI_EXIT_SYNC", "the REC goes on");
    },
  ],
  flag_for_one_entry: [
    "trap_wfi is for one entry: the next one without it does not trap",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      yield* agent.exit(host, a64.WFI, {}, { flags: enterFlags("TRAP_WFI") });
      yield* agent.finish(host);
      host.timer(2000n);
      plain(yield* agent.exit(host, a64.WFI), "RMI_EXIT_IRQ");
    },
  ],
});

const ICC_WRITES = [
  ["ICC_SGI1R_EL1", 0x623a_3016n],
  ["ICC_SGI0R_EL1", 0x623e_3016n],
  ["ICC_ASGI1R_EL1", 0x623c_3016n],
] as const;
/** Fields of ESR_EL2 for EC 0x18 without IL and Rt: where RMMs differ. */
const SYSTEM_MASK = 0xfdff_fc1fn;

const interrupts = effects("REC exit", "REC exit due to IRQ, and others", {
  irq: [
    "A physical interrupt while the REC runs: an exit that tells no more; the REC goes on",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      host.timer(1000n);
      plain(yield* agent.exit(host, a64.SPIN), "RMI_EXIT_IRQ");
      equalAll(host.takeInterrupts().slice(0, 1), [26], "the interrupt: NS-EL2's timer");
      host.timer(500n);
      const again = yield* agent.resume(host);
      equal(again.kind === "exit" ? again.exit.reason : "a report", "RMI_EXIT_IRQ", "the next exit");
    },
    { citation: "REC exit due to IRQ" },
  ],
  irq_masked_by_realm: [
    "A Realm that masks its interrupts is interrupted by the Host's all the same",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      equal(yield* agent.mrs(host, "DAIF"), 0x3c0n, "DAIF");
      host.timer(1000n);
      plain(yield* agent.exit(host, a64.SPIN), "RMI_EXIT_IRQ");
    },
    { citation: "REC exit due to IRQ" },
  ],
  icc_sgi: [
    "Writes of ICC_SGI1R_EL1, ICC_SGI0R_EL1 and ICC_ASGI1R_EL1 exit with the value; the REC goes on behind them",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      for (const [name, esr] of ICC_WRITES) {
        const exit = yield* agent.exit(host, a64.msr(name, 0), { 0: 0x1234_0005n });
        equal(exit.reason, "RMI_EXIT_SYNC", "the exit");
        equal(ec(exit.esr), EC_SYSTEM, "EC");
        equal(exit.esr & SYSTEM_MASK, esr & SYSTEM_MASK, `esr of ${name}`);
        equal(exit.gprs[0], 0x1234_0005n, "gprs[0]");
        equalAll(exit.gprs.slice(1), Array<bigint>(30).fill(0n), "gprs[1] and up");
        equalAll([exit.far, exit.hpfar], [0n, 0n], "far, hpfar");
        yield* agent.finish(host);
      }
    },
    { citation: "REC exit due to a trapped ICC register" },
  ],
  icc_dir: [
    "Writes of ICC_DIR_EL1 exit when the Host has set TDIR, and only then",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const exit = yield* agent.exit(host, a64.msr("ICC_DIR_EL1", 0), { 0: 27n }, { gicv3_hcr: 1n << 14n });
      equal(exit.esr & SYSTEM_MASK, 0x6232_3016n & SYSTEM_MASK, "esr");
      equal(exit.gprs[0], 27n, "gprs[0]");
      yield* agent.finish(host);
      yield* agent.run(host, a64.msr("ICC_CTLR_EL1", 0), { 0: 2n });
      yield* agent.run(host, a64.msr("ICC_DIR_EL1", 0), { 0: 27n });
    },
    { citation: "REC exit due to a trapped ICC register" },
  ],
  list_registers_beyond: [
    "List registers beyond the implemented ones are zero at an exit, and not looked at on entry",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const count = Number((yield* features(host)).GICV3_NUM_LRS) + 1;
      if (count === 16) return;
      const lrs = [...Array<bigint>(count).fill(0n), ...Array<bigint>(16 - count).fill((1n << 62n) | (1n << 61n))];
      const exit = yield* agent.rec.enter(host, { gprs: [BigInt(a64.NOP)], gicv3_lrs: lrs });
      equalAll(exit.gicv3_lrs.slice(count), Array<bigint>(16 - count).fill(0n), "gicv3_lrs beyond");
    },
    { citation: "RmiRecEnter type, gicv3_lrs" },
  ],
  vmcr: [
    "gicv3_vmcr shows the priority mask and the groups that the Realm has set",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      yield* agent.run(host, a64.msr("ICC_PMR_EL1", 0), { 0: 0xa0n });
      yield* agent.run(host, a64.msr("ICC_IGRPEN1_EL1", 0), { 0: 1n });
      const { gicv3_vmcr } = yield* agent.rec.enter(host, { gprs: [BigInt(a64.NOP)] });
      equal(gicv3_vmcr >> 24n, 0xa0n, "VPMR");
      equal(gicv3_vmcr & 2n, 2n, "VENG1");
    },
    { citation: "RmiRecExit type, gicv3_vmcr" },
  ],
});

const ENABLED = 1n;
const FAR_AWAY = 0x7fff_ffff_ffff_ffffn;

const timers = effects("REC exit", "Realm timers", {
  values: [
    "cntv_* and cntp_* are the Realm's own timers, at each exit",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      yield* agent.run(host, a64.msr("CNTV_CVAL_EL0", 0), { 0: FAR_AWAY });
      yield* agent.run(host, a64.msr("CNTV_CTL_EL0", 0), { 0: ENABLED });
      yield* agent.run(host, a64.msr("CNTP_CVAL_EL0", 0), { 0: FAR_AWAY - 5n });
      const exit = yield* agent.exit(host, 0xd400_0003, { 0: PSCI_FID.PSCI_CPU_SUSPEND_64 });
      equalAll(
        [exit.cntv_ctl, exit.cntv_cval, exit.cntp_ctl, exit.cntp_cval],
        [ENABLED, FAR_AWAY, 0n, FAR_AWAY - 5n],
        "the timers",
      );
    },
  ],
  fires_virtual: [
    "The Realm's virtual timer fires while it runs: an exit IRQ with cntv_ctl enabled and asserted",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const exit = yield* fired(host, agent, "CNTV_CVAL_EL0", "CNTV_CTL_EL0");
      equal(exit.cntv_ctl, 5n, "cntv_ctl: ENABLE, ISTATUS");
      equal(exit.cntp_ctl, 0n, "cntp_ctl");
    },
  ],
  fires_physical: [
    "The Realm's physical timer fires while it runs: an exit IRQ with cntp_ctl enabled and asserted",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const exit = yield* fired(host, agent, "CNTP_CVAL_EL0", "CNTP_CTL_EL0");
      equal(exit.cntp_ctl, 5n, "cntp_ctl: ENABLE, ISTATUS");
      equal(exit.cntv_ctl, 0n, "cntv_ctl");
    },
  ],
  asserted_makes_progress: [
    "A timer that stays asserted does not keep the REC from running",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      yield* fired(host, agent, "CNTV_CVAL_EL0", "CNTV_CTL_EL0");
      host.timer(1000n);
      const outcome = yield* agent.resume(host);
      equal(outcome.kind === "exit" ? outcome.exit.reason : "a report", "RMI_EXIT_IRQ", "the next exit");
      check(host.takeInterrupts().includes(26), "the REC ran until the Host's own timer");
    },
  ],
  per_rec: [
    "Timers are each REC's own, and the Host's are as they were",
    function* (host) {
      const { agents } = yield* runningRealm(host, {}, { recs: 2 });
      yield* agents[1]!.begin(host);
      yield* agents[0]!.run(host, a64.msr("CNTV_CVAL_EL0", 0), { 0: 0x1111n << 32n });
      yield* agents[1]!.run(host, a64.msr("CNTV_CVAL_EL0", 0), { 0: 0x2222n << 32n });
      equal(yield* agents[0]!.mrs(host, "CNTV_CVAL_EL0"), 0x1111n << 32n, "CNTV_CVAL_EL0 of REC 0");
      equal(yield* agents[1]!.mrs(host, "CNTV_CVAL_EL0"), 0x2222n << 32n, "CNTV_CVAL_EL0 of REC 1");
    },
  ],
  counters: [
    "The Realm's counters run, the virtual one without an offset",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const first = yield* agent.mrs(host, "CNTPCT_EL0");
      const virtual = yield* agent.mrs(host, "CNTVCT_EL0");
      const last = yield* agent.mrs(host, "CNTPCT_EL0");
      check(first <= virtual && virtual <= last && last > 0n, `CNTPCT ${first}, CNTVCT ${virtual}, CNTPCT ${last}`);
    },
  ],
});

/** A timer of the Realm fires while it spins: the exit. The Host's interrupts are set up, so that it is signalled. */
function* fired(
  host: Host,
  agent: Agent,
  cval: "CNTV_CVAL_EL0" | "CNTP_CVAL_EL0",
  ctl: "CNTV_CTL_EL0" | "CNTP_CTL_EL0",
): Script<RecExit> {
  host.setUpInterrupts();
  const now = yield* agent.mrs(host, "CNTVCT_EL0");
  yield* agent.run(host, a64.msr(cval, 0), { 0: now + 3000n });
  const exit = yield* agent.exit(host, a64.msr(ctl, 0), { 0: ENABLED }, { second: a64.SPIN });
  plain(exit, "RMI_EXIT_IRQ");
  host.takeInterrupts();
  return exit;
}

const registers = effects("Realm registers", "Realm system registers", {
  id_registers: [
    "ID registers describe what a Realm has: no SVE, SME, MTE, AMU, MPAM or nested EL2 unless offered",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const pfr0 = yield* agent.mrs(host, "ID_AA64PFR0_EL1");
      const pfr1 = yield* agent.mrs(host, "ID_AA64PFR1_EL1");
      const dfr0 = yield* agent.mrs(host, "ID_AA64DFR0_EL1");
      equal(pfr0 & 0xfn, 1n, "EL0: AArch64 only");
      equal((pfr0 >> 4n) & 0xfn, 1n, "EL1: AArch64 only");
      equal((pfr0 >> 32n) & 0xfn, 0n, "SVE");
      equal((pfr0 >> 44n) & 0xfn, 0n, "AMU");
      equal((pfr1 >> 24n) & 0xfn, 0n, "SME");
      equal((pfr1 >> 8n) & 0xfn, 0n, "MTE");
      equal((dfr0 >> 32n) & 0xfn, 0n, "PMSVer");
      equal((dfr0 >> 44n) & 0xfn, 0n, "TraceBuffer");
    },
    { citation: "Realm features; discoverable by ID registers" },
  ],
  breakpoints: [
    "The numbers of breakpoints and watchpoints are those of the Realm's parameters",
    function* (host) {
      const { NUM_BPS } = yield* features(host);
      for (const num_bps of [1, Number(NUM_BPS)]) {
        const { agent } = yield* runningRealm(host, { num_bps, num_wps: 1 });
        const dfr0 = yield* agent.mrs(host, "ID_AA64DFR0_EL1");
        equalAll([(dfr0 >> 12n) & 0xfn, (dfr0 >> 20n) & 0xfn], [BigInt(num_bps), 1n], "BRPs, WRPs");
      }
    },
    { citation: "RmiRealmParams type, num_bps and num_wps" },
  ],
  no_pmu: [
    "A Realm without a PMU: ID_AA64DFR0_EL1.PMUVer is zero",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      equal(((yield* agent.mrs(host, "ID_AA64DFR0_EL1")) >> 8n) & 0xfn, 0n, "PMUVer");
    },
    { citation: "RmiRealmFlags type, pmu" },
  ],
  el2_registers: [
    "A register of EL2 is UNDEFINED for a Realm",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const { exception } = yield* agent.run(host, a64.mrs(0, [3, 4, 1, 1, 0])); // HCR_EL2
      equal(exception === undefined ? -1n : ec(exception.esr), 0n, "EC");
    },
    { citation: "Realm system registers" },
  ],
  psci_by_hvc: [
    "PSCI by HVC is UNDEFINED, and ELR_EL1 is the instruction itself",
    function* (host) {
      const { agent } = yield* runningRealm(host);
      const { exception } = yield* agent.run(host, a64.HVC, { 0: PSCI_FID.PSCI_VERSION });
      equal(exception === undefined ? -1n : ec(exception.esr), 0n, "EC");
      const elr = yield* agent.mrs(host, "ELR_EL1");
      check(
        elr >= agent.page && elr < agent.page + 0x400n && elr % 8n === 0n,
        `ELR_EL1 0x${elr.toString(16)} is the slot`,
      );
    },
    { citation: "Realm conduit" },
  ],
});

const PMCR: a64.SystemRegister = [3, 3, 9, 12, 0];
const PMCNTENSET: a64.SystemRegister = [3, 3, 9, 12, 1];
const PMINTENSET: a64.SystemRegister = [3, 0, 9, 14, 1];
const PMOVSSET: a64.SystemRegister = [3, 3, 9, 14, 3];
const PMOVSCLR: a64.SystemRegister = [3, 3, 9, 12, 3];
const CYCLES = 1n << 31n;

function* pmuRealm(host: Host, pmu_num_ctrs: number): Script<Agent> {
  return (yield* runningRealm(host, { flags: RMI_REALM_FLAGS.PMU.mask, pmu_num_ctrs })).agent;
}

const NEEDS_PMU: EffectOptions = {
  *skip(host) {
    return (yield* features(host)).PMU_EN === 1n ? undefined : "a PMU is not offered";
  },
};

const pmu = effects("Realm PMU", "Performance Monitors in a Realm", {
  counters: [
    "A Realm with a PMU of one counter: ID_AA64DFR0_EL1 has PMUVer, PMCR_EL0.N is 1",
    function* (host) {
      const agent = yield* pmuRealm(host, 1);
      check((((yield* agent.mrs(host, "ID_AA64DFR0_EL1")) >> 8n) & 0xfn) !== 0n, "PMUVer is not zero");
      equal(((yield* agent.mrs(host, PMCR)) >> 11n) & 0x1fn, 1n, "PMCR_EL0.N");
    },
    NEEDS_PMU,
  ],
  overflow: [
    "pmu_ovf_status is active while an enabled counter's overflow interrupts, and only then",
    function* (host) {
      const agent = yield* pmuRealm(host, 1);
      const status = function* (): Script<number> {
        return (yield* agent.rec.enter(host, { gprs: [BigInt(a64.NOP)] })).pmu_ovf_status;
      };
      equal(yield* status(), 0, "pmu_ovf_status at first");
      for (const [register, value] of [
        [PMOVSSET, CYCLES],
        [PMINTENSET, CYCLES],
        [PMCNTENSET, CYCLES],
      ] as const) {
        yield* agent.run(host, a64.msr(register, 0), { 0: value });
        equal(yield* status(), 0, "pmu_ovf_status before the PMU is enabled");
      }
      const outcome = yield* agent.exec(host, a64.msr(PMCR, 0), { 0: 1n });
      // The overflow interrupt may be signalled to the Host at once.
      if (outcome.kind === "exit") equal(outcome.exit.reason, "RMI_EXIT_IRQ", "the exit");
      equal(yield* status(), 1, "pmu_ovf_status with the overflow");
      yield* agent.run(host, a64.msr(PMOVSCLR, 0), { 0: CYCLES });
      equal(yield* status(), 0, "pmu_ovf_status after the overflow is cleared");
    },
    { ...NEEDS_PMU, citation: "RmiRecExit type, pmu_ovf_status" },
  ],
  per_rec: [
    "Performance monitor registers are each REC's own",
    function* (host) {
      const { agents } = yield* runningRealm(host, { flags: RMI_REALM_FLAGS.PMU.mask, pmu_num_ctrs: 1 }, { recs: 2 });
      yield* agents[1]!.begin(host);
      yield* agents[0]!.run(host, a64.msr(PMCNTENSET, 0), { 0: CYCLES });
      equal(yield* agents[1]!.mrs(host, PMCNTENSET), 0n, "PMCNTENSET_EL0 of REC 1");
      equal(yield* agents[0]!.mrs(host, PMCNTENSET), CYCLES, "PMCNTENSET_EL0 of REC 0");
    },
    NEEDS_PMU,
  ],
});

const several = effects("Several PEs", "REC state; concurrency", {
  enter_running: [
    "A REC that runs on another PE is entered: RMI_ERROR_REC, and it runs on",
    function* (host) {
      const { agents } = yield* runningRealm(host);
      const spin = yield* spinning(host, agents[0]!.rec, { begun: true });
      const tried = yield* host.rmi("RMI_REC_ENTER", agents[0]!.rec.addr, host.page());
      refused(host, tried, { status: "RMI_ERROR_REC", condition: "rec_state" });
      equal((yield* spin.stop()).reason, "RMI_EXIT_IRQ", "its exit");
    },
    { conditions: ["RMI_REC_ENTER/rec_state"] },
  ],
  realm_destroy_running: [
    "A Realm is destroyed while its REC runs: RMI_ERROR_REALM",
    function* (host) {
      const { agents, realm } = yield* runningRealm(host);
      const spin = yield* spinning(host, agents[0]!.rec, { begun: true });
      refused(host, yield* host.rmi("RMI_REALM_DESTROY", realm.rd), {
        status: "RMI_ERROR_REALM",
        condition: "realm_live",
      });
      yield* spin.stop();
    },
    { conditions: ["RMI_REALM_DESTROY/realm_live"] },
  ],
  data_destroy_running: [
    "The page that a REC executes from is destroyed while it runs on another PE: it exits with an Instruction Abort there",
    function* (host) {
      const { agents, realm } = yield* runningRealm(host);
      const [agent] = agents;
      const spin = yield* spinning(host, agent!.rec, { begun: true });
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, agent!.page);
      yield* host.until(() => host.bench.machine.pes[1]!.el !== 1);
      const exit = yield* spin.stop();
      equal(exit.reason, "RMI_EXIT_SYNC", "the exit");
      equal(exit.esr, (EC_INSTRUCTION_ABORT << 26n) | 7n, "esr");
      equal(exit.hpfar, (agent!.page >> 12n) << 4n, "hpfar");
    },
  ],
  rtt_under_running: [
    "Tables are made, destroyed, folded, and pages mapped while a REC runs: each as if it did not",
    function* (host) {
      const { agents, realm } = yield* runningRealm(host);
      const spin = yield* spinning(host, agents[0]!.rec, { begun: true });
      yield* realm.tables(host, 0x4000_0000n);
      yield* realm.unknownData(host, 0x4000_0000n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x4000_0000n);
      yield* host.ok("RMI_RTT_FOLD", realm.rd, 0x4000_0000n, 3n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0x4000_0000n, 2n);
      yield* realm.share(host, 0n);
      yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, realm.unprotected, 3n);
      equal((yield* spin.stop()).reason, "RMI_EXIT_IRQ", "its exit");
    },
  ],
  set_ripas_running: [
    "RMI_RTT_SET_RIPAS names a REC that runs: RMI_ERROR_REC",
    function* (host) {
      const { agents, realm } = yield* runningRealm(host);
      const spin = yield* spinning(host, agents[0]!.rec, { begun: true });
      const answer = yield* host.rmi("RMI_RTT_SET_RIPAS", realm.rd, agents[0]!.rec.addr, 0n, 0x1000n);
      refused(host, answer, { status: "RMI_ERROR_REC", condition: "rec_state" });
      yield* spin.stop();
    },
    { conditions: ["RMI_RTT_SET_RIPAS/rec_state"] },
  ],
  system_off_elsewhere: [
    "A Realm turns itself off while another of its RECs runs: that one runs to its next exit, and no more",
    function* (host) {
      const { agents } = yield* runningRealm(host, {}, { recs: 2 });
      const spin = yield* spinning(host, agents[1]!.rec);
      yield* agents[0]!.smcExit(host, PSCI_FID.PSCI_SYSTEM_OFF);
      yield* spin.stop();
      for (const { rec } of agents) {
        refused(host, yield* rec.tryEnter(host), { status: "RMI_ERROR_REALM", index: 1, condition: "system_off" });
      }
    },
    { conditions: ["RMI_REC_ENTER/system_off"] },
  ],
  delegate_run_page: [
    "The page of RmiRecRun is delegated while its REC runs: the entry ends with RMI_ERROR_INPUT, and nothing is written",
    function* (host) {
      const { agents } = yield* runningRealm(host);
      const [agent] = agents;
      const { rec } = agent!;
      let entering = false;
      host.setUpInterrupts();
      const task = yield* host.start(1, function* (other) {
        other.setUpInterrupts();
        entering = true;
        const answer = yield* rec.tryEnter(other, { gprs: [BigInt(a64.SPIN), ...AGENT_PATTERN] });
        other.takeInterrupts();
        return answer;
      });
      yield* host.until(() => entering && host.bench.machine.pes[1]!.el === 1);
      yield* host.ok("RMI_GRANULE_DELEGATE", rec.run);
      host.kick(1);
      equal((yield* host.join(task)).status, "RMI_ERROR_INPUT", "status of the entry");
      yield* host.ok("RMI_GRANULE_UNDELEGATE", rec.run);
      check(
        host.read(rec.run).every((byte) => byte === 0),
        "nothing was written to the page",
      );
    },
    { citation: "RMI_REC_ENTER command, run_pas" },
  ],
  shared_granule_elsewhere: [
    "A page that a running REC reads is delegated on another PE: the REC takes a granule protection fault, the machine goes on",
    function* (host) {
      const { agents, realm } = yield* runningRealm(host);
      const [agent] = agents;
      const pa = yield* realm.share(host, 0n);
      yield* agent!.run(host, a64.load(0, 1), { 1: realm.unprotected });
      const task = yield* host.start(1, function* (other) {
        yield* other.ok("RMI_GRANULE_DELEGATE", pa);
      });
      yield* host.join(task);
      const { exception } = yield* agent!.run(host, a64.load(0, 1), { 1: realm.unprotected });
      equal(exception === undefined ? 0n : exception.esr & 0x3fn, 0x28n, "DFSC");
    },
  ],
  same_granule: [
    "Two PEs delegate the same granules: each granule is delegated once",
    function* (host) {
      const first = host.shared.take(32);
      const tryAll = function* (on: Host): Script<number> {
        let count = 0;
        for (let i = 0n; i < 32n; i++) {
          if ((yield* on.rmi("RMI_GRANULE_DELEGATE", first + i * 0x1000n)).status === "RMI_SUCCESS") count++;
        }
        return count;
      };
      const task = yield* host.start(1, tryAll);
      const here = yield* tryAll(host);
      equal(here + (yield* host.join(task)), 32, "granules delegated");
    },
  ],
  recs_on_two_pes: [
    "Two RECs exchange a word through Protected memory while both run",
    function* (host) {
      const { agents } = yield* runningRealm(host, {}, { recs: 2 });
      const [first, second] = agents;
      const task = yield* host.start(1, function* (other) {
        yield* second!.begin(other);
        yield* second!.run(other, a64.store(0, 1), { 0: 0x5eedn, 1: 0x8000n });
      });
      let value = 0n;
      while (value === 0n) value = (yield* first!.run(host, a64.load(0, 1), { 1: 0x8000n })).x[0]!;
      equal(value, 0x5eedn, "the word");
      yield* host.join(task);
    },
  ],
});

export const exitCases: readonly ConformanceCase[] = [
  ...aborts,
  ...instructions,
  ...traps,
  ...interrupts,
  ...timers,
  ...registers,
  ...pmu,
  ...several,
];
