import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const root = dirname(dirname(import.meta.dirname));
let directory = "";
/** Where root's compiled code goes: not left behind by a test that made it. */
const ROOT_CACHE = "/var/cache/cohort-root";
const hadRootCache = existsSync(ROOT_CACHE);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "launcher-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
  if (!hadRootCache) rmSync(ROOT_CACHE, { recursive: true, force: true });
});

/** An installation of the launcher alone, whose program says which Node runs it. */
function installation(): string {
  const place = join(directory, "with space", "lib", "cohort");
  mkdirSync(join(place, "bin"), { recursive: true });
  cpSync(join(root, "bin/cohort"), join(place, "bin/cohort"));
  mkdirSync(join(place, "app/cli"), { recursive: true });
  writeFileSync(
    join(place, "app/cli/main.ts"),
    `const text: string = JSON.stringify({ entry: "source", node: process.versions.node, cache: process.env["NODE_COMPILE_CACHE"] ?? null, args: process.argv.slice(2) }); console.log(text);`,
  );
  return place;
}

function oldNode(): string {
  const place = join(directory, "old");
  mkdirSync(place);
  writeFileSync(join(place, "node"), "#!/bin/sh\necho v20.11.0\n");
  chmodSync(join(place, "node"), 0o755);
  return place;
}

interface Answer {
  readonly entry: string;
  readonly node: string;
  readonly cache: string | null;
  readonly args: readonly string[];
}

function run(program: string, environment: Readonly<Record<string, string>>, args: readonly string[] = []): Answer {
  return JSON.parse(execFileSync(program, args, { env: { ...environment }, encoding: "utf8", cwd: directory })) as Answer;
}

const base = "/usr/bin:/bin";
const withNode = `${dirname(process.execPath)}:${base}`;

test("it finds its own place through links to links, relative and absolute, and passes arguments on as they are", () => {
  const place = installation();
  mkdirSync(join(directory, "bin"));
  symlinkSync("../with space/lib/cohort/bin/cohort", join(directory, "bin/one"));
  symlinkSync(join(directory, "bin/one"), join(directory, "bin/two"));
  expect(existsSync(join(place, "bin/cohort"))).toBe(true);
  expect(run(join(directory, "bin/two"), { PATH: withNode, HOME: directory }, ["a b", "", "*"])).toMatchObject({
    entry: "source",
    args: ["a b", "", "*"],
  });
});

test("its own Node wins over an older one on PATH, and the bundle over the source", () => {
  const place = installation();
  mkdirSync(join(place, `node_modules/node-linux-${process.arch}/bin`), { recursive: true });
  symlinkSync(process.execPath, join(place, `node_modules/node-linux-${process.arch}/bin/node`));
  mkdirSync(join(place, "dist"));
  writeFileSync(join(place, "dist/cohort.js"), `console.log(JSON.stringify({ entry: "bundle", node: process.versions.node }))`);
  expect(run(join(place, "bin/cohort"), { PATH: `${oldNode()}:${base}`, HOME: directory })).toEqual({
    entry: "bundle",
    node: process.versions.node,
  });
});

test("an older Node alone is refused with what to do", () => {
  const place = installation();
  const result = spawnSync(join(place, "bin/cohort"), [], { env: { PATH: `${oldNode()}:${base}`, HOME: directory }, encoding: "utf8" });
  // A system Node of 24 or later would be found behind the old one only if the old one were not first on PATH.
  expect([result.status, result.stdout]).toEqual([1, ""]);
  expect(result.stderr).toMatch(/^cohort: Node 24 or later is needed\..*npm install/);
});

test("compiled code is kept in a private directory, and a person's own choice is left alone", () => {
  const place = installation();
  const answer = run(join(place, "bin/cohort"), { PATH: withNode, HOME: directory });
  const cache = answer.cache ?? "";
  expect(cache).toBe(process.getuid?.() === 0 ? "/var/cache/cohort-root/node" : join(directory, ".cache/cohort/node"));
  expect(statSync(dirname(cache)).mode & 0o077).toBe(0);
  expect(run(join(place, "bin/cohort"), { PATH: withNode, HOME: directory, NODE_COMPILE_CACHE: "/chosen" }).cache).toBe("/chosen");
});
