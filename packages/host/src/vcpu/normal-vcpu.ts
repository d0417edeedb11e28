/**
 * A vCPU of a normal VM: its registers into the PE, ERET to NS-EL1, and the exits. DDI 0487, "Trapping and virtualization
 * features"; what KVM does with each exit.
 *
 * As with VHE, EL1 registers stay in the PE between exits, and are saved when another vCPU takes the PE or this one
 * waits; general registers are saved at each exit, because the Host's own SMCs use them.
 */
import { EC, HCR_EL2, ICH_HCR_EL2, ISS_ABORT, ipaOfHpfar, KVM_EXIT, PPI, VTCR_EL2, VTTBR_EL2 } from "@realmbox/abi";
import { isPmuInterrupting, PMU_COUNTERS, R } from "@realmbox/machine";
import type { Kernel } from "../kernel.js";
import { type MemorySlot, sharedIndex } from "../memory/slots.js";
import type { PeContext } from "../pe-context.js";
import { injectExternalAbort, injectUndefined } from "./inject.js";
import { type Handled, Outcome } from "./outcome.js";
import { smcccCall } from "./smccc.js";
import { emulateSysreg } from "./sysreg-traps.js";
import { isAsserted, updatePmuLine, updateTimerLines } from "./timers.js";
import { Completion, type VcpuCore } from "./vcpu.js";

/** HCR_EL2 while the Host itself runs: AArch64 EL1, physical interrupts to EL2. */
export const HCR_HOST = HCR_EL2.RW.mask | HCR_EL2.FMO.mask | HCR_EL2.IMO.mask | HCR_EL2.AMO.mask;
/** HCR_EL2 while a normal VM runs; TWE is added while others wait for the PE. */
const HCR_GUEST =
  HCR_HOST |
  HCR_EL2.VM.mask |
  HCR_EL2.SWIO.mask |
  HCR_EL2.PTW.mask |
  HCR_EL2.FB.mask |
  HCR_EL2.BSU.of(1) |
  HCR_EL2.TWI.mask |
  HCR_EL2.TID1.mask |
  HCR_EL2.TID3.mask |
  HCR_EL2.TSC.mask |
  HCR_EL2.TIDCP.mask |
  HCR_EL2.TACR.mask |
  HCR_EL2.TSW.mask |
  HCR_EL2.TLOR.mask |
  HCR_EL2.FWB.mask;
const HCR_TWE = HCR_EL2.TWE.mask;
const HCR_VSE = HCR_EL2.VSE.mask;
/** CPTR_EL2 with E2H = 0: RES1 bits; TZ 8, TSM 12, TTA 20, TAM 30 trap what the VM does not have; FP does not trap. */
const CPTR_GUEST = 0x4010_33ffn;
/** MDCR_EL2: TPMCR 5, TPM 6, TDA 9, TDOSA 10, TDRA 11, TPMS 14, TTRF 19. */
const MDCR_GUEST = 0x8_4e60n;
/** With a PMU: not TPMCR and TPM; HPMD 17 and HCCD 23, so that nothing counts while the Host runs; HPMN. */
const MDCR_GUEST_PMU = (MDCR_GUEST & ~0x60n) | (1n << 17n) | (1n << 23n) | BigInt(PMU_COUNTERS);
/** CNTHCTL_EL2 with E2H = 0: EL1 may use the physical counter and timer. */
const CNTHCTL_GUEST = 0x3n;
const EN = ICH_HCR_EL2.EN.mask;
const SPSR_SS = 1n << 21n;
const TIMER_CTL = 3n;
const FSC_MASK = 0x3c;

/** VTCR_EL2 of a VM: 4 KiB granule, Inner Shareable Write-Back walks, 48-bit output, 16-bit VMID. */
export const vtcrOf = (ipaBits: number, startLevel: number): bigint =>
  VTCR_EL2.T0SZ.of(64 - ipaBits) |
  VTCR_EL2.SL0.of(2 - startLevel) |
  VTCR_EL2.IRGN0.of(1) |
  VTCR_EL2.ORGN0.of(1) |
  VTCR_EL2.SH0.of(3) |
  VTCR_EL2.PS.of(5) |
  VTCR_EL2.VS.mask |
  VTCR_EL2.RES1.mask;

/** Puts a vCPU's registers into the PE; the one before goes out first. */
export function loadVcpu(kernel: Kernel, c: PeContext, vcpu: VcpuCore): void {
  if (c.loaded === vcpu) return;
  if (c.loaded) putVcpu(c);
  const { r } = c.pe;
  const { vm } = vcpu;
  c.el1.set(vcpu.el1);
  c.fp.set(vcpu.fp);
  r[R.ELR_EL2] = vcpu.pc;
  r[R.SPSR_EL2] = vcpu.pstate;
  r[R.ICH_VMCR_EL2] = BigInt(vcpu.vmcr);
  r[R.ICH_AP0R0_EL2] = vcpu.ap0r;
  r[R.ICH_AP1R0_EL2] = vcpu.ap1r;
  r[R.VTTBR_EL2] = VTTBR_EL2.VMID.of(vm.vmid) | vm.stage2!.root;
  r[R.VTCR_EL2] = vtcrOf(vm.ipaBits, vm.stage2!.startLevel);
  r[R.VMPIDR_EL2] = vcpu.mpidr;
  r[R.CPTR_EL2] = CPTR_GUEST;
  if (vcpu.hasPmu) c.pmu.set(vcpu.pmu);
  r[R.MDCR_EL2] = vcpu.hasPmu ? MDCR_GUEST_PMU : MDCR_GUEST;
  r[R.CNTHCTL_EL2] = CNTHCTL_GUEST;
  r[R.CNTVOFF_EL2] = BigInt(vm.counterOffset);
  vcpu.listsShown = kernel.peLists; // whatever the list registers hold is somebody else's
  c.loaded = vcpu;
  vcpu.loadedOn = c;
  vcpu.showDebug();
}

/** Takes the registers of the vCPU that is loaded out of the PE. */
export function putVcpu(c: PeContext): void {
  const vcpu = c.loaded!;
  const { r } = c.pe;
  vcpu.el1.set(c.el1);
  vcpu.fp.set(c.fp);
  if (vcpu.hasPmu) {
    vcpu.pmu.set(c.pmu);
    c.pmu.fill(0n);
  }
  vcpu.pc = r[R.ELR_EL2]!;
  vcpu.pstate = r[R.SPSR_EL2]!;
  vcpu.vmcr = Number(r[R.ICH_VMCR_EL2]!);
  vcpu.ap0r = r[R.ICH_AP0R0_EL2]!;
  vcpu.ap1r = r[R.ICH_AP1R0_EL2]!;
  // The timers are the Host's to watch from now on.
  r[R.CNTP_CTL_EL0] = 0n;
  r[R.CNTV_CTL_EL0] = 0n;
  c.loaded = undefined;
  vcpu.loadedOn = undefined;
}

/** Makes the PE ready for the ERET into the guest. */
export function enterNormal(kernel: Kernel, c: PeContext, vcpu: VcpuCore): void {
  loadVcpu(kernel, c, vcpu);
  const { r } = c.pe;
  c.gprs.set(vcpu.gprs);
  let hcr = HCR_GUEST;
  if (c.runQueue.length > 0) hcr |= HCR_TWE;
  if (vcpu.injectSError) {
    hcr |= HCR_VSE;
    vcpu.injectSError = false;
  }
  r[R.HCR_EL2] = hcr;
  const distributor = vcpu.vm.vgic?.distributor;
  let masked = 0;
  if (distributor) {
    const { lists } = vcpu;
    if (vcpu.listsStale) {
      lists.fill(distributor, vcpu.index, kernel.peLists);
      vcpu.listsStale = lists.used > 0;
    }
    for (let n = 0; n < lists.used; n++) {
      r[R.ICH_LR0 + n] = (BigInt(lists.words[2 * n + 1]!) << 32n) | BigInt(lists.words[2 * n]!);
    }
    for (let n = lists.used; n < vcpu.listsShown; n++) r[R.ICH_LR0 + n] = 0n;
    vcpu.listsShown = lists.used;
    r[R.ICH_HCR_EL2] = lists.hcr === 0 ? EN : EN | BigInt(lists.hcr);
    // A timer that the guest has been told of must not interrupt again until it is served.
    const { count } = kernel;
    if (isAsserted(vcpu.cntvCtl, vcpu.cntvCval, count)) masked |= 1 << PPI.EL1_VIRTUAL_TIMER;
    if (isAsserted(vcpu.cntpCtl, vcpu.cntpCval, count)) masked |= 1 << PPI.EL1_PHYSICAL_TIMER;
    if (vcpu.pmuAsserted) masked |= 1 << PPI.PMU;
  } else {
    masked = (1 << PPI.EL1_VIRTUAL_TIMER) | (1 << PPI.EL1_PHYSICAL_TIMER) | (1 << PPI.PMU);
  }
  kernel.maskPpis(c, masked);
}

/** The guest has left by an exception to EL2. */
export function exitNormal(
  kernel: Kernel,
  c: PeContext,
  vcpu: VcpuCore,
  vector: "sync" | "irq" | "fiq" | "serror",
): Handled {
  const { r } = c.pe;
  vcpu.gprs.set(c.gprs);
  const hcr = r[R.HCR_EL2]!;
  // A virtual SError that was not taken yet stays pending.
  if ((hcr & HCR_VSE) !== 0n) vcpu.injectSError = true;
  r[R.HCR_EL2] = HCR_HOST;
  takeInterruptState(kernel, c, vcpu);
  if (vector !== "sync") {
    if (vector !== "serror") {
      kernel.counters.irqExits++;
      kernel.acknowledgeInterrupts(c);
    }
    return c.runQueue.length > 0 ? Outcome.YIELD : Outcome.RESUME;
  }
  const esr = Number(r[R.ESR_EL2]! & 0xffff_ffffn);
  const ec = esr >>> 26;
  kernel.counters.guestExits[ec]!++;
  switch (ec) {
    case EC.WFX:
      skip(r);
      return (esr & 1) !== 0 ? Outcome.YIELD : Outcome.WAIT;
    case EC.HVC64:
      return smcccCall(kernel, vcpu, "hvc", esr & 0xffff);
    case EC.SMC64:
      skip(r);
      return smcccCall(kernel, vcpu, "smc", esr & 0xffff);
    case EC.SYSREG64:
      if (emulateSysreg(vcpu, esr & 0x1ff_ffff)) skip(r);
      else injectUndefined(r);
      return Outcome.RESUME;
    case EC.DATA_ABORT_LOWER:
    case EC.INSTRUCTION_ABORT_LOWER:
      return exitAbort(kernel, vcpu, r, esr);
  }
  // PAuth, SVE, SME and whatever else the VM does not have.
  injectUndefined(r);
  return Outcome.RESUME;
}

/** The next instruction: as if the one at the return address had completed, which is a step for a guest that steps. */
function skip(r: BigUint64Array): void {
  r[R.ELR_EL2] = r[R.ELR_EL2]! + 4n;
  r[R.SPSR_EL2] = r[R.SPSR_EL2]! & ~SPSR_SS;
}

function takeInterruptState(kernel: Kernel, c: PeContext, vcpu: VcpuCore): void {
  const { r } = c.pe;
  const { vm, lists } = vcpu;
  vcpu.cntvCtl = Number(r[R.CNTV_CTL_EL0]! & TIMER_CTL);
  vcpu.cntvCval = Number(r[R.CNTV_CVAL_EL0]!) + vm.counterOffset;
  vcpu.cntpCtl = Number(r[R.CNTP_CTL_EL0]! & TIMER_CTL);
  vcpu.cntpCval = Number(r[R.CNTP_CVAL_EL0]!);
  const distributor = vm.vgic?.distributor;
  if (!distributor) return;
  vcpu.vmcr = Number(r[R.ICH_VMCR_EL2]!);
  const eoiCount = Number(ICH_HCR_EL2.EOICOUNT.get(r[R.ICH_HCR_EL2]!));
  if (lists.used > 0 || eoiCount > 0) {
    for (let n = 0; n < lists.used; n++) {
      const value = r[R.ICH_LR0 + n]!;
      lists.words[2 * n] = Number(value & 0xffff_ffffn);
      lists.words[2 * n + 1] = Number(value >> 32n);
    }
    lists.fold(distributor, vcpu.index, eoiCount);
  }
  r[R.ICH_HCR_EL2] = 0n;
  updateTimerLines(vcpu, kernel.count);
  if (vcpu.hasPmu) updatePmuLine(vcpu, isPmuInterrupting(c.words));
}

function exitAbort(kernel: Kernel, vcpu: VcpuCore, r: BigUint64Array, esr: number): Handled {
  const { vm, run } = vcpu;
  const page = ipaOfHpfar(r[R.HPFAR_EL2]!);
  const gpa = page | (r[R.FAR_EL2]! & 0xfffn);
  const isInstruction = esr >>> 26 === EC.INSTRUCTION_ABORT_LOWER;
  const kind = esr & FSC_MASK;
  // Translation, access flag and permission faults; anything else is an error of the Host's own tables or memory.
  if (kind !== 0x04 && kind !== 0x08 && kind !== 0x0c) {
    run.fail("EFAULT", `stage-2 abort with status 0x${(esr & 0x3f).toString(16)}`);
    return Outcome.EXIT;
  }
  const onWalk = (esr & Number(ISS_ABORT.S1PTW.mask)) !== 0;
  const isWrite = !isInstruction && (onWalk ? kind === 0x0c : (esr & Number(ISS_ABORT.WNR.mask)) !== 0);
  const slot = page >> BigInt(vm.ipaBits) === 0n ? vm.slots.find(page) : undefined;
  if (slot && !(slot.readOnly && isWrite)) return mapPage(kernel, vcpu, slot, page);
  if (isInstruction || onWalk) {
    injectExternalAbort(r, r[R.ESR_EL2]!, r[R.FAR_EL2]!);
    return Outcome.RESUME;
  }
  if ((esr & Number(ISS_ABORT.CM.mask)) !== 0) {
    skip(r); // cache maintenance on a device: nothing to do
    return Outcome.RESUME;
  }
  if ((esr & Number(ISS_ABORT.ISV.mask)) === 0) {
    if (!vm.nisvToUser) {
      run.fail("ENOSYS", `access to 0x${gpa.toString(16)} by an instruction without syndrome`);
      return Outcome.EXIT;
    }
    run.arm_nisv.esr_iss = BigInt(esr & 0x1ff_ffff);
    run.arm_nisv.fault_ipa = gpa;
    run.exit(KVM_EXIT.ARM_NISV);
    return Outcome.EXIT;
  }
  return emulateMmio(kernel, vcpu, r, esr, gpa, isWrite);
}

/** The page of a slot that the guest touched for the first time. */
function mapPage(kernel: Kernel, vcpu: VcpuCore, slot: MemorySlot, page: bigint): Outcome {
  const { vm, run } = vcpu;
  const pa = vm.memory.touch(slot.mapping, sharedIndex(slot, page));
  if (pa === undefined || !vm.stage2!.map(page, pa, !slot.readOnly)) {
    run.fail("ENOMEM", "no page for guest memory");
    return Outcome.EXIT;
  }
  kernel.counters.faultsNormal++;
  return Outcome.RESUME;
}

/** A device access: the VGIC's own, or the VMM's. */
function emulateMmio(
  kernel: Kernel,
  vcpu: VcpuCore,
  r: BigUint64Array,
  esr: number,
  gpa: bigint,
  isWrite: boolean,
): Outcome {
  const size = 1 << ((esr >>> 22) & 3);
  const rt = (esr >>> 16) & 31;
  const write = isWrite ? BigInt.asUintN(8 * size, rt === 31 ? 0n : vcpu.gprs[rt]!) : undefined;
  vcpu.mmioEsr = r[R.ESR_EL2]!;
  vcpu.mmioFar = r[R.FAR_EL2]!;
  const { vgic } = vcpu.vm;
  if (vgic?.distributor) {
    const value = write === undefined ? vgic.read(gpa, size) : vgic.write(gpa, size, write) ? 0n : undefined;
    if (value !== undefined) {
      if (write === undefined) setMmioRegister(vcpu, value);
      skip(r);
      return Outcome.RESUME;
    }
  }
  vcpu.run.mmioExit(gpa, size, write);
  vcpu.completion = write === undefined ? Completion.MMIO_READ : Completion.MMIO_WRITE;
  kernel.events.mmio(vcpu, gpa, size, write);
  return Outcome.EXIT;
}

/** The destination register of the trapped load, extended as its syndrome says. */
function setMmioRegister(vcpu: VcpuCore, value: bigint): void {
  const iss = Number(vcpu.mmioEsr & 0x1ff_ffffn);
  const rt = (iss >>> 16) & 31;
  if (rt === 31) return;
  const width = 8 << ((iss >>> 22) & 3);
  let extended = BigInt.asUintN(width, value);
  if ((iss & Number(ISS_ABORT.SSE.mask)) !== 0) {
    const signed = BigInt.asIntN(width, value);
    extended = BigInt.asUintN((iss & Number(ISS_ABORT.SF.mask)) !== 0 ? 64 : 32, signed);
  }
  vcpu.gprs[rt] = extended;
}

/** KVM_RUN after an MMIO exit: finishes the trapped access with the VMM's answer. */
export function completeNormalMmio(kernel: Kernel, c: PeContext, vcpu: VcpuCore): void {
  loadVcpu(kernel, c, vcpu);
  const { r } = c.pe;
  if (vcpu.injectAbort) injectExternalAbort(r, vcpu.mmioEsr, vcpu.mmioFar);
  else {
    if (vcpu.completion === Completion.MMIO_READ) setMmioRegister(vcpu, vcpu.run.mmioValue());
    skip(r);
  }
  vcpu.injectAbort = false;
  vcpu.completion = Completion.NONE;
}
