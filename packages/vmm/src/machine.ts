/**
 * A virtual machine from configuration to teardown: builds it, serves its vCPUs' exits, ends it. What kvmtool does in
 * kvm-cpu.c ("kvm_cpu__start") and kvm.c, on the Host's typed KVM calls.
 *
 * | Exit | Served by |
 * | --- | --- |
 * | MMIO | the devices; unclaimed: a normal VM reads zero, a realm gets an external abort (RMI inject_sea) |
 * | HYPERCALL | the guest's channel |
 * | MEMORY_FAULT | conversion between private and shared: every request inside RAM is accepted, the rest left to be refused |
 * | SYSTEM_EVENT | the machine ends; a reset is no reboot, as in kvmtool |
 * | SHUTDOWN | the realm is off already: the vCPU's thread ends |
 * | anything else | the machine ends with the Host's reason |
 */
import {
  invariant,
  KVM_ARM_IRQ_TYPE_SPI,
  KVM_EXIT,
  KVM_EXIT_NAMES,
  KVM_IRQ_LINE_FIELD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_MEMORY_EXIT_FLAG_PRIVATE,
  KVM_REG,
  KVM_SYSTEM_EVENT,
  type Trace,
} from "@realmbox/abi";
import {
  type Host,
  isKvmError,
  type KvmError,
  type KvmRun,
  type OnExit,
  type Op,
  type Process,
  type Vcpu,
} from "@realmbox/host";
import { type BuildStep, type BuiltMachine, buildMachine } from "./build.js";
import { type MachineContent, machineContent, type VmConfig } from "./config.js";
import { MmioBus } from "./devices/bus.js";
import { type ConsoleInput, type ConsoleReceiver, NO_INPUT } from "./devices/console.js";
import { Mc146818, type Mc146818State } from "./devices/mc146818.js";
import { Ns16550, type Ns16550State } from "./devices/ns16550.js";
import { EmptyPciEcam } from "./devices/pci-ecam.js";
import { failure, type Result, success, type VmmError } from "./error.js";
import { EXIT_STATUS_MAX, GuestChannel, type GuestChannelState, type Registers } from "./guest-channel.js";
import type { GuestRam } from "./guest-ram.js";
import { UART_COUNT, uartBase, uartIntid } from "./memory-map.js";
import { planRealm, type RealmPlan, realmPlatform } from "./realm/plan.js";

import type { ConsoleSize } from "./virtio/console.js";
import { VirtioDevices, type VirtioDevicesState } from "./virtio/devices.js";

/** What surrounds the machine. */
export interface VmOptions {
  /** Name of the VMM's process on the Host, unique among them; default "lkvm". */
  readonly name?: string;
  /** A byte that the guest wrote to UART 0, or to the virtio console. */
  readonly consoleOutput: (byte: number) => void;
  /** What the console receives: UART 0, or the virtio console when there is one. */
  readonly consoleInput?: ConsoleInput;
  /** The guest's real time: milliseconds since 1970-01-01 UTC. A start date plus the machine's counter is deterministic. */
  readonly now: () => number;
  /** What GUEST_CHALLENGE gives; at most 64 bytes. Without it the call is refused. */
  readonly challenge?: Uint8Array;
  /** Fills an array with what the entropy device gives; deterministic, as everything else. Needed with `rng`. */
  readonly random?: (into: Uint8Array) => void;
  /** Where the devices' events go. */
  readonly trace?: Trace;
  /** A step of the construction was done. */
  readonly onStep?: (step: BuildStep) => void;
  /** A vCPU came out to the VMM: a place to look at the time. */
  readonly onExit?: () => void;
  /** The machine ended; its vCPUs stop. Called once. */
  readonly onEnd?: (end: VmEnd) => void;
}

/** How a machine ended. */
export type VmEnd =
  /** The guest reported its exit status, 0 to 123. */
  | { readonly kind: "exit"; readonly status: number }
  /** PSCI SYSTEM_OFF. */
  | { readonly kind: "shutdown" }
  /** PSCI SYSTEM_RESET: not a reboot. */
  | { readonly kind: "reset" }
  /** The guest did what ends it. */
  | { readonly kind: "crash"; readonly why: string }
  /** The Host could not go on. */
  | { readonly kind: "host-error"; readonly why: string }
  /** `stop` was called. */
  | { readonly kind: "stopped"; readonly why: string };

/** Events served since the start. */
export interface VmCounters {
  mmioReads: number;
  mmioWrites: number;
  /** MMIO accesses that no device claims. */
  unclaimed: number;
  hypercalls: number;
  /** Granules that changed between private and shared. */
  conversions: number;
}

interface VmSnapshot {
  readonly uarts: readonly Ns16550State[];
  readonly rtc: Mc146818State;
  readonly channel: GuestChannelState;
  readonly counters: VmCounters;
  readonly virtio: VirtioDevicesState;
  readonly inputTaken: number;
  readonly end: VmEnd | null;
  readonly memory: string | null;
}

const GRANULE = 4096n;

export class VirtualMachine {
  /** The name under which a snapshot stores this part. */
  readonly name: string;
  readonly content: MachineContent;
  /** How the realm is built and measured; undefined for a normal VM. */
  readonly plan: RealmPlan | undefined;
  readonly counters: VmCounters = { mmioReads: 0, mmioWrites: 0, unclaimed: 0, hypercalls: 0, conversions: 0 };
  readonly #host: Host;
  readonly #options: VmOptions;
  readonly #processName: string;
  readonly #bus = new MmioBus();
  readonly #uarts: readonly Ns16550[];
  readonly #rtc: Mc146818;
  readonly #virtio: VirtioDevices;
  readonly #channel: GuestChannel;
  #process: Process | undefined;
  #built: BuiltMachine | undefined;
  #inputTaken = 0;
  #end: VmEnd | undefined;

  private constructor(host: Host, content: MachineContent, options: VmOptions) {
    this.#host = host;
    this.#options = options;
    this.content = content;
    this.#processName = options.name ?? "lkvm";
    this.name = `vmm:${this.#processName}`;
    if (content.realm && host.rmm !== undefined) this.plan = planRealm(content, realmPlatform(host.rmm.features0));
    this.#channel = new GuestChannel(options.challenge);
    const input = this.#consoleInput();
    const isSerial = content.console === "serial";
    this.#uarts = Array.from({ length: UART_COUNT }, (_, index) =>
      this.#uart(index, isSerial && index === 0 ? input : NO_INPUT),
    );
    this.#rtc = new Mc146818(options.now);
    this.#virtio = new VirtioDevices({
      devices: content.virtio,
      transport: content.virtioTransport,
      ram: content.ram,
      ipaBits: content.ipaBits,
      realm: content.realm,
      consoleOutput: options.consoleOutput,
      consoleInput: input,
      random: options.random,
      trace: options.trace,
    });
    const devices = [...this.#uarts, this.#rtc, ...this.#virtio.transports, new EmptyPciEcam()];
    for (const device of devices) this.#bus.add(device);
  }

  /** Checks a configuration; nothing is built yet. */
  static configure(host: Host, config: VmConfig, options: VmOptions): Result<VirtualMachine> {
    const content = machineContent(config);
    if (!content.ok) return content;
    if (content.value.realm && host.rmm === undefined) {
      return failure("host-refused", "the machine has no Realm Management Monitor", "run it as a normal VM");
    }
    return success(new VirtualMachine(host, content.value, options));
  }

  /** How the machine ended; undefined while it runs. */
  get end(): VmEnd | undefined {
    return this.#end;
  }

  /** The token that the guest handed over, once it is complete. */
  get token(): Uint8Array | undefined {
    return this.#channel.token;
  }

  /** The built machine's Host objects, for tools and tests; undefined before `build` and after `close`. */
  get built(): BuiltMachine | undefined {
    return this.#built;
  }

  /** The VMM's process on the Host. */
  get process(): Process | undefined {
    return this.#process;
  }

  /** Creates the VM, loads it and makes it ready to run. Runs the machine for as long as the Host needs. */
  build(): Result<undefined> {
    const { onStep } = this.#options;
    this.#process = this.#host.process(this.#processName);
    const built = this.#host.call(
      buildMachine({
        process: this.#process,
        content: this.content,
        plan: this.plan,
        ...(onStep === undefined ? {} : { onStep }),
      }),
    );
    if (isKvmError(built)) return refused("building the machine", built);
    if (!built.ok) return built;
    this.#built = built.value;
    this.#virtio.attach(this.#process, built.value.vm, built.value.memory.address);
    return success(undefined);
  }

  /** Starts a thread for each vCPU; the guest runs when the physical machine does. */
  start(): Result<undefined> {
    invariant(this.#built !== undefined, "start before build");
    for (const vcpu of this.#built.vcpus) {
      const error = vcpu.start(this.#onExit);
      if (error !== undefined) return refused(`starting vCPU ${vcpu.id}`, error);
    }
    return success(undefined);
  }

  /** Ends the machine from outside; its vCPUs stop as soon as they run. */
  stop(why: string): void {
    this.#finish({ kind: "stopped", why });
  }

  /** The guest's end of the console. */
  get consoleReceiver(): ConsoleReceiver {
    return this.#virtio.console ?? this.#uarts[0]!;
  }

  /** The guest's memory as the devices have it: what they read and wrote. */
  get guestRam(): GuestRam {
    return this.#virtio.ram;
  }

  /** The terminal has another size: the virtio console's driver is told; without one nobody is. */
  setConsoleSize(size: ConsoleSize): void {
    this.#virtio.console?.setSize(size);
  }

  /** The console's source has bytes: an interrupt may be due. */
  consoleInputArrived(): void {
    this.consoleReceiver.inputArrived();
  }

  /** Tears the VM down and gives every page back. */
  close(): Result<undefined> {
    if (this.#process === undefined) return success(undefined);
    const error = this.#host.call(this.#process.exitOp());
    if (error !== undefined) return refused("closing the machine", error);
    this.#process = undefined;
    this.#built = undefined;
    return success(undefined);
  }

  /** Plain data for a snapshot; what the Host and the memory hold is theirs to save. */
  save(): unknown {
    const snapshot: VmSnapshot = {
      uarts: this.#uarts.map(({ state }) => state),
      rtc: this.#rtc.state,
      channel: this.#channel.state,
      counters: { ...this.counters },
      virtio: this.#virtio.state,
      inputTaken: this.#inputTaken,
      end: this.#end ?? null,
      memory: this.#built === undefined ? null : `0x${this.#built.memory.address.toString(16)}`,
    };
    return snapshot;
  }

  /**
   * Takes over a snapshot's state, after the Host has taken over its own; the machine must be of the same configuration,
   * its console input at the beginning. Threads that ran go on.
   */
  restore(data: unknown): void {
    const snapshot = data as VmSnapshot;
    for (const [i, uart] of this.#uarts.entries()) uart.state = snapshot.uarts[i]!;
    this.#rtc.state = snapshot.rtc;
    this.#channel.state = snapshot.channel;
    Object.assign(this.counters, snapshot.counters);
    this.#virtio.state = snapshot.virtio;
    while (this.#inputTaken < snapshot.inputTaken) if (this.#takeInput() === undefined) break;
    this.#end = snapshot.end ?? undefined;
    if (snapshot.memory === null) return;
    this.#process = this.#host.findProcess(this.#processName);
    invariant(this.#process !== undefined, "the snapshot's Host lacks the VMM's process", this.#processName);
    const vm = this.#host.vms(this.#process)[0];
    invariant(vm !== undefined, "the snapshot's Host lacks the VM", this.#processName);
    this.#built = { vm, vcpus: vm.vcpus, memory: { address: BigInt(snapshot.memory) } };
    this.#virtio.attach(this.#process, vm, this.#built.memory.address);
    for (const vcpu of vm.vcpus) if (vcpu.started) vcpu.start(this.#onExit);
  }

  readonly #onExit: OnExit = (vcpu, run) => {
    if (this.#end !== undefined) return "stop";
    this.#options.onExit?.();
    if (run.exit_reason === KVM_EXIT.MEMORY_FAULT && run.error?.errno === "EFAULT") return this.#convert(run);
    if (run.error !== undefined) {
      if (run.error.errno === "EINTR" || run.error.errno === "EAGAIN") return "run";
      return this.#finish(endOf(run.error));
    }
    switch (run.exit_reason) {
      case KVM_EXIT.MMIO:
        return this.#mmio(vcpu, run);
      case KVM_EXIT.HYPERCALL:
        return this.#hypercall(vcpu, run);
      case KVM_EXIT.SYSTEM_EVENT:
        return this.#systemEvent(run);
      case KVM_EXIT.SHUTDOWN:
        return this.#finish({ kind: "shutdown" });
      case KVM_EXIT.UNKNOWN:
      case KVM_EXIT.INTR:
        return "run";
      default: {
        const name = KVM_EXIT_NAMES[run.exit_reason] ?? `${run.exit_reason}`;
        return this.#finish({ kind: "host-error", why: `KVM_RUN ended with KVM_EXIT_${name}${detailOf(run)}` });
      }
    }
  };

  #mmio(vcpu: Vcpu, { mmio }: KvmRun): "run" | "stop" {
    const data = mmio.data.subarray(0, mmio.len);
    const device = this.#bus.access({ address: mmio.phys_addr, data, isWrite: mmio.is_write });
    if (mmio.is_write) this.counters.mmioWrites++;
    else this.counters.mmioReads++;
    if (device === undefined) {
      this.counters.unclaimed++;
      if (this.content.realm) vcpu.setVcpuEvents({ ext_dabt_pending: true });
    }
    return "run";
  }

  #hypercall(vcpu: Vcpu, { hypercall }: KvmRun): "run" | "stop" {
    this.counters.hypercalls++;
    const result = this.#channel.call(hypercall, registersOf(vcpu));
    if (result.kind === "continue") return "run";
    const { status } = result;
    return this.#finish(
      status > EXIT_STATUS_MAX
        ? { kind: "crash", why: `the guest reported exit status ${status}, which is not 0 to ${EXIT_STATUS_MAX}` }
        : { kind: "exit", status: Number(status) },
    );
  }

  #systemEvent({ system_event }: KvmRun): "run" | "stop" {
    switch (system_event.type) {
      case KVM_SYSTEM_EVENT.SHUTDOWN:
        return this.#finish({ kind: "shutdown" });
      case KVM_SYSTEM_EVENT.RESET:
        return this.#finish({ kind: "reset" });
      case KVM_SYSTEM_EVENT.CRASH:
        return this.#finish({ kind: "crash", why: "the guest reported a crash" });
      default:
        return "run";
    }
  }

  /**
   * The guest wants Granules private or shared. Inside RAM every wish is granted, and the Host takes back the half that
   * is given up. Outside there is nothing to convert: the Host finds that nothing was, and rejects the guest's request.
   */
  #convert({ memory_fault }: KvmRun): ReturnType<OnExit> {
    const { ram } = this.content;
    const ramTop = ram.base + ram.size;
    let base = memory_fault.gpa;
    let top = base + memory_fault.size;
    if (base < ram.base) base = ram.base;
    if (top > ramTop) top = ramTop;
    const isPrivate = (memory_fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0n;
    return base < top ? this.#convertOp({ address: base, size: top - base, isPrivate }) : "run";
  }

  *#convertOp(range: {
    readonly address: bigint;
    readonly size: bigint;
    readonly isPrivate: boolean;
  }): Op<"run" | "stop"> {
    invariant(this.#built !== undefined, "an exit before build");
    const { address, size, isPrivate } = range;
    const attributes = isPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0n;
    const error = yield* this.#built.vm.setMemoryAttributesOp({ address, size, attributes });
    if (error === undefined) {
      this.counters.conversions += Number(size / GRANULE);
      this.#virtio.ram.setShared(range, !isPrivate);
      return "run";
    }
    const half = isPrivate ? "private" : "shared";
    const why = `making ${size} bytes at 0x${address.toString(16)} ${half}: ${error.errno} (${error.why})`;
    return this.#finish({ kind: "host-error", why });
  }

  #finish(end: VmEnd): "stop" {
    if (this.#end !== undefined) return "stop";
    this.#end = end;
    for (const vcpu of this.#built?.vcpus ?? []) if (vcpu.started) vcpu.interrupt();
    this.#options.onEnd?.(end);
    return "stop";
  }

  #takeInput(): number | undefined {
    const byte = this.#options.consoleInput?.take();
    if (byte !== undefined) this.#inputTaken++;
    return byte;
  }

  #consoleInput(): ConsoleInput {
    const source = this.#options.consoleInput;
    return {
      take: () => this.#takeInput(),
      polled: () => source?.polled?.(),
      get ready() {
        return source?.ready ?? false;
      },
    };
  }

  /** UART 0 is a console in any case, and has the input unless the virtio console has it; the others have nobody at the other end. */
  #uart(index: number, input: ConsoleInput): Ns16550 {
    const irq = Number(KVM_IRQ_LINE_FIELD.TYPE.of(KVM_ARM_IRQ_TYPE_SPI)) | uartIntid(index);
    return new Ns16550({
      name: `uart${index}`,
      base: uartBase(index),
      transmit: index === 0 ? this.#options.consoleOutput : () => {},
      input,
      setLine: (level) => void this.#built?.vm.irqLine(irq, level),
    });
  }
}

const refused = (what: string, error: KvmError): { readonly ok: false; readonly error: VmmError<"host-refused"> } =>
  failure("host-refused", `${what}: ${error.errno} (${error.why})`);

function registersOf(vcpu: Vcpu): Registers {
  return {
    get(n) {
      const value = vcpu.getOneReg(KVM_REG.x(n));
      invariant(!isKvmError(value), "general registers are readable after a hypercall", n);
      return value;
    },
    set(n, value) {
      const error = vcpu.setOneReg(KVM_REG.x(n), value);
      invariant(error === undefined, "general registers are writable after a hypercall", n);
    },
  };
}

/** An error of KVM_RUN: some are the guest's doing. */
function endOf({ errno, why }: KvmError): VmEnd {
  switch (errno) {
    case "ENOSYS": // a device access whose syndrome says nothing of its registers: a pair, or with write-back
      return { kind: "crash", why: `the guest used an instruction on a device that cannot be emulated: ${why}` };
    case "EHWPOISON":
      return { kind: "crash", why: `the guest touched memory whose content is gone: ${why}` };
    default:
      return { kind: "host-error", why: `KVM_RUN failed: ${errno} (${why})` };
  }
}

/** What KVM says about an exit that ends the machine. */
function detailOf({ exit_reason, fail_entry, internal, arm_nisv }: KvmRun): string {
  switch (exit_reason) {
    case KVM_EXIT.FAIL_ENTRY:
      return `, reason 0x${fail_entry.hardware_entry_failure_reason.toString(16)}`;
    case KVM_EXIT.INTERNAL_ERROR:
      return `, suberror ${internal.suberror}`;
    case KVM_EXIT.ARM_NISV:
      return ` at IPA 0x${arm_nisv.fault_ipa.toString(16)}`;
    default:
      return "";
  }
}
