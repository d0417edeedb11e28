/**
 * A realm that reaches for what is not its own: EMPTY and DESTROYED IPAs, IPAs without memory, beyond its IPA space, shared
 * memory as code, another realm's pages. DEN0137 1.0-rel0, "Realm access to memory" and "REC exit due to Data Abort".
 */
import { EC, RmiRipas } from "@realmbox/abi";
import type { Guest, StampedTraceEvent } from "realmbox";
import { describe, expect, test } from "vitest";
import { hostile, MiB, makeBox, makeGuest, runToEnd } from "../support/box.js";
import { findInNonSecure, findInRealm } from "../support/memory.js";
import { rmi, rmiOk } from "../support/smc.js";

const RAM = 0x8000_0000n;
const RAM_SIZE = 16n * MiB;
/** The top bit of the 33-bit IPA space of a realm with RAM up to 4 GiB. */
const SHARED = 1n << 32n;
const READ = 0;
const WRITE = 1;
const EXECUTE = 2;

/** ESR_EL1 of the access that `hostile case=touch` made, split. */
function syndrome(guest: Guest) {
  const match = /0x([0-9a-f]+) faulted, ESR 0x([0-9a-f]+) FAR 0x([0-9a-f]+)/.exec(guest.console);
  if (!match) throw new Error(`no fault:\n${guest.console}`);
  const esr = BigInt(`0x${match[2]}`);
  return { ec: Number(esr >> 26n), fsc: Number(esr & 0x3fn), wnr: Number((esr >> 6n) & 1n) };
}

const touch = (at: bigint, op: number) => ({ ...hostile("touch", { at, op }), realm: true });
const ops = [
  ["read", READ, { ec: EC.DATA_ABORT_SAME, wnr: 0 }],
  ["write", WRITE, { ec: EC.DATA_ABORT_SAME, wnr: 1 }],
  ["fetch", EXECUTE, { ec: EC.INSTRUCTION_ABORT_SAME, wnr: 0 }],
] as const;

/** Synchronous External abort, not on a table walk. */
const SEA = 0x10;

describe.each(ops)("%s", (_, op, expected) => {
  test.each([
    ["below its RAM, where nothing is", 0x4000_0000n],
    ["right behind its RAM", RAM + RAM_SIZE],
    ["at the end of the Protected half", SHARED - 4096n],
    ["at an address that is another realm's physical page", 0x8800_0000n],
    ["at the physical address of the RMM", 0x4010_0000n],
    ["at physical address 0, the Root Monitor's", 0n],
  ])("%s: an IPA with RIPAS EMPTY gives a Synchronous External abort", (_what, ipa) => {
    const box = makeBox();
    const guest = makeGuest(box, touch(ipa, op));
    const exits = box.host.counters.recExits[0] ?? 0;
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expect(syndrome(guest)).toEqual({ ...expected, fsc: SEA });
    expect(exits).toBeGreaterThanOrEqual(0);
  });

  test("in the Unprotected half where the VMM has nothing", () => {
    const box = makeBox();
    const guest = makeGuest(box, touch(SHARED | 0x7000_0000n, op));
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expect(syndrome(guest)).toEqual({ ...expected, fsc: SEA });
  });

  test("beyond the IPA space: an Address size fault", () => {
    const box = makeBox();
    const guest = makeGuest(box, touch(SHARED << 1n, op));
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    const { ec, fsc } = syndrome(guest);
    expect(ec).toBe(expected.ec);
    expect(fsc & ~3).toBe(0); // Address size fault of some level
  });
});

test("shared memory cannot be executed", () => {
  const guest = makeGuest(makeBox(), { ...hostile("execute"), realm: true });
  expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
  expect(guest.console).toContain("was not executed");
});

test("random addresses all over the IPA space: nothing but its RAM and shared memory answers", () => {
  for (const seed of [1, 2, 3]) {
    const guest = makeGuest(makeBox(), { ...hostile("memory", { seed, n: 3000 }), realm: true });
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expect(guest.console).toMatch(/faults, 0 leaks/);
  }
});

test("two realms of the same image do not see each other's pages", () => {
  const box = makeBox();
  const first = makeGuest(box, { ...hostile("destroyed"), realm: true }, { name: "first" });
  const second = makeGuest(box, { ...hostile("memory", { seed: 5, n: 2000 }), realm: true }, { name: "second" });
  expect(runToEnd(first)).toEqual({ kind: "exit", status: 0 });
  // The first realm is not torn down: its secret is in its memory, and only there.
  const secret = new TextEncoder().encode("!!secret!!secret!!secret");
  expect(findInRealm(box.machine, secret).length).toBeGreaterThan(0);
  expect(runToEnd(second)).toEqual({ kind: "exit", status: 0 });
  expect(second.console).toContain(" 0 leaks");
  expect(findInNonSecure(box.machine, secret)).toEqual([]);
  first.close();
  second.close();
  expect(findInRealm(box.machine, secret)).toEqual([]);
});

describe("a page that the Host takes away with RMI_DATA_DESTROY", () => {
  /** Function id of the call with which `hostile case=destroyed` tells the page's IPA. */
  const HERE = 0xc600_0f80n;

  function withDestroyedPage() {
    const events: StampedTraceEvent[] = [];
    const box = makeBox({
      trace: {
        categories: ["rec", "fault"],
        listener: (event) => {
          events.push(event);
          if (event.name === "REC exit" && event.fields["gprs[0]"] === HERE) box.machine.stop("the page is known");
        },
      },
    });
    const guest = makeGuest(box, { ...hostile("destroyed"), realm: true });
    const told = () => events.find(({ name, fields }) => name === "REC exit" && fields["gprs[0]"] === HERE);
    expect(guest.run({ instructions: 100_000_000, condition: () => told() !== undefined })).toEqual({
      kind: "reached",
    });
    const ipa = told()!.fields["gprs[1]"] as bigint;
    return { box, guest, events, ipa, vm: guest.vm.built!.vm };
  }
  const secret = new TextEncoder().encode("!!secret!!secret!!secret");

  test("the realm's next access is a REC exit due to Data Abort, RIPAS DESTROYED; the content is gone", () => {
    const { box, guest, events, ipa, vm } = withDestroyedPage();
    expect(findInRealm(box.machine, secret)).toHaveLength(1);
    const [pa] = findInRealm(box.machine, secret);
    expect(box.host.call(box.host.reclaimOp(vm, ipa, 4096n))).toBe(1);
    expect(findInRealm(box.machine, secret)).toEqual([]);
    expect(findInNonSecure(box.machine, secret)).toEqual([]);
    // The page is the Host's again, and zero.
    const into = new Uint8Array(4096).fill(0xa5);
    expect(box.machine.devicePort().copyIn(BigInt(pa!) & ~0xfffn, into)).toBeUndefined();
    expect(into.every((byte) => byte === 0)).toBe(true);
    const entry = rmiOk(box, "RMI_RTT_READ_ENTRY", vm.rd!, ipa, 3n);
    expect(entry.slice(0, 2)).toEqual([3n, 0n]); // level 3, UNASSIGNED
    expect(entry[3]).toBe(BigInt(RmiRipas.DESTROYED));

    events.length = 0;
    const end = runToEnd(guest);
    expect(end).toMatchObject({ kind: "crash", why: expect.stringContaining("content is gone") });
    const exit = events.findLast(({ name }) => name === "REC exit")!;
    expect(exit.fields).toMatchObject({ reason: "RMI_EXIT_SYNC", hpfar: ipa >> 8n });
    expect(Number((exit.fields.esr as bigint) >> 26n)).toBe(EC.DATA_ABORT_LOWER);
    expect(Number((exit.fields.esr as bigint) & 0x3cn)).toBe(4); // translation fault
    expect(guest.close().ok).toBe(true);
  });

  test("the Host cannot put another page in its place", () => {
    const { box, guest, ipa, vm } = withDestroyedPage();
    expect(box.host.call(box.host.reclaimOp(vm, ipa, 4096n))).toBe(1);
    const process = box.host.process("forger");
    const address = process.mmap(4096n) as bigint;
    process.write(address, new Uint8Array(4096).fill(0x41));
    // A free page of the Host, the highest of DRAM: nobody has it.
    const { base, size } = box.machine.board.dram[0]!;
    const page = base + size - 64n * 4096n;
    rmiOk(box, "RMI_GRANULE_DELEGATE", page);
    expect(rmi(box, "RMI_DATA_CREATE_UNKNOWN", vm.rd!, page, ipa)).toMatchObject({ status: "RMI_SUCCESS" });
    // The IPA is backed, but stays DESTROYED: the realm does not see the page.
    const entry = rmiOk(box, "RMI_RTT_READ_ENTRY", vm.rd!, ipa, 3n);
    expect([entry[1], entry[3]]).toEqual([1n, BigInt(RmiRipas.DESTROYED)]);
    expect(runToEnd(guest)).toMatchObject({ kind: "crash", why: expect.stringContaining("content is gone") });
    // RMI_DATA_CREATE, which would bring content, is for realms that have not started.
    rmiOk(box, "RMI_DATA_DESTROY", vm.rd!, ipa);
    expect(rmi(box, "RMI_DATA_CREATE", vm.rd!, page, ipa, base, 0n).status).toMatch(/^RMI_ERROR_(INPUT|REALM)$/);
    rmiOk(box, "RMI_GRANULE_UNDELEGATE", page);
    expect(guest.close().ok).toBe(true);
  });
});
