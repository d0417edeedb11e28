/**
 * Guests on the whole stack: real machine, Root Monitor, RMM and Host. What the VMM planned is what the RMM measured.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { RimCalculator } from "../../attest/src/measurement.js";
import { makeStack } from "../../host/src/stack.oracle.js";
import { portableCrypto } from "../../realmbox/src/crypto/portable.js";
import type { VmConfig } from "./config.js";
import { VirtualMachine } from "./machine.js";
import { MiB } from "./memory-map.js";
import { rimEvents } from "./realm/plan.js";

const prebuilt = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../guests/prebuilt/${name}`, import.meta.url))));

function runGuest(config: VmConfig) {
  const { machine, host } = makeStack({ dramMiB: 128 });
  const before = host.pages;
  let output = "";
  const made = VirtualMachine.configure(host, config, {
    consoleOutput: (byte) => {
      output += String.fromCharCode(byte);
    },
    now: () => 0,
    challenge: new Uint8Array(64).fill(0x5a),
    onEnd: () => machine.stop("the guest ended"),
  });
  if (!made.ok) throw new Error(made.error.message);
  const vm = made.value;
  expect(vm.build()).toEqual({ ok: true, value: undefined });
  expect(vm.start()).toEqual({ ok: true, value: undefined });
  const ended = machine.run({ instructions: 200_000_000 });
  const result = { vm, output, ended, end: vm.end, token: vm.token };
  expect(vm.close()).toEqual({ ok: true, value: undefined });
  expect(host.pages).toEqual(before);
  return result;
}

describe("hello", () => {
  test("as a normal VM", () => {
    const { output, end } = runGuest({ kernel: prebuilt("hello.bin"), memory: 32n * MiB });
    expect(output).toContain("normal VM");
    expect(end).toEqual({ kind: "exit", status: 0 });
  });
  test.each(["hello.bin", "hello.elf"])("%s as a realm; its RIM is the plan's", (image) => {
    const { vm, output, end, token } = runGuest({ kernel: prebuilt(image), memory: 32n * MiB, realm: true });
    expect(output).toContain("realm");
    expect(end).toEqual({ kind: "exit", status: 0 });
    let rim: RimCalculator | undefined;
    for (const event of rimEvents(vm.plan!)) {
      if (event.kind === "realm-create") rim = new RimCalculator(portableCrypto, event.parameters);
      else if (event.kind === "init-ripas") rim!.ripas(event.base, event.top);
      else if (event.kind === "data-create") rim!.data(event.ipa, event.flags, event.content);
      else rim!.rec(event.flags, event.pc, event.gprs);
    }
    expect(Buffer.from(token!).includes(rim!.value())).toBe(true);
  });
});
