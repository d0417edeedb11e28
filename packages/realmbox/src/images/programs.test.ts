/** The initramfs of real programs: where its files come to lie, and that it is a pure function of the packages. */
import { describe, expect, test } from "vitest";
import { latin1, utf8 } from "./bytes.js";
import { type DebEntry, readDebTree } from "./deb.js";
import { isProgramPart, makeProgramsInitramfs, PROGRAM_NAMES } from "./programs.js";
import { makeDeb } from "./test-archive.oracle.js";

const content = new Map<string, DebEntry>([
  ["usr/bin/gzip", { kind: "file", mode: 0o755, bytes: utf8("a program") }],
  ["bin/busybox", { kind: "file", mode: 0o755, bytes: utf8("a shell") }],
  ["lib/ld-linux-aarch64.so.1", { kind: "link", target: "aarch64-linux-gnu/ld-linux-aarch64.so.1" }],
  ["usr/lib/python3.13/re.py", { kind: "file", mode: 0o644, bytes: utf8("# text\n") }],
]);

describe("initramfs of programs", () => {
  const archive = latin1(makeProgramsInitramfs(content));

  test("has one /usr, the work, and an /init that runs every program", () => {
    for (const path of ["usr/bin/gzip", "usr/bin/busybox", "usr/lib/ld-linux-aarch64.so.1", "bench/work.sql"]) {
      expect(archive).toContain(`${path}\0`);
    }
    expect(archive).not.toContain("\0bin/busybox\0");
    for (const name of PROGRAM_NAMES) {
      expect(archive).toContain(`\nrun_${name}() {`);
      expect(archive).toContain(`\nwarm_${name}() {`);
    }
  });

  test("does not depend on the order in which packages are read", () => {
    expect(makeProgramsInitramfs(new Map([...content].reverse()))).toEqual(makeProgramsInitramfs(content));
  });
});

test("programs, libraries and their links are taken, documentation and data are not", () => {
  const taken = ["usr/bin/xz", "bin/busybox", "lib/x.so.1", "usr/lib/python3.13/re.py"].filter(isProgramPart);
  expect(taken).toHaveLength(4);
  const left = ["usr/share/doc/xz/README", "etc/ssl/openssl.cnf", "usr/lib/aarch64-linux-gnu/gconv/UTF-16.so"];
  expect(left.filter(isProgramPart)).toEqual([]);
});

test("a package's links come with its files", async () => {
  const deb = await makeDeb({ "./usr/lib/libz.so.1": { link: "libz.so.1.3" }, "./usr/lib/libz.so.1.3": utf8("code") });
  const tree = await readDebTree(deb, { what: "zlib", wanted: () => true });
  expect(tree.get("usr/lib/libz.so.1")).toEqual({ kind: "link", target: "libz.so.1.3" });
  expect(tree.get("usr/lib/libz.so.1.3")).toMatchObject({ kind: "file", bytes: utf8("code") });
});
