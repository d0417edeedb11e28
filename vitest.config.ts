import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const src = (room: string) => at(`packages/${room}/src/index.ts`);
const rooms = ["abi", "token", "machine", "monitor", "rmm", "host", "vmm", "attest"];

// Tests read the rooms' sources, so that none needs a build first.
export default defineConfig({
  resolve: {
    alias: {
      ...Object.fromEntries(rooms.map((room) => [`@realmbox/${room}`, src(room)])),
      "@realmbox/conformance": at("conformance/rmm/src/index.ts"),
      realmbox: src("realmbox"),
    },
  },
  test: {
    include: ["packages/*/src/**/*.test.ts", "conformance/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/*.{slow,soak}.test.ts"],
    setupFiles: [at("conformance/support/jit-setup.ts")],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
