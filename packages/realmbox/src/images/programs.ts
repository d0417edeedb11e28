/**
 * The programs that `realmbox bench` runs in a Linux guest, and their initramfs: SQLite, OpenSSL, gzip, xz and Python from Debian's
 * packages, each with a fixed amount of work. `/init` runs those that `programs=A,B` on the kernel command line names, one after
 * another, with a line on the console before and after each and a checksum over what it wrote, and switches the machine off.
 * A pure function of the packages, byte for byte.
 */
import { getDiffieHellman } from "node:crypto";
import { utf8 } from "./bytes.js";
import { type CpioContent, cpioArchive } from "./cpio.js";
import type { DebEntry } from "./deb.js";

/** The packages, with what they depend on; libc6 and libexpat1 are named because packages pre-depend on them. */
export const PROGRAM_PACKAGES = [
  ...["busybox-static", "libc6", "libexpat1"],
  ...["sqlite3", "openssl", "gzip", "xz-utils", "python3.13-minimal"],
] as const;

/** Dependencies that the programs do without: what configures a system, and data. */
export const UNNEEDED =
  /^(dpkg|debconf.*|readline-common|media-types|netbase|tzdata|ca-certificates|install-info|sensible-utils|gcc-\d+-base|openssl-provider-legacy|python3)$/;

/** What of a package goes into the initramfs. */
export const isProgramPart = (path: string): boolean =>
  /^(usr\/)?(s?bin|lib)\//.test(path) &&
  !/\/(gconv|locale|engines-3|ossl-modules|systemd|tmpfiles\.d|sysusers\.d)\//.test(path);

/** Bytes of text and machine code that gzip, xz and OpenSSL work on. */
const DATA_SIZE = 3 << 20;

const SQL = `
create table numbers (id integer primary key, value integer, name text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
  insert into numbers select i, (i * 7919) % 104729, 'name ' || ((i * 31) % 1009) from n;
create index by_value on numbers (value);
create index by_name on numbers (name);
select count(*), sum(value), min(name), max(name) from numbers;
select name, count(*) c, sum(value) from numbers group by name order by c desc, name limit 5;
select count(*) from numbers a join numbers b on b.value = a.id where a.id < 10000;
update numbers set value = value + 1 where id % 3 = 0;
delete from numbers where id % 5 = 0;
select count(*), sum(value * id) from numbers;
select sum(length(replace(name, '1', 'one'))) from numbers where name like '%1%';
`;

const PYTHON = `
import re, struct, zlib

def sieve(limit):
    flags = bytearray([1]) * limit
    for i in range(2, int(limit ** 0.5) + 1):
        if flags[i]:
            flags[i * i :: i] = bytes(len(range(i * i, limit, i)))
    return sum(flags) - 2

def words(text):
    counts = {}
    for word in re.findall(r"[a-z_]+", text.lower()):
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:10]

class Body:
    def __init__(self, x, v, m):
        self.x, self.v, self.m = x, v, m

def orbits(steps):
    bodies = [Body([i * 1.5, i * 0.5, 0.1 * i], [0.0, 0.1 * i, 0.0], 1.0 / (i + 1)) for i in range(5)]
    for _ in range(steps):
        for a in bodies:
            for b in bodies:
                if a is not b:
                    d = [p - q for p, q in zip(a.x, b.x)]
                    r = sum(c * c for c in d) + 0.01
                    for k in range(3):
                        a.v[k] -= d[k] * b.m * 0.001 / (r * r ** 0.5)
        for a in bodies:
            a.x = [p + 0.001 * q for p, q in zip(a.x, a.v)]
    return [round(c, 9) for a in bodies for c in a.x]

def queens(n, row=0, columns=0, up=0, down=0):
    if row == n:
        return 1
    count, free = 0, ~(columns | up | down) & ((1 << n) - 1)
    while free:
        bit = free & -free
        free ^= bit
        count += queens(n, row + 1, columns | bit, (up | bit) << 1, (down | bit) >> 1)
    return count

text = open("/bench/text", encoding="latin-1").read()[:200000]
print(sieve(200000), words(text), orbits(200), queens(7))
print(pow(3, 2 ** 4000 + 1, 10 ** 600 + 7) % 10 ** 20, len(str(7 ** 5000)))
print(zlib.crc32(b"".join(struct.pack("<Id", i, i / 7) for i in range(20000))))
`;

/** A group's prime of 2048 bits (RFC 3526, group 14): each round of its primality test is a modular power as an RSA signature has two. */
const PRIME = getDiffieHellman("modp14").getPrime("hex");

/** Each program: what it does, writing to its standard output. By its path, because the shell prefers commands of its own. */
const PROGRAMS: Readonly<Record<string, string>> = {
  sqlite: "/usr/bin/sqlite3 :memory: < /bench/work.sql",
  openssl: `{
    /usr/bin/openssl prime -hex ${PRIME}
    /usr/bin/openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:realmbox -kdfopt salt:salt -kdfopt iter:30000 PBKDF2
    /usr/bin/openssl dgst -sha256 /bench/data
    /usr/bin/openssl dgst -sha512 /bench/data
    /usr/bin/openssl enc -aes-256-ctr -K 00 -iv 00 -in /bench/data 2> /dev/null | /usr/bin/openssl dgst -sha256
  }`,
  gzip: "/usr/bin/gzip -6 -n -c /bench/data",
  xz: "/usr/bin/xz -3 -T1 -c /bench/text",
  python: "/usr/bin/python3.13 -S -E /bench/work.py",
};

/** Their names, in the order in which they run. */
export const PROGRAM_NAMES: readonly string[] = Object.keys(PROGRAMS);

const INIT = `#!/bin/busybox sh
# Runs the programs that programs=A,B on the kernel command line names.
export PATH=/usr/bin PYTHONHASHSEED=0 LC_ALL=C.UTF-8 HOME=/
busybox=/bin/busybox
echo "realmbox: userspace"
$busybox mount -t proc proc /proc
read -r cmdline < /proc/cmdline
programs="${PROGRAM_NAMES.join(" ")}"
for word in $cmdline; do
  case $word in programs=*) programs=\${word#programs=} ;; esac
done
IFS=" ,"
for program in $programs; do
  IFS=" "
  # Once before, so that what follows is not the first use of its pages.
  "warm_$program" > /dev/null 2>&1
  echo "bench: begin $program"
  "run_$program" > /tmp/out
  status=$?
  echo "bench: end $program $status"
  echo "bench: sum $program $($busybox sha256sum < /tmp/out)"
done
$busybox poweroff -f
`;

/** What makes a program's pages present, next to nothing else. */
const WARM: Readonly<Record<string, string>> = {
  sqlite: "echo 'select 1;' | /usr/bin/sqlite3 :memory:",
  openssl: "/usr/bin/openssl version",
  gzip: "echo 1 | /usr/bin/gzip -c",
  xz: "echo 1 | /usr/bin/xz -c",
  python: "/usr/bin/python3.13 -S -E -c 'import re, struct, zlib'",
};

/** The uncompressed archive. `content`: what the packages hold; `busybox` is one of their files. */
export function makeProgramsInitramfs(content: ReadonlyMap<string, DebEntry>): Uint8Array {
  const entries = new Map<string, CpioContent>();
  const text = (path: string, lines: string, mode = 0o644) =>
    entries.set(path, { kind: "file", mode, bytes: utf8(lines) });
  for (const folder of ["proc", "sys", "usr/bin", "usr/lib"]) entries.set(folder, { kind: "folder", mode: 0o755 });
  entries.set("tmp", { kind: "folder", mode: 0o1777 });
  entries.set("dev/console", { kind: "character-device", mode: 0o600, major: 5, minor: 1 });
  entries.set("dev/null", { kind: "character-device", mode: 0o666, major: 1, minor: 3 });
  entries.set("dev/urandom", { kind: "character-device", mode: 0o666, major: 1, minor: 9 });
  for (const folder of ["bin", "sbin"]) entries.set(folder, { kind: "link", target: "usr/bin" });
  entries.set("lib", { kind: "link", target: "usr/lib" });
  for (const [path, entry] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
    entries.set(merged(path), entry);
  }
  const functions = (of: Readonly<Record<string, string>>, prefix: string) =>
    Object.entries(of)
      .map(([name, body]) => `${prefix}_${name}() { ${body}; }\n`)
      .join("");
  const [first, ...rest] = INIT.split("\n");
  text("init", [first, functions(WARM, "warm"), functions(PROGRAMS, "run"), ...rest].join("\n"), 0o755);
  text("bench/work.sql", SQL);
  text("bench/work.py", PYTHON);
  entries.set("bench/data", { kind: "file", mode: 0o644, bytes: concatenated(content, () => true, DATA_SIZE) });
  entries.set("bench/text", {
    kind: "file",
    mode: 0o644,
    bytes: concatenated(content, (path) => path.endsWith(".py"), DATA_SIZE >> 3),
  });
  return cpioArchive(entries);
}

/** Where a path is in a root whose /bin, /sbin and /lib are links into /usr. */
const merged = (path: string): string => path.replace(/^(usr\/)?s?bin\//, "usr/bin/").replace(/^lib\//, "usr/lib/");

/** The first `size` bytes of the packages' files, by path. */
function concatenated(
  content: ReadonlyMap<string, DebEntry>,
  wanted: (path: string) => boolean,
  size: number,
): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const [path, entry] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (entry.kind !== "file" || !wanted(path)) continue;
    const part = entry.bytes.subarray(0, size - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.subarray(0, at);
}
