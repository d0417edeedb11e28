/**
 * `hello` as a realm, and the test image at NS-EL2 of the FVP, in a Worker of headless Chromium: the bundle for pages, with
 * neither Node nor a server behind it but for some files. The reports must be those that Node gives.
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import type { FvpReport, Report } from "realmbox";
import { afterAll, beforeAll, expect, test } from "vitest";

/** The bundle that is published: its types are the sources', so that types are checked without a build. */
const bundle = new URL("../../packages/realmbox/bundle/index.js", import.meta.url).href;
const { Box, Fvp, makeReport, nodeCrypto }: typeof import("realmbox") = await import(bundle);

const CHROMIUM = "/usr/bin/chromium";
const file = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

const WORKER = `
import { Box, Fvp, makeReport, portableCrypto } from "/page.js";
onmessage = async () => {
  const kernel = new Uint8Array(await (await fetch("/hello.bin")).arrayBuffer());
  const box = new Box({ crypto: portableCrypto });
  const created = box.createGuest({ kernel, realm: true });
  if (!created.ok) throw new Error(created.error.message);
  const guest = created.value;
  const end = guest.run();
  const report = makeReport({ box, guest, end, image: "hello", challenge: new Uint8Array(64) });
  const bytes = new Uint8Array(await (await fetch("/el2.bin")).arrayBuffer());
  const fvp = new Fvp({ crypto: portableCrypto, ns: { name: "el2", bytes } });
  const fvpEnd = await fvp.runAsync();
  postMessage({ console: guest.console, report, fvp: fvp.report(fvpEnd) });
};`;

const PAGE = `<!doctype html><title>realmbox</title><script type="module">
globalThis.result = new Promise((resolve, reject) => {
  const worker = new Worker("/worker.js", { type: "module" });
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage("run");
});
</script>`;

const FILES: Record<string, [string, () => string | Buffer]> = {
  "/": ["text/html", () => PAGE],
  "/worker.js": ["text/javascript", () => WORKER],
  "/page.js": ["text/javascript", () => file("packages/realmbox/bundle/page.js")],
  "/el2.bin": ["application/octet-stream", () => file("guests/prebuilt-fvp/el2.bin")],
  "/hello.bin": ["application/octet-stream", () => file("guests/prebuilt/hello.bin")],
};

/** Which engine executed what depends on where slices of the host's time end; the run does not. */
const withoutEngines = <R extends Pick<Report, "translator">>(report: R): R => {
  expect(report.translator?.instructions.translated).toBeGreaterThan(0);
  return { ...report, translator: undefined };
};
const withoutHostTime = (report: FvpReport): FvpReport => ({
  ...withoutEngines(report),
  wallMs: 0,
  tests: report.tests.map((one) => ({ ...one, ms: 0 })),
});

let server: Server;
let url: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const entry = FILES[request.url ?? ""];
    if (!entry) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": entry[0] }).end(entry[1]());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const name = "in a Worker, hello boots as a realm and its token verifies, and el2 passes at NS-EL2";
if (!existsSync(CHROMIUM)) test.skip(`${name} (skipped: Debian's chromium is not installed)`, () => {});
else
  test(name, async () => {
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
      ],
    });
    try {
      const page = await browser.newPage();
      await page.goto(url);
      const result = (await page.evaluate("globalThis.result")) as {
        console: string;
        report: Report;
        fvp: FvpReport;
      };

      const box = new Box({ crypto: nodeCrypto });
      const created = box.createGuest({ kernel: new Uint8Array(file("guests/prebuilt/hello.bin")), realm: true });
      if (!created.ok) throw new Error(created.error.message);
      const guest = created.value;
      const report = makeReport({ box, guest, end: guest.run(), image: "hello", challenge: new Uint8Array(64) });

      const bytes = new Uint8Array(file("guests/prebuilt-fvp/el2.bin"));
      const fvp = new Fvp({ crypto: nodeCrypto, ns: { name: "el2", bytes } });
      expect(result.fvp.exit).toBe(0);
      expect(withoutHostTime(result.fvp)).toEqual(withoutHostTime(fvp.report(fvp.run())));
      expect(result.report.token?.verified).toBe(true);
      expect(result.report.rim?.match).toBe(true);
      expect(result.console).toBe(guest.console);
      expect(withoutEngines(result.report)).toEqual(withoutEngines(report));
    } finally {
      await browser.close();
    }
  });
