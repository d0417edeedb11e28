/**
 * A Host, and a VMM with its help, that try everything on the granules of a running realm: RD, REC, REC_AUX, RTT, DATA.
 * Every attempt ends in the architected fault or RMI status, and changes and shows nothing.
 *
 * DDI 0487, "Granule protection faults": an access to a granule of another PAS; ESR_ELx.DFSC 0b101000. DEN0137 1.0-rel0: the
 * state conditions of each command (RMI_ERROR_INPUT).
 */
import { createHash } from "node:crypto";
import {
  Gpi,
  KVM_MEM_GUEST_MEMFD,
  KVM_VM_TYPE,
  KVM_VM_TYPE_ARM_REALM,
  Pas,
  type RmiCommand,
  RmiRealmParams,
  RmiRecParams,
  SecurityState,
} from "@realmbox/abi";
import { isKvmError, type KvmError } from "@realmbox/host";
import { isFault } from "@realmbox/machine";
import type { Box, Guest } from "realmbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { VmHandle } from "../../packages/host/src/kvm/handles.js";
import { sharedIndex } from "../../packages/host/src/memory/slots.js";
import type { GranuleState } from "../../packages/rmm/src/granule/granule.js";
import { problems } from "../../packages/rmm/src/testing/invariants.js";
import { hostile, MiB, makeBox, makeGuest, runToEnd } from "../support/box.js";
import { delegatedGranules, gpiAt, inspect, PAGE, pageAt } from "../support/memory.js";
import { rmi, smc } from "../support/smc.js";

const STATES = ["RD", "REC", "REC_AUX", "RTT", "DATA"] as const satisfies readonly GranuleState[];
const RAM = 0x8000_0000n;
/** A page of a victim's RAM that nothing else is at: 1 MiB below its end. */
const TARGET_IPA = RAM + 15n * MiB;

let box: Box;
let victim: Guest;
/** The victim's granules by state. It sleeps in WFI through the whole attack, with a timer that ends its sleep later. */
let granules: ReadonlyMap<GranuleState, readonly bigint[]>;
/** The first and the last granule of a state. */
const targets = (state: GranuleState): readonly bigint[] => {
  const all = granules.get(state)!;
  return [...new Set([all[0]!, all.at(-1)!])];
};

beforeAll(() => {
  box = makeBox();
  victim = makeGuest(box, { ...hostile("ticks", { n: 2, us: 3_000_000 }), realm: true }, { name: "victim" });
  expect(victim.run({ console: "begin 2 timer interrupts", instructions: 100_000_000 }).kind).toBe("reached");
  victim.run({ instructions: 100_000 });
  granules = delegatedGranules(box.machine);
});
afterAll(() => {
  expect(problems(inspect(box.machine))).toEqual([]);
});

/** Runs an attack: afterwards content, state and GPI of every granule of the victim are what they were. */
function untouched<T>(attack: () => T): T {
  const { machine } = box;
  const view = inspect(machine);
  const look = () =>
    [...granules.values()].flat().map((pa) => ({
      pa,
      state: view.granuleState(pa),
      refcount: view.refcount(pa),
      gpi: view.gpiOf(pa),
      content: createHash("sha256").update(view.page(pa)).digest("hex"),
    }));
  const before = look();
  const result = attack();
  expect(look()).toEqual(before);
  return result;
}

test("the victim has granules of every state, all with GPI Realm", () => {
  for (const state of STATES) {
    expect(granules.get(state)!.length, state).toBeGreaterThan(0);
    for (const pa of granules.get(state)!) expect(gpiAt(box.machine, pa)).toBe(Gpi.REALM);
  }
});

describe.each(STATES)("%s", (state) => {
  test("the Host's own accesses give granule protection faults", () => {
    const port = box.machine.devicePort();
    for (const pa of targets(state)) {
      const into = new Uint8Array(64).fill(0xa5);
      const results = untouched(() => [
        port.copyIn(pa, into),
        port.copyIn(pa + 4032n, into.subarray(0, 64)),
        port.read64(pa),
        port.copyOut(pa, Uint8Array.of(1, 2, 3)),
        port.write64(pa + 8n, 0x1234n),
        port.zero(pa, PAGE),
        port.granule(pa),
        // An access that begins in memory of the Host and ends in the granule is refused as a whole, too.
        ...(gpiAt(box.machine, pa - 8n) === Gpi.NS ? [port.copyOut(pa - 8n, new Uint8Array(16).fill(0xff))] : []),
      ]);
      for (const result of results) {
        expect(isFault(result) && { fault: result.fault, gptLevel: result.gptLevel, pas: result.pas }).toEqual({
          fault: "granule-protection",
          gptLevel: 1,
          pas: Pas.NS,
        });
      }
      expect(into.every((byte) => byte === 0xa5)).toBe(true);
    }
  });

  test("cannot be delegated twice, nor undelegated in use", () => {
    for (const pa of targets(state)) {
      untouched(() => {
        expect(rmi(box, "RMI_GRANULE_DELEGATE", pa)).toMatchObject({ status: "RMI_ERROR_INPUT" });
        expect(rmi(box, "RMI_GRANULE_UNDELEGATE", pa)).toMatchObject({ status: "RMI_ERROR_INPUT" });
      });
    }
  });

  test("cannot be used for anything else", () => {
    const { rd } = victim.vm.built!.vm;
    const rec = granules.get("REC")![0]!;
    const params = parameterPage();
    for (const pa of targets(state)) {
      const recParams = RmiRecParams.encode({ num_aux: 2n, aux: [pa, pa] });
      const realmParams = RmiRealmParams.encode({
        s2sz: 33,
        num_bps: 1,
        num_wps: 1,
        vmid: 9,
        rtt_base: pa,
        rtt_num_start: 2,
        rtt_level_start: 2n,
      });
      const attempts: readonly (readonly [RmiCommand, Uint8Array, ...bigint[]])[] = [
        ["RMI_DATA_CREATE", params.bytes, rd!, pa, TARGET_IPA, params.pa, 0n],
        ["RMI_DATA_CREATE_UNKNOWN", params.bytes, rd!, pa, TARGET_IPA],
        ["RMI_RTT_CREATE", params.bytes, rd!, pa, RAM + 64n * MiB, 3n],
        ["RMI_REALM_CREATE", realmParams, pa, params.pa],
        ["RMI_REALM_CREATE", realmParams, params.delegated, params.pa],
        ["RMI_REC_CREATE", recParams, rd!, pa, params.pa],
        ["RMI_REC_CREATE", recParams, rd!, params.delegated, params.pa],
        // As a parameter or run page, and as the content of a page.
        ["RMI_REALM_CREATE", params.bytes, params.delegated, pa],
        ["RMI_REC_CREATE", params.bytes, rd!, params.delegated, pa],
        ["RMI_REC_ENTER", params.bytes, rec, pa],
        ["RMI_DATA_CREATE", params.bytes, rd!, params.delegated, TARGET_IPA, pa, 1n],
      ];
      for (const [command, content, ...args] of attempts) {
        params.write(content);
        const answer = untouched(() => rmi(box, command, ...args));
        expect(answer.status, `${command} ${args.map((arg) => arg.toString(16))}`).toMatch(/^RMI_ERROR_(INPUT|REALM)$/);
      }
      if (state !== "RD") {
        for (const command of ["RMI_REALM_DESTROY", "RMI_REALM_ACTIVATE", "RMI_REC_AUX_COUNT"] as const) {
          expect(untouched(() => rmi(box, command, pa)).status, command).toBe("RMI_ERROR_INPUT");
        }
        for (const command of ["RMI_DATA_DESTROY", "RMI_RTT_READ_ENTRY", "RMI_RTT_DESTROY", "RMI_RTT_FOLD"] as const) {
          expect(untouched(() => rmi(box, command, pa, RAM, 3n)).status, command).toBe("RMI_ERROR_INPUT");
        }
      }
      if (state !== "REC") {
        expect(untouched(() => rmi(box, "RMI_REC_DESTROY", pa)).status).toBe("RMI_ERROR_INPUT");
        expect(untouched(() => rmi(box, "RMI_REC_ENTER", pa, params.pa)).status).toBe("RMI_ERROR_INPUT");
      }
    }
    params.free();
  });

  test.each([
    ["read", 0, 0x25],
    ["write", 1, 0x25],
    ["execute", 2, 0x21],
  ] as const)("a normal VM that the Host maps onto it cannot %s it", (name, op, ec) => {
    for (const [n, pa] of targets(state).entries()) {
      const attacker = makeGuest(box, hostile("touch", { at: TARGET_IPA, op }), { name: `${state} ${name} ${n}` });
      const restore = substitute(attacker, pa);
      const before = box.machine.counters.granuleProtectionFaults;
      const end = untouched(() => runToEnd(attacker));
      restore();
      expect(end).toEqual({ kind: "exit", status: 0 });
      const { esr } = outcomeOf(attacker);
      expect({ ec: esr >> 26n, fsc: esr & 0x3fn, il: (esr >> 25n) & 1n }).toEqual({
        ec: BigInt(ec),
        fsc: 0x28n,
        il: 1n,
      });
      if (op === 1) expect((esr >> 6n) & 1n).toBe(1n); // WnR
      expect(box.machine.counters.granuleProtectionFaults).toBeGreaterThan(before);
      attacker.close();
    }
  });

  test("a second realm that the Host maps onto it as shared memory cannot read it", () => {
    const [pa] = targets(state);
    const shared = 1n << 32n; // the top bit of this realm's 33-bit IPA space
    const accomplice = makeGuest(
      box,
      { ...hostile("touch", { at: TARGET_IPA | shared }), realm: true },
      { name: `${state} as shared` },
    );
    // The page is shared with the accomplice, and the Host's record of it names the victim's granule.
    const { vm } = accomplice.vm.built!;
    box.host.call(vm.setMemoryAttributesOp({ address: TARGET_IPA, size: 4096n, attributes: 0n }));
    const restore = substitute(accomplice, pa!);
    const end = untouched(() => runToEnd(accomplice));
    restore();
    expect(end).toEqual({ kind: "exit", status: 0 });
    const { esr } = outcomeOf(accomplice);
    expect({ ec: esr >> 26n, fsc: esr & 0x3fn }).toEqual({ ec: 0x25n, fsc: 0x28n });
    accomplice.close();
  });
});

describe.each([
  ["the Root Monitor's memory", "root", Gpi.ROOT],
  ["the RMM's memory", "realm", Gpi.REALM],
] as const)("%s", (_, range, gpi) => {
  test("is out of the Host's reach from end to end, and a normal VM's", () => {
    const { base, size } = box.machine.board[range];
    const port = box.machine.devicePort();
    for (let pa = base; pa < base + size; pa += size / 64n) {
      expect(gpiAt(box.machine, pa)).toBe(gpi);
      const result = untouched(() => [port.read64(pa), port.write64(pa, 1n), port.granule(pa)]);
      for (const one of result) expect(isFault(one) && one.fault).toBe("granule-protection");
    }
    for (const op of [0, 1, 2]) {
      const attacker = makeGuest(box, hostile("touch", { at: TARGET_IPA, op }), { name: `${range} ${op}` });
      const restore = substitute(attacker, base + 0x10_3000n);
      const end = untouched(() => runToEnd(attacker));
      restore();
      expect(end).toEqual({ kind: "exit", status: 0 });
      expect(outcomeOf(attacker).esr & 0x3fn).toBe(0x28n);
      attacker.close();
    }
  });

  test("cannot be delegated, nor be a parameter, a table or a page of a realm", () => {
    const pa = box.machine.board[range].base + 0x10_3000n;
    const { rd } = victim.vm.built!.vm;
    for (const [command, ...args] of [
      ["RMI_GRANULE_DELEGATE", pa],
      ["RMI_GRANULE_UNDELEGATE", pa],
      ["RMI_REALM_CREATE", pa, pa],
      ["RMI_REC_CREATE", rd!, pa, pa],
      ["RMI_DATA_CREATE_UNKNOWN", rd!, pa, TARGET_IPA],
      ["RMI_RTT_CREATE", rd!, pa, RAM + 64n * MiB, 3n],
      ["RMI_REC_ENTER", granules.get("REC")![0]!, pa],
    ] as const) {
      expect(untouched(() => rmi(box, command, ...args)).status, command).toBe("RMI_ERROR_INPUT");
    }
  });
});

test("a normal VM whose stage-2 table is a realm's granule: the walk faults, nothing is translated", () => {
  const level3 = granules.get("RTT")!.at(-1)!;
  const attacker = makeGuest(box, hostile("touch", { at: TARGET_IPA }), { name: "walker" });
  const { core } = attacker.vm.built!.vm as unknown as VmHandle;
  // A 32-bit IPA space begins at level 2, with four tables in a row; the entry becomes a table descriptor.
  expect(core.stage2!.startLevel).toBe(2);
  const entry = core.stage2!.root + 8n * (TARGET_IPA >> 21n);
  expect(box.machine.devicePort().write64(entry, level3 | 3n)).toBeUndefined();
  const before = box.machine.counters.granuleProtectionFaults;
  const end = untouched(() => attacker.run({ instructions: 5_000_000 }));
  expect(box.machine.counters.granuleProtectionFaults).toBeGreaterThan(before);
  expect(attacker.console).not.toContain("answered");
  // GPF on a walk at level 3: DFSC 0b100111, which the Host sees as an abort of its guest.
  expect(end).toMatchObject({ kind: "host-error", why: expect.stringContaining("status 0x27") });
  box.machine.devicePort().write64(entry, 0n);
  attacker.close();
});

test("a VMM that maps its guest_memfd gets EFAULT, not the content", () => {
  const attacker = makeGuest(box, { ...hostile("touch"), realm: true }, { name: "reader" });
  const { vm } = attacker.vm.built! as unknown as { vm: VmHandle };
  const slot = vm.core.slots.all.find(({ privatePages }) => privatePages !== undefined)!;
  expect(slot).toBeDefined();
  const index = slot.privatePages!.pages.findIndex((pfn) => pfn !== 0);
  const file = attacker.vm.built!.vm;
  expect(file.isRealm).toBe(true);
  const pa = BigInt(slot.privatePages!.pages[index]! - 1) << 12n;
  expect(gpiAt(box.machine, pa)).toBe(Gpi.REALM);
  // The same page as process memory: what mmap of the file would give.
  const { process } = attacker.vm;
  const address = process!.mmap(4096n) as bigint;
  const mapping = vm.core.memory.find(address, 4096n)!;
  mapping.pages[0] = slot.privatePages!.pages[index]!;
  const into = new Uint8Array(16).fill(0xa5);
  const [read, write] = untouched(() => [process!.read(address, into), process!.write(address, Uint8Array.of(1))]);
  expect(isKvmError(read) && read.errno).toBe("EFAULT");
  expect(isKvmError(write) && write.errno).toBe("EFAULT");
  expect(into.every((byte) => byte === 0xa5)).toBe(true);
  mapping.pages[0] = 0;
  attacker.close();
});

test("a VMM cannot give one guest_memfd to two realms, nor one to a normal VM", () => {
  const process = box.host.process("two realms");
  const ok = <T>(result: T | KvmError): T => {
    if (isKvmError(result)) throw new Error(`${result.errno}: ${result.why}`);
    return result;
  };
  const kvm = ok(process.openKvm());
  const space = ok(ok(process.openRme()).createSpace(MiB));
  const region = {
    slot: 0,
    flags: KVM_MEM_GUEST_MEMFD,
    guest_phys_addr: RAM,
    memory_size: MiB,
    userspace_addr: space.userspace_addr,
    guest_memfd: space.guest_memfd,
  };
  const realmType = KVM_VM_TYPE.MACHINE.of(KVM_VM_TYPE_ARM_REALM) | 33n;
  const [first, second, normal] = [realmType, realmType, 33n].map((type) => ok(kvm.createVm(type)));
  for (const realm of [first!, second!]) expect(box.host.call(realm.createRealmOp())).toBeUndefined();
  expect(first!.setUserMemoryRegion(region)).toBeUndefined();
  for (const other of [second!, normal!]) {
    const refused = other.setUserMemoryRegion(region);
    expect(isKvmError(refused) && refused.errno).toMatch(/^(EINVAL|EBUSY|EEXIST)$/);
  }
  expect(box.host.call(process.exitOp())).toBeUndefined();
});

test("a page of a running normal VM that the Host delegates is out of its reach at once, TLB or not", () => {
  const guest = makeGuest(box, hostile("loop"), { name: "robbed" });
  expect(guest.run({ console: "hostile: loop", instructions: 100_000_000 }).kind).toBe("reached");
  guest.run({ instructions: 10_000 }); // its loop is in the TLB now
  const { vm } = guest.vm.built! as unknown as { vm: VmHandle };
  const slot = vm.core.slots.find(RAM)!;
  // Every page that holds its code, vectors included: it cannot even report.
  const pages = [...slot.mapping.pages].map((pfn, i) => ({ pfn, i })).filter(({ pfn }) => pfn !== 0);
  const taken = pages.map(({ pfn }) => BigInt(pfn - 1) << 12n);
  for (const pa of taken) expect(rmi(box, "RMI_GRANULE_DELEGATE", pa).status).toBe("RMI_SUCCESS");
  const before = box.machine.counters.granuleProtectionFaults;
  const retired = box.machine.counters.instructions[SecurityState.NON_SECURE * 4 + 1]!;
  const end = guest.run({ instructions: 100_000 });
  expect(end.kind === "stuck" || end.kind === "limit").toBe(true);
  expect(box.machine.counters.granuleProtectionFaults).toBeGreaterThan(before);
  expect(box.machine.counters.instructions[SecurityState.NON_SECURE * 4 + 1]! - retired).toBeLessThanOrEqual(1);
  for (const pa of taken) {
    expect(rmi(box, "RMI_GRANULE_UNDELEGATE", pa).status).toBe("RMI_SUCCESS");
    expect(pageAt(box.machine, pa).every((byte) => byte === 0)).toBe(true);
  }
  guest.close();
});

test("all that was an SMC of another world's interface is unknown to the Host", () => {
  for (let fid = 0xc400_018fn; fid <= 0xc400_01cfn; fid++) {
    const answer = untouched(() => smc(box, fid, granules.get("DATA")![0]!, RAM, 1n));
    expect(answer[0], fid.toString(16)).toBe(0xffff_ffff_ffff_ffffn);
  }
});

test("the victim has noticed nothing, and its end leaves nothing delegated", () => {
  expect(victim.run({ instructions: 10_000_000_000 })).toEqual({ kind: "exit", status: 0 });
  expect(victim.close().ok).toBe(true);
  for (const [state, list] of delegatedGranules(box.machine)) expect(list, state).toEqual([]);
  expect(box.host.pages.leaked).toBe(0);
});

/**
 * The Host's record of a guest page names another physical page: at the next stage-2 fault the Host maps that one. The
 * result undoes it.
 */
function substitute(guest: Guest, pa: bigint): () => void {
  const { core } = guest.vm.built!.vm as unknown as VmHandle;
  const slot = core.slots.find(TARGET_IPA)!;
  const index = sharedIndex(slot, TARGET_IPA);
  const before = slot.mapping.pages[index]!;
  slot.mapping.pages[index] = Number(pa >> 12n) + 1;
  return () => {
    slot.mapping.pages[index] = before;
  };
}

/** What `hostile case=touch` says: the syndrome of its access. */
function outcomeOf(guest: Guest): { readonly esr: bigint } {
  const match = /faulted, ESR 0x([0-9a-f]+) FAR/.exec(guest.console);
  if (!match) throw new Error(`no fault:\n${guest.console}`);
  return { esr: BigInt(`0x${match[1]}`) };
}

/** A Non-secure page for parameters, and a delegated granule that nobody uses. */
function parameterPage() {
  const process = box.host.process("parameters");
  const address = process.mmap(8192n) as bigint;
  process.write(address, new Uint8Array(8192).fill(1));
  const { memory } = (process as unknown as { core: VmHandle["core"]["owner"] }).core;
  const mapping = memory.find(address, 8192n)!;
  const [pa, delegated] = [...mapping.pages].map((pfn) => BigInt(pfn - 1) << 12n) as [bigint, bigint];
  expect(rmi(box, "RMI_GRANULE_DELEGATE", delegated).status).toBe("RMI_SUCCESS");
  return {
    pa,
    delegated,
    bytes: new Uint8Array(4096),
    write: (bytes: Uint8Array) => void process.write(address, bytes),
    free: () => {
      expect(rmi(box, "RMI_GRANULE_UNDELEGATE", delegated).status).toBe("RMI_SUCCESS");
      box.host.call(process.exitOp());
    },
  };
}
