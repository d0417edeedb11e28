/**
 * A small Debian archive for tests: packages, indices and a signed Release, made here, and an HTTP server with the faults
 * of real ones.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { ARM64_IMAGE_MAGIC, Arm64ImageHeader } from "@realmbox/vmm";
import * as openpgp from "openpgp";
import { pack } from "tar-stream";
import { utf8 } from "./bytes.js";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** An ar archive. */
export function makeAr(members: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const parts: Uint8Array[] = [utf8("!<arch>\n")];
  for (const [name, bytes] of members) {
    const header = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`;
    parts.push(utf8(header), bytes, utf8(bytes.length % 2 === 0 ? "" : "\n"));
  }
  return new Uint8Array(Buffer.concat(parts));
}

export type TarEntry = Uint8Array | { readonly link: string };

/** A tar archive; names are taken as they are. */
export async function makeTar(entries: Readonly<Record<string, TarEntry>>): Promise<Uint8Array> {
  const archive = pack();
  for (const [name, content] of Object.entries(entries)) {
    if ("link" in content) archive.entry({ name, type: "symlink", linkname: content.link });
    else archive.entry({ name }, Buffer.from(content));
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return new Uint8Array(Buffer.concat(chunks));
}

/** A Debian package with these files. */
export async function makeDeb(entries: Readonly<Record<string, TarEntry>>): Promise<Uint8Array> {
  return makeAr([
    ["debian-binary", utf8("2.0\n")],
    ["control.tar.gz", gzipSync(await makeTar({}))],
    ["data.tar.gz", gzipSync(await makeTar(entries))],
  ]);
}

/** An arm64 Image with a Linux version; with or without the code for realms. */
export function makeKernel(version: string, { realmAware }: { readonly realmAware: boolean }): Uint8Array {
  const file = new Uint8Array(0x2000);
  file.set(Arm64ImageHeader.encode({ image_size: 0x3000n, flags: 0xan, magic: ARM64_IMAGE_MAGIC }));
  file.set(utf8(`Linux version ${version} (a@b) (gcc) # SMP\n\0`), 0x400);
  file.set(utf8(`Linux version ${version} (a@b) (gcc) #1 SMP\n\0`), 0x800);
  if (realmAware) file.set(utf8("6RME: Using RSI version %lu.%lu\n\0"), 0x1000);
  return file;
}

/** A kernel module: an ELF file of sections `.modinfo` and names. */
export function makeModule(fields: Readonly<Record<string, string>>): Uint8Array {
  const modinfo = utf8(
    Object.entries(fields)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(""),
  );
  const names = utf8("\0.modinfo\0.shstrtab\0");
  const namesAt = 64 + modinfo.length;
  const tableAt = (namesAt + names.length + 7) & ~7;
  const file = new Uint8Array(tableAt + 3 * 64);
  const view = new DataView(file.buffer);
  file.set(utf8("\x7fELF\x02\x01\x01"));
  view.setUint16(18, 183, true); // EM_AARCH64
  view.setBigUint64(40, BigInt(tableAt), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 3, true);
  view.setUint16(62, 2, true);
  file.set(modinfo, 64);
  file.set(names, namesAt);
  const section = (i: number, name: number, start: number, size: number) => {
    view.setUint32(tableAt + 64 * i, name, true);
    view.setBigUint64(tableAt + 64 * i + 24, BigInt(start), true);
    view.setBigUint64(tableAt + 64 * i + 32, BigInt(size), true);
  };
  section(1, 1, 64, modinfo.length);
  section(2, 10, namesAt, names.length);
  return file;
}

/** What stands for busybox: its table of commands. */
export const makeBusybox = (): Uint8Array => utf8("\x7fELF...\0\0[\0[[\0ash\0cat\0mount\0sh\0zcat\0\x01");

interface ArchivePackage {
  readonly name: string;
  readonly version: string;
  readonly depends?: string;
  readonly file: Uint8Array;
}

/** The packages of a kernel as Debian 13 has them, or parted as later. */
export async function kernelPackages(
  release: string,
  { parted }: { readonly parted: boolean },
): Promise<ArchivePackage[]> {
  const folder = `./usr/lib/modules/${release}`;
  const modules = {
    [`${folder}/kernel/drivers/virtio/virtio_mmio.ko`]: makeModule({ name: "virtio_mmio", depends: "" }),
    [`${folder}/kernel/drivers/block/virtio_blk.ko`]: makeModule({ name: "virtio_blk", alias: "virtio:d00000002v*" }),
    [`${folder}/kernel/drivers/char/hw_random/virtio-rng.ko`]: makeModule({ name: "virtio_rng", depends: "" }),
    [`${folder}/kernel/fs/configfs/configfs.ko`]: makeModule({ name: "configfs", depends: "" }),
    [`${folder}/kernel/fs/ext4/ext4.ko`]: makeModule({ name: "ext4", depends: "mbcache,jbd2", alias: "fs-ext4" }),
    [`${folder}/kernel/fs/jbd2/jbd2.ko`]: makeModule({ name: "jbd2", depends: "", softdep: "pre: crypto-crc32c" }),
    [`${folder}/kernel/fs/mbcache.ko`]: makeModule({ name: "mbcache", depends: "" }),
    [`${folder}/kernel/crypto/crc32c_generic.ko`]: makeModule({ name: "crc32c_generic", depends: "" }),
    ...(parted
      ? {
          [`${folder}/kernel/drivers/virt/tsm_report.ko`]: makeModule({ name: "tsm_report", depends: "configfs" }),
          [`${folder}/kernel/drivers/virt/arm-cca-guest.ko`]: makeModule({
            name: "arm_cca_guest",
            depends: "tsm_report",
          }),
        }
      : {}),
  };
  const builtin = {
    [`${folder}/modules.builtin`]: utf8(
      "kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio_ring.ko\nkernel/drivers/char/virtio_console.ko\n",
    ),
  };
  const version = "1.0-1";
  const image = makeKernel(release, { realmAware: parted });
  const meta = {
    name: "linux-image-arm64",
    version,
    depends: `linux-image-${release} (= ${version})`,
    file: await makeDeb({}),
  };
  if (!parted) {
    const file = await makeDeb({ [`./boot/vmlinuz-${release}`]: image, ...modules, ...builtin });
    return [meta, { name: `linux-image-${release}`, version, depends: "kmod, initramfs-tools | other", file }];
  }
  const part = (kind: string) => `linux-${kind}-${release}`;
  return [
    meta,
    {
      ...{ name: part("image"), version, file: await makeDeb({}) },
      depends: `dracut | initramfs-tools (>= 0.120), ${part("base")} (= ${version}), ${part("binary")} (= ${version}), ${part("modules")} (= ${version})`,
    },
    { name: part("base"), version, file: await makeDeb(builtin) },
    {
      name: part("binary"),
      version,
      depends: `${part("base")} (= ${version})`,
      file: await makeDeb({ [`${folder}/vmlinuz`]: image }),
    },
    { name: part("modules"), version, depends: `kmod, ${part("base")} (= ${version})`, file: await makeDeb(modules) },
  ];
}

export interface Archive {
  /** Path below the root → content. */
  readonly files: Map<string, Uint8Array>;
  /** The public key, in ASCII armour. */
  readonly key: string;
}

export interface ArchiveOptions {
  readonly suite?: string;
  readonly codename?: string;
  readonly date?: Date;
  readonly validUntil?: Date | undefined;
  readonly byHash?: boolean;
  readonly packages?: readonly ArchivePackage[];
  /** The signer, when it is not the key that `key` shows. */
  readonly signer?: openpgp.PrivateKey;
  /** Changes the Release text before it is signed. */
  readonly edit?: (text: string) => string;
}

export type SigningKey = Awaited<ReturnType<typeof newKey>>;

/** A key pair as archives have it. */
export async function newKey(): Promise<{ readonly privateKey: openpgp.PrivateKey; readonly armored: string }> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name: "Test Archive" }],
    date: new Date("2026-01-01"),
    format: "object",
  });
  return { privateKey, armored: publicKey.armor() };
}

export async function makeArchive(key: SigningKey, options: ArchiveOptions = {}): Promise<Archive> {
  const { suite = "unstable", codename = "sid", date = new Date(Date.now() - 3_600_000), byHash = true } = options;
  const validUntil = "validUntil" in options ? options.validUntil : new Date(Date.now() + 86_400_000);
  const packages = options.packages ?? [
    ...(await kernelPackages("7.0.0-arm64", { parted: true })),
    { name: "busybox-static", version: "1:1.38.0-3", file: await makeDeb({ "./usr/bin/busybox": makeBusybox() }) },
  ];
  const files = new Map<string, Uint8Array>();
  const paragraphs = packages.map(({ name, version, depends, file }) => {
    const filename = `pool/main/${name}_${version.replace(/^\d+:/, "")}_arm64.deb`;
    files.set(filename, file);
    return [
      ...[`Package: ${name}`, `Version: ${version}`, "Architecture: arm64"],
      ...(depends === undefined ? [] : [`Depends: ${depends}`]),
      ...[`Filename: ${filename}`, `Size: ${file.length}`, `SHA256: ${sha256(file)}`, "Description: a", " test", ""],
    ].join("\n");
  });
  const index = gzipSync(paragraphs.join("\n"));
  const folder = "main/binary-arm64";
  files.set(`dists/${codename}/${folder}/Packages.gz`, index);
  if (byHash) files.set(`dists/${codename}/${folder}/by-hash/SHA256/${sha256(index)}`, index);
  const text = [
    ...["Origin: Debian", `Suite: ${suite}`, `Codename: ${codename}`, `Date: ${date.toUTCString()}`],
    ...(validUntil === undefined ? [] : [`Valid-Until: ${validUntil.toUTCString()}`]),
    ...(byHash ? ["Acquire-By-Hash: yes"] : []),
    "SHA256:",
    ` ${sha256(index)} ${index.length} ${folder}/Packages.gz`,
    "",
  ].join("\n");
  const inRelease = await openpgp.sign({
    message: await openpgp.createCleartextMessage({ text: options.edit?.(text) ?? text }),
    signingKeys: options.signer ?? key.privateKey,
    date,
  });
  files.set(`dists/${codename}/InRelease`, utf8(inRelease));
  return { files, key: key.armored };
}

/** What a server does with one request, when it is not the usual. */
export type Fault = (path: string, request: IncomingMessage, response: ServerResponse, content: Uint8Array) => boolean;

/** Serves an archive, with ranges; `fault` may take a request over by returning true. */
export async function serve(archive: Archive, { ranges = true }: { readonly ranges?: boolean } = {}) {
  const requests: { readonly path: string; readonly range: string | undefined }[] = [];
  const state: { fault: Fault | undefined } = { fault: undefined };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!.slice("/debian/".length));
    const { range } = request.headers;
    requests.push({ path, range });
    const content = archive.files.get(path);
    if (content === undefined) {
      response.writeHead(404).end("no");
      return;
    }
    if (state.fault?.(path, request, response, content)) return;
    const from = ranges ? Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0) : 0;
    if (from > 0) {
      if (from >= content.length) {
        response.writeHead(416).end();
        return;
      }
      const contentRange = `bytes ${from}-${content.length - 1}/${content.length}`;
      response.writeHead(206, { "content-range": contentRange, "content-length": content.length - from });
    } else response.writeHead(200, { "content-length": content.length });
    response.end(content.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/debian`,
    requests,
    state,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Sends a part of the content, then cuts the connection. */
export const cutAfter =
  (bytes: number): Fault =>
  (path, request, response, content) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (!path.endsWith(".deb") || content.length - from <= bytes) return false;
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": content.length - from,
      ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
    });
    response.write(content.subarray(from, from + bytes), () => setTimeout(() => response.destroy(), 20));
    return true;
  };
