/**
 * Granule protection, Realm and Root state by emulated code: a GPT in memory, accesses from each state and EL, the
 * exceptions that refusals become. DDI 0487, "The Granule Protection Check Mechanism", "Security states".
 */
import { DEFAULTS, HCR, mapRunner, NORMAL, SCTLR, tcr, tcr2, vtcr } from "../case.js";
import { isb, mrs, msr, op, sys } from "../encoding.js";
import { type Expecting, SVC_END } from "../expecting.js";
import { CODE, DATA, dataWord, VECTORS_EL2 } from "../layout.js";
import type { Tree } from "../tables.js";
import type { ArchitectureCase } from "./architecture.js";
import { mapRunner2 } from "./stage2.js";

const GPT_L1 = 0x4100_0000;
const GPT_L0 = 0x4104_0000;
/** PPS 36 bits, walks inner shareable and write-back, checks on; 4 KiB granules, 1 GiB in each entry of level 0. */
const GPCCR = 1n | (1n << 8n) | (1n << 10n) | (3n << 12n) | (1n << 16n);
const GPI = { NONE: 0n, SECURE: 8n, NS: 9n, ROOT: 10n, REALM: 11n, ANY: 15n, RESERVED: 2n } as const;

const END = { to: "end" } as const;
const SCR_GPF = 1n << 48n;
const SCR_REALM = DEFAULTS.SCR_EL3 | (1n << 62n);
const HCR_GPF = 1n << 48n;
/** PAS of MFAR_EL3. */
const NS = 1n << 63n;
const REALM = 3n << 62n;
const VA = 0x20_0000n;
const IPA = 0x7_2345_0000n;
const hpfar = (ipa: bigint) => (ipa >> 12n) << 4n;

/** ESR_EL3 of a GPC exception. */
const gpc = (options: { s2ptw?: boolean; fetch?: boolean; gpcsc?: number; rest: bigint }): bigint =>
  0x7a00_0000n |
  (options.s2ptw ? 1n << 21n : 0n) |
  (options.fetch ? 1n << 20n : 0n) |
  (BigInt(options.gpcsc ?? 0x0d) << 14n) |
  options.rest;

/** Everything is of any PAS but for the granules given; checks are on. */
function protect(b: Expecting, granules: Readonly<Record<number, bigint>>): void {
  const { program } = b;
  program.fill(GPT_L0, 64 * 8, 0xf1n);
  program.write64(GPT_L0 + 8, BigInt(GPT_L1) | 3n);
  program.fill(GPT_L1, 0x2_0000, (1n << 64n) - 1n);
  const entries = new Map<number, bigint>();
  for (const [address, gpi] of Object.entries(granules)) {
    const pa = Number(address);
    const entry = GPT_L1 + ((pa & 0x3fff_ffff) >>> 16) * 8;
    const shift = BigInt(((pa >>> 12) & 15) * 4);
    entries.set(entry, ((entries.get(entry) ?? (1n << 64n) - 1n) & ~(0xfn << shift)) | (gpi << shift));
  }
  for (const [address, value] of entries) program.write64(address, value);
  b.set({ GPTBR_EL3: GPT_L0 >> 12, GPCCR_EL3: GPCCR });
  program.sys("TLBI PAALL");
}

const PAGES = {
  none: DATA,
  secure: DATA + 0x1000,
  ns: DATA + 0x2000,
  root: DATA + 0x3000,
  realm: DATA + 0x4000,
  any: DATA + 0x5000,
} as const;
/** A page of each kind. */
const kinds = (b: Expecting): void =>
  protect(b, {
    [PAGES.none]: GPI.NONE,
    [PAGES.secure]: GPI.SECURE,
    [PAGES.ns]: GPI.NS,
    [PAGES.root]: GPI.ROOT,
    [PAGES.realm]: GPI.REALM,
    [PAGES.any]: GPI.ANY,
  });

const nonSecure: ArchitectureCase[] = [
  {
    name: "Non-secure state reaches NS and ANY granules; refusals with SCR_EL3.GPF = 0",
    run: (b) => {
      kinds(b);
      for (const pa of [PAGES.ns, PAGES.any]) {
        b.sees("EL1", "read", pa, { ...END, also: { X1: dataWord(pa) } });
        b.sees("EL2", "write", pa + 64, END);
        b.sees("EL0", "read", pa, SVC_END);
      }
      for (const page of [PAGES.none, PAGES.secure, PAGES.root, PAGES.realm]) {
        const far = BigInt(page + 0x128);
        b.sees("EL1", "read", far, { to: "EL1", esr: 0x9600_0028n, far, also: { X1: 0x1111_0000_0000_0001n } });
        b.sees("EL1", "write", far, { to: "EL1", esr: 0x9600_0068n, far });
        b.sees("EL1", "execute", far, { to: "EL1", esr: 0x8600_0028n, far, elr: far });
        b.sees("EL0", "read", far, { to: "EL1", esr: 0x9200_0028n, far });
        b.sees("EL0", "execute", far, { to: "EL1", esr: 0x8200_0028n, far });
        b.sees("EL2", "read", far, { to: "EL2", esr: 0x9600_0028n, far });
        b.sees("EL1", "readExclusive", far, { to: "EL1", esr: 0x9600_0028n });
        b.sees("EL1", "add", far, { to: "EL1", esr: 0x9600_0028n });
      }
      b.set({ HCR_EL2: HCR.RW | HCR_GPF });
      b.sees("EL1", "read", PAGES.realm, { to: "EL2", esr: 0x9200_0028n, far: BigInt(PAGES.realm) });
      b.sees("EL0", "execute", PAGES.root, { to: "EL2", esr: 0x8200_0028n });
      b.set({ HCR_EL2: HCR.RW | HCR.TGE });
      b.sees("EL0", "write", PAGES.realm, { to: "EL2", esr: 0x9200_0068n });
      // Root's granules alone are EL3's own while checks are on.
      b.program.msr("GPCCR_EL3", 0);
      for (const page of Object.values(PAGES)) b.program.write64(page + 64, dataWord(page + 64));
    },
  },
  {
    name: "refusals with SCR_EL3.GPF = 1 are GPC exceptions",
    run: (b) => {
      kinds(b);
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR_GPF });
      for (const page of [PAGES.none, PAGES.realm, PAGES.root]) {
        const far = BigInt(page + 8);
        const also = { MFAR_EL3: NS | BigInt(page) };
        b.sees("EL1", "read", far, { to: "EL3", esr: gpc({ rest: 0x28n }), far, also });
        b.sees("EL1", "write", far, { to: "EL3", esr: gpc({ rest: 0x68n }), far, also });
        b.sees("EL0", "execute", far, { to: "EL3", esr: gpc({ fetch: true, rest: 0x28n }), far, also });
        b.sees("EL2", "read", far, { to: "EL3", esr: gpc({ rest: 0x28n }), far, also });
      }
      // EL3's own access is an ordinary abort: Root's granules are its PAS while translation is off.
      b.sees("EL3", "read", PAGES.realm, { to: "EL3", esr: 0x9600_0028n, far: BigInt(PAGES.realm) });
      b.sees("EL3", "read", PAGES.root, END);
    },
  },
  {
    name: "invalid GPT entries are GPC exceptions of EL3 always",
    run: (b) => {
      protect(b, { [DATA]: GPI.RESERVED });
      b.sees("EL1", "read", DATA, { to: "EL3", esr: gpc({ gpcsc: 0x05, rest: 0x28n }), far: BigInt(DATA) });
      // All granules of the entry are refused.
      b.sees("EL2", "read", DATA + 0x2000, { to: "EL3", esr: gpc({ gpcsc: 0x05, rest: 0x28n }) });
      b.program.write64(GPT_L0 + 2 * 8, 0x3n | (1n << 55n));
      b.program.sys("TLBI PAALL");
      b.sees("EL1", "read", 0x8000_0000, { to: "EL3", esr: gpc({ gpcsc: 0x04, rest: 0x28n }), far: 0x8000_0000n });
    },
  },
  {
    name: "beyond the protected size Non-secure state is not checked",
    run: (b) => {
      protect(b, {});
      // Nothing is there: the external abort shows that the check let it pass.
      b.sees("EL1", "read", 1n << 36n, { to: "EL1", esr: 0x9600_0010n });
      b.set({ SCR_EL3: SCR_REALM });
      b.sees("EL1", "read", 1n << 36n, { to: "EL1", esr: 0x9600_0028n });
    },
  },
];

/** Both stages on; data at VA, IPA. Returns the trees. */
function bothStages(b: Expecting, fill: (low: Tree, second: Tree) => void): { low: Tree; second: Tree } {
  const low = b.tree(48);
  const second = b.tree(40, 1);
  mapRunner(low);
  low.map(VA, IPA, { attr: NORMAL, ap: 1 });
  mapRunner2(second);
  second.map2(IPA, PAGES.any);
  fill(low, second);
  b.install(low, second);
  b.set({
    HCR_EL2: HCR.RW | HCR.VM,
    VTCR_EL2: vtcr(),
    VTTBR_EL2: BigInt(second.root),
    TTBR0_EL1: BigInt(low.root),
    TCR_EL1: tcr(),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M,
  });
  return { low, second };
}

const granuleOf = (address: number): number => address - (address % 4096);

const walks: ArchitectureCase[] = [
  {
    name: "granule protection of stage-1 tables",
    run: (b) => {
      const low = b.tree(48);
      mapRunner(low);
      low.map(VA, PAGES.any, { attr: NORMAL, ap: 1 });
      b.install(low);
      b.set({ TTBR0_EL1: BigInt(low.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M });
      const table = granuleOf(low.at(VA, 3));
      protect(b, { [table]: GPI.REALM });
      b.sees("EL1", "read", VA, { to: "EL1", esr: 0x9600_0027n, far: VA });
      b.sees("EL0", "write", VA, { to: "EL1", esr: 0x9200_0067n, far: VA });
      // AT reports it, or takes it where a hypervisor or EL3 asks for it.
      const at = [sys("AT S1E1R", 2), isb, mrs(1, "PAR_EL1")];
      const x = { 2: VA };
      b.executes("EL1", at, { ...END, also: { X1: 0x84fn } }, { x });
      b.set({ HCR_EL2: HCR.RW | HCR_GPF });
      b.executes("EL1", at, { to: "EL2", esr: 0x9200_0167n, far: VA }, { x });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR_GPF });
      const also = { MFAR_EL3: NS | BigInt(table) };
      b.sees("EL1", "read", VA, { to: "EL3", esr: gpc({ rest: 0x27n }), far: VA, also });
      b.executes("EL1", at, { to: "EL3", esr: gpc({ rest: 0x167n }), far: VA }, { x });
    },
  },
  {
    name: "granule protection of stage-2 tables",
    run: (b) => {
      const { second } = bothStages(b, () => {});
      const table = granuleOf(second.at(IPA, 3));
      protect(b, { [table]: GPI.ROOT });
      b.sees("EL1", "read", VA + 8n, { to: "EL2", esr: 0x9200_0027n, far: VA + 8n, also: { HPFAR_EL2: hpfar(IPA) } });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR_GPF });
      b.sees("EL1", "write", VA + 8n, {
        to: "EL3",
        esr: gpc({ s2ptw: true, rest: 0x67n }),
        far: VA + 8n,
        also: { MFAR_EL3: NS | BigInt(table), HPFAR_EL2: hpfar(IPA) },
      });
    },
  },
  {
    name: "granule protection of a stage-2 table on the walk of stage 1",
    run: (b) => {
      const moved = 0x9_0000_0000n;
      const { second } = bothStages(b, (low, second) => {
        low.set(0x4000_0000_0000n, 0, moved | 3n);
        second.map2(moved, PAGES.any);
      });
      protect(b, { [granuleOf(second.at(moved, 3))]: GPI.REALM });
      const va = 0x4000_0000_0128n;
      b.sees("EL1", "read", va, { to: "EL2", esr: 0x9200_00a7n, far: va, also: { HPFAR_EL2: hpfar(moved) } });
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 | SCR_GPF });
      b.sees("EL1", "read", va, { to: "EL3", esr: gpc({ s2ptw: true, rest: 0xa7n }), far: va });
    },
  },
  {
    name: "the output of AT is not checked; translation faults come before",
    run: (b) => {
      const low = b.tree(48);
      mapRunner(low);
      low.map(VA, PAGES.realm, { attr: NORMAL, ap: 3 });
      b.install(low);
      b.set({ TTBR0_EL1: BigInt(low.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M });
      kinds(b);
      const page = op("SBFM, BFM, UBFM, 64-bit", { o: 2, r: 12, s: 47, n: 1, d: 1 });
      b.executes(
        "EL1",
        [sys("AT S1E1R", 2), isb, mrs(1, "PAR_EL1"), page],
        { ...END, also: { X1: BigInt(PAGES.realm) >> 12n } },
        { x: { 2: VA } },
      );
      b.sees("EL1", "write", VA, { to: "EL1", esr: 0x9600_004fn });
      b.sees("EL1", "read", VA, { to: "EL1", esr: 0x9600_0028n });
    },
  },
  {
    name: "a granule that changes hands, and TLBI RPALOS",
    run: (b) => {
      protect(b, { [PAGES.ns]: GPI.NS });
      b.sees("EL1", "read", PAGES.ns, END);
      b.sees("EL1", "writeByte", PAGES.ns, END);
      const entry = GPT_L1 + ((PAGES.ns & 0x3fff_ffff) >>> 16) * 8;
      b.program.write64(entry, (~(0xfn << 8n) & ((1n << 64n) - 1n)) | (GPI.REALM << 8n));
      b.program.sys("TLBI RPALOS", PAGES.ns >> 12);
      b.sees("EL1", "read", PAGES.ns, { to: "EL1", esr: 0x9600_0028n });
      b.sees("EL1", "writeByte", PAGES.ns, { to: "EL1", esr: 0x9600_0068n });
      b.set({ SCR_EL3: SCR_REALM });
      b.sees("EL1", "read", PAGES.ns, END);
      b.program.msr("GPCCR_EL3", 0);
      b.program.write64(PAGES.ns, dataWord(PAGES.ns));
    },
  },
];

/** Realm state. */
const realm: ArchitectureCase[] = [
  {
    name: "Realm state with translation off reaches Realm granules",
    run: (b) => {
      kinds(b);
      b.set({ SCR_EL3: SCR_REALM | SCR_GPF });
      for (const level of ["EL1", "EL2"] as const) {
        b.sees(level, "read", PAGES.realm, { ...END, also: { X1: dataWord(PAGES.realm) } });
        b.sees(level, "read", PAGES.any, END);
        for (const page of [PAGES.ns, PAGES.root, PAGES.secure]) {
          const also = { MFAR_EL3: REALM | BigInt(page) };
          b.sees(level, "read", page, { to: "EL3", esr: gpc({ rest: 0x28n }), far: BigInt(page), also });
        }
      }
    },
  },
  {
    name: "Realm EL1: bit 55 of stage 2 chooses the address space",
    run: (b) => {
      const moved = 0x9_0000_0000n;
      bothStages(b, (low, second) => {
        for (let i = 1n; i < 5n; i++) low.map(VA + i * 0x1000n, IPA + i * 0x1000n, { attr: NORMAL, ap: 1 });
        low.set(0x4000_0000_0000n, 0, moved | 3n);
        second.map2(IPA, PAGES.realm);
        second.map2(IPA + 0x1000n, PAGES.ns, { ns: 1 });
        second.map2(IPA + 0x2000n, PAGES.ns);
        second.map2(IPA + 0x3000n, PAGES.realm, { ns: 1 });
        second.map2(IPA + 0x4000n, PAGES.any, { ns: 1 });
        second.map2(moved, PAGES.any, { ns: 1 });
      });
      kinds(b);
      b.set({ SCR_EL3: SCR_REALM | SCR_GPF });
      b.sees("EL1", "read", VA, { ...END, also: { X1: dataWord(PAGES.realm) } });
      b.sees("EL0", "read", VA + 0x1000n, { ...SVC_END, also: { X1: dataWord(PAGES.ns) } });
      const refused = (pa: number, pas: bigint) =>
        ({ to: "EL3", esr: gpc({ rest: 0x28n }), also: { MFAR_EL3: pas | BigInt(pa) } }) as const;
      b.sees("EL1", "read", VA + 0x2000n, refused(PAGES.ns, REALM));
      b.sees("EL1", "read", VA + 0x3000n, refused(PAGES.realm, NS));
      // Instructions and tables come from Realm memory alone.
      b.sees("EL0", "execute", VA + 0x4000n, {
        to: "EL2",
        esr: 0x8200_000fn,
        also: { HPFAR_EL2: hpfar(IPA + 0x4000n) },
      });
      b.sees("EL1", "read", 0x4000_0000_0008n, { to: "EL2", esr: 0x9200_008fn, also: { HPFAR_EL2: hpfar(moved) } });
    },
  },
  {
    name: "Realm EL1: a stage-2 abort has its syndrome",
    run: (b) => {
      bothStages(b, (low) => low.map(VA + 0x1000n, IPA + 0x1000n, { attr: NORMAL, ap: 1 }));
      b.set({ SCR_EL3: SCR_REALM });
      const at = { to: "EL2", far: VA + 0x1008n, also: { HPFAR_EL2: hpfar(IPA + 0x1000n) } } as const;
      b.sees("EL1", "read", VA + 0x1008n, { ...at, esr: 0x93c1_8007n });
      b.sees("EL0", "writeByte", VA + 0x1008n, { ...at, esr: 0x9302_0047n });
      b.sees("EL1", "writePair", VA + 0x1008n, { ...at, esr: 0x9200_0047n });
    },
  },
  {
    name: "Realm EL2: NS of stage 1 chooses the address space",
    run: (b) => {
      const tree = b.tree(48);
      for (const at of [VECTORS_EL2, CODE, CODE + 0x1000]) tree.map(BigInt(at), at, { attr: NORMAL, ap: 2 });
      tree.map(VA, PAGES.realm, { attr: NORMAL, ap: 0 });
      tree.map(VA + 0x1000n, PAGES.ns, { attr: NORMAL, ap: 0, ns: 1 });
      tree.map(VA + 0x2000n, PAGES.ns, { attr: NORMAL, ap: 0 });
      tree.map(VA + 0x3000n, PAGES.any, { attr: NORMAL, ap: 2, ns: 1 });
      b.install(tree);
      b.set({ TTBR0_EL2: BigInt(tree.root), TCR_EL2: tcr2(), SCTLR_EL2: SCTLR.OFF | SCTLR.M });
      kinds(b);
      b.set({ SCR_EL3: SCR_REALM | SCR_GPF });
      b.sees("EL2", "read", VA, { ...END, also: { X1: dataWord(PAGES.realm) } });
      b.sees("EL2", "read", VA + 0x1000n, { ...END, also: { X1: dataWord(PAGES.ns) } });
      b.sees("EL2", "read", VA + 0x2000n, {
        to: "EL3",
        esr: gpc({ rest: 0x28n }),
        also: { MFAR_EL3: REALM | BigInt(PAGES.ns) },
      });
      b.sees("EL2", "execute", VA + 0x3000n, { to: "EL2", esr: 0x8600_000fn });
      // Non-secure EL2 ignores the bit.
      b.set({ SCR_EL3: DEFAULTS.SCR_EL3 });
      b.sees("EL2", "read", VA + 0x2000n, END);
      b.sees("EL2", "read", VA, { to: "EL2", esr: 0x9600_0028n });
    },
  },
];

/** Root state's stage 1: bits 11 and 5 of a leaf name the space. */
const root: ArchitectureCase[] = [
  {
    name: "EL3: NSE and NS of stage 1 choose the address space",
    run: (b) => {
      const tree = b.tree(48);
      const rooted = { attr: NORMAL, ap: 0, ng: 1 };
      tree.map(0x4000_0000n, 0x4000_0000, { ...rooted, level: 1 });
      const spaces = [
        [PAGES.secure, 0, 0],
        [PAGES.ns, 0, 1],
        [PAGES.root, 1, 0],
        [PAGES.realm, 1, 1],
      ] as const;
      const at = (i: number) => 0x80_0000_0000n + BigInt(i) * 0x1000n;
      for (const [i, [pa, ng, ns]] of spaces.entries()) tree.map(at(i), pa, { attr: NORMAL, ap: 0, ng, ns });
      tree.map(at(4), PAGES.realm, { attr: NORMAL, ap: 0, ng: 0, ns: 1 });
      tree.map(at(5), PAGES.any, { attr: NORMAL, ap: 0, ng: 1, ns: 1 });
      b.install(tree);
      kinds(b);
      b.set({ TTBR0_EL3: BigInt(tree.root), TCR_EL3: tcr2(), MAIR_EL3: 0xff_0000_0000n });
      const load = op("LDR, X (unsigned offset)", { n: 0, t: 1 });
      const on = [msr("SCTLR_EL3", 5), isb];
      const off = [msr("SCTLR_EL3", 6), isb];
      const x = (i: number) => ({ 0: at(i), 5: SCTLR.OFF | SCTLR.M, 6: SCTLR.OFF });
      for (const [i, [pa]] of spaces.entries())
        b.executes("EL3", [...on, load, ...off], { ...END, also: { X1: dataWord(pa) } }, { x: x(i) });
      // What is refused leaves translation on: the runner's memory is mapped as itself.
      b.executes("EL3", [...on, load], { to: "EL3", esr: 0x9600_0028n, far: at(4) }, { x: x(4) });
      b.program.msr("SCTLR_EL3", SCTLR.OFF);
      b.executes("EL3", [...on, op("BR", { n: 0 })], { to: "EL3", esr: 0x8600_000fn, far: at(5) }, { x: x(5) });
      b.program.msr("SCTLR_EL3", SCTLR.OFF);
    },
  },
];

export const granuleCases: readonly ArchitectureCase[] = [...nonSecure, ...walks, ...realm, ...root];
