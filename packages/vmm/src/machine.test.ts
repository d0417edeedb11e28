/**
 * The machine against a stand-in for the Host that records calls and lets a test make any exit. The real Host is in
 * conformance/ and in realmbox's own runs.
 */
import {
  GUEST_CHALLENGE,
  GUEST_EXIT,
  KVM_EXIT,
  type KVM_MEMORY_EXIT_FLAG_PRIVATE,
  KVM_REG,
  KVM_SYSTEM_EVENT,
} from "@realmbox/abi";
import { type Host, type KvmRun, kvmError, type OnExit, type Op, type Vcpu } from "@realmbox/host";
import { describe, expect, test } from "vitest";
import type { VmConfig } from "./config.js";
import { InputQueue } from "./devices/console.js";
import { VirtualMachine, type VmEnd, type VmOptions } from "./machine.js";
import { MiB } from "./memory-map.js";

const PRIVATE: typeof KVM_MEMORY_EXIT_FLAG_PRIVATE = 8n;
const FEATURES0 = (3n << 14n) | (2n << 20n) | (1n << 32n) | 48n;

/** Drives an operation that makes no SMC. */
function drive<T>(op: Op<T>): T {
  const { done, value } = op.next();
  if (!done) throw new Error("the stand-in yields nothing");
  return value;
}

function standIn({ fail }: { fail?: string } = {}) {
  const log: string[] = [];
  const said = (call: string) => {
    log.push(call);
    return fail !== undefined && call.startsWith(fail) ? kvmError("ENXIO", "as the test wants") : undefined;
  };
  // biome-ignore lint/correctness/useYield: operations of the stand-in need no SMC
  function* op(call: string): Op<ReturnType<typeof said>> {
    return said(call);
  }
  const hex = (value: bigint) => `0x${value.toString(16)}`;
  const memory: { address: bigint; bytes: Uint8Array }[] = [];
  const threads: { vcpu: Vcpu; onExit: OnExit; registers: Map<bigint, bigint> }[] = [];
  const vcpuOf = (id: number) => {
    const registers = new Map<bigint, bigint>();
    const vcpu = {
      id,
      started: false,
      run: runOf(),
      armVcpuInit: ({ features }: { features: number[] }) => said(`INIT ${id} 0x${features[0]!.toString(16)}`),
      setOneReg: (reg: bigint, value: bigint) => {
        registers.set(reg, value);
        return said(`SET ${id} ${hex(reg & 0xffffn)}=${hex(value)}`);
      },
      getOneReg: (reg: bigint) => registers.get(reg) ?? 0n,
      armVcpuFinalizeOp: (feature: number) => op(`FINALIZE ${id} ${feature}`),
      setVcpuEvents: (events: object) => said(`EVENTS ${id} ${JSON.stringify(events)}`),
      interrupt: () => said(`INTERRUPT ${id}`),
      start(onExit: OnExit) {
        vcpu.started = true;
        threads.push({ vcpu: vcpu as unknown as Vcpu, onExit, registers });
        return said(`START ${id}`);
      },
    };
    return vcpu;
  };
  const vcpus: ReturnType<typeof vcpuOf>[] = [];
  const vm = {
    vcpus,
    configRealm: (config: { cfg: number; hash_algo?: number }) =>
      said(`CONFIG ${config.cfg} ${config.hash_algo ?? "rpv"}`),
    createRealmOp: () => op("CREATE_REALM"),
    createDevice: (type: number) =>
      said(`DEVICE ${type}`) ?? {
        setDeviceAttr: (group: number, attr: bigint, value?: Uint8Array) =>
          said(`ATTR ${group} ${attr} ${value ? hex(value.reduceRight((n, b) => (n << 8n) | BigInt(b), 0n)) : "-"}`),
      },
    setUserMemoryRegion: (r: {
      flags?: number;
      guest_phys_addr: bigint;
      memory_size: bigint;
      userspace_addr: bigint;
    }) => said(`REGION ${r.flags ?? 0} ${hex(r.guest_phys_addr)} ${hex(r.memory_size)} ${hex(r.userspace_addr)}`),
    setMemoryAttributesOp: (r: { address: bigint; size: bigint; attributes: bigint }) =>
      op(`ATTRIBUTES ${hex(r.address)} ${hex(r.size)} ${r.attributes}`),
    initRipasRealmOp: (r: { base: bigint; size: bigint }) => op(`INIT_RIPAS ${hex(r.base)} ${hex(r.size)}`),
    populateRealmOp: (r: { base: bigint; size: bigint; flags?: number }) =>
      op(`POPULATE ${hex(r.base)} ${hex(r.size)} ${r.flags}`),
    activateRealmOp: () => op("ACTIVATE"),
    createVcpu: (id: number) => {
      vcpus.push(vcpuOf(id));
      return said(`VCPU ${id}`) ?? vcpus.at(-1);
    },
    preferredTarget: () => ({ target: 5, features: [0] }),
    setDeviceAttr: (group: number, attr: bigint) => said(`FILTER ${group} ${attr}`),
    irqLine: (irq: number, level: boolean) => said(`IRQ 0x${irq.toString(16)} ${level}`),
  };
  const process = {
    openKvm: () =>
      said("OPEN kvm") ?? { getApiVersion: () => 12, createVm: (type: bigint) => said(`CREATE_VM ${hex(type)}`) ?? vm },
    openRme: () =>
      said("OPEN rme") ?? {
        createSpace: (size: bigint) =>
          said(`SPACE ${hex(size)}`) ?? {
            userspace_addr: 0x7000_0000n,
            guest_memfd: { punchHoleOp: (at: bigint, size: bigint) => op(`PUNCH ${hex(at)} ${hex(size)}`) },
          },
      },
    mmap: (size: bigint) => said(`MMAP ${hex(size)}`) ?? 0x4000_0000n,
    write: (address: bigint, bytes: Uint8Array) => {
      memory.push({ address, bytes });
      return said(`WRITE ${hex(address)} ${bytes.length}`);
    },
    dontNeed: (address: bigint, size: bigint) => said(`DONTNEED ${hex(address)} ${hex(size)}`),
    exitOp: () => op("EXIT"),
  };
  const host = {
    rmm: { version: 0x1_0000n, features0: FEATURES0 },
    process: () => process,
    findProcess: () => process,
    vms: () => [vm],
    call: drive,
  } as unknown as Host;
  return { host, log, memory, threads };
}

function runOf(): KvmRun {
  return {
    immediate_exit: false,
    error: undefined,
    exit_reason: 0,
    mmio: { phys_addr: 0n, data: new Uint8Array(8), len: 0, is_write: false },
    hypercall: { nr: 0n, flags: 0n, imm: 0 },
    system_event: { type: 0, ndata: 0, data: new BigUint64Array(16) },
    memory_fault: { flags: 0n, gpa: 0n, size: 0n },
    arm_nisv: { esr_iss: 0n, fault_ipa: 0n },
    fail_entry: { hardware_entry_failure_reason: 0n, cpu: 0 },
    internal: { suberror: 0, data: new BigUint64Array(16) },
  };
}

const KERNEL = Uint8Array.of(1, 2, 3, 4);
function machineOn(host: Host, config: Partial<VmConfig> = {}, options: Partial<VmOptions> = {}): VirtualMachine {
  const all = { consoleOutput: () => {}, now: () => 0, ...options };
  const made = VirtualMachine.configure(host, { kernel: KERNEL, memory: 32n * MiB, nodefaults: true, ...config }, all);
  if (!made.ok) throw new Error(made.error.message);
  return made.value;
}
function started(config: Partial<VmConfig> = {}, options: Partial<VmOptions> = {}) {
  const fake = standIn();
  const ends: VmEnd[] = [];
  const machine = machineOn(fake.host, config, { ...options, onEnd: (end) => ends.push(end) });
  expect(machine.build()).toMatchObject({ ok: true });
  expect(machine.start()).toMatchObject({ ok: true });
  fake.log.length = 0;
  /** Makes vCPU `n` return from KVM_RUN; gives what the thread does next. */
  const exit = (reason: number, change: (run: KvmRun) => void = () => {}, n = 0): "run" | "stop" => {
    const { vcpu, onExit } = fake.threads[n]!;
    vcpu.run.error = undefined;
    vcpu.run.exit_reason = reason;
    change(vcpu.run);
    const next = onExit(vcpu, vcpu.run);
    return typeof next === "string" ? next : drive(next);
  };
  const mmio = (address: bigint, write?: readonly number[], len = 1) => {
    let data: Uint8Array = new Uint8Array();
    const next = exit(KVM_EXIT.MMIO, ({ mmio }) => {
      mmio.phys_addr = address;
      mmio.is_write = write !== undefined;
      mmio.len = write?.length ?? len;
      mmio.data.fill(0xee);
      mmio.data.set(write ?? []);
      data = mmio.data;
    });
    return { next, data: [...data.subarray(0, write?.length ?? len)] };
  };
  return { ...fake, machine, ends, exit, mmio };
}

describe("construction", () => {
  test("of a normal VM", () => {
    const { host, log, memory } = standIn();
    const machine = machineOn(host, { cpus: 2, initrd: Uint8Array.of(9) });
    expect(machine.build().ok && machine.start().ok).toBe(true);
    expect(log).toEqual([
      ...["OPEN kvm", "CREATE_VM 0x20", "DEVICE 7", "ATTR 0 2 0x3fff0000", "ATTR 0 3 0x3ffb0000", "ATTR 3 0 0x40"],
      ...["MMAP 0x2000000", "REGION 0 0x80000000 0x2000000 0x40000000"],
      ...["WRITE 0x40080000 4", "WRITE 0x41dffffc 1", "WRITE 0x41e00000 65536"],
      ...["VCPU 0", "INIT 0 0x4", "SET 0 0x42=0x3c5", "SET 0 0x2=0x0", "SET 0 0x4=0x0", "SET 0 0x6=0x0"],
      ...["SET 0 0x0=0x81e00000", "SET 0 0x40=0x80080000"],
      ...["VCPU 1", "INIT 1 0x5", "SET 1 0x42=0x3c5", "SET 1 0x2=0x0", "SET 1 0x4=0x0", "SET 1 0x6=0x0"],
      ...["FILTER 0 0", "ATTR 4 0 -", "START 0", "START 1"],
    ]);
    expect(memory[0]!.bytes).toEqual(KERNEL);
  });
  test("of a realm: the plan, in its order", () => {
    const { host, log } = standIn();
    const steps: string[] = [];
    const machine = machineOn(
      host,
      { cpus: 2, realm: true, measurementAlgorithm: "sha512" },
      { onStep: ({ name }) => steps.push(name) },
    );
    expect(machine.plan?.parameters).toMatchObject({ numBps: 3, numWps: 2 });
    expect(machine.build().ok && machine.start().ok).toBe(true);
    expect(log).toEqual([
      ...["OPEN kvm", "CREATE_VM 0x121", "CONFIG 1 1", "CONFIG 0 rpv", "CREATE_REALM"],
      ...["DEVICE 7", "ATTR 0 2 0x3fff0000", "ATTR 0 3 0x3ffb0000", "ATTR 3 0 0x40"],
      ...[
        "OPEN rme",
        "SPACE 0x2000000",
        "REGION 4 0x80000000 0x2000000 0x70000000",
        "ATTRIBUTES 0x80000000 0x2000000 8",
      ],
      ...["WRITE 0x70080000 4", "WRITE 0x71e00000 65536"],
      "INIT_RIPAS 0x80000000 0x2000000",
      ...["POPULATE 0x80080000 0x1000 1", "DONTNEED 0x70080000 0x1000"],
      ...["POPULATE 0x81e00000 0x10000 1", "DONTNEED 0x71e00000 0x10000"],
      ...["VCPU 0", "INIT 0 0x204", "SET 0 0x2=0x0", "SET 0 0x4=0x0", "SET 0 0x6=0x0"],
      ...["SET 0 0x0=0x81e00000", "SET 0 0x40=0x80080000", "FINALIZE 0 9"],
      ...["VCPU 1", "INIT 1 0x205", "SET 1 0x2=0x0", "SET 1 0x4=0x0", "SET 1 0x6=0x0", "FINALIZE 1 9"],
      ...["FILTER 0 0", "ATTR 4 0 -", "ACTIVATE", "START 0", "START 1"],
    ]);
    expect(steps).toContain("ACTIVATE_REALM");
  });
  test.each(["CREATE_VM", "CREATE_REALM", "SPACE", "POPULATE", "FINALIZE 1", "ACTIVATE"])(
    "%s refused: a value that names the call, and everything is given back",
    (fail) => {
      const { host, log } = standIn({ fail });
      const result = machineOn(host, { realm: true, cpus: 2 }).build();
      expect(result).toMatchObject({ ok: false, error: { kind: "host-refused" } });
      expect(!result.ok && result.error.message).toMatch(/: ENXIO \(as the test wants\)$/);
      expect(log.at(-1)).toBe("EXIT");
    },
  );
  test("a realm needs an RMM", () => {
    const { host } = standIn();
    const options = { consoleOutput: () => {}, now: () => 0 };
    const without = { ...host, rmm: undefined } as Host;
    const result = VirtualMachine.configure(without, { kernel: KERNEL, realm: true }, options);
    expect(result).toMatchObject({ ok: false, error: { kind: "host-refused" } });
    expect(VirtualMachine.configure(without, { kernel: KERNEL }, options).ok).toBe(true);
  });
  test("close gives everything back, once", () => {
    const { machine, log } = started();
    expect(machine.close().ok && machine.close().ok).toBe(true);
    expect(log).toEqual(["EXIT"]);
  });
});

describe("MMIO", () => {
  test("console: output byte by byte, input on demand, the line of UART 0", () => {
    const output: number[] = [];
    const input = new InputQueue();
    input.push(Uint8Array.of(0x41));
    const { log, mmio, machine } = started({}, { consoleOutput: (byte) => output.push(byte), consoleInput: input });
    mmio(0x0100_0000n, [0x68]);
    mmio(0x0100_1000n, [0x69]); // UART 1: nobody there
    expect(output).toEqual([0x68]);
    expect(mmio(0x0100_0005n).data).toEqual([0x61]);
    mmio(0x0100_0001n, [1]);
    expect(log).toEqual(["IRQ 0x1000020 true"]);
    expect(mmio(0x0100_0000n, undefined, 4).data).toEqual([0x41, 0, 0, 0]);
    expect(log).toEqual(["IRQ 0x1000020 true", "IRQ 0x1000020 false"]);
    input.push(Uint8Array.of(0x42));
    machine.consoleInputArrived();
    expect(log).toHaveLength(3);
    expect(machine.counters).toMatchObject({ mmioReads: 2, mmioWrites: 3, unclaimed: 0 });
  });
  test("clock and PCI answer", () => {
    const { mmio } = started({}, { now: () => Date.parse("2026-01-02T03:04:05Z") });
    mmio(0x0101_0000n, [7]);
    expect(mmio(0x0101_0001n).data).toEqual([2]);
    expect(mmio(0x4000_0000n, undefined, 4).data).toEqual([255, 255, 255, 255]);
    expect(mmio(0x4000_0000n, [1, 2]).next).toBe("run");
  });
  test("unclaimed: zero in a normal VM, an external abort in a realm", () => {
    const normal = started();
    expect(normal.mmio(0x0900_0000n, undefined, 8)).toEqual({ next: "run", data: Array(8).fill(0) });
    expect(normal.log).toEqual([]);
    const realm = started({ realm: true });
    realm.mmio(0x0900_0000n);
    realm.mmio(0x0100_0006n, [1, 2, 3, 4]); // runs over the UART's end
    expect(realm.log).toEqual(Array(2).fill('EVENTS 0 {"ext_dabt_pending":true}'));
    expect(realm.machine.counters.unclaimed).toBe(2);
  });
});

describe("ends", () => {
  const hypercall =
    (nr: bigint, imm = 0) =>
    (run: KvmRun) => {
      run.hypercall.nr = nr;
      run.hypercall.imm = imm;
    };
  const event = (type: number) => (run: KvmRun) => {
    run.system_event.type = type;
  };
  test.each([
    ["shutdown", KVM_SYSTEM_EVENT.SHUTDOWN, { kind: "shutdown" }],
    ["reset", KVM_SYSTEM_EVENT.RESET, { kind: "reset" }],
    ["crash", KVM_SYSTEM_EVENT.CRASH, { kind: "crash", why: "the guest reported a crash" }],
  ])("system event %s", (_, type, end) => {
    const { exit, ends, log } = started({ cpus: 2 });
    expect(exit(KVM_EXIT.SYSTEM_EVENT, event(type))).toBe("stop");
    expect(ends).toEqual([end]);
    expect(log).toEqual(["INTERRUPT 0", "INTERRUPT 1"]);
    expect(exit(KVM_EXIT.INTR, () => {}, 1)).toBe("stop");
  });
  test.each([
    [0n, { kind: "exit", status: 0 }],
    [123n, { kind: "exit", status: 123 }],
    [124n, { kind: "crash" }],
    [0xffff_ffff_ffff_ffffn, { kind: "crash" }],
  ])("exit status %d", (status, end) => {
    const { exit, ends, threads } = started();
    threads[0]!.registers.set(KVM_REG.x(1), status);
    expect(exit(KVM_EXIT.HYPERCALL, hypercall(GUEST_EXIT))).toBe("stop");
    expect(ends).toMatchObject([end]);
  });
  test("a challenge is no end", () => {
    const { exit, threads, machine } = started({}, { challenge: Uint8Array.of(5) });
    expect(exit(KVM_EXIT.HYPERCALL, hypercall(GUEST_CHALLENGE))).toBe("run");
    expect(threads[0]!.registers.get(KVM_REG.x(1))).toBe(5n);
    expect(machine.end).toBeUndefined();
  });
  test("from outside, once", () => {
    const { machine, ends } = started();
    machine.stop("timeout");
    machine.stop("again");
    expect(ends).toEqual([{ kind: "stopped", why: "timeout" }]);
  });
  test("what KVM cannot go on with", () => {
    const failed = started();
    expect(failed.exit(KVM_EXIT.UNKNOWN, (run) => (run.error = kvmError("ENXIO", "no")))).toBe("stop");
    expect(failed.ends).toEqual([{ kind: "host-error", why: "KVM_RUN failed: ENXIO (no)" }]);
    const strange = started();
    strange.exit(KVM_EXIT.FAIL_ENTRY, (run) => (run.fail_entry.hardware_entry_failure_reason = 3n));
    expect(strange.ends).toEqual([{ kind: "host-error", why: "KVM_RUN ended with KVM_EXIT_FAIL_ENTRY, reason 0x3" }]);
  });
  test("a signal that ends nothing", () => {
    const { exit, ends } = started();
    expect(exit(KVM_EXIT.INTR, (run) => (run.error = kvmError("EINTR", "signal")))).toBe("run");
    expect(ends).toEqual([]);
  });
});

describe("memory conversion", () => {
  const fault = (gpa: bigint, size: bigint, flags: bigint) => (run: KvmRun) => {
    run.error = kvmError("EFAULT", "memory fault");
    Object.assign(run.memory_fault, { gpa, size, flags });
  };
  test("inside RAM: the attribute follows the guest's wish", () => {
    const { exit, log, machine } = started({ realm: true });
    expect(exit(KVM_EXIT.MEMORY_FAULT, fault(0x8010_0000n, 0x3000n, 0n))).toBe("run");
    expect(exit(KVM_EXIT.MEMORY_FAULT, fault(0x8010_0000n, 0x1000n, PRIVATE))).toBe("run");
    expect(log).toEqual(["ATTRIBUTES 0x80100000 0x3000 0", "ATTRIBUTES 0x80100000 0x1000 8"]);
    expect(machine.counters.conversions).toBe(4);
  });
  test("what lies outside RAM is left out", () => {
    const { exit, log } = started({ realm: true });
    expect(exit(KVM_EXIT.MEMORY_FAULT, fault(0x7fff_0000n, 0x1_2000n, PRIVATE))).toBe("run");
    expect(log).toEqual(["ATTRIBUTES 0x80000000 0x2000 8"]);
  });
  test("nothing in RAM: nothing is done, and the Host rejects it", () => {
    const { exit, log } = started({ realm: true });
    expect(exit(KVM_EXIT.MEMORY_FAULT, fault(0x0100_0000n, 0x1000n, PRIVATE))).toBe("run");
    expect(log).toEqual([]);
  });
  test("content that is gone ends the machine", () => {
    const { exit, ends } = started({ realm: true });
    const poisoned = (run: KvmRun) => {
      fault(0x8010_0000n, 0x1000n, PRIVATE)(run);
      run.error = kvmError("EHWPOISON", "DESTROYED");
    };
    expect(exit(KVM_EXIT.MEMORY_FAULT, poisoned)).toBe("stop");
    expect(ends).toMatchObject([{ kind: "crash" }]);
  });
});

test("state goes into another machine of the same configuration", () => {
  const input = () => {
    const queue = new InputQueue();
    queue.push(Uint8Array.of(1, 2, 3));
    return queue;
  };
  const first = started({ realm: true }, { consoleInput: input() });
  first.mmio(0x0100_0003n, [0x1b]);
  first.mmio(0x0100_0000n);
  first.mmio(0x0101_0000n, [0x0b]);
  const data = JSON.parse(JSON.stringify(first.machine.save()));

  const second = standIn();
  const machine = machineOn(second.host, { realm: true }, { consoleInput: input() });
  machine.restore(data);
  expect(machine.save()).toEqual(data);
  expect(machine.built).toBeDefined();
});
