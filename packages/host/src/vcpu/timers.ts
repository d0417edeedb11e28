/**
 * The EL1 timers of a vCPU as its Host sees them: levels of their PPIs from the last exit's values, and when a blocked
 * vCPU's timer will fire (the Host backs it with its own CNTHP). The same for both kinds of VM: a realm's values come
 * from RmiRecExit, a normal VM's from the PE. DDI 0487, "The Generic Timer"; DEN0137, "Realm timers".
 */
import type { VcpuCore } from "./vcpu.js";

const ENABLE = 1;
const IMASK = 2;

/** Whether a timer asserts its interrupt at `count`: enabled, not masked, condition met. */
export const isAsserted = (ctl: number, cval: number, count: number): boolean =>
  (ctl & (ENABLE | IMASK)) === ENABLE && count >= cval;

/** Gives the timers' levels at `count` to the VGIC. */
export function updateTimerLines(vcpu: VcpuCore, count: number): void {
  const { vm, index } = vcpu;
  const distributor = vm.vgic?.distributor;
  if (!distributor) return;
  const { timerIntids } = vm;
  distributor.setPpi(index, timerIntids.virtual, isAsserted(vcpu.cntvCtl, vcpu.cntvCval, count));
  distributor.setPpi(index, timerIntids.physical, isAsserted(vcpu.cntpCtl, vcpu.cntpCval, count));
}

/** Gives the level of the PMU's overflow interrupt to the VGIC: what the last exit said, and never without an exit. */
export function updatePmuLine(vcpu: VcpuCore, asserted: boolean): void {
  vcpu.pmuAsserted = asserted;
  vcpu.vm.vgic?.distributor?.setPpi(vcpu.index, vcpu.vm.pmuIntid, asserted);
}

/** The next count at which a timer of a vCPU that does not run will assert its interrupt; Infinity: never. */
export function nextTimerCount(vcpu: VcpuCore, count: number): number {
  let next = Infinity;
  if ((vcpu.cntvCtl & (ENABLE | IMASK)) === ENABLE && vcpu.cntvCval > count) next = vcpu.cntvCval;
  if ((vcpu.cntpCtl & (ENABLE | IMASK)) === ENABLE && vcpu.cntpCval > count) next = Math.min(next, vcpu.cntpCval);
  return next;
}
