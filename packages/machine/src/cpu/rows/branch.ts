/** Branches. DDI 0487, "Branches, Exception Generating and System instructions". */
import { add, and, i64, isZero, ne, shl, shrU, wrap, zext } from "./expr.js";
import { row } from "./row.js";
import { CONDITIONS, reg, target } from "./text.js";

export const branchRows = [
  row("000101 iiiiiiiiiiiiiiiiiiiiiiiiii", {
    name: "B",
    group: "branch",
    signed: ["i"],
    sem: (c, { i }) => c.branch(shl(i, 2)),
    print: ({ i }, pc) => `b ${target(pc, i * 4)}`,
  }),
  row("100101 iiiiiiiiiiiiiiiiiiiiiiiiii", {
    name: "BL",
    group: "branch",
    signed: ["i"],
    sem: (c, { i }) => {
      c.link(add(c.pc(), 4));
      c.branch(shl(i, 2));
    },
    print: ({ i }, pc) => `bl ${target(pc, i * 4)}`,
  }),
  row("01010100 iiiiiiiiiiiiiiiiiii 0 cccc", {
    name: "B.cond",
    group: "branch",
    signed: ["i"],
    sem: (c, { i, c: cc }) => c.when(c.condition(cc), () => c.branch(shl(i, 2))),
    print: ({ i, c }, pc) => `b.${CONDITIONS[c]} ${target(pc, i * 4)}`,
  }),
  row("f0110100 iiiiiiiiiiiiiiiiiii ttttt", {
    name: "CBZ",
    group: "branch",
    shape: ["f"],
    signed: ["i"],
    sem: (c, { f, i, t }) => c.when(isZero(c.get(f, t)), () => c.branch(shl(i, 2))),
    print: ({ f, i, t }, pc) => `cbz ${reg(f, t)}, ${target(pc, i * 4)}`,
  }),
  row("f0110101 iiiiiiiiiiiiiiiiiii ttttt", {
    name: "CBNZ",
    group: "branch",
    shape: ["f"],
    signed: ["i"],
    sem: (c, { f, i, t }) => c.when(ne(c.get(f, t), 0), () => c.branch(shl(i, 2))),
    print: ({ f, i, t }, pc) => `cbnz ${reg(f, t)}, ${target(pc, i * 4)}`,
  }),
  row("h011011o bbbbb iiiiiiiiiiiiii ttttt", {
    name: "TBZ, TBNZ",
    group: "branch",
    shape: ["h", "o"],
    signed: ["i"],
    sem: (c, { h, o, b, i, t }) => {
      const bit = h ? wrap(and(shrU(c.get(1, t), add(zext(b), i64(32))), 1)) : and(shrU(c.get(0, t), b), 1);
      c.when(o ? bit : isZero(bit), () => c.branch(shl(i, 2)));
    },
    print: ({ h, o, b, i, t }, pc) => `${o ? "tbnz" : "tbz"} ${reg(h, t)}, #${h * 32 + b}, ${target(pc, i * 4)}`,
  }),
  row("1101011 0000 11111 000000 nnnnn 00000", {
    name: "BR",
    group: "branch",
    sem: (c, { n }) => c.jump(c.get(1, n), "indirect"),
    print: ({ n }) => `br ${reg(1, n)}`,
  }),
  row("1101011 0001 11111 000000 nnnnn 00000", {
    name: "BLR",
    group: "branch",
    sem: (c, { n }) => {
      const to = c.tmp(c.get(1, n));
      c.link(add(c.pc(), 4));
      c.jump(to, "call");
    },
    print: ({ n }) => `blr ${reg(1, n)}`,
  }),
  row("1101011 0010 11111 000000 nnnnn 00000", {
    name: "RET",
    group: "branch",
    sem: (c, { n }) => c.jump(c.get(1, n), "return"),
    print: ({ n }) => (n === 30 ? "ret" : `ret ${reg(1, n)}`),
  }),
];
