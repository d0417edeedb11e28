import { ICH_LR } from "@realmbox/abi";
import { Distributor, KVM_VGIC } from "@realmbox/machine";
import { expect, test } from "vitest";
import { ListRegisters } from "./list-registers.js";

const PENDING = 1n;
const ACTIVE = 2n;
const UIE = 2;
const LRENPIE = 4;
const TDIR = 1 << 14;

/** A distributor with Group 1 on, SPIs 32 to 63 enabled at priority 0x80, routed to vCPU 0. */
function vgic(cpus = 1) {
  const distributor = new Distributor({
    profile: KVM_VGIC,
    mpidrs: Array.from({ length: cpus }, (_, n) => BigInt(n)),
    spiCount: 32,
  });
  distributor.writeDistributor(0, 4, 0x2n, false);
  distributor.writeDistributor(0x104, 4, 0xffff_ffffn, false);
  for (let intid = 32; intid < 64; intid++) distributor.writeDistributor(0x400 + intid, 1, 0x80n, false);
  return distributor;
}
const setEdge = (distributor: Distributor, intid: number) => {
  const at = 0xc00 + (intid >> 4) * 4;
  const old = distributor.readDistributor(at, 4, false);
  distributor.writeDistributor(at, 4, old | (2n << BigInt((intid & 15) * 2)), false);
};
const setPriority = (distributor: Distributor, intid: number, value: bigint) =>
  distributor.writeDistributor(0x400 + intid, 1, value, false);

const lr = (lists: ListRegisters, n: number): bigint =>
  (BigInt(lists.words[2 * n + 1]!) << 32n) | BigInt(lists.words[2 * n]!);
const stateOf = (lists: ListRegisters, n: number): bigint => ICH_LR.STATE.get(lr(lists, n));
/** What the virtual CPU interface does to a list register. */
const guestSets = (lists: ListRegisters, n: number, state: bigint) => {
  const value = ICH_LR.STATE.set(lr(lists, n), state);
  lists.words[2 * n] = Number(value & 0xffff_ffffn);
  lists.words[2 * n + 1] = Number(value >> 32n);
};

test("an edge goes into a list register and is gone after the guest has taken and ended it", () => {
  const distributor = vgic();
  setEdge(distributor, 40);
  distributor.setSpi(40, true);
  distributor.setSpi(40, false);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(1);
  const value = lr(lists, 0);
  expect(ICH_LR.VINTID.get(value)).toBe(40n);
  expect(ICH_LR.PRIORITY.get(value)).toBe(0x80n);
  expect(ICH_LR.GROUP.get(value)).toBe(1n);
  expect(ICH_LR.HW.get(value)).toBe(0n);
  expect(ICH_LR.EOI.get(value)).toBe(0n);
  expect(stateOf(lists, 0)).toBe(PENDING);
  guestSets(lists, 0, 0n);
  lists.fold(distributor, 0, 0);
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(0);
});

test("an edge that the guest has not taken stays pending; one that came meanwhile merges", () => {
  const distributor = vgic();
  setEdge(distributor, 40);
  distributor.setPending(0, 40, true);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  expect(distributor.isPending(0, 40)).toBe(false); // lives in the list register
  lists.fold(distributor, 0, 0);
  expect(distributor.isPending(0, 40)).toBe(true);
  lists.fill(distributor, 0, 4);
  guestSets(lists, 0, ACTIVE);
  distributor.setPending(0, 40, true);
  lists.fold(distributor, 0, 0);
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(1);
  expect(stateOf(lists, 0)).toBe(PENDING | ACTIVE);
});

test("a level is signalled again for as long as the line is high, and never pending while active", () => {
  const distributor = vgic();
  distributor.setSpi(41, true);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  expect(stateOf(lists, 0)).toBe(PENDING);
  expect(ICH_LR.EOI.get(lr(lists, 0))).toBe(1n);
  guestSets(lists, 0, ACTIVE);
  lists.fold(distributor, 0, 0);
  lists.fill(distributor, 0, 4);
  expect(stateOf(lists, 0)).toBe(ACTIVE);
  guestSets(lists, 0, 0n);
  lists.fold(distributor, 0, 0);
  lists.fill(distributor, 0, 4);
  expect(stateOf(lists, 0)).toBe(PENDING); // the line is still high
  guestSets(lists, 0, 0n);
  distributor.setSpi(41, false);
  lists.fold(distributor, 0, 0);
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(0);
});

test("a level that was made pending by software ends with its acknowledgement", () => {
  const distributor = vgic();
  distributor.setPending(0, 42, true);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  guestSets(lists, 0, ACTIVE);
  lists.fold(distributor, 0, 0);
  expect(distributor.isPending(0, 42)).toBe(false);
  expect(distributor.isActive(0, 42)).toBe(true);
});

test("more pending than list registers: the highest priorities first, and a maintenance interrupt for the rest", () => {
  const distributor = vgic();
  for (let intid = 32; intid < 42; intid++) {
    setEdge(distributor, intid);
    setPriority(distributor, intid, BigInt(0xf0 - 8 * (intid - 32)));
    distributor.setPending(0, intid, true);
  }
  const lists = new ListRegisters();
  const served: number[] = [];
  for (let round = 0; served.length < 10 && round < 10; round++) {
    lists.fill(distributor, 0, 4);
    expect((lists.hcr & UIE) !== 0).toBe(served.length + 4 < 10);
    for (let n = 0; n < lists.used; n++) {
      served.push(lists.words[2 * n]!);
      guestSets(lists, n, 0n);
    }
    lists.fold(distributor, 0, 0);
  }
  expect(served).toEqual([41, 40, 39, 38, 37, 36, 35, 34, 33, 32]);
});

test("active interrupts without a list register are ended by EOIcount, highest priority first", () => {
  const distributor = vgic();
  for (let intid = 32; intid < 38; intid++) {
    setEdge(distributor, intid);
    setPriority(distributor, intid, BigInt(0x40 + 8 * (intid - 32)));
    distributor.setActive(0, intid, true);
  }
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(4);
  expect(lists.hcr & (LRENPIE | TDIR)).toBe(LRENPIE | TDIR);
  lists.fold(distributor, 0, 1);
  expect(distributor.isActive(0, 36)).toBe(false);
  expect(distributor.isActive(0, 37)).toBe(true);
  // What is pending goes before what is active.
  distributor.setPending(0, 50, true);
  lists.fill(distributor, 0, 4);
  expect(lists.words[0]).toBe(50);
});

test("disabled interrupts and disabled groups stay out; what is active stays in", () => {
  const distributor = vgic();
  distributor.setPending(0, 33, true);
  distributor.writeDistributor(0x184, 4, 2n, false);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(0);
  distributor.setActive(0, 33, true);
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(1);
  expect(stateOf(lists, 0)).toBe(ACTIVE);
  lists.fold(distributor, 0, 0);
  distributor.setActive(0, 33, false);
  distributor.writeDistributor(0x104, 4, 2n, false);
  distributor.writeDistributor(0, 4, 0n, false);
  lists.fill(distributor, 0, 4);
  expect(lists.used).toBe(0);
});

test("unused list registers are zero", () => {
  const distributor = vgic();
  distributor.setSpi(41, true);
  const lists = new ListRegisters();
  lists.fill(distributor, 0, 4);
  distributor.setSpi(41, false);
  lists.fold(distributor, 0, 0);
  distributor.deactivate(0, 41);
  lists.fill(distributor, 0, 4);
  expect(lists.words.every((word) => word === 0)).toBe(true);
});
