/**
 * Helper functions of the pointer authentication rows: the keyed mix, adding a code to a pointer, authenticating one, and
 * the hints. ../../pauth.ts has the same in plain TypeScript.
 * DDI 0487, "Pointer authentication"; shared pseudocode "AddPAC", "Auth".
 */
import { PAUTH, PAUTH_BOTTOM, PAUTH_ENABLES, PAUTH_KEYS, PAUTH_TBI, XXHASH64 } from "../pauth.js";
import {
  add,
  and,
  type Expr,
  i32,
  i64,
  isZero,
  ltU,
  mul,
  ne,
  not,
  or,
  rotr,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
  zext,
} from "../rows/expr.js";
import type { HelperBody, HelperTable } from "./functions.js";
import type { Local } from "./statements.js";

const { P1, P2, P3, P4, SEED, MERGE } = XXHASH64;
const word = (value: bigint): Expr => i64(BigInt.asIntN(64, value));
const rotl = (value: Expr, by: bigint | number): Expr => rotr(value, 64 - Number(by));
const round = (lane: Expr, input: Expr): Expr => mul(rotl(add(lane, mul(input, word(P2))), 31), word(P1));

/** (a, b, c, d): the mix of four words. */
function mix(s: HelperBody): Expr {
  const starts = [SEED + P1 + P2, SEED + P2, SEED, SEED - P1];
  const lanes = starts.map((start, i) => {
    const lane = s.local("i64");
    s.set(lane, round(word(start), s.param(i).value));
    return lane;
  });
  const hash = s.local("i64");
  s.set(
    hash,
    lanes.map(({ value }, i) => rotl(value, MERGE[i]!)).reduce((sum, part) => add(sum, part)),
  );
  for (const { value } of lanes) s.set(hash, add(mul(xor(hash.value, round(i64(0), value)), word(P1)), word(P4)));
  s.set(hash, mul(xor(hash.value, shrU(hash.value, 33)), word(P2)));
  s.set(hash, mul(xor(hash.value, shrU(hash.value, 29)), word(P3)));
  return xor(hash.value, shrU(hash.value, 32));
}

/** The halves of a pointer: what its address has, and where a code goes. */
interface Fields {
  /** 1 where the top byte is ignored. */
  readonly tbi: Expr;
  /** Bits of the address itself. */
  readonly low: Expr;
  /** Bits that the code and bit 55 take. */
  readonly extension: Expr;
}

/** `upper`: the half of the address space, 0 or 1; `top`: of which half the top byte counts; `data`: which TBI. */
function fieldsOf(s: HelperBody, { upper, top, data }: { upper: Expr; top: Expr; data: Expr }): Fields {
  const local = (type: "i32" | "i64", value: Expr): Expr => {
    const place: Local = s.local(type);
    s.set(place, value);
    return place.value;
  };
  const pauth = local("i32", s.load("PAUTH"));
  const bottom = and(shrU(pauth, select(upper, i32(PAUTH_BOTTOM[1]), i32(PAUTH_BOTTOM[0]))), 0x3f);
  const tbiAt = add(select(data, i32(PAUTH_TBI.DATA), i32(PAUTH_TBI.INSTRUCTION)), top);
  const tbi = local("i32", and(shrU(pauth, tbiAt), 1));
  const low = local("i64", sub(shl(i64(1), zext(bottom)), 1));
  const extension = local("i64", and(not(low), shrU(i64(-1), zext(shl(tbi, 3)))));
  return { tbi, low, extension };
}

const BIT_55 = 1n << 55n;
const half = (pointer: Expr, bit: number): Expr => and(wrap(shrU(pointer, bit)), 1);
const signOf = (bit: Expr): Expr => sub(i64(0), zext(bit));

/** (pointer, modifier, keyLo, keyHi, data): the pointer with its code. */
function sign(s: HelperBody): Expr {
  const [pointer, modifier, keyLo, keyHi, data] = [0, 1, 2, 3, 4].map((i) => s.param(i).value) as Expr[] as [
    Expr,
    Expr,
    Expr,
    Expr,
    Expr,
  ];
  // Bit 55 chooses the half as soon as either half ignores the top byte, else bit 63.
  const tbis = and(shrU(s.load("PAUTH"), select(data, i32(PAUTH_TBI.DATA), i32(PAUTH_TBI.INSTRUCTION))), 3);
  const upper = s.local("i32");
  s.set(upper, select(tbis, half(pointer, 55), half(pointer, 63)));
  const { tbi, extension } = fieldsOf(s, { upper: upper.value, top: half(pointer, 55), data });
  const extended = or(and(pointer, not(extension)), and(signOf(upper.value), extension));
  const code = s.local("i64");
  s.set(code, s.helper("pauthMix", extended, modifier, keyLo, keyHi));
  // A pointer whose extension bits are neither all zero nor all one gets a wrong code.
  const found = and(pointer, extension);
  s.if(and(ne(found, 0), ne(found, extension)), () =>
    s.set(code, xor(code.value, shl(i64(1), zext(sub(i32(62), shl(tbi, 3)))))),
  );
  const place = and(extension, ~BIT_55);
  return or(or(and(pointer, not(extension)), and(code.value, place)), and(signOf(upper.value), BIT_55));
}

/** (pointer, modifier, keyLo, keyHi, enable, data, errorCode): the address, spoilt if the code was wrong; as it is if disabled. */
function authenticate(s: HelperBody): Expr {
  const [pointer, modifier, keyLo, keyHi] = [0, 1, 2, 3].map((i) => s.param(i).value) as Expr[] as [
    Expr,
    Expr,
    Expr,
    Expr,
  ];
  const [enable, data, errorCode] = [4, 5, 6].map((i) => s.param(i).value) as Expr[] as [Expr, Expr, Expr];
  s.if(isZero(and(s.load("PAUTH"), enable)), () => s.return(pointer));
  const upper = s.local("i32");
  s.set(upper, half(pointer, 55));
  const { tbi, extension } = fieldsOf(s, { upper: upper.value, top: upper.value, data });
  const address = s.local("i64");
  s.set(address, or(and(pointer, not(extension)), and(signOf(upper.value), extension)));
  const difference = xor(s.helper("pauthMix", address.value, modifier, keyLo, keyHi), pointer);
  s.if(isZero(and(difference, and(extension, ~BIT_55))), () => s.return(address.value));
  const at = s.local("i64");
  s.set(at, zext(sub(i32(61), shl(tbi, 3))));
  return or(and(address.value, not(shl(i64(3), at.value))), shl(zext(errorCode), at.value));
}

/** (pointer, data): the address without its code, whether or not a key is enabled. */
function strip(s: HelperBody): Expr {
  const pointer = s.param(0).value;
  const upper = s.local("i32");
  s.set(upper, half(pointer, 55));
  const { extension } = fieldsOf(s, { upper: upper.value, top: upper.value, data: s.param(1).value });
  return or(and(pointer, not(extension)), and(signOf(upper.value), extension));
}

/**
 * (number): the hint of this number, if it is one of pointer authentication and its key is enabled. Returns 1, and has done
 * nothing, when it traps. Bits of the number: 4 the link register (else X17 and X16), 2 authenticates, 1 key B, 0 SP as
 * the modifier.
 */
function hint(s: HelperBody): Expr {
  const number = s.param(0).value;
  const bit = (n: number): Expr => and(number, 1 << n);
  const isHint = and(ltU(number, 32), and(ne(bit(3), 0), or(ne(bit(4), 0), isZero(bit(0)))));
  s.if(isZero(isHint), () => s.return(i32(0)));
  const [a, b] = [PAUTH_KEYS[0], PAUTH_KEYS[1]];
  s.if(isZero(and(s.load("PAUTH"), select(bit(1), i32(b.enable), i32(a.enable)))), () => s.return(i32(0)));
  s.if(and(s.load("PAUTH"), PAUTH.TRAP), () => s.return(i32(1)));
  const [pointer, modifier, keyLo, keyHi] = [0, 1, 2, 3].map(() => s.local("i64")) as [Local, Local, Local, Local];
  s.if(
    bit(4),
    () => {
      s.set(pointer, s.load("X30", "i64"));
      s.set(modifier, select(bit(0), s.load("SP", "i64"), i64(0)));
    },
    () => {
      s.set(pointer, s.load("X17", "i64"));
      s.set(modifier, s.load("X16", "i64"));
    },
  );
  s.set(keyLo, select(bit(1), s.load("APIBKeyLo_EL1", "i64"), s.load("APIAKeyLo_EL1", "i64")));
  s.set(keyHi, select(bit(1), s.load("APIBKeyHi_EL1", "i64"), s.load("APIAKeyHi_EL1", "i64")));
  const operands = [pointer.value, modifier.value, keyLo.value, keyHi.value] as const;
  s.if(
    bit(2),
    () => {
      const code = select(bit(1), i32(b.errorCode), i32(a.errorCode));
      s.set(pointer, s.helper("pauthAuthenticate", ...operands, i32(PAUTH_ENABLES), i32(0), code));
    },
    () => s.set(pointer, s.helper("pauthSign", ...operands, i32(0))),
  );
  s.if(
    bit(4),
    () => s.store("X30", pointer.value),
    () => s.store("X17", pointer.value),
  );
  return i32(0);
}

export const PAUTH_HELPERS: HelperTable = {
  pauthMix: { params: ["i64", "i64", "i64", "i64"], result: "i64", body: mix },
  pauthSign: { params: ["i64", "i64", "i64", "i64", "i32"], result: "i64", body: sign },
  pauthAuthenticate: {
    params: ["i64", "i64", "i64", "i64", "i32", "i32", "i32"],
    result: "i64",
    body: authenticate,
  },
  pauthStrip: { params: ["i64", "i32"], result: "i64", body: strip },
  pauthHint: { params: ["i32"], result: "i32", body: hint },
};
