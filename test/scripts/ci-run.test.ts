import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const ciRun = join(import.meta.dirname, "../../.ci/run");
let directory = "";

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs .ci/run with an npm that says what it is told to, and answers its status and last line. */
function runWith(npm: { readonly ci?: string; readonly test: string; readonly long: string }): {
  readonly status: number | null;
  readonly last: string;
} {
  directory = mkdtempSync(join(tmpdir(), "cohort-ci-"));
  const script = `#!/bin/sh\ncase "$1:\${2:-}" in\nci:) ${npm.ci ?? "true"};;\ntest:) ${npm.test};;\nrun:test:long) ${npm.long};;\n*) exit 99;;\nesac\n`;
  writeFileSync(join(directory, "npm"), script);
  chmodSync(join(directory, "npm"), 0o755);
  const result = spawnSync(ciRun, [], {
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, PATH: `${directory}:${process.env["PATH"] ?? ""}` },
  });
  return { status: result.status, last: result.stdout.trimEnd().split("\n").at(-1) ?? "" };
}

test("the last line adds up both suites", () => {
  const outcome = runWith({ test: "echo noise; echo '10 passed, 0 failed, 2 skipped'", long: "echo '3 passed, 0 failed, 1 skipped'" });
  expect(outcome).toEqual({ status: 0, last: "13 passed, 0 failed, 3 skipped" });
});

test.each([
  [
    "a test failed",
    { test: "echo '9 passed, 1 failed, 0 skipped'; exit 1", long: "echo '3 passed, 0 failed, 0 skipped'" },
    "12 passed, 1 failed, 0 skipped",
  ],
  [
    "a long test failed",
    { test: "echo '9 passed, 0 failed, 0 skipped'", long: "echo '2 passed, 1 failed, 0 skipped'; exit 1" },
    "11 passed, 1 failed, 0 skipped",
  ],
  ["the dependencies could not be installed", { ci: "exit 1", test: "true", long: "true" }, "0 passed, 1 failed, 0 skipped"],
  ["a suite died without its totals", { test: "echo '9 passed, 0 failed, 0 skipped'", long: "exit 137" }, "9 passed, 1 failed, 0 skipped"],
  [
    "nothing ran",
    { test: "echo '0 passed, 0 failed, 4 skipped'", long: "echo '0 passed, 0 failed, 1 skipped'" },
    "0 passed, 0 failed, 5 skipped",
  ],
])("it fails when %s", (_, npm, last) => {
  expect(runWith(npm)).toEqual({ status: 1, last });
});
