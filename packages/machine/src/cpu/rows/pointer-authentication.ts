/**
 * Pointer authentication, FEAT_PAuth without FEAT_EPAC, FEAT_PAuth2 and FEAT_FPAC: a failed authentication spoils the
 * pointer. The algorithm is IMPLEMENTATION DEFINED (cpu/pauth.ts). Where an instruction traps (EC 0x09) it is the machine's.
 * The hints (PACIASP and the like) are with HINT, in system.ts.
 * DDI 0487, "Pointer authentication", and the instructions' pages.
 */
import { Access } from "../engine.js";
import { PAUTH, PAUTH_KEYS, type PauthKey } from "../pauth.js";
import type { RegName } from "../state.js";
import type { Context } from "./context.js";
import { add, and, type Expr, i32, i64, or, sext, shl, wrap } from "./expr.js";
import { row } from "./row.js";
import { reg, regSP } from "./text.js";

const pauth = (c: Context): Expr => wrap(c.special("PAUTH"));
const keyWords = (c: Context, name: string): [Expr, Expr] => [
  c.special(`AP${name}KeyLo_EL1` as RegName),
  c.special(`AP${name}KeyHi_EL1` as RegName),
];

/** Leaves the instruction to the machine when its key is enabled and its use traps. */
function checkTrap(c: Context, { enable }: PauthKey): void {
  c.when(and(pauth(c), enable), () => c.when(and(pauth(c), PAUTH.TRAP), () => c.system()));
}

/** `pointer` authenticated, or as it is while the key is disabled. */
function authenticated(c: Context, key: PauthKey, pointer: Expr, modifier: Expr): Expr {
  checkTrap(c, key);
  const { name, enable, data, errorCode } = key;
  const options = [i32(enable), i32(data ? 1 : 0), i32(errorCode)];
  return c.tmp(c.helper("pauthAuthenticate", "i64", pointer, modifier, ...keyWords(c, name), ...options));
}

/** One of PAC…, AUT… on a general register. */
function onRegister(c: Context, options: { key: PauthKey; authenticate: number; d: Parameters<Context["get"]>[1] }) {
  const { key, authenticate, d } = options;
  return (modifier: Expr): void => {
    const pointer = c.get(1, d);
    if (authenticate) {
      c.set(1, d, authenticated(c, key, pointer, modifier));
      return;
    }
    checkTrap(c, key);
    c.when(and(pauth(c), key.enable), () =>
      c.set(1, d, c.helper("pauthSign", "i64", pointer, modifier, ...keyWords(c, key.name), i32(key.data ? 1 : 0))),
    );
  };
}

const keyOf = (k: number, b: number): PauthKey => PAUTH_KEYS[(k * 2 + b) as 0 | 1 | 2 | 3];
const lower = (k: number, b: number): string => keyOf(k, b).name.toLowerCase();
const verb = (u: number): string => (u ? "aut" : "pac");

const registerRows = [
  row("1101101011000001 000 u k b nnnnn ddddd", {
    name: "PACIA, PACIB, PACDA, PACDB, AUTIA, AUTIB, AUTDA, AUTDB",
    group: "data",
    shape: ["u", "k", "b"],
    rare: true,
    sem: (c, { u, k, b, n, d }) => onRegister(c, { key: keyOf(k, b), authenticate: u, d })(c.tmp(c.getsp(1, n))),
    print: ({ u, k, b, n, d }) => `${verb(u)}${lower(k, b)} ${reg(1, d)}, ${regSP(1, n)}`,
  }),
  row("1101101011000001 001 u k b 11111 ddddd", {
    name: "PACIZA, PACIZB, PACDZA, PACDZB, AUTIZA, AUTIZB, AUTDZA, AUTDZB",
    group: "data",
    shape: ["u", "k", "b"],
    rare: true,
    sem: (c, { u, k, b, d }) => onRegister(c, { key: keyOf(k, b), authenticate: u, d })(i64(0)),
    print: ({ u, k, b, d }) => `${verb(u)}${k ? "d" : "i"}z${b ? "b" : "a"} ${reg(1, d)}`,
  }),
  row("1101101011000001 01000 k 11111 ddddd", {
    name: "XPACI, XPACD",
    group: "data",
    shape: ["k"],
    rare: true,
    sem: (c, { k, d }) => c.set(1, d, c.helper("pauthStrip", "i64", c.get(1, d), i32(k))),
    print: ({ k, d }) => `xpac${k ? "d" : "i"} ${reg(1, d)}`,
  }),
  row("10011010110 mmmmm 001100 nnnnn ddddd", {
    name: "PACGA",
    group: "data",
    rare: true,
    sem: (c, { m, n, d }) => {
      c.when(and(pauth(c), PAUTH.TRAP), () => c.system());
      const code = c.helper("pauthMix", "i64", c.get(1, n), c.tmp(c.getsp(1, m)), ...keyWords(c, "GA"));
      c.set(1, d, and(code, ~0xffff_ffffn));
    },
    print: ({ m, n, d }) => `pacga ${reg(1, d)}, ${reg(1, n)}, ${regSP(1, m)}`,
  }),
];

/** BR, BLR: 0 and 1; RET is drawn on its own. */
const branchText = (o: number, z: number, b: number): string => `${o ? "blra" : "bra"}${b ? "b" : "a"}${z ? "z" : ""}`;

function branchTo(c: Context, o: number, target: Expr): void {
  if (o) c.link(add(c.pc(), 4));
  c.jump(target, o ? "call" : "indirect");
}

const branchRows = [
  row("1101011 1000 11111 00001 b nnnnn mmmmm", {
    name: "BRAA, BRAB",
    group: "branch",
    shape: ["b"],
    sem: (c, { b, n, m }) => branchTo(c, 0, authenticated(c, keyOf(0, b), c.get(1, n), c.tmp(c.getsp(1, m)))),
    print: ({ b, n, m }) => `${branchText(0, 0, b)} ${reg(1, n)}, ${regSP(1, m)}`,
  }),
  row("1101011 1001 11111 00001 b nnnnn mmmmm", {
    name: "BLRAA, BLRAB",
    group: "branch",
    shape: ["b"],
    sem: (c, { b, n, m }) => branchTo(c, 1, authenticated(c, keyOf(0, b), c.get(1, n), c.tmp(c.getsp(1, m)))),
    print: ({ b, n, m }) => `${branchText(1, 0, b)} ${reg(1, n)}, ${regSP(1, m)}`,
  }),
  row("1101011 000 o 11111 00001 b nnnnn 11111", {
    name: "BRAAZ, BRABZ, BLRAAZ, BLRABZ",
    group: "branch",
    shape: ["o", "b"],
    sem: (c, { o, b, n }) => branchTo(c, o, authenticated(c, keyOf(0, b), c.get(1, n), i64(0))),
    print: ({ o, b, n }) => `${branchText(o, 1, b)} ${reg(1, n)}`,
  }),
  row("1101011 0010 11111 00001 b 11111 11111", {
    name: "RETAA, RETAB",
    group: "branch",
    shape: ["b"],
    sem: (c, { b }) => c.jump(authenticated(c, keyOf(0, b), c.special("X30"), c.special("SP")), "return"),
    print: ({ b }) => `reta${b ? "b" : "a"}`,
  }),
  row("1101011 0100 11111 00001 b 11111 11111", {
    name: "ERETAA, ERETAB",
    group: "system",
    shape: ["b"],
    sem: (c) => c.system(),
    print: ({ b }) => `ereta${b ? "b" : "a"}`,
  }),
];

const loadRows = ([0, 1] as const).map((b) =>
  row(`11111000 ${b} h 1 iiiiiiiii w 1 nnnnn ttttt`, {
    name: b ? "LDRAB" : "LDRAA",
    group: "load-store",
    shape: ["h", "w"],
    rare: true,
    unpredictable: ({ w, n, t }) => w === 1 && n === t && n !== 31,
    sem: (c, { h, i, w, n, t }) => {
      const address = authenticated(c, keyOf(1, b), c.base(n), i64(0));
      // S:imm9, scaled by eight.
      const offset = sext(shl(h ? or(i, -512) : i, 3));
      const va = c.tmp(add(address, offset));
      const host = c.read(va, { size: 8, flags: w ? Access.NO_SYNDROME : 0 });
      c.set(1, t, c.peek(host, 8, "i64"));
      if (w) c.setsp(1, n, va);
    },
    print: ({ h, i, w, n, t }) => {
      const offset = (i - (h ? 512 : 0)) * 8;
      const at = `[${regSP(1, n)}${offset === 0 ? "" : `, #${offset}`}]`;
      return `${b ? "ldrab" : "ldraa"} ${reg(1, t)}, ${at}${w ? "!" : ""}`;
    },
  }),
);

export const pointerAuthenticationRows = [...registerRows, ...branchRows, ...loadRows];
