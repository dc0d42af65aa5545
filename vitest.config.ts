import { defineConfig } from "vitest/config";

const shared = { pool: "forks" as const, testTimeout: 30_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      { test: { ...shared, name: "main", include: ["test/**/*.test.ts"], exclude: ["test/long/**", "test/style/**"] } },
      { test: { ...shared, name: "style", include: ["test/style/**/*.test.ts"] } },
      { test: { ...shared, name: "long", include: ["test/long/**/*.test.ts"], testTimeout: 600_000 } },
    ],
  },
});
