/** Conditional select and conditional compare. DDI 0487, "Conditional select", "Conditional compare (register)". */
import { immediate } from "./arithmetic.js";
import { add, neg, not, select, shl } from "./expr.js";
import { row } from "./row.js";
import { CONDITIONS, imm, reg } from "./text.js";

const SELECTS = ["csel", "csinc", "csinv", "csneg"];
/** Aliases with both sources equal, and with both the zero register. */
const ONE_REGISTER = ["", "cinc", "cinv", "cneg"];
const NO_REGISTER = ["", "cset", "csetm", ""];

export const selectRows = [
  row("fo011010100 mmmmm cccc 0 s nnnnn ddddd", {
    name: "CSEL, CSINC, CSINV, CSNEG",
    group: "data",
    shape: ["f", "o", "s"],
    sem: (c, { f, o, m, c: cc, s, n, d }) => {
      const other = c.get(f, m);
      const otherwise = o ? (s ? neg(other) : not(other)) : s ? add(other, 1) : other;
      c.set(f, d, select(c.condition(cc), c.get(f, n), otherwise));
    },
    print: ({ f, o, m, c, s, n, d }) => {
      const kind = o * 2 + s;
      if (n === m && c < 14 && kind !== 0) {
        const inverted = CONDITIONS[c ^ 1];
        if (n === 31 && NO_REGISTER[kind] !== "") return `${NO_REGISTER[kind]} ${reg(f, d)}, ${inverted}`;
        if (n !== 31 || kind === 3) return `${ONE_REGISTER[kind]} ${reg(f, d)}, ${reg(f, n)}, ${inverted}`;
      }
      return `${SELECTS[kind]} ${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}, ${CONDITIONS[c]}`;
    },
  }),
  row("fo111010010 mmmmm cccc 00 nnnnn 0 vvvv", {
    name: "CCMN, CCMP (register)",
    group: "data",
    shape: ["f", "o"],
    sem: (c, { f, o, m, c: cc, n, v }) =>
      c.setFlagsIf(c.condition(cc), o ? "sub" : "add", c.get(f, n), c.get(f, m), shl(v, 28)),
    print: ({ f, o, m, c, n, v }) => `${o ? "ccmp" : "ccmn"} ${reg(f, n)}, ${reg(f, m)}, ${imm(v)}, ${CONDITIONS[c]}`,
  }),
  row("fo111010010 iiiii cccc 10 nnnnn 0 vvvv", {
    name: "CCMN, CCMP (immediate)",
    group: "data",
    shape: ["f", "o"],
    sem: (c, { f, o, i, c: cc, n, v }) =>
      c.setFlagsIf(c.condition(cc), o ? "sub" : "add", c.get(f, n), immediate(f, i), shl(v, 28)),
    print: ({ f, o, i, c, n, v }) => `${o ? "ccmp" : "ccmn"} ${reg(f, n)}, ${imm(i)}, ${imm(v)}, ${CONDITIONS[c]}`,
  }),
];
