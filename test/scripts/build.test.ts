import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

test("a build with nothing to do says nothing and takes a moment", () => {
  const build = (): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, ["scripts/build.ts"], { cwd: root, encoding: "utf8", timeout: 60_000 });
  expect(build().status).toBe(0);
  const startedAt = performance.now();
  const second = build();
  const tookMs = performance.now() - startedAt;
  expect({ status: second.status, stdout: second.stdout, stderr: second.stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  // Some 100 ms on an idle machine; the rest is for a busy one.
  expect(tookMs).toBeLessThan(2000);
});

test("the built command line starts, knows its version and is quick about it", () => {
  const result = spawnSync(process.execPath, [join(root, "dist/cohort.js"), "--version"], { encoding: "utf8", timeout: 10_000 });
  expect(result).toMatchObject({ status: 0, stdout: "0.1.0\n", stderr: "" });
});
