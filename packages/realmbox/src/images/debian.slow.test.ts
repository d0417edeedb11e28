/**
 * The real thing: Debian's packages through apt and from a mirror, and the image on QEMU's machine, which knows nothing of
 * ours. Without apt, network or QEMU the tests skip and say why. (On realmbox's own machine it runs in conformance/linux.)
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { DEBIAN, type DebianImage, missing, TRIXIE } from "../../../../conformance/linux/debian.js";
import { command, realmbox, temporaryFolder } from "../../../../conformance/support/cli.js";
import { busyboxApplets } from "./initramfs.js";
import { cacheFolder, ImageStore } from "./store.js";

const folder = temporaryFolder("debian");
const have = (program: string): boolean => {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const why = (await missing(DEBIAN)) ?? (await missing(TRIXIE));
const reason = why === undefined ? "" : ` (skipped: ${why})`;

describe("fetching", () => {
  const env = { REALMBOX_CACHE: join(folder, "cache") };
  const fetchCloud = (...options: readonly string[]) =>
    realmbox(["images", "fetch", "debian", "--kernel-flavour", "cloud-arm64", ...options], { env });

  test.skipIf(why !== undefined)(
    `apt and a mirror give the same image; apt's own state stays as it is${reason}`,
    async () => {
      // What the copied package would find beside itself when installed.
      mkdirSync(join(dirname(dirname(command)), "node_modules"), { recursive: true });
      symlinkSync(
        fileURLToPath(new URL("../../../../node_modules/openpgp", import.meta.url)),
        join(dirname(dirname(command)), "node_modules/openpgp"),
      );
      const systemLists = () =>
        execFileSync("ls", ["-lR", "/var/lib/apt/lists", "/var/cache/apt"], { encoding: "utf8" });
      const before = systemLists();
      const byApt = await fetchCloud("--json");
      expect(byApt.code, byApt.stderr).toBe(0);
      expect(systemLists()).toBe(before);
      const first = JSON.parse(byApt.stdout);
      expect(first).toMatchObject({ name: "debian-cloud", suite: "sid", unchanged: false });
      expect(first.kernel).toMatchObject({ realmAware: true, version: expect.stringMatching(/-cloud-arm64$/) });

      const mirror = /https?:\/\/\S+/.exec(byApt.stderr)?.[0];
      expect(mirror).toBeDefined();
      // An archive of the past is as good for this.
      const byMirror = await fetchCloud("--json", "--name", "other", "--mirror", mirror!, "--allow-expired");
      expect(byMirror.code, byMirror.stderr).toBe(0);
      const second = JSON.parse(byMirror.stdout);
      expect(second.kernel).toEqual(first.kernel);
      expect(second.initramfs).toEqual(first.initramfs);

      const again = await fetchCloud("--json");
      expect(JSON.parse(again.stdout)).toMatchObject({ unchanged: true, fetched: first.fetched });
    },
  );

  test.skipIf(why !== undefined)(`apt's words when there is no such suite${reason}`, async () => {
    const { code, stderr } = await fetchCloud("--suite", "nosuchsuite");
    expect(code).toBe(125);
    expect(stderr).toMatch(/^realmbox: apt-get update failed: .*nosuchsuite.*\n {2}is there such a suite\?/m);
  });
});

const store = new ImageStore(cacheFolder());
const files = ({ name }: DebianImage) => {
  const record = store.find(name)!;
  return { kernel: store.path(record.kernel), initrd: store.path(record.initramfs) };
};

describe("the initramfs", () => {
  const cpio = have("cpio");
  test.skipIf(why !== undefined || !cpio).each([DEBIAN, TRIXIE])(
    `$suite: GNU cpio reads it; its commands are what busybox itself lists${reason}${cpio ? "" : " (needs cpio)"}`,
    (image) => {
      const target = join(folder, `tree-${image.suite}`);
      mkdirSync(target);
      const input = readFileSync(files(image).initrd);
      execFileSync("cpio", ["-id", "--quiet", "--no-absolute-filenames", "bin/*", "init", "etc/*"], {
        input,
        cwd: target,
      });
      const busybox = join(target, "bin/busybox");
      const applets = busyboxApplets(new Uint8Array(readFileSync(busybox)));
      if (have("qemu-aarch64")) {
        const listed = execFileSync("qemu-aarch64", [busybox, "--list"], { encoding: "utf8" }).trim().split("\n");
        expect(applets).toEqual(listed);
      }
      for (const name of ["mount", "modprobe", "switch_root", "setsid", "cttyhack", "poweroff", "base64", "xxd"]) {
        expect(applets).toContain(name);
      }
      for (const script of ["init", "bin/attest"]) execFileSync("sh", ["-n", join(target, script)]);
    },
  );
});

/** Processes of guests; a test that fails leaves its own. */
const running = new Set<ChildProcess>();
afterEach(() => {
  for (const process of running) process.kill("SIGKILL");
  running.clear();
});

/** A guest on QEMU's machine, at its console. */
class QemuGuest {
  #output = "";
  readonly #process: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(image: DebianImage, parameters: string, disk?: string) {
    const { kernel, initrd } = files(image);
    const drive = ["-drive", `if=none,id=d,format=raw,file=${disk}`, "-device", "virtio-blk-device,drive=d"];
    this.#process = spawn(
      "qemu-system-aarch64",
      [
        ...["-M", "virt", "-cpu", "cortex-a57", "-m", "320", "-nographic", "-nic", "none", "-no-reboot"],
        ...["-kernel", kernel, "-initrd", initrd, "-append"],
        `console=ttyAMA0 cryptomgr.notests=1 ${parameters}`,
        ...(disk === undefined ? [] : drive),
      ],
      { stdio: ["pipe", "pipe", "inherit"], timeout: 120_000, killSignal: "SIGKILL" },
    );
    running.add(this.#process);
    this.#process.stdout!.setEncoding("latin1").on("data", (text: string) => (this.#output += text));
    this.ended = new Promise((resolve) => this.#process.on("close", resolve));
  }

  /** Waits for a text, and gives what came up to it. */
  async until(text: RegExp): Promise<string> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const match = text.exec(this.#output);
      if (match !== null) {
        const end = match.index + match[0].length;
        const before = this.#output.slice(0, end);
        this.#output = this.#output.slice(end);
        return before;
      }
      if (Date.now() > deadline || this.#process.exitCode !== null) {
        throw new Error(`no ${text} in: ${this.#output.slice(-3000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Types a line at the shell's prompt; gives what came before the next one. */
  async type(line: string): Promise<string> {
    this.#process.stdin!.write(`${line}\n`);
    return this.until(PROMPT);
  }

  send(text: string): void {
    this.#process.stdin!.write(text);
  }
}
const PROMPT = /vm:[^\n]*# /;

const qemu = have("qemu-system-aarch64");
const mke2fs = (() => {
  try {
    execFileSync("mke2fs", ["-V"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();
const noQemu = qemu ? "" : " (needs qemu-system-aarch64)";

describe.skipIf(why !== undefined || !qemu)(`on QEMU's machine${reason}${noQemu}`, () => {
  test.each([DEBIAN, TRIXIE])("$suite: a shell with job control; exit switches off", async (image) => {
    const guest = new QemuGuest(image, "root=/dev/vda rw");
    await guest.until(/\nrealmbox: userspace\r\n/);
    const start = await guest.until(PROMPT);
    expect(start).not.toMatch(/job control turned off|not found|No such file|cannot|can't/i);
    expect(await guest.type("tty; hostname; id -u; pwd")).toMatch(/\/dev\/ttyAMA0\r\nvm\r\n0\r\n\/root\r\n/);
    expect(await guest.type("cut -d' ' -f2,3 /proc/mounts | sort | tr '\\n' ,")).toMatch(
      /\/dev devtmpfs,\/proc proc,\/run tmpfs,\/sys sysfs,\/tmp tmpfs,/,
    );
    guest.send("sleep 1000\n");
    await guest.until(/sleep 1000\r\n/);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    guest.send("\x03");
    await guest.until(PROMPT);
    expect(await guest.type("attest; echo status=$?")).toMatch(/attest: this is not a realm.*\r\nstatus=1/);
    expect(await guest.type("attest -n 012; attest -n xy; attest -q; attest -h")).toMatch(
      /not 1 to 64 whole bytes[\s\S]*not hexadecimal[\s\S]*usage: attest[\s\S]*usage: attest/,
    );
    guest.send("exit\n");
    await guest.until(/reboot: Power down/);
    expect(await guest.ended).toBe(0);
  });

  test.each([
    ["poweroff", /Power down/],
    ["poweroff -f", /Power down/],
    ["reboot", /Restarting system/],
    ["reboot -f", /Restarting system/],
    ["halt", /System halted/],
  ])("%s", async (line, message) => {
    const guest = new QemuGuest(DEBIAN, "");
    await guest.until(PROMPT);
    guest.send(`${line}\n`);
    await guest.until(message);
    if (line === "halt") guest.send("\x01x"); // QEMU's own way out: the machine stands still
    expect(await guest.ended).toBe(0);
  });

  test.each([
    ['realmbox.run="echo one; uname -m; tty"', /userspace\r\none\r\naarch64\r\n\/dev\/ttyAMA0\r\n\[[^\n]*Power down/],
    ["realmbox.run=id", /userspace\r\nuid=0.*\r\n\[[^\n]*Power down/],
    ['realmbox.run="false"', /realmbox: 'false' ended with status 1\r\n\[[^\n]*Power down/],
    ["root=/dev/vda -- echo behind two dashes", /userspace\r\nbehind two dashes\r\n\[[^\n]*Power down/],
  ])("%s", async (parameters, output) => {
    const guest = new QemuGuest(TRIXIE, parameters);
    await guest.until(output);
    expect(await guest.ended).toBe(0);
  });

  describe.skipIf(!mke2fs)(`with a disk${mke2fs ? "" : " (needs mke2fs)"}`, () => {
    const disk = (name: string, content?: Readonly<Record<string, string>>): string => {
      const path = join(folder, `${name}.img`);
      writeFileSync(path, "");
      truncateSync(path, 16 << 20);
      if (content === undefined) return path;
      const tree = join(folder, name);
      for (const [file, text] of Object.entries(content)) {
        mkdirSync(dirname(join(tree, file)), { recursive: true });
        writeFileSync(join(tree, file), text, { mode: 0o755 });
      }
      execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", tree, path], { stdio: "ignore" });
      return path;
    };
    test("blank: a shell, and why", async () => {
      const guest = new QemuGuest(DEBIAN, "root=/dev/vda rw", disk("blank"));
      await guest.until(/realmbox: \/dev\/vda holds no file system that can be mounted here/);
      await guest.until(PROMPT);
      guest.send("poweroff -f\n");
      expect(await guest.ended).toBe(0);
    });
    test("data: a shell, and mount shows it", async () => {
      const guest = new QemuGuest(DEBIAN, "root=/dev/vda rw", disk("data", { "file.txt": "what it holds" }));
      await guest.until(/realmbox: \/dev\/vda holds no init; 'mount \/dev\/vda \/mnt' shows/);
      await guest.until(PROMPT);
      expect(await guest.type("mount /dev/vda /mnt && cat /mnt/file.txt")).toMatch(/what it holds/);
      guest.send("poweroff\n");
      expect(await guest.ended).toBe(0);
    });
    test("plain mount finds ext4 without being told, in a command, too", async () => {
      const parameters = 'realmbox.run="mount /dev/vda /mnt; cat /mnt/file.txt"';
      const guest = new QemuGuest(DEBIAN, parameters, disk("plain", { "file.txt": "plainly mounted" }));
      await guest.until(/plainly mounted/);
      expect(await guest.ended).toBe(0);
    });
    test("with an init: it becomes the first program, with the file systems it expects", async () => {
      const tree = join(folder, "tree-trixie-disk");
      mkdirSync(tree);
      execFileSync("cpio", ["-id", "--quiet", "bin/busybox"], { input: readFileSync(files(TRIXIE).initrd), cwd: tree });
      const path = disk("system", {
        "sbin/init":
          "#!/bin/busybox sh\necho disk-init is $$\nbusybox() { /bin/busybox \"$@\"; }\nbusybox cut -d' ' -f1,2 /proc/mounts\nbusybox poweroff -f\n",
        "bin/.keep": "",
      });
      execFileSync("debugfs", ["-w", "-R", `write ${join(tree, "bin/busybox")} bin/busybox`, path], {
        stdio: "ignore",
      });
      execFileSync("debugfs", ["-w", "-R", "set_inode_field bin/busybox mode 0100755", path], { stdio: "ignore" });
      const guest = new QemuGuest(TRIXIE, "root=/dev/vda rw", path);
      const output = await guest.until(/Power down/);
      expect(output).toMatch(/disk-init is 1\r\n/);
      expect(output).toMatch(/^\/dev\/vda \/\r$/m);
      expect(output).toMatch(/^proc \/proc\r$/m);
      expect(await guest.ended).toBe(0);
    });
  });
});
