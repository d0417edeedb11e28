/**
 * The machine's tree against kvmtool's, property by property, as kvmtool's `--dump-dtb` and `dtc -O dts` print it. That the
 * bytes are the same is config.test.ts's matter.
 */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { type MachineTreeOptions, machineTree } from "./machine-tree.js";
import { type FdtNode, findNode, readCells, readFdt, readStrings } from "./reader.js";

const treeOf = (options: Partial<MachineTreeOptions> = {}): Uint8Array => {
  const result = machineTree({ cpus: 1, ram: { base: 0x8000_0000n, size: 0x1000_0000n }, realm: false, ...options });
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
};
const rootOf = (blob: Uint8Array): FdtNode => {
  const result = readFdt(blob);
  if (!result.ok) throw new Error(result.problem);
  return result.root;
};

/** A tree printed as device tree source: strings where the name says so, else cells. */
function print(node: FdtNode, indent = ""): string {
  const textual = ["compatible", "bootargs", "stdout-path", "device_type", "enable-method", "method", "serial0"];
  const properties = [...node.properties.keys()].map((name) => {
    if (node.properties.get(name)!.length === 0) return `${name};`;
    if (textual.includes(name))
      return `${name} = ${readStrings(node, name)!
        .map((s) => `"${s}"`)
        .join(", ")};`;
    return `${name} = <${readCells(node, name)!
      .map((cell) => `0x${cell.toString(16)}`)
      .join(" ")}>;`;
  });
  const body = [
    ...properties.map((line) => `${indent}  ${line}\n`),
    ...node.children.map((child) => print(child, `${indent}  `)),
  ];
  return `${indent}${node.name || "/"} {\n${body.join("")}${indent}};\n`;
}

const UARTS = [0, 1, 2, 3]
  .map(
    (i) => `  U6_16550A@100${i}000 {
    compatible = "ns16550a";
    reg = <0x0 0x100${i}000 0x0 0x8>;
    interrupts = <0x0 0x${i} 0x4>;
    clock-frequency = <0x1c2000>;
  };
`,
  )
  .join("");

test("a normal VM with one vCPU and 256 MiB", () => {
  expect(print(rootOf(treeOf({ bootargs: "console=ttyS0" })))).toBe(`/ {
  interrupt-parent = <0x1>;
  compatible = "linux,dummy-virt";
  #address-cells = <0x2>;
  #size-cells = <0x2>;
  chosen {
    bootargs = "console=ttyS0";
    kaslr-seed = <0x0 0x0>;
    stdout-path = "serial0";
  };
  memory {
    device_type = "memory";
    reg = <0x0 0x80000000 0x0 0x10000000>;
  };
  cpus {
    #address-cells = <0x1>;
    #size-cells = <0x0>;
    cpu@0 {
      device_type = "cpu";
      compatible = "arm,arm-v8";
      reg = <0x0>;
    };
  };
  intc {
    compatible = "arm,gic-v3";
    #interrupt-cells = <0x3>;
    interrupt-controller;
    reg = <0x0 0x3fff0000 0x0 0x10000 0x0 0x3ffd0000 0x0 0x20000>;
    phandle = <0x1>;
    #address-cells = <0x2>;
    #size-cells = <0x2>;
  };
  timer {
    compatible = "arm,armv8-timer", "arm,armv7-timer";
    interrupts = <0x1 0xd 0x8 0x1 0xe 0x8 0x1 0xb 0x8 0x1 0xa 0x8>;
    always-on;
  };
${UARTS}  rtc {
    compatible = "motorola,mc146818";
    reg = <0x0 0x1010000 0x0 0x2>;
  };
  pci {
    device_type = "pci";
    #address-cells = <0x3>;
    #size-cells = <0x2>;
    #interrupt-cells = <0x1>;
    compatible = "pci-host-ecam-generic";
    dma-coherent;
    bus-range = <0x0 0x0>;
    reg = <0x0 0x40000000 0x0 0x10000000>;
    ranges = <0x1000000 0x0 0x0 0x0 0x0 0x0 0x10000 0x2000000 0x0 0x50000000 0x0 0x50000000 0x0 0x30000000>;
    interrupt-map;
  };
  psci {
    compatible = "arm,psci-0.2", "arm,psci";
    method = "hvc";
    cpu_suspend = <0xc4000001>;
    cpu_off = <0x84000002>;
    cpu_on = <0xc4000003>;
    migrate = <0xc4000005>;
  };
  aliases {
    serial0 = "/U6_16550A@1000000";
  };
};
`);
});

test("a realm calls PSCI by SMC", () => {
  expect(readStrings(findNode(rootOf(treeOf({ realm: true })), "/psci"), "method")).toEqual(["smc"]);
});

describe("vCPUs", () => {
  test("more than one: enable-method, MPIDRs, redistributors below the distributor", () => {
    const root = rootOf(treeOf({ cpus: 8 }));
    const cpus = findNode(root, "/cpus")!.children;
    expect(cpus.map(({ name }) => name)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `cpu@${i}`));
    expect(cpus.map((cpu) => readStrings(cpu, "enable-method"))).toEqual(Array(8).fill(["psci"]));
    expect(readCells(findNode(root, "/intc"), "reg")).toEqual([
      0, 0x3fff_0000, 0, 0x1_0000, 0, 0x3fef_0000, 0, 0x10_0000,
    ]);
  });
  test("the seventeenth has Aff1 = 1", () => {
    const cpus = findNode(rootOf(treeOf({ cpus: 17 })), "/cpus")!.children;
    expect(cpus.at(-1)!.name).toBe("cpu@100");
    expect(readCells(cpus.at(-1), "reg")).toEqual([0x100]);
  });
});

test("initrd: start and exclusive end, 64-bit", () => {
  const chosen = findNode(rootOf(treeOf({ initrd: { start: 0x8fd0_bdbcn, size: 1_000_000 } })), "/chosen");
  expect(readCells(chosen, "linux,initrd-start")).toEqual([0, 0x8fd0_bdbc]);
  expect(readCells(chosen, "linux,initrd-end")).toEqual([0, 0x8fdf_fffc]);
});

test("no command line, no bootargs: guests stop at an empty one", () => {
  expect(findNode(rootOf(treeOf()), "/chosen")!.properties.has("bootargs")).toBe(false);
});

test("the seed", () => {
  const chosen = findNode(rootOf(treeOf({ kaslrSeed: 0x1122_3344_5566_7788n })), "/chosen");
  expect(readCells(chosen, "kaslr-seed")).toEqual([0x1122_3344, 0x5566_7788]);
});

test("PMU and virtio-mmio slots", () => {
  const root = rootOf(treeOf({ pmu: true, virtioDevices: 2 }));
  expect(readCells(findNode(root, "/pmu"), "interrupts")).toEqual([1, 7, 4]);
  const second = findNode(root, "/virtio@3000200")!;
  expect([...second.properties.keys()]).toEqual(["compatible", "reg", "dma-coherent", "interrupts"]);
  expect(readCells(second, "reg")).toEqual([0, 0x300_0200, 0, 0x200]);
  expect(readCells(second, "interrupts")).toEqual([0, 5, 1]);
  expect(root.children.map(({ name }) => name)).toEqual([
    ...["chosen", "memory", "cpus", "intc", "timer", "pmu"],
    ...[0, 1, 2, 3].map((i) => `U6_16550A@100${i}000`),
    ...["rtc", "virtio@3000000", "virtio@3000200", "pci", "psci", "aliases"],
  ]);
});

test("64 KiB: behind the packed tree its last eight bytes again, then zeros", () => {
  const blob = treeOf();
  expect(blob).toHaveLength(0x1_0000);
  const packed = new DataView(blob.buffer).getUint32(4);
  expect(String.fromCharCode(...blob.subarray(packed, packed + 8))).toBe("-parent\0");
  expect(blob.subarray(packed + 8).every((byte) => byte === 0)).toBe(true);
});

test("a command line that does not fit is refused", () => {
  const result = machineTree({ cpus: 1, ram: { base: 0n, size: 0n }, realm: false, bootargs: "x".repeat(0x1_0000) });
  expect(result).toMatchObject({ ok: false, error: { kind: "device-tree-too-large" } });
});

test.skipIf(spawnSync("dtc", ["--version"]).status !== 0)("dtc accepts it and keeps its meaning", () => {
  const blob = treeOf({ cpus: 4, realm: true, pmu: true, bootargs: "hello", virtioDevices: 3 });
  const toSource = spawnSync("dtc", ["-I", "dtb", "-O", "dts", "-o", "-", "-"], { input: blob });
  expect(toSource.status).toBe(0);
  const back = spawnSync("dtc", ["-I", "dts", "-O", "dtb", "-o", "-", "-"], { input: toSource.stdout });
  expect(back.status).toBe(0);
  expect(rootOf(new Uint8Array(back.stdout))).toEqual(rootOf(blob));
});
