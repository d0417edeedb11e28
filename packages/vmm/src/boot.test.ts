/**
 * Guests on the whole stack: real machine, Root Monitor, RMM and Host. What the VMM planned is what the RMM measured.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { RimCalculator } from "../../attest/src/measurement.js";
import { makeStack } from "../../host/src/stack.oracle.js";
import { portableCrypto } from "../../realmbox/src/crypto/portable.js";
import type { VmConfig } from "./config.js";
import { InputQueue } from "./devices/console.js";
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
  const result = { vm, output, ended, end: vm.end, token: vm.token, now: machine.now };
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
    expect(Buffer.from(token!).includes(Buffer.from(rim!.value()))).toBe(true);
  });
});

test.each([false, true])("four vCPUs, realm %j", (realm) => {
  const { output, end } = runGuest({ kernel: prebuilt("smp.bin"), memory: 32n * MiB, realm, cpus: 4 });
  expect({ end, output }).toMatchObject({ end: { kind: "exit", status: 0 } });
});

describe("a guest that writes garbage to every device register", () => {
  const config = { kernel: prebuilt("hostile.bin"), memory: 32n * MiB, nodefaults: true };
  test.each([
    { realm: false, seed: 1 },
    { realm: true, seed: 2 },
  ])("$realm, seed $seed", ({ realm, seed }) => {
    const { vm, end } = runGuest({ ...config, realm, params: `hostile case=devices seed=${seed} n=300` });
    expect(end).toEqual({ kind: "exit", status: 0 });
    expect(vm.counters.unclaimed).toBeGreaterThan(0);
  });
  test("a pair of registers in a normal VM has no syndrome: the guest's own fault", () => {
    const { end } = runGuest({ ...config, params: "hostile case=devices seed=2 n=300 pairs=1" });
    expect(end).toMatchObject({ kind: "crash" });
  });
});

describe("a stock compiler's program", () => {
  const gcc = "aarch64-linux-gnu-gcc";
  /** Writes "ok" to the UART (in a realm: in the unprotected half), then PSCI SYSTEM_OFF by the machine's conduit. */
  const source = (realm: boolean) => `
    .globl _start
    _start:
      ldr x1, =${realm ? "0x101000000" : "0x1000000"}
      mov w2, #'o'
      strb w2, [x1]
      mov w2, #'k'
      strb w2, [x1]
      ldr w0, =0x84000008
      ${realm ? "smc" : "hvc"} #0
      b .
  `;
  test.skipIf(spawnSync(gcc, ["--version"]).status !== 0).each([
    { format: "elf", realm: true },
    { format: "bin", realm: true },
    { format: "elf", realm: false },
    { format: "bin", realm: false },
  ])("as $format, realm $realm", ({ format, realm }) => {
    const dir = mkdtempSync(join(tmpdir(), "vmm-boot-"));
    try {
      writeFileSync(join(dir, "a.S"), source(realm));
      const buildId = format === "bin" ? ["-Wl,--build-id=none"] : [];
      const flags = ["-nostdlib", "-static", "-Wl,-Ttext=0x80080000", ...buildId];
      execFileSync(gcc, [...flags, "-o", join(dir, "a.elf"), join(dir, "a.S")]);
      execFileSync("aarch64-linux-gnu-objcopy", ["-O", "binary", join(dir, "a.elf"), join(dir, "a.bin")]);
      const kernel = new Uint8Array(readFileSync(join(dir, `a.${format}`)));
      const config = { kernel, memory: 16n * MiB, realm };
      const first = runGuest(config);
      expect([first.output, first.end]).toEqual(["ok", { kind: "shutdown" }]);
      const second = runGuest(config);
      expect(second.now).toBe(first.now);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

test("a console's input is read on demand, also when it comes late", () => {
  const { machine, host } = makeStack({ dramMiB: 64 });
  // Reads bytes from UART 0 until one is 0x04, adds 1 and sends it back; then PSCI SYSTEM_OFF.
  const code = [
    0xd2a02001, // mov x1, #0x1000000
    0x39401422, // 1: ldrb w2, [x1, #5]
    0x3607ffe2, // tbz w2, #0, 1b
    0x39400022, // ldrb w2, [x1]
    0x7100105f, // cmp w2, #4
    0x54000080, // b.eq 2f
    0x11000442, // add w2, w2, #1
    0x39000022, // strb w2, [x1]
    0x17fffff9, // b 1b
    0x52800100, // 2: mov w0, #8
    0x72b08000, // movk w0, #0x8400, lsl #16
    0xd4000002, // hvc #0
  ];
  const input = new InputQueue();
  input.push(Uint8Array.of(0x40));
  let output = "";
  const made = VirtualMachine.configure(
    host,
    { kernel: new Uint8Array(Uint32Array.from(code).buffer), memory: 16n * MiB },
    {
      consoleOutput: (byte) => {
        output += String.fromCharCode(byte);
      },
      consoleInput: input,
      now: () => 0,
      onEnd: () => machine.stop("the guest ended"),
    },
  );
  if (!made.ok) throw new Error(made.error.message);
  made.value.build();
  made.value.start();
  expect(machine.run({ instructions: 100_000 }).kind).toBe("limit");
  expect(output).toBe("A");
  input.push(Uint8Array.of(0x41, 0x04));
  made.value.consoleInputArrived();
  expect(machine.run({ instructions: 100_000 }).kind).toBe("stopped");
  expect([output, made.value.end]).toEqual(["AB", { kind: "shutdown" }]);
});
