/** struct kvm_run as one object per vCPU, filled again at each return of KVM_RUN. */
import { KVM_EXIT, KVM_MEMORY_EXIT_FLAG_PRIVATE } from "@realmbox/abi";
import type { KvmRun } from "./api.js";
import { type Errno, type KvmError, kvmError } from "./errno.js";

export class RunPage implements KvmRun {
  immediate_exit = false;
  error: KvmError | undefined = undefined;
  exit_reason: number = KVM_EXIT.UNKNOWN;
  readonly mmio = { phys_addr: 0n, data: new Uint8Array(8), len: 0, is_write: false };
  readonly hypercall = { nr: 0n, flags: 0n, imm: 0 };
  readonly system_event = { type: 0, ndata: 0, data: new BigUint64Array(16) };
  readonly memory_fault = { flags: 0n, gpa: 0n, size: 0n };
  readonly arm_nisv = { esr_iss: 0n, fault_ipa: 0n };
  readonly fail_entry = { hardware_entry_failure_reason: 0n, cpu: 0 };
  readonly internal = { suberror: 0, data: new BigUint64Array(16) };

  /** KVM_RUN returns 0 with a reason whose fields the caller has filled. */
  exit(reason: number): void {
    this.error = undefined;
    this.exit_reason = reason;
  }

  /** KVM_RUN returns an errno; the exit reason says nothing. */
  fail(errno: Errno, why: string): void {
    this.error = kvmError(errno, why);
    this.exit_reason = KVM_EXIT.UNKNOWN;
  }

  interrupted(): void {
    this.error = kvmError("EINTR", "a signal is pending");
    this.exit_reason = KVM_EXIT.INTR;
  }

  /** KVM_EXIT_MEMORY_FAULT, with the errno that goes with it. */
  memoryFault(gpa: bigint, size: bigint, isPrivate: boolean, errno: "EFAULT" | "EHWPOISON", why: string): void {
    this.error = kvmError(errno, why);
    this.exit_reason = KVM_EXIT.MEMORY_FAULT;
    this.memory_fault.flags = isPrivate ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0n;
    this.memory_fault.gpa = gpa;
    this.memory_fault.size = size;
  }

  /** The value of the first `len` bytes of MMIO data. */
  mmioValue(): bigint {
    let value = 0n;
    for (let i = this.mmio.len - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.mmio.data[i]!);
    return value;
  }

  mmioExit(gpa: bigint, len: number, write: bigint | undefined): void {
    const { mmio } = this;
    mmio.phys_addr = gpa;
    mmio.len = len;
    mmio.is_write = write !== undefined;
    mmio.data.fill(0);
    let rest = write ?? 0n;
    for (let i = 0; i < len; i++) {
      mmio.data[i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    this.exit(KVM_EXIT.MMIO);
  }

  systemEvent(type: number, data: readonly bigint[] = []): void {
    const event = this.system_event;
    event.type = type;
    event.ndata = data.length;
    event.data.fill(0n);
    data.forEach((value, n) => {
      event.data[n] = value;
    });
    this.exit(KVM_EXIT.SYSTEM_EVENT);
  }
}
