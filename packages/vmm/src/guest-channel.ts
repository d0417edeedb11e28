/**
 * The VMM's side of the guest's channel for results (abi, guest-channel.ts): exit status, challenge, token. The guest may
 * be hostile: every number is checked before it is used, and what is refused changes nothing.
 */
import {
  GUEST_CHALLENGE,
  GUEST_CHANNEL_IMM,
  GUEST_EXIT,
  GUEST_TOKEN,
  GUEST_TOKEN_CHUNK,
  GUEST_TOKEN_SIZE_MAX,
  SMCCC_NOT_SUPPORTED,
} from "@realmbox/abi";

/** The general registers of the calling vCPU, X0 to X30. */
export interface Registers {
  get(n: number): bigint;
  set(n: number, value: bigint): void;
}

export const CHALLENGE_SIZE = 64;
export const EXIT_STATUS_MAX = 123n;

/** What a call leads to: the guest goes on, or reported its exit status (any 64-bit value). */
export type ChannelResult = { readonly kind: "continue" } | { readonly kind: "exit"; readonly status: bigint };
const CONTINUE: ChannelResult = { kind: "continue" };

export interface GuestChannelState {
  readonly token: readonly number[];
  /** Bytes of `token` that have arrived. */
  readonly received: number;
}

export class GuestChannel {
  readonly #challenge: Uint8Array | undefined;
  #token = new Uint8Array(0);
  #received = 0;

  /** Without a challenge GUEST_CHALLENGE is refused; a short one is padded with zeros. */
  constructor(challenge: Uint8Array | undefined) {
    if (challenge === undefined) return;
    this.#challenge = new Uint8Array(CHALLENGE_SIZE);
    this.#challenge.set(challenge);
  }

  /** The last token that arrived whole. */
  get token(): Uint8Array | undefined {
    return this.#token.length > 0 && this.#received === this.#token.length ? this.#token.slice() : undefined;
  }

  /** Serves a call; `nr` is the function id, `imm` the immediate of the call. */
  call({ nr, imm }: { readonly nr: bigint; readonly imm: number }, registers: Registers): ChannelResult {
    if (imm === GUEST_CHANNEL_IMM) {
      if (nr === GUEST_EXIT) return { kind: "exit", status: registers.get(1) };
      if (nr === GUEST_CHALLENGE && this.#challenge !== undefined) {
        const words = new DataView(this.#challenge.buffer);
        for (let i = 0; i < 8; i++) registers.set(1 + i, words.getBigUint64(8 * i, true));
        registers.set(0, 0n);
        return CONTINUE;
      }
      if (nr === GUEST_TOKEN && this.#takeChunk(registers)) {
        registers.set(0, 0n);
        return CONTINUE;
      }
    }
    registers.set(0, SMCCC_NOT_SUPPORTED);
    return CONTINUE;
  }

  /** Chunks come in order; offset 0 begins a token anew, whatever came before. */
  #takeChunk(registers: Registers): boolean {
    const size = registers.get(1);
    const offset = registers.get(2);
    if (size === 0n || size > BigInt(GUEST_TOKEN_SIZE_MAX) || offset >= size) return false;
    if (offset === 0n) {
      this.#token = new Uint8Array(Number(size));
      this.#received = 0;
    } else if (size !== BigInt(this.#token.length) || offset !== BigInt(this.#received)) {
      return false;
    }
    const count = Math.min(GUEST_TOKEN_CHUNK, this.#token.length - this.#received);
    for (let i = 0; i < count; i++) {
      const word = registers.get(3 + (i >> 3));
      this.#token[this.#received + i] = Number((word >> BigInt(8 * (i & 7))) & 0xffn);
    }
    this.#received += count;
    return true;
  }

  get state(): GuestChannelState {
    return { token: [...this.#token], received: this.#received };
  }

  set state({ token, received }: GuestChannelState) {
    this.#token = Uint8Array.from(token);
    this.#received = received;
  }
}
