import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const src = (room: string) => fileURLToPath(new URL(`packages/${room}/src/index.ts`, import.meta.url));
const rooms = ["abi", "token", "machine", "monitor", "rmm", "host", "vmm", "attest"];

// Tests read the rooms' sources, so that none needs a build first.
export default defineConfig({
  resolve: {
    alias: {
      ...Object.fromEntries(rooms.map((room) => [`@realmbox/${room}`, src(room)])),
      realmbox: src("realmbox"),
    },
  },
  test: {
    include: ["packages/*/src/**/*.test.ts", "conformance/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/*.{slow,soak}.test.ts"],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
