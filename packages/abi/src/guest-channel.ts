/**
 * The guest's channel to its VMM, for results: exit status, a challenge in, a token out. In a realm the call is
 * RSI_HOST_CALL (the registers of RsiHostCall's gprs), in a normal VM it is HVC #0 (X0 to X30). Function ids are in
 * the vendor specific hypervisor service range (DEN0028, "Service calls"); they are realmbox's own.
 *
 * The token travels in registers, not through shared memory, so that a guest without a shared mapping can use it.
 */

/** X1: the exit status, 0 to 123. The VMM ends the run with it; does not return. */
export const GUEST_EXIT = 0xc600_0f00n;
/** Out: X0 = 0, X1..X8: the 64-byte challenge that the user gave, or a random one. */
export const GUEST_CHALLENGE = 0xc600_0f01n;
/** X1: size of the whole token, X2: offset of this chunk, X3..X30: up to 224 bytes of it, little-endian. Out: X0 = 0, or all ones when refused. */
export const GUEST_TOKEN = 0xc600_0f02n;

/** Bytes of a token that one GUEST_TOKEN call carries: X3 to X30. */
export const GUEST_TOKEN_CHUNK = 224;
/** A VMM refuses a larger token. */
export const GUEST_TOKEN_SIZE_MAX = 65_536;

/** The immediate that RSI_HOST_CALL carries for these calls. */
export const GUEST_CHANNEL_IMM = 0;
