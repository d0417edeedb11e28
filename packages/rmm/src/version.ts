/** Version negotiation, the same in RMI_VERSION and RSI_VERSION. DEN0137 1.0-rel0, "RMI_VERSION command". */

export interface Negotiated {
  readonly compatible: boolean;
  readonly lower: bigint;
  readonly higher: bigint;
}

/**
 * What an RMM that supports `supported` (ascending) answers to `requested`: compatible when it has exactly that revision;
 * else `lower` is the highest one below the request or, when all are above, the highest one.
 */
export function negotiate(supported: readonly bigint[], requested: bigint): Negotiated {
  const higher = supported.at(-1)!;
  if (supported.includes(requested)) return { compatible: true, lower: requested, higher };
  return { compatible: false, lower: supported.findLast((version) => version < requested) ?? higher, higher };
}
