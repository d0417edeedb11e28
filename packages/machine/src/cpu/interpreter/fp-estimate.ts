/**
 * FRECPE and FRSQRTE of normal numbers whose estimate is normal: eight bits by integer arithmetic, in every mode and
 * without flags. DDI 0487, "RecipEstimate", "RecipSqrtEstimate".
 */
import {
  add,
  and,
  constant,
  divU,
  type Expr,
  i32,
  ltU,
  mul,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
  zext,
} from "../rows/expr.js";
import { F32, F64, type HostFormat, held, native, number, reference } from "./fp-nodes.js";
import type { HelperFunction, HelperTable } from "./functions.js";

interface Parts {
  readonly sign: Expr;
  /** Biased, i32. */
  readonly exponent: Expr;
  /** The fraction's top eight bits, i32. */
  readonly eight: Expr;
}

const narrowed = (f: HostFormat, bits: Expr): Expr => (f === F64 ? wrap(bits) : bits);

/** Sign, exponent and estimate as a pattern. */
function pack(f: HostFormat, sign: Expr, exponent: Expr, estimate: Expr): Expr {
  const upper = or(shl(exponent, 8), and(estimate, 0xff));
  return or(sign, shl(f === F64 ? zext(upper) : upper, f.fraction - 8));
}

/** An estimate of numbers whose biased exponent is from 1 to `most` and whose sign is `positive` or any. */
const estimate = (
  f: HostFormat,
  name: "recpe" | "rsqrte",
  range: { readonly most: number; readonly positive: boolean },
  of: (parts: Parts) => Expr,
): HelperFunction => ({
  params: [f.int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const signAndExponent = narrowed(f, shrU(a, f.fraction));
    const exponentMask = 2 ** (f.bits - 1 - f.fraction) - 1;
    const exponent = held(s, range.positive ? signAndExponent : and(signAndExponent, exponentMask)).value;
    const eight = held(s, and(narrowed(f, shrU(a, f.fraction - 8)), 0xff)).value;
    s.if(ltU(sub(exponent, 1), i32(range.most)), () => s.return(of({ sign: and(a, f.sign), exponent, eight })));
    return reference(s, `${name}${f.bits}`, f.int, a);
  },
});

const recip = (f: HostFormat, bias: number): HelperFunction =>
  estimate(f, "recpe", { most: 2 * bias - 2, positive: false }, ({ sign, exponent, eight }) => {
    const scaled = add(mul(or(eight, 256), 2), 1);
    return pack(f, sign, sub(2 * bias - 1, exponent), shrU(add(divU(i32(2 ** 19), scaled), 1), 1));
  });

const rsqrt = (f: HostFormat, bias: number): HelperFunction =>
  estimate(f, "rsqrte", { most: 2 * bias, positive: true }, ({ exponent, eight }) => {
    const nine = or(eight, 256);
    const even = add(mul(and(nine, -2), 2), 2);
    const odd = add(and(nine, -2), 1);
    const scaled = select(and(exponent, 1), odd, even);
    // The largest b with scaled * b * b < 2^28: no quotient is a square, nor near one.
    const quotient = native("f64_div", number(F64, 2 ** 28), native("f64_convert_i32_u", scaled));
    const b = native("i32_trunc_f64_u", native("f64_sqrt", quotient));
    return pack(f, constant(f.int, 0), shrU(sub(3 * bias - 1, exponent), 1), shrU(add(b, 1), 1));
  });

export const FP_ESTIMATE_HELPERS: HelperTable = {
  frecpe32: recip(F32, 127),
  frecpe64: recip(F64, 1023),
  frsqrte32: rsqrt(F32, 127),
  frsqrte64: rsqrt(F64, 1023),
};
