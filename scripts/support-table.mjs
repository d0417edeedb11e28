/**
 * The support table, docs/support.md: what of each document is there, extracted from the sources' tags
 *
 *   @spec DOCUMENT, "HEADING": complete | partial: WHAT IS MISSING | absent
 *
 * A tag goes on over the comment's next lines, to the next tag or an empty line. `--check` compares instead of writing.
 * A tag of another form, or of a document that is not in the list below, is an error with its file and line.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The documents that tags cite, in the table's order, and what they are. */
const DOCUMENTS = {
  "DEN0137 1.0-rel0": "Realm Management Monitor specification, Arm",
  "RMM-EL3 Communication Specification 0.8": "interface between RMM and EL3 firmware, Trusted Firmware-A",
  "DEN0028 1.5": "SMC Calling Convention, Arm",
  "DEN0077A 1.0": "Firmware Framework for Arm A-profile (FF-A), Arm",
  "DEN0022 1.1": "Power State Coordination Interface, Arm",
  "DDI 0487": "Architecture Reference Manual for A-profile, Arm",
  "IHI 0069H": "Generic Interrupt Controller, GICv3 and GICv4, Arm",
  "DDI 0183": "PrimeCell UART (PL011), Arm",
  "DDI 0254": "PrimeXsys System Controller (SP810), Arm",
  "DDI 0270": "Watchdog Module (SP805), Arm",
  "DDI 0271": "Dual-Timer Module (SP804), Arm",
  DEN0094: "Base System Architecture, Arm",
  "DUI 0447": "Motherboard Express µATX (V2M-P1), Arm",
  "Fast Models": "Fast Models Reference Guide, Arm",
  "JESD68.01": "Common Flash Interface, JEDEC",
  "draft-ffm-rats-cca-token-01": "CCA attestation token with the 1.0.0 profiles, IETF draft",
  "draft-ffm-rats-cca-token-04": "CCA attestation token, IETF draft",
  "RFC 9052": "COSE, structures and process",
  "RFC 9053": "COSE, initial algorithms",
  "RFC 8949": "CBOR",
  "Linux KVM API": "Documentation/virt/kvm",
  "Linux CCA host series v9": "KVM_CAP_ARM_RME, arm64: Support for Arm CCA in KVM",
  kvmtool: "the CCA series' `lkvm run`",
  "virtio 1.2": "Virtual I/O Device, OASIS",
  "Devicetree Specification 0.4": "devicetree.org",
  "System V ABI": "executables",
  PC16550D: "UART with FIFOs, National Semiconductor",
  MC146818: "real-time clock, Motorola",
  "PCI Express Base Specification": "PCI-SIG",
};
const TAG = /^(?<document>[^":]+), "(?<heading>[^"]+)": (?<support>complete|absent|partial: (?<missing>\S.*))$/;

const root = fileURLToPath(new URL("..", import.meta.url));
const page = join(root, "docs/support.md");

/** Sources of the rooms, tests left out, in a fixed order. */
function sources(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return entry.name === "dist" || entry.name === "bundle" ? [] : sources(path);
      return /(?<!\.test|\.oracle|\.d)\.ts$/.test(entry.name) ? [path] : [];
    });
}

/** The tags of a file: their text in one line, and where they begin. */
function tagsOf(path) {
  const tags = [];
  let open; // the tag that the next line may continue
  for (const [i, line] of readFileSync(join(root, path), "utf8").split("\n").entries()) {
    const text = line.replace(/^\s*(\/\*\*|\*\/|\*|\/\/)?\s?/, "").replace(/\s*\*\/\s*$/, "");
    if (/@spec\b/.test(line)) tags.push((open = { path, line: i + 1, text: text.replace(/^.*?@spec\b/, "").trim() }));
    else if (!/^\s*\*(?!\/)/.test(line) || text.trim() === "" || text.startsWith("@")) open = undefined;
    else if (open) open.text += ` ${text.trim()}`;
    if (line.includes("*/")) open = undefined;
  }
  return tags;
}

const problems = [];
const rows = [];
for (const tag of readdirSync(join(root, "packages"))
  .sort()
  .flatMap((room) => sources(`packages/${room}/src`).flatMap(tagsOf))) {
  const row = TAG.exec(tag.text)?.groups;
  const at = `${tag.path}:${tag.line}`;
  if (!row) problems.push(`${at}: not of the form DOCUMENT, "HEADING": complete|partial: …|absent: ${tag.text}`);
  else if (!Object.hasOwn(DOCUMENTS, row.document)) problems.push(`${at}: unknown document ${row.document}`);
  else rows.push({ ...row, ...tag, support: row.support.replace(/:.*/, "") });
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
const count = (of, support) => of.filter((row) => row.support === support).length;
const sections = Object.entries(DOCUMENTS)
  .map(([document, title]) => ({ document, title, of: rows.filter((row) => row.document === document) }))
  .filter(({ of }) => of.length > 0);
for (const document of Object.keys(DOCUMENTS))
  if (!sections.some((section) => section.document === document)) problems.push(`no tag cites ${document}`);

const text = `# What is supported

Extracted from the \`@spec\` tags of the sources by \`node scripts/support-table.mjs\`; not typed. "Complete" is said of a heading, a command
or a function of a document, "partial" names what is missing, "absent" is said where a reader would look for it. What no line mentions is not there.

| Document | Complete | Partial | Absent |
| --- | --- | --- | --- |
${sections.map(({ document, of }) => `| ${document} | ${count(of, "complete")} | ${count(of, "partial")} | ${count(of, "absent")} |`).join("\n")}
${sections
  .map(
    ({ document, title, of }) => `
## ${document}

${title[0].toUpperCase()}${title.slice(1)}.

| Heading | Support | File |
| --- | --- | --- |
${of
  .sort((a, b) => (a.heading < b.heading ? -1 : a.heading > b.heading ? 1 : 0))
  .map(
    ({ heading, support, missing, path }) =>
      `| ${cell(heading)} | ${support}${missing ? `: ${cell(missing)}` : ""} | [${path.replace(/^packages\//, "")}](../${path}) |`,
  )
  .join("\n")}
`,
  )
  .join("")}`;

if (problems.length === 0 && process.argv.includes("--check")) {
  if (readFileSync(page, "utf8") !== text)
    problems.push("docs/support.md is not what the tags say: run node scripts/support-table.mjs");
} else if (problems.length === 0) writeFileSync(page, text);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
