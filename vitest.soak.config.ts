import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** Suites for hours, by hand: `npm run soak`. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({
    test: {
      include: ["packages/*/src/**/*.soak.test.ts", "conformance/**/*.soak.test.ts"],
      exclude: ["**/node_modules/**"],
      testTimeout: 12 * 3_600_000,
    },
  }),
);
