/** VMIDs of the machine: one bit each in the RMM's memory. DEN0137 1.0-rel0, "VmidIsFree", "VmidIsValid". */
import type { Rmm } from "../rmm.js";

function bitOf(rmm: Rmm, vmid: number): { readonly page: Uint8Array; readonly at: number; readonly mask: number } {
  const byte = vmid >> 3;
  const page = rmm.bytesAt(rmm.map.vmids + BigInt(byte & ~0xfff));
  return { page, at: byte & 0xfff, mask: 1 << (vmid & 7) };
}

/** Whether a Realm may take the VMID: the hardware has it, and no Realm uses it. VMID 0 is one like the others. */
export function vmidIsFree(rmm: Rmm, vmid: number): boolean {
  if (vmid >= 2 ** rmm.globals().vmid_bits) return false;
  const { page, at, mask } = bitOf(rmm, vmid);
  return (page[at]! & mask) === 0;
}

export function takeVmid(rmm: Rmm, vmid: number): void {
  const { page, at, mask } = bitOf(rmm, vmid);
  page[at]! |= mask;
}

export function freeVmid(rmm: Rmm, vmid: number): void {
  const { page, at, mask } = bitOf(rmm, vmid);
  page[at]! &= ~mask;
}
