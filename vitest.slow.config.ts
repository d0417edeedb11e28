import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** The suites that take long or need Debian's packages: run by .ci/run, and by hand as `npm run test:slow`. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({
    test: {
      include: ["packages/*/src/**/*.slow.test.ts", "conformance/**/*.slow.test.ts"],
      exclude: ["**/node_modules/**"],
      testTimeout: 900_000,
      hookTimeout: 300_000,
    },
  }),
);
