/** Debian's control files, versions and dependencies; apt's complaints; the Release file's fields. */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { aptError } from "./apt.js";
import { compareVersions, type DebianPackage, packageOf, parseControl, parseParagraph } from "./control.js";
import { planImage } from "./debian-plan.js";
import { ImagesError } from "./error.js";

const haveDpkg = (() => {
  try {
    execFileSync("dpkg", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe("versions", () => {
  const ORDER = [
    "0~~",
    "0~~1",
    "0~",
    "0~rc1",
    "0",
    "0+b1",
    "1.0~beta1~svn1245",
    "1.0~beta1",
    "1.0",
    "1.0-1~bpo13+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.0-10",
    "1.0.0",
    "1.2.3",
    "1.10",
    "7.2.9-1",
    "7.2.13-1",
    "1:0.1",
  ];
  test("in the order that Debian Policy gives", () => {
    for (const [i, a] of ORDER.entries()) {
      for (const [j, b] of ORDER.entries()) {
        expect({ a, b, sign: Math.sign(compareVersions(a, b)) }).toEqual({ a, b, sign: Math.sign(i - j) });
      }
    }
  });
  test.skipIf(!haveDpkg)("as dpkg compares them", () => {
    const part = fc.stringMatching(/^[0-9][0-9a-z.+~]{0,5}$/);
    const version = fc
      .tuple(fc.option(fc.nat(3)), part, fc.option(part))
      .map(
        ([epoch, upstream, revision]) =>
          `${epoch === null ? "" : `${epoch}:`}${upstream}${revision === null ? "" : `-${revision}`}`,
      );
    for (const [a, b] of fc.sample(fc.tuple(version, version), { numRuns: 150, seed: 1 })) {
      const sign = Math.sign(compareVersions(a, b));
      const relation = sign < 0 ? "lt" : sign > 0 ? "gt" : "eq";
      expect(
        () => execFileSync("dpkg", ["--compare-versions", a, relation, b], { stdio: "ignore" }),
        `${a} ${relation} ${b}`,
      ).not.toThrow();
    }
  });
});

describe("control files", () => {
  const PARAGRAPH = `Package: linux-image-arm64
Source: linux-signed-arm64 (7.2.13+1)
Version: 7.2.13-1
Architecture: arm64
Depends: linux-base-arm64 (= 7.2.13-1), linux-image-7.2.13+deb14-arm64 (= 7.2.13-1), aa:any (>= 2) | bb, cc
Description: Linux for 64-bit ARMv8 machines
 The text goes on
 here.
Filename: pool/main/l/linux-signed-arm64/linux-image-arm64_7.2.13-1_arm64.deb
Size: 1656
SHA256: ${"ab".repeat(32)}
`;
  test("fields, continued lines, several paragraphs", () => {
    const [first, second] = parseControl(`${PARAGRAPH}\n\nPackage: two\nTag: x\n`);
    expect(first!.get("description")).toBe("Linux for 64-bit ARMv8 machines\nThe text goes on\nhere.");
    expect([...second!]).toEqual([
      ["package", "two"],
      ["tag", "x"],
    ]);
    expect(parseControl("")).toEqual([]);
  });
  test("a package", () => {
    expect(packageOf(parseParagraph(PARAGRAPH))).toEqual({
      ...{ name: "linux-image-arm64", version: "7.2.13-1", architecture: "arm64", size: 1656, sha256: "ab".repeat(32) },
      filename: "pool/main/l/linux-signed-arm64/linux-image-arm64_7.2.13-1_arm64.deb",
      depends: [
        { name: "linux-base-arm64", exactly: "7.2.13-1" },
        { name: "linux-image-7.2.13+deb14-arm64", exactly: "7.2.13-1" },
        { name: "aa" },
        { name: "cc" },
      ],
    });
  });
  test.each([
    ["Filename: pool", "Filename: ../../etc"],
    ["Filename: pool/main/l/linux-signed-arm64", "Filename: /etc"],
    ["Filename: pool", "Filename: http://elsewhere/?x"],
    ["Package: linux", "Package: ../linux"],
    ["Package: linux", "Package: -o linux"],
    ["Version: 7", "Version: $(x) 7"],
    ["Size: 1656", "Size: -1"],
    ["Size: 1656", "Size: 1e999"],
    ["SHA256: ab", "SHA256: xy"],
  ])("nonsense is no package: %s → %s", (from, to) => {
    expect(PARAGRAPH).toContain(from);
    expect(packageOf(parseParagraph(PARAGRAPH.replace(from, to)))).toBeUndefined();
  });
});

describe("a plan", () => {
  const one = (
    name: string,
    version: string,
    depends: DebianPackage["depends"] = [],
    architecture = "arm64",
  ): DebianPackage => ({
    ...{ name, version, architecture, depends, filename: "f", size: 1, sha256: "00" },
  });
  const source = (packages: readonly DebianPackage[]) => ({
    name: "sid (test)",
    find: async (names: readonly string[]) => packages.filter(({ name }) => names.includes(name)),
    download: async () => [],
  });
  const exactly = (name: string, version: string) => ({ name, exactly: version });
  const BUSYBOX = one("busybox-static", "1:1.38");
  test("follows the newest meta package of the flavour, and exact versions", async () => {
    const plan = await planImage(
      source([
        ...[one("linux-image-arm64", "7.1-1", [exactly("linux-image-7.1", "7.1-1")]), one("linux-image-7.1", "7.1-1")],
        one("linux-image-arm64", "7.2-1", [{ name: "linux-base-arm64" }, exactly("linux-image-7.2", "7.2-1")]),
        one("linux-image-arm64", "9-1", [], "amd64"),
        one("linux-image-7.2", "7.2-1", [{ name: "dracut" }, exactly("linux-modules-7.2", "7.2-1")]),
        ...[
          one("linux-modules-7.2", "7.2-1", [exactly("linux-image-7.2", "7.2-1")]),
          one("linux-modules-7.2", "7.2-2"),
        ],
        ...[BUSYBOX, one("busybox-static", "1:1.9")],
      ]),
      { flavour: "arm64" },
    );
    expect(plan.kernel.map(({ name, version }) => `${name} ${version}`)).toEqual([
      "linux-image-7.2 7.2-1",
      "linux-modules-7.2 7.2-1",
    ]);
    expect(plan.busybox.version).toBe("1:1.38");
  });
  test.each([
    ["no kernel", [BUSYBOX], /sid \(test\) has no package linux-image-arm64 for arm64/],
    [
      "a part is missing",
      [one("linux-image-arm64", "1", [exactly("linux-image-7", "1")]), BUSYBOX],
      /no package linux-image-7 \(= 1\)/,
    ],
    ["no busybox", [one("linux-image-arm64", "1", [])], /no package busybox-static/],
  ])("%s", async (_, packages, message) => {
    await expect(planImage(source(packages), { flavour: "arm64" })).rejects.toThrow(message);
  });
});

test.each([
  ["E: Failed to fetch http://h/x  Could not resolve 'h'", "unreachable", /Could not resolve 'h'/],
  [
    "Err:1 http://h sid InRelease\nW: Failed to fetch http://h/dists/sid/InRelease  Temporary failure resolving 'h'\nW: Some index files failed to download.",
    "unreachable",
    /Temporary failure resolving 'h'$/,
  ],
  [
    "W: GPG error: http://h sid InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 1",
    "not-trusted",
    /NO_PUBKEY 1/,
  ],
  [
    "E: The repository 'http://h nosuch Release' does not have a Release file.",
    "not-found",
    /does not have a Release file/,
  ],
  ["E: You don't have enough free space\nNo space left on device", "environment", /free space/],
  ["", "unreachable", /apt-get update failed: no reason given/],
] as const)("apt's complaint becomes an error: %s", (complaints, problem, message) => {
  const error = aptError("apt-get update", complaints);
  expect(error).toBeInstanceOf(ImagesError);
  expect(error.problem).toBe(problem);
  expect(error.message).toMatch(message);
});
