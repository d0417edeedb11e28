/**
 * What the user got wrong is a value: a kind for programs, a sentence for people, and a hint what to do instead. Only
 * the command line prints and exits.
 */

/** Why an image cannot be loaded. */
export type LoadErrorKind =
  /** The file has no bytes. */
  | "empty-image"
  /** The file ends before what its own headers announce. */
  | "truncated-image"
  /** An executable for another instruction set, width or byte order. */
  | "wrong-architecture"
  /** A format or feature that this loader does not take: compressed, an object file, a dynamically linked program. */
  | "unsupported-image"
  /** Headers that contradict themselves. */
  | "malformed-image"
  /** Linked or placed where the machine has no RAM. */
  | "outside-ram"
  /** Larger than the guest's memory. */
  | "oversized-image"
  /** Two images, or two parts of one, claim the same bytes. */
  | "overlapping-image";

/** Why a machine cannot be configured. */
export type ConfigErrorKind =
  | "too-little-memory"
  | "bad-memory"
  | "bad-cpus"
  | "bad-params"
  | "too-many-disks"
  | "bad-realm-pv"
  | "realm-only-option"
  | "device-tree-too-large";

/** Why the Host would not build or run the machine. */
export type HostErrorKind = "host-refused";

export interface VmmError<Kind extends string = LoadErrorKind | ConfigErrorKind | HostErrorKind> {
  readonly kind: Kind;
  /** One sentence without the option's or file's name: the caller knows how the user spelled it. */
  readonly message: string;
  /** What to do instead, when there is something. */
  readonly hint?: string;
}
export type LoadError = VmmError<LoadErrorKind>;
export type ConfigError = VmmError<ConfigErrorKind>;

export type Result<T, E = VmmError> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

export const success = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });

export const failure = <Kind extends string>(
  kind: Kind,
  message: string,
  hint?: string,
): { readonly ok: false; readonly error: VmmError<Kind> } => ({
  ok: false,
  error: hint === undefined ? { kind, message } : { kind, message, hint },
});
