import { describe, expect, test } from "vitest";
import { Distributor } from "./distributor.js";
import {
  type GicProfile,
  Group,
  hppiGroup,
  hppiIntid,
  hppiPriority,
  KVM_VGIC,
  NO_HPPI,
  PHYSICAL_GIC,
  packAffinity,
} from "./interrupts.js";

const MPIDRS = [0x8000_0000n, 0x8000_0001n, 0x8000_0100n, 0x01_8000_0000n];
const SECURE = true;
const NS = false;

const make = (profile: GicProfile, onChange?: (pe: number) => void) =>
  new Distributor({ profile, mpidrs: MPIDRS, spiCount: 64, ...(onChange ? { onChange } : {}) });

/** One Security state, everything enabled in the distributor. */
const vgic = () => {
  const d = make(KVM_VGIC);
  d.writeDistributor(0, 4, 0x3n, NS);
  return d;
};

/** Two Security states, awake, all groups enabled. */
const physical = () => {
  const d = make(PHYSICAL_GIC);
  d.writeDistributor(0, 4, 0x7n, SECURE);
  for (let pe = 0; pe < d.peCount; pe++) d.writeRedistributor(pe, 0x14, 4, 0n, SECURE);
  return d;
};

const SGI_BASE = 0x1_0000;

describe("identification", () => {
  test.each([
    { name: "GICD_TYPER, two states", profile: PHYSICAL_GIC, offset: 0x4, value: 0x0248_0402n },
    { name: "GICD_TYPER, one state", profile: KVM_VGIC, offset: 0x4, value: 0x0248_0002n },
    { name: "GICD_IIDR", profile: KVM_VGIC, offset: 0x8, value: 0x4b00_343bn },
    { name: "GICD_TYPER2", profile: KVM_VGIC, offset: 0xc, value: 0n },
    { name: "GICD_PIDR2", profile: KVM_VGIC, offset: 0xffe8, value: 0x3bn },
    { name: "GICD_CIDR1", profile: KVM_VGIC, offset: 0xfff4, value: 0xf0n },
  ])("$name", ({ profile, offset, value }) => {
    expect(make(profile).readDistributor(offset, 4, NS)).toBe(value);
  });

  test("GICR_TYPER: affinity, processor number, Last", () => {
    const d = make(KVM_VGIC);
    const typers = MPIDRS.map((_, pe) => d.readRedistributor(pe, 8, 8, NS));
    expect(typers).toEqual([0x0n, 0x1_0000_0100n, 0x100_0000_0200n, 0x0100_0000_0000_0310n]);
    expect(d.readRedistributor(3, 8, 4, NS)).toBe(0x310n);
    expect(d.readRedistributor(3, 0xc, 4, NS)).toBe(0x0100_0000n);
    expect(d.readRedistributor(3, 0xffe8, 4, NS)).toBe(0x3bn);
  });

  test("affinity packs as in GICR_TYPER", () => {
    expect(packAffinity(0xab_8001_0203n)).toBe(0xab01_0203);
  });
});

describe("GICD_CTLR by view", () => {
  test("Secure and Non-secure with DS = 0", () => {
    const d = make(PHYSICAL_GIC);
    expect(d.readDistributor(0, 4, SECURE)).toBe(0x30n);
    expect(d.readDistributor(0, 4, NS)).toBe(0x10n);
    d.writeDistributor(0, 4, 0xffff_ffffn & ~0x40n, SECURE);
    expect(d.readDistributor(0, 4, SECURE)).toBe(0x37n);
    expect(d.readDistributor(0, 4, NS)).toBe(0x12n);
    d.writeDistributor(0, 4, 0n, NS); // only EnableGrp1A is Non-secure's
    expect(d.readDistributor(0, 4, SECURE)).toBe(0x35n);
  });
  test("Non-secure cannot set DS; Secure can, for good", () => {
    const d = make(PHYSICAL_GIC);
    d.writeDistributor(0, 4, 0x40n, NS);
    expect(d.singleSecurityState).toBe(false);
    d.writeDistributor(0, 4, 0x40n, SECURE);
    expect(d.singleSecurityState).toBe(true);
    d.writeDistributor(0, 4, 0n, SECURE);
    expect(d.readDistributor(0, 4, NS)).toBe(0x50n);
  });
  test("DS = 1: as Linux programs it", () => {
    const d = make(KVM_VGIC);
    d.writeDistributor(0, 4, 0x13n, NS);
    expect(d.readDistributor(0, 4, NS)).toBe(0x53n);
  });
});

describe("what Non-secure sees with DS = 0", () => {
  test.each([
    { name: "IGROUPR", offset: 0x84 },
    { name: "ISENABLER", offset: 0x104 },
    { name: "ISPENDR", offset: 0x204 },
    { name: "ISACTIVER", offset: 0x304 },
    { name: "IGRPMODR", offset: 0xd04 },
    { name: "NSACR", offset: 0xe08 },
    { name: "ICFGR", offset: 0xc08 },
  ])("$name of Secure interrupts is RAZ/WI", ({ offset }) => {
    const d = physical();
    const before = d.readDistributor(offset, 4, SECURE);
    d.writeDistributor(offset, 4, 0xffff_ffffn, NS);
    expect(d.readDistributor(offset, 4, SECURE)).toBe(before);
    d.writeDistributor(offset, 4, 0xffff_ffffn, SECURE);
    expect(d.readDistributor(offset, 4, SECURE)).not.toBe(before);
    if (offset !== 0x84) expect(d.readDistributor(offset, 4, NS)).toBe(0n);
  });

  test("a mixed word: only Group 1 Non-secure bits are visible and writable", () => {
    const d = physical();
    d.writeDistributor(0x84, 4, 0x0000_ff00n, SECURE);
    d.writeDistributor(0x104, 4, 0xffff_ffffn, NS);
    expect(d.readDistributor(0x104, 4, SECURE)).toBe(0xff00n);
    d.writeDistributor(0x104, 4, 0x00ff_0000n, SECURE);
    d.writeDistributor(0x184, 4, 0xffff_ffffn, NS);
    expect(d.readDistributor(0x184, 4, SECURE)).toBe(0x00ff_0000n);
  });

  test("priorities are shifted, and stay in the Non-secure half", () => {
    const d = physical();
    d.writeDistributor(0x84, 4, 0xffff_ffffn, SECURE);
    d.writeDistributor(0x420, 1, 0x40n, NS);
    expect(d.readDistributor(0x420, 1, NS)).toBe(0x40n);
    expect(d.readDistributor(0x420, 1, SECURE)).toBe(0xa0n);
    d.writeDistributor(0x420, 1, 0x00n, NS);
    expect(d.readDistributor(0x420, 1, SECURE)).toBe(0x80n);
  });

  test("GICD_NSACR grants: 1 set pending, 2 clear pending and read active, 3 IROUTER", () => {
    const d = physical();
    for (const [granted, set, clear, route] of [
      [0, 0n, false, 0n],
      [1, 1n, false, 0n],
      [2, 1n, true, 0n],
      [3, 1n, true, 0x100n],
    ] as const) {
      d.writeDistributor(0xe08, 4, BigInt(granted), SECURE);
      d.writeDistributor(0x284, 4, 1n, SECURE);
      d.writeDistributor(0x204, 4, 1n, NS);
      expect(d.readDistributor(0x204, 4, SECURE) & 1n).toBe(set);
      d.writeDistributor(0x204, 4, 1n, SECURE);
      d.writeDistributor(0x284, 4, 1n, NS);
      expect(d.readDistributor(0x204, 4, SECURE) & 1n).toBe(clear ? 0n : 1n);
      d.writeDistributor(0x6100, 8, 0x100n, NS);
      expect(d.readDistributor(0x6100, 8, SECURE)).toBe(route);
    }
  });

  test("GICR_WAKER is Secure", () => {
    const d = make(PHYSICAL_GIC);
    expect(d.readRedistributor(0, 0x14, 4, SECURE)).toBe(6n);
    expect(d.readRedistributor(0, 0x14, 4, NS)).toBe(0n);
    d.writeRedistributor(0, 0x14, 4, 0n, NS);
    expect(d.readRedistributor(0, 0x14, 4, SECURE)).toBe(6n);
    d.writeRedistributor(0, 0x14, 4, 0n, SECURE);
    expect(d.readRedistributor(0, 0x14, 4, SECURE)).toBe(0n);
  });
});

describe("access sizes", () => {
  test("IPRIORITYR takes bytes and words", () => {
    const d = vgic();
    d.writeDistributor(0x424, 4, 0xff_80_10_08n, NS);
    expect([0x424, 0x425, 0x426, 0x427].map((at) => d.readDistributor(at, 1, NS))).toEqual([
      0x08n,
      0x10n,
      0x80n,
      0xf8n,
    ]);
    d.writeDistributor(0x425, 1, 0x27n, NS);
    expect(d.readDistributor(0x424, 4, NS)).toBe(0xf8_80_20_08n);
  });
  test("IROUTER takes 64 bits and 32-bit halves; IRM is RAZ/WI", () => {
    const d = vgic();
    d.writeDistributor(0x6108, 8, 0xab_8000_0102n, NS);
    expect(d.readDistributor(0x6108, 8, NS)).toBe(0xab_0000_0102n);
    d.writeDistributor(0x610c, 4, 0x1n, NS);
    d.writeDistributor(0x6108, 4, 0x0n, NS);
    expect(d.readDistributor(0x6108, 8, NS)).toBe(0x1_0000_0000n);
    expect(d.targetOf(33)).toBe(3);
  });
  test.each([1, 2, 8])("other registers ignore accesses of %i bytes", (size) => {
    const d = vgic();
    d.writeDistributor(0x104, size, 0xffn, NS);
    expect(d.readDistributor(0x104, 4, NS)).toBe(0n);
    d.writeDistributor(0x104, 4, 0xffn, NS);
    expect(d.readDistributor(0x104, size, NS)).toBe(0n);
  });
  test("every offset answers, whatever is written", () => {
    const d = vgic();
    const outOfRange: string[] = [];
    const check = (offset: number, size: number, value: bigint) => {
      if (value < 0n || value >= 1n << BigInt(8 * size)) outOfRange.push(`${offset.toString(16)}/${size}`);
    };
    for (let offset = 0; offset < 0x2_0000; offset++) {
      for (const size of [1, 2, 4, 8]) {
        if (offset < 0x1_0000) {
          d.writeDistributor(offset, size, 0xffff_ffff_ffff_ffffn, NS);
          check(offset, size, d.readDistributor(offset, size, NS));
        }
        d.writeRedistributor(1, offset, size, 0xffff_ffff_ffff_ffffn, NS);
        check(offset, size, d.readRedistributor(1, offset, size, NS));
      }
    }
    expect(outOfRange).toEqual([]);
  });
  test("INTIDs beyond the implemented SPIs, and private ones in GICD, are RAZ/WI", () => {
    const d = vgic();
    for (const offset of [0x100, 0x10c, 0x400, 0x460, 0x6300, 0xc00]) {
      d.writeDistributor(offset, 4, 0xffff_ffffn, NS);
      expect(d.readDistributor(offset, 4, NS)).toBe(0n);
    }
  });
});

describe("pending, active, edge and level", () => {
  const enable = (d: Distributor, intid: number) =>
    d.writeDistributor(0x100 + 4 * (intid >> 5), 4, 1n << BigInt(intid & 31), NS);

  test("a level-sensitive SPI follows its line", () => {
    const d = vgic();
    enable(d, 40);
    expect(d.hppi(0)).toBe(NO_HPPI);
    d.setSpi(40, true);
    expect(hppiIntid(d.hppi(0))).toBe(40);
    d.setSpi(40, false);
    expect(d.hppi(0)).toBe(NO_HPPI);
  });
  test("acknowledged while the line stays high: active and pending, not delivered until deactivated", () => {
    const d = vgic();
    enable(d, 40);
    d.setSpi(40, true);
    d.acknowledge(0, 40);
    expect([d.isActive(0, 40), d.isPending(0, 40), d.hppi(0)]).toEqual([true, true, NO_HPPI]);
    d.deactivate(0, 40);
    expect(hppiIntid(d.hppi(0))).toBe(40);
  });
  test("an edge is latched once, and again while active", () => {
    const d = vgic();
    d.writeDistributor(0xc08, 4, 0x2_0000n, NS); // INTID 40
    enable(d, 40);
    d.setSpi(40, true);
    d.setSpi(40, false);
    d.acknowledge(0, 40);
    expect(d.isPending(0, 40)).toBe(false);
    d.setSpi(40, true);
    d.setSpi(40, false);
    expect([d.isActive(0, 40), d.isPending(0, 40)]).toEqual([true, true]);
    d.deactivate(0, 40);
    expect(hppiIntid(d.hppi(0))).toBe(40);
  });
  test("ISPENDR latches a level interrupt; ICPENDR clears the latch, not the line", () => {
    const d = vgic();
    enable(d, 40);
    d.writeDistributor(0x204, 4, 0x100n, NS);
    expect(hppiIntid(d.hppi(0))).toBe(40);
    d.setSpi(40, true);
    d.writeDistributor(0x284, 4, 0x100n, NS);
    expect(d.readDistributor(0x204, 4, NS)).toBe(0x100n);
    d.setSpi(40, false);
    expect(d.readDistributor(0x204, 4, NS)).toBe(0n);
  });
  test("ICFGR reads back; bit 0 of each field is RES0; SGIs are edge and fixed", () => {
    const d = vgic();
    d.writeDistributor(0xc08, 4, 0xffff_ffffn, NS);
    expect(d.readDistributor(0xc08, 4, NS)).toBe(0xaaaa_aaaan);
    d.writeRedistributor(0, SGI_BASE + 0xc00, 4, 0n, NS);
    expect(d.readRedistributor(0, SGI_BASE + 0xc00, 4, NS)).toBe(0xaaaa_aaaan);
    d.writeRedistributor(0, SGI_BASE + 0xc04, 4, 0x8000_0002n, NS);
    expect(d.readRedistributor(0, SGI_BASE + 0xc04, 4, NS)).toBe(0x8000_0002n);
  });
});

describe("selection", () => {
  test("lowest priority value, then lowest INTID; disabled groups and PEs asleep get nothing", () => {
    const d = physical();
    d.writeDistributor(0x84, 4, 0x6n, SECURE); // 33, 34: Group 1 NS
    d.writeDistributor(0xd04, 4, 0x8n, SECURE); // 35: Group 1 Secure
    d.writeDistributor(0x104, 4, 0xfn, SECURE);
    d.writeDistributor(0x204, 4, 0xfn, SECURE);
    d.writeDistributor(0x420, 4, 0x40_80_80_60n, SECURE);
    const take = () => {
      const hppi = d.hppi(0);
      if (hppi === NO_HPPI) return "none";
      d.acknowledge(0, hppiIntid(hppi));
      return [hppiIntid(hppi), hppiGroup(hppi), hppiPriority(hppi)];
    };
    expect(take()).toEqual([35, Group.G1S, 0x40]);
    expect(take()).toEqual([32, Group.G0, 0x60]);
    d.writeDistributor(0, 4, 0x5n, SECURE);
    expect(take()).toBe("none");
    d.writeDistributor(0, 4, 0x7n, SECURE);
    d.setCpuGroups(0, 0b101);
    expect(take()).toBe("none");
    d.setCpuGroups(0, 0b111);
    d.writeRedistributor(0, 0x14, 4, 2n, SECURE);
    expect(take()).toBe("none");
    d.writeRedistributor(0, 0x14, 4, 0n, SECURE);
    expect([take(), take(), take()]).toEqual([[33, Group.G1NS, 0x80], [34, Group.G1NS, 0x80], "none"]);
  });

  test("SPIs go where IROUTER says; a route that names nobody delivers nowhere", () => {
    const d = vgic();
    d.writeDistributor(0x104, 4, 1n, NS);
    d.setSpi(32, true);
    const receivers = () => MPIDRS.map((_, pe) => d.hppi(pe) !== NO_HPPI);
    for (const [route, expected] of [
      [0n, [true, false, false, false]],
      [1n, [false, true, false, false]],
      [0x100n, [false, false, true, false]],
      [0x1_0000_0000n, [false, false, false, true]],
      [0x7n, [false, false, false, false]],
    ] as const) {
      d.writeDistributor(0x6100, 8, route, NS);
      expect(receivers()).toEqual(expected);
    }
  });

  test("candidates: active or deliverable, by priority", () => {
    const d = vgic();
    d.writeDistributor(0x104, 4, 0xffn, NS);
    d.writeDistributor(0x204, 4, 0x107n, NS); // 40 is not enabled
    d.writeDistributor(0x420, 4, 0x00_10_80_40n, NS);
    d.acknowledge(0, 32);
    d.setPending(0, 3, true); // an SGI, enabled at reset, priority 0
    expect(d.candidates(0)).toEqual([3, 34, 32, 33]);
    expect(d.candidates(1)).toEqual([]);
  });

  test("onChange names the PEs concerned", () => {
    const changed: number[] = [];
    const d = make(KVM_VGIC, (pe) => changed.push(pe));
    d.writeDistributor(0x6100, 8, 1n, NS);
    changed.length = 0;
    d.setSpi(32, true);
    expect(changed).toContain(1);
    changed.length = 0;
    d.setPpi(2, 27, true);
    expect(changed).toEqual([2]);
    d.setPpi(2, 27, true);
    expect(changed).toEqual([2]);
    d.setPpis(2, (1 << 27) | (1 << 30), 1 << 30);
    expect([d.lineLevel(2, 27), d.lineLevel(2, 30)]).toEqual([false, true]);
  });
});

describe("SGI targets", () => {
  const sgi = (fields: { intid?: number; list?: number; aff1?: number; aff3?: number; irm?: boolean; rs?: number }) =>
    (BigInt(fields.intid ?? 0) << 24n) |
    BigInt(fields.list ?? 0) |
    (BigInt(fields.aff1 ?? 0) << 16n) |
    (BigInt(fields.aff3 ?? 0) << 48n) |
    (fields.irm ? 1n << 40n : 0n) |
    (BigInt(fields.rs ?? 0) << 44n);
  test.each([
    { name: "list in cluster 0", value: sgi({ list: 0b11, intid: 5 }), pes: [0, 1] },
    { name: "other cluster", value: sgi({ list: 0b11, aff1: 1, intid: 5 }), pes: [2] },
    { name: "Aff3", value: sgi({ list: 1, aff3: 1, intid: 5 }), pes: [3] },
    { name: "IRM: all but the sender", value: sgi({ irm: true, intid: 5 }), pes: [0, 2, 3] },
    { name: "RS selects Aff0 16 and up", value: sgi({ list: 0b11, rs: 1, intid: 5 }), pes: [] },
  ])("$name", ({ value, pes }) => {
    const d = vgic();
    d.sendSgi(1, value, Group.G1NS, false);
    expect(MPIDRS.flatMap((_, pe) => (d.isPending(pe, 5) ? [pe] : []))).toEqual(pes);
  });

  // IHI 0069, "Forwarding an SGI to a target PE"
  test.each([
    { writer: "Secure SGI0R", group: Group.G0, secure: true, reaches: [true, false, false] },
    { writer: "Secure SGI1R", group: Group.G1S, secure: true, reaches: [true, true, false] },
    { writer: "Secure ASGI1R", group: Group.G1NS, secure: true, reaches: [false, false, true] },
    { writer: "Non-secure SGI0R", group: Group.G0, secure: false, reaches: [false, false, false] },
    { writer: "Non-secure SGI1R", group: Group.G1NS, secure: false, reaches: [false, false, true] },
    { writer: "Non-secure ASGI1R", group: Group.G1S, secure: false, reaches: [false, false, false] },
    { writer: "Non-secure SGI0R with NSACR", nsacr: 1, group: Group.G0, secure: false, reaches: [true, false, false] },
    { writer: "Non-secure ASGI1R with NSACR", nsacr: 2, group: Group.G1S, secure: false, reaches: [true, true, false] },
  ])("$writer reaches G0, G1S, G1NS: $reaches", ({ group, secure, reaches, nsacr }) => {
    const configured = [
      { group: 0n, modifier: 0n },
      { group: 0n, modifier: 1n },
      { group: 1n, modifier: 0n },
    ].map(({ group: g, modifier }) => {
      const d = physical();
      d.writeRedistributor(0, SGI_BASE + 0x80, 4, g, SECURE);
      d.writeRedistributor(0, SGI_BASE + 0xd00, 4, modifier, SECURE);
      d.writeRedistributor(0, SGI_BASE + 0xe00, 4, BigInt(nsacr ?? 0), SECURE);
      d.sendSgi(1, 1n, group, secure);
      return d.isPending(0, 0);
    });
    expect(configured).toEqual(reaches);
  });
});

test("save and restore: the same answers, through JSON", () => {
  const a = physical();
  a.writeDistributor(0x84, 4, 0xffff_ffffn, SECURE);
  a.writeDistributor(0x104, 4, 0xffff_ffffn, SECURE);
  a.writeDistributor(0x6110, 8, 0x100n, SECURE);
  a.writeDistributor(0x420, 4, 0x11_22_33_44n, NS);
  a.setSpi(34, true);
  a.setPpi(1, 27, true);
  const b = make(PHYSICAL_GIC);
  b.restore(JSON.parse(JSON.stringify(a.save())));
  for (let offset = 0; offset < 0x1_0000; offset += 4) {
    expect(b.readDistributor(offset, 4, SECURE)).toBe(a.readDistributor(offset, 4, SECURE));
  }
  expect(MPIDRS.map((_, pe) => b.hppi(pe))).toEqual(MPIDRS.map((_, pe) => a.hppi(pe)));
  expect(hppiIntid(b.hppi(2))).toBe(34);
});
