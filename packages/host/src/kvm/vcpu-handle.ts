/** The descriptor of a vCPU, and the start of the VMM's thread that serves it. */
import {
  KVM_ARM_TARGET_GENERIC_V8,
  KVM_ARM_VCPU,
  KVM_ARM_VCPU_PMU_V3_CTRL,
  KVM_ARM_VCPU_PMU_V3_INIT,
  KVM_ARM_VCPU_PMU_V3_IRQ,
  KVM_ARM_VCPU_TIMER_CTRL,
  KVM_ARM_VCPU_TIMER_IRQ_PTIMER,
  KVM_ARM_VCPU_TIMER_IRQ_VTIMER,
  KVM_MP_STATE,
} from "@realmbox/abi";
import { Outcome } from "../vcpu/outcome.js";
import { completePsci } from "../vcpu/realm-vcpu.js";
import { Completion, ThreadState, type VcpuCore } from "../vcpu/vcpu.js";
import type { KvmRun, OnExit, Op, Process, Vcpu, Vm } from "./api.js";
import { isKvmError, type KvmError, type KvmResult, kvmError } from "./errno.js";
import { coreOf, notOwner } from "./handle.js";
import { getOneReg, setOneReg } from "./one-reg.js";
import type { ProcessCore } from "./process.js";
import { VmHandle } from "./vm-handle.js";

const FEATURES_KNOWN =
  (1 << KVM_ARM_VCPU.POWER_OFF) | (1 << KVM_ARM_VCPU.PSCI_0_2) | (1 << KVM_ARM_VCPU.PMU_V3) | (1 << KVM_ARM_VCPU.REC);

export class VcpuHandle implements Vcpu {
  readonly core: VcpuCore;
  readonly #caller: ProcessCore;

  constructor(core: VcpuCore, caller: ProcessCore) {
    this.core = core;
    this.#caller = caller;
  }

  get id(): number {
    return this.core.id;
  }
  get vm(): Vm {
    return new VmHandle(this.core.vm, this.#caller);
  }
  get run(): KvmRun {
    return this.core.run;
  }
  get started(): boolean {
    return this.core.state !== ThreadState.STOPPED;
  }

  get #refused(): KvmError | undefined {
    if (this.#caller !== this.core.vm.owner) return notOwner();
    return this.core.vm.closed ? kvmError("EBADF", "the VM is closed") : undefined;
  }

  armVcpuInit(init: { target: number; features: readonly number[] }): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const features = init.features[0] ?? 0;
    if (init.target !== KVM_ARM_TARGET_GENERIC_V8) return kvmError("EINVAL", `target ${init.target}`);
    if ((features & ~FEATURES_KNOWN) !== 0 || init.features.slice(1).some((word) => word !== 0)) {
      return kvmError("ENOENT", "a feature that this CPU does not have");
    }
    const wantsRec = ((features >> KVM_ARM_VCPU.REC) & 1) === 1;
    if (wantsRec !== (core.vm.realm !== undefined)) return kvmError("EINVAL", "REC is for the vCPUs of realms");
    const wantsPmu = ((features >> KVM_ARM_VCPU.PMU_V3) & 1) === 1;
    if (wantsRec && wantsPmu !== (core.vm.realm?.pmuCounters !== undefined))
      return kvmError("EINVAL", "the vCPUs of a realm have a PMU if it has");
    if (wantsRec && ((features >> KVM_ARM_VCPU.PSCI_0_2) & 1) === 0) return kvmError("EINVAL", "REC needs PSCI_0_2");
    if (core.features !== undefined && core.features !== features)
      return kvmError("EINVAL", "other features than before");
    if (core.state !== ThreadState.STOPPED) return kvmError("EBUSY", "the vCPU runs");
    if (core.rec) return kvmError("EPERM", "the REC is created");
    core.features = features;
    core.reset();
    core.powered = ((features >> KVM_ARM_VCPU.POWER_OFF) & 1) === 0;
    return undefined;
  }

  *armVcpuFinalizeOp(feature: number): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const { vm } = core;
    if (core.features === undefined || !core.hasFeature(feature))
      return kvmError("EPERM", "the feature was not asked for");
    if (feature !== KVM_ARM_VCPU.REC) return kvmError("EINVAL", `feature ${feature} needs no finalization`);
    if (vm.realm!.state !== "new") return kvmError("ENOENT", `the realm's state is ${vm.realm!.state}`);
    if (core.rec) return kvmError("EPERM", "the REC is created");
    const rec = yield* vm.lock.with(
      vm.realm!.createRec({
        index: core.id,
        runnable: core.powered,
        pc: core.pc,
        gprs: [...core.gprs.subarray(0, 8)],
      }),
    );
    if (isKvmError(rec)) return rec;
    core.rec = rec;
    core.runView.bind(rec);
    return undefined;
  }

  getOneReg(id: bigint): KvmResult<bigint> {
    return this.#refused ?? getOneReg(this.core, id);
  }

  setOneReg(id: bigint, value: bigint): KvmResult {
    return this.#refused ?? setOneReg(this.core, id, value);
  }

  getMpState(): KvmResult<number> {
    return this.#refused ?? (this.core.powered ? KVM_MP_STATE.RUNNABLE : KVM_MP_STATE.STOPPED);
  }

  setMpState(state: number): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.vm.realm) return kvmError("EINVAL", "a realm's REC is turned on by the realm");
    if (state === KVM_MP_STATE.RUNNABLE) core.vm.kernel.powerOn(core);
    else if (state === KVM_MP_STATE.STOPPED) {
      core.powered = false;
      core.vm.kernel.kick(core);
    } else return kvmError("EINVAL", `state ${state}`);
    return undefined;
  }

  setVcpuEvents(events: { ext_dabt_pending?: boolean; serror_pending?: boolean }): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.vm.realm && events.serror_pending) return kvmError("EINVAL", "no SError into a realm");
    if (events.ext_dabt_pending) {
      // Only the access that made KVM_RUN return can be aborted.
      if (core.completion === Completion.NONE) return kvmError("EINVAL", "no MMIO access to abort");
      core.injectAbort = true;
    }
    if (events.serror_pending) core.injectSError = true;
    return undefined;
  }

  setDeviceAttr(group: number, attr: bigint, value: Uint8Array): KvmResult {
    if (this.#refused) return this.#refused;
    if (group === KVM_ARM_VCPU_PMU_V3_CTRL && this.core.hasPmu) return this.#setPmu(attr, value);
    if (group !== KVM_ARM_VCPU_TIMER_CTRL) return kvmError("ENXIO", "unknown attribute group");
    if (value.length !== 4) return kvmError("EFAULT", "the interrupt is 4 bytes");
    const intid = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    if (intid < 16 || intid > 31) return kvmError("EINVAL", `${intid} is not a PPI`);
    const { vm } = this.core;
    if (vm.hasRun) return kvmError("EBUSY", "a vCPU has run");
    if (attr === KVM_ARM_VCPU_TIMER_IRQ_VTIMER) vm.timerIntids.virtual = intid;
    else if (attr === KVM_ARM_VCPU_TIMER_IRQ_PTIMER) vm.timerIntids.physical = intid;
    else return kvmError("ENXIO", "unknown timer");
    return undefined;
  }

  /** KVM_ARM_VCPU_PMU_V3_CTRL: the interrupt, the same on all vCPUs, then INIT. */
  #setPmu(attr: bigint, value: Uint8Array): KvmResult {
    const { vm } = this.core;
    if (vm.hasRun) return kvmError("EBUSY", "a vCPU has run");
    if (attr === KVM_ARM_VCPU_PMU_V3_INIT) return undefined;
    if (attr !== KVM_ARM_VCPU_PMU_V3_IRQ) return kvmError("ENXIO", "unknown attribute of the PMU");
    if (value.length !== 4) return kvmError("EFAULT", "the interrupt is 4 bytes");
    const intid = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    if (intid < 16 || intid > 31) return kvmError("EINVAL", `${intid} is not a PPI`);
    vm.pmuIntid = intid;
    return undefined;
  }

  *rmmPsciCompleteOp(args: { target_mpidr: bigint; psci_status: number }): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const { vm } = core;
    if (core.psciTarget === undefined) return kvmError("EINVAL", "no PSCI request is pending");
    if (vm.vcpuByMpidr(core.psciTarget) !== vm.vcpuByMpidr(args.target_mpidr))
      return kvmError("EINVAL", "another target");
    const status = BigInt.asUintN(64, BigInt(args.psci_status | 0));
    const outcome = yield* vm.lock.with(completePsci(vm.kernel, core, status));
    return outcome === Outcome.RESUME ? undefined : kvmError("ENXIO", "RMI_PSCI_COMPLETE was refused");
  }

  start(onExit: OnExit): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.state !== ThreadState.STOPPED) {
      if (core.onExit) return kvmError("EBUSY", "the thread runs");
      // A snapshot brought the thread back, but not its VMM: it goes on where it was.
      core.onExit = onExit;
      core.handle = this;
      return undefined;
    }
    const refused = core.vm.readyToRun(core);
    if (refused) return refused;
    core.onExit = onExit;
    core.handle = this;
    core.vm.hasRun = true;
    core.vm.kernel.start(core);
    return undefined;
  }

  interrupt(): KvmResult {
    if (this.#refused) return this.#refused;
    this.core.vm.kernel.interrupt(this.core);
    return undefined;
  }

  as(other: Process): Vcpu {
    return new VcpuHandle(this.core, coreOf(other));
  }
}
