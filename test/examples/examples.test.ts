import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const examples = readdirSync(join(root, "examples"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const EXAMPLE_TIMEOUT_MS = 240_000;

describe("each example runs to its end and its assertions hold", () => {
  test.for(examples)("%s", { timeout: EXAMPLE_TIMEOUT_MS }, (name, context) => {
    context.skip(process.geteuid?.() !== 0, "needs root to start a warden");
    const result = spawnSync(process.execPath, [join(root, "examples", name, "main.ts")], {
      cwd: root,
      encoding: "utf8",
      timeout: EXAMPLE_TIMEOUT_MS,
    });
    expect(result.status, `${result.stdout}\n${result.stderr}`).toBe(0);
  });
});
