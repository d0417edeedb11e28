/**
 * Import directions between the rooms (docs/architecture.md, "Rooms"): a room imports along this table only.
 * Core rooms import nothing from Node; tests are free to.
 */
const rooms = {
  abi: [],
  token: ["abi"],
  machine: ["abi"],
  monitor: ["abi", "token", "machine"],
  rmm: ["abi", "token", "machine"],
  host: ["abi", "machine"],
  vmm: ["abi", "host"],
  attest: ["abi", "token"],
  conformance: ["abi", "machine", "monitor", "rmm"],
  realmbox: ["abi", "token", "machine", "monitor", "rmm", "host", "vmm", "attest", "conformance"],
};
/** Where a room's sources are: what proves an RMM lies with the other suites. */
const folderOf = (room) => (room === "conformance" ? "conformance/rmm" : `packages/${room}`);
const tests = "\\.(test|oracle)\\.ts$|/testing/";
const core = Object.keys(rooms).filter((room) => room !== "realmbox");

export default {
  forbidden: [
    ...Object.entries(rooms).map(([room, allowed]) => ({
      name: `${room}-imports`,
      comment: `${room} imports only ${allowed.join(", ") || "itself"}`,
      severity: "error",
      from: { path: `^${folderOf(room)}/src/`, pathNot: tests },
      to: { path: "^(packages|conformance)/", pathNot: `^(${[room, ...allowed].map(folderOf).join("|")})/` },
    })),
    {
      name: "core-without-node",
      comment: "files, sockets, clocks, crypto and randomness come in through interfaces",
      severity: "error",
      from: { path: `^(${core.map(folderOf).join("|")})/src/`, pathNot: tests },
      to: { dependencyTypes: ["core"] },
    },
    { name: "not-resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    // Rooms are checked one by one: what another room exports is its own affair.
    doNotFollow: { path: "node_modules|/dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "import", "default"] },
  },
};
