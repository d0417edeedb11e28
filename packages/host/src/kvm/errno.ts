/** errno values: how KVM and the Host refuse. What a VMM or a guest can cause is a value, never an exception. */

export type Errno =
  | "EPERM"
  | "ENOENT"
  | "EINTR"
  | "EIO"
  | "ENXIO"
  | "E2BIG"
  | "EBADF"
  | "EAGAIN"
  | "ENOMEM"
  | "EFAULT"
  | "EBUSY"
  | "EEXIST"
  | "ENODEV"
  | "EINVAL"
  | "ENOTTY"
  | "ENOEXEC"
  | "ENOSYS"
  | "EHWPOISON";

/** A refused call: the errno that the ioctl would give, and a sentence for people. */
export interface KvmError {
  readonly errno: Errno;
  readonly why: string;
}

/** What a call gives: its value (undefined where the ioctl returns 0), or the refusal. */
export type KvmResult<T = undefined> = T | KvmError;

export const kvmError = (errno: Errno, why: string): KvmError => ({ errno, why });

export const isKvmError = (value: unknown): value is KvmError =>
  typeof value === "object" && value !== null && "errno" in value;
