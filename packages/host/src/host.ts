/**
 * The Host: native firmware of slot ns-el2 and the KVM interface of its kernel, in one object. `createHost` before
 * `Machine.install`; `boot` (or the first `call`) after the machine's reset.
 */
import { invariant } from "@realmbox/abi";
import type { Pe, RunEnd, SlotEvent, SlotExit } from "@realmbox/machine";
import { type HostMachine, Kernel } from "./kernel.js";
import type { Host, HostCounters, Op, PageUse, Process, RmmInfo, Vm } from "./kvm/api.js";
import { type KvmError, kvmError } from "./kvm/errno.js";
import { ProcessHandle, VmHandle } from "./kvm/handles.js";
import { ProcessCore } from "./kvm/process.js";
import { restoreKernel, saveKernel } from "./snapshot.js";

/** The machine, as the Host's driver needs it. */
export interface RunnableMachine extends HostMachine {
  run(limit?: { readonly instructions?: number }): RunEnd;
  stop(reason: string): void;
}

export interface HostOptions {
  readonly machine: RunnableMachine;
  /** Bytes that identify this firmware for the Root Monitor's measurements; its name and version when absent. */
  readonly image?: Uint8Array;
  /**
   * Clock counts without an RMI call after which a `call` gives up: an RMM may never answer. Default: it waits for ever,
   * since realmbox's own does.
   */
  readonly patience?: number;
}

/** Runs that guests may end by an exception loop while one operation is under way. */
const EXCEPTION_LOOPS_MAX = 100_000;

const NAME = "realmbox Host (KVM)";
const VERSION = "1";

export function createHost(options: HostOptions): Host {
  return new HostFirmware(options);
}

class HostFirmware implements Host {
  readonly name = NAME;
  readonly image: Uint8Array;
  readonly #machine: RunnableMachine;
  readonly #kernel: Kernel;
  readonly #patience: number;

  constructor({ machine, image, patience = Number.POSITIVE_INFINITY }: HostOptions) {
    this.image = image ?? Uint8Array.from(`${NAME} ${VERSION}`, (char) => char.charCodeAt(0));
    this.#machine = machine;
    this.#kernel = new Kernel(machine);
    this.#patience = patience;
  }

  step(pe: Pe, event: SlotEvent): SlotExit {
    return this.#kernel.step(pe, event);
  }

  get rmm(): RmmInfo | undefined {
    return this.#kernel.rmm;
  }

  get counters(): HostCounters {
    return this.#kernel.counters;
  }

  get busy(): boolean {
    return this.#kernel.busy;
  }

  get pages(): PageUse {
    const { allocator } = this.#kernel;
    return {
      free: allocator.pagesOf("free"),
      reserved: allocator.pagesOf("reserved"),
      user: allocator.pagesOf("user"),
      guestMemfd: allocator.pagesOf("guestMemfd"),
      realm: allocator.pagesOf("realm"),
      stage2: allocator.pagesOf("stage2"),
      shared: allocator.pagesOf("shared"),
      leaked: allocator.pagesOf("leaked"),
    };
  }

  process(name: string): Process {
    const { processes } = this.#kernel;
    invariant(!processes.has(name), "names of processes differ", name);
    const core = new ProcessCore(this.#kernel, name);
    processes.set(name, core);
    return new ProcessHandle(core);
  }

  findProcess(name: string): Process | undefined {
    const core = this.#kernel.processes.get(name);
    return core && new ProcessHandle(core);
  }

  vms(owner: Process): readonly Vm[] {
    const { core } = owner as ProcessHandle;
    return core.vms().map((vm) => new VmHandle(vm, core));
  }

  boot(): KvmError | undefined {
    return this.call(whenReady(this.#kernel));
  }

  call<T>(op: Op<T>): T | KvmError {
    const machine = this.#machine;
    invariant(this.#kernel.current === undefined, "Host.call is for outside the run loop");
    let result: { readonly value: T } | undefined;
    const job = this.#kernel.submit(op, (value) => {
      result = { value: value as T };
      machine.stop("operation done");
    });
    const limit = Number.isFinite(this.#patience) ? { instructions: this.#patience } : undefined;
    for (let loops = 0, made = -1; !result; ) {
      const end = machine.run(limit);
      if (result || end.kind === "stopped") continue;
      // A guest that does nothing but take exceptions ends runs; what the Host does, its teardown above all, goes on.
      if (end.kind === "exception-loop" && loops++ < EXCEPTION_LOOPS_MAX) continue;
      const { rmiCalls } = this.counters;
      if (end.kind === "limit" && rmiCalls !== made) {
        made = rmiCalls;
        continue;
      }
      this.#kernel.cancel(job);
      return kvmError("EINTR", `the machine ended: ${end.kind}${"detail" in end ? `, ${end.detail}` : ""}`);
    }
    return (result as { readonly value: T }).value;
  }

  *reclaimOp(vm: Vm, gpa: bigint, size: bigint): Op<number> {
    const { core } = vm as VmHandle;
    return yield* core.lock.with(core.reclaim(gpa, size));
  }

  save(): unknown {
    return saveKernel(this.#kernel);
  }

  restore(data: unknown): void {
    restoreKernel(this.#kernel, data);
  }
}

function* whenReady(kernel: Kernel): Op<undefined> {
  while (!kernel.ready) yield "wait";
  return undefined;
}
