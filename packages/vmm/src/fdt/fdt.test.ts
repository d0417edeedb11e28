import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findNode, readCells, readFdt, readStrings } from "./reader.js";
import { FdtWriter } from "./writer.js";

const hasDtc = spawnSync("dtc", ["--version"]).status === 0;
const libfdtProbe = "import ctypes; ctypes.CDLL('libfdt.so.1')";
const hasLibfdt = spawnSync("python3", ["-c", libfdtProbe]).status === 0;

const example = () =>
  new FdtWriter()
    .beginNode("")
    .cells("#address-cells", 2)
    .cells("reg", 1) // a suffix of no earlier name
    .cells("#reg", 1, 0xffff_ffff)
    .cells("reg-shift", 2)
    .cells("shift", 2) // the end of the name before
    .beginNode("cpus")
    .strings("compatible", "arm,armv8-timer", "arm,armv7-timer")
    .property("always-on")
    .u64s("seed", 0x8877_6655_4433_2211n)
    .property("odd", [1, 2, 3])
    .endNode()
    .endNode();

test("what is written is read back", () => {
  const result = readFdt(example().finish());
  if (!result.ok) throw new Error(result.problem);
  const cpus = findNode(result.root, "/cpus");
  expect(readStrings(cpus, "compatible")).toEqual(["arm,armv8-timer", "arm,armv7-timer"]);
  expect(readCells(cpus, "seed")).toEqual([0x8877_6655, 0x4433_2211]);
  expect([...cpus!.properties.get("odd")!]).toEqual([1, 2, 3]);
  expect(readCells(cpus, "odd")).toBeUndefined();
  expect(cpus!.properties.get("always-on")).toHaveLength(0);
  expect(readCells(result.root, "#reg")).toEqual([1, 0xffff_ffff]);
});

describe.skipIf(!hasDtc)("dtc", () => {
  const dtc = (from: string, to: string, input: Uint8Array | string) => {
    const run = spawnSync("dtc", ["-I", from, "-O", to, "-o", "-", "-"], { input });
    expect(run.stderr.toString().replace(/.*Warning.*\n(\s.*\n)*/g, "")).toBe("");
    expect(run.status).toBe(0);
    return new Uint8Array(run.stdout);
  };

  test("reads the blob, and what it writes back means the same", () => {
    const blob = example().finish();
    const source = new TextDecoder().decode(dtc("dtb", "dts", blob));
    expect(source).toMatch(/compatible = "arm,armv8-timer(\\0|", ")arm,armv7-timer"/);
    expect(source).toContain("always-on;");
    const again = readFdt(dtc("dts", "dtb", source));
    const ours = readFdt(blob);
    expect(again.ok && again.root).toEqual(ours.ok && ours.root);
  });
});

/** Replays a tree through libfdt's sequential writer and fdt_pack, kvmtool's way (setup_fdt). */
const REPLAY = `
import ctypes, json, sys
fdt = ctypes.CDLL('libfdt.so.1')
size = 0x10000
def ok(code):
    assert code == 0, code
def node(staging, n):
    ok(fdt.fdt_begin_node(staging, n['name'].encode()))
    for name, value in n['properties']:
        data = bytes(value)
        ok(fdt.fdt_property(staging, name.encode(), data, len(data)))
    for child in n['children']:
        node(staging, child)
    ok(fdt.fdt_end_node(staging))
for root in json.load(sys.stdin):
    staging, packed = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
    ok(fdt.fdt_create(staging, size)); ok(fdt.fdt_finish_reservemap(staging))
    node(staging, root)
    ok(fdt.fdt_finish(staging)); ok(fdt.fdt_open_into(staging, packed, size)); ok(fdt.fdt_pack(packed))
    print(packed.raw[:int.from_bytes(packed.raw[4:8], 'big')].hex())
`;

describe.skipIf(!hasLibfdt)("libfdt", () => {
  interface Tree {
    readonly name: string;
    readonly properties: readonly (readonly [string, readonly number[]])[];
    readonly children: readonly Tree[];
  }
  const write = (tree: Tree, fdt = new FdtWriter()): FdtWriter => {
    fdt.beginNode(tree.name);
    for (const [name, value] of tree.properties) fdt.property(name, value);
    for (const child of tree.children) write(child, fdt);
    return fdt.endNode();
  };
  const name = fc.stringMatching(/^[a-z#,-]{1,8}$/);
  const property = fc.tuple(name, fc.array(fc.nat(255), { maxLength: 9 }));
  const nodeOf = (children: fc.Arbitrary<Tree[]>): fc.Arbitrary<Tree> =>
    fc.record({ name, properties: fc.array(property, { maxLength: 5 }), children });
  const upTo3 = (tree: fc.Arbitrary<Tree>) => fc.array(tree, { maxLength: 3 });
  const tree = nodeOf(upTo3(nodeOf(upTo3(nodeOf(fc.constant([]))))));

  test("writes the same bytes", () => {
    const roots = fc.sample(tree, { numRuns: 200, seed: 1 }).map((root) => ({ ...root, name: "" }));
    const run = spawnSync("python3", ["-c", REPLAY], { input: JSON.stringify(roots), maxBuffer: 1 << 26 });
    expect(run.stderr.toString()).toBe("");
    const theirs = run.stdout.toString().trimEnd().split("\n");
    expect(roots.map((root) => Buffer.from(write(root).finish()).toString("hex"))).toEqual(theirs);
  });
});

describe("hostile blobs", () => {
  const blob = example().finish();
  test("any bytes give a value", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readFdt(bytes)));
  });
  test("any change of one byte, and any cut, gives a value", () => {
    fc.assert(
      fc.property(fc.nat(blob.length - 1), fc.nat(255), (at, value) => {
        const changed = blob.slice();
        changed[at] = value;
        readFdt(changed);
      }),
    );
    for (let length = 0; length < blob.length; length++) expect(readFdt(blob.subarray(0, length)).ok).toBe(false);
  });
});
